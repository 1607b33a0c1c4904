use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{App, text};

const UNSEEN: [&str; 3] = ["   ", "\u{200b}", " \u{ad}\u{2003}"];

#[tokio::test]
async fn what_people_read_has_something_to_see() {
    let app = App::new().await;
    let (reseller, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (ada, mailbox) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    app.open_for_support(&key, &mailbox).await;
    let user = format!("{tenant}/users/{}", text(&ada["id"]));
    let at = |below: &str| format!("{tenant}/{below}");
    let name =
        |pointer: &'static str, method: Method, path: String, body: Value| (pointer, method, path, body);
    for unseen in UNSEEN {
        let address = json!({"street": unseen, "postal_code": unseen, "city": unseen, "country": "DE"});
        let cases = [
            name(
                "/name",
                Method::POST,
                "/v1/tenants".into(),
                json!({"name": unseen, "country": "DE", "currency": "EUR"}),
            ),
            name("/name", Method::PATCH, tenant.clone(), json!({"name": unseen})),
            name(
                "/branding/product_name",
                Method::PATCH,
                tenant.clone(),
                json!({"branding": {"product_name": unseen}}),
            ),
            name("/name", Method::POST, "/v1/resellers".into(), json!({"name": unseen})),
            name(
                "/description",
                Method::POST,
                format!("/v1/resellers/{reseller}/api-keys"),
                json!({"role": "reseller_admin", "description": unseen}),
            ),
            name(
                "/display_name",
                Method::POST,
                at("users"),
                json!({"address": "b@one.example", "display_name": unseen}),
            ),
            name(
                "/given_name",
                Method::POST,
                at("users"),
                json!({"address": "b@one.example", "given_name": unseen}),
            ),
            name("/display_name", Method::PATCH, user.clone(), json!({"display_name": unseen})),
            name(
                "/name",
                Method::POST,
                format!("{user}/app-passwords"),
                json!({"name": unseen, "protocols": ["imap"]}),
            ),
            name(
                "/display_name",
                Method::POST,
                at("mailboxes"),
                json!({"kind": "room", "address": "r@one.example", "display_name": unseen}),
            ),
            name("/display_name", Method::POST, at("groups"), json!({"display_name": unseen})),
            name("/name", Method::POST, format!("{mailbox}/folders"), json!({"name": unseen})),
            name("/reason", Method::POST, at("holds"), json!({"reason": unseen})),
            name("/reason", Method::POST, format!("{mailbox}/support-accesses"), json!({"reason": unseen})),
            name(
                "/description",
                Method::POST,
                "/v1/webhook-endpoints".into(),
                json!({"url": "https://hooks.example/", "description": unseen}),
            ),
            name(
                "/legal_name",
                Method::PUT,
                at("billing-profile"),
                json!({"legal_name": unseen, "address": address}),
            ),
        ];
        for (pointer, method, path, body) in cases {
            let said = format!("{method} {path} {body}");
            let answer = app.call(method, &path).token(&key).json(body).send().await;
            assert_eq!(answer.status.as_u16(), 422, "{said}: {answer:?}");
            let problem = answer.expect_problem(422, "invalid_request");
            let errors = problem["errors"].as_array().unwrap();
            assert!(errors.iter().any(|error| error["pointer"] == pointer), "{said}: {problem}");
            if pointer == "/legal_name" {
                let of_address = |error: &&Value| text(&error["pointer"]).starts_with("/address/");
                assert_eq!(errors.iter().filter(of_address).count(), 3, "{problem}");
            }
        }
    }
    // An empty name is the address, as ever.
    let (named, _) = app.user(&key, &tenant, json!({"address": "c@one.example", "display_name": ""})).await;
    assert_eq!(named["display_name"], "c@one.example");
}
