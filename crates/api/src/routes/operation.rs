//! Operations, and what begins one.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::Response;
use chrono::{DateTime, Utc};
use kernel::{HoldId, MailboxId, OperationId};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use tenancy::user::{self, Fate, Leaving};
use tenancy::{Caller, operation};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dry_run::{DryRun, Effect};
use super::paths::{OperationPath, UserPath};
use crate::extract::{Bearer, Json, Path, Query};
use crate::problem::{OperationProblem, Problem};
use crate::version::IfMatch;
use crate::{Api, schema};

/// A step of an operation that is done.
#[derive(Debug, Serialize, ToSchema)]
struct Step {
    /// What it is about.
    #[schema(example = "mailbox")]
    name: String,
    /// What came of it.
    #[schema(example = "shared")]
    outcome: String,
}

/// What came of a user's offboarding.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct OffboardResult {
    #[schema(value_type = schema::LeftMailbox)]
    mailbox: String,
    /// The mailbox, which keeps its id whatever became of it.
    #[schema(value_type = schema::MailboxId)]
    mailbox_id: MailboxId,
    /// Whether the seat is free for somebody else.
    #[schema(example = true)]
    seat_released: bool,
    /// How many app passwords were revoked.
    #[schema(example = 2)]
    app_passwords_revoked: u64,
    /// The hold that was placed on the mailbox; null if none was asked for.
    #[schema(value_type = Option<schema::HoldId>, required)]
    hold_id: Option<HoldId>,
}

/// What came of a restore: how many messages each thing was done to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct RestoreResult {
    /// Back from being deleted.
    #[schema(example = 12)]
    messages_returned: i64,
    /// Back from another folder.
    #[schema(example = 3)]
    messages_moved: i64,
    /// Marked as they were, where they are.
    #[schema(example = 5)]
    messages_flagged: i64,
    /// Copied into a folder of their own.
    #[schema(example = 0)]
    messages_copied: i64,
    /// Destroyed since.
    #[schema(example = 0)]
    messages_lost: i64,
    /// Left, because there was no room.
    #[schema(example = 0)]
    messages_over_quota: i64,
}

/// What came of an operation that has succeeded, by its kind.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum OperationResult {
    /// Of `user.offboard`.
    Offboarded(OffboardResult),
    /// Of `mailbox.restore` and `tenant.restore`.
    Restored(RestoreResult),
}

impl OperationResult {
    /// `None` too for one that does not read, which is logged.
    fn of(operation: &operation::Operation) -> Option<Self> {
        let stored = operation.result.clone()?;
        let read = match operation.kind.as_str() {
            "user.offboard" => serde_json::from_value(stored).map(Self::Offboarded),
            "mailbox.restore" | "tenant.restore" => serde_json::from_value(stored).map(Self::Restored),
            _ => Err(serde_json::Error::custom("no result is known of this kind")),
        };
        let told = read.inspect_err(|cause| {
            let (id, kind) = (operation.id, operation.kind.as_str());
            tracing::warn!(operation.id = %id, operation.kind = kind, error.cause = %cause, "an operation's result does not read");
        });
        told.ok()
    }
}

/// Work of several steps or of many parts, and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Operation {
    #[schema(value_type = schema::OperationId)]
    id: OperationId,
    /// What is done.
    #[schema(example = "user.offboard")]
    kind: String,
    /// The id of what it is done to.
    #[schema(example = "usr_019a2f3c5d7e7abc8def0123456789ab")]
    subject: String,
    /// `succeeded` and `failed` are final.
    #[schema(value_type = schema::OperationStatus)]
    status: String,
    /// How many of its steps or parts are done: of a restore, messages.
    #[schema(example = 4)]
    done: i32,
    /// How many there are, as far as is known yet; in the end as many as are done, unless it failed.
    #[schema(example = 4)]
    total: i32,
    /// What was done, in its order. Of a restore, in the end, how many messages each thing was done to; `problem` has the code of what stopped it.
    steps: Vec<Step>,
    /// What came of it; null unless it has succeeded, and of one that was done before there were results.
    #[schema(required)]
    result: Option<OperationResult>,
    /// What stopped it; null unless it has failed.
    #[schema(required)]
    problem: Option<OperationProblem>,
    created_at: DateTime<Utc>,
    /// When it was finished; null while it is under way.
    #[schema(required, example = "2026-12-01T09:00:00Z")]
    finished_at: Option<DateTime<Utc>>,
}

