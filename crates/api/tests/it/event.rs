//! The feed and the trail, over HTTP.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{App, text};

#[tokio::test]
async fn what_happened_is_fed_in_order_and_can_be_verified_by_who_reads_it() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    tenancy::event::chain(&app.db.db()).await.unwrap();
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let feed = app.get(&key, &format!("/v1/events?tenant_id={id}")).await.expect(200);
    let kinds: Vec<_> = feed["data"].as_array().unwrap().iter().map(|event| text(&event["kind"])).collect();
    assert_eq!(kinds, ["tenant.created", "domain.created", "domain.verified", "user.created"]);
    let users = app.get(&key, &format!("/v1/events?tenant_id={id}&kind=user.created")).await.expect(200);
    assert_eq!(users["data"][0]["data"]["address"], "ada@one.example");
    let trail = app.get(&key, &format!("/v1/audit-log?tenant_id={id}")).await.expect(200);
    let mut previous = "0".repeat(64);
    for entry in trail["data"].as_array().unwrap() {
        assert_eq!(entry["previous_hash"], previous);
        let mut said = entry.as_object().unwrap().clone();
        for member in ["position", "previous_hash", "hash"] {
            said.remove(member);
        }
        let mut hash = Sha256::new();
        hash.update(bytes(&previous));
        // serde_json keeps members sorted, and none of these needs more of RFC 8785.
        hash.update(serde_json::to_vec(&said).unwrap());
        previous = kernel::hex(&hash.finalize());
        assert_eq!(entry["hash"], previous);
    }
    let refused = app.get(&key, "/v1/events?kind=nonsense").await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["parameter"], "kind");
}

#[tokio::test]
async fn whoever_follows_the_feed_sees_each_event_once() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for name in ["ada", "eve"] {
        app.user(&key, &tenant, json!({"address": format!("{name}@one.example")})).await;
        tenancy::event::chain(&app.db.db()).await.unwrap();
        loop {
            let page = format!("/v1/events?tenant_id={id}&limit=3{cursor}");
            let page = app.get(&key, &page).await.expect(200);
            let kinds = page["data"].as_array().unwrap().iter().map(|event| text(&event["kind"]).to_owned());
            seen.extend(kinds);
            // There is one also where the page is not full.
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    let all = ["tenant.created", "domain.created", "domain.verified", "user.created", "user.created"];
    assert_eq!(seen, all);
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
