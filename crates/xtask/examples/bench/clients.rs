//! What people's clients do with a folder of thousands of messages, beside Dovecot with the same messages.

pub(crate) mod download;
pub(crate) mod mail;
mod notify;
pub(crate) mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use serde_json::json;
use testkit::story::server::Listening;

use crate::bed::{Bed, DOMAIN};
use crate::delivery;
use crate::dovecot::Dovecot;
use crate::report::{self, Measure, Target};
use mail::MESSAGES;
use wire::Wire;

/// The group's name.
pub(crate) const NAME: &str = "clients";
const PASSWORD: &str = "correct-horse-battery";
/// What the other side is.
const DOVECOT: &str = "Dovecot, Maildir";
/// How many connections append, and how many messages in one round.
const APPENDING: usize = 16;
const APPENDED: usize = 800;

/// One of the two servers, with the user whose folder it is.
pub(crate) struct Side {
    imap: SocketAddr,
    pop3: SocketAddr,
    lmtp: SocketAddr,
    address: String,
}

impl Side {
    /// A server with a user whose Inbox has all the messages, indexed.
    pub(crate) async fn filled(bed: &Bed) -> Result<Self> {
        let address = format!("bench@{DOMAIN}");
        let user = json!({"address": address, "password": PASSWORD});
        bed.http()?.post(&bed.place().users(), &user).await?.expect(201)?;
        let side = Self::of(bed, address);
        delivery::fill(side.lmtp, &side.address, MESSAGES, mail::message).await?;
        bed.indexed().await?;
        bed.settle().await?;
        bed.analyzed().await?;
        Ok(side)
    }

    /// The same user of a server that listens elsewhere now.
    pub(crate) fn again(self, bed: &Bed) -> Self {
        Self::of(bed, self.address)
    }

    fn of(bed: &Bed, address: String) -> Self {
        let Listening { imap, pop3, lmtp, .. } = bed.server().listening();
        Self { imap, pop3, lmtp, address }
    }
}

/// Commands that are answered the same each time, of all messages: their names, and how many times Dovecot's rate is wanted.
fn questions() -> [(&'static str, String, f64); 4] {
    [
        ("imap.fetch.metadata", "FETCH 1:* (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE)".to_owned(), 0.7),
        ("imap.search.header", format!("SEARCH SUBJECT {}", mail::SUBJECT_WORD), 1.0),
        ("imap.search.text.short", format!("SEARCH TEXT {}", mail::SHORT_WORD), 1.0),
        ("imap.search.text.indexed", format!("SEARCH TEXT {}", mail::TEXT_WORD), 20.0),
    ]
}

/// Measures each.
pub(crate) async fn run(bed: &Bed) -> Result<()> {
    let dovecot = Dovecot::start(bed.dir()).await?;
    let (imap, pop3, lmtp) = (dovecot.imap, dovecot.pop3, dovecot.lmtp);
    let theirs = Side { imap, pop3, lmtp, address: format!("bench@{DOMAIN}") };
    delivery::fill(theirs.lmtp, &theirs.address, MESSAGES, mail::message).await?;
    let ours = Side::filled(bed).await?;
    let sides = [&ours, &theirs];
    check(sides).await?;
    for (name, command, floor) in questions() {
        measure(name, floor, sides, async |side| question(side, &command).await).await?;
    }
    measure("imap.store", 1.0, sides, store).await?;
    measure("imap.download.pipelined", 1.0, sides, download::pipelined).await?;
    measure("imap.download.mbsync", 1.0, sides, async |side| download::mbsync(side, bed.dir()).await).await?;
    measure("pop3.download", 1.0, sides, download::pop3).await?;
    measure("imap.append.c16", 2.0, sides, append).await?;
    notify::run(bed, &ours, &theirs).await?;
    dovecot.stop().await
}

async fn measure(
    name: &str,
    floor: f64,
    sides: [&Side; 2],
    turn: impl AsyncFn(&Side) -> Result<f64>,
) -> Result<()> {
    let [ours, theirs] = report::turns(sides, turn).await?;
    let target = Target::AtLeast(floor);
    Measure { name, unit: "1/s", ours, baseline: DOVECOT, theirs, target }.report()
}

/// Both find the same of the same messages: else the searches would be no comparison.
async fn check(sides: [&Side; 2]) -> Result<()> {
    for side in sides {
        let mut client = testkit::client::imap::Imap::connect(side.imap).await?;
        client.login(&side.address, PASSWORD).await?;
        let opened = client.command("SELECT INBOX").await?.ok()?;
        ensure!(opened.contains(&format!("{MESSAGES} EXISTS")), "{opened:?}");
        for word in [mail::SUBJECT_WORD, mail::TEXT_WORD, mail::SHORT_WORD] {
            let found = client.command(&format!("SEARCH TEXT {word}")).await?.ok()?;
            let count = found.iter().map(|line| line.split(' ').count() - 1).sum::<usize>();
            ensure!(count == mail::FOUND, "{word} is in {count} messages and not in {}", mail::FOUND);
        }
    }
    Ok(())
}

/// One command, by a client that has just come.
async fn question(side: &Side, command: &str) -> Result<f64> {
    let mut client = Wire::imap(side.imap, &side.address, PASSWORD).await?;
    let start = Instant::now();
    client.command(command).await?;
    Ok(per_second(MESSAGES, start.elapsed()))
}

/// A flag on all messages, set and taken away.
async fn store(side: &Side) -> Result<f64> {
    let mut client = Wire::imap(side.imap, &side.address, PASSWORD).await?;
    let start = Instant::now();
    client.command("STORE 1:* +FLAGS.SILENT (\\Flagged)").await?;
    client.command("STORE 1:* -FLAGS.SILENT (\\Flagged)").await?;
    Ok(per_second(2 * MESSAGES, start.elapsed()))
}

/// Messages appended to a folder of their own by several clients, each one message after the other.
async fn append(side: &Side) -> Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..APPENDING {
        clients.push(Wire::imap(side.imap, &side.address, PASSWORD).await?);
    }
    if let Some(first) = clients.first_mut() {
        // From the second round on there is one.
        let _ = first.command("CREATE Appended").await;
    }
    let start = Instant::now();
    let appends = clients.into_iter().enumerate().map(|(first, mut client)| async move {
        for number in (first..APPENDED).step_by(APPENDING) {
            let message = mail::message(number);
            let mut command = format!("z APPEND Appended {{{}+}}\r\n", message.len()).into_bytes();
            command.extend_from_slice(&message);
            command.extend_from_slice(b"\r\n");
            client.commands(command, "z").await?;
        }
        anyhow::Ok(())
    });
    for done in futures::stream::iter(appends).buffer_unordered(APPENDING).collect::<Vec<_>>().await {
        done?;
    }
    Ok(per_second(APPENDED, start.elapsed()))
}

pub(crate) fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
