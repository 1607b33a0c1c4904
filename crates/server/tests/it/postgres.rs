//! Postgres goes away while mail comes, and comes back; the program runs on.

use std::path::Path;
use std::process::Command;

use db::Db;
use db::cluster::{Cluster, Options, Profile};
use kernel::Env;
use tenancy::Caller;
use testkit::client::http::Http;
use testkit::story::server::Server;
use testkit::{SeededRandom, world};

use crate::load::Load;
use crate::{BINARY, data_dir};

const CONNECTIONS: usize = 6;

/// Ends the postmaster of a data directory by a signal.
fn end_postmaster(data_dir: &Path, signal: &str) {
    let file = std::fs::read_to_string(data_dir.join("postgres/data/postmaster.pid")).unwrap();
    let pid = file.lines().next().unwrap();
    // The shell has a kill of its own; the program is not on every machine.
    let status = Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", signal, pid]).status();
    assert!(status.unwrap().success(), "postmaster {pid} could not be signalled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_is_restarted_in_the_middle_of_batches() {
    let dir = data_dir();
    let server = Server::start(BINARY.as_ref(), dir.path(), &[]).await.unwrap();
    // Joins the server's own cluster, for its URL.
    let options = Options { dir: dir.path().join("postgres"), profile: Profile::Durable };
    let cluster = Cluster::start(options).await.unwrap();
    let db = Db::connect(cluster.url(), Env::system()).await.unwrap();
    let operator = Caller::local_operator(db.clone(), db.env().new_id());
    let reseller = world::reseller(&operator, "Hosting").await;
    let ctx = operator.enter(world::tenant(&operator, &reseller, "Acme").await.id).await.unwrap();
    world::domain(&ctx, "acme.example").await;
    let users = vec![
        world::user(&ctx, "ada@acme.example", Some(1 << 40)).await,
        world::user(&ctx, "bob@acme.example", None).await,
    ];

    let seed = u64::from(std::process::id());
    eprintln!("postgres: seed {seed}");
    let random = SeededRandom::new(seed);
    let mut load = Load::start(CONNECTIONS, server.listening().lmtp, users);
    // As an administrator does it, as in a hurry, and as when memory runs out.
    for signal in ["INT", "QUIT", "KILL", "QUIT"] {
        load.wait_for_kept(1 + (random.next_u64() % 30) as usize).await;
        end_postmaster(dir.path(), signal);
        // The server starts it again, as somebody's service manager would.
        load.wait_for_kept(10 * CONNECTIONS).await;
        eprintln!("postgres: after {signal}, kept, refused, unanswered: {:?}", load.counts());
    }
    load.stop().await;
    let (_, _, unanswered) = load.counts();
    assert_eq!(unanswered, 0, "the server went on, so everybody has an answer");
    load.assert_whole(&db).await;
    load.assert_readable(&db, &server).await;
    let http = Http::new(server.listening().http).unwrap();
    http.get("/readyz").await.unwrap().expect_bytes(200).unwrap();
    db.close().await;
    server.stop().await.unwrap();
    cluster.stop().await.unwrap();
}
