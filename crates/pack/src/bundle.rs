//! Bundles: segments of the journal that have been in the bucket for some time, as they are, in one object.
//!
//! # The format, version 1
//!
//! Numbers are big-endian.
//!
//! ```text
//! head       "PBBNDL" 0x0001 | bundle 16 | rows of the directory 4
//! directory  segment 16 | after 8 | read at, µs since 1970, 8 | length 4   …   one for each segment, in their order
//! segments   …
//! ```
//!
//! A bundle's id lies among the segments', where its first number would, so that a listing tells which numbers it may have:
//!
//! ```text
//! number 6 | span 3 | 4 | random 6           from the first number to the last
//! ```

use std::ops::Range;

use bytes::Bytes;
use kernel::{Env, SegmentId};
use uuid::Uuid;

use crate::codec::{Input, Malformed};
use crate::segment::{self, Head, MAX_NUMBER, Segment, moment};

/// Magic and version.
pub(crate) const MARK: [u8; 8] = *b"PBBNDL\x00\x01";
const IS_BUNDLE: u8 = 4;

/// How many bytes say how long the directory is.
pub const HEAD_BYTES: u64 = 28;
const ROW_BYTES: u64 = 36;

/// How far a bundle's last number is from its first at most: whoever looks for a number finds its bundle not further before it.
pub const MAX_SPAN: u64 = 4_095;

/// What a bundle's id says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The first number that it has.
    pub first: u64,
    /// The last one, at most [`MAX_SPAN`] further.
    pub last: u64,
}

impl Name {
    /// What an id says.
    ///
    /// # Errors
    /// An id that is no bundle's.
    pub fn of(id: SegmentId) -> Result<Self, Malformed> {
        let id = id.uuid().as_u128();
        let (first, span) = ((id >> 80) as u64, (id >> 56) as u64 & 0xff_ffff);
        if (id >> 48) as u8 != IS_BUNDLE || span > MAX_SPAN {
            return Err(Malformed("it is no bundle's id"));
        }
        Ok(Self { first, last: first + span })
    }

    /// Whether a number lies between its first and its last.
    pub fn spans(self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }

    fn id(self, random: [u8; 6]) -> SegmentId {
        let random = random.iter().fold(0, |all, &byte| all << 8 | u128::from(byte));
        let first = u128::from(self.first.min(MAX_NUMBER)) << 80;
        let span = u128::from((self.last - self.first).min(MAX_SPAN)) << 56;
        SegmentId::from_uuid(Uuid::from_u128(first | span | u128::from(IS_BUNDLE) << 48 | random))
    }
}

/// A bundle of segments that lie in the order of their numbers, and its id.
///
/// # Panics
/// Where there is none, or where their numbers are further apart than [`MAX_SPAN`].
pub fn tie(env: &Env, segments: &[Segment]) -> (SegmentId, Bytes) {
    let number = |segment: &Segment| segment::Name::of(segment.id()).map_or(0, |name| name.number);
    let (first, last) = match segments {
        [first, .., last] => (number(first), number(last)),
        [only] => (number(only), number(only)),
        [] => panic!("a bundle of nothing"),
    };
    assert!(first <= last && last - first <= MAX_SPAN, "numbers from {first} to {last} in one bundle");
    let id = Name { first, last }.id(env.random());
    let mut bytes = MARK.to_vec();
    bytes.extend(id.uuid().as_bytes());
    bytes.extend((segments.len() as u32).to_be_bytes());
    for segment in segments {
        bytes.extend(segment.id().uuid().as_bytes());
        bytes.extend(segment.head().after.to_be_bytes());
        bytes.extend(segment.head().read_at.timestamp_micros().to_be_bytes());
        bytes.extend((segment.bytes().len() as u32).to_be_bytes());
    }
    for segment in segments {
        bytes.extend(segment.bytes());
    }
    (id, bytes.into())
}

/// What a bundle says that it has. Nothing of it is proven.
#[derive(Debug)]
pub struct Directory {
    id: SegmentId,
    rows: Vec<(SegmentId, Head, Range<u64>)>,
}

impl Directory {
    /// How many bytes there are up to its end, by a bundle's first [`HEAD_BYTES`] or more.
    ///
    /// # Errors
    /// What is no bundle of a known version.
    pub fn ends(bytes: &[u8]) -> Result<u64, Malformed> {
        let (_, count) = beginning(&mut Input::new(bytes))?;
        Ok(HEAD_BYTES + u64::from(count) * ROW_BYTES)
    }

    /// Reads it from a bundle's first bytes, up to its end or more.
    ///
    /// # Errors
    /// What is no bundle of a known version, or has other segments than its id says.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(bytes);
        let (id, count) = beginning(&mut input)?;
        let name = Name::of(id)?;
        let mut rows: Vec<(SegmentId, Head, Range<u64>)> = Vec::new();
        let mut at = HEAD_BYTES + u64::from(count) * ROW_BYTES;
        for _ in 0..count {
            let segment = SegmentId::from_uuid(input.uuid()?);
            let (after, read_at) = (u64::from_be_bytes(input.array()?), moment(&mut input)?);
            if !name.spans(segment::Name::of(segment)?.number)
                || rows.last().is_some_and(|(before, ..)| *before >= segment)
            {
                return Err(Malformed("a bundle's segments that are not in their order"));
            }
            let begin = at;
            at += u64::from(input.u32()?);
            rows.push((segment, Head { after, read_at }, begin..at));
        }
        Ok(Self { id, rows })
    }

    /// The bundle's id, as it says itself.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// Its segments, and what each says of itself, in their order.
    pub fn rows(&self) -> impl Iterator<Item = (SegmentId, Head)> {
        self.rows.iter().map(|(id, head, _)| (*id, *head))
    }
}

