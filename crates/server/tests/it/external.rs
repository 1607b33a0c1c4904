use tenancy::{Scope, event};
use testkit::client::lmtp::Lmtp;
use testkit::client::pop3::Pop3;
use testkit::s3::S3Server;
use testkit::story::server::Server;
use testkit::{World, world};

use crate::{BINARY, data_dir, pillarbox, stderr, stdout};

/// The key-encryption key is changed as the manual says, and without the one that is in use nothing starts.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_encryption_key_is_changed_and_mail_stays_readable() {
    let (world, dir, bodies) = (World::new().await, data_dir(), data_dir());
    let ada = world.user("ada", None).await;
    let message = dir.path().join("one.eml");
    std::fs::write(&message, "Subject: sealed\r\n\r\nunder the old key\r\n").unwrap();
    let (database_url, blob_url) = (world.test_db.url(), format!("file://{}", bodies.path().display()));
    let run = |keys: &str, arguments: &[&str]| {
        let settings = [
            ("PILLARBOX_DATABASE_URL", database_url.as_str()),
            ("PILLARBOX_BLOB_URL", blob_url.as_str()),
            ("PILLARBOX_KEY_ENCRYPTION_KEYS", keys),
        ];
        pillarbox(dir.path(), &settings, arguments)
    };
    let import = ["import", "--mailbox", ada.address.as_str(), message.to_str().unwrap()];
    let made = pillarbox(dir.path(), &[], &["new-key-encryption-key"]);
    let (old, new) = (testkit::kek::text(), stdout(&made));
    assert!(new.starts_with("kek-") && new.ends_with('\n'), "{new}");
    assert!(run(&old, &import).status.success());

    let refused = run(&new, &["migrate"]);
    assert!(
        !refused.status.success() && stderr(&refused).contains("key-encryption key test"),
        "{}",
        stderr(&refused)
    );
    // The same name and another secret is not the same key.
    let forged = new.replacen(new.split(' ').next().unwrap(), "test", 1);
    let refused = run(&forged, &["migrate"]);
    assert!(
        !refused.status.success() && stderr(&refused).contains("key-encryption key test"),
        "{}",
        stderr(&refused)
    );

    let both = format!("{new}{old}");
    let rewrapped = run(&both, &["keys", "rewrap"]);
    assert_eq!(stdout(&rewrapped), "1 keys were wrapped anew, 0 failed\n");
    let noted = world.noted(event::Kind::KeysRewrapRequested).await;
    let shown: Vec<_> = noted.iter().map(|one| (one.event.subject.as_str(), one.event.trail)).collect();
    assert_eq!(shown, [("operator", Scope::Operator)]);
    let rotated = run(&new, &["keys", "rotate", &world.tenant.id.to_string()]);
    assert!(stdout(&rotated).contains("has its key number 2"), "{} {}", stdout(&rotated), stderr(&rotated));
    std::fs::write(&message, "Subject: sealed\r\n\r\nunder the new key\r\n").unwrap();
    assert!(run(&new, &import).status.success());

    let settings = [
        ("PILLARBOX_DATABASE_URL", database_url.as_str()),
        ("PILLARBOX_BLOB_URL", blob_url.as_str()),
        ("PILLARBOX_KEY_ENCRYPTION_KEYS", new.as_str()),
    ];
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let mut pop3 = Pop3::connect_tls(server.listening().pop3s).await.unwrap();
    pop3.login(&ada.address, world::PASSWORD).await.unwrap();
    for (number, text) in [(1, "under the old key"), (2, "under the new key")] {
        let stored = String::from_utf8(pop3.retr(number).await.unwrap()).unwrap();
        assert!(stored.contains(text), "{stored}");
    }
    pop3.quit().await.unwrap();
    server.stop().await.unwrap();
}

/// Postgres and S3 of somebody else's, by configuration alone.
#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_through_a_configured_database_and_bucket() {
    let (world, s3, dir) = (World::new().await, S3Server::start().await, data_dir());
    let ada = world.user("ada", None).await;
    let (database_url, blob_url, keys) = (world.test_db.url(), s3.url("server-test"), testkit::kek::text());
    let settings = [
        ("PILLARBOX_DATABASE_URL", database_url.as_str()),
        ("PILLARBOX_BLOB_URL", blob_url.as_str()),
        ("PILLARBOX_KEY_ENCRYPTION_KEYS", keys.as_str()),
        ("AWS_ACCESS_KEY_ID", testkit::s3::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", testkit::s3::SECRET_ACCESS_KEY),
    ];
    let mut server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let message = b"Subject: elsewhere\r\n\r\n.kept\r\n";
    let mut lmtp = Lmtp::connect(server.listening().lmtp).await.unwrap();
    let delivery = lmtp.deliver("", &[&ada.address], message).await.unwrap();
    assert!(delivery.is_complete(), "{delivery:?}");
    server.kill().await.unwrap();

    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let mut pop3 = Pop3::connect_tls(server.listening().pop3s).await.unwrap();
    pop3.login(&ada.address, world::PASSWORD).await.unwrap();
    let stored = pop3.retr(1).await.unwrap();
    assert!(
        stored.ends_with(message) && stored.starts_with(b"Return-Path: <>\r\n"),
        "{}",
        String::from_utf8_lossy(&stored)
    );
    pop3.quit().await.unwrap();
    server.stop().await.unwrap();
    for embedded in ["postgres", "blobs", "key-encryption-keys"] {
        assert!(!dir.path().join(embedded).exists(), "{embedded} was made although another is configured");
    }
}
