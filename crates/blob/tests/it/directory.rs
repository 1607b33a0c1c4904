//! The contract on a directory, and what only a directory does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use blob::{Error, KeyPrefix};
use bytes::Bytes;
use kernel::ErrorKind;

use crate::{chain, contract, location, new_key, new_tenant, open, random_bytes};

macro_rules! run {
    ($($promise:ident)*) => {$(
        #[tokio::test]
        async fn $promise() {
            let folder = tempfile::tempdir().unwrap();
            contract::$promise(open(&url(&folder.path().join("not/there yet"))).await).await;
        }
    )*};
}

contract::for_each_promise!(run);

fn url(path: &Path) -> String {
    blob::Location::Directory(path.to_owned()).to_string()
}

fn leftovers(root: &Path) -> usize {
    let names = fs::read_dir(root.join("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name != "lock").count()
}

#[tokio::test]
async fn the_key_is_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&url(folder.path())).await;
    let key = new_key(new_tenant());
    store.put(&key, Bytes::from_static(b"x")).await.unwrap();
    let path = folder.path().join(key.to_string());
    assert_eq!(fs::read(&path).unwrap(), b"x");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "others can read mail");
    assert_eq!(leftovers(folder.path()), 0);
}

#[tokio::test]
async fn what_was_put_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (key, bytes) = (new_key(new_tenant()), random_bytes(10_000));
    open(&url(folder.path())).await.put(&key, bytes.clone()).await.unwrap();
    let store = open(&url(folder.path())).await;
    assert_eq!(store.get(&key).await.unwrap(), bytes);
}

#[tokio::test]
async fn foreign_files_are_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&url(folder.path())).await;
    let tenant = new_tenant();
    let key = new_key(tenant);
    store.put(&key, Bytes::from_static(b"x")).await.unwrap();
    let packs = folder.path().join(key.to_string()).parent().unwrap().to_owned();
    let upper = tenant.uuid().to_string().to_uppercase();
    for name in ["put-half", ".hidden", "0193a1b2", upper.as_str()] {
        fs::write(packs.join(name), b"y").unwrap();
    }
    fs::create_dir_all(folder.path().join("tenants/lost+found/packs")).unwrap();
    for prefix in [KeyPrefix::All, KeyPrefix::Tenant(tenant)] {
        assert_eq!(contract::list(&store, prefix).await, std::slice::from_ref(&key));
    }
}

#[tokio::test]
async fn what_is_no_object_is_told_by_its_name() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&url(folder.path())).await;
    let tenant = new_tenant();
    let key = new_key(tenant);
    store.put(&key, Bytes::from_static(b"x")).await.unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["packs/stray", "foo/bar/baz", "top", "tenants/x/packs/y", "lost+found/1", "tmp/z"] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), b"y").unwrap();
    }
    let nowhere = "packs/0193a1b2-0000-7000-8000-0123456789ab";
    std::os::unix::fs::symlink("nowhere", at(nowhere)).unwrap();
    std::os::unix::fs::symlink(folder.path(), at("foo/loop")).unwrap();
    let strays = ["foo/bar/baz", "foo/loop", nowhere, "packs/stray", "tenants/x/packs/y", "top"];
    assert_eq!(store.list(&KeyPrefix::All, None).await.unwrap().strays, strays);
    assert!(store.list(&KeyPrefix::Tenant(tenant), None).await.unwrap().strays.is_empty());
    // A folder of ours that lies on another disk is ours.
    let packs = at(&key.to_string()).parent().unwrap().to_owned();
    let moved = other.path().join("packs");
    fs::create_dir(&moved).unwrap();
    fs::rename(at(&key.to_string()), moved.join("elsewhere")).unwrap();
    fs::remove_dir(&packs).unwrap();
    std::os::unix::fs::symlink(&moved, &packs).unwrap();
    let found = store.list(&KeyPrefix::All, None).await.unwrap().strays;
    let elsewhere = format!("tenants/{}/packs/elsewhere", tenant.uuid());
    assert!(found.contains(&elsewhere) && found.len() == strays.len() + 1, "{found:?}");
}

const CHILD: &str = "PILLARBOX_TEST_BLOB_DIRECTORY";

