//! The same bytes back, by REST, IMAP and POP3, with every message compared.

use anyhow::{Context, Result, ensure};

use super::Story;
use super::mail::{Tally, hash, without_trace};
use super::portal::{Person, list_all, number, text};
use crate::client::imap::Imap;
use crate::client::pop3::Pop3;

/// How a POP3 connection is protected.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pop3Over {
    ImplicitTls,
    Stls,
}

/// What a mailbox was found to hold.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) messages: usize,
    /// As stored, trace fields included.
    pub(super) bytes: u64,
}

/// Takes the message that `stored` is out of `expected`; fails when it is none of them.
pub(super) fn settle(expected: &mut Tally, stored: &[u8]) -> Result<()> {
    let found = without_trace(stored).into_iter().any(|rest| expected.take(&hash(rest)));
    ensure!(found, "these bytes are no message that was delivered and not yet seen: {}", start_of(stored));
    Ok(())
}

fn start_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).escape_debug().to_string()
}

impl Story {
    pub(super) async fn read_back_by_rest(&mut self, at: usize) -> Result<()> {
        let person = self.people[at].clone();
        let held = self.compare_by_rest(&person, self.delivered.clone()).await?;
        self.teller.step(
            &format!("{} by REST /raw", person.address),
            format_args!(
                "{} of {} messages equal by SHA-256, {} bytes",
                held.messages,
                self.delivered.total(),
                held.bytes
            ),
        );
        Ok(())
    }

    /// Reads every message of a mailbox by REST and compares: all that is expected is there, and nothing else.
    pub(super) async fn compare_by_rest(&self, person: &Person, mut expected: Tally) -> Result<Held> {
        let portal = self.portal()?;
        let messages = format!("/v1/tenants/{}/mailboxes/{}/messages", self.monthly.id, person.mailbox_id);
        let mut held = Held::default();
        for message in list_all(&portal, &messages, 50).await? {
            let raw =
                portal.get(&format!("{messages}/{}/raw", text(&message, "id")?)).await?.expect_bytes(200)?;
            let size = number(&message, "/size_bytes")?;
            ensure!(size == raw.len() as u64, "size_bytes is {size} and /raw has {} bytes", raw.len());
            settle(&mut expected, &raw).with_context(|| format!("{} by REST", person.address))?;
            held.messages += 1;
            held.bytes += size;
        }
        ensure!(
            expected.total() == 0,
            "{}: {} messages are missing by REST",
            person.address,
            expected.total()
        );
        Ok(held)
    }

    pub(super) async fn read_back_by_imap(&mut self, at: usize) -> Result<()> {
        let person = self.people[at].clone();
        let mut imap = Imap::connect_tls(self.server.listening().imaps).await?;
        imap.login(&person.address, &person.password).await?;
        imap.command("SELECT INBOX").await?.ok().context("SELECT")?;
        let found = imap.command("SEARCH ALL").await?.ok().context("SEARCH")?;
        let count = found.iter().flat_map(|line| line.split(' ').skip(1)).count();
        let (mut expected, mut octets) = (self.delivered.clone(), 0);
        for number in 1..=count {
            let (size, bytes) = imap.fetch(number).await?;
            ensure!(bytes.len() as u64 == size, "RFC822.SIZE says {size} and BODY[] has {}", bytes.len());
            octets += size;
            // No NUL goes over IMAP: there is another byte in its place.
            let with_nuls =
                || bytes.iter().map(|byte| if *byte == 0x80 { 0 } else { *byte }).collect::<Vec<u8>>();
            settle(&mut expected, &bytes)
                .or_else(|error| settle(&mut expected, &with_nuls()).map_err(|_| error))
                .with_context(|| format!("{} by IMAP, message {number}", person.address))?;
        }
        let missing = expected.total();
        ensure!(missing == 0, "{}: {missing} messages are missing by IMAP", person.address);
        imap.command("LOGOUT").await?.ok().context("LOGOUT")?;
        self.teller.step(
            &format!("{} by IMAP FETCH", person.address),
            format_args!(
                "{count} messages equal by SHA-256, each as long as RFC822.SIZE said, {octets} octets"
            ),
        );
        Ok(())
    }

    pub(super) async fn read_back_by_pop3(&mut self, at: usize, over: Pop3Over) -> Result<()> {
        let person = self.people[at].clone();
        let listening = self.server.listening();
        let mut pop3 = match over {
            Pop3Over::ImplicitTls => Pop3::connect_tls(listening.pop3s).await?,
            Pop3Over::Stls => Pop3::connect(listening.pop3).await?.stls().await?,
        };
        pop3.login(&person.address, &person.password).await?;
        let mut expected = self.delivered.clone();
        let list = pop3.list().await?;
        let uidl = pop3.uidl().await?;
        let octets = list.iter().map(|(_, octets)| octets).sum::<u64>();
        ensure!(pop3.stat().await? == (list.len(), octets), "STAT and LIST differ");
        let mut ids = uidl.iter().map(|(_, id)| id).collect::<Vec<_>>();
        ids.sort();
        ids.dedup();
        ensure!(ids.len() == list.len(), "{} messages have {} unique ids", list.len(), ids.len());
        for (number, octets) in &list {
            let bytes = pop3.retr(*number).await?;
            ensure!(bytes.len() as u64 == *octets, "LIST says {octets} octets and RETR has {}", bytes.len());
            settle(&mut expected, &bytes)
                .with_context(|| format!("{} by POP3, message {number}", person.address))?;
        }
        ensure!(
            expected.total() == 0,
            "{}: {} messages are missing by POP3",
            person.address,
            expected.total()
        );
        pop3.quit().await?;
        self.teller.step(
            &format!("{} by POP3 RETR ({over:?})", person.address),
            format_args!(
                "{} messages equal by SHA-256, each as long as LIST said, {octets} octets",
                list.len()
            ),
        );
        Ok(())
    }
}
