//! The rows of documents' lines.

use chrono::NaiveDate;
use db::SystemTx;
use kernel::{Currency, InvoiceId, Money, PriceId, TenantId};
use uuid::Uuid;

use super::document::customer;
use super::{Level, Scope, store};
use crate::Error;
use crate::invoice::DocumentKind;
use crate::table::{Cell, Format, Table};

const COLUMNS: [&str; 22] = [
    "invoice_id",
    "number",
    "issued_on",
    "customer_id",
    "customer_name",
    "position",
    "tenant_id",
    "tenant_name",
    "item",
    "kind",
    "description",
    "first_day",
    "last_day",
    "quantity",
    "seat_days",
    "price_id",
    "unit_price",
    "tax_category",
    "tax_rate",
    "currency",
    "amount_minor",
    "amount",
];

/// A line as it is stored, with what it needs of its document.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) invoice_id: Uuid,
    pub(super) document_kind: String,
    pub(super) number: i64,
    pub(super) issued_on: NaiveDate,
    pub(super) customer_id: Uuid,
    pub(super) customer_name: String,
    pub(super) position: i32,
    pub(super) tenant_id: Option<Uuid>,
    pub(super) tenant_name: Option<String>,
    pub(super) item: String,
    pub(super) kind: String,
    pub(super) description: String,
    pub(super) first_day: NaiveDate,
    pub(super) last_day: NaiveDate,
    pub(super) quantity: i64,
    pub(super) seat_days: i64,
    pub(super) price_id: Option<Uuid>,
    pub(super) unit_price: Option<String>,
    pub(super) tax_category: Option<String>,
    pub(super) tax_rate: Option<String>,
    pub(super) currency: String,
    pub(super) amount_minor: i64,
}

/// After which line a page begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) issued_on: NaiveDate,
    pub(super) invoice_id: Uuid,
    pub(super) position: i32,
}

fn cells(level: Level, row: Line) -> Result<[Cell; COLUMNS.len()], Error> {
    let kind: DocumentKind = row.document_kind.parse().map_err(|_| Error::Stored("document kind"))?;
    let currency: Currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
    Ok([
        Cell::of(InvoiceId::from_uuid(row.invoice_id)),
        Cell::of(kind.number(row.number)),
        Cell::Day(row.issued_on),
        customer(level, row.customer_id),
        Cell::Text(row.customer_name),
        Cell::Integer(row.position.into()),
        Cell::option(row.tenant_id, |id| Cell::of(TenantId::from_uuid(id))),
        Cell::option(row.tenant_name, Cell::Text),
        Cell::Text(row.item),
        Cell::Text(row.kind),
        Cell::Text(row.description),
        Cell::Day(row.first_day),
        Cell::Day(row.last_day),
        Cell::Integer(row.quantity),
        Cell::Integer(row.seat_days),
        Cell::option(row.price_id, |id| Cell::of(PriceId::from_uuid(id))),
        Cell::option(row.unit_price, Cell::Decimal),
        Cell::option(row.tax_category, Cell::Text),
        Cell::option(row.tax_rate, Cell::Decimal),
        Cell::of(currency),
        Cell::Integer(row.amount_minor),
        Cell::amount(Money::new(row.amount_minor, currency)),
    ])
}

/// The pages of the file.
#[derive(Debug)]
pub(super) struct Pages {
    table: Table<{ COLUMNS.len() }>,
    after: Place,
}

impl Pages {
    pub(super) fn new(from: NaiveDate, format: Format) -> Self {
        let after = Place { issued_on: from, invoice_id: Uuid::nil(), position: 0 };
        Self { table: Table::new(format, COLUMNS), after }
    }

    /// The next page, and whether there may be another.
    pub(super) async fn next(&mut self, tx: &mut SystemTx, scope: &Scope) -> Result<(Vec<u8>, bool), Error> {
        let rows = match scope.level {
            Level::Retail => store::retail_lines(tx, scope, self.after).await?,
            Level::Wholesale => store::wholesale_lines(tx, scope, self.after).await?,
        };
        if let Some(last) = rows.last() {
            let Line { issued_on, invoice_id, position, .. } = *last;
            self.after = Place { issued_on, invoice_id, position };
        }
        let rows = rows.into_iter().map(|row| cells(scope.level, row)).collect::<Result<Vec<_>, Error>>()?;
        let is_full = super::is_full(rows.len());
        Ok((self.table.piece(rows)?, is_full))
    }
}
