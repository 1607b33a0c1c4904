//! SQL of verifying: what is stored, side by side with what it should be.

use chrono_tz::Tz;
use db::{SystemRead, SystemTx};
use kernel::{DisputeFeeId, DisputeId, InvoiceId, Money, PaymentId, RefundId, ResellerId, TenantId};
use tenancy::TenantTx;
use uuid::Uuid;

use super::DocumentSums;
use super::corrections::References;
use super::difference::{Difference, Fault, Gap, GapKind, Posted};
use super::recompute::Recorded;
use crate::Error;
use crate::invoice::Billing;

/// The next tenants in the order of their ids, deleted ones too: what they were billed is kept.
pub(super) async fn tenants(
    read: &mut SystemRead,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, db::Error> {
    let ids = sqlx::query_scalar!(
        "select id from tenants where id > $1 order by id limit $2",
        after.map_or(Uuid::nil(), TenantId::uuid),
        limit
    )
    .fetch_all(read.conn())
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// Keeps runs and changes of the subscription away until the transaction ends.
pub(super) async fn hold(tx: &mut TenantTx) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("select id from subscriptions where tenant_id = $1 for share", tenant_id)
        .fetch_optional(tx.conn())
        .await?;
    Ok(())
}

/// The boundaries that were billed, in their order.
pub(super) async fn boundaries(tx: &mut TenantTx) -> Result<Vec<Recorded>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select boundary, revision, time_zone, seat_changes_known, commitments_known, terms_known, standings_known, discounts_known,
           mailbox_changes_known, storage_sample_known
         from billed_boundaries
         where tenant_id = $1 order by boundary, revision",
        tenant_id
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let count = |known: i64| usize::try_from(known).map_err(|_| Error::Stored("billed boundary"));
            Ok(Recorded {
                billing: Billing { boundary: row.boundary, revision: row.revision },
                zone: row.time_zone.parse::<Tz>().map_err(|_| Error::Stored("time zone"))?,
                seat_changes_known: count(row.seat_changes_known)?,
                commitments_known: count(row.commitments_known)?,
                terms_known: count(row.terms_known)?,
                standings_known: count(row.standings_known)?,
                discounts_known: count(row.discounts_known)?,
                mailbox_changes_known: count(row.mailbox_changes_known)?,
                storage_sample_known: row.storage_sample_known,
            })
        })
        .collect()
}

/// The sums of every document: as it states them, as its lines make them, and as credit notes refer to it.
pub(super) async fn document_sums(tx: &mut TenantTx) -> Result<Vec<DocumentSums>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let sums = sqlx::query_as!(
        DocumentSums,
        r#"select i.id as "id: Uuid", i.kind = 'credit_note' as "is_credit_note!",
             i.status = 'draft' as "is_draft!", i.currency, i.net_minor, i.tax_minor, i.total_minor,
             coalesce((select sum(l.amount_minor) from invoice_lines l
               where l.tenant_id = i.tenant_id and l.invoice_id = i.id), 0)::bigint as "lines_minor!",
             coalesce((select sum(r.amount_minor) from credit_note_references r
               where r.tenant_id = i.tenant_id and r.credit_note_id = i.id), 0)::bigint as "credits_minor!",
             coalesce((select sum(t.tax_minor) from invoice_taxes t
               where t.tenant_id = i.tenant_id and t.invoice_id = i.id), 0)::bigint as "taxes_minor!",
             coalesce((select sum(r.amount_minor) from credit_note_references r
               where r.tenant_id = i.tenant_id and r.invoice_id = i.id), 0)::bigint as "credited_minor!"
           from invoices i where i.tenant_id = $1 order by i.id"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(sums)
}

