//! A tenant with a mail store over a blob store that can be watched, made to fail and held up.

use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use blob::{BlobKey, BlobStore, KeyPage, KeyPrefix, Location};
use bytes::Bytes;
use chrono::TimeDelta;
use kernel::{MailboxId, MessageId, Page, PageRequest};
use mailstore::folder::{self, Folder, Role};
use mailstore::ingest::{Incoming, Outcome, Target, Within, ingest};
use mailstore::message::{self, Filter, Flags, Message, State};
use mailstore::parsed::Parsed;
use mailstore::{Error, MailStore, outline};
use sqlx::Connection as _;
use tenancy::tenant::NewTenant;
use tenancy::user::User;
use tenancy::{Ctx, MailLogin};
use testkit::World;
use tokio::sync::Semaphore;

/// How long a deleted message can be recovered where nobody says otherwise.
pub(crate) const RECOVERABLE: TimeDelta = TimeDelta::days(mailstore::retention::DEFAULT_DAYS as i64);

pub(crate) const HELLO: &[u8] = b"Subject: hello\r\n\r\nHello you\r\n";

/// A blob store in memory whose puts are counted, and can be made to fail or, those of packs, to wait once they have stored.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Arc<dyn BlobStore>,
    /// How many packs were put.
    pub(crate) puts: AtomicU64,
    /// How many wrapped keys were put.
    pub(crate) key_puts: AtomicU64,
    /// Puts of packs fail.
    pub(crate) failing: AtomicBool,
    /// Puts of wrapped keys fail.
    pub(crate) keyless: AtomicBool,
    /// Deletes fail.
    pub(crate) keeping: AtomicBool,
    /// Deletes of this object fail.
    pub(crate) undeletable: Mutex<Option<BlobKey>>,
    /// What is read of this object from one of these places on cannot be read.
    pub(crate) unreadable: Mutex<Option<(BlobKey, Range<u64>)>>,
    /// Whoever reads these objects is turned away.
    pub(crate) barred: Mutex<Vec<BlobKey>>,
    /// Nothing can be read, since nobody answers.
    pub(crate) away: AtomicBool,
    /// Puts of packs wait for a permit after storing, if there is one to wait for.
    hold: Mutex<Option<Arc<Semaphore>>>,
    /// One permit for each pack that was stored.
    stored: Semaphore,
    /// How many more listings and reads of ranges pass before one waits for a permit, once.
    look: Mutex<Option<(u64, Arc<Semaphore>)>>,
    /// One permit once it waits.
    looking: Semaphore,
}

impl Watched {
    pub(crate) fn hold(&self) -> Arc<Semaphore> {
        let semaphore = Arc::new(Semaphore::new(0));
        *self.hold.lock().unwrap() = Some(semaphore.clone());
        semaphore
    }

    /// Later puts wait no more; those that do still need their permits.
    pub(crate) fn stop_holding(&self) {
        *self.hold.lock().unwrap() = None;
    }

    /// Has one listing or read of a range wait after so many others: a listing when it is made, a read before it is.
    pub(crate) fn hold_look(&self, after: u64) -> Arc<Semaphore> {
        let semaphore = Arc::new(Semaphore::new(0));
        *self.look.lock().unwrap() = Some((after, semaphore.clone()));
        semaphore
    }

    pub(crate) async fn wait_until_looking(&self) {
        let wait = self.looking.acquire();
        tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.unwrap().unwrap().forget();
    }

