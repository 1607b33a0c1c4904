//! SQL of what is found.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use db::{Error, SystemTx};
use kernel::{MailboxId, MessageId, PackId, TenantId};
use tenancy::TenantRead;

/// Sets the next UID of each folder, and the modification sequence of each mailbox, so much higher than it was and may have leapt to, gives the latter to
/// all that the mailbox has, and lets the log begin there. No folder that is made later gets a UID validity that one had which was lost.
pub(super) async fn raise(tx: &mut SystemTx, gap: i64, lost_at: DateTime<Utc>) -> Result<(), Error> {
    // An import may have set a mailbox's modification sequence to the microseconds of the clock meanwhile. A folder's UID validity is the seconds of the
    // clock, or the next after those of the mailbox's others.
    sqlx::query!(
        "update mailboxes set modseq = greatest(modseq, $2) + $1, uid_validity_floor = greatest(uid_validity_floor, greatest($3,
           (select max(folders.uid_validity) from folders
            where folders.tenant_id = mailboxes.tenant_id and folders.mailbox_id = mailboxes.id)) + $4)",
        gap,
        lost_at.timestamp_micros(),
        lost_at.timestamp(),
        super::FOLDERS,
    )
    .execute(tx.conn())
    .await?;
    // HIGHESTMODSEQ (RFC 7162 §3.1.2.1) never falls, and a client may have been told one that was lost.
    sqlx::query!(
        "update folders set uid_next = greatest(folders.uid_next, folders.uid_reserved) + $1, highest_modseq = mailboxes.modseq from mailboxes
         where mailboxes.tenant_id = folders.tenant_id and mailboxes.id = folders.mailbox_id",
        gap,
    )
    .execute(tx.conn())
    .await?;
    // Which flags it was told of with that is not known either: whoever asks for what has changed is told all of them once.
    sqlx::query!(
        "update messages set modseq = mailboxes.modseq from mailboxes
         where mailboxes.tenant_id = messages.tenant_id and mailboxes.id = messages.mailbox_id",
    )
    .execute(tx.conn())
    .await?;
    // Whoever has seen what was lost looks at everything again.
    sqlx::query!(
        "insert into mail_change_floors (tenant_id, mailbox_id, modseq) select tenant_id, id, modseq from mailboxes
         on conflict (tenant_id, mailbox_id) do update set modseq = excluded.modseq",
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Those of some messages with the same bytes, each of its mailbox, that an import has taken since: whose mailbox has one with these bytes and a later id, and
/// knows that it has imported them.
pub(super) async fn imported_again(
    tx: &mut TenantRead,
    messages: &[(MessageId, MailboxId)],
    sha256: &[u8; 32],
) -> Result<Vec<MessageId>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids = sqlx::query_scalar!(
        r#"select was.id as "id!" from unnest($2::uuid[], $3::uuid[]) as was (id, mailbox_id)
           where exists (select from imported_messages as key
                         where key.tenant_id = $1 and key.mailbox_id = was.mailbox_id and key.sha256 = $4) and exists (
             select from messages join blobs on blobs.tenant_id = messages.tenant_id and blobs.id = messages.blob_id
             where messages.tenant_id = $1 and messages.mailbox_id = was.mailbox_id and messages.id > was.id
               and messages.state = 'live' and blobs.sha256 = $4)"#,
        tenant_id,
        &messages.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>(),
        &messages.iter().map(|(_, mailbox_id)| mailbox_id.uuid()).collect::<Vec<_>>(),
        &sha256[..],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(MessageId::from_uuid).collect())
}

/// The live packs of nobody's own that no tenant has anything in. A commit makes a pack live together with the shares in it.
pub(super) async fn deserted(tx: &mut SystemTx) -> Result<Vec<PackId>, Error> {
    let ids = sqlx::query_scalar!(
        "select id from packs where state = 'live' and tenant_id is null
           and not exists (select from pack_shares where pack_shares.pack_id = packs.id) order by id",
    );
    Ok(ids.fetch_all(tx.conn()).await?.into_iter().map(PackId::from_uuid).collect())
}

/// Has one of them drain.
pub(super) async fn drain(tx: &mut SystemTx, pack: PackId, now: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!(
        "update packs set state = 'draining', drained_at = $2, dead_since = coalesce(dead_since, $2) where id = $1 and state = 'live'",
        pack.uuid(),
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets that a pack was reserved, whose object is to stay.
pub(super) async fn disown(tx: &mut SystemTx, pack: PackId) -> Result<(), Error> {
    sqlx::query!("delete from packs where id = $1 and state = 'reserved'", pack.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Those of some packs in which nothing can be that no row names: that were committed, or whose reservation had expired before a moment.
pub(super) async fn known(
    tx: &mut SystemTx,
    packs: &[(Option<TenantId>, PackId)],
    read_at: DateTime<Utc>,
) -> Result<BTreeSet<PackId>, Error> {
    let ids = packs.iter().map(|(_, pack)| pack.uuid()).collect::<Vec<_>>();
    let known = sqlx::query_scalar!(
        "select id from packs where id = any ($1) and (state <> 'reserved' or reserved_until < $2)",
        &ids,
        read_at,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(known.into_iter().map(PackId::from_uuid).collect())
}
