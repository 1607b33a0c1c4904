//! Reading: one entry from a range of a pack, or what a tenant has in it from the pack's end.

use bytes::Bytes;
use kernel::{PackId, TenantId};

use crate::about::About;
use crate::codec::trailer::{self, HEADER_BYTES, ROW_BYTES, Row, TRAILER_BYTES};
use crate::codec::{Malformed, footer};
use crate::compress::{self, Compressed};
use crate::key::{DataKey, Generation};
use crate::seal::{DoesNotOpen, Purpose};
use crate::writer::{Address, entry_place, footer_place};

/// How many bytes of a pack's end to ask for at first: enough for a few hundred entries.
pub const TAIL_BYTES: u64 = 64 << 10;

/// Why bytes do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another tenant's key or another generation, another place than the address says, or bytes that have changed.
    #[error("the bytes are not what was sealed in that place under that key")]
    Refused,
    /// They are what was sealed, and not what this version reads.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl From<DoesNotOpen> for OpenError {
    fn from(_: DoesNotOpen) -> Self {
        Self::Refused
    }
}

/// A body out of the bytes that lie at its address.
///
/// # Errors
/// [`OpenError::Refused`] for anything but what was sealed there under this key, also if it is cut short.
pub fn open(key: &DataKey, address: &Address, stored: &[u8]) -> Result<Vec<u8>, OpenError> {
    Ok(compress::expand(unseal(key, address, stored)?)?)
}

/// A body as it was compressed, to be sealed in another place.
///
/// # Errors
/// As [`open`]; whether it can be expanded is not looked at.
pub fn reopen(key: &DataKey, address: &Address, stored: &[u8]) -> Result<Compressed, OpenError> {
    Ok(Compressed::from_plaintext(unseal(key, address, stored)?))
}

fn unseal(key: &DataKey, address: &Address, stored: &[u8]) -> Result<Vec<u8>, OpenError> {
    if stored.len() != address.length() as usize || key.generation() != address.generation() {
        return Err(OpenError::Refused);
    }
    let pack = address.pack();
    let sealer = key.sealer(pack.uuid().as_bytes(), Purpose::Entry);
    let place = entry_place(key.tenant(), pack, address.index());
    Ok(sealer.open(address.index(), &place, stored)?)
}

/// What came of reading a pack's end.
#[derive(Debug)]
pub enum Ending {
    /// All footers are there.
    Whole(Tail),
    /// More is needed: everything from this offset.
    From(u64),
}

/// The footers of a pack.
#[derive(Debug)]
pub struct Tail {
    pack: PackId,
    /// From the first footer's first byte, which is at the offset `begin`.
    footers: Bytes,
    begin: u64,
    rows: Vec<Row>,
}

/// An entry that a footer names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Where it is.
    pub address: Address,
    /// What it is.
    pub about: About,
}

impl Tail {
    /// Reads the last bytes of a pack of `pack_bytes` in all. Nothing of it is proven before a footer opens.
    ///
    /// # Errors
    /// What does not end as a pack of a known version does.
    pub fn parse(pack_bytes: u64, end: &Bytes) -> Result<Ending, Malformed> {
        let first = pack_bytes.checked_sub(end.len() as u64).ok_or(Malformed("more bytes than it has"))?;
        let short = |from: u64| if from < first { Some(Ending::From(from)) } else { None };
        let cut = |from: u64, to: u64| end.slice((from - first) as usize..(to - first) as usize);

        let trailer_at = pack_bytes.checked_sub(TRAILER_BYTES).filter(|&at| at >= HEADER_BYTES);
        let trailer_at = trailer_at.ok_or(Malformed("too short for a pack"))?;
        if let Some(short) = short(trailer_at) {
            return Ok(short);
        }
        let read = trailer::parse_trailer(&cut(trailer_at, pack_bytes))?;
        let directory_at = trailer_at.checked_sub(u64::from(read.rows) * ROW_BYTES);
        let directory_at = directory_at
            .filter(|&at| at >= HEADER_BYTES)
            .ok_or(Malformed("a directory longer than the pack"))?;
        if let Some(short) = short(directory_at) {
            return Ok(short);
        }
        let rows = trailer::parse_directory(&read, &cut(directory_at, trailer_at), directory_at)?;
        let begin = rows.first().map_or(directory_at, |row| row.range.start);
        if let Some(short) = short(begin) {
            return Ok(short);
        }
        let footers = cut(begin, directory_at);
        Ok(Ending::Whole(Self { pack: read.pack, footers, begin, rows }))
    }

    /// The pack's id, as it says itself.
    pub fn pack(&self) -> PackId {
        self.pack
    }

    /// Where the footers begin: the entries before them end there.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// Who has something in it, under which generations of their keys.
    pub fn sections(&self) -> impl Iterator<Item = (TenantId, Generation)> {
        self.rows.iter().map(|row| (row.tenant, row.generation))
    }

    /// What lies in the pack under a key, in the order of the entries; nothing if it has no footer under that key.
    ///
    /// # Errors
    /// [`OpenError::Refused`] for a footer that is not as it was sealed.
    pub fn entries(&self, key: &DataKey) -> Result<Vec<Located>, OpenError> {
        let mine = |row: &&Row| row.tenant == key.tenant() && row.generation == key.generation();
        let Some(row) = self.rows.iter().find(mine) else { return Ok(Vec::new()) };
        let within = (row.range.start - self.begin) as usize..(row.range.end - self.begin) as usize;
        let sealer = key.sealer(self.pack.uuid().as_bytes(), Purpose::Footer);
        let place = footer_place(row.tenant, self.pack, row.generation);
        let records = compress::expand(sealer.open(0, &place, &self.footers[within])?)?;
        let records = footer::parse(&records)?.into_iter().map(|record| {
            let numbers = u32::try_from(record.index).ok().zip(u32::try_from(record.length).ok());
            let address = numbers.and_then(|(index, length)| {
                Address::new(self.pack, index, record.offset, length, row.generation).ok()
            });
            let address = address.filter(|address| address.range().end <= self.begin);
            Ok(Located {
                address: address.ok_or(Malformed("an entry out of its place"))?,
                about: record.about,
            })
        });
        records.collect()
    }
}
