//! SQL of what is due: invoices, and what settles them.

use db::SystemTx;
use kernel::{InvoiceId, ResellerId, TenantId};
use sqlx::PgConnection;
use sqlx::types::chrono::NaiveDate;
use uuid::Uuid;

use super::{Means, Receivable, Settling};
use crate::Error;
use crate::invoice::DocumentKind;
use crate::series::OPERATOR;

/// An invoice, as if nothing had been paid.
struct Row {
    id: Uuid,
    issuer_id: Uuid,
    number: i64,
    currency: String,
    total_minor: i64,
    due_on: NaiveDate,
}

impl Row {
    /// With its total.
    fn receivable(self) -> Result<(Receivable, i64), Error> {
        let receivable = Receivable {
            invoice: InvoiceId::from_uuid(self.id),
            issuer: ResellerId::from_uuid(self.issuer_id),
            currency: self.currency.parse().map_err(|_| Error::Stored("currency"))?,
            number: DocumentKind::Invoice.number(self.number),
            due_on: self.due_on,
            due_minor: self.total_minor,
            credited_minor: 0,
        };
        Ok((receivable, self.total_minor))
    }
}

/// The invoices of tenants, of one issuer or of all, with their totals, each tenant's oldest first, as if nothing had been paid.
pub(super) async fn invoices(
    conn: &mut PgConnection,
    tenants: &[TenantId],
    issuer: Option<ResellerId>,
) -> Result<Vec<(TenantId, (Receivable, i64))>, Error> {
    let tenants: Vec<Uuid> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select tenant_id, id, issuer_id, number as "number!", currency, total_minor, due_on from invoices
           where tenant_id = any ($1) and kind = 'invoice' and status = 'final' and ($2::uuid is null or issuer_id = $2)
           order by issued_on, id"#,
        &tenants,
        issuer.map(ResellerId::uuid)
    )
    .fetch_all(conn)
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let of_tenant = Row {
                id: row.id,
                issuer_id: row.issuer_id,
                number: row.number,
                currency: row.currency,
                total_minor: row.total_minor,
                due_on: row.due_on,
            };
            Ok((TenantId::from_uuid(row.tenant_id), of_tenant.receivable()?))
        })
        .collect()
}

/// What settles them: credit notes by what they refer to, and payments less what was paid back or taken back of them.
pub(super) async fn means(
    conn: &mut PgConnection,
    tenants: &[TenantId],
    issuer: Option<ResellerId>,
) -> Result<Vec<(TenantId, Settling)>, Error> {
    let tenants: Vec<Uuid> = tenants.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select r.tenant_id as "tenant_id!", n.issuer_id as "issuer_id!", n.currency as "currency!", r.invoice_id,
             r.amount_minor as "amount_minor!", true as "is_credit!"
           from credit_note_references r
           join invoices n on n.tenant_id = r.tenant_id and n.id = r.credit_note_id
           where r.tenant_id = any ($1) and ($2::uuid is null or n.issuer_id = $2)
           union all
           select p.tenant_id, p.issuer_id, p.currency, p.invoice_id, (p.received_minor - coalesce((
             select sum(f.amount_minor) from refunds f
             where f.tenant_id = p.tenant_id and f.payment_id = p.id and f.status = 'succeeded'), 0) - coalesce((
             select sum(d.amount_minor) from disputes d where d.tenant_id = p.tenant_id and d.payment_id = p.id
               and d.withdrawn_on is not null and d.reinstated_on is null), 0))::bigint, false
           from payments p
           where p.tenant_id = any ($1) and p.status = 'succeeded' and ($2::uuid is null or p.issuer_id = $2)"#,
        &tenants,
        issuer.map(ResellerId::uuid)
    )
    .fetch_all(conn)
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let means =
                Means { meant_for: row.invoice_id.map(InvoiceId::from_uuid), amount_minor: row.amount_minor };
            let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
            let (tenant_id, issuer) =
                (TenantId::from_uuid(row.tenant_id), ResellerId::from_uuid(row.issuer_id));
            Ok((tenant_id, Settling { issuer, currency, means, is_credit: row.is_credit }))
        })
        .collect()
}

/// As [`invoices`], of what the operator issued to a reseller.
pub(super) async fn wholesale_invoices(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Vec<(Receivable, i64)>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, $2::uuid as "issuer_id!", number, currency, total_minor, due_on from wholesale_invoices
           where reseller_id = $1 and kind = 'invoice' order by issued_on, id"#,
        reseller_id.uuid(),
        OPERATOR.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(Row::receivable).collect()
}

/// As [`means`], of a reseller.
pub(super) async fn wholesale_means(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Vec<Settling>, Error> {
    let rows = sqlx::query!(
        r#"select n.currency as "currency!", r.invoice_id, r.amount_minor as "amount_minor!", true as "is_credit!"
           from wholesale_credit_note_references r
           join wholesale_invoices n on n.reseller_id = r.reseller_id and n.id = r.credit_note_id
           where r.reseller_id = $1
           union all
           select p.currency, p.invoice_id, (p.amount_minor - coalesce((
             select sum(f.amount_minor) from wholesale_refunds f
             where f.reseller_id = p.reseller_id and f.payment_id = p.id), 0))::bigint, false
           from wholesale_payments p where p.reseller_id = $1"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let meant_for = row.invoice_id.map(InvoiceId::from_uuid);
            let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
            let means = Means { meant_for, amount_minor: row.amount_minor };
            Ok(Settling { issuer: OPERATOR, currency, means, is_credit: row.is_credit })
        })
        .collect()
}
