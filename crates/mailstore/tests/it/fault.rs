//! Mail that comes while the bucket fails: nothing acknowledged is lost or doubled, what is refused may come again and is not there,
//! and when the fault is over everything goes on, with the same store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use blob::{BlobKey, BlobStore, Credentials, KeyPrefix, S3Options};
use bytes::Bytes;
use chrono::TimeDelta;
use futures::future::join_all;
use kernel::{ErrorKind, MailboxId, MessageId, PageRequest};
use mailstore::compact::{self, Compacted, Pace};
use mailstore::ingest::{Incoming, Outcome, Target, Within, ingest};
use mailstore::message::{self, Filter, Flags};
use mailstore::{Error, MailStore};
use tenancy::Ctx;
use testkit::faults::{Fault, Faults, Rule};
use testkit::s3::S3Server;
use testkit::{World, world};

use crate::support::{id, noise};

/// How long a refusal may take, on a machine that is busy: many times what the time limits of the bucket's client come to.
const BOUND: Duration = Duration::from_secs(60);
/// How many messages come during a fault.
const MESSAGES: usize = 12;

/// Two tenants with a mailbox each, and a mail store over a bucket behind a proxy.
struct Bad {
    world: World,
    mailboxes: [(Ctx, MailboxId); 2],
    server: S3Server,
    faults: Faults,
    store: MailStore,
    /// What was acknowledged, in which mailbox, with the number that tells its bytes.
    kept: BTreeMap<(MailboxId, MessageId), usize>,
    /// How many messages have been made.
    made: usize,
}

impl Bad {
    async fn new() -> Self {
        Self::patient_for(Duration::from_secs(10)).await
    }

    /// With a client of the bucket whose every try may take so long.
    async fn patient_for(attempt_timeout: Duration) -> Self {
        let (world, server) = (World::new().await, S3Server::start().await);
        let faults = Faults::before(server.address()).await;
        let neighbour = world::tenant(&world.operator, &world.reseller, "Neighbour").await;
        let ctx = world.operator.enter(neighbour.id).await.unwrap();
        world::domain(&ctx, "neighbour.example").await;
        let mailboxes = [
            mailbox(world.ctx.clone(), "ada@acme.example").await,
            mailbox(ctx, "bob@neighbour.example").await,
        ];
        let blobs = bucket(&faults.url("x"), attempt_timeout).await;
        let store = MailStore::new(world.test_db.db(), blobs, testkit::kek::encryption());
        Self { world, mailboxes, server, faults, store, kept: BTreeMap::new(), made: 0 }
    }

    /// Sends a message with this number to both mailboxes; it is told within [`BOUND`].
    async fn send(&self, number: usize) -> Vec<Result<Outcome, Error>> {
        let target = |(ctx, mailbox_id): &(Ctx, MailboxId)| Target {
            ctx: ctx.clone(),
            mailbox_id: *mailbox_id,
            folder: Within::Inbox,
            room_bytes: None,
        };
        let internal_date = self.world.test_db.db().env().now();
        let incoming =
            Incoming { bytes: bytes(number), internal_date, flags: Flags::default(), import_key: None };
        let sending = ingest(&self.store, self.mailboxes.iter().map(target).collect(), incoming);
        tokio::time::timeout(BOUND, sending).await.unwrap()
    }

