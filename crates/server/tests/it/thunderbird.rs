//! Debian's Thunderbird against a running server, without a screen: `make e2e` runs this where it is installed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::world;

use crate::clients::{Scene, read, run};

/// Where the package puts it.
const INSTALLED: &str = "/usr/lib/thunderbird";
/// How long a session may take, from its start to its end.
const PATIENCE: Duration = Duration::from_secs(180);
/// The line that it puts before each message which it keeps.
const KEPT: &str = "\nX-Mozilla-Status: ";
const POLL: Duration = Duration::from_millis(100);

/// Beside its own defaults: when it starts it reads a script, which may do whatever the program may.
const DEFAULTS: &str = r#"pref("general.config.filename", "t.cfg");
pref("general.config.obscure_value", 0);
pref("general.config.sandbox_enabled", false);
"#;

/// The script, in the place of a user: it signs in, has the new messages fetched, says whenever it changes of how many of the messages in
/// the Inbox the bodies are there, and stars a message and quits when it is told to, by files. `setting` is of the profile.
const SCRIPT: &str = r#"// Thunderbird skips the first line.
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const { IOUtils } = Cu.getGlobalForObject(setTimeout);
const setting = name => Services.prefs.getStringPref("pillarbox." + name);
const told = what => IOUtils.exists(setting("home") + "/" + what);
const say = text => IOUtils.writeUTF8(setting("home") + "/said", text + "\n", { mode: "appendOrCreate" });

const trust = async server => {
  const at = "imap://127.0.0.1";
  const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
  login.init(at, null, at, server.username, setting("password"), "", "");
  await Services.logins.initializationPromise;
  const known = await Services.logins.searchLoginsAsync({ origin: at });
  if (!known.length) await Services.logins.addLoginAsync(login);
  const certificates = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
  const certificate = certificates.constructX509FromBase64(setting("certificate"));
  const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
  overrides.rememberValidityOverride("127.0.0.1", server.port, {}, certificate, false);
};

const use = async () => {
  const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
  const server = MailServices.accounts.getAccount("account1").incomingServer;
  await trust(server);
  server.performExpand(null);
  let opened = false, starred = false, last = "";
  while (!(await told("quit"))) {
    await new Promise(done => setTimeout(done, 100));
    const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
    if (!inbox) continue;
    if (!opened) inbox.getNewMessages(null, null);
    opened = true;
    const messages = [...inbox.msgDatabase.enumerateMessages()];
    const offline = messages.filter(message => message.flags & Ci.nsMsgMessageFlags.Offline);
    const now = offline.length + " of " + messages.length;
    if (now != last) await say(last = now);
    if (!starred && (await told("star"))) {
      inbox.markMessagesFlagged(messages.filter(message => message.subject == "to be starred"), true);
      starred = true;
    }
  }
  Services.startup.quit(Ci.nsIAppStartup.eForceQuit);
};
Services.obs.addObserver(() => use().catch(error => say(error + " " + error.stack)), "mail-startup-done");
"#;

/// A copy of the program, since what it reads the script from lies beside it, and a profile with an account.
fn set_up(scene: &Scene) {
    let (home, app) = (scene.home.path(), scene.home.path().join("app"));
    let app_path = app.to_str().unwrap();
    std::fs::create_dir(home.join("profile")).unwrap();
    run("cp", &["-as", INSTALLED, app_path], home);
    // It looks for the rest where it lies itself, so that it is no link, nor is what is changed here.
    for part in ["thunderbird", "defaults"] {
        std::fs::remove_file(app.join(part)).unwrap();
    }
    let program = format!("{INSTALLED}/thunderbird-bin");
    run("cp", &["-L", &program, app.join("thunderbird").to_str().unwrap()], home);
    run("cp", &["-rL", &format!("{INSTALLED}/defaults"), app_path], home);
    std::fs::write(app.join("defaults/pref/t.js"), DEFAULTS).unwrap();
    std::fs::write(app.join("t.cfg"), SCRIPT).unwrap();

    let certificate = read(&scene.server.data_dir().join("tls/certificate.pem"));
    let certificate: String = certificate.lines().filter(|line| !line.starts_with('-')).collect();
    let server = "mail.server.server1";
    let texts = [
        ("mail.accountmanager.accounts", "account1"),
        ("mail.account.account1.server", "server1"),
        ("mail.account.account1.identities", "id1"),
        ("mail.identity.id1.useremail", &scene.address),
        (&format!("{server}.type"), "imap"),
        (&format!("{server}.hostname"), "127.0.0.1"),
        (&format!("{server}.userName"), &scene.address),
        (&format!("{server}.name"), "a"),
        ("pillarbox.home", home.to_str().unwrap()),
        ("pillarbox.password", world::PASSWORD),
        ("pillarbox.certificate", &certificate),
    ];
    // TLS from the start, and the password as it is. It asks nobody outside: there is no DNS.
    let others = [
        (&format!("{server}.port")[..], scene.server.listening().imaps.port().to_string()),
        (&format!("{server}.socketType"), "3".to_owned()),
        (&format!("{server}.authMethod"), "3".to_owned()),
        (&format!("{server}.offline_download"), true.to_string()),
        ("mail.provider.suppress_dialog_on_startup", true.to_string()),
        ("mailnews.start_page.enabled", false.to_string()),
        ("network.dns.disabled", true.to_string()),
    ];
    let texts = texts.iter().map(|(name, text)| format!("user_pref({name:?}, {text:?});\n"));
    let others = others.iter().map(|(name, value)| format!("user_pref({name:?}, {value});\n"));
    scene.write("profile/user.js", &texts.chain(others).collect::<String>());
}

