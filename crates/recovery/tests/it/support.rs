//! A tenant whose mail and whose journal lie in one bucket, and the same again out of that bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use blob::{BlobKey, BlobStore, KeyPrefix, Location};
use bytes::Bytes;
use kernel::{Env, FolderId, MailboxId, MessageId};
use mailstore::MailStore;
use mailstore::ingest::{Incoming, Outcome, Target, ingest};
use mailstore::message::Flags;
use recovery::{Journal, Late, Recovered, base, recover, ship};
use serde_json::Value;
use tenancy::Ctx;
use tenancy::user::User;
use testkit::{TestDb, World};

pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) store: MailStore,
    pub(crate) journal: Journal,
}

impl Bench {
    /// With a first base.
    pub(crate) async fn new() -> Self {
        let (_, clock) = testkit::env::test_env();
        // A clock that goes: the journal's moments are the database's own.
        let world = World::within(TestDb::with_env(Env::system(), clock).await, "acme.example").await;
        let blobs = blob::open(&"memory:".parse::<Location>().unwrap()).await.unwrap();
        let store = MailStore::new(world.test_db.db(), blobs.clone(), testkit::kek::encryption());
        let journal = Journal::new(&world.test_db.db(), &store);
        base::take_if_due(&journal).await.unwrap().unwrap();
        Self { world, blobs, store, journal }
    }

    pub(crate) fn ctx(&self) -> &Ctx {
        &self.world.ctx
    }

    pub(crate) async fn mailbox(&self, local: &str) -> MailboxId {
        self.user(local).await.mailbox_id
    }

    pub(crate) async fn user(&self, local: &str) -> User {
        let new = testkit::world::new_user(&format!("{local}@acme.example"), None);
        // A password would be slow to hash.
        let new = tenancy::user::NewUser { password: None, ..new };
        tenancy::user::create(self.ctx(), new).await.unwrap()
    }

    pub(crate) async fn deliver(
        &self,
        mailbox_id: MailboxId,
        folder: Option<FolderId>,
        bytes: &[u8],
    ) -> MessageId {
        let target = Target { ctx: self.ctx().clone(), mailbox_id, folder: folder.into(), room_bytes: None };
        let internal_date = self.ctx().env().now();
        let incoming = Incoming {
            bytes: Bytes::copy_from_slice(bytes),
            internal_date,
            flags: Flags::default(),
            import_key: None,
        };
        match ingest(&self.store, vec![target], incoming).await.remove(0).unwrap() {
            Outcome::Stored(id) => id,
            Outcome::AlreadyImported => panic!("it is no import"),
        }
    }

    pub(crate) async fn ship(&self) -> ship::Shipped {
        ship::ship(&self.journal).await.unwrap()
    }

    pub(crate) async fn objects(&self, prefix: KeyPrefix) -> Vec<BlobKey> {
        let page = self.blobs.list(&prefix, None).await.unwrap();
        assert!(page.next.is_none());
        page.keys
    }

    /// Another database, out of the bucket; and a mail store over it.
    pub(crate) async fn recovered(&self) -> Again {
        self.recovered_from(self.blobs.clone()).await
    }

    /// As [`Self::recovered`], and the bucket does not learn of it: a copy of the database as it is in the bucket.
    pub(crate) async fn copied(&self) -> Again {
        let copy = blob::open(&"memory:".parse::<Location>().unwrap()).await.unwrap();
        for key in self.objects(KeyPrefix::All).await {
            copy.put(&key, self.blobs.get(&key).await.unwrap()).await.unwrap();
        }
        self.recovered_from(copy).await
    }

    /// What becomes of a recovery that nothing is to come of.
    pub(crate) async fn try_recovered(&self) -> Result<Recovered, recovery::Error> {
        let test_db = TestDb::blank().await;
        let encryption = testkit::kek::encryption();
        recover(&test_db.db(), self.blobs.clone(), encryption, Late::Leave, &mut |_| {}).await
    }

    async fn recovered_from(&self, blobs: Arc<dyn BlobStore>) -> Again {
        let test_db = TestDb::blank().await;
        let db = test_db.db();
        let recovered = recover(&db, blobs.clone(), testkit::kek::encryption(), Late::Deliver, &mut |_| {})
            .await
            .unwrap();
        let ctx = testkit::world::operator(&test_db).enter(self.ctx().tenant_id()).await.unwrap();
        let store = MailStore::new(db, blobs, testkit::kek::encryption());
        Again { test_db, ctx, store, recovered }
    }
}

/// What came out of the bucket.
pub(crate) struct Again {
    pub(crate) test_db: TestDb,
    pub(crate) ctx: Ctx,
    pub(crate) store: MailStore,
    pub(crate) recovered: Recovered,
}

/// All rows but the journal's own and those that are made out of bodies anew, without what a recovery sets on.
pub(crate) async fn rows(test_db: &TestDb) -> BTreeMap<String, Vec<Value>> {
    let mut rows = test_db.rows().await;
    rows.retain(|table, _| {
        let of_its_own = ["search_queue", "message_outlines", "mail_change_floors"];
        !table.starts_with("journal") && !of_its_own.contains(&table.as_str())
    });
    for (table, column) in [
        ("folders", "uid_next"),
        ("folders", "highest_modseq"),
        ("mailboxes", "modseq"),
        ("mailboxes", "uid_validity_floor"),
        ("messages", "modseq"),
        ("_sqlx_migrations", "installed_on"),
        ("_sqlx_migrations", "execution_time"),
    ] {
        for row in rows.get_mut(table).unwrap() {
            row.as_object_mut().unwrap().remove(column).unwrap();
        }
        rows.get_mut(table).unwrap().sort_by_key(ToString::to_string);
    }
    rows
}

/// Which tables differ, and how.
pub(crate) fn assert_same(was: &BTreeMap<String, Vec<Value>>, is: &BTreeMap<String, Vec<Value>>) {
    assert_eq!(was.keys().collect::<Vec<_>>(), is.keys().collect::<Vec<_>>());
    for (table, rows) in was {
        let other = &is[table];
        let gone: Vec<_> = rows.iter().filter(|row| !other.contains(row)).collect();
        let new: Vec<_> = other.iter().filter(|row| !rows.contains(row)).collect();
        assert!(gone.is_empty() && new.is_empty(), "{table}\nwas: {gone:#?}\nis: {new:#?}");
    }
}
