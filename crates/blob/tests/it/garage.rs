//! The contract on Garage, a process of its own: `make e2e`.

use std::sync::Arc;

use blob::Credentials;
use bytes::Bytes;
use testkit::garage::{Garage, INSTALL};

use crate::s3::turns_everything_away;
use crate::{contract, credentials, location, new_key, new_tenant, open, options, random_bytes};

async fn start() -> Garage {
    let binary = Garage::find().unwrap_or_else(|| panic!("no garage binary: {INSTALL}"));
    Garage::start(&binary).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a garage binary: run by make e2e"]
async fn keeps_the_contract() {
    let garage = start().await;
    macro_rules! run {
        ($($promise:ident)*) => {$(
            // Each in a prefix of its own, the first of which begins all the others.
            let prefix = concat!("p/", stringify!($promise));
            contract::$promise(open(&garage.url(prefix)).await).await;
            println!("garage: {} holds", stringify!($promise));
        )*};
    }
    contract::for_each_promise!(run);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a garage binary: run by make e2e"]
async fn tells_wrong_credentials_and_an_absent_bucket() {
    let garage = start().await;
    let wrong = Credentials { secret_access_key: "not the secret".into(), ..credentials() };
    let nobody = Credentials { access_key_id: "GKnobody".into(), ..credentials() };
    let good = garage.url("x");
    let no_bucket = good.replace(testkit::s3::BUCKET, "no-such-bucket");
    let other_region = good.replace("region=garage", "region=elsewhere");
    for (url, credentials, code) in [
        (&good, wrong, "AccessDenied"),
        (&good, nobody, "AccessDenied"),
        (&no_bucket, credentials(), "NoSuchBucket"),
        (&other_region, credentials(), "AuthorizationHeaderMalformed"),
    ] {
        turns_everything_away(&*blob::open_with(&location(url), options(credentials)).await.unwrap(), code)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a garage binary: run by make e2e"]
async fn loses_nothing_acknowledged_when_killed() {
    let mut garage = start().await;
    let store = open(&garage.url("kill")).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let (tenant, mut acknowledged) = (new_tenant(), Vec::new());
            // Until the first refusal: the client's own retries may carry a few over the gap.
            while acknowledged.len() < 400 {
                let (key, bytes) = (new_key(tenant), random_bytes(9_000));
                if store.put(&key, bytes.clone()).await.is_ok() {
                    acknowledged.push((key, bytes));
                }
            }
            acknowledged
        }
    });
    // In the middle of the stream, as seen from outside: the first objects are there.
    while contract::list(&store, blob::KeyPrefix::All).await.len() < 50 {
        assert!(!writer.is_finished(), "the writer is done before the kill");
    }
    tokio::task::block_in_place(|| garage.kill_and_restart()).unwrap();
    let acknowledged = writer.await.unwrap();
    assert_eq!(acknowledged.len(), 400);
    for (key, bytes) in &acknowledged {
        let found: Bytes = store.get(key).await.unwrap();
        assert!(found == *bytes, "{key}");
    }
}
