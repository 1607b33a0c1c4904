//! Parts of packs in memory, as they lie in the blob store: sealed. A disk may be behind it.
//!
//! What was read or written a moment ago is not fetched again, and what several read at once is fetched once. Whoever reads a pack from one
//! body to the next gets it in blocks, the next one while the one before is being read; and whoever says what will be read next gets it fetched
//! meanwhile, whatever packs it lies in.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob::{BlobKey, BlobStore};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::disk::{self, Disk};
use crate::Error;

/// How many bytes a block has, at a multiple of them.
const BLOCK: u64 = 512 << 10;
/// A body that begins so soon after the one before it in its pack is the next one.
const GAP: u64 = 16 << 10;
/// What is larger than this share of the cache is fetched each time.
const SHARE: u64 = 8;
/// What an entry takes besides its bytes.
const OVERHEAD: u64 = 256;
/// Of how many packs it is known where they were read last.
const PACKS: u64 = 10_000;
/// Where a pack ends whose bodies nobody has read.
const NEVER: u64 = u64::MAX;
/// How many blocks are being fetched that nobody waits for yet.
const AHEAD: usize = 8;
/// How many readers have what they will ask for next fetched, how many parts of it at once, and the share of the cache that it fills at most.
const EXPECTING: usize = 8;
const AT_ONCE: usize = 4;
const EXPECTED_SHARE: u64 = 16;

/// A part of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Part {
    key: BlobKey,
    begin: u64,
    end: u64,
}

impl Part {
    pub(super) fn exact(key: &BlobKey, range: &Range<u64>) -> Self {
        Self { key: key.clone(), begin: range.start, end: range.end }
    }

    fn block(key: &BlobKey, at: u64) -> Self {
        Self { key: key.clone(), begin: at * BLOCK, end: (at + 1) * BLOCK }
    }

    /// What a file of it is called.
    pub(super) fn name(&self) -> String {
        format!("{}.{}-{}", self.key.to_string().replace('/', "."), self.begin, self.end)
    }

    /// The part whose file is called so.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (key, range) = name.rsplit_once('.')?;
        let (begin, end) = range.split_once('-')?;
        let key = key.replace('.', "/").parse().ok()?;
        let part = Self { key, begin: begin.parse().ok()?, end: end.parse().ok()? };
        (part.name() == name).then_some(part)
    }
}

/// Whether a body is the next one in its pack, after one that ends there.
fn follows(range: &Range<u64>, end: u64) -> bool {
    (end..end + GAP).contains(&range.start)
}

/// A cache before a blob store. Cheap to clone; all clones share what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    blobs: Arc<dyn BlobStore>,
    disk: Option<Disk>,
    parts: Cache<Part, Bytes>,
    /// Where in a pack the last body ended that was read of it.
    ends: Cache<BlobKey, Arc<AtomicU64>>,
    max_bytes: u64,
    ahead: Arc<Semaphore>,
    expecting: Arc<Semaphore>,
}

/// What a reader will ask for next, which is being fetched as long as this is kept.
pub(crate) type Expected = AbortOnDropHandle<()>;

impl Parts {
    /// A cache of so many bytes; of none, it fetches everything each time.
    pub(crate) fn new(blobs: Arc<dyn BlobStore>, max_bytes: u64) -> Self {
        let weight =
            |_: &Part, bytes: &Bytes| u32::try_from(bytes.len() as u64 + OVERHEAD).unwrap_or(u32::MAX);
        // By default something new would have to be asked for more often than what it takes the place of: what is fetched ahead never is.
        let policy = EvictionPolicy::lru();
        let parts = Cache::builder().max_capacity(max_bytes).weigher(weight).eviction_policy(policy).build();
        let [ahead, expecting] = [AHEAD, EXPECTING].map(|count| Arc::new(Semaphore::new(count)));
        Self { blobs, disk: None, parts, ends: Cache::new(PACKS), max_bytes, ahead, expecting }
    }

    /// The same, with so many bytes of what was fetched in a folder besides.
    pub(crate) async fn with_disk(self, dir: PathBuf, max_bytes: u64) -> io::Result<Self> {
        Ok(Self { disk: Some(Disk::open(dir, max_bytes, disk::KEPT).await?), ..self })
    }

    /// Removes from the disk what has been there for long enough.
    pub(crate) async fn tidy(&self) {
        if let Some(disk) = &self.disk {
            disk.tidy().await;
        }
    }

    /// A body's bytes in an object.
    ///
    /// # Errors
    /// As of [`BlobStore::get_range`].
    pub(crate) async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, Error> {
        if !self.takes(range.end - range.start) {
            return Ok(self.blobs.get_range(key, range).await?);
        }
        let end = self.last_end(key).await;
        let last = Some(end.swap(range.end, Ordering::Relaxed)).filter(|last| *last != NEVER);
        let exact = Part::exact(key, &range);
        let is_next = last.is_some_and(|last| follows(&range, last));
        let is_short = range.end - range.start <= BLOCK && self.takes(BLOCK);
        if is_short && !self.parts.contains_key(&exact) && (is_next || self.has_blocks(key, &range)) {
            let last_block = last.filter(|_| is_next).map_or(u64::MAX, |last| last / BLOCK);
            if let Some(bytes) = self.read_blocks(key, &range, last_block).await? {
                return Ok(bytes);
            }
        }
        self.fetch(exact).await
    }

