//! `pillarbox export`: a mailbox's mail into files.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use mailstore::export::{self, Failure, Format, How, Progress};
use tenancy::{mailbox, recipient, support_access};

use super::with_platform;
use crate::cli::{ExportFormat, MailboxName};
use crate::config::Config;

pub(crate) async fn run(
    config: &Config,
    named: MailboxName,
    reason: String,
    format: ExportFormat,
    with_deleted: bool,
    to: PathBuf,
) -> Result<ExitCode> {
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {per_sec}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let told = &bar;
    let format = match format {
        ExportFormat::Maildir => Format::Maildir,
        ExportFormat::Mbox => Format::Mbox,
    };
    let how = How { format, with_deleted };
    let progress = with_platform(config, async move |platform, operator| {
        let found = match &named {
            MailboxName::Address(address) => recipient::enter(&operator, address).await,
            MailboxName::Id(id) => mailbox::enter(&operator, *id).await.map(|ctx| (ctx, *id)),
        };
        let (ctx, mailbox_id) = found.map_err(|error| not_found(&named, error))?;
        // What is refused for its place is on no trail: nothing was written.
        export::look(mailbox_id, &to, how).await.map_err(failed)?;
        // Before the first byte of it is written, so that no mail is out that the tenant does not read of.
        let noted = support_access::note_export(&ctx, mailbox_id, &reason, with_deleted).await;
        noted.map_err(|error| match error {
            tenancy::Error::NotFound => anyhow!(
                "the mailbox is deleted, and no legal hold keeps it: place it under a hold or restore it first"
            ),
            error => {
                anyhow::Error::new(error).context("noting the export and its reason on the tenant's trail")
            }
        })?;
        let tell = |Progress { done, skipped, total, .. }: Progress| {
            told.set_length(total);
            told.set_position(done + skipped);
        };
        let exported = export::run(&platform.store, &ctx, mailbox_id, &to, how, tell).await;
        exported.map_err(failed)
    })
    .await;
    bar.finish_and_clear();
    let Progress { done, skipped, failed, .. } = progress?;
    println!("written {done}, skipped {skipped} written before, failed {failed}");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn failed(failure: Failure) -> anyhow::Error {
    let goes_on = matches!(failure, Failure::File { .. } | Failure::Refused(_));
    let says = if goes_on { "exporting; the same command goes on from there" } else { "exporting" };
    anyhow::Error::new(failure).context(says)
}

/// Why a mailbox was not found by what somebody called it.
fn not_found(named: &MailboxName, error: tenancy::Error) -> anyhow::Error {
    let doing = format!("looking up the mailbox {named}");
    match (named, error) {
        (MailboxName::Address(_), tenancy::Error::NotFound) => anyhow!(
            "{doing}: no mailbox has this address; one that is deleted has none, and is named by its id (mbx_…), which its hold \
             and `GET …/mailboxes?status=deleted` show"
        ),
        (MailboxName::Id(_), tenancy::Error::NotFound) => {
            anyhow!("{doing}: no tenant that is not deleted itself has or had it")
        }
        (_, error) => anyhow::Error::new(error).context(doing),
    }
}
