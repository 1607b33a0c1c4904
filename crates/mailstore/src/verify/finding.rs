//! What does not come out even, and how it is said.

use std::fmt;

use blob::BlobKey;
use chrono::{DateTime, Utc};
use kernel::{BlobId, PackId, TenantId};
use pack::Generation;

/// Something that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub subject: Subject,
    /// What is wrong with it.
    pub fault: Fault,
    /// Whether it has been put right.
    pub is_repaired: bool,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An object in the blob store.
    Object(BlobKey),
    /// Something in the blob store that is called as no object is.
    Stray(String),
    /// A pack's row.
    Pack(PackId),
    /// What a tenant has in a pack.
    Share(TenantId, PackId),
    /// A body.
    Body(TenantId, BlobId),
    /// A tenant's key.
    Key(TenantId, Generation),
    /// Counters of a kind, by its plural.
    Counters(&'static str),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An object that no row names; what it says of itself.
    Unclaimed(Contents),
    /// A row says that there is an object, and there is none.
    Missing,
    /// A pack ends before what lies in it does.
    Short,
    /// A pack's end is not as it was sealed, or in another place than its row says.
    End,
    /// A wrapped key's object is not what its row holds.
    OtherKey,
    /// A wrapped key does not open.
    Shut,
    /// A body's generation of its tenant's key is not there.
    Keyless,
    /// A body ends after its pack's last entry.
    Outside,
    /// A body begins before the one ahead of it ends.
    Overlapping,
    /// A body's row says otherwise whose its pack is than the pack's row does.
    Misplaced,
    /// How many bytes of a tenant lie in a pack.
    LiveBytes {
        /// As its row says.
        noted: i64,
        /// As they are.
        counted: i64,
    },
    /// A share in a pack that is not live.
    Astray,
    /// More is alive in a pack than it has.
    Overfull,
    /// Nothing lies in a live pack, and nobody has noted it.
    Empty,
    /// Something in a pack is dead, and its row does not say since when.
    Unnoted,
    /// How many messages refer to a body.
    Messages {
        /// As its row says.
        noted: i64,
        /// As they are.
        counted: i64,
    },
    /// So many rows of a kind have counters that are not the sums of what they count.
    Drift(u64),
    /// A footer does not open.
    Footer,
    /// A footer says something else of a body than its row does, or nothing.
    OtherFooter,
    /// A body does not open.
    Unreadable,
    /// The blob store has an object and cannot read it, for this cause.
    Failing(String),
    /// A body is not the one that its row says: its hash or its size is another.
    OtherBody,
}

/// What an object that no row names says of itself, as far as there are keys to read it with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// What each tenant has in it.
    pub sections: Vec<Section>,
    /// What cannot be told, if it is no pack that can be read.
    pub unknown: Option<&'static str>,
}

/// What a tenant has in a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Whose it is.
    pub tenant: TenantId,
    /// How many messages' bodies, of the first and the last date; `None` where no key opens the footer.
    pub bodies: Option<(usize, DateTime<Utc>, DateTime<Utc>)>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.fault)?;
        if self.is_repaired { f.write_str(" (repaired)") } else { Ok(()) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(key) => write!(f, "{key}"),
            // Whoever gave it that name may have put a line's end into it.
            Self::Stray(name) => write!(f, "{}", name.escape_debug()),
            Self::Pack(pack) => write!(f, "{pack}"),
            Self::Share(tenant, pack) => write!(f, "{pack} of {tenant}"),
            Self::Body(tenant, body) => write!(f, "{body} of {tenant}"),
            Self::Key(tenant, generation) => write!(f, "key {} of {tenant}", generation.number()),
            Self::Counters(kind) => f.write_str(kind),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unclaimed(contents) => return write!(f, "unclaimed: no row names it; {contents}"),
            Self::LiveBytes { noted, counted } => {
                return write!(f, "its row says {noted} live bytes, its bodies have {counted}");
            }
            Self::Messages { noted, counted } => {
                return write!(f, "its row says {noted} messages, {counted} refer to it");
            }
            Self::Drift(rows) => {
                return write!(f, "{rows} have counters that are not the sums of what they count");
            }
            Self::Failing(cause) => return write!(f, "UNREADABLE: {cause}"),
            Self::Missing => "MISSING: a row says that it is there",
            Self::Short => "SHORT: it ends before what lies in it does",
            Self::End => "its end is not as it was sealed, or not where its row says",
            Self::OtherKey => "its object holds something else than its row",
            Self::Shut => "does not open",
            Self::Keyless => "UNREADABLE: the generation of the key that it is sealed under is not there",
            Self::Outside => "lies past the end of its pack's entries",
            Self::Overlapping => "lies across the body before it",
            Self::Misplaced => "its row and its pack's say otherwise whose the pack is",
            Self::Astray => "in a pack that is not live",
            Self::Overfull => "more is alive in it than it has",
            Self::Empty => "live, and nothing lies in it",
            Self::Unnoted => "something in it is dead, and its row does not say since when",
            Self::Footer => "the footer does not open",
            Self::OtherFooter => "the footer of its pack says something else",
            Self::Unreadable => "UNREADABLE: what lies in its place does not open",
            Self::OtherBody => "what lies in its place is not what its row says",
        })
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(unknown) = self.unknown {
            return f.write_str(unknown);
        }
        f.write_str("it has ")?;
        for (at, section) in self.sections.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match section.bodies {
                Some((count, first, last)) => {
                    let (first, last) = (first.date_naive(), last.date_naive());
                    write!(f, "{count} bodies of {} from {first} to {last}", section.tenant)?;
                }
                None => write!(f, "what no key here opens of {}", section.tenant)?,
            }
        }
        Ok(())
    }
}
