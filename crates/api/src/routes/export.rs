//! Files for accounting.

use axum::Extension;
use axum::http::HeaderMap;
use axum::response::Response;
use billing::export::{self, Kind, Level, Window};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::ResellerPath;
use crate::day::Day;
use crate::extract::{Bearer, Path, Query};
use crate::file::{self, Downloads};
use crate::problem::Problem;
use crate::{Api, schema, word};

/// Of which days, and whose documents.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    /// The first day: on which documents were issued, or for which transfers count.
    #[param(value_type = schema::Day)]
    from: Day,
    /// The day after the last one; at most a year later.
    #[param(value_type = schema::Day)]
    to: Day,
    /// `retail`, when absent: what the reseller issued to its tenants; `wholesale`: what the operator issued to the reseller, for these two alone.
    #[serde(default, deserialize_with = "word::word")]
    #[param(value_type = schema::ExportLevel, inline, required = false)]
    level: Level,
}

async fn send(
    (caller, reseller): (tenancy::Caller, ResellerPath),
    query: &ExportQuery,
    headers: &HeaderMap,
    downloads: &Downloads,
    (kind, name): (Kind, &str),
) -> Result<Response, Problem> {
    let ctx = caller.enter_reseller_deleted_too(reseller.reseller_id).await?;
    let (from, to) = (query.from.0, query.to.0);
    let days = Window::new(from, to).ok_or_else(|| Problem::parameter("to", Window::RULE))?;
    let format = file::format(headers);
    let open = export::open(&ctx, kind, query.level, days, format);
    downloads.send(open, format, &format!("{name}_{from}_{to}")).await
}

/// Export invoices
///
/// A row for each final document that was issued on these days, credit notes included, by the day and then in a fixed order, with
/// its sums in minor units and as decimals. As comma-separated values (RFC 4180), or with `Accept: application/jsonl` as one JSON
/// object a line. The file is of one moment, and sent while it is read: a connection that breaks means that it is not whole.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/exports/invoices", tag = "Exports", operation_id = "export_invoices",
    params(ResellerPath, ExportQuery),
    responses((status = 200, description = "The file.", content((String = "text/csv"), (String = "application/jsonl")))),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn invoices(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Query(query): Query<ExportQuery>,
    headers: HeaderMap,
    Extension(downloads): Extension<Downloads>,
) -> Result<Response, Problem> {
    send((caller, at), &query, &headers, &downloads, (Kind::Invoices, "invoices")).await
}

/// Export the lines of invoices
///
/// As the export of invoices, with a row for each line: its net, how it is taxed, and the seat-days behind it. The lines of a document
/// sum up to its net.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/exports/invoice-lines", tag = "Exports",
    operation_id = "export_invoice_lines", params(ResellerPath, ExportQuery),
    responses((status = 200, description = "The file.", content((String = "text/csv"), (String = "application/jsonl")))),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn lines(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Query(query): Query<ExportQuery>,
    headers: HeaderMap,
    Extension(downloads): Extension<Downloads>,
) -> Result<Response, Problem> {
    send((caller, at), &query, &headers, &downloads, (Kind::InvoiceLines, "invoice-lines")).await
}

/// Export the ledger
///
/// As the export of invoices, with a row for each transfer that counts for these days: the account that it debits, the one that it
/// credits, the amount, and the document, payment, refund, dispute or fee of one that it posts.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/exports/ledger", tag = "Exports", operation_id = "export_ledger",
    params(ResellerPath, ExportQuery),
    responses((status = 200, description = "The file.", content((String = "text/csv"), (String = "application/jsonl")))),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn ledger(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Query(query): Query<ExportQuery>,
    headers: HeaderMap,
    Extension(downloads): Extension<Downloads>,
) -> Result<Response, Problem> {
    send((caller, at), &query, &headers, &downloads, (Kind::Ledger, "ledger")).await
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(invoices)).routes(routes!(lines)).routes(routes!(ledger))
}
