use std::collections::BTreeMap;

use api::Limits;
use axum::http::Method;
use serde_json::{Value, json};

use crate::message::{FORM, form};
use crate::support::{Answer, App, text};

fn shown(answer: &Answer) -> Value {
    let headers = [
        "content-type",
        "www-authenticate",
        "retry-after",
        "allow",
        "cache-control",
        "x-content-type-options",
    ];
    let headers: BTreeMap<_, _> =
        headers.iter().filter_map(|name| Some((*name, answer.header(name)?))).collect();
    json!({"status": answer.status.as_u16(), "headers": headers, "body": answer.json()})
}

#[tokio::test]
async fn all_have_one_shape() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({"seats": {"limit": 0}})).await;
    let support = format!("/v1/resellers/{reseller}/api-keys");
    let support =
        text(&app.post(&north, &support, json!({"role": "reseller_support"})).await.expect(201)["secret"]);
    let post = |path: &str, content_type: &str, body: &'static str| {
        app.call(Method::POST, path).token(&north).bytes(content_type, body).send()
    };
    let unknown = "/v1/tenants/ten_019a2f3c5d7e7abc8def0123456789ab";
    let cases = [
        ("no credential", app.call(Method::GET, "/v1/tenants").send().await),
        ("a wrong credential", app.get("pillarbox_x", "/v1/tenants").await),
        (
            "not allowed",
            app.post(&support, "/v1/tenants", json!({"name": "x", "country": "DE", "currency": "EUR"})).await,
        ),
        ("unknown object", app.get(&north, unknown).await),
        ("malformed id", app.get(&north, "/v1/tenants/7").await),
        ("unknown path", app.get(&north, "/v2/tenants").await),
        ("wrong method", app.call(Method::DELETE, "/v1/tenants").send().await),
        ("malformed body", post("/v1/tenants", "application/json", "{\"name\": ").await),
        ("unknown field", app.patch(&north, &tenant, json!({"seats": {"limt": 1}})).await),
        ("wrong type", app.patch(&north, &tenant, json!({"seats": {"limit": "five"}})).await),
        ("wrong media type", post("/v1/tenants", "text/plain", "{}").await),
        ("wrong query", app.get(&north, "/v1/tenants?limit=1000").await),
        (
            "several rules",
            app.post(&north, "/v1/tenants", json!({"name": "", "country": "de", "currency": "EUR"})).await,
        ),
        ("conflict", app.post(&north, &format!("{tenant}/users"), json!({"address": "a@one.example"})).await),
    ];
    let shown: Vec<_> =
        cases.iter().map(|(name, answer)| json!({"case": name, "answer": shown(answer)})).collect();
    insta::assert_json_snapshot!("problems", shown, {"[].answer.body.request_id" => "[id]"});
}

