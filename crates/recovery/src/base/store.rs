//! SQL of bases.

use chrono::{DateTime, Utc};
use db::rebuild::STEPS;
use db::{Error, SystemTx};
use futures::{Stream, TryStreamExt as _};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::About;

pub(super) use crate::ship::store::began_at;

/// A table that the journal has, by the triggers that write it down.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Table {
    pub(super) relation: String,
    /// As in a statement.
    quoted: String,
    is_tenants: bool,
}

/// Whether nobody else is taking a base; nobody will until the transaction ends.
pub(super) async fn lock(tx: &mut SystemTx) -> Result<bool, Error> {
    let is_alone =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('journal_base')) as "is_alone!""#)
            .fetch_one(tx.conn())
            .await?;
    Ok(is_alone)
}

/// A number for a base if one is due. Ten minutes without a word of another process that is taking one, and this one takes one as well.
pub(super) async fn take_if_due(tx: &mut SystemTx, is_alone: bool) -> Result<Option<u64>, Error> {
    let number = sqlx::query_scalar!(
        "update journal_head set number = number + 1, base_held_until = now() + interval '10 minutes'
         where (base_number is null or based_at < now() - interval '1 day'
             or base_schema is distinct from (select max(version) from _sqlx_migrations))
           and ($1::bool or base_held_until < now())
         returning number",
        is_alone,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(number.and_then(|number| u64::try_from(number).ok()))
}

pub(super) async fn make_due(tx: &mut SystemTx, number: u64) -> Result<(), Error> {
    sqlx::query!(
        "update journal_head set based_at = to_timestamp(0) where base_number <= $1",
        i64::try_from(number).unwrap_or(i64::MAX),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn give_up(tx: &mut SystemTx) -> Result<(), Error> {
    sqlx::query!("update journal_head set base_held_until = null").execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_taken(tx: &mut SystemTx, number: u64, about: &About) -> Result<(), Error> {
    sqlx::query!(
        "with head as (
           update journal_head set base_number = $1, based_at = $2, base_schema = $3, base_held_until = null
           where base_number is null or base_number < $1)
         insert into journal_bases (number, taken_at) values ($1, $2)",
        i64::try_from(number).unwrap_or(i64::MAX),
        about.read_at,
        about.schema,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Empties the journal.
pub(super) async fn forget_all(tx: &mut SystemTx) -> Result<(), Error> {
    sqlx::query!("delete from journal").execute(tx.conn()).await?;
    Ok(())
}

/// Begins a journal with a base.
pub(super) async fn begin(tx: &mut SystemTx, number: u64, about: &About) -> Result<(), Error> {
    sqlx::query!(
        "with head as (
           insert into journal_head (number, shipped, base_number, based_at, base_schema) values ($1, $1, $1, $2, $3))
         insert into journal_bases (number, taken_at) values ($1, $2)",
        i64::try_from(number).unwrap_or(i64::MAX),
        about.read_at,
        about.schema,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes down bases that were taken before.
pub(super) async fn know(tx: &mut SystemTx, bases: &[(u64, DateTime<Utc>)]) -> Result<(), Error> {
    sqlx::query!(
        "insert into journal_bases (number, taken_at) select * from unnest($1::bigint[], $2::timestamptz[]) on conflict do nothing",
        &bases.iter().map(|(number, _)| i64::try_from(*number).unwrap_or(i64::MAX)).collect::<Vec<_>>(),
        &bases.iter().map(|(_, at)| *at).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The schema's last step.
pub(super) async fn schema(tx: &mut SystemTx) -> Result<i64, Error> {
    let version = sqlx::query_scalar!(r#"select max(version) as "version!" from _sqlx_migrations"#);
    Ok(version.fetch_one(tx.conn()).await?)
}

/// All that the journal has, the schema's steps first.
pub(super) async fn tables(tx: &mut SystemTx) -> Result<Vec<Table>, Error> {
    let tables = sqlx::query_as(
        "select relname::text as relation, pg_class.oid::regclass::text as quoted, proname = 'journal_rows_of_tenant' as is_tenants
         from pg_trigger join pg_class on pg_class.oid = tgrelid join pg_proc on pg_proc.oid = tgfoid
         where tgname = 'journal_insert' and relnamespace = current_schema()::regnamespace order by relname <> $1, relname",
    );
    Ok(tables.bind(STEPS).fetch_all(tx.conn()).await?)
}

/// A table's rows, and the tenant under whose key each is kept.
pub(super) fn rows(
    tx: &mut SystemTx,
    table: &Table,
) -> impl Stream<Item = Result<(Option<Uuid>, String), Error>> {
    let owner = if table.is_tenants { "tenant_id" } else { "null::uuid" };
    let select = format!("select {owner}, row_to_json(kept)::text from {} kept", table.quoted);
    sqlx::query_as(AssertSqlSafe(select)).fetch(tx.conn()).map_err(Error::from)
}

/// The last base of more than thirty days ago, if there are older ones than that.
pub(super) async fn oldest_needed(tx: &mut SystemTx) -> Result<Option<u64>, Error> {
    let number = sqlx::query_scalar!(
        "select max(number) from journal_bases where taken_at < now() - interval '30 days' having count(*) > 1",
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(number.flatten().and_then(|number| u64::try_from(number).ok()))
}

pub(super) async fn forget_before(tx: &mut SystemTx, number: u64) -> Result<(), Error> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query!("delete from journal_bases where number < $1", number).execute(tx.conn()).await?;
    Ok(())
}