/// The process that is killed: it writes until then, and says each key once it is acknowledged.
async fn write_until_killed(url: &str) {
    let store = open(url).await;
    let tenant = new_tenant();
    let writers = (0..8).map(|_| async {
        loop {
            let key = new_key(tenant);
            store.put(&key, body_of(&key)).await.unwrap();
            println!("acknowledged {key}");
        }
    });
    futures::future::join_all(writers).await;
}

fn body_of(key: &blob::BlobKey) -> Bytes {
    key.to_string().repeat(3_000).into()
}

#[tokio::test]
async fn a_kill_leaves_no_half_object() {
    if let Ok(url) = std::env::var(CHILD) {
        return write_until_killed(&url).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let root = folder.path().join("blobs");
    let mut found_leftovers = 0;
    for round in 0..5 {
        let out = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "directory::a_kill_leaves_no_half_object", "--nocapture"])
            .env(CHILD, url(&root))
            .stdout(out)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while fs::read_to_string(&log).unwrap().matches("acknowledged").count() < 40 * (round + 1) {
            assert!(std::time::Instant::now() < deadline, "the writer gets nowhere");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        found_leftovers += leftovers(&root);

        let store = open(&url(&root)).await;
        assert_eq!(leftovers(&root), 0, "opening removes what the kill left");
        let listed = contract::list(&store, KeyPrefix::All).await;
        for key in &listed {
            assert!(store.get(key).await.unwrap() == body_of(key), "{key} is there in part");
        }
        for line in fs::read_to_string(&log).unwrap().lines() {
            // The last line may be cut short by the kill.
            if let Some(Ok(key)) = line.strip_prefix("acknowledged ").map(str::parse) {
                assert!(listed.contains(&key), "{key} was acknowledged and is gone");
            }
        }
    }
    println!("{found_leftovers} leftovers after 5 kills");
    assert!(found_leftovers > 0, "no kill hit a write: this test shows nothing");
}

#[tokio::test]
async fn a_second_opener_leaves_the_first_ones_writes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&url(folder.path())).await;
    let under_way = folder.path().join("tmp/put-under-way");
    fs::write(&under_way, b"half").unwrap();
    let second = open(&url(folder.path())).await;
    assert!(under_way.exists());
    drop(second);
    drop(first);
    drop(open(&url(folder.path())).await);
    assert!(!under_way.exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"not a folder").unwrap();
    // Nobody, root included, makes folders in sysfs or below a file.
    for path in [Path::new("/sys/kernel/pillarbox"), &file, &file.join("below")] {
        let error = blob::open(&location(&url(path))).await.unwrap_err();
        assert!(matches!(error, Error::Misconfigured(_)), "{path:?}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(chain(&error).contains(path.to_str().unwrap()), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_store_that_has_gone_is_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("blobs");
    let store = open(&url(&root)).await;
    let key = new_key(new_tenant());
    store.put(&key, Bytes::from_static(b"x")).await.unwrap();
    // As after an unmount: the mount point is there, and empty.
    fs::rename(&root, folder.path().join("elsewhere")).unwrap();
    fs::create_dir(&root).unwrap();
    for error in [
        store.get(&key).await.unwrap_err(),
        store.get_range(&key, 0..1).await.unwrap_err(),
        store.put(&key, Bytes::from_static(b"y")).await.unwrap_err(),
        store.delete(&key).await.unwrap_err(),
        store.list(&KeyPrefix::All, None).await.unwrap_err(),
        blob::ping(&*store).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    }
    fs::remove_dir(&root).unwrap();
    fs::rename(folder.path().join("elsewhere"), &root).unwrap();
    assert_eq!(store.get(&key).await.unwrap(), "x");
}

#[tokio::test]
async fn a_tenant_folder_that_has_gone_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&url(folder.path())).await;
    let tenant = new_tenant();
    store.put(&new_key(tenant), Bytes::from_static(b"x")).await.unwrap();
    fs::remove_dir_all(folder.path().join("tenants")).unwrap();
    let key = new_key(tenant);
    store.put(&key, Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(contract::list(&store, KeyPrefix::All).await, [key]);
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&url(folder.path())).await;
    let key = new_key(new_tenant());
    store.put(&key, Bytes::from_static(b"old")).await.unwrap();
    // A folder in the object's place makes the rename, the last step, fail.
    let path = folder.path().join(key.to_string());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(store.put(&key, Bytes::from_static(b"new")).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(leftovers(folder.path()), 0);
}
