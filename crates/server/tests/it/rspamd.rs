//! Debian's rspamd between a Postfix and a running server, set up as `deploy/postfix` says: `make e2e` runs this where both are installed, as root.

use std::fs::{File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::postfix::{Scene, free_address, run};
use crate::stderr;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/postfix/rspamd");
/// Debian's own, as the package has it.
const CONFIG: &str = "/etc/rspamd/rspamd.conf";
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What rspamd rejects a message for; with a `Y` in place of the `X` its action is `add header`.
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// An instance of its own: its directory is gone with it.
struct Rspamd {
    child: Child,
    dir: tempfile::TempDir,
    /// Where Postfix asks it.
    milter: SocketAddr,
}

impl Rspamd {
    /// Starts it with the package's settings and the files of `deploy/postfix/rspamd`, on ports of its own, and so that it asks nobody: neither the
    /// DNS nor Redis.
    async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rspamd-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        for part in ["local.d", "override.d", "state"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        for file in std::fs::read_dir(DEPLOY).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join("local.d").join(file.file_name())).unwrap();
        }
        let milter = free_address();
        for (name, text) in settings(dir.path(), milter) {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let state = dir.path().join("state");
        let output = run("chown", &["_rspamd:_rspamd", state.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("rspamd");
        command.args(["-f", "-u", "_rspamd", "-g", "_rspamd", "-c", CONFIG]);
        command.arg(format!("--var=LOCAL_CONFDIR={}", dir.path().display()));
        for place in ["DBDIR", "RUNDIR", "LOGDIR"] {
            command.arg(format!("--var={place}={}", state.display()));
        }
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let (rspamd, started) = (Self { child, dir, milter }, Instant::now());
        while TcpStream::connect(milter).await.is_err() {
            assert!(started.elapsed() < PATIENCE, "rspamd does not listen");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        rspamd
    }
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        // Its processes end with it.
        // The shell has a kill of its own; the program is not on every machine.
        let _ = Command::new("sh").args(["-c", "kill \"$0\"", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
    }
}

/// What is set for a test alone, and over what is shipped.
fn settings(dir: &Path, milter: SocketAddr) -> [(&'static str, String); 8] {
    let (scanner, nobody, tld) = (free_address(), free_address(), dir.join("tld"));
    let tld = tld.display();
    [
        (
            "override.d/worker-proxy.inc",
            format!(
                "bind_socket = \"{milter}\";\nupstream \"local\" {{\n default = yes;\n hosts = \"{scanner}\";\n}}\n"
            ),
        ),
        ("override.d/worker-normal.inc", format!("bind_socket = \"{scanner}\";\n")),
        ("override.d/worker-controller.inc", "count = -1;\n".to_owned()),
        ("override.d/logging.inc", "type = \"console\";\n".to_owned()),
        ("override.d/redis.conf", format!("servers = \"{nobody}\";\n")),
        ("override.d/fuzzy_check.conf", "enabled = false;\n".to_owned()),
        // The list of all top-level domains takes it some ten seconds to compile. Patterns other than GTUBE's own are for tests: the setting's name
        // is the first one up to 3.7.
        (
            "override.d/options.inc",
            format!(
                "dns {{\n nameserver = [\"{nobody}\"];\n}}\nurl_tld = \"{tld}\";\nenable_test_patterns = true;\ngtube_patterns = \"all\";\n"
            ),
        ),
        ("tld", "example\n".to_owned()),
    ]
}

/// A message with nothing bad about it but what is given.
fn message(subject: &str, fields: &str, text: &str) -> String {
    format!(
        "From: Eve <eve@example.org>\r\nTo: ada@acme.example\r\nSubject: {subject}\r\n{fields}\r\n{text}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "rspamd: takes Debian's Postfix and rspamd, and root"]
async fn what_rspamd_marks_goes_into_junk_whatever_its_sender_says() {
    let rspamd = Rspamd::start().await;
    let scene = Scene::new(Some(rspamd.milter)).await;
    let (postfix, to) = (&scene.postfix, ["ada@acme.example"]);
    let spam = GTUBE.replacen('X', "Y", 1);

    postfix.send("eve@example.org", &to, &message("minutes", "X-Spam: Yes\r\n", "hello")).await;
    let stored = scene.last_of("ada", "INBOX", 1).await;
    assert!(stored.contains("Subject: minutes") && !stored.contains("X-Spam"), "{stored}");

    // Its field comes last: the sender can have put much before it.
    let long = "A: 123456789012\r\n".repeat(20_000);
    let own = ["X-Spam: No\r\nx-spam : no\r\n", long.as_str()];
    for (number, own) in (1..).zip(own) {
        postfix.send("eve@example.org", &to, &message("winnings", own, &spam)).await;
        let stored = scene.last_of("ada", "Junk", number).await;
        let (header, _) = stored.split_once("\r\n\r\n").unwrap();
        assert!(header.ends_with("\r\nX-Spam: Yes"), "{}", &header[..header.len().min(2000)]);
        assert_eq!(header.to_lowercase().matches("x-spam").count(), 1);
    }

    let rejected = message("winnings", "", GTUBE);
    let told = postfix.client().await.submit("eve@example.org", &to, rejected.as_bytes()).await.unwrap();
    assert_eq!((told.code, told.enhanced()), (554, "5.7.1"), "{told}");
    // Nothing comes in unfiltered.
    drop(rspamd);
    let told = postfix.client().await.command("MAIL FROM:<eve@example.org>").await.unwrap();
    assert_eq!((told.code, told.enhanced()), (451, "4.7.1"), "{told}");
}
