//! SQL of ingest.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{BlobId, FolderId, MailboxId, MessageId, PackId, TenantId};
use pack::Uidl;
use tenancy::{IngestTx, OfTenants as _};
use uuid::Uuid;

use super::{Delivery, ImportKey, Message};
use crate::body::Columns;
use crate::message::{Flag, Keyword};
use crate::{structure, to_column};

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

/// Counts what the bodies take of their pack.
pub(super) async fn add_to_shares(
    tx: &mut IngestTx,
    pack: PackId,
    bodies: &[NewBody<'_>],
) -> Result<(), Error> {
    sqlx::query!(
        "insert into pack_shares (tenant_id, pack_id, live_bytes)
         select tenant_id, $1, sum(bytes) from unnest($2::uuid[], $3::integer[]) as body (tenant_id, bytes) group by tenant_id
         on conflict on constraint pack_shares_once do update set live_bytes = pack_shares.live_bytes + excluded.live_bytes",
        pack.uuid(),
        &bodies.iter().map(|body| body.tenant_id.uuid()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.place.stored_bytes).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Inserts bodies, and what their structure is.
pub(super) async fn insert_bodies(
    tx: &mut IngestTx,
    bodies: &[NewBody<'_>],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let places =
        |column: fn(&Columns) -> i32| bodies.iter().map(|body| column(&body.place)).collect::<Vec<_>>();
    sqlx::query!(
        "with body as (
           insert into blobs (created_at, tenant_id, id, size_bytes, sha256, message_count,
                              pack_id, pack_is_own, pack_index, pack_offset, stored_bytes, key_generation)
           select $1, * from unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bytea[], $6::integer[],
                                    $7::uuid[], $8::boolean[], $9::integer[], $10::bigint[], $11::integer[], $12::integer[]))
         insert into message_structures (tenant_id, blob_id, version, structure)
         select tenant_id, blob_id, $14, structure from unnest($2::uuid[], $3::uuid[], $13::text[]) as made (tenant_id, blob_id, structure)",
        now,
        &bodies.iter().map(|body| body.tenant_id.uuid()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.id.uuid()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| to_column(body.message.size_bytes)).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.message.sha256.to_vec()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.message_count).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.place.pack_id).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.place.pack_is_own).collect::<Vec<_>>(),
        &places(|place| place.pack_index),
        &bodies.iter().map(|body| body.place.pack_offset).collect::<Vec<_>>(),
        &places(|place| place.stored_bytes),
        &places(|place| place.key_generation),
        &bodies.iter().map(|body| body.message.structure.clone()).collect::<Vec<_>>(),
        structure::VERSION,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What a new row has that its message does not tell.
pub(super) struct NewMessage {
    pub(super) tenant_id: TenantId,
    pub(super) mailbox_id: MailboxId,
    pub(super) id: MessageId,
    pub(super) folder: FolderId,
    pub(super) uid: i64,
    pub(super) modseq: i64,
    pub(super) blob: BlobId,
}

impl NewMessage {
    pub(super) fn new(delivery: &Delivery, folder: FolderId, uid: i64, modseq: i64, blob: BlobId) -> Self {
        let &Delivery { mailbox_id, id, .. } = delivery;
        Self { tenant_id: delivery.ctx.tenant_id(), mailbox_id, id, folder, uid, modseq, blob }
    }
}

/// Inserts messages, each with the view of its body.
pub(super) async fn insert_messages(
    tx: &mut IngestTx,
    rows: &[(&NewMessage, &Message)],
    bodies: &[NewBody<'_>],
) -> Result<(), Error> {
    let ids = |id: fn(&NewMessage) -> Uuid| rows.iter().map(|(row, _)| id(row)).collect::<Vec<_>>();
    let numbers = |number: fn(&NewMessage, &Message) -> i64| {
        rows.iter().map(|(row, message)| number(row, message)).collect::<Vec<_>>()
    };
    sqlx::query!(
        "insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes,
                               wire_size_bytes, internal_date, flags, keywords, parsed)
         select new.tenant_id, new.mailbox_id, new.id, new.folder_id, new.uid, new.uidl, new.modseq, new.blob_id, new.size_bytes,
           new.wire_size_bytes, new.internal_date, new.flags, array(select jsonb_array_elements_text(new.keywords)), body.parsed
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::bigint[], $8::uuid[],
                     $9::bigint[], $10::bigint[], $11::timestamptz[], $12::smallint[], $13::jsonb[])
           as new (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes, wire_size_bytes, internal_date, flags, keywords)
         join unnest($14::uuid[], $15::jsonb[]) as body (id, parsed) on body.id = new.blob_id",
        &ids(|row| row.tenant_id.uuid()),
        &ids(|row| row.mailbox_id.uuid()),
        &ids(|row| row.id.uuid()),
        &ids(|row| row.folder.uuid()),
        &numbers(|row, _| row.uid),
        // Stored: it stays when the form of ids changes.
        &rows.iter().map(|(row, _)| Uidl::of(row.id).as_str().to_owned()).collect::<Vec<_>>(),
        &numbers(|row, _| row.modseq),
        &ids(|row| row.blob.uuid()),
        &numbers(|_, message| to_column(message.size_bytes)),
        &numbers(|_, message| to_column(message.wire_size_bytes)),
        &rows.iter().map(|(_, message)| message.internal_date).collect::<Vec<_>>(),
        &rows.iter().map(|(_, message)| Flag::to_column(message.flags.flags.iter().copied())).collect::<Vec<_>>(),
        &rows.iter().map(|(_, message)| keywords(message)).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.id.uuid()).collect::<Vec<_>>(),
        &bodies.iter().map(|body| body.message.parsed.clone()).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
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
