//! SQL of drafts that become final, and of documents that come to count as billed no more.

use std::collections::BTreeMap;

use db::SystemTx;
use kernel::{InvoiceId, ResellerId, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::{OfTenants, TenantTx};

use crate::Error;
use crate::invoice::Billing;

/// Keeps runs and changes of the subscription away until the transaction ends, and before that the tenant from being locked whole, as
/// who does locks it first.
pub(crate) async fn hold(tx: &mut TenantTx) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "select s.id from subscriptions s join tenants t on t.id = s.tenant_id
         where s.tenant_id = $1 for key share of t for update of s",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(())
}

/// The tenants with a draft that is to become final by a day, after the one given; those that live by a test clock by theirs instead, if
/// `by_clock`; and those with any draft that were deleted so many seconds before `now`, without a day these alone.
pub(crate) async fn with_drafts_due(
    tx: &mut SystemTx,
    (as_of, by_clock): (Option<NaiveDate>, bool),
    (reseller, tenant): (Option<uuid::Uuid>, Option<uuid::Uuid>),
    (now, settled_after_seconds): (DateTime<Utc>, i32),
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, db::Error> {
    let ids = sqlx::query_scalar!(
        "select distinct i.tenant_id from invoices i join tenants t on t.id = i.tenant_id
         where i.status = 'draft' and t.purged_at is null
           and ($2::uuid is null or $2 = any (t.reseller_path)) and ($3::uuid is null or i.tenant_id = $3)
           and i.tenant_id > $4 and (t.deleted_at < coalesce(t.test_clock, $7::timestamptz) - make_interval(secs => $8::integer)
             or i.issued_on <= case when $6 and t.test_clock is not null
               then (t.test_clock at time zone 'UTC' + interval '14 hours')::date else $1::date end)
           and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)
         order by i.tenant_id limit $5",
        as_of,
        reseller,
        tenant,
        after.map_or(uuid::Uuid::nil(), TenantId::uuid),
        limit,
        by_clock,
        now,
        settled_after_seconds
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// Whether a reseller's own documents are drafts; of a tenant that was destroyed none ever becomes final.
pub(crate) async fn has_drafts_of(tx: &mut SystemTx, issuer: ResellerId) -> Result<bool, db::Error> {
    let has = sqlx::query_scalar!(
        r#"select exists (select from invoices i join tenants t on t.id = i.tenant_id
             where i.issuer_id = $1 and i.status = 'draft' and t.purged_at is null
               and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)) as "has!""#,
        issuer.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(has)
}

/// The tenant's oldest draft.
pub(crate) async fn oldest_draft(tx: &mut TenantTx) -> Result<Option<InvoiceId>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query_scalar!(
        "select id from invoices i where tenant_id = $1 and status = 'draft'
           and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)
         order by boundary, revision, issued_on, id limit 1",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.map(InvoiceId::from_uuid))
}

/// Whether the tenant has a draft of an earlier boundary than a document's.
pub(crate) async fn has_earlier_draft(tx: &mut TenantTx, than: Billing) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let has = sqlx::query_scalar!(
        r#"select exists (select from invoices i where tenant_id = $1 and status = 'draft' and (boundary, revision) < ($2, $3)
           and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)) as "has!""#,
        tenant_id,
        than.boundary,
        than.revision
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(has)
}

/// Of each tenant that has drafts, when the last of them is to become final.
pub(crate) async fn have_drafts(tx: &mut impl OfTenants) -> Result<BTreeMap<TenantId, NaiveDate>, db::Error> {
    let tenants = tx.tenant_ids();
    let found = sqlx::query!(
        r#"select tenant_id, max(issued_on) as "until!" from invoices i where tenant_id = any ($1) and status = 'draft'
             and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)
           group by tenant_id"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(found.into_iter().map(|row| (TenantId::from_uuid(row.tenant_id), row.until)).collect())
}

