//! Segments that have been in the bucket for an hour, put together: a day has up to 86,400 of them, and who recovers or restores asks for each.
//!
//! They stay as they are, under their keys, each with what it follows: who reads a bundle reads what it has as if each lay there by itself. So it
//! does no harm where they lie there besides, or where two processes bundle the same. They do so for another hour: who lists the bucket page by page
//! would miss a bundle that is put behind the page that it is at, and so what was deleted for it ahead. A segment that was listed and is gone is looked
//! for in the bundles.

mod store;

use std::collections::BTreeSet;

use blob::BlobKey;
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};
use kernel::SegmentId;
use pack::bundle::{MAX_SPAN, tie};
use pack::segment::{FULL_BYTES, Segment};

use crate::recover::bucket::{self, Item, Listing, Numbered};
use crate::turn::last_of;
use crate::{Error, Journal};

/// How long segments lie in the bucket before they are put together, and then how long beside their bundle.
pub const AFTER: TimeDelta = TimeDelta::hours(1);
/// How many numbers are fetched ahead of the one that is looked at.
const AHEAD: usize = 8;

/// What was put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bundled {
    /// The bundles that were made.
    pub bundles: u64,
    /// How many segments those have.
    pub segments: u64,
    /// Segments of earlier bundles that do not lie there by themselves any more.
    pub cleared: u64,
}

/// Puts segments together that were read before a moment, and deletes those that lie in a bundle and were read an hour before that, unless another
/// process does. The last of all stays as it is.
///
/// # Errors
/// When database or bucket fail; the next call goes on.
pub async fn run(journal: &Journal, before: DateTime<Utc>) -> Result<Bundled, Error> {
    let mut lock = journal.system().await?;
    if !store::lock(&mut lock).await? {
        return Ok(Bundled::default());
    }
    let bundled = Bundled::default();
    let mut run = Run { journal, before, group: Vec::new(), bytes: 0, known: None, bundled };
    let ran = run.walk().await;
    if let Err(error) = lock.roll_back().await {
        tracing::debug!(error.cause = %kernel::error::chain(&error), "the lock of the bundles went with its connection");
    }
    ran.map(|()| run.bundled)
}

/// A bundle that was there already.
struct Known {
    id: SegmentId,
    last: u64,
    /// What of it may go elsewhere, once somebody asked.
    settled: Option<BTreeSet<SegmentId>>,
}

/// One that is under way.
struct Run<'a> {
    journal: &'a Journal,
    before: DateTime<Utc>,
    /// What is put into the next bundle.
    group: Vec<Numbered<Segment>>,
    bytes: usize,
    /// The one that goes on furthest, of those that the listing has shown so far.
    known: Option<Known>,
    bundled: Bundled,
}

impl Run<'_> {
    async fn walk(&mut self) -> Result<(), Error> {
        let mut from = Some(last_of(0).to_string());
        while let Some(place) = from {
            let (items, next) = Listing::page(&*self.journal.blobs, &place).await?;
            from = next;
            let mut spanned = self.known.as_ref().map_or(0, |known| known.last);
            let fetches = items.into_iter().map(|item| {
                if let Item::Bundle(name, _) = &item {
                    spanned = spanned.max(name.last);
                }
                let is_wanted = item.last() > spanned;
                fetch(self.journal, item, is_wanted)
            });
            let fetched: Vec<_> = fetches.collect();
            let mut fetched = stream::iter(fetched).buffered(AHEAD);
            while let Some((item, changes)) = fetched.try_next().await? {
                match (item, changes) {
                    (Item::Changes(ids), _) if self.is_spanned(ids.number) => self.clear_away(&ids).await?,
                    (Item::Changes(_), Some(changes)) => {
                        let is_young = changes.parts.iter().any(|part| part.head().read_at >= self.before);
                        if is_young {
                            return self.close().await;
                        }
                        self.add(changes).await?;
                    }
                    (Item::Bundle(name, id), _) => {
                        self.close().await?;
                        if !self.is_spanned(name.last) {
                            self.known = Some(Known { id, last: name.last, settled: None });
                        }
                    }
                    // What follows a base is not to begin before it. One that is not whole may become one.
                    (Item::Base(_) | Item::Torn(_), _) => self.close().await?,
                    // It was let go of.
                    (Item::Changes(_), None) => self.close().await?,
                }
            }
        }
        // Nothing follows the last one yet: it may have been overtaken, and its process is about to find out.
        self.group.pop();
        self.close().await
    }

    async fn add(&mut self, changes: Numbered<Segment>) -> Result<(), Error> {
        let bytes: usize = changes.parts.iter().map(|part| part.bytes().len()).sum();
        let is_far = |first: &Numbered<Segment>| changes.number - first.number > MAX_SPAN;
        if self.bytes + bytes > FULL_BYTES || self.group.first().is_some_and(is_far) {
            self.close().await?;
        }
        self.bytes += bytes;
        self.group.push(changes);
        Ok(())
    }

    /// Makes a bundle of what there is for it, if that is more than one number.
    async fn close(&mut self) -> Result<(), Error> {
        let group = std::mem::take(&mut self.group);
        self.bytes = 0;
        if group.len() < 2 {
            return Ok(());
        }
        let segments: Vec<Segment> = group.into_iter().flat_map(|changes| changes.parts).collect();
        let (id, bytes) = tie(self.journal.db.env(), &segments);
        let (blobs, key) = (&self.journal.blobs, BlobKey::Segment(id));
        blobs.put(&key, bytes.clone()).await?;
        if blobs.get(&key).await? != bytes {
            return Err(bucket::unreadable(id, pack::OpenError::Refused));
        }
        self.bundled.bundles += 1;
        self.bundled.segments += segments.len() as u64;
        Ok(())
    }

    /// Whether a bundle that is there goes on beyond a number: it has that, or the number was overtaken.
    fn is_spanned(&self, number: u64) -> bool {
        self.known.as_ref().is_some_and(|known| number <= known.last)
    }

    /// Deletes a number that a bundle has as well, once all of that is old enough.
    async fn clear_away(&mut self, ids: &Numbered<SegmentId>) -> Result<(), Error> {
        let Some(known) = &mut self.known else { return Ok(()) };
        let settled = match &mut known.settled {
            Some(settled) => settled,
            none => {
                // Whole: it is to be there as it should before anything goes.
                let segments = bucket::untie(&*self.journal.blobs, known.id).await?;
                let is_old = segments.iter().all(|segment| segment.head().read_at < self.before - AFTER);
                none.insert(segments.iter().filter(|_| is_old).map(Segment::id).collect())
            }
        };
        if ids.parts.iter().all(|id| settled.contains(id)) {
            for id in &ids.parts {
                self.journal.blobs.delete(&BlobKey::Segment(*id)).await?;
                self.bundled.cleared += 1;
            }
        }
        Ok(())
    }
}

/// An item, and its segments if it is changes of one number that are wanted, and still there.
async fn fetch(
    journal: &Journal,
    item: Item,
    is_wanted: bool,
) -> Result<(Item, Option<Numbered<Segment>>), Error> {
    let ids = match &item {
        Item::Changes(ids) if is_wanted => ids,
        _ => return Ok((item, None)),
    };
    match bucket::fetch_parts(&*journal.blobs, ids).await {
        Ok(changes) => Ok((item, Some(changes))),
        Err(Error::Blob(blob::Error::NotFound)) => Ok((item, None)),
        Err(error) => Err(error),
    }
}
