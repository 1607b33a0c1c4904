//! What there is in the bucket.

use std::collections::BTreeMap;

use blob::{BlobKey, BlobStore, KeyPrefix};
use kernel::{PackId, SegmentId, TenantId, WrappedKeyId};
use pack::bundle::{self, Directory, MAX_SPAN};
use pack::segment::{HEAD_BYTES, Head, Name, Segment};

use crate::Error;
use crate::turn::last_of;

/// All parts of one number, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Numbered<T> {
    pub(crate) number: u64,
    pub(crate) parts: Vec<T>,
}

/// What the journal consists of, in the order of its numbers.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A base, whole.
    Base(Numbered<SegmentId>),
    /// The changes of one number, whole.
    Changes(Numbered<SegmentId>),
    /// Changes of several numbers in one object. Each of them may be there by itself as well.
    Bundle(bundle::Name, SegmentId),
    /// What of a number was put and is not whole. If it was of changes, they were put again under a higher number.
    Torn(u64),
}

impl Item {
    /// The last number that it has.
    pub(crate) fn last(&self) -> u64 {
        match self {
            Self::Base(numbered) | Self::Changes(numbered) => numbered.number,
            Self::Bundle(name, _) => name.last,
            Self::Torn(number) => *number,
        }
    }
}

/// What an object of the journal is, by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named {
    Part(Name),
    Bundle(bundle::Name),
}

impl Named {
    /// `None` for an object of a later version, whose name says nothing here.
    pub(crate) fn of(id: SegmentId) -> Option<Self> {
        let part = Name::of(id).map(Self::Part);
        part.or_else(|_| bundle::Name::of(id).map(Self::Bundle)).ok()
    }

    /// The first number that is in it.
    pub(crate) fn first(self) -> u64 {
        match self {
            Self::Part(name) => name.number,
            Self::Bundle(name) => name.first,
        }
    }

    /// The last one.
    pub(crate) fn last(self) -> u64 {
        match self {
            Self::Part(name) => name.number,
            Self::Bundle(name) => name.last,
        }
    }
}

/// The objects that begin with one number.
#[derive(Debug, Default)]
struct Beginning {
    bundles: Vec<(bundle::Name, SegmentId)>,
    parts: Vec<(Name, SegmentId)>,
}

/// The names of everything.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    numbers: BTreeMap<u64, Beginning>,
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

    /// The next page of the journal from a place on, and where the one after it begins; at first there is no page before.
    pub(crate) async fn page(
        blobs: &dyn BlobStore,
        from: &str,
    ) -> Result<(Vec<Item>, Option<String>), Error> {
        let (mut listing, mut after) = (Self::default(), from.to_owned());
        loop {
            let page = blobs.list(&KeyPrefix::Journal, Some(&after)).await?;
            page.keys.into_iter().for_each(|key| listing.add(key));
            let Some(next) = page.next else { return Ok((listing.items(0).collect(), None)) };
            // What is at the end may go on in the next page, and is left to that.
            if listing.numbers.len() > 1 {
                listing.numbers.pop_last();
                let last = listing.numbers.keys().next_back().map(|&last| last_of(last).to_string());
                return Ok((listing.items(0).collect(), last));
            }
            after = next;
        }
    }

    fn add(&mut self, key: BlobKey) {
        match key {
            BlobKey::Segment(id) => {
                let Some(named) = Named::of(id) else { return };
                self.highest = self.highest.max(named.last());
                let beginning = self.numbers.entry(named.first()).or_default();
                match named {
                    Named::Part(name) => beginning.parts.push((name, id)),
                    Named::Bundle(name) => beginning.bundles.push((name, id)),
                }
            }
            BlobKey::WrappedKey { tenant, key } => self.keys.entry(tenant).or_default().push(key),
            BlobKey::Pack { owner, pack } => self.packs.push((owner, pack)),
        }
    }

    /// All that begins with a number or a later one.
    fn items(&self, from: u64) -> impl DoubleEndedIterator<Item = Item> {
        let numbers = self.numbers.range(from..);
        numbers.flat_map(|(&number, beginning)| {
            let bundles = beginning.bundles.iter().map(|&(name, id)| Item::Bundle(name, id));
            bundles.chain(single(number, &beginning.parts))
        })
    }

    /// The newest base, and what follows it, as far as anything counts of that.
    pub(super) fn plan(&self) -> Result<(Numbered<SegmentId>, Vec<Item>), Error> {
        let (base, _) = self.bases().next_back().ok_or(Error::NoBase)?;
        let begin = base.number.saturating_sub(MAX_SPAN);
        let has_changes = |item: &Item| matches!(item, Item::Changes(_) | Item::Bundle(..));
        let after = self.items(begin).filter(|item| has_changes(item) && item.last() > base.number);
        let after = after.collect();
        Ok((base, after))
    }

    /// All bases, each with its first part's id, in the order of their numbers.
    pub(super) fn bases(&self) -> impl DoubleEndedIterator<Item = (Numbered<SegmentId>, SegmentId)> {
        self.items(0).filter_map(|item| match item {
            Item::Base(base) => base.parts.first().copied().map(|first| (base, first)),
            _ => None,
        })
    }
}

