//! Bases: every row of one state of the database.

mod store;

use blob::{BlobKey, KeyPrefix};
use chrono::{DateTime, Utc};
use db::SystemTx;
use futures::TryStreamExt as _;
use kernel::TenantId;
use pack::segment::{Head, Record};

use crate::recover::bucket::Named;
use crate::ship::Segments;
use crate::{Error, Journal, turn};

/// A base that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Its number.
    pub number: u64,
    /// How many rows it has.
    pub records: u64,
}

/// Takes a base if there is none of the last day and of the schema as it is, and no other process is taking one.
///
/// # Errors
/// When database or bucket fail; then there is no base, and the next call takes one.
pub async fn take_if_due(journal: &Journal) -> Result<Option<Taken>, Error> {
    // Held for as long as the base takes: who was killed or stopped meanwhile holds it no more.
    let mut lock = journal.system().await?;
    let is_alone = store::lock(&mut lock).await?;
    let taken = take_in_turn(journal, is_alone).await;
    if let Err(error) = lock.roll_back().await {
        tracing::debug!(error.cause = %kernel::error::chain(&error), "the lock of the base went with its connection");
    }
    taken
}

/// Takes a base that comes after a number, whatever there is of the day: where the bucket has lost something up to that number, a recovery needs none
/// of it any more. `None` where there is one already, or another process is taking one.
///
/// # Errors
/// As [`take_if_due`].
pub async fn take_anew(journal: &Journal, number: u64) -> Result<Option<Taken>, Error> {
    turn::follow(journal).await?;
    make_due(journal, number).await?;
    take_if_due(journal).await
}

/// Has the next [`take_if_due`] take a base, unless there is one that comes after a number. Until then the journal goes on from the one that there is.
pub(crate) async fn make_due(journal: &Journal, number: u64) -> Result<(), Error> {
    let mut tx = journal.system().await?;
    store::make_due(&mut tx, number).await?;
    Ok(tx.commit().await?)
}

async fn take_in_turn(journal: &Journal, is_alone: bool) -> Result<Option<Taken>, Error> {
    let mut tx = journal.system().await?;
    let Some(number) = store::take_if_due(&mut tx, is_alone).await? else { return Ok(None) };
    let state = State::open(journal).await?;
    tx.commit().await?;
    let taken = state.put(journal, number).await;
    let mut tx = journal.system().await?;
    match taken {
        Ok((taken, head)) => {
            store::set_taken(&mut tx, number, &head).await?;
            tx.commit().await?;
            Ok(Some(taken))
        }
        Err(error) => {
            store::give_up(&mut tx).await?;
            tx.commit().await?;
            Err(error)
        }
    }
}

/// Begins the journal of a database that was made anew, with a base of a number beside older ones that the bucket has, with the moments that
/// they are of: from then on it is one to work with. Nobody else works on it yet.
pub(crate) async fn begin(
    journal: &Journal,
    number: u64,
    older: &[(u64, DateTime<Utc>)],
) -> Result<Taken, Error> {
    let mut tx = journal.system().await?;
    // What the making of it has written down is in the base.
    store::forget_all(&mut tx).await?;
    tx.commit().await?;
    let (taken, head) = State::open(journal).await?.put(journal, number).await?;
    let mut tx = journal.system().await?;
    store::begin(&mut tx, number, &head).await?;
    store::know(&mut tx, older).await?;
    tx.commit().await?;
    Ok(taken)
}

/// What is known of a base besides its number.
pub(crate) struct About {
    read_at: DateTime<Utc>,
    /// The schema's last step.
    schema: i64,
}

/// A state of the database.
struct State {
    tx: SystemTx,
    read_at: DateTime<Utc>,
}

impl State {
    /// Opened while the base's number is being given out, which nobody else is given one beside: whoever had a lower number and has not
    /// forgotten what it put will not forget it any more, and whoever has a higher one reads a later state. So what came after this
    /// state is under higher numbers, and none of those has an earlier one.
    async fn open(journal: &Journal) -> Result<Self, Error> {
        let mut tx = journal.snapshot().await?;
        let read_at = store::began_at(&mut tx).await?;
        Ok(Self { tx, read_at })
    }

    async fn put(mut self, journal: &Journal, number: u64) -> Result<(Taken, About), Error> {
        let (tx, read_at) = (&mut self.tx, self.read_at);
        let mut segments = Segments::new(journal, number, Head { after: number, read_at }, true);
        let schema = store::schema(tx).await?;
        for table in store::tables(tx).await? {
            let mut rows = store::rows(tx, &table);
            while let Some((tenant_id, image)) = rows.try_next().await? {
                let relation = table.relation.clone();
                let record = Record { seq: 0, at: read_at, relation, is_deleted: false, image };
                segments.add(tenant_id.map(TenantId::from_uuid), &record).await?;
            }
        }
        drop(self.tx);
        let shipped = segments.finish().await?;
        Ok((Taken { number, records: shipped.records }, About { read_at, schema }))
    }
}

/// Deletes what of the journal is before the last base of more than thirty days ago; how many objects.
///
/// # Errors
/// When database or bucket fail; the next call goes on.
pub async fn let_go(journal: &Journal) -> Result<u64, Error> {
    let mut tx = journal.system().await?;
    let Some(number) = store::oldest_needed(&mut tx).await? else { return Ok(0) };
    // First: no restore is to begin with what is going.
    store::forget_before(&mut tx, number).await?;
    tx.commit().await?;
    let mut deleted = 0;
    let mut after = None;
    loop {
        let page = journal.blobs.list(&KeyPrefix::Journal, after.as_deref()).await?;
        for key in page.keys {
            let BlobKey::Segment(id) = key else { continue };
            let Some(named) = Named::of(id) else { continue };
            if named.first() >= number {
                return Ok(deleted);
            }
            // A bundle may have what is needed as well.
            if named.last() >= number {
                continue;
            }
            journal.blobs.delete(&BlobKey::Segment(id)).await?;
            deleted += 1;
        }
        let Some(next) = page.next else { return Ok(deleted) };
        after = Some(next);
    }
}
