use axum::http::Method;
use serde_json::{Value, json};

use crate::message::{FORM, form};
use crate::support::{Answer, App, MESSAGE, text};

async fn keyed(app: &App, token: &str, key: &str, path: &str, body: Value) -> Answer {
    app.call(Method::POST, path).token(token).header("idempotency-key", key).json(body).send().await
}

async fn names(app: &App) -> Vec<String> {
    let listed = app.get(&app.operator, "/v1/resellers").await.expect(200);
    listed["data"].as_array().unwrap().iter().map(|one| text(&one["name"])).collect()
}

#[tokio::test]
async fn the_same_request_is_answered_again_and_not_done_again() {
    let app = App::new().await;
    let first = keyed(&app, &app.operator, "a", "/v1/resellers", json!({"name": "North"})).await;
    let again = keyed(&app, &app.operator, "a", "/v1/resellers", json!({"name": "North"})).await;
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("content-type"), Some("application/json"));
    assert_eq!((first.header("etag"), again.header("etag")), (Some("\"1\""), Some("\"1\"")));
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
    assert_eq!(names(&app).await, ["North"]);
    // Another key, or none, is another request.
    keyed(&app, &app.operator, "b", "/v1/resellers", json!({"name": "North"})).await.expect(201);
    app.post(&app.operator, "/v1/resellers", json!({"name": "North"})).await.expect(201);
    assert_eq!(names(&app).await.len(), 3);
    // After a day the key is new.
    app.db.clock().advance(chrono::TimeDelta::hours(25));
    let late = keyed(&app, &app.operator, "a", "/v1/resellers", json!({"name": "South"})).await;
    assert_eq!(
        (late.expect(201)["name"].as_str(), late.header("idempotency-replayed")),
        (Some("South"), None)
    );
}

#[tokio::test]
async fn a_key_is_of_one_request_of_one_caller() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let tenant = json!({"name": "Bakery", "country": "DE", "currency": "EUR"});
    keyed(&app, &north, "a", "/v1/tenants", tenant.clone()).await.expect(201);
    let other_body =
        keyed(&app, &north, "a", "/v1/tenants", json!({"name": "Other", "country": "DE", "currency": "EUR"}))
            .await;
    other_body.expect_problem(422, "idempotency_key_reuse");
    let keys = format!("/v1/resellers/{reseller}/api-keys");
    keyed(&app, &north, "a", &keys, tenant.clone()).await.expect_problem(422, "idempotency_key_reuse");
    keyed(&app, &north, "a", "/v1/tenants?x=1", tenant.clone())
        .await
        .expect_problem(422, "idempotency_key_reuse");
    let (_, south) = app.reseller("South").await;
    let others = keyed(&app, &south, "a", "/v1/tenants", tenant).await;
    assert_eq!(
        (others.expect(201)["name"].as_str(), others.header("idempotency-replayed")),
        (Some("Bakery"), None)
    );
}

#[tokio::test]
async fn a_replay_shows_no_secret() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let path = format!("/v1/resellers/{reseller}/api-keys");
    let mut first = keyed(&app, &north, "a", &path, json!({"role": "reseller_support"})).await.expect(201);
    let again = keyed(&app, &north, "a", &path, json!({"role": "reseller_support"})).await.expect(201);
    assert!(first["secret"].as_str().unwrap().starts_with("pillarbox_"));
    first.as_object_mut().unwrap().remove("secret");
    assert_eq!(again, first);
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let app = App::new().await;
    let body = json!({"name": "North"});
    let calls = (0..8).map(|_| keyed(&app, &app.operator, "a", "/v1/resellers", body.clone()));
    let answers = futures::future::join_all(calls).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert!(statuses.contains(&201), "{statuses:?}");
    for answer in answers.iter().filter(|answer| answer.status.as_u16() != 201) {
        answer.expect_problem(409, "idempotency_key_in_use");
    }
    let fresh = answers
        .iter()
        .filter(|answer| answer.status.as_u16() == 201 && answer.header("idempotency-replayed").is_none());
    assert_eq!(fresh.count(), 1, "{statuses:?}");
    assert_eq!(names(&app).await, ["North"]);
}

