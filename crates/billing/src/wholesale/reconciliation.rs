//! The reconciliation file of a wholesale document: a row for each tenant, item and stretch of days with the same number of
//! seats, so that a reseller can follow every seat-day. The rows' amounts are the document's lines and sum up to its net.

use chrono::NaiveDate;
use kernel::{InvoiceId, PriceId, TenantId};
use serde::Serialize;
use tenancy::ResellerCtx;

use super::invoice::{self, WholesaleInvoice, WholesaleLine};
use crate::Error;

/// One row. In a CSV file, what there is none of is empty.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The document.
    pub invoice_id: InvoiceId,
    /// Its number.
    pub invoice_number: String,
    /// Whose seats; none: committed and not used.
    pub tenant_id: Option<TenantId>,
    /// How the tenant was called when the document was made.
    pub tenant_name: Option<String>,
    /// What was sold: `mailbox`.
    pub item: String,
    /// `recurring`, `proration` or `credit`.
    pub kind: &'static str,
    /// The first day.
    pub first_day: NaiveDate,
    /// The last day.
    pub last_day: NaiveDate,
    /// How many days these are.
    pub days: i64,
    /// Seats on each of them; negative in a credit.
    pub seats: i64,
    /// Seats times days.
    pub seat_days: i64,
    /// The published price.
    pub price_id: PriceId,
    /// For one seat and one whole cycle, in major units.
    pub unit_price: String,
    /// An ISO 4217 code.
    pub currency: &'static str,
    /// In minor units.
    pub amount_minor: i64,
}

/// The rows of a document, in the order of its lines.
///
/// # Errors
/// As [`invoice::get`].
pub async fn rows(ctx: &ResellerCtx, id: InvoiceId) -> Result<Vec<Row>, Error> {
    let document = invoice::get(ctx, id).await?;
    Ok(document.lines.iter().map(|line| row(&document, line)).collect())
}

fn row(document: &WholesaleInvoice, line: &WholesaleLine) -> Row {
    let end = line.period.end();
    Row {
        invoice_id: document.id,
        invoice_number: document.number.clone(),
        tenant_id: line.tenant.as_ref().map(|tenant| tenant.id),
        tenant_name: line.tenant.as_ref().map(|tenant| tenant.name.clone()),
        item: line.item.clone(),
        kind: line.kind.as_str(),
        first_day: line.period.start(),
        last_day: end.pred_opt().unwrap_or(end),
        days: line.period.days(),
        seats: line.quantity,
        seat_days: line.seat_days,
        price_id: line.price_id,
        unit_price: line.unit_price.to_string(),
        currency: line.amount.currency.code(),
        amount_minor: line.amount.amount_minor,
    }
}

/// A file of comma-separated values (RFC 4180) with a header, in UTF-8.
///
/// # Errors
/// [`Error::Stored`] for a row that no file can hold; there is none.
pub fn csv(rows: &[Row]) -> Result<Vec<u8>, Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|_| Error::Stored("row"))?;
    }
    writer.into_inner().map_err(|_| Error::Stored("row"))
}

/// A file with one JSON object a line.
///
/// # Errors
/// As [`csv()`].
pub fn json_lines(rows: &[Row]) -> Result<Vec<u8>, Error> {
    let mut file = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut file, row).map_err(|_| Error::Stored("row"))?;
        file.push(b'\n');
    }
    Ok(file)
}
