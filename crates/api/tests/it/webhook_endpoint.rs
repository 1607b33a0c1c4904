//! Webhook endpoints, over HTTP.

use serde_json::json;

use crate::support::{App, text};

#[tokio::test]
async fn is_made_with_a_secret_that_is_shown_once_changed_and_deleted() {
    let app = App::new().await;
    let (reseller, key) = app.reseller("North").await;
    let body = json!({"url": "https://hooks.example/in", "kinds": ["user.created"]});
    let made = app.post(&key, "/v1/webhook-endpoints", body).await.expect(201);
    assert!(text(&made["secret"]).starts_with("whsec_"));
    assert_eq!((&made["owner"], &made["status"]), (&json!(reseller), &json!("enabled")));
    let path = format!("/v1/webhook-endpoints/{}", text(&made["id"]));
    let shown = app.get(&key, &path).await;
    assert_eq!(shown.header("etag"), Some("\"1\""));
    assert!(!shown.expect(200).to_string().contains("whsec_"));
    let rotated =
        app.call(axum::http::Method::POST, &format!("{path}/rotate-secret")).token(&key).send().await;
    assert_ne!(rotated.expect(200)["secret"], made["secret"]);
    let off =
        app.patch(&key, &path, json!({"status": "disabled", "description": "the portal"})).await.expect(200);
    assert_eq!((&off["status"], &off["description"]), (&json!("disabled"), &json!("the portal")));
    let (_, stranger) = app.reseller("South").await;
    app.get(&stranger, &path).await.expect_problem(404, "not_found");
    app.delete(&key, &path).await.expect(204);
    app.get(&key, &path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn does_not_point_inwards() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    for url in [
        "http://hooks.example/in",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://0x7f.1/",
        "https://user:secret@hooks.example/",
        "https://hooks.example:25/",
        "nonsense",
    ] {
        let refused = app.post(&key, "/v1/webhook-endpoints", json!({"url": url})).await;
        let problem = refused.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/url", "{url}: {problem}");
    }
    let wrong = json!({"url": "https://hooks.example/in", "kinds": ["nonsense"]});
    let problem = app.post(&key, "/v1/webhook-endpoints", wrong).await.expect_problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/kinds/0", "{problem}");
}