/// By how much each credit note corrects which invoices, of those that were chosen by its lines.
pub(super) async fn references(tx: &mut TenantTx) -> Result<References, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select credit_note_id, invoice_id, amount_minor from credit_note_references where tenant_id = $1 and by_lines",
        tenant_id
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
pub(super) async fn transfer_faults(tx: &mut TenantTx) -> Result<Vec<Difference>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"with leg as (
             select i.id as reference, i.kind || '_' || leg.name as code, i.issuer_id,
               case when leg.amount_minor > 0 then 'receivable' else leg.account end as debit_account,
               case when leg.amount_minor > 0 then leg.account else 'receivable' end as credit_account,
               i.currency, abs(leg.amount_minor) as amount_minor, i.issued_on as effective_on, i.finalized_at as posted_at
             from invoices i
             cross join lateral (values ('net', 'revenue', i.net_minor), ('tax', 'tax_payable', i.tax_minor))
               leg (name, account, amount_minor)
             where i.tenant_id = $1 and i.status = 'final' and leg.amount_minor <> 0
             union all
             select id, 'payment', issuer_id, 'cash', 'receivable', currency, received_minor, received_on, settled_at
             from payments where tenant_id = $1 and status = 'succeeded'
             union all
             select r.id, 'refund', p.issuer_id, 'receivable', 'cash', p.currency, r.amount_minor, r.refunded_on, r.settled_at
             from refunds r join payments p on p.tenant_id = r.tenant_id and p.id = r.payment_id
             where r.tenant_id = $1 and r.status in ('succeeded', 'returned')
             union all
             select r.id, 'refund_returned', p.issuer_id, 'cash', 'receivable', p.currency, r.amount_minor, r.returned_on, r.returned_at
             from refunds r join payments p on p.tenant_id = r.tenant_id and p.id = r.payment_id
             where r.tenant_id = $1 and r.status = 'returned'
             union all
             select d.id, leg.code, p.issuer_id, leg.debit_account, leg.credit_account, p.currency, d.amount_minor, leg.effective_on, leg.posted_at
             from disputes d join payments p on p.tenant_id = d.tenant_id and p.id = d.payment_id
             cross join lateral (values ('dispute', 'receivable', 'cash', d.withdrawn_on, d.withdrawn_at),
               ('dispute_reinstated', 'cash', 'receivable', d.reinstated_on, d.reinstated_at))
               leg (code, debit_account, credit_account, effective_on, posted_at)
             where d.tenant_id = $1 and leg.effective_on is not null
             union all
             select f.id, case when f.amount_minor > 0 then 'dispute_fee' else 'dispute_fee_returned' end, p.issuer_id,
               case when f.amount_minor > 0 then 'provider_fees' else 'cash' end,
               case when f.amount_minor > 0 then 'cash' else 'provider_fees' end,
               f.currency, abs(f.amount_minor), f.charged_on, f.created_at
             from dispute_fees f join payments p on p.tenant_id = f.tenant_id and p.id = f.payment_id
             where f.tenant_id = $1),
           posted as (
             select reference, code, issuer_id, debit_account, credit_account, currency, amount_minor, effective_on, posted_at
             from transfers where tenant_id = $1),
           timed as (
             -- The credit notes of voids were once posted a moment after they became final.
             select leg.*, case when code like 'credit\_note\_%' and posted.posted_at - leg.posted_at between interval '0' and interval '1 minute'
               then posted.posted_at else leg.posted_at end as known_at
             from leg left join posted using (reference, code))
           select reference as "reference!", code as "code!", timed.issuer_id is null as "is_unfounded!",
             posted.issuer_id is null as "is_missing!"
           from timed full join posted using (reference, code)
           where (timed.issuer_id, timed.debit_account, timed.credit_account, timed.currency, timed.amount_minor, timed.effective_on, timed.known_at)
             is distinct from (posted.issuer_id, posted.debit_account, posted.credit_account, posted.currency,
               posted.amount_minor, posted.effective_on, posted.posted_at)
           order by reference, code"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let faults = rows.into_iter().map(|row| fault(row.reference, row.code, row.is_missing, row.is_unfounded));
    Ok(faults.collect())
}

