//! Deliveries per second over LMTP, beside the least that could be as durable: for each message one file, fsynced
//! with its folder, and one committed INSERT in the same Postgres. Both take turns in one run.
//!
//! `make bench` builds the server and runs this as `bench BINARY [ONLY]`. Each measure goes as one line to
//! `target/bench.jsonl`.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the machine's clock and opens its own connections"
)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use db::cluster::{self, Cluster};
use serde_json::json;
use sqlx::postgres::{PgPool, PgPoolOptions};
use testkit::client::http::Http;
use testkit::client::lmtp::Lmtp;
use testkit::story::server::Server;

const CONNECTIONS: &[usize] = &[1, 8, 32];
const SIZES: &[(&str, usize)] = &[("4KiB", 4 << 10), ("75KiB", 75 << 10)];
const ROUNDS: usize = 3;
/// Messages of one round, by connection count: long enough to even out, short enough for `make bench`.
const MESSAGES_PER_ROUND: usize = 400;
const RECIPIENT: &str = "bench@bench.example";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = arguments.next().context("usage: bench BINARY [ONLY]")?;
    if arguments.next().is_some_and(|only| !"lmtp".contains(&only)) {
        return Ok(());
    }
    // Postgres' user has to be able to reach it, so not below a home directory.
    let dir = tempfile::Builder::new().prefix("pillarbox-bench-").tempdir_in("/var/tmp")?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
    let data_dir = dir.path().join("data");
    std::fs::create_dir(&data_dir)?;
    std::fs::set_permissions(&data_dir, std::fs::Permissions::from_mode(0o711))?;
    let server = Server::start(Path::new(&binary), &data_dir, &[]).await?;
    provision(&server).await?;
    let bare = Bare::open(dir.path()).await?;
    println!(
        "{:>6} {:>12} {:>14} {:>14} {:>7}   (median of {ROUNDS} rounds, deliveries per second)",
        "size", "connections", "pillarbox", "bare", "ratio"
    );
    for &(size, bytes) in SIZES {
        for &connections in CONNECTIONS {
            let message: Arc<[u8]> = message(bytes).into();
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(lmtp(&server, connections, &message).await?);
                theirs.push(bare.run(connections, &message).await?);
            }
            report(size, connections, &mut ours, &mut theirs)?;
        }
    }
    bare.close().await?;
    server.stop().await?;
    Ok(())
}

/// One mailbox without a quota.
async fn provision(server: &Server) -> Result<()> {
    let http = Http::new(server.listening().http)?.with_token(server.operator_key()?);
    let id = |answer: serde_json::Value| answer["id"].as_str().map(str::to_owned).context("an id");
    let reseller = id(http.post("/v1/resellers", &json!({"name": "Bench"})).await?.expect(201)?)?;
    let tenant = json!({"reseller_id": reseller, "name": "Bench", "country": "DE", "currency": "EUR"});
    let tenant = id(http.post("/v1/tenants", &tenant).await?.expect(201)?)?;
    let domains = format!("/v1/tenants/{tenant}/domains");
    let domain = id(http.post(&domains, &json!({"name": "bench.example"})).await?.expect(201)?)?;
    http.post(&format!("{domains}/{domain}/verify"), &json!({"vouch": true})).await?.expect(200)?;
    http.post(&format!("/v1/tenants/{tenant}/users"), &json!({"address": RECIPIENT})).await?.expect(201)?;
    Ok(())
}

/// A message of about `bytes` bytes.
fn message(bytes: usize) -> Vec<u8> {
    let mut message =
        b"From: <a@example.org>\r\nTo: <bench@bench.example>\r\nSubject: a benchmark\r\n\r\n".to_vec();
    while message.len() < bytes {
        message.extend_from_slice(
            b"The quick brown fox jumps over the lazy dog, and then does so again and again.\r\n",
        );
    }
    message
}

