//! Dovecot's LMTP as Debian packages it, set up for the measure on loopback: a Maildir, and each message synced.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::client::lmtp::Lmtp;
use tokio::process::Child;

const PROGRAM: &str = "/usr/sbin/dovecot";
const PACKAGE: &str = "dovecot-lmtpd";
/// Debian's user and group `mail`, whose the mailboxes are.
const MAIL: u32 = 8;

/// A running server; it stops when it is told to.
pub(crate) struct Dovecot {
    child: Child,
    config: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Dovecot {
    /// Starts one that keeps mail below a directory; installs it first if need be.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        if !Path::new(PROGRAM).exists() {
            install()?;
        }
        let dir = dir.join("dovecot");
        for part in ["", "run", "state", "home"] {
            let part = dir.join(part);
            std::fs::create_dir_all(&part)?;
            std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o711))?;
        }
        chown(dir.join("home"), Some(MAIL), Some(MAIL)).context("Dovecot is measured as root alone")?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = dir.join("dovecot.conf");
        std::fs::write(&config, settings(&dir, address))?;
        let child = tokio::process::Command::new(PROGRAM)
            .args(["-F", "-c"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        for _ in 0..100 {
            if let Ok(client) = Lmtp::connect(address).await {
                client.quit().await?;
                return Ok(Self { child, config, address });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("Dovecot does not answer; its log is {}", dir.join("log").display())
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        let stopped = Command::new("doveadm").arg("-c").arg(&self.config).arg("stop").status()?;
        ensure!(stopped.success(), "doveadm stop: {stopped}");
        self.child.wait().await?;
        Ok(())
    }
}

fn settings(dir: &Path, address: SocketAddr) -> String {
    let (dir, port) = (dir.display(), address.port());
    format!(
        "protocols = lmtp
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
ssl = no
mail_location = maildir:~/Maildir
mail_fsync = always
first_valid_uid = {MAIL}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={MAIL} gid={MAIL} home={dir}/home/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"
    )
}

fn install() -> Result<()> {
    for arguments in [&["update", "-q"][..], &["install", "-qy", "--no-install-recommends", PACKAGE]] {
        let done = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status()?;
        ensure!(done.success(), "apt-get {}: {done}; install {PACKAGE} by hand", arguments.join(" "));
    }
    Ok(())
}