/// What is wrong with a leg that the ledger lacks, that is posted from nothing, or that is neither and differs.
pub(super) fn fault(reference: Uuid, code: String, is_missing: bool, is_unfounded: bool) -> Difference {
    let fault = match (is_missing, is_unfounded) {
        (true, _) => Fault::Missing,
        (_, true) => Fault::Unfounded,
        _ => Fault::Differs,
    };
    let posted = match code.as_str() {
        "payment" => Posted::Payment(PaymentId::from_uuid(reference)),
        "dispute" | "dispute_reinstated" => Posted::Dispute(DisputeId::from_uuid(reference)),
        "dispute_fee" | "dispute_fee_returned" => Posted::DisputeFee(DisputeFeeId::from_uuid(reference)),
        "refund" | "refund_returned" => Posted::Refund(RefundId::from_uuid(reference)),
        _ => Posted::Document(InvoiceId::from_uuid(reference)),
    };
    Difference::Transfer { posted, code, fault }
}

/// A balance as it is stored: by the ledger, and by the documents, payments and refunds.
pub(super) struct TwoBalances {
    pub(super) issuer_id: Uuid,
    pub(super) account: String,
    pub(super) currency: String,
    pub(super) by_ledger: i64,
    pub(super) by_documents: i64,
}

impl TwoBalances {
    pub(super) fn apart(self) -> Result<Difference, Error> {
        let currency = self.currency.parse().map_err(|_| Error::Stored("currency"))?;
        Ok(Difference::Balance {
            issuer: ResellerId::from_uuid(self.issuer_id),
            account: self.account.parse().map_err(|_| Error::Stored("account"))?,
            by_ledger: Money::new(self.by_ledger, currency),
            by_documents: Money::new(self.by_documents, currency),
        })
    }
}

/// The tenant's balances that differ.
pub(super) async fn balances_apart(tx: &mut TenantTx) -> Result<Vec<Difference>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        TwoBalances,
        r#"with ledger as (
             select t.issuer_id, side.account, t.currency, sum(side.amount_minor)::bigint as amount_minor
             from transfers t
             cross join lateral (values (t.debit_account, t.amount_minor), (t.credit_account, - t.amount_minor))
               side (account, amount_minor)
             where t.tenant_id = $1 group by 1, 2, 3),
           entry as (
             select i.issuer_id, side.account, i.currency, side.amount_minor
             from invoices i
             cross join lateral (values ('receivable', i.total_minor), ('revenue', - i.net_minor), ('tax_payable', - i.tax_minor))
               side (account, amount_minor)
             where i.tenant_id = $1 and i.status = 'final'
             union all
             select p.issuer_id, side.account, p.currency, side.sign * p.received_minor
             from payments p cross join lateral (values ('receivable', -1), ('cash', 1)) side (account, sign)
             where p.tenant_id = $1 and p.status = 'succeeded'
             union all
             select p.issuer_id, side.account, p.currency, side.sign * r.amount_minor
             from refunds r join payments p on p.tenant_id = r.tenant_id and p.id = r.payment_id
             cross join lateral (values ('receivable', 1), ('cash', -1)) side (account, sign)
             where r.tenant_id = $1 and r.status = 'succeeded'
             union all
             select p.issuer_id, side.account, p.currency, side.sign * d.amount_minor
             from disputes d join payments p on p.tenant_id = d.tenant_id and p.id = d.payment_id
             cross join lateral (values ('receivable', 1), ('cash', -1)) side (account, sign)
             where d.tenant_id = $1 and d.withdrawn_on is not null and d.reinstated_on is null
             union all
             select p.issuer_id, side.account, f.currency, side.sign * f.amount_minor
             from dispute_fees f join payments p on p.tenant_id = f.tenant_id and p.id = f.payment_id
             cross join lateral (values ('provider_fees', 1), ('cash', -1)) side (account, sign)
             where f.tenant_id = $1),
           documents as (
             select issuer_id, account, currency, sum(amount_minor)::bigint as amount_minor from entry group by 1, 2, 3)
           select issuer_id as "issuer_id!", account as "account!", currency as "currency!",
             coalesce(ledger.amount_minor, 0) as "by_ledger!", coalesce(documents.amount_minor, 0) as "by_documents!"
           from ledger full join documents using (issuer_id, account, currency)
           where coalesce(ledger.amount_minor, 0) <> coalesce(documents.amount_minor, 0)
           order by issuer_id, currency, account"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(TwoBalances::apart).collect()
}

