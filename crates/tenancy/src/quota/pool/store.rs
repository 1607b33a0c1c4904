//! SQL of pools.

use db::{Error, SystemTx};
use kernel::{ResellerId, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Off, Tightest};
use crate::{OfTenants, TenantTx};

/// Which levels above a tenant's mailboxes have a limit.
pub(super) struct Limited {
    pub(super) tenant_id: Uuid,
    pub(super) tenant: bool,
    pub(super) resellers: Vec<Uuid>,
    /// Whether webhooks are told of mail of the transaction's tenants: as far as one that takes mail in sees that, and no other.
    pub(super) is_told: bool,
}

/// A pool with a limit.
pub(super) struct Pool {
    pub(super) id: Uuid,
    pub(super) limit_bytes: i64,
    pub(super) used_bytes: i64,
}

impl Pool {
    /// Below zero when the limit was lowered under what is used.
    pub(super) fn free_bytes(&self) -> i64 {
        self.limit_bytes - self.used_bytes
    }
}

pub(super) async fn limited(tx: &mut impl OfTenants) -> Result<Vec<Limited>, Error> {
    let tenant_ids = tx.tenant_ids();
    let limited = sqlx::query_as!(
        Limited,
        r#"select t.id as tenant_id, t.storage_limit_bytes is not null as "tenant!",
             array(select r.id from resellers r where r.id = any (t.reseller_path) and r.storage_limit_bytes is not null and t.status <> 'deleted') as "resellers!",
             exists (select from webhook_endpoints w where w.status = 'enabled' and 'message.delivered' = any (w.kinds)) as "is_told!"
           from tenants t where t.id = any ($1)"#,
        &tenant_ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(limited)
}

pub(super) async fn lock_tenants(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Pool>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let pools = sqlx::query_as!(
        Pool,
        r#"select id, storage_limit_bytes as "limit_bytes!", used_bytes from tenants
           where id = any ($1) and storage_limit_bytes is not null order by id for no key update"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(pools)
}

pub(super) async fn lock_resellers(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Pool>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let pools = sqlx::query_as!(
        Pool,
        r#"select id, storage_limit_bytes as "limit_bytes!", used_bytes from resellers
           where id = any ($1) and storage_limit_bytes is not null order by id for no key update"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(pools)
}

/// Adds to each of the tenants so many bytes.
pub(super) async fn add_to_tenants(
    conn: &mut PgConnection,
    ids: &[Uuid],
    bytes: &[i64],
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update tenants set used_bytes = used_bytes + added.bytes
         from unnest($1::uuid[], $2::bigint[]) as added (id, bytes) where tenants.id = added.id",
        ids,
        bytes
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds to each of the resellers so many bytes.
pub(super) async fn add_to_resellers(
    conn: &mut PgConnection,
    ids: &[Uuid],
    bytes: &[i64],
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update resellers set used_bytes = used_bytes + added.bytes
         from unnest($1::uuid[], $2::bigint[]) as added (id, bytes) where resellers.id = added.id",
        ids,
        bytes
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn count_tenant(conn: &mut PgConnection, id: TenantId) -> Result<i64, Error> {
    let bytes = sqlx::query_scalar!(
        r#"with held as (
             select used_bytes from mailboxes where tenant_id = $1 and status = 'active' order by id for no key update
           )
           select coalesce(sum(used_bytes), 0)::bigint as "bytes!" from held"#,
        id.uuid()
    )
    .fetch_one(conn)
    .await?;
    Ok(bytes)
}

pub(super) async fn count_reseller(tx: &mut SystemTx, id: ResellerId) -> Result<i64, Error> {
    let bytes = sqlx::query_scalar!(
        r#"with held as (
             select m.used_bytes from mailboxes m join tenants t on t.id = m.tenant_id
             where $1 = any (t.reseller_path) and t.status <> 'deleted' and m.status = 'active'
             order by m.id for no key update of m
           )
           select coalesce(sum(used_bytes), 0)::bigint as "bytes!" from held"#,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(bytes)
}

/// Of resellers, some are seen.
pub(super) async fn tightest(tx: &mut TenantTx, seen: &[Uuid]) -> Result<Option<Tightest>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select t.storage_limit_bytes - t.used_bytes as tenant,
             (select min(r.storage_limit_bytes - r.used_bytes) from resellers r
              where r.id = any (t.reseller_path) and r.id = any ($2)) as reseller,
             (select min(r.storage_limit_bytes - r.used_bytes) from resellers r
              where r.id = any (t.reseller_path) and r.id <> all ($2)) as hidden
           from tenants t where t.id = $1"#,
        tenant_id,
        seen
    )
    .fetch_one(tx.conn())
    .await?;
    let levels =
        [("tenant", row.tenant, false), ("reseller", row.reseller, false), ("reseller", row.hidden, true)];
    let pools = levels.into_iter().filter_map(|(level, free_bytes, is_hidden)| {
        Some(Tightest { level, free_bytes: free_bytes?, is_hidden })
    });
    Ok(pools.min_by_key(|pool| pool.free_bytes))
}

/// The first so many tenants after one, in the order of their ids.
pub(super) async fn tenants_after(tx: &mut SystemTx, after: Uuid, limit: i64) -> Result<Vec<Uuid>, Error> {
    let ids = sqlx::query_scalar!("select id from tenants where id > $1 order by id limit $2", after, limit)
        .fetch_all(tx.conn())
        .await?;
    Ok(ids)
}

pub(super) async fn tenants_off(tx: &mut SystemTx, ids: &[Uuid]) -> Result<Vec<Off>, Error> {
    let off = sqlx::query_as!(
        Off,
        r#"select t.id as "id!", counter.name as "counter!", counter.says as "says!", counter.counts as "counts!" from tenants t
           cross join lateral (values
             ('seats_used', t.seats_used::bigint, (select count(*) from users u where u.tenant_id = t.id and u.status <> 'deleted')),
             ('domains_used', t.domains_used::bigint, (select count(*) from domains d where d.tenant_id = t.id)),
             ('shared_mailboxes_used', t.shared_mailboxes_used::bigint, (select count(*) from mailboxes s where s.tenant_id = t.id
                and s.status = 'active' and s.kind in ('shared', 'room', 'equipment'))),
             ('used_bytes', t.used_bytes, case when t.storage_limit_bytes is null then t.used_bytes else
               (select coalesce(sum(m.used_bytes), 0)::bigint from mailboxes m where m.tenant_id = t.id and m.status = 'active') end)
           ) as counter (name, says, counts)
           -- Who is being destroyed may have lost rows that a recovery found no key for.
           where t.id = any ($1) and t.destroying is null and counter.says <> counter.counts"#,
        ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(off)
}

/// The first so many resellers after one, in the order of their ids.
pub(super) async fn resellers_after(tx: &mut SystemTx, after: Uuid, limit: i64) -> Result<Vec<Uuid>, Error> {
    let ids =
        sqlx::query_scalar!("select id from resellers where id > $1 order by id limit $2", after, limit)
            .fetch_all(tx.conn())
            .await?;
    Ok(ids)
}

pub(super) async fn resellers_off(tx: &mut SystemTx, ids: &[Uuid]) -> Result<Vec<Off>, Error> {
    let off = sqlx::query_as!(
        Off,
        r#"select r.id as "id!", counter.name as "counter!", counter.says as "says!", counter.counts as "counts!" from resellers r
           cross join lateral (
             select count(*) as tenants, coalesce(sum(t.domains_used), 0)::bigint as domains, coalesce(sum(t.seats_used), 0)::bigint as seats,
               coalesce(sum(t.shared_mailboxes_used), 0)::bigint as shared_mailboxes
             from tenants t where r.id = any (t.reseller_path) and t.status <> 'deleted') as below
           cross join lateral (values
             ('tenants_used', r.tenants_used::bigint, below.tenants),
             ('domains_used', r.domains_used::bigint, below.domains),
             ('seats_used', r.seats_used::bigint, below.seats),
             ('shared_mailboxes_used', r.shared_mailboxes_used::bigint, below.shared_mailboxes),
             ('used_bytes', r.used_bytes, case when r.storage_limit_bytes is null then r.used_bytes else
               (select coalesce(sum(m.used_bytes), 0)::bigint from mailboxes m join tenants t on t.id = m.tenant_id
                where r.id = any (t.reseller_path) and t.status <> 'deleted' and m.status = 'active') end)
           ) as counter (name, says, counts)
           where r.id = any ($1) and counter.says <> counter.counts"#,
        ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(off)
}
