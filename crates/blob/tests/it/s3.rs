//! The contract on S3 over real HTTP, and S3 on a bad day.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use blob::{BlobStore, Credentials, Error, S3Options};
use bytes::Bytes;
use kernel::ErrorKind;
use testkit::faults::{Fault, Faults, Rule};
use testkit::s3::S3Server;

use crate::{chain, contract, credentials, location, new_key, new_tenant, open, options, random_bytes};

macro_rules! run {
    ($($promise:ident)*) => {$(
        #[tokio::test]
        async fn $promise() {
            let server = S3Server::start().await;
            contract::$promise(open(&server.url("some/prefix")).await).await;
        }
    )*};
}

contract::for_each_promise!(run);

#[tokio::test]
async fn the_name_is_the_prefix_a_slash_and_the_key() {
    let server = S3Server::start().await;
    let key = new_key(new_tenant());
    for (prefix, name) in
        [("", key.to_string()), ("mail", format!("mail/{key}")), ("a/b/", format!("a/b/{key}"))]
    {
        open(&server.url(prefix)).await.put(&key, Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(std::fs::read(server.bucket_folder().join(&name)).unwrap(), b"x", "{name}");
    }
}

#[tokio::test]
async fn prefixes_are_apart_even_when_one_begins_the_other() {
    let server = S3Server::start().await;
    let key = new_key(new_tenant());
    let store = open(&server.url("mail2")).await;
    store.put(&key, Bytes::from_static(b"x")).await.unwrap();
    for prefix in ["mail", "", "mail2/x"] {
        let other = open(&server.url(prefix)).await;
        assert_eq!(contract::list(&other, blob::KeyPrefix::All).await, [], "{prefix:?}");
        assert!(matches!(other.get(&key).await, Err(Error::NotFound)), "{prefix:?}");
    }
    let again = open(&server.url("mail2/")).await;
    assert_eq!(again.get(&key).await.unwrap(), "x");
}

#[tokio::test]
async fn what_is_no_object_is_told_where_nobody_else_has_theirs() {
    let server = S3Server::start().await;
    let key = new_key(new_tenant());
    for prefix in ["", "foo", "packs", "mail", "mail/foo", "mail/packs"] {
        open(&server.url(prefix)).await.put(&key, Bytes::from_static(b"x")).await.unwrap();
    }
    let (foo, packs) = (format!("foo/{key}"), format!("packs/{key}"));
    for (prefix, strays) in [("", vec![packs.clone()]), ("mail", vec![foo, packs])] {
        let page = open(&server.url(prefix)).await.list(&blob::KeyPrefix::All, None).await.unwrap();
        assert_eq!((page.keys, page.strays), (vec![key.clone()], strays), "{prefix:?}");
    }
}

#[tokio::test]
async fn connection_refused_is_unavailable() {
    // Bound and dropped: nobody listens there.
    let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let server = S3Server::start().await;
    let url = server.url("x").replace(&server.address().to_string(), &address.to_string());
    let store = open(&url).await;
    let key = new_key(new_tenant());
    for error in [
        store.put(&key, Bytes::from_static(b"x")).await.unwrap_err(),
        store.get(&key).await.unwrap_err(),
        store.delete(&key).await.unwrap_err(),
        store.list(&blob::KeyPrefix::All, None).await.unwrap_err(),
        blob::ping(&*store).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        assert!(chain(&error).contains("refused"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_from_an_absent_object() {
    let server = S3Server::start().await;
    let wrong_secret = Credentials { secret_access_key: "not the secret".into(), ..credentials() };
    let wrong_key = Credentials { access_key_id: "GKnobody".into(), ..credentials() };
    // The second is what s3s answers to a key that it does not know; AWS and Garage have other codes.
    for (credentials, code) in [(wrong_secret, "SignatureDoesNotMatch"), (wrong_key, "NotSignedUp")] {
        let url = location(&server.url("x"));
        turns_everything_away(&*blob::open_with(&url, options(credentials)).await.unwrap(), code).await;
    }
}

#[tokio::test]
async fn an_absent_bucket_is_told() {
    // s3s-fs takes some requests to a bucket that is not there: here is the listing, Garage's test has the rest.
    let server = S3Server::start().await;
    let store = open(&server.url("x").replace(testkit::s3::BUCKET, "no-such-bucket")).await;
    is_turned_away(&store.list(&blob::KeyPrefix::All, None).await.unwrap_err(), "NoSuchBucket");
}

/// Every operation says that an operator must act, and names the service's code in its causes.
pub(crate) async fn turns_everything_away(store: &dyn BlobStore, code: &str) {
    let key = new_key(new_tenant());
    is_turned_away(&store.put(&key, Bytes::from_static(b"x")).await.unwrap_err(), code);
    is_turned_away(&store.get(&key).await.unwrap_err(), code);
    is_turned_away(&store.get_range(&key, 0..0).await.unwrap_err(), code);
    is_turned_away(&store.delete(&key).await.unwrap_err(), code);
    is_turned_away(&store.erase(&key).await.unwrap_err(), code);
    is_turned_away(&store.list(&blob::KeyPrefix::All, None).await.unwrap_err(), code);
    is_turned_away(&blob::ping(store).await.unwrap_err(), code);
}

fn is_turned_away(error: &Error, code: &str) {
    assert!(matches!(error, Error::Misconfigured(_)), "{}", chain(error));
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(error.to_string(), "the blob store is misconfigured");
    assert!(chain(error).contains(code), "{}", chain(error));
    assert!(!chain(error).contains("not the secret"));
}

#[tokio::test]
async fn a_few_500_and_503_are_retried() {
    let server = S3Server::start().await;
    let (front, direct) = (Faults::before(server.address()).await, open(&server.url("x")).await);
    let store = open(&front.url("x")).await;
    for fault in [Fault::INTERNAL_ERROR, Fault::UNAVAILABLE, Fault::SLOW_DOWN] {
        let (key, bytes, before) = (new_key(new_tenant()), random_bytes(1 << 20), front.seen().len());
        front.set([Rule::new("PUT", "", fault).times(2)]);
        store.put(&key, bytes.clone()).await.unwrap();
        assert_eq!(front.seen().len() - before, 3, "{fault:?}");
        assert!(direct.get(&key).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn nothing_but_500_or_503_is_unavailable() {
    let server = S3Server::start().await;
    let front = Faults::before(server.address()).await;
    for (fault, told) in [
        (Fault::INTERNAL_ERROR, "InternalError"),
        (Fault::UNAVAILABLE, "503"),
        (Fault::SLOW_DOWN, "SlowDown"),
    ] {
        let store = open(&front.url("x")).await;
        let before = front.seen().len();
        front.set([Rule::new("", "", fault)]);
        let error = store.put(&new_key(new_tenant()), Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        assert!(chain(&error).contains(told), "{}", chain(&error));
        assert_eq!(front.seen().len() - before, 5, "{fault:?}");
    }
}

#[tokio::test]
async fn what_time_may_heal_is_unavailable_and_heals() {
    let server = S3Server::start().await;
    let front = Faults::before(server.address()).await;
    let store = open(&front.url("x")).await;
    for fault in [Fault::EXPIRED_TOKEN, Fault::EXPIRED_TOKEN_AWS, Fault::SKEWED] {
        let key = new_key(new_tenant());
        front.set([Rule::new("", "", fault)]);
        for error in [
            store.put(&key, Bytes::from_static(b"x")).await.unwrap_err(),
            store.get(&key).await.unwrap_err(),
            store.delete(&key).await.unwrap_err(),
            store.list(&blob::KeyPrefix::All, None).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        }
        front.lift();
        store.put(&key, Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_is_asked_for_again() {
    let server = S3Server::start().await;
    let (key, bytes) = (new_key(new_tenant()), random_bytes(3 << 20));
    let direct = open(&server.url("x")).await;
    direct.put(&key, bytes.clone()).await.unwrap();

    let front = Faults::before(server.address()).await;
    front.set([Rule::new("GET", "", Fault::CutAnswer(1 << 20)).times(1)]);
    let store = open(&front.url("x")).await;
    assert!(store.get(&key).await.unwrap() == bytes);
    assert_eq!(front.seen().len(), 2);

    // Never half an object: when it breaks off each time, that is an error.
    front.set([Rule::new("GET", "", Fault::CutAnswer(1 << 20))]);
    for result in [store.get(&key).await, store.get_range(&key, 5..3 << 20).await] {
        let error = result.map(|bytes| bytes.len()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_or_whose_answer_is_lost_is_sent_again() {
    let server = S3Server::start().await;
    let front = Faults::before(server.address()).await;
    let store = open(&front.url("x")).await;
    let mut keys = Vec::new();
    for fault in [Fault::LOST_ANSWER, Fault::CutAnswer(10), Fault::CutUpload(0), Fault::CutUpload(1 << 19)] {
        let (key, bytes, before) = (new_key(new_tenant()), random_bytes(1 << 20), front.seen().len());
        front.set([Rule::new("PUT", "", fault).times(1)]);
        store.put(&key, bytes.clone()).await.unwrap();
        assert_eq!(front.seen().len() - before, 2, "{fault:?}");
        assert!(store.get(&key).await.unwrap() == bytes);
        keys.push(key);
    }
    keys.sort_by_key(ToString::to_string);
    assert_eq!(contract::list(&store, blob::KeyPrefix::All).await, keys);

    // What never arrives whole is an error, and nothing of it can be read.
    let key = new_key(new_tenant());
    front.set([Rule::new("PUT", "", Fault::CutUpload(1 << 19))]);
    let error = store.put(&key, random_bytes(1 << 20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(matches!(store.get(&key).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn a_large_upload_is_mended_by_the_part() {
    let server = S3Server::start().await;
    let front = Faults::before(server.address()).await;
    let store = open(&front.url("x")).await;
    for rule in [
        Rule::new("POST", "uploads", Fault::INTERNAL_ERROR),
        Rule::new("POST", "uploads", Fault::LOST_ANSWER),
        Rule::new("PUT", "partNumber=2", Fault::CutUpload(1 << 20)),
        Rule::new("PUT", "partNumber=3", Fault::LOST_ANSWER),
        Rule::new("POST", "uploadId", Fault::UNAVAILABLE),
        // Asked again, the service knows of no such upload, and the object is there.
        Rule::new("POST", "uploadId", Fault::LOST_ANSWER),
    ] {
        let (key, bytes, before) = (new_key(new_tenant()), random_bytes(17 << 20), front.seen().len());
        front.set([rule.clone().times(1)]);
        store.put(&key, bytes.clone()).await.unwrap();
        let seen = &front.seen()[before..];
        // Three parts and one again at most: no part is sent again for another's sake.
        let parts = seen.iter().filter(|request| request.target.contains("partNumber")).count();
        assert!((3..=4).contains(&parts), "{rule:?}: {parts}");
        assert!(seen.iter().any(|request| request.fault.is_some()), "{rule:?}");
        assert!(store.get(&key).await.unwrap() == bytes, "{rule:?}");
    }
}

#[tokio::test]
async fn of_a_large_upload_that_fails_nothing_is_left() {
    let server = S3Server::start().await;
    let front = Faults::before(server.address()).await;
    let store = open(&front.url("x")).await;
    let (key, first) = (new_key(new_tenant()), random_bytes(16 << 20));
    for (rule, sent) in [
        (Rule::new("PUT", "partNumber=2", Fault::INTERNAL_ERROR), "DELETE"),
        (Rule::new("POST", "uploadId", Fault::UNAVAILABLE), "DELETE"),
    ] {
        front.set([rule.clone()]);
        let error = store.put(&key, first.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        assert_eq!(front.seen().last().unwrap().method, sent, "{rule:?}");
        assert!(matches!(store.get(&key).await, Err(Error::NotFound)), "{rule:?}");
        let left: Vec<_> = walk(server.bucket_folder().parent().unwrap());
        assert!(!left.iter().any(|name| name.contains("upload")), "{left:?}");
    }

    // What was there before is not taken for what failed to replace it.
    front.lift();
    store.put(&key, first.clone()).await.unwrap();
    front.set([Rule::new("POST", "uploadId", Fault::UNAVAILABLE)]);
    store.put(&key, random_bytes(16 << 20)).await.unwrap_err();
    assert!(store.get(&key).await.unwrap() == first);
}

/// The names of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path()),
            false => vec![entry.file_name().to_string_lossy().into_owned()],
        })
        .collect()
}

#[tokio::test]
async fn silence_ends_in_a_time_out() {
    let server = S3Server::start().await;
    let front = Faults::before(server.address()).await;
    front.set([Rule::new("", "", Fault::Silence)]);
    let impatient = S3Options { attempt_timeout: Duration::from_millis(200), ..options(credentials()) };
    let store = blob::open_with(&location(&front.url("x")), impatient).await.unwrap();
    let began = Instant::now();
    for error in [
        store.put(&new_key(new_tenant()), Bytes::from_static(b"x")).await.unwrap_err(),
        store.get(&new_key(new_tenant())).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    }
    // Without the time limit these would wait for ever, with the default one for more than a minute each.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(front.seen().len() > 2, "a try that times out is followed by another");
}

#[tokio::test]
async fn without_a_region_it_says_so() {
    let error = blob::open_with(&location("s3://some-bucket"), options(credentials())).await.unwrap_err();
    assert!(chain(&error).contains("no region"), "{}", chain(&error));
}

const CHILD: &str = "PILLARBOX_TEST_BLOB_URL";

/// A process's environment cannot be changed safely, so this test starts itself again with another one.
#[tokio::test]
async fn credentials_come_from_the_aws_variables() {
    if let Ok(url) = std::env::var(CHILD) {
        return in_child(&url).await;
    }
    let server = S3Server::start().await;
    // The region is in the URL for one, a default for the other.
    for url in [server.url("env"), server.url("env").replace("&region=us-east-1", "")] {
        let (good, bad) = (run_child(&url, &server.env()), run_child(&url, &[]));
        assert!(good.contains("child: ok"), "{good}");
        assert!(bad.contains("child: the blob store is misconfigured"), "{bad}");
        assert!(bad.contains("credentials"), "{bad}");
    }
}

fn run_child(url: &str, env: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "s3::credentials_come_from_the_aws_variables", "--nocapture"])
        .env_clear()
        .env(CHILD, url)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

async fn in_child(url: &str) {
    let store = blob::open(&location(url)).await.unwrap();
    match blob::ping(&*store).await {
        Ok(()) => println!("child: ok"),
        Err(error) => println!("child: {}", chain(&error)),
    }
}
