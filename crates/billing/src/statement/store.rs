//! SQL of statements of account.

use kernel::{Currency, InvoiceId, PaymentId, ResellerId};
use sqlx::types::chrono::NaiveDate;
use tenancy::TenantTx;

use super::{EntryKind, Movement};
use crate::Error;

/// Whether the tenant has an account with an issuer.
pub(super) async fn is_issuer(tx: &mut TenantTx, issuer: ResellerId) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query_scalar!(
        r#"select exists (select from transfers where tenant_id = $1 and issuer_id = $2) as "found!""#,
        tenant_id,
        issuer.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(found)
}

/// How the tenant is called, and what it is billed in.
pub(super) struct Tenant {
    pub(super) name: String,
    pub(super) currency: Currency,
}

pub(super) async fn tenant(tx: &mut TenantTx) -> Result<Tenant, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!("select name, currency from tenants where id = $1", tenant_id)
        .fetch_one(tx.conn())
        .await
        .map_err(db::Error::from)?;
    Ok(Tenant { name: row.name, currency: row.currency.parse().map_err(|_| Error::Stored("currency"))? })
}

/// What moved the tenant's account with an issuer before a day, in order. The net and the tax of a document are one movement.
pub(super) async fn movements(
    tx: &mut TenantTx,
    issuer: ResellerId,
    until: NaiveDate,
) -> Result<Vec<(Currency, Movement)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select m.kind as "kind!", m.currency as "currency!", m.effective_on as "effective_on!", m.amount_minor as "amount_minor!",
             i.id as "invoice_id?", i.number as "number?", i.due_on as "due_on?", p.id as "payment_id?", p.invoice_id as "meant_for?",
             coalesce(f.reason, d.reason, p.reference) as reference,
             array(select r.invoice_id from credit_note_references r
               where r.tenant_id = $1 and r.credit_note_id = i.id order by r.invoice_id) as "corrects!",
             array(select r.amount_minor from credit_note_references r
               where r.tenant_id = $1 and r.credit_note_id = i.id order by r.invoice_id) as "corrects_minor!"
           from (
             select reference, regexp_replace(code, '_(net|tax)$', '') as kind, currency, effective_on, min(posted_at) as posted_at,
               sum(case debit_account when 'receivable' then amount_minor else -amount_minor end)::bigint as amount_minor
             from transfers where tenant_id = $1 and issuer_id = $2 and effective_on < $3
             group by reference, kind, currency, effective_on) m
           left join invoices i on i.tenant_id = $1 and i.id = m.reference
           left join refunds f on f.tenant_id = $1 and f.id = m.reference
           left join disputes d on d.tenant_id = $1 and d.id = m.reference
           left join payments p on p.tenant_id = $1 and p.id = coalesce(f.payment_id, d.payment_id, m.reference)
           order by m.effective_on, m.posted_at, m.reference, m.kind"#,
        tenant_id,
        issuer.uuid(),
        until
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let corrects = row.corrects.into_iter().map(InvoiceId::from_uuid).zip(row.corrects_minor);
            let movement = Movement {
                kind: EntryKind::from_name(&row.kind).ok_or(Error::Stored("transfer"))?,
                effective_on: row.effective_on,
                amount_minor: row.amount_minor,
                invoice_id: row.invoice_id.map(InvoiceId::from_uuid),
                number: row.number,
                due_on: row.due_on,
                payment_id: row.payment_id.map(PaymentId::from_uuid),
                meant_for: row.meant_for.map(InvoiceId::from_uuid),
                reference: row.reference,
                corrects: corrects.collect(),
            };
            Ok((row.currency.parse().map_err(|_| Error::Stored("currency"))?, movement))
        })
        .collect()
}
