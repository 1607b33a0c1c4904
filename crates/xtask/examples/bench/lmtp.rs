//! Deliveries per second over LMTP, beside Dovecot's, and beside the least that could be as durable: for each message one file, fsynced
//! with its folder, and one committed INSERT in the same Postgres.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;
use sqlx::postgres::PgPool;
use testkit::client::lmtp::Lmtp;
use testkit::faults::Faults;
use testkit::s3::S3Server;

use crate::ROUNDS;
use crate::bed::Bed;
use crate::dovecot::Dovecot;
use crate::report::{Measure, Target};

/// The groups' names: with bodies in a directory, and in a bucket.
pub(crate) const NAME: &str = "lmtp";
pub(crate) const S3_NAME: &str = "s3";
/// How many connections, how many messages a round has over them, which are to take longer than what has arrived waits to be indexed, and how many times
/// Dovecot's rate is wanted, with bodies in a directory.
const CONNECTIONS: &[(usize, usize, f64)] = &[(1, 500, 1.0), (8, 2_000, 2.0), (32, 4_000, 4.0)];
/// How long messages are, and what part of that rate is wanted of them.
const SIZES: &[(&str, usize, f64)] = &[("4KiB", 4 << 10, 1.0), ("75KiB", 75 << 10, 0.5)];
/// What part of that rate is wanted with bodies in a bucket.
const S3_PART: f64 = 0.5;
/// How many PUTs so many messages may take over so many connections, packs and journal together.
const PUTS: f64 = 50.0;
const PUTS_MESSAGES: usize = 1_000;
const PUTS_CONNECTIONS: usize = 32;
const RECIPIENT: &str = "bench@bench.example";

/// Measures each size over each number of connections.
pub(crate) async fn run(bed: &Bed) -> Result<()> {
    deliveries(bed, NAME, 1.0).await
}

/// The same with bodies in a bucket over HTTP, and how many PUTs that takes.
pub(crate) async fn run_s3(binary: &Path) -> Result<()> {
    let bucket = S3Server::start().await;
    let bed = Bed::on_s3(binary, &bucket.url("bench")).await?;
    deliveries(&bed, S3_NAME, S3_PART).await?;
    bed.stop().await?;
    let counting = Faults::before(bucket.address()).await;
    let bed = Bed::on_s3(binary, &counting.url("puts")).await?;
    make_user(&bed).await?;
    let message: Arc<[u8]> = message(SIZES[0].1).into();
    let puts = || counting.seen().iter().filter(|request| request.method == "PUT").count();
    let mut counts = Vec::new();
    for _ in 0..ROUNDS {
        let before = puts();
        deliver(bed.server().listening().lmtp, PUTS_CONNECTIONS, PUTS_MESSAGES, &message).await?;
        counts.push((puts() - before) as f64);
    }
    Measure {
        name: "s3.puts.c32",
        unit: "PUTs",
        theirs: vec![PUTS_MESSAGES as f64; ROUNDS],
        ours: counts,
        baseline: "a PUT for each message",
        target: Target::AtMost(PUTS / PUTS_MESSAGES as f64),
    }
    .report()?;
    bed.stop().await
}

/// One mailbox without a quota.
async fn make_user(bed: &Bed) -> Result<()> {
    let user = json!({"address": RECIPIENT});
    bed.http()?.post(&bed.place().users(), &user).await?.expect(201)?;
    Ok(())
}

async fn deliveries(bed: &Bed, group: &str, of_all: f64) -> Result<()> {
    make_user(bed).await?;
    let bare = Bare::open(bed).await?;
    let dovecot = Dovecot::start(bed.dir()).await?;
    for &(size, bytes, part) in SIZES {
        for &(connections, count, times) in CONNECTIONS {
            let message: Arc<[u8]> = message(bytes).into();
            let (mut ours, mut theirs, mut least) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let round = async |server| deliver(server, connections, count, &message).await;
                ours.push(round(bed.server().listening().lmtp).await?);
                // It is not to fall into the others' turns.
                bed.indexed().await?;
                theirs.push(round(dovecot.lmtp).await?);
                least.push(bare.run(connections, count, &message).await?);
            }
            let name = format!("{group}.deliveries.{size}.c{connections}");
            for (baseline, theirs, target) in [
                ("Dovecot, Maildir, mail_fsync=always", theirs, Target::AtLeast(times * part * of_all)),
                ("INSERT and file write, both durable", least, Target::None),
            ] {
                Measure { name: &name, unit: "1/s", ours: ours.clone(), baseline, theirs, target }
                    .report()?;
            }
        }
    }
    dovecot.stop().await
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
async fn deliver(server: SocketAddr, connections: usize, count: usize, message: &Arc<[u8]>) -> Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Lmtp::connect(server).await?);
    }
    let left = Arc::new(AtomicUsize::new(count));
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
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
}

/// The bare writer: a table of its own in the server's Postgres, files beside the server's.
struct Bare {
    pool: PgPool,
    dir: PathBuf,
}

impl Bare {
    async fn open(bed: &Bed) -> Result<Self> {
        let pool = bed.pool().clone();
        sqlx::query("create table bare (id bigint generated always as identity primary key, name text not null, size bigint not null)")
            .execute(&pool)
            .await?;
        let dir = bed.dir().join("bare");
        std::fs::create_dir(&dir)?;
        Ok(Self { pool, dir })
    }

    async fn run(&self, connections: usize, count: usize, message: &Arc<[u8]>) -> Result<f64> {
        let left = Arc::new(AtomicUsize::new(count));
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
        Ok(count as f64 / start.elapsed().as_secs_f64())
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
