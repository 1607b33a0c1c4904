//! `pillarbox audit verify`: whether the trails still hold what they held.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use kernel::{TenantId, hex};
use tenancy::event;

use super::{no_tenant, with_platform};
use crate::config::Config;

/// Recomputes the chain of one trail or of all, and says of each how long it is and where it ends.
pub(crate) async fn verify(config: &Config, tenant: Option<TenantId>) -> Result<ExitCode> {
    let verdicts = with_platform(config, async move |platform, operator| {
        // What has been written and not yet chained is not left out.
        event::chain(&platform.db).await?;
        let verified = event::verify(&operator, tenant).await;
        verified.map_err(|error| no_tenant(error.kind(), error, tenant))
    })
    .await
    .context("verifying the audit trail")?;
    let mut is_whole = true;
    for (trail, verdict) in &verdicts {
        println!("{trail}: {} events, last hash {}", verdict.events, hex(&verdict.head));
        if let Some(fault) = &verdict.fault {
            is_whole = false;
            println!("{trail}: {} at position {} {}", fault.event, fault.position, fault.what);
        }
    }
    println!("{}", if is_whole { "the trails add up" } else { "THE TRAILS DO NOT ADD UP" });
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