/// What there is of a number by itself.
fn single(number: u64, parts: &[(Name, SegmentId)]) -> Option<Item> {
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    let (last, is_base) = (parts.last()?.0, parts.first()?.0.is_base);
    let in_order = parts.iter().enumerate().all(|(at, (name, _))| name.part as usize == at);
    let parts = parts.into_iter().map(|(_, id)| id).collect();
    Some(match (in_order && last.is_last, is_base) {
        (false, _) => Item::Torn(number),
        (true, true) => Item::Base(Numbered { number, parts }),
        (true, false) => Item::Changes(Numbered { number, parts }),
    })
}

/// A number, if the bucket has it whole, by itself or in a bundle that lists it.
pub(crate) async fn find(blobs: &dyn BlobStore, number: u64) -> Result<Option<Item>, Error> {
    let place = last_of(number.saturating_sub(1)).to_string();
    let (items, _) = Listing::page(blobs, &place).await?;
    let found = items.into_iter().find(|item| match item {
        Item::Base(numbered) | Item::Changes(numbered) => numbered.number == number,
        Item::Bundle(..) | Item::Torn(_) => false,
    });
    match found {
        Some(found) => Ok(Some(found)),
        None => bundled(blobs, number).await,
    }
}

/// The bundle that has a number.
async fn bundled(blobs: &dyn BlobStore, number: u64) -> Result<Option<Item>, Error> {
    let mut from = Some(last_of(number.saturating_sub(MAX_SPAN + 1)).to_string());
    while let Some(place) = from {
        let (items, next) = Listing::page(blobs, &place).await?;
        for item in items {
            match item {
                Item::Bundle(name, _) if name.first > number => return Ok(None),
                Item::Bundle(name, id) if name.spans(number) => {
                    let directory = directory(blobs, id).await?;
                    if directory.rows().any(|(id, _)| Name::of(id).is_ok_and(|name| name.number == number)) {
                        return Ok(Some(item));
                    }
                }
                Item::Bundle(..) | Item::Torn(_) => {}
                Item::Base(numbered) | Item::Changes(numbered) if numbered.number > number => {
                    return Ok(None);
                }
                Item::Base(_) | Item::Changes(_) => {}
            }
        }
        from = next;
    }
    Ok(None)
}

/// A segment.
pub(crate) async fn fetch(blobs: &dyn BlobStore, id: SegmentId) -> Result<Segment, Error> {
    let segment = Segment::parse(blobs.get(&BlobKey::Segment(id)).await?);
    let segment = segment.map_err(|cause| unreadable(id, pack::OpenError::from(cause)))?;
    if segment.id() == id { Ok(segment) } else { Err(unreadable(id, pack::OpenError::Refused)) }
}

/// What a segment says of itself.
pub(crate) async fn head(blobs: &dyn BlobStore, id: SegmentId) -> Result<Head, Error> {
    let bytes = blobs.get_range(&BlobKey::Segment(id), 0..HEAD_BYTES).await?;
    match Head::read(&bytes) {
        Ok((said, head)) if said == id => Ok(head),
        Ok(_) => Err(unreadable(id, pack::OpenError::Refused)),
        Err(cause) => Err(unreadable(id, pack::OpenError::from(cause))),
    }
}

/// What a bundle says that it has.
pub(crate) async fn directory(blobs: &dyn BlobStore, id: SegmentId) -> Result<Directory, Error> {
    let malformed = |cause| unreadable(id, pack::OpenError::from(cause));
    let object = BlobKey::Segment(id);
    let head = blobs.get_range(&object, 0..bundle::HEAD_BYTES).await?;
    let ends = Directory::ends(&head).map_err(malformed)?;
    let directory = Directory::read(&blobs.get_range(&object, 0..ends).await?).map_err(malformed)?;
    if directory.id() == id { Ok(directory) } else { Err(unreadable(id, pack::OpenError::Refused)) }
}

/// What an object that cannot be read comes to.
pub(crate) fn unreadable(id: SegmentId, cause: pack::OpenError) -> Error {
    Error::Unreadable { number: Named::of(id).map_or(0, Named::last), cause }
}

