//! Indexing what messages say, after they were acknowledged.
//!
//! A body that is new to a mailbox is queued by the statement that makes the message (a trigger's, so there is no way around it). Any number of
//! processes take from the queue at once; what one has in hand is its own for [`LEASE`]. A body whose process does not come back is tried
//! again after all others and alone, and after `MAX_ATTEMPTS` it is indexed as one that says nothing, so that what is poisonous holds up
//! nothing but itself. What cannot be fetched, as its place does not answer or lacks it, is tried again for as long as that is so.

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::Arc;

use chrono::TimeDelta;
use db::{Db, SystemRead, SystemTx};
use futures::future::join_all;
use kernel::{MailboxId, TenantId};
use tenancy::{Caller, Ctx};
use uuid::Uuid;

pub use crate::Error;
use crate::parsed::text::{KEPT_BYTES, Texts};
use crate::search::gram;
use crate::{MailStore, body};

/// How long a process has what it took; after a failure, how long it rests.
pub const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How often a body is taken in hand.
const MAX_ATTEMPTS: i32 = 5;
/// How many bodies are taken at a time.
const BATCH: i64 = 64;
/// How many are being read at a time, at most.
const AT_ONCE: usize = 4;
/// How many are written together, and from how many bytes of texts and grams on no more are.
const TOGETHER: usize = 16;
const TOGETHER_BYTES: usize = 1 << 20;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Indexed {
    /// Bodies that are searched by the index from now on, each once for every mailbox.
    pub bodies: u64,
    /// Those of them that nobody can read, and that say nothing to a search.
    pub unreadable: u64,
    /// Bodies that failed and were passed by.
    pub failed: u64,
}

impl AddAssign for Indexed {
    fn add_assign(&mut self, other: Self) {
        self.bodies += other.bodies;
        self.unreadable += other.unreadable;
        self.failed += other.failed;
    }
}

/// A body in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tenant_id: TenantId,
    blob_id: Uuid,
    mailbox_id: MailboxId,
}

impl Entry {
    fn is_of_one_body(self, other: Self) -> bool {
        (self.tenant_id, self.blob_id) == (other.tenant_id, other.blob_id)
    }
}

/// An entry that is to be indexed.
#[derive(Debug)]
struct Queued {
    entry: Entry,
    attempts: i32,
    /// Whether what it says is kept, of another mailbox.
    is_known: bool,
    place: body::Columns,
}

/// What a body says.
struct Said {
    texts: Arc<Texts>,
    is_new: bool,
    is_readable: bool,
}

/// An entry that is ready to be written.
struct Ready {
    entry: Entry,
    /// What it says, unless that is kept already.
    new_texts: Option<Arc<Texts>>,
    is_readable: bool,
    grams: Vec<i64>,
    is_whole: bool,
}

impl Ready {
    fn bytes(&self) -> usize {
        let texts = self
            .new_texts
            .as_ref()
            .map_or(0, |texts| texts.header.len() + texts.body.len() + texts.attachment_names.len());
        texts + size_of_val(self.grams.as_slice())
    }
}

/// Indexes what is queued until nothing is due, or something fails. Several processes may do so at once.
///
/// # Errors
/// When what is due cannot be looked up.
pub async fn run(store: &MailStore, db: &Db) -> Result<Indexed, Error> {
    let mut done = Indexed::default();
    loop {
        let queued = claim(db).await?;
        if queued.is_empty() {
            return Ok(done);
        }
        let some = index(store, db, queued).await;
        done += some;
        if some.failed > 0 {
            // Nothing may answer at this moment. The next run goes on.
            return Ok(done);
        }
    }
}

async fn claim(db: &Db) -> Result<Vec<Queued>, Error> {
    let now = db.env().now();
    let mut tx = system(db).await?;
    store::forget_bodiless(&mut tx, now, BATCH).await?;
    let mut queued = store::claim(&mut tx, now, now + LEASE, false, BATCH).await?;
    if queued.is_empty() {
        // Whose process did not come back, it or another of its batch: no other is to go with it again.
        queued = store::claim(&mut tx, now, now + LEASE, true, 1).await?;
    }
    tx.commit().await?;
    Ok(queued)
}

