//! Whose turn it is: of several processes on a database, one puts its journal into the bucket.
//!
//! The turn only saves work. What makes two at a time harmless is the number: each who puts something takes a higher one, and only who has
//! the highest may forget what it has put. Whoever was overtaken forgets nothing, and it is put again under a higher number.
//!
//! A row names who put last. For as long as it puts, it holds a lock of Postgres that bears its name, which goes with its connection, and
//! says every ten seconds that it will be there for half a minute more. Who may put next:
//!
//! | who put last | its half minute | its lock | what that one does | who may |
//! |---|---|---|---|---|
//! | none since a stop | | | | anybody |
//! | another | is over | | nothing, or it hangs, or its host is gone without a word | anybody |
//! | another | goes on | held | it puts, however long that takes | nobody else |
//! | another | goes on | free | it was killed, or rests between two puts | others once something has waited for a second longer than they would rest, or in a hurry |
//!
//! While it rests, its half minute begins when it would be back. Whoever put last may go on at any time. One that hangs holds its own lock alone, so nobody after it is taken for it.

mod store;

use std::time::Duration;

use blob::{BlobKey, BlobStore, KeyPrefix};
use db::SystemTx;
use kernel::SegmentId;
use pack::segment::{MAX_NUMBER, MAX_PART};
use uuid::Uuid;

use crate::recover::bucket::Named;
use crate::{Error, Journal};

/// How often whoever puts something says that it does: some times within the half minute that it is believed.
const HELD_EVERY: Duration = Duration::from_secs(10);

/// For how many seconds more than it rests nothing is heard of whoever has put something before it is passed over.
const PASSED_OVER: i32 = 30;
/// For how many seconds more than it would rest itself a process leaves what is waiting to whoever put last.
const LEAVES: i32 = 1;

/// When a process wants the turn that another one had last, and that nobody is making use of at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Once something has been waiting for longer than this one would let it.
    Patient,
    /// At once. That one may be gone, or the process that asks is about to go.
    AtOnce,
}

/// What came of asking for the turn.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It is this process's.
    Taken(Turn),
    /// All that had been committed is in the bucket.
    Nothing,
    /// There is no base to go on from.
    NoBase,
    /// It is another one's.
    Others,
}

/// A turn to put what was committed.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    /// The number that the journal here begins after.
    pub(crate) after: u64,
    /// Holds this process's lock.
    lock: SystemTx,
}

impl Turn {
    /// Ends it. Dropped, it ends at some time after.
    pub(crate) async fn end(self) {
        if let Err(error) = self.lock.roll_back().await {
            tracing::debug!(error.cause = %kernel::error::chain(&error), "the lock of the turn went with its connection");
        }
    }
}

/// Asks for a turn. Nothing is locked where the answer is no: others would take that for somebody who puts.
pub(crate) async fn take(journal: &Journal, claim: Claim) -> Result<Asked, Error> {
    let mut lock = journal.system().await?;
    let late_after = journal.longer_by(LEAVES);
    let found = store::ask(&mut lock, journal.process, late_after).await?;
    let Some(found) = found else { return Ok(Asked::NoBase) };
    if !found.is_waiting {
        return Ok(Asked::Nothing);
    }
    if !found.has_base {
        return Ok(Asked::NoBase);
    }
    let is_free = found.is_free
        || (claim == Claim::AtOnce || found.is_late) && store::is_idle(&mut lock, found.held_by).await?;
    if !is_free {
        return Ok(Asked::Others);
    }
    if store::lock(&mut lock, journal.process).await? {
        // Not in the transaction of the lock, which stays open: others are to see the number.
        let mut tx = journal.system().await?;
        let taken = store::take(&mut tx, journal.process, &found).await?;
        tx.commit().await?;
        if let Some((number, after)) = taken {
            return Ok(Asked::Taken(Turn { number, after, lock }));
        }
    }
    lock.roll_back().await?;
    Ok(Asked::Others)
}

/// For how many seconds whoever has just put something is believed to be there, and to be resting.
pub(crate) fn held_after(journal: &Journal) -> i32 {
    journal.longer_by(PASSED_OVER)
}

/// Goes on having the turn; ends once another number was given out.
pub(crate) async fn hold(journal: &Journal, number: u64) {
    loop {
        tokio::time::sleep(HELD_EVERY).await;
        match keep(journal, number).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(error.cause = %kernel::error::chain(&error), "whether the turn is still this process's is not known");
            }
        }
    }
}

async fn keep(journal: &Journal, number: u64) -> Result<bool, Error> {
    let mut tx = journal.system().await?;
    let is_kept = store::keep(&mut tx, number).await?;
    tx.commit().await?;
    Ok(is_kept)
}

/// Lets another process have the turn.
pub(crate) async fn leave(journal: &Journal) -> Result<(), Error> {
    let mut tx = journal.system().await?;
    store::leave(&mut tx, journal.process).await?;
    Ok(tx.commit().await?)
}

/// Sees to it that numbers go on beyond those of the bucket. One that has higher ones belongs to a database that went on after this
/// one: this is an older copy, put back. Then a base is due, and what the bucket has of that other time counts no more.
pub(crate) async fn follow(journal: &Journal) -> Result<(), Error> {
    let mut tx = journal.system().await?;
    let known = store::number(&mut tx).await?.ok_or(Error::Unfinished)?;
    drop(tx);
    let Some(highest) = highest(&*journal.blobs, known).await? else { return Ok(()) };
    let mut tx = journal.system().await?;
    if store::go_beyond(&mut tx, highest).await? {
        tracing::warn!(
            journal.number = known,
            bucket.number = highest,
            "the bucket holds more of the journal than this database knows of: it is an older copy; a new base is taken"
        );
    }
    Ok(tx.commit().await?)
}

/// The highest number in the bucket that is higher than `known`.
pub(crate) async fn highest(blobs: &dyn BlobStore, known: u64) -> Result<Option<u64>, Error> {
    let mut after = last_of(known).to_string();
    let mut highest = None;
    loop {
        let page = blobs.list(&KeyPrefix::Journal, Some(&after)).await?;
        for key in page.keys {
            if let BlobKey::Segment(id) = key
                && let Some(named) = Named::of(id)
            {
                highest = highest.max(Some(named.last()));
            }
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(highest),
        }
    }
}

/// The last key that a number can have.
pub(crate) fn last_of(number: u64) -> BlobKey {
    let last = u128::from(number.min(MAX_NUMBER)) << 80 | (u128::from(MAX_PART) << 56) | ((1 << 56) - 1);
    BlobKey::Segment(SegmentId::from_uuid(Uuid::from_u128(last)))
}
