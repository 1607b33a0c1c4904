//! SQL of quotas.

use db::Error;
use kernel::MailboxId;

use super::Bounds;
use crate::TenantTx;

/// A mailbox after its bytes were moved.
pub(super) struct State {
    pub(super) modseq: i64,
    pub(super) used_bytes: i64,
    quota_bytes: Option<i64>,
    warn_bytes: Option<i64>,
    block_send_bytes: Option<i64>,
}

impl State {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            quota_bytes: self.quota_bytes,
            warn_bytes: self.warn_bytes,
            block_send_bytes: self.block_send_bytes,
        }
    }
}

pub(super) async fn charge(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    bytes: i64,
) -> Result<Option<State>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let state = sqlx::query_as!(
        State,
        "update mailboxes set used_bytes = used_bytes + $3, modseq = modseq + 1
         where tenant_id = $1 and id = $2 and status = 'active'
           and (quota_bytes is null or used_bytes <= quota_bytes - $3)
         returning modseq, used_bytes, quota_bytes, warn_bytes, block_send_bytes",
        tenant_id,
        mailbox_id.uuid(),
        bytes
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(state)
}

pub(super) async fn exists(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let exists = sqlx::query_scalar!(
        r#"select exists (select from mailboxes where tenant_id = $1 and id = $2 and status = 'active') as "exists!""#,
        tenant_id,
        mailbox_id.uuid()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(exists)
}

pub(super) async fn has_room(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    bytes: i64,
) -> Result<Option<bool>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let room = sqlx::query_scalar!(
        r#"select (m.quota_bytes is null or m.used_bytes <= m.quota_bytes - $3)
             and (t.storage_limit_bytes is null or t.used_bytes <= t.storage_limit_bytes - $3)
             and not exists (select from resellers r where r.id = any (t.reseller_path) and r.used_bytes > r.storage_limit_bytes - $3)
             as "room!"
           from mailboxes m join tenants t on t.id = m.tenant_id
           where m.tenant_id = $1 and m.id = $2 and m.status = 'active'"#,
        tenant_id,
        mailbox_id.uuid(),
        bytes
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(room)
}

pub(super) async fn discard(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    bytes: i64,
) -> Result<Option<State>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let state = sqlx::query_as!(
        State,
        "update mailboxes set used_bytes = used_bytes - $3, recoverable_bytes = recoverable_bytes + $3, modseq = modseq + 1
         where tenant_id = $1 and id = $2 returning modseq, used_bytes, quota_bytes, warn_bytes, block_send_bytes",
        tenant_id,
        mailbox_id.uuid(),
        bytes
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(state)
}

pub(super) async fn forget(tx: &mut TenantTx, mailbox_id: MailboxId, bytes: i64) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update mailboxes set recoverable_bytes = recoverable_bytes - $3 where tenant_id = $1 and id = $2",
        tenant_id,
        mailbox_id.uuid(),
        bytes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
