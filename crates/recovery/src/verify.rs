//! Whether the bucket has the journal whole: each base that a restore may begin with, and all that was acknowledged since the oldest.
//!
//! Nothing is held. Servers put segments and let go of old ones meanwhile; so what seems to be missing is looked for again, and is no finding
//! once no base is known that is as old.

mod store;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use blob::BlobKey;
use db::SystemRead;
use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};
use kernel::{ErrorKind, SegmentId, TenantId};
use mailstore::key::{self, INSTALLATION};
use pack::bundle::MAX_SPAN;
use pack::segment::{HEAD_BYTES, Head, Name, Segment};

use crate::recover::bucket::{self, Item, Listing, Named, Numbered};
use crate::turn::last_of;
use crate::{Error, Journal};

/// How many segments are looked at at a time, by their heads.
const HEADS_AT_ONCE: usize = 32;
/// How many are read at a time. Each has some MiB at most.
const READ_AT_ONCE: usize = 4;

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments that are there, those of bases among them.
    pub segments: u64,
    /// What was found.
    pub findings: u64,
    /// The highest number with a finding that a recovery would stop at, being the newest base or after it: [`base::take_anew`](crate::base::take_anew)
    /// leaves it behind.
    pub stops_at: Option<u64>,
}

/// Something that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The number of the journal.
    pub number: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not there, or not whole.
    Missing(Why),
    /// The blob store cannot read an object of it, or that is no segment, or another one; for this cause.
    Unreadable(String),
    /// What it has of a tenant, or of none ([`INSTALLATION`]), does not open.
    Shut(TenantId),
    /// The generation of the key that this is under is not there.
    Keyless(TenantId),
}

/// Why a number has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is a base, and the database knows it.
    Base,
    /// Another one follows it.
    Followed(u64),
    /// It is the last one that was put, by what the database says.
    Acknowledged,
    /// The blob store lists it.
    Listed,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} of the journal: {}", self.number, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = |tenant: &TenantId| match *tenant == INSTALLATION {
            true => "the installation".to_owned(),
            false => tenant.to_string(),
        };
        match self {
            Self::Missing(Why::Base) => f.write_str("MISSING: it is a base"),
            Self::Missing(Why::Followed(number)) => write!(f, "MISSING: segment {number} follows it"),
            Self::Missing(Why::Acknowledged) => f.write_str("MISSING: it is the last that was put"),
            Self::Missing(Why::Listed) => {
                f.write_str("MISSING: the blob store lists it and does not have it")
            }
            Self::Unreadable(cause) => write!(f, "UNREADABLE: {cause}"),
            Self::Shut(tenant) => write!(f, "UNREADABLE: what it has of {} does not open", whose(tenant)),
            Self::Keyless(tenant) => {
                write!(f, "UNREADABLE: there is no key for what it has of {}", whose(tenant))
            }
        }
    }
}

/// Follows the journal through the bucket, and tells each finding as it comes. Reads the beginning of each segment, or, where it is said how many
/// bytes a second it may read, all of it, and opens that.
///
/// # Errors
/// When the database, the blob store or the holder of the key-encryption keys does not answer.
pub async fn run(
    journal: &Journal,
    read_bytes_per_second: Option<u64>,
    mut found: impl FnMut(&Finding),
) -> Result<Verified, Error> {
    let known = store::bases(&mut look(journal).await?).await?;
    let (Some(&oldest), Some(&newest)) = (known.first(), known.last()) else {
        return Ok(Verified::default());
    };
    let mut run = Run {
        journal,
        read_bytes_per_second,
        oldest,
        newest,
        whole: BTreeSet::new(),
        told: BTreeSet::new(),
        verified: Verified::default(),
        found: &mut found,
    };
    let mut bases = BTreeSet::new();
    let mut from = Some(last_of(oldest.saturating_sub(MAX_SPAN + 1)).to_string());
    while let Some(place) = from {
        let (items, next) = Listing::page(&*journal.blobs, &place).await?;
        from = next;
        bases.extend(items.iter().filter_map(|item| match item {
            Item::Base(base) => Some(base.number),
            _ => None,
        }));
        run.walk(items).await?;
    }
    for base in known {
        if !bases.contains(&base) {
            run.look_for(base, Why::Base).await?;
        }
    }
    if let Some(number) = store::acknowledged(&mut look(journal).await?).await? {
        run.look_for(number, Why::Acknowledged).await?;
    }
    Ok(run.verified)
}

