//! The rows of the ledger.

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::{Currency, DisputeFeeId, DisputeId, InvoiceId, Money, PaymentId, RefundId};
use uuid::Uuid;

use super::document::customer;
use super::{Level, Scope, store};
use crate::Error;
use crate::table::{Cell, Format, Table};

const COLUMNS: [&str; 10] = [
    "effective_on",
    "posted_at",
    "reference",
    "code",
    "customer_id",
    "debit_account",
    "credit_account",
    "currency",
    "amount_minor",
    "amount",
];

/// A transfer as it is stored.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) effective_on: NaiveDate,
    pub(super) posted_at: DateTime<Utc>,
    pub(super) reference: Uuid,
    pub(super) code: String,
    pub(super) customer_id: Uuid,
    pub(super) debit_account: String,
    pub(super) credit_account: String,
    pub(super) currency: String,
    pub(super) amount_minor: i64,
}

/// After which transfer a page begins.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) effective_on: NaiveDate,
    pub(super) reference: Uuid,
    pub(super) code: String,
}

/// The id of what was posted: a document, or money that moved.
fn reference(code: &str, id: Uuid) -> Result<Cell, Error> {
    match code {
        "invoice_net" | "invoice_tax" | "credit_note_net" | "credit_note_tax" => {
            Ok(Cell::of(InvoiceId::from_uuid(id)))
        }
        "payment" => Ok(Cell::of(PaymentId::from_uuid(id))),
        "refund" | "refund_returned" => Ok(Cell::of(RefundId::from_uuid(id))),
        "dispute" | "dispute_reinstated" => Ok(Cell::of(DisputeId::from_uuid(id))),
        "dispute_fee" | "dispute_fee_returned" => Ok(Cell::of(DisputeFeeId::from_uuid(id))),
        _ => Err(Error::Stored("transfer code")),
    }
}

fn cells(level: Level, row: Row) -> Result<[Cell; COLUMNS.len()], Error> {
    let currency: Currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
    Ok([
        Cell::Day(row.effective_on),
        Cell::Moment(row.posted_at),
        reference(&row.code, row.reference)?,
        Cell::Text(row.code),
        customer(level, row.customer_id),
        Cell::Text(row.debit_account),
        Cell::Text(row.credit_account),
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
        let after = Place { effective_on: from, reference: Uuid::nil(), code: String::new() };
        Self { table: Table::new(format, COLUMNS), after }
    }

    /// The next page, and whether there may be another.
    pub(super) async fn next(&mut self, tx: &mut SystemTx, scope: &Scope) -> Result<(Vec<u8>, bool), Error> {
        let rows = match scope.level {
            Level::Retail => store::retail_transfers(tx, scope, &self.after).await?,
            Level::Wholesale => store::wholesale_transfers(tx, scope, &self.after).await?,
        };
        if let Some(Row { effective_on, reference, code, .. }) = rows.last() {
            self.after = Place { effective_on: *effective_on, reference: *reference, code: code.clone() };
        }
        let rows = rows.into_iter().map(|row| cells(scope.level, row)).collect::<Result<Vec<_>, Error>>()?;
        let is_full = super::is_full(rows.len());
        Ok((self.table.piece(rows)?, is_full))
    }
}
