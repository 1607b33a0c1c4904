//! SQL of turns.

use db::{Error, SystemTx};
use uuid::Uuid;

/// A number as a bigint column holds it.
fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// How things stand for whoever wants a turn.
pub(super) struct Found {
    /// Whether nobody else was making use of a turn; nobody will until the transaction ends.
    pub(super) is_free: bool,
    /// Whether anything is to be put.
    pub(super) is_waiting: bool,
    /// Whether there is a base to go on from.
    pub(super) has_base: bool,
}

/// Takes the lock, if it is free.
pub(super) async fn ask(tx: &mut SystemTx) -> Result<Found, Error> {
    let found = sqlx::query_as!(
        Found,
        r#"select pg_try_advisory_xact_lock(hashtext('journal_turn')) as "is_free!", exists (select from journal) as "is_waiting!",
             exists (select from journal_head where base_number is not null) as "has_base!""#,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(found)
}

/// Not before there is a base to go on from. A turn of which nothing was heard for half a minute, longer than an upload takes in good
/// times, is anybody's. Whoever has the lock takes that of another one at once, or when something has waited for two seconds: who lives and has
/// the turn looks each second. Whoever took it from one that hangs, and still has the lock, waits as long, lest two that begin overtake each other.
pub(super) async fn take(
    tx: &mut SystemTx,
    process: Uuid,
    has_lock: bool,
    at_once: bool,
) -> Result<Option<(u64, u64)>, Error> {
    let row = sqlx::query!(
        "update journal_head set number = number + 1, held_by = $1, held_until = now() + interval '30 seconds'
         where base_number is not null and exists (select from journal)
           and (held_until < now() or ($2::bool and (held_by is null or held_by = $1 or $3::bool))
             or (($2::bool or held_by = $1) and (select at from journal order by seq limit 1) < now() - interval '2 seconds'))
         returning number, shipped",
        process,
        has_lock,
        at_once,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (from_column(row.number), from_column(row.shipped))))
}

pub(super) async fn keep(tx: &mut SystemTx, number: u64) -> Result<(), Error> {
    sqlx::query!(
        "update journal_head set held_until = now() + interval '30 seconds' where number = $1",
        to_column(number),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn leave(tx: &mut SystemTx, process: Uuid) -> Result<(), Error> {
    // Until when it was held stays: it is what frees the next one, if that hangs before it has said anything.
    sqlx::query!("update journal_head set held_by = null where held_by = $1", process)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The last number that was given out; `None` while a recovery is under way.
pub(super) async fn number(tx: &mut SystemTx) -> Result<Option<u64>, Error> {
    let number = sqlx::query_scalar!("select number from journal_head").fetch_optional(tx.conn()).await?;
    Ok(number.map(from_column))
}

/// Goes on from a number, with a base; whether it is beyond what was given out.
pub(super) async fn go_beyond(tx: &mut SystemTx, number: u64) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update journal_head set number = $1, base_number = null, based_at = null, base_schema = null where number < $1",
        to_column(number),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}
