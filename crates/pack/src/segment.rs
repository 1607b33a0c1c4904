//! Segments of the journal: what rows of a database became, of any tenants, in one object, each tenant's under their own key.
//!
//! # The format, version 1
//!
//! Numbers are big-endian, varints are LEB128.
//!
//! ```text
//! head       "PBJRNL" 0x0001 | segment 16 | after 8 | read at, µs since 1970, 8 | rows of the directory 4
//! directory  tenant 16 | generation 4 | length 4   …   one for each section
//! sections   [ciphertext | tag 16] …               one for each tenant and generation of its key, in that order
//! ```
//!
//! A section's plaintext is, compressed as a footer is, of each record:
//!
//! ```text
//! seq varint | at, µs since 1970, 8 | flags 1 | relation's length varint and text | image's length varint and text
//! ```
//!
//! The flag: 1 the row was deleted. AES-256-GCM; the key is HKDF-SHA256 of the data key, salted with the segment's id, for the purpose
//! *section*; the nonce is 0; the additional data are head and directory, the tenant and the generation. There is one section for each
//! data key and the id is made inside [`Writer::seal`], so no nonce comes twice under a key.
//!
//! A segment's id is its [`Name`] and 6 random bytes, so that a listing tells what there is, in its order:
//!
//! ```text
//! number 6 | part 3 | flags 1 | random 6           the flags: 1 of a base, 2 the last part of its number
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{Env, SegmentId, TenantId};
use uuid::Uuid;

use crate::codec::{Input, Malformed, put_varint};
use crate::compress;
use crate::key::{DataKey, Generation};
use crate::reader::OpenError;
use crate::seal::{Purpose, TAG_BYTES};

/// Magic and version.
pub(crate) const MARK: [u8; 8] = *b"PBJRNL\x00\x01";
const IS_BASE: u8 = 1;
const IS_LAST: u8 = 2;
const IS_DELETED: u8 = 1;

/// How many bytes of records a writer takes before it says that it is full; the last one may go beyond, by its own length.
pub const FULL_BYTES: usize = 8 << 20;

/// What a segment's id says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its place in the order of segments and bases, at most [`MAX_NUMBER`].
    pub number: u64,
    /// The how-manieth of its number, from 0, at most [`MAX_PART`]: what is read at a time may be too much for one segment.
    pub part: u32,
    /// Whether it is of a base, which has every row of a moment, or of the changes since the one before.
    pub is_base: bool,
    /// Whether its number is whole with it.
    pub is_last: bool,
}

/// What a segment says of itself in the clear, besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the segment before it; whoever has that one and this one lacks nothing in between.
    pub after: u64,
    /// When the state of the database was read, to the microsecond: all that was committed before is in this one or earlier ones.
    pub read_at: DateTime<Utc>,
}

/// How many bytes of a segment say which one it is and what it says of itself.
pub const HEAD_BYTES: u64 = 40;

impl Head {
    /// What a segment says of itself, by its first [`HEAD_BYTES`] or more; and its id, as it says itself. Nothing of it is proven.
    ///
    /// # Errors
    /// What is no segment of a known version.
    pub fn read(bytes: &[u8]) -> Result<(SegmentId, Self), Malformed> {
        beginning(&mut Input::new(bytes))
    }
}

/// The highest number.
pub const MAX_NUMBER: u64 = (1 << 48) - 1;
/// The last part that a number can have.
pub const MAX_PART: u32 = (1 << 24) - 1;

impl Name {
    /// What an id says.
    ///
    /// # Errors
    /// An id with flags that are not known here.
    pub fn of(id: SegmentId) -> Result<Self, Malformed> {
        let id = id.uuid().as_u128();
        let flags = (id >> 48) as u8;
        if flags & !(IS_BASE | IS_LAST) != 0 {
            return Err(Malformed("flags that are not known here"));
        }
        let (number, part) = ((id >> 80) as u64, (id >> 56) as u32 & MAX_PART);
        Ok(Self { number, part, is_base: flags & IS_BASE != 0, is_last: flags & IS_LAST != 0 })
    }

    pub(crate) fn id(self, random: [u8; 6]) -> SegmentId {
        let flags = if self.is_base { IS_BASE } else { 0 } | if self.is_last { IS_LAST } else { 0 };
        let random = random.iter().fold(0, |all, &byte| all << 8 | u128::from(byte));
        let number = u128::from(self.number.min(MAX_NUMBER)) << 80;
        let part = u128::from(self.part.min(MAX_PART)) << 56;
        SegmentId::from_uuid(Uuid::from_u128(number | part | u128::from(flags) << 48 | random))
    }
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
#[derive(Debug, Default)]
pub struct Writer {
    sections: BTreeMap<(TenantId, Generation), Section>,
    bytes: usize,
}

#[derive(Debug)]
struct Section {
    key: Arc<DataKey>,
    records: Vec<u8>,
}

impl Writer {
    /// Adds a record under a key.
    pub fn add(&mut self, key: &Arc<DataKey>, record: &Record) {
        let section = self.sections.entry((key.tenant(), key.generation()));
        let section = section.or_insert_with(|| Section { key: key.clone(), records: Vec::new() });
        let before = section.records.len();
        put(&mut section.records, record);
        self.bytes += section.records.len() - before;
    }

    /// Whether it has enough.
    pub fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES
    }

