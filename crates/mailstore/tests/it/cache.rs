//! Bodies that are in memory are not fetched again, and those that are read in order not one by one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use blob::{BlobKey, BlobStore, KeyPage, KeyPrefix};
use bytes::Bytes;
use futures::future::join_all;
use kernel::{MailboxId, MessageId};
use mailstore::message::{self, State};
use mailstore::{Error, MailStore, maildrop, view};
use tenancy::user::User;

use crate::support::{Bench, inbox};

/// Counts what is read of what lies behind it.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn BlobStore>,
    reads: AtomicU64,
    /// How many reads are under way, and were at most.
    under_way: AtomicU64,
    at_once: AtomicU64,
}

impl Counted {
    fn new(inner: Arc<dyn BlobStore>) -> Arc<Self> {
        Arc::new(Self { inner, reads: 0.into(), under_way: 0.into(), at_once: 0.into() })
    }
}

#[async_trait]
impl BlobStore for Counted {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), blob::Error> {
        self.inner.put(key, bytes).await
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, blob::Error> {
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &BlobKey, range: std::ops::Range<u64>) -> Result<Bytes, blob::Error> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.at_once.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let read = self.inner.get_range(key, range).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        read
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), blob::Error> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, blob::Error> {
        self.inner.list(prefix, after).await
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), blob::Error> {
        self.inner.erase(key).await
    }

    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), blob::Error> {
        self.inner.erase_all(prefix).await
    }
}

struct Scene {
    bench: Bench,
    counted: Arc<Counted>,
    store: MailStore,
    ada: MailboxId,
}

impl Scene {
    /// A process beside the one that takes mail in.
    async fn with_cache(max_bytes: u64) -> Self {
        let bench = Bench::new().await;
        let ada = bench.mailbox("ada", None).await;
        let counted = Counted::new(bench.blobs.clone());
        let store = MailStore::new(bench.world.test_db.db(), counted.clone(), testkit::kek::encryption());
        Self { store: store.with_cache(max_bytes), bench, counted, ada }
    }

    async fn read(&self, id: MessageId) -> Bytes {
        message::raw(&self.store, self.bench.ctx(), self.ada, id, None).await.unwrap().bytes
    }

    fn reads(&self) -> u64 {
        self.counted.reads.load(Ordering::SeqCst)
    }

    /// Messages in packs of several and in packs of one, in a mailbox: what they are, in the order of their UIDs.
    async fn scattered(&self, mailbox_id: MailboxId) -> Vec<Vec<u8>> {
        let all: Vec<_> = (0..120).map(|number| mail(number, 4_000)).collect();
        for some in all.chunks(8) {
            let (alone, together) = some.split_at(1);
            for some in [alone, together] {
                join_all(some.iter().map(|bytes| self.bench.stored(mailbox_id, bytes))).await;
            }
        }
        let mut messages = self.bench.list(mailbox_id, State::Live).await;
        messages.sort_by_key(|message| message.uid);
        let mut bodies = Vec::new();
        for message in messages {
            let raw = message::raw(&self.bench.store, self.bench.ctx(), mailbox_id, message.id, None).await;
            bodies.push(raw.unwrap().bytes.into());
        }
        bodies
    }

    /// How many packs there are, and reads have been.
    async fn counts(&self) -> (u64, u64) {
        (self.bench.blobs.packs().await.len() as u64, self.reads())
    }

    /// Whether each pack that came since was fetched as a whole, some of them twice where places were looked up in two goes, and several at once while
    /// messages were read one after the other.
    async fn assert_fetched_ahead(&self, (packs, reads): (u64, u64), twice: u64) {
        let now = self.counts().await;
        let (packs, reads) = (now.0 - packs, now.1 - reads);
        assert!(packs > 20 && (packs..=packs + twice).contains(&reads), "{packs} packs, {reads} reads");
        assert!(self.counted.at_once.load(Ordering::SeqCst) > 1);
    }

