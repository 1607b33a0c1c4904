//! SQL of charges that nobody asked for.

use chrono::TimeDelta;
use db::SystemRead;
use kernel::{InvoiceId, PaymentId, TenantId};
use sqlx::types::chrono::{DateTime, Utc};
use tenancy::TenantTx;
use tenancy::purge::AT_THE_LATEST;
use tenancy::tenant::RESTORABLE;

use crate::Error;
use crate::payment::PaymentStatus;
use crate::payment::autopay::{Attempt, Charges};
use crate::payment::provider::NOT_CHARGEABLE;

/// Tenants after an id who pay by themselves and owe, to whom they do, what is due wherever the day is the latest. Those that
/// are deleted owe it all the same, until they are destroyed and their payment methods with them; or those alone. One that is being billed to
/// its end is passed by until it is, since a credit note may be among what is still to become final; but no longer than it is kept for that.
pub(in crate::payment) async fn autopaying(
    read: &mut SystemRead,
    now: DateTime<Utc>,
    are_deleted: bool,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, db::Error> {
    let rows = sqlx::query_scalar!(
        "select t.id from tenants t
         where ($2::uuid is null or t.id > $2) and (not $4 or t.deleted_at is not null) and exists (
           select from payment_methods m where m.tenant_id = t.id and m.is_autopay
             and exists (select from invoices i where i.tenant_id = t.id and i.kind = 'invoice' and i.status = 'final' and i.issuer_id = m.issuer_id
               and i.due_on <= ((coalesce(t.test_clock, $1) + interval '14 hours') at time zone 'UTC')::date)
             and (select sum(case when x.debit_account = 'receivable' then x.amount_minor else -x.amount_minor end)
               from transfers x where x.tenant_id = t.id and x.issuer_id = m.issuer_id
                 and 'receivable' in (x.debit_account, x.credit_account)) > 0)
           and (t.deleted_at is null
             or t.deleted_at >= coalesce(t.test_clock, $1) - make_interval(secs => $5::integer)
             or t.deleted_at < coalesce(t.test_clock, $1) - make_interval(secs => $6::integer)
             or (not exists (select from subscriptions s
                   where s.tenant_id = t.id and s.next_invoice_on is not null and s.parked_at is null)
                 and not exists (select from invoices d where d.tenant_id = t.id and d.status = 'draft'
                   and not exists (select from unbilled_documents u where u.tenant_id = d.tenant_id and u.invoice_id = d.id))))
         order by t.id limit $3",
        now,
        after.map(TenantId::uuid),
        limit,
        are_deleted,
        seconds(RESTORABLE),
        seconds(AT_THE_LATEST)
    )
    .fetch_all(read.conn())
    .await?;
    Ok(rows.into_iter().map(TenantId::from_uuid).collect())
}

fn seconds(of: TimeDelta) -> i32 {
    i32::try_from(of.num_seconds()).unwrap_or(i32::MAX)
}

/// An invoice's charges so far.
pub(in crate::payment) async fn charges(tx: &mut TenantTx, invoice: InvoiceId) -> Result<Charges, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select autopay_ordinal, autopay_on, status, amount_minor, failure_code from payments
         where tenant_id = $1 and invoice_id = $2 and provider <> 'manual' order by autopay_ordinal",
        tenant_id,
        invoice.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut charges = Charges::default();
    for row in rows {
        let status = row.status.parse::<PaymentStatus>().map_err(|_| Error::Stored("payment status"))?;
        charges.has_arrived |= status == PaymentStatus::Succeeded;
        if row.failure_code.as_deref() == Some(NOT_CHARGEABLE) {
            charges.not_chargeable.push(row.amount_minor);
        }
        if let (Some(ordinal), Some(day)) = (row.autopay_ordinal, row.autopay_on) {
            charges.by_itself.push((Attempt { ordinal, day }, status));
        }
    }
    Ok(charges)
}

/// Lets a charge be none of its invoice's attempts: nobody was asked for money by it.
pub(in crate::payment) async fn uncount_attempt(tx: &mut TenantTx, id: PaymentId) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update payments set autopay_ordinal = null, autopay_on = null
         where tenant_id = $1 and id = $2 and autopay_ordinal is not null",
        tenant_id,
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
