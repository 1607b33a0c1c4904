//! A user and a page of users, read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use kernel::UserId;
use serde_json::json;

use super::load::Call;
use super::{Baseline, Comparison, statements};
use crate::bed::{Bed, DOMAIN};
use crate::pgbench::Script;
use crate::report::Target;

/// The group's name.
pub(crate) const NAME: &str = "control_plane.read";
/// Users of the tenant.
const USERS: usize = 1_000;
/// Users of a page.
const PAGE: usize = 50;

/// Measures both. The server is asked for one user after the other, pgbench for the same one, which costs it no more; each side reads the same
/// page, the tenant's second, again and again.
pub(crate) async fn run(bed: &Bed) -> Result<()> {
    let (http, path) = (bed.http()?, bed.place().users());
    let users: Vec<_> = (0..USERS).map(|n| json!({"address": format!("reader{n}@{DOMAIN}")})).collect();
    let made = http.post(&format!("{path}/batch"), &json!({"users": users})).await?.expect(201)?;
    let made = made["users"].as_array().context("the users")?.iter();
    let made: Vec<_> = made.filter_map(|user| Some(format!("{path}/{}", user["id"].as_str()?))).collect();
    ensure!(made.len() == USERS, "{} users were made", made.len());
    let first = http.get(&format!("{path}?limit={PAGE}")).await?.expect(200)?;
    let cursor = first["next_cursor"].as_str().context("a cursor")?;
    let last: UserId = first["data"][PAGE - 1]["id"].as_str().context("a user's id")?.parse()?;
    let one = Comparison {
        name: "users.get",
        per_run: 1.0,
        baselines: baselines(statements::GET_USER),
        variables: &[("user_id", last.uuid().to_string())],
    };
    one.measure(bed, get(made)).await?;
    let page = Comparison {
        name: "users.list",
        per_run: 1.0,
        baselines: baselines(statements::LIST_USERS),
        variables: &[
            ("after", last.uuid().to_string()),
            // The page and one more, which tells whether there is another.
            ("fetch", (PAGE + 1).to_string()),
            ("deleted", "false".to_owned()),
            ("none", "none".to_owned()),
        ],
    };
    page.measure(bed, get(vec![format!("{path}?limit={PAGE}&cursor={cursor}")])).await
}

fn baselines(query: &str) -> Vec<Baseline> {
    vec![
        Baseline::request(Script::prepared(statements::reading(query)), Target::None),
        Baseline::own(Script::prepared(statements::in_transaction(query))),
        Baseline::bare(Script::prepared(statements::bare(query)), Target::AtLeast(0.5)),
    ]
}

/// One of the paths after the other.
fn get(paths: Vec<String>) -> impl Fn() -> Call + Clone + Send + 'static {
    let (paths, next) = (Arc::new(paths), Arc::new(AtomicUsize::new(0)));
    move || {
        let path = paths[next.fetch_add(1, Ordering::Relaxed) % paths.len()].clone();
        Call { method: "GET", path, body: String::new(), status: 200 }
    }
}
