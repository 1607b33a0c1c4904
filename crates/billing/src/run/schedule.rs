//! The run that nobody asks for: it bills whatever has come, and one server at a time does it.

use chrono::{NaiveDate, TimeDelta};
use db::Db;

use super::drive::drive;
use super::{PAGE, Reach, RunSummary, store, system};
use crate::Error;

/// How far the calendar that is furthest ahead is before UTC.
const FURTHEST_AHEAD: TimeDelta = TimeDelta::hours(14);

/// Bills everybody up to their own present day, those who live by a test clock included. `None` when another server is at it.
///
/// Whoever leads holds a lock by a transaction that does nothing else, so a server that dies leads no more. Should two lead for
/// a moment, that is as if somebody had asked for a run meanwhile: nothing is billed twice.
///
/// # Errors
/// [`Error::Db`] when the database fails in the middle; the next one goes on from there.
pub async fn scheduled(db: &Db) -> Result<Option<RunSummary>, Error> {
    let mut leading = system(db).await?;
    if !store::lead(&mut leading).await? {
        return Ok(None);
    }
    let mut summary = RunSummary::default();
    // The day that it is where it is latest.
    let as_of = (db.env().now() + FURTHEST_AHEAD).date_naive();
    drive(db, as_of, Reach::Present, PAGE, &mut summary).await?;
    leading.commit().await?;
    Ok(Some(summary))
}

/// Bills to its end what is held of tenants that cannot be restored any more, as every run does, and makes all their drafts final:
/// before they are destroyed, since nobody does afterwards. Several processes may do so at once.
///
/// # Errors
/// As for [`scheduled`].
pub async fn settle(db: &Db) -> Result<RunSummary, Error> {
    let mut summary = RunSummary::default();
    drive(db, NaiveDate::MAX, Reach::Left, PAGE, &mut summary).await?;
    Ok(summary)
}
