//! SQL of exports.

use std::collections::BTreeMap;

use db::Error;
use kernel::{FolderId, MailboxId};
use tenancy::TenantTx;

use crate::from_column;

/// A folder that is there, or was deleted and is still known.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) id: FolderId,
    pub(super) parent_id: Option<FolderId>,
    pub(super) name: String,
    /// How many messages were deleted that were in it, and are still kept.
    pub(super) deleted_count: u64,
}

/// All folders that a mailbox has or had.
pub(super) async fn folders(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Vec<Folder>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select id, parent_id, name,
             (select count(*) from messages where messages.tenant_id = folders.tenant_id and messages.mailbox_id = folders.mailbox_id
                and messages.folder_id = folders.id and messages.state = 'recoverable') as "deleted_count!"
           from folders where tenant_id = $1 and mailbox_id = $2 order by id"#,
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|row| Folder {
        id: FolderId::from_uuid(row.id),
        parent_id: row.parent_id.map(FolderId::from_uuid),
        name: row.name,
        deleted_count: from_column(row.deleted_count),
    });
    Ok(rows.collect())
}

/// The UIDs from which on none was given out, nor is kept for a list, of a mailbox's folders.
pub(super) async fn uid_nexts(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
) -> Result<BTreeMap<FolderId, u64>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select id, greatest(uid_next, uid_reserved) as "uid_next!" from folders where tenant_id = $1 and mailbox_id = $2"#,
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (FolderId::from_uuid(row.id), from_column(row.uid_next))).collect())
}
