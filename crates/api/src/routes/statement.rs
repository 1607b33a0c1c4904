//! Statements of account.

use axum::Json as Answer;
use axum::http::header::VARY;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use billing::export::Window;
use billing::statement::{self, EntryKind};
use chrono::NaiveDate;
use kernel::{Currency, InvoiceId, PaymentId, ResellerId, TenantId};
use paper::{Movement, Period};
use serde::{Deserialize, Serialize};
use tenancy::Caller;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::invoice::Money;
use super::paper_form::{Form, bank, branding, customer, issuer, pdf, plain, send};
use super::paths::{ResellerPath, TenantPath};
use crate::day::Day;
use crate::extract::{Bearer, Path, Query};
use crate::problem::Problem;
use crate::{Api, schema};

/// The most entries that are set on pages: some fifty of them.
const MAX_ENTRIES_ON_PAPER: usize = 2000;

/// Of which days, and with whom.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct StatementQuery {
    /// The first day.
    #[param(value_type = schema::Day)]
    from: Day,
    /// The day after the last one; at most a year later.
    #[param(value_type = schema::Day)]
    to: Day,
    /// The issuer of the documents; when absent, the reseller that the tenant belongs to. A former one has a statement of its own, which it
    /// gets as well.
    #[param(value_type = Option<schema::ResellerId>)]
    issuer_id: Option<ResellerId>,
}

/// A document, or money, that changed what a customer owes.
#[derive(Debug, Serialize, ToSchema)]
struct StatementEntry {
    /// The day that it counts for.
    #[schema(value_type = schema::Day)]
    effective_on: NaiveDate,
    /// `invoice`, `credit_note`, `payment`, `refund`, `refund_returned` (by the bank), `dispute` (what the customer's bank took back) or
    /// `dispute_reinstated` (what it gave back of that).
    #[schema(value_type = schema::StatementEntryKind)]
    kind: &'static str,
    /// The document; `null` of money.
    #[schema(value_type = Option<schema::InvoiceId>, required)]
    invoice_id: Option<InvoiceId>,
    /// The payment, also of what was paid or taken back of it; `null` of a document.
    #[schema(value_type = Option<schema::PaymentId>, required)]
    payment_id: Option<PaymentId>,
    /// Of a document its number, of a payment what the transfer or charge says, of a refund or dispute its reason; `null` where that is empty.
    #[schema(required, example = "INV-000001")]
    reference: Option<String>,
    /// By when an invoice is to be paid; `null` of all else.
    #[schema(value_type = Option<schema::Day>, required)]
    due_on: Option<NaiveDate>,
    /// What is owed more by it, or nothing.
    debit: Money,
    /// What is owed less by it, or nothing.
    credit: Money,
    /// What is owed after it; negative is the customer's credit.
    balance: Money,
}

impl From<statement::Entry> for StatementEntry {
    fn from(of: statement::Entry) -> Self {
        Self {
            effective_on: of.effective_on,
            kind: of.kind.as_str(),
            invoice_id: of.invoice_id,
            payment_id: of.payment_id,
            reference: of.reference,
            due_on: of.due_on,
            debit: of.debit.into(),
            credit: of.credit.into(),
            balance: of.balance.into(),
        }
    }
}

/// What is due of the invoices at the end of the last day, by how long it is overdue then. The amounts less `credit` are the closing balance.
#[derive(Debug, Serialize, ToSchema)]
struct OpenAmounts {
    /// Not overdue.
    current: Money,
    /// For 1 to 30 days.
    days_1_30: Money,
    /// For 31 to 60 days.
    days_31_60: Money,
    /// For 61 to 90 days.
    days_61_90: Money,
    /// For more than 90 days.
    days_over_90: Money,
    /// What was paid or credited and no invoice has taken.
    credit: Money,
}

impl From<statement::Open> for OpenAmounts {
    fn from(of: statement::Open) -> Self {
        Self {
            current: of.current.into(),
            days_1_30: of.days_1_30.into(),
            days_31_60: of.days_31_60.into(),
            days_61_90: of.days_61_90.into(),
            days_over_90: of.days_over_90.into(),
            credit: of.credit.into(),
        }
    }
}

