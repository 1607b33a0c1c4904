//! `pillarbox recover`: a lost database made anew out of the bucket.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use db::Db;
use recovery::{Recovered, Step};

use crate::config::Config;
use crate::files::DataDir;
use crate::platform::{Database, open_blobs};
use crate::{kek, signals};

/// How often at most it is said how far it has come.
const SAY_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn recover(config: &Config) -> Result<ExitCode> {
    let interrupted = signals::cancelled()?;
    let data_dir = DataDir::prepare(&config.data_dir)?;
    // A server on the same directory would take the database for its own.
    let _lock = data_dir.lock_for_serving()?;
    let encryption = kek::existing(&config.key_encryption_keys, &data_dir)?;
    let blobs = open_blobs(config, &data_dir).await?;
    let database = Database::open(config, &data_dir).await?;
    let begun = Instant::now();
    let mut progress = Progress::new();
    let mut say = |step| progress.say(step);
    let done = tokio::select! {
        done = recovery::recover(&database.db, blobs, encryption, &mut say) => done.map_err(Into::into),
        () = interrupted.cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    let done = match done {
        Ok(recovered) => check(&database.db).await.map(|exact| (recovered, exact)),
        Err(error) => Err(error),
    };
    database.close().await;
    let (recovered, is_exact) = done.context("recovering the database")?;
    report(&recovered, begun.elapsed());
    if !is_exact {
        println!("counters differ from what they count: look at the gauge pillarbox_quota_drift");
    }
    let is_whole = recovered.broken.is_empty() && recovered.found.left.is_empty() && is_exact;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the counters of mail are what they count.
async fn check(db: &Db) -> Result<bool> {
    let drift = mailstore::check::drift(db).await.context("checking what was recovered")?;
    Ok(drift == mailstore::check::Drift::default())
}

fn report(recovered: &Recovered, took: Duration) {
    let Recovered { base, last, read_at, records, destroyed, broken, found } = recovered;
    println!(
        "the base {base} and what came after it, up to segment {last}: {records} rows in {:.1} s",
        took.as_secs_f64()
    );
    println!("all that was committed before {} is there", read_at.format("%Y-%m-%d %H:%M:%S%.3f UTC"));
    println!(
        "{} messages that were accepted after that were found in their packs and delivered",
        found.messages
    );
    if !destroyed.is_empty() {
        println!("{} tenants are destroyed, and what there was of them cannot be read", destroyed.len());
    }
    for left in &found.left {
        println!("NOT DELIVERED: {left}");
    }
    for broken in broken {
        println!("NOT VALID: {broken}");
    }
}

/// Says now and then how far it has come.
struct Progress {
    parts: usize,
    numbers: usize,
    said: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { parts: 0, numbers: 0, said: None }
    }

    fn say(&mut self, step: Step) {
        let is_due = self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY);
        match step {
            Step::Listed { base, parts, numbers } => {
                (self.parts, self.numbers) = (parts, numbers);
                eprintln!("the newest base is {base}, of {parts} parts; {numbers} segments follow it");
            }
            Step::Checking => eprintln!("all is in; checking"),
            Step::Base(done) if is_due => eprintln!("base: {done} of {} parts", self.parts),
            Step::Segments(done) if is_due => eprintln!("segments: {done} of {}", self.numbers),
            Step::Base(_) | Step::Segments(_) => return,
        }
        self.said = Some(Instant::now());
    }
}
