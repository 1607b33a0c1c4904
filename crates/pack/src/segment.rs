//! Segments of the journal: what rows of a database became, of any tenants, in one object, each tenant's under their own key.
//!
//! # The format, version 1
//!
//! Numbers are big-endian, varints are LEB128.
//!
//! ```text
//! head       "PBJRNL" 0x0001 | segment 16 | part 4 | flags 1 | read at, µs since 1970, 8 | rows of the directory 4
//! directory  tenant 16 | generation 4 | length 4   …   one for each section
//! sections   [ciphertext | tag 16] …               one for each tenant and generation of its key, in that order
//! ```
//!
//! The flags: 1 of a base, 2 the last part of its number. A section's plaintext is, compressed as a footer is, of each record:
//!
//! ```text
//! seq varint | at, µs since 1970, 8 | flags 1 | relation's length varint and text | image's length varint and text
//! ```
//!
//! The flag: 1 the row was deleted. AES-256-GCM; the key is HKDF-SHA256 of the data key, salted with the segment's id, for the purpose
//! *section*; the nonce is 0; the additional data are head and directory, the tenant and the generation. There is one section for each
//! data key and the id is made inside [`Writer::new`], so no nonce comes twice under a key.
//!
//! A segment's id is its number, 8 bytes, and 8 random ones: so objects that are named by their ids lie in the order of their numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{Env, SegmentId, TenantId};
use uuid::Uuid;

use crate::codec::{Input, Malformed, put_varint};
use crate::compress;
use crate::key::{DataKey, Generation};
use crate::reader::OpenError;
use crate::seal::{Purpose, Sealer, TAG_BYTES};

/// Magic and version.
const MARK: [u8; 8] = *b"PBJRNL\x00\x01";
const IS_BASE: u8 = 1;
const IS_LAST: u8 = 2;
const IS_DELETED: u8 = 1;

/// How many bytes of records a writer takes before it says that it is full; the last one may go beyond, by its own length.
pub const FULL_BYTES: usize = 8 << 20;

/// What is known of a segment without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The how-manieth of its number, from 0: what one writer reads at a time may be too much for one segment.
    pub part: u32,
    /// Whether it is of a base, which has every row of a moment, or of the changes since the one before.
    pub is_base: bool,
    /// Whether its number is whole with it.
    pub is_last: bool,
    /// When the state of the database was read: all that was committed before is in this one or earlier ones. To the microsecond.
    pub read_at: DateTime<Utc>,
}

/// What a row became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place among all records; 0 in a base.
    pub seq: u64,
    /// When its transaction began, to the microsecond.
    pub at: DateTime<Utc>,
    /// The table's name.
    pub relation: String,
    /// Whether the row was deleted.
    pub is_deleted: bool,
    /// The row, or of a deleted one its primary key: a JSON object.
    pub image: String,
}

/// A segment that is being built.
pub struct Writer {
    id: SegmentId,
    sections: BTreeMap<(TenantId, Generation), Section>,
    bytes: usize,
}

struct Section {
    sealer: Sealer,
    records: Vec<u8>,
}

impl Writer {
    /// An empty one of a number.
    pub fn new(env: &Env, number: u64) -> Self {
        Self { id: id(number, env.random()), sections: BTreeMap::new(), bytes: 0 }
    }

    /// The id that the segment has.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// Adds a record under a key.
    pub fn add(&mut self, key: &DataKey, record: &Record) {
        let id = self.id;
        let section = self.sections.entry((key.tenant(), key.generation())).or_insert_with(|| Section {
            sealer: key.sealer(id.uuid().as_bytes(), Purpose::Segment),
            records: Vec::new(),
        });
        let before = section.records.len();
        put(&mut section.records, record);
        self.bytes += section.records.len() - before;
    }

