//! Moves bodies to where they belong: out of packs of what arrived together, which many share, into packs of their tenant's own, by mailbox and time,
//! and out of packs that hold more dead than alive.
//!
//! A body is opened and sealed anew, under the key that its tenant has now, and its row comes to say where it lies; nothing that a client sees changes. Who has looked up
//! the old place still finds it there: the old pack stays for [`crate::sweep::GRACE`]. A body that cannot be read stays where it is, and its pack with it.

mod store;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db::{Db, SystemTx};
use futures::future::try_join_all;
use kernel::{BlobId, TenantId};
use pack::{About, Compressed, DataKey, MAX_DELIVERIES, Writer};
use tenancy::{Action, Caller, Ctx};
use uuid::Uuid;

pub use crate::Error;
use crate::body::{self, Kind, Place, RESERVATION, Uploaded, pack_key};
use crate::{MailStore, sweep};

/// How long what is dead may stay among what is alive.
const DEAD_FOR: TimeDelta = TimeDelta::days(6);
/// How many bytes a pack has, unless one body alone has more.
const PACK_BYTES: u64 = 8 << 20;
/// How many bodies a pack has at most.
const PACK_BODIES: usize = 4_096;
/// How many tenants are looked up at a time.
const TENANTS: i64 = 500;
/// How many bodies are being read at a time.
const AT_ONCE: usize = 8;

/// How it is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long bodies stay in packs of what arrived together; those of a tenant that is to share none leave what it shares at once.
    pub lag: TimeDelta,
    /// How many bytes are moved in a second at most.
    pub bytes_per_second: u64,
    /// How many of a tenant's bodies are put in order at a time: to find the first ones takes a look at all that are due.
    pub ordered: i64,
}

impl Default for Pace {
    /// After a day, as quickly as it goes.
    fn default() -> Self {
        Self { lag: TimeDelta::hours(24), bytes_per_second: u64::MAX, ordered: 200_000 }
    }
}

/// What a run moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bodies that have another place now.
    pub bodies: u64,
    /// Packs that were made for them.
    pub packs: u64,
    /// Bodies that stay where they are, since they cannot be read: they are damaged, or gone, or their key is.
    pub unreadable: u64,
    /// Tenants that failed and were passed by.
    pub failed: u64,
}

/// What is due at a moment.
#[derive(Debug, Clone, Copy)]
struct Due {
    /// Packs of what arrived together from before.
    arrived_before: DateTime<Utc>,
    /// Own packs with something in them that has been dead since before, or with more dead than alive.
    dead_before: DateTime<Utc>,
}

