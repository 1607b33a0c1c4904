//! Keys, bodies and packs to test with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use kernel::{Clock, Env, FolderId, MailboxId, MessageId, Random, TenantId};
use pack::{About, Address, Compressed, DataKey, Delivery, Generation, Sealed, Uidl, Writer};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A clock that stands still and bytes that a seed decides (splitmix64).
#[derive(Debug)]
struct Still(AtomicU64);

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        date(1_772_442_000_000_000)
    }
}

impl Random for Still {
    fn fill(&self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) fn env(seed: u64) -> Env {
    let still = Arc::new(Still(AtomicU64::new(seed)));
    Env::new(still.clone(), still)
}

pub(crate) fn date(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap()
}

pub(crate) fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn key(env: &Env, tenant_number: u128, generation: u32) -> DataKey {
    DataKey::generate(env, tenant(tenant_number), Generation::new(generation).unwrap())
}

/// One message for the Inbox of a mailbox.
pub(crate) fn about(body: &[u8]) -> About {
    let message = MessageId::from_uuid(Uuid::from_u128(0x11));
    let mailbox = MailboxId::from_uuid(Uuid::from_u128(0x22));
    let delivery = Delivery { message, uidl: Uidl::of(message), mailbox, folder: None };
    About::new(Sha256::digest(body).into(), date(1_772_442_000_000_001), vec![delivery]).unwrap()
}

/// A body, what is known of it, and the place of its key among a test's.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) key: usize,
    pub(crate) body: Vec<u8>,
    pub(crate) about: About,
}

/// A pack with the address of each item.
pub(crate) struct Packed {
    pub(crate) sealed: Sealed,
    pub(crate) addresses: Vec<Address>,
}

impl Packed {
    pub(crate) fn new(env: &Env, keys: &[DataKey], items: &[Item]) -> Self {
        let mut writer = Writer::new(env);
        let add = |item: &Item| {
            let body = Compressed::new(&item.body).unwrap();
            writer.add(&keys[item.key], &body, item.about.clone()).unwrap()
        };
        let addresses = items.iter().map(add).collect();
        Self { sealed: writer.seal(), addresses }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        self.sealed.bytes()
    }

    pub(crate) fn stored(&self, address: &Address) -> &[u8] {
        let range = address.range();
        &self.bytes()[range.start as usize..range.end as usize]
    }
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        "(Subject: [a-z ]{0,20}\r\n){0,9}\r\n([A-Za-z0-9 ,.=]{0,70}\r\n){0,60}".prop_map(String::into_bytes),
        "(Received: from [a-z.]{0,20}\n){0,9}\n(Content-Type: text/html\n|<p>[a-z ]{0,60}</p>\n){0,40}"
            .prop_map(String::into_bytes),
    ]
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let uidl = proptest::option::of("[!-~]{1,70}");
    (any::<u128>(), any::<u128>(), any::<Option<u128>>(), uidl).prop_map(
        |(message, mailbox, folder, uidl)| {
            let message = MessageId::from_uuid(Uuid::from_u128(message));
            Delivery {
                message,
                uidl: uidl.map_or_else(|| Uidl::of(message), |text| text.parse().unwrap()),
                mailbox: MailboxId::from_uuid(Uuid::from_u128(mailbox)),
                folder: folder.map(|folder| FolderId::from_uuid(Uuid::from_u128(folder))),
            }
        },
    )
}

/// Items under any of the keys.
pub(crate) fn items(keys: usize, counts: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Item>> {
    // Years 1 to 9999.
    let micros = -62_135_596_800_000_000..253_402_300_799_999_999_i64;
    let item = (0..keys, body(), micros, proptest::collection::vec(delivery(), 1..4));
    let item = item.prop_map(|(key, body, micros, deliveries)| {
        let about = About::new(Sha256::digest(&body).into(), date(micros), deliveries).unwrap();
        Item { key, body, about }
    });
    proptest::collection::vec(item, counts)
}
