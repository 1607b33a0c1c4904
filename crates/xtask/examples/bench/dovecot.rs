//! Dovecot as Debian packages it, set up for the measures on loopback: a Maildir, and each message synced.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::client::lmtp::Lmtp;
use tokio::process::Child;

const PROGRAM: &str = "/usr/sbin/dovecot";
const PACKAGES: [&str; 3] = ["dovecot-lmtpd", "dovecot-imapd", "dovecot-pop3d"];
/// What the packages have besides the program: where one is, they all are.
const PROTOCOLS: [&str; 3] = ["lmtp", "imap", "pop3"];
/// Debian's user and group `mail`, whose the mailboxes are.
const MAIL: u32 = 8;

/// A running server; it stops when it is told to.
pub(crate) struct Dovecot {
    child: Child,
    config: PathBuf,
    pub(crate) lmtp: SocketAddr,
    pub(crate) imap: SocketAddr,
    pub(crate) pop3: SocketAddr,
}

impl Dovecot {
    /// Starts one that keeps mail below a directory; installs it first if need be.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        if !PROTOCOLS.iter().all(|name| Path::new("/usr/lib/dovecot").join(name).exists()) {
            install(&PACKAGES)?;
        }
        let dir = dir.join("dovecot");
        for part in ["", "run", "state", "home"] {
            let part = dir.join(part);
            std::fs::create_dir_all(&part)?;
            std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o711))?;
        }
        chown(dir.join("home"), Some(MAIL), Some(MAIL)).context("Dovecot is measured as root alone")?;
        let (lmtp, imap, pop3) = (free()?, free()?, free()?);
        let config = dir.join("dovecot.conf");
        std::fs::write(&config, settings(&dir, [lmtp, imap, pop3]))?;
        let child = tokio::process::Command::new(PROGRAM)
            .args(["-F", "-c"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        for _ in 0..100 {
            if let Ok(client) = Lmtp::connect(lmtp).await {
                client.quit().await?;
                return Ok(Self { child, config, lmtp, imap, pop3 });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("Dovecot does not answer; its log is {}", dir.join("log").display())
    }

    /// The processes that serve IMAP to somebody.
    pub(crate) fn imap_pids(&self) -> Result<Vec<u32>> {
        let listed = Command::new("doveadm")
            .arg("-c")
            .arg(&self.config)
            .args(["process", "status", "imap"])
            .output()?;
        ensure!(listed.status.success(), "doveadm process status: {}", listed.status);
        let listed = String::from_utf8(listed.stdout)?;
        // A heading, and then `name pid clients …`.
        listed
            .lines()
            .skip(1)
            .map(|line| Ok(line.split_whitespace().nth(1).context(line.to_owned())?.parse()?))
            .collect()
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        let stopped = Command::new("doveadm").arg("-c").arg(&self.config).arg("stop").status()?;
        ensure!(stopped.success(), "doveadm stop: {stopped}");
        self.child.wait().await?;
        Ok(())
    }
}

/// An address that nobody listens at.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn settings(dir: &Path, [lmtp, imap, pop3]: [SocketAddr; 3]) -> String {
    let (dir, lmtp, imap, pop3) = (dir.display(), lmtp.port(), imap.port(), pop3.port());
    format!(
        "protocols = lmtp imap pop3
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
mail_fsync = always
mail_max_userip_connections = 1000
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
    port = {lmtp}
  }}
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"
    )
}

/// Installs Debian's packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    for arguments in
        [&["update", "-q"][..], &[&["install", "-qy", "--no-install-recommends"], packages].concat()]
    {
        let done = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status()?;
        ensure!(
            done.success(),
            "apt-get {}: {done}; install {} by hand",
            arguments.join(" "),
            packages.join(" ")
        );
    }
    Ok(())
}
