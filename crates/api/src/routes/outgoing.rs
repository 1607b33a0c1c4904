//! Mail of a tenant on its way out.

use axum::Json as Answer;
use chrono::{DateTime, Utc};
use kernel::{MailboxId, OutgoingId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use submission::outgoing::{self, Filter, State};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{OutgoingPath, TenantPath};
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema, word};

/// A message on its way out. What it says is not shown.
#[derive(Debug, Serialize, ToSchema)]
struct Outgoing {
    #[schema(value_type = schema::OutgoingId)]
    id: OutgoingId,
    /// Whose mailbox that is.
    #[schema(value_type = schema::TenantId)]
    tenant_id: TenantId,
    /// The mailbox that sent it, or that a notification is for.
    #[schema(value_type = schema::MailboxId)]
    mailbox_id: MailboxId,
    /// Who sent it; null for a notification that mail could not be delivered.
    #[schema(value_type = Option<schema::UserId>, required)]
    user_id: Option<UserId>,
    /// The address that hears of failures; null for a notification.
    #[schema(required, example = "ada@acme.example")]
    sender: Option<String>,
    /// Its Message-ID, without angle brackets.
    #[schema(example = "20261128@acme.example")]
    message_id: String,
    /// Its size in bytes.
    #[schema(example = 4711)]
    size_bytes: u64,
    /// Since when it is held back; null if it is not.
    #[schema(required, example = "2026-12-01T09:00:00Z")]
    held_at: Option<DateTime<Utc>>,
    /// Why it is held back.
    #[schema(required, example = "looks like a stolen account")]
    hold_reason: Option<String>,
    /// When it was accepted.
    #[schema(example = "2026-12-01T09:00:00Z")]
    created_at: DateTime<Utc>,
    /// When what has not gone is given up.
    #[schema(example = "2026-12-06T09:00:00Z")]
    give_up_at: DateTime<Utc>,
    /// Since when nobody is left to be sent it; it is forgotten 14 days later.
    #[schema(required, example = "2026-12-01T09:00:02Z")]
    closed_at: Option<DateTime<Utc>>,
    /// Whom it is for.
    recipients: Vec<OutgoingRecipient>,
}

/// One of those a message is for.
#[derive(Debug, Serialize, ToSchema)]
struct OutgoingRecipient {
    /// The address.
    #[schema(example = "bob@elsewhere.example")]
    address: String,
    /// The domain that it goes out to; null for a mailbox of this installation.
    #[schema(required, example = "elsewhere.example")]
    domain: Option<String>,
    /// How far it is.
    #[schema(value_type = schema::OutgoingState)]
    state: &'static str,
    /// How many attempts were begun.
    #[schema(minimum = 0, example = 1)]
    attempts: i32,
    /// When the next one is due.
    #[schema(required, example = "2026-12-01T09:05:00Z")]
    next_attempt_at: Option<DateTime<Utc>>,
    /// When the last one ended.
    #[schema(required, example = "2026-12-01T09:00:02Z")]
    attempted_at: Option<DateTime<Utc>>,
    /// What it was answered with.
    #[schema(required)]
    reply: Option<OutgoingReply>,
    /// Who answered; null for this server itself.
    #[schema(required, example = "smtp.provider.example")]
    remote: Option<String>,
}

/// What a server said.
#[derive(Debug, Serialize, ToSchema)]
struct OutgoingReply {
    /// The reply code (RFC 5321).
    #[schema(minimum = 200, maximum = 599, example = 450)]
    code: u16,
    /// The enhanced status code (RFC 3463), if it came with one.
    #[schema(required, example = "4.2.1")]
    status: Option<String>,
    /// Its text.
    #[schema(example = "mailbox busy")]
    text: String,
}

impl From<outgoing::Outgoing> for Outgoing {
    fn from(of: outgoing::Outgoing) -> Self {
        Self {
            id: of.id,
            tenant_id: of.tenant_id,
            mailbox_id: of.mailbox_id,
            user_id: of.user_id,
            sender: Some(of.sender).filter(|sender| !sender.is_empty()),
            message_id: of.message_id,
            size_bytes: of.size_bytes,
            held_at: of.held_at,
            hold_reason: of.hold_reason,
            created_at: of.created_at,
            give_up_at: of.give_up_at,
            closed_at: of.closed_at,
            recipients: of.recipients.into_iter().map(OutgoingRecipient::from).collect(),
        }
    }
}

impl From<outgoing::Recipient> for OutgoingRecipient {
    fn from(of: outgoing::Recipient) -> Self {
        Self {
            address: of.address,
            domain: of.domain,
            state: of.state.as_str(),
            attempts: of.attempts,
            next_attempt_at: of.next_attempt_at,
            attempted_at: of.attempted_at,
            reply: of.reply.map(|outgoing::Reply { code, status, text }| OutgoingReply {
                code,
                status,
                text,
            }),
            remote: of.remote,
        }
    }
}

fn tagged(of: outgoing::Outgoing) -> Tagged<Answer<Outgoing>> {
    Tagged(of.version, Answer(of.into()))
}

/// Which messages are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OutgoingFilter {
    /// Those that this mailbox has sent.
    #[serde(default)]
    #[param(value_type = Option<schema::MailboxId>)]
    mailbox_id: Option<MailboxId>,
    /// Those with a recipient in this state.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::OutgoingState>)]
    state: Option<State>,
    /// Those with a recipient in this domain, to which it goes out; what is no domain has none.
    #[serde(default)]
    #[param(example = "elsewhere.example")]
    domain: Option<String>,
}

