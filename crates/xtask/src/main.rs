//! The project's own chores: `cargo xtask help`.

mod cargo;
mod contract;
mod demo;
mod generate;
mod scratch;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// The project's own chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Check what no compiler checks: the arrows between crates, who may mention what, names, sizes
    Tidy,
    /// Run `cargo test` with a Postgres of its own, thrown away afterwards
    Test {
        /// Arguments for `cargo test`; the whole workspace without them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Write the files that are made from the code: .sqlx and openapi/openapi.json
    Generate {
        /// Write nothing; fail naming what is not as the code would have it
        #[arg(long)]
        check: bool,
    },
    /// Hold the API to its description: lint it, drive the API with a client made from it, and fuzz
    Contract(contract::Options),
    /// Build Pillarbox, start it on embedded defaults and play its main job
    Demo {
        /// Stop after the story instead of leaving the server running until Ctrl-C
        #[arg(long)]
        exit: bool,
        /// Mail to take in: a directory of messages or an mbox file
        #[arg(long)]
        mail: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let chore = Cli::parse().chore;
    run(chore).await.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(chore: Chore) -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().context("finding the workspace")?;
    match chore {
        Chore::Tidy => tidy::run(&root),
        Chore::Test { arguments } => test::run(&root, arguments).await,
        Chore::Generate { check } => generate::run(&root, check).await,
        Chore::Contract(options) => contract::run(&root, &options).await,
        Chore::Demo { exit, mail } => demo::run(&root, exit, mail).await,
    }
}
