//! How fast Pillarbox is, beside something real in the same run: each figure is a ratio, the two sides take turns, and
//! the median of the rounds counts. `docs/benchmarks.md` says what is compared with what.
//!
//! `make bench` builds the server and runs this as `bench BINARY [ONLY]`. Each measure goes as one line to
//! `target/bench.jsonl`.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the machine's clock, makes ids and opens its own connections"
)]

mod bed;
mod billing;
mod clients;
mod control_plane;
mod delivery;
mod depth;
mod dovecot;
mod idle;
mod lmtp;
mod order;
mod pgbench;
mod report;

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::bed::Bed;
use crate::control_plane::{create, read, sign_in};

/// How often the two sides of a measure take turns.
const ROUNDS: usize = 3;
/// What there is to measure.
const GROUPS: [&str; 10] = [
    lmtp::NAME,
    lmtp::S3_NAME,
    order::NAME,
    depth::NAME,
    clients::NAME,
    read::NAME,
    create::NAME,
    sign_in::NAME,
    billing::NAME,
    idle::NAME,
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = arguments.next().context("usage: bench BINARY [ONLY]")?;
    let only = arguments.next().unwrap_or_default();
    let wanted: Vec<_> = GROUPS.into_iter().filter(|group| group.contains(&only)).collect();
    ensure!(!wanted.is_empty(), "no group is called {only:?}; there are {}", GROUPS.join(", "));
    for group in wanted {
        if group != billing::NAME {
            report::heading(group, if group == idle::NAME { 1 } else { ROUNDS });
        }
        let binary = Path::new(&binary);
        match group {
            billing::NAME => billing::run(binary).await?,
            lmtp::S3_NAME => lmtp::run_s3(binary).await?,
            order::NAME => order::run(binary).await?,
            _ => on_a_bed(group, binary).await?,
        }
    }
    Ok(())
}

/// Each on a server of its own: what one has written is not to be in the other's way.
async fn on_a_bed(group: &str, binary: &Path) -> Result<()> {
    let mut bed = Bed::start(binary).await?;
    match group {
        read::NAME => read::run(&bed).await?,
        create::NAME => create::run(&bed).await?,
        sign_in::NAME => sign_in::run(&bed).await?,
        idle::NAME => idle::run(&mut bed).await?,
        clients::NAME => clients::run(&bed).await?,
        depth::NAME => depth::run(&bed).await?,
        _ => lmtp::run(&bed).await?,
    }
    bed.stop().await
}
