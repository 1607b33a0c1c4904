//! What tenants use, day by day.

use axum::Extension;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use billing::export::{self, Kind, Level, Window};
use billing::usage;
use chrono::NaiveDate;
use kernel::Page;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{ResellerPath, TenantPath};
use crate::day::Day;
use crate::extract::{Bearer, Path, Query};
use crate::file::{self, Downloads};
use crate::page::{self, List};
use crate::problem::Problem;
use crate::{Api, schema};

/// Of which days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// The first day.
    #[param(value_type = schema::Day)]
    from: Day,
    /// The day after the last one.
    #[param(value_type = schema::Day)]
    to: Day,
}

/// What a tenant used on a day of its calendar.
#[derive(Debug, Serialize, ToSchema)]
struct UsageDay {
    /// The day.
    #[schema(value_type = schema::Day)]
    day: NaiveDate,
    /// The largest number of users that held a seat at once.
    #[schema(example = 12)]
    seats_used: i64,
    /// How many seats were committed to. The larger of the two is what a subscription is charged for.
    #[schema(example = 10)]
    seats_committed: i64,
    /// The most bytes that its mailboxes held together, as sampled every hour; null before the first sample.
    #[schema(required, example = 3_221_225_472_i64)]
    used_bytes: Option<i64>,
}

impl From<usage::UsageDay> for UsageDay {
    fn from(of: usage::UsageDay) -> Self {
        let usage::UsageDay { day, seats_used, seats_committed, used_bytes } = of;
        Self { day, seats_used, seats_committed, used_bytes }
    }
}

/// List a tenant's usage
///
/// Seats and bytes of each day that has begun, at most 400 of them, all on one page; or with `Accept: text/csv` or
/// `application/jsonl` the same as a file. Days are those of the tenant's time zone, and counted as billing counts them.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/usage", tag = "Subscriptions", operation_id = "list_usage",
    params(TenantPath, UsageQuery),
    responses((status = 200, description = "The days.",
        content((List<UsageDay> = "application/json"), (String = "text/csv"), (String = "application/jsonl")))),
    extensions(("x-required-action" = json!("subscriptions:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<UsageQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let (from, to) = (query.from.0, query.to.0);
    let days = Window::of_usage(from, to).ok_or_else(|| Problem::parameter("to", Window::USAGE_RULE))?;
    if let Some(format) = file::asked(&headers) {
        let name = format!("usage_{from}_{to}");
        return Ok(file::answer(format, &name, usage::file(&ctx, days, format).await?));
    }
    let items = usage::of_tenant(&ctx, days).await?;
    Ok(page::answer::<_, UsageDay>(Page { items, next: None }).into_response())
}

/// Export the usage of tenants
///
/// As a tenant's usage, with a row for each day of each tenant of the reseller's and of those below it, by tenant and day. As
/// comma-separated values (RFC 4180), or with `Accept: application/jsonl` as one JSON object a line; sent while it is read, as all exports are.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/exports/usage", tag = "Exports", operation_id = "export_usage",
    params(ResellerPath, UsageQuery),
    responses((status = 200, description = "The file.", content((String = "text/csv"), (String = "application/jsonl")))),
    extensions(("x-required-action" = json!("subscriptions:read"))))]
async fn export(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Query(query): Query<UsageQuery>,
    headers: HeaderMap,
    Extension(downloads): Extension<Downloads>,
) -> Result<Response, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    let (from, to) = (query.from.0, query.to.0);
    let days = Window::new(from, to).ok_or_else(|| Problem::parameter("to", Window::RULE))?;
    let format = file::format(&headers);
    let open = export::open(&ctx, Kind::Usage, Level::Retail, days, format);
    downloads.send(open, format, &format!("usage_{from}_{to}")).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(list))
}

/// What is sent while it is read.
pub(crate) fn files() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(export))
}
