//! A user writes to a colleague.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Story;
use super::portal::text;
use crate::client::imap::Imap;
use crate::client::smtp::Smtp;

/// It is there at once; a machine that does much else may take a moment.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

impl Story {
    /// By submission with STARTTLS, and read by IMAP.
    pub(super) async fn send_to_a_colleague(&mut self) -> Result<()> {
        self.teller.chapter("A user sends");
        let (from, to) = (self.people[0].clone(), self.people[1].clone());
        let at = self.server.listening();
        let mut client = Smtp::connect(at.submission).await?.starttls().await?;
        client.ehlo().await?;
        let welcome = client.auth(&from.address, &from.password).await?;
        ensure!(welcome.code == 235, "AUTH was answered with {welcome}");
        let head =
            format!("From: {}\r\nTo: {}\r\nSubject: Lunch {}\r\n", from.address, to.address, self.suffix);
        let message = format!("{head}\r\nAt noon?\r\n");
        let taken = client.submit(&from.address, &[&to.address], message.as_bytes()).await?;
        ensure!(taken.code == 250, "the message was answered with {taken}");
        client.quit().await?;
        self.teller.step(&format!("{} submits a message, by STARTTLS and AUTH", from.address), &taken);

        let (sent, number) = (Instant::now(), self.delivered.total() + 1);
        let mut imap = Imap::connect_tls(at.imaps).await?;
        imap.login(&to.address, &to.password).await?;
        while !imap.command("SELECT INBOX").await?.has(&format!("{number} EXISTS")) {
            ensure!(sent.elapsed() < PATIENCE, "{} has no message {number} yet", to.address);
            tokio::time::sleep(POLL).await;
        }
        let (_, bytes) = imap.fetch(number).await?;
        imap.command("LOGOUT").await?.ok().context("LOGOUT")?;
        let got = String::from_utf8(bytes).context("a message in ASCII")?;
        ensure!(got.contains(&head) && got.ends_with("\r\n\r\nAt noon?\r\n"), "it came as {got}");
        ensure!(got.contains(" with ESMTPSA ") && got.contains("\r\nMessage-ID: <"), "it came as {got}");
        let state = self.sent_state(sent).await?;
        let came_back = format!(
            "message {number} by IMAP, {} ms later; the queue says {state}",
            sent.elapsed().as_millis()
        );
        self.teller.step(&format!("{} has it", to.address), came_back);
        Ok(())
    }

    /// What the queue says of the message once it has noted its delivery, which comes after whoever gets it has it.
    async fn sent_state(&self, sent: Instant) -> Result<String> {
        let path = format!("/v1/tenants/{}/outgoing", self.monthly.id);
        loop {
            let queue = self.portal()?.get(&path).await?.expect(200)?;
            let state = text(&queue["data"][0]["recipients"][0], "state")?;
            if state == "delivered" {
                return Ok(state);
            }
            ensure!(state == "delivering" && sent.elapsed() < PATIENCE, "it is {state}: {queue}");
            tokio::time::sleep(POLL).await;
        }
    }
}
