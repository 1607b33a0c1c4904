//! Payments, refunds, and by what a tenant pays.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use billing::payment::{self, NewTransfer, PaymentStatus};
use billing::payment_method::{self, PutPaymentMethod};
use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Currency, DisputeId, InvoiceId, PaymentId, RefundId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::invoice::Money;
use super::paths::{InvoicePath, PaymentPath, TenantPath};
use crate::extract::{Bearer, Json, Path};
use crate::page::{self, List, Listing, PageQuery};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema, word};

/// Why a payment failed.
#[derive(Debug, Serialize, ToSchema)]
struct PaymentFailure {
    /// The provider's code.
    #[schema(example = "card_declined")]
    code: String,
    /// In the provider's words.
    #[schema(example = "Your card was declined.")]
    message: String,
}

/// What a tenant paid, or is to pay by a provider; or what a reseller paid the operator.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Payment {
    #[schema(value_type = schema::PaymentId)]
    id: PaymentId,
    /// The invoice that it is meant for first; null: it settles the oldest, and what is left over is credit.
    #[schema(value_type = Option<schema::InvoiceId>, required)]
    invoice_id: Option<InvoiceId>,
    /// `manual` is a bank transfer.
    #[schema(value_type = schema::PaymentProviderName)]
    provider: String,
    /// It only moves forward. `unknown` is being found out; what has `succeeded` is final.
    #[schema(value_type = schema::PaymentStatus)]
    status: &'static str,
    /// What has arrived; until then, what is asked.
    amount: Money,
    /// What was paid back of it, or is on its way back.
    refunded: Money,
    /// Each time that it was to be paid back, the oldest first.
    refunds: Vec<Refund>,
    /// Each time that the customer's bank contested it, the oldest first.
    disputes: Vec<Dispute>,
    /// What the transfer says, or the charge.
    #[schema(example = "INV-000001")]
    reference: String,
    /// Why it failed, if it did.
    #[schema(required)]
    failure: Option<PaymentFailure>,
    /// The customer's day that it counts for, once it has arrived.
    #[schema(value_type = Option<schema::Day>, required)]
    received_on: Option<NaiveDate>,
    created_at: DateTime<Utc>,
}

impl From<payment::Payment> for Payment {
    fn from(of: payment::Payment) -> Self {
        Self {
            id: of.id,
            invoice_id: of.invoice_id,
            provider: of.provider,
            status: of.status.as_str(),
            amount: of.amount.into(),
            refunded: of.refunded.into(),
            refunds: of.refunds.into_iter().map(Refund::from).collect(),
            disputes: of.disputes.into_iter().map(Dispute::from).collect(),
            reference: of.reference,
            failure: of.failure.map(|(code, message)| PaymentFailure { code, message }),
            received_on: of.received_on,
            created_at: of.created_at,
        }
    }
}

/// An amount that is more than nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMoney {
    /// Whole minor units: 1250 is 12.50 EUR, 1250 JPY or 1.250 KWD.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_000_i64, example = 1250)]
    amount_minor: i64,
    #[schema(value_type = schema::Currency)]
    currency: Currency,
}

impl From<NewMoney> for kernel::Money {
    fn from(of: NewMoney) -> Self {
        Self::new(of.amount_minor, of.currency)
    }
}

/// A bank transfer that has arrived.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPayment {
    /// In the currency that the tenant is billed in, or of the reseller's agreement.
    amount: NewMoney,
    /// What the transfer says.
    #[schema(max_length = 500, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "INV-000001")]
    reference: String,
    /// The day on which it arrived, not after the customer's present day.
    #[schema(value_type = schema::Day)]
    received_on: String,
    /// The final invoice that it is meant for; absent or null: as its reference and amount say.
    #[serde(default)]
    #[schema(value_type = Option<schema::InvoiceId>)]
    invoice_id: Option<InvoiceId>,
}

impl From<NewPayment> for NewTransfer {
    fn from(body: NewPayment) -> Self {
        Self {
            amount: body.amount.into(),
            reference: body.reference,
            received_on: body.received_on,
            invoice_id: body.invoice_id,
        }
    }
}

/// Which payments are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PaymentFilter {
    /// Only those that stand so.
    #[serde(default, deserialize_with = "word::maybe")]
    #[param(value_type = Option<schema::PaymentStatus>)]
    status: Option<PaymentStatus>,
    /// Only those that are meant for this invoice.
    #[param(value_type = Option<schema::InvoiceId>)]
    invoice_id: Option<InvoiceId>,
}

impl From<PaymentFilter> for payment::Filter {
    fn from(of: PaymentFilter) -> Self {
        Self { status: of.status, invoice_id: of.invoice_id }
    }
}