/// The changes of an item, of each of its numbers.
pub(crate) async fn fetch_all(blobs: &dyn BlobStore, item: &Item) -> Result<Vec<Numbered<Segment>>, Error> {
    match item {
        Item::Base(_) | Item::Torn(_) => Ok(Vec::new()),
        Item::Bundle(_, id) => Ok(by_numbers(untie(blobs, *id).await?)),
        Item::Changes(numbered) => {
            let changes = fetch_parts(blobs, numbered).await;
            let Err(gone @ Error::Blob(blob::Error::NotFound)) = changes else { return Ok(vec![changes?]) };
            // It was bundled since it was listed.
            let Some(Item::Bundle(_, id)) = bundled(blobs, numbered.number).await? else { return Err(gone) };
            let mut changes = by_numbers(untie(blobs, id).await?);
            changes.retain(|changes| changes.number == numbered.number);
            Ok(changes)
        }
    }
}

/// All segments of a number.
pub(crate) async fn fetch_parts(
    blobs: &dyn BlobStore,
    numbered: &Numbered<SegmentId>,
) -> Result<Numbered<Segment>, Error> {
    let mut parts = Vec::with_capacity(numbered.parts.len());
    for id in &numbered.parts {
        parts.push(fetch(blobs, *id).await?);
    }
    Ok(Numbered { number: numbered.number, parts })
}

/// The segments of a bundle.
pub(crate) async fn untie(blobs: &dyn BlobStore, id: SegmentId) -> Result<Vec<Segment>, Error> {
    let untied = bundle::untie(&blobs.get(&BlobKey::Segment(id)).await?);
    let (untied, segments) = untied.map_err(|cause| unreadable(id, pack::OpenError::from(cause)))?;
    if untied == id { Ok(segments) } else { Err(unreadable(id, pack::OpenError::Refused)) }
}

/// Segments that lie in the order of their numbers, by these.
fn by_numbers(segments: Vec<Segment>) -> Vec<Numbered<Segment>> {
    let mut numbers: Vec<Numbered<Segment>> = Vec::new();
    for segment in segments {
        let number = Named::of(segment.id()).map_or(0, Named::last);
        match numbers.last_mut() {
            Some(last) if last.number == number => last.parts.push(segment),
            _ => numbers.push(Numbered { number, parts: vec![segment] }),
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use kernel::Env;
    use pack::segment::Writer;

    use super::*;

    /// A segment of nobody.
    fn sealed(number: u64, part: u32, is_last: bool) -> (SegmentId, bytes::Bytes) {
        let head = Head { after: number - 1, read_at: DateTime::<Utc>::UNIX_EPOCH };
        Writer::default().seal(&Env::system(), Name { number, part, is_base: false, is_last }, head)
    }

    fn numbers(changes: &[Numbered<Segment>]) -> Vec<(u64, usize)> {
        changes.iter().map(|changes| (changes.number, changes.parts.len())).collect()
    }

    #[tokio::test]
    async fn what_was_bundled_since_it_was_listed_is_found() {
        let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
        let sealed = [sealed(7, 0, true), sealed(9, 0, false), sealed(9, 1, true), sealed(10, 0, false)];
        for (id, bytes) in &sealed {
            blobs.put(&BlobKey::Segment(*id), bytes.clone()).await.unwrap();
        }
        let (items, next) = Listing::page(&*blobs, &last_of(0).to_string()).await.unwrap();
        assert!(next.is_none());
        let [seven @ Item::Changes(_), nine @ Item::Changes(_), Item::Torn(10)] = &items[..] else {
            panic!("{items:?}")
        };
        assert_eq!(numbers(&fetch_all(&*blobs, nine).await.unwrap()), [(9, 2)]);

        let segments = sealed[..3].iter().map(|(_, bytes)| Segment::parse(bytes.clone()).unwrap());
        let (id, bytes) = bundle::tie(&Env::system(), &segments.collect::<Vec<_>>());
        blobs.put(&BlobKey::Segment(id), bytes).await.unwrap();
        for (id, _) in &sealed[..3] {
            blobs.delete(&BlobKey::Segment(*id)).await.unwrap();
        }
        assert_eq!(numbers(&fetch_all(&*blobs, seven).await.unwrap()), [(7, 1)]);
        assert_eq!(numbers(&fetch_all(&*blobs, nine).await.unwrap()), [(9, 2)]);
        for (number, is_there) in [(6, false), (7, true), (8, false), (9, true), (10, false), (11, false)] {
            let found = find(&*blobs, number).await.unwrap();
            assert_eq!(matches!(found, Some(Item::Bundle(..))), is_there, "{number}: {found:?}");
        }
        blobs.delete(&BlobKey::Segment(id)).await.unwrap();
        assert!(matches!(fetch_all(&*blobs, nine).await, Err(Error::Blob(blob::Error::NotFound))));
    }
}