/// Indexes what was taken. Entries of one body are together: it is read once for all of them.
async fn index(store: &MailStore, db: &Db, mut queued: Vec<Queued>) -> Indexed {
    let tenants: BTreeSet<TenantId> = queued.iter().map(|one| one.entry.tenant_id).collect();
    let server = Caller::server(db.clone());
    let entered = server.enter_all(&Vec::from_iter(tenants)).await.map_err(Error::from);
    queued.sort_unstable_by_key(|one| one.entry);
    let entered = match entered {
        Ok(entered) => entered,
        Err(error) => {
            let entries: Vec<Entry> = queued.iter().map(|one| one.entry).collect();
            put_off(db, &entries).await;
            return failed(&entries, &error);
        }
    };
    let tenants = entered.into_iter().map(|ctx| (ctx.tenant_id(), ctx)).collect();
    let work = Work { store, db, tenants };
    let shares = queued.chunks(queued.len().div_ceil(at_once()));
    let mut done = Indexed::default();
    for some in join_all(shares.map(|share| work.run(share))).await {
        done += some;
    }
    done
}

/// Half of the processors: who delivers and who reads comes first, and a search finds what is not indexed yet.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get() / 2).clamp(1, AT_ONCE)
}

/// What one share of a batch is worked on with.
struct Work<'a> {
    store: &'a MailStore,
    db: &'a Db,
    tenants: BTreeMap<TenantId, Ctx>,
}

impl Work<'_> {
    async fn run(&self, queued: &[Queued]) -> Indexed {
        let (mut done, mut ready, mut bytes) = (Indexed::default(), Vec::new(), 0);
        let mut last: Option<(Entry, Said)> = None;
        for one in queued {
            let entry = one.entry;
            let said = match self.said(one, last.take()).await {
                Ok(Some(said)) => &last.insert((entry, said)).1,
                Ok(None) => {
                    put_off(self.db, &[entry]).await;
                    continue;
                }
                Err(error) => {
                    put_off(self.db, &[entry]).await;
                    done += failed(&[entry], &error);
                    continue;
                }
            };
            match prepare(entry, said).await {
                Ok(one) => {
                    bytes += one.bytes();
                    ready.push(one);
                }
                // It was tried: what ends its thread each time is not to be tried for ever.
                Err(error) => done += failed(&[entry], &error),
            }
            if ready.len() == TOGETHER || bytes >= TOGETHER_BYTES {
                done += self.keep(&std::mem::take(&mut ready)).await;
                bytes = 0;
            }
        }
        done += self.keep(&ready).await;
        done
    }

    /// What a body says, which may be the one that was looked at last; `None` when its tenant was deleted: it comes back whole or goes whole.
    async fn said(&self, one: &Queued, last: Option<(Entry, Said)>) -> Result<Option<Said>, Error> {
        let Some(ctx) = self.tenants.get(&one.entry.tenant_id) else { return Ok(None) };
        if let Some((of, said)) = last
            && of.is_of_one_body(one.entry)
        {
            return Ok(Some(said));
        }
        if one.is_known
            && let Some(texts) =
                store::text(&mut lookup(self.db).await?, one.entry.tenant_id, one.entry.blob_id).await?
        {
            return Ok(Some(Said { texts: Arc::new(texts), is_new: false, is_readable: true }));
        }
        let unreadable = || Said { texts: Arc::new(Texts::of_nothing()), is_new: true, is_readable: false };
        if one.attempts > MAX_ATTEMPTS {
            return Ok(Some(unreadable()));
        }
        let texts = match body::read(self.store, ctx, one.place).await {
            Ok(bytes) => super::read(bytes, KEPT_BYTES, Arc::new).await?,
            Err(Error::Unreadable(_)) => return Ok(Some(unreadable())),
            Err(error) => return Err(error),
        };
        Ok(Some(Said { texts, is_new: true, is_readable: true }))
    }

    /// Writes what is ready, all at once; where that fails for what one of them is, one by one.
    async fn keep(&self, ready: &[Ready]) -> Indexed {
        if ready.is_empty() {
            return Indexed::default();
        }
        let written = self.write(ready).await;
        if let Err(Error::Db(cause)) = &written
            && ready.len() > 1
            && cause.is_of_the_statement()
        {
            let mut done = Indexed::default();
            for one in ready.chunks(1) {
                done += self.settle(one, self.write(one).await).await;
            }
            return done;
        }
        self.settle(ready, written).await
    }

    async fn write(&self, ready: &[Ready]) -> Result<BTreeSet<Entry>, Error> {
        let mut tx = system(self.db).await?;
        let written = store::index(&mut tx, ready).await;
        if written.is_err() {
            // Each is tried alone next, and passes by what is locked.
            tx.roll_back().await?;
        } else {
            tx.commit().await?;
        }
        Ok(written?)
    }

    async fn settle(&self, ready: &[Ready], written: Result<BTreeSet<Entry>, Error>) -> Indexed {
        let entries: Vec<Entry> = ready.iter().map(|one| one.entry).collect();
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                if !matches!(&error, Error::Db(cause) if cause.is_of_the_statement()) {
                    put_off(self.db, &entries).await;
                }
                return failed(&entries, &error);
            }
        };
        let left: Vec<Entry> = entries.into_iter().filter(|entry| !written.contains(entry)).collect();
        if !left.is_empty() {
            // Their messages are gone, or about to go.
            put_off(self.db, &left).await;
        }
        let mut done = Indexed { bodies: written.len() as u64, ..Indexed::default() };
        for &Ready { entry, .. } in
            ready.iter().filter(|one| !one.is_readable && written.contains(&one.entry))
        {
            done.unreadable += 1;
            tracing::warn!(tenant.id = %entry.tenant_id, blob.id = %entry.blob_id, "a body cannot be read and was indexed as empty");
        }
        done
    }
}

