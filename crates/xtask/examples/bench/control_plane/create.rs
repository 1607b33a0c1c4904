//! Users created, one by one and in batches.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::client::http::Http;

use super::load::Call;
use super::{Comparison, statements};
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
        own: Script::prepared(statements::create_users(1)),
        own_target: Target::None,
        whole: Script::prepared(statements::writing(&statements::create_users(1))),
        whole_target: Target::AtLeast(0.5),
        variables: &[("seats", "1".to_owned())],
    };
    single.measure(bed, Create { path: bed.place().users() }).await?;
    let batch = Comparison {
        name: "users.create_batch",
        per_run: f64::from(BATCH),
        own: Script::executed(&statements::create_users(BATCH)),
        whole: Script::executed(&statements::writing(&statements::create_users(BATCH))),
        whole_target: Target::AtLeast(0.8),
        variables: &[("seats", BATCH.to_string())],
        ..single
    };
    batch.measure(bed, CreateBatch { path: format!("{}/batch", bed.place().users()) }).await
}

/// A user without a password, whose hash would be all that is measured.
fn user() -> Value {
    json!({"address": format!("u{}@{DOMAIN}", uuid::Uuid::now_v7().simple())})
}

#[derive(Clone)]
struct Create {
    path: String,
}

impl Call for Create {
    async fn call(&self, http: &Http) -> Result<u32> {
        http.post(&self.path, &user()).await?.expect_bytes(201)?;
        Ok(1)
    }
}

#[derive(Clone)]
struct CreateBatch {
    path: String,
}

impl Call for CreateBatch {
    async fn call(&self, http: &Http) -> Result<u32> {
        let users: Vec<_> = (0..BATCH).map(|_| user()).collect();
        http.post(&self.path, &json!({"users": users})).await?.expect_bytes(201)?;
        Ok(BATCH)
    }
}
