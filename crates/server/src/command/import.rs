//! `pillarbox import`: mail from files into a mailbox.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use kernel::EmailAddress;
use mailstore::import::{self, Event, Filing, Progress};
use tenancy::{recipient, support_access};

use super::{absent, with_platform};
use crate::config::Config;

pub(crate) async fn run(
    config: &Config,
    mailbox: EmailAddress,
    folders: bool,
    paths: Vec<PathBuf>,
) -> Result<ExitCode> {
    let filing = if folders { Filing::AsFound } else { Filing::InOne(None) };
    let bar = progress_bar()?;
    let told = &bar;
    let progress = with_platform(config, async move |platform, operator| {
        let found = recipient::enter(&operator, &mailbox).await;
        let (ctx, mailbox_id) = found
            .map_err(|error| absent(error.kind(), error, "mailbox that has this address"))
            .with_context(|| format!("looking up the mailbox {mailbox}"))?;
        // Before the first message is taken, so that none is there that the tenant does not read of.
        let noted = support_access::note_import(&ctx, mailbox_id, folders).await;
        noted.context("noting the import on the tenant's trail")?;
        let tell = |event: Event<'_>| tell(told, event);
        let imported = import::run(&platform.store, &ctx, mailbox_id, filing, paths, tell).await;
        imported.context("importing; what was taken so far stays, and the same command goes on from there")
    })
    .await;
    bar.finish_and_clear();
    let Progress { done, skipped, failed, passed_over, .. } = progress?;
    let over = if passed_over > 0 { format!(" and {passed_over} that are no files") } else { String::new() };
    println!("taken {done}, skipped {skipped} taken before{over}, failed {failed}");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Draws on stderr, and nothing at all where that is no terminal.
fn progress_bar() -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {msg}")?;
    Ok(ProgressBar::new(0).with_style(style))
}

fn tell(bar: &ProgressBar, event: Event<'_>) {
    match event {
        Event::Progress(Progress { done, skipped, failed, read_bytes, total_bytes, .. }) => {
            bar.set_length(total_bytes);
            bar.set_position(read_bytes);
            bar.set_message(format!("taken {done} skipped {skipped} failed {failed}"));
        }
        Event::Renumbered { folder, reason } => {
            bar.suspend(|| {
                eprintln!("{folder}: its messages get new UIDs, and IMAP clients fetch them again: {reason}")
            });
        }
        Event::Late { folder, count } => {
            bar.suspend(|| {
                eprintln!("{folder}: {count} of its messages got new UIDs: others with higher ones were there before")
            });
        }
        Event::Failed { origin, reason } | Event::PassedOver { origin, reason } => {
            bar.suspend(|| eprintln!("{origin}: {reason}"));
        }
    }
}
