//! What verifying finds, in types and in words.

use std::fmt;

use chrono::NaiveDate;
use kernel::{
    DisputeFeeId, DisputeId, InvoiceId, Money, OneOffItemId, PaymentId, PriceId, RefundId, ResellerId,
    TenantId,
};

use crate::invoice::InvoiceLineKind;
use crate::ledger::Account;
use crate::rating::{RatingError, Span, TaxGroup, TreatmentError, UnitPrice};

/// One difference, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Who was billed; `None` for a number series, which is an issuer's.
    pub customer: Option<Customer>,
    /// What differs.
    pub difference: Difference,
}

/// Who was billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Customer {
    /// A tenant, by its reseller.
    Tenant(TenantId),
    /// A reseller, by the operator.
    Reseller(ResellerId),
}

impl fmt::Display for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(id) => fmt::Display::fmt(id, f),
            Self::Reseller(id) => fmt::Display::fmt(id, f),
        }
    }
}

/// A difference between what is stored and what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A stored value is none that was ever written.
    Unreadable(&'static str),
    /// A line is not the one that the event log makes.
    Line {
        /// The document.
        document: InvoiceId,
        /// Which of its lines, from 1.
        position: usize,
        /// As it is stored, if it is.
        stored: Option<LineFigures>,
        /// As the rating core makes it, if it does.
        computed: Option<LineFigures>,
    },
    /// How a line is taxed is not what the profiles and rates of the document make.
    LineTax {
        /// The document.
        document: InvoiceId,
        /// Which of its lines, from 1.
        position: usize,
        /// As it is stored, if it is.
        stored: Option<TaxedAmount>,
        /// As it should be, if it should be there.
        computed: Option<TaxedAmount>,
    },
    /// The tax of a category and rate is not what the lines make.
    Tax {
        /// The document.
        document: InvoiceId,
        /// The category and rate.
        group: TaxGroup,
        /// The net amount and the tax on it as they are stored, if they are.
        stored: Option<(Money, Money)>,
        /// As they should be, if there should be any.
        computed: Option<(Money, Money)>,
    },
    /// By its profiles and rates a document cannot be taxed.
    Untaxable {
        /// The document.
        document: InvoiceId,
        /// Why.
        error: TreatmentError,
    },
    /// A boundary owes something, and there is no document of it.
    DocumentMissing {
        /// The boundary.
        boundary: NaiveDate,
        /// How many lines it should have.
        lines: usize,
    },
    /// A document was made for a day that no boundary of the subscription was billed on.
    DocumentUnfounded {
        /// The document.
        document: InvoiceId,
        /// The day.
        issued_on: NaiveDate,
    },
    /// The event log of a billed boundary cannot be rated.
    NotRatable {
        /// The boundary.
        boundary: NaiveDate,
        /// Why.
        error: RatingError,
    },
    /// What was known at a billed boundary is more than the logs have.
    LogCut {
        /// The boundary.
        boundary: NaiveDate,
    },
    /// A boundary was skipped, or the subscription goes on from another day than the one after the last billed.
    Boundary {
        /// Where billing should have gone on; `None` if nowhere.
        computed: Option<NaiveDate>,
        /// Where it did.
        stored: Option<NaiveDate>,
    },
    /// What the next run would go on from: a cycle's days, its calendar or which lines are its own.
    Cycle {
        /// Its first day.
        starts_on: NaiveDate,
    },
    /// A document's sum is not what it is made of.
    Sum {
        /// The document.
        document: InvoiceId,
        /// Which sum.
        sum: Sum,
        /// As it is stored.
        stored: Money,
        /// As it should be; of [`Sum::Credited`], at most.
        computed: Money,
    },
    /// A leg of a document, payment or refund in the ledger.
    Transfer {
        /// What is posted, or what the transfer says is.
        posted: Posted,
        /// Which leg.
        code: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A document counts as billed no more, though it is no draft and no credit note has taken it back; or what voids it does
    /// not take it back to nothing.
    NotTakenBack {
        /// The document, or the credit note that should take it back.
        document: InvoiceId,
    },
    /// A credit note corrects an invoice by more than it takes back of what that billed, and another by less of which something is left.
    Corrected {
        /// The credit note.
        credit_note: InvoiceId,
        /// The invoice that it corrects.
        invoice: InvoiceId,
        /// One that billed what it takes back.
        instead: InvoiceId,
    },
    /// A balance by the ledger is not the one by the documents, payments and refunds.
    Balance {
        /// The issuer.
        issuer: ResellerId,
        /// The account.
        account: Account,
        /// By the transfers.
        by_ledger: Money,
        /// By the documents, payments and refunds.
        by_documents: Money,
    },
    /// More of a payment was paid back, or taken back by a dispute, than had arrived.
    Refunded {
        /// The payment.
        payment: PaymentId,
        /// What had arrived.
        received: Money,
        /// What went back of it.
        refunded: Money,
    },
    /// The numbers of a series are not 1 to the last that was given out.
    Numbers(Gap),
}

/// What a line says in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineFigures {
    /// Of a wholesale line, whose seats; `None`: committed and not used.
    pub tenant_id: Option<TenantId>,
    /// Why it is there.
    pub kind: InvoiceLineKind,
    /// The days.
    pub period: Span,
    /// Units on each of them.
    pub quantity: i64,
    /// Units times days.
    pub seat_days: i64,
    /// The published price; `None` of a one-off item.
    pub price_id: Option<PriceId>,
    /// The one-off item.
    pub one_off_item_id: Option<OneOffItemId>,
    /// For one unit and one whole interval, or once; `None` when that depends on the quantity.
    pub unit_price: Option<UnitPrice>,
    /// What it comes to.
    pub amount: Money,
}

