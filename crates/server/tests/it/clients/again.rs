//! What programs that know a mailbox fetch of it once it was lost, or some of it, and is there again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use kernel::Env;
use serde_json::{Value, json};
use testkit::client::http::Http;
use testkit::world;

use super::{MADE, Scene, maildir, mpop, offlineimap, read, run};

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// What programs have fetched, and kept.
#[derive(Debug, PartialEq, Eq)]
struct Fetched {
    mbsync: BTreeSet<PathBuf>,
    offlineimap: BTreeSet<PathBuf>,
    mpop: BTreeSet<PathBuf>,
    /// The subjects in their order, those of messages in messages among them.
    fetchmail: Vec<String>,
}

impl Fetched {
    fn counts(&self) -> [usize; 4] {
        [self.mbsync.len(), self.offlineimap.len(), self.mpop.len(), self.fetchmail.len()]
    }
}

/// Has each program fetch what it does not know.
fn fetched(scene: &Scene) -> Fetched {
    Fetched {
        mbsync: mbsync(scene),
        offlineimap: offlineimap(scene),
        mpop: mpop(scene),
        fetchmail: fetchmail(scene),
    }
}

fn mbsync(scene: &Scene) -> BTreeSet<PathBuf> {
    let inbox = scene.home.path().join("INBOX");
    let rc = scene.write(
        "mbsyncrc",
        &format!(
            "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser {}\nPass \"{}\"\nSSLType None\nAuthMechs LOGIN\n\n\
             IMAPStore far\nAccount a\n\nMaildirStore near\nInbox {}\n\n\
             Channel c\nFar :far:INBOX\nNear :near:INBOX\nCreate Near\nExpunge Near\nSyncState *\n",
            scene.port(),
            scene.address,
            world::PASSWORD,
            inbox.display()
        ),
    );
    run("mbsync", &["-c", rc.to_str().unwrap(), "-a"], scene.home.path());
    maildir(&inbox)
}

fn fetchmail(scene: &Scene) -> Vec<String> {
    let home = scene.home.path();
    let to = home.join("fetchmail");
    let rc = scene.write(
        "fetchmailrc",
        &format!(
            "poll 127.0.0.1 service {} protocol pop3 uidl user \"{}\" password \"{}\" sslproto \"\" keep mda \"cat >> {}\"\n",
            scene.server.listening().pop3.port(),
            scene.address,
            world::PASSWORD,
            to.display()
        ),
    );
    std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // Its status says whether there was one.
    let program = format!(
        "fetchmail -f {} --pidfile {home}/pid --idfile {home}/ids; test $? -le 1",
        rc.display(),
        home = home.display()
    );
    run("sh", &["-c", &program], home);
    read(&to).lines().filter(|line| line.starts_with("Subject: ")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes isync's mbsync, offlineimap3, mpop and fetchmail"]
async fn clients_fetch_nothing_anew_after_a_recovery() {
    let mut scene = Scene::new().await;
    fetched(&scene);
    let mut imap = scene.imap().await;
    imap.command("SELECT INBOX").await.unwrap().ok().unwrap();
    imap.command("STORE 2:4 +FLAGS (\\Seen \\Flagged)").await.unwrap().ok().unwrap();
    let before = fetched(&scene);
    let [by_mbsync, by_offlineimap, by_mpop, by_fetchmail] = before.counts();
    let all = scene.messages;
    assert_eq!((by_mbsync, by_offlineimap, by_mpop), (all - 1, all, all));
    assert!(by_fetchmail >= MADE, "{by_fetchmail}");
    scene = scene.recovered().await;
    assert_eq!(fetched(&scene), before);
    // And goes on from there.
    scene.imap().await.append("INBOX", b"Subject: new\r\n\r\nnew\r\n").await.unwrap().ok().unwrap();
    assert_eq!(fetched(&scene).counts(), before.counts().map(|count| count + 1));
}

/// Puts the mailbox back as it was at a moment: what came of it.
async fn put_back(scene: &Scene, at: DateTime<Utc>) -> Value {
    let http = Http::new(scene.server.listening().http).unwrap();
    let http = http.with_token(scene.world.operator_key().await);
    let path = format!("/v1/tenants/{}/mailboxes/{}/restores", scene.world.tenant.id, scene.mailbox_id);
    let asked = json!({ "at": at, "mode": "in_place" });
    let begun = http.post(&path, &asked).await.unwrap().expect(202).unwrap();
    let path = format!("/v1/operations/{}", begun["id"].as_str().unwrap());
    let started = Instant::now();
    loop {
        let operation = http.get(&path).await.unwrap().expect(200).unwrap();
        if !operation["finished_at"].is_null() {
            assert_eq!(operation["status"], "succeeded", "{operation}");
            return operation["result"].clone();
        }
        assert!(started.elapsed() < PATIENCE, "{operation}\n{}", scene.server.log_end());
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until there is a moment that a mailbox can be put back to.
async fn has_a_past(scene: &Scene) {
    let (log, started) = (scene.server.data_dir().join("server.log"), Instant::now());
    while !read(&log).contains("a base of the journal was taken") {
        assert!(started.elapsed() < PATIENCE, "{}", scene.server.log_end());
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "clients: takes isync's mbsync, offlineimap3, mpop and fetchmail"]
async fn clients_fetch_only_what_returned_after_a_restore_in_place() {
    let scene = Scene::new().await;
    let before = fetched(&scene);
    has_a_past(&scene).await;
    let moment = Env::system().now();

    // Numbers 97 to 99 of those that were made. Who synchronises sees it; who only fetches is away meanwhile.
    let mut imap = scene.imap().await;
    imap.command("SELECT INBOX").await.unwrap().ok().unwrap();
    let some = format!("{}:{}", scene.messages - 102, scene.messages - 100);
    imap.command(&format!("STORE {some} +FLAGS.SILENT (\\Deleted)")).await.unwrap().ok().unwrap();
    imap.command("EXPUNGE").await.unwrap().ok().unwrap();
    let without = [mbsync(&scene), offlineimap(&scene)];
    for (without, before) in without.iter().zip([&before.mbsync, &before.offlineimap]) {
        assert!(without.is_subset(before));
        assert_eq!(without.len(), before.len() - 3);
    }

    let result = put_back(&scene, moment).await;
    assert_eq!(result["messages_returned"], 3, "{result}");
    let after = fetched(&scene);
    for (after, without) in [&after.mbsync, &after.offlineimap].into_iter().zip(&without) {
        assert!(after.is_superset(without));
        assert_eq!(after.len(), without.len() + 3);
        let number =
            |path: &PathBuf| (97..=99).find(|number| read(path).contains(&format!("Number {number}.")));
        let returned: BTreeSet<_> = after.difference(without).map(number).collect();
        assert_eq!(returned, BTreeSet::from([97, 98, 99].map(Some)));
    }
    assert_eq!((&after.mpop, &after.fetchmail), (&before.mpop, &before.fetchmail), "they are whom they know");
    assert_eq!(fetched(&scene), after, "the next time nothing is fetched");
}
