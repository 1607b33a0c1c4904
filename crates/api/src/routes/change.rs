//! What changed in a mailbox.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use chrono::{DateTime, Utc};
use kernel::FolderId;
use mailstore::change;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::MailboxPath;
use crate::extract::{Bearer, Path, Query};
use crate::problem::Problem;
use crate::{Api, schema};

/// UIDs from one to another, both included.
#[derive(Debug, Serialize, ToSchema)]
struct UidRange {
    /// The lowest.
    #[schema(example = 40)]
    first: u64,
    /// The highest.
    #[schema(example = 42)]
    last: u64,
}

/// What one command changed in one folder.
#[derive(Debug, Serialize, ToSchema)]
struct Change {
    /// The command's modification sequence.
    #[schema(example = 57)]
    modseq: u64,
    /// The folder; it may have been deleted since.
    #[schema(value_type = schema::FolderId)]
    folder_id: FolderId,
    /// `arrived`: it has these UIDs now; `flagged`: their flags are others; `gone`: it has them no more; `folder`: it was made, changed or deleted itself.
    #[schema(value_type = schema::ChangeKind)]
    kind: &'static str,
    /// The UIDs that it is about, ascending; none for `folder`.
    uids: Vec<UidRange>,
    /// When.
    created_at: DateTime<Utc>,
}

impl From<change::Change> for Change {
    fn from(of: change::Change) -> Self {
        let ranges = of.uids.ranges().iter();
        Self {
            modseq: of.modseq,
            folder_id: of.folder_id,
            kind: of.kind.as_str(),
            uids: ranges.map(|range| UidRange { first: *range.start(), last: *range.end() }).collect(),
            created_at: of.created_at,
        }
    }
}

/// What changed in a mailbox since a modification sequence.
#[derive(Debug, Serialize, ToSchema)]
struct Changes {
    /// In the order in which they were made.
    changes: Vec<Change>,
    /// What to ask from the next time.
    #[schema(example = 57)]
    modseq: u64,
    /// Whether there are more already.
    #[schema(example = false)]
    has_more: bool,
}

/// Since when, and how long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ChangesQuery {
    /// The `modseq` of the answer before; absent to learn from where on to ask.
    #[param(value_type = Option<u64>, example = 57, minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    since: Option<Modseq>,
    /// If nothing has changed, how many seconds to wait for a change before answering so.
    #[serde(default)]
    #[param(value_type = Option<u8>, default = 0, example = 20, minimum = 0, maximum = 30)]
    wait_seconds: Wait,
}

/// 0 to 2⁶³ − 1 (RFC 7162 §3.1).
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Modseq(u64);

impl TryFrom<String> for Modseq {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let modseq = text.parse().ok().filter(|modseq| *modseq <= i64::MAX.unsigned_abs());
        modseq.map(Self).ok_or("must be 0 to 9223372036854775807")
    }
}

/// 0 to 30 seconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "String")]
struct Wait(Duration);

impl TryFrom<String> for Wait {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let seconds = text.parse().ok().filter(|seconds| *seconds <= 30);
        seconds.map(|seconds| Self(Duration::from_secs(seconds))).ok_or("must be 0 to 30")
    }
}

/// List what changed in a mailbox
///
/// For whoever keeps a copy: one answer's `modseq` is the next call's `since`. The log goes back 60 days. A message that was moved is `gone` from one
/// folder and has `arrived` in another.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/changes", tag = "Messages", operation_id = "list_changes",
    params(MailboxPath, ChangesQuery),
    responses((status = 200, description = "What changed.", body = Changes),
        (status = 403, description = "The caller is from above the tenant and has no support access to the mailbox: `support_access_required`."),
        (status = 409, description = "The log does not go back so far, or `since` is not of this mailbox: look at everything again (`changes_expired`).")),
    extensions(("x-required-action" = json!("messages:read"))))]
async fn list(
    Bearer(caller): Bearer,
    State(api): State<Api>,
    Path(at): Path<MailboxPath>,
    Query(query): Query<ChangesQuery>,
) -> Result<Answer<Changes>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let since = query.since.map(|since| since.0);
    let found = change::wait(&api.store, &ctx, at.mailbox_id, since, query.wait_seconds.0).await?;
    let changes = found.changes.into_iter().map(Change::from).collect();
    Ok(Answer(Changes { changes, modseq: found.modseq, has_more: found.has_more }))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list))
}
