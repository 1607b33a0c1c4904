//! SQL of addresses.

use db::Error;
use kernel::{AliasId, EmailAddress, GroupId, MailboxId, PageRequest};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Alias, Filter, Target};
use crate::TenantTx;

impl Target {
    fn mailbox(self) -> Option<Uuid> {
        if let Self::Mailbox(id) = self { Some(id.uuid()) } else { None }
    }

    fn group(self) -> Option<Uuid> {
        if let Self::Group(id) = self { Some(id.uuid()) } else { None }
    }

    /// The table's check says that it is one of them.
    fn of(mailbox: Option<Uuid>, group: Option<Uuid>) -> Self {
        match (mailbox, group) {
            (Some(id), _) => Self::Mailbox(MailboxId::from_uuid(id)),
            (None, id) => Self::Group(GroupId::from_uuid(id.unwrap_or_default())),
        }
    }
}

/// An address that is in use.
pub(crate) struct Held {
    pub(crate) id: AliasId,
    /// As it is kept: what a version before took may be no address any more.
    pub(crate) address: String,
    pub(crate) is_primary: bool,
}

/// Gives a mailbox or group an address; false when the tenant has no active domain of that name.
pub(super) async fn insert(
    tx: &mut TenantTx,
    id: AliasId,
    target: Target,
    address: &EmailAddress,
    is_primary: bool,
) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "insert into addresses (tenant_id, id, domain_id, local_part, mailbox_id, group_id, is_primary)
         select tenant_id, $4, id, $3, $5, $6, $7 from domains where tenant_id = $1 and name = $2 and status = 'active'",
        tenant_id,
        address.domain().as_str(),
        address.local(),
        id.uuid(),
        target.mailbox(),
        target.group(),
        is_primary,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The addresses that lead to a mailbox or group.
pub(super) async fn of(tx: &mut TenantTx, target: Target) -> Result<Vec<Held>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select a.id, a.local_part || '@' || d.name as "address!", a.is_primary
           from addresses a join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where a.tenant_id = $1 and (a.mailbox_id = $2 or a.group_id = $3) and a.released_at is null order by a.id"#,
        tenant_id,
        target.mailbox(),
        target.group()
    )
    .fetch_all(tx.conn())
    .await?;
    let held = |id, address, is_primary| Held { id: AliasId::from_uuid(id), address, is_primary };
    Ok(rows.into_iter().map(|row| held(row.id, row.address, row.is_primary)).collect())
}

pub(super) async fn count_aliases(tx: &mut TenantTx, target: Target) -> Result<usize, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from addresses
           where tenant_id = $1 and (mailbox_id = $2 or group_id = $3) and not is_primary and released_at is null"#,
        tenant_id,
        target.mailbox(),
        target.group()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

pub(super) async fn find(tx: &mut TenantTx, id: AliasId) -> Result<Option<Alias>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select a.id, a.local_part || '@' || d.name as "address!", a.mailbox_id, a.group_id
           from addresses a join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where a.tenant_id = $1 and a.id = $2 and not a.is_primary and a.released_at is null"#,
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Alias {
        id: AliasId::from_uuid(row.id),
        address: row.address,
        target: Target::of(row.mailbox_id, row.group_id),
    }))
}

/// A page of the aliases that the filter leaves; of one address, if one is looked for.
pub(super) async fn list(
    tx: &mut TenantTx,
    filter: &Filter,
    address: Option<&EmailAddress>,
    page: &PageRequest,
) -> Result<Vec<Alias>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select a.id, a.local_part || '@' || d.name as "address!", a.mailbox_id, a.group_id
           from addresses a join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           where a.tenant_id = $1 and a.id > $2 and not a.is_primary and a.released_at is null
             and ($4::text is null or (a.local_part = $4 and d.name = $5))
             and ($6::uuid is null or a.mailbox_id = $6) and ($7::uuid is null or a.group_id = $7)
           order by a.id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch(),
        address.map(EmailAddress::local),
        address.map(|address| address.domain().as_str()),
        filter.mailbox_id.map(MailboxId::uuid),
        filter.group_id.map(GroupId::uuid)
    )
    .fetch_all(tx.conn())
    .await?;
    let alias = |id, address, target| Alias { id: AliasId::from_uuid(id), address, target };
    let aliases = rows.into_iter();
    Ok(aliases.map(|row| alias(row.id, row.address, Target::of(row.mailbox_id, row.group_id))).collect())
}

pub(super) async fn delete(tx: &mut TenantTx, id: AliasId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!("delete from addresses where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn set_primary(tx: &mut TenantTx, id: AliasId, is_primary: bool) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update addresses set is_primary = $3 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        is_primary
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Lets go of a deleted mailbox's addresses: it keeps their names, and others may take them.
pub(crate) async fn release(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update addresses set released_at = $3 where tenant_id = $1 and mailbox_id = $2 and released_at is null",
        tenant_id,
        mailbox_id.uuid(),
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives a restored mailbox back those of its addresses that nobody has taken meanwhile, and lets go of the others.
pub(crate) async fn reclaim(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "delete from addresses mine where tenant_id = $1 and mailbox_id = $2 and exists (
           select from addresses other where other.tenant_id = mine.tenant_id and other.domain_id = mine.domain_id
             and other.local_part = mine.local_part and other.released_at is null)",
        tenant_id,
        mailbox_id.uuid()
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "update addresses set released_at = null where tenant_id = $1 and mailbox_id = $2",
        tenant_id,
        mailbox_id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
