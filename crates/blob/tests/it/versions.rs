//! The contract on a bucket that keeps versions, and what it takes there to have nothing left of an object.

use blob::{BlobKey, Error, KeyPrefix};
use bytes::Bytes;
use kernel::{Env, ErrorKind};
use testkit::faults::{Fault, Faults, Rule};
use testkit::s3::{S3Server, Version};

use crate::{chain, contract, new_key, new_tenant, new_wrapped_key, open};

macro_rules! run {
    ($($promise:ident)*) => {$(
        #[tokio::test]
        async fn $promise() {
            let server = S3Server::versioned().await;
            contract::$promise(open(&server.url("some/prefix")).await).await;
        }
    )*};
}

contract::for_each_promise!(run);

/// What asks for versions, and what deletes one.
const LIST: (&str, &str) = ("GET", "versions");
const DELETE: (&str, &str) = ("DELETE", "versionId=");

/// What the bucket has of objects whose names begin so: their texts, `None` for a marker.
fn kept(server: &S3Server, prefix: &str) -> Vec<Option<Bytes>> {
    server.versions(prefix).into_iter().map(|version| version.bytes).collect()
}

fn text(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

/// An object with two versions.
async fn put_twice(store: &dyn blob::BlobStore, key: &BlobKey) {
    for bytes in ["older", "newer"] {
        store.put(key, Bytes::from_static(bytes.as_bytes())).await.unwrap();
    }
}

#[tokio::test]
async fn a_delete_leaves_what_there_was_and_erasing_leaves_nothing() {
    let server = S3Server::versioned().await;
    let store = open(&server.url("")).await;
    let (key, other) = (new_wrapped_key(new_tenant()), new_key(new_tenant()));
    put_twice(&*store, &key).await;
    put_twice(&*store, &other).await;
    let name = key.to_string();
    store.delete(&key).await.unwrap();
    assert!(matches!(store.get(&key).await, Err(Error::NotFound)));
    assert_eq!(kept(&server, &name), [text("older"), text("newer"), None], "whoever may read versions can");
    // As if it had come back since.
    store.put(&key, Bytes::from_static(b"again")).await.unwrap();
    store.erase(&key).await.unwrap();
    assert_eq!(kept(&server, &name), []);
    assert!(matches!(store.get(&key).await, Err(Error::NotFound)));
    assert_eq!(kept(&server, ""), [text("older"), text("newer")], "the other one's");
    assert_eq!(store.get(&other).await.unwrap(), "newer");
}

#[tokio::test]
async fn what_was_deleted_before_goes_with_all_of_a_tenants_keys() {
    let server = S3Server::versioned().await;
    let store = open(&server.url("mail")).await;
    let (tenant, other) = (new_tenant(), new_tenant());
    let keys = [new_wrapped_key(tenant), new_wrapped_key(tenant), new_wrapped_key(tenant)];
    for key in &keys {
        put_twice(&*store, key).await;
    }
    // No listing shows this one any more.
    store.delete(&keys[0]).await.unwrap();
    let (pack, others) = (new_key(tenant), new_wrapped_key(other));
    put_twice(&*store, &pack).await;
    put_twice(&*store, &others).await;
    let prefix = KeyPrefix::WrappedKeys(tenant);
    assert_eq!(kept(&server, &format!("mail/{prefix}")).len(), 7);
    store.erase_all(&prefix).await.unwrap();
    assert_eq!(kept(&server, &format!("mail/{prefix}")), []);
    for key in [&pack, &others] {
        assert_eq!(kept(&server, &format!("mail/{key}")), [text("older"), text("newer")], "{key}");
    }
}

#[tokio::test]
async fn a_name_that_begins_like_another_is_left() {
    let server = S3Server::versioned().await;
    let store = open(&server.url("mail")).await;
    // The shortest names that there are: s3s-fs keeps each within one of a file.
    let shared = || BlobKey::Pack { owner: None, pack: Env::system().new_id() };
    let key = shared();
    put_twice(&*store, &key).await;
    // Five of them, so that pages of the listing end among them.
    let beside = open(&server.url(&format!("mail/{key}-copy"))).await;
    for _ in 0..5 {
        beside.put(&shared(), Bytes::from_static(b"another's")).await.unwrap();
    }
    store.erase(&key).await.unwrap();
    let left: Vec<Version> = server.versions("");
    assert_eq!(left.len(), 5);
    assert!(left.iter().all(|version| version.bytes == text("another's")), "{left:?}");
}

#[tokio::test]
async fn being_turned_away_is_no_success_and_what_is_left_goes_later() {
    let server = S3Server::versioned().await;
    let front = Faults::before(server.address()).await;
    let (store, direct) = (open(&front.url("")).await, open(&server.url("")).await);
    for (method, part) in [LIST, DELETE] {
        let tenant = new_tenant();
        let (key, prefix) = (new_wrapped_key(tenant), KeyPrefix::WrappedKeys(tenant));
        put_twice(&*direct, &key).await;
        front.set([Rule::new(method, part, Fault::DENIED)]);
        for error in [store.erase(&key).await.unwrap_err(), store.erase_all(&prefix).await.unwrap_err()] {
            assert!(matches!(error, Error::Misconfigured(_)), "{part}: {}", chain(&error));
            assert!(chain(&error).contains("AccessDenied"), "{part}: {}", chain(&error));
        }
        assert_eq!(kept(&server, &key.to_string()), [text("older"), text("newer")], "{part}");
        // One version is gone already.
        front.set([Rule::new("DELETE", "versionId=", Fault::DENIED).after(1)]);
        store.erase_all(&prefix).await.unwrap_err();
        assert_eq!(kept(&server, &key.to_string()).len(), 1);
        front.lift();
        store.erase_all(&prefix).await.unwrap();
        assert_eq!(kept(&server, &key.to_string()), []);
    }
}

#[tokio::test]
async fn what_time_may_heal_is_no_success_either() {
    let server = S3Server::versioned().await;
    let front = Faults::before(server.address()).await;
    let store = open(&front.url("")).await;
    let key = new_wrapped_key(new_tenant());
    put_twice(&*store, &key).await;
    for (method, part) in [LIST, DELETE] {
        for fault in [Fault::UNAVAILABLE, Fault::EXPIRED_TOKEN, Fault::EXPIRED_TOKEN_AWS, Fault::SKEWED] {
            front.set([Rule::new(method, part, fault)]);
            let error = store.erase(&key).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{fault:?}: {}", chain(&error));
            assert_eq!(kept(&server, &key.to_string()).len(), 2, "{fault:?}");
        }
    }
    // An answer that is lost is asked for again, and the version is not there any more.
    front.set([Rule::new("DELETE", "versionId=", Fault::LOST_ANSWER).times(1)]);
    store.erase(&key).await.unwrap();
    assert_eq!(kept(&server, &key.to_string()), []);
}

#[tokio::test]
async fn where_the_service_knows_no_versions_a_delete_is_all_it_takes() {
    // What s3s-fs itself says, as Garage does, is 501.
    let plain = S3Server::start().await;
    let front = Faults::before(plain.address()).await;
    let store = open(&front.url("")).await;
    let unknown = |status, body| Fault::Answer(status, "", body);
    let faults = [
        None,
        Some(unknown(501, "<html><body>Not Implemented</body></html>")),
        Some(unknown(405, "<Error><Code>MethodNotAllowed</Code><Message>no</Message></Error>")),
        Some(unknown(400, "<Error><Code>InvalidRequest</Code><Message>no</Message></Error>")),
    ];
    for fault in faults {
        front.set(fault.map(|fault| Rule::new("GET", "versions", fault)));
        let tenant = new_tenant();
        let keys = [new_wrapped_key(tenant), new_wrapped_key(tenant)];
        for key in &keys {
            put_twice(&*store, key).await;
        }
        let before = front.seen().len();
        store.erase(&keys[0]).await.unwrap();
        store.erase_all(&KeyPrefix::WrappedKeys(tenant)).await.unwrap();
        assert!(front.seen()[before..].iter().all(|request| !request.target.contains("versionId")));
        for key in &keys {
            assert!(matches!(store.get(key).await, Err(Error::NotFound)), "{fault:?}");
        }
    }
    // A bucket that is not there is another matter.
    let absent = "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>";
    front.set([Rule::new("GET", "versions", Fault::Answer(404, "", absent))]);
    let error = store.erase(&new_wrapped_key(new_tenant())).await.unwrap_err();
    assert!(matches!(error, Error::Misconfigured(_)), "{}", chain(&error));
}

#[tokio::test]
async fn a_service_that_says_to_have_deleted_versions_and_has_not_is_found_out() {
    let server = S3Server::versioned().await;
    let front = Faults::before(server.address()).await;
    let store = open(&front.url("")).await;
    let key = new_wrapped_key(new_tenant());
    put_twice(&*store, &key).await;
    front.set([Rule::new("DELETE", "", Fault::Answer(204, "", ""))]);
    let error = store.erase(&key).await.unwrap_err();
    assert!(chain(&error).contains("2 versions are there"), "{}", chain(&error));
}

/// What a service answers that has no such request as that for versions.
const UNKNOWN: [Fault; 3] = [
    Fault::Answer(501, "", "<html><body>Not Implemented</body></html>"),
    Fault::Answer(405, "", "<Error><Code>MethodNotAllowed</Code><Message>no</Message></Error>"),
    Fault::Answer(400, "", "<Error><Code>InvalidRequest</Code><Message>no</Message></Error>"),
];
/// What one answers that has it, and shows nothing.
const NONE: Fault = Fault::Answer(
    200,
    "",
    "<ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>false</IsTruncated></ListVersionsResult>",
);

#[tokio::test]
async fn a_bucket_that_keeps_versions_and_does_not_show_them_is_found_out() {
    let server = S3Server::versioned().await;
    let front = Faults::before(server.address()).await;
    let (store, direct) = (open(&front.url("")).await, open(&server.url("")).await);
    for fault in UNKNOWN.into_iter().chain([NONE]) {
        front.set([Rule::new("GET", "versions", fault)]);
        let tenant = new_tenant();
        let (key, prefix) = (new_wrapped_key(tenant), KeyPrefix::WrappedKeys(tenant));
        put_twice(&*direct, &key).await;
        // However often it is tried: nothing is hidden that the next call would look for.
        for _ in 0..3 {
            let error = store.erase_all(&prefix).await.unwrap_err();
            assert!(matches!(error, Error::Misconfigured(_)), "{fault:?}: {}", chain(&error));
            assert!(chain(&error).contains("keeps versions"), "{fault:?}: {}", chain(&error));
            assert_eq!(kept(&server, &key.to_string()), [text("older"), text("newer")], "{fault:?}");
        }
        let error = store.erase(&key).await.unwrap_err();
        assert!(matches!(error, Error::Misconfigured(_)), "{fault:?}: {}", chain(&error));
        // The versions are there to go once they are shown.
        front.lift();
        store.erase_all(&prefix).await.unwrap();
        assert_eq!(kept(&server, &key.to_string()), [], "{fault:?}");
    }
}

#[tokio::test]
async fn what_no_version_is_shown_of_is_deleted_all_the_same() {
    let plain = S3Server::start().await;
    let front = Faults::before(plain.address()).await;
    let store = open(&front.url("")).await;
    front.set([Rule::new("GET", "versions", NONE)]);
    let tenant = new_tenant();
    let keys = [new_wrapped_key(tenant), new_wrapped_key(tenant), new_wrapped_key(tenant)];
    for key in &keys {
        put_twice(&*store, key).await;
    }
    store.erase(&keys[0]).await.unwrap();
    assert!(matches!(store.get(&keys[0]).await, Err(Error::NotFound)));
    store.erase_all(&KeyPrefix::WrappedKeys(tenant)).await.unwrap();
    for key in &keys {
        assert!(matches!(store.get(key).await, Err(Error::NotFound)), "{key}");
    }
    // One that says to have deleted and has not.
    put_twice(&*store, &keys[0]).await;
    front.set([Rule::new("GET", "versions", NONE), Rule::new("DELETE", "", Fault::Answer(204, "", ""))]);
    for error in [
        store.erase(&keys[0]).await.unwrap_err(),
        store.erase_all(&KeyPrefix::WrappedKeys(tenant)).await.unwrap_err(),
    ] {
        assert!(chain(&error).contains("there after it was deleted"), "{}", chain(&error));
    }
}
