//! Coming back from nothing: the journal is put into the bucket, and a lost database is made anew out of the bucket alone.
//!
//! Every table is written down by its triggers, in the transaction of the change, in `journal` (`migrations/0044_journal.sql`). [`ship`]
//! puts what has been committed into the bucket every few seconds, each tenant's rows under their own key, and forgets it here. [`base`] puts a whole
//! state there once a day, so that no recovery begins at the beginning; [`bundle`] puts together what has been there for an hour. [`recover()`] reads the newest base and what came after it, and
//! [`verify`] whether all of that is there.
//!
//! A row's images come in the order in which they were made, and each segment holds exactly what one state of the database has and the
//! one before it had not. So the database that is recovered is one that there was.

pub mod base;
mod belong;
pub mod bundle;
mod error;
mod recover;
pub mod restore;
pub mod ship;
mod trouble;
mod turn;
pub mod verify;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use blob::BlobStore;
use db::{Db, SystemTx};
use mailstore::MailStore;
use mailstore::key::Keys;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

pub use belong::{check, check_blank, check_last, last_put};
pub use error::Error;
pub use recover::{Late, Recovered, Step, recover};
use ship::Attempt;
use trouble::Trouble;
use turn::Claim;

/// How many seconds lie between two puts of what was committed, where nobody says otherwise: so much is lost at most with the database.
pub const SECONDS: NonZeroU32 = NonZeroU32::MIN;
/// How many at most. What a database ran with is lost with it: a recovery takes it that it was this.
pub const MOST_SECONDS: NonZeroU32 = NonZeroU32::new(60).expect("is not zero");
/// How often it is looked whether there is something to put, and told how long it has been waiting.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether a base is due, and what of the journal may go.
const BASE_EVERY: Duration = Duration::from_secs(60);

/// How often segments are put together.
const BUNDLES_EVERY: Duration = Duration::from_secs(3_600);

/// How often it is looked whether numbers go on beyond the bucket's.
const FOLLOWED: Duration = Duration::from_millis(50);

/// How long one that is stopped waits for another process to have put what that is putting. Less than a server that stops gives it.
const WAITS: Duration = Duration::from_secs(15);
/// How often it looks.
const WAITS_EVERY: Duration = Duration::from_millis(50);

/// What keeps the journal of a database in a bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    db: Db,
    blobs: Arc<dyn BlobStore>,
    keys: Keys,
    /// What this process calls itself, where one of several has the turn.
    process: Uuid,
    /// How long it rests between two puts.
    seconds: NonZeroU32,
}

impl Journal {
    /// The journal of a mail store's database, in its bucket; what is committed goes there every second.
    pub fn new(db: &Db, store: &MailStore) -> Self {
        let (blobs, keys) = (store.blobs().clone(), store.keys().clone());
        Self { db: db.clone(), blobs, keys, process: db.env().new_uuid(), seconds: SECONDS }
    }

    /// The same with so many seconds between two puts, [`MOST_SECONDS`] at most. Where processes differ, who would put sooner does.
    #[must_use]
    pub fn putting_every(self, seconds: NonZeroU32) -> Self {
        Self { seconds: seconds.min(MOST_SECONDS), ..self }
    }

    /// So many seconds more than it rests, as a column holds them.
    fn longer_by(&self, seconds: i32) -> i32 {
        i32::try_from(self.seconds.get()).unwrap_or(i32::MAX).saturating_add(seconds)
    }

    #[expect(clippy::disallowed_methods, reason = "the journal is of all tenants' rows")]
    async fn system(&self) -> Result<SystemTx, Error> {
        Ok(SystemTx::begin(&self.db).await?)
    }

    #[expect(clippy::disallowed_methods, reason = "the journal is of all tenants' rows")]
    async fn snapshot(&self) -> Result<SystemTx, Error> {
        Ok(SystemTx::snapshot(&self.db).await?)
    }
}

/// Keeps the journal until `stop`, and puts into the bucket what is left of it then. Of several processes on a database one does so at a time.
pub async fn run(journal: &Journal, stop: impl Future<Output = ()>) {
    let has_followed = AtomicBool::new(false);
    let keep = async {
        tokio::join!(
            keep_shipping(journal, &has_followed),
            keep_bases(journal, &has_followed),
            keep_bundling(journal)
        )
    };
    tokio::select! {
        _ = keep => {}
        () = stop => {}
    }
    if let Err(error) = ship_last(journal, has_followed.into_inner()).await {
        tracing::warn!(error.cause = %kernel::error::chain(&error), "the end of the journal was not put into the bucket");
    }
    if let Err(error) = turn::leave(journal).await {
        tracing::debug!(error.cause = %kernel::error::chain(&error), "the next to keep the journal has to wait for its turn");
    }
}

