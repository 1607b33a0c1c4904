//! What was committed, put into the bucket.

pub(crate) mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use blob::BlobKey;
use chrono::TimeDelta;
use db::{Db, SystemTx};
use futures::TryStreamExt as _;
use kernel::TenantId;
use pack::DataKey;
use pack::segment::{Head, Name, Record, Writer};

use crate::turn::{Asked, Claim};
use crate::{Error, Journal, turn};

/// What came of shipping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Images of rows.
    pub records: u64,
    /// Objects.
    pub segments: u64,
}

/// What came of trying to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// All that had been committed is in the bucket; this much of it was not before.
    Put(Shipped),
    /// There is something, and no base yet that it could follow.
    NoBase,
    /// There is something, and another process has the turn, or has overtaken this one.
    Others,
}

/// Puts all that has been committed and is not in the bucket yet there, and forgets it here. Nothing where another process has the turn,
/// or has taken it over before all was put.
///
/// # Errors
/// When database or bucket fail; then it is still here, and the next call puts it again.
pub async fn ship(journal: &Journal) -> Result<Shipped, Error> {
    match attempt(journal, Claim::Patient).await? {
        Attempt::Put(shipped) => Ok(shipped),
        Attempt::NoBase | Attempt::Others => Ok(Shipped::default()),
    }
}

/// As [`ship`], and says why nothing was put.
pub(crate) async fn attempt(journal: &Journal, claim: Claim) -> Result<Attempt, Error> {
    let turn = match turn::take(journal, claim).await? {
        Asked::Taken(turn) => turn,
        Asked::Nothing => return Ok(Attempt::Put(Shipped::default())),
        Asked::NoBase => return Ok(Attempt::NoBase),
        Asked::Others => return Ok(Attempt::Others),
    };
    let put = tokio::select! {
        put = put_all(journal, turn.number, turn.after) => put,
        () = turn::hold(journal, turn.number) => Ok(Attempt::Others),
    };
    turn.end().await;
    put
}

async fn put_all(journal: &Journal, number: u64, after: u64) -> Result<Attempt, Error> {
    let mut tx = journal.snapshot().await?;
    let head = Head { after, read_at: store::began_at(&mut tx).await? };
    let mut segments = Segments::new(journal, number, head, false);
    let mut seqs = Vec::new();
    let mut rows = store::read(&mut tx);
    while let Some(row) = rows.try_next().await? {
        seqs.push(row.seq);
        let record = Record {
            seq: u64::try_from(row.seq).unwrap_or(0),
            at: row.at,
            relation: row.relation,
            is_deleted: row.is_deleted,
            image: row.image,
        };
        segments.add(row.tenant_id.map(TenantId::from_uuid), &record).await?;
    }
    drop(rows);
    drop(tx);
    let shipped = segments.finish().await?;
    let mut tx = journal.system().await?;
    // Otherwise somebody else has a higher number by now, and puts it again.
    if !store::forget(&mut tx, number, &seqs, turn::held_after(journal)).await? {
        return Ok(Attempt::Others);
    }
    tx.commit().await?;
    Ok(Attempt::Put(shipped))
}

/// How many changes are not in the bucket.
pub(crate) async fn waiting(journal: &Journal) -> Result<i64, Error> {
    Ok(store::count(&mut journal.system().await?).await?)
}

/// How long the oldest change has been waiting to be put into the bucket.
///
/// # Errors
/// When the database fails.
#[expect(clippy::disallowed_methods, reason = "the journal is of all tenants' rows")]
pub async fn lag(db: &Db) -> Result<TimeDelta, Error> {
    Ok(store::lag(&mut SystemTx::begin(db).await?).await?)
}

/// The segments of one number.
pub(crate) struct Segments<'a> {
    journal: &'a Journal,
    number: u64,
    head: Head,
    is_base: bool,
    /// `None`: the tenant is being destroyed.
    keys: BTreeMap<Option<TenantId>, Option<Arc<DataKey>>>,
    writer: Writer,
    part: u32,
    shipped: Shipped,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(journal: &'a Journal, number: u64, head: Head, is_base: bool) -> Self {
        let (keys, writer) = (BTreeMap::new(), Writer::default());
        Self { journal, number, head, is_base, keys, writer, part: 0, shipped: Shipped::default() }
    }

    /// Adds a record; whose it is, as its table says.
    pub(crate) async fn add(&mut self, owner: Option<TenantId>, record: &Record) -> Result<(), Error> {
        if self.writer.is_full() {
            self.put(false).await?;
        }
        let key = match self.keys.get(&owner) {
            Some(key) => key.clone(),
            None => {
                let key = self.journal.keys.for_journal(owner).await?;
                self.keys.insert(owner, key.clone());
                key
            }
        };
        // What is left of a tenant that is being destroyed is not to be read again.
        if let Some(key) = key {
            self.writer.add(&key, record);
            self.shipped.records += 1;
        }
        Ok(())
    }

    /// Puts the last of them.
    pub(crate) async fn finish(mut self) -> Result<Shipped, Error> {
        self.put(true).await?;
        Ok(self.shipped)
    }

    async fn put(&mut self, is_last: bool) -> Result<(), Error> {
        let name = Name { number: self.number, part: self.part, is_base: self.is_base, is_last };
        let (writer, env, head) =
            (std::mem::take(&mut self.writer), self.journal.db.env().clone(), self.head);
        // Compressing some MiB would hold up every other session of an async thread.
        let sealed = tokio::task::spawn_blocking(move || writer.seal(&env, name, head)).await;
        let (id, bytes) = sealed.map_err(|_| mailstore::Error::ShuttingDown)?;
        self.journal.blobs.put(&BlobKey::Segment(id), bytes).await?;
        self.part += 1;
        self.shipped.segments += 1;
        Ok(())
    }
}
