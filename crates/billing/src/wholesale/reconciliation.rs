//! The reconciliation file of a wholesale document: a row for each tenant, item and stretch of days with the same number of
//! units, so that a reseller can follow every seat-day. The rows' amounts are the document's lines and sum up to its net.

use kernel::InvoiceId;
use tenancy::ResellerCtx;

use super::invoice::{self, WholesaleInvoice, WholesaleLine};
use crate::Error;
use crate::table::{Cell, Format, Table};

const COLUMNS: [&str; 15] = [
    "invoice_id",
    "invoice_number",
    "tenant_id",
    "tenant_name",
    "item",
    "kind",
    "first_day",
    "last_day",
    "days",
    "quantity",
    "seat_days",
    "price_id",
    "unit_price",
    "currency",
    "amount_minor",
];

/// The file of a document, its rows in the order of the lines.
///
/// # Errors
/// As [`invoice::get`].
pub async fn file(ctx: &ResellerCtx, id: InvoiceId, format: Format) -> Result<Vec<u8>, Error> {
    let document = invoice::get(ctx, id).await?;
    Table::new(format, COLUMNS).piece(document.lines.iter().map(|line| row(&document, line)))
}

fn row(document: &WholesaleInvoice, line: &WholesaleLine) -> [Cell; COLUMNS.len()] {
    let end = line.period.end();
    [
        Cell::of(document.id),
        Cell::of(&document.number),
        // None: committed and not used.
        Cell::option(line.tenant.as_ref(), |tenant| Cell::of(tenant.id)),
        Cell::option(line.tenant.as_ref(), |tenant| Cell::of(&tenant.name)),
        Cell::of(&line.item),
        Cell::of(line.kind.as_str()),
        Cell::Day(line.period.start()),
        Cell::Day(end.pred_opt().unwrap_or(end)),
        Cell::Integer(line.period.days()),
        // Units on each of the days, or of storage GiB; negative in a credit.
        Cell::Integer(line.quantity),
        Cell::Integer(line.seat_days),
        Cell::of(line.price_id),
        Cell::option(line.unit_price, |price| Cell::Decimal(price.to_string())),
        Cell::of(line.amount.currency),
        Cell::Integer(line.amount.amount_minor),
    ]
}
