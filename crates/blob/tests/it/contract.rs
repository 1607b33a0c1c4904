//! The contract: one function per promise of `BlobStore`, run on every backend with an empty store each.

use std::collections::BTreeSet;
use std::sync::Arc;

use blob::{BlobKey, BlobStore, Error, KeyPrefix, PAGE_KEYS};
use bytes::Bytes;
use futures::StreamExt;

use crate::{new_key, new_tenant, new_wrapped_key, random_bytes};

type Store = Arc<dyn BlobStore>;

/// Calls a macro with the name of every promise.
macro_rules! for_each_promise {
    ($call:ident) => {
        $call! {
            answers_a_ping
            gives_back_the_same_bytes
            gives_back_nothing_for_an_empty_object
            gives_back_eight_mebibytes
            gives_back_what_is_too_large_for_one_request
            tells_what_is_not_there
            gives_ranges
            cuts_ranges_at_the_end
            refuses_ranges_past_the_end
            gives_nothing_for_empty_ranges
            replaces_under_the_same_key
            deletes_and_deletes_again
            erases_and_erases_again
            erases_all_under_a_prefix
            lists_nothing_when_empty
            lists_in_order_page_by_page
            keeps_tenants_apart
            lists_all_tenants
            lists_all_kinds
            serves_many_at_once
        }
    };
}
pub(crate) use for_each_promise;

pub(crate) async fn answers_a_ping(store: Store) {
    blob::ping(&*store).await.unwrap();
    assert_eq!(list(&store, KeyPrefix::All).await, []);
}

pub(crate) async fn gives_back_the_same_bytes(store: Store) {
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(70_001).collect();
    for bytes in [&b"x"[..], b"\0", b"a\r\n.\r\nb\n\r\xff\xfe", &every_byte] {
        let key = new_key(new_tenant());
        store.put(&key, Bytes::copy_from_slice(bytes)).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), bytes);
    }
}

pub(crate) async fn gives_back_nothing_for_an_empty_object(store: Store) {
    let key = new_key(new_tenant());
    store.put(&key, Bytes::new()).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Bytes::new());
    assert_eq!(store.get_range(&key, 0..0).await.unwrap(), Bytes::new());
    assert!(matches!(store.get_range(&key, 0..1).await, Err(Error::RangeNotSatisfiable)));
}

pub(crate) async fn gives_back_eight_mebibytes(store: Store) {
    let key = new_key(new_tenant());
    let bytes = random_bytes(8 << 20);
    store.put(&key, bytes.clone()).await.unwrap();
    // Not assert_eq: nobody reads eight mebibytes of difference.
    assert!(store.get(&key).await.unwrap() == bytes);
    let tail = (8 << 20) - 5..u64::MAX;
    assert_eq!(store.get_range(&key, tail).await.unwrap(), bytes[(8 << 20) - 5..]);
}

pub(crate) async fn gives_back_what_is_too_large_for_one_request(store: Store) {
    // On both sides of where S3 begins to put in parts, and neither is a whole number of them. Under keys of their own: s3s-fs gives the
    // checksum of what was there before for what is put over it in parts.
    for length in [(16 << 20) - 1, (40 << 20) + 1] {
        let (key, bytes) = (new_key(new_tenant()), random_bytes(length));
        store.put(&key, bytes.clone()).await.unwrap();
        assert!(store.get(&key).await.unwrap() == bytes, "{length}");
        let across = (8 << 20) - 3..(8 << 20) + 3;
        assert_eq!(store.get_range(&key, 8_388_605..8_388_611).await.unwrap(), bytes[across], "{length}");
        assert!(list(&store, KeyPrefix::All).await.contains(&key), "{length}");
    }
}

pub(crate) async fn tells_what_is_not_there(store: Store) {
    let tenant = new_tenant();
    let (there, absent) = (new_key(tenant), new_key(tenant));
    store.put(&there, Bytes::from_static(b"x")).await.unwrap();
    for key in [absent, new_key(new_tenant())] {
        for result in [
            store.get(&key).await,
            store.get_range(&key, 0..1).await,
            store.get_range(&key, 0..0).await,
            store.get_range(&key, 9..u64::MAX).await,
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::NotFound), "{error:?}");
            assert_eq!(error.kind(), kernel::ErrorKind::NotFound);
        }
    }
}

