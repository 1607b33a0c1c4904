//! A user and a page of users, read.

use anyhow::{Context, Result};
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

/// Measures both. Each side reads the same user and the same page, the tenant's second, again and again.
pub(crate) async fn run(bed: &Bed) -> Result<()> {
    let (http, path) = (bed.http()?, bed.place().users());
    let users: Vec<_> = (0..USERS).map(|n| json!({"address": format!("reader{n}@{DOMAIN}")})).collect();
    http.post(&format!("{path}/batch"), &json!({"users": users})).await?.expect(201)?;
    let first = http.get(&format!("{path}?limit={PAGE}")).await?.expect(200)?;
    let cursor = first["next_cursor"].as_str().context("a cursor")?;
    let last: UserId = first["data"][PAGE - 1]["id"].as_str().context("a user's id")?.parse()?;
    let one = Comparison {
        name: "users.get",
        per_run: 1.0,
        baselines: baselines(statements::GET_USER),
        variables: &[("user_id", last.uuid().to_string())],
    };
    one.measure(bed, get(format!("{path}/{last}"))).await?;
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
    page.measure(bed, get(format!("{path}?limit={PAGE}&cursor={cursor}"))).await
}

fn baselines(query: &str) -> Vec<Baseline> {
    vec![
        Baseline::request(Script::prepared(statements::reading(query)), Target::None),
        Baseline::own(Script::prepared(statements::in_transaction(query))),
        Baseline::bare(Script::prepared(statements::bare(query)), Target::AtLeast(0.5)),
    ]
}

fn get(path: String) -> impl Fn() -> Call + Clone + Send + 'static {
    move || Call { method: "GET", path: path.clone(), body: String::new(), status: 200 }
}
