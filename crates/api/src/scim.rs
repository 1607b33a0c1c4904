//! SCIM 2.0 (RFC 7643, RFC 7644): how a customer's directory, as Entra ID or Okta, keeps the tenant's users and groups.
//!
//! The crate `scim` has the protocol's values and knows its clients' habits; `tenancy` has the users and groups. Here one is made
//! of the other: a resource type is a file of handlers and one that maps its resource.

mod account;
mod answer;
pub(crate) mod describe;
mod discovery;
mod groups;
pub(crate) mod problem;
mod query;
mod roster;
mod users;

use kernel::TenantId;
use utoipa_axum::router::OpenApiRouter;

use crate::Api;

/// The routes.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().merge(users::router()).merge(groups::router()).merge(discovery::router())
}

/// The tenant's base URL as a path: a reference is resolved against the URL that was asked (RFC 7643 §2.3.7), and the
/// proxies in front alone know the host in it.
fn base(tenant_id: TenantId) -> String {
    format!("/scim/v2/{tenant_id}")
}