/// List a tenant's payments
///
/// In the order in which they were recorded.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/payments", tag = "Payments", operation_id = "list_payments",
    params(TenantPath, PageQuery, PaymentFilter),
    responses((status = 200, description = "A page of payments.", body = List<Payment>)),
    extensions(("x-required-action" = json!("payments:read"))))]
async fn list(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Listing(page, filter): Listing<PaymentFilter>,
) -> Result<Answer<List<Payment>>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Ok(page::answer(payment::list(&ctx, filter.into(), page).await?))
}

/// Record a bank transfer
///
/// Without an invoice named it is meant for the one whose number its reference has, else for the oldest unpaid one of exactly its
/// amount, else for the tenant's balance. What is too much for its invoice settles the oldest, and then those to come.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/payments", tag = "Payments", operation_id = "create_payment",
    params(TenantPath),
    responses((status = 201, description = "The payment.", body = Payment),
        (status = 409, description = "A former reseller issued the invoice, and the caller is not above that one: `issued_by_another`.")),
    extensions(("x-required-action" = json!("payments:write"))))]
async fn create(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Json(body): Json<NewPayment>,
) -> Result<(StatusCode, Answer<Payment>), Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Ok((StatusCode::CREATED, Answer(payment::record(&ctx, body.into()).await?.into())))
}

/// Get a payment
///
/// A tenant's, also for the reseller whose money it is of a tenant that has moved to another; or what a reseller paid the operator, which
/// only these two see (`wholesale:read` besides).
#[utoipa::path(get, path = "/v1/payments/{payment_id}", tag = "Payments", operation_id = "get_payment",
    params(PaymentPath),
    responses((status = 200, description = "The payment.", body = Payment)),
    extensions(("x-required-action" = json!("payments:read"))))]
async fn get(Bearer(caller): Bearer, Path(at): Path<PaymentPath>) -> Result<Answer<Payment>, Problem> {
    Ok(Answer(payment::get(&caller, at.payment_id).await?.into()))
}

/// Pay an invoice now
///
/// Charges what is due of it by the tenant's payment method. The answer tells what is known: look at a payment that is not yet
/// `succeeded` or `failed` again, or wait for its event. No amount due is charged twice, however often this is asked.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/pay", tag = "Payments", operation_id = "pay_invoice",
    params(InvoicePath),
    responses((status = 201, description = "The payment, which may have failed.", body = Payment),
        (status = 409, description = "`nothing_due`, `no_payment_method`, `no_payment_provider`, or `payment_under_way`: another may still arrive. `tenant_transferred`: the tenant belongs to another reseller than the issuer, which asks.")),
    extensions(("x-required-action" = json!("payments:make"))))]
async fn pay(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<InvoicePath>,
) -> Result<(StatusCode, Answer<Payment>), Problem> {
    let paid = payment::pay(&caller, &*api.payments, at.invoice_id).await?;
    Ok((StatusCode::CREATED, Answer(paid.into())))
}

/// What a customer was paid back.
#[derive(Debug, Serialize, ToSchema)]
struct Refund {
    #[schema(value_type = schema::RefundId)]
    id: RefundId,
    #[schema(value_type = schema::PaymentId)]
    payment_id: PaymentId,
    /// It only moves forward. What has `failed` may still succeed if it is made after all; what is `returned` was paid back, and sent
    /// back by the bank.
    #[schema(value_type = schema::RefundStatus)]
    status: &'static str,
    amount: Money,
    /// Why.
    #[schema(example = "Charged by mistake")]
    reason: String,
    /// The customer's day that it counts for, once it is paid back.
    #[schema(value_type = Option<schema::Day>, required)]
    refunded_on: Option<NaiveDate>,
    /// The tenant's day on which the bank sent it back, if it did.
    #[schema(value_type = Option<schema::Day>, required)]
    returned_on: Option<NaiveDate>,
    created_at: DateTime<Utc>,
}

impl From<payment::Refund> for Refund {
    fn from(of: payment::Refund) -> Self {
        Self {
            id: of.id,
            payment_id: of.payment_id,
            status: of.status.as_str(),
            amount: of.amount.into(),
            reason: of.reason,
            refunded_on: of.refunded_on,
            returned_on: of.returned_on,
            created_at: of.created_at,
        }
    }
}

/// What a customer's bank contests: a payment, or a part of it.
#[derive(Debug, Serialize, ToSchema)]
struct Dispute {
    #[schema(value_type = schema::DisputeId)]
    id: DisputeId,
    #[schema(value_type = schema::DisputeStatus)]
    status: &'static str,
    amount: Money,
    /// The provider's word for why.
    #[schema(example = "fraudulent")]
    reason: String,
    /// The tenant's day on which it was taken from the issuer: it is due again.
    #[schema(value_type = Option<schema::Day>, required)]
    withdrawn_on: Option<NaiveDate>,
    /// The one on which it was given back.
    #[schema(value_type = Option<schema::Day>, required)]
    reinstated_on: Option<NaiveDate>,
    created_at: DateTime<Utc>,
}

