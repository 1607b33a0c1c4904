use serde_json::{Value, json};

use crate::support::{App, text};

fn bakery() -> Value {
    json!({"name": "Bakery Ltd", "country": "DE", "currency": "EUR", "time_zone": "Europe/Berlin", "seats": {"limit": 5}})
}

#[tokio::test]
async fn is_created_read_changed_and_listed() {
    let app = App::new().await;
    let (reseller, key) = app.reseller("North").await;
    let made = app.post(&key, "/v1/tenants", bakery()).await.expect(201);
    let expected = json!({
        "id": made["id"], "reseller_id": reseller, "name": "Bakery Ltd", "country": "DE", "currency": "EUR",
        "time_zone": "Europe/Berlin", "status": "active", "suspended_capabilities": [], "seats": {"limit": 5, "used": 0},
        "storage": {"limit_bytes": null, "used_bytes": 0}, "test_clock": null, "created_at": "2026-03-02T09:00:00Z",
    });
    assert_eq!(made, expected);
    let path = format!("/v1/tenants/{}", text(&made["id"]));
    assert_eq!(app.get(&key, &path).await.expect(200), made);

    // Merge patch: absent stays, null is unlimited.
    assert_eq!(app.patch(&key, &path, json!({})).await.expect(200), made);
    assert_eq!(app.patch(&key, &path, json!({"seats": {}})).await.expect(200), made);
    let lifted = app.patch(&key, &path, json!({"seats": {"limit": null}})).await.expect(200);
    assert_eq!(lifted["seats"], json!({"limit": null, "used": 0}));
    let renamed = app.patch(&key, &path, json!({"name": "Bakery AG"})).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["seats"]["limit"]), (&json!("Bakery AG"), &json!(null)));
    let refused = app.patch(&key, &path, json!({"name": null})).await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/name");

    assert_eq!(app.get(&key, "/v1/tenants").await.expect(200)["data"], json!([renamed]));
}

#[tokio::test]
async fn every_mistake_is_named_at_once() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let body = json!({"name": "", "country": "Germany", "currency": "EUR", "time_zone": "Mars/Base", "seats": {"limit": -1}});
    let problem = app.post(&key, "/v1/tenants", body).await.expect_problem(422, "invalid_request");
    let pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| text(&error["pointer"])).collect();
    assert_eq!(pointers, ["/name", "/country", "/seats/limit", "/time_zone"]);
    // An operator names the reseller.
    let problem =
        app.post(&app.operator, "/v1/tenants", bakery()).await.expect_problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/reseller_id");
    assert_eq!(app.get(&key, "/v1/tenants").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn a_test_clock_moves_forward_only() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let sandbox = app.tenant(&key, "sandbox.example", json!({"test_clock": true})).await;
    let path = format!("{sandbox}/test-clock");
    assert_eq!(app.get(&key, &sandbox).await.expect(200)["test_clock"], "2026-03-02T09:00:00Z");
    let moved = app.put(&key, &path, json!({"now": "2026-04-01T02:00:00+02:00"})).await.expect(200);
    assert_eq!(moved["test_clock"], "2026-04-01T00:00:00Z");
    let back = app
        .put(&key, &path, json!({"now": "2026-03-31T00:00:00Z"}))
        .await
        .expect_problem(422, "invalid_request");
    assert_eq!(back["errors"][0]["pointer"], "/now");
    let real = app.tenant(&key, "real.example", json!({})).await;
    let refused = app.put(&key, &format!("{real}/test-clock"), json!({"now": "2027-01-01T00:00:00Z"})).await;
    refused.expect_problem(409, "no_test_clock");
    assert_eq!(app.get(&key, &sandbox).await.expect(200)["test_clock"], "2026-04-01T00:00:00Z");
}
