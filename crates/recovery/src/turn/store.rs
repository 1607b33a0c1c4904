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
    number: i64,
    shipped: i64,
    /// Who put last.
    pub(super) held_by: Option<Uuid>,
    /// Whether it is anybody's, or the asking process's.
    pub(super) is_free: bool,
    /// Whether anything is to be put.
    pub(super) is_waiting: bool,
    /// Whether something has waited for so long that whoever put last should have put it, if that one rests no longer than this one.
    pub(super) is_late: bool,
    /// Whether there is a base to go on from.
    pub(super) has_base: bool,
}

/// What has waited for more seconds than that is late. `None` while a recovery is under way.
pub(super) async fn ask(tx: &mut SystemTx, process: Uuid, late_after: i32) -> Result<Option<Found>, Error> {
    let found = sqlx::query_as!(
        Found,
        r#"select number, shipped, held_by, held_by is null or held_by = $1 or held_until < now() as "is_free!",
             exists (select from journal) as "is_waiting!",
             coalesce((select at from journal order by seq limit 1) < now() - make_interval(secs => $2::integer), false) as "is_late!",
             base_number is not null as "has_base!"
           from journal_head"#,
        process,
        late_after,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

/// Whether a process puts nothing at the moment. Its lock is not kept, lest one that hangs with it keep that process from going on.
pub(super) async fn is_idle(tx: &mut SystemTx, process: Option<Uuid>) -> Result<bool, Error> {
    let is_idle = sqlx::query_scalar!(
        r#"select case when pg_try_advisory_lock(key) then pg_advisory_unlock(key) else false end as "is_idle!"
           from hashtextextended('journal_turn ' || $1::uuid::text, 0) key"#,
        process,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_idle)
}

/// Takes a process's own lock until the transaction ends; whether it was free.
pub(super) async fn lock(tx: &mut SystemTx, process: Uuid) -> Result<bool, Error> {
    let is_locked = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('journal_turn ' || $1::uuid::text, 0)) as "is_locked!""#,
        process,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(is_locked)
}

/// Takes the next number, unless somebody else took one or forgot what it had put; that, and the one that the journal here begins after.
pub(super) async fn take(
    tx: &mut SystemTx,
    process: Uuid,
    found: &Found,
) -> Result<Option<(u64, u64)>, Error> {
    let row = sqlx::query!(
        "update journal_head set number = number + 1, held_by = $1, held_until = now() + interval '30 seconds'
         where number = $2 and shipped = $3 returning number, shipped",
        process,
        found.number,
        found.shipped,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (from_column(row.number), from_column(row.shipped))))
}

/// Whether the number is still the last.
pub(super) async fn keep(tx: &mut SystemTx, number: u64) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update journal_head set held_until = now() + interval '30 seconds' where number = $1",
        to_column(number),
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn leave(tx: &mut SystemTx, process: Uuid) -> Result<(), Error> {
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
