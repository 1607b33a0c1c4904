use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::json;

use crate::document::{id, is_public, operations};
use crate::support::{Answer, App, text};

/// What an answer says of the caller's quota.
fn limit(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header("ratelimit-policy"), answer.header("ratelimit"))
}

#[track_caller]
fn assert_left(answer: &Answer, remaining: u32) {
    let expected = format!("\"default\";r={remaining};t=20");
    assert_eq!(limit(answer), (Some("\"default\";q=3;w=60"), Some(expected.as_str())), "{answer:?}");
    assert_eq!(answer.header("retry-after"), None, "{answer:?}");
}

/// A refusal says when the next request is served, in both ways; some of the twenty seconds have gone by.
#[track_caller]
fn assert_refused(answer: &Answer) {
    let secs: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&secs), "{answer:?}");
    let expected = format!("\"default\";r=0;t={secs}");
    assert_eq!(limit(answer), (Some("\"default\";q=3;w=60"), Some(expected.as_str())));
}

#[tokio::test]
async fn a_credential_has_its_requests_and_no_more() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let app = app.with_requests_per_minute(3);
    assert_left(&app.get(&north, "/v1/tenants").await, 2);
    // A refusal counts like an answer, and says so as well.
    let unknown = app.get(&north, "/v1/tenants/ten_019a2f3c5d7e7abc8def0123456789ab").await;
    unknown.expect_problem(404, "not_found");
    assert_left(&unknown, 1);
    assert_left(&app.get(&north, "/v1/tenants").await, 0);
    let refused = app.get(&north, "/v1/tenants").await;
    refused.expect_problem(429, "rate_limited");
    assert_refused(&refused);
    // Another's is untouched.
    assert_left(&app.get(&app.operator, "/v1/resellers").await, 2);
}

#[tokio::test]
async fn a_refused_post_did_nothing_and_left_its_idempotency_key() {
    let app = App::new().await.with_requests_per_minute(3);
    let create = async |app: &App, key: &str| {
        let call = app.call(Method::POST, "/v1/resellers").token(&app.operator);
        call.header("idempotency-key", key).json(json!({"name": key})).send().await
    };
    for (key, remaining) in [("a", 2), ("b", 1)] {
        let created = create(&app, key).await;
        created.expect(201);
        assert_left(&created, remaining);
    }
    // An answer given again costs a request, and says what is left now, not what was.
    let again = create(&app, "b").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_left(&again, 0);
    let refused = create(&app, "c").await;
    refused.expect_problem(429, "rate_limited");
    assert_refused(&refused);
    let app = app.with_requests_per_minute(3);
    let listed = app.get(&app.operator, "/v1/resellers").await.expect(200);
    let names = listed["data"].as_array().unwrap().iter().map(|one| text(&one["name"]));
    assert_eq!(names.collect::<BTreeSet<_>>(), ["a", "b"].map(str::to_owned).into());
    let mended = create(&app, "c").await;
    mended.expect(201);
    assert_eq!(mended.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn a_keys_access_tokens_share_what_it_has() {
    let app = App::new().await;
    let (reseller, _) = app.reseller("North").await;
    let path = format!("/v1/resellers/{reseller}/api-keys");
    let key = app.post(&app.operator, &path, json!({"role": "reseller_admin"})).await.expect(201);
    let (key_id, secret) = (text(&key["id"]), text(&key["secret"]));
    let app = app.with_requests_per_minute(3);
    let form = format!("grant_type=client_credentials&client_id={key_id}&client_secret={secret}");
    for remaining in [2, 1, 0] {
        let call = app.call(Method::POST, "/v1/auth/token");
        let answer = call.bytes("application/x-www-form-urlencoded", form.clone()).send().await;
        let token = text(&answer.expect(200)["access_token"]);
        assert_eq!(limit(&answer), (None, None));
        assert_left(&app.get(&token, "/v1/tenants").await, remaining);
    }
    app.get(&secret, "/v1/tenants").await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn who_is_not_proven_is_not_counted_and_what_is_public_not_limited() {
    let app = App::new().await.with_requests_per_minute(1);
    for _ in 0..3 {
        for answer in
            [app.get("pillarbox_x", "/v1/tenants").await, app.call(Method::GET, "/v1/tenants").send().await]
        {
            answer.expect_problem(401, "unauthenticated");
            assert_eq!(limit(&answer), (None, None));
        }
        let answer = app.get(&app.operator, "/healthz").await;
        assert_eq!((answer.status.as_u16(), limit(&answer)), (200, (None, None)));
    }
    app.get(&app.operator, "/v1/resellers").await.expect(200);
    app.get(&app.operator, "/v1/resellers").await.expect_problem(429, "rate_limited");
    app.get(&app.operator, "/healthz").await.expect(200);
}

#[tokio::test]
async fn directories_get_scims_form_and_messages_are_limited_too() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "north.example", json!({})).await;
    let (_, mailbox) = app.user(&north, &tenant, json!({"address": "a@north.example"})).await;
    let app = app.with_requests_per_minute(3);
    let users = format!("/scim/v2/{}/Users", tenant.rsplit('/').next().unwrap());
    for remaining in [2, 1, 0] {
        assert_left(&app.get(&north, &users).await, remaining);
    }
    let refused = app.get(&north, &users).await;
    refused.expect_scim(429, None);
    assert_refused(&refused);
    let refused = app.deliver(&north, &mailbox, crate::support::MESSAGE).await;
    refused.expect_problem(429, "rate_limited");
    assert_refused(&refused);
}

/// The router's list of what is public and the document's are the same: each operation is asked once by its caller.
#[tokio::test]
async fn every_operation_that_takes_a_credential_is_limited_and_says_so() {
    let app = App::new().await.with_requests_per_minute(1);
    app.get(&app.operator, "/v1/resellers").await.expect(200);
    let document: serde_json::Value = serde_json::from_str(&api::openapi()).unwrap();
    for (method, path, operation) in operations() {
        let name = id(&operation);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = app.call(method, &path.replace(['{', '}'], "")).token(&app.operator).send().await;
        let is_limited = answer.status.as_u16() == 429;
        assert_eq!(is_limited, !is_public(&operation), "{name}: {answer:?}");
        let Some(reference) = operation["responses"]["429"]["$ref"].as_str().filter(|_| is_limited) else {
            assert!(!is_limited, "{name} does not tell of 429");
            continue;
        };
        let response = &document["components"]["responses"][reference.rsplit('/').next().unwrap()];
        for header in ["Retry-After", "RateLimit-Policy", "RateLimit"] {
            assert!(response["headers"][header]["schema"].is_object(), "{name} does not tell of {header}");
            assert!(answer.header(&header.to_lowercase()).is_some(), "{name}: {answer:?}");
        }
    }
}