impl From<operation::Operation> for Operation {
    fn from(of: operation::Operation) -> Self {
        let (problem, result) = (of.problem().map(OperationProblem::of), OperationResult::of(&of));
        let step = |step: operation::Step| Step { name: step.name, outcome: step.outcome };
        Self {
            id: of.id,
            kind: of.kind,
            subject: of.subject,
            status: of.status,
            done: of.done,
            total: of.total,
            steps: of.steps.into_iter().map(step).collect(),
            result,
            problem,
            created_at: of.created_at,
            finished_at: of.finished_at,
        }
    }
}

/// Get an operation
#[utoipa::path(get, path = "/v1/operations/{operation_id}", tag = "Long work", operation_id = "get_operation",
    params(OperationPath),
    responses((status = 200, description = "The operation.", body = Operation)),
    extensions(("x-required-action" = json!("operations:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<OperationPath>) -> Result<Answer<Operation>, Problem> {
    Ok(Answer(operation::get(&caller, at.operation_id).await?.into()))
}

/// How a user is to leave.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Offboard {
    /// `keep`: it stays theirs. `shared`: mail for it keeps arriving, and its delegates use it. `archive`: its delegates use it, and
    /// nothing arrives any more.
    #[serde(default)]
    #[schema(value_type = schema::MailboxFate, required = false, default = "keep")]
    mailbox: MailboxFate,
    /// Whether their seat is free for somebody else. Without a mailbox of their own they hold none.
    #[serde(default = "yes")]
    #[schema(default = true, example = true)]
    release_seat: bool,
    /// A hold to place on the mailbox, whatever becomes of it; needs `holds:write` as well. Absent or null: none.
    #[serde(default)]
    hold: Option<LeaversHold>,
}

/// A hold on the mailbox of somebody who leaves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LeaversHold {
    /// Why.
    #[schema(value_type = schema::Reason)]
    reason: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MailboxFate {
    #[default]
    Keep,
    Shared,
    Archive,
}

fn yes() -> bool {
    true
}

/// Offboard a user
///
/// Ends their sessions, revokes their app passwords and takes every way in. A mailbox that is kept: they stay suspended, or, when the
/// seat is released, are deleted and can be restored for 30 days. One that becomes `shared` or an `archive` keeps its id, mail and
/// addresses, and its user is gone for good. With `hold` a legal hold is placed on the mailbox, whose id is the outcome of the step
/// `hold`. All of it is done, or nothing.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/users/{user_id}/offboard", tag = "Users", operation_id = "offboard_user",
    params(UserPath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nobody was offboarded.", body = Effect),
        (status = 202, description = "The operation, also at `Location`.", body = Operation,
        headers(("Location" = String, description = "Where to look at the operation."))),
        (status = 409, description = "The mailbox is to be shared, and the tenant or a reseller above it has as many shared ones as it may (`shared_mailboxes_exhausted`), or the user is deleted (`user_deleted`).")),
    extensions(("x-required-action" = json!("users:write"))))]
async fn offboard(
    Bearer(caller): Bearer,
    Path(at): Path<UserPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<Offboard>,
) -> Result<Response, Problem> {
    let mailbox = match body.mailbox {
        MailboxFate::Keep => Fate::Keep,
        MailboxFate::Shared => Fate::Shared,
        MailboxFate::Archive => Fate::Archive,
    };
    let hold = body.hold.map(|hold| hold.reason);
    let leaving = Leaving { mailbox, release_seat: body.release_seat, hold };
    let offboard = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        let operation = user::offboard(&ctx, at.user_id, version, leaving).await?;
        let location = format!("/v1/operations/{}", operation.id);
        Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Answer(Operation::from(operation))))
    };
    query.carry_out(caller, offboard).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get)).routes(routes!(offboard))
}
