//! All messages, as clients fetch them.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::mail::MESSAGES;
use super::wire::Wire;
use super::{PASSWORD, Side, per_second};
use crate::dovecot;

/// By a command for each message, all sent without waiting.
pub(super) async fn pipelined(side: &Side) -> Result<f64> {
    let mut client = Wire::imap(side.imap, &side.address, PASSWORD).await?;
    let mut commands = String::new();
    for number in 1..=MESSAGES {
        write!(commands, "z{number} FETCH {number} (UID FLAGS BODY.PEEK[])\r\n")?;
    }
    let start = Instant::now();
    client.commands(commands.into_bytes(), &format!("z{MESSAGES}")).await?;
    Ok(per_second(MESSAGES, start.elapsed()))
}

/// By POP3, all sent without waiting, from the login on.
pub(crate) async fn pop3(side: &Side) -> Result<f64> {
    let mut commands = String::new();
    for number in 1..=MESSAGES {
        write!(commands, "RETR {number}\r\n")?;
    }
    commands.push_str("QUIT\r\n");
    let client = Wire::pop3(side.pop3, &side.address, PASSWORD).await?;
    let start = Instant::now();
    client.rest(commands.into_bytes()).await?;
    Ok(per_second(MESSAGES, start.elapsed()))
}

/// By mbsync into an empty Maildir, which it does not sync to the disk.
pub(super) async fn mbsync(side: &Side, dir: &Path) -> Result<f64> {
    if !Path::new("/usr/bin/mbsync").exists() {
        dovecot::install(&["isync"])?;
    }
    let home = tempfile::tempdir_in(dir)?;
    let (host, port) = (side.imap.ip(), side.imap.port());
    let (path, user) = (home.path().display(), &side.address);
    let config = format!(
        "FSync no
IMAPAccount bench
Host {host}
Port {port}
User {user}
Pass {PASSWORD}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account bench

MaildirStore near
Path {path}/
Inbox {path}/Inbox

Channel bench
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync Pull
SyncState {path}/
"
    );
    let config_path = home.path().join("mbsyncrc");
    std::fs::write(&config_path, config)?;
    let start = Instant::now();
    let done = tokio::process::Command::new("mbsync")
        .arg("-q")
        .arg("-c")
        .arg(&config_path)
        .arg("bench")
        .output()
        .await?;
    let took = start.elapsed();
    ensure!(done.status.success(), "mbsync: {}", String::from_utf8_lossy(&done.stderr));
    let fetched = std::fs::read_dir(home.path().join("Inbox/new")).context("what mbsync fetched")?.count()
        + std::fs::read_dir(home.path().join("Inbox/cur"))?.count();
    ensure!(fetched == MESSAGES, "mbsync has fetched {fetched} messages");
    Ok(per_second(MESSAGES, took))
}
