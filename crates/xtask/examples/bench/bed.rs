//! What every group stands on: a server with its embedded defaults, a tenant on it, and its Postgres, joined.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use db::cluster::{self, Cluster};
use kernel::{ApiKeyId, ResellerId, TenantId};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tempfile::TempDir;
use testkit::client::http::Http;
use testkit::story::server::Server;
use testkit::{kek, s3};

use crate::pgbench::Pgbench;

/// The domain that the tenant's addresses are in.
pub(crate) const DOMAIN: &str = "bench.example";
/// How often it is looked whether all events are chained.
const POLL: Duration = Duration::from_millis(100);

/// A running server and what was provisioned on it.
pub(crate) struct Bed {
    binary: PathBuf,
    server: Server,
    cluster: Cluster,
    pool: PgPool,
    place: Place,
    dir: TempDir,
}

/// A tenant with a domain, and a key of its reseller's, as a portal has one.
pub(crate) struct Place {
    pub(crate) reseller_id: ResellerId,
    pub(crate) tenant_id: TenantId,
    pub(crate) key_id: ApiKeyId,
    pub(crate) secret: String,
}

impl Bed {
    pub(crate) async fn start(binary: &Path) -> Result<Self> {
        Self::with(binary, None).await
    }

    /// A server whose bodies are in an S3 bucket.
    pub(crate) async fn on_s3(binary: &Path, url: &str) -> Result<Self> {
        Self::with(binary, Some(url)).await
    }

    async fn with(binary: &Path, bucket: Option<&str>) -> Result<Self> {
        // Postgres' user has to be able to reach it, so not below a home directory.
        let dir = tempfile::Builder::new().prefix("pillarbox-bench-").tempdir_in("/var/tmp")?;
        let data_dir = dir.path().join("data");
        std::fs::create_dir(&data_dir)?;
        for dir in [dir.path(), &data_dir] {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
        }
        // One credential makes all requests here, more of them than the limit is there to let through.
        let mut settings = vec![("PILLARBOX_API_REQUESTS_PER_MINUTE", "4000000000")];
        let keys = dir.path().join("key-encryption-keys").display().to_string();
        if let Some(url) = bucket {
            std::fs::write(&keys, kek::text())?;
            settings.extend([
                ("PILLARBOX_BLOB_URL", url),
                ("PILLARBOX_KEY_ENCRYPTION_KEYS_FILE", &keys),
                ("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY_ID),
                ("AWS_SECRET_ACCESS_KEY", s3::SECRET_ACCESS_KEY),
            ]);
        }
        let server = Server::start(binary, &data_dir, &settings).await?;
        let options = cluster::Options { dir: data_dir.join("postgres"), profile: cluster::Profile::Durable };
        let cluster = Cluster::start(options).await?;
        let pool = PgPoolOptions::new().max_connections(32).connect(cluster.url()).await?;
        let place = Place::provision(&server).await?;
        Ok(Self { binary: binary.to_owned(), server, cluster, pool, place, dir })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.pool.close().await;
        self.cluster.stop().await?;
        self.server.stop().await?;
        Ok(())
    }

    /// Kills the server and starts it again, with nothing in its memory of what it did; its Postgres goes on.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.server.kill_and_restart().await
    }

    /// Another server of the same database and the same bodies.
    pub(crate) async fn another(&self) -> Result<Server> {
        let (data_dir, first) = (self.dir.path().join("another"), self.server.data_dir());
        std::fs::create_dir(&data_dir)?;
        let bodies = self.blob_url();
        let keys = first.join("key-encryption-keys").display().to_string();
        let settings = [
            ("PILLARBOX_DATABASE_URL", self.cluster.url()),
            ("PILLARBOX_BLOB_URL", &bodies),
            ("PILLARBOX_KEY_ENCRYPTION_KEYS_FILE", &keys),
        ];
        Server::start(&self.binary, &data_dir, &settings).await
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Connections to the server's Postgres, as its login role.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Where the server keeps bodies, unless that is a bucket.
    pub(crate) fn blob_url(&self) -> String {
        format!("file://{}", self.server.data_dir().join("blobs").display())
    }

    /// A directory on the same file system as the server's.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client with the reseller's key and connections of its own: one, if it makes one call after the other.
    pub(crate) fn http(&self) -> Result<Http> {
        Ok(self.stranger()?.with_token(&self.place.secret))
    }

    /// Where the REST API is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.listening().http
    }