/// Deliveries per second over `connections` connections.
async fn lmtp(server: &Server, connections: usize, message: &Arc<[u8]>) -> Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Lmtp::connect(server.listening().lmtp).await?);
    }
    let left = Arc::new(AtomicUsize::new(MESSAGES_PER_ROUND));
    let start = Instant::now();
    let tasks = clients.into_iter().map(|mut client| {
        let (left, message) = (left.clone(), message.clone());
        tokio::spawn(async move {
            while take(&left) {
                let delivery = client.deliver("a@example.org", &[RECIPIENT], &message).await?;
                ensure!(delivery.is_complete(), "refused: {:?}", delivery.outcomes);
            }
            client.quit().await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(MESSAGES_PER_ROUND as f64 / start.elapsed().as_secs_f64())
}

fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
}

/// The bare writer: a table of its own in the server's Postgres, files beside the server's.
struct Bare {
    pool: PgPool,
    /// The server's own cluster, joined.
    cluster: Cluster,
    dir: PathBuf,
}

impl Bare {
    async fn open(dir: &Path) -> Result<Self> {
        let cluster = Cluster::start(cluster::Options {
            dir: dir.join("data/postgres"),
            profile: cluster::Profile::Durable,
        })
        .await?;
        let pool = PgPoolOptions::new().max_connections(32).connect(cluster.url()).await?;
        sqlx::query("create table bare (id bigint generated always as identity primary key, name text not null, size bigint not null)")
            .execute(&pool)
            .await?;
        let dir = dir.join("bare");
        std::fs::create_dir(&dir)?;
        Ok(Self { pool, cluster, dir })
    }

    async fn close(self) -> Result<()> {
        self.pool.close().await;
        Ok(self.cluster.stop().await?)
    }

    async fn run(&self, connections: usize, message: &Arc<[u8]>) -> Result<f64> {
        let left = Arc::new(AtomicUsize::new(MESSAGES_PER_ROUND));
        let start = Instant::now();
        let tasks = (0..connections).map(|_| {
            let (left, message, pool, dir) =
                (left.clone(), message.clone(), self.pool.clone(), self.dir.clone());
            tokio::spawn(async move {
                while take(&left) {
                    let (bytes, dir) = (message.clone(), dir.clone());
                    let name = tokio::task::spawn_blocking(move || write_durably(&dir, &bytes)).await??;
                    sqlx::query("insert into bare (name, size) values ($1, $2)")
                        .bind(name)
                        .bind(i64::try_from(message.len())?)
                        .execute(&pool)
                        .await?;
                }
                anyhow::Ok(())
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await??;
        }
        Ok(MESSAGES_PER_ROUND as f64 / start.elapsed().as_secs_f64())
    }
}

fn write_durably(dir: &Path, bytes: &[u8]) -> Result<String> {
    let name = uuid::Uuid::now_v7().simple().to_string();
    let mut file = std::fs::File::create_new(dir.join(&name))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::File::open(dir)?.sync_all()?;
    Ok(name)
}

fn report(size: &str, connections: usize, ours: &mut [f64], bare: &mut [f64]) -> Result<()> {
    ours.sort_by(f64::total_cmp);
    bare.sort_by(f64::total_cmp);
    let (rate, baseline) = (ours[ours.len() / 2], bare[bare.len() / 2]);
    let ratio = rate / baseline;
    println!("{size:>6} {connections:>12} {rate:>14.0} {baseline:>14.0} {ratio:>7.2}");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench.jsonl");
    let mut log = std::fs::OpenOptions::new().create(true).append(true).open(target)?;
    let line = json!({
        "measure": format!("lmtp.deliveries.{size}.c{connections}"), "value": rate, "unit": "1/s",
        "baseline": "INSERT and file write, both durable", "baseline_value": baseline, "ratio": ratio,
        "floor": null, "rounds": ROUNDS,
    });
    writeln!(log, "{line}")?;
    Ok(())
}
