//! A fresh database for each test, copied from a template that is migrated once for each state of the migrations.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use db::Db;
use kernel::{Env, OsRandom, Random, hex};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::env::{ManualClock, test_env};

/// The environment variable that names a Postgres server for tests, by the URL of a database to connect to while
/// others are created and dropped. Its role is no superuser (one would bypass row-level security) and may create
/// databases and roles.
pub const TEST_DATABASE_URL: &str = "PILLARBOX_TEST_DATABASE_URL";

/// Held on the maintenance database while a template is being made.
const TEMPLATE_LOCK: i64 = 0x0070_696c_6c61_7262;

/// A migrated database of this test's own; dropped with the last clone of this value.
#[derive(Debug, Clone)]
pub struct TestDb {
    db: Db,
    clock: Arc<ManualClock>,
    database: Arc<Database>,
}

#[derive(Debug)]
struct Database {
    maintenance: PgConnectOptions,
    name: String,
}

impl TestDb {
    /// Creates the database and connects to it with a [`ManualClock`] and seeded randomness.
    ///
    /// # Panics
    /// When the server named by [`TEST_DATABASE_URL`] is missing or does not answer.
    pub async fn new() -> Self {
        let (env, clock) = test_env();
        Self::with_env(env, clock).await
    }

    /// As [`TestDb::new`], with an environment of the caller's; `clock` is what [`TestDb::clock`] returns.
    pub async fn with_env(env: Env, clock: Arc<ManualClock>) -> Self {
        let maintenance = maintenance_options();
        let name = format!("pillarbox_t_{}", random_hex());
        create_from_template(&maintenance, &name).await;
        let url = url_of(&maintenance.clone().database(&name));
        let db = Db::connect(&url, env).await.unwrap_or_else(|e| panic!("connecting to {name}: {e}"));
        Self { db, clock, database: Arc::new(Database { maintenance, name }) }
    }

    /// A database without a table, and a clock that goes.
    ///
    /// # Panics
    /// As [`TestDb::new`].
    pub async fn blank() -> Self {
        let maintenance = maintenance_options();
        let name = format!("pillarbox_t_{}", random_hex());
        let mut conn = maintenance.connect().await.unwrap_or_else(|e| panic!("connecting: {e}"));
        run(&mut conn, format!("create database {name} with template template0")).await;
        let url = url_of(&maintenance.clone().database(&name));
        let db =
            Db::connect(&url, Env::system()).await.unwrap_or_else(|e| panic!("connecting to {name}: {e}"));
        let (_, clock) = test_env();
        Self { db, clock, database: Arc::new(Database { maintenance, name }) }
    }

    /// All rows of all tables, as JSON, in an order of theirs.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn rows(&self) -> BTreeMap<String, Vec<serde_json::Value>> {
        let failed = |e: sqlx::Error| -> ! { panic!("reading all rows: {e}") };
        let mut conn =
            maintenance_options().database(&self.database.name).connect().await.unwrap_or_else(|e| failed(e));
        let tables = "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
        let tables: Vec<String> =
            sqlx::query_scalar(tables).fetch_all(&mut conn).await.unwrap_or_else(|e| failed(e));
        run(&mut conn, "set role pillarbox_system".to_owned()).await;
        let mut all = BTreeMap::new();
        for table in tables {
            let select = format!("select to_jsonb(t) from {table} t order by to_jsonb(t)::text");
            let rows = sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&mut conn).await;
            all.insert(table, rows.unwrap_or_else(|e| failed(e)));
        }
        all
    }

    /// The pool, connected as the login role.
    pub fn db(&self) -> Db {
        self.db.clone()
    }

    /// The clock that [`TestDb::db`] goes by.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The database's URL, for a program that connects by itself.
    pub fn url(&self) -> String {
        url_of(&self.database.maintenance.clone().database(&self.database.name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (maintenance, name) = (self.maintenance.clone(), self.name.clone());
        // A test's runtime may be single-threaded and about to end: the drop gets a thread and a runtime of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut conn = maintenance.connect().await.map_err(std::io::Error::other)?;
                let drop = format!("drop database if exists {name} with (force)");
                conn.execute(AssertSqlSafe(drop)).await.map_err(std::io::Error::other)?;
                conn.close().await.map_err(std::io::Error::other)
            })
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("testkit: database {} is left behind: {error}", self.name),
            Err(_) => eprintln!("testkit: database {} is left behind", self.name),
        }
    }
}

fn maintenance_options() -> PgConnectOptions {
    let url = std::env::var(TEST_DATABASE_URL).unwrap_or_else(|_| {
        panic!("{TEST_DATABASE_URL} is not set: run `make test` or `cargo xtask test`, which start a Postgres server for tests")
    });
    PgConnectOptions::from_str(&url)
        .unwrap_or_else(|e| panic!("{TEST_DATABASE_URL} is not a Postgres URL: {e}"))
}

async fn create_from_template(maintenance: &PgConnectOptions, name: &str) {
    let mut conn = maintenance.connect().await.unwrap_or_else(|e| {
        panic!("the server named by {TEST_DATABASE_URL} does not answer ({e}): run `make test` or `cargo xtask test`")
    });
    let template = ensure_template(&mut conn, maintenance).await;
    let create = format!("create database {name} with template {template}");
    conn.execute(AssertSqlSafe(create)).await.unwrap_or_else(|e| panic!("creating {name}: {e}"));
    conn.close().await.unwrap_or_else(|e| panic!("closing the maintenance connection: {e}"));
}

/// The template's name, made if this is the first test to see these migrations. It gets its name last, so one
/// that exists is complete whatever happened to its maker.
async fn ensure_template(conn: &mut PgConnection, maintenance: &PgConnectOptions) -> String {
    let template = format!("pillarbox_template_{}", hash_of_migrations());
    if database_exists(conn, &template).await {
        return template;
    }
    let half_made = format!("{template}_half");
    run(conn, format!("select pg_advisory_lock({TEMPLATE_LOCK})")).await;
    if !database_exists(conn, &template).await {
        run(conn, format!("drop database if exists {half_made} with (force)")).await;
        run(conn, format!("create database {half_made} with template template0")).await;
        let url = url_of(&maintenance.clone().database(&half_made));
        let db = Db::connect(&url, Env::system())
            .await
            .unwrap_or_else(|e| panic!("connecting to {half_made}: {e}"));
        db.migrate().await.unwrap_or_else(|e| panic!("migrating {half_made}: {e}"));
        db.close().await;
        run(conn, format!("alter database {half_made} rename to {template}")).await;
    }
    run(conn, format!("select pg_advisory_unlock({TEMPLATE_LOCK})")).await;
    template
}

async fn database_exists(conn: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar::<_, bool>("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(conn)
        .await
        .unwrap_or_else(|e| panic!("looking for {name}: {e}"))
}

async fn run(conn: &mut PgConnection, sql: String) {
    conn.execute(AssertSqlSafe(sql.clone())).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

fn url_of(options: &PgConnectOptions) -> String {
    options.to_url_lossy().to_string()
}

/// Of those compiled in, not of the files: these may have been edited since this program was built.
fn hash_of_migrations() -> String {
    let mut hash = Sha256::new();
    db::migration_checksums().for_each(|checksum| hash.update(checksum));
    hex(&hash.finalize()[..8])
}

fn random_hex() -> String {
    let mut bytes = [0; 8];
    OsRandom.fill(&mut bytes);
    hex(&bytes)
}
