//! What happens to documents: drafts become final or are discarded, invoices are voided.

use axum::Json as Answer;
use axum::http::StatusCode;
use billing::invoice::{self, Found};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::invoice::Invoice;
use super::paths::InvoicePath;
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::{Api, schema};

/// Make a draft final
///
/// Today, and not on the day that it waits for: it is numbered, posted to the ledger and due.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/finalize", tag = "Invoices", operation_id = "finalize_invoice",
    params(InvoicePath),
    responses((status = 200, description = "The document, final now.", body = Invoice),
        (status = 409, description = "It is final already: `not_a_draft`. A former reseller issued it, and the caller is not above that one: `issued_by_another`; or not above the tenant's present one: `tenant_transferred`. A draft of an earlier boundary becomes final before it: `earlier_draft`.")),
    extensions(("x-required-action" = json!("invoices:write"))))]
async fn finalize(Bearer(caller): Bearer, Path(at): Path<InvoicePath>) -> Result<Answer<Invoice>, Problem> {
    Ok(Answer(invoice::finalize(&caller, at.invoice_id).await?.into()))
}

/// Discard a draft
///
/// The next billing run makes it anew, by the events and profiles that are known then and the rates of its boundary's day.
#[utoipa::path(delete, path = "/v1/invoices/{invoice_id}", tag = "Invoices", operation_id = "discard_invoice",
    params(InvoicePath),
    responses((status = 204, description = "It is gone."),
        (status = 409, description = "It is final: `not_a_draft`. A later document takes back what it charges, and is to be discarded or voided first: `credited_since`. A former reseller issued it: `issued_by_another`, and to that one `tenant_transferred`. It is of before it was recorded what documents are made of: `not_recorded`.")),
    extensions(("x-required-action" = json!("invoices:write"))))]
async fn discard(Bearer(caller): Bearer, Path(at): Path<InvoicePath>) -> Result<StatusCode, Problem> {
    invoice::discard(&caller, at.invoice_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why an invoice is voided.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Void {
    /// As the credit note shows it.
    #[schema(value_type = schema::BillingLine, example = "the address was wrong")]
    reason: String,
}

/// Void an invoice
///
/// A credit note takes back the whole of what has not been credited, the invoice's `status` becomes `void`, and the next billing
/// run bills anew what is owed, by the profiles of then and the rates of the boundary's day: so a wrong address or number is corrected, but no
/// wrong rate of a day that has begun. A wholesale invoice is the operator's alone to void, which needs `wholesale:write` besides.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/void", tag = "Invoices", operation_id = "void_invoice",
    params(InvoicePath),
    responses((status = 201, description = "The credit note.", body = Invoice),
        (status = 409, description = "Something of it is paid or being paid: `paid`. It is no final invoice of which something is left, or shares a credit note with another, or it is a wholesale one of a reseller that was deleted: `not_voidable`. A later document takes back what it charges, and is to be voided or discarded first: `credited_since`. A former reseller issued it: `issued_by_another`, and to that one `tenant_transferred`. It is of before it was recorded what documents are made of: `not_recorded`.")),
    extensions(("x-required-action" = json!("invoices:write"))))]
async fn void(
    Bearer(caller): Bearer,
    Path(at): Path<InvoicePath>,
    Json(body): Json<Void>,
) -> Result<(StatusCode, Answer<Invoice>), Problem> {
    let note = match invoice::void_either(&caller, at.invoice_id, &body.reason).await? {
        Found::Retail(note) => Invoice::from(*note),
        Found::Wholesale(note) => Invoice::from(*note),
    };
    Ok((StatusCode::CREATED, Answer(note)))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(finalize)).routes(routes!(discard)).routes(routes!(void))
}
