//! The rows of documents.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::{Currency, InvoiceId, Money, ResellerId, TenantId};
use uuid::Uuid;

use super::{Level, Scope, store};
use crate::Error;
use crate::invoice::{DocumentKind, Status};
use crate::receivable::Receivables;
use crate::table::{Cell, Format, Table};

const COLUMNS: [&str; 23] = [
    "invoice_id",
    "number",
    "kind",
    "issued_on",
    "due_on",
    "issuer_id",
    "issuer_name",
    "customer_id",
    "customer_name",
    "corrects",
    "currency",
    "net_minor",
    "tax_minor",
    "total_minor",
    "net",
    "tax",
    "total",
    "finalized_at",
    "status",
    "paid_minor",
    "due_minor",
    "paid",
    "due",
];

/// A document as it is stored; the issuer of a retail one, and of a wholesale one none, being the operator.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) id: Uuid,
    pub(super) number: i64,
    pub(super) kind: String,
    pub(super) issued_on: NaiveDate,
    pub(super) due_on: NaiveDate,
    pub(super) issuer_id: Option<Uuid>,
    pub(super) issuer_name: String,
    pub(super) customer_id: Uuid,
    pub(super) customer_name: String,
    /// Numbers of the invoices that it corrects.
    pub(super) corrects: Vec<i64>,
    pub(super) currency: String,
    pub(super) net_minor: i64,
    pub(super) tax_minor: i64,
    pub(super) total_minor: i64,
    pub(super) finalized_at: DateTime<Utc>,
    /// Whether it counts as billed no more.
    pub(super) is_unbilled: bool,
}

/// What is due of all invoices of the customers of some documents, by customer.
async fn receivables(
    tx: &mut SystemTx,
    scope: &Scope,
    rows: &[Document],
) -> Result<BTreeMap<Uuid, Receivables>, Error> {
    match scope.level {
        Level::Retail => {
            let tenants: BTreeSet<_> = rows.iter().map(|row| TenantId::from_uuid(row.customer_id)).collect();
            let tenants: Vec<TenantId> = tenants.into_iter().collect();
            let all = Receivables::of_issuer(tx, scope.reseller_id, &tenants).await?;
            Ok(all.into_iter().map(|(id, of)| (id.uuid(), of)).collect())
        }
        Level::Wholesale => {
            let of = Receivables::of_reseller(tx, scope.reseller_id).await?;
            Ok(BTreeMap::from([(scope.reseller_id.uuid(), of)]))
        }
    }
}

/// A reseller's id for wholesale, else a tenant's.
pub(super) fn customer(level: Level, id: Uuid) -> Cell {
    match level {
        Level::Retail => Cell::of(TenantId::from_uuid(id)),
        Level::Wholesale => Cell::of(ResellerId::from_uuid(id)),
    }
}

/// The cells of a document, of whose customer's invoices so much is due.
fn cells(
    level: Level,
    row: Document,
    receivables: Option<&Receivables>,
) -> Result<[Cell; COLUMNS.len()], Error> {
    let kind: DocumentKind = row.kind.parse().map_err(|_| Error::Stored("document kind"))?;
    let currency: Currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
    let corrects: Vec<String> =
        row.corrects.iter().map(|number| DocumentKind::Invoice.number(*number)).collect();
    let id = InvoiceId::from_uuid(row.id);
    let [paid, _, due] = match kind {
        DocumentKind::Invoice => {
            receivables.ok_or(Error::Stored("account"))?.parts_minor(id, row.total_minor)
        }
        DocumentKind::CreditNote => [0; 3],
    };
    let status = Status::of_final(kind, row.is_unbilled, due);
    let amounts = [row.net_minor, row.tax_minor, row.total_minor, paid, due];
    let amounts = amounts.map(|minor| Money::new(minor, currency));
    let [net_minor, tax_minor, total_minor, paid_minor, due_minor] =
        amounts.map(|money| Cell::Integer(money.amount_minor));
    let [net, tax, total, paid, due] = amounts.map(Cell::amount);
    Ok([
        Cell::of(id),
        Cell::of(kind.number(row.number)),
        Cell::of(kind.as_str()),
        Cell::Day(row.issued_on),
        Cell::Day(row.due_on),
        Cell::option(row.issuer_id, |id| Cell::of(ResellerId::from_uuid(id))),
        Cell::Text(row.issuer_name),
        customer(level, row.customer_id),
        Cell::Text(row.customer_name),
        if corrects.is_empty() { Cell::Empty } else { Cell::Text(corrects.join(" ")) },
        Cell::of(currency),
        net_minor,
        tax_minor,
        total_minor,
        net,
        tax,
        total,
        Cell::Moment(row.finalized_at),
        Cell::of(status.as_str()),
        paid_minor,
        due_minor,
        paid,
        due,
    ])
}

/// The pages of the file.
#[derive(Debug)]
pub(super) struct Pages {
    table: Table<{ COLUMNS.len() }>,
    /// The last row of the page before.
    after: (NaiveDate, Uuid),
}

impl Pages {
    pub(super) fn new(from: NaiveDate, format: Format) -> Self {
        Self { table: Table::new(format, COLUMNS), after: (from, Uuid::nil()) }
    }

    /// The next page, and whether there may be another.
    pub(super) async fn next(&mut self, tx: &mut SystemTx, scope: &Scope) -> Result<(Vec<u8>, bool), Error> {
        let rows = match scope.level {
            Level::Retail => store::retail_documents(tx, scope, self.after).await?,
            Level::Wholesale => store::wholesale_documents(tx, scope, self.after).await?,
        };
        if let Some(last) = rows.last() {
            self.after = (last.issued_on, last.id);
        }
        let receivables = receivables(tx, scope, &rows).await?;
        let of_row = |row: Document| {
            let of_customer = receivables.get(&row.customer_id);
            cells(scope.level, row, of_customer)
        };
        let rows = rows.into_iter().map(of_row).collect::<Result<Vec<_>, Error>>()?;
        let is_full = super::is_full(rows.len());
        Ok((self.table.piece(rows)?, is_full))
    }
}
