use axum::http::Method;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::{Answer, App, text};

const FORM: &str = "application/x-www-form-urlencoded";

async fn ask(app: &App, form: &str) -> Answer {
    app.call(Method::POST, "/v1/auth/token").bytes(FORM, form.to_owned()).send().await
}

async fn key(app: &App) -> (String, String) {
    let reseller = app.post(&app.operator, "/v1/resellers", json!({"name": "North"})).await.expect(201);
    let path = format!("/v1/resellers/{}/api-keys", text(&reseller["id"]));
    let key = app.post(&app.operator, &path, json!({"role": "reseller_admin"})).await.expect(201);
    (text(&key["id"]), text(&key["secret"]))
}

#[track_caller]
fn expect_error(answer: &Answer, status: u16, error: &str) {
    let body = answer.expect(status);
    assert_eq!(body["error"], error, "{body}");
    assert!(body["error_description"].is_string(), "{body}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_key_buys_a_token_that_ends_with_it() {
    let app = App::new().await;
    let (id, secret) = key(&app).await;
    let answer =
        ask(&app, &format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&unknown=1"))
            .await;
    let body = answer.expect(200);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    let token = text(&body["access_token"]);
    app.get(&token, "/v1/tenants").await.expect(200);

    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    let call = app.call(Method::POST, "/v1/auth/token").header("authorization", &format!("Basic {basic}"));
    call.bytes(FORM, "grant_type=client_credentials").send().await.expect(200);

    app.db.clock().advance(chrono::TimeDelta::minutes(15));
    let expired = app.get(&token, "/v1/tenants").await;
    expired.expect_problem(401, "unauthenticated");
    assert_eq!(
        expired.header("www-authenticate"),
        Some("Bearer realm=\"pillarbox\", error=\"invalid_token\"")
    );
}

#[tokio::test]
async fn a_token_can_be_checked_by_others() {
    let app = App::new().await;
    let (id, secret) = key(&app).await;
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let token = text(&ask(&app, &form).await.expect(200)["access_token"]);
    let header =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let jwks = app.call(Method::GET, "/.well-known/jwks.json").send().await.expect(200);
    let jwk = &jwks["keys"][0];
    assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &jwk["kid"]));
    assert_eq!((&jwk["kty"], &jwk["crv"], &jwk["use"]), (&json!("OKP"), &json!("Ed25519"), &json!("sig")));
    assert!(jwk["d"].is_null(), "the private key is shown");
}

#[tokio::test]
async fn a_person_signs_in_by_password() {
    let app = App::new().await;
    let (_, admin) = app.reseller("North").await;
    let tenant = app.tenant(&admin, "one.example", json!({})).await;
    app.user(&admin, &tenant, json!({"address": "ada@one.example", "password": "correct horse"})).await;
    let token = app.sign_in("ada%40one.example", "correct+horse").await;
    app.get(&token, &format!("{tenant}/mailboxes")).await.expect(200);
    for form in [
        "username=ada@one.example&password=wrong",
        "username=eve@one.example&password=correct+horse",
        "username=x&password=y",
    ] {
        expect_error(&ask(&app, &format!("grant_type=password&{form}")).await, 400, "invalid_grant");
    }
    // A client that authenticates itself is checked as well.
    let form =
        "grant_type=password&username=ada@one.example&password=correct+horse&client_id=a&client_secret=b";
    expect_error(&ask(&app, form).await, 401, "invalid_client");
}

#[tokio::test]
async fn refusals_are_those_of_rfc_6749() {
    let app = App::new().await;
    let (id, secret) = key(&app).await;
    expect_error(&ask(&app, "").await, 400, "invalid_request");
    expect_error(&ask(&app, "grant_type=client_credentials").await, 400, "invalid_request");
    expect_error(&ask(&app, "grant_type=password&username=a").await, 400, "invalid_request");
    expect_error(&ask(&app, "grant_type=password&grant_type=password").await, 400, "invalid_request");
    expect_error(&ask(&app, "grant_type=device_code").await, 400, "unsupported_grant_type");
    let wrong = [
        format!("client_id={id}&client_secret={secret}x"),
        format!("client_id=key_x&client_secret={secret}"),
        "client_id=a&client_secret=b".into(),
    ];
    for client in wrong {
        expect_error(
            &ask(&app, &format!("grant_type=client_credentials&{client}")).await,
            401,
            "invalid_client",
        );
    }
    let both = app.call(Method::POST, "/v1/auth/token").header("authorization", "Basic YTpi");
    let both = both
        .bytes(FORM, format!("grant_type=client_credentials&client_id={id}&client_secret={secret}"))
        .send()
        .await;
    expect_error(&both, 400, "invalid_request");
    let basic = app.call(Method::POST, "/v1/auth/token").header("authorization", "Basic YTpi");
    let basic = basic.bytes(FORM, "grant_type=client_credentials").send().await;
    expect_error(&basic, 401, "invalid_client");
    assert_eq!(basic.header("www-authenticate"), Some("Basic realm=\"pillarbox\""));
    let json = app
        .call(Method::POST, "/v1/auth/token")
        .json(json!({"grant_type": "client_credentials"}))
        .send()
        .await;
    expect_error(&json, 400, "invalid_request");
    // It follows RFC 6749 alone: a key for idempotency is not looked at.
    let keyed = app
        .call(Method::POST, "/v1/auth/token")
        .header("idempotency-key", "has spaces")
        .bytes(FORM, "")
        .send()
        .await;
    expect_error(&keyed, 400, "invalid_request");
}

#[tokio::test]
async fn a_session_goes_on_by_its_refresh_token_once() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    app.user(&key, &tenant, json!({"address": "ada@one.example", "password": "correct horse battery"})).await;
    let form = async |form: String| {
        let call = app.call(axum::http::Method::POST, "/v1/auth/token");
        call.bytes("application/x-www-form-urlencoded", form).send().await
    };
    let signed_in =
        form("grant_type=password&username=ada@one.example&password=correct%20horse%20battery".into());
    let first = text(&signed_in.await.expect(200)["refresh_token"]);
    let second = form(format!("grant_type=refresh_token&refresh_token={first}")).await.expect(200);
    app.get(&text(&second["access_token"]), &format!("{tenant}/mailboxes")).await.expect(200);
    for used in [first, text(&second["refresh_token"])] {
        let refused = form(format!("grant_type=refresh_token&refresh_token={used}")).await.expect(400);
        assert_eq!(refused["error"], "invalid_grant");
    }
    assert_eq!(form("grant_type=refresh_token".into()).await.expect(400)["error"], "invalid_request");
}
