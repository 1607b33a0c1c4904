//! The program: configuration, wiring, and the operator's commands.

mod account;
mod cli;
mod command;
mod config;
mod drills;
mod files;
mod kek;
mod listen;
mod operator_key;
mod platform;
mod serve;
mod signals;
mod tls;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use billing::ledger::AsOf;
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use cli::{Audit, Billing, Blob, Cli, Command, Keys};
use config::Config;

/// What a wrong command line ends with too.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Openapi) {
        // A reader that has seen enough is no fault.
        let _ = writeln!(std::io::stdout(), "{}", api::openapi());
        return ExitCode::SUCCESS;
    }
    if matches!(cli.command, Command::NewKeyEncryptionKey) {
        return command::keys::new_key_encryption_key();
    }
    let file = cli
        .config
        .or_else(|| std::env::var_os("PILLARBOX_CONFIG").filter(|name| !name.is_empty()).map(Into::into));
    let config = match Config::load(file.as_deref()) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("pillarbox: {mistakes}\n`pillarbox --help` lists the settings.");
            return ExitCode::from(USAGE);
        }
    };
    if let Err(refused) = account::check(&config) {
        eprintln!("pillarbox: {}", kernel::error::chain(refused.as_ref()));
        return ExitCode::FAILURE;
    }
    let is_serving = matches!(cli.command, Command::Serve);
    log_to_stderr(config.log.as_deref().unwrap_or(if is_serving { "info" } else { "warn" }));
    for name in &config.unknown_variables {
        tracing::warn!(config.variable = name, "this variable is no setting of ours");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pillarbox: starting the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command, &config)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pillarbox: {}", kernel::error::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve => serve::run(config).await.map(|()| ExitCode::SUCCESS),
        Command::Migrate => command::migrate(config).await,
        Command::Import { mailbox, folders, paths } => {
            command::import::run(config, mailbox, folders, paths).await
        }
        Command::Export { mailbox, reason, format, with_deleted, to } => {
            command::export::run(config, mailbox, reason, format, with_deleted, to).await
        }
        Command::Billing(Billing::Run { as_of, tenant }) => {
            command::billing::run(config, as_of, tenant).await
        }
        Command::Billing(Billing::Verify { tenant }) => command::billing::verify(config, tenant).await,
        Command::Billing(Billing::TrialBalance { reseller, on, at }) => {
            command::billing::trial_balance(config, reseller, AsOf { day: on, moment: at }).await
        }
        Command::OperatorKey { revoke: None } => command::operator_key(config).await,
        Command::OperatorKey { revoke: Some(id) } => command::revoke_operator_key(config, id).await,
        Command::Audit(Audit::Verify { tenant }) => command::audit::verify(config, tenant).await,
        Command::Blob(Blob::Verify { read, repair }) => command::blob::verify(config, read, repair).await,
        Command::ReplaceSigningKey => command::replace_signing_key(config).await,
        Command::Recover => command::recover::recover(config).await,
        Command::Drill => command::recover::drill(config).await,
        Command::Keys(Keys::Rewrap) => command::keys::rewrap(config).await,
        Command::Keys(Keys::Rotate { tenant }) => command::keys::rotate(config, tenant).await,
        Command::Openapi | Command::NewKeyEncryptionKey => Ok(ExitCode::SUCCESS),
    }
}

/// For people when it is a terminal, for machines otherwise. What cannot be written, since the log's disk is full, is left out: told to the
/// same standard error, the failure would be a panic of whatever wanted to say something.
fn log_to_stderr(filter: &str) {
    let logging = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    if std::io::stderr().is_terminal() {
        logging.init();
    } else {
        logging.json().flatten_event(true).with_span_list(false).init();
    }
}