    async fn look(&self) {
        let hold = {
            let mut look = self.look.lock().unwrap();
            match look.as_mut() {
                Some((0, _)) => look.take(),
                Some((after, _)) => {
                    *after -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some((_, hold)) = hold {
            self.looking.add_permits(1);
            hold.acquire().await.unwrap().forget();
        }
    }

    pub(crate) async fn wait_until_stored(&self) {
        let wait = self.stored.acquire();
        tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.unwrap().unwrap().forget();
    }

    fn fails_at(&self, key: &BlobKey, start: u64) -> Result<(), blob::Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(blob::Error::Unavailable(blob::Cause::new("reading", "nobody answers")));
        }
        if self.barred.lock().unwrap().contains(key) {
            return Err(blob::Error::Misconfigured(blob::Cause::new("reading", "turned away")));
        }
        match &*self.unreadable.lock().unwrap() {
            Some((of, bad)) if of == key && bad.contains(&start) => {
                Err(blob::Error::Internal(blob::Cause::new("reading", "a bad sector")))
            }
            _ => Ok(()),
        }
    }

    /// Whether deletes fail, all of them or that of an object that is one of these.
    fn stays(&self, is_one: impl FnOnce(&BlobKey) -> bool) -> bool {
        self.keeping.load(Ordering::SeqCst) || self.undeletable.lock().unwrap().as_ref().is_some_and(is_one)
    }

    /// What a slow put does when it lands at last.
    pub(crate) async fn land(&self, key: &BlobKey, bytes: Vec<u8>) {
        self.inner.put(key, bytes.into()).await.unwrap();
    }

    pub(crate) async fn keys(&self) -> Vec<BlobKey> {
        self.inner.list(&KeyPrefix::All, None).await.unwrap().keys
    }

    pub(crate) async fn packs(&self) -> Vec<BlobKey> {
        let mut keys = self.keys().await;
        keys.retain(|key| matches!(key, BlobKey::Pack { .. }));
        keys
    }
}

#[async_trait]
impl BlobStore for Watched {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), blob::Error> {
        let is_pack = matches!(key, BlobKey::Pack { .. });
        let (puts, failing) =
            if is_pack { (&self.puts, &self.failing) } else { (&self.key_puts, &self.keyless) };
        puts.fetch_add(1, Ordering::SeqCst);
        if failing.load(Ordering::SeqCst) {
            return Err(blob::Error::NotFound);
        }
        self.inner.put(key, bytes).await?;
        if !is_pack {
            return Ok(());
        }
        self.stored.add_permits(1);
        let hold = self.hold.lock().unwrap().clone();
        if let Some(hold) = hold {
            hold.acquire().await.unwrap().forget();
        }
        Ok(())
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, blob::Error> {
        self.fails_at(key, 0)?;
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, blob::Error> {
        self.look().await;
        self.fails_at(key, range.start)?;
        self.inner.get_range(key, range).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), blob::Error> {
        if self.stays(|kept| kept == key) {
            return Err(blob::Error::NotFound);
        }
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, blob::Error> {
        let page = self.inner.list(prefix, after).await;
        self.look().await;
        page
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), blob::Error> {
        if self.stays(|kept| kept == key) {
            return Err(blob::Error::NotFound);
        }
        self.inner.erase(key).await
    }

    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), blob::Error> {
        let prefixed = prefix.to_string();
        if self.stays(|kept| kept.to_string().starts_with(&prefixed)) {
            return Err(blob::Error::NotFound);
        }
        self.inner.erase_all(prefix).await
    }
}

pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) blobs: Arc<Watched>,
    pub(crate) store: MailStore,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let blobs = Arc::new(Watched {
            inner: blob::open(&"memory:".parse::<Location>().unwrap()).await.unwrap(),
            puts: AtomicU64::new(0),
            key_puts: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            keyless: AtomicBool::new(false),
            keeping: AtomicBool::new(false),
            undeletable: Mutex::new(None),
            unreadable: Mutex::new(None),
            barred: Mutex::new(Vec::new()),
            away: AtomicBool::new(false),
            hold: Mutex::new(None),
            stored: Semaphore::new(0),
            look: Mutex::new(None),
            looking: Semaphore::new(0),
        });
        let world = World::new().await;
        let store = MailStore::new(world.test_db.db(), blobs.clone(), testkit::kek::encryption());
        Self { world, store, blobs }
    }

    pub(crate) fn ctx(&self) -> &Ctx {
        &self.world.ctx
    }

    /// A user without a password, which would be slow to hash.
    pub(crate) async fn user(&self, local: &str, quota_bytes: Option<i64>) -> User {
        let new = testkit::world::new_user(&format!("{local}@acme.example"), quota_bytes);
        let new = tenancy::user::NewUser { password: None, ..new };
        tenancy::user::create(self.ctx(), new).await.unwrap()
    }

    pub(crate) async fn mailbox(&self, local: &str, quota_bytes: Option<i64>) -> MailboxId {
        self.user(local, quota_bytes).await.mailbox_id
    }

    /// What a signed-in user has, by the operator's hand.
    pub(crate) fn login(&self, user: &User) -> MailLogin {
        MailLogin {
            ctx: self.ctx().clone(),
            user_id: user.id,
            mailbox_id: user.mailbox_id,
            session_epoch: 0,
            app_password: None,
            good_until: None,
        }
    }

    /// A second tenant with a user in it.
    pub(crate) async fn neighbour(&self) -> (Ctx, MailboxId) {
        self.tenant("Neighbour", false).await
    }

    /// A further tenant with a user in it.
    pub(crate) async fn tenant(&self, name: &str, storage_dedicated: bool) -> (Ctx, MailboxId) {
        let new = testkit::world::new_tenant(&self.world.reseller, name);
        let new = NewTenant { storage_dedicated, ..new };
        let tenant = tenancy::tenant::create(&self.world.operator, new).await.unwrap();
        let ctx = self.world.operator.enter(tenant.id).await.unwrap();
        let domain = format!("{}.example", name.to_lowercase());
        testkit::world::domain(&ctx, &domain).await;
        let new = testkit::world::new_user(&format!("bob@{domain}"), None);
        let user =
            tenancy::user::create(&ctx, tenancy::user::NewUser { password: None, ..new }).await.unwrap();
        (ctx, user.mailbox_id)
    }

    pub(crate) fn ingest<'a>(
        &'a self,
        mailboxes: &[MailboxId],
        bytes: &[u8],
    ) -> impl Future<Output = Vec<Result<Outcome, Error>>> + use<'a> {
        let targets = mailboxes.iter().map(|&mailbox| self.target(mailbox)).collect();
        ingest(&self.store, targets, self.incoming(bytes))
    }

    pub(crate) fn target(&self, mailbox_id: MailboxId) -> Target {
        Target { ctx: self.ctx().clone(), mailbox_id, folder: Within::Inbox, room_bytes: None }
    }

    pub(crate) fn incoming(&self, bytes: &[u8]) -> Incoming {
        let internal_date = self.ctx().env().now();
        Incoming {
            bytes: Bytes::copy_from_slice(bytes),
            internal_date,
            flags: Flags::default(),
            import_key: None,
        }
    }

    /// A message's id once it is stored.
    pub(crate) async fn stored(&self, mailbox: MailboxId, bytes: &[u8]) -> MessageId {
        id(&self.ingest(&[mailbox], bytes).await[0])
    }

    pub(crate) async fn list(&self, mailbox: MailboxId, state: State) -> Vec<Message> {
        let request = PageRequest::new(Some(200), None);
        let Page { items, next } =
            message::list(self.ctx(), mailbox, Filter { state, ..Filter::default() }, &request)
                .await
                .unwrap();
        assert!(next.is_none());
        items
    }

    /// What a message says of itself.
    pub(crate) async fn parsed(&self, message: &Message) -> Parsed {
        let mut parsed =
            outline::parsed(&self.store, self.ctx(), std::slice::from_ref(message)).await.unwrap();
        assert_eq!(parsed.len(), 1);
        parsed.remove(0)
    }

    pub(crate) async fn used(&self, mailbox: MailboxId) -> (i64, i64) {
        let quota = tenancy::mailbox::get(self.ctx(), mailbox).await.unwrap().quota;
        (quota.used_bytes, quota.recoverable_bytes)
    }

    /// Sweeps, and once more when nobody can be reading any more what lay in packs that are empty.
    pub(crate) async fn sweep_out(&self) {
        let (db, clock) = (self.world.test_db.db(), self.world.test_db.clock());
        mailstore::sweep::run(&self.store, &db).await;
        clock.advance(mailstore::sweep::GRACE + chrono::TimeDelta::seconds(1));
        assert_eq!(mailstore::sweep::run(&self.store, &db).await.failed, 0);
    }

    /// Has the database refuse messages of so many bytes.
    pub(crate) async fn poison(&self, size_bytes: usize) {
        let mut owner = sqlx::PgConnection::connect(&self.world.test_db.url()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'poisonous'; end $$;
             create trigger refuse before insert on messages for each row when (new.size_bytes = {size_bytes}) execute function refuse()"
        )))
        .execute(&mut owner)
        .await
        .unwrap();
    }

    pub(crate) async fn assert_exact(&self) {
        let drift = mailstore::check::drift(&self.world.test_db.db()).await.unwrap();
        assert_eq!(drift, mailstore::check::Drift::default());
    }
}

pub(crate) fn id(result: &Result<Outcome, Error>) -> MessageId {
    match result {
        Ok(Outcome::Stored(id)) => *id,
        other => panic!("not stored: {other:?}"),
    }
}

/// A mailbox's Inbox.
pub(crate) async fn inbox(bench: &Bench, mailbox: MailboxId) -> Folder {
    let folders = folder::list(bench.ctx(), mailbox).await.unwrap();
    folders.into_iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap()
}

/// Bytes that do not get smaller.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let random = testkit::SeededRandom::new(7);
    let words = std::iter::repeat_with(|| random.next_u64().to_le_bytes());
    words.flatten().take(length).collect()
}
