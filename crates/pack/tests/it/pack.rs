//! What goes into a pack comes out, for those whose it is, from its own place, unchanged: or nothing does.

use bytes::Bytes;
use pack::{Address, DataKey, Ending, Located, OpenError, TAIL_BYTES, Tail, open};
use proptest::prelude::*;

use crate::support::{Item, Packed, about, env, items, key};

/// Two tenants, the first with two generations.
fn keys(seed: u64) -> Vec<DataKey> {
    let env = env(seed);
    vec![key(&env, 1, 1), key(&env, 1, 2), key(&env, 2, 1)]
}

fn whole(bytes: &Bytes) -> Tail {
    match Tail::parse(bytes.len() as u64, bytes).unwrap() {
        Ending::Whole(tail) => tail,
        Ending::From(at) => panic!("more from {at} of {}", bytes.len()),
    }
}

fn moved(address: &Address, index: u32, place: &Address) -> Address {
    let (offset, length) = (place.offset(), place.length());
    Address::new(address.pack(), index, offset, length, address.generation()).unwrap()
}

proptest! {
    #[test]
    fn all_that_went_in_comes_out(items in items(3, 0..10), seed: u64) {
        let keys = keys(seed);
        let packed = Packed::new(&env(seed ^ 1), &keys, &items);
        for (item, address) in items.iter().zip(&packed.addresses) {
            let body = open(&keys[item.key], address, packed.stored(address)).unwrap();
            prop_assert_eq!(&body, &item.body);
        }
        let tail = whole(packed.bytes());
        prop_assert_eq!(tail.pack(), packed.sealed.id());
        for (place, key) in keys.iter().enumerate() {
            let mine = items.iter().zip(&packed.addresses).filter(|(item, _)| item.key == place);
            let mine: Vec<Located> =
                mine.map(|(item, &address)| Located { address, about: item.about.clone() }).collect();
            let listed = tail.sections().any(|section| section == (key.tenant(), key.generation()));
            prop_assert_eq!(listed, !mine.is_empty());
            prop_assert_eq!(tail.entries(key).unwrap(), mine);
        }
    }

    #[test]
    fn no_other_key_opens_an_entry_or_a_footer(items in items(1, 1..4), seed: u64) {
        let right = keys(seed);
        let packed = Packed::new(&env(seed ^ 1), &right, &items);
        let address = packed.addresses[0];
        // The same secret bytes in another tenant's name are another key too.
        let forged = key(&env(seed), 2, 1);
        for wrong in [&right[1], &right[2], &keys(!seed)[0], &forged] {
            let generation = wrong.generation();
            let address =
                Address::new(address.pack(), address.index(), address.offset(), address.length(), generation);
            let opened = open(wrong, &address.unwrap(), packed.stored(&packed.addresses[0]));
            prop_assert_eq!(opened, Err(OpenError::Refused));
        }
        let tail = whole(packed.bytes());
        prop_assert_eq!(tail.entries(&right[2]), Ok(vec![]));
        prop_assert_eq!(tail.entries(&keys(!seed)[0]), Err(OpenError::Refused));
    }

    #[test]
    fn an_entry_opens_in_its_own_place_only(items in items(3, 2..8), seed: u64) {
        let keys = keys(seed);
        let packed = Packed::new(&env(seed ^ 1), &keys, &items);
        let twin = Packed::new(&env(seed ^ 2), &keys, &items);
        prop_assert_ne!(packed.sealed.id(), twin.sealed.id());
        for (at, (item, address)) in items.iter().zip(&packed.addresses).enumerate() {
            let key = &keys[item.key];
            // Another index, another's bytes, both.
            for (other, elsewhere) in packed.addresses.iter().enumerate().filter(|(other, _)| *other != at) {
                for wrong in [
                    moved(address, other as u32, address),
                    moved(address, at as u32, elsewhere),
                    moved(address, other as u32, elsewhere),
                ] {
                    let hers = other != at && wrong.range() == elsewhere.range() && items[other].key == item.key;
                    if hers && wrong.index() == other as u32 {
                        // That is the other entry's own address.
                        continue;
                    }
                    let opened = open(key, &wrong, packed.stored(&wrong));
                    prop_assert_eq!(opened, Err(OpenError::Refused));
                }
            }
            // The same entry of another pack.
            prop_assert_eq!(open(key, address, twin.stored(&twin.addresses[at])), Err(OpenError::Refused));
        }
    }

    #[test]
    fn a_changed_bit_is_found(items in items(2, 1..6), seed: u64, at: prop::sample::Index, bit in 0..8) {
        let keys = keys(seed);
        let packed = Packed::new(&env(seed ^ 1), &keys, &items);
        let at = at.index(packed.bytes().len());
        let mut bytes = packed.bytes().to_vec();
        bytes[at] ^= 1_u8 << bit;
        let bytes = Bytes::from(bytes);
        for (item, address) in items.iter().zip(&packed.addresses) {
            let range = address.range();
            let stored = &bytes[range.start as usize..range.end as usize];
            let opened = open(&keys[item.key], address, stored);
            let expected = if range.contains(&(at as u64)) {
                Err(OpenError::Refused)
            } else {
                Ok(item.body.clone())
            };
            prop_assert_eq!(opened, expected);
        }
        let last = packed.addresses.last().unwrap().range().end;
        let Ok(ending) = Tail::parse(bytes.len() as u64, &bytes) else {
            prop_assert!(at as u64 >= last, "what stands before the footers does not matter here");
            return Ok(());
        };
        let Ending::Whole(tail) = ending else { return Err(TestCaseError::fail("all of it was given")) };
        let truth = whole(packed.bytes());
        let mut refused = false;
        for key in &keys {
            match tail.entries(key) {
                Ok(found) => prop_assert_eq!(found, truth.entries(key).unwrap()),
                Err(_) => refused = true,
            }
        }
        prop_assert_eq!(refused, at as u64 >= last);
    }

    #[test]
    fn what_is_cut_short_is_found(items in items(2, 1..6), seed: u64, at: prop::sample::Index) {
        let keys = keys(seed);
        let packed = Packed::new(&env(seed ^ 1), &keys, &items);
        let kept = at.index(packed.bytes().len());
        let cut = packed.bytes().slice(..kept);
        prop_assert!(Tail::parse(kept as u64, &cut).is_err());
        let address = packed.addresses[0];
        let stored = packed.stored(&address);
        let fewer = at.index(stored.len());
        prop_assert_eq!(open(&keys[items[0].key], &address, &stored[..fewer]), Err(OpenError::Refused));
        let more = [stored, &[0]].concat();
        prop_assert_eq!(open(&keys[items[0].key], &address, &more), Err(OpenError::Refused));
    }

    #[test]
    fn too_little_of_the_end_asks_for_more(items in items(3, 1..9), seed: u64, at: prop::sample::Index) {
        let keys = keys(seed);
        let packed = Packed::new(&env(seed ^ 1), &keys, &items);
        let (bytes, total) = (packed.bytes(), packed.bytes().len() as u64);
        let mut from = total - at.index(bytes.len()) as u64;
        let mut reads = 0;
        let tail = loop {
            match Tail::parse(total, &bytes.slice(from as usize..)).unwrap() {
                Ending::Whole(tail) => break tail,
                Ending::From(earlier) => {
                    prop_assert!(earlier < from);
                    from = earlier;
                    reads += 1;
                }
            }
        };
        prop_assert!(reads <= 3, "trailer, directory, footers");
        for key in &keys {
            prop_assert_eq!(tail.entries(key).unwrap(), whole(bytes).entries(key).unwrap());
        }
    }

    #[test]
    fn noise_is_refused_and_never_panics(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        missing in 0..1000_u64,
        rows in 0..5_u32,
    ) {
        let _ = Tail::parse(noise.len() as u64 + missing, &Bytes::from(noise.clone()));
        let _ = Tail::parse(missing, &Bytes::from(noise.clone()));
        prop_assert!(Tail::parse(noise.len() as u64, &Bytes::from(noise.clone())).is_err());
        // Also behind a trailer's right mark.
        let marked = [&noise[..], &[7; 16], &rows.to_be_bytes(), &[0; 8], b"PBPACK\x00\x01"].concat();
        prop_assert!(Tail::parse(marked.len() as u64, &Bytes::from(marked)).is_err());
        let packed = Packed::new(&env(3), &keys(3), &[Item { key: 0, body: vec![], about: about(&[]) }]);
        prop_assert!(open(&keys(3)[0], &packed.addresses[0], &noise).is_err());
    }
}

