//! `cargo test` with a database server.

use std::path::Path;
use std::process::ExitCode;

use crate::cargo;
use crate::scratch::TestCluster;

/// Names the database server that tests use; when it is set already, that server is used.
const TEST_DATABASE_URL: &str = "PILLARBOX_TEST_DATABASE_URL";

/// Runs `cargo test` with `arguments` (the whole workspace without any) and answers with its status.
pub(crate) async fn run(root: &Path, arguments: Vec<String>) -> anyhow::Result<ExitCode> {
    let mut command = cargo::command(root);
    command.arg("test").env("SQLX_OFFLINE", "true");
    if arguments.is_empty() {
        command.arg("--workspace")
    } else {
        command.args(arguments)
    };
    let status = if std::env::var_os(TEST_DATABASE_URL).is_some() {
        cargo::run(command).await?
    } else {
        let cluster = TestCluster::start().await?;
        command.env(TEST_DATABASE_URL, cluster.url());
        let status = cargo::run(command).await;
        cluster.stop().await?;
        status?
    };
    Ok(cargo::exit_code(status))
}
