//! SQL of wholesale documents that come to count as billed no more.

use db::SystemTx;
use kernel::{InvoiceId, ResellerId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::super::invoice::NewInvoice;
use crate::invoice::Billing;

/// The credit notes that correct an invoice, each with how many it corrects.
pub(super) async fn corrections(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    invoice: InvoiceId,
) -> Result<Vec<(InvoiceId, i64)>, db::Error> {
    let rows = sqlx::query!(
        r#"select r.credit_note_id, (select count(*) from wholesale_credit_note_references o
             where o.reseller_id = r.reseller_id and o.credit_note_id = r.credit_note_id) as "corrects!"
           from wholesale_credit_note_references r where r.reseller_id = $1 and r.invoice_id = $2"#,
        reseller_id.uuid(),
        invoice.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (InvoiceId::from_uuid(row.credit_note_id), row.corrects)).collect())
}

/// Lets documents count as billed no more, after a billing.
pub(super) async fn unbill(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    ids: &[InvoiceId],
    after: Billing,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "insert into wholesale_unbilled_documents (reseller_id, invoice_id, after_boundary, after_revision, unbilled_at)
         select $1, id, $3, $4, $5 from unnest($2::uuid[]) of (id)",
        reseller_id.uuid(),
        &ids,
        after.boundary,
        after.revision,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether a later document that counts as billed has lines of what some documents charged at a price by tiers: of the same item,
/// cycle and price, except of storage, of which each tenant is owed what is left of its own.
pub(super) async fn are_priced_with_later(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    ids: &[InvoiceId],
) -> Result<bool, db::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let are = sqlx::query_scalar!(
        r#"with charged as (
             select distinct l.item, lower(l.cycle) as cycle, p.model, p.tier_limits, p.tier_prices, i.boundary, i.revision
             from wholesale_invoice_lines l
             join wholesale_invoices i on i.reseller_id = l.reseller_id and i.id = l.invoice_id
             join prices p on p.id = l.price_id
             where l.reseller_id = $1 and l.invoice_id = any ($2) and p.model <> 'flat' and l.item <> 'storage')
           select exists (
             select from wholesale_invoice_lines l
             join wholesale_invoices i on i.reseller_id = l.reseller_id and i.id = l.invoice_id
             join prices p on p.id = l.price_id
             join charged c on c.item = l.item and c.cycle = lower(l.cycle) and c.model = p.model
               and c.tier_limits = p.tier_limits and c.tier_prices = p.tier_prices
             where l.reseller_id = $1 and not l.invoice_id = any ($2) and (i.boundary, i.revision) > (c.boundary, c.revision)
               and not exists (select from wholesale_unbilled_documents u
                 where u.reseller_id = l.reseller_id and u.invoice_id = l.invoice_id)) as "are!""#,
        reseller_id.uuid(),
        &ids
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(are)
}

/// Writes what the lines and taxes of some documents take to come to nothing, line by line, into a credit note.
pub(super) async fn insert_opposite(
    tx: &mut SystemTx,
    into: &NewInvoice<'_>,
    of: &[InvoiceId],
) -> Result<(), db::Error> {
    let of: Vec<Uuid> = of.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "insert into wholesale_invoice_lines (reseller_id, invoice_id, position, tenant_id, tenant_name, item, kind, description,
           period, cycle, quantity, seat_days, price_id, unit_price, amount_minor, rated_position, tax_category, tax_rate)
         select reseller_id, $2, place, tenant_id, tenant_name, item, case kind when 'credit' then 'proration' else 'credit' end,
           description, period, cycle, - quantity, - seat_days, price_id, unit_price, - amount_minor, place, tax_category, tax_rate
         from (select l.*, row_number() over (order by i.boundary, i.revision, l.position)::integer as place
               from wholesale_invoice_lines l join wholesale_invoices i on i.reseller_id = l.reseller_id and i.id = l.invoice_id
               where l.reseller_id = $1 and l.invoice_id = any ($3)) lines",
        into.reseller_id.uuid(),
        into.id.uuid(),
        &of
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "insert into wholesale_invoice_taxes (reseller_id, invoice_id, category, rate, taxable_minor, tax_minor, reason)
         select reseller_id, $2, category, rate, - sum(taxable_minor)::bigint, - sum(tax_minor)::bigint, max(reason)
         from wholesale_invoice_taxes where reseller_id = $1 and invoice_id = any ($3)
         group by reseller_id, category, rate",
        into.reseller_id.uuid(),
        into.id.uuid(),
        &of
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Lets a credit note count as billed as little as the invoice that it voids.
pub(super) async fn unbill_with(
    tx: &mut SystemTx,
    credit_note: &NewInvoice<'_>,
    invoice: InvoiceId,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into wholesale_unbilled_documents (reseller_id, invoice_id, after_boundary, after_revision, unbilled_at)
         select reseller_id, $3, after_boundary, after_revision, unbilled_at
         from wholesale_unbilled_documents where reseller_id = $1 and invoice_id = $2",
        credit_note.reseller_id.uuid(),
        invoice.uuid(),
        credit_note.id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