/// An account in one currency.
#[derive(Debug, Serialize, ToSchema)]
struct StatementAccount {
    #[schema(value_type = schema::Currency)]
    currency: Currency,
    /// What was owed before the first day; negative is the customer's credit.
    opening_balance: Money,
    /// What changed that, in order.
    entries: Vec<StatementEntry>,
    /// What was owed at the end of the last day, as the ledger has it.
    closing_balance: Money,
    open: OpenAmounts,
}

impl From<statement::Account> for StatementAccount {
    fn from(of: statement::Account) -> Self {
        Self {
            currency: of.currency,
            opening_balance: of.opening.into(),
            entries: of.entries.into_iter().map(StatementEntry::from).collect(),
            closing_balance: of.closing.into(),
            open: of.open.into(),
        }
    }
}

/// What a tenant's account with an issuer came to.
#[derive(Debug, Serialize, ToSchema)]
struct Statement {
    #[schema(value_type = schema::TenantId)]
    tenant_id: TenantId,
    /// How the tenant is called today, by its billing profile, if it has one; to a former issuer as on its last document.
    #[schema(example = "Bakery Ltd")]
    tenant_name: String,
    /// Whom it owes.
    #[schema(value_type = schema::ResellerId)]
    issuer_id: ResellerId,
    /// How the issuer is called today: by its billing profile, if it has one.
    #[schema(example = "North Hosting GmbH")]
    issuer_name: String,
    /// The first day.
    #[schema(value_type = schema::Day)]
    from: NaiveDate,
    /// The day after the last one.
    #[schema(value_type = schema::Day)]
    to: NaiveDate,
    /// One for each currency.
    accounts: Vec<StatementAccount>,
}

/// Of which days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WholesaleStatementQuery {
    /// The first day.
    #[param(value_type = schema::Day)]
    from: Day,
    /// The day after the last one; at most a year later.
    #[param(value_type = schema::Day)]
    to: Day,
}

/// What a reseller's account with the operator came to.
#[derive(Debug, Serialize, ToSchema)]
struct WholesaleStatement {
    #[schema(value_type = schema::ResellerId)]
    reseller_id: ResellerId,
    /// How the reseller is called today: by its billing profile as the operator's customer, if it has one.
    #[schema(example = "North Hosting GmbH")]
    reseller_name: String,
    /// How the operator is called today: by its billing profile, if it has one.
    #[schema(example = "Pillar SE")]
    issuer_name: String,
    /// The first day.
    #[schema(value_type = schema::Day)]
    from: NaiveDate,
    /// The day after the last one.
    #[schema(value_type = schema::Day)]
    to: NaiveDate,
    /// One for each currency.
    accounts: Vec<StatementAccount>,
}

/// Get a tenant's statement of account
///
/// What moved the tenant's account with its issuer on these days: final invoices and credit notes, payments, refunds and disputes, with the
/// balance after each, and what of the closing balance is how old. With `Accept: text/html` as a page and with `application/pdf` as a PDF, both in
/// the issuer's present look.
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/statement", tag = "Invoices", operation_id = "get_statement",
    params(TenantPath, StatementQuery),
    responses((status = 200, description = "The statement.",
            content((Statement = "application/json"), (String = "text/html"), (String = "application/pdf"))),
        (status = 409, description = "It has more entries than pages are set of: `no_such_form`.")),
    extensions(("x-required-action" = json!("invoices:read"))))]
async fn get(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    Query(query): Query<StatementQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (from, to) = (query.from.0, query.to.0);
    let days = window(from, to)?;
    let statement = statement::of_tenant(&caller, at.tenant_id, query.issuer_id, days).await?;
    let shown = |statement: statement::Statement| Statement {
        tenant_id: statement.customer.id,
        tenant_name: statement.customer.name,
        issuer_id: statement.issuer.id,
        issuer_name: statement.issuer.name,
        from,
        to,
        accounts: statement.accounts.into_iter().map(StatementAccount::from).collect(),
    };
    answer(&caller, &headers, Period { from, until: to }, statement, shown).await
}

/// Get a reseller's statement of account
///
/// What moved its account with the operator on these days: wholesale invoices and credit notes, payments, and what was paid back, with the
/// balance after each, and what of the closing balance is how old. For the operator and the reseller itself. With `Accept: text/html` as
/// a page and with `application/pdf` as a PDF.
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/statement", tag = "Wholesale", operation_id = "get_wholesale_statement",
    params(ResellerPath, WholesaleStatementQuery),
    responses((status = 200, description = "The statement.",
            content((WholesaleStatement = "application/json"), (String = "text/html"), (String = "application/pdf"))),
        (status = 409, description = "It has more entries than pages are set of: `no_such_form`.")),
    extensions(("x-required-action" = json!("wholesale:read"))))]