/// One that is stopped in its first moments has not followed the bucket yet. What another process is putting need not have the last of
/// what this one did: the rest goes after it, whoever has the turn.
async fn ship_last(journal: &Journal, has_followed: bool) -> Result<(), Error> {
    if !has_followed {
        turn::follow(journal).await?;
    }
    let waits_until = Instant::now() + WAITS;
    let why = loop {
        match ship::attempt(journal, Claim::AtOnce).await? {
            Attempt::Put(_) => return Ok(()),
            Attempt::NoBase => break "no base of the journal has been taken yet",
            Attempt::Others if Instant::now() >= waits_until => break "another server is putting them there",
            Attempt::Others => tokio::time::sleep(WAITS_EVERY).await,
        }
    };
    let changes = ship::waiting(journal).await?;
    if changes > 0 {
        tracing::warn!(
            journal.changes = changes,
            journal.why = why,
            "the last changes are not in the bucket"
        );
    }
    Ok(())
}

/// Follows the bucket first, and again after whatever failed: another database, older by a moment, may answer since. Who has put something
/// rests; whatever else came of it, the next try is a second later.
async fn keep_shipping(journal: &Journal, has_followed: &AtomicBool) {
    let mut due = tokio::time::interval(LOOKS_EVERY);
    // Whoever had the turn before may have been killed.
    let mut claim = Claim::AtOnce;
    let mut rests_until: Option<Instant> = None;
    let mut trouble = Trouble::default();
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let at = due.tick().await;
        if !has_followed.load(Ordering::Relaxed) {
            if let Err(error) = turn::follow(journal).await {
                if trouble.failed(at) {
                    tracing::warn!(error.cause = %kernel::error::chain(&error), "the journal cannot be kept yet");
                }
                continue;
            }
            has_followed.store(true, Ordering::Relaxed);
        }
        if rests_until.is_none_or(|until| at >= until) {
            let attempted = ship::attempt(journal, claim).await;
            if attempted.is_ok()
                && let Some(lasted) = trouble.over(at)
            {
                tracing::info!(trouble.seconds = lasted.as_secs(), "the journal is kept again");
            }
            match attempted {
                Ok(Attempt::Put(shipped)) => {
                    if shipped.segments > 0 {
                        claim = Claim::Patient;
                        rests_until = Some(at + Duration::from_secs(journal.seconds.get().into()));
                    }
                    metrics::counter!("pillarbox_journal_records_total").increment(shipped.records);
                    metrics::counter!("pillarbox_journal_segments_total").increment(shipped.segments);
                }
                Ok(Attempt::NoBase | Attempt::Others) => {}
                Err(error) => {
                    has_followed.store(false, Ordering::Relaxed);
                    if trouble.failed(at) {
                        tracing::warn!(error.cause = %kernel::error::chain(&error), "the journal was not put into the bucket");
                    }
                }
            }
        }
        match ship::lag(&journal.db).await {
            Ok(lag) => metrics::gauge!("pillarbox_journal_lag_seconds").set(lag.as_seconds_f64()),
            Err(_) => has_followed.store(false, Ordering::Relaxed),
        }
    }
}

async fn keep_bases(journal: &Journal, has_followed: &AtomicBool) {
    let mut due = tokio::time::interval(BASE_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Counted from the start: who looks for a rise sees the first one too.
    losses().increment(0);
    loop {
        due.tick().await;
        while !has_followed.load(Ordering::Relaxed) {
            tokio::time::sleep(FOLLOWED).await;
        }
        if let Err(error) = look_for_last(journal).await {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "whether the bucket has what was put there last is not known");
        }
        match base::take_if_due(journal).await {
            Ok(Some(taken)) => {
                tracing::info!(
                    base.number = taken.number,
                    base.rows = taken.records,
                    "a base of the journal was taken"
                );
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error.cause = %kernel::error::chain(&error), "no base of the journal was taken");
            }
        }
        if let Err(error) = base::let_go(journal).await {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "old parts of the journal were not deleted");
        }
    }
}

/// Not at once: a server that is started again and again would make many small ones.
async fn keep_bundling(journal: &Journal) {
    let mut due = tokio::time::interval_at(Instant::now() + BUNDLES_EVERY, BUNDLES_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        match bundle::run(journal, journal.db.env().now() - bundle::AFTER).await {
            Ok(bundled) => {
                tracing::debug!(
                    bundled.segments = bundled.segments,
                    bundled.bundles = bundled.bundles,
                    bundled.cleared = bundled.cleared,
                    "segments of the journal were put together"
                );
            }
            Err(error) => {
                tracing::warn!(error.cause = %kernel::error::chain(&error), "the journal's segments were not put together");
            }
        }
    }
}

fn losses() -> metrics::Counter {
    metrics::counter!("pillarbox_journal_losses_total")
}

/// Has a base taken where the bucket does not have what was put there last: whatever comes after that could not be recovered.
async fn look_for_last(journal: &Journal) -> Result<(), Error> {
    let Some(number) = belong::missing(&journal.db, &*journal.blobs).await? else { return Ok(()) };
    losses().increment(1);
    tracing::error!(
        journal.number = number,
        "what was put into the bucket last is not there: look whether the blob store is the right one; a new base is taken"
    );
    base::make_due(journal, number).await
}
