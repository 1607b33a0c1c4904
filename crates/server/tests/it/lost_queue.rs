//! The database is lost while mail waits to be sent: what was accepted is sent once all the same, or is its sender's again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use testkit::client::http::Http;
use testkit::smarthost::{FakeSmarthost, Fault, Step};
use testkit::story::server::Server;
use testkit::{TestDb, World};

use crate::submission::{BOTH, PATIENCE, inbox, message, place, received, signed_in, start};
use crate::{pillarbox, stderr, stdout};

/// Ada, who sends, and Bob; what they are in, which is lost in the end; and what is not.
struct Scene {
    world: World,
    smarthost: FakeSmarthost,
    dir: TempDir,
    operator: String,
}

impl Scene {
    async fn new() -> Self {
        let (world, smarthost, dir) = place().await;
        let operator = world.operator_key().await;
        Self { world, smarthost, dir, operator }
    }

    /// With a first base, without which nothing of the journal is in the bucket.
    async fn start(&self) -> Server {
        let server = start(self.dir.path(), &self.world.test_db, &self.smarthost).await;
        let started = Instant::now();
        while !self.journal().iter().any(is_end_of_base) {
            assert!(started.elapsed() < PATIENCE, "no base is taken\n{}", server.log_end());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// What becomes of what Ada has sent: the state for each recipient of each message, by its subject, which its Message-ID has too.
    async fn states(&self, server: &Server) -> BTreeMap<String, Vec<(String, String)>> {
        let list = self.outgoing(server).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let of = |one: &Value| (text(&one["address"]), text(&one["state"]));
        let states = list.iter().map(|one| {
            let (subject, _) = one["message_id"].as_str().unwrap().split_once('@').unwrap();
            (subject.to_owned(), one["recipients"].as_array().unwrap().iter().map(of).collect())
        });
        states.collect()
    }

    async fn outgoing(&self, server: &Server) -> Vec<Value> {
        let list = self.http(server).get(&self.path("")).await.unwrap().expect(200).unwrap();
        list["data"].as_array().unwrap().clone()
    }

    /// Has all that waits go at once, as its operator would.
    async fn hurry(&self, server: &Server) {
        for one in self.outgoing(server).await.iter().filter(|one| one["closed_at"].is_null()) {
            let path = self.path(&format!("/{}/retry", one["id"].as_str().unwrap()));
            let retry = self.http(server).request(Method::POST, &path);
            Http::send(retry).await.unwrap().expect(200).unwrap();
        }
    }

    fn http(&self, server: &Server) -> Http {
        Http::new(server.listening().http).unwrap().with_token(&self.operator)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/tenants/{}/outgoing{rest}", self.world.tenant.id)
    }

    /// Sends a message to each of some people by one that says what it is.
    async fn send(&self, server: &Server, subject: &str, to: &[&str]) {
        let mut client = signed_in(server).await.unwrap();
        let id = format!("Message-ID: <{subject}@acme.example>\r\n");
        let message = [id.as_bytes(), &message(subject)].concat();
        assert_eq!(client.submit("ada@acme.example", to, &message).await.unwrap().code, 250);
        client.quit().await.unwrap();
    }

    /// Waits until a message's recipients are in these states.
    async fn until(&self, server: &Server, subject: &str, wanted: &[(&str, &str)]) {
        let started = Instant::now();
        loop {
            let states = self.states(server).await;
            let is = states.get(subject).into_iter().flatten();
            if is.map(|(address, state)| (address.as_str(), state.as_str())).eq(wanted.iter().copied()) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{subject}: {states:?}\n{}", server.log_end());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The objects of the journal.
    fn journal(&self) -> BTreeSet<OsString> {
        match std::fs::read_dir(self.dir.path().join("blobs/journal")) {
            Ok(objects) => objects.map(|object| object.unwrap().file_name()).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes a database out of what there is in the bucket, and goes on with it.
    async fn recover(&mut self, late: usize) -> Server {
        let blank = TestDb::blank().await;
        let url = blank.url();
        let settings = [("PILLARBOX_DATABASE_URL", url.as_str())];
        let recovered = pillarbox(self.dir.path(), &settings, &["recover"]);
        let said = stdout(&recovered);
        assert!(recovered.status.success(), "{said}{}", stderr(&recovered));
        assert!(said.contains(&format!("{late} messages that may have been accepted after")), "{said}");
        self.world.test_db = blank;
        self.start().await
    }
}

/// By its flags, which are the tenth byte of its id.
fn is_end_of_base(object: &OsString) -> bool {
    let digits: String = object.to_str().unwrap().chars().filter(|digit| *digit != '-').collect();
    digits.get(18..20) == Some("03")
}

fn once<const N: usize>(subjects: [&str; N]) -> BTreeMap<String, usize> {
    subjects.map(|subject| (subject.to_owned(), 1)).into()
}

const BOB_HAS_IT: (&str, &str) = ("bob@acme.example", "delivered");
const CLEO_HAS_IT: (&str, &str) = ("cleo@c.example", "delivered");
const CLEO_WAITS: (&str, &str) = ("cleo@c.example", "queued");

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_is_sent_once_and_what_was_sent_is_not_sent_again() {
    let mut scene = Scene::new().await;
    let server = scene.start().await;
    scene.send(&server, "before", BOTH).await;
    scene.until(&server, "before", &[BOB_HAS_IT, CLEO_HAS_IT]).await;
    scene.smarthost.fail(Fault::Cut(Step::Connect), usize::MAX);
    // The connection that the first one has left open.
    scene.smarthost.fail(Fault::Answer(Step::Mail, "421 4.3.2 going down"), 1);
    for subject in ["first", "second"] {
        scene.send(&server, subject, BOTH).await;
        scene.until(&server, subject, &[BOB_HAS_IT, CLEO_WAITS]).await;
    }
    scene.send(&server, "third", &["cleo@c.example"]).await;
    // It ends with all of its journal in the bucket.
    assert!(server.stop().await.unwrap().success());
    assert_eq!(received(&scene.smarthost), once(["before"]));

    scene.smarthost.recover();
    let server = scene.recover(0).await;
    scene.hurry(&server).await;
    for subject in ["first", "second"] {
        scene.until(&server, subject, &[BOB_HAS_IT, CLEO_HAS_IT]).await;
    }
    scene.until(&server, "third", &[CLEO_HAS_IT]).await;
    scene.until(&server, "before", &[BOB_HAS_IT, CLEO_HAS_IT]).await;
    assert!(scene.outgoing(&server).await.iter().all(|one| one["closed_at"].is_string()));
    assert_eq!(received(&scene.smarthost), once(["before", "first", "second", "third"]));
    assert_eq!(inbox(&server, "bob@acme.example").await, once(["before", "first", "second"]));
    assert_eq!(inbox(&server, "ada@acme.example").await, BTreeMap::new(), "nobody is told of anything");
    let verified = pillarbox(
        scene.dir.path(),
        &[("PILLARBOX_DATABASE_URL", &scene.world.test_db.url())],
        &["blob", "verify", "--read"],
    );
    assert!(verified.status.success(), "{}", stdout(&verified));
    assert!(server.stop().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_in_the_last_moments_is_its_sender_s_again() {
    let mut scene = Scene::new().await;
    scene.smarthost.fail(Fault::Cut(Step::Connect), usize::MAX);
    let server = scene.start().await;
    scene.send(&server, "known", BOTH).await;
    scene.until(&server, "known", &[BOB_HAS_IT, CLEO_WAITS]).await;
    assert!(server.stop().await.unwrap().success());
    let written = scene.journal();

    // Nothing of this is in the journal when the database is lost.
    scene.smarthost.recover();
    let mut server = scene.start().await;
    scene.hurry(&server).await;
    scene.until(&server, "known", &[BOB_HAS_IT, CLEO_HAS_IT]).await;
    scene.send(&server, "sent", BOTH).await;
    scene.until(&server, "sent", &[BOB_HAS_IT, CLEO_HAS_IT]).await;
    scene.smarthost.fail(Fault::Answer(Step::Rcpt, "450 4.2.1 busy"), usize::MAX);
    scene.send(&server, "waiting", &["cleo@c.example"]).await;
    server.kill().await.unwrap();
    for object in scene.journal().difference(&written) {
        std::fs::remove_file(scene.dir.path().join("blobs/journal").join(object)).unwrap();
    }
    assert_eq!(received(&scene.smarthost), once(["known", "sent"]));

    scene.smarthost.recover();
    // What Bob got, and what Ada sent.
    let server = scene.recover(3).await;
    assert_eq!(scene.states(&server).await.keys().collect::<Vec<_>>(), ["known"]);
    scene.hurry(&server).await;
    scene.until(&server, "known", &[BOB_HAS_IT, CLEO_HAS_IT]).await;
    // That it had left is lost: it is sent again, with the same Message-ID.
    let out = received(&scene.smarthost);
    assert_eq!(out, [("known".to_owned(), 2), ("sent".to_owned(), 1)].into());
    assert_eq!(inbox(&server, "bob@acme.example").await, once(["known", "sent"]));
    // Neither lost nor sent twice.
    assert_eq!(inbox(&server, "ada@acme.example").await, once(["sent", "waiting"]));
    assert!(server.stop().await.unwrap().success());
}