#[test]
fn one_read_of_the_tail_is_enough_for_a_batch() {
    let keys = keys(9);
    let item = |number: usize| {
        let body = vec![b'x'; 4000 + number];
        Item { key: number % 3, about: about(&body), body }
    };
    let packed = Packed::new(&env(9), &keys, &(0..300).map(item).collect::<Vec<_>>());
    let total = packed.bytes().len() as u64;
    let tail = packed.bytes().slice(total.saturating_sub(TAIL_BYTES) as usize..);
    let Ok(Ending::Whole(tail)) = Tail::parse(total, &tail) else { panic!("not in one read") };
    assert_eq!(keys.iter().map(|key| tail.entries(key).unwrap().len()).sum::<usize>(), 300);
}

#[test]
fn another_version_is_told_from_another_thing() {
    let packed = Packed::new(&env(4), &keys(4), &[]);
    let mut bytes = packed.bytes().to_vec();
    *bytes.last_mut().unwrap() = 2;
    let error = Tail::parse(bytes.len() as u64, &Bytes::from(bytes)).unwrap_err();
    assert_eq!(error.to_string(), "malformed: a version of packs that is not known here");
    let error = Tail::parse(80, &Bytes::from(vec![0; 80])).unwrap_err();
    assert_eq!(error.to_string(), "malformed: it is not a pack");
}
