//! `pillarbox billing run`, by hand or for cron, and `pillarbox billing verify`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use billing::run::RunSummary;
use billing::verify::Verified;
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
        drafts,
        wholesale_invoices,
        wholesale_credit_notes,
    } = summary;
    println!(
        "accounts due {accounts_due}, billed {accounts_billed}, whose time has not come {accounts_not_yet}, billed by another run {accounts_elsewhere}"
    );
    println!("accounts parked {accounts_parked}, failed {accounts_failed}");
    println!("invoices {invoices}, credit notes {credit_notes}, drafts {drafts}");
    println!("wholesale invoices {wholesale_invoices}, credit notes {wholesale_credit_notes}");
    Ok(if accounts_parked + accounts_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says of everything that was billed whether it is what the event log makes.
pub(crate) async fn verify(config: &Config, tenant: Option<TenantId>) -> Result<ExitCode> {
    let verified = with_platform(config, async move |_, operator| {
        Ok(billing::verify::verify(&operator, tenant, |finding| println!("{finding}")).await?)
    })
    .await
    .context("verifying what was billed")?;
    let Verified { tenants, agreements, documents, unrecorded, transfers, differences } = verified;
    if unrecorded > 0 {
        println!(
            "{unrecorded} documents were made before it was recorded what they were made from: only their sums were verified"
        );
    }
    let found =
        if differences == 0 { "no differences".to_owned() } else { format!("{differences} DIFFERENCES") };
    println!(
        "{tenants} tenants, {agreements} agreements, {documents} documents, {transfers} transfers: {found}"
    );
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The mistakes of the input in words; an API caller would get them as a list.
fn explained(error: billing::Error) -> anyhow::Error {
    let mistakes =
        error.field_errors().iter().map(|mistake| mistake.detail.as_str()).collect::<Vec<_>>().join("; ");
    if mistakes.is_empty() { error.into() } else { anyhow::anyhow!("the day {mistakes}") }
}