    /// Reads all of a mailbox by POP3.
    async fn read_by_pop3(&self, user: &User, bodies: &[Vec<u8>]) {
        let maildrop = maildrop::open(&self.store, &self.bench.login(user)).await.unwrap();
        for (index, body) in bodies.iter().enumerate() {
            assert_eq!(maildrop.body(index).await.unwrap(), body);
        }
    }
}

/// Text that compression makes little of.
fn mail(number: u64, bytes: usize) -> Vec<u8> {
    let mut text = format!("Subject: {number}\r\n\r\n").into_bytes();
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend(format!("{:016x}\r\n", state >> 3 ^ state << 7).bytes());
    }
    text
}

#[tokio::test]
async fn what_was_read_is_not_fetched_again_and_by_many_at_once_it_is_fetched_once() {
    let scene = Scene::with_cache(8 << 20).await;
    let id = scene.bench.stored(scene.ada, &mail(1, 4_000)).await;
    let all = join_all((0..16).map(|_| scene.read(id))).await;
    assert!(all.iter().all(|bytes| **bytes == mail(1, 4_000)));
    assert_eq!(scene.reads(), 1);
    scene.read(id).await;
    assert_eq!(scene.reads(), 1);
}

#[tokio::test]
async fn what_was_just_taken_in_is_in_memory() {
    let scene = Scene::with_cache(8 << 20).await;
    let caching = Bench { store: scene.store.clone(), ..scene.bench };
    let id = caching.stored(scene.ada, &mail(1, 4_000)).await;
    let raw = message::raw(&caching.store, caching.ctx(), scene.ada, id, None).await.unwrap();
    assert_eq!(raw.bytes, mail(1, 4_000));
    assert_eq!(scene.counted.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_pack_that_is_read_in_order_comes_in_blocks() {
    let scene = Scene::with_cache(64 << 20).await;
    let incoming: Vec<_> = (0..64).map(|number| mail(number, 40_000)).collect();
    // Together, so in few packs.
    let ids = join_all(incoming.iter().map(|bytes| scene.bench.stored(scene.ada, bytes))).await;
    let packs = scene.bench.blobs.packs().await.len() as u64;
    let mut messages = scene.bench.list(scene.ada, State::Live).await;
    messages.sort_by_key(|message| message.uid);
    for message in messages {
        let bytes = ids.iter().zip(&incoming).find(|(id, _)| **id == message.id).unwrap().1;
        assert_eq!(scene.read(message.id).await, *bytes);
    }
    let mut blocks = 0;
    for key in scene.bench.blobs.packs().await {
        blocks += (scene.bench.blobs.get(&key).await.unwrap().len() as u64).div_ceil(512 << 10);
    }
    // The first of each pack alone, then each block, and a look past the end. What is fetched ahead may still be under way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reads = scene.reads();
    assert!(packs < 8 && reads <= blocks + 2 * packs, "{packs} packs, {blocks} blocks, {reads} reads");
    for id in &ids {
        scene.read(*id).await;
    }
    assert_eq!(scene.reads(), reads, "all of it is in memory");
}

/// In how many goes the places of 120 messages are looked up: 1, 16, 32, 64 and the rest.
const GOES: u64 = 5;

#[tokio::test]
async fn what_pop3_will_ask_for_next_is_fetched_meanwhile() {
    let scene = Scene::with_cache(64 << 20).await;
    let bob = scene.bench.user("bob", None).await;
    let bodies = scene.scattered(bob.mailbox_id).await;
    scene.read_by_pop3(&bob, &bodies).await;
    scene.assert_fetched_ahead((0, 0), GOES).await;
}

#[tokio::test]
async fn what_is_fetched_ahead_has_room_in_a_cache_that_is_full_of_what_was_read() {
    let scene = Scene::with_cache(8 << 20).await;
    for number in 0..200 {
        let id = scene.bench.stored(scene.ada, &mail(number, 100_000)).await;
        scene.read(id).await;
        scene.read(id).await;
    }
    let bob = scene.bench.user("bob", None).await;
    let before = scene.counts().await;
    let bodies = scene.scattered(bob.mailbox_id).await;
    scene.read_by_pop3(&bob, &bodies).await;
    // One that several goes ask for may have had to go in between. Without room, each message would be a read, all 120.
    scene.assert_fetched_ahead(before, 3 * GOES).await;
}

#[tokio::test]
async fn of_what_is_fetched_ahead_one_that_is_away_keeps_no_other_back() {
    let scene = Scene::with_cache(64 << 20).await;
    let bob = scene.bench.user("bob", None).await;
    let bodies = scene.scattered(bob.mailbox_id).await;
    let key = scene.bench.blobs.packs().await.remove(4);
    let bytes = scene.bench.blobs.get(&key).await.unwrap();
    scene.bench.blobs.delete(&key).await.unwrap();
    let maildrop = maildrop::open(&scene.store, &scene.bench.login(&bob)).await.unwrap();
    let mut away = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        match maildrop.body(index).await {
            Ok(read) => assert_eq!(read, body),
            Err(_) => away.push(index),
        }
    }
    assert!((1..=8).contains(&away.len()), "{away:?}");
    scene.bench.blobs.put(&key, bytes).await.unwrap();
    for index in away {
        assert_eq!(maildrop.body(index).await.unwrap(), bodies[index]);
    }
}

#[tokio::test]
async fn what_imap_was_asked_for_is_fetched_together() {
    let scene = Scene::with_cache(64 << 20).await;
    let (ctx, bodies) = (scene.bench.ctx(), scene.scattered(scene.ada).await);
    let inbox = inbox(&scene.bench, scene.ada).await.id;
    let mut rows = view::rows(ctx, scene.ada, inbox, &[1..=u64::MAX], None).await.unwrap();
    let _coming = view::locate(&scene.store, ctx, scene.ada, &mut rows).await.unwrap();
    for (row, body) in rows.iter().zip(&bodies) {
        assert_eq!(view::wire(&scene.store, ctx, scene.ada, row).await.unwrap(), body);
    }
    scene.assert_fetched_ahead((0, 0), 0).await;
}

#[tokio::test]
async fn no_more_is_fetched_ahead_than_the_cache_has_room_for() {
    let scene = Scene::with_cache(4 << 20).await;
    let ctx = scene.bench.ctx();
    for number in 0..10 {
        scene.bench.stored(scene.ada, &mail(number, 400_000)).await;
    }
    let inbox = inbox(&scene.bench, scene.ada).await.id;
    let mut rows = view::rows(ctx, scene.ada, inbox, &[1..=u64::MAX], None).await.unwrap();
    let _coming = view::locate(&scene.store, ctx, scene.ada, &mut rows).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // A sixteenth of it, and what was under way then.
    assert!((2..=6).contains(&scene.reads()), "{} reads", scene.reads());
}

#[tokio::test]
async fn what_is_away_is_told_and_found_once_it_is_back() {
    let scene = Scene::with_cache(8 << 20).await;
    let id = scene.bench.stored(scene.ada, &mail(1, 4_000)).await;
    let key = scene.bench.blobs.packs().await.remove(0);
    let bytes = scene.bench.blobs.get(&key).await.unwrap();
    scene.bench.blobs.delete(&key).await.unwrap();
    for _ in 0..2 {
        let gone = message::raw(&scene.store, scene.bench.ctx(), scene.ada, id, None).await;
        assert!(matches!(gone, Err(Error::Blob(_))), "{gone:?}");
    }
    scene.bench.blobs.put(&key, bytes).await.unwrap();
    assert_eq!(scene.read(id).await, mail(1, 4_000));
}

/// A process with a folder of so many bytes, and little memory.
async fn with_disk(scene: &Scene, dir: &Path, max_bytes: u64) -> MailStore {
    let db = scene.bench.world.test_db.db();
    let store = MailStore::new(db, scene.counted.clone(), testkit::kek::encryption());
    store.with_cache(1 << 20).with_disk_cache(dir.to_owned(), max_bytes).await.unwrap()
}

/// The files of a folder, once there are so many.
async fn files(dir: &Path, is_enough: impl Fn(usize) -> bool) -> Vec<PathBuf> {
    loop {
        let files: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        let is_whole = |file: &PathBuf| !file.file_name().unwrap().to_str().unwrap().starts_with("put-");
        if is_enough(files.len()) && files.iter().all(is_whole) {
            return files;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_on_the_disk_is_not_fetched_again_by_the_next_process_unless_it_is_broken() {
    let (scene, dir) = (Scene::with_cache(0).await, tempfile::tempdir().unwrap());
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(scene.bench.stored(scene.ada, &mail(number, 4_000)).await);
    }
    let read = async |store: &MailStore| {
        for (number, id) in ids.iter().enumerate() {
            let raw = message::raw(store, scene.bench.ctx(), scene.ada, *id, None).await.unwrap();
            assert_eq!(raw.bytes, mail(number as u64, 4_000));
            // One is written while the next is read: not so many at once that some are left out.
            files(dir.path(), |count| count > number + 1).await;
        }
    };
    std::fs::write(dir.path().join("README"), "somebody's").unwrap();
    read(&with_disk(&scene, dir.path(), 1 << 20).await).await;
    assert_eq!(scene.reads(), 6);
    // What was being written when the process was killed, and what is from long ago.
    std::fs::write(dir.path().join("put-1234"), "half").unwrap();
    let old = dir.path().join(format!("packs.{}.0-524288", uuid::Uuid::nil()));
    let file = std::fs::File::create(&old).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    read(&with_disk(&scene, dir.path(), 1 << 20).await).await;
    assert_eq!(scene.reads(), 6, "all of it was there");
    let mut kept = files(dir.path(), |count| count == 7).await;
    kept.retain(|file| !file.ends_with("README"));
    for (file, is_cut) in kept.iter().zip([true, false]) {
        let mut bytes = std::fs::read(file).unwrap();
        if is_cut {
            bytes.truncate(1_000)
        } else {
            bytes[1_000] ^= 1
        }
        std::fs::write(file, bytes).unwrap();
    }
    std::fs::remove_file(&kept[2]).unwrap();
    let store = with_disk(&scene, dir.path(), 1 << 20).await;
    std::fs::remove_file(&kept[3]).unwrap();
    read(&store).await;
    assert_eq!(scene.reads(), 6 + 4, "what is broken or gone is fetched");
}

#[tokio::test]
async fn no_more_is_on_the_disk_than_it_is_to_have() {
    let (scene, dir) = (Scene::with_cache(0).await, tempfile::tempdir().unwrap());
    let store = with_disk(&scene, dir.path(), 400 << 10).await;
    for number in 0..30 {
        let id = scene.bench.stored(scene.ada, &mail(number, 100_000)).await;
        let raw = message::raw(&store, scene.bench.ctx(), scene.ada, id, None).await.unwrap();
        assert_eq!(raw.bytes, mail(number, 100_000));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let fits = async |bytes| {
        let size = |file: &PathBuf| file.metadata().map_or(0, |about| about.len());
        while files(dir.path(), |_| true).await.iter().map(size).sum::<u64>() > bytes {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    fits(400 << 10).await;
    assert!(files(dir.path(), |_| true).await.len() > 3);
    // A smaller one takes over what it has room for.
    with_disk(&scene, dir.path(), 200 << 10).await;
    fits(200 << 10).await;
    assert!(!files(dir.path(), |_| true).await.is_empty());
}

#[tokio::test]
async fn what_is_large_is_fetched_each_time() {
    let scene = Scene::with_cache(64 << 10).await;
    let id = scene.bench.stored(scene.ada, &mail(1, 100_000)).await;
    for times in 1..=3 {
        assert_eq!(scene.read(id).await, mail(1, 100_000));
        assert_eq!(scene.reads(), times);
    }
}
