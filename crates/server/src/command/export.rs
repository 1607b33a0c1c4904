//! `pillarbox export`: a mailbox's mail into files.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use kernel::EmailAddress;
use mailstore::export::{self, Failure, Format, Progress};
use tenancy::{recipient, support_access};

use super::with_platform;
use crate::cli::ExportFormat;
use crate::config::Config;

pub(crate) async fn run(
    config: &Config,
    mailbox: EmailAddress,
    reason: String,
    format: ExportFormat,
    to: PathBuf,
) -> Result<ExitCode> {
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {per_sec}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let told = &bar;
    let format = match format {
        ExportFormat::Maildir => Format::Maildir,
        ExportFormat::Mbox => Format::Mbox,
    };
    let progress = with_platform(config, async move |platform, operator| {
        let found = recipient::enter(&operator, &mailbox).await;
        let (ctx, mailbox_id) = found.with_context(|| format!("looking up the mailbox {mailbox}"))?;
        // Before the first byte of it is written, so that no mail is out that the tenant does not read of.
        let noted = support_access::note_export(&ctx, mailbox_id, &reason).await;
        noted.context("noting the export and its reason on the tenant's trail")?;
        let tell = |Progress { done, skipped, total, .. }: Progress| {
            told.set_length(total);
            told.set_position(done + skipped);
        };
        let exported = export::run(&platform.store, &ctx, mailbox_id, &to, format, tell).await;
        exported.map_err(|failure| {
            let goes_on = !matches!(failure, Failure::Occupied(_));
            let says = if goes_on { "exporting; the same command goes on from there" } else { "exporting" };
            anyhow::Error::new(failure).context(says)
        })
    })
    .await;
    bar.finish_and_clear();
    let Progress { done, skipped, failed, .. } = progress?;
    println!("written {done}, skipped {skipped} written before, failed {failed}");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
