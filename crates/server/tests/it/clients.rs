//! Mail programs that people use, against a running server, there and back and a second time: `make e2e` runs these where the programs are
//! installed (`make clients` installs them on Debian).

mod again;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use secrecy::ExposeSecret as _;
use tenancy::app_password::{self, NewAppPassword};
use tenancy::policy::Capability;
use testkit::client::imap::Imap;
use testkit::client::lmtp::Lmtp;
use testkit::story::server::Server;
use testkit::{TestDb, World, world};

use crate::{BINARY, data_dir, pillarbox, stderr, stdout};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/mail");
/// How many messages are made beside those that are shipped.
const MADE: usize = 200;

/// A server with a user whose Inbox has hundreds of messages, and a folder for what a client keeps.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) address: String,
    pub(crate) home: tempfile::TempDir,
    pub(crate) messages: usize,
    user_id: kernel::UserId,
    mailbox_id: kernel::MailboxId,
    world: World,
    data: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (world, data, home) = (World::new().await, data_dir(), tempfile::tempdir().unwrap());
        let ada = world.user("ada", None).await;
        let settings = settings(&world, data.path());
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let imported = pillarbox(data.path(), &settings, &["import", "--mailbox", &ada.address, SHIPPED]);
        let said = stdout(&imported);
        let taken =
            said.strip_prefix("taken ").and_then(|rest| rest.split(',').next()?.parse::<usize>().ok());
        let taken = taken.unwrap_or_else(|| panic!("{said}{}", stderr(&imported)));
        let server = Server::start(BINARY.as_ref(), data.path(), &settings).await.unwrap();
        let mut lmtp = Lmtp::connect(server.listening().lmtp).await.unwrap();
        for number in 0..MADE {
            let text = format!(
                "From: eve@example.org\r\nSubject: made {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\nNumber {number}.\r\n"
            );
            assert!(
                lmtp.deliver("eve@example.org", &[&ada.address], text.as_bytes())
                    .await
                    .unwrap()
                    .is_complete()
            );
        }
        Self {
            server,
            address: ada.address.to_string(),
            home,
            messages: taken + MADE,
            user_id: ada.id,
            mailbox_id: ada.mailbox_id,
            world,
            data,
        }
    }

    /// The same after its database was lost and made anew out of the bucket.
    async fn recovered(mut self) -> Self {
        assert!(self.server.stop().await.unwrap().success());
        self.world.test_db = TestDb::blank().await;
        let settings = settings(&self.world, self.data.path());
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let recovered = pillarbox(self.data.path(), &settings, &["recover"]);
        assert!(recovered.status.success(), "{}{}", stdout(&recovered), stderr(&recovered));
        self.server = Server::start(BINARY.as_ref(), self.data.path(), &settings).await.unwrap();
        self
    }

    fn port(&self) -> u16 {
        self.server.listening().imap.port()
    }

    pub(crate) async fn imap(&self) -> Imap {
        let mut imap = Imap::connect(self.server.listening().imap).await.unwrap();
        imap.login(&self.address, world::PASSWORD).await.unwrap();
        imap
    }

    /// How many messages a folder has.
    async fn count(&self, folder: &str) -> usize {
        let status =
            self.imap().await.command(&format!("STATUS {folder} (MESSAGES)")).await.unwrap().ok().unwrap();
        let count = status[0].rsplit_once("MESSAGES ").unwrap().1;
        count.trim_end_matches(')').parse().unwrap()
    }

    /// A new app password for IMAP.
    async fn app_password(&self) -> String {
        let new =
            NewAppPassword { name: "laptop".to_owned(), protocols: vec![Capability::Imap], expires_at: None };
        let (_, secret) = app_password::create(&self.world.ctx, self.user_id, new).await.unwrap();
        secret.expose_secret().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn settings(world: &World, data: &Path) -> [(&'static str, String); 3] {
    [
        ("PILLARBOX_DATABASE_URL", world.test_db.url()),
        ("PILLARBOX_BLOB_URL", format!("file://{}", data.join("bodies").display())),
        ("PILLARBOX_KEY_ENCRYPTION_KEYS", testkit::kek::text()),
    ]
}

/// Runs a program that must be there and succeed: what it says.
pub(crate) fn run(program: &str, arguments: &[&str], home: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("HOME", home)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `make clients` installs it"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

/// What mail a file holds, of whatever charset.
pub(crate) fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// The messages of a Maildir, by path.
fn maildir(dir: &Path) -> BTreeSet<PathBuf> {
    let parts = ["cur", "new"].map(|part| dir.join(part));
    let files = parts.iter().flat_map(|part| std::fs::read_dir(part).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes isync's mbsync"]
async fn clients_mbsync_keeps_both_sides_the_same() {
    let scene = Scene::new().await;
    let home = scene.home.path().display();
    let rc = scene.write(
        "mbsyncrc",
        &format!(
            "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser {}\nPass \"{}\"\nSSLType None\nAuthMechs LOGIN\n\n\
             IMAPStore far\nAccount a\n\nMaildirStore near\nPath {home}/near/\nInbox {home}/near/INBOX\nSubFolders Verbatim\n\n\
             Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
            scene.port(),
            scene.address,
            world::PASSWORD
        ),
    );
    let near = scene.home.path().join("near");
    std::fs::create_dir(&near).unwrap();
    let sync = || run("mbsync", &["-c", rc.to_str().unwrap(), "-a"], scene.home.path());
    sync();
    let inbox = near.join("INBOX");
    let first = maildir(&inbox);
    // One of those that are shipped has a header that does not end: mbsync says so, and leaves it.
    assert_eq!(first.len(), scene.messages - 1);
    sync();
    assert_eq!(maildir(&inbox), first, "the second time nothing is fetched");

    // There: a message that was written here, and one that was read and deleted here. Back: what was done there meanwhile.
    std::fs::write(inbox.join("new/1.here"), "Subject: from here\n\nwritten here\n").unwrap();
    let some = first.iter().next().unwrap();
    std::fs::remove_file(some).unwrap();
    let mut imap = scene.imap().await;
    imap.command("SELECT INBOX").await.unwrap().ok().unwrap();
    imap.command("STORE * +FLAGS (\\Seen \\Flagged)").await.unwrap().ok().unwrap();
    imap.append("Drafts", b"Subject: from there\r\n\r\nwritten there\r\n").await.unwrap().ok().unwrap();
    sync();
    assert_eq!(scene.count("INBOX").await, scene.messages, "one more and one less");
    assert_eq!(maildir(&inbox).len(), first.len());
    let flagged = maildir(&inbox).iter().filter(|path| path.to_string_lossy().ends_with("2,FS")).count();
    assert_eq!(flagged, 1);
    assert_eq!(maildir(&near.join("Drafts")).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes isync's mbsync and Cyrus' SCRAM"]
async fn clients_mbsync_proves_an_app_password_and_compresses() {
    let scene = Scene::new().await;
    let home = scene.home.path().display();
    let rc = scene.write(
        "mbsyncrc",
        &format!(
            "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser {}\nPass \"{}\"\nSSLType None\nAuthMechs SCRAM-SHA-256\n\n\
             IMAPStore far\nAccount a\n\nMaildirStore near\nPath {home}/near/\nInbox {home}/near/INBOX\n\n\
             Channel c\nFar :far:INBOX\nNear :near:INBOX\nCreate Near\nSyncState *\n",
            scene.port(),
            scene.address,
            scene.app_password().await
        ),
    );
    std::fs::create_dir(scene.home.path().join("near")).unwrap();
    let said = run("mbsync", &["-Dn", "-c", rc.to_str().unwrap(), "-a"], scene.home.path());
    assert!(said.contains("AUTHENTICATE SCRAM-SHA-256") && said.contains("COMPRESS DEFLATE"), "{said:.2000}");
    assert_eq!(maildir(&scene.home.path().join("near/INBOX")).len(), scene.messages - 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes neomutt and script"]
async fn clients_neomutt_comes_back_and_knows_what_it_knew() {
    let scene = Scene::new().await;
    let home = scene.home.path();
    std::fs::create_dir(home.join("cache")).unwrap();
    let rc = scene.write(
        "neomuttrc",
        &format!(
            "set folder=\"imap://{user}@127.0.0.1:{port}/\"\nset spoolfile=+INBOX\nset imap_user=\"{user}\"\nset imap_pass=\"{password}\"\n\
             set imap_condstore=yes imap_qresync=yes ssl_starttls=no ssl_force_tls=no header_cache=\"{home}/cache\"\n\
             set quit=yes delete=yes move=no mark_old=no wait_key=no\n",
            user = scene.address,
            port = scene.port(),
            password = world::PASSWORD,
            home = home.display()
        ),
    );
    let neomutt = |keys: &str| {
        let log = home.join("log");
        let command = format!("neomutt -F {} -d 3 -l {} -e 'push \"{keys}\"'", rc.display(), log.display());
        run("env", &["TERM=xterm", "script", "-qefc", &command, "/dev/null"], home);
        read(&home.join("log0"))
    };
    let first = neomutt("<first-entry><flag-message><next-entry><delete-message><sync-mailbox><quit>");
    assert!(first.contains("ENABLE QRESYNC") && first.contains("BODY.PEEK[HEADER.FIELDS"));
    assert_eq!(scene.count("INBOX").await, scene.messages - 1);
    let mut imap = scene.imap().await;
    imap.command("SELECT INBOX").await.unwrap().ok().unwrap();
    assert_eq!(imap.command("SEARCH FLAGGED").await.unwrap().untagged, ["SEARCH 1"]);
    // Gone while it was away.
    imap.command("STORE 2:4 +FLAGS.SILENT (\\Deleted)").await.unwrap().ok().unwrap();
    imap.command("EXPUNGE").await.unwrap().ok().unwrap();
    let second = neomutt("<last-entry><flag-message><sync-mailbox><quit>");
    assert!(
        second.contains("CHANGEDSINCE") && second.contains("Handling VANISHED"),
        "it was told what is gone"
    );
    // It fetches as many anew as are gone, whose numbers others have now, and the rest not.
    let all = |line: &str| line.contains("FETCH 1:") && line.contains("BODY.PEEK[HEADER.FIELDS");
    assert!(!second.lines().any(all), "the second time they are not fetched");
    imap.command("NOOP").await.unwrap().ok().unwrap();
    assert_eq!(
        imap.command("SEARCH FLAGGED").await.unwrap().untagged,
        [format!("SEARCH 1 {}", scene.messages - 4)]
    );
}

/// Has mpop fetch what is new: all that it has fetched.
fn mpop(scene: &Scene) -> BTreeSet<PathBuf> {
    let home = scene.home.path();
    let mail = home.join("mpop");
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(mail.join(part)).unwrap();
    }
    let rc = scene.write(
        "mpoprc",
        &format!(
            "account a\nhost 127.0.0.1\nport {}\nuser {}\npassword {}\ntls off\nauth plain\nkeep on\nuidls_file {home}/uidls\ndelivery maildir {home}/mpop\n",
            scene.server.listening().pop3.port(),
            scene.address,
            world::PASSWORD,
            home = home.display()
        ),
    );
    std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    run("mpop", &["-q", "-C", rc.to_str().unwrap(), "-a"], home);
    maildir(&mail)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes mpop"]
async fn clients_mpop_fetches_each_once() {
    let scene = Scene::new().await;
    let first = mpop(&scene);
    assert_eq!(first.len(), scene.messages);
    assert_eq!(mpop(&scene), first, "the second time nothing is fetched");
}

/// Has offlineimap make both sides the same: its Inbox.
fn offlineimap(scene: &Scene) -> BTreeSet<PathBuf> {
    let home = scene.home.path().display();
    let rc = scene.write(
        "offlineimaprc",
        &format!(
            "[general]\naccounts = a\nmetadata = {home}/meta\nui = quiet\n[Account a]\nlocalrepository = l\nremoterepository = r\n\
             [Repository l]\ntype = Maildir\nlocalfolders = {home}/offlineimap\n[Repository r]\ntype = IMAP\nremotehost = 127.0.0.1\n\
             remoteport = {}\nremoteuser = {}\nremotepass = {}\nssl = no\nstarttls = no\n",
            scene.port(),
            scene.address,
            world::PASSWORD
        ),
    );
    run("offlineimap", &["-c", rc.to_str().unwrap(), "-o"], scene.home.path());
    maildir(&scene.home.path().join("offlineimap/INBOX"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes offlineimap3"]
async fn clients_offlineimap_keeps_both_sides_the_same() {
    let scene = Scene::new().await;
    let first = offlineimap(&scene);
    assert_eq!(first.len(), scene.messages);
    assert_eq!(offlineimap(&scene), first, "the second time nothing is fetched");

    // Here: one is written, one is marked, one is deleted.
    let inbox = scene.home.path().join("offlineimap/INBOX");
    std::fs::write(inbox.join("new/1.here"), "Subject: from here\n\nwritten here\n").unwrap();
    let holding = |text: &str| first.iter().find(|path| read(path).contains(text)).unwrap();
    // Both are looked for before either is gone.
    let (marked, deleted) = (holding("Number 3."), holding("Number 4."));
    let name = marked.file_name().unwrap().to_str().unwrap();
    let (unmarked, _) = name.split_once(":2,").unwrap();
    std::fs::rename(marked, inbox.join(format!("cur/{unmarked}:2,FS"))).unwrap();
    std::fs::remove_file(deleted).unwrap();
    let second = offlineimap(&scene);
    assert_eq!((second.len(), scene.count("INBOX").await), (scene.messages, scene.messages));
    let mut imap = scene.imap().await;
    imap.command("SELECT INBOX").await.unwrap().ok().unwrap();
    for (wanted, count) in [
        ("SUBJECT \"from here\"", 1),
        ("FLAGGED SEEN HEADER MESSAGE-ID \"<3@example.org>\"", 1),
        ("FLAGGED", 1),
        ("HEADER MESSAGE-ID \"<4@example.org>\"", 0),
    ] {
        let found = imap.command(&format!("SEARCH {wanted}")).await.unwrap().ok().unwrap();
        assert_eq!(found[0].split_whitespace().count(), 1 + count, "{wanted}: {found:?}");
    }

    let status = "STATUS INBOX (MESSAGES UIDNEXT HIGHESTMODSEQ)";
    let before = scene.imap().await.command(status).await.unwrap().ok().unwrap();
    assert_eq!(offlineimap(&scene), second, "the third time nothing is to be done here");
    let after = scene.imap().await.command(status).await.unwrap().ok().unwrap();
    assert_eq!(after, before, "nor there");
}

const IMAPLIB: &str = r#"
import imaplib, ssl, sys
port, user, password, wanted = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
imap = imaplib.IMAP4('127.0.0.1', port)
imap.starttls(ssl._create_unverified_context())
imap.login(user, password)
assert imap.select('INBOX')[1] == [str(wanted).encode()]
numbers = imap.search(None, 'ALL')[1][0].split()
assert len(numbers) == wanted
for number in numbers:
    data = imap.fetch(number, '(RFC822.SIZE BODY.PEEK[])')[1][0]
    size = int(data[0].split(b'RFC822.SIZE ')[1].split()[0])
    assert size == len(data[1]), (number, size, len(data[1]))
assert imap.append('"Two words"', None, None, b'x')[0] == 'NO'
imap.create('"Two words"')
assert imap.append('"Two words"', '(\\Seen)', imaplib.Time2Internaldate(0), b'Subject: x\r\n\r\nx\r\n')[0] == 'OK'
assert imap.uid('COPY', '1:3', '"Two words"')[0] == 'OK'
assert imap.status('"Two words"', '(MESSAGES UNSEEN)')[1][0].endswith(b'(MESSAGES 4 UNSEEN 3)')
assert imap.logout()[0] == 'BYE'
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes python3"]
async fn clients_python_s_imaplib_reads_everything() {
    let scene = Scene::new().await;
    let (port, messages) = (scene.port().to_string(), scene.messages.to_string());
    let arguments = ["-c", IMAPLIB, &port, &scene.address, world::PASSWORD, &messages];
    run("python3", &arguments, scene.home.path());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes curl and fetchmail"]
async fn clients_curl_and_fetchmail_fetch() {
    let scene = Scene::new().await;
    let home = scene.home.path();
    let pop3 = scene.server.listening().pop3.port();
    for (how, port) in [("imap", scene.port()), ("pop3 uidl", pop3)] {
        let to = home.join(how.replace(' ', "-"));
        let rc = scene.write(
            "fetchmailrc",
            &format!(
                "poll 127.0.0.1 service {port} protocol {how} user \"{}\" password \"{}\" sslproto \"\" keep mda \"cat >> {}\"\n",
                scene.address,
                world::PASSWORD,
                to.display()
            ),
        );
        std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let program = format!(
            "fetchmail -f {} --pidfile {home}/pid --idfile {home}/ids",
            rc.display(),
            home = home.display()
        );
        run("sh", &["-c", &program], home);
        let fetched = read(&to);
        assert_eq!(fetched.matches("Subject: made ").count(), MADE, "by {how}");
        // Its status says that there was none.
        run("sh", &["-c", &format!("{program}; test $? = 1")], home);
        assert_eq!(read(&to), fetched, "the second time nothing is fetched");
    }

    let user = format!("{}:{}", scene.address, world::PASSWORD);
    let inbox = format!("imaps://{}/INBOX", scene.server.listening().imaps);
    let curl = |url: &str| run("curl", &["-sSk", "--user", &user, url], home);
    assert_eq!(curl(&format!("{inbox}?SUBJECT%20%22made%2017%22")).split_whitespace().count(), 13);
    assert!(curl(&format!("{inbox};MAILINDEX={}", scene.messages)).contains("Number 199."));
}

const POPLIB: &str = r#"
import poplib, ssl, sys
port, user, password, wanted = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
# Some are longer than it takes by itself.
poplib._MAXLINE = 1 << 20
known = None
for turn in range(2):
    pop = poplib.POP3('127.0.0.1', port)
    pop.stls(ssl._create_unverified_context())
    pop.user(user)
    pop.pass_(password)
    assert pop.stat()[0] == wanted
    sizes = [int(line.split()[1]) for line in pop.list()[1]]
    uidls = [line.split()[1] for line in pop.uidl()[1]]
    assert len(set(uidls)) == wanted and uidls == (known or uidls)
    known = uidls
    assert sum(sizes) == pop.stat()[1]
    for number in range(1, wanted + 1):
        lines = pop.retr(number)[1]
        assert sum(len(line) + 2 for line in lines) == sizes[number - 1], number
        head = pop.top(number, 0)[1]
        assert lines[:len(head)] == head
    pop.dele(1)
    pop.rset()
    pop.quit()
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes python3"]
async fn clients_python_s_poplib_reads_everything_twice() {
    let scene = Scene::new().await;
    let (port, messages) = (scene.server.listening().pop3.port().to_string(), scene.messages.to_string());
    let arguments = ["-c", POPLIB, &port, &scene.address, world::PASSWORD, &messages];
    run("python3", &arguments, scene.home.path());
}

/// getmail forks for each message, and loses the end of a child that ends sooner than it waits for it (getmail6's issues 52, 226 and
/// 245): it stands still for `timeout` seconds and gives up. Python reads this first, and then it waits as one waits for a child.
const GETMAIL_WAITS: &str = "import os
from getmailcore.baseclasses import ForkingBase
ForkingBase._prepare_child = lambda self: None
ForkingBase._wait_for_child = lambda self, pid: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes getmail6"]
async fn clients_getmail_fetches_each_once_and_deletes_what_it_fetched() {
    let scene = Scene::new().await;
    let (at, messages, home) = (scene.server.listening(), scene.messages, scene.home.path());
    scene.write("sitecustomize.py", GETMAIL_WAITS);
    // By a command, since into a Maildir it delivers nothing as root.
    let getmail = |retriever: &str, port: u16, more: &[&str]| {
        let mail = home.join(retriever);
        for part in ["", "cur", "new"] {
            std::fs::create_dir_all(mail.join(part)).unwrap();
        }
        let rc = scene.write(
            "getmailrc",
            &format!(
                "[retriever]\ntype = {retriever}\nserver = 127.0.0.1\nport = {port}\nusername = {}\npassword = {}\ntimeout = 60\n\
                 [destination]\ntype = MDA_external\npath = /bin/sh\narguments = ('-c', 'cat > \"$(mktemp -p {}/new)\"')\n\
                 allow_root_commands = true\n[options]\nread_all = false\ndelivered_to = false\nreceived = false\n",
                scene.address,
                world::PASSWORD,
                mail.display()
            ),
        );
        let python = format!("PYTHONPATH={}", home.display());
        let [home_path, rc_path] = [home, &rc].map(|path| path.to_str().unwrap());
        let arguments = [&python, "getmail", "--getmaildir", home_path, "--rcfile", rc_path];
        let said = run("env", &[&arguments[..], more].concat(), home);
        (maildir(&mail), said)
    };
    let nothing = format!("0 messages (0 bytes) retrieved, {messages} skipped");
    let ways = [("SimplePOP3SSLRetriever", at.pop3s), ("SimpleIMAPSSLRetriever", at.imaps)];
    for (retriever, address) in ways {
        let (first, said) = getmail(retriever, address.port(), &[]);
        assert_eq!(first.len(), messages, "{said}");
        let (second, said) = getmail(retriever, address.port(), &[]);
        assert!(second == first && said.contains(&nothing), "the second time nothing is fetched: {said}");
    }
    assert_eq!(scene.count("INBOX").await, messages, "it left what it fetched");

    // What it knows that it fetched it deletes, and what is new it fetches and deletes.
    for (retriever, address) in ways {
        let new = scene.imap().await.append("INBOX", b"Subject: new\r\n\r\nnew\r\n").await.unwrap();
        new.ok().unwrap();
        let (third, said) = getmail(retriever, address.port(), &["--delete"]);
        assert_eq!((third.len(), scene.count("INBOX").await), (messages + 1, 0), "{said}");
    }
}
