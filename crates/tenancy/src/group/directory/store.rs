//! SQL of groups' members as directories know them.

use std::collections::{BTreeMap, BTreeSet};

use db::Error;
use kernel::{GroupId, MailboxId, UserId};
use uuid::Uuid;

use super::{Entry, Lookup};
use crate::TenantTx;

/// The personal mailboxes of those entries that are users who are there.
pub(super) async fn mailboxes(
    tx: &mut TenantTx,
    entries: &BTreeSet<Entry>,
) -> Result<BTreeMap<UserId, MailboxId>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let users = entries.iter().filter_map(|entry| match entry {
        Entry::User(id) => Some(id.uuid()),
        Entry::Group(_) => None,
    });
    let users: Vec<Uuid> = users.collect();
    let rows = sqlx::query!(
        r#"select user_id as "user_id!", id from mailboxes
           where tenant_id = $1 and user_id = any ($2) and status = 'active'"#,
        tenant_id,
        &users
    )
    .fetch_all(tx.conn())
    .await?;
    let found = rows.into_iter();
    Ok(found.map(|row| (UserId::from_uuid(row.user_id), MailboxId::from_uuid(row.id))).collect())
}

/// The members of groups that are people or groups, with their names.
pub(super) async fn entries(
    tx: &mut TenantTx,
    groups: &[GroupId],
) -> Result<BTreeMap<GroupId, BTreeMap<Entry, String>>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let groups: Vec<Uuid> = groups.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select gm.group_id, u.id as "user_id?", g.id as "member_group_id?",
             coalesce(u.display_name, g.display_name) as "display_name!"
           from group_members gm
           left join mailboxes m on m.tenant_id = gm.tenant_id and m.id = gm.mailbox_id and m.status = 'active'
           left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
           left join groups g on g.tenant_id = gm.tenant_id and g.id = gm.member_group_id
           where gm.tenant_id = $1 and gm.group_id = any ($2) and (u.id is not null or g.id is not null)"#,
        tenant_id,
        &groups
    )
    .fetch_all(tx.conn())
    .await?;
    let mut found: BTreeMap<GroupId, BTreeMap<Entry, String>> = BTreeMap::new();
    for row in rows {
        let entry = match (row.user_id, row.member_group_id) {
            (Some(id), _) => Entry::User(UserId::from_uuid(id)),
            (None, Some(id)) => Entry::Group(GroupId::from_uuid(id)),
            (None, None) => continue,
        };
        found.entry(GroupId::from_uuid(row.group_id)).or_default().insert(entry, row.display_name);
    }
    Ok(found)
}

/// How many groups there are to look at.
pub(super) async fn count(tx: &mut TenantTx, lookup: &Lookup) -> Result<i64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (user_id, group_id) = lookup.member_ids();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from groups g
           where g.tenant_id = $1 and ($2::text is null or g.external_id = $2)
             and ($3::text is null or lower(g.display_name) = lower($3))
             and (coalesce($4::uuid, $5::uuid) is null or g.id in (
               select gm.group_id from group_members gm where gm.tenant_id = $1 and gm.member_id = any (array(
                 select m.id from mailboxes m where m.tenant_id = $1 and m.user_id = $4 union all select $5::uuid))))"#,
        tenant_id,
        lookup.external_id,
        lookup.display_name,
        user_id,
        group_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

/// The id of the group with so many before it.
pub(super) async fn nth(tx: &mut TenantTx, offset: i64) -> Result<Option<Uuid>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let id = sqlx::query_scalar!(
        "select id from groups where tenant_id = $1 order by id offset $2 limit 1",
        tenant_id,
        offset
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id)
}
