//! `pillarbox billing run`, by hand or for cron, `pillarbox billing verify` and `pillarbox billing trial-balance`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use billing::OPERATOR;
use billing::ledger::{self, AsOf, Balance};
use billing::run::RunSummary;
use billing::verify::Verified;
use chrono::NaiveDate;
use kernel::{Money, ResellerId, TenantId};

use super::{absent, no_tenant, with_platform};
use crate::config::Config;

/// Bills what is due. An account that could not be billed makes the status 1; the others are billed all the same.
pub(crate) async fn run(config: &Config, as_of: NaiveDate, tenant: Option<TenantId>) -> Result<ExitCode> {
    let summary = with_platform(config, async move |platform, _| {
        let run = billing::run::run(&platform.db, as_of, tenant).await;
        run.map_err(|error| no_tenant(error.kind(), explained(error), tenant)).context("the billing run")
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
        let verified = billing::verify::verify(&operator, tenant, |finding| println!("{finding}")).await;
        verified.map_err(|error| no_tenant(error.kind(), error, tenant))
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

/// An issuer's accounts, by currency, and what they add up to.
pub(crate) async fn trial_balance(
    config: &Config,
    reseller: Option<ResellerId>,
    as_of: AsOf,
) -> Result<ExitCode> {
    let balances = with_platform(config, async move |_, operator| {
        let issuer = match reseller {
            // The operator's accounts are under an id that no reseller has.
            Some(OPERATOR) => bail!("there is no reseller {OPERATOR}"),
            Some(reseller) => reseller,
            None => OPERATOR,
        };
        let balances = ledger::trial_balance(&operator, issuer, as_of).await;
        balances.map_err(|error| absent(error.kind(), error, &format!("reseller {issuer}")))
    })
    .await
    .context("the trial balance")?;
    for line in lines(&rows(&balances)?) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Name, currency, debits, credits, balance.
type Row = [String; 5];

/// The accounts of each currency, and their sums.
fn rows(balances: &[Balance]) -> Result<Vec<Row>> {
    let row = |name: &str, sums: [Money; 3]| {
        let [debits, credits, balance] = sums.map(Money::decimal);
        [name.to_owned(), sums[0].currency.code().to_owned(), debits, credits, balance]
    };
    let mut rows = vec![["account", "currency", "debits", "credits", "balance"].map(str::to_owned)];
    for of_currency in balances.chunk_by(|one, next| one.debits.currency == next.debits.currency) {
        let Some(first) = of_currency.first() else { continue };
        let mut total = [Money::new(0, first.debits.currency); 3];
        for Balance { account, debits, credits, balance } in of_currency {
            let sums = [*debits, *credits, *balance];
            for (total, of_account) in total.iter_mut().zip(sums) {
                let sum = total.amount_minor.checked_add(of_account.amount_minor);
                total.amount_minor = sum.context("the sums are out of range")?;
            }
            rows.push(row(account.as_str(), sums));
        }
        rows.push(row("total", total));
    }
    Ok(rows)
}

/// In columns as wide as what is in them.
fn lines(rows: &[Row]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [name, currency, debits, credits, balance] = [0, 1, 2, 3, 4].map(width);
    let line = |[a, b, c, d, e]: &Row| {
        format!("{a:name$}  {b:currency$}  {c:>debits$}  {d:>credits$}  {e:>balance$}")
    };
    rows.iter().map(line).collect()
}

/// The mistakes of the input in words; an API caller would get them as a list.
fn explained(error: billing::Error) -> anyhow::Error {
    let mistakes =
        error.field_errors().iter().map(|mistake| mistake.detail.as_str()).collect::<Vec<_>>().join("; ");
    if mistakes.is_empty() { error.into() } else { anyhow::anyhow!("the day {mistakes}") }
}