    /// Whether it has enough.
    pub fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES
    }

    /// The object to store.
    pub fn seal(self, head: &Head) -> Bytes {
        let Self { id, sections, .. } = self;
        let flags = if head.is_base { IS_BASE } else { 0 } | if head.is_last { IS_LAST } else { 0 };
        let mut bytes = MARK.to_vec();
        bytes.extend(id.uuid().as_bytes());
        bytes.extend(head.part.to_be_bytes());
        bytes.push(flags);
        bytes.extend(head.read_at.timestamp_micros().to_be_bytes());
        // Records end with the writer's being full, long before either is 4 GiB.
        bytes.extend((sections.len() as u32).to_be_bytes());
        let sections: Vec<_> = sections
            .into_iter()
            .map(|(whose, section)| (whose, section.sealer, compress::plain(&section.records)))
            .collect();
        for ((tenant, generation), _, plaintext) in &sections {
            bytes.extend(tenant.uuid().as_bytes());
            bytes.extend(generation.number().to_be_bytes());
            bytes.extend(((plaintext.len() + TAG_BYTES) as u32).to_be_bytes());
        }
        let ends = bytes.len();
        for ((tenant, generation), sealer, mut plaintext) in sections {
            let tag = sealer.seal(0, &place(&bytes[..ends], tenant, generation), &mut plaintext);
            bytes.extend(plaintext);
            bytes.extend(tag);
        }
        bytes.into()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("id", &self.id).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

fn id(number: u64, random: [u8; 8]) -> SegmentId {
    let number = u128::from(number) << 64;
    SegmentId::from_uuid(Uuid::from_u128(number | u128::from(u64::from_be_bytes(random))))
}

/// The number that a segment of this id has.
pub fn number(id: SegmentId) -> u64 {
    (id.uuid().as_u128() >> 64) as u64
}

fn put(out: &mut Vec<u8>, record: &Record) {
    put_varint(out, record.seq);
    out.extend(record.at.timestamp_micros().to_be_bytes());
    out.push(if record.is_deleted { IS_DELETED } else { 0 });
    for text in [&record.relation, &record.image] {
        put_varint(out, text.len() as u64);
        out.extend(text.as_bytes());
    }
}

/// What a section is bound to.
fn place(ahead: &[u8], tenant: TenantId, generation: Generation) -> Vec<u8> {
    [ahead, tenant.uuid().as_bytes(), &generation.number().to_be_bytes()].concat()
}

/// A segment that was read.
#[derive(Debug)]
pub struct Segment {
    id: SegmentId,
    head: Head,
    bytes: Bytes,
    /// Where head and directory end.
    ends: usize,
    sections: Vec<(TenantId, Generation, Range<usize>)>,
}

impl Segment {
    /// Reads an object. Nothing of it is proven before a section opens.
    ///
    /// # Errors
    /// What is no segment of a known version.
    pub fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let mut input = Input::new(&bytes);
        let mark: [u8; MARK.len()] = input.array()?;
        if mark[..6] != MARK[..6] {
            return Err(Malformed("it is not a segment of a journal"));
        }
        if mark != MARK {
            return Err(Malformed("a version of segments that is not known here"));
        }
        let id = SegmentId::from_uuid(input.uuid()?);
        let (part, flags) = (input.u32()?, input.byte()?);
        if flags & !(IS_BASE | IS_LAST) != 0 {
            return Err(Malformed("flags that are not known here"));
        }
        let read_at = moment(&mut input)?;
        let head = Head { part, is_base: flags & IS_BASE != 0, is_last: flags & IS_LAST != 0, read_at };
        let count = input.u32()?;
        let mut rows = Vec::new();
        for _ in 0..count {
            let tenant = TenantId::from_uuid(input.uuid()?);
            let generation = Generation::new(input.u32()?).ok_or(Malformed("a generation of 0"))?;
            rows.push((tenant, generation, input.u32()? as usize));
        }
        let ends = bytes.len() - input.rest().len();
        let mut at = ends;
        let section = |(tenant, generation, length)| {
            let begin = at;
            at += length;
            (tenant, generation, begin..at)
        };
        let sections: Vec<_> = rows.into_iter().map(section).collect();
        if at != bytes.len() {
            return Err(Malformed("sections that do not end where it does"));
        }
        Ok(Self { id, head, ends, sections, bytes })
    }

    /// Its id, as it says itself.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// What it says of itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whose records are in it, under which generations of their keys.
    pub fn sections(&self) -> impl Iterator<Item = (TenantId, Generation)> {
        self.sections.iter().map(|(tenant, generation, _)| (*tenant, *generation))
    }

    /// The records under a key, in the order they were added; none if there is no such section.
    ///
    /// # Errors
    /// [`OpenError::Refused`] for a section, head or directory that is not as it was sealed.
    pub fn records(&self, key: &DataKey) -> Result<Vec<Record>, OpenError> {
        let mine = |(tenant, generation, _): &&_| (*tenant, *generation) == (key.tenant(), key.generation());
        let Some((tenant, generation, range)) = self.sections.iter().find(mine) else {
            return Ok(Vec::new());
        };
        let sealer = key.sealer(self.id.uuid().as_bytes(), Purpose::Segment);
        let place = place(&self.bytes[..self.ends], *tenant, *generation);
        let plaintext = compress::expand(sealer.open(0, &place, &self.bytes[range.clone()])?)?;
        let mut input = Input::new(&plaintext);
        let mut records = Vec::new();
        while !input.is_empty() {
            records.push(record(&mut input)?);
        }
        Ok(records)
    }
}

