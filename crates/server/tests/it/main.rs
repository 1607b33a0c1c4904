//! The program as people run it: started, stopped, killed, configured, asked from its command line.
#![expect(clippy::unwrap_used, reason = "a test ends where a step fails")]

mod billing;
mod blob;
mod clients;
mod config;
mod disk;
mod dovecot;
mod external;
mod fault;
mod import;
mod kills;
mod load;
mod lost_queue;
mod mail_in;
mod postfix;
mod postgres;
mod quota;
mod recover;
mod rspamd;
mod sending;
mod serve;
mod story;
mod submission;
mod thunderbird;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pillarbox");

/// A directory for data, which the account that Postgres runs as can pass through.
fn data_dir() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("pillarbox-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .unwrap()
}

/// Runs a command of the program with nothing configured but its data directory and `settings`.
fn pillarbox(data_dir: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    for configured in ["PILLARBOX_CONFIG", "PILLARBOX_DATABASE_URL", "PILLARBOX_BLOB_URL"] {
        command.env_remove(configured);
    }
    command.args(arguments).env("PILLARBOX_DATA_DIR", data_dir).envs(settings.iter().copied());
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
