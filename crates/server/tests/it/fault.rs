//! The bucket fails, as those see it who hand mail over by LMTP.

use std::time::Duration;

use testkit::World;
use testkit::client::http::Http;
use testkit::client::lmtp::Lmtp;
use testkit::faults::{Fault, Faults, Rule};
use testkit::s3::S3Server;
use testkit::story::server::Server;
use tokio::time::Instant;

use crate::load::Load;
use crate::{BINARY, data_dir};

const CONNECTIONS: usize = 4;
/// How long a refusal may take on a busy machine: one that is tried five times waits some seconds.
const BOUND: Duration = Duration::from_secs(50);
const POLL: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bucket_that_fails_is_a_temporary_error_and_forgotten_when_it_heals() {
    let (world, s3, dir) = (World::new().await, S3Server::start().await, data_dir());
    let faults = Faults::before(s3.address()).await;
    let users = vec![world.user("ada", Some(1 << 40)).await, world.user("bob", None).await];
    let (database_url, blob_url, keys) =
        (world.test_db.url(), faults.url("server-test"), testkit::kek::text());
    let settings = [
        ("PILLARBOX_DATABASE_URL", database_url.as_str()),
        ("PILLARBOX_BLOB_URL", blob_url.as_str()),
        ("PILLARBOX_KEY_ENCRYPTION_KEYS", keys.as_str()),
        ("AWS_ACCESS_KEY_ID", testkit::s3::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", testkit::s3::SECRET_ACCESS_KEY),
    ];
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let (lmtp, http) = (server.listening().lmtp, Http::new(server.listening().http).unwrap());
    let to = users[0].address.clone();
    let mut load = Load::start(CONNECTIONS, lmtp, users);
    for fault in [
        Fault::INTERNAL_ERROR,
        Fault::SLOW_DOWN,
        Fault::CutUpload(100),
        Fault::LOST_ANSWER,
        Fault::EXPIRED_TOKEN,
        Fault::SKEWED,
    ] {
        load.wait_for_kept(CONNECTIONS).await;
        faults.set([Rule::new("", "", fault)]);
        let began = Instant::now();
        let mut lmtp = Lmtp::connect(lmtp).await.unwrap();
        let delivery = lmtp.deliver("", &[&to], b"Subject: refused\r\n\r\n").await.unwrap();
        let outcome = &delivery.outcomes[0];
        assert_eq!((outcome.code, outcome.enhanced()), (451, "4.3.0"), "{fault:?}: {outcome}");
        assert!(began.elapsed() < BOUND, "{fault:?}: {:?}", began.elapsed());
        assert_eq!(http.get("/readyz").await.unwrap().status, 503, "{fault:?}");
        faults.lift();
        load.wait_for_kept(CONNECTIONS).await;
        while http.get("/readyz").await.unwrap().status != 200 {
            assert!(began.elapsed() < 2 * BOUND, "{fault:?}: it is over, and /readyz does not know");
            tokio::time::sleep(POLL).await;
        }
    }
    load.stop().await;
    let (_, refused, unanswered) = load.counts();
    assert!(refused > 0, "the load felt nothing of it");
    assert_eq!(unanswered, 0);
    load.assert_whole(&world.test_db.db()).await;
    load.assert_readable(&world.test_db.db(), &server).await;
    server.stop().await.unwrap();
}
