//! Garage, an S3 server that people run in production, as a process of its own.
//!
//! Its binary is built once, outside the tree, and never linked (it is AGPL): see [`INSTALL`].

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::s3;

/// How to get the binary.
pub const INSTALL: &str = "cargo install garage --version 2.5.0 --locked --root ~/.cache/pillarbox/tools (10 minutes or more), or PILLARBOX_GARAGE=/path/to/garage";

const REGION: &str = "garage";
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// A port that was free a moment ago may be taken: then the process exits at once and another one is tried.
const STARTS: u32 = 3;

/// A running single node with one empty bucket, which fsyncs data and metadata; killed, by its pid, when dropped.
#[derive(Debug)]
pub struct Garage {
    binary: PathBuf,
    address: SocketAddr,
    process: Child,
    root: TempDir,
}

impl Garage {
    /// The binary: `PILLARBOX_GARAGE` if that is set, else `tools/bin/garage` in Pillarbox' folder of the user's cache.
    pub fn find() -> Option<PathBuf> {
        let set =
            |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
        let path = set("PILLARBOX_GARAGE").or_else(|| {
            let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
            Some(cache.join("pillarbox/tools/bin/garage"))
        })?;
        path.is_file().then_some(path)
    }

    /// Starts a node on free ports of 127.0.0.1 and waits until it answers.
    pub async fn start(binary: &Path) -> anyhow::Result<Garage> {
        let binary = binary.to_owned();
        tokio::task::spawn_blocking(move || {
            let mut last = anyhow::anyhow!("not tried");
            for _ in 0..STARTS {
                match start(&binary) {
                    Ok(garage) => return Ok(garage),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
        .await?
    }

    /// The process, for tests that stop it or kill it.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A `PILLARBOX_BLOB_URL` for a part of the bucket.
    pub fn url(&self, prefix: &str) -> String {
        s3::url(self.address, REGION, prefix)
    }

    /// The AWS variables that let a process in.
    pub fn env(&self) -> [(&'static str, &'static str); 2] {
        s3::env()
    }

    /// Kills the process without warning and starts it again on the same data and address; blocks until it answers.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        self.process = spawn(&self.binary, self.root.path())?;
        self.wait_until_ready()
    }

    /// Garage opens its S3 port only when the bucket is made.
    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let log = || fs::read_to_string(self.root.path().join("log")).unwrap_or_default();
            if let Some(status) = self.process.try_wait()? {
                bail!("garage exited with {status}:\n{}", log());
            }
            if TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("garage does not answer after {START_TIMEOUT:?}:\n{}", log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        // It may be dead already; nothing is left to do then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(binary: &Path) -> anyhow::Result<Garage> {
    let root = tempfile::Builder::new().prefix("pillarbox-garage-").tempdir()?;
    let (address, rpc) = (free_port()?, free_port()?);
    fs::write(root.path().join("garage.toml"), config(root.path(), address, rpc))?;
    let process = spawn(binary, root.path())?;
    let mut garage = Garage { binary: binary.to_owned(), address, process, root };
    garage.wait_until_ready()?;
    Ok(garage)
}

fn config(root: &Path, api: SocketAddr, rpc: SocketAddr) -> String {
    let root = root.display();
    format!(
        r#"metadata_dir = "{root}/meta"
data_dir = "{root}/data"
db_engine = "lmdb"
metadata_fsync = true
data_fsync = true
replication_factor = 1
rpc_bind_addr = "{rpc}"
rpc_public_addr = "{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "{api}"
"#,
        secret = s3::SECRET_ACCESS_KEY,
    )
}

fn spawn(binary: &Path, root: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(root.join("log"))?;
    Command::new(binary)
        .arg("-c")
        .arg(root.join("garage.toml"))
        .args(["server", "--single-node", "--default-bucket"])
        .env("GARAGE_DEFAULT_ACCESS_KEY", s3::ACCESS_KEY_ID)
        .env("GARAGE_DEFAULT_SECRET_KEY", s3::SECRET_ACCESS_KEY)
        .env("GARAGE_DEFAULT_BUCKET", s3::BUCKET)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}

fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
