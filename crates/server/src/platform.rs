//! What `serve` and the commands have in common: the database and the blob store, private or configured.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use blob::BlobStore;
use db::Db;
use db::cluster::{self, Cluster, Profile};
use kernel::Env;
use mailstore::MailStore;
use secrecy::ExposeSecret as _;

use crate::config::Config;
use crate::files::DataDir;
use crate::kek;

/// How long the connections to the database may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The folder of the data directory in which a server keeps parts of packs.
const BODY_CACHE: &str = "body-cache";

/// Database and blob store, open and up to date.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) db: Db,
    pub(crate) store: MailStore,
    /// The private cluster, when that is what is used.
    pub(crate) cluster: Option<Cluster>,
}

/// What there has to be for a platform to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Nothing: an installation is made where there is none.
    Making,
    /// An installation.
    Existing,
    /// An installation, whose blob store may have lost what was put there last of the journal: that is looked into.
    Verifying,
}

impl Platform {
    /// Opens them. A private cluster that another of our processes has started is joined.
    pub(crate) async fn open(config: &Config, data_dir: &DataDir, opening: Opening) -> Result<Self> {
        let database = Database::open(config, data_dir).await?;
        match Self::connect(config, data_dir, &database.db, opening).await {
            Ok(store) => Ok(Self { db: database.db, store, cluster: database.cluster }),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    async fn connect(config: &Config, data_dir: &DataDir, db: &Db, opening: Opening) -> Result<MailStore> {
        if opening != Opening::Making {
            require_schema(config, data_dir, db).await?;
        }
        let blobs = open_blobs(config, data_dir).await?;
        let belong = belong(config, data_dir);
        recovery::check_blank(db, &*blobs).await.with_context(|| belong.clone())?;
        if let Err(error) = db.migrate().await {
            // What a recovery left half done may lack what a step of the schema expects: that is not what is wrong with it.
            if let Err(unfinished @ recovery::Error::Unfinished) = recovery::check(db, &*blobs).await {
                return Err(unfinished).context(belong);
            }
            return Err(error).context("migrating the database");
        }
        recovery::check(db, &*blobs).await.with_context(|| belong.clone())?;
        if opening != Opening::Verifying {
            recovery::check_last(db, &*blobs).await.context(belong)?;
        }
        let encryption = kek::open(&config.key_encryption_keys, data_dir, db).await?;
        let cache_bytes = u64::from(config.body_cache_mib.get()) << 20;
        Ok(MailStore::new(db.clone(), blobs, encryption).with_cache(cache_bytes))
    }

    /// Has what is fetched of bodies kept on the disk besides, as is configured: for the one process that serves the directory. It goes without where the
    /// disk does not let it.
    pub(crate) async fn keep_on_disk(&mut self, config: &Config, data_dir: &DataDir) {
        if let Err(error) = self.try_to_keep_on_disk(config, data_dir).await {
            tracing::warn!(error.cause = %kernel::error::chain(error.as_ref()), "mail that is fetched is not kept on the disk");
        }
    }

    async fn try_to_keep_on_disk(&mut self, config: &Config, data_dir: &DataDir) -> Result<()> {
        let Some(mib) = config.body_cache_disk_mib else {
            return data_dir.remove_dir(BODY_CACHE).await;
        };
        let dir = data_dir.private_dir(BODY_CACHE)?;
        let store = self.store.clone().with_disk_cache(dir.clone(), u64::from(mib.get()) << 20).await;
        self.store = store.with_context(|| format!("looking through {}", dir.display()))?;
        Ok(())
    }

    /// Warns of settings of Postgres that may lose what was acknowledged.
    pub(crate) async fn warn_of_unsafe_settings(&self) {
        match self.db.unsafe_settings().await {
            Ok(off) if off.is_empty() => {}
            Ok(off) => tracing::warn!(
                postgres.off = off.join(", "),
                "postgres may lose mail that was acknowledged: turn these settings on"
            ),
            Err(error) => tracing::warn!(
                error.cause = %kernel::error::chain(&error),
                "whether postgres keeps what was acknowledged cannot be told"
            ),
        }
    }

    /// Closes the pool, and stops the private cluster unless another process uses it.
    pub(crate) async fn close(self) {
        Database { db: self.db, cluster: self.cluster }.close().await;
    }
}

/// A database that was connected to, in whatever state its schema is.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) db: Db,
    cluster: Option<Cluster>,
}

/// The folder of the data directory that bodies and journal are in, unless another place is configured.
pub(crate) const BLOBS: &str = "blobs";

/// The private cluster's place in the data directory.
const CLUSTER: &str = "postgres";

/// Whether there is a database, or one is named: a data directory that is named by mistake is not to pass for an installation that is in order.
///
/// # Errors
/// There is none.
pub(crate) fn require_installation(config: &Config) -> Result<()> {
    let place = config.data_dir.join(CLUSTER);
    let looked = place.try_exists().with_context(|| format!("looking for {}", place.display()));
    ensure!(
        config.database_url.is_some() || looked?,
        "there is no installation in {} (PILLARBOX_DATA_DIR): {MADE_BY}",
        config.data_dir.display()
    );
    Ok(())
}

/// Who makes an installation.
const MADE_BY: &str = "`pillarbox serve` makes one, and `pillarbox recover` brings one back";

/// Whether a database has its tables: an empty one, as a recovery that failed leaves it, is not to pass for an installation that is in order. Makes no place
/// for bodies.
///
/// # Errors
/// It has none; and what is to be done where the blob store has a journal.
async fn require_schema(config: &Config, data_dir: &DataDir, db: &Db) -> Result<()> {
    if !db::rebuild::is_blank(db).await.context("looking at the database")? {
        return Ok(());
    }
    let own = data_dir.join(BLOBS);
    if config.blob_url.is_some()
        || own.try_exists().with_context(|| format!("looking for {}", own.display()))?
    {
        let blobs = open_blobs(config, data_dir).await?;
        recovery::check_blank(db, &*blobs).await.with_context(|| belong(config, data_dir))?;
    }
    bail!("the database is empty, there is no installation in it: {MADE_BY}")
}

impl Database {
    /// The one that is configured, or the private one.
    pub(crate) async fn open(config: &Config, data_dir: &DataDir) -> Result<Self> {
        let Some(url) = &config.database_url else {
            let options = cluster::Options { dir: data_dir.join(CLUSTER), profile: Profile::Durable };
            return Self::private(options).await;
        };
        let db = Db::connect(url.expose_secret(), Env::system()).await;
        let db = db.with_context(|| {
            format!("connecting to the database{} (PILLARBOX_DATABASE_URL)", host_of(url.expose_secret()))
        })?;
        Ok(Self { db, cluster: None })
    }

