//! The keys that mail is stored under.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use kernel::{Env, TenantId};
use pack::LocalKeys;
use secrecy::ExposeSecret as _;
use tenancy::event;

use super::{absent, with_platform};
use crate::config::Config;

pub(crate) fn new_key_encryption_key() -> ExitCode {
    print!("{}", LocalKeys::generate(&Env::system()).expose_secret());
    ExitCode::SUCCESS
}

pub(crate) async fn rewrap(config: &Config) -> Result<ExitCode> {
    let done = with_platform(config, async |platform, operator| {
        let keys = platform.store.keys();
        eprintln!(
            "wrapping with {}: running servers read its line from their file when they meet it; one that has its keys in \
             PILLARBOX_KEY_ENCRYPTION_KEYS needs to have been started with it",
            keys.wrapping()
        );
        // Before the first of them is, so that a run that is cut short is on the trail as well.
        event::note_rewrap(&operator).await?;
        Ok(keys.rewrap().await?)
    });
    let done = done.await.context("wrapping keys")?;
    println!("{} keys were wrapped anew, {} failed", done.keys, done.failed);
    Ok(if done.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) async fn rotate(config: &Config, tenant: TenantId) -> Result<ExitCode> {
    let rotated = with_platform(config, async |platform, operator| {
        let entered = operator.enter(tenant).await;
        let ctx = entered
            .map_err(|error| absent(error.kind(), error, &format!("tenant {tenant} that is not deleted")))?;
        Ok(platform.store.keys().rotate(&ctx).await?)
    });
    let generation = rotated.await.with_context(|| format!("making a key for {tenant}"))?;
    println!(
        "{tenant} has its key number {}; running servers seal with it within a minute",
        generation.number()
    );
    Ok(ExitCode::SUCCESS)
}
