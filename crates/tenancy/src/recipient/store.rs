//! SQL of recipients.

use db::{Error, SystemRead};
use kernel::{DomainName, GroupId, MailboxId, TenantId};
use uuid::Uuid;

/// A domain that takes mail, and who has the address in it.
pub(super) struct Route {
    pub(super) tenant_id: TenantId,
    pub(super) plus_addressing: bool,
    pub(super) catch_all: Option<MailboxId>,
    pub(super) mailbox_id: Option<MailboxId>,
    pub(super) group_id: Option<GroupId>,
    /// Whether the mailbox's own user may receive.
    pub(super) receives: bool,
}

/// The way to an address; `None` when nobody has the domain, or its tenant may not receive.
pub(super) async fn route(
    read: &mut SystemRead,
    domain: &DomainName,
    local: &str,
) -> Result<Option<Route>, Error> {
    let row = sqlx::query!(
        r#"select t.id, d.plus_addressing, d.catch_all_mailbox_id, a.mailbox_id as "mailbox_id?", a.group_id as "group_id?",
             m.status = 'active' and m.kind <> 'archive' and not ('receive' = any (coalesce(u.suspended_capabilities, '{}'))) as receives
           from domain_names n
           join domains d on d.tenant_id = n.tenant_id and d.id = n.domain_id and d.status = 'active'
           join tenants t on t.id = d.tenant_id and t.status <> 'deleted' and not ('receive' = any (t.suspended_capabilities))
           left join addresses a on a.tenant_id = d.tenant_id and a.domain_id = d.id and a.local_part = $2 and a.released_at is null
           left join mailboxes m on m.tenant_id = a.tenant_id and m.id = a.mailbox_id
           left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
           where n.name = $1"#,
        domain.as_str(),
        local
    )
    .fetch_optional(read.conn())
    .await?;
    Ok(row.map(|row| Route {
        tenant_id: TenantId::from_uuid(row.id),
        plus_addressing: row.plus_addressing,
        catch_all: row.catch_all_mailbox_id.map(MailboxId::from_uuid),
        mailbox_id: row.mailbox_id.map(MailboxId::from_uuid),
        group_id: row.group_id.map(GroupId::from_uuid),
        receives: row.receives.unwrap_or_default(),
    }))
}

pub(super) async fn is_proven(read: &mut SystemRead, domain: &DomainName) -> Result<bool, Error> {
    let is = sqlx::query_scalar!(
        r#"select exists (
             select from domain_names n join domains d on d.tenant_id = n.tenant_id and d.id = n.domain_id and d.status = 'active'
             where n.name = $1) as "is!""#,
        domain.as_str(),
    )
    .fetch_one(read.conn())
    .await?;
    Ok(is)
}

/// The mailbox, if it is there and may receive.
pub(super) async fn receiving(
    read: &mut SystemRead,
    tenant_id: TenantId,
    mailbox_id: MailboxId,
) -> Result<Vec<MailboxId>, Error> {
    let ids = sqlx::query_scalar!(
        "select m.id from mailboxes m left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
         where m.tenant_id = $1 and m.id = $2 and m.status = 'active' and m.kind <> 'archive'
           and not ('receive' = any (coalesce(u.suspended_capabilities, '{}')))",
        tenant_id.uuid(),
        mailbox_id.uuid()
    )
    .fetch_all(read.conn())
    .await?;
    Ok(mailboxes(ids))
}

/// The mailboxes below a group that may receive, each once.
pub(super) async fn members(
    read: &mut SystemRead,
    tenant_id: TenantId,
    group_id: GroupId,
) -> Result<Vec<MailboxId>, Error> {
    let ids = sqlx::query_scalar!(
        // Without duplicates, so that it ends whatever is a member of what.
        r#"with recursive below (id) as (
             select $2::uuid
             union select gm.member_group_id from below join group_members gm on gm.tenant_id = $1 and gm.group_id = below.id
             where gm.member_group_id is not null)
           select distinct m.id from below
           join group_members gm on gm.tenant_id = $1 and gm.group_id = below.id
           join mailboxes m on m.tenant_id = gm.tenant_id and m.id = gm.mailbox_id and m.status = 'active' and m.kind <> 'archive'
           left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
           where not ('receive' = any (coalesce(u.suspended_capabilities, '{}')))
           order by m.id"#,
        tenant_id.uuid(),
        group_id.uuid()
    )
    .fetch_all(read.conn())
    .await?;
    Ok(mailboxes(ids))
}

/// The mailboxes of the tenant's administrators who may receive; without any, its oldest one that may.
pub(super) async fn for_the_administrator(
    read: &mut SystemRead,
    tenant_id: TenantId,
) -> Result<Vec<MailboxId>, Error> {
    let rows = sqlx::query!(
        r#"select m.id, coalesce(u.role = 'tenant_admin', false) as "is_admin!"
           from mailboxes m left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
           where m.tenant_id = $1 and m.status = 'active' and m.kind <> 'archive' and not ('receive' = any (coalesce(u.suspended_capabilities, '{}')))
           order by 2 desc, m.id limit 100"#,
        tenant_id.uuid()
    )
    .fetch_all(read.conn())
    .await?;
    let has_admin = rows.first().is_some_and(|row| row.is_admin);
    let found = if has_admin { rows.iter().take_while(|row| row.is_admin).count() } else { 1 };
    Ok(mailboxes(rows.into_iter().take(found).map(|row| row.id).collect()))
}

fn mailboxes(ids: Vec<Uuid>) -> Vec<MailboxId> {
    ids.into_iter().map(MailboxId::from_uuid).collect()
}
