//! `make demo`: the main job, played against a server that is started for it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::{cargo, scratch};

/// Builds the server and the player (`examples/demo.rs`, so that the other chores need not build what it needs), and
/// plays in a data directory that is removed afterwards, or kept if the story did not hold.
pub(crate) async fn run(root: &Path, exit: bool, mail: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let mail = mail.map(|path| path.canonicalize().with_context(|| format!("finding {}", path.display())));
    let mail = mail.transpose()?;
    let server = build(root).await?;
    let data_dir = scratch::dir("demo")?;
    // Postgres' account has to pass through.
    std::fs::set_permissions(data_dir.path(), Permissions::from_mode(0o711))?;
    let mut play = Command::new(server.with_file_name("examples").join("demo"));
    play.current_dir(root).arg(server).arg(data_dir.path());
    play.arg(if exit { "stop" } else { "stay" }).args(mail);
    let status = cargo::run(play).await?;
    if status.success() {
        data_dir.close().context("removing the demo's data directory")?;
    } else {
        eprintln!("demo: failed; its data and logs are kept in {}", data_dir.keep().display());
    }
    Ok(cargo::exit_code(status))
}

/// Builds the server and the player; answers with the server's path. Both at once, so that the features are those of
/// the tests' build and nothing is compiled twice.
pub(crate) async fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let mut build = cargo::command(root);
    build.args(["build", "--bin", "pillarbox", "--example", "demo"]).env("SQLX_OFFLINE", "true");
    ensure!(cargo::run(build).await?.success(), "the build failed");
    Ok(cargo::target_dir(root).join("debug/pillarbox"))
}
