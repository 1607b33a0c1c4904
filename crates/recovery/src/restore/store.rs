//! SQL of what the journal knows.

use chrono::{DateTime, Utc};
use db::{Error, SystemRead};

/// The moment of the first base: what was before is not known. What is about to go is not promised.
pub(super) async fn earliest(
    read: &mut SystemRead,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let earliest = sqlx::query_scalar!(
        "select greatest(min(taken_at), $1::timestamptz - interval '30 days' + interval '1 hour') from journal_bases having count(*) > 0",
        now,
    );
    Ok(earliest.fetch_optional(read.conn()).await?.flatten())
}

/// The last base that was taken by a moment.
pub(super) async fn base_before(read: &mut SystemRead, at: DateTime<Utc>) -> Result<Option<u64>, Error> {
    let number = sqlx::query_scalar!(
        "select number from journal_bases where taken_at <= $1 order by taken_at desc, number desc limit 1",
        at
    )
    .fetch_optional(read.conn())
    .await?;
    Ok(number.and_then(|number| u64::try_from(number).ok()))
}

/// When the oldest change was made that is not in the bucket yet.
pub(super) async fn oldest(read: &mut SystemRead) -> Result<Option<DateTime<Utc>>, Error> {
    let at = sqlx::query_scalar!("select at from journal order by seq limit 1")
        .fetch_optional(read.conn())
        .await?;
    Ok(at)
}
