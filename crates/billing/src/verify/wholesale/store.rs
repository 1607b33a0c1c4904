//! SQL of verifying wholesale: what is stored, side by side with what it should be.

use std::collections::BTreeMap;

use db::{SystemRead, SystemTx};
use kernel::{InvoiceId, ResellerId, TenantId};
use sqlx::types::chrono::NaiveDate;
use uuid::Uuid;

use super::super::DocumentSums;
use super::super::corrections::References;
use super::super::difference::Difference;
use super::super::store::{OverRefunded, TwoBalances, fault};
use super::Recorded;
use crate::Error;
use crate::invoice::Billing;
use crate::wholesale::counted::{Counted, CountedAt};
use crate::wholesale::logs::Known;

/// The resellers that have an agreement, in the order of their ids.
pub(in crate::verify) async fn agreements(read: &mut SystemRead) -> Result<Vec<ResellerId>, db::Error> {
    let ids = sqlx::query_scalar!("select reseller_id from wholesale_agreements order by reseller_id")
        .fetch_all(read.conn())
        .await?;
    Ok(ids.into_iter().map(ResellerId::from_uuid).collect())
}

/// Keeps runs and changes of the agreement away until the transaction ends.
pub(super) async fn hold(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<(), db::Error> {
    sqlx::query!("select id from wholesale_agreements where reseller_id = $1 for share", reseller_id.uuid())
        .fetch_optional(tx.conn())
        .await?;
    Ok(())
}

/// The tenants that something was known of when a boundary was billed.
pub(super) async fn tenants(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Vec<TenantId>, db::Error> {
    let ids = sqlx::query_scalar!(
        "select distinct tenant_id from wholesale_boundary_tenants where reseller_id = $1",
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// The boundaries that were billed, in their order.
pub(super) async fn boundaries(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Vec<Recorded>, Error> {
    let count = |known: i64| usize::try_from(known).map_err(|_| Error::Stored("billed boundary"));
    let rows = sqlx::query!(
        "select boundary, revision, terms_known from wholesale_boundaries where reseller_id = $1",
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let mut boundaries = BTreeMap::new();
    for row in rows {
        let terms = count(row.terms_known)?;
        let billing = Billing { boundary: row.boundary, revision: row.revision };
        let counted = CountedAt { boundary: row.boundary, tenants: BTreeMap::new() };
        let recorded = Recorded { billing, counted, terms, logs: BTreeMap::new() };
        boundaries.insert(billing, recorded);
    }
    let rows = sqlx::query!(
        r#"select boundary, revision, tenant_id, seat_changes_known, mailbox_changes_known, storage_sample_known, counts_from,
             counts_until as "counts_until: Vec<Option<NaiveDate>>"
           from wholesale_boundary_tenants where reseller_id = $1"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in rows {
        let billing = Billing { boundary: row.boundary, revision: row.revision };
        let recorded = boundaries.get_mut(&billing).ok_or(Error::Stored("billed boundary"))?;
        let tenant_id = TenantId::from_uuid(row.tenant_id);
        let days = Counted::of_columns(row.counts_from, row.counts_until);
        recorded.counted.tenants.insert(tenant_id, days);
        let known = Known {
            seat_changes: count(row.seat_changes_known)?,
            mailbox_changes: count(row.mailbox_changes_known)?,
            storage_sample: row.storage_sample_known,
        };
        recorded.logs.insert(tenant_id, known);
    }
    Ok(boundaries.into_values().collect())
}

/// The documents that count as billed no more, each with the billing after which that was, in that order.
pub(super) async fn unbilled(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Vec<(Billing, InvoiceId)>, db::Error> {
    let rows = sqlx::query!(
        "select invoice_id, after_boundary, after_revision from wholesale_unbilled_documents where reseller_id = $1
         order by after_boundary, after_revision, invoice_id",
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|row| {
        let after = Billing { boundary: row.after_boundary, revision: row.after_revision };
        (after, InvoiceId::from_uuid(row.invoice_id))
    });
    Ok(rows.collect())
}

/// The sums of every document: as it states them, as its lines make them, and as credit notes refer to it.
pub(super) async fn document_sums(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Vec<DocumentSums>, db::Error> {
    let sums = sqlx::query_as!(
        DocumentSums,
        r#"select i.id as "id: Uuid", i.kind = 'credit_note' as "is_credit_note!",
             false as "is_draft!", i.currency, i.net_minor, i.tax_minor, i.total_minor,
             coalesce((select sum(l.amount_minor) from wholesale_invoice_lines l
               where l.reseller_id = i.reseller_id and l.invoice_id = i.id), 0)::bigint as "lines_minor!",
             coalesce((select sum(t.tax_minor) from wholesale_invoice_taxes t
               where t.reseller_id = i.reseller_id and t.invoice_id = i.id), 0)::bigint as "taxes_minor!",
             coalesce((select sum(r.amount_minor) from wholesale_credit_note_references r
               where r.reseller_id = i.reseller_id and r.credit_note_id = i.id), 0)::bigint as "credits_minor!",
             coalesce((select sum(r.amount_minor) from wholesale_credit_note_references r
               where r.reseller_id = i.reseller_id and r.invoice_id = i.id), 0)::bigint as "credited_minor!"
           from wholesale_invoices i where i.reseller_id = $1 order by i.id"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(sums)
}

/// By how much each credit note corrects which invoices, of those that were chosen by its lines.
pub(super) async fn references(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<References, db::Error> {
    let rows = sqlx::query!(
        "select credit_note_id, invoice_id, amount_minor from wholesale_credit_note_references where reseller_id = $1 and by_lines",
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    let mut references = References::new();
    for row in rows {
        let of_one = references.entry(InvoiceId::from_uuid(row.credit_note_id)).or_default();
        of_one.insert(InvoiceId::from_uuid(row.invoice_id), row.amount_minor);
    }
    Ok(references)
}

/// Where the ledger and what it was posted from differ, leg by leg.
pub(super) async fn transfer_faults(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Vec<Difference>, Error> {
    let rows = sqlx::query!(
        r#"with leg as (
             select i.id as reference, i.kind || '_' || leg.name as code,
               case when leg.amount_minor > 0 then 'receivable' else leg.account end as debit_account,
               case when leg.amount_minor > 0 then leg.account else 'receivable' end as credit_account,
               i.currency, abs(leg.amount_minor) as amount_minor, i.issued_on as effective_on, i.finalized_at as posted_at
             from wholesale_invoices i
             cross join lateral (values ('net', 'revenue', i.net_minor), ('tax', 'tax_payable', i.tax_minor))
               leg (name, account, amount_minor)
             where i.reseller_id = $1 and leg.amount_minor <> 0
             union all
             select id, 'payment', 'cash', 'receivable', currency, amount_minor, received_on, created_at
             from wholesale_payments where reseller_id = $1
             union all
             select f.id, 'refund', 'receivable', 'cash', p.currency, f.amount_minor, f.refunded_on, f.created_at
             from wholesale_refunds f join wholesale_payments p on p.reseller_id = f.reseller_id and p.id = f.payment_id
             where f.reseller_id = $1),
           posted as (
             select reference, code, debit_account, credit_account, currency, amount_minor, effective_on, posted_at
             from wholesale_transfers where reseller_id = $1)
           select reference as "reference!", code as "code!", leg.currency is null as "is_unfounded!",
             posted.currency is null as "is_missing!"
           from leg full join posted using (reference, code)
           where (leg.debit_account, leg.credit_account, leg.currency, leg.amount_minor, leg.effective_on, leg.posted_at)
             is distinct from (posted.debit_account, posted.credit_account, posted.currency, posted.amount_minor,
               posted.effective_on, posted.posted_at)
           order by reference, code"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let faults = rows.into_iter().map(|row| fault(row.reference, row.code, row.is_missing, row.is_unfounded));
    Ok(faults.collect())
}

/// The balances of the reseller with the operator that differ.
pub(super) async fn balances_apart(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Vec<Difference>, Error> {
    let rows = sqlx::query_as!(
        TwoBalances,
        r#"with ledger as (
             select side.account, t.currency, sum(side.amount_minor)::bigint as amount_minor
             from wholesale_transfers t
             cross join lateral (values (t.debit_account, t.amount_minor), (t.credit_account, - t.amount_minor))
               side (account, amount_minor)
             where t.reseller_id = $1 group by 1, 2),
           entry as (
             select side.account, i.currency, side.amount_minor
             from wholesale_invoices i
             cross join lateral (values ('receivable', i.total_minor), ('revenue', - i.net_minor), ('tax_payable', - i.tax_minor))
               side (account, amount_minor)
             where i.reseller_id = $1
             union all
             select side.account, p.currency, side.sign * p.amount_minor
             from wholesale_payments p cross join lateral (values ('receivable', -1), ('cash', 1)) side (account, sign)
             where p.reseller_id = $1
             union all
             select side.account, p.currency, side.sign * f.amount_minor
             from wholesale_refunds f join wholesale_payments p on p.reseller_id = f.reseller_id and p.id = f.payment_id
             cross join lateral (values ('receivable', 1), ('cash', -1)) side (account, sign)
             where f.reseller_id = $1),
           documents as (
             select account, currency, sum(amount_minor)::bigint as amount_minor from entry group by 1, 2)
           select '00000000-0000-0000-0000-000000000000'::uuid as "issuer_id!", account as "account!", currency as "currency!",
             coalesce(ledger.amount_minor, 0) as "by_ledger!", coalesce(documents.amount_minor, 0) as "by_documents!"
           from ledger full join documents using (account, currency)
           where coalesce(ledger.amount_minor, 0) <> coalesce(documents.amount_minor, 0)
           order by currency, account"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(TwoBalances::apart).collect()
}

/// The reseller's payments of which more was paid back than had arrived.
pub(super) async fn over_refunded(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Vec<Difference>, Error> {
    let rows = sqlx::query_as!(
        OverRefunded,
        r#"select p.id, p.currency, p.amount_minor as received_minor, sum(r.amount_minor)::bigint as "refunded_minor!"
           from wholesale_payments p join wholesale_refunds r on r.reseller_id = p.reseller_id and r.payment_id = p.id
           where p.reseller_id = $1 group by p.reseller_id, p.id having sum(r.amount_minor) > p.amount_minor order by p.id"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(OverRefunded::difference).collect()
}

/// How many transfers the reseller has as the operator's customer.
pub(super) async fn count_transfers(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<i64, db::Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from wholesale_transfers where reseller_id = $1"#,
        reseller_id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}
