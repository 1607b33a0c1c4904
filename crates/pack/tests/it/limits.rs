//! A pack and its values end somewhere.

use pack::{
    About, Address, Compressed, Full, Generation, MAX_BODY_BYTES, MAX_DELIVERIES, MAX_ENTRIES,
    MAX_PACK_BYTES, TooLarge, Uidl, UidlError, Writer, open,
};

use crate::support::{about, env, key};

#[test]
fn a_full_pack_takes_no_more_and_stays_good() {
    let env = env(1);
    let key = key(&env, 1, 1);
    let (body, about) = (Compressed::new(b"x").unwrap(), about(b"x"));
    let mut writer = Writer::new(&env);
    let mut last = None;
    for _ in 0..MAX_ENTRIES {
        last = Some(writer.add(&key, &body, about.clone()).unwrap());
    }
    assert_eq!(writer.add(&key, &body, about), Err(Full));
    let (sealed, last) = (writer.seal(), last.unwrap());
    let stored = &sealed.bytes()[last.range().start as usize..last.range().end as usize];
    assert_eq!(open(&key, &last, stored).unwrap(), b"x");
}

#[test]
fn an_address_lies_in_a_pack() {
    let pack = env(1).new_id();
    let address =
        |index, offset, length| Address::new(pack, index, offset, length, Generation::FIRST).is_ok();
    assert!(address(0, 8, 17));
    assert!(address(MAX_ENTRIES - 1, 8, 17));
    assert!(address(0, MAX_PACK_BYTES + 8 - 17, 17));
    assert!(!address(MAX_ENTRIES, 8, 17));
    assert!(!address(0, 7, 17), "in the header");
    assert!(!address(0, 8, 16), "a tag alone");
    assert!(!address(0, MAX_PACK_BYTES + 8 - 16, 17));
    assert!(!address(0, u64::MAX, 17));
}

#[test]
fn a_body_has_a_limit() {
    assert_eq!(Compressed::new(&vec![0; MAX_BODY_BYTES + 1]), Err(TooLarge));
    let env = env(1);
    let (key, largest) = (key(&env, 1, 1), vec![0; MAX_BODY_BYTES]);
    let mut writer = Writer::new(&env);
    let address = writer.add(&key, &Compressed::new(&largest).unwrap(), about(b"")).unwrap();
    assert!(address.length() < 100_000);
    let sealed = writer.seal();
    let stored = &sealed.bytes()[address.range().start as usize..address.range().end as usize];
    assert!(open(&key, &address, stored).unwrap() == largest);
}

#[test]
fn a_body_has_messages() {
    let one = about(b"");
    let about = |count: usize| {
        About::new([0; 32], one.internal_date(), vec![one.deliveries()[0].clone(); count]).is_some()
    };
    assert!(!about(0));
    assert!(about(1));
    assert!(about(MAX_DELIVERIES));
    assert!(!about(MAX_DELIVERIES + 1));
}

#[test]
fn a_uidl_is_as_pop3_wants_it() {
    for text in ["!", "~", &"a".repeat(70)] {
        assert_eq!(text.parse::<Uidl>().unwrap().as_str(), text);
    }
    for text in ["", " ", "a b", "é", "\x7f", &"a".repeat(71)] {
        assert_eq!(text.parse::<Uidl>(), Err(UidlError), "{text:?}");
    }
}
