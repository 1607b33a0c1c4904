//! SQL of folders.

use db::Error;
use kernel::{Env, FolderId, MailboxId, TenantId};
use tenancy::{IngestTx, OfTenants, TenantTx};
use uuid::Uuid;

use super::{Folder, Role};
use crate::from_column;

pub(crate) async fn exists(tx: &mut TenantTx, mailbox_id: MailboxId, id: FolderId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    Ok(sqlx::query_scalar!(
        r#"select exists (select from folders where tenant_id = $1 and mailbox_id = $2 and id = $3) as "exists!""#,
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}

pub(crate) async fn find_inbox(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Option<FolderId>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let id = sqlx::query_scalar!(
        "select id from folders where tenant_id = $1 and mailbox_id = $2 and role = 'inbox'",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id.map(FolderId::from_uuid))
}

pub(super) async fn get_inbox(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<FolderId, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let id = sqlx::query_scalar!(
        "select id from folders where tenant_id = $1 and mailbox_id = $2 and role = 'inbox'",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(FolderId::from_uuid(id))
}

/// Makes the first folders of mailboxes that have none; of those that another is making them for at this moment, it waits for that.
pub(super) async fn insert_first(
    tx: &mut impl OfTenants,
    env: &Env,
    mailboxes: &[(TenantId, MailboxId)],
) -> Result<(), Error> {
    let now = env.now();
    let all = || mailboxes.iter().flat_map(|place| Role::ALL.map(|role| (place, role)));
    // RFC 9051 §2.3.1.1 proposes the time of creation; it must fit 32 bits and not be 0.
    let uid_validity = now.timestamp().clamp(1, i64::from(u32::MAX));
    // Sorted the same way by everybody, so that two at once wait for each other at the first row and nowhere else.
    sqlx::query!(
        "insert into folders (tenant_id, mailbox_id, id, name, role, uid_validity, created_at)
         select first.tenant_id, first.mailbox_id, first.id, first.name, first.role, $1, $2
         from unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[]) with ordinality
           as first (tenant_id, mailbox_id, id, name, role, place)
         order by first.place
         on conflict do nothing",
        uid_validity,
        now,
        &all().map(|((tenant, _), _)| tenant.uuid()).collect::<Vec<_>>(),
        &all().map(|((_, mailbox), _)| mailbox.uuid()).collect::<Vec<_>>(),
        &all().map(|_| env.new_uuid()).collect::<Vec<_>>(),
        &all().map(|(_, role)| role.first_name().to_owned()).collect::<Vec<_>>(),
        &all().map(|(_, role)| role.as_str().to_owned()).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A folder that is locked.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) tenant_id: Uuid,
    pub(super) mailbox_id: Uuid,
    pub(super) id: Uuid,
    pub(super) is_inbox: bool,
    pub(super) uid_next: i64,
}

/// Locks the Inboxes of the mailboxes, and those of the named folders that are theirs.
pub(super) async fn lock_many(
    tx: &mut IngestTx,
    mailboxes: &[(TenantId, MailboxId)],
    named: &[FolderId],
) -> Result<Vec<Locked>, Error> {
    let locked = sqlx::query_as!(
        Locked,
        r#"select tenant_id, mailbox_id, id, role is not distinct from 'inbox' as "is_inbox!", uid_next from folders
           where (tenant_id, mailbox_id) in (select * from unnest($1::uuid[], $2::uuid[])) and (role = 'inbox' or id = any ($3))
           order by id for no key update"#,
        &mailboxes.iter().map(|(tenant, _)| tenant.uuid()).collect::<Vec<_>>(),
        &mailboxes.iter().map(|(_, mailbox)| mailbox.uuid()).collect::<Vec<_>>(),
        &named.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(locked)
}

/// How many messages have arrived in a folder.
pub(super) struct Arrived {
    pub(super) folder: Locked,
    pub(super) count: i64,
}

/// Counts what has arrived, and gives its UIDs out.
pub(super) async fn add_arrived(tx: &mut IngestTx, arrived: &[Arrived]) -> Result<(), Error> {
    sqlx::query!(
        "update folders set uid_next = uid_next + arrived.count, message_count = message_count + arrived.count
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) as arrived (tenant_id, mailbox_id, id, count)
         where folders.tenant_id = arrived.tenant_id and folders.mailbox_id = arrived.mailbox_id and folders.id = arrived.id",
        &arrived.iter().map(|arrived| arrived.folder.tenant_id).collect::<Vec<_>>(),
        &arrived.iter().map(|arrived| arrived.folder.mailbox_id).collect::<Vec<_>>(),
        &arrived.iter().map(|arrived| arrived.folder.id).collect::<Vec<_>>(),
        &arrived.iter().map(|arrived| arrived.count).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives out the folder's next UID and counts one more message.
pub(crate) async fn take_uid(tx: &mut TenantTx, mailbox_id: MailboxId, id: FolderId) -> Result<i64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    Ok(sqlx::query_scalar!(
        r#"update folders set uid_next = uid_next + 1, message_count = message_count + 1
         where tenant_id = $1 and mailbox_id = $2 and id = $3
         returning uid_next - 1 as "uid!""#,
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Counts `count` messages fewer.
pub(crate) async fn uncount(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    count: i64,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update folders set message_count = message_count - $4
         where tenant_id = $1 and mailbox_id = $2 and id = $3",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        count,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn list(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Vec<Folder>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select id, name, role, uid_validity, uid_next, message_count
         from folders where tenant_id = $1 and mailbox_id = $2 order by name",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Folder {
            id: FolderId::from_uuid(row.id),
            name: row.name,
            role: row.role.as_deref().and_then(Role::from_column),
            uid_validity: u32::try_from(row.uid_validity).unwrap_or(u32::MAX),
            uid_next: from_column(row.uid_next),
            message_count: from_column(row.message_count),
        })
        .collect())
}