    /// The finished segment, and its id.
    pub fn seal(self, env: &Env, name: Name, head: Head) -> (SegmentId, Bytes) {
        let id = name.id(env.random());
        let mut bytes = MARK.to_vec();
        bytes.extend(id.uuid().as_bytes());
        bytes.extend(head.after.to_be_bytes());
        bytes.extend(head.read_at.timestamp_micros().to_be_bytes());
        // Records end with the writer's being full, long before either is 4 GiB.
        bytes.extend((self.sections.len() as u32).to_be_bytes());
        let sections = self.sections.into_iter();
        let sections: Vec<_> = sections
            .map(|(whose, section)| (whose, section.key, compress::plain(&section.records)))
            .collect();
        for ((tenant, generation), _, plaintext) in &sections {
            bytes.extend(tenant.uuid().as_bytes());
            bytes.extend(generation.number().to_be_bytes());
            bytes.extend(((plaintext.len() + TAG_BYTES) as u32).to_be_bytes());
        }
        let ends = bytes.len();
        for ((tenant, generation), key, mut plaintext) in sections {
            let sealer = key.sealer(id.uuid().as_bytes(), Purpose::Segment);
            let tag = sealer.seal(0, &place(&bytes[..ends], tenant, generation), &mut plaintext);
            bytes.extend(plaintext);
            bytes.extend(tag);
        }
        (id, bytes.into())
    }
}

pub(crate) fn put(out: &mut Vec<u8>, record: &Record) {
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
        let (id, head) = beginning(&mut input)?;
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
    pub fn head(&self) -> Head {
        self.head
    }

    /// The object that it was read from.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
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

fn beginning(input: &mut Input<'_>) -> Result<(SegmentId, Head), Malformed> {
    let mark: [u8; MARK.len()] = input.array()?;
    if mark[..6] != MARK[..6] {
        return Err(Malformed("it is not a segment of a journal"));
    }
    if mark != MARK {
        return Err(Malformed("a version of segments that is not known here"));
    }
    let id = SegmentId::from_uuid(input.uuid()?);
    let after = u64::from_be_bytes(input.array()?);
    Ok((id, Head { after, read_at: moment(input)? }))
}

pub(crate) fn moment(input: &mut Input<'_>) -> Result<DateTime<Utc>, Malformed> {
    let micros = i64::from_be_bytes(input.array()?);
    DateTime::from_timestamp_micros(micros).ok_or(Malformed("a moment that no calendar has"))
}

pub(crate) fn record(input: &mut Input<'_>) -> Result<Record, Malformed> {
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

    fn key(tenant: u128, generation: u32) -> Arc<DataKey> {
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(tenant));
        Arc::new(DataKey::generate(&env(), tenant, Generation::new(generation).unwrap()))
    }

    fn head() -> Head {
        Head { after: 6, read_at: env().now().trunc_subsecs(6) }
    }

    const NAME: Name = Name { number: 7, part: 2, is_base: false, is_last: true };

    fn records() -> impl Strategy<Value = Vec<(usize, Record)>> {
        let record = (0..3_usize, any::<u64>(), any::<i32>(), "[a-z_]{1,12}", any::<bool>(), "\\PC{0,40}");
        let record = record.prop_map(|(whose, seq, at, relation, is_deleted, image)| {
            let at = DateTime::from_timestamp_micros(at.into()).unwrap();
            (whose, Record { seq, at, relation, is_deleted, image })
        });
        proptest::collection::vec(record, 0..30)
    }

    #[test]
    fn its_first_bytes_say_what_it_follows() {
        let head = head();
        let (id, bytes) = Writer::default().seal(&env(), NAME, head);
        let length = HEAD_BYTES as usize;
        assert_eq!(Head::read(&bytes[..length]).unwrap(), (id, head));
        assert!(Head::read(&bytes[..length - 1]).is_err());
    }

    proptest! {
        #[test]
        fn what_was_added_is_read_back_by_its_owner_alone(records in records()) {
            let keys = [key(1, 1), key(1, 2), key(2, 1)];
            let mut writer = Writer::default();
            for (whose, record) in &records {
                writer.add(&keys[*whose], record);
            }
            let head = head();
            let (id, bytes) = writer.seal(&env(), NAME, head);
            let segment = Segment::parse(bytes).unwrap();
            prop_assert_eq!((segment.id(), segment.head()), (id, head));
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
        fn ids_say_what_they_name_in_its_order(
            (a, b) in ((0..=MAX_NUMBER, 0..=MAX_PART, any::<bool>()), (0..=MAX_NUMBER, 0..=MAX_PART, any::<bool>())), random: [u8; 6],
        ) {
            let name = |(number, part, flag)| Name { number, part, is_base: flag, is_last: !flag };
            let (a, b) = (name(a), name(b));
            prop_assert_eq!(Name::of(a.id(random)), Ok(a));
            prop_assert_eq!(a.id(random).cmp(&b.id(random)), (a.number, a.part, a.is_last).cmp(&(b.number, b.part, b.is_last)));
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
            at: env().now().trunc_subsecs(6),
            relation: "messages".into(),
            is_deleted: false,
            image: r#"{"id": 1}"#.into(),
        };
        let mut writer = Writer::default();
        writer.add(&mine, &record);
        writer.add(&theirs, &record);
        let (_, bytes) = writer.seal(&env(), NAME, head());
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
        let (key, mut writer) = (key(1, 1), Writer::default());
        let image = "x".repeat(FULL_BYTES / 4);
        let record = Record { seq: 1, at: env().now(), relation: "t".into(), is_deleted: false, image };
        let mut added = 0;
        while !writer.is_full() {
            writer.add(&key, &record);
            added += 1;
        }
        assert_eq!(added, 4);
    }
}