/// Makes a draft final.
pub(crate) async fn make_final(
    tx: &mut TenantTx,
    id: InvoiceId,
    number: i64,
    issued_on: NaiveDate,
    due_on: NaiveDate,
    finalized_at: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update invoices set status = 'final', number = $3, issued_on = $4, due_on = $5, finalized_at = $6
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        number,
        issued_on,
        due_on,
        finalized_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The last boundary that was billed and is recorded.
pub(crate) async fn last_billing(tx: &mut TenantTx) -> Result<Option<Billing>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let last = sqlx::query_as!(
        Billing,
        "select boundary, revision from billed_boundaries where tenant_id = $1
         order by boundary desc, revision desc limit 1",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(last)
}

/// Lets documents count as billed no more, and the last boundary be billed again by the next run.
pub(crate) async fn unbill(
    tx: &mut TenantTx,
    ids: &[InvoiceId],
    after: Billing,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    for id in ids {
        sqlx::query!(
            "insert into unbilled_documents (tenant_id, invoice_id, after_boundary, after_revision, unbilled_at)
             values ($1, $2, $3, $4, $5)",
            tenant_id,
            id.uuid(),
            after.boundary,
            after.revision,
            now,
        )
        .execute(tx.conn())
        .await?;
    }
    sqlx::query!(
        "update subscriptions set next_invoice_on = $2, bills_again = true, version = version + 1 where tenant_id = $1",
        tenant_id,
        after.boundary,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The documents that count as billed no more, each with the billing after which that was, in that order.
pub(crate) async fn unbilled(tx: &mut TenantTx) -> Result<Vec<(Billing, InvoiceId)>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select invoice_id, after_boundary, after_revision from unbilled_documents where tenant_id = $1
         order by after_boundary, after_revision, invoice_id",
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|row| {
        let after = Billing { boundary: row.after_boundary, revision: row.after_revision };
        (after, InvoiceId::from_uuid(row.invoice_id))
    });
    Ok(rows.collect())
}

/// The credit notes that correct an invoice, each with how many it corrects.
pub(crate) async fn corrections(
    tx: &mut TenantTx,
    invoice: InvoiceId,
) -> Result<Vec<(InvoiceId, i64)>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select r.credit_note_id, (select count(*) from credit_note_references o
             where o.tenant_id = r.tenant_id and o.credit_note_id = r.credit_note_id) as "corrects!"
           from credit_note_references r where r.tenant_id = $1 and r.invoice_id = $2"#,
        tenant_id,
        invoice.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (InvoiceId::from_uuid(row.credit_note_id), row.corrects)).collect())
}

/// Whether a payment of an invoice is under way. Keeps others from beginning one until the transaction ends: a payment's row
/// refers to the invoice's.
pub(crate) async fn is_being_paid(tx: &mut TenantTx, invoice: InvoiceId) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "select id from invoices where tenant_id = $1 and id = $2 for update",
        tenant_id,
        invoice.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    let is_being_paid = sqlx::query_scalar!(
        r#"select exists (select from payments where tenant_id = $1 and invoice_id = $2
             and status not in ('failed', 'succeeded')) as "is_being_paid!""#,
        tenant_id,
        invoice.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_being_paid)
}

/// Writes what the lines and taxes of some documents take to come to nothing, line by line, into another.
pub(crate) async fn insert_opposite(
    tx: &mut TenantTx,
    into: InvoiceId,
    of: &[InvoiceId],
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let of: Vec<uuid::Uuid> = of.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "insert into invoice_lines (tenant_id, invoice_id, position, item, kind, description, period, cycle, whole, quantity,
           seat_days, price_id, unit_price, amount_minor, rated_position, rated_minor, tax_category, tax_rate, one_off_item_id,
           discount_percentage, discount_off)
         select tenant_id, $2, place, item,
           case when kind in ('one_off', 'discount') then kind when kind = 'credit' then 'proration' else 'credit' end, description, period,
           cycle, whole, - quantity, - seat_days, price_id, unit_price, - amount_minor, place, - rated_minor, tax_category,
           tax_rate, one_off_item_id, discount_percentage, discount_off
         from (select l.*, row_number() over (order by i.boundary, i.revision, l.position)::integer as place
               from invoice_lines l join invoices i on i.tenant_id = l.tenant_id and i.id = l.invoice_id
               where l.tenant_id = $1 and l.invoice_id = any ($3)) lines",
        tenant_id,
        into.uuid(),
        &of
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    sqlx::query!(
        "insert into invoice_taxes (tenant_id, invoice_id, category, rate, taxable_minor, tax_minor, reason)
         select tenant_id, $2, category, rate, - sum(taxable_minor)::bigint, - sum(tax_minor)::bigint, max(reason)
         from invoice_taxes where tenant_id = $1 and invoice_id = any ($3) group by tenant_id, category, rate",
        tenant_id,
        into.uuid(),
        &of
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}
