//! A move from a real Dovecot: `make e2e` runs this as root where its packages for LMTP, IMAP and POP3 are installed.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::World;
use testkit::client::imap::Imap;
use testkit::client::lmtp::Lmtp;
use testkit::client::pop3::Pop3;
use testkit::story::server::Server;
use testkit::world::PASSWORD;

use crate::{BINARY, data_dir, pillarbox, stderr, stdout};

/// Debian's user and group `mail`, whose the mailboxes are.
const MAIL: u32 = 8;

/// A running Dovecot, with a Maildir for whoever mail is for.
struct Dovecot {
    child: Child,
    lmtp: SocketAddr,
    imap: SocketAddr,
    pop3: SocketAddr,
}

impl Dovecot {
    async fn start(dir: &Path) -> Self {
        for part in ["run", "state", "home"] {
            std::fs::create_dir(dir.join(part)).unwrap();
            std::fs::set_permissions(dir.join(part), Permissions::from_mode(0o711)).unwrap();
        }
        chown(dir.join("home"), Some(MAIL), Some(MAIL)).unwrap();
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let (lmtp, imap, pop3) = (free(), free(), free());
        let at = dir.display();
        let listener = |service: &str, protocol: &str, port: u16| {
            format!(
                "service {service} {{\n inet_listener {protocol} {{\n  address = 127.0.0.1\n  port = {port}\n }}\n inet_listener {protocol}s {{\n  port = 0\n }}\n}}\n"
            )
        };
        let settings = format!(
            "protocols = lmtp imap pop3\nbase_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/log\nssl = no\n\
             disable_plaintext_auth = no\nmail_location = maildir:~/Maildir\nfirst_valid_uid = {MAIL}\n\
             passdb {{\n driver = static\n args = nopassword=y\n}}\n\
             userdb {{\n driver = static\n args = uid={MAIL} gid={MAIL} home={at}/home/%n allow_all_users=yes\n}}\n\
             service lmtp {{\n inet_listener lmtp {{\n  address = 127.0.0.1\n  port = {}\n }}\n}}\n{}{}",
            lmtp.port(),
            listener("imap-login", "imap", imap.port()),
            listener("pop3-login", "pop3", pop3.port()),
        );
        std::fs::write(dir.join("dovecot.conf"), settings).unwrap();
        let mut command = Command::new("dovecot");
        command.arg("-F").arg("-c").arg(dir.join("dovecot.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        for _ in 0..100 {
            if Lmtp::connect(lmtp).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { child, lmtp, imap, pop3 }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Its processes end with it.
        // The shell has a kill of its own; the program is not on every machine.
        let _ = Command::new("sh").args(["-c", "kill \"$0\"", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

async fn login(imap: SocketAddr, address: &str) -> Imap {
    let mut client = Imap::connect(imap).await.unwrap();
    client.login(address, PASSWORD).await.unwrap();
    client
}

/// What clients know messages by: each folder's UID validity, next UID and UIDs, and the names by POP3.
async fn known(imap: SocketAddr, pop3: SocketAddr, address: &str) -> Vec<String> {
    let (mut known, mut client) = (Vec::new(), login(imap, address).await);
    for folder in ["INBOX", "Work"] {
        let opened = client.command(&format!("EXAMINE {folder}")).await.unwrap().ok().unwrap();
        for code in ["UIDVALIDITY", "UIDNEXT"] {
            let told = opened.iter().find_map(|line| line.strip_prefix("OK [")?.strip_prefix(code));
            known.push(format!("{folder} {code}{}", told.unwrap().split(']').next().unwrap()));
        }
        let found = client.command("UID SEARCH ALL").await.unwrap().ok().unwrap();
        known.push(format!("{folder} {found:?}"));
    }
    let mut client = Pop3::connect(pop3).await.unwrap();
    client.login(address, PASSWORD).await.unwrap();
    known.push(format!("{:?}", client.uidl().await.unwrap()));
    client.quit().await.unwrap();
    known
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "dovecot: takes Dovecot and root"]
async fn who_moves_from_dovecot_has_the_same_uids_and_uidls_as_there() {
    let (world, data, theirs) = (World::new().await, data_dir(), data_dir());
    let ada = world.user("ada", None).await;
    let dovecot = Dovecot::start(theirs.path()).await;
    let mut lmtp = Lmtp::connect(dovecot.lmtp).await.unwrap();
    for number in 0..4 {
        let text = format!("Subject: {number}\r\n\r\nNumber {number}.\r\n");
        let done = lmtp.deliver("eve@example.org", &[&ada.address], text.as_bytes()).await.unwrap();
        assert!(done.is_complete());
    }
    let mut client = login(dovecot.imap, &ada.address).await;
    for command in
        ["SELECT INBOX", "STORE 2 +FLAGS (\\Deleted)", "EXPUNGE", "CREATE Work", "COPY 1:2 Work", "LOGOUT"]
    {
        client.command(command).await.unwrap().ok().unwrap();
    }
    let there = known(dovecot.imap, dovecot.pop3, &ada.address).await;
    // Folders here have validities from the second on in which they are made, which are not to be those that folders have there.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let settings = [("PILLARBOX_DATABASE_URL", world.test_db.url())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let maildir = theirs.path().join("home/ada/Maildir");
    let arguments = ["import", "--folders", "--mailbox", &ada.address, maildir.to_str().unwrap()];
    let imported = pillarbox(data.path(), &settings, &arguments);
    assert!(stdout(&imported).starts_with("taken 5, "), "{}{}", stdout(&imported), stderr(&imported));
    assert_eq!(stderr(&imported), "");
    let server = Server::start(BINARY.as_ref(), data.path(), &settings).await.unwrap();
    let here = known(server.listening().imap, server.listening().pop3, &ada.address).await;
    assert_eq!(here, there);
}
