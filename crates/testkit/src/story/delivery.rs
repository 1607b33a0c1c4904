//! Mail in, by LMTP.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::Story;
use super::mail::{Message, Messages, Tally};
use super::portal::{Person, SMALL_QUOTA_BYTES, number};
use super::readback::{Pop3Over, settle};
use crate::client::lmtp::Lmtp;
use crate::client::pop3::Pop3;

/// Who sends, in every envelope.
pub(super) const SENDER: &str = "story@sender.example";
/// Connections that take the mail in.
const CONNECTIONS: usize = 4;
/// The shipped messages are small; this one is not.
const BIG_BODY_BYTES: usize = 300 << 10;
/// What the small mailbox is filled with.
const FILLER_BODY_BYTES: usize = 100 << 10;

impl Story {
    pub(super) async fn take_in_and_read_back(&mut self) -> Result<()> {
        self.teller.chapter(&format!("Mail in by LMTP, from {}", self.mail.display()));
        let to = [self.people[0].address.clone(), self.people[1].address.clone()];
        let began = Instant::now();
        let mut messages = Messages::below(&self.mail)?.peekable();
        ensure!(messages.peek().is_some(), "there is no mail at {}", self.mail.display());
        let big = self
            .mail_is_ours
            .then(|| Ok(Message::generated(&format!("big-{}", self.suffix), BIG_BODY_BYTES)));
        let messages = Arc::new(Mutex::new(messages.chain(big)));
        let workers = (0..CONNECTIONS).map(|_| {
            let (messages, to, lmtp) = (messages.clone(), to.clone(), self.server.listening().lmtp);
            tokio::spawn(async move {
                let mut connection = Lmtp::connect(lmtp).await?;
                let mut sent = Vec::new();
                loop {
                    let next =
                        messages.lock().map_err(|_| anyhow::anyhow!("another connection failed"))?.next();
                    let Some(message) = next else { break };
                    let message = message?;
                    let delivery = connection.deliver(SENDER, &[&to[0], &to[1]], &message.wire).await;
                    let delivery = delivery.with_context(|| message.label.clone())?;
                    ensure!(delivery.is_complete(), "{}: {:?}", message.label, delivery.outcomes);
                    sent.push((message.hash, message.wire.len()));
                }
                connection.quit().await?;
                Ok(sent)
            })
        });
        let mut bytes = 0;
        for worker in futures::future::try_join_all(workers).await? {
            for (hash, size) in worker? {
                self.delivered.add(hash);
                bytes += size;
            }
        }
        let (count, took) = (self.delivered.total(), began.elapsed().as_secs_f64());
        self.teller.step(
            &format!("{count} messages to two recipients at once"),
            format_args!(
                "{} replies of 250, none other; {bytes} bytes each, {took:.1} s on {CONNECTIONS} connections",
                count * 2
            ),
        );
        for (at, how) in [(0, Pop3Over::ImplicitTls), (1, Pop3Over::Stls)] {
            self.read_back_by_rest(at).await?;
            self.read_back_by_imap(at).await?;
            self.read_back_by_pop3(at, how).await?;
        }
        Ok(())
    }

    /// Sends to the small mailbox until it is full; the other recipient gets every message.
    pub(super) async fn fill_the_small_mailbox(&mut self) -> Result<()> {
        self.teller.chapter("A mailbox fills up");
        let (ada, tiny) = (self.people[0].clone(), self.people[2].clone());
        let mut connection = Lmtp::connect(self.server.listening().lmtp).await?;
        let (mut sent, mut kept) = (Tally::default(), Tally::default());
        // However the trace fields are counted, eleven fillers of 100 KiB do not fit into 1 MiB.
        for filler in 1..=11 {
            let message = Message::generated(&format!("filler-{filler}-{}", self.suffix), FILLER_BODY_BYTES);
            let delivery = connection.deliver(SENDER, &[&tiny.address, &ada.address], &message.wire).await?;
            let [small, other] = &delivery.outcomes[..] else {
                anyhow::bail!("two recipients, {delivery:?}")
            };
            ensure!(other.code == 250, "the mailbox without a quota was answered {other}");
            sent.add(message.hash);
            if small.code == 250 {
                kept.add(message.hash);
                continue;
            }
            ensure!(
                small.code == 552 && small.enhanced() == "5.2.2",
                "the full mailbox was answered {small}"
            );
            let used = self.check_small_mailbox(&kept).await?;
            self.teller.step(
                &format!("filler {filler} to the full mailbox and another"),
                format_args!("{small} for the one, {other} for the other"),
            );
            self.teller.step(
                "the small mailbox holds what it was told 250 for",
                format_args!("{} messages, {used} of {SMALL_QUOTA_BYTES} bytes", kept.total()),
            );
            self.check_the_other(&ada, sent).await?;
            return connection.quit().await;
        }
        anyhow::bail!("the mailbox of {SMALL_QUOTA_BYTES} bytes took everything: {} fillers", kept.total())
    }

    /// The last messages of the mailbox without a quota are those that the small one was sent.
    async fn check_the_other(&mut self, ada: &Person, mut sent: Tally) -> Result<()> {
        let mut pop3 = Pop3::connect(self.server.listening().pop3).await?;
        pop3.login(&ada.address, &ada.password).await?;
        let (count, _) = pop3.stat().await?;
        let expected = self.delivered.total() + sent.total();
        ensure!(count == expected, "{} has {count} messages and not {expected}", ada.address);
        for number in self.delivered.total() + 1..=count {
            settle(&mut sent, &pop3.retr(number).await?)?;
        }
        pop3.quit().await?;
        let fillers = count - self.delivered.total();
        self.teller.step(
            "the other mailbox got every filler",
            format_args!("{fillers} messages by POP3, equal by SHA-256"),
        );
        Ok(())
    }

    async fn check_small_mailbox(&mut self, kept: &Tally) -> Result<u64> {
        let tiny = self.people[2].clone();
        let quota = format!("/v1/tenants/{}/mailboxes/{}/quota", self.monthly.id, tiny.mailbox_id);
        let quota = self.portal()?.get(&quota).await?.expect(200)?;
        let used = number(&quota, "/used_bytes")?;
        ensure!(used <= SMALL_QUOTA_BYTES, "over its quota: {quota}");
        let stored = self.compare_by_rest(&tiny, kept.clone()).await?;
        ensure!(stored.bytes == used, "the messages have {} bytes and the counter says {used}", stored.bytes);
        ensure!(kept.total() >= 9, "full with only {} of 100 KiB", kept.total());
        Ok(used)
    }
}
