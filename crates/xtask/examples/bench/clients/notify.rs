//! From the moment that LMTP has acknowledged a message until a client that waits is told of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::client::imap::Imap;
use testkit::client::lmtp::Lmtp;
use tokio::sync::mpsc;

use super::{PASSWORD, Side, mail};
use crate::bed::Bed;
use crate::report::{Measure, Target};

/// How many messages are delivered, one after the other.
const DELIVERED: usize = 100;
/// Fewer to the other side, which takes half a second each.
const DELIVERED_THERE: usize = 11;
/// How long it may take in the middle, in milliseconds.
const WANTED_MS: f64 = 10.0;

/// Measures it on the server that took the message, and on another one of the same database.
pub(super) async fn run(bed: &Bed, ours: &Side, theirs: &Side) -> Result<()> {
    let other = bed.another().await?;
    let there = median_ms(theirs, theirs.imap, DELIVERED_THERE).await?;
    for (name, imap) in
        [("imap.notify.same_server", ours.imap), ("imap.notify.other_server", other.listening().imap)]
    {
        let here = median_ms(ours, imap, DELIVERED).await?;
        for (baseline, theirs, target) in
            [("what it may take", WANTED_MS, Target::AtMost(1.0)), ("Dovecot", there, Target::None)]
        {
            Measure { name, unit: "ms", ours: vec![here], baseline, theirs: vec![theirs], target }
                .report()?;
        }
    }
    other.stop().await?;
    Ok(())
}

/// What it takes in the middle of some deliveries.
async fn median_ms(side: &Side, imap: std::net::SocketAddr, count: usize) -> Result<f64> {
    let mut client = Imap::connect(imap).await?;
    client.login(&side.address, PASSWORD).await?;
    client.command("SELECT INBOX").await?.ok()?;
    client.begin("IDLE").await?;
    let line = client.read_response().await?;
    ensure!(line.starts_with("+ "), "asked to wait, and got {line}");
    let (sender, mut told) = mpsc::unbounded_channel();
    let waiting = tokio::spawn(async move {
        loop {
            let line = client.read_response().await?;
            if line.ends_with(" EXISTS") && sender.send(Instant::now()).is_err() {
                return anyhow::Ok(());
            }
        }
    });
    let mut lmtp = Lmtp::connect(side.lmtp).await?;
    let mut took = Vec::new();
    for number in 0..count {
        let delivery = lmtp.deliver("a@example.org", &[&side.address], &mail::message(number)).await?;
        ensure!(delivery.is_complete(), "refused: {:?}", delivery.outcomes);
        let acknowledged = Instant::now();
        let told = tokio::time::timeout(Duration::from_secs(10), told.recv()).await?;
        // It may come before the acknowledgement does.
        let told = told.context("the client that waits has ended")?;
        took.push(told.saturating_duration_since(acknowledged).as_secs_f64() * 1e3);
    }
    drop(told);
    waiting.abort();
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}
