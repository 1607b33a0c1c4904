//! Users created, one by one and in batches.

use anyhow::Result;
use serde_json::{Value, json};

use super::load::Call;
use super::{Baseline, Comparison, statements};
use crate::bed::{Bed, DOMAIN};
use crate::pgbench::Script;
use crate::report::Target;

/// The group's name.
pub(crate) const NAME: &str = "control_plane.create";
/// Users of one batch: what a portal's page of a table sends, and a tenth of what the API takes.
const BATCH: u32 = 100;

/// Measures both.
pub(crate) async fn run(bed: &Bed) -> Result<()> {
    let single = Comparison {
        name: "users.create",
        per_run: 1.0,
        baselines: vec![
            Baseline::request(
                Script::prepared(statements::writing(&statements::create_users(1))),
                Target::AtLeast(0.5),
            ),
            Baseline::own(Script::prepared(statements::create_users(1))),
        ],
        variables: &[("seats", "1".to_owned())],
    };
    let path = bed.place().users();
    single.measure(bed, move || create(path.clone(), user().to_string())).await?;
    let batch = Comparison {
        name: "users.create_batch",
        per_run: f64::from(BATCH),
        baselines: vec![
            Baseline::request(
                Script::executed(&statements::writing(&statements::create_users(BATCH))),
                Target::AtLeast(0.8),
            ),
            Baseline::own(Script::executed(&statements::create_users(BATCH))),
        ],
        variables: &[("seats", BATCH.to_string())],
    };
    let path = format!("{}/batch", bed.place().users());
    let users = || json!({"users": (0..BATCH).map(|_| user()).collect::<Vec<_>>()});
    batch.measure(bed, move || create(path.clone(), users().to_string())).await
}

/// A user without a password, whose hash would be all that is measured.
fn user() -> Value {
    json!({"address": format!("u{}@{DOMAIN}", uuid::Uuid::now_v7().simple())})
}

fn create(path: String, body: String) -> Call {
    Call { method: "POST", path, body, status: 201 }
}
