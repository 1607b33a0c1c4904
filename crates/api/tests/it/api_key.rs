use serde_json::json;

use crate::support::{App, text};

#[tokio::test]
async fn works_until_it_is_revoked_and_its_secret_is_shown_once() {
    let app = App::new().await;
    let (reseller, admin) = app.reseller("North").await;
    let path = format!("/v1/resellers/{reseller}/api-keys");
    let body = json!({"role": "reseller_support", "scope": reseller, "actions": ["tenants:read"], "expires_at": "2027-01-01T00:00:00Z"});
    let made = app.post(&admin, &path, body).await.expect(201);
    let (id, secret) = (text(&made["id"]), text(&made["secret"]));
    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("secret");
    let expected = json!({
        "id": id, "role": "reseller_support", "scope": reseller, "actions": ["tenants:read"],
        "expires_at": "2027-01-01T00:00:00Z", "revoked_at": null, "created_at": "2026-03-02T09:00:00Z",
        "networks": [], "description": null, "last_used_at": null, "last_used_from": null,
    });
    assert_eq!(shown, expected);
    let listed = app.get(&admin, &path).await.expect(200);
    assert!(listed["data"].as_array().unwrap().contains(&shown), "{listed}");
    assert!(!listed.to_string().contains("pillarbox_"), "{listed}");

    app.get(&secret, "/v1/tenants").await.expect(200);
    app.get(&secret, "/v1/resellers").await.expect_problem(403, "forbidden");
    app.delete(&admin, &format!("{path}/{id}")).await.expect(204);
    app.get(&secret, "/v1/tenants").await.expect_problem(401, "unauthenticated");
    app.delete(&admin, &format!("{path}/{id}")).await.expect_problem(404, "not_found");
    let revoked = app.get(&admin, &path).await.expect(200);
    assert!(revoked.to_string().contains("\"revoked_at\":\"2026-03-02T09:00:00Z\""), "{revoked}");
}

#[tokio::test]
async fn ends_when_it_expires() {
    let app = App::new().await;
    let (reseller, admin) = app.reseller("North").await;
    let body = json!({"role": "reseller_support", "expires_at": "2026-03-02T10:00:00Z"});
    let made = app.post(&admin, &format!("/v1/resellers/{reseller}/api-keys"), body).await.expect(201);
    let secret = text(&made["secret"]);
    app.get(&secret, "/v1/tenants").await.expect(200);
    app.db.clock().advance(chrono::TimeDelta::hours(1));
    app.get(&secret, "/v1/tenants").await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn what_does_not_fit_is_pointed_at() {
    let app = App::new().await;
    let (reseller, admin) = app.reseller("North").await;
    let tenant = app.tenant(&admin, "north.example", json!({})).await;
    let reseller_keys = format!("/v1/resellers/{reseller}/api-keys");
    let cases = [
        (json!({"role": "king"}), "/role"),
        (json!({"role": "tenant_admin"}), "/role"),
        (json!({"role": "reseller_admin", "scope": "operator"}), "/scope"),
        (json!({"role": "reseller_support", "actions": ["users:read", "users:eat"]}), "/actions/1"),
        (json!({"role": "reseller_support", "actions": ["users:write"]}), "/actions"),
        (json!({"role": "reseller_admin", "expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
        (json!({"role": "reseller_admin", "expires_at": "tomorrow"}), "/expires_at"),
    ];
    for (body, pointer) in cases {
        let problem = app.post(&admin, &reseller_keys, body).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    // What is wrong is the role, not what it would allow.
    for keys in [&reseller_keys, &format!("{tenant}/api-keys")] {
        let wrong = app.post(&admin, keys, json!({"role": "operator"})).await;
        let wrong = wrong.expect_problem(422, "invalid_request");
        let pointers: Vec<_> =
            wrong["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
        assert_eq!(pointers, ["/role"]);
    }
    // Nobody hands out more than they hold.
    let narrow = json!({"role": "tenant_admin", "actions": ["api_keys:write", "users:read"]});
    let narrow = text(&app.post(&admin, &format!("{tenant}/api-keys"), narrow).await.expect(201)["secret"]);
    let more = json!({"role": "tenant_admin", "actions": ["users:write"]});
    app.post(&narrow, &format!("{tenant}/api-keys"), more).await.expect_problem(422, "invalid_request");
    let same = json!({"role": "tenant_admin", "actions": ["users:read"]});
    app.post(&narrow, &format!("{tenant}/api-keys"), same).await.expect(201);
}
