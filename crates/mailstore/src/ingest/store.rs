//! SQL of ingest.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{BlobId, FolderId, MailboxId, MessageId, TenantId};
use pack::Uidl;
use tenancy::{IngestTx, OfTenants as _};
use uuid::Uuid;

use super::door::Spare;
use super::{Delivery, ImportKey, Message};
use crate::body::{Columns, Uploaded};
use crate::folder::store::{Grown, Locked};
use crate::message::{Flag, Keyword};
use crate::{outline, to_column};

/// Those of the keys that are there. With the mailboxes locked, none is added meanwhile.
pub(super) async fn imported(
    tx: &mut IngestTx,
    keys: &[(TenantId, MailboxId, ImportKey)],
) -> Result<BTreeSet<(MailboxId, ImportKey)>, Error> {
    if keys.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = sqlx::query!(
        "select mailbox_id, sha256, occurrence from imported_messages
         where (tenant_id, mailbox_id, sha256, occurrence) in (select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::integer[]))",
        &keys.iter().map(|(tenant, ..)| tenant.uuid()).collect::<Vec<_>>(),
        &keys.iter().map(|(_, mailbox, _)| mailbox.uuid()).collect::<Vec<_>>(),
        &keys.iter().map(|(.., key)| key.sha256.to_vec()).collect::<Vec<_>>(),
        &keys.iter().map(|(.., key)| key.occurrence).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    let key = |sha256: Vec<u8>, occurrence| Some(ImportKey { sha256: sha256.try_into().ok()?, occurrence });
    let found = rows
        .into_iter()
        .filter_map(|row| Some((MailboxId::from_uuid(row.mailbox_id), key(row.sha256, row.occurrence)?)));
    Ok(found.collect())
}

/// Those of the folders that are there.
pub(super) async fn existing(
    tx: &mut IngestTx,
    folders: &BTreeSet<(TenantId, MailboxId, FolderId)>,
) -> Result<BTreeSet<FolderId>, Error> {
    if folders.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ids = sqlx::query_scalar!(
        "select id from folders
         where (tenant_id, mailbox_id, id) in (select * from unnest($1::uuid[], $2::uuid[], $3::uuid[])) and deleted_at is null",
        &folders.iter().map(|(tenant, ..)| tenant.uuid()).collect::<Vec<_>>(),
        &folders.iter().map(|(_, mailbox, _)| mailbox.uuid()).collect::<Vec<_>>(),
        &folders.iter().map(|(.., folder)| folder.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(FolderId::from_uuid).collect())
}

/// A body that messages refer to.
pub(super) struct NewBody<'a> {
    pub(super) tenant_id: TenantId,
    pub(super) id: BlobId,
    pub(super) message: &'a Message,
    pub(super) message_count: i32,
    pub(super) place: Columns,
}

/// What a new row has that its message does not tell.
pub(super) struct NewMessage {
    pub(super) tenant_id: TenantId,
    pub(super) mailbox_id: MailboxId,
    pub(super) id: MessageId,
    pub(super) folder: FolderId,
    pub(super) uid: i64,
    pub(super) uidl: Uidl,
    pub(super) modseq: i64,
    pub(super) blob: BlobId,
}

impl NewMessage {
    pub(super) fn new(
        delivery: &Delivery,
        folder: FolderId,
        uid: i64,
        uidl: Uidl,
        modseq: i64,
        blob: BlobId,
    ) -> Self {
        let &Delivery { mailbox_id, id, .. } = delivery;
        Self { tenant_id: delivery.ctx.tenant_id(), mailbox_id, id, folder, uid, uidl, modseq, blob }
    }
}

/// Those of the names by POP3 that a message of the mailbox has, deleted ones among them.
pub(super) async fn named(
    tx: &mut IngestTx,
    names: &[(TenantId, MailboxId, Uidl)],
) -> Result<BTreeSet<(MailboxId, String)>, Error> {
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = sqlx::query!(
        "select mailbox_id, uidl from messages
         where (tenant_id, mailbox_id, uidl) in (select * from unnest($1::uuid[], $2::uuid[], $3::text[]))",
        &names.iter().map(|(tenant, ..)| tenant.uuid()).collect::<Vec<_>>(),
        &names.iter().map(|(_, mailbox, _)| mailbox.uuid()).collect::<Vec<_>>(),
        &names.iter().map(|(.., uidl)| uidl.as_str().to_owned()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (MailboxId::from_uuid(row.mailbox_id), row.uidl)).collect())
}

/// Sees to it that messages of locked mailboxes which bring a name by POP3 have one that no other of their mailbox has: the first to bring it keeps it.
pub(super) async fn name(tx: &mut IngestTx, rows: &mut [&mut NewMessage]) -> Result<(), Error> {
    let names: Vec<_> = rows.iter().map(|row| (row.tenant_id, row.mailbox_id, row.uidl.clone())).collect();
    let mut taken = named(tx, &names).await?;
    for row in rows {
        if !taken.insert((row.mailbox_id, row.uidl.as_str().to_owned())) {
            row.uidl = Uidl::of(row.id);
        }
    }
    Ok(())
}

