use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use testkit::client::http::Http;
use testkit::client::lmtp::Lmtp;
use testkit::client::pop3::Pop3;
use testkit::story::server::Server;

use crate::{BINARY, data_dir, pillarbox, stderr, stdout};

async fn status_of(server: &Server, key: &str, path: &str) -> u16 {
    let http = Http::new(server.listening().http).unwrap().with_token(key);
    http.get(path).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn the_first_start_writes_the_operators_key_once_and_it_works_ever_after() {
    let dir = data_dir();
    let key_file = dir.path().join("operator.key");
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    let key = server.operator_key().unwrap();
    assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(status_of(&server, &key, "/v1/resellers").await, 200);
    assert_eq!(status_of(&server, "pillarbox_wrong", "/v1/resellers").await, 401);
    assert!(server.stop().await.unwrap().success());
    assert!(!dir.path().join("listen.json").exists());
    assert!(
        !dir.path().join("postgres/data/postmaster.pid").exists(),
        "the private cluster was left running"
    );

    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    assert_eq!(server.operator_key().unwrap(), key);
    assert_eq!(status_of(&server, &key, "/v1/resellers").await, 200);
    server.stop().await.unwrap();
    let log = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(!log("server.log").contains("already exists"), "{}", log("server.log"));
    assert!(!log("postgres/postgres.log").contains("duplicate key"), "{}", log("postgres/postgres.log"));

    // Kept elsewhere and removed from here: the key in force stays the only one.
    std::fs::remove_file(&key_file).unwrap();
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    assert!(!key_file.exists());
    assert_eq!(status_of(&server, &key, "/v1/resellers").await, 200);
    let another = pillarbox(dir.path(), &[], &["operator-key"]);
    assert!(another.status.success(), "{}", stderr(&another));
    let another = stdout(&another).trim().to_owned();
    assert_eq!(status_of(&server, &another, "/v1/resellers").await, 200);
    let id = format!("key_{}", another.split('_').nth(1).unwrap());
    let revoked = pillarbox(dir.path(), &[], &["operator-key", "--revoke", &id]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    assert_eq!(status_of(&server, &another, "/v1/resellers").await, 401);
    assert_eq!(status_of(&server, &key, "/v1/resellers").await, 200);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_key_whose_database_never_heard_of_it_is_installed() {
    let dir = data_dir();
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    let key = server.operator_key().unwrap();
    server.stop().await.unwrap();
    // As after a kill between the writing of the file and the commit: there is no journal yet either.
    for part in ["postgres", "blobs"] {
        std::fs::remove_dir_all(dir.path().join(part)).unwrap();
    }
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    assert_eq!(server.operator_key().unwrap(), key);
    assert_eq!(status_of(&server, &key, "/v1/resellers").await, 200);
    server.stop().await.unwrap();
}

#[test]
fn a_directory_that_is_named_by_mistake_is_no_installation() {
    let dir = data_dir();
    let place = dir.path().join("typo");
    for command in [
        &["audit", "verify"][..],
        &["billing", "verify"],
        &["blob", "verify"],
        &["drill"],
        &["keys", "rewrap"],
        &["operator-key"],
    ] {
        let refused = pillarbox(&place, &[], command);
        assert!(!refused.status.success(), "{command:?}");
        assert!(
            stderr(&refused).contains("there is no installation in"),
            "{command:?}: {}",
            stderr(&refused)
        );
    }
    assert!(!place.exists());
}

#[tokio::test]
async fn one_server_a_data_directory_and_commands_beside_it() {
    let dir = data_dir();
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    let second = pillarbox(dir.path(), &[("PILLARBOX_HTTP_LISTEN", "127.0.0.1:0")], &["serve"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("serves"), "{}", stderr(&second));
    assert!(dir.path().join("listen.json").exists(), "the refused server took the first one's file away");
    let migrate = pillarbox(dir.path(), &[], &["migrate"]);
    assert!(migrate.status.success(), "{}", stderr(&migrate));
    let key = server.operator_key().unwrap();
    assert_eq!(
        status_of(&server, &key, "/v1/resellers").await,
        200,
        "the command stopped the server's cluster"
    );
    assert_eq!(status_of(&server, &key, "/readyz").await, 200);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_starts_again_on_what_it_left() {
    let dir = data_dir();
    let mut server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    let key = server.operator_key().unwrap();
    let stale = server.listening();
    server.kill().await.unwrap();
    assert!(dir.path().join("listen.json").exists(), "nobody was left to remove it");
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    assert_eq!(status_of(&server, &key, "/v1/resellers").await, 200);
    assert_ne!(server.listening().http, stale.http);
    // The self-signed certificate is the same as before, for STLS and for implicit TLS.
    Pop3::connect(server.listening().pop3).await.unwrap().stls().await.unwrap().quit().await.unwrap();
    Pop3::connect_tls(server.listening().pop3s).await.unwrap().quit().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn health_is_told_without_a_credential() {
    let dir = data_dir();
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    let http = Http::new(server.listening().http).unwrap();
    http.get("/healthz").await.unwrap().expect_bytes(200).unwrap();
    http.get("/readyz").await.unwrap().expect_bytes(200).unwrap();
    let metrics = http.get("/metrics").await.unwrap().expect_bytes(200).unwrap();
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(metrics.contains("pillarbox_http_request_duration_seconds_bucket"), "{metrics}");
    assert!(metrics.contains("pillarbox_db_connections"), "{metrics}");
    server.stop().await.unwrap();
}

/// An alert on what is not there until it is late never fires.
#[tokio::test]
async fn what_the_manual_says_to_watch_is_there_from_the_start() {
    let manual = include_str!("../../../../docs/operating.md");
    let (_, alerts) = manual.split_once("**Metrics worth an alert**").unwrap();
    let (alerts, _) = alerts.split_once("\n\n").unwrap();
    let names: Vec<&str> = alerts.split('`').filter(|part| part.starts_with("pillarbox_")).collect();
    assert!(names.len() > 15, "{names:?}");
    let dir = data_dir();
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    let http = Http::new(server.listening().http).unwrap();
    let began = Instant::now();
    loop {
        let metrics = http.get("/metrics").await.unwrap().expect_bytes(200).unwrap();
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        // Without a smarthost there is no route.
        let missing = names.iter().filter(|name| **name != "pillarbox_outgoing_route_up");
        let missing: Vec<_> = missing.filter(|name| !metrics.contains(&format!("# TYPE {name} "))).collect();
        if missing.is_empty() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{missing:?} are not in {metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn open_connections_do_not_hold_up_the_stop_and_are_told_of_it() {
    let dir = data_dir();
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    let at = server.listening();
    let http = Http::new(at.http).unwrap();
    http.get("/healthz").await.unwrap().expect_bytes(200).unwrap();
    let (_idle_pop3, _idle_lmtp) =
        (Pop3::connect_tls(at.pop3s).await.unwrap(), Lmtp::connect(at.lmtp).await.unwrap());
    let mut busy = Lmtp::connect(at.lmtp).await.unwrap();
    assert_eq!(busy.command("MAIL FROM:<>").await.unwrap().code, 250);
    assert_eq!(busy.command("RCPT TO:<nobody@acme.example>").await.unwrap().code, 550);
    let began = Instant::now();
    assert!(server.stop().await.unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(busy.read_reply().await.unwrap().code, 421);
}