    /// Begins to fetch bodies that will be read next, in this order: those that follow one another in a pack in its blocks, others alone. Nothing where
    /// enough others do; then they are fetched when they are read, as all are that there is no more room for.
    pub(crate) async fn expect(&self, bodies: Vec<(BlobKey, Range<u64>)>) -> Option<Expected> {
        let turn = self.takes(BLOCK).then(|| self.expecting.clone().try_acquire_owned().ok())??;
        let parts = self.expected(bodies).await;
        // A single part is what its reader asks for itself, now.
        if parts.len() < 2 {
            return None;
        }
        let this = self.clone();
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let room = &AtomicU64::new(this.max_bytes / EXPECTED_SHARE);
            let fetch = |part| {
                let this = &this;
                async move {
                    if room.load(Ordering::Relaxed) > 0 {
                        let taken = match this.fetch(part).await {
                            Ok(bytes) => bytes.len() as u64,
                            // One that was moved meanwhile is no reason to leave the others.
                            Err(Error::Blob(cause)) if matches!(*cause, blob::Error::NotFound) => 0,
                            Err(_) => u64::MAX,
                        };
                        let _ = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                            Some(room.saturating_sub(taken))
                        });
                    }
                }
            };
            let fetches: Vec<_> = parts.into_iter().map(fetch).collect();
            stream::iter(fetches).buffered(AT_ONCE).collect::<()>().await;
            drop(turn);
        })))
    }

    /// The parts that bodies lie in which are not there yet.
    async fn expected(&self, mut bodies: Vec<(BlobKey, Range<u64>)>) -> Vec<Part> {
        bodies.retain(|(key, range)| {
            range.end - range.start <= BLOCK
                && !self.parts.contains_key(&Part::exact(key, range))
                && !self.has_blocks(key, range)
        });
        let (mut parts, mut begun) = (Vec::new(), HashSet::new());
        let mut bodies = bodies.into_iter().peekable();
        while let Some((key, first)) = bodies.next() {
            let mut end = first.end;
            while let Some((_, next)) = bodies.next_if(|(other, next)| *other == key && follows(next, end)) {
                end = next.end;
            }
            if end == first.end {
                parts.push(Part::exact(&key, &first));
            } else {
                // Whoever reads the first of them is to go by blocks as well.
                if begun.insert(key.clone()) {
                    self.last_end(&key).await.store(first.start, Ordering::Relaxed);
                }
                parts.extend((first.start / BLOCK..=(end - 1) / BLOCK).map(|at| Part::block(&key, at)));
            }
        }
        parts
    }

    /// Keeps a body that was just put.
    pub(crate) async fn keep(&self, key: &BlobKey, range: Range<u64>, pack: &Bytes) {
        if self.takes(range.end - range.start)
            && let Some(bytes) = pack.get(range.start as usize..range.end as usize)
        {
            // Apart from the pack, all of which would be held with it.
            self.parts.insert(Part::exact(key, &range), Bytes::copy_from_slice(bytes)).await;
        }
    }

    /// Where the last body ends that was read of a pack.
    async fn last_end(&self, key: &BlobKey) -> Arc<AtomicU64> {
        self.ends.get_with_by_ref(key, async { Arc::new(AtomicU64::new(NEVER)) }).await
    }

    /// Whether all blocks that a range lies in are there.
    fn has_blocks(&self, key: &BlobKey, range: &Range<u64>) -> bool {
        let blocks = range.start / BLOCK..=range.end.saturating_sub(1) / BLOCK;
        blocks.into_iter().all(|at| self.parts.contains_key(&Part::block(key, at)))
    }

    fn takes(&self, bytes: u64) -> bool {
        bytes <= self.max_bytes / SHARE
    }

    /// Reads by blocks, and has the next one fetched by whoever comes into a new one; `None` where the object ends before.
    async fn read_blocks(
        &self,
        key: &BlobKey,
        range: &Range<u64>,
        last_block: u64,
    ) -> Result<Option<Bytes>, Error> {
        let (first, end) = (range.start / BLOCK, range.end.saturating_sub(1) / BLOCK);
        let (mut pieces, mut is_last) = (Vec::with_capacity(1), false);
        for at in first..=end {
            let block = self.fetch(Part::block(key, at)).await?;
            let within = |offset: u64| (offset.saturating_sub(at * BLOCK) as usize).min(block.len());
            pieces.push(block.slice(within(range.start)..within(range.end)));
            is_last = (block.len() as u64) < BLOCK;
        }
        let read = match &mut pieces[..] {
            [piece] => std::mem::take(piece),
            pieces => pieces.concat().into(),
        };
        if end > last_block && !is_last {
            self.read_ahead(Part::block(key, end + 1));
        }
        Ok((read.len() as u64 == range.end - range.start).then_some(read))
    }

    fn read_ahead(&self, part: Part) {
        if let Ok(turn) = self.ahead.clone().try_acquire_owned() {
            let parts = self.clone();
            tokio::spawn(async move {
                // It may be past the object's end, where that is a block's.
                let _ = parts.fetch(part).await;
                drop(turn);
            });
        }
    }

    /// A part that is in the cache afterwards; those who want it at once wait for one of them.
    async fn fetch(&self, part: Part) -> Result<Bytes, Error> {
        let wanted = part.clone();
        let entry = self.parts.entry(part).or_try_insert_with(self.load(&wanted)).await;
        let entry = entry.map_err(Error::Blob)?;
        if !entry.is_fresh() {
            count("hit");
        }
        Ok(entry.into_value())
    }

    /// A part from the disk, if it is there, or else from the blob store.
    async fn load(&self, part: &Part) -> Result<Bytes, blob::Error> {
        if let Some(disk) = &self.disk
            && let Some(bytes) = disk.get(part).await
        {
            count("disk");
            return Ok(bytes);
        }
        let bytes = self.blobs.get_range(&part.key, part.begin..part.end).await?;
        count("fetched");
        if let Some(disk) = &self.disk {
            disk.keep(part, &bytes);
        }
        Ok(bytes)
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("pillarbox_body_cache_reads_total", "outcome" => outcome).increment(1);
}