impl From<payment::Dispute> for Dispute {
    fn from(of: payment::Dispute) -> Self {
        Self {
            id: of.id,
            status: of.status.as_str(),
            amount: of.amount.into(),
            reason: of.reason,
            withdrawn_on: of.withdrawn_on,
            reinstated_on: of.reinstated_on,
            created_at: of.created_at,
        }
    }
}

/// A refund to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRefund {
    /// Absent or null: all that is left of the payment.
    #[serde(default)]
    amount: Option<NewMoney>,
    /// Why; not of blanks alone.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "Charged by mistake"
    )]
    reason: String,
}

/// Pay back
///
/// A charge is paid back by its provider. Of a bank transfer it is noted that somebody paid back, or that it was recorded by mistake. What is
/// paid back is due again; to take an amount off an invoice is a credit note's affair. What a reseller paid, the operator pays back
/// (`wholesale:write` besides).
#[utoipa::path(post, path = "/v1/payments/{payment_id}/refund", tag = "Payments", operation_id = "refund_payment",
    params(PaymentPath),
    responses((status = 201, description = "The refund, which may have failed.", body = Refund),
        (status = 409, description = "`refund_exceeds_payment`: more than is left of it; or `no_payment_provider`. It is a former reseller's money, and the caller is not above that one: `issued_by_another`; or not above the tenant's present one: `tenant_transferred`.")),
    extensions(("x-required-action" = json!("payments:write"))))]
async fn refund(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<PaymentPath>,
    Json(body): Json<NewRefund>,
) -> Result<(StatusCode, Answer<Refund>), Problem> {
    let amount = body.amount.map(kernel::Money::from);
    let refund = payment::refund(&caller, &*api.payments, at.payment_id, amount, body.reason).await?;
    Ok((StatusCode::CREATED, Answer(refund.into())))
}

/// By what a tenant pays: the provider's ids.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PaymentMethod {
    /// The customer.
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9_-]+$", example = "cus_NffrFeUfNV2Hib")]
    customer: String,
    /// Their card or account, attached to the customer and set up for charges while they are not there.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[A-Za-z0-9_-]+$",
        example = "pm_1MqM05LkdIwHu7ixlDxxO6Mc"
    )]
    method: String,
    /// Whether invoices are charged by it on their due day without anybody asking; when that is declined, again three, five and
    /// seven days after each attempt.
    #[serde(default)]
    #[schema(required = false, default = false, example = true)]
    autopay: bool,
}

fn tagged(of: payment_method::PaymentMethod) -> Tagged<Answer<PaymentMethod>> {
    let autopay = of.is_autopay;
    Tagged(of.version, Answer(PaymentMethod { customer: of.customer, method: of.method, autopay }))
}

/// Get a tenant's payment method
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/payment-method", tag = "Payments", operation_id = "get_payment_method",
    params(TenantPath),
    responses((status = 200, description = "The payment method.", body = PaymentMethod)),
    extensions(("x-required-action" = json!("payments:read"))))]
async fn get_method(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
) -> Result<Tagged<Answer<PaymentMethod>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    Ok(tagged(payment_method::get(&ctx).await?))
}

/// Set a tenant's payment method
///
/// Made with the provider's own means, so that no card's number comes here. It is for the invoices of the tenant's present
/// reseller, whose side sets it: who names a customer names who is charged.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/payment-method", tag = "Payments", operation_id = "put_payment_method",
    params(TenantPath),
    responses((status = 200, description = "The payment method as it is now.", body = PaymentMethod),
        (status = 409, description = "Another tenant pays by the customer: `customer_taken`.")),
    extensions(("x-required-action" = json!("payments:write"))))]
async fn put_method(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<PaymentMethod>,
) -> Result<Tagged<Answer<PaymentMethod>>, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    let put = PutPaymentMethod { customer: body.customer, method: body.method, is_autopay: body.autopay };
    Ok(tagged(payment_method::put(&ctx, put, version).await?))
}

/// Forget a tenant's payment method
#[utoipa::path(delete, path = "/v1/tenants/{tenant_id}/payment-method", tag = "Payments", operation_id = "delete_payment_method",
    params(TenantPath),
    responses((status = 204, description = "There is none any more.")),
    extensions(("x-required-action" = json!("payments:write"))))]
async fn delete_method(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
) -> Result<StatusCode, Problem> {
    let ctx = caller.enter(at.tenant_id).await?;
    payment_method::delete(&ctx, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(get))
        .routes(routes!(pay))
        .routes(routes!(refund))
        .routes(routes!(get_method, put_method, delete_method))
}
