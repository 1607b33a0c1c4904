//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use bytes::Bytes;
use kernel::{Env, SegmentId, TenantId};
use ring::digest::{SHA256, digest};
use uuid::Uuid;

use crate::codec::trailer::{MARK, ROW_BYTES};
use crate::codec::{Input, footer};
use crate::compress::{self, Compressed, MAX_BODY_BYTES};
use crate::segment::{self, Name, Segment};
use crate::{DataKey, Ending, Generation, Tail, WrappedKey, bundle};

fn key(tenant: TenantId, generation: Generation) -> DataKey {
    DataKey::from_bytes(tenant, generation, &[5; 32])
}

/// A pack's end, as it is and with the frame and the check that a pack has: what is read does not depend on how much of the end was
/// asked for at first, and nothing of it opens.
pub fn end(bytes: &[u8]) {
    let (directory, _) = bytes.split_at(bytes.len() - bytes.len() % ROW_BYTES as usize);
    let rows = u32::try_from(directory.len() as u64 / ROW_BYTES).expect("an input is small");
    let mut framed = MARK.to_vec();
    // Something for the directory to name: as much as it says, if that is not much.
    framed.resize(MARK.len() + 4096, 0);
    framed.extend(directory);
    framed.extend([9; 16]);
    framed.extend(rows.to_be_bytes());
    framed.extend(&digest(&SHA256, directory).as_ref()[..8]);
    framed.extend(MARK);
    end_of(&framed.into());
    end_of(&Bytes::copy_from_slice(bytes));
}

fn end_of(pack: &Bytes) {
    let pack_bytes = pack.len() as u64;
    let whole = match Tail::parse(pack_bytes, pack) {
        Ok(Ending::Whole(whole)) => whole,
        Ok(Ending::From(at)) => panic!("all of it is there, and from {at} on is asked for"),
        Err(_) => return,
    };
    let mut from = pack_bytes;
    let tail = loop {
        match Tail::parse(pack_bytes, &pack.slice(from as usize..)) {
            Ok(Ending::Whole(tail)) => break tail,
            // Each time more, so that it ends.
            Ok(Ending::From(at)) => assert!(std::mem::replace(&mut from, at) > at),
            Err(error) => panic!("whole it is read: {error}"),
        }
    };
    assert_eq!((tail.pack(), tail.begin()), (whole.pack(), whole.begin()));
    assert!(tail.sections().eq(whole.sections()));
    for (tenant, generation) in whole.sections() {
        assert!(whole.entries(&key(tenant, generation)).is_err());
    }
}

/// A footer's records, opened: what is read is what would be written.
pub fn records(bytes: &[u8]) {
    let Ok(records) = footer::parse(bytes) else { return };
    let mut written = Vec::new();
    records.iter().for_each(|record| footer::put(&mut written, record));
    assert_eq!(footer::parse(&written), Ok(records));
}

/// An entry, opened: it comes to no more than a body may, and is stored as itself.
pub fn entry(bytes: &[u8]) {
    let Ok(body) = compress::expand(bytes.to_vec()) else { return };
    assert!(body.len() <= MAX_BODY_BYTES);
    let stored = Compressed::new(&body).expect("it is no longer than a body may be");
    assert!(stored.stored_bytes() <= body.len() + 1);
    assert_eq!(compress::expand(stored.plaintext().to_vec()), Ok(body));
}

/// A segment of the journal, with its mark and without: its sections are in it, and none opens.
pub fn segment(bytes: &[u8]) {
    for object in [bytes.to_vec(), [&segment::MARK, bytes].concat()] {
        let Ok(segment) = Segment::parse(object.into()) else { continue };
        for (tenant, generation) in segment.sections() {
            assert!(segment.records(&key(tenant, generation)).is_err());
        }
    }
    if let Some(id) = bytes.first_chunk::<16>()
        && let Ok(name) = Name::of(SegmentId::from_uuid(Uuid::from_bytes(*id)))
    {
        let [.., a, b, c, d, e, f] = *id;
        assert_eq!(name.id([a, b, c, d, e, f]).uuid().as_bytes(), id);
    }
}

/// A bundle of segments, with its mark and without: what is untied and tied again is the same but for its id.
pub fn bundle(bytes: &[u8]) {
    for object in [bytes.to_vec(), [&bundle::MARK, bytes].concat()] {
        let object = Bytes::from(object);
        let Ok((id, segments)) = bundle::untie(&object) else { continue };
        let listed = bundle::Directory::read(&object).expect("it was untied by it");
        let told = segments.iter().map(|segment| (segment.id(), segment.head()));
        assert!(listed.rows().eq(told));
        let name = bundle::Name::of(id).expect("it was untied by it");
        let numbers: Vec<u64> = segments.iter().map(number).collect();
        if (numbers.first(), numbers.last()) == (Some(&name.first), Some(&name.last)) {
            let (_, again) = bundle::tie(&Env::system(), &segments);
            assert_eq!(again[24..], object[24..]);
        }
    }
}

fn number(segment: &Segment) -> u64 {
    Name::of(segment.id()).expect("it was read from a bundle").number
}

/// A section's records, opened: what is read is what would be written.
pub fn journal(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        let Ok(record) = segment::record(&mut input) else { return };
        let mut written = Vec::new();
        segment::put(&mut written, &record);
        let mut again = Input::new(&written);
        assert_eq!(segment::record(&mut again), Ok(record));
        assert!(again.is_empty());
    }
}

/// A wrapped key: the bytes that are read are those that are written.
pub fn wrapped(bytes: &[u8]) {
    if let Ok(wrapped) = WrappedKey::decode(bytes) {
        assert_eq!(wrapped.encode(), bytes);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("pack_end", super::end);
        crate::seeds::play("pack_records", super::records);
        crate::seeds::play("pack_entry", super::entry);
        crate::seeds::play("pack_segment", super::segment);
        crate::seeds::play("pack_bundle", super::bundle);
        crate::seeds::play("pack_journal", super::journal);
        crate::seeds::play("pack_wrapped", super::wrapped);
    }
}
