//! SQL of folders.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use db::Error;
use kernel::{Env, FolderId, MailboxId, TenantId};
use tenancy::{IngestTx, OfTenants, TenantTx};
use uuid::Uuid;

use super::{Folder, NewFolder, Role};
use crate::{from_column, to_column};

/// Whether the mailbox has such a folder, and it was not deleted.
pub(crate) async fn exists(tx: &mut TenantTx, mailbox_id: MailboxId, id: FolderId) -> Result<bool, Error> {
    let tenant_id = tx.tenant_id().uuid();
    Ok(sqlx::query_scalar!(
        r#"select exists (select from folders where tenant_id = $1 and mailbox_id = $2 and id = $3 and deleted_at is null) as "exists!""#,
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
        "select id from folders where tenant_id = $1 and mailbox_id = $2 and role = 'inbox' and deleted_at is null",
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
        "select id from folders where tenant_id = $1 and mailbox_id = $2 and role = 'inbox' and deleted_at is null",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(FolderId::from_uuid(id))
}

/// Makes the first folders of mailboxes that have none; of those that another is making them for at this moment, it waits for that.
pub(super) async fn insert_first(
    tx: &mut impl OfTenants,
    env: &Env,
    mailboxes: &[(TenantId, MailboxId)],
) -> Result<(), Error> {
    let now = env.now();
    let all = || mailboxes.iter().flat_map(|place| Role::ALL.iter().map(move |role| (place, role)));
    let uid_validity = uid_validity_at(now);
    // Sorted the same way by everybody, so that two at once wait for each other at the first row and nowhere else.
    sqlx::query!(
        "insert into folders (tenant_id, mailbox_id, id, name, role, uid_validity, created_at)
         select first.tenant_id, first.mailbox_id, first.id, first.name, first.role, $1 + (first.place - 1) % $8, $2
         from unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[]) with ordinality
           as first (tenant_id, mailbox_id, id, name, role, place)
         order by first.place
         on conflict do nothing",
        uid_validity,
        now,
        &all().map(|((tenant, _), _)| tenant.uuid()).collect::<Vec<_>>(),
        &all().map(|((_, mailbox), _)| mailbox.uuid()).collect::<Vec<_>>(),
        &all().map(|_| env.new_uuid()).collect::<Vec<_>>(),
        &all().map(|(_, role)| role.first_name().to_owned()).collect::<Vec<_>>(),
        &all().map(|(_, role)| role.as_str().to_owned()).collect::<Vec<_>>(),
        Role::ALL.len() as i64,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives locked mailboxes that have folders a Junk folder, at the top: the one of that name that is for nothing else, or a new one, with a number to its
/// name where one that is for something else has it. Also where there are
/// [`super::MAX_FOLDERS`] already, since that is no reason to refuse mail. Their ids.
pub(super) async fn insert_junk(
    tx: &mut IngestTx,
    env: &Env,
    mailboxes: &[(TenantId, MailboxId)],
) -> Result<Vec<FolderId>, Error> {
    let now = env.now();
    let ids = sqlx::query_scalar!(
        "insert into folders (tenant_id, mailbox_id, id, name, role, uid_validity, created_at)
         select lacking.tenant_id, lacking.mailbox_id, lacking.id, free.name, 'junk',
           (select greatest($4, max(known.uid_validity) + 1, max(mailboxes.uid_validity_floor) + 1) from folders known
            join mailboxes on mailboxes.tenant_id = known.tenant_id and mailboxes.id = known.mailbox_id
            where known.tenant_id = lacking.tenant_id and known.mailbox_id = lacking.mailbox_id), $5
         from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as lacking (tenant_id, mailbox_id, id)
         cross join lateral (
           select name from (select number, $6 || case number when 1 then '' else ' ' || number end as name from generate_series(1, $7) as number) names
           where not exists (select from folders other where other.tenant_id = lacking.tenant_id and other.mailbox_id = lacking.mailbox_id
                             and other.parent_id is null and other.name = names.name and other.role is not null and other.deleted_at is null)
           order by number limit 1) as free
         on conflict (tenant_id, mailbox_id, parent_id, name) where deleted_at is null do update
           set role = excluded.role, version = folders.version + 1
         returning id",
        &mailboxes.iter().map(|(tenant, _)| tenant.uuid()).collect::<Vec<_>>(),
        &mailboxes.iter().map(|(_, mailbox)| mailbox.uuid()).collect::<Vec<_>>(),
        &mailboxes.iter().map(|_| env.new_uuid()).collect::<Vec<_>>(),
        uid_validity_at(now),
        now,
        Role::Junk.first_name(),
        // Each of the other roles has one name at most.
        Role::ALL.len() as i32,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(ids.into_iter().map(FolderId::from_uuid).collect())
}

/// RFC 9051 §2.3.1.1 proposes the time of creation; it must fit 32 bits and not be 0. Each folder of a mailbox has another, so that a name
/// that folders have one after the other never has the same UID twice.
fn uid_validity_at(now: DateTime<Utc>) -> i64 {
    now.timestamp().clamp(1, i64::from(u32::MAX))
}

/// What folders a locked mailbox has had.
pub(crate) struct Known {
    /// How many are there, or were deleted not long ago and left no name.
    pub(crate) count: u64,
    /// The UID validity of the next one: higher than that of any before under which UIDs were given out.
    pub(crate) next_uid_validity: i64,
}

pub(crate) async fn known(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    now: DateTime<Utc>,
) -> Result<Known, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let row = sqlx::query!(
        r#"select count(*) filter (where deleted_at is null or subscribed_path is null) as "count!",
             greatest($3, max(uid_validity) + 1, (select uid_validity_floor + 1 from mailboxes where tenant_id = $1 and id = $2)) as "next!"
           from folders where tenant_id = $1 and mailbox_id = $2"#,
        tenant_id,
        mailbox_id.uuid(),
        uid_validity_at(now),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Known { count: from_column(row.count), next_uid_validity: row.next })
}

pub(crate) async fn insert(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    new: &NewFolder,
    uid_validity: i64,
    modseq: i64,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into folders (tenant_id, mailbox_id, id, parent_id, name, role, is_subscribed, uid_validity, highest_modseq, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        new.parent_id.map(FolderId::uuid),
        new.name,
        new.role.map(Role::as_str),
        new.is_subscribed,
        uid_validity,
        modseq,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Puts a folder that was deleted back, if it was known as that: whether its name was subscribed to, so that it did not count. Where another one has had
/// the name since it was deleted under it, or ever had it if that was another name, its UIDs are others', and it gets a later validity.
pub(crate) async fn put_back(
    tx: &mut TenantTx,
    (mailbox_id, id): (MailboxId, FolderId),
    new: &NewFolder,
    next_uid_validity: i64,
    modseq: i64,
) -> Result<Option<bool>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let had_name = sqlx::query_scalar!(
        r#"update folders set deleted_at = null, subscribed_path = null, parent_id = $4, name = $5, role = $6, is_subscribed = $7, highest_modseq = $9, version = version + 1,
           uid_validity = case when exists (
             select from folders other where other.tenant_id = $1 and other.mailbox_id = $2 and other.id <> $3
               and other.parent_id is not distinct from $4 and other.name = $5
               and (other.deleted_at is null or other.deleted_at >= folders.deleted_at
                 or folders.name <> $5 or folders.parent_id is distinct from $4))
             then $8 else uid_validity end
         from (select subscribed_path is not null as had_name from folders
               where tenant_id = $1 and mailbox_id = $2 and id = $3) as old
         where tenant_id = $1 and mailbox_id = $2 and id = $3 and deleted_at is not null
         returning old.had_name as "had_name!""#,
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        new.parent_id.map(FolderId::uuid),
        new.name,
        new.role.map(Role::as_str),
        new.is_subscribed,
        next_uid_validity,
        modseq,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(had_name)
}

pub(super) async fn update(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    name: &str,
    parent_id: Option<FolderId>,
    is_subscribed: bool,
    modseq: i64,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update folders set name = $4, parent_id = $5, is_subscribed = $6, highest_modseq = $7, version = version + 1
         where tenant_id = $1 and mailbox_id = $2 and id = $3",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        name,
        parent_id.map(FolderId::uuid),
        is_subscribed,
        modseq,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Marks a folder of a locked mailbox as deleted; with its path, if that is subscribed to. No folder gets its UID validity any more, also when its row is gone.
pub(super) async fn mark_deleted(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    subscribed_path: Option<&str>,
    modseq: i64,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "with gone as (
           update folders set deleted_at = $4, highest_modseq = $5, subscribed_path = $6
           where tenant_id = $1 and mailbox_id = $2 and id = $3 returning uid_validity, uid_next)
         update mailboxes set uid_validity_floor = greatest(uid_validity_floor, gone.uid_validity)
         from gone where mailboxes.tenant_id = $1 and mailboxes.id = $2 and gone.uid_next > 1",
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        now,
        modseq,
        subscribed_path,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets the paths of a locked mailbox's deleted folders that are subscribed to, but for so many that were deleted last.
pub(super) async fn forget_gone(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    max_names: u64,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "update folders set subscribed_path = null where tenant_id = $1 and mailbox_id = $2 and id in (
           select id from folders
           where tenant_id = $1 and mailbox_id = $2 and deleted_at is not null and subscribed_path is not null
           order by deleted_at desc, highest_modseq desc offset $3)",
        tenant_id,
        mailbox_id.uuid(),
        to_column(max_names),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The paths of deleted folders that are subscribed to, of those mailboxes that have some.
pub(super) async fn gone_subscribed(
    tx: &mut TenantTx,
    mailboxes: &[MailboxId],
) -> Result<BTreeMap<MailboxId, BTreeSet<String>>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select mailbox_id, subscribed_path as "path!" from folders
           where tenant_id = $1 and mailbox_id = any ($2) and deleted_at is not null and subscribed_path is not null"#,
        tenant_id,
        &mailboxes.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    let mut paths: BTreeMap<MailboxId, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        paths.entry(MailboxId::from_uuid(row.mailbox_id)).or_default().insert(row.path);
    }
    Ok(paths)
}

/// Unsubscribes from paths of deleted folders; which of them were subscribed to.
pub(super) async fn unsubscribe_gone(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    paths: &[String],
) -> Result<BTreeSet<String>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let were = sqlx::query_scalar!(
        r#"update folders set subscribed_path = null from unnest($3::text[]) as wanted (path)
           where tenant_id = $1 and mailbox_id = $2 and deleted_at is not null and subscribed_path = wanted.path
           returning wanted.path as "path!""#,
        tenant_id,
        mailbox_id.uuid(),
        paths,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(were.into_iter().collect())
}

/// A folder that is locked.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) tenant_id: Uuid,
    pub(crate) mailbox_id: Uuid,
    pub(crate) id: Uuid,
    pub(crate) role: Option<String>,
    pub(crate) uid_validity: i64,
    pub(crate) uid_next: i64,
    /// Those below it, from the next one on, are for messages of a list alone: 1 where there is none.
    pub(crate) uid_reserved: i64,
}

/// Locks the Inboxes of the mailboxes, those of the named folders that are theirs, and the Junk folders of those that are in `junk`.
pub(super) async fn lock_many(
    tx: &mut IngestTx,
    mailboxes: &[(TenantId, MailboxId)],
    named: &[FolderId],
    junk: &[MailboxId],
) -> Result<Vec<Locked>, Error> {
    let locked = sqlx::query_as!(
        Locked,
        "select tenant_id, mailbox_id, id, role, uid_validity, uid_next, uid_reserved from folders
         where (tenant_id, mailbox_id) in (select * from unnest($1::uuid[], $2::uuid[]))
           and (role = 'inbox' or id = any ($3) or role = 'junk' and mailbox_id = any ($4)) and deleted_at is null
         order by id for no key update",
        &mailboxes.iter().map(|(tenant, _)| tenant.uuid()).collect::<Vec<_>>(),
        &mailboxes.iter().map(|(_, mailbox)| mailbox.uuid()).collect::<Vec<_>>(),
        &named.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        &junk.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(locked)
}

/// What has arrived in a folder.
pub(crate) struct Grown<'a> {
    pub(crate) folder: &'a Locked,
    /// The next UID from now on.
    pub(crate) uid_next: i64,
    /// Those that were given out, as the log has them.
    pub(crate) uids: Vec<i64>,
    pub(crate) count: i64,
    pub(crate) unseen: i64,
    pub(crate) size_bytes: i64,
    pub(crate) modseq: i64,
    /// Whether it came about with that.
    pub(crate) is_made: bool,
}

/// Gives out the folder's next UIDs that are in no list; the first of them, or `None` if there is no such folder.
pub(crate) async fn take_uids(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: FolderId,
    count: usize,
) -> Result<Option<u64>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let first = sqlx::query_scalar!(
        r#"update folders set uid_next = greatest(uid_next, uid_reserved) + $4
           where tenant_id = $1 and mailbox_id = $2 and id = $3 and deleted_at is null
           returning uid_next - $4 as "first!""#,
        tenant_id,
        mailbox_id.uuid(),
        id.uuid(),
        to_column(count as u64),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(first.map(from_column))
}

/// By how much a folder's counters change.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    pub(crate) messages: i64,
    pub(crate) unseen: i64,
    pub(crate) size_bytes: i64,
}

/// Changes the counters of a locked mailbox's folders.
pub(crate) async fn count(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    modseq: i64,
    deltas: &BTreeMap<FolderId, Delta>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let numbers = |number: fn(&Delta) -> i64| deltas.values().map(number).collect::<Vec<_>>();
    sqlx::query!(
        "update folders set message_count = message_count + delta.messages, unseen_count = unseen_count + delta.unseen,
           size_bytes = folders.size_bytes + delta.size_bytes, highest_modseq = $3
         from unnest($4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[]) as delta (id, messages, unseen, size_bytes)
         where tenant_id = $1 and mailbox_id = $2 and folders.id = delta.id",
        tenant_id,
        mailbox_id.uuid(),
        modseq,
        &deltas.keys().map(|id| id.uuid()).collect::<Vec<_>>(),
        &numbers(|delta| delta.messages),
        &numbers(|delta| delta.unseen),
        &numbers(|delta| delta.size_bytes),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The live folders, without their paths.
pub(crate) async fn list(tx: &mut TenantTx, mailbox_id: MailboxId) -> Result<Vec<Folder>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        "select id, parent_id, name, role, is_subscribed, uid_validity, uid_next, message_count, unseen_count, size_bytes, highest_modseq, version
         from folders where tenant_id = $1 and mailbox_id = $2 and deleted_at is null",
        tenant_id,
        mailbox_id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Folder {
            id: FolderId::from_uuid(row.id),
            parent_id: row.parent_id.map(FolderId::from_uuid),
            name: row.name,
            path: String::new(),
            is_subscribed: row.is_subscribed,
            role: row.role.as_deref().and_then(|role| role.parse().ok()),
            uid_validity: u32::try_from(row.uid_validity).unwrap_or(u32::MAX),
            uid_next: from_column(row.uid_next),
            message_count: from_column(row.message_count),
            unseen_count: from_column(row.unseen_count),
            size_bytes: from_column(row.size_bytes),
            highest_modseq: from_column(row.highest_modseq),
            version: row.version,
        })
        .collect())
}
