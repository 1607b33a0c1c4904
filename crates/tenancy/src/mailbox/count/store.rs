//! SQL of counted mailboxes.

use kernel::{MailboxId, TenantId};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::super::Kind;
use super::CountChange;
use crate::{Error, TenantTx};

/// By tenant, oldest first, up to and including the time given for each.
pub(super) async fn changes(
    conn: &mut PgConnection,
    until: &[(TenantId, DateTime<Utc>)],
) -> Result<Vec<(TenantId, CountChange)>, Error> {
    let (tenants, until): (Vec<Uuid>, Vec<DateTime<Utc>>) =
        until.iter().map(|(id, until)| (id.uuid(), *until)).unzip();
    let rows = sqlx::query!(
        "select c.tenant_id, c.at, c.delta, c.kind
         from unnest($1::uuid[], $2::timestamptz[]) asked (tenant_id, until)
         join mailbox_changes c on c.tenant_id = asked.tenant_id and c.at <= asked.until
         order by c.tenant_id, c.at, c.position",
        &tenants,
        &until,
    )
    .fetch_all(conn)
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let kind = row.kind.parse().map_err(Error::internal)?;
            Ok((TenantId::from_uuid(row.tenant_id), CountChange { at: row.at, delta: row.delta, kind }))
        })
        .collect()
}

/// Appends a change, never before the last: clocks of several servers differ. The tenant's row is locked.
pub(super) async fn append(
    tx: &mut TenantTx,
    at: DateTime<Utc>,
    kind: Kind,
    delta: i32,
    id: MailboxId,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into mailbox_changes (tenant_id, at, kind, delta, mailbox_id)
         values ($1, greatest($2, (select at from mailbox_changes where tenant_id = $1 order by position desc limit 1)), $3, $4, $5)",
        tenant_id,
        at,
        kind.as_str(),
        delta,
        id.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
