//! The schema, brought up to date.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, PgPool};

use crate::Error;

/// Every change of the schema, oldest first, compiled in.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The checksum of each migration that is compiled in, oldest first. Two programs with the same ones make the same schema.
pub fn migration_checksums() -> impl Iterator<Item = &'static [u8]> {
    MIGRATIONS.iter().map(|migration| &*migration.checksum)
}

/// Makes the steps that are missing.
///
/// Row-level security is forced, so that it binds the tables' owner too; and the owner, who migrates, would change no row
/// of them. While steps are made it is not forced. It binds everybody else all the time: each transaction of a server
/// that is at work takes a role that is no owner.
pub(crate) async fn migrate(pool: &PgPool) -> Result<(), Error> {
    if is_behind(pool).await? {
        set_forced(pool, false).await?;
    }
    let made = MIGRATIONS.run(pool).await;
    // Also what a migrator that was killed left behind, and after a step that failed.
    set_forced(pool, true).await?;
    Ok(made?)
}

/// Whether the schema exists and lacks a step.
async fn is_behind(pool: &PgPool) -> Result<bool, Error> {
    let exists: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(pool).await?;
    if !exists {
        return Ok(false);
    }
    let last: Option<i64> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations").fetch_one(pool).await?;
    Ok(MIGRATIONS.iter().any(|migration| last.is_none_or(|last| migration.version > last)))
}

/// One statement a table, so that no two are locked at a time. Those that are so already are not touched.
async fn set_forced(pool: &PgPool, forced: bool) -> Result<(), Error> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select oid::regclass::text from pg_class
         where relrowsecurity and relforcerowsecurity <> $1 and relowner = (select oid from pg_roles where rolname = current_user)",
    )
    .bind(forced)
    .fetch_all(pool)
    .await?;
    let force = if forced { "force" } else { "no force" };
    for table in tables {
        let alter = format!("alter table {table} {force} row level security");
        sqlx::query(AssertSqlSafe(alter)).execute(pool).await?;
    }
    Ok(())
}
