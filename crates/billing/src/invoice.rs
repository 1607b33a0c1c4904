//! Invoices and credit notes: once they are final, never changed.

pub(crate) mod corrected;
pub(crate) mod draft;
pub(crate) mod issued;
mod kind;
pub(crate) mod store;
pub(crate) mod tax;
pub(crate) mod void;

use chrono::NaiveDate;
use db::{SystemRead, SystemTx};
use kernel::{
    Currency, InvoiceId, Money, OneOffItemId, Page, PageRequest, PriceId, ResellerId, TenantId, named,
};
use tenancy::branding::{self, Effective};
use tenancy::{Action, Caller, Ctx};

use crate::Error;
use crate::profile::{self, CustomerProfile, IssuerProfile};
use crate::rating::{Percentage, PriceBasis, Span, TaxGroup, UnitPrice};
use crate::reader::{self, Place, Reader};
use crate::series::{OPERATOR, Series};
use crate::wholesale::{self, invoice::WholesaleInvoice};

pub use draft::{discard, finalize};
pub use kind::InvoiceLineKind;
pub use tax::InvoiceTax;
pub use void::void;

named! {
    /// What kind of document it is.
    DocumentKind {
        /// The customer owes it, or nothing.
        Invoice = "invoice",
        /// The customer is owed it; it names the invoices that it corrects.
        CreditNote = "credit_note",
    }
}

impl DocumentKind {
    /// That of a document that comes to so much.
    pub(crate) fn of_total(total_minor: i64) -> Self {
        if total_minor < 0 { Self::CreditNote } else { Self::Invoice }
    }

    pub(crate) fn series(self) -> Series {
        match self {
            Self::Invoice => Series::Invoice,
            Self::CreditNote => Series::CreditNote,
        }
    }

    /// A number of its series, as documents show it.
    pub(crate) fn number(self, number: i64) -> String {
        match self {
            Self::Invoice => format!("INV-{number:06}"),
            Self::CreditNote => format!("CRN-{number:06}"),
        }
    }
}

/// Which time a boundary was billed, of those that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Billing {
    pub(crate) boundary: NaiveDate,
    /// From 1.
    pub(crate) revision: i32,
}

/// A document. Amounts are signed as the customer's account sees them: a credit note's total is negative, and
/// all documents of a customer sum up to what it was charged.
#[derive(Debug, Clone)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Its number in the issuer's series, such as `INV-000001`; a draft has none.
    pub number: Option<String>,
    /// Invoice or credit note.
    pub kind: DocumentKind,
    /// Who issued it.
    pub issuer: Issuer,
    /// Whom it is for.
    pub customer: Customer,
    /// What every amount is in.
    pub currency: Currency,
    /// The boundary that it was made for, or if it was a draft or billed anew, the day on which it became final: in the
    /// customer's calendar. Of a draft, the day on which it is to become final.
    pub issued_on: NaiveDate,
    /// By when it is to be paid.
    pub due_on: NaiveDate,
    /// `draft`; `void` for an invoice that was voided; `paid` for one of which nothing is due; else `final`.
    pub status: String,
    /// Of a credit note that voids an invoice: why.
    pub reason: Option<String>,
    /// What it was made by; `None`: it voids an invoice.
    pub(crate) billing: Option<Billing>,
    /// Of a credit note: the invoices that it corrects.
    pub corrects: Vec<InvoiceId>,
    /// What it is for.
    pub lines: Vec<InvoiceLine>,
    /// Whether the prices that it was made by include tax.
    pub tax_behavior: PriceBasis,
    /// Its taxes, by category and rate.
    pub taxes: Vec<InvoiceTax>,
    /// How many rates of tax the issuer had added then.
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
    /// What is left to pay of it; nothing of a draft.
    pub due: Money,
}

/// The reseller that issued a document, or [`OPERATOR`], as it was called then.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its id.
    pub id: ResellerId,
    /// Its name: of its billing profile, if it had one.
    pub name: String,
    /// Its billing profile, as it was then.
    pub profile: Option<IssuerProfile>,
}