/// One that is under way.
struct Run<'a> {
    journal: &'a Journal,
    read_bytes_per_second: Option<u64>,
    /// The oldest base that is known, as far as it was looked up.
    oldest: u64,
    /// The newest base that was known at the beginning.
    newest: u64,
    /// The numbers that are whole, of a page of the listing and the last one before it.
    whole: BTreeSet<u64>,
    /// What was told to be missing.
    told: BTreeSet<u64>,
    verified: Verified,
    found: &'a mut dyn FnMut(&Finding),
}

impl Run<'_> {
    /// Looks at a page of the listing.
    async fn walk(&mut self, items: Vec<Item>) -> Result<(), Error> {
        let last = self.whole.last().copied();
        self.whole = last.into_iter().collect();
        let is_reading = self.read_bytes_per_second.is_some();
        let (journal, mut looks) = (self.journal, Vec::new());
        for item in items.into_iter().filter(|item| item.last() >= self.oldest) {
            let (ids, is_base) = match item {
                Item::Base(Numbered { number, parts }) => {
                    self.whole.insert(number);
                    (parts, true)
                }
                Item::Changes(Numbered { number, parts }) => {
                    self.whole.insert(number);
                    (parts, false)
                }
                Item::Bundle(_, id) => (vec![id], false),
                Item::Torn(_) => continue,
            };
            looks.extend(ids.into_iter().map(|id| look_at(journal, id, is_base, is_reading)));
        }
        let at_once = if is_reading { READ_AT_ONCE } else { HEADS_AT_ONCE };
        let mut looked = stream::iter(looks).buffered(at_once);
        while let Some((id, looked)) = looked.try_next().await? {
            let Some(named) = Named::of(id) else { continue };
            match looked {
                Looked::Gone => self.look_for(named.last(), Why::Listed).await?,
                Looked::Unreadable(cause) => {
                    // Whatever it has is told with it.
                    self.whole.extend(named.first()..=named.last());
                    self.report(named.last(), Fault::Unreadable(cause));
                }
                Looked::There { segments, bytes } => {
                    self.verified.segments += segments.len() as u64;
                    self.whole.extend(segments.iter().map(|segment| segment.number));
                    for Seen { number, follows, faults } in segments {
                        for fault in faults {
                            self.report(number, fault);
                        }
                        if let Some(after) = follows
                            && !self.whole.contains(&after)
                        {
                            self.look_for(after, Why::Followed(number)).await?;
                        }
                    }
                    if let Some(rate) = self.read_bytes_per_second {
                        let pause = (bytes as u64).saturating_mul(1_000) / rate.max(1);
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells that a number is missing, unless it is there after all or has been let go of. What came before the oldest base is in that.
    async fn look_for(&mut self, number: u64, why: Why) -> Result<(), Error> {
        if number < self.oldest || self.told.contains(&number) || self.is_there(number).await? {
            return Ok(());
        }
        let known = store::bases(&mut look(self.journal).await?).await?;
        match known.first() {
            Some(&oldest) if number < oldest => self.oldest = oldest,
            Some(_) => {
                self.told.insert(number);
                self.report(number, Fault::Missing(why));
            }
            None => {}
        }
        Ok(())
    }

    /// Whether a number is there as a whole, and not only listed.
    async fn is_there(&self, number: u64) -> Result<bool, Error> {
        let parts = match bucket::find(&*self.journal.blobs, number).await? {
            Some(Item::Base(numbered) | Item::Changes(numbered)) => numbered.parts,
            // Its directory was read.
            Some(Item::Bundle(..)) => return Ok(true),
            Some(Item::Torn(_)) | None => return Ok(false),
        };
        for id in parts {
            let looked = self.journal.blobs.get_range(&BlobKey::Segment(id), 0..HEAD_BYTES).await;
            if matches!(looked, Err(blob::Error::NotFound)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn report(&mut self, number: u64, fault: Fault) {
        self.verified.findings += 1;
        if number >= self.newest {
            self.verified.stops_at = self.verified.stops_at.max(Some(number));
        }
        (self.found)(&Finding { number, fault });
    }
}

/// What an object that is listed turned out to be.
enum Looked {
    There { segments: Vec<Seen>, bytes: usize },
    Gone,
    Unreadable(String),
}

/// A segment that is there.
struct Seen {
    number: u64,
    /// The number that it follows, if it is the first of its own. A base follows nothing.
    follows: Option<u64>,
    faults: Vec<Fault>,
}

async fn look_at(
    journal: &Journal,
    id: SegmentId,
    is_base: bool,
    is_reading: bool,
) -> Result<(SegmentId, Looked), Error> {
    let found = match found(journal, id, is_reading).await {
        Ok(found) => found,
        Err(Error::Blob(blob::Error::NotFound)) => return Ok((id, Looked::Gone)),
        // All others are to be looked at nevertheless.
        Err(Error::Blob(error @ (blob::Error::Internal(_) | blob::Error::RangeNotSatisfiable))) => {
            return Ok((id, Looked::Unreadable(kernel::error::chain(&error))));
        }
        Err(Error::Unreadable { cause, .. }) => {
            return Ok((id, Looked::Unreadable(kernel::error::chain(&cause))));
        }
        Err(error) => return Err(error),
    };
    let (mut segments, mut bytes) = (Vec::with_capacity(found.len()), 0);
    for (id, head, segment) in found {
        let Ok(name) = Name::of(id) else { continue };
        let mut faults = Vec::new();
        if let Some(segment) = segment {
            bytes += segment.bytes().len();
            faults = open(journal, &segment).await?;
        }
        let follows = (name.part == 0 && !is_base).then_some(head.after);
        segments.push(Seen { number: name.number, follows, faults });
    }
    Ok((id, Looked::There { segments, bytes }))
}

/// The segments of an object by what each says of itself, and whole if they are to be read.
async fn found(
    journal: &Journal,
    id: SegmentId,
    is_reading: bool,
) -> Result<Vec<(SegmentId, Head, Option<Segment>)>, Error> {
    let blobs = &*journal.blobs;
    let read = |segment: Segment| (segment.id(), segment.head(), Some(segment));
    Ok(match (Named::of(id), is_reading) {
        (Some(Named::Bundle(_)), false) => {
            let directory = bucket::directory(blobs, id).await?;
            directory.rows().map(|(id, head)| (id, head, None)).collect()
        }
        (Some(Named::Bundle(_)), true) => bucket::untie(blobs, id).await?.into_iter().map(read).collect(),
        (_, false) => vec![(id, bucket::head(blobs, id).await?, None)],
        (_, true) => vec![read(bucket::fetch(blobs, id).await?)],
    })
}

/// What is wrong with what a segment has.
async fn open(journal: &Journal, segment: &Segment) -> Result<Vec<Fault>, Error> {
    let sections: Vec<_> = segment.sections().collect();
    let mut faults = Vec::new();
    for (tenant, generation) in sections {
        match journal.keys.opening_of(tenant, generation).await {
            Ok(key) if segment.records(&key).is_ok() => {}
            Ok(_) => faults.push(Fault::Shut(tenant)),
            Err(error @ mailstore::Error::Db(_)) => return Err(error.into()),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error.into()),
            Err(_) => {
                // What is left of a tenant that was destroyed is not to be read again.
                if is_kept(journal, tenant).await? {
                    faults.push(Fault::Keyless(tenant));
                }
            }
        }
    }
    Ok(faults)
}

async fn is_kept(journal: &Journal, tenant: TenantId) -> Result<bool, Error> {
    if tenant == INSTALLATION {
        return Ok(true);
    }
    Ok(!key::kept_of(&journal.db, &BTreeSet::from([tenant])).await?.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "the journal is of all tenants' rows")]
async fn look(journal: &Journal) -> Result<SystemRead, Error> {
    Ok(SystemRead::open(&journal.db).await?)
}
