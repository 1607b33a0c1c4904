//! The disk that keeps the bodies runs full while mail comes, and is made larger.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use testkit::World;
use testkit::story::server::Server;

use crate::load::Load;
use crate::{BINARY, data_dir};

const CHILD: &str = "PILLARBOX_TEST_SMALL_DISK";
const CONNECTIONS: usize = 4;

/// A file system of 1 MiB that only this test sees: it starts itself again in a mount namespace of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_is_a_temporary_error_and_forgotten_when_there_is_room() {
    if let Some(disk) = std::env::var_os(CHILD) {
        return on_a_small_disk(Path::new(&disk)).await;
    }
    let disk = data_dir();
    if !in_namespace(disk.path(), &["true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("left out: no file system can be mounted here (unshare --mount)");
        return;
    }
    let exe = std::env::current_exe().unwrap();
    let test = "disk::a_full_disk_is_a_temporary_error_and_forgotten_when_there_is_room";
    let mut command = in_namespace(disk.path(), &[exe.to_str().unwrap(), "--exact", test, "--nocapture"]);
    command.env(CHILD, disk.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

fn in_namespace(disk: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    // Root stays itself: mapped, it could not reach what is the database's own user's.
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c"]);
    command.arg("mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"").arg(disk).args(arguments);
    command
}

async fn on_a_small_disk(disk: &Path) {
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
    let larger = Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk).status();
    assert!(larger.unwrap().success());
    load.wait_for_kept(10 * CONNECTIONS).await;
    load.stop().await;
    let (_, refused, unanswered) = load.counts();
    assert!(refused >= 10 * CONNECTIONS);
    assert_eq!(unanswered, 0, "the server went on, so everybody has an answer");
    load.assert_whole(&world.test_db.db()).await;
    load.assert_readable(&world.test_db.db(), &server).await;
    server.stop().await.unwrap();
    let left = std::fs::read_dir(disk.join("blobs/tmp")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "lock").collect();
    assert!(left.is_empty(), "half an object is left: {left:?}");
}
