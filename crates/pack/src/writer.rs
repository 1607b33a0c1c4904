//! Building a pack: entries of any tenants in, bytes and addresses out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use kernel::{Env, PackId, TenantId};

use crate::about::About;
use crate::codec::Malformed;
use crate::codec::footer::{self, Record};
use crate::codec::trailer::{self, HEADER_BYTES, MARK, Row};
use crate::compress::{self, Compressed};
use crate::key::{DataKey, Generation};
use crate::seal::{Purpose, Sealer, TAG_BYTES};

/// How many entries a pack takes.
pub const MAX_ENTRIES: u32 = 65_536;
/// How many bytes of entries a pack takes; the footers come on top.
pub const MAX_PACK_BYTES: u64 = 256 << 20;

/// Where a body is, and under which generation of its tenant's key: what a reader needs besides the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pack: PackId,
    index: u32,
    offset: u64,
    length: u32,
    generation: Generation,
}

impl Address {
    /// An address out of its parts, as a table keeps them.
    ///
    /// # Errors
    /// For a place that no pack has.
    pub fn new(
        pack: PackId,
        index: u32,
        offset: u64,
        length: u32,
        generation: Generation,
    ) -> Result<Self, Malformed> {
        let possible = index < MAX_ENTRIES
            && length as usize > TAG_BYTES
            && offset >= HEADER_BYTES
            && offset.saturating_add(length.into()) <= HEADER_BYTES + MAX_PACK_BYTES;
        if possible {
            Ok(Self { pack, index, offset, length, generation })
        } else {
            Err(Malformed("a place that no pack has"))
        }
    }

    /// The pack.
    pub fn pack(&self) -> PackId {
        self.pack
    }

    /// The how-manieth entry of the pack, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The first byte's offset in the pack.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes it takes in the pack.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The generation of the tenant's key.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The bytes to read.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.length)
    }
}

/// The pack has no room for the entry; it fits into an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pack is full")]
pub struct Full;

/// A pack that is being built. Its id is made with it and is sealed once.
pub struct Writer {
    id: PackId,
    bytes: Vec<u8>,
    entries: u32,
    sections: BTreeMap<(TenantId, Generation), Section>,
}

/// What lies under one data key.
struct Section {
    entry_key: Sealer,
    footer_key: Sealer,
    records: Vec<u8>,
}

impl Writer {
    /// An empty pack.
    pub fn new(env: &Env) -> Self {
        Self { id: env.new_id(), bytes: MARK.to_vec(), entries: 0, sections: BTreeMap::new() }
    }

    /// The id that the pack has.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Adds a body under its tenant's key; where it will be.
    ///
    /// # Errors
    /// [`Full`], and the pack is as it was.
    pub fn add(&mut self, key: &DataKey, body: &Compressed, about: About) -> Result<Address, Full> {
        let (index, offset) = (self.entries, self.bytes.len() as u64);
        let length = u32::try_from(body.plaintext().len() + TAG_BYTES).map_err(|_| Full)?;
        let address = Address::new(self.id, index, offset, length, key.generation()).map_err(|_| Full)?;
        let salt = self.id.uuid();
        let section = self.sections.entry((key.tenant(), key.generation())).or_insert_with(|| Section {
            entry_key: key.sealer(salt.as_bytes(), Purpose::Entry),
            footer_key: key.sealer(salt.as_bytes(), Purpose::Footer),
            records: Vec::new(),
        });
        let begin = self.bytes.len();
        self.bytes.extend(body.plaintext());
        let place = entry_place(key.tenant(), self.id, index);
        let tag = section.entry_key.seal(index, &place, &mut self.bytes[begin..]);
        self.bytes.extend(tag);
        let record = Record { index: index.into(), offset, length: length.into(), about };
        footer::put(&mut section.records, &record);
        self.entries += 1;
        Ok(address)
    }

    /// The finished pack.
    pub fn seal(self) -> Sealed {
        let Self { id, mut bytes, sections, .. } = self;
        let mut rows = Vec::with_capacity(sections.len());
        for ((tenant, generation), section) in sections {
            let begin = bytes.len();
            bytes.extend(compress::plain(&section.records));
            let place = footer_place(tenant, id, generation);
            let tag = section.footer_key.seal(0, &place, &mut bytes[begin..]);
            bytes.extend(tag);
            rows.push(Row { tenant, generation, range: begin as u64..bytes.len() as u64 });
        }
        trailer::put(&mut bytes, id, &rows);
        Sealed { id, bytes: bytes.into() }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("id", &self.id).field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// A finished pack.
#[derive(Debug, Clone)]
pub struct Sealed {
    id: PackId,
    bytes: Bytes,
}

impl Sealed {
    /// Its id, which no other bytes have.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// The object to store.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// What an entry is bound to.
pub(crate) fn entry_place(tenant: TenantId, pack: PackId, index: u32) -> Vec<u8> {
    [tenant.uuid().as_bytes().as_slice(), pack.uuid().as_bytes(), &index.to_be_bytes()].concat()
}

/// What a footer is bound to.
pub(crate) fn footer_place(tenant: TenantId, pack: PackId, generation: Generation) -> Vec<u8> {
    let generation = generation.number().to_be_bytes();
    [tenant.uuid().as_bytes().as_slice(), pack.uuid().as_bytes(), &generation].concat()
}
