//! The server is killed in the middle of a delivery stream and started again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::Story;
use super::delivery::SENDER;
use super::mail::{Hash, Message, hash, without_trace};
use super::portal::{Person, list_all, number, text};
use crate::client::lmtp::Lmtp;
use crate::client::reply::Reply;

const CONNECTIONS: usize = 4;
/// The kill comes after so many messages were acknowledged.
const ACKNOWLEDGED_BEFORE_KILL: usize = 40;
const STREAM_PATIENCE: Duration = Duration::from_secs(120);

/// What one connection of the stream came to.
#[derive(Debug, Default)]
struct Streamed {
    /// Sent, at least in part.
    sent: Vec<Hash>,
    /// Answered 250, for each of the two recipients.
    acknowledged: [Vec<Hash>; 2],
}

impl Story {
    pub(super) async fn kill_in_the_middle(&mut self) -> Result<()> {
        self.teller.chapter("The server is killed");
        // Two mailboxes that have had no mail so far: what they hold afterwards is the stream's.
        let to = [self.people[3].clone(), self.people[4].clone()];
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let streams = (0..CONNECTIONS).map(|connection| {
            let name = format!("stream-{connection}-{}", self.suffix);
            let to = to.clone().map(|person| person.address);
            tokio::spawn(stream(self.server.listening().lmtp, name, to, acknowledged.clone()))
        });
        let streams = streams.collect::<Vec<_>>();
        let deadline = Instant::now() + STREAM_PATIENCE;
        while acknowledged.load(Ordering::SeqCst) < ACKNOWLEDGED_BEFORE_KILL {
            ensure!(
                Instant::now() < deadline,
                "{} messages acknowledged, no more come",
                acknowledged.load(Ordering::SeqCst)
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let restarted = self.server.kill_and_restart().await;
        let mut all = Streamed::default();
        for stream in streams {
            let part = stream.await?;
            all.sent.extend(part.sent);
            for (all, part) in all.acknowledged.iter_mut().zip(part.acknowledged) {
                all.extend(part);
            }
        }
        restarted?;
        let at = self.server.listening();
        self.teller
            .step("killed with SIGKILL, started again", format_args!("http {}, lmtp {}", at.http, at.lmtp));
        for (at, person) in to.iter().enumerate() {
            let held = self.hashes_held(person, &all.sent).await?;
            let unique = held.iter().collect::<HashSet<_>>();
            ensure!(
                unique.len() == held.len(),
                "{}: {} messages are there twice",
                person.address,
                held.len() - unique.len()
            );
            let lost = all.acknowledged[at].iter().filter(|hash| !unique.contains(hash)).count();
            ensure!(lost == 0, "{}: {lost} acknowledged messages are lost", person.address);
            let (acknowledged, sent) = (all.acknowledged[at].len(), all.sent.len());
            self.teller.step(
                &format!("{} after the restart", person.address),
                format_args!("{sent} begun, {acknowledged} acknowledged, all of these there once, byte for byte; {} of the others, none twice", held.len() - acknowledged),
            );
        }
        Ok(())
    }

    /// The hash of each message of a mailbox, all of which must be among `sent`; the quota's counter must agree.
    async fn hashes_held(&self, person: &Person, sent: &[Hash]) -> Result<Vec<Hash>> {
        let portal = self.portal()?;
        let mailbox = format!("/v1/tenants/{}/mailboxes/{}", self.monthly.id, person.mailbox_id);
        let messages = format!("{mailbox}/messages");
        let sent = sent.iter().collect::<HashSet<_>>();
        let (mut held, mut bytes) = (Vec::new(), 0);
        for message in list_all(&portal, &messages, 200).await? {
            let raw =
                portal.get(&format!("{messages}/{}/raw", text(&message, "id")?)).await?.expect_bytes(200)?;
            let found = without_trace(&raw).into_iter().map(hash).find(|hash| sent.contains(hash));
            ensure!(found.is_some(), "a message of {} bytes that was never sent", raw.len());
            held.extend(found);
            bytes += raw.len() as u64;
        }
        let quota = portal.get(&format!("{mailbox}/quota")).await?.expect(200)?;
        ensure!(
            number(&quota, "/used_bytes")? == bytes,
            "{}: {bytes} bytes are there and {quota}",
            person.address
        );
        Ok(held)
    }
}

/// Delivers one message after another, of 2 to 40 KB, until the connection breaks. Nothing is sent twice.
async fn stream(
    lmtp: std::net::SocketAddr,
    name: String,
    to: [String; 2],
    acknowledged: Arc<AtomicUsize>,
) -> Streamed {
    let mut streamed = Streamed::default();
    let Ok(mut connection) = Lmtp::connect(lmtp).await else { return streamed };
    for count in 0_usize.. {
        let message = Message::generated(&format!("{name}-{count}"), 2_000 + count * 7_919 % 38_000);
        streamed.sent.push(message.hash);
        let note = |at: usize, outcome: &Reply| {
            if outcome.is_positive() {
                streamed.acknowledged[at].push(message.hash);
            }
        };
        if connection.deliver_noting(SENDER, &[&to[0], &to[1]], &message.wire, note).await.is_err() {
            break;
        }
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    streamed
}
