//! SQL of shipping.

use chrono::{DateTime, TimeDelta, Utc};
use db::{Error, SystemTx};
use futures::{Stream, TryStreamExt as _};
use uuid::Uuid;

/// A row of the journal.
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) tenant_id: Option<Uuid>,
    pub(super) at: DateTime<Utc>,
    pub(super) relation: String,
    pub(super) is_deleted: bool,
    pub(super) image: String,
}

/// When the transaction began: all that was committed before is in its state of the database.
pub(crate) async fn began_at(tx: &mut SystemTx) -> Result<DateTime<Utc>, Error> {
    let at = sqlx::query_scalar!(r#"select now() as "at!""#).fetch_one(tx.conn()).await?;
    Ok(at)
}

/// All of the journal.
pub(super) fn read(tx: &mut SystemTx) -> impl Stream<Item = Result<Row, Error>> {
    sqlx::query_as!(
        Row,
        r#"select seq, tenant_id, at, relation, is_deleted, image::text as "image!" from journal order by seq"#,
    )
    .fetch(tx.conn())
    .map_err(Error::from)
}

/// Forgets what was put under a number, unless a higher one was given out, and notes for how many seconds whoever put it is believed; whether it did.
pub(super) async fn forget(
    tx: &mut SystemTx,
    number: u64,
    seqs: &[i64],
    held_after: i32,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update journal_head set shipped = number, held_until = now() + make_interval(secs => $2::integer) where number = $1",
        i64::try_from(number).unwrap_or(i64::MAX),
        held_after,
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    for seqs in seqs.chunks(10_000) {
        sqlx::query!("delete from journal where seq = any ($1)", seqs).execute(tx.conn()).await?;
    }
    Ok(true)
}

/// How many rows the journal has.
pub(super) async fn count(tx: &mut SystemTx) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(r#"select count(*) as "count!" from journal"#);
    Ok(count.fetch_one(tx.conn()).await?)
}

pub(super) async fn lag(tx: &mut SystemTx) -> Result<TimeDelta, Error> {
    let milliseconds = sqlx::query_scalar!(
        r#"select coalesce(extract(epoch from clock_timestamp() - (select at from journal order by seq limit 1)) * 1000, 0)::bigint as "lag!""#,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(TimeDelta::milliseconds(milliseconds))
}
