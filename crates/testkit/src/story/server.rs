//! The program under test as a child process.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a start may take: the first makes a database cluster.
const START_PATIENCE: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The addresses in `listen.json`.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listening {
    /// The REST API.
    pub http: SocketAddr,
    /// LMTP.
    pub lmtp: SocketAddr,
    /// Postfix's lookups, by socketmap.
    pub lookup: SocketAddr,
    /// IMAP with STARTTLS.
    pub imap: SocketAddr,
    /// IMAP over TLS.
    pub imaps: SocketAddr,
    /// POP3 with STLS.
    pub pop3: SocketAddr,
    /// POP3 over TLS.
    pub pop3s: SocketAddr,
    /// Submission with STARTTLS.
    pub submission: SocketAddr,
    /// Submission over TLS.
    pub submissions: SocketAddr,
}

/// A running `pillarbox serve`. Killed when dropped; [`Server::stop`] is the orderly end.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    settings: Vec<(String, String)>,
    child: Child,
    data_dir: PathBuf,
    listening: Listening,
}

impl Server {
    /// Starts `binary serve` on free ports of loopback with `data_dir`, and waits until it is ready. The environment is passed
    /// on, with `settings` put over it. What the server logs goes to `server.log` in the data directory.
    ///
    /// # Errors
    /// When it ends instead, or is not ready in time: with the end of its log.
    pub async fn start(binary: &Path, data_dir: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let listen_file = data_dir.join("listen.json");
        // Of a server that was killed; this one removes it too, but only some moments after its start.
        if listen_file.exists() {
            std::fs::remove_file(&listen_file).context("removing a stale listen.json")?;
        }
        let log_path = data_dir.join("server.log");
        let log =
            OpenOptions::new().create(true).append(true).open(&log_path).context("opening server.log")?;
        let mut command = Command::new(binary);
        command.arg("serve").env("PILLARBOX_DATA_DIR", data_dir);
        for listen in
            ["HTTP", "LMTP", "LOOKUP", "IMAP", "IMAPS", "POP3", "POP3S", "SUBMISSION", "SUBMISSIONS"]
        {
            command.env(format!("PILLARBOX_{listen}_LISTEN"), "127.0.0.1:0");
        }
        command.envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C at a terminal goes to the whole group; whoever plays the story decides when its server ends.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        let deadline = Instant::now() + START_PATIENCE;
        let listening = loop {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}; its log ends:\n{}", end_of(&log_path));
            }
            if let Ok(text) = std::fs::read_to_string(&listen_file) {
                break serde_json::from_str(&text).context("listen.json")?;
            }
            let patience = START_PATIENCE.as_secs();
            ensure!(
                Instant::now() < deadline,
                "not ready within {patience} s; its log ends:\n{}",
                end_of(&log_path)
            );
            tokio::time::sleep(POLL).await;
        };
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Self { binary: binary.to_owned(), settings, child, data_dir: data_dir.to_owned(), listening })
    }

    /// Where it listens.
    pub fn listening(&self) -> Listening {
        self.listening
    }

    /// Its process, unless it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The operator's API key, from the file that the first start wrote.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn operator_key(&self) -> Result<String> {
        let key = std::fs::read_to_string(self.data_dir.join("operator.key")).context("operator.key")?;
        Ok(key.trim().to_owned())
    }

    /// The end of what it logged, for an error's message.
    pub fn log_end(&self) -> String {
        end_of(&self.data_dir.join("server.log"))
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When it had ended before.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended with {status}; its log ends:\n{}", self.log_end());
        }
        self.child.kill().await.context("killing the server")
    }

    /// Kills it with SIGKILL and starts it again as it was started, on other free ports.
    ///
    /// # Errors
    /// As [`Server::kill`] and [`Server::start`].
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        self.kill().await?;
        let settings =
            self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>();
        let started = Self::start(&self.binary, &self.data_dir, &settings).await?;
        drop(settings);
        *self = started;
        Ok(())
    }

    /// Ends it with SIGTERM and waits.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        let Some(pid) = self.child.id() else {
            return self.child.wait().await.context("waiting for the server");
        };
        // The shell has a kill of its own; the program is not on every machine.
        let kill = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid.to_string()]).status().await;
        ensure!(kill.context("running sh")?.success(), "the server could not be signalled");
        match tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await {
            Ok(status) => status.context("waiting for the server"),
            Err(_) => bail!("the server did not stop within {} s", STOP_PATIENCE.as_secs()),
        }
    }
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().collect::<Vec<_>>();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
