//! SQL of what holds keep.

use chrono::{DateTime, Utc};
use db::Error;
use kernel::MailboxId;
use tenancy::TenantTx;

use crate::from_column;

/// The bytes of deleted messages that the sweeper would take if there were no hold, in a mailbox or in all of the tenant's: they were deleted before, or
/// first among more bytes than a mailbox keeps. None where nothing is on hold.
pub(super) async fn held_bytes(
    tx: &mut TenantTx,
    mailbox_id: Option<MailboxId>,
    before: DateTime<Utc>,
    limit_bytes: i64,
) -> Result<u64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let bytes = sqlx::query_scalar!(
        r#"select coalesce(sum(size_bytes), 0)::bigint as "bytes!" from (
             select size_bytes, discarded_at, sum(size_bytes) over (partition by mailbox_id order by discarded_at desc, id desc) as with_newer_bytes
             from messages
             where tenant_id = $1 and ($2::uuid is null or mailbox_id = $2) and state = 'recoverable' and (select is_on_hold($1, $2))) as kept
           where discarded_at < $3 or with_newer_bytes > $4::bigint"#,
        tenant_id,
        mailbox_id.map(MailboxId::uuid),
        before,
        limit_bytes,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(bytes))
}
