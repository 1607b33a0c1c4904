//! `pillarbox blob verify`: whether the tables and the blob store come out even, and whether the journal is whole there.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use mailstore::verify::{self, Options, Verified};
use recovery::Journal;
use recovery::verify as journal;

use super::with_platform;
use crate::config::Config;

/// Prints each finding as it comes, and what was looked at. Reads no faster than compaction may.
pub(crate) async fn verify(config: &Config, read: bool, repair: bool) -> Result<ExitCode> {
    let rate = u64::from(config.compaction_mib_per_second.get()) << 20;
    let options = Options { read_bytes_per_second: read.then_some(rate), is_repairing: repair };
    let (verified, followed) = with_platform(config, async move |platform, _| {
        let found = |finding: &verify::Finding| println!("{finding}");
        let verified = verify::run(&platform.store, &platform.db, options, found).await?;
        let found = |finding: &journal::Finding| println!("{finding}");
        let kept = Journal::new(&platform.db, &platform.store);
        Ok((verified, journal::run(&kept, options.read_bytes_per_second, found).await?))
    })
    .await
    .context("verifying the blob store")?;
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