/// How a line is taxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaxedAmount {
    /// The category and rate.
    pub group: TaxGroup,
    /// Net.
    pub net: Money,
}

/// A sum of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// The net, of the lines.
    Net,
    /// The tax, of its groups.
    Tax,
    /// The total, of net and tax.
    Total,
    /// What a document credits on invoices: a credit note its whole total, an invoice nothing.
    Credits,
    /// What is credited on a document: of an invoice at most its total, of a credit note nothing.
    Credited,
}

/// What a transfer is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// An invoice or credit note.
    Document(InvoiceId),
    /// A payment that arrived.
    Payment(PaymentId),
    /// What was paid back.
    Refund(RefundId),
    /// What a dispute took, or gave back.
    Dispute(DisputeId),
    /// What the provider charged for a dispute, or gave back of that.
    DisputeFee(DisputeFeeId),
}

impl fmt::Display for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(id) => fmt::Display::fmt(id, f),
            Self::Payment(id) => fmt::Display::fmt(id, f),
            Self::Refund(id) => fmt::Display::fmt(id, f),
            Self::Dispute(id) => fmt::Display::fmt(id, f),
            Self::DisputeFee(id) => fmt::Display::fmt(id, f),
        }
    }
}

/// What is wrong with a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It was posted, and the ledger has not the leg.
    Missing,
    /// The ledger has the leg, and there is nothing that it was posted from.
    Unfounded,
    /// Issuer, accounts, currency, amount, day or moment is another.
    Differs,
}

/// Where a series breaks off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose series.
    pub issuer: ResellerId,
    /// `invoice`, `credit_note` or `price_book`.
    pub series: String,
    /// The number at which it breaks off; 0 is before the first.
    pub after: i64,
    /// How.
    pub what: GapKind,
}

