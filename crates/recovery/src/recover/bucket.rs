//! What there is in the bucket.

use std::collections::BTreeMap;

use blob::{BlobKey, BlobStore, KeyPrefix};
use futures::TryStreamExt as _;
use kernel::{PackId, SegmentId, TenantId, WrappedKeyId};
use pack::segment::{Name, Segment};

use crate::Error;

/// All parts of one number, in their order.
#[derive(Debug, Clone)]
pub(super) struct Numbered<T> {
    pub(super) number: u64,
    pub(super) parts: Vec<T>,
}

/// The names of everything.
#[derive(Debug, Default)]
pub(super) struct Listing {
    segments: BTreeMap<u64, Vec<(Name, SegmentId)>>,
    /// The highest number that any segment has, whole or not.
    pub(super) highest: u64,
    pub(super) keys: BTreeMap<TenantId, Vec<WrappedKeyId>>,
    pub(super) packs: Vec<(Option<TenantId>, PackId)>,
}

impl Listing {
    pub(super) async fn read(blobs: &dyn BlobStore) -> Result<Self, Error> {
        let mut listing = Self::default();
        let mut after = None;
        loop {
            let page = blobs.list(&KeyPrefix::All, after.as_deref()).await?;
            for key in page.keys {
                listing.add(key);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(listing),
            }
        }
    }

    fn add(&mut self, key: BlobKey) {
        match key {
            // One of a later version has a name that says nothing here.
            BlobKey::Segment(id) => {
                if let Ok(name) = Name::of(id) {
                    self.highest = self.highest.max(name.number);
                    self.segments.entry(name.number).or_default().push((name, id));
                }
            }
            BlobKey::WrappedKey { tenant, key } => self.keys.entry(tenant).or_default().push(key),
            BlobKey::Pack { owner, pack } => self.packs.push((owner, pack)),
        }
    }

    /// The newest base, and the numbers that follow it: those that are whole. What is not was put again under a higher number.
    pub(super) fn plan(&self) -> Result<(Numbered<SegmentId>, Vec<Numbered<SegmentId>>), Error> {
        let whole = |(number, parts): (&u64, &Vec<(Name, SegmentId)>)| {
            let mut parts = parts.clone();
            parts.sort_unstable();
            let in_order = parts.iter().enumerate().all(|(at, (name, _))| name.part as usize == at);
            let is_whole = in_order && parts.last().is_some_and(|(name, _)| name.is_last);
            let is_base = parts.first().is_some_and(|(name, _)| name.is_base);
            let parts = parts.into_iter().map(|(_, id)| id).collect();
            is_whole.then_some((is_base, Numbered { number: *number, parts }))
        };
        let mut after: Vec<_> = Vec::new();
        for (is_base, numbered) in self.segments.iter().rev().filter_map(whole) {
            if is_base {
                after.reverse();
                return Ok((numbered, after));
            }
            after.push(numbered);
        }
        Err(Error::NoBase)
    }
}

/// A segment.
pub(super) async fn fetch(blobs: &dyn BlobStore, id: SegmentId) -> Result<Segment, Error> {
    let unreadable = |cause| {
        let number = Name::of(id).map(|name| name.number).unwrap_or_default();
        Error::Unreadable { number, cause }
    };
    let segment = Segment::parse(blobs.get(&BlobKey::Segment(id)).await?);
    let segment = segment.map_err(|cause| unreadable(pack::OpenError::from(cause)))?;
    if segment.id() == id { Ok(segment) } else { Err(unreadable(pack::OpenError::Refused)) }
}

/// All segments of a number.
pub(super) async fn fetch_all(
    blobs: &dyn BlobStore,
    numbered: &Numbered<SegmentId>,
) -> Result<Numbered<Segment>, Error> {
    let parts = numbered.parts.iter().map(|id| Ok(fetch(blobs, *id)));
    let parts = futures::stream::iter(parts).try_buffered(2).try_collect().await?;
    Ok(Numbered { number: numbered.number, parts })
}
