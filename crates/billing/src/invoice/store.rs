//! SQL of documents.

use std::collections::BTreeMap;

use db::SystemTx;
use kernel::{Currency, InvoiceId, Money, PageRequest, PriceId, ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::TenantTx;
use uuid::Uuid;

use super::{Customer, DocumentKind, Invoice, InvoiceLine, Issuer};
use crate::Error;
use crate::rating::{Cycle, LineKind, Span};
use crate::receivable::Receivables;

/// A document to be written, without a number yet.
#[derive(Debug)]
pub(crate) struct NewInvoice<'a> {
    pub(crate) id: InvoiceId,
    pub(crate) kind: DocumentKind,
    pub(crate) issuer: &'a Issuer,
    pub(crate) customer_name: &'a str,
    pub(crate) currency: Currency,
    pub(crate) issued_on: NaiveDate,
    pub(crate) due_on: NaiveDate,
    pub(crate) net_minor: i64,
    pub(crate) finalized_at: DateTime<Utc>,
}

/// Writes a document with its number. There is no tax yet: the net is the total.
pub(crate) async fn insert(tx: &mut TenantTx, new: &NewInvoice<'_>, number: i64) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into invoices (tenant_id, id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on,
           due_on, net_minor, tax_minor, total_minor, finalized_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $11, $12)",
        tenant_id,
        new.id.uuid(),
        new.kind.as_str(),
        new.issuer.id.uuid(),
        number,
        new.issuer.name,
        new.customer_name,
        new.currency.code(),
        new.issued_on,
        new.due_on,
        new.net_minor,
        new.finalized_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn insert_line(
    tx: &mut TenantTx,
    invoice_id: InvoiceId,
    position: i32,
    line: &InvoiceLine,
    cycle: Cycle,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into invoice_lines (tenant_id, invoice_id, position, item, kind, description, period, cycle, quantity,
           seat_days, price_id, unit_price, amount_minor)
         values ($1, $2, $3, $4, $5, $6, daterange($7, $8), daterange($9, $10), $11, $12, $13, $14::text::numeric, $15)",
        tenant_id,
        invoice_id.uuid(),
        position,
        line.item,
        line.kind.as_str(),
        line.description,
        line.period.start(),
        line.period.end(),
        cycle.charged.start(),
        cycle.charged.end(),
        line.quantity,
        line.seat_days,
        line.price_id.uuid(),
        line.unit_price.map(|unit_price| unit_price.to_string()),
        line.amount.amount_minor,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The invoices of which something has not been credited yet, the newest first, with how much.
pub(crate) async fn creditable(tx: &mut TenantTx) -> Result<Vec<(InvoiceId, i64)>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select id, "left" as "left!" from (
             select i.id, i.issued_on, i.total_minor - coalesce((
               select sum(r.amount_minor) from credit_note_references r
               where r.tenant_id = i.tenant_id and r.invoice_id = i.id), 0)::bigint as "left"
             from invoices i where i.tenant_id = $1 and i.kind = 'invoice') open
           where "left" > 0 order by issued_on desc"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (InvoiceId::from_uuid(row.id), row.left)).collect())
}

pub(crate) async fn insert_reference(
    tx: &mut TenantTx,
    credit_note: InvoiceId,
    invoice: InvoiceId,
    amount_minor: i64,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into credit_note_references (tenant_id, credit_note_id, invoice_id, amount_minor) values ($1, $2, $3, $4)",
        tenant_id,
        credit_note.uuid(),
        invoice.uuid(),
        amount_minor,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn tenant_of(tx: &mut SystemTx, id: InvoiceId) -> Result<Option<TenantId>, db::Error> {
    let found = sqlx::query_scalar!("select tenant_id from invoices where id = $1", id.uuid())
        .fetch_optional(tx.conn())
        .await?;
    Ok(found.map(TenantId::from_uuid))
}

struct Row {
    id: Uuid,
    kind: String,
    issuer_id: Uuid,
    number: i64,
    issuer_name: String,
    customer_name: String,
    currency: String,
    issued_on: NaiveDate,
    due_on: NaiveDate,
    status: String,
    net_minor: i64,
    tax_minor: i64,
    total_minor: i64,
}

pub(super) async fn find(tx: &mut TenantTx, id: InvoiceId) -> Result<Option<Invoice>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on, due_on, status, net_minor,
           tax_minor, total_minor
         from invoices where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    Ok(with_lines(tx, vec![row]).await?.pop())
}

