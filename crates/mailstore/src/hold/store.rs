//! SQL of what holds keep.

use chrono::{DateTime, Utc};
use db::Error;
use kernel::MailboxId;
use tenancy::TenantTx;

use crate::from_column;

/// The bytes of messages that were deleted before, in a mailbox or in all of the tenant's.
pub(super) async fn held_bytes(
    tx: &mut TenantTx,
    mailbox_id: Option<MailboxId>,
    before: DateTime<Utc>,
) -> Result<u64, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let bytes = sqlx::query_scalar!(
        r#"select coalesce(sum(size_bytes), 0)::bigint as "bytes!" from messages
           where tenant_id = $1 and ($2::uuid is null or mailbox_id = $2) and state = 'recoverable' and discarded_at < $3"#,
        tenant_id,
        mailbox_id.map(MailboxId::uuid),
        before,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(from_column(bytes))
}
