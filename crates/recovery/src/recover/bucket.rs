//! What there is in the bucket.

use std::collections::BTreeMap;

use blob::{BlobKey, BlobStore, KeyPrefix};
use kernel::{PackId, SegmentId, TenantId, WrappedKeyId};
use pack::segment::{Name, Segment};

use crate::Error;
use crate::turn::last_of;

/// All parts of one number, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Numbered<T> {
    pub(crate) number: u64,
    pub(crate) parts: Vec<T>,
}

/// The names of everything.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    segments: BTreeMap<u64, Vec<(Name, SegmentId)>>,
    /// The highest number that any segment has, whole or not.
    pub(super) highest: u64,
    pub(super) keys: BTreeMap<TenantId, Vec<WrappedKeyId>>,
    pub(super) packs: Vec<(Option<TenantId>, PackId)>,
}

impl Listing {
    /// All of the bucket.
    pub(super) async fn read(blobs: &dyn BlobStore) -> Result<Self, Error> {
        let mut listing = Self::default();
        let mut after = None;
        loop {
            let page = blobs.list(&KeyPrefix::All, after.as_deref()).await?;
            page.keys.into_iter().for_each(|key| listing.add(key));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(listing),
            }
        }
    }

    /// The next page of the journal from a place on, and where the one after it begins; at first there is no page before. What is at the end
    /// of it may go on in the next one, and is in both.
    pub(crate) async fn page(
        blobs: &dyn BlobStore,
        from: &str,
    ) -> Result<(Vec<(bool, Numbered<SegmentId>)>, Option<String>), Error> {
        let (mut listing, mut after) = (Self::default(), from.to_owned());
        loop {
            let page = blobs.list(&KeyPrefix::Journal, Some(&after)).await?;
            page.keys.into_iter().for_each(|key| listing.add(key));
            let Some(next) = page.next else {
                return Ok((listing.segments.iter().filter_map(whole).collect(), None));
            };
            let last = listing.highest;
            if let Some((&before, _)) = listing.segments.range(..last).next_back() {
                let known = listing.segments.range(..last).filter_map(whole).collect();
                return Ok((known, Some(last_of(before).to_string())));
            }
            after = next;
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

    /// The newest base, and the numbers that follow it.
    pub(super) fn plan(&self) -> Result<(Numbered<SegmentId>, Vec<Numbered<SegmentId>>), Error> {
        let (base, _) = self.bases().next_back().ok_or(Error::NoBase)?;
        let after = self.segments.range(base.number + 1..).filter_map(whole).map(|(_, numbered)| numbered);
        let after = after.collect();
        Ok((base, after))
    }

    /// All bases, each with its first part's id, in the order of their numbers.
    pub(super) fn bases(&self) -> impl DoubleEndedIterator<Item = (Numbered<SegmentId>, SegmentId)> {
        let bases = self.segments.iter().filter_map(whole).filter(|(is_base, _)| *is_base);
        bases.filter_map(|(_, base)| base.parts.first().copied().map(|first| (base, first)))
    }
}

/// A number that is whole, and whether it is a base's. What is not was put again under a higher number.
fn whole((number, parts): (&u64, &Vec<(Name, SegmentId)>)) -> Option<(bool, Numbered<SegmentId>)> {
    let mut parts = parts.clone();
    parts.sort_unstable();
    let in_order = parts.iter().enumerate().all(|(at, (name, _))| name.part as usize == at);
    let is_whole = in_order && parts.last().is_some_and(|(name, _)| name.is_last);
    let is_base = parts.first().is_some_and(|(name, _)| name.is_base);
    let parts = parts.into_iter().map(|(_, id)| id).collect();
    is_whole.then_some((is_base, Numbered { number: *number, parts }))
}

/// All segments of a number, if the listing has it whole; and whether it is a base's.
pub(crate) async fn find(
    blobs: &dyn BlobStore,
    number: u64,
) -> Result<Option<(bool, Numbered<SegmentId>)>, Error> {
    let place = last_of(number.saturating_sub(1)).to_string();
    let (numbers, _) = Listing::page(blobs, &place).await?;
    Ok(numbers.into_iter().find(|(_, numbered)| numbered.number == number))
}

/// A segment.
pub(crate) async fn fetch(blobs: &dyn BlobStore, id: SegmentId) -> Result<Segment, Error> {
    let segment = Segment::parse(blobs.get(&BlobKey::Segment(id)).await?);
    let segment = segment.map_err(|cause| unreadable(id, pack::OpenError::from(cause)))?;
    if segment.id() == id { Ok(segment) } else { Err(unreadable(id, pack::OpenError::Refused)) }
}

/// What a segment that cannot be read comes to.
pub(crate) fn unreadable(id: SegmentId, cause: pack::OpenError) -> Error {
    let number = Name::of(id).map(|name| name.number).unwrap_or_default();
    Error::Unreadable { number, cause }
}

/// All segments of a number.
pub(crate) async fn fetch_all(
    blobs: &dyn BlobStore,
    numbered: &Numbered<SegmentId>,
) -> Result<Numbered<Segment>, Error> {
    let mut parts = Vec::with_capacity(numbered.parts.len());
    for id in &numbered.parts {
        parts.push(fetch(blobs, *id).await?);
    }
    Ok(Numbered { number: numbered.number, parts })
}
