//! The database is lost, and is made anew out of the bucket by the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use testkit::story::server::Server;
use testkit::{TestDb, World};

use crate::{BINARY, data_dir, pillarbox, stderr, stdout};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/mail");

#[tokio::test]
async fn a_server_goes_on_after_its_database_was_lost() {
    let (world, dir) = (World::new().await, data_dir());
    let lost = world.test_db.url();
    let ada = world.user("ada", None).await;
    let settings = [("PILLARBOX_DATABASE_URL", lost.as_str())];
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let taken = pillarbox(dir.path(), &settings, &["import", "--mailbox", &ada.address, SHIPPED]);
    assert!(taken.status.success(), "{}", stderr(&taken));
    let another = [settings[0], ("PILLARBOX_JOURNAL_SECONDS", "7")];
    let drill = pillarbox(dir.path(), &another, &["drill"]);
    let said = stdout(&drill);
    assert!(drill.status.success(), "{said}{}", stderr(&drill));
    assert!(
        said.contains("\nRPO ") && said.contains(" s at most since 2") && said.contains("\nRTO "),
        "{said}"
    );
    assert!(said.contains("\nPILLARBOX_JOURNAL_SECONDS is 7 for this command; "), "{said}");
    assert!(!said.contains("found in their packs"), "a trial does not look into packs: {said}");
    let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with("drill-")));
    let refused = pillarbox(dir.path(), &settings, &["recover"]);
    assert!(!refused.status.success() && stderr(&refused).contains("serves"), "{}", stderr(&refused));
    assert!(server.stop().await.unwrap().success());
    let refused = pillarbox(dir.path(), &settings, &["recover"]);
    assert!(!refused.status.success() && stderr(&refused).contains("not empty"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("cut short"), "{}", stderr(&refused));

    // As it would be started again by itself.
    let blank = TestDb::blank().await;
    let url = blank.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let served = pillarbox(dir.path(), &settings, &["serve"]);
    assert!(
        !served.status.success() && stderr(&served).contains("another one's journal"),
        "{}",
        stderr(&served)
    );
    assert!(stderr(&served).contains("cut short"), "{}", stderr(&served));

    let tried = pillarbox(dir.path(), &settings, &["drill"]);
    assert!(
        !tried.status.success() && stderr(&tried).contains("another one's journal"),
        "{}",
        stderr(&tried)
    );

    // They have left the database as it was.
    let recovered = pillarbox(dir.path(), &settings, &["recover"]);
    let said = stdout(&recovered);
    assert!(recovered.status.success(), "{said}{}", stderr(&recovered));
    assert!(said.contains("up to segment"), "{said}");
    assert!(said.contains("\n0 messages that may have been accepted after"), "{said}");
    assert!(said.lines().last().unwrap().contains("was not read: `pillarbox blob verify`"), "{said}");
    assert!(stderr(&recovered).contains("the newest base is "), "{}", stderr(&recovered));

    let (mut was, mut is) = (world.test_db.rows().await, blank.rows().await);
    // A recovery sets them on.
    for row in [&mut was, &mut is].into_iter().flat_map(|rows| rows.get_mut("messages").unwrap()) {
        row.as_object_mut().unwrap().remove("modseq").unwrap();
    }
    for table in ["tenants", "users", "messages", "blobs", "events", "addresses", "imported_messages"] {
        assert!(!was[table].is_empty(), "{table}");
        assert_eq!(was[table], is[table], "{table}");
    }
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let verified = pillarbox(dir.path(), &settings, &["blob", "verify", "--read"]);
    assert!(verified.status.success(), "{}", stdout(&verified));
    let trails = pillarbox(dir.path(), &settings, &["audit", "verify"]);
    assert!(trails.status.success(), "{}", stdout(&trails));
    // What an import has taken once, it does not take again.
    let again = pillarbox(dir.path(), &settings, &["import", "--mailbox", &ada.address, SHIPPED]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(blank.rows().await["messages"].len(), was["messages"].len());
    assert!(server.stop().await.unwrap().success());
}

#[tokio::test]
async fn what_a_recovery_left_half_done_is_not_served() {
    let (blank, dir) = (TestDb::blank().await, data_dir());
    let url = blank.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let without = pillarbox(dir.path(), &settings, &["recover"]);
    assert!(
        !without.status.success() && stderr(&without).contains("key-encryption-keys"),
        "{}",
        stderr(&without)
    );
    // Nothing is set up by the way.
    for command in [&["billing", "verify"][..], &["blob", "verify"], &["drill"]] {
        let refused = pillarbox(dir.path(), &settings, command);
        assert!(
            !refused.status.success() && stderr(&refused).contains("no installation"),
            "{}",
            stderr(&refused)
        );
    }
    assert!(!dir.path().join("key-encryption-keys").exists() && !dir.path().join("blobs").exists());
    let keys = testkit::kek::text();
    let with_keys = [settings[0], ("PILLARBOX_KEY_ENCRYPTION_KEYS", keys.as_str())];
    let in_vain = pillarbox(dir.path(), &with_keys, &["recover"]);
    let (said, place) = (stderr(&in_vain), dir.path().join("blobs").display().to_string());
    assert!(
        !in_vain.status.success() && said.contains("PILLARBOX_BLOB_URL") && said.contains(&place),
        "{said}"
    );
    assert!(pillarbox(dir.path(), &settings, &["migrate"]).status.success());
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("alter table journal_head no force row level security; delete from journal_head")
        .execute(&mut connection)
        .await
        .unwrap();
    let refused = pillarbox(dir.path(), &settings, &["migrate"]);
    assert!(!refused.status.success() && stderr(&refused).contains("not finished"), "{}", stderr(&refused));
    // Also where no step of the schema can be made.
    sqlx::raw_sql("update _sqlx_migrations set checksum = '\\x00'").execute(&mut connection).await.unwrap();
    let refused = pillarbox(dir.path(), &settings, &["serve"]);
    assert!(!refused.status.success() && stderr(&refused).contains("not finished"), "{}", stderr(&refused));
}

async fn until_a_base_is_taken(test_db: &TestDb) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while test_db.rows().await["journal_head"][0]["base_number"].is_null() {
        assert!(Instant::now() < deadline, "no base was taken in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nothing_goes_on_beside_a_blob_store_that_lacks_what_was_put_there_last() {
    let (world, dir) = (World::new().await, data_dir());
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let run = |arguments: &[&str]| {
        let output = pillarbox(dir.path(), &settings, arguments);
        (output.status.code(), stdout(&output), stderr(&output))
    };
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    until_a_base_is_taken(&world.test_db).await;
    assert!(server.stop().await.unwrap().success());

    // As where a mount was forgotten.
    let (blobs, away) = (dir.path().join("blobs"), dir.path().join("away"));
    fs::rename(&blobs, &away).unwrap();
    for command in [&["serve"][..], &["migrate"], &["billing", "verify"]] {
        let (status, _, said) = run(command);
        assert_eq!(status, Some(1), "{said}");
        for part in ["is not there", "PILLARBOX_BLOB_URL", &blobs.display().to_string(), "--repair"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let (status, found, said) = run(&["blob", "verify"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        found.contains("MISSING: it is a base") && found.contains("`--repair` takes a new base"),
        "{found}"
    );
    let (status, _, said) = run(&["drill"]);
    assert!(status == Some(1) && said.contains("PILLARBOX_BLOB_URL"), "{said}");
    fs::remove_dir_all(&blobs).unwrap();
    fs::rename(&away, &blobs).unwrap();
    let (status, drilled, said) = run(&["drill"]);
    assert_eq!(status, Some(0), "{drilled}{said}");

    // The last segment is gone for good.
    let last = fs::read_dir(blobs.join("journal")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    fs::remove_file(last).unwrap();
    let (status, drilled, said) = run(&["drill"]);
    assert!(status == Some(1) && drilled.contains("\nMISSING: the database has put"), "{drilled}{said}");
    assert_eq!(run(&["migrate"]).0, Some(1));
    let (status, found, said) = run(&["blob", "verify", "--repair"]);
    assert!(status == Some(1) && found.contains(" was taken: a recovery begins with it"), "{found}{said}");
    assert_eq!(run(&["migrate"]).0, Some(0));
    let (status, drilled, said) = run(&["drill"]);
    assert_eq!(status, Some(0), "{drilled}{said}");
}

/// A drill that stands still in the middle: its process, its place, and the number of its Postgres.
#[expect(clippy::zombie_processes, reason = "who has it begun waits for it")]
fn begun_drill(data_dir: &Path, url: &str) -> (Child, PathBuf, u32) {
    let places = || {
        let all = fs::read_dir(data_dir).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("drill-");
        all.filter(name).collect::<Vec<_>>()
    };
    let before = places();
    let drill = Command::new(BINARY)
        .arg("drill")
        .env_remove("PILLARBOX_CONFIG")
        .env_remove("PILLARBOX_BLOB_URL")
        .env("PILLARBOX_DATA_DIR", data_dir)
        .env("PILLARBOX_DATABASE_URL", url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "no drill has begun in time");
        std::thread::sleep(Duration::from_millis(2));
        let Some(place) = places().into_iter().find(|place| !before.contains(place)) else { continue };
        let file = fs::read_to_string(place.join("postgres/data/postmaster.pid")).unwrap_or_default();
        if file.lines().nth(7).is_some_and(|status| status.trim() == "ready") {
            let pid = drill.id().to_string();
            // The shell has a kill of its own; the program is not on every machine.
            assert!(Command::new("sh").args(["-c", "kill -STOP \"$0\"", &pid]).status().unwrap().success());
            return (drill, place, file.lines().next().unwrap().trim().parse().unwrap());
        }
    }
}

/// Whether there is such a process that has not ended.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

#[tokio::test]
async fn what_a_killed_drill_has_left_is_removed_by_the_next_and_by_a_server_and_one_that_runs_is_left_alone()
{
    let (world, dir) = (World::new().await, data_dir());
    let url = world.test_db.url();
    let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    let (mut killed, left, postgres) = begun_drill(dir.path(), &url);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(left.exists() && runs(postgres));

    let (mut running, place, its_postgres) = begun_drill(dir.path(), &url);
    assert!(!left.exists() && !runs(postgres), "the next has removed it");
    drop(pillarbox(dir.path(), &settings, &["drill"]));
    assert!(server.stop().await.unwrap().success());
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    assert!(place.exists() && runs(its_postgres), "it is not over");

    running.kill().unwrap();
    running.wait().unwrap();
    assert!(server.stop().await.unwrap().success());
    let server = Server::start(BINARY.as_ref(), dir.path(), &settings).await.unwrap();
    assert!(!place.exists() && !runs(its_postgres), "the server has removed it");
    assert!(server.stop().await.unwrap().success());
}