    /// Sends so many new messages at once; how many answers were refusals. Each of these must allow another try.
    async fn send_many(&mut self, count: usize) -> usize {
        let numbers = self.made..self.made + count;
        self.made += count;
        let results = join_all(numbers.clone().map(|number| self.send(number))).await;
        let mut refused = 0;
        for (number, results) in numbers.zip(results) {
            for ((_, mailbox), result) in self.mailboxes.iter().zip(results) {
                match &result {
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                        refused += 1;
                    }
                    Ok(_) => assert_eq!(self.kept.insert((*mailbox, id(&result)), number), None),
                }
            }
        }
        refused
    }

    /// Mail while the rules hold; how many refusals. Then they are lifted, everything that comes is taken, and all that was acknowledged is
    /// there once and nothing else.
    async fn under(&mut self, rules: impl IntoIterator<Item = Rule>) -> usize {
        let before = self.faults.happened();
        self.faults.set(rules);
        let refused = self.send_many(MESSAGES).await;
        assert!(self.faults.happened() > before, "the fault did not happen");
        self.faults.lift();
        self.recover().await;
        assert_eq!(self.send_many(3).await, 0, "the fault is over");
        self.assert_whole().await;
        refused
    }

    /// Until one gets through: what was under way when the fault ended may still fail by it.
    async fn recover(&mut self) {
        let deadline = tokio::time::Instant::now() + BOUND;
        while self.send_many(1).await > 0 {
            assert!(tokio::time::Instant::now() < deadline, "the store does not recover");
        }
    }

    /// Each mailbox has what was acknowledged and nothing else, byte for byte, and every counter is the sum of what it counts.
    async fn assert_whole(&self) {
        let mut held = BTreeSet::new();
        for (ctx, mailbox) in &self.mailboxes {
            let mut request = PageRequest::new(Some(200), None);
            loop {
                let page = message::list(ctx, *mailbox, Filter::default(), &request).await.unwrap();
                held.extend(page.items.iter().map(|message| (*mailbox, message.id)));
                let Some(next) = page.next else { break };
                request = PageRequest::new(Some(200), Some(next));
            }
        }
        assert_eq!(held, self.kept.keys().copied().collect());
        for ((mailbox, id), number) in &self.kept {
            let (ctx, _) = self.mailboxes.iter().find(|(_, of)| of == mailbox).unwrap();
            let raw = message::raw(&self.store, ctx, *mailbox, *id, None).await.unwrap();
            assert!(raw.bytes == bytes(*number), "message {number}");
        }
        let drift = mailstore::check::drift(&self.world.test_db.db()).await.unwrap();
        assert_eq!(drift, mailstore::check::Drift::default());
    }

    /// Sweeps when no reservation holds any more: nothing is left but what is live.
    async fn assert_even(&self) {
        let db = self.world.test_db.db();
        self.world.test_db.clock().advance(TimeDelta::hours(3));
        assert_eq!(mailstore::sweep::run(&self.store, &db).await.failed, 0);
        self.assert_whole().await;
        self.assert_none_in_vain().await;
    }

    /// The bucket has the packs that are live, and no other.
    async fn assert_none_in_vain(&self) {
        let direct = bucket(&self.server.url("x"), Duration::from_secs(10)).await;
        let keys = direct.list(&KeyPrefix::All, None).await.unwrap().keys;
        let stored: BTreeSet<String> = keys
            .iter()
            .filter_map(|key| match key {
                BlobKey::Pack { pack, .. } => Some(pack.uuid().to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(stored, live_packs(&self.world.test_db.db()).await);
    }
}

#[expect(clippy::disallowed_methods, reason = "the test looks at what no tenant owns")]
async fn live_packs(db: &db::Db) -> BTreeSet<String> {
    let mut tx = db::SystemTx::begin(db).await.unwrap();
    let packs = sqlx::query_scalar("select id::text from packs where state = 'live'");
    packs.fetch_all(tx.conn()).await.unwrap().into_iter().collect()
}

async fn mailbox(ctx: Ctx, address: &str) -> (Ctx, MailboxId) {
    let new = tenancy::user::NewUser { password: None, ..world::new_user(address, Some(1 << 30)) };
    let user = tenancy::user::create(&ctx, new).await.unwrap();
    (ctx, user.mailbox_id)
}

pub(crate) async fn bucket(url: &str, attempt_timeout: Duration) -> Arc<dyn BlobStore> {
    let credentials = Credentials {
        access_key_id: testkit::s3::ACCESS_KEY_ID.into(),
        secret_access_key: testkit::s3::SECRET_ACCESS_KEY.into(),
    };
    let options = S3Options { credentials: Some(credentials), attempt_timeout };
    blob::open_with(&url.parse().unwrap(), options).await.unwrap()
}

/// Messages of some 2 KiB that differ and do not get smaller; every tenth is an object of its own.
fn bytes(number: usize) -> Bytes {
    let length = if number % 10 == 7 { 3 << 19 } else { 1_500 };
    [format!("Subject: {number}\r\n\r\n").into_bytes(), noise(length)].concat().into()
}

const KEYS: &str = "/keys/";
const PACKS: &str = "/packs/";

#[tokio::test]
async fn answers_500_and_503() {
    let mut bad = Bad::new().await;
    // A few requests that are sent again; the first of all are for the tenants' keys.
    for fault in [Fault::INTERNAL_ERROR, Fault::UNAVAILABLE] {
        assert_eq!(bad.under([Rule::new("PUT", "", fault).times(2)]).await, 0, "{fault:?}");
    }
    // All of it, where a service that names an hour is not obeyed for an hour.
    for fault in [Fault::INTERNAL_ERROR, Fault::UNAVAILABLE, Fault::SLOW_DOWN] {
        assert_eq!(bad.under([Rule::new("PUT", "", fault)]).await, 2 * MESSAGES, "{fault:?}");
    }
    // From some moment on.
    bad.under([Rule::new("PUT", PACKS, Fault::UNAVAILABLE).after(1)]).await;
    bad.assert_even().await;
}

#[tokio::test]
async fn slow_answers() {
    let limit = Duration::from_secs(2);
    let mut bad = Bad::patient_for(limit).await;
    assert_eq!(bad.under([Rule::new("PUT", KEYS, Fault::Silence)]).await, 2 * MESSAGES);
    assert_eq!(bad.under([Rule::new("PUT", PACKS, Fault::Silence)]).await, 2 * MESSAGES);
    // These arrive all the same, when nobody waits for them any more.
    assert_eq!(bad.under([Rule::new("PUT", PACKS, Fault::Late(limit * 2))]).await, 2 * MESSAGES);
    // One that is slow is asked again, and arrives twice.
    let before = bad.faults.happened();
    bad.under([Rule::new("PUT", PACKS, Fault::Late(limit * 2)).times(1)]).await;
    assert_eq!(bad.faults.happened() - before, 1);
    // The late ones have arrived before anything is counted.
    bad.faults.settle().await;
    bad.assert_even().await;
}

#[tokio::test]
async fn connections_that_break_in_an_upload() {
    let mut bad = Bad::new().await;
    assert_eq!(bad.under([Rule::new("PUT", KEYS, Fault::CutUpload(40))]).await, 2 * MESSAGES);
    let rules = [0, 40, 1_000].map(|bytes| Rule::new("PUT", PACKS, Fault::CutUpload(bytes)));
    for rule in &rules {
        assert_eq!(bad.under([rule.clone().times(2)]).await, 0, "{rule:?}");
    }
    for rule in rules {
        assert_eq!(bad.under([rule.clone()]).await, 2 * MESSAGES, "{rule:?}");
    }
    bad.assert_even().await;
}

#[tokio::test]
async fn connections_that_break_in_a_download() {
    let mut bad = Bad::new().await;
    assert_eq!(bad.send_many(8).await, 0);
    bad.assert_whole().await;
    // Somewhere in the head, somewhere in the body of any, and near the end of a large one.
    for bytes in [0, 20, 900, 1 << 20] {
        let happened = bad.faults.happened();
        bad.faults.set([Rule::new("GET", PACKS, Fault::CutAnswer(bytes)).times(2)]);
        bad.assert_whole().await;
        bad.faults.set([Rule::new("GET", PACKS, Fault::CutAnswer(bytes))]);
        for ((mailbox, id), number) in bad.kept.iter().filter(|(_, number)| **number == 7) {
            let (ctx, _) = bad.mailboxes.iter().find(|(_, of)| of == mailbox).unwrap();
            let read = message::raw(&bad.store, ctx, *mailbox, *id, None).await;
            let error = read.map(|raw| raw.bytes.len()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "message {number}: {error:?}");
        }
        assert!(bad.faults.happened() > happened + 2, "{bytes}");
        bad.faults.lift();
        bad.assert_whole().await;
    }
    bad.assert_even().await;
}

#[tokio::test]
async fn uploads_whose_answer_is_lost() {
    let mut bad = Bad::new().await;
    // The key is in the bucket, and its row does not know.
    assert_eq!(bad.under([Rule::new("PUT", KEYS, Fault::LOST_ANSWER)]).await, 2 * MESSAGES);
    let rules = [Fault::LOST_ANSWER, Fault::CutAnswer(30)].map(|fault| Rule::new("PUT", PACKS, fault));
    for rule in &rules {
        assert_eq!(bad.under([rule.clone().times(3)]).await, 0, "{rule:?}");
    }
    for rule in rules {
        assert_eq!(bad.under([rule.clone()]).await, 2 * MESSAGES, "{rule:?}");
    }
    bad.assert_even().await;
}

/// A recovery takes what lies in a pack and in no row for accepted: mail that was destroyed since would come back.
#[tokio::test]
async fn a_compaction_whose_upload_failed_leaves_nothing_in_the_bucket() {
    let mut bad = Bad::new().await;
    assert_eq!(bad.send_many(4).await, 0);
    bad.assert_none_in_vain().await;
    bad.world.test_db.clock().advance(TimeDelta::days(2));
    bad.faults.set([Rule::new("PUT", PACKS, Fault::LOST_ANSWER)]);
    let before = bad.faults.happened();
    let pace = Pace::default();
    let done = compact::run(&bad.store, &bad.world.test_db.db(), pace).await.unwrap();
    assert_eq!(done, Compacted { failed: 2, ..Compacted::default() });
    assert!(bad.faults.happened() > before, "the fault did not happen");
    bad.assert_none_in_vain().await;
    bad.faults.lift();
    bad.assert_even().await;
}

#[tokio::test]
async fn credentials_that_expire_and_clocks_that_differ() {
    let mut bad = Bad::new().await;
    for fault in [Fault::EXPIRED_TOKEN, Fault::EXPIRED_TOKEN_AWS, Fault::SKEWED] {
        assert_eq!(bad.under([Rule::new("", "", fault)]).await, 2 * MESSAGES, "{fault:?}");
        // In the middle of it all: what went before is kept.
        bad.under([Rule::new("PUT", PACKS, fault).after(1)]).await;
    }
    bad.assert_even().await;
}

/// A service that ignores the conditions of a PUT changes nothing, since none is ever sent: not where two processes make a tenant's key at
/// once, which is where one would be wanted, nor anywhere in a message's life.
#[tokio::test]
async fn nothing_relies_on_a_conditional_request() {
    let mut bad = Bad::new().await;
    let blobs = bucket(&bad.faults.url("x"), Duration::from_secs(10)).await;
    let other = MailStore::new(bad.world.test_db.db(), blobs, testkit::kek::encryption());
    let (ctx, _) = &bad.mailboxes[0];
    let (one, two) = tokio::join!(bad.store.keys().sealing(ctx), other.keys().sealing(ctx));
    assert_eq!(one.unwrap().generation(), two.unwrap().generation());
    assert_eq!(bad.send_many(4).await, 0);
    let ours = std::mem::replace(&mut bad.store, other);
    assert_eq!(bad.send_many(4).await, 0);
    bad.assert_whole().await;
    bad.store = ours;
    bad.assert_whole().await;

    let ctx = &bad.mailboxes[0].0;
    bad.store.keys().rotate(ctx).await.unwrap();
    assert_eq!(bad.send_many(4).await, 0);
    // Old enough to be moved into packs of their tenants' own, and then to be swept.
    bad.world.test_db.clock().advance(TimeDelta::days(2));
    let pace = Pace::default();
    let moved = compact::run(&bad.store, &bad.world.test_db.db(), pace).await.unwrap();
    assert!(moved != Compacted::default(), "nothing was compacted");
    bad.assert_even().await;
    let seen = bad.faults.seen();
    for method in ["PUT", "GET", "DELETE"] {
        assert!(seen.iter().any(|request| request.method == method), "no {method} came by");
    }
    let conditional: Vec<_> = seen.iter().filter(|request| request.is_conditional).collect();
    assert!(conditional.is_empty(), "{conditional:?}");
}
