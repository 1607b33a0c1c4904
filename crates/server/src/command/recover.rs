//! `pillarbox recover`: a lost database made anew out of the bucket; `pillarbox drill`: the same, for trial.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use chrono::TimeDelta;
use db::Db;
use db::cluster::{self, Profile};
use mailstore::found::Found;
use recovery::{Late, Recovered, Step};

use crate::config::Config;
use crate::files::DataDir;
use crate::platform::{Database, blob_location, open_blobs, require_installation};
use crate::{drills, kek, signals};

/// How often at most it is said how far it has come.
const SAY_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn recover(config: &Config) -> Result<ExitCode> {
    let data_dir = DataDir::prepare(&config.data_dir)?;
    // A server on the same directory would take the database for its own.
    let _lock = data_dir.lock_for_serving()?;
    let database = Database::open(config, &data_dir).await?;
    let made = make_anew(config, &data_dir, &database.db, Late::Deliver).await;
    database.close().await;
    let made = made.context("recovering the database")?;
    report(&made);
    tell_found(&made.recovered.found);
    println!("what rows name in packs was not read: `pillarbox blob verify` tells what is missing");
    Ok(made.status())
}

/// A recovery into a database that is thrown away: how much would be lost, and how long it takes.
pub(crate) async fn drill(config: &Config) -> Result<ExitCode> {
    require_installation(config)?;
    let data_dir = DataDir::prepare(&config.data_dir)?;
    let live = Database::open_existing(config, &data_dir).await?;
    let asked = ask(&live.db).await;
    live.close().await;
    let (lag, last_put) = asked.context("asking the database what is in the bucket")?;
    let place = drills::Place::make(&data_dir).await?;
    let options = cluster::Options { dir: place.cluster(), profile: Profile::Durable };
    let scratch = Database::private(options).await.context("starting a scratch postgres")?;
    let made = make_anew(config, &data_dir, &scratch.db, Late::Leave).await;
    scratch.close().await;
    let made = made.context("recovering into the scratch database")?;
    report(&made);
    let Recovered { based_at, longest_wait, .. } = &made.recovered;
    println!(
        "RPO {:.1} s: for so long the oldest change has been waiting to get into the bucket",
        lag.as_seconds_f64()
    );
    println!(
        "RPO {:.1} s at most since {}: for so long a change had been waiting, from when its transaction began, if after that, until it was read to be put there",
        longest_wait.as_seconds_f64(),
        based_at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    println!(
        "PILLARBOX_JOURNAL_SECONDS is {} for this command; how often servers put what there is goes by their own",
        config.journal_seconds
    );
    println!(
        "RTO {:.1} s: so long it took to make the database anew and to check it",
        made.took.as_secs_f64()
    );
    if made.recovered.last < last_put {
        println!(
            "MISSING: the database has put segment {last_put} into {}, and the last that was found there is {}: what came after that would be lost; \
             `pillarbox blob verify` says more",
            blob_location(config, &data_dir),
            made.recovered.last
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(made.status())
}

/// How long the oldest change has been waiting to be put into the bucket, and the number of what was put there last.
async fn ask(live: &Db) -> Result<(TimeDelta, u64), recovery::Error> {
    // First, so that a recovery comes to it that begins later.
    let last_put = recovery::last_put(live).await?;
    Ok((recovery::ship::lag(live).await?, last_put))
}

/// What became of mail that only packs have.
fn tell_found(found: &Found) {
    println!(
        "{} messages that may have been accepted after that were found in their packs and delivered",
        found.messages
    );
    if found.messages > 0 {
        println!(
            "what of them was acknowledged to nobody, its server or import being killed up to six minutes before that, arrives twice if it is sent again"
        );
    }
    if found.passed_over > 0 {
        println!(
            "{} messages were passed over: they came in more than six minutes before that and were acknowledged to nobody. Their packs stay, and \
             `pillarbox blob verify` calls them unclaimed",
            found.passed_over
        );
    }
}

/// A database that was made anew.
struct Made {
    recovered: Recovered,
    /// Whether the counters of mail are what they count.
    is_exact: bool,
    took: Duration,
}

impl Made {
    fn status(&self) -> ExitCode {
        let Recovered { damaged, broken, found, .. } = &self.recovered;
        let is_whole = damaged.is_empty() && broken.is_empty() && found.left.is_empty() && self.is_exact;
        if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

async fn make_anew(config: &Config, data_dir: &DataDir, db: &Db, late: Late) -> Result<Made> {
    let interrupted = signals::cancelled()?;
    let begun = Instant::now();
    let encryption = kek::existing(&config.key_encryption_keys, data_dir)?;
    let blobs = open_blobs(config, data_dir).await?;
    let mut progress = Progress::new();
    let mut say = |step| progress.say(step);
    let recovered = tokio::select! {
        done = recovery::recover(db, blobs, encryption, late, &mut say) => {
            done.with_context(|| format!("reading {} (PILLARBOX_BLOB_URL)", blob_location(config, data_dir)))?
        }
        () = interrupted.cancelled() => bail!("interrupted"),
    };
    let is_exact = check(db).await?;
    Ok(Made { recovered, is_exact, took: begun.elapsed() })
}

/// Whether the counters of mail are what they count.
async fn check(db: &Db) -> Result<bool> {
    let drift = mailstore::check::drift(db).await.context("checking what was recovered")?;
    Ok(drift == mailstore::check::Drift::default())
}

fn report(made: &Made) {
    let Recovered { base, last, read_at, records, destroyed, damaged, broken, found, .. } = &made.recovered;
    let took = made.took.as_secs_f64();
    println!("the base {base} and what came after it, up to segment {last}: {records} rows in {took:.1} s");
    println!("all that was committed before {} is there", read_at.format("%Y-%m-%d %H:%M:%S%.3f UTC"));
    if !destroyed.is_empty() {
        println!("{} tenants are destroyed, and what there was of them cannot be read", destroyed.len());
    }
    for tenant in destroyed {
        println!("destroyed: {tenant}");
    }
    for damaged in damaged {
        println!("DAMAGED: {damaged}");
    }
    for left in &found.left {
        println!("NOT DELIVERED: {left}");
    }
    for broken in broken {
        println!("NOT VALID: {broken}");
    }
    if !made.is_exact {
        println!("COUNTERS of mail are not what they count");
    }
}

/// Says now and then how far it has come.
struct Progress {
    parts: usize,
    after: usize,
    said: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { parts: 0, after: 0, said: None }
    }

    fn say(&mut self, step: Step) {
        let is_due = self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY);
        match step {
            Step::Listed { base, parts, after } => {
                (self.parts, self.after) = (parts, after);
                eprintln!(
                    "the newest base is {base}, of {parts} parts; {after} segments and bundles of segments follow it"
                );
            }
            Step::Checking => eprintln!("all is in; checking"),
            Step::Base(done) if is_due => eprintln!("base: {done} of {} parts", self.parts),
            Step::After(done) if is_due => eprintln!("after it: {done} of {}", self.after),
            Step::Base(_) | Step::After(_) => return,
        }
        self.said = Some(Instant::now());
    }
}