impl Issuer {
    /// As it is called now: by its profile, or so while it has none.
    pub(crate) fn now(id: ResellerId, name: String, profile: Option<IssuerProfile>) -> Self {
        Self { id, name: profile.as_ref().map_or(name, |profile| profile.legal_name.clone()), profile }
    }
}

/// The tenant a document is for, or the reseller that a wholesale one is for, as it was called then.
#[derive(Debug, Clone)]
pub struct Customer<Id = TenantId> {
    /// Its id.
    pub id: Id,
    /// Its name: of its billing profile, if it had one.
    pub name: String,
    /// Its billing profile, as it was then.
    pub profile: Option<CustomerProfile>,
}

impl<Id> Customer<Id> {
    /// As it is called now: by its profile, or so while it has none.
    pub(crate) fn now(id: Id, name: String, profile: Option<CustomerProfile>) -> Self {
        Self { id, name: profile.as_ref().map_or(name, |profile| profile.legal_name.clone()), profile }
    }
}

/// One line of a document. A credit of what was taxed in several groups is several lines; the days are counted in the
/// first.
#[derive(Debug, Clone)]
pub struct InvoiceLine {
    /// What it says, in words.
    pub description: String,
    /// What was sold: `mailbox`, `setup` or `one_off`.
    pub item: String,
    /// `recurring`: a cycle in advance; `proration`: units added in a cycle; `credit`: units removed from one; `one_off`: a charge
    /// that comes once; `discount`: what is off the line before it, or was, in a credit.
    pub kind: InvoiceLineKind,
    /// The days it charges or credits, half-open; of a charge that comes once the document's.
    pub period: Span,
    /// Units on each of these days; negative in a credit.
    pub quantity: i64,
    /// Units times days.
    pub seat_days: i64,
    /// The published price that it was billed at; `None` of a one-off item.
    pub price_id: Option<PriceId>,
    /// For one unit and one whole interval, or once; `None` when that depends on the quantity.
    pub unit_price: Option<UnitPrice>,
    /// What it comes to, net.
    pub amount: Money,
    /// How it is taxed.
    pub tax: TaxGroup,
    /// Which of the lines that were rated it is, or is a part of: from 1.
    pub(crate) rated_position: i32,
    /// As it was rated: gross where prices include tax.
    pub(crate) rated: Money,
    /// The first charged day of the cycle that it belongs to; of a charge that comes once the document's.
    pub(crate) cycle_starts_on: NaiveDate,
    /// The one-off item that it charges.
    pub(crate) one_off_item_id: Option<OneOffItemId>,
    /// The discount at which it was rated.
    pub(crate) discount: (Percentage, UnitPrice),
}

/// A document of either level.
#[derive(Debug, Clone)]
pub enum Found {
    /// A reseller's, for a tenant.
    Retail(Box<Invoice>),
    /// The operator's, for a reseller.
    Wholesale(Box<WholesaleInvoice>),
}

/// The document with that id, of either level.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one that the caller may not know of;
/// [`Error::Tenancy`] without the right to see it.
pub async fn find(caller: &Caller, id: InvoiceId) -> Result<Found, Error> {
    caller.require(Action::InvoiceRead)?;
    match place(caller, id).await? {
        Some(_) => Ok(Found::Retail(Box::new(get(caller, id).await?))),
        None => Ok(Found::Wholesale(Box::new(wholesale::invoice::find(caller, id).await?))),
    }
}

/// Voids a final invoice of either level, and returns the credit note that does.
///
/// # Errors
/// As [`void()`]; [`Error::NotFound`] for a wholesale one for whoever is no party to it, and [`Error::Tenancy`] for any but the
/// operator; [`Error::Conflict`] `not_voidable` for one of a reseller that was deleted, too.
pub async fn void_either(caller: &Caller, id: InvoiceId, reason: &str) -> Result<Found, Error> {
    match place(caller, id).await? {
        Some(_) => Ok(Found::Retail(Box::new(void(caller, id, reason).await?))),
        None => Ok(Found::Wholesale(Box::new(wholesale::void::void(caller, id, reason).await?))),
    }
}

/// How an issuer presents itself today: no part of what a document says.
#[derive(Debug, Default)]
pub struct Look {
    /// Its branding and what it inherits.
    pub branding: Effective,
    /// The picture in the head of its documents.
    pub logo: Option<Vec<u8>>,
}

