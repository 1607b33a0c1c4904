//! A pack and a wrapped key as version 1 wrote them on 2026-11-26. Mail of that day lies in such bytes: no change of this crate or of what it
//! builds on may make them unreadable. Never make these files anew.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kernel::{Env, FolderId, hex};
use pack::{Delivery, Ending, KeyEncryption as _, LocalKeys, Tail, WrappedKey, open};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::support::{about, date, tenant};

const KEK: &str = "kek-2026 UGlsbGFyYm94J3MgZ29sZGVuIGZpbGVzLCBrZXkgMSE=";
const KEY: &str = include_str!("../golden/key-1.b64");
const PACK: &str = include_str!("../golden/pack-1.b64");

const WITH_CRLF: &[u8] =
    b"Received: from a by b\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHi\r\n";
const WITH_LF: &[u8] =
    b"Received: from a by b\nSubject: lines\nContent-Type: text/plain; charset=utf-8\n\nHi\n";
const AS_IT_IS: &[u8] = b"\x00\xff";

fn decode(text: &str) -> Bytes {
    STANDARD.decode(text.split_whitespace().collect::<String>()).unwrap().into()
}

#[tokio::test]
async fn version_1_stays_readable() {
    let keys = LocalKeys::parse(&Env::system(), &SecretString::from(KEK)).unwrap();
    let wrapped = WrappedKey::decode(&decode(KEY)).unwrap();
    let key = keys.unwrap(&wrapped).await.unwrap();
    assert_eq!((key.tenant(), key.generation().number()), (tenant(1), 2));

    let pack = decode(PACK);
    let Ok(Ending::Whole(tail)) = Tail::parse(pack.len() as u64, &pack) else { panic!("not a pack") };
    assert_eq!(tail.pack().to_string(), "pck_019cadc69a807b6f93d816ba44477991");
    let entries = tail.entries(&key).unwrap();
    let bodies = entries.iter().map(|entry| {
        let range = entry.address.range();
        open(&key, &entry.address, &pack[range.start as usize..range.end as usize]).unwrap()
    });
    assert_eq!(bodies.collect::<Vec<_>>(), [WITH_CRLF, WITH_LF, AS_IT_IS]);
    assert_eq!(entries[0].address.range().start, 8);
    assert_eq!(entries[0].about, about(WITH_CRLF));
    assert_eq!(entries[2].about.sha256(), &<[u8; 32]>::from(Sha256::digest(AS_IT_IS)));
    assert_eq!(entries[2].about.internal_date(), date(-1));
    let Delivery { uidl, folder, .. } = &entries[2].about.deliveries()[1];
    assert_eq!(uidl.as_str(), "0001.of.another-store");
    assert_eq!(*folder, Some(FolderId::from_uuid(Uuid::from_u128(0x33))));
}

/// What a reader needs beside the bytes and the key.
#[test]
fn the_dictionary_of_version_1_never_changes() {
    let hash = Sha256::digest(include_bytes!("../../src/dictionary-1.txt"));
    assert_eq!(hex(&hash), "71e9f554c9b715d3897a04f84a51179203b0d71fad0724fdc16ca234c221dcdd");
}
