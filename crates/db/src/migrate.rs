//! The schema, brought up to date.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::Error;

/// Every change of the schema, oldest first, compiled in.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// What the first step was before it let pass whoever may make no roles and has been granted them: it makes the same schema (SHA-384).
const FIRST_BEFORE: &str =
    "1f7450e63ebf3b5dd10cf66055ce3b52bb3d3917bc6353bd08bd74bf5089fa63e155f6a44538d707e24199c9d2023501";

/// The checksum of each migration that is compiled in, oldest first. Two programs with the same ones make the same schema.
pub fn migration_checksums() -> impl Iterator<Item = &'static [u8]> {
    MIGRATIONS.iter().map(|migration| &*migration.checksum)
}

/// Makes the steps that are missing.
///
/// Row-level security is forced, so that it binds the tables' owner too; and the owner, who migrates, would change no row
/// of them. While steps are made it is not forced. It binds everybody else all the time: each transaction of a server
/// that is at work takes a role that is no owner.
pub(crate) async fn migrate(conn: &mut PgConnection) -> Result<(), Error> {
    // Otherwise it is told at each start that a table is there already.
    sqlx::query("set client_min_messages = warning").execute(&mut *conn).await?;
    let made = steps(conn, None).await;
    // Also what a migrator that was killed left behind, and after a step that failed.
    bind_owner(conn, true).await?;
    made
}

/// Makes the steps that are missing up to a version, or all. Tables may not bind their owner afterwards.
pub(crate) async fn steps(conn: &mut PgConnection, to: Option<i64>) -> Result<(), Error> {
    let missing = missing(conn).await?;
    // Before the first of them, which would fail at some line of its own.
    if missing.as_ref().is_none_or(|versions| !versions.is_empty()) {
        require_rights(conn).await?;
    }
    for version in missing.unwrap_or_default() {
        if to.is_some_and(|to| version > to) {
            break;
        }
        // Each time: tables that the step before has made do.
        bind_owner(conn, false).await?;
        MIGRATIONS.run_direct(Some(version), conn, false).await?;
    }
    // All of a schema that begins, of which there are no rows; and of another, that what was made is what is compiled in.
    Ok(MIGRATIONS.run_direct(to, conn, false).await?)
}

/// Whether the login role may do what steps do, and which of it it may not.
async fn require_rights(conn: &mut PgConnection) -> Result<(), Error> {
    // Of the roles, as the first step goes about it; in PostgreSQL 16 and later who may make roles may not give away those that others have made.
    let (roles, database, schema): (bool, bool, bool) = sqlx::query_as(
        "with me as (select rolcreaterole, current_setting('server_version_num')::int >= 160000 as is_strict
                     from pg_roles where rolname = current_user)
         select bool_and(case
                  when taken.oid is null then me.rolcreaterole
                  when pg_has_role(taken.oid, case when is_strict then 'set' else 'member' end) then true
                  when is_strict then pg_has_role(taken.oid, 'member with admin option')
                  else me.rolcreaterole
                end),
                has_database_privilege(current_database(), 'create'),
                coalesce(has_schema_privilege(current_schema(), 'create'), false)
         from me, unnest(array['pillarbox_tenant', 'pillarbox_system']) wanted
              left join pg_roles taken on taken.rolname = wanted",
    )
    .fetch_one(&mut *conn)
    .await?;
    let lacks = [
        (
            roles,
            "may not make the roles pillarbox_tenant and pillarbox_system (CREATEROLE), nor is it granted them",
        ),
        (database, "does not own its database"),
        (schema, "may not make tables in the schema: it has to own its database"),
    ];
    match lacks.into_iter().find(|(has, _)| !has) {
        Some((_, what)) => Err(Error::Lacks(what)),
        None => Ok(()),
    }
}

/// The steps that the schema lacks; `None` if there is no schema.
async fn missing(conn: &mut PgConnection) -> Result<Option<Vec<i64>>, Error> {
    let owns: Option<bool> = sqlx::query_scalar(
        "select pg_has_role(relowner, 'usage') from pg_class where oid = to_regclass('_sqlx_migrations')",
    )
    .fetch_optional(&mut *conn)
    .await?;
    match owns {
        None => return Ok(None),
        Some(false) => return Err(Error::Lacks("does not own the tables that are in its database")),
        Some(true) => {}
    }
    let first = MIGRATIONS.iter().next().map(|first| first.checksum.to_vec());
    sqlx::query(
        "update _sqlx_migrations set checksum = $1 where version = 1 and checksum = decode($2, 'hex')",
    )
    .bind(first)
    .bind(FIRST_BEFORE)
    .execute(&mut *conn)
    .await?;
    let last: Option<i64> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations").fetch_one(&mut *conn).await?;
    let versions = MIGRATIONS.iter().map(|migration| migration.version);
    Ok(Some(versions.filter(|version| last.is_none_or(|last| *version > last)).collect()))
}

/// Has row-level security bind the tables' owner as well, or not. One statement a table, so that no two are locked at a time. Those that are so
/// already are not touched.
pub(crate) async fn bind_owner(conn: &mut PgConnection, bind: bool) -> Result<(), Error> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select oid::regclass::text from pg_class
         where relrowsecurity and relforcerowsecurity <> $1 and relowner = (select oid from pg_roles where rolname = current_user) order by 1",
    )
    .bind(bind)
    .fetch_all(&mut *conn)
    .await?;
    let force = if bind { "force" } else { "no force" };
    for table in tables {
        let alter = format!("alter table {table} {force} row level security");
        sqlx::query(AssertSqlSafe(alter)).execute(&mut *conn).await?;
    }
    Ok(())
}
