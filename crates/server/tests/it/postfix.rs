//! Debian's Postfix as it is set up in `deploy/postfix`, before a running server: `make e2e` runs these where it is installed, as root.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use testkit::client::imap::Imap;
use testkit::client::smtp::Smtp;
use testkit::story::server::Server;
use testkit::{World, world};

use crate::{BINARY, data_dir, stderr, stdout};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/postfix");
/// Debian's own, as the package has it.
const MASTER: &str = "/usr/share/postfix/master.cf.dist";
/// How long mail may take on its way.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(DEPLOY).join(name)).unwrap()
}

/// `main.cf` with the ports of a test and, where there is a filter, without the marks of comments before the lines for it.
fn main_cf(lmtp: SocketAddr, lookup: SocketAddr, filter: Option<SocketAddr>) -> String {
    let mut main = shipped("main.cf");
    let mut put = |from: &str, to: String| {
        assert!(main.contains(from), "{from}");
        main = main.replace(from, &to);
    };
    put("127.0.0.1:2424\n", format!("{lmtp}\n"));
    for map in ["domains", "recipients"] {
        put(&format!("127.0.0.1:2425:{map}\n"), format!("{lookup}:{map}\n"));
    }
    if let Some(filter) = filter {
        put("\n#smtpd_milters = inet:127.0.0.1:11332\n", format!("\nsmtpd_milters = inet:{filter}\n"));
        put("\n#milter_default_action", "\nmilter_default_action".to_owned());
    }
    main
}

/// An instance of its own: its directories are gone with it, and it is stopped by its own process id, which is in one of them.
pub(crate) struct Postfix {
    dir: tempfile::TempDir,
    /// Where it takes mail.
    smtp: SocketAddr,
    /// Where it does so from two connections a minute.
    rated: SocketAddr,
}

