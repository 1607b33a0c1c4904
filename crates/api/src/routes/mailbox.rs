//! Mailboxes and their quotas.

use axum::Json as Answer;
use axum::response::Response;
use chrono::{DateTime, Utc};
use kernel::{MailboxId, UserId};
use serde::{Deserialize, Serialize};
use tenancy::mailbox::{self, Kind};
use tenancy::quota::{Bounds, Threshold};
use tenancy::{Caller, Ctx};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dry_run::{DryRun, OrEffect};
use super::paths::{MailboxPath, TenantPath};
use crate::extract::{Bearer, Json, Path, Query};
use crate::page::{self, Deleted, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema, word};

/// A mailbox's bounds and what is used of them, in bytes of messages as stored.
#[derive(Debug, Serialize, ToSchema)]
struct Quota {
    /// Above it nothing more is taken in; null is unlimited.
    #[schema(required, example = 1_073_741_824)]
    quota_bytes: Option<i64>,
    /// From it on the user is warned; null: from nine tenths of the quota on.
    #[schema(required, example = 966_367_641)]
    warn_bytes: Option<i64>,
    /// From it on nothing more is sent; null: never.
    #[schema(required, example = 1_020_054_732)]
    block_send_bytes: Option<i64>,
    /// Bytes of live messages.
    #[schema(example = 1_048_576)]
    used_bytes: i64,
    /// Bytes of deleted messages that can still be recovered; not in `used_bytes`.
    #[schema(example = 2048)]
    recoverable_bytes: i64,
    /// The highest threshold that is reached: `warn`, `block_send` or `quota`; null when none is. A quota that is lowered
    /// below what is used loses nothing: it is reached, and new mail is refused.
    #[schema(value_type = Option<schema::QuotaThreshold>, required)]
    threshold_reached: Option<&'static str>,
}

impl From<mailbox::Quota> for Quota {
    fn from(of: mailbox::Quota) -> Self {
        Self {
            quota_bytes: of.bounds.quota_bytes,
            warn_bytes: of.bounds.warn_bytes,
            block_send_bytes: of.bounds.block_send_bytes,
            used_bytes: of.used_bytes,
            recoverable_bytes: of.recoverable_bytes,
            threshold_reached: of.reached().map(Threshold::as_str),
        }
    }
}

/// A mailbox's quota, explained.
#[derive(Debug, Serialize, ToSchema)]
struct ExplainedQuota {
    #[serde(flatten)]
    quota: Quota,
    /// Those of `recoverable_bytes` that only legal holds keep: without a hold they would be destroyed, for their age or for being too many;
    /// 0 when no hold is in force.
    #[schema(example = 0)]
    held_bytes: u64,
    /// Up to where the mailbox can grow at this moment, the pools of its tenant and resellers considered; null is unlimited,
    /// or with `inherited_from` not told: what a reseller above all that the caller sees has left.
    #[schema(required, example = 1_073_741_824)]
    effective_limit_bytes: Option<i64>,
    /// Which level says so: the `mailbox` itself, or `tenant` or `reseller` when their pool has less room; null when unlimited.
    #[schema(value_type = Option<schema::QuotaLevel>, required)]
    inherited_from: Option<&'static str>,
}

impl ExplainedQuota {
    /// A mailbox's, with what holds keep in it, of which the mail store knows.
    async fn of(
        ctx: &Ctx,
        mailbox: &mailbox::Mailbox,
        effective: mailbox::Effective,
    ) -> Result<Self, Problem> {
        Ok(Self {
            quota: mailbox.quota.into(),
            held_bytes: mailstore::hold::bytes_of(ctx, mailbox).await?,
            effective_limit_bytes: effective.limit_bytes,
            inherited_from: effective.inherited_from,
        })
    }
}

/// Bounds to set; they must not fall in the order warn, block_send, quota.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewQuota {
    /// Null is unlimited.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, minimum = 0, example = 1_048_576)]
    quota_bytes: Option<i64>,
    /// Absent or null: nine tenths of the quota.
    #[serde(default)]
    #[schema(minimum = 0, example = 943_718)]
    warn_bytes: Option<i64>,
    /// Absent or null: sending is never stopped.
    #[serde(default)]
    #[schema(minimum = 0, example = 996_147)]
    block_send_bytes: Option<i64>,
}

impl From<NewQuota> for Bounds {
    fn from(body: NewQuota) -> Self {
        Self {
            quota_bytes: body.quota_bytes,
            warn_bytes: body.warn_bytes,
            block_send_bytes: body.block_send_bytes,
        }
    }
}

/// What there is to say of a mailbox apart from its quota.
#[derive(Debug, Serialize, ToSchema)]
struct AboutMailbox {
    #[schema(value_type = schema::MailboxId)]
    id: MailboxId,
    /// `personal`, `shared`, `room`, `equipment` or `archive`.
    #[schema(value_type = schema::MailboxKind)]
    kind: &'static str,
    /// Whose it is; null when it is nobody's own.
    #[schema(value_type = Option<schema::UserId>, required)]
    user_id: Option<UserId>,
    /// Its name as people see it; of a personal one, its user's.
    #[schema(example = "Ada Lovelace")]
    display_name: String,
    /// Its first address.
    #[schema(value_type = schema::EmailAddress)]
    primary_address: String,
    /// Its further addresses.
    #[schema(value_type = Vec<schema::EmailAddress>)]
    aliases: Vec<String>,
    created_at: DateTime<Utc>,
    /// When it was deleted; it can be restored for 30 days.
    #[schema(required)]
    deleted_at: Option<DateTime<Utc>>,
}