/// Moves what is due, of every tenant, also of deleted ones until they are being destroyed. Several processes may do so at once: who comes second finds the bodies moved, and deletes what it
/// uploaded in vain. What fails or cannot be read is logged, counted and tried again by the next run.
///
/// # Errors
/// When what is due cannot be looked up.
pub async fn run(store: &MailStore, db: &Db, pace: Pace) -> Result<Compacted, Error> {
    let now = db.env().now();
    // A lag of more years than there are dates is never.
    let arrived_before = now.checked_sub_signed(pace.lag).unwrap_or(DateTime::UNIX_EPOCH);
    let due = Due { arrived_before, dead_before: now - DEAD_FOR };
    let server = Caller::server(db.clone());
    let mut done = Compacted::default();
    let mut after = None;
    loop {
        let tenants = store::tenants(&mut system(db).await?, due, after, TENANTS).await?;
        let Some(&last) = tenants.last() else { return Ok(done) };
        after = Some(last);
        for id in tenants {
            // A deleted one too: what it has in a pack keeps what is dead there of others.
            let moved = match server.enter_deleted_too(id).await {
                Ok(ctx) => tenant(store, db, &ctx, due, pace, &mut done).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = moved {
                done.failed += 1;
                tracing::warn!(tenant.id = %id, error.cause = %kernel::error::chain(&error), "a tenant's bodies were not compacted");
            }
        }
    }
}

/// How many bytes of a tenant's bodies, as they are stored, lie in packs that others may have something in: if it is to share none, what is yet to move.
/// Goes through all packs that the tenant has something in.
///
/// # Errors
/// `Forbidden` by role.
pub async fn shared_bytes(ctx: &Ctx) -> Result<u64, Error> {
    ctx.require(Action::TenantRead)?;
    Ok(store::shared_bytes(&mut *ctx.read().await?).await?)
}

/// A place in the order in which a tenant's bodies move: by mailbox and time.
#[derive(Debug, Clone, Copy)]
struct Turn {
    mailbox_id: Uuid,
    created_at: DateTime<Utc>,
    id: Uuid,
}

impl Turn {
    /// Before all others.
    const FIRST: Self = Self { mailbox_id: Uuid::nil(), created_at: DateTime::UNIX_EPOCH, id: Uuid::nil() };
}

/// A body that is due, and where it lay when it was put in order.
#[derive(Debug, Clone, Copy)]
struct Found {
    id: Uuid,
    pack_id: Uuid,
    stored_bytes: u32,
}

/// A body that is to move.
#[derive(Debug)]
struct Moving {
    id: BlobId,
    sha256: [u8; 32],
    place: Place,
    deliveries: Vec<pack::Delivery>,
    internal_date: DateTime<Utc>,
}

async fn tenant(
    store: &MailStore,
    db: &Db,
    ctx: &Ctx,
    due: Due,
    pace: Pace,
    done: &mut Compacted,
) -> Result<(), Error> {
    let mut after = Turn::FIRST;
    loop {
        let (found, last) = store::order(&mut system(db).await?, ctx, due, after, pace.ordered).await?;
        let mut rest = &found[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(fitting(rest));
            rest = others;
            if !move_some(store, db, ctx, some, pace, done).await? {
                return Ok(());
            }
        }
        let Some(last) = last else { return Ok(()) };
        after = last;
    }
}

/// How many of some bodies one pack takes, the first ones.
fn fitting(found: &[Found]) -> usize {
    let mut bytes = 0;
    let beyond = found.iter().take(PACK_BODIES).position(|body| {
        bytes += u64::from(body.stored_bytes);
        bytes > PACK_BYTES
    });
    beyond.unwrap_or(found.len().min(PACK_BODIES)).max(1)
}

/// Moves those of some bodies that are still where they were found; whether there is a reason to go on with the tenant.
async fn move_some(
    store: &MailStore,
    db: &Db,
    ctx: &Ctx,
    some: &[Found],
    pace: Pace,
    done: &mut Compacted,
) -> Result<bool, Error> {
    let mut tx = system(db).await?;
    let mut moving = store::bodies(&mut tx, ctx.tenant_id(), some).await?;
    store::add_deliveries(&mut tx, ctx.tenant_id(), &mut moving).await?;
    drop(tx);
    // What has lost its last message meanwhile is the sweeper's.
    moving.retain(|body| !body.deliveries.is_empty());
    if moving.is_empty() {
        return Ok(true);
    }
    let bytes: u64 = moving.iter().map(|body| u64::from(body.place.address.length())).sum();
    // Before they are read: where no key of the tenant's is to be had, that is not the fault of each body.
    let key = match store.keys.sealing(ctx).await {
        // Its destruction has begun since.
        Err(Error::NotFound) => return Ok(false),
        key => key?,
    };
    let (read, unreadable) = read(store, ctx, moving).await?;
    let moved = match read.is_empty() {
        true => 0,
        false => pack(store, db, ctx.tenant_id(), key, read).await?,
    };
    if moved == 0 && unreadable == 0 {
        // Another process has been first, and is about to move the next ones.
        return Ok(false);
    }
    done.bodies += moved;
    done.packs += u64::from(moved > 0);
    done.unreadable += unreadable;
    tokio::time::sleep(Duration::from_millis(bytes.saturating_mul(1_000) / pace.bytes_per_second.max(1)))
        .await;
    Ok(true)
}

/// Reads bodies, in their order; and how many of them cannot be read.
async fn read(
    store: &MailStore,
    ctx: &Ctx,
    moving: Vec<Moving>,
) -> Result<(Vec<(Moving, Compressed)>, u64), Error> {
    let (mut read, mut unreadable) = (Vec::with_capacity(moving.len()), 0);
    let mut rest = moving.into_iter();
    loop {
        let some: Vec<Moving> = rest.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return Ok((read, unreadable));
        }
        let bodies = try_join_all(some.iter().map(|one| reopen(store, ctx, one))).await?;
        for (one, body) in some.into_iter().zip(bodies) {
            match body {
                Some(body) => read.push((one, body)),
                None => unreadable += 1,
            }
        }
    }
}

/// A body, unless it cannot be read while the blob store answers.
async fn reopen(store: &MailStore, ctx: &Ctx, one: &Moving) -> Result<Option<Compressed>, Error> {
    let error = match body::reopen(store, ctx, &one.place).await {
        Ok(body) => return Ok(Some(body)),
        Err(error) => error,
    };
    let is_its_own = match &error {
        // As where the disk is bad under this one object, or it alone is moved to an archive or has its own rules of who may read it.
        Error::Blob(cause) if matches!(**cause, blob::Error::Internal(_) | blob::Error::Misconfigured(_)) => {
            store.ping().await.is_ok()
        }
        error => error.is_for_good(),
    };
    if !is_its_own {
        return Err(error);
    }
    tracing::warn!(tenant.id = %ctx.tenant_id(), blob.id = %one.id, error.cause = %kernel::error::chain(&error), "a body cannot be read and was not compacted");
    Ok(None)
}

