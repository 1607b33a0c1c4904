use std::path::{Path, PathBuf};

use testkit::World;
use testkit::story::server::Server;

use crate::{BINARY, data_dir, pillarbox, stderr, stdout};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/mail");

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn verifying_beside_a_server_tells_what_is_missing_and_what_nobody_knows() {
    let (world, dir) = (World::new().await, data_dir());
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let ada = world.user("ada", None).await;
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let taken = pillarbox(dir.path(), &settings, &["import", "--mailbox", &ada.address, SHIPPED]);
    assert!(taken.status.success(), "{}", stderr(&taken));
    let verify = |arguments: &[&str]| {
        let output = pillarbox(dir.path(), &settings, &[&["blob", "verify"], arguments].concat());
        assert_eq!(stderr(&output), "");
        (output.status.code(), stdout(&output))
    };
    let (status, whole) = verify(&["--read"]);
    assert_eq!(status, Some(0), "{whole}");
    assert!(whole.ends_with(" 12 bodies (12 read), 2 keys: no findings\n"), "{whole}");
    let (status, unread) = verify(&[]);
    assert_eq!((status, unread), (Some(0), whole.replace("(12 read)", "(0 read)")));

    let blobs = dir.path().join("blobs");
    let is_in = |path: &PathBuf, folder: &str| path.parent().unwrap().ends_with(folder);
    let pack = files(&blobs).into_iter().find(|path| is_in(path, "packs")).unwrap();
    let bytes = std::fs::read(&pack).unwrap();
    let mut rotten = bytes.clone();
    rotten[12] ^= 1;
    std::fs::write(&pack, rotten).unwrap();
    assert_eq!(verify(&[]).0, Some(0), "only reading tells");
    let (status, lines) = verify(&["--read"]);
    assert_eq!(status, Some(1));
    assert!(lines.contains("UNREADABLE: ") && lines.ends_with(": 1 FINDINGS\n"), "{lines}");
    std::fs::remove_file(&pack).unwrap();
    let (status, lines) = verify(&["--repair"]);
    let name = pack.strip_prefix(&blobs).unwrap().to_str().unwrap();
    assert_eq!(status, Some(1));
    assert!(lines.starts_with(&format!("{name}: MISSING: ")) && lines.ends_with(": 1 FINDINGS\n"), "{lines}");
    std::fs::write(&pack, &bytes).unwrap();

    let key = files(&blobs).into_iter().find(|path| is_in(path, "keys")).unwrap();
    std::fs::remove_file(&key).unwrap();
    let (status, lines) = verify(&["--repair"]);
    assert_eq!(status, Some(1));
    assert!(
        lines.contains("(repaired)\n") && lines.ends_with(": 1 FINDINGS, 1 of them repaired\n"),
        "{lines}"
    );
    assert!(key.exists());

    let stranger = blobs.join("packs/01930000-0000-7000-8000-000000000001");
    std::fs::create_dir_all(stranger.parent().unwrap()).unwrap();
    std::fs::write(&stranger, &bytes).unwrap();
    let (status, lines) = verify(&["--read", "--repair"]);
    assert_eq!(status, Some(1));
    assert!(lines.contains("unclaimed: ") && lines.ends_with(": 1 FINDINGS\n"), "{lines}");
    assert!(stranger.exists());
    std::fs::remove_file(&stranger).unwrap();

    let strays = ["foo/bar", "packs/01930000-0000-7000-8000-000000000002", "packs/stray"];
    std::fs::create_dir(blobs.join("foo")).unwrap();
    for (at, name) in strays.iter().enumerate() {
        let path = blobs.join(name);
        match at {
            1 => std::os::unix::fs::symlink("nowhere", path).unwrap(),
            _ => std::fs::write(path, "x").unwrap(),
        }
    }
    let (status, lines) = verify(&["--repair"]);
    assert!(status == Some(1) && lines.ends_with(": 3 FINDINGS\n"), "{lines}");
    for name in strays {
        assert!(lines.contains(&format!("{name}: unclaimed: ")), "{lines}");
        std::fs::remove_file(blobs.join(name)).unwrap();
    }
    assert_eq!(verify(&["--read"]), (Some(0), whole));
    assert!(server.stop().await.unwrap().success());
}
