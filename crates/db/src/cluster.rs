//! A private Postgres cluster: the embedded default of `pillarbox serve` and the database of the tests.
//!
//! It lives in one directory, listens on a Unix socket inside it and on nothing else, and lets in only the account that
//! started it (and root), by the kernel's word on who is at the other end (`peer`). See `docs/decisions/embedded-postgres.md`.
//!
//! ```text
//! DIR/data/           the data directory           DIR/postgres.log   what Postgres has to say
//! DIR/run/            the socket                   DIR/local.conf     an operator's own settings, read last
//! DIR/start.lock      held while starting or stopping
//! DIR/users.lock      held, shared, by every process that uses the cluster
//! ```
//!
//! Several processes may use one cluster: the first starts it, the others join, the last one to leave stops it. The
//! locks are the kernel's and end with their process, so a `kill -9` leaves nothing to clear up: the next process finds
//! a running postmaster and adopts it, or a dead one and starts it again.

mod account;
mod binaries;
mod error;
mod layout;
mod server;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

pub use self::error::Error;
use self::layout::Layout;
use self::server::Server;

/// How long starting may take, another process's start and crash recovery included.
const START_DEADLINE: Duration = Duration::from_secs(180);
/// How often the supervisor looks at the postmaster.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// What the cluster's data is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// People's mail: fsync, synchronous commit, full page writes and data checksums.
    Durable,
    /// Thrown away after the tests: none of these, more connections, and the login role may create databases.
    Test,
}

/// Which cluster to start or join.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its directory; made when absent. Nothing else may live in it.
    pub dir: PathBuf,
    /// What its data is worth.
    pub profile: Profile,
}

/// A running private cluster, in use by this process until [`Cluster::stop`] or drop.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    url: String,
    started: bool,
    /// The shared lock on `users.lock`; `None` after leaving.
    presence: Option<File>,
}

impl Cluster {
    /// Starts the cluster in `options.dir`, or joins it when it runs already, and makes sure that the login role
    /// `pillarbox` and its database `pillarbox` exist.
    ///
    /// The Postgres binaries are those of `$PG_BIN`, of `PATH` or the newest under `/usr/lib/postgresql`, of the data's
    /// own major version when there is data.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let deadline = Instant::now() + START_DEADLINE;
        let profile = options.profile;
        let (server, presence, started, turn) = blocking(move || {
            let (layout, turn) = Layout::prepare(&options.dir, deadline)?;
            let presence = layout.enter()?;
            let server = Server::find(layout, profile)?;
            let started = server.ensure_running(deadline)?;
            Ok((server, presence, started, turn))
        })
        .await?;
        let url = server.url("pillarbox", "pillarbox")?;
        let cluster = Self { server, url, started, presence: Some(presence) };
        cluster.bootstrap(profile).await?;
        drop(turn);
        Ok(cluster)
    }

    /// The URL of the database `pillarbox` for the role `pillarbox`: its owner, no superuser, may create roles.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether this process started the postmaster, rather than finding it running.
    pub fn started(&self) -> bool {
        self.started
    }

    /// The file that Postgres logs to.
    pub fn log_path(&self) -> PathBuf {
        self.server.layout().log()
    }

    /// Watches the postmaster for as long as the future is polled and starts it again whenever it has died.
    pub async fn supervise(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let server = self.server.clone();
            let outcome = blocking(move || {
                if server.is_ready() {
                    return Ok(false);
                }
                let deadline = Instant::now() + START_DEADLINE;
                let _turn = server.layout().take_turn(deadline)?;
                server.ensure_running(deadline)
            })
            .await;
            match outcome {
                Ok(false) => {}
                Ok(true) => tracing::warn!("the private postgres had died and was started again"),
                Err(error) => tracing::error!(%error, "the private postgres has died and does not start"),
            }
        }
    }

    /// Leaves the cluster. The last process to leave shuts it down: sessions are ended, nothing committed is lost.
    pub async fn stop(mut self) -> Result<(), Error> {
        blocking(move || self.leave()).await
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(presence) = self.presence.take() else { return Ok(()) };
        let layout = self.server.layout();
        let _turn = layout.take_turn(Instant::now() + START_DEADLINE)?;
        // Not by closing it: a child of this process that has yet to exec holds a copy of the file, and the lock with it.
        presence.unlock().map_err(io("unlocking", layout.dir()))?;
        match layout.last_one_out()? {
            Some(_alone) => self.server.shut_down(),
            None => Ok(()),
        }
    }

    /// Makes the login role and its database. Done at every start, and only with the turn in hand: who started the
    /// postmaster may have died before it came to this.
    async fn bootstrap(&self, profile: Profile) -> Result<(), Error> {
        let options: PgConnectOptions = self.server.url("postgres", "postgres")?.parse()?;
        let mut conn: PgConnection = options.disable_statement_logging().connect().await?;
        sqlx::raw_sql(
            "do $$ begin create role pillarbox login; exception when duplicate_object then null; end $$",
        )
        .execute(&mut conn)
        .await?;
        // One statement: others may be at work, and at no time lack what they are to have.
        sqlx::raw_sql(match profile {
            Profile::Durable => "alter role pillarbox nosuperuser createrole nocreatedb",
            Profile::Test => "alter role pillarbox nosuperuser createrole createdb",
        })
        .execute(&mut conn)
        .await?;
        let present: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = 'pillarbox')")
                .fetch_one(&mut conn)
                .await?;
        if !present {
            sqlx::raw_sql("create database pillarbox owner pillarbox").execute(&mut conn).await?;
        }
        conn.close().await?;
        Ok(())
    }
}

/// Shuts down the cluster in `dir`, if there is one, that processes have left running which were killed; false if one is using it. What is in `dir` stays.
///
/// # Errors
/// When it runs and cannot be shut down, or it cannot be told whether it runs.
pub async fn shut_down_abandoned(dir: &Path) -> Result<bool, Error> {
    let dir = dir.to_owned();
    blocking(move || {
        if !dir.exists() {
            return Ok(true);
        }
        let (layout, _turn) = match Layout::prepare(&dir, Instant::now()) {
            // Somebody is starting or stopping it.
            Err(Error::NotReady { .. }) => return Ok(false),
            prepared => prepared?,
        };
        let Some(_alone) = layout.last_one_out()? else { return Ok(false) };
        if layout.data().exists() {
            Server::find(layout, Profile::Durable)?.shut_down_abandoned()?;
        }
        Ok(true)
    })
    .await
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::error!(%error, "the private postgres was not stopped");
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Attaches what was being done to an I/O error.
fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source }
}