    /// A private one, started or joined.
    pub(crate) async fn private(options: cluster::Options) -> Result<Self> {
        let cluster = Cluster::start(options).await.context(
            "starting the private postgres (PILLARBOX_DATABASE_URL names another database to use)",
        )?;
        tracing::info!(postgres.log = %cluster.log_path().display(), "the private postgres is running");
        match Db::connect(cluster.url(), Env::system()).await {
            Ok(db) => Ok(Self { db, cluster: Some(cluster) }),
            Err(error) => {
                stop(Some(cluster)).await;
                Err(error).context("connecting to the private postgres")
            }
        }
    }

    /// Opens the configured one beside servers, whose schema it has as they left it.
    pub(crate) async fn open_existing(config: &Config, data_dir: &DataDir) -> Result<Self> {
        let database = Self::open(config, data_dir).await?;
        match require_schema(config, data_dir, &database.db).await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// Closes the pool, and stops the private cluster unless another process uses it.
    pub(crate) async fn close(self) {
        close_within(CLOSE_TIMEOUT, self.db.close()).await;
        stop(self.cluster).await;
    }
}

/// Where a database is, as far as its URL says so; without user and password.
fn host_of(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return String::new() };
    let named = url.query_pairs().find(|(key, _)| key == "host" || key == "hostaddr");
    let host = named.map(|(_, host)| host.into_owned()).or_else(|| url.host_str().map(str::to_owned));
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    host.filter(|host| !host.is_empty()).map(|host| format!(" at {host}{port}")).unwrap_or_default()
}

/// The place where bodies and journal lie.
pub(crate) async fn open_blobs(config: &Config, data_dir: &DataDir) -> Result<Arc<dyn BlobStore>> {
    if config.blob_url.is_none() {
        data_dir.private_dir(BLOBS)?;
    }
    let location = blob_location(config, data_dir);
    blob::open(&location).await.with_context(|| format!("opening {location} (PILLARBOX_BLOB_URL)"))
}

/// Where that is.
pub(crate) fn blob_location(config: &Config, data_dir: &DataDir) -> blob::Location {
    let own = || blob::Location::Directory(data_dir.join(BLOBS));
    config.blob_url.clone().unwrap_or_else(own)
}

/// What is done while it is looked whether database and blob store belong together.
fn belong(config: &Config, data_dir: &DataDir) -> String {
    let location = blob_location(config, data_dir);
    format!("looking whether the database and {location} (PILLARBOX_BLOB_URL) belong together")
}

/// A database that has stopped answering, behind a network that is cut, would keep the process from ending.
async fn close_within(limit: Duration, closing: impl Future<Output = ()>) {
    if tokio::time::timeout(limit, closing).await.is_err() {
        tracing::warn!("the database does not answer; its connections were left open");
    }
}

async fn stop(cluster: Option<Cluster>) {
    if let Some(cluster) = cluster
        && let Err(error) = cluster.stop().await
    {
        tracing::error!(error.cause = %error, "the private postgres was not stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_its_host_and_never_by_its_password() {
        for (url, says) in [
            ("postgres://u:p@ss@db.example/d", " at db.example"),
            ("postgres://u:hunter2@[::1]:5433/d", " at [::1]:5433"),
            ("postgres://u:hunter2@localhost:5432/d?host=/run/postgresql", " at /run/postgresql:5432"),
            ("postgres:///d", ""),
        ] {
            assert_eq!(host_of(url), says);
        }
    }

    #[tokio::test]
    async fn a_database_that_never_closes_does_not_hold_up_the_end() {
        let closing = close_within(Duration::from_millis(10), std::future::pending());
        tokio::time::timeout(Duration::from_secs(20), closing).await.unwrap();
    }
}