    /// The same without a credential.
    pub(crate) fn stranger(&self) -> Result<Http> {
        Http::new(self.server.listening().http)
    }

    /// An access token of a user's.
    pub(crate) async fn token(&self, address: &str, password: &str) -> Result<String> {
        let form = format!("grant_type=password&username={address}&password={password}");
        let request = self.stranger()?.request(Method::POST, "/v1/auth/token").body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Ok(text(&Http::send(request).await?.expect(200)?, "access_token")?.to_owned())
    }

    pub(crate) fn pgbench(&self) -> Result<Pgbench> {
        Pgbench::beside(&self.server.data_dir().join("postgres"), self.cluster.url(), self.dir())
    }

    /// Waits until the server has chained all events: work that one side's turn left behind is not to fall into the
    /// other's.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.until("select not exists (select from events where position is null)").await
    }

    /// Waits until all messages are indexed.
    pub(crate) async fn indexed(&self) -> Result<()> {
        self.until("select not exists (select from search_queue)").await
    }

    /// Waits until Postgres knows what is in its tables, as it does of all that were not filled within the last minute.
    pub(crate) async fn analyzed(&self) -> Result<()> {
        self.until(
            "select not exists (select from pg_stat_user_tables
               where n_mod_since_analyze > 1000 and coalesce(last_autoanalyze, last_analyze) is null)",
        )
        .await
    }

    async fn until(&self, question: &'static str) -> Result<()> {
        loop {
            let mut tx = self.pool.begin().await?;
            sqlx::query("select set_config('role', 'pillarbox_system', true)").execute(&mut *tx).await?;
            if sqlx::query_scalar::<_, bool>(question).fetch_one(&mut *tx).await? {
                return Ok(());
            }
            drop(tx);
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Place {
    async fn provision(server: &Server) -> Result<Self> {
        let operator = Http::new(server.listening().http)?.with_token(server.operator_key()?);
        let reseller = operator.post("/v1/resellers", &json!({"name": "Bench"})).await?.expect(201)?;
        let reseller = text(&reseller, "id")?;
        let keys = format!("/v1/resellers/{reseller}/api-keys");
        let key = operator.post(&keys, &json!({"role": "reseller_admin"})).await?.expect(201)?;
        let tenant = json!({"reseller_id": reseller, "name": "Bench", "country": "DE", "currency": "EUR"});
        let tenant = operator.post("/v1/tenants", &tenant).await?.expect(201)?;
        let tenant = text(&tenant, "id")?;
        let domains = format!("/v1/tenants/{tenant}/domains");
        let domain = operator.post(&domains, &json!({"name": DOMAIN})).await?.expect(201)?;
        let domain = text(&domain, "id")?;
        operator.post(&format!("{domains}/{domain}/verify"), &json!({"vouch": true})).await?.expect(200)?;
        Ok(Self {
            reseller_id: reseller.parse()?,
            tenant_id: tenant.parse()?,
            key_id: text(&key, "id")?.parse()?,
            secret: text(&key, "secret")?.to_owned(),
        })
    }

    /// The path of the tenant's users.
    pub(crate) fn users(&self) -> String {
        format!("/v1/tenants/{}/users", self.tenant_id)
    }
}

fn text<'a>(answer: &'a Value, member: &str) -> Result<&'a str> {
    answer[member].as_str().with_context(|| format!("{member} in {answer}"))
}
