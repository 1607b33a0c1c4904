//! SQL of searches.

use chrono::{DateTime, NaiveDate, Utc};
use db::{Error, SystemTx};
use kernel::{FolderId, MailboxId, MessageId, TenantId};
use tenancy::TenantTx;
use uuid::Uuid;

use super::Candidate;
use super::query::Facts;
use crate::from_column;
use crate::message::{Filter, Flags};
use crate::parsed::text::Texts;

/// A candidate's columns as they come.
struct Row {
    id: Uuid,
    blob_id: Uuid,
    uid: i64,
    modseq: i64,
    wire_size_bytes: i64,
    internal_date: DateTime<Utc>,
    flags: i16,
    keywords: Vec<String>,
}

impl From<Row> for Candidate {
    fn from(row: Row) -> Self {
        let flags = Flags::from_columns(row.flags, row.keywords);
        let facts = Facts {
            uid: from_column(row.uid),
            modseq: from_column(row.modseq),
            wire_size_bytes: from_column(row.wire_size_bytes),
            internal_date: row.internal_date,
            flags,
        };
        Self { id: MessageId::from_uuid(row.id), blob_id: row.blob_id, facts }
    }
}

/// The first messages after an id, whatever their dates.
pub(super) async fn all(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    filter: Filter,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Candidate>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, blob_id, uid, modseq, wire_size_bytes, internal_date, flags, keywords from messages
         where tenant_id = $1 and mailbox_id = $2 and state = $3 and id > $4 and ($5::uuid is null or folder_id = $5)
         order by id limit $6",
        tenant_id,
        mailbox_id.uuid(),
        filter.state.as_str(),
        after,
        filter.folder_id.map(FolderId::uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Candidate::from).collect())
}

/// Those of some messages that are still there and come after an id, in their order.
pub(super) async fn among(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    filter: Filter,
    ids: &[Uuid],
    after: Uuid,
) -> Result<Vec<Candidate>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, blob_id, uid, modseq, wire_size_bytes, internal_date, flags, keywords from messages
         where tenant_id = $1 and mailbox_id = $2 and state = $3 and id > $4 and ($5::uuid is null or folder_id = $5)
           and id = any ($6)
         order by id",
        tenant_id,
        mailbox_id.uuid(),
        filter.state.as_str(),
        after,
        filter.folder_id.map(FolderId::uuid),
        ids,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Candidate::from).collect())
}

/// The first messages after an id that have one of the bodies, whatever their dates; without a limit, all.
pub(super) async fn having(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    filter: Filter,
    bodies: &[Uuid],
    after: Uuid,
    limit: Option<i64>,
) -> Result<Vec<Uuid>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids = sqlx::query_scalar!(
        "select id from messages
         where tenant_id = $1 and mailbox_id = $2 and state = $3 and id > $4 and ($5::uuid is null or folder_id = $5)
           and blob_id = any ($6)
         order by id limit $7",
        tenant_id,
        mailbox_id.uuid(),
        filter.state.as_str(),
        after,
        filter.folder_id.map(FolderId::uuid),
        bodies,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids)
}

/// The bodies in a mailbox that are to be indexed.
pub(super) async fn not_indexed(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Vec<Uuid>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids = sqlx::query_scalar!(
        "select blob_id from search_queue where tenant_id = $1 and mailbox_id = $2",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids)
}

/// The bodies in a mailbox of which the index does not have everything.
pub(super) async fn in_part(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Vec<Uuid>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids = sqlx::query_scalar!(
        "select blob_id from message_grams where tenant_id = $1 and mailbox_id = $2 and not is_whole",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids)
}

/// Keeps a transaction from looking through whole tables. The planner takes each page of what is pending in the index for a seek, and what a row has to say for
/// nothing to look at: it would look at 20,000 rows instead.
pub(super) async fn by_index(index: &mut SystemTx) -> Result<(), Error> {
    sqlx::query("set local enable_seqscan = off").execute(index.conn()).await?;
    Ok(())
}

/// The bodies in a mailbox that have all of the grams. The grams come first, whatever the planner makes of the rest: those of a mailbox are
/// its own.
pub(super) async fn with_grams(
    index: &mut SystemTx,
    tenant: TenantId,
    mailbox: MailboxId,
    grams: &[i64],
) -> Result<Vec<Uuid>, Error> {
    let ids = sqlx::query_scalar!(
        "with found as materialized (select tenant_id, mailbox_id, blob_id from message_grams where grams @> $3)
         select blob_id from found where tenant_id = $1 and mailbox_id = $2",
        tenant.uuid(),
        mailbox.uuid(),
        grams,
    )
    .fetch_all(index.conn())
    .await?;
    Ok(ids)
}

/// A text's columns as they come.
pub(super) struct TextRow {
    pub(super) blob_id: Uuid,
    pub(super) header: String,
    pub(super) body: String,
    pub(super) attachment_names: String,
    pub(super) sent_on: Option<NaiveDate>,
    pub(super) is_whole: bool,
}

impl From<TextRow> for Texts {
    fn from(row: TextRow) -> Self {
        let TextRow { header, body, attachment_names, sent_on, is_whole, .. } = row;
        Self { header, body, attachment_names, sent_on, is_whole }
    }
}

/// What those of the bodies say that are indexed; of nothing but their headers, unless more is asked for.
pub(super) async fn texts(
    tx: &mut TenantTx,
    bodies: &[Uuid],
    reads_body: bool,
) -> Result<Vec<(Uuid, Texts)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        TextRow,
        r#"select blob_id, header, case when $3 then body else '' end as "body!",
             case when $3 then attachment_names else '' end as "attachment_names!", sent_on, is_whole
           from message_texts where tenant_id = $1 and blob_id = any ($2)"#,
        tenant_id,
        bodies,
        reads_body,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.blob_id, row.into())).collect())
}