/// How a series breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapKind {
    /// The numbers after it are missing up to and including `until`.
    Missing {
        /// The last that is missing.
        until: i64,
    },
    /// It is used twice.
    Twice,
    /// It was used, and the series' counter is behind it.
    BeyondCounter {
        /// The last number that the counter gave out.
        counter: i64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(customer) = self.customer {
            write!(f, "{customer}: ")?;
        }
        write!(f, "{}", self.difference)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(what) => write!(f, "a stored {what} cannot be read"),
            Self::Line { document, position, stored, computed } => {
                let shown = |line: &Option<LineFigures>| {
                    line.map_or_else(|| "nothing".to_owned(), |line| line.to_string())
                };
                let (stored, computed) = (shown(stored), shown(computed));
                write!(f, "{document} line {position}: stored {stored}; computed {computed}")
            }
            Self::LineTax { document, position, stored, computed } => {
                let shown = |line: &Option<TaxedAmount>| {
                    let in_words = |TaxedAmount { group, net }: &TaxedAmount| format!("{net} at {group}");
                    line.as_ref().map_or_else(|| "nothing".to_owned(), in_words)
                };
                let (stored, computed) = (shown(stored), shown(computed));
                write!(f, "{document} line {position}: taxed {stored}; computed {computed}")
            }
            Self::Tax { document, group, stored, computed } => {
                let shown = |amounts: &Option<(Money, Money)>| {
                    let in_words = |(taxable, tax): &(Money, Money)| format!("{tax} on {taxable}");
                    amounts.as_ref().map_or_else(|| "nothing".to_owned(), in_words)
                };
                let (stored, computed) = (shown(stored), shown(computed));
                write!(f, "{document}: tax at {group} is {stored}, the lines make {computed}")
            }
            Self::Untaxable { document, error } => write!(f, "{document}: {error}"),
            Self::DocumentMissing { boundary, lines } => {
                write!(f, "no document of {boundary}, which owes {lines} lines")
            }
            Self::DocumentUnfounded { document, issued_on } => {
                write!(f, "{document}: nothing was billed on its day, {issued_on}")
            }
            Self::NotRatable { boundary, error } => write!(f, "{boundary} cannot be computed: {error}"),
            Self::LogCut { boundary } => {
                write!(f, "the event log has less than was known when {boundary} was billed")
            }
            Self::Boundary { computed, stored } => {
                let day = |day: &Option<NaiveDate>| day.map_or("nowhere".into(), |day| day.to_string());
                let (computed, stored) = (day(computed), day(stored));
                write!(f, "billing should have gone on from {computed}, and went on from {stored}")
            }
            Self::Cycle { starts_on } => {
                write!(
                    f,
                    "the cycle from {starts_on} on has other days, another calendar or other lines than it was billed with"
                )
            }
            Self::Sum { document, sum, stored, computed } => {
                let (name, made_of) = sum.in_words();
                write!(f, "{document}: {name} is {stored}, {made_of} {computed}")
            }
            Self::Transfer { posted, code, fault } => {
                let fault = match fault {
                    Fault::Missing => "is not in the ledger",
                    Fault::Unfounded => "is in the ledger and of nothing that is there",
                    Fault::Differs => "in the ledger is not what it was posted from",
                };
                write!(f, "{posted}: {code} {fault}")
            }
            Self::Balance { issuer, account, by_ledger, by_documents } => {
                let account = account.as_str();
                write!(
                    f,
                    "{account} of {issuer} is {by_ledger} by the ledger, {by_documents} by the documents and payments"
                )
            }
            Self::Refunded { payment, received, refunded } => {
                write!(f, "{payment}: {refunded} of it went back, and {received} had arrived")
            }
            Self::NotTakenBack { document } => {
                write!(f, "{document}: it counts as billed no more, and was not taken back to nothing")
            }
            Self::Corrected { credit_note, invoice, instead } => {
                write!(f, "{credit_note}: it credits {invoice} with what {instead} billed")
            }
            Self::Numbers(gap) => write!(f, "{gap}"),
        }
    }
}

impl fmt::Display for LineFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant_id, kind, period, quantity, seat_days, .. } = self;
        let (kind, start, end) = (kind.as_str(), period.start(), period.end());
        if let Some(tenant_id) = tenant_id {
            write!(f, "{tenant_id} ")?;
        }
        write!(f, "{kind} {start}..{end} x{quantity} = {seat_days} seat-days")?;
        if let Some(price_id) = self.price_id {
            write!(f, " at {price_id}")?;
        }
        if let Some(item_id) = self.one_off_item_id {
            write!(f, " of {item_id}")?;
        }
        if let Some(unit_price) = self.unit_price {
            write!(f, " ({unit_price})")?;
        }
        write!(f, ", {}", self.amount)
    }
}

impl Sum {
    fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Net => ("the net", "the lines make"),
            Self::Tax => ("the tax", "its groups make"),
            Self::Total => ("the total", "net and tax make"),
            Self::Credits => ("what it credits on invoices", "it should be"),
            Self::Credited => ("what is credited on it", "it may be at most"),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, series, after, what } = self;
        write!(f, "{series} numbers of {issuer}: ")?;
        match what {
            GapKind::Missing { until } => write!(f, "{} to {until} are missing", after + 1),
            GapKind::Twice => write!(f, "{after} is used twice"),
            GapKind::BeyondCounter { counter } => {
                write!(f, "{after} is used, and the last given out is {counter}")
            }
        }
    }
}
