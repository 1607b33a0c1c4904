//! SQL of groups and their members.

use db::Error;
use kernel::{EmailAddress, GroupId, MailboxId, PageRequest};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::directory::Lookup;
use super::{Group, GroupChange, Member};
use crate::TenantTx;

struct Row {
    id: Uuid,
    display_name: String,
    address: Option<String>,
    aliases: Vec<String>,
    external_id: Option<String>,
    member_count: i64,
    created_at: DateTime<Utc>,
    version: i64,
}

impl From<Row> for Group {
    fn from(row: Row) -> Self {
        Self {
            id: GroupId::from_uuid(row.id),
            display_name: row.display_name,
            address: row.address,
            aliases: row.aliases,
            external_id: row.external_id,
            member_count: row.member_count,
            created_at: row.created_at,
            version: row.version,
        }
    }
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: GroupId,
    display_name: &str,
    external_id: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into groups (tenant_id, id, display_name, external_id, created_at) values ($1, $2, $3, $4, $5)",
        tenant_id,
        id.uuid(),
        display_name,
        external_id,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn find(tx: &mut TenantTx, id: GroupId) -> Result<Option<Group>, Error> {
    Ok(select(tx, Some(id), (&Lookup::default(), None), &PageRequest::new(Some(1), None)).await?.pop())
}

pub(super) async fn list(
    tx: &mut TenantTx,
    lookup: &Lookup,
    address: Option<&EmailAddress>,
    page: &PageRequest,
) -> Result<Vec<Group>, Error> {
    select(tx, None, (lookup, address), page).await
}

/// A page of the groups that are looked up, an address naming the one that has it; or of the one in `only`.
async fn select(
    tx: &mut TenantTx,
    only: Option<GroupId>,
    (lookup, address): (&Lookup, Option<&EmailAddress>),
    page: &PageRequest,
) -> Result<Vec<Group>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (user_id, group_id) = lookup.member_ids();
    let rows = sqlx::query_as!(
        Row,
        r#"select g.id, g.display_name, g.external_id, g.created_at, g.version,
             (select a.local_part || '@' || d.name from addresses a join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
              where a.tenant_id = g.tenant_id and a.group_id = g.id and a.is_primary) as address,
             array(select a.local_part || '@' || d.name from addresses a join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
              where a.tenant_id = g.tenant_id and a.group_id = g.id and not a.is_primary order by d.name, a.local_part) as "aliases!: Vec<String>",
             (select count(*) from group_members gm left join mailboxes m on m.tenant_id = gm.tenant_id and m.id = gm.mailbox_id
              where gm.tenant_id = g.tenant_id and gm.group_id = g.id and m.status is distinct from 'deleted') as "member_count!"
           from groups g
           where g.tenant_id = $1 and g.id > $2 and ($4::uuid is null or g.id = $4)
             and ($5::text is null or g.external_id = $5) and ($6::text is null or lower(g.display_name) = lower($6))
             and (coalesce($7::uuid, $8::uuid) is null or g.id in (
               select gm.group_id from group_members gm where gm.tenant_id = $1 and gm.member_id = any (array(
                 select m.id from mailboxes m where m.tenant_id = $1 and m.user_id = $7 union all select $8::uuid))))
             and ($9::text is null or exists (select from addresses o join domains n on n.tenant_id = o.tenant_id and n.id = o.domain_id
               where o.tenant_id = g.tenant_id and o.group_id = g.id and o.local_part = $9 and n.name = $10))
           order by g.id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch(),
        only.map(GroupId::uuid),
        lookup.external_id,
        lookup.display_name,
        user_id,
        group_id,
        address.map(EmailAddress::local),
        address.map(|address| address.domain().as_str())
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Group::from).collect())
}

/// Keeps others from changing a group until the transaction ends.
pub(super) async fn lock(tx: &mut TenantTx, id: GroupId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "select id from groups where tenant_id = $1 and id = $2 for no key update",
        tenant_id,
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(())
}

/// Counts a group as changed; whether there is one.
pub(super) async fn touch(tx: &mut TenantTx, id: GroupId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "update groups set version = version + 1 where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn update(tx: &mut TenantTx, id: GroupId, change: &GroupChange) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update groups set version = version + 1, display_name = coalesce($3, display_name),
           external_id = case when $4 then $5 else external_id end
         where tenant_id = $1 and id = $2",
        tenant_id,
        id.uuid(),
        change.display_name,
        change.external_id.is_some(),
        change.external_id.clone().flatten()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Deletes a group with its addresses and memberships.
pub(super) async fn delete(tx: &mut TenantTx, id: GroupId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!("delete from groups where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn exists(tx: &mut TenantTx, id: GroupId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query!("select id from groups where tenant_id = $1 and id = $2", tenant_id, id.uuid())
        .fetch_optional(tx.conn())
        .await?;
    Ok(found.is_some())
}

pub(super) async fn members(
    tx: &mut TenantTx,
    id: GroupId,
    page: &PageRequest,
) -> Result<Vec<Member>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select gm.member_id, gm.mailbox_id from group_members gm
         left join mailboxes m on m.tenant_id = gm.tenant_id and m.id = gm.mailbox_id
         where gm.tenant_id = $1 and gm.group_id = $2 and gm.member_id > $3 and m.status is distinct from 'deleted'
         order by gm.member_id limit $4",
        tenant_id,
        id.uuid(),
        page.after(),
        page.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    let member = |member_id, mailbox_id: Option<Uuid>| match mailbox_id {
        Some(id) => Member::Mailbox(MailboxId::from_uuid(id)),
        None => Member::Group(GroupId::from_uuid(member_id)),
    };
    Ok(rows.into_iter().map(|row| member(row.member_id, row.mailbox_id)).collect())
}

pub(super) async fn count_members(tx: &mut TenantTx, id: GroupId) -> Result<usize, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from group_members where tenant_id = $1 and group_id = $2"#,
        tenant_id,
        id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

pub(super) async fn is_member(tx: &mut TenantTx, id: GroupId, member: Member) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let found = sqlx::query!(
        "select member_id from group_members where tenant_id = $1 and group_id = $2 and member_id = $3",
        tenant_id,
        id.uuid(),
        member.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.is_some())
}

pub(super) async fn insert_member(tx: &mut TenantTx, id: GroupId, member: Member) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let is_mailbox = matches!(member, Member::Mailbox(_));
    sqlx::query!(
        "insert into group_members (tenant_id, group_id, member_id, mailbox_id, member_group_id)
         values ($1, $2, $3, case when $4 then $3::uuid end, case when not $4 then $3::uuid end)
         on conflict on constraint group_members_once do nothing",
        tenant_id,
        id.uuid(),
        member.uuid(),
        is_mailbox
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes a member away; whether it was one.
pub(super) async fn remove_member(tx: &mut TenantTx, id: GroupId, member: Member) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let done = sqlx::query!(
        "delete from group_members where tenant_id = $1 and group_id = $2 and member_id = $3",
        tenant_id,
        id.uuid(),
        member.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Whether a group is another, or has it among its members, through however many groups.
pub(super) async fn reaches(tx: &mut TenantTx, from: GroupId, to: GroupId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let reaches = sqlx::query_scalar!(
        r#"with recursive below (id) as (
             select $2::uuid
             union select gm.member_group_id from below join group_members gm on gm.tenant_id = $1 and gm.group_id = below.id
             where gm.member_group_id is not null)
           select exists (select from below where id = $3) as "reaches!""#,
        tenant_id,
        from.uuid(),
        to.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(reaches)
}