/// A payment of which more was paid back than had arrived, as it is stored.
pub(super) struct OverRefunded {
    pub(super) id: Uuid,
    pub(super) currency: String,
    pub(super) received_minor: i64,
    pub(super) refunded_minor: i64,
}

impl OverRefunded {
    pub(super) fn difference(self) -> Result<Difference, Error> {
        let currency = self.currency.parse().map_err(|_| Error::Stored("currency"))?;
        Ok(Difference::Refunded {
            payment: PaymentId::from_uuid(self.id),
            received: Money::new(self.received_minor, currency),
            refunded: Money::new(self.refunded_minor, currency),
        })
    }
}

/// The tenant's payments of which more was paid back, or taken back by a dispute, than had arrived.
pub(super) async fn over_refunded(tx: &mut TenantTx) -> Result<Vec<Difference>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        OverRefunded,
        r#"select p.id, p.currency, coalesce(p.received_minor, 0) as "received_minor!", sum(r.amount_minor)::bigint as "refunded_minor!"
           from payments p join (
             select payment_id, amount_minor from refunds where tenant_id = $1 and status = 'succeeded'
             union all
             select payment_id, amount_minor from disputes where tenant_id = $1 and withdrawn_on is not null and reinstated_on is null) r
             on r.payment_id = p.id
           where p.tenant_id = $1 group by p.tenant_id, p.id
           having sum(r.amount_minor) > coalesce(p.received_minor, 0) order by p.id"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(OverRefunded::difference).collect()
}

/// How many transfers the tenant has.
pub(super) async fn count_transfers(tx: &mut TenantTx) -> Result<i64, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let count =
        sqlx::query_scalar!(r#"select count(*) as "count!" from transfers where tenant_id = $1"#, tenant_id)
            .fetch_one(tx.conn())
            .await?;
    Ok(count)
}

/// Where the numbers of a series are not 1 to the last that was given out: one statement, so that a document that is made
/// meanwhile is seen with its number or not at all.
pub(super) async fn gaps(tx: &mut SystemTx) -> Result<Vec<Gap>, db::Error> {
    let rows = sqlx::query!(
        r#"with used as (
             select issuer_id, kind as series, number from invoices where status = 'final'
             union all select '00000000-0000-0000-0000-000000000000'::uuid, kind, number from wholesale_invoices
             union all select coalesce(reseller_id, '00000000-0000-0000-0000-000000000000'::uuid), 'price_book', version from price_books),
           steps as (
             select issuer_id, series, number, lag(number, 1, 0::bigint) over (partition by issuer_id, series order by number) as before,
               false as is_end
             from used
             union all
             select issuer_id, series, coalesce(last_number, 0) + 1, coalesce(last_used, 0), true
             from number_series
             full join (select issuer_id, series, max(number) as last_used from used group by 1, 2) ends using (issuer_id, series))
           select issuer_id as "issuer_id!", series as "series!", before as "before!", number as "number!", is_end as "is_end!"
           from steps where number <> before + 1 order by issuer_id, series, number, is_end"#
    )
    .fetch_all(tx.conn())
    .await?;
    let gaps = rows.into_iter().map(|row| Gap {
        issuer: ResellerId::from_uuid(row.issuer_id),
        series: row.series,
        after: row.before,
        what: match (row.is_end, row.number - row.before) {
            (true, ..1) => GapKind::BeyondCounter { counter: row.number - 1 },
            (false, ..1) => GapKind::Twice,
            (_, 1..) => GapKind::Missing { until: row.number - 1 },
        },
    });
    Ok(gaps.collect())
}
