//! `pillarbox billing run`: for cron, or by hand.

use std::process::ExitCode;

use anyhow::{Context, Result};
use billing::run::RunSummary;
use chrono::NaiveDate;
use kernel::TenantId;

use super::with_platform;
use crate::config::Config;

/// Bills what is due. An account that could not be billed makes the status 1; the others are billed all the same.
pub(crate) async fn run(config: &Config, as_of: NaiveDate, tenant: Option<TenantId>) -> Result<ExitCode> {
    let summary = with_platform(config, async move |platform, _| {
        billing::run::run(&platform.db, as_of, tenant).await.map_err(explained).context("the billing run")
    })
    .await?;
    let RunSummary {
        accounts_due,
        accounts_billed,
        accounts_not_yet,
        accounts_elsewhere,
        accounts_parked,
        accounts_failed,
        invoices,
        credit_notes,
    } = summary;
    println!(
        "accounts due {accounts_due}, billed {accounts_billed}, whose time has not come {accounts_not_yet}, billed by another run {accounts_elsewhere}"
    );
    println!("accounts parked {accounts_parked}, failed {accounts_failed}");
    println!("invoices {invoices}, credit notes {credit_notes}");
    Ok(if accounts_parked + accounts_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The mistakes of the input in words; an API caller would get them as a list.
fn explained(error: billing::Error) -> anyhow::Error {
    let mistakes =
        error.field_errors().iter().map(|mistake| mistake.detail.as_str()).collect::<Vec<_>>().join("; ");
    if mistakes.is_empty() { error.into() } else { anyhow::anyhow!("the day {mistakes}") }
}
