//! SQL of charges that come once.

use kernel::{InvoiceId, Money, OneOffItemId, PageRequest, TenantId};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::{OfTenants, TenantTx};
use uuid::Uuid;

use super::{Added, OneOffItem};
use crate::Error;
use crate::invoice::Billing;

struct Row {
    tenant_id: Uuid,
    id: Uuid,
    description: String,
    quantity: i32,
    unit_minor: i64,
    currency: String,
    bill_on: NaiveDate,
    created_at: DateTime<Utc>,
    invoice_id: Option<Uuid>,
    withdrawn_after_boundary: Option<NaiveDate>,
    withdrawn_after_revision: Option<i32>,
}

impl TryFrom<Row> for Added {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let withdrawn_after = row
            .withdrawn_after_boundary
            .zip(row.withdrawn_after_revision)
            .map(|(boundary, revision)| Billing { boundary, revision });
        Ok(Self { item: row.try_into()?, withdrawn_after })
    }
}

impl TryFrom<Row> for OneOffItem {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
        Ok(Self {
            id: OneOffItemId::from_uuid(row.id),
            description: row.description,
            quantity: u32::try_from(row.quantity).map_err(|_| Error::Stored("quantity"))?,
            unit_amount: Money::new(row.unit_minor, currency),
            bill_on: row.bill_on,
            invoice_id: row.invoice_id.map(InvoiceId::from_uuid),
            created_at: row.created_at,
        })
    }
}

/// The subscription's row has to be locked.
pub(super) async fn insert(tx: &mut TenantTx, item: &OneOffItem) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into one_off_items (tenant_id, id, description, quantity, unit_minor, currency, bill_on, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant_id,
        item.id.uuid(),
        item.description,
        i32::try_from(item.quantity).map_err(|_| Error::Stored("quantity"))?,
        item.unit_amount.amount_minor,
        item.unit_amount.currency.code(),
        item.bill_on,
        item.created_at,
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// Every one of each tenant, in the order in which they were added, those that were deleted after they were billed, too.
pub(crate) async fn all(tx: &mut impl OfTenants) -> Result<Vec<(TenantId, Added)>, Error> {
    let rows = select(tx, None, None, None, true).await?;
    rows.into_iter().map(|row| Ok((TenantId::from_uuid(row.tenant_id), row.try_into()?))).collect()
}

pub(super) async fn list(tx: &mut TenantTx, page: &PageRequest) -> Result<Vec<OneOffItem>, Error> {
    let rows = select(tx, None, Some(page.after()), Some(page.fetch()), false).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(super) async fn find(tx: &mut TenantTx, id: OneOffItemId) -> Result<Option<OneOffItem>, Error> {
    select(tx, Some(id), None, None, false).await?.pop().map(TryInto::try_into).transpose()
}

async fn select(
    tx: &mut impl OfTenants,
    id: Option<OneOffItemId>,
    after: Option<Uuid>,
    limit: Option<i64>,
    withdrawn_too: bool,
) -> Result<Vec<Row>, db::Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query_as!(
        Row,
        r#"select o.tenant_id, o.id, o.description, o.quantity, o.unit_minor, o.currency, o.bill_on, o.created_at,
             l.invoice_id as "invoice_id?", o.withdrawn_after_boundary, o.withdrawn_after_revision
           from one_off_items o left join invoice_lines l on l.tenant_id = o.tenant_id and l.one_off_item_id = o.id
             and not exists (select from unbilled_documents u where u.tenant_id = l.tenant_id and u.invoice_id = l.invoice_id)
           where o.tenant_id = any ($1) and ($2::uuid is null or o.id = $2) and ($3::uuid is null or o.id > $3)
             and ($5 or o.withdrawn_after_boundary is null)
           order by o.id limit $4"#,
        &tenants,
        id.map(OneOffItemId::uuid),
        after,
        limit,
        withdrawn_too
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// How many are on no document.
pub(super) async fn count_waiting(tx: &mut TenantTx) -> Result<i64, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from one_off_items o where tenant_id = $1 and o.withdrawn_after_boundary is null
             and not exists (select from invoice_lines l where l.tenant_id = o.tenant_id and l.one_off_item_id = o.id
               and not exists (select from unbilled_documents u where u.tenant_id = l.tenant_id and u.invoice_id = l.invoice_id))"#,
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

/// Whether any document names it, though it may count as billed no more.
pub(super) async fn is_named(tx: &mut TenantTx, id: OneOffItemId) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let is_named = sqlx::query_scalar!(
        r#"select exists (select from invoice_lines where tenant_id = $1 and one_off_item_id = $2) as "is_named!""#,
        tenant_id,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_named)
}

/// Deletes one that documents name: no billing after that one knows of it. The subscription's row has to be locked.
pub(super) async fn withdraw(tx: &mut TenantTx, id: OneOffItemId, after: Billing) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update one_off_items set withdrawn_after_boundary = $3, withdrawn_after_revision = $4
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        after.boundary,
        after.revision
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The subscription's row has to be locked.
pub(super) async fn delete(tx: &mut TenantTx, id: OneOffItemId) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("delete from one_off_items where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}