impl From<OutgoingFilter> for Filter {
    fn from(of: OutgoingFilter) -> Self {
        Self { mailbox_id: of.mailbox_id, state: of.state, domain: of.domain }
    }
}

/// List mail on its way out
///
/// Also what has left in the last 14 days. People without a role above `user` see their own.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/outgoing", tag = "Outgoing mail", operation_id = "list_outgoing",
    params(TenantPath, PageQuery, OutgoingFilter),
    responses((status = 200, description = "A page of messages.", body = List<Outgoing>)),
    extensions(("x-required-action" = json!("outgoing:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, filter): Listing<OutgoingFilter>,
) -> Result<Answer<List<Outgoing>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(page::answer(outgoing::list(&ctx, filter.into(), page).await?))
}

/// List mail on its way out of all tenants
///
/// Of those that the caller sees: the operator all, a reseller its own and those below it. Otherwise as for one tenant.
#[utoipa::path(get, path = "/v1/outgoing", tag = "Outgoing mail", operation_id = "list_all_outgoing",
    params(PageQuery, OutgoingFilter),
    responses((status = 200, description = "A page of messages.", body = List<Outgoing>)),
    extensions(("x-required-action" = json!("outgoing:read"))))]
async fn list_all(
    Bearer(caller): Bearer,
    Listing(page, filter): Listing<OutgoingFilter>,
) -> Result<Answer<List<Outgoing>>, Problem> {
    Ok(page::answer(outgoing::list_all(&caller, filter.into(), page).await?))
}

/// Get a message on its way out
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/outgoing/{outgoing_id}", tag = "Outgoing mail", operation_id = "get_outgoing",
    params(OutgoingPath),
    responses((status = 200, description = "The message, with what became of it for each recipient.", body = Outgoing)),
    extensions(("x-required-action" = json!("outgoing:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<OutgoingPath>,
) -> Result<Tagged<Answer<Outgoing>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(outgoing::get(&ctx, at.outgoing_id).await?))
}

/// Why a message is held back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OutgoingHold {
    /// Why; shown with the message.
    #[schema(value_type = schema::TextLine)]
    reason: String,
}

/// Hold a message back
///
/// Nothing of it is sent until it is released, but for an attempt that is under way. It is not given up meanwhile. An administrator's to do.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/hold", tag = "Outgoing mail", operation_id = "hold_outgoing",
    params(OutgoingPath),
    responses((status = 200, description = "The message, held.", body = Outgoing),
        (status = 409, description = "Nobody is left to be sent it: `outgoing_state`.")),
    extensions(("x-required-action" = json!("outgoing:write"))))]
async fn hold(
    Bearer(caller): Bearer,
    Path(at): Path<OutgoingPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<OutgoingHold>,
) -> Result<Tagged<Answer<Outgoing>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(outgoing::hold(&ctx, at.outgoing_id, &body.reason, version).await?))
}

/// Release a message that is held back
///
/// It is due now, and tried for a day more at least. An administrator's to do.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/release", tag = "Outgoing mail", operation_id = "release_outgoing",
    params(OutgoingPath),
    responses((status = 200, description = "The message, on its way.", body = Outgoing)),
    extensions(("x-required-action" = json!("outgoing:write"))))]
async fn release(
    Bearer(caller): Bearer,
    Path(at): Path<OutgoingPath>,
    IfMatch(version): IfMatch,
) -> Result<Tagged<Answer<Outgoing>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(outgoing::release(&ctx, at.outgoing_id, version).await?))
}

/// Send a message again
///
/// To those whom it has not reached, also those for whom it failed in the last three days: now, and for a day more at least.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/retry", tag = "Outgoing mail", operation_id = "retry_outgoing",
    params(OutgoingPath),
    responses((status = 200, description = "The message, due now.", body = Outgoing),
        (status = 409, description = "It has reached everybody whom it was to reach (`outgoing_state`), or is not kept any more (`outgoing_body_gone`).")),
    extensions(("x-required-action" = json!("outgoing:write"))))]
async fn retry(
    Bearer(caller): Bearer,
    Path(at): Path<OutgoingPath>,
    IfMatch(version): IfMatch,
) -> Result<Tagged<Answer<Outgoing>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(outgoing::retry(&ctx, at.outgoing_id, version).await?))
}

/// Drop a message
///
/// Those whom it has not reached are never sent it, and its sender is not told.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/outgoing/{outgoing_id}/drop", tag = "Outgoing mail", operation_id = "drop_outgoing",
    params(OutgoingPath),
    responses((status = 200, description = "The message, out of the queue.", body = Outgoing),
        (status = 409, description = "It is being sent at this moment (`outgoing_under_way`), or nobody is left to be sent it (`outgoing_state`).")),
    extensions(("x-required-action" = json!("outgoing:write"))))]
async fn drop(
    Bearer(caller): Bearer,
    Path(at): Path<OutgoingPath>,
    IfMatch(version): IfMatch,
) -> Result<Tagged<Answer<Outgoing>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(outgoing::drop(&ctx, at.outgoing_id, version).await?))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list_all))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(hold))
        .routes(routes!(release))
        .routes(routes!(retry))
        .routes(routes!(drop))
}
