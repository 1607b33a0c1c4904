//! Exports for accounting: an issuer's documents, their lines, its ledger and its tenants' usage, as files of any length.
//!
//! A file is read page by page in one snapshot of the database, so that it is of one moment and what is held of it in
//! memory does not grow with it. Its rows are in the order of days, and the same each time.

mod document;
mod ledger;
mod line;
mod store;
mod usage;

use chrono::{Days, Months, NaiveDate};
use db::{Db, SystemTx};
use kernel::{ResellerId, named};
use tenancy::{Action, ResellerCtx};

use crate::Error;
use crate::table::Format;
use crate::wholesale::must_be_party;

/// How many rows are read at once.
const PAGE_ROWS: i64 = 1000;

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Final documents, by the day they were issued on.
    Invoices,
    /// Their lines, which sum up to their nets.
    InvoiceLines,
    /// Transfers of the ledger, by the day they count for.
    Ledger,
    /// What the tenants of the reseller and of those below it used, by tenant and day; at the retail level alone.
    Usage,
}

named! {
    /// Whose documents.
    #[derive(Default)]
    Level {
        /// Those that the reseller issued to its tenants.
        #[default]
        Retail = "retail",
        /// Those that the operator issued to the reseller.
        Wholesale = "wholesale",
    }
}

/// Some calendar days in a row, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: NaiveDate,
    until: NaiveDate,
}

impl Window {
    /// What is wrong with days that [`Window::new`] refuses.
    pub const RULE: &'static str = "must be later than from, by a year at most";
    /// What is wrong with days that [`Window::of_usage`] refuses.
    pub const USAGE_RULE: &'static str = "must be later than from, by 400 days at most";

    /// From a day up to another, which is not in it, a year at most.
    pub fn new(from: NaiveDate, until: NaiveDate) -> Option<Self> {
        let latest = from.checked_add_months(Months::new(12))?;
        (from < until && until <= latest).then_some(Self { from, until })
    }

    /// The same, 400 days at most.
    pub fn of_usage(from: NaiveDate, until: NaiveDate) -> Option<Self> {
        let latest = from.checked_add_days(Days::new(400))?;
        (from < until && until <= latest).then_some(Self { from, until })
    }

    pub(crate) fn from(self) -> NaiveDate {
        self.from
    }

    pub(crate) fn until(self) -> NaiveDate {
        self.until
    }
}

/// Whose rows, and of which days.
#[derive(Debug, Clone, Copy)]
struct Scope {
    reseller_id: ResellerId,
    level: Level,
    until: NaiveDate,
}

/// Whether a page of so many rows is a full one, after which there may be another.
fn is_full(rows: usize) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows == PAGE_ROWS)
}

/// A file under way.
#[derive(Debug)]
pub struct Export {
    tx: SystemTx,
    scope: Scope,
    content: Content,
    is_done: bool,
}

/// What is in it, and after which row the next page begins.
#[derive(Debug)]
enum Content {
    Invoices(document::Pages),
    InvoiceLines(line::Pages),
    Ledger(ledger::Pages),
    Usage(usage::Pages),
}

/// Opens an export. The moment that it shows is that of its first page.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see invoices, of usage subscriptions, or wholesale documents; [`Error::NotFound`] for the wholesale documents of
/// whoever is neither the operator nor the reseller itself.
pub async fn open(
    ctx: &ResellerCtx,
    kind: Kind,
    level: Level,
    days: Window,
    format: Format,
) -> Result<Export, Error> {
    ctx.require(if kind == Kind::Usage { Action::SubscriptionRead } else { Action::InvoiceRead })?;
    if level == Level::Wholesale {
        must_be_party(ctx)?;
        ctx.require(Action::WholesaleRead)?;
    }
    let content = match kind {
        Kind::Invoices => Content::Invoices(document::Pages::new(days.from, format)),
        Kind::InvoiceLines => Content::InvoiceLines(line::Pages::new(days.from, format)),
        Kind::Ledger => Content::Ledger(ledger::Pages::new(days.from, format)),
        Kind::Usage => Content::Usage(usage::Pages::new(days, ctx.db().env().now(), format)),
    };
    let scope = Scope { reseller_id: ctx.reseller_id(), level, until: days.until };
    Ok(Export { tx: snapshot(ctx.db()).await?, scope, content, is_done: false })
}

impl Export {
    /// The next piece of the file; `None` after the last one. Whoever is refused a piece has only a part of the file.
    ///
    /// # Errors
    /// [`Error::Db`], [`Error::Stored`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let (piece, is_more) = match &mut self.content {
            Content::Invoices(pages) => pages.next(&mut self.tx, &self.scope).await?,
            Content::InvoiceLines(pages) => pages.next(&mut self.tx, &self.scope).await?,
            Content::Ledger(pages) => pages.next(&mut self.tx, &self.scope).await?,
            Content::Usage(pages) => pages.next(&mut self.tx, &self.scope).await?,
        };
        self.is_done = !is_more;
        Ok(Some(piece))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an issuer's documents are of all its customers; its caller has entered it"
)]
async fn snapshot(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::snapshot(db).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_year_at_most() {
        let window =
            |from: &str, until: &str| Window::new(from.parse().unwrap(), until.parse().unwrap()).is_some();
        assert!(window("2026-01-31", "2026-02-01") && window("2026-01-31", "2027-01-31"));
        assert!(window("2024-02-29", "2025-02-28"));
        assert!(!window("2026-01-31", "2026-01-31") && !window("2026-01-31", "2026-01-30"));
        assert!(!window("2026-01-31", "2027-02-01"));
    }
}
