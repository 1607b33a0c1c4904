use axum::http::Method;

use crate::support::App;

#[tokio::test]
async fn a_server_in_order_lives_is_ready_and_counts() {
    let app = App::new().await;
    assert_eq!(app.call(Method::GET, "/healthz").send().await.expect(200)["status"], "ok");
    assert_eq!(app.call(Method::GET, "/readyz").send().await.expect(200)["status"], "ok");
    app.get("wrong", "/v1/tenants/ten_019a2f3c5d7e7abc8def0123456789ab").await.expect(401);
    app.call(Method::GET, "/not/a/route").send().await.expect(404);
    let metrics = app.call(Method::GET, "/metrics").send().await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let counted = |labels: &str| {
        text.lines().any(|line| line.starts_with("pillarbox_http_requests_total{") && line.contains(labels))
    };
    assert!(counted(r#"method="GET",route="/healthz",status="200""#), "{text}");
    assert!(counted(r#"method="GET",route="/v1/tenants/{tenant_id}",status="401""#), "{text}");
    assert!(counted(r#"method="GET",route="unmatched",status="404""#), "{text}");
    assert!(text.contains("pillarbox_http_request_duration_seconds"), "{text}");
    assert!(!text.contains("019a2f3c"), "an id is a label");
}

#[tokio::test]
async fn a_blob_store_that_is_gone_is_named() {
    let app = App::new().await;
    let credentials =
        blob::Credentials { access_key_id: "GK0000000000".into(), secret_access_key: "x".repeat(32).into() };
    let options = blob::S3Options { credentials: Some(credentials), ..blob::S3Options::default() };
    let nowhere = "s3://mail?endpoint=http://127.0.0.1:1&region=nowhere&path_style=true".parse().unwrap();
    let blobs = blob::open_with(&nowhere, options).await.unwrap();
    let store = mailstore::MailStore::new(app.db.db(), blobs, testkit::kek::encryption());
    let app = app.with_store(store);
    let readiness = app.call(Method::GET, "/readyz").send().await;
    assert_eq!(readiness.expect_problem(503, "unavailable")["detail"], "no sign of life from the blob store");
}

#[tokio::test]
async fn the_documentation_needs_no_other_machine() {
    let app = App::new().await;
    let moved = app.call(Method::GET, "/docs").send().await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (303, Some("/docs/")));
    let page = app.call(Method::GET, "/docs/").send().await;
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert_eq!(page.status.as_u16(), 200, "{html}");
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("\"//"), "{html}");
    let sources = html.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    let mut loaded = 0;
    for source in sources {
        let path = format!("/docs/{}", source.trim_start_matches("./"));
        let file = app.call(Method::GET, &path).send().await;
        assert_eq!(file.status.as_u16(), 200, "{path}");
        assert!(!file.body.is_empty(), "{path}");
        loaded += 1;
    }
    assert!(loaded >= 3, "{html}");
    let initializer = app.call(Method::GET, "/docs/swagger-initializer.js").send().await;
    assert!(String::from_utf8(initializer.body.to_vec()).unwrap().contains("/openapi.json"));
    let document = app.call(Method::GET, "/openapi.json").send().await;
    assert_eq!(document.header("content-type"), Some("application/json"));
    assert_eq!(document.body.as_ref(), api::openapi().as_bytes());
}