pub(crate) async fn gives_ranges(store: Store) {
    let key = new_key(new_tenant());
    let bytes = random_bytes(100_000);
    store.put(&key, bytes.clone()).await.unwrap();
    for (start, end) in
        [(0, 1), (0, 100_000), (1, 99_999), (50_000, 50_001), (99_999, 100_000), (4_095, 8_193)]
    {
        let part = store.get_range(&key, start..end).await.unwrap();
        assert!(part == bytes[start as usize..end as usize], "{start}..{end}: {} bytes", part.len());
    }
}

pub(crate) async fn cuts_ranges_at_the_end(store: Store) {
    let key = new_key(new_tenant());
    store.put(&key, Bytes::from_static(b"0123456789")).await.unwrap();
    for (start, end, part) in
        [(0, 11, "0123456789"), (9, 11, "9"), (5, 1 << 40, "56789"), (5, u64::MAX, "56789")]
    {
        assert_eq!(store.get_range(&key, start..end).await.unwrap(), part, "{start}..{end}");
    }
}

pub(crate) async fn refuses_ranges_past_the_end(store: Store) {
    let key = new_key(new_tenant());
    store.put(&key, Bytes::from_static(b"0123456789")).await.unwrap();
    for range in [10..11, 10..u64::MAX, 1 << 40..u64::MAX, u64::MAX - 1..u64::MAX] {
        let error = store.get_range(&key, range.clone()).await.unwrap_err();
        assert!(matches!(error, Error::RangeNotSatisfiable), "{range:?}: {error:?}");
        assert_eq!(error.kind(), kernel::ErrorKind::Invalid);
    }
}

#[expect(clippy::reversed_empty_ranges, reason = "a reversed range is one of the cases")]
pub(crate) async fn gives_nothing_for_empty_ranges(store: Store) {
    let key = new_key(new_tenant());
    store.put(&key, Bytes::from_static(b"0123456789")).await.unwrap();
    for range in [0..0, 5..5, 10..10, 11..11, 7..3, u64::MAX..u64::MAX] {
        assert_eq!(store.get_range(&key, range.clone()).await.unwrap(), Bytes::new(), "{range:?}");
    }
}

pub(crate) async fn replaces_under_the_same_key(store: Store) {
    let key = new_key(new_tenant());
    for bytes in ["the first, which is longer", "the second", ""] {
        store.put(&key, Bytes::from_static(bytes.as_bytes())).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), bytes);
    }
    assert_eq!(list(&store, KeyPrefix::All).await, [key]);
}