/// The segments of a bundle, in their order, and its id as it says itself. Nothing of them is proven before a section opens.
///
/// # Errors
/// What is no bundle of a known version, or has a segment that is none or another than its directory says.
pub fn untie(bytes: &Bytes) -> Result<(SegmentId, Vec<Segment>), Malformed> {
    let Directory { id, rows } = Directory::read(bytes)?;
    if rows.last().map_or(HEAD_BYTES, |(.., range)| range.end) != bytes.len() as u64 {
        return Err(Malformed("segments that do not end where their bundle does"));
    }
    let mut segments = Vec::with_capacity(rows.len());
    for (id, head, range) in rows {
        let segment = Segment::parse(bytes.slice(range.start as usize..range.end as usize))?;
        if (segment.id(), segment.head()) != (id, head) {
            return Err(Malformed("a segment that is another than its bundle says"));
        }
        segments.push(segment);
    }
    Ok((id, segments))
}

fn beginning(input: &mut Input<'_>) -> Result<(SegmentId, u32), Malformed> {
    let mark: [u8; MARK.len()] = input.array()?;
    if mark[..6] != MARK[..6] {
        return Err(Malformed("it is not a bundle of a journal's segments"));
    }
    if mark != MARK {
        return Err(Malformed("a version of bundles that is not known here"));
    }
    Ok((SegmentId::from_uuid(input.uuid()?), input.u32()?))
}

#[cfg(test)]
mod tests {
    use chrono::SubsecRound as _;
    use proptest::prelude::*;

    use super::*;

    /// Segments of nobody, of these numbers and parts.
    fn segments(numbers: &[(u64, u32)]) -> Vec<Segment> {
        let env = Env::system();
        let sealed = numbers.iter().map(|&(number, part)| {
            let name = segment::Name { number, part, is_base: false, is_last: true };
            let head = Head { after: number.saturating_sub(1), read_at: env.now().trunc_subsecs(6) };
            Segment::parse(segment::Writer::default().seal(&env, name, head).1).unwrap()
        });
        sealed.collect()
    }

    #[test]
    fn what_was_tied_is_untied_as_it_was() {
        let segments = segments(&[(7, 0), (9, 0), (9, 1), (7 + MAX_SPAN, 0)]);
        let (id, bytes) = tie(&Env::system(), &segments);
        let name = Name { first: 7, last: 7 + MAX_SPAN };
        assert_eq!(Name::of(id), Ok(name));
        assert_eq!(
            [6, 7, 8, name.last, name.last + 1].map(|number| name.spans(number)),
            [false, true, true, true, false]
        );
        assert!(segment::Name::of(id).is_err(), "it is no segment's");
        let (untied, again) = untie(&bytes).unwrap();
        assert_eq!(untied, id);
        let all = |segments: &[Segment]| -> Vec<_> {
            segments.iter().map(|segment| (segment.id(), segment.head(), segment.bytes().clone())).collect()
        };
        assert_eq!(all(&again), all(&segments));

        let ends = Directory::ends(&bytes[..HEAD_BYTES as usize]).unwrap() as usize;
        let directory = Directory::read(&bytes[..ends]).unwrap();
        assert_eq!(directory.id(), id);
        let rows: Vec<_> = segments.iter().map(|segment| (segment.id(), segment.head())).collect();
        assert_eq!(directory.rows().collect::<Vec<_>>(), rows);
        assert!(Directory::read(&bytes[..ends - 1]).is_err());
    }

    #[test]
    fn one_that_has_other_segments_than_it_says_is_refused() {
        let [a, b, c] = <[Segment; 3]>::try_from(segments(&[(1, 0), (2, 0), (3, 0)])).unwrap();
        let env = Env::system();
        let (id, bytes) = tie(&env, &[a, b, c]);
        let ends = Directory::ends(&bytes).unwrap() as usize;
        // Of a segment that says nothing, all but the last four bytes of its directory's length is said once more in the bundle's directory.
        for at in 0..ends {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            let changed = Bytes::from(changed);
            let untied = untie(&changed);
            let is_its_id = (8..24).contains(&at);
            assert!(untied.is_err() || is_its_id && untied.unwrap().0 != id, "byte {at}");
        }
        assert!(untie(&bytes.slice(..bytes.len() - 1)).is_err());
        let reversed = segments(&[(2, 1), (2, 0)]);
        assert!(Directory::read(&tie(&env, &reversed).1).is_err());
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = untie(&Bytes::from(noise.clone()));
            let _ = untie(&Bytes::from([MARK.as_slice(), &noise].concat()));
        }

        #[test]
        fn its_id_lies_where_its_first_number_would(first in 0..MAX_NUMBER - MAX_SPAN, span in 0..=MAX_SPAN, random: [u8; 6]) {
            let name = Name { first, last: first + span };
            let id = name.id(random);
            prop_assert_eq!(Name::of(id), Ok(name));
            let of = |number| segment::Name { number, part: 0, is_base: false, is_last: false }.id([0; 6]);
            prop_assert!(of(first) < id && id < of(first + 1));
        }
    }
}