pub(crate) async fn list(tx: &mut TenantTx, page: &PageRequest) -> Result<Vec<Invoice>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on, due_on, status, net_minor,
           tax_minor, total_minor
         from invoices where tenant_id = $1 and id > $2 order by id limit $3",
        tenant_id,
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    with_lines(tx, rows).await
}

async fn with_lines(tx: &mut TenantTx, rows: Vec<Row>) -> Result<Vec<Invoice>, Error> {
    let tenant_id = tx.tenant_id();
    let ids = rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let receivables = Receivables::read(tx).await?;
    let mut invoices = BTreeMap::new();
    for row in rows {
        invoices.insert(row.id, invoice(tenant_id, row, &receivables)?);
    }
    let lines = sqlx::query!(
        r#"select invoice_id, item, kind, description, lower(period) as "start!", upper(period) as "end!", quantity,
             seat_days, price_id, unit_price::text, amount_minor
           from invoice_lines where tenant_id = $1 and invoice_id = any ($2) order by invoice_id, position"#,
        tenant_id.uuid(),
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in lines {
        let Some(invoice) = invoices.get_mut(&row.invoice_id) else { continue };
        let unit_price = row.unit_price.as_deref().map(str::parse).transpose();
        invoice.lines.push(InvoiceLine {
            description: row.description,
            item: row.item,
            kind: LineKind::from_name(&row.kind).ok_or(Error::Stored("line kind"))?,
            period: Span::new(row.start, row.end).ok_or(Error::Stored("period"))?,
            quantity: row.quantity,
            seat_days: row.seat_days,
            price_id: PriceId::from_uuid(row.price_id),
            unit_price: unit_price.map_err(|_| Error::Stored("unit price"))?,
            amount: Money::new(row.amount_minor, invoice.currency),
        });
    }
    let references = sqlx::query!(
        "select credit_note_id, invoice_id from credit_note_references
         where tenant_id = $1 and credit_note_id = any ($2) order by credit_note_id, invoice_id",
        tenant_id.uuid(),
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in references {
        if let Some(credit_note) = invoices.get_mut(&row.credit_note_id) {
            credit_note.corrects.push(InvoiceId::from_uuid(row.invoice_id));
        }
    }
    Ok(invoices.into_values().collect())
}

fn invoice(tenant_id: TenantId, row: Row, receivables: &Receivables) -> Result<Invoice, Error> {
    let kind = DocumentKind::from_name(&row.kind).ok_or(Error::Stored("document kind"))?;
    let id = InvoiceId::from_uuid(row.id);
    let (paid_minor, due_minor) = match kind {
        DocumentKind::CreditNote => (0, 0),
        DocumentKind::Invoice => {
            let due_minor = receivables.due_minor(id);
            (row.total_minor - due_minor, due_minor)
        }
    };
    let is_paid = kind == DocumentKind::Invoice && due_minor == 0;
    let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
    Ok(Invoice {
        id,
        number: kind.number(row.number),
        kind,
        issuer: Issuer { id: ResellerId::from_uuid(row.issuer_id), name: row.issuer_name },
        customer: Customer { id: tenant_id, name: row.customer_name },
        currency,
        issued_on: row.issued_on,
        due_on: row.due_on,
        status: if is_paid { "paid".to_owned() } else { row.status },
        corrects: Vec::new(),
        lines: Vec::new(),
        net: Money::new(row.net_minor, currency),
        tax: Money::new(row.tax_minor, currency),
        total: Money::new(row.total_minor, currency),
        paid: Money::new(paid_minor, currency),
        due: Money::new(due_minor, currency),
    })
}