pub(crate) async fn deletes_and_deletes_again(store: Store) {
    let tenant = new_tenant();
    let (gone, kept) = (new_key(tenant), new_key(tenant));
    for key in [&gone, &kept] {
        store.put(key, Bytes::from_static(b"x")).await.unwrap();
    }
    store.delete(&gone).await.unwrap();
    assert!(matches!(store.get(&gone).await, Err(Error::NotFound)));
    store.delete(&gone).await.unwrap();
    store.delete(&new_key(new_tenant())).await.unwrap();
    assert_eq!(list(&store, KeyPrefix::Tenant(tenant)).await, std::slice::from_ref(&kept));
    assert_eq!(store.get(&kept).await.unwrap(), "x");
    store.put(&gone, Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(store.get(&gone).await.unwrap(), "again");
}

pub(crate) async fn erases_and_erases_again(store: Store) {
    let tenant = new_tenant();
    let (gone, kept) = (new_wrapped_key(tenant), new_wrapped_key(tenant));
    for bytes in ["the first", "the second"] {
        for key in [&gone, &kept] {
            store.put(key, Bytes::from_static(bytes.as_bytes())).await.unwrap();
        }
    }
    store.erase(&gone).await.unwrap();
    assert!(matches!(store.get(&gone).await, Err(Error::NotFound)));
    store.erase(&gone).await.unwrap();
    store.erase(&new_wrapped_key(new_tenant())).await.unwrap();
    assert_eq!(list(&store, KeyPrefix::All).await, std::slice::from_ref(&kept));
    assert_eq!(store.get(&kept).await.unwrap(), "the second");
    store.put(&gone, Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(store.get(&gone).await.unwrap(), "again");
    // One that was deleted before has nothing left to erase, or older versions alone.
    store.delete(&gone).await.unwrap();
    store.erase(&gone).await.unwrap();
    assert!(matches!(store.get(&gone).await, Err(Error::NotFound)));
}

pub(crate) async fn erases_all_under_a_prefix(store: Store) {
    let (tenant, other) = (new_tenant(), new_tenant());
    let wrapped: Vec<_> = (0..5).map(|_| new_wrapped_key(tenant)).collect();
    let wrapped = fill(&store, wrapped).await;
    let kept = fill(&store, vec![new_key(tenant), new_key(other), new_wrapped_key(other)]).await;
    assert_eq!(list(&store, KeyPrefix::WrappedKeys(tenant)).await, wrapped);
    for _ in 0..2 {
        store.erase_all(&KeyPrefix::WrappedKeys(tenant)).await.unwrap();
        assert_eq!(list(&store, KeyPrefix::WrappedKeys(tenant)).await, []);
        assert_eq!(list(&store, KeyPrefix::All).await, kept);
    }
    store.erase_all(&KeyPrefix::WrappedKeys(new_tenant())).await.unwrap();
    store.erase_all(&KeyPrefix::Tenant(other)).await.unwrap();
    assert_eq!(list(&store, KeyPrefix::Tenant(other)).await, []);
    assert_eq!(list(&store, KeyPrefix::All).await.len(), 1);
}

pub(crate) async fn lists_nothing_when_empty(store: Store) {
    for prefix in [KeyPrefix::All, KeyPrefix::Tenant(new_tenant()), KeyPrefix::WrappedKeys(new_tenant())] {
        for after in [None, Some(""), Some("zzz"), Some("tenants/")] {
            let page = store.list(&prefix, after).await.unwrap();
            assert_eq!((page.keys, page.next), (vec![], None), "{prefix:?} {after:?}");
        }
    }
}

pub(crate) async fn lists_in_order_page_by_page(store: Store) {
    let tenant = new_tenant();
    let keys = fill(&store, (0..PAGE_KEYS + 50).map(|_| new_key(tenant)).collect()).await;
    let prefix = KeyPrefix::Tenant(tenant);

    let first = store.list(&prefix, None).await.unwrap();
    assert_eq!(first.keys.len(), PAGE_KEYS);
    let second = store.list(&prefix, first.next.as_deref()).await.unwrap();
    assert_eq!((second.keys.len(), second.next), (50, None));
    assert_eq!([first.keys.clone(), second.keys].concat(), keys);

    let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
    assert!(texts.is_sorted());
    assert_eq!(keys, texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<BlobKey>>());

    // A page goes on after any text, whether there is such a key or not.
    store.delete(&keys[1030]).await.unwrap();
    let rest = store.list(&prefix, Some(&texts[1030])).await.unwrap();
    assert_eq!((rest.keys.as_slice(), rest.next), (&keys[1031..], None));
    // What fills a page to the last place has no next one.
    for key in &keys[..49] {
        store.delete(key).await.unwrap();
    }
    let full = store.list(&prefix, None).await.unwrap();
    assert_eq!((full.keys.len(), full.next), (PAGE_KEYS, None));
}

pub(crate) async fn keeps_tenants_apart(store: Store) {
    let (a, b) = (new_tenant(), new_tenant());
    let of_a = fill(&store, vec![new_key(a), new_key(a), new_key(a)]).await;
    let of_b = fill(&store, vec![new_key(b), new_key(b)]).await;
    assert_eq!(list(&store, KeyPrefix::Tenant(a)).await, of_a);
    assert_eq!(list(&store, KeyPrefix::Tenant(b)).await, of_b);
    assert_eq!(list(&store, KeyPrefix::Tenant(new_tenant())).await, []);
    // A cursor taken from another tenant's listing, before or behind, opens no door.
    for (prefix, own, other) in [(a, &of_a, &of_b), (b, &of_b, &of_a)] {
        let page = store.list(&KeyPrefix::Tenant(prefix), Some(&other[0].to_string())).await.unwrap();
        assert!(page.keys.iter().all(|key| own.contains(key)), "{:?}", page.keys);
    }
    // Same pack id, two tenants: two objects.
    let BlobKey::Pack { pack, .. } = of_a[0] else { panic!("{:?} is no pack", of_a[0]) };
    let twin = BlobKey::Pack { owner: Some(b), pack };
    assert!(matches!(store.get(&twin).await, Err(Error::NotFound)));
    store.put(&twin, Bytes::from_static(b"of b")).await.unwrap();
    store.delete(&of_a[0]).await.unwrap();
    assert_eq!(store.get(&twin).await.unwrap(), "of b");
}

pub(crate) async fn lists_all_tenants(store: Store) {
    let tenants = [new_tenant(), new_tenant(), new_tenant()];
    // Pages end in the middle of a tenant.
    let keys = (0..PAGE_KEYS + 200).map(|i| new_key(tenants[i % 3])).collect();
    let keys = fill(&store, keys).await;
    assert_eq!(list(&store, KeyPrefix::All).await, keys);
}

pub(crate) async fn lists_all_kinds(store: Store) {
    let (tenant, other) = (new_tenant(), new_tenant());
    let new_shared = || BlobKey::Pack { owner: None, pack: kernel::Env::system().new_id() };
    // A page ends among the shared packs, another among a tenant's own.
    let packs = (0..PAGE_KEYS + 10).map(|_| new_key(tenant));
    let shared = (0..PAGE_KEYS + 10).map(|_| new_shared());
    let wrapped = [new_wrapped_key(tenant), new_wrapped_key(tenant), new_wrapped_key(other)];
    let keys = shared.chain(packs).chain(wrapped).chain([new_key(other)]);
    let keys = fill(&store, keys.collect()).await;
    assert_eq!(list(&store, KeyPrefix::All).await, keys);
    let own = |key: &&BlobKey| key.to_string().starts_with(&KeyPrefix::Tenant(tenant).to_string());
    let own: Vec<BlobKey> = keys.iter().filter(own).cloned().collect();
    assert_eq!(list(&store, KeyPrefix::Tenant(tenant)).await, own);
    assert_eq!(own.len(), PAGE_KEYS + 12);
    let page = store.list(&KeyPrefix::Tenant(tenant), Some(&own[PAGE_KEYS + 10].to_string())).await.unwrap();
    assert_eq!(page.keys, own[PAGE_KEYS + 11..]);
    // A cursor among the shared packs opens a tenant's folder from its beginning.
    let page = store.list(&KeyPrefix::Tenant(tenant), Some(&keys[0].to_string())).await.unwrap();
    assert_eq!(page.keys, own[..PAGE_KEYS]);
}

pub(crate) async fn serves_many_at_once(store: Store) {
    let objects: Vec<_> = (0..200).map(|i| (new_key(new_tenant()), random_bytes(i * 300))).collect();
    futures::stream::iter(&objects)
        .for_each_concurrent(32, |(key, bytes)| {
            let store = Arc::clone(&store);
            async move {
                store.put(key, bytes.clone()).await.unwrap();
                assert!(store.get(key).await.unwrap() == *bytes);
            }
        })
        .await;
    for (key, bytes) in &objects {
        assert!(store.get(key).await.unwrap() == *bytes);
    }
}

/// Puts an object under each key, many at once; gives the keys back in the order of their texts.
async fn fill(store: &Store, mut keys: Vec<BlobKey>) -> Vec<BlobKey> {
    futures::stream::iter(&keys)
        .for_each_concurrent(16, |key| async move {
            store.put(key, Bytes::from(key.to_string())).await.unwrap();
        })
        .await;
    keys.sort_by_key(ToString::to_string);
    keys
}

/// A whole listing, which must show each key once.
pub(crate) async fn list(store: &Store, prefix: KeyPrefix) -> Vec<BlobKey> {
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(&prefix, after.as_deref()).await.unwrap();
        assert!(page.keys.len() <= PAGE_KEYS);
        keys.extend(page.keys);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let distinct: BTreeSet<String> = keys.iter().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), keys.len(), "a key is listed twice");
    keys
}