#[tokio::test]
async fn refusals_by_state_are_kept_and_others_give_the_key_back() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({"seats": {"limit": 0}})).await;
    let users = format!("{tenant}/users");
    let ada = json!({"address": "ada@one.example"});
    keyed(&app, &north, "state", &users, ada.clone()).await.expect_problem(409, "seats_exhausted");
    app.patch(&north, &tenant, json!({"seats": {"limit": null}})).await.expect(200);
    let again = keyed(&app, &north, "state", &users, ada.clone()).await;
    again.expect(409);
    assert_eq!(
        (again.header("idempotency-replayed"), again.header("content-type")),
        (Some("true"), Some("application/problem+json"))
    );

    keyed(&app, &north, "input", &users, json!({"address": "ada"}))
        .await
        .expect_problem(422, "invalid_request");
    keyed(&app, &north, "input", &users, ada).await.expect(201);
    let malformed = app
        .call(Method::POST, &users)
        .token(&north)
        .header("idempotency-key", "json")
        .bytes("application/json", "{")
        .send()
        .await;
    malformed.expect_problem(400, "malformed_body");
    keyed(&app, &north, "json", &users, json!({"address": "bob@one.example"})).await.expect(201);
    let nobody = app.call(Method::POST, &users).header("idempotency-key", "x").json(json!({})).send().await;
    nobody.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn messages_are_put_once() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let (_, mailbox) = app.user(&north, &tenant, json!({"address": "ada@one.example"})).await;
    let messages = format!("{mailbox}/messages");
    let put = || {
        app.call(Method::POST, &messages)
            .token(&north)
            .header("idempotency-key", "m")
            .bytes("message/rfc822", MESSAGE)
            .send()
    };
    let first = put().await.expect(201);
    assert_eq!(put().await.expect(201), first);
    app.open_for_support(&north, &mailbox).await;
    let listed = app.get(&north, &messages).await.expect(200);
    assert_eq!(listed["data"], json!([first]));
}

#[tokio::test]
async fn a_form_is_the_same_request_whatever_its_boundary() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let (_, mailbox) = app.user(&north, &tenant, json!({"address": "ada@one.example"})).await;
    let messages = format!("{mailbox}/messages");
    let put = |boundary: &str, metadata: &str| {
        let parts = [("metadata", "application/json", metadata), ("message", "message/rfc822", MESSAGE)];
        let call = app.call(Method::POST, &messages).token(&north).header("idempotency-key", "f");
        call.bytes(&FORM.replace("b0undary", boundary), form(&parts).replace("b0undary", boundary)).send()
    };
    let seen = r#"{"flags": ["seen"]}"#;
    let first = put("one", seen).await.expect(201);
    let again = put("another", seen).await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (first, Some("true")));
    put("one", "{}").await.expect_problem(422, "idempotency_key_reuse");
    put("another", "{}").await.expect_problem(422, "idempotency_key_reuse");
}

#[tokio::test]
async fn a_body_that_is_left_out_is_the_same_request_as_an_empty_object() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let suspend = format!("{tenant}/suspend");
    let bodiless = app.call(Method::POST, &suspend).token(&north).header("idempotency-key", "a").send().await;
    assert_eq!(bodiless.expect(200)["status"], "suspended");
    let again = keyed(&app, &north, "a", &suspend, json!({})).await;
    assert_eq!((again.expect(200), again.header("idempotency-replayed")), (bodiless.json(), Some("true")));
    let other = keyed(&app, &north, "a", &suspend, json!({"capabilities": ["send"]})).await;
    other.expect_problem(422, "idempotency_key_reuse");
}

#[tokio::test]
async fn a_key_is_1_to_255_visible_characters() {
    let app = App::new().await;
    for key in ["", "a b", "ä", &"x".repeat(256)] {
        let call =
            app.call(Method::POST, "/v1/resellers").token(&app.operator).header("idempotency-key", key);
        let problem = call.json(json!({"name": "North"})).send().await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["parameter"], "Idempotency-Key", "{problem}");
    }
    keyed(&app, &app.operator, &"x".repeat(255), "/v1/resellers", json!({"name": "North"})).await.expect(201);
    assert_eq!(names(&app).await, ["North"]);
}
