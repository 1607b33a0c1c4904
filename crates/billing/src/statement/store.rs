//! SQL of statements of account.

use db::SystemTx;
use kernel::{Currency, InvoiceId, PaymentId, ResellerId};
use sqlx::types::chrono::NaiveDate;
use tenancy::TenantTx;
use uuid::Uuid;

use super::Movement;
use crate::Error;
use crate::invoice::Customer;
use crate::profile::store::read;

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

/// The tenant as it is on an issuer's last document.
pub(super) async fn last_customer(tx: &mut TenantTx, issuer: ResellerId) -> Result<Option<Customer>, Error> {
    let tenant_id = tx.tenant_id();
    let row = sqlx::query!(
        "select customer_name, customer_profile from invoices where tenant_id = $1 and issuer_id = $2 and status = 'final'
         order by id desc limit 1",
        tenant_id.uuid(),
        issuer.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    let profile = row.customer_profile.map(read).transpose()?;
    Ok(Some(Customer { id: tenant_id, name: row.customer_name, profile }))
}

/// A movement as it is stored.
struct Row {
    kind: String,
    currency: String,
    effective_on: NaiveDate,
    amount_minor: i64,
    invoice_id: Option<Uuid>,
    number: Option<i64>,
    due_on: Option<NaiveDate>,
    payment_id: Option<Uuid>,
    meant_for: Option<Uuid>,
    reference: Option<String>,
    /// Which a credit note corrects, and each by how much.
    corrects: Vec<Uuid>,
    corrects_minor: Vec<i64>,
}

impl Row {
    fn movement(self) -> Result<(Currency, Movement), Error> {
        let corrects = self.corrects.into_iter().map(InvoiceId::from_uuid).zip(self.corrects_minor);
        let movement = Movement {
            kind: self.kind.parse().map_err(|_| Error::Stored("transfer"))?,
            effective_on: self.effective_on,
            amount_minor: self.amount_minor,
            invoice_id: self.invoice_id.map(InvoiceId::from_uuid),
            number: self.number,
            due_on: self.due_on,
            payment_id: self.payment_id.map(PaymentId::from_uuid),
            meant_for: self.meant_for.map(InvoiceId::from_uuid),
            reference: self.reference,
            corrects: corrects.collect(),
        };
        Ok((self.currency.parse().map_err(|_| Error::Stored("currency"))?, movement))
    }
}

/// What moved the tenant's account with an issuer before a day, in order. The net and the tax of a document are one movement.
pub(super) async fn movements(
    tx: &mut TenantTx,
    issuer: ResellerId,
    until: NaiveDate,
) -> Result<Vec<(Currency, Movement)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
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
             from transfers where tenant_id = $1 and issuer_id = $2 and effective_on < $3 and 'receivable' in (debit_account, credit_account)
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
    rows.into_iter().map(Row::movement).collect()
}

/// As [`movements`], of a reseller's account with the operator.
pub(super) async fn wholesale_movements(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    until: NaiveDate,
) -> Result<Vec<(Currency, Movement)>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select m.kind as "kind!", m.currency as "currency!", m.effective_on as "effective_on!", m.amount_minor as "amount_minor!",
             i.id as "invoice_id?", i.number as "number?", i.due_on as "due_on?", p.id as "payment_id?", p.invoice_id as "meant_for?",
             coalesce(f.reason, p.reference) as reference,
             array(select r.invoice_id from wholesale_credit_note_references r
               where r.reseller_id = $1 and r.credit_note_id = i.id order by r.invoice_id) as "corrects!",
             array(select r.amount_minor from wholesale_credit_note_references r
               where r.reseller_id = $1 and r.credit_note_id = i.id order by r.invoice_id) as "corrects_minor!"
           from (
             select reference, regexp_replace(code, '_(net|tax)$', '') as kind, currency, effective_on, min(posted_at) as posted_at,
               sum(case debit_account when 'receivable' then amount_minor else -amount_minor end)::bigint as amount_minor
             from wholesale_transfers where reseller_id = $1 and effective_on < $2
             group by reference, kind, currency, effective_on) m
           left join wholesale_invoices i on i.reseller_id = $1 and i.id = m.reference
           left join wholesale_refunds f on f.reseller_id = $1 and f.id = m.reference
           left join wholesale_payments p on p.reseller_id = $1 and p.id = coalesce(f.payment_id, m.reference)
           order by m.effective_on, m.posted_at, m.reference, m.kind"#,
        reseller_id.uuid(),
        until
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(Row::movement).collect()
}