/// What lies in a pack, as it is written down.
pub(super) struct Written<'a> {
    pub(super) pack: &'a Uploaded,
    /// One at least.
    pub(super) bodies: &'a [NewBody<'a>],
    pub(super) rows: &'a [(&'a NewMessage, &'a Message)],
    /// How the folders of these have grown.
    pub(super) arrived: &'a [Grown<'a>],
    /// A pack that is to be reserved.
    pub(super) next: Option<&'a Spare>,
}

/// What a [`write()`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// All of it was written.
    Done,
    /// Nothing was, for the pack's reservation has run out.
    ReservationLost,
    /// Nothing was, for many would share the pack and one of them may not.
    NotShared,
}

/// Makes the pack live, if its reservation still stands or a part of its batch was committed before, counts what the bodies take of it, and inserts
/// them with their outlines and their messages, in one round trip.
///
/// Foreign keys are looked at, and triggers fire, at the end of the statement, when all of its parts are there.
pub(super) async fn write(
    tx: &mut IngestTx,
    written: &Written<'_>,
    now: DateTime<Utc>,
) -> Result<Writing, Error> {
    let Written { pack, bodies, rows, arrived, next } = written;
    let tenant_ids = tx.tenant_ids();
    let numbers = |number: fn(&NewBody<'_>) -> i64| bodies.iter().map(number).collect::<Vec<_>>();
    let places =
        |column: fn(&Columns) -> i32| bodies.iter().map(|body| column(&body.place)).collect::<Vec<_>>();
    let folders =
        |column: fn(&Locked) -> Uuid| arrived.iter().map(|grown| column(grown.folder)).collect::<Vec<_>>();
    let counts = |number: fn(&Grown<'_>) -> i64| arrived.iter().map(number).collect::<Vec<_>>();
    let ids = |id: fn(&NewMessage) -> Uuid| rows.iter().map(|(row, _)| id(row)).collect::<Vec<_>>();
    let live_bytes: u64 = bodies.iter().map(|body| u64::from(body.place.stored_bytes.unsigned_abs())).sum();
    let done = sqlx::query!(
        r#"with unshared as (
             select id from tenants where not $22 and storage_dedicated and id = any (array(select unnest($33::uuid[])))),
           live as (
             update packs set state = 'live', reserved_until = null, entry_bytes = $2, dead_since = coalesce(dead_since, $3)
             where id = $1 and state in ('reserved', 'live') and not exists (select from unshared) returning id as pack_id),
           next as (
             insert into packs (id, tenant_id, unsorted, state, reserved_until, created_at)
             select $4, $31::uuid, $32::boolean, 'reserved', $5, $6 where $4::uuid is not null),
           body as materialized (
             select * from live, unnest($7::uuid[], $8::uuid[], $9::bigint[], $10::bigint[], $11::bytea[], $12::integer[], $13::integer[], $14::bigint[],
                                        $15::integer[], $16::integer[], $17::text[], $18::jsonb[], $19::timestamptz[], $20::smallint[], $21::jsonb[])
               as body (tenant_id, blob_id, size_bytes, wire_size_bytes, sha256, message_count, pack_index, pack_offset,
                        stored_bytes, key_generation, structure, parsed, internal_date, flags, keywords)),
           share as (
             insert into pack_shares (tenant_id, pack_id, live_bytes)
             select tenant_id, pack_id, sum(stored_bytes) from body group by tenant_id, pack_id
             on conflict on constraint pack_shares_once do update set live_bytes = pack_shares.live_bytes + excluded.live_bytes),
           blob as (
             insert into blobs (tenant_id, id, size_bytes, sha256, message_count, pack_id, pack_is_own, pack_index, pack_offset,
                                stored_bytes, key_generation, created_at)
             select tenant_id, blob_id, size_bytes, sha256, message_count, pack_id, $22, pack_index, pack_offset, stored_bytes, key_generation, $6
             from body),
           outline as (
             insert into message_outlines (tenant_id, blob_id, version, structure, parsed) select tenant_id, blob_id, $23, structure, parsed from body),
           message as (
             insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes,
                                   wire_size_bytes, internal_date, flags, keywords)
             select body.tenant_id, new.mailbox_id, new.id, new.folder_id, new.uid, new.uidl, new.modseq, body.blob_id, body.size_bytes,
               body.wire_size_bytes, body.internal_date, body.flags, array(select jsonb_array_elements_text(body.keywords))
             from unnest($24::uuid[], $25::uuid[], $26::uuid[], $27::bigint[], $28::text[], $29::bigint[], $30::uuid[])
               as new (mailbox_id, id, folder_id, uid, uidl, modseq, blob_id)
             join body on body.blob_id = new.blob_id),
           arrived as materialized (
             select * from live, unnest($34::uuid[], $35::uuid[], $36::uuid[], $37::bigint[], $38::bigint[], $39::bigint[], $40::bigint[], $41::bigint[],
                                        $42::boolean[], $43::jsonb[])
               as arrived (tenant_id, mailbox_id, id, uid_next, count, unseen, size_bytes, modseq, is_made, uids)),
           grown as (
             update folders set uid_next = arrived.uid_next, message_count = message_count + arrived.count,
               unseen_count = unseen_count + arrived.unseen, size_bytes = folders.size_bytes + arrived.size_bytes, highest_modseq = arrived.modseq
             from arrived
             where folders.tenant_id = arrived.tenant_id and folders.mailbox_id = arrived.mailbox_id and folders.id = arrived.id),
           change as (
             insert into mail_changes (tenant_id, mailbox_id, folder_id, modseq, kind, uids, created_at)
             select tenant_id, mailbox_id, id, modseq, 'arrived',
               array(select uid::bigint from jsonb_array_elements_text(uids) with ordinality as ends (uid, place) order by place), $6
             from arrived
             union all
             select tenant_id, mailbox_id, id, modseq, 'folder', '{}', $6 from arrived where is_made)
           select exists (select from live) as "is_live!", exists (select from unshared) as "is_unshared!""#,
        pack.id.uuid(),
        to_column(pack.entry_bytes),
        (live_bytes < pack.entry_bytes).then_some(now),
        next.map(|next| next.writer.id().uuid()),
        next.map(|next| next.until),
        now,
        &bodies.iter().map(|body| body.tenant_id.uuid()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.id.uuid()).collect::<Vec<_>>(),
        &numbers(|body| to_column(body.message.size_bytes)),
        &numbers(|body| to_column(body.message.wire_size_bytes)),
        &bodies.iter().map(|body| body.message.sha256.to_vec()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.message_count).collect::<Vec<_>>(),
        &places(|place| place.pack_index),
        &numbers(|body| body.place.pack_offset),
        &places(|place| place.stored_bytes),
        &places(|place| place.key_generation),
        &bodies.iter().map(|body| body.message.outline.structure.clone()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.message.outline.parsed.clone()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.message.internal_date).collect::<Vec<_>>(),
        &bodies.iter().map(|body| Flag::to_column(body.message.flags.flags.iter().copied())).collect::<Vec<_>>(),
        &bodies.iter().map(|body| keywords(body.message)).collect::<Vec<_>>(),
        bodies.iter().any(|body| body.place.pack_is_own),
        outline::VERSION,
        &ids(|row| row.mailbox_id.uuid()),
        &ids(|row| row.id.uuid()),
        &ids(|row| row.folder.uuid()),
        &rows.iter().map(|(row, _)| row.uid).collect::<Vec<_>>(),
        // Stored: it stays when the form of ids changes.
        &rows.iter().map(|(row, _)| row.uidl.as_str().to_owned()).collect::<Vec<_>>(),
        &rows.iter().map(|(row, _)| row.modseq).collect::<Vec<_>>(),
        &ids(|row| row.blob.uuid()),
        next.and_then(|next| next.kind.owner()).map(TenantId::uuid),
        next.is_some_and(|next| next.kind.is_unsorted()),
        &tenant_ids,
        &folders(|folder| folder.tenant_id),
        &folders(|folder| folder.mailbox_id),
        &folders(|folder| folder.id),
        &counts(|grown| grown.uid_next),
        &counts(|grown| grown.count),
        &counts(|grown| grown.unseen),
        &counts(|grown| grown.size_bytes),
        &counts(|grown| grown.modseq),
        &arrived.iter().map(|grown| grown.is_made).collect::<Vec<_>>(),
        &arrived.iter().map(|grown| serde_json::Value::from(grown.uids.clone())).collect::<Vec<_>>(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(match (done.is_unshared, done.is_live) {
        (true, _) => Writing::NotShared,
        (false, true) => Writing::Done,
        (false, false) => Writing::ReservationLost,
    })
}

/// In the order that a column has them in.
fn keywords(message: &Message) -> serde_json::Value {
    message.flags.keywords.iter().map(Keyword::as_str).collect()
}

/// Keeps the keys of those that are imported.
pub(super) async fn insert_import_keys(
    tx: &mut IngestTx,
    rows: &[(&NewMessage, &Message)],
) -> Result<(), Error> {
    let keys: Vec<_> = rows.iter().filter_map(|(row, message)| Some((row, message.import_key?))).collect();
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into imported_messages (tenant_id, mailbox_id, sha256, occurrence)
         select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::integer[])",
        &keys.iter().map(|(row, _)| row.tenant_id.uuid()).collect::<Vec<_>>(),
        &keys.iter().map(|(row, _)| row.mailbox_id.uuid()).collect::<Vec<_>>(),
        &keys.iter().map(|(_, key)| key.sha256.to_vec()).collect::<Vec<_>>(),
        &keys.iter().map(|(_, key)| key.occurrence).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
