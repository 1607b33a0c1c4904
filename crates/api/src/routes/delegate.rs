//! Delegates of a mailbox.

use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use kernel::UserId;
use serde::{Deserialize, Serialize};
use tenancy::Caller;
use tenancy::delegate::{self, Right};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dry_run::{DryRun, Effect, OrEffect};
use super::paths::{DelegatePath, MailboxPath};
use crate::extract::{Bearer, Json, Path, Query};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::word::Word as _;
use crate::{Api, schema};

/// Somebody who may use a mailbox that is not their own.
#[derive(Debug, Serialize, ToSchema)]
struct Delegate {
    #[schema(value_type = schema::UserId)]
    user_id: UserId,
    /// What they may do: `read`, `full_access`, `send_as`, `send_on_behalf`.
    #[schema(value_type = Vec<schema::DelegateRight>)]
    rights: Vec<&'static str>,
    created_at: DateTime<Utc>,
}

impl From<delegate::Delegate> for Delegate {
    fn from(of: delegate::Delegate) -> Self {
        Self {
            user_id: of.user_id,
            rights: of.rights.iter().map(|right| right.as_str()).collect(),
            created_at: of.created_at,
        }
    }
}

/// What a user may do with a mailbox.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rights {
    /// `read`, `full_access`, `send_as`, `send_on_behalf`; at least one.
    #[schema(value_type = Vec<schema::DelegateRight>, min_items = 1, example = json!(["full_access", "send_as"]))]
    rights: Vec<String>,
}

/// List a mailbox's delegates
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/delegates", tag = "Mailboxes", operation_id = "list_delegates",
    params(MailboxPath, PageQuery),
    responses((status = 200, description = "A page of delegates.", body = List<Delegate>)),
    extensions(("x-required-action" = json!("mailboxes:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    Listing(page, _): Listing,
) -> Result<Answer<List<Delegate>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(delegate::list(&ctx, at.mailbox_id, page).await?))
}

/// Let a user use a mailbox
///
/// With these rights and no others. Who may `read` sees the mailbox, its folders and its messages. Who has `full_access` changes the messages and the
/// folders, too, as the mailbox's owner would, and nothing else about it. Who may `send_as` or `send_on_behalf` submits mail from its addresses; on
/// behalf, the message says by Sender who did. A key that is narrowed gives no right to do what it may not do itself.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/delegates/{user_id}", tag = "Mailboxes",
    operation_id = "put_delegate",
    params(DelegatePath, DryRun),
    responses((status = 200, description = "The delegate as they are now; with `dry_run`, what it would come to instead.", body = OrEffect<Delegate>)),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn put(
    Bearer(caller): Bearer,
    Path(at): Path<DelegatePath>,
    Query(query): Query<DryRun>,
    Json(body): Json<Rights>,
) -> Result<Response, Problem> {
    let put = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        let rights = body.rights.iter().enumerate().map(|(place, name)| {
            Right::named(name).map_err(|detail| Problem::field(format!("/rights/{place}"), detail))
        });
        let rights: Vec<_> = rights.collect::<Result<_, _>>()?;
        Ok(Answer(Delegate::from(delegate::put(&ctx, at.mailbox_id, at.user_id, &rights).await?)))
    };
    query.carry_out(caller, put).await
}

/// Take all rights to a mailbox from a user
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/delegates/{user_id}", tag = "Mailboxes",
    operation_id = "remove_delegate",
    params(DelegatePath, DryRun),
    responses((status = 200, description = "With `dry_run`: what it would come to. Nothing was changed.", body = Effect),
        (status = 204, description = "They are a delegate no more.")),
    extensions(("x-required-action" = json!("mailboxes:write"))))]
async fn remove(
    Bearer(caller): Bearer,
    Path(at): Path<DelegatePath>,
    Query(query): Query<DryRun>,
) -> Result<Response, Problem> {
    let remove = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        delegate::remove(&ctx, at.mailbox_id, at.user_id).await?;
        Ok(StatusCode::NO_CONTENT)
    };
    query.carry_out(caller, remove).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(put, remove))
}
