//! `make contract`: the API held to its description, with the tools of others: a linter, a TypeScript client and a fuzzer;
//! and the XML of the invoices that the client made, to the official rules of EN 16931.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::{cargo, demo, scratch};

/// How long the server may take to start, which makes a database cluster, and to stop.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// How the chore is done.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where deploy/local/install.sh has put the tools
    #[arg(long)]
    tools: PathBuf,
    /// How many cases the fuzzer makes for each operation, beside those that it derives from the schemas
    #[arg(long, default_value_t = 100)]
    cases: u32,
    /// What the fuzzer's cases are derived from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Holds the description to a strict linter, and then a server to it. Every part is done, whatever came of those before.
pub(crate) async fn run(root: &Path, options: &Options) -> anyhow::Result<ExitCode> {
    let tools = Tools { contract: root.join("contract"), dir: options.tools.join("contract") };
    let description = root.join("openapi/openapi.json");
    let binary = demo::build(root).await?;
    let scratch = scratch::dir("contract")?;
    // Postgres' account has to pass through.
    std::fs::set_permissions(scratch.path(), Permissions::from_mode(0o711))?;
    let work = tools.lay_out(scratch.path())?;
    let mut failed = Vec::new();

    let mut lint = tools.npm(&work, "redocly");
    lint.args(["lint", "--config", "lint.yaml", "--format", "stylish", "--max-problems", "1000"])
        .arg(&description);
    step("lint", lint, &mut failed).await?;

    let mut types = tools.npm(&work, "openapi-typescript");
    // A member with a default need not be sent.
    types.args(["--default-non-nullable", "false", "--output", "schema.ts"]).arg(&description);
    step("types", types, &mut failed).await?;
    step("compile", tools.npm(&work, "tsc"), &mut failed).await?;

    let server = Server::start(&binary, &scratch.path().join("data")).await?;
    let mut story = tools.python(&work, "node");
    story.arg("story.ts");
    step("story", server.known_to(story), &mut failed).await?;

    // What the story left, and the golden files.
    let mut ubl = tools.python(&work, "python");
    ubl.args(["ubl.py", "invoices"]).arg(root.join("crates/paper/tests/it/snapshots"));
    step("ubl", ubl, &mut failed).await?;

    let mut fuzz = tools.python(&work, "schemathesis");
    fuzz.arg("run").arg(&description).args(["--url", &server.url()]);
    fuzz.args(["--max-examples", &options.cases.to_string(), "--seed", &options.seed.to_string()]);
    step("fuzz", server.known_to(fuzz), &mut failed).await?;
    let ended = server.stop().await;

    if failed.is_empty() && ended.is_ok() {
        scratch.close().context("removing the contract's directory")?;
        println!("contract: ok");
        return Ok(ExitCode::SUCCESS);
    }
    let kept = scratch.keep();
    eprintln!("contract: its files and the server's log are kept in {}", kept.display());
    ended?;
    bail!("failed: {}", failed.join(", "))
}

/// Runs one part; a failure is noted.
async fn step(name: &'static str, command: Command, failed: &mut Vec<&'static str>) -> anyhow::Result<()> {
    println!("=== contract: {name} ===");
    if !cargo::run(command).await?.success() {
        failed.push(name);
    }
    Ok(())
}

/// What `deploy/local/install.sh contract` has installed, and what it is used on.
struct Tools {
    contract: PathBuf,
    dir: PathBuf,
}

impl Tools {
    /// Lays copies of the files beside the packages that they import, which are kept outside the tree.
    fn lay_out(&self, scratch: &Path) -> anyhow::Result<PathBuf> {
        let work = scratch.join("work");
        std::fs::create_dir(&work)?;
        for entry in std::fs::read_dir(&self.contract)? {
            let entry = entry?;
            std::fs::copy(entry.path(), work.join(entry.file_name()))
                .with_context(|| format!("copying {}", entry.path().display()))?;
        }
        symlink(self.dir.join("npm/node_modules"), work.join("node_modules"))?;
        Ok(work)
    }

    fn npm(&self, work: &Path, program: &str) -> Command {
        self.command(work, &self.dir.join("npm/node_modules/.bin").join(program))
    }

    fn python(&self, work: &Path, program: &str) -> Command {
        self.command(work, &self.dir.join("venv/bin").join(program))
    }

    /// A command that finds this Node.js, and neither asks for newer versions of itself nor reports to anybody.
    fn command(&self, work: &Path, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(work);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = [self.dir.join("venv/bin")].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(dirs).unwrap_or(path.clone()));
        command.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
        command
    }
}

/// A running `pillarbox serve`. As `testkit::story::server` has it, which no chore may link: see Cargo.toml.
struct Server {
    child: Child,
    http: SocketAddr,
    submissions: SocketAddr,
    operator_key: String,
}

impl Server {
    async fn start(binary: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir(data_dir)?;
        std::fs::set_permissions(data_dir, Permissions::from_mode(0o711))?;
        let log = std::fs::File::create(data_dir.join("server.log"))?;
        let mut command = Command::new(binary);
        command.arg("serve").env("PILLARBOX_DATA_DIR", data_dir);
        // The fuzzer is one credential that calls as fast as it can.
        command.env("PILLARBOX_API_REQUESTS_PER_MINUTE", "1000000");
        // Nobody listens there: what is to leave stays in the queue.
        command.env("PILLARBOX_SMARTHOST_URL", "smtp://127.0.0.1:1");
        for listen in
            ["HTTP", "LMTP", "LOOKUP", "IMAP", "IMAPS", "POP3", "POP3S", "SUBMISSION", "SUBMISSIONS"]
        {
            command.env(format!("PILLARBOX_{listen}_LISTEN"), "127.0.0.1:0");
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C at a terminal goes to the whole group; we decide when the server ends.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        let deadline = Instant::now() + PATIENCE;
        let listening = loop {
            if let Ok(listening) = std::fs::read_to_string(data_dir.join("listen.json")) {
                break listening;
            }
            let status = child.try_wait()?;
            ensure!(status.is_none() && Instant::now() < deadline, "the server does not start ({status:?})");
            tokio::time::sleep(POLL).await;
        };
        // Its strings hold no quotes: they are names and addresses.
        let at = |name: &str| {
            let address = listening.split('"').skip_while(|part| *part != name).nth(2);
            address.and_then(|address| address.parse().ok()).with_context(|| format!("{name} in listen.json"))
        };
        let (http, submissions) = (at("http")?, at("submissions")?);
        let operator_key = std::fs::read_to_string(data_dir.join("operator.key")).context("operator.key")?;
        Ok(Self { child, http, submissions, operator_key: operator_key.trim().to_owned() })
    }

    fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The command with the server's addresses and the operator's key.
    fn known_to(&self, mut command: Command) -> Command {
        command.env("PILLARBOX_URL", self.url()).env("PILLARBOX_KEY", &self.operator_key);
        command.env("PILLARBOX_SUBMISSIONS", self.submissions.to_string());
        command
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended with {status}");
        }
        let pid = self.child.id().context("the server has no process id")?.to_string();
        // The shell has a kill of its own; the program is not on every machine.
        let kill = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status().await;
        ensure!(kill.context("running sh")?.success(), "the server could not be signalled");
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.context("the server does not stop")??;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}
