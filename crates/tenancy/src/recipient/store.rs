//! SQL of recipients.

use db::{Error, SystemRead};
use kernel::{DomainName, GroupId, MailboxId, TenantId};
use uuid::Uuid;

use super::{Question, Route};
use crate::tenant::store::PlaceRow;

/// The ways to addresses, in their order; `None` where nobody has the domain, or its tenant may not receive.
pub(super) async fn routes(
    read: &mut SystemRead,
    questions: &[Question],
) -> Result<Vec<Result<Option<Route>, crate::Error>>, Error> {
    let (domains, locals): (Vec<_>, Vec<_>) = questions
        .iter()
        .map(|question| (question.domain.as_str().to_owned(), question.local.clone()))
        .unzip();
    let rows = sqlx::query!(
        r#"select q.place as "place!", t.id as "tenant_id!", d.plus_addressing as "plus_addressing!", d.catch_all_mailbox_id as "catch_all?",
             a.mailbox_id as "mailbox_id?", a.group_id as "group_id?",
             m.status = 'active' and m.kind <> 'archive' and not ('receive' = any (coalesce(u.suspended_capabilities, '{}'))) as "receives?",
             t.reseller_id as "reseller_id!", t.reseller_path as "reseller_path!", t.time_zone as "time_zone!", t.test_clock as "test_clock?",
             t.former_time_zones as "former_time_zones!", t.former_time_zones_until as "former_time_zones_until!",
             t.suspended_capabilities as "suspended_capabilities!", t.storage_dedicated as "storage_dedicated!",
             least(m.quota_bytes - m.used_bytes, t.storage_limit_bytes - t.used_bytes,
                   (select min(r.storage_limit_bytes - r.used_bytes) from resellers r where r.id = any (t.reseller_path))) as room
           from unnest($1::text[], $2::text[]) with ordinality q (domain, local, place)
           join domain_names n on n.name = q.domain
           join domains d on d.tenant_id = n.tenant_id and d.id = n.domain_id and d.status = 'active'
           join tenants t on t.id = d.tenant_id and t.status <> 'deleted' and not ('receive' = any (t.suspended_capabilities))
           left join addresses a on a.tenant_id = d.tenant_id and a.domain_id = d.id and a.local_part = q.local and a.released_at is null
           left join mailboxes m on m.tenant_id = a.tenant_id and m.id = a.mailbox_id
           left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id"#,
        &domains,
        &locals
    )
    .fetch_all(read.conn())
    .await?;
    let mut found: Vec<_> = questions.iter().map(|_| Ok(None)).collect();
    for row in rows {
        let place = PlaceRow {
            reseller_id: row.reseller_id,
            reseller_path: row.reseller_path,
            time_zone: row.time_zone,
            former_time_zones: row.former_time_zones,
            former_time_zones_until: row.former_time_zones_until,
            test_clock: row.test_clock,
            suspended_capabilities: row.suspended_capabilities,
            is_deleted: false,
            storage_dedicated: row.storage_dedicated,
            // Mailboxes are delegated to people.
            readable: Vec::new(),
            writable: Vec::new(),
        };
        let route = |place| Route {
            tenant_id: TenantId::from_uuid(row.tenant_id),
            place,
            plus_addressing: row.plus_addressing,
            catch_all: row.catch_all.map(MailboxId::from_uuid),
            mailbox_id: row.mailbox_id.map(MailboxId::from_uuid),
            group_id: row.group_id.map(GroupId::from_uuid),
            receives: row.receives.unwrap_or_default(),
            room_bytes: row.room.map_or(u64::MAX, |room| u64::try_from(room).unwrap_or_default()),
        };
        // Ordinality counts from one.
        let answer = usize::try_from(row.place).ok().and_then(|place| found.get_mut(place.checked_sub(1)?));
        if let Some(answer) = answer {
            *answer = place.try_into().map(route).map(Some);
        }
    }
    Ok(found)
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