impl From<mailbox::Mailbox> for AboutMailbox {
    fn from(of: mailbox::Mailbox) -> Self {
        Self {
            id: of.id,
            kind: of.kind.as_str(),
            user_id: of.user_id,
            display_name: of.display_name,
            primary_address: of.primary_address,
            aliases: of.aliases,
            created_at: of.created_at,
            deleted_at: of.deleted_at,
        }
    }
}

/// A store of messages with a quota. What legal holds keep in it, and where its effective limit comes from, is told where one mailbox is asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Mailbox {
    #[serde(flatten)]
    about: AboutMailbox,
    quota: Quota,
}

impl From<mailbox::Mailbox> for Mailbox {
    fn from(of: mailbox::Mailbox) -> Self {
        let quota = of.quota.into();
        Self { about: of.into(), quota }
    }
}

/// A store of messages, and its quota explained.
#[derive(Debug, Serialize, ToSchema)]
struct ExplainedMailbox {
    #[serde(flatten)]
    about: AboutMailbox,
    quota: ExplainedQuota,
}

pub(super) fn tagged(of: mailbox::Mailbox) -> Tagged<Answer<Mailbox>> {
    Tagged(of.version, Answer(of.into()))
}

/// Which mailboxes are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct MailboxFilter {
    /// `deleted`: those that can be restored, instead of all others.
    #[serde(default)]
    #[param(inline)]
    status: Option<Deleted>,
    /// Only those of this kind.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::MailboxKind>)]
    kind: Option<Kind>,
}

/// List a tenant's mailboxes
///
/// Without the deleted, unless they are asked for. A person whose role does not see them all sees their own and those that they may read. What legal holds
/// keep in one, and where its effective limit comes from, is not told here but by `GET` of that one.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes", tag = "Mailboxes", operation_id = "list_mailboxes",
    params(TenantPath, PageQuery, MailboxFilter),
    responses((status = 200, description = "A page of mailboxes.", body = List<Mailbox>)),
    extensions(("x-required-action" = json!("mailboxes:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, filter): Listing<MailboxFilter>,
) -> Result<Answer<List<Mailbox>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let filter = mailbox::Filter { deleted: filter.status.is_some(), kind: filter.kind };
    Ok(page::answer(mailbox::list(&ctx, filter, page).await?))
}

/// Get a mailbox
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}", tag = "Mailboxes", operation_id = "get_mailbox",
    params(MailboxPath),
    responses((status = 200, description = "The mailbox.", body = ExplainedMailbox)),
    extensions(("x-required-action" = json!("mailboxes:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
) -> Result<Tagged<Answer<ExplainedMailbox>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let (mailbox, effective) = mailbox::quota(&ctx, at.mailbox_id).await?;
    let quota = ExplainedQuota::of(&ctx, &mailbox, effective).await?;
    Ok(Tagged(mailbox.version, Answer(ExplainedMailbox { about: mailbox.into(), quota })))
}

/// Get a mailbox's quota
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/quota", tag = "Mailboxes", operation_id = "get_quota",
    params(MailboxPath),
    responses((status = 200, description = "The quota and what is used of it.", body = ExplainedQuota)),
    extensions(("x-required-action" = json!("mailboxes:read"))))]
async fn get_quota(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
) -> Result<Tagged<Answer<ExplainedQuota>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let (mailbox, effective) = mailbox::quota(&ctx, at.mailbox_id).await?;
    Ok(Tagged(mailbox.version, Answer(ExplainedQuota::of(&ctx, &mailbox, effective).await?)))
}

/// Set a mailbox's quota
///
/// One below what is used is allowed: it stops new mail and loses none, and `threshold_reached` says `quota`. A bound that is
/// absent is lifted.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/mailboxes/{mailbox_id}/quota", tag = "Mailboxes", operation_id = "set_quota",
    params(MailboxPath, DryRun),
    responses((status = 200, description = "The quota as it is now, and what is used of it; with `dry_run`, what it would come to instead.", body = OrEffect<ExplainedQuota>),
        (status = 409, description = "The quotas would add up to more than the tenant's storage, which it does not allow: `pool_overallocated`.")),
    extensions(("x-required-action" = json!("quotas:write"))))]
async fn set_quota(
    Bearer(caller): Bearer,
    Path(at): Path<MailboxPath>,
    IfMatch(version): IfMatch,
    Query(query): Query<DryRun>,
    Json(body): Json<NewQuota>,
) -> Result<Response, Problem> {
    let set = async move |caller: Caller| {
        let ctx = caller.enter(at.tenant_id).await?;
        let (mailbox, effective) = mailbox::set_quota(&ctx, at.mailbox_id, version, body.into()).await?;
        Ok(Tagged(mailbox.version, Answer(ExplainedQuota::of(&ctx, &mailbox, effective).await?)))
    };
    query.carry_out(caller, set).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(get)).routes(routes!(get_quota, set_quota))
}
