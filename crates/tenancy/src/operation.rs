//! Operations: work of several steps, or of many parts, with what came of it. Done in one transaction, one is finished when it is first
//! seen; it is polled the same way as one that workers do later.

mod store;

use chrono::{DateTime, Utc};
use db::{Db, SystemTx};
use kernel::OperationId;
use serde_json::{Value, json};

use crate::{Action, Caller, Ctx, Error, TenantTx};

/// A step that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub name: String,
    /// What came of it.
    pub outcome: String,
}

/// Work of several steps.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does: `user.offboard`.
    pub kind: String,
    /// The wire id of what it is done to.
    pub subject: String,
    /// `queued`, `running`, `succeeded` or `failed`.
    pub status: String,
    /// The steps that are done.
    pub steps: Vec<Step>,
    /// How many of its steps or parts are done.
    pub done: i32,
    /// How many there are, as far as is known yet.
    pub total: i32,
    /// What came of it, by its kind, once it has succeeded: of `user.offboard` what became of the mailbox, the seat and the ways in; of
    /// another how many of its parts each thing was done to. `None` too for one that a version without results finished.
    pub result: Option<Value>,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When it was finished.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The step that has the code of what stopped an operation.
const PROBLEM: &str = "problem";

impl Operation {
    /// The code of what stopped it, if it has failed.
    pub fn problem(&self) -> Option<&str> {
        let problem = self.steps.iter().find(|step| step.name == PROBLEM);
        problem.filter(|_| self.status == "failed").map(|step| step.outcome.as_str())
    }
}

/// Notes an operation that is yet to be done, in the transaction that has it done; of how much it is will be known.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn begin(
    tx: &mut TenantTx,
    ctx: &Ctx,
    kind: &str,
    subject: impl std::fmt::Display,
) -> Result<Operation, db::Error> {
    let operation = Operation {
        id: ctx.env().new_id(),
        kind: kind.into(),
        subject: subject.to_string(),
        status: "queued".into(),
        steps: Vec::new(),
        done: 0,
        total: 0,
        result: None,
        created_at: ctx.env().now(),
        finished_at: None,
    };
    store::insert(tx, &operation).await?;
    Ok(operation)
}

/// Notes that there is so much more to do of an operation than was known.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn grow(tx: &mut TenantTx, id: OperationId, by: i32) -> Result<(), db::Error> {
    store::advance(tx, id, 0, by).await
}

/// Notes that so much more of an operation is done.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn advance(tx: &mut TenantTx, id: OperationId, by: i32) -> Result<(), db::Error> {
    store::advance(tx, id, by, 0).await
}

/// Notes that an operation is over, and what came of it: of one that succeeded, the counts among its steps are the result. One that failed
/// has the code of what stopped it in a step `problem`.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn finish(
    tx: &mut TenantTx,
    ctx: &Ctx,
    id: OperationId,
    has_succeeded: bool,
    steps: Vec<Step>,
) -> Result<(), db::Error> {
    let status = if has_succeeded { "succeeded" } else { "failed" };
    let result = has_succeeded.then(|| counts(&steps));
    store::finish(tx, id, (status, result.as_ref()), &steps, ctx.env().now()).await
}

/// The outcomes that are numbers, by their steps' names.
fn counts(steps: &[Step]) -> Value {
    steps.iter().filter_map(|step| Some((step.name.clone(), step.outcome.parse::<i64>().ok()?))).collect()
}

/// Notes an operation whose steps are all done in this transaction, with what came of them.
pub(crate) async fn succeeded(
    tx: &mut TenantTx,
    ctx: &Ctx,
    kind: &str,
    subject: impl std::fmt::Display,
    steps: Vec<Step>,
    result: Value,
) -> Result<Operation, Error> {
    let total = i32::try_from(steps.len()).map_err(Error::internal)?;
    let now = ctx.env().now();
    let operation = Operation {
        id: ctx.env().new_id(),
        kind: kind.into(),
        subject: subject.to_string(),
        status: "succeeded".into(),
        steps,
        done: total,
        total,
        result: Some(result),
        created_at: now,
        finished_at: Some(now),
    };
    store::insert(tx, &operation).await?;
    Ok(operation)
}

/// One operation.
///
/// # Errors
/// [`Error::NotFound`] for one of a tenant out of scope, as for one that does not exist; [`Error::Forbidden`] without the
/// right to see operations.
pub async fn get(caller: &Caller, id: OperationId) -> Result<Operation, Error> {
    let mut tx = system(caller.db()).await?;
    let tenant_id = store::tenant_of(&mut tx, id).await?;
    drop(tx);
    let ctx = caller.enter(tenant_id.ok_or(Error::NotFound)?).await?;
    ctx.require(Action::OperationRead)?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

fn to_json(steps: &[Step]) -> Value {
    steps.iter().map(|step| json!({"name": step.name, "outcome": step.outcome})).collect()
}

fn from_json(steps: &Value) -> Vec<Step> {
    let text = |step: &Value, name: &str| step[name].as_str().unwrap_or_default().to_owned();
    let steps = steps.as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().map(|step| Step { name: text(step, "name"), outcome: text(step, "outcome") }).collect()
}

#[expect(clippy::disallowed_methods, reason = "an id alone does not tell its tenant")]
async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_a_result_and_words_are_none() {
        let step = |name: &str, outcome: &str| Step { name: name.into(), outcome: outcome.into() };
        let steps = [step("messages_returned", "12"), step("messages_lost", "0"), step("mailbox", "shared")];
        assert_eq!(counts(&steps), json!({"messages_returned": 12, "messages_lost": 0}));
        assert_eq!(counts(&[]), json!({}));
    }
}