/// A running Thunderbird, killed when dropped; [`Session::quit`] is the orderly end.
struct Session<'a> {
    child: Child,
    home: &'a Path,
    deadline: Instant,
}

impl<'a> Session<'a> {
    fn start(home: &'a Path) -> Self {
        for old in ["said", "star", "quit", "log.moz_log"] {
            let _ = std::fs::remove_file(home.join(old));
        }
        let output = std::fs::File::create(home.join("output")).unwrap();
        let child = Command::new(home.join("app/thunderbird"))
            .args(["--headless", "--no-remote", "--profile"])
            .arg(home.join("profile"))
            .env("HOME", home)
            // What it writes at once is not lost when it ends.
            .env("MOZ_LOG", "sync,IMAP:4")
            .env("MOZ_LOG_FILE", home.join("log"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, home, deadline: Instant::now() + PATIENCE }
    }

    fn tell(&self, what: &str) {
        std::fs::write(self.home.join(what), "").unwrap();
    }

    /// What it said until now.
    fn said(&self) -> String {
        std::fs::read_to_string(self.home.join("said")).unwrap_or_default()
    }

    /// Waits a moment for something, unless the session has taken too long.
    async fn wait(&self, what: &str) {
        let late = Instant::now() > self.deadline;
        assert!(!late, "{what} did not come: {}\n{}", self.said(), read(&self.home.join("output")));
        tokio::time::sleep(POLL).await;
    }

    /// Waits until it has so many messages with their bodies, and no others.
    async fn has(&self, messages: usize) {
        let wanted = format!("{messages} of {messages}");
        while self.said().lines().next_back() != Some(&wanted) {
            self.wait(&wanted).await;
        }
    }

    /// Quits it: of which UIDs it asked for the bodies, by its log, and the file that it keeps them in.
    async fn quit(mut self) -> (Vec<String>, String) {
        self.tell("quit");
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.wait("its end").await;
        };
        assert!(status.success(), "{status}: {}", read(&self.home.join("output")));
        let log = read(&self.home.join("log.moz_log"));
        let asked = log.lines().filter(|line| line.contains(":SendData: ") && line.contains("BODY.PEEK[])"));
        let asked = asked.map(|line| line.rsplit_once(" UID fetch ").unwrap().1);
        let asked = asked.map(|what| what.split_once(' ').unwrap().0.to_owned()).collect();
        (asked, read(&self.home.join("profile/ImapMail/127.0.0.1/INBOX")))
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // Nothing to do where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes Debian's Thunderbird"]
async fn thunderbird_fetches_each_once_and_stars() {
    let scene = Scene::new().await;
    let (home, messages) = (scene.home.path(), scene.messages);
    set_up(&scene);
    let session = Session::start(home);
    session.has(messages).await;
    let (asked, first) = session.quit().await;
    assert_eq!(first.matches(KEPT).count(), messages, "each is kept once: {asked:?}");

    let mut imap = scene.imap().await;
    let new = imap.append("INBOX", b"Subject: to be starred\r\n\r\nWritten meanwhile.\r\n").await.unwrap();
    new.ok().unwrap();
    let session = Session::start(home);
    session.has(messages + 1).await;
    imap.command("SELECT INBOX").await.unwrap().ok().unwrap();
    session.tell("star");
    let starred = [format!("SEARCH {}", messages + 1)];
    while imap.command("SEARCH FLAGGED").await.unwrap().untagged != starred {
        session.wait("the star").await;
        imap.command("NOOP").await.unwrap().ok().unwrap();
    }
    let (asked, second) = session.quit().await;
    assert_eq!(asked, [(messages + 1).to_string()], "what it has is not fetched again");
    let added = second.strip_prefix(&first).expect("what it has stays as it is");
    assert_eq!((added.matches(KEPT).count(), added.matches("Written meanwhile.").count()), (1, 1));
}
