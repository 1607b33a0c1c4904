//! SQL of folders.

use db::Error;
use kernel::{Env, FolderId, MailboxId};
use tenancy::TenantTx;

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

pub(super) async fn insert_first(tx: &mut TenantTx, env: &Env, mailbox_id: MailboxId) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let now = env.now();
    let ids = Role::ALL.map(|_| env.new_uuid());
    let names = Role::ALL.map(|role| role.first_name().to_owned());
    let roles = Role::ALL.map(|role| role.as_str().to_owned());
    // RFC 9051 §2.3.1.1 proposes the time of creation; it must fit 32 bits and not be 0.
    let uid_validity = now.timestamp().clamp(1, i64::from(u32::MAX));
    // Sorted the same way by everybody, so that two at once wait for each other at the first row and nowhere else.
    sqlx::query!(
        "insert into folders (tenant_id, mailbox_id, id, name, role, uid_validity, created_at)
         select $1, $2, first.id, first.name, first.role, $3, $4
         from unnest($5::uuid[], $6::text[], $7::text[]) with ordinality as first (id, name, role, place)
         order by first.place
         on conflict do nothing",
        tenant_id,
        mailbox_id.uuid(),
        uid_validity,
        now,
        &ids,
        &names,
        &roles,
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