/// Seals bodies into a new pack of their tenant's own; how many have moved there.
async fn pack(
    store: &MailStore,
    db: &Db,
    tenant: TenantId,
    key: Arc<DataKey>,
    moving: Vec<(Moving, Compressed)>,
) -> Result<u64, Error> {
    let mut writer = Writer::new(db.env());
    let mut tx = system(db).await?;
    let now = db.env().now();
    body::store::reserve(tx.conn(), writer.id(), Kind::Own(tenant), now, now + RESERVATION).await?;
    tx.commit().await?;
    // Encrypting some MiB would hold up every session of an async thread.
    let work = move || {
        let mut moved = Vec::with_capacity(moving.len());
        for (one, body) in moving {
            let mut deliveries = one.deliveries;
            deliveries.truncate(MAX_DELIVERIES);
            let about = About::new(one.sha256, one.internal_date, deliveries);
            let address = about.and_then(|about| writer.add(&key, &body, about).ok());
            moved.extend(address.map(|address| (one.id, one.place, Place { address, is_own: true })));
        }
        (writer.seal(), moved)
    };
    let (sealed, moved) = tokio::task::spawn_blocking(work).await.map_err(|_| Error::ShuttingDown)?;
    let object = pack_key(tenant, true, sealed.id());
    if let Err(error) = store.blobs.put(&object, sealed.bytes().clone()).await {
        // It may have landed, or land yet, and a recovery would take what was destroyed since for mail that was accepted.
        body::forget(store, &object).await;
        return Err(error.into());
    }
    let entry_bytes = moved.iter().map(|(.., to)| u64::from(to.address.length())).sum();
    let count = commit(db, tenant, &Uploaded { id: sealed.id(), entry_bytes }, &moved).await;
    let is_in_vain = match &count {
        Ok(count) => *count == 0,
        Err(error) => body::is_undone(error),
    };
    if is_in_vain {
        body::forget(store, &object).await;
    }
    count
}

/// Has the rows say where the bodies lie now; of how many. Those that have moved or gone meanwhile are left as they are.
async fn commit(
    db: &Db,
    tenant: TenantId,
    pack: &Uploaded,
    moved: &[(BlobId, Place, Place)],
) -> Result<u64, Error> {
    let now = db.env().now();
    let mut tx = system(db).await?;
    let there = store::lock(&mut tx, tenant, moved).await?;
    let moved: Vec<_> = moved.iter().filter(|(id, ..)| there.contains(id)).copied().collect();
    if moved.is_empty() {
        return Ok(0);
    }
    let mut packs: Vec<Uuid> = moved.iter().map(|(_, from, _)| from.address.pack().uuid()).collect();
    packs.push(pack.id.uuid());
    sweep::store::lock_packs(&mut tx, &packs).await?;
    let live_bytes = moved.iter().map(|(.., to)| u64::from(to.address.length())).sum();
    if !body::store::set_live(tx.conn(), pack, live_bytes, now).await? {
        return Err(Error::ReservationLost);
    }
    store::insert_share(&mut tx, tenant, pack.id, live_bytes).await?;
    store::relocate(&mut tx, tenant, &moved).await?;
    let left: Vec<_> = moved
        .iter()
        .map(|(_, from, _)| sweep::store::Forgotten::new(tenant, from.address.pack(), from.address.length()))
        .collect();
    sweep::store::take_from_shares(&mut tx, &left).await?;
    packs.pop();
    sweep::store::mark_empty(&mut tx, &packs, now).await?;
    tx.commit().await?;
    Ok(moved.len() as u64)
}

#[expect(
    clippy::disallowed_methods,
    reason = "packs are nobody's own, and every tenant's are looked through"
)]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_has_its_size_or_one_body() {
        let full = PACK_BYTES as u32;
        let many = [1; PACK_BODIES + 1];
        for (lengths, count) in [
            (&[100][..], 1),
            (&[full], 1),
            (&[full, 100], 1),
            (&[full + 1, 100], 1),
            (&[100, full - 100, 17], 2),
            (&[100, 200, 300], 3),
            (&many, PACK_BODIES),
        ] {
            let found = |&stored_bytes: &u32| Found { id: Uuid::nil(), pack_id: Uuid::nil(), stored_bytes };
            assert_eq!(fitting(&lengths.iter().map(found).collect::<Vec<_>>()), count, "{}", lengths[0]);
        }
    }
}
