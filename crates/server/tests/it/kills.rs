//! The program is killed at random moments while mail comes, on the directory that keeps bodies by default.

use testkit::story::server::Server;
use testkit::{SeededRandom, World};

use crate::load::Load;
use crate::{BINARY, data_dir};

const CONNECTIONS: usize = 8;
/// In `make test`, where a hundred would take minutes; `make nightly` has a hundred.
const KILLS: u32 = 10;
const KILLS_AT_NIGHT: u32 = 100;

/// The seed of this run, which a run that fails has printed; `PROPTEST_RNG_SEED` sets it.
fn seed() -> u64 {
    let given = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_lost_or_doubled_over_kills_at_random_moments() {
    let (seed, kills) = (seed(), testkit::cases(KILLS).min(KILLS_AT_NIGHT));
    eprintln!("kills: {kills}, PROPTEST_RNG_SEED={seed}");
    let random = SeededRandom::new(seed);
    let (world, dir) = (World::new().await, data_dir());
    let mut recipients = Vec::new();
    for local in ["ada", "bob", "cyd"] {
        recipients.push(world.user(local, Some(1 << 40)).await);
    }
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let mut server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let mut load = Load::start(CONNECTIONS, server.listening().lmtp, recipients);
    let db = world.test_db.db();
    for kill in 0..kills {
        load.wait_for_kept(1 + (random.next_u64() % 40) as usize).await;
        // Not always just after an answer.
        tokio::time::sleep(std::time::Duration::from_micros(random.next_u64() % 30_000)).await;
        load.point_to(None);
        server.kill_and_restart().await.unwrap();
        load.assert_whole(&db).await;
        load.point_to(Some(server.listening().lmtp));
        if kill % 10 == 9 {
            eprintln!("kills: {} so far, kept, refused, unanswered: {:?}", kill + 1, load.counts());
        }
    }
    load.wait_for_kept(CONNECTIONS).await;
    load.stop().await;
    load.assert_whole(&db).await;
    load.assert_readable(&db, &server).await;
    server.stop().await.unwrap();
}