fn moment(input: &mut Input<'_>) -> Result<DateTime<Utc>, Malformed> {
    let micros = i64::from_be_bytes(input.array()?);
    DateTime::from_timestamp_micros(micros).ok_or(Malformed("a moment that no calendar has"))
}

fn record(input: &mut Input<'_>) -> Result<Record, Malformed> {
    let (seq, at, flags) = (input.varint()?, moment(input)?, input.byte()?);
    if flags & !IS_DELETED != 0 {
        return Err(Malformed("a record's flags that are not known here"));
    }
    let mut text = || {
        let length = usize::try_from(input.varint()?).map_err(|_| Malformed("a length"))?;
        let text = str::from_utf8(input.take(length)?);
        text.map(str::to_owned).map_err(|_| Malformed("a text that is not UTF-8"))
    };
    let (relation, image) = (text()?, text()?);
    Ok(Record { seq, at, relation, is_deleted: flags & IS_DELETED != 0, image })
}

#[cfg(test)]
mod tests {
    use chrono::SubsecRound as _;
    use proptest::prelude::*;

    use super::*;

    fn env() -> Env {
        Env::system()
    }

    fn key(tenant: u128, generation: u32) -> DataKey {
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(tenant));
        DataKey::generate(&env(), tenant, Generation::new(generation).unwrap())
    }

    fn head() -> Head {
        let read_at = Utc::now().trunc_subsecs(6);
        Head { part: 2, is_base: false, is_last: true, read_at }
    }

    fn records() -> impl Strategy<Value = Vec<(usize, Record)>> {
        let record = (0..3_usize, any::<u64>(), any::<i32>(), "[a-z_]{1,12}", any::<bool>(), "\\PC{0,40}");
        let record = record.prop_map(|(whose, seq, at, relation, is_deleted, image)| {
            let at = DateTime::from_timestamp_micros(at.into()).unwrap();
            (whose, Record { seq, at, relation, is_deleted, image })
        });
        proptest::collection::vec(record, 0..30)
    }

    proptest! {
        #[test]
        fn what_was_added_is_read_back_by_its_owner_alone(records in records()) {
            let keys = [key(1, 1), key(1, 2), key(2, 1)];
            let mut writer = Writer::new(&env(), 7);
            for (whose, record) in &records {
                writer.add(&keys[*whose], record);
            }
            let id = writer.id();
            let segment = Segment::parse(writer.seal(&head())).unwrap();
            prop_assert_eq!((segment.id(), number(id)), (id, 7));
            for (at, key) in keys.iter().enumerate() {
                let mine: Vec<Record> =
                    records.iter().filter(|(whose, _)| *whose == at).map(|(_, record)| record.clone()).collect();
                prop_assert_eq!(segment.records(key).unwrap(), mine.clone());
                // Another key of the same name.
                let other = DataKey::generate(&env(), key.tenant(), key.generation());
                prop_assert_eq!(segment.records(&other).is_err(), !mine.is_empty());
            }
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Segment::parse(noise.clone().into());
            let _ = Segment::parse([MARK.as_slice(), &noise].concat().into());
            let _ = record(&mut Input::new(&noise));
        }
    }

    #[test]
    fn no_byte_can_be_changed() {
        let (mine, theirs) = (key(1, 1), key(2, 1));
        let record = Record {
            seq: 5,
            at: Utc::now().trunc_subsecs(6),
            relation: "messages".into(),
            is_deleted: false,
            image: r#"{"id": 1}"#.into(),
        };
        let mut writer = Writer::new(&env(), 7);
        writer.add(&mine, &record);
        writer.add(&theirs, &record);
        let head = head();
        let bytes = writer.seal(&head);
        assert_eq!(*Segment::parse(bytes.clone()).unwrap().head(), head);
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            let Ok(segment) = Segment::parse(changed.into()) else { continue };
            let read = [&mine, &theirs].map(|key| segment.records(key));
            let whole =
                read.iter().filter(|read| matches!(read, Ok(read) if *read == [record.clone()])).count();
            // The sections alone stand each for itself.
            assert!(whole < 2, "byte {at}");
        }
    }

    #[test]
    fn it_says_when_it_is_full() {
        let (key, mut writer) = (key(1, 1), Writer::new(&env(), 7));
        let image = "x".repeat(FULL_BYTES / 4);
        let record = Record { seq: 1, at: Utc::now(), relation: "t".into(), is_deleted: false, image };
        let mut added = 0;
        while !writer.is_full() {
            writer.add(&key, &record);
            added += 1;
        }
        assert_eq!(added, 4);
    }
}
