//! Programs that people send mail with, against a running server: `make e2e` runs these where the programs are installed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::client::imap::Imap;
use testkit::story::server::Server;
use testkit::{World, world};

use crate::{BINARY, data_dir};

/// A server with Ada, who sends, and Bob.
struct Scene {
    server: Server,
    home: tempfile::TempDir,
    _world: World,
    _data: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (world, data, home) = (World::new().await, data_dir(), tempfile::tempdir().unwrap());
        for local in ["ada", "bob"] {
            world.user(local, None).await;
        }
        let url = world.test_db.url();
        let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
        let server = Server::start(BINARY.as_ref(), data.path(), &settings).await.unwrap();
        Self { server, home, _world: world, _data: data }
    }

    /// Waits until Bob has so many messages, and answers the last one.
    async fn last_of(&self, wanted: usize) -> String {
        let started = Instant::now();
        loop {
            let mut imap = Imap::connect(self.server.listening().imap).await.unwrap();
            imap.login("bob@acme.example", world::PASSWORD).await.unwrap();
            let selected = imap.command("SELECT INBOX").await.unwrap();
            if selected.untagged.contains(&format!("{wanted} EXISTS")) {
                let fetched = imap.command(&format!("FETCH {wanted} BODY.PEEK[]")).await.unwrap();
                return format!("{fetched:?}");
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{:?}", selected.untagged);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn run(program: &str, arguments: &[&str], home: &Path) {
    let output = Command::new(program).args(arguments).env("HOME", home).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

const SMTPLIB: &str = r#"
import smtplib, ssl, sys
from email.message import EmailMessage
from email.policy import SMTP
starttls, implicit, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
context = ssl._create_unverified_context()
def message(subject):
    message = EmailMessage()
    message['From'], message['To'], message['Subject'] = 'Ada <ada@acme.example>', 'bob@acme.example', subject
    message.set_content('.dot\n..\nbody with ümlauts\n')
    message.add_attachment(bytes(range(256)) * 500, maintype='application', subtype='octet-stream', filename='all.bin')
    return message
for smtp in (smtplib.SMTP('127.0.0.1', starttls), smtplib.SMTP_SSL('127.0.0.1', implicit, context=context)):
    if not isinstance(smtp, smtplib.SMTP_SSL):
        smtp.starttls(context=context)
    smtp.login('ada@acme.example', password)
    assert smtp.send_message(message('by smtplib')) == {}
    try:
        smtp.sendmail('bob@acme.example', ['bob@acme.example'], 'Subject: x\r\n\r\nx')
        raise SystemExit('sent as somebody else')
    except smtplib.SMTPSenderRefused as refused:
        assert refused.smtp_code == 553, refused
    refused = smtp.sendmail('ada@acme.example', ['bob@acme.example', 'nobody@acme.example'], message('to two').as_bytes(policy=SMTP))
    assert list(refused) == ['nobody@acme.example'] and refused['nobody@acme.example'][0] == 550, refused
    smtp.quit()
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes python3"]
async fn clients_python_s_smtplib_sends() {
    let scene = Scene::new().await;
    let at = scene.server.listening();
    let (starttls, implicit) = (at.submission.port().to_string(), at.submissions.port().to_string());
    run("python3", &["-c", SMTPLIB, &starttls, &implicit, world::PASSWORD], scene.home.path());
    let last = scene.last_of(4).await;
    assert!(
        last.contains("Subject: to two") && last.contains("with UTF8SMTPSA") | last.contains("with ESMTPSA"),
        "{last}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes curl, swaks and msmtp"]
async fn clients_curl_swaks_and_msmtp_send() {
    let scene = Scene::new().await;
    let (at, home) = (scene.server.listening(), scene.home.path());
    let mail = home.join("mail");
    std::fs::write(
        &mail,
        "From: ada@acme.example\r\nTo: bob@acme.example\r\nSubject: by curl\r\n\r\nhello\r\n",
    )
    .unwrap();
    let user = format!("ada@acme.example:{}", world::PASSWORD);
    let url = format!("smtps://127.0.0.1:{}/client.example", at.submissions.port());
    let mail = mail.to_str().unwrap();
    let from_to = ["--mail-from", "ada@acme.example", "--mail-rcpt", "bob@acme.example"];
    let curl = ["-sS", "--insecure", &url, "--user", &user, "--upload-file", mail];
    run("curl", &[&curl[..], &from_to].concat(), home);
    assert!(scene.last_of(1).await.contains("Subject: by curl"));

    let server = format!("127.0.0.1:{}", at.submission.port());
    for auth in ["PLAIN", "LOGIN"] {
        let swaks = [
            "--server",
            &server,
            "--tls",
            "--auth",
            auth,
            "--auth-user",
            "ada@acme.example",
            "--auth-password",
            world::PASSWORD,
            "--from",
            "ada@acme.example",
            "--to",
            "bob@acme.example",
            "--header",
            "Subject: by swaks",
        ];
        run("swaks", &swaks, home);
    }
    assert!(scene.last_of(3).await.contains("Subject: by swaks"));

    let rc = home.join("msmtprc");
    let text = format!(
        "account a\nhost 127.0.0.1\nport {}\nfrom ada@acme.example\nauth on\nuser ada@acme.example\npassword {}\ntls on\ntls_starttls off\n\
         tls_certcheck off\n",
        at.submissions.port(),
        world::PASSWORD
    );
    std::fs::write(&rc, text).unwrap();
    std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let command = format!("msmtp -C {} -a a -t < {mail}", rc.display());
    run("sh", &["-c", &command], home);
    scene.last_of(4).await;
}