impl Postfix {
    /// Starts it with the files of `deploy/postfix`, the ports of this test and the clients' network taken for a foreign one.
    fn start(lmtp: SocketAddr, lookup: SocketAddr, filter: Option<SocketAddr>) -> Self {
        let dir = tempfile::Builder::new().prefix("postfix-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postfix = Self { dir, smtp: free_address(), rated: free_address() };
        for part in ["etc", "queue", "data"] {
            std::fs::create_dir(postfix.path(part)).unwrap();
        }
        let main = main_cf(lmtp, lookup, filter);
        let mut checks = shipped("header_checks");
        if filter.is_none() {
            // In its place: it adds the field after the sender's own was stripped.
            checks += "/^Subject: winnings/ PREPEND X-Spam: Yes\n";
        }
        let master = std::fs::read_to_string(MASTER).unwrap();
        let public =
            master.lines().find(|line| line.starts_with("smtp ") && line.contains(" inet ")).unwrap();
        let ours = format!(
            "{} inet n - y - - smtpd\n{} inet n - y - - smtpd\n  -o smtpd_client_connection_rate_limit=2",
            postfix.smtp, postfix.rated
        );
        for (name, text) in
            [("main.cf", main), ("header_checks", checks), ("master.cf", master.replace(public, &ours))]
        {
            std::fs::write(postfix.path("etc").join(name), text).unwrap();
        }
        let (dir, etc) = (postfix.dir.path().display(), postfix.path("etc").display().to_string());
        let settings = [
            format!("queue_directory={dir}/queue"),
            format!("data_directory={dir}/data"),
            format!("maillog_file={dir}/log"),
            format!("maillog_file_prefixes={dir}"),
            "inet_interfaces=127.0.0.1".to_owned(),
            "mynetworks=192.0.2.0/24".to_owned(),
            "myorigin=acme.example".to_owned(),
            "smtpd_tls_security_level=none".to_owned(),
            "smtpd_tls_cert_file=".to_owned(),
            "smtpd_tls_key_file=".to_owned(),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let of_it = ["-c", etc.as_str()];
        for (program, arguments) in [
            ("chown", &["postfix", postfix.path("data").to_str().unwrap()][..]),
            ("postconf", &[&of_it[..], &["-e"], &settings].concat()),
            ("postfix", &[&of_it[..], &["start"]].concat()),
        ] {
            let output = run(program, arguments);
            assert!(output.status.success(), "{program}: {}{}", stderr(&output), postfix.log());
        }
        postfix
    }

    fn path(&self, part: &str) -> PathBuf {
        self.dir.path().join(part)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs a program of Postfix's for this instance.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let etc = self.path("etc");
        run(program, &[&["-c", etc.to_str().unwrap()], arguments].concat())
    }

    /// What a map says of a key, by the program that Postfix has for it; nothing where it says no.
    fn asked(&self, map: &str, key: &str) -> String {
        let maps = stdout(&self.run("postconf", &["-h", map]));
        let output = self.run("postmap", &["-q", key, maps.trim()]);
        let said = stdout(&output);
        assert_eq!(output.status.success(), !said.is_empty(), "{}", stderr(&output));
        said.trim().to_owned()
    }

    pub(crate) async fn client(&self) -> Smtp {
        let mut smtp = Smtp::connect(self.smtp).await.unwrap();
        let offered = smtp.ehlo().await.unwrap();
        assert!(!offered.iter().any(|extension| extension == "CHUNKING"), "{offered:?}");
        smtp
    }

    pub(crate) async fn send(&self, from: &str, to: &[&str], message: &str) {
        let reply = self.client().await.submit(from, to, message.as_bytes()).await.unwrap();
        assert!(reply.is_positive(), "{reply}");
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let output = self.run("postfix", &["stop"]);
        if std::thread::panicking() {
            eprintln!("{}{}", stderr(&output), self.log());
        }
    }
}

/// A server with Ada and Bob, always on the same ports, and Postfix before it.
pub(crate) struct Scene {
    pub(crate) postfix: Postfix,
    server: Option<Server>,
    settings: Vec<(&'static str, String)>,
    world: World,
    data: tempfile::TempDir,
}

impl Scene {
    /// With rspamd, or another milter, that listens there.
    pub(crate) async fn new(filter: Option<SocketAddr>) -> Self {
        let (world, data) = (World::new().await, data_dir());
        for local in ["ada", "bob"] {
            world.user(local, None).await;
        }
        let (lmtp, lookup) = (free_address(), free_address());
        let settings = vec![
            ("PILLARBOX_DATABASE_URL", world.test_db.url()),
            ("PILLARBOX_LMTP_LISTEN", lmtp.to_string()),
            ("PILLARBOX_LOOKUP_LISTEN", lookup.to_string()),
        ];
        let postfix = Postfix::start(lmtp, lookup, filter);
        let mut scene = Self { postfix, server: None, settings, world, data };
        scene.start().await;
        scene
    }

    async fn start(&mut self) {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.server = Some(Server::start(BINARY.as_ref(), self.data.path(), &settings).await.unwrap());
    }

    async fn stop(&mut self) {
        self.server.take().unwrap().stop().await.unwrap();
    }

    /// Waits until a folder of a user's has so many messages, and answers the last one.
    pub(crate) async fn last_of(&self, local: &str, folder: &str, wanted: usize) -> String {
        let (started, at) = (Instant::now(), self.server.as_ref().unwrap().listening().imap);
        loop {
            let mut imap = Imap::connect(at).await.unwrap();
            imap.login(&format!("{local}@acme.example"), world::PASSWORD).await.unwrap();
            let selected = imap.command(&format!("SELECT {folder}")).await.unwrap();
            if selected.untagged.contains(&format!("{wanted} EXISTS")) {
                return String::from_utf8(imap.fetch(wanted).await.unwrap().1).unwrap();
            }
            assert!(started.elapsed() < PATIENCE, "{local} {folder}: {:?}", selected.untagged);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "postfix: takes Debian's Postfix, and root"]
async fn postfix_knows_the_recipients_and_hands_mail_over() {
    let scene = Scene::new(None).await;
    let postfix = &scene.postfix;
    assert_eq!(postfix.asked("virtual_mailbox_domains", "Acme.example"), "acme.example");
    assert_eq!(postfix.asked("virtual_mailbox_domains", "elsewhere.example"), "");
    assert!(postfix.asked("virtual_mailbox_maps", "Ada+x@acme.example").starts_with("mbx_"));
    assert_eq!(postfix.asked("virtual_mailbox_maps", "nobody@acme.example"), "");

    let long = "long ".repeat(1000);
    // What is attached has a header too.
    let attached = format!("Subject: attached\r\nX-Spam: Yes\r\n\r\n.dot\r\n{long}\r\n");
    let message = format!(
        "Subject: minutes\r\nx-spam: Yes\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n{attached}"
    );
    postfix.send("eve@example.org", &["Ada+Lists@ACME.example", "postmaster@acme.example"], &message).await;
    let stored = scene.last_of("ada", "INBOX", 1).await;
    let (header, body) = stored.split_once("\r\n\r\n").unwrap();
    assert!(header.starts_with("Return-Path: <eve@example.org>\r\n"), "{header}");
    assert!(!header.to_lowercase().contains("x-spam"), "what the sender says is stripped: {header}");
    assert_eq!(body, attached, "and nothing else is touched");

    postfix.send("", &["ada@acme.example"], "Subject: winnings\r\n\r\nbuy\r\n").await;
    assert!(scene.last_of("ada", "Junk", 1).await.contains("\r\nX-Spam: Yes\r\n"));

    let mut smtp = postfix.client().await;
    assert_eq!(smtp.command("MAIL FROM:<eve@example.org>").await.unwrap().code, 250);
    for (to, code, enhanced) in [
        ("nobody@acme.example", 550, "5.1.1"),
        ("ada@elsewhere.example", 554, "5.7.1"),
        ("root@[127.0.0.1]", 550, "5.1.1"),
        ("Jürgen@acme.example", 553, "5.6.7"),
        ("bob@acme.example", 250, "2.1.5"),
    ] {
        let told = smtp.command(&format!("RCPT TO:<{to}>")).await.unwrap();
        assert_eq!((told.code, told.enhanced()), (code, enhanced), "{to}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "postfix: takes Debian's Postfix, and root"]
async fn postfix_keeps_mail_while_the_server_is_away() {
    let mut scene = Scene::new(None).await;
    let mut smtp = scene.postfix.client().await;
    for line in ["MAIL FROM:<eve@example.org>", "RCPT TO:<ada@acme.example>"] {
        assert_eq!(smtp.command(line).await.unwrap().code, 250, "{line}");
    }
    scene.stop().await;
    assert!(smtp.data(b"Subject: kept\r\n\r\nhello\r\n").await.unwrap().is_positive());
    let (started, mut queue) = (Instant::now(), String::new());
    while !queue.contains("\"delay_reason\"") {
        assert!(started.elapsed() < PATIENCE, "{queue}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        queue = stdout(&scene.postfix.run("postqueue", &["-j"]));
    }
    assert!(queue.contains("\"ada@acme.example\""), "{queue}");
    // Nobody is told that there is no such mailbox.
    let mut other = scene.postfix.client().await;
    assert_eq!(other.command("MAIL FROM:<eve@example.org>").await.unwrap().code, 250);
    for to in ["ada@acme.example", "nobody@acme.example"] {
        let told = other.command(&format!("RCPT TO:<{to}>")).await.unwrap();
        assert_eq!((told.code, told.enhanced()), (451, "4.3.0"), "{to}: {told}");
    }
    scene.start().await;
    assert_eq!(other.command("RCPT TO:<bob@acme.example>").await.unwrap().code, 250);
    assert!(other.data(b"Subject: after\r\n\r\nhello\r\n").await.unwrap().is_positive());
    assert!(scene.last_of("bob", "INBOX", 1).await.contains("Subject: after"));
    // Its queue manager remembers for 30 seconds what it was told last, also that it was told nothing.
    while !queue.is_empty() {
        assert!(started.elapsed() < 2 * PATIENCE, "{queue}");
        assert!(scene.postfix.run("postqueue", &["-f"]).status.success());
        tokio::time::sleep(Duration::from_secs(1)).await;
        queue = stdout(&scene.postfix.run("postqueue", &["-j"]));
    }
    assert!(scene.last_of("ada", "INBOX", 1).await.contains("Subject: kept"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "postfix: takes Debian's Postfix, and root"]
async fn postfix_tells_the_sender_of_a_full_mailbox() {
    let scene = Scene::new(None).await;
    scene.world.user("full", Some(100)).await;
    let to = ["full@acme.example", "ada@acme.example"];
    scene.postfix.send("bob@acme.example", &to, "Subject: much\r\n\r\nhello\r\n").await;
    assert!(scene.last_of("ada", "INBOX", 1).await.contains("Subject: much"));
    let told = scene.last_of("bob", "INBOX", 1).await;
    assert!(told.contains("Status: 5.2.2") && told.contains("rfc822; full@acme.example"), "{told}");
    assert!(told.contains("552 5.2.2 mailbox full") && told.contains("Subject: much"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "postfix: takes Debian's Postfix, and root"]
async fn postfix_refuses_what_is_smuggled_too_large_or_too_often() {
    let scene = Scene::new(None).await;
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n"] {
        let mut smtp = scene.postfix.client().await;
        for line in ["MAIL FROM:<eve@example.org>", "RCPT TO:<ada@acme.example>", "DATA"] {
            assert!(smtp.command(line).await.unwrap().code < 400, "{line}");
        }
        let message = format!("Subject: x\r\n\r\nx{end}MAIL FROM:<x@y.example>\r\n.\r\n");
        smtp.send(message.as_bytes()).await.unwrap();
        assert_eq!(smtp.read_reply().await.unwrap().code, 550, "{end:?}");
    }
    let mut smtp = scene.postfix.client().await;
    let told = smtp.command("MAIL FROM:<eve@example.org> SIZE=52000001").await.unwrap();
    assert_eq!((told.code, told.enhanced()), (552, "5.3.4"), "{told}");
    for _ in 0..2 {
        Smtp::connect(scene.postfix.rated).await.unwrap();
    }
    let refused = Smtp::connect(scene.postfix.rated).await.err().unwrap().to_string();
    assert!(refused.contains("421 4.7.0"), "{refused}");
    scene.postfix.send("", &["ada@acme.example"], "Subject: the only one\r\n\r\nx\r\n").await;
    assert!(scene.last_of("ada", "INBOX", 1).await.contains("the only one"));
}