/// An entry with its grams, made where nobody waits.
async fn prepare(entry: Entry, said: &Said) -> Result<Ready, Error> {
    let texts = said.texts.clone();
    let grams = move || gram::of(entry.mailbox_id, &texts);
    let (grams, is_whole) = tokio::task::spawn_blocking(grams).await.map_err(|_| Error::ShuttingDown)?;
    let new_texts = said.is_new.then(|| said.texts.clone());
    Ok(Ready { entry, new_texts, is_readable: said.is_readable, grams, is_whole })
}

fn failed(entries: &[Entry], error: &Error) -> Indexed {
    for entry in entries {
        tracing::warn!(tenant.id = %entry.tenant_id, blob.id = %entry.blob_id, error.cause = %kernel::error::chain(error), "a body was not indexed");
    }
    Indexed { failed: entries.len() as u64, ..Indexed::default() }
}

/// Lets some rest, as if they had not been tried. If that fails, each is tried alone next time.
async fn put_off(db: &Db, entries: &[Entry]) {
    let done = async {
        let mut tx = system(db).await?;
        store::put_off(&mut tx, entries).await?;
        Ok::<_, Error>(tx.commit().await?)
    };
    if let Err(error) = done.await {
        tracing::warn!(bodies = entries.len(), error.cause = %kernel::error::chain(&error), "bodies that were not indexed could not be put off");
    }
}

/// Queues every body of every mailbox that is not indexed, behind what is new: for a database that was made anew, where neither the index nor the
/// queue is kept. How many.
///
/// # Errors
/// As of a statement.
pub async fn queue_all(db: &Db) -> Result<u64, Error> {
    let mut tx = system(db).await?;
    let queued = store::queue_all(&mut tx).await?;
    tx.commit().await?;
    Ok(queued)
}

/// How many bodies are to be indexed.
///
/// # Errors
/// As of a statement.
pub async fn waiting(db: &Db) -> Result<u64, Error> {
    Ok(store::waiting(&mut system(db).await?).await?)
}

#[expect(clippy::disallowed_methods, reason = "the queue is of every tenant")]
async fn system(db: &Db) -> Result<SystemTx, Error> {
    Ok(SystemTx::begin(db).await?)
}

#[expect(clippy::disallowed_methods, reason = "the queue is of every tenant")]
async fn lookup(db: &Db) -> Result<SystemRead, Error> {
    Ok(SystemRead::open(db).await?)
}
