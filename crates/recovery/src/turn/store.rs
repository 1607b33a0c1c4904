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

/// Not before there is a base to go on from. A turn of which nothing was heard for half a minute, longer than an upload takes in good
/// times, is anybody's.
pub(super) async fn take(tx: &mut SystemTx, process: Uuid) -> Result<Option<(u64, u64)>, Error> {
    let row = sqlx::query!(
        "update journal_head set number = number + 1, held_by = $1, held_until = now() + interval '30 seconds'
         where base_number is not null and (held_by is null or held_by = $1 or held_until < now()) and exists (select from journal)
         returning number, shipped",
        process,
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
    sqlx::query!("update journal_head set held_by = null, held_until = null where held_by = $1", process)
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
