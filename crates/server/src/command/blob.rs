//! `pillarbox blob verify`: whether the tables and the blob store come out even, and whether the journal is whole there.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use mailstore::verify::{self, Options, Verified};
use recovery::base::Taken;
use recovery::{Journal, base, verify as journal};

use super::with_opened;
use crate::config::Config;
use crate::platform::Opening;

/// Prints each finding as it comes, and what was looked at. Reads no faster than compaction may.
pub(crate) async fn verify(config: &Config, read: bool, repair: bool) -> Result<ExitCode> {
    let rate = u64::from(config.compaction_mib_per_second.get()) << 20;
    let options = Options { read_bytes_per_second: read.then_some(rate), is_repairing: repair };
    let (verified, followed, mended) = with_opened(config, Opening::Verifying, async move |platform, _| {
        let found = |finding: &verify::Finding| println!("{finding}");
        let verified = verify::run(&platform.store, &platform.db, options, found).await?;
        let found = |finding: &journal::Finding| println!("{finding}");
        let kept = Journal::new(&platform.db, &platform.store);
        let followed = journal::run(&kept, options.read_bytes_per_second, found).await?;
        let mended = match followed.stops_at {
            Some(number) if repair => Some(base::take_anew(&kept, number).await?),
            Some(_) | None => None,
        };
        Ok((verified, followed, mended))
    })
    .await
    .context("verifying the blob store")?;
    if followed.stops_at.is_some() {
        tell_mended(mended);
    }
    let Verified { objects, young, packs, bodies, keys, read, findings, repaired } = verified;
    if young > 0 {
        println!("{young} objects that no row names are younger than two hours: an upload may be under way");
    }
    let findings = findings + followed.findings;
    let found = match (findings, repaired) {
        (0, _) => "no findings".to_owned(),
        (findings, 0) => format!("{findings} FINDINGS"),
        (findings, repaired) => format!("{findings} FINDINGS, {repaired} of them repaired"),
    };
    println!("{objects} objects, {packs} packs, {bodies} bodies ({read} read), {keys} keys: {found}");
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of a journal that a recovery would stop at: a base that was taken, or that another process takes.
fn tell_mended(mended: Option<Option<Taken>>) {
    match mended {
        None => println!(
            "a recovery would stop at that: put the object back from a copy; if it is lost for good, `--repair` takes a new base, with which a \
             recovery begins from then on"
        ),
        Some(Some(taken)) => {
            println!(
                "the base {} was taken: a recovery begins with it, and needs nothing before it",
                taken.number
            );
        }
        Some(None) => println!("another process takes a base, or has taken one: look again in some minutes"),
    }
}
