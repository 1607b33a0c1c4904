//! Postgres as a mechanism: the pool, the migrator, transactions, constraint mapping, the job queue and the
//! private cluster. It knows no table but `jobs`; the domains own theirs.

pub mod cluster;
pub mod error;
pub mod jobs;
mod lock;
mod migrate;
mod notify;
pub mod rebuild;
mod session;
mod transaction;
mod tx;

use std::sync::Arc;
use std::time::Duration;

use kernel::Env;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

pub use error::Error;
pub use lock::{wait_half_a_minute, wait_without_end};
pub use migrate::migration_checksums;
pub use notify::{Listener, notify};
pub use session::Session;
use session::Sessions;
pub use transaction::Transaction;
pub use tx::{SystemRead, SystemTx};

/// Connections of several kinds, with the environment that goes with them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pools: Arc<Pools>,
    env: Env,
    /// Whether what would be committed is taken back.
    is_trial: bool,
}

#[derive(Debug)]
struct Pools {
    /// For transactions.
    transactions: Sessions,
    /// For batches of mail: a backend that has just done the same is quicker at it.
    batches: Sessions,
    /// Sessions that hold a tenant's role for good, and cannot write.
    reads: Sessions,
    /// Sessions that hold the system role for good, and cannot write.
    lookups: Sessions,
    url: String,
}

impl Pools {
    fn all(&self) -> [&Sessions; 4] {
        [&self.reads, &self.lookups, &self.batches, &self.transactions]
    }
}

impl Db {
    /// The most connections one process opens for transactions.
    pub const MAX_TRANSACTIONS: u32 = 20;
    /// The most connections it opens for batches of mail: as many as go in beside each other.
    const MAX_BATCHES: u32 = 4;
    /// The most connections it opens for tenants that only read.
    const MAX_READS: u32 = 12;
    /// The most connections it opens for lookups, each of which takes one for one statement.
    const MAX_LOOKUPS: u32 = 8;
    /// How long a caller waits for a free connection before the call fails as unavailable.
    const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a connection is taken to be alive after it was given back: asking costs a round trip.
    const FRESH: Duration = Duration::from_secs(1);

    /// Connects to the database at `url` (`postgres://…`), failing when it does not answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be reached, [`Error::AboveTheRules`] for a role that row-level security
    /// does not bind, [`Error::NotUtf8`] for a database of another encoding, [`Error::Internal`] when it refuses or the URL is malformed.
    pub async fn connect(url: &str, env: Env) -> Result<Self, Error> {
        let options =
            url.parse::<PgConnectOptions>()?.application_name("pillarbox").disable_statement_logging();
        // Apart from the pool, which would say only that its time ran out.
        let mut first = options.connect().await?;
        let (above, encoding): (bool, String) = sqlx::query_as(
            "select rolsuper or rolbypassrls, current_setting('server_encoding') from pg_roles where rolname = current_user",
        )
        .fetch_one(&mut first)
        .await?;
        first.close().await?;
        if above {
            return Err(Error::AboveTheRules);
        }
        if encoding != "UTF8" {
            return Err(Error::NotUtf8(encoding));
        }
        let pools = Pools {
            transactions: Sessions::new(options.clone(), Self::MAX_TRANSACTIONS, None),
            batches: Sessions::new(options.clone(), Self::MAX_BATCHES, None),
            reads: Sessions::new(
                options.clone(),
                Self::MAX_READS,
                Some("set session characteristics as transaction read only; set role pillarbox_tenant"),
            ),
            lookups: Sessions::new(
                options,
                Self::MAX_LOOKUPS,
                Some("set session characteristics as transaction read only; set role pillarbox_system"),
            ),
            url: url.to_owned(),
        };
        Ok(Self { pools: Arc::new(pools), env, is_trial: false })
    }

    /// The same, for a change that is only tried: where a transaction of the system's would be committed, it is taken back. A
    /// tenant's is committed by `tenancy::tx`, which sees to the same.
    #[must_use]
    pub fn trial(&self) -> Self {
        Self { is_trial: true, ..self.clone() }
    }

    /// The settings of Postgres that acknowledged changes rely on and that are off.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn unsafe_settings(&self) -> Result<Vec<String>, Error> {
        let off = sqlx::query_scalar(
            "select name from pg_settings
             where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off' order by name",
        );
        Ok(off.fetch_all(self.pools.transactions.take(None).await?.conn()).await?)
    }

    /// Brings the schema up to date; does nothing when it is. Several processes may call it at once.
    ///
    /// # Errors
    /// [`Error::Lacks`] where a step is to be made and the role lacks what that takes, [`Error::Migration`] when one fails or the database is newer
    /// than this program.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut connection = self.pools.transactions.connect().await?;
        migrate::migrate(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Asks the database for a sign of life, by a connection of each kind.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn ping(&self) -> Result<(), Error> {
        for sessions in self.pools.all() {
            sqlx::query("select 1").execute(sessions.take(None).await?.conn()).await?;
        }
        Ok(())
    }

    /// Clock and randomness.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The URL it was connected with; carries a password if that did.
    pub fn url(&self) -> &str {
        &self.pools.url
    }

    /// How many connections are open and how many of them are idle.
    pub fn connections(&self) -> (u32, usize) {
        let all = self.pools.all().map(Sessions::count);
        all.into_iter().fold((0, 0), |(open, idle), (more, more_idle)| (open + more, idle + more_idle))
    }

    /// Closes every connection once it is free.
    pub async fn close(&self) {
        for sessions in self.pools.all() {
            sessions.close().await;
        }
    }

    /// Begins a transaction as the tenant role, bound to one tenant until it ends. Only `tenancy::tx` may call
    /// it: there, the tenant has been proven.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn begin_tenant(&self, tenant_id: uuid::Uuid) -> Result<Transaction, Error> {
        let statements = format!("{BEGIN} pillarbox_tenant; set local app.tenant_id = '{tenant_id}'");
        Transaction::begin(&self.pools.transactions, statements).await
    }

    /// As [`Self::begin_tenant`], bound to several tenants: it reaches what mail is made of, and nothing else of theirs. A batch of whoever sends
    /// has connections of its own.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn begin_tenants(
        &self,
        tenant_ids: &[uuid::Uuid],
        is_batch: bool,
    ) -> Result<Transaction, Error> {
        let ids: Vec<String> = tenant_ids.iter().map(uuid::Uuid::to_string).collect();
        let ids = ids.join(",");
        let statements = format!("{BEGIN} pillarbox_tenant; set local app.tenant_ids = '{{{ids}}}'");
        let sessions = if is_batch { &self.pools.batches } else { &self.pools.transactions };
        Transaction::begin(sessions, statements).await
    }

    /// Takes a session of the tenant role that can only read and is bound to one tenant: each of its statements is a
    /// transaction of its own. Only `tenancy::tx` may call it: there, the tenant has been proven.
    ///
    /// # Errors
    /// [`Error`] when the database fails.
    pub async fn read_tenant(&self, tenant_id: uuid::Uuid) -> Result<Session, Error> {
        self.pools.reads.take(Some(tenant_id)).await
    }
}

/// The start of every transaction; the role's name follows.
const BEGIN: &str = "begin; set local role";
/// The start of those that read a lot and are to see one state of it.
const BEGIN_SNAPSHOT: &str = "begin isolation level repeatable read, read only; set local role";
