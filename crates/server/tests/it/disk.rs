//! The disk that keeps the bodies, or the database, runs full while mail comes, and has room again.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use db::Db;
use db::cluster::{Cluster, Options, Profile};
use kernel::Env;
use tenancy::Caller;
use testkit::story::server::Server;
use testkit::{World, world};

use crate::load::Load;
use crate::{BINARY, data_dir};

const CHILD: &str = "PILLARBOX_TEST_SMALL_DISK";
const CONNECTIONS: usize = 4;

/// Where this process has a small file system, if a test was started again for that.
fn small_disk() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Starts a test again, in a mount namespace with a file system of so many MiB that nobody else sees.
async fn on_a_small_disk(test: &str, mib: u32) {
    let disk = data_dir();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg("mount -t tmpfs -o mode=711,size=\"$1\" none \"$0\" && shift && exec \"$@\"");
    command.arg(disk.path()).arg(format!("{mib}m")).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(CHILD, disk.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// Leaves no byte of a file system free.
fn fill(disk: &Path) -> PathBuf {
    let filler = disk.join("filler");
    let mut file = File::create(&filler).unwrap();
    let full = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    filler
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "disk: takes root, who may mount a file system in a namespace"]
async fn a_full_disk_of_bodies_is_a_temporary_error_and_forgotten_when_there_is_room() {
    let Some(disk) = small_disk() else {
        let test = "disk::a_full_disk_of_bodies_is_a_temporary_error_and_forgotten_when_there_is_room";
        return on_a_small_disk(test, 1).await;
    };
    let (world, dir) = (World::new().await, data_dir());
    let users = vec![world.user("ada", Some(1 << 40)).await, world.user("bob", None).await];
    let (database_url, blob_url, keys) =
        (world.test_db.url(), format!("file://{}/blobs", disk.display()), testkit::kek::text());
    let settings = [
        ("PILLARBOX_DATABASE_URL", database_url.as_str()),
        ("PILLARBOX_BLOB_URL", blob_url.as_str()),
        ("PILLARBOX_KEY_ENCRYPTION_KEYS", keys.as_str()),
    ];
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let mut load = Load::start(CONNECTIONS, server.listening().lmtp, users);
    // Smaller ones may still find room, and none is acknowledged that does not.
    load.wait_for_refused(10 * CONNECTIONS).await;
    load.assert_whole(&world.test_db.db()).await;
    let larger = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk).status();
    assert!(larger.unwrap().success());
    finish(&mut load, &world.test_db.db(), &server).await;
    server.stop().await.unwrap();
    let left = std::fs::read_dir(disk.join("blobs/tmp")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "lock").collect();
    assert!(left.is_empty(), "half an object is left: {left:?}");
}

/// The private Postgres', on which it may come to an end and be started again in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "disk: takes root, who may mount a file system in a namespace"]
async fn a_full_disk_of_the_database_is_a_temporary_error_and_forgotten_when_there_is_room() {
    let Some(disk) = small_disk() else {
        let test = "disk::a_full_disk_of_the_database_is_a_temporary_error_and_forgotten_when_there_is_room";
        return on_a_small_disk(test, 384).await;
    };
    let bodies = data_dir();
    let blob_url = format!("file://{}/blobs", bodies.path().display());
    let keys = testkit::kek::text();
    let settings =
        [("PILLARBOX_BLOB_URL", blob_url.as_str()), ("PILLARBOX_KEY_ENCRYPTION_KEYS", keys.as_str())];
    let server = Server::start(BINARY.as_ref(), &disk, &settings).await.unwrap();
    // Joins the server's own cluster, for its URL.
    let options = Options { dir: disk.join("postgres"), profile: Profile::Durable };
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
    let mut load = Load::start(CONNECTIONS, server.listening().lmtp, users);
    load.wait_for_kept(5 * CONNECTIONS).await;
    let filler = fill(&disk);
    load.wait_for_refused(10 * CONNECTIONS).await;
    std::fs::remove_file(filler).unwrap();
    finish(&mut load, &db, &server).await;
    db.close().await;
    server.stop().await.unwrap();
    cluster.stop().await.unwrap();
}

/// There is room again, and the server goes on; nothing acknowledged is lost.
async fn finish(load: &mut Load, db: &Db, server: &Server) {
    load.wait_for_kept(10 * CONNECTIONS).await;
    load.stop().await;
    let (_, refused, unanswered) = load.counts();
    assert!(refused >= 10 * CONNECTIONS);
    assert_eq!(unanswered, 0, "the server went on, so everybody has an answer");
    load.assert_whole(db).await;
    load.assert_readable(db, server).await;
}
