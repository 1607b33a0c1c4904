//! SQL of exports: each page begins after the last row of the one before.

use db::SystemTx;
use sqlx::types::chrono::NaiveDate;
use uuid::Uuid;

use super::document::Document;
use super::ledger::{Place as TransferPlace, Row as Transfer};
use super::line::{Line, Place as LinePlace};
use super::{PAGE_ROWS, Scope};

pub(super) async fn retail_documents(
    tx: &mut SystemTx,
    scope: &Scope,
    (day, id): (NaiveDate, Uuid),
) -> Result<Vec<Document>, db::Error> {
    let rows = sqlx::query_as!(
        Document,
        r#"select i.id, i.number as "number!", i.kind, i.issued_on, i.due_on, i.issuer_id as "issuer_id: Option<Uuid>", i.issuer_name,
             i.tenant_id as customer_id, i.customer_name, i.currency, i.net_minor, i.tax_minor, i.total_minor,
             i.finalized_at as "finalized_at!",
             array(select c.number from credit_note_references r
               join invoices c on c.tenant_id = r.tenant_id and c.id = r.invoice_id
               where r.tenant_id = i.tenant_id and r.credit_note_id = i.id order by c.number) as "corrects!",
             exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id) as "is_unbilled!"
           from invoices i
           where i.issuer_id = $1 and i.status = 'final' and i.issued_on < $2 and (i.issued_on, i.id) > ($3, $4)
           order by i.issued_on, i.id limit $5"#,
        scope.reseller_id.uuid(),
        scope.until,
        day,
        id,
        PAGE_ROWS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

pub(super) async fn wholesale_documents(
    tx: &mut SystemTx,
    scope: &Scope,
    (day, id): (NaiveDate, Uuid),
) -> Result<Vec<Document>, db::Error> {
    let rows = sqlx::query_as!(
        Document,
        r#"select i.id, i.number, i.kind, i.issued_on, i.due_on, null::uuid as issuer_id, i.issuer_name,
             i.reseller_id as customer_id, i.customer_name, i.currency, i.net_minor, i.tax_minor, i.total_minor, i.finalized_at,
             array(select c.number from wholesale_credit_note_references r
               join wholesale_invoices c on c.reseller_id = r.reseller_id and c.id = r.invoice_id
               where r.reseller_id = i.reseller_id and r.credit_note_id = i.id order by c.number) as "corrects!",
             exists (select from wholesale_unbilled_documents u
               where u.reseller_id = i.reseller_id and u.invoice_id = i.id) as "is_unbilled!"
           from wholesale_invoices i
           where i.reseller_id = $1 and i.issued_on < $2 and (i.issued_on, i.id) > ($3, $4)
           order by i.issued_on, i.id limit $5"#,
        scope.reseller_id.uuid(),
        scope.until,
        day,
        id,
        PAGE_ROWS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

pub(super) async fn retail_lines(
    tx: &mut SystemTx,
    scope: &Scope,
    after: LinePlace,
) -> Result<Vec<Line>, db::Error> {
    // The first comparison is one that an index can begin at.
    let rows = sqlx::query_as!(
        Line,
        r#"select i.id as invoice_id, i.kind as document_kind, i.number as "number!", i.issued_on, i.tenant_id as customer_id, i.customer_name,
             l.position, i.tenant_id as "tenant_id: Option<Uuid>", i.customer_name as "tenant_name?", l.item, l.kind, l.description,
             lower(l.period) as "first_day!", upper(l.period) - 1 as "last_day!", l.quantity, l.seat_days,
             l.price_id as "price_id?", l.unit_price::text as unit_price, l.tax_category as "tax_category?",
             l.tax_rate::text as tax_rate, i.currency, l.amount_minor
           from invoices i join invoice_lines l on l.tenant_id = i.tenant_id and l.invoice_id = i.id
           where i.issuer_id = $1 and i.status = 'final' and i.issued_on < $2 and (i.issued_on, i.id) >= ($3, $4)
             and ((i.issued_on, i.id) > ($3, $4) or l.position > $5)
           order by i.issued_on, i.id, l.position limit $6"#,
        scope.reseller_id.uuid(),
        scope.until,
        after.issued_on,
        after.invoice_id,
        after.position,
        PAGE_ROWS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

pub(super) async fn wholesale_lines(
    tx: &mut SystemTx,
    scope: &Scope,
    after: LinePlace,
) -> Result<Vec<Line>, db::Error> {
    let rows = sqlx::query_as!(
        Line,
        r#"select i.id as invoice_id, i.kind as document_kind, i.number, i.issued_on, i.reseller_id as customer_id, i.customer_name,
             l.position, l.tenant_id, l.tenant_name, l.item, l.kind, l.description,
             lower(l.period) as "first_day!", upper(l.period) - 1 as "last_day!", l.quantity, l.seat_days,
             l.price_id as "price_id?", l.unit_price::text as unit_price, l.tax_category as "tax_category?",
             l.tax_rate::text as tax_rate, i.currency, l.amount_minor
           from wholesale_invoices i join wholesale_invoice_lines l on l.reseller_id = i.reseller_id and l.invoice_id = i.id
           where i.reseller_id = $1 and i.issued_on < $2 and (i.issued_on, i.id) >= ($3, $4)
             and ((i.issued_on, i.id) > ($3, $4) or l.position > $5)
           order by i.issued_on, i.id, l.position limit $6"#,
        scope.reseller_id.uuid(),
        scope.until,
        after.issued_on,
        after.invoice_id,
        after.position,
        PAGE_ROWS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

pub(super) async fn retail_transfers(
    tx: &mut SystemTx,
    scope: &Scope,
    after: &TransferPlace,
) -> Result<Vec<Transfer>, db::Error> {
    let rows = sqlx::query_as!(
        Transfer,
        r#"select effective_on, posted_at, reference, code, tenant_id as customer_id, debit_account, credit_account, currency,
             amount_minor
           from transfers
           where issuer_id = $1 and effective_on < $2 and (effective_on, reference, code) > ($3, $4, $5)
           order by effective_on, reference, code limit $6"#,
        scope.reseller_id.uuid(),
        scope.until,
        after.effective_on,
        after.reference,
        after.code,
        PAGE_ROWS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

pub(super) async fn wholesale_transfers(
    tx: &mut SystemTx,
    scope: &Scope,
    after: &TransferPlace,
) -> Result<Vec<Transfer>, db::Error> {
    let rows = sqlx::query_as!(
        Transfer,
        r#"select effective_on, posted_at, reference, code, reseller_id as customer_id, debit_account, credit_account, currency,
             amount_minor
           from wholesale_transfers
           where reseller_id = $1 and effective_on < $2 and (effective_on, reference, code) > ($3, $4, $5)
           order by effective_on, reference, code limit $6"#,
        scope.reseller_id.uuid(),
        scope.until,
        after.effective_on,
        after.reference,
        after.code,
        PAGE_ROWS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}