/// The look of who issued a document that the caller has found. The operator has a logo, and no branding of its own.
///
/// # Errors
/// [`Error::Db`] when the database fails.
#[expect(
    clippy::disallowed_methods,
    reason = "a tenant sees its issuer's look, which is the reseller's, and no other's: the document names it"
)]
pub async fn look(caller: &Caller, of: &Issuer) -> Result<Look, Error> {
    let mut tx = SystemTx::begin(caller.db()).await?;
    let logo = profile::store::logo(&mut tx, of.id).await?;
    if of.id == OPERATOR {
        return Ok(Look { logo, ..Look::default() });
    }
    Ok(Look { branding: branding::of_issuer(&mut tx, of.id).await?, logo })
}

/// The documents that a credit note corrects, as it names them: by number and day.
///
/// # Errors
/// [`Error::Tenancy`] when the document has gone out of the caller's scope since.
pub async fn corrected(caller: &Caller, of: &Found) -> Result<Vec<(String, NaiveDate)>, Error> {
    match of {
        Found::Retail(invoice) if invoice.corrects.is_empty() => Ok(Vec::new()),
        Found::Retail(invoice) => {
            let place = (invoice.customer.id, invoice.issuer.id);
            let reader = Reader::enter(caller, place, Action::InvoiceRead).await?;
            store::names(&mut *reader.read().await?, &invoice.corrects).await
        }
        Found::Wholesale(invoice) => wholesale::invoice::names(caller, &invoice.corrects).await,
    }
}

/// One of a tenant's documents, for whoever sees the tenant and for whoever sees its issuer.
///
/// # Errors
/// [`Error::NotFound`], the same for one that does not exist and for one of which both are out of scope.
pub async fn get(caller: &Caller, id: InvoiceId) -> Result<Invoice, Error> {
    let place = place(caller, id).await?.ok_or(Error::NotFound)?;
    let reader = Reader::enter(caller, place, Action::InvoiceRead).await?;
    let mut tx = reader.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Enters the tenant that a document is of, a deleted one too for those above it, to do something with the document.
pub(crate) async fn enter(caller: &Caller, id: InvoiceId, action: Action) -> Result<Ctx, Error> {
    let place = place(caller, id).await?.ok_or(Error::NotFound)?;
    reader::enter(caller, place, action).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "a document's path names no tenant; the tenant or the issuer found is then entered by the caller"
)]
async fn place(caller: &Caller, id: InvoiceId) -> Result<Option<Place>, Error> {
    let mut read = SystemRead::open(caller.db()).await?;
    Ok(store::place_of(&mut read, id).await?)
}

named! {
    /// How a document stands.
    Status {
        /// Nobody owes it yet.
        Draft = "draft",
        /// Something of it is due; or it is a credit note.
        Final = "final",
        /// Nothing of it is due.
        Paid = "paid",
        /// It was taken back.
        Void = "void",
    }
}

impl Status {
    /// How a final document stands.
    pub(crate) fn of_final(kind: DocumentKind, is_unbilled: bool, due_minor: i64) -> Self {
        match kind {
            DocumentKind::Invoice if is_unbilled => Self::Void,
            DocumentKind::Invoice if due_minor == 0 => Self::Paid,
            DocumentKind::Invoice | DocumentKind::CreditNote => Self::Final,
        }
    }
}

/// Which documents are listed: those of which all of this holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only invoices, or only credit notes.
    pub kind: Option<DocumentKind>,
    /// Only those that were issued, or are to be, on this day or later.
    pub from: Option<NaiveDate>,
    /// Only those before this day.
    pub until: Option<NaiveDate>,
}

/// The tenant's documents, in the order in which they were made.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see them.
pub async fn list(ctx: &Ctx, filter: Filter, page: PageRequest) -> Result<Page<Invoice>, Error> {
    ctx.require(Action::InvoiceRead)?;
    let mut tx = ctx.read().await?;
    let rows = store::list(&mut tx, filter, &page, false).await?;
    Ok(Page::cut(rows, &page, |invoice| invoice.id.uuid()))
}