async fn get_wholesale(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    Query(query): Query<WholesaleStatementQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ctx = caller.enter_reseller_deleted_too(at.reseller_id).await?;
    let (from, to) = (query.from.0, query.to.0);
    let days = window(from, to)?;
    let statement = statement::of_reseller(&ctx, days).await?;
    let shown = |statement: statement::Statement<ResellerId>| WholesaleStatement {
        reseller_id: statement.customer.id,
        reseller_name: statement.customer.name,
        issuer_name: statement.issuer.name,
        from,
        to,
        accounts: statement.accounts.into_iter().map(StatementAccount::from).collect(),
    };
    answer(&caller, &headers, Period { from, until: to }, statement, shown).await
}

/// A statement in the form that is asked for.
async fn answer<Id, T: Serialize>(
    caller: &Caller,
    headers: &HeaderMap,
    period: Period,
    statement: statement::Statement<Id>,
    shown: impl FnOnce(statement::Statement<Id>) -> T,
) -> Result<Response, Problem> {
    match Form::asked(headers, &[Form::Json, Form::Html, Form::Pdf]) {
        Form::Json => Ok(([(VARY, "accept")], Answer(shown(statement))).into_response()),
        form => on_paper(caller, statement, period, form).await,
    }
}

fn window(from: NaiveDate, to: NaiveDate) -> Result<Window, Problem> {
    Window::new(from, to).ok_or_else(|| Problem::parameter("to", Window::RULE))
}

async fn on_paper<Id>(
    caller: &Caller,
    of: statement::Statement<Id>,
    period: Period,
    form: Form,
) -> Result<Response, Problem> {
    let entries: usize = of.accounts.iter().map(|account| account.entries.len()).sum();
    if entries > MAX_ENTRIES_ON_PAPER {
        let detail = format_args!(
            "it has {entries} entries, and pages are set of {MAX_ENTRIES_ON_PAPER}: ask for fewer days"
        );
        return Err(Problem::new(StatusCode::CONFLICT, "no_such_form", detail));
    }
    let look = billing::invoice::look(caller, &of.issuer).await?;
    let statement = paper::Statement {
        bank: of.issuer.profile.as_ref().and_then(bank),
        branding: branding(&of.issuer.name, look),
        issuer: issuer(of.issuer),
        customer: customer(of.customer),
        period,
        accounts: of.accounts.into_iter().map(account).collect(),
    };
    let name = format!("statement_{}_{}", period.from, period.until);
    send(form, &name, move || match form {
        Form::Pdf => pdf(paper::statement_pdf(&statement), || {
            let branding = plain(&statement.branding);
            paper::statement_pdf(&paper::Statement { branding, ..statement.clone() })
        }),
        _ => Ok(paper::statement_html(&statement).into_bytes()),
    })
    .await
}

fn account(of: statement::Account) -> paper::Account {
    let statement::Open { current, days_1_30, days_31_60, days_61_90, days_over_90, credit } = of.open;
    paper::Account {
        currency: of.currency,
        opening: of.opening.amount_minor,
        entries: of.entries.into_iter().map(entry).collect(),
        closing: of.closing.amount_minor,
        ages: [current, days_1_30, days_31_60, days_61_90, days_over_90].map(|money| money.amount_minor),
        credit: credit.amount_minor,
    }
}

fn entry(of: statement::Entry) -> paper::Entry {
    paper::Entry {
        on: of.effective_on,
        movement: match of.kind {
            EntryKind::Invoice => Movement::Invoice,
            EntryKind::CreditNote => Movement::CreditNote,
            EntryKind::Payment => Movement::Payment,
            EntryKind::Refund => Movement::Refund,
            EntryKind::RefundReturned => Movement::RefundReturned,
            EntryKind::Dispute => Movement::Dispute,
            EntryKind::DisputeReinstated => Movement::DisputeReinstated,
        },
        reference: of.reference,
        due_on: of.due_on,
        debit: of.debit.amount_minor,
        credit: of.credit.amount_minor,
        balance: of.balance.amount_minor,
    }
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default().routes(routes!(get)).routes(routes!(get_wholesale))
}
