//! Wholesale documents: the operator's invoices and credit notes for a reseller, final when they are made. What is paid of
//! them is [`crate::receivable`]'s, as of those of tenants.

pub(crate) mod store;

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::{Currency, InvoiceId, Money, Page, PageRequest, PriceId, ResellerId, TenantId};
use serde_json::json;
use tenancy::{Action, Caller, ResellerCtx, Scope, event};

use super::{must_be_party, system};
use crate::Error;
use crate::invoice::{Billing, Customer, DocumentKind, Filter, InvoiceTax, Issuer};
use crate::ledger::{self, Posting};
use crate::rating::{LineKind, Span, TaxGroup, UnitPrice};
use crate::series::OPERATOR;

/// A final document, signed as the reseller's account sees it.
#[derive(Debug, Clone)]
pub struct WholesaleInvoice {
    /// Its id.
    pub id: InvoiceId,
    /// Its number in the operator's series, such as `INV-000001`.
    pub number: String,
    /// Invoice or credit note.
    pub kind: DocumentKind,
    /// The operator.
    pub issuer: Issuer,
    /// The reseller it is for.
    pub customer: Customer<ResellerId>,
    /// What every amount is in.
    pub currency: Currency,
    /// The boundary that it was made for, or if it was billed anew or voids an invoice, the day on which that was: in the
    /// agreement's calendar.
    pub issued_on: NaiveDate,
    /// By when it is to be paid.
    pub due_on: NaiveDate,
    /// `void` for an invoice that was voided; `paid` for one of which nothing is due; else `final`.
    pub status: String,
    /// Of a credit note that voids an invoice: why.
    pub reason: Option<String>,
    /// What it was made by; `None`: it voids an invoice.
    pub(crate) billing: Option<Billing>,
    /// Of a credit note: the invoices that it corrects.
    pub corrects: Vec<InvoiceId>,
    /// What it is for, by tenant; the commitment last.
    pub lines: Vec<WholesaleLine>,
    /// Its taxes, by category and rate.
    pub taxes: Vec<InvoiceTax>,
    /// How many rates of tax the operator had added then.
    pub(crate) tax_rates_known: i64,
    /// The sum of the lines.
    pub net: Money,
    /// Tax on it.
    pub tax: Money,
    /// Net and tax.
    pub total: Money,
    /// What of it payments have settled, also such as were left over from others. Nothing of a credit note.
    pub paid: Money,
    /// What credit notes have taken of it: all of it, of one that was voided. Nothing of a credit note.
    pub credited: Money,
    /// What is left to pay of it.
    pub due: Money,
}

/// A tenant, as it was called when the document was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
}

/// One line of a document. A credit of what was taxed in several groups is several lines; the days are counted in the
/// first.
#[derive(Debug, Clone)]
pub struct WholesaleLine {
    /// Whose use; `None`: seats that were committed and not used.
    pub tenant: Option<Named>,
    /// What it says, in words.
    pub description: String,
    /// What was sold: `mailbox`, `shared_mailbox`, `archive` or `storage`.
    pub item: String,
    /// Why it is there.
    pub kind: LineKind,
    /// The days it charges or credits, half-open.
    pub period: Span,
    /// Units on each of these days; negative in a credit, and 0 where units have come to cost another amount. Of storage, GiB over the
    /// whole cycle, to the nearest.
    pub quantity: i64,
    /// Units times days; 0 of storage.
    pub seat_days: i64,
    /// The published price that it was billed at.
    pub price_id: PriceId,
    /// For one unit and one whole interval; `None` when that depends on how many there are.
    pub unit_price: Option<UnitPrice>,
    /// What it comes to, net.
    pub amount: Money,
    /// How it is taxed.
    pub tax: TaxGroup,
    /// Which of the lines that were rated it is, or is a part of: from 1.
    pub(crate) rated_position: i32,
    /// The cycle that it belongs to begins on this day.
    pub(crate) cycle_starts_on: NaiveDate,
}

/// A document to be written.
#[derive(Debug)]
pub(super) struct NewInvoice<'a> {
    pub(super) id: InvoiceId,
    pub(super) reseller_id: ResellerId,
    pub(super) kind: DocumentKind,
    pub(super) number: i64,
    pub(super) issuer: &'a Issuer,
    pub(super) customer: &'a Customer<ResellerId>,
    pub(super) tax_rates_known: i64,
    pub(super) currency: Currency,
    pub(super) billing: Option<Billing>,
    pub(super) reason: Option<&'a str>,
    pub(super) issued_on: NaiveDate,
    pub(super) due_on: NaiveDate,
    pub(super) net_minor: i64,
    pub(super) tax_minor: i64,
    pub(super) total_minor: i64,
    pub(super) finalized_at: DateTime<Utc>,
}

/// Posts a document that was written, and tells of it.
pub(super) async fn complete(tx: &mut SystemTx, caller: &Caller, new: &NewInvoice<'_>) -> Result<(), Error> {
    let posting = Posting {
        document: new.id,
        kind: new.kind,
        issuer: OPERATOR,
        currency: new.currency,
        net_minor: new.net_minor,
        tax_minor: new.tax_minor,
        effective_on: new.issued_on,
        posted_at: new.finalized_at,
    };
    ledger::post_wholesale(tx, new.reseller_id, &posting).await?;
    // Resellers above see the trail too, and are not to know how much.
    let number = new.kind.number(new.number);
    let data = json!({"kind": new.kind.as_str(), "number": number, "issued_on": new.issued_on});
    let (trail, kind) = (Scope::Reseller(new.reseller_id), event::Kind::WholesaleInvoiceFinalized);
    event::record_on(tx, caller, trail, kind, new.id, data).await?;
    Ok(())
}

/// A reseller's documents that the filter leaves, in the order in which they were made. None is a draft.
///
/// # Errors
/// [`Error::NotFound`] for whoever is neither the operator nor the reseller itself; [`Error::Tenancy`] without the right to
/// see them.
pub async fn list(
    ctx: &ResellerCtx,
    filter: Filter,
    page: PageRequest,
) -> Result<Page<WholesaleInvoice>, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleRead)?;
    let mut tx = system(ctx.db()).await?;
    let rows = store::list(&mut tx, ctx.reseller_id(), filter, &page).await?;
    Ok(Page::cut(rows, &page, |invoice| invoice.id.uuid()))
}

/// One document of a reseller's.
///
/// # Errors
/// As [`list`]; [`Error::NotFound`] for one that is not the reseller's.
pub async fn get(ctx: &ResellerCtx, id: InvoiceId) -> Result<WholesaleInvoice, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleRead)?;
    let mut tx = system(ctx.db()).await?;
    store::find(&mut tx, ctx.reseller_id(), id).await?.ok_or(Error::NotFound)
}

/// The document with that id, whichever reseller's it is.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one that the caller may not know of.
pub async fn find(caller: &Caller, id: InvoiceId) -> Result<WholesaleInvoice, Error> {
    let mut tx = system(caller.db()).await?;
    let reseller_id = store::reseller_of(&mut tx, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    get(&caller.enter_reseller_deleted_too(reseller_id).await?, id).await
}

/// Numbers and days of invoices that the caller has found by a document of the same reseller.
pub(crate) async fn names(caller: &Caller, ids: &[InvoiceId]) -> Result<Vec<(String, NaiveDate)>, Error> {
    store::names(&mut system(caller.db()).await?, ids).await
}
