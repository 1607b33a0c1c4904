use testkit::client::lmtp::Lmtp;
use testkit::client::pop3::Pop3;
use testkit::s3::S3Server;
use testkit::story::server::Server;
use testkit::{World, world};

use crate::{BINARY, data_dir};

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
