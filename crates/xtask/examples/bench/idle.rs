//! What connections cost that only wait: memory of the server for each IMAP client over TLS that has a folder of thousands of messages open.
//!
//! The server is started anew after the messages have come: else the connections would sit in memory that deliveries have left free, and seem to
//! cost less. They sign in with a token: hashing passwords takes memory of its own, which the allocator keeps for the next. And some come before the
//! count: the first to sign in, to look and to wait bring code and tables into memory.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use serde_json::json;
use testkit::client::imap::Imap;
use testkit::story::server::{Listening, Server};

use crate::bed::{Bed, DOMAIN};
use crate::delivery;
use crate::dovecot::Dovecot;
use crate::report::{Measure, Target};

/// The group's name.
pub(crate) const NAME: &str = "imap.idle";
/// How many wait: half by each listener, which lets 512 in from one peer.
const CONNECTIONS: usize = 1_000;
/// How many come first and are not counted.
const FIRST: usize = 16;
/// How many sign in at once.
const AT_ONCE: usize = 8;
/// How many of them are compressed.
const COMPRESSED: usize = 200;
/// Messages in the folder that all have open.
const MESSAGES: usize = 5_000;
const MESSAGE: &[u8] =
    b"From: <a@example.org>\r\nTo: <idle@bench.example>\r\nSubject: a benchmark\r\n\r\nHello.\r\n";
/// How many wait at Dovecot, which has a process for each.
const THERE: usize = 100;
const PASSWORD: &str = "correct-horse-battery";
/// How much memory one connection may take, in KiB.
const WANTED_KIB: f64 = 32.0;
/// How much one may take that is compressed: DEFLATE's windows and tables come on top.
const WANTED_COMPRESSED_KIB: f64 = 256.0 + WANTED_KIB;

/// Measures it, once: each round would take a server of its own.
pub(crate) async fn run(bed: &mut Bed) -> Result<()> {
    let address = format!("idle@{DOMAIN}");
    let user = json!({"address": address, "password": PASSWORD});
    bed.http()?.post(&bed.place().users(), &user).await?.expect(201)?;
    delivery::fill(bed.server().listening().lmtp, &address, MESSAGES, |_| MESSAGE.to_vec()).await?;
    let theirs = theirs(bed.dir(), &address).await?;
    for (name, what, count, wanted) in [
        ("imap.idle.tls", Wait::Idle, CONNECTIONS, WANTED_KIB),
        ("imap.idle.compressed", Wait::Compressed, COMPRESSED, WANTED_COMPRESSED_KIB),
    ] {
        bed.restart().await?;
        let login = login(bed, &address).await?;
        let first = connect(bed.server(), &login, FIRST, what).await?;
        let before = resident_kib(bed.server())?;
        let clients = connect(bed.server(), &login, count, what).await?;
        let taken = resident_kib(bed.server())?.saturating_sub(before);
        drop((first, clients));
        println!("  {name}: {before} KiB before, {taken} KiB for {count}");
        let each = taken as f64 / count as f64;
        let mut baselines = vec![("what one connection may take", wanted, Target::AtMost(1.0))];
        if what == Wait::Idle {
            baselines.push(("Dovecot, without TLS", theirs, Target::AtMost(0.1)));
        }
        for (baseline, theirs, target) in baselines {
            Measure { name, unit: "KiB", ours: vec![each], baseline, theirs: vec![theirs], target }
                .report()?;
        }
    }
    Ok(())
}

/// How much memory Dovecot takes for each client that waits with as many messages, in KiB: what the processes that serve them share with nobody.
async fn theirs(dir: &Path, address: &str) -> Result<f64> {
    let dovecot = Dovecot::start(dir).await?;
    delivery::fill(dovecot.lmtp, address, MESSAGES, |_| MESSAGE.to_vec()).await?;
    let mut clients = Vec::new();
    for _ in 0..THERE {
        let mut client = Imap::connect(dovecot.imap).await?;
        client.login(address, PASSWORD).await?;
        wait(&mut client, Wait::Idle).await?;
        clients.push(client);
    }
    let pids = dovecot.imap_pids()?;
    ensure!(pids.len() == THERE, "{} processes for {THERE} clients", pids.len());
    let mut kib = 0;
    for pid in &pids {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let own = rollup.lines().filter_map(|line| line.strip_prefix("Private_")?.split_once(':'));
        for (_, size) in own {
            kib += size.trim().trim_end_matches(" kB").parse::<u64>()?;
        }
    }
    drop(clients);
    dovecot.stop().await?;
    Ok(kib as f64 / pids.len() as f64)
}

/// How a client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// In IDLE.
    Idle,
    /// With a compressed connection and no command.
    Compressed,
}

/// What AUTHENTICATE takes in place of a password.
async fn login(bed: &Bed, address: &str) -> Result<String> {
    let token = bed.token(address, PASSWORD).await?;
    Ok(STANDARD.encode(format!("user={address}\x01auth=Bearer {token}\x01\x01")))
}

/// Clients that wait with the Inbox open.
async fn connect(server: &Server, login: &str, count: usize, wait: Wait) -> Result<Vec<Imap>> {
    let listening = server.listening();
    let clients = futures::stream::iter(0..count).map(|at| client(listening, at, login, wait));
    clients.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
}

async fn client(listening: Listening, at: usize, login: &str, wait_for: Wait) -> Result<Imap> {
    let mut client = match at % 2 {
        0 => Imap::connect_tls(listening.imaps).await?,
        _ => Imap::connect(listening.imap).await?.starttls().await?,
    };
    client.command(&format!("AUTHENTICATE XOAUTH2 {login}")).await?.ok()?;
    wait(&mut client, wait_for).await?;
    Ok(client)
}

/// Has a client that has signed in wait with the Inbox open.
async fn wait(client: &mut Imap, wait: Wait) -> Result<()> {
    let opened = client.command("SELECT INBOX").await?;
    let count = opened.untagged.iter().find_map(|line| line.strip_suffix(" EXISTS"));
    ensure!(
        count.is_some_and(|count| count.parse().is_ok_and(|count: usize| count >= MESSAGES)),
        "{opened:?}"
    );
    match wait {
        Wait::Idle => {
            client.begin("IDLE").await?;
            let line = client.read_response().await?;
            ensure!(line.starts_with("+ "), "asked to wait, and got {line}");
        }
        Wait::Compressed => drop(client.command("COMPRESS DEFLATE").await?.ok()?),
    }
    Ok(())
}

/// How much memory the server has in use, as the system counts it (`VmRSS`, proc(5)).
fn resident_kib(server: &Server) -> Result<u64> {
    let pid = server.pid().context("the server has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    Ok(kib.context("VmRSS in /proc")?.trim().parse()?)
}