#[tokio::test]
async fn another_s_object_looks_like_none() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let (_, south) = app.reseller("South").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let without_id = |answer: Answer| {
        let mut body = answer.expect_problem(404, "not_found");
        body.as_object_mut().unwrap().remove("request_id");
        body
    };
    let others = without_id(app.get(&south, &tenant).await);
    let never = without_id(app.get(&south, "/v1/tenants/ten_019a2f3c5d7e7abc8def0123456789ab").await);
    let malformed = without_id(app.get(&south, "/v1/tenants/ten_x").await);
    assert_eq!((&others, &others), (&never, &malformed));
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_read() {
    let app = App::with_limits(Limits { body_bytes: 1000, message_bytes: 2000, ..Limits::default() }).await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let (_, mailbox) = app.user(&north, &tenant, json!({"address": "ada@one.example"})).await;
    let long = json!({"name": "x".repeat(1000), "country": "DE", "currency": "EUR"});
    app.post(&north, "/v1/tenants", long.clone()).await.expect_problem(413, "body_too_large");
    let keyed = app.call(Method::POST, "/v1/tenants").token(&north).header("idempotency-key", "k").json(long);
    keyed.send().await.expect_problem(413, "body_too_large");
    app.deliver(&north, &mailbox, &"x".repeat(1999)).await.expect(201);
    let keyed =
        app.call(Method::POST, &format!("{mailbox}/messages")).token(&north).header("idempotency-key", "m");
    keyed.bytes("message/rfc822", "y".repeat(1999)).send().await.expect(201);
    app.deliver(&north, &mailbox, &"x".repeat(2001)).await.expect_problem(413, "message_too_large");
    app.deliver(&north, &mailbox, &"x".repeat(20_000)).await.expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn who_has_no_token_may_not_send_more_though_others_may() {
    let app = App::with_limits(Limits { body_bytes: 4 << 20, ..Limits::default() }).await;
    let (_, north) = app.reseller("North").await;
    let event = |bytes: usize| {
        let path = "/v1/payment-webhooks/rsl_019a2f3c5d7e7abc8def0123456789ab";
        app.call(Method::POST, path).bytes("application/json", "x".repeat(bytes)).send()
    };
    event(1 << 20).await.expect_problem(401, "unauthenticated");
    event((1 << 20) + 1).await.expect_problem(413, "body_too_large");
    let long = json!({"name": "x".repeat(2 << 20), "country": "DE", "currency": "EUR"});
    app.post(&north, "/v1/tenants", long).await.expect_problem(422, "invalid_request");
}

#[tokio::test]
async fn a_message_in_a_form_may_be_as_long_as_one_alone() {
    let app = App::with_limits(Limits { body_bytes: 1000, message_bytes: 2000, ..Limits::default() }).await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let (_, mailbox) = app.user(&north, &tenant, json!({"address": "ada@one.example"})).await;
    let messages = format!("{mailbox}/messages");
    let post = |metadata_bytes: usize, message_bytes: usize| {
        let (metadata, message) = (format!("{:metadata_bytes$}", "{}"), "x".repeat(message_bytes));
        let parts = [("metadata", "application/json", &*metadata), ("message", "message/rfc822", &*message)];
        app.call(Method::POST, &messages).token(&north).bytes(FORM, form(&parts)).send()
    };
    post(1000, 2000).await.expect(201);
    post(2, 2001).await.expect_problem(413, "message_too_large");
    post(1001, 2000).await.expect_problem(413, "body_too_large");
    post(2, 20_000).await.expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_503() {
    let app = App::new().await;
    let token = app.operator.clone();
    app.db.db().close().await;
    let answer = app.get(&token, "/v1/resellers").await;
    answer.expect_problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("5"));
    let readiness = app.call(Method::GET, "/readyz").send().await;
    assert_eq!(readiness.expect_problem(503, "unavailable")["detail"], "no sign of life from the database");
    app.call(Method::GET, "/healthz").send().await.expect(200);
}

#[tokio::test]
async fn mistakes_are_told_in_the_words_of_json() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let paid = |amount: Value| json!({"amount": amount, "reference": "", "received_on": "2026-03-02"});
    let money = r#"must be an object such as {"amount_minor": 1250, "currency": "EUR"}, and is "#;
    for (path, body, pointer, detail) in [
        (format!("{tenant}/payments"), paid(json!("60")), "/amount", format!("{money}\"60\"")),
        (format!("{tenant}/payments"), paid(json!([60, "EUR"])), "/amount", format!("{money}an array")),
        (format!("{tenant}/payments"), json!({"reference": ""}), "/amount", "is missing".into()),
        (
            format!("{tenant}/payments"),
            paid(json!({"currency": "EUR"})),
            "/amount/amount_minor",
            "is missing".into(),
        ),
        ("/v1/tenants".into(), json!([]), "", "must be an object, and is an array".into()),
        ("/v1/tenants".into(), json!({"name": {}}), "/name", "must be a string, and is an object".into()),
    ] {
        let refused = app.post(&north, &path, body.clone()).await.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"], json!([{"pointer": pointer, "detail": detail}]), "{body}");
    }
    let nothing = paid(json!({"amount_minor": 0, "currency": "EUR"}));
    let refused = app.post(&north, &format!("{tenant}/payments"), nothing).await;
    let refused = refused.expect_problem(422, "invalid_request");
    assert_eq!(refused["detail"], "amount minor: must be 1 to 1000000000000000");
    assert_eq!(refused["errors"][0]["pointer"], "/amount/amount_minor");
}

#[tokio::test]
async fn an_array_is_no_object() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    for (path, body) in [
        ("/v1/tenants".to_owned(), json!([reseller, "n", "DE", "EUR"])),
        ("/v1/tenants".to_owned(), json!({"name": "n", "country": "DE", "currency": "EUR", "seats": [3]})),
        (format!("/v1/resellers/{reseller}/api-keys"), json!(["reseller_admin"])),
    ] {
        app.post(&north, &path, body).await.expect_problem(422, "invalid_request");
    }
}
