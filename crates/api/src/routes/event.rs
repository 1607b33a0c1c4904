//! What happened: the feed, and the trail that can be verified.

use std::net::IpAddr;

use axum::Json as Answer;
use chrono::{DateTime, Utc};
use kernel::{EventId, RequestId, TenantId, hex};
use serde::{Deserialize, Serialize};
use tenancy::event::{self, Chained, Kind};
use tenancy::{Action, Scope};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Bearer;
use crate::page::{self, Following, List, PageQuery};
use crate::problem::Problem;
use crate::{Api, schema};

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
struct Event {
    #[schema(value_type = schema::EventId)]
    id: EventId,
    /// What kind of thing, such as `user.created`.
    #[schema(value_type = schema::EventKind)]
    kind: String,
    /// When.
    #[schema(example = "2026-12-01T09:00:00Z")]
    at: DateTime<Utc>,
    /// The tenant that it is about; null for what is above tenants.
    #[schema(value_type = Option<schema::TenantId>, required)]
    tenant_id: Option<TenantId>,
    /// The id of what it is about.
    #[schema(example = "usr_019a2f3c5d7e7abc8def0123456789ab")]
    subject: String,
    /// What of it, by kind: `docs/events.md` lists the members. More may be added.
    #[schema(value_type = Object, example = json!({"address": "ada@bakery.example", "role": "user"}))]
    data: serde_json::Value,
}

impl From<Chained> for Event {
    fn from(of: Chained) -> Self {
        let tenant_id = match of.event.trail {
            Scope::Tenant(id) => Some(id),
            Scope::Reseller(_) | Scope::Operator => None,
        };
        Self {
            id: of.event.id,
            kind: of.event.kind,
            at: of.event.at,
            tenant_id,
            subject: of.event.subject,
            data: of.event.data,
        }
    }
}

/// An entry of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEntry {
    #[schema(value_type = schema::EventId)]
    id: EventId,
    /// Whose trail it is on: a tenant's id, a reseller's id, or `operator`.
    #[schema(example = "ten_019a2f3c5d7e7abc8def0123456789ab")]
    trail: String,
    /// What kind of thing, such as `user.created`.
    #[schema(value_type = schema::EventKind)]
    kind: String,
    /// The id of what it is about.
    #[schema(example = "usr_019a2f3c5d7e7abc8def0123456789ab")]
    subject: String,
    /// What of it, by kind: `docs/events.md` lists the members. More may be added.
    #[schema(value_type = Object, example = json!({"address": "ada@bakery.example", "role": "user"}))]
    data: serde_json::Value,
    /// Who did it: the id of an API key or user, `local_operator`, `server` or `nobody`.
    #[schema(example = "key_019a2f3c5d7e7abc8def0123456789ab")]
    principal: String,
    /// By which role.
    #[schema(example = "reseller_admin")]
    role: String,
    /// From which address; null when no client did it.
    #[schema(value_type = Option<String>, required, example = "192.0.2.10")]
    network: Option<IpAddr>,
    /// The request, connection or job, as in the server's log.
    #[schema(value_type = String, example = "req_019a2f3c5d7e7abc8def0123456789ab")]
    request_id: RequestId,
    /// When.
    #[schema(example = "2026-12-01T09:00:00Z")]
    at: DateTime<Utc>,
    /// Its place in the feed of all trails: it rises along a trail.
    #[schema(example = 4711)]
    position: i64,
    /// The `hash` of the entry before it on its trail, in hexadecimal; zeros for the first.
    #[schema(example = "0000000000000000000000000000000000000000000000000000000000000000")]
    previous_hash: String,
    /// SHA-256 over the bytes of `previous_hash` and the canonical JSON (RFC 8785) of this entry without its last three members.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    hash: String,
}

impl From<Chained> for AuditEntry {
    fn from(of: Chained) -> Self {
        let event = of.event;
        Self {
            id: event.id,
            trail: event.trail.to_string(),
            kind: event.kind,
            subject: event.subject,
            data: event.data,
            principal: event.principal,
            role: event.role,
            network: event.network,
            request_id: event.request_id,
            at: event.at,
            position: of.position,
            previous_hash: hex(&of.previous_hash),
            hash: hex(&of.hash),
        }
    }
}

/// What is wrong with a kind that there is not: there are too many to name them.
pub(super) const NO_KIND: &str = "must be a kind of event: /openapi.json has them as EventKind";

/// Which events are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventFilter {
    /// Only of this kind.
    #[param(value_type = Option<schema::EventKind>)]
    kind: Option<String>,
    /// Only of this tenant. The trail of one that is deleted, or destroyed, is kept.
    #[param(value_type = Option<schema::TenantId>)]
    tenant_id: Option<TenantId>,
}

impl EventFilter {
    fn filter(&self) -> Result<event::Filter, Problem> {
        let kind = self.kind.as_deref().map(str::parse::<Kind>).transpose();
        let kind = kind.map_err(|_| Problem::parameter("kind", NO_KIND))?;
        Ok(event::Filter { kinds: kind.into_iter().collect(), tenant_id: self.tenant_id })
    }
}

/// List events
///
/// What happened in the caller's scope, the oldest first, in an order that does not change. Each page with an event has a `next_cursor`, the last one too; one
/// without has none. To follow, keep the last cursor that there was, and go on with it. An event shows within about a second of its commit.
#[utoipa::path(get, path = "/v1/events", tag = "Events", operation_id = "list_events",
    params(PageQuery, EventFilter),
    responses((status = 200, description = "A page of events.", body = List<Event>)),
    extensions(("x-required-action" = json!("events:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Following(page, filter): Following<EventFilter>,
) -> Result<Answer<List<Event>>, Problem> {
    Ok(page::answer(event::list(&caller, Action::EventRead, &filter.filter()?, page).await?))
}

/// Read the audit trail
///
/// As the feed of events, with its cursors, which are good for both and with any filter, and with who did it, by which role, from where, and the hash chain of
/// each trail: whoever keeps a `hash` can prove later that nothing before it was changed.
#[utoipa::path(get, path = "/v1/audit-log", tag = "Events", operation_id = "list_audit_log",
    params(PageQuery, EventFilter),
    responses((status = 200, description = "A page of the trail.", body = List<AuditEntry>)),
    extensions(("x-required-action" = json!("audit_log:read"))))]
async fn audit(
    Bearer(caller): Bearer,
    Following(page, filter): Following<EventFilter>,
) -> Result<Answer<List<AuditEntry>>, Problem> {
    Ok(page::answer(event::list(&caller, Action::AuditRead, &filter.filter()?, page).await?))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(audit))
}
