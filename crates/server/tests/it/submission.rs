//! Mail that people send, by the program itself: to each other, and out by a smarthost.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::client::imap::Imap;
use testkit::client::smtp::Smtp;
use testkit::smarthost::{FakeSmarthost, Tls};
use testkit::story::server::Server;
use testkit::world::PASSWORD;
use testkit::{SeededRandom, TestDb, World};

use crate::{BINARY, data_dir};

/// In `make test`, where more would take minutes; `make nightly` has fifty.
const KILLS: u32 = 6;
const KILLS_AT_NIGHT: u32 = 50;
/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    world: World,
    smarthost: FakeSmarthost,
    server: Server,
    _dir: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (world, smarthost, dir) = place().await;
        let server = start(dir.path(), &world.test_db, &smarthost).await;
        Self { world, smarthost, server, _dir: dir }
    }

    async fn signed_in(&self) -> anyhow::Result<Smtp> {
        signed_in(&self.server).await
    }

    async fn subjects_at_home(&self) -> BTreeMap<String, usize> {
        inbox(&self.server, "bob@acme.example").await
    }
}

/// Ada, who sends, and Bob; a way out; and a directory for a server.
pub(crate) async fn place() -> (World, FakeSmarthost, TempDir) {
    let (world, dir) = (World::new().await, data_dir());
    let smarthost = FakeSmarthost::start(Tls::Never).await;
    smarthost.offer(&["PIPELINING", "SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES"]);
    for local in ["ada", "bob"] {
        world.user(local, None).await;
    }
    (world, smarthost, dir)
}

/// A server over a database, with a way out.
pub(crate) async fn start(dir: &Path, database: &TestDb, smarthost: &FakeSmarthost) -> Server {
    let (database, out) = (database.url(), smarthost.url(""));
    let settings = [
        ("PILLARBOX_DATABASE_URL", database.as_str()),
        ("PILLARBOX_SMARTHOST_URL", out.as_str()),
        ("PILLARBOX_HOSTNAME", "mx.test.example"),
    ];
    Server::start(BINARY.as_ref(), dir, &settings).await.unwrap()
}

/// A connection of Ada's.
pub(crate) async fn signed_in(server: &Server) -> anyhow::Result<Smtp> {
    let mut client = Smtp::connect_tls(server.listening().submissions).await?;
    client.ehlo().await?;
    anyhow::ensure!(client.auth("ada@acme.example", PASSWORD).await?.code == 235);
    Ok(client)
}

/// The subjects in somebody's Inbox, and how often each is there.
pub(crate) async fn inbox(server: &Server, address: &str) -> BTreeMap<String, usize> {
    let mut imap = Imap::connect(server.listening().imap).await.unwrap();
    imap.login(address, PASSWORD).await.unwrap();
    imap.command("SELECT INBOX").await.unwrap().ok().unwrap();
    let fetched = imap.command("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").await.unwrap();
    let text = format!("{fetched:?}");
    count(text.split("Subject: ").skip(1).filter_map(|rest| rest.split(['\\', '\r']).next()))
}

/// The same of what a smarthost got.
pub(crate) fn received(smarthost: &FakeSmarthost) -> BTreeMap<String, usize> {
    let received = smarthost.received();
    let texts: Vec<_> = received.iter().map(|one| String::from_utf8_lossy(&one.octets)).collect();
    count(texts.iter().filter_map(|text| text.split("Subject: ").nth(1)?.split("\r\n").next()))
}

fn count<'a>(subjects: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    subjects.for_each(|subject| *counts.entry(subject.to_owned()).or_default() += 1);
    counts
}

pub(crate) fn message(subject: &str) -> Vec<u8> {
    format!("From: Ada <ada@acme.example>\r\nTo: bob@acme.example, cleo@c.example\r\nSubject: {subject}\r\n\r\nhello\r\n").into_bytes()
}

pub(crate) const BOTH: &[&str] = &["bob@acme.example", "cleo@c.example"];

#[tokio::test(flavor = "multi_thread")]
async fn arrives_at_home_and_out_there_within_moments() {
    let scene = Scene::new().await;
    let mut imap = Imap::connect(scene.server.listening().imap).await.unwrap();
    imap.login("bob@acme.example", PASSWORD).await.unwrap();
    let mut client = scene.signed_in().await.unwrap();
    let sent = Instant::now();
    assert_eq!(client.submit("ada@acme.example", BOTH, &message("one")).await.unwrap().code, 250);
    while scene.subjects_at_home().await.is_empty() || received(&scene.smarthost).is_empty() {
        assert!(sent.elapsed() < PATIENCE, "{}", scene.server.log_end());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.quit().await.unwrap();
    assert!(!scene.smarthost.received()[0].is_tls, "the machine itself needs none");
    scene.server.stop().await.unwrap();
}

/// The seed of this run, which a run that fails has printed; `PROPTEST_RNG_SEED` sets it.
fn seed() -> u64 {
    let given = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_accepted_is_lost_and_mailboxes_have_it_once_over_kills_at_random_moments() {
    let (seed, kills) = (seed(), testkit::cases(KILLS).min(KILLS_AT_NIGHT));
    eprintln!("kills while sending: {kills}, PROPTEST_RNG_SEED={seed}");
    let random = SeededRandom::new(seed);
    let mut scene = Scene::new().await;
    let (mut accepted, mut number) = (Vec::new(), 0);
    for _ in 0..kills {
        let within = Duration::from_millis(200 + random.next_u64() % 800);
        // Before the time begins: a password takes longer than all of it on a busy machine.
        let client = scene.signed_in().await;
        let sending = async {
            let Ok(mut client) = client else { return };
            loop {
                number += 1;
                let subject = format!("number-{number}-");
                match client.submit("ada@acme.example", BOTH, &message(&subject)).await {
                    Ok(reply) if reply.code == 250 => accepted.push(subject),
                    // For the time being, as its database starts.
                    Ok(reply) if reply.code / 100 == 4 => {}
                    Ok(reply) => panic!("{reply}"),
                    Err(_) => return,
                }
            }
        };
        // Cut off in the middle of whatever is under way.
        drop(tokio::time::timeout(within, sending).await);
        scene.server.kill_and_restart().await.unwrap();
        // What a killed process had in hand is due again when its lease ends.
        release(&scene.world).await;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (home, out) = (scene.subjects_at_home().await, received(&scene.smarthost));
        let is_there = |subject: &&String| home.contains_key(*subject) && out.contains_key(*subject);
        let missing: Vec<_> = accepted.iter().filter(|subject| !is_there(subject)).collect();
        if missing.is_empty() {
            assert!(home.values().all(|count| *count == 1), "twice in a mailbox: {home:?}");
            break;
        }
        assert!(
            Instant::now() < deadline,
            "lost of {}: {missing:?}\n{}",
            accepted.len(),
            scene.server.log_end()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!accepted.is_empty(), "nothing was sent");
    scene.server.stop().await.unwrap();
}

/// Ends all leases, as a quarter of an hour does.
async fn release(world: &World) {
    use sqlx::Connection as _;
    let mut connection = sqlx::PgConnection::connect(&world.test_db.url()).await.unwrap();
    let end = "set role pillarbox_system; update outgoing_recipients set leased_until = '-infinity', next_attempt_at = '-infinity' where leased_until is not null and state = 'queued'";
    sqlx::raw_sql(end).execute(&mut connection).await.unwrap();
}
