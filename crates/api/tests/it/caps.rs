use serde_json::{Value, json};

use crate::support::{App, text};

/// A key of what a path names.
async fn key(app: &App, at: &str, role: &str) -> String {
    let made = app.post(&app.operator, &format!("{at}/api-keys"), json!({"role": role})).await.expect(201);
    text(&made["secret"])
}

#[tokio::test]
async fn who_does_not_see_a_level_learns_none_of_its_numbers() {
    let app = App::new().await;
    let (north, north_key) = app.reseller("North").await;
    let below = app.post(&north_key, "/v1/resellers", json!({"name": "Below"})).await.expect(201);
    let below_key = key(&app, &format!("/v1/resellers/{}", text(&below["id"])), "reseller_admin").await;
    let tenant = app.tenant(&below_key, "one.example", json!({})).await;
    let own = key(&app, &tenant, "tenant_admin").await;
    let caps = json!({"caps": {"tenants": 1, "seats": 3, "domains": 1, "shared_mailboxes": 0, "storage_bytes": 10_000}});
    app.patch(&app.operator, &format!("/v1/resellers/{north}"), caps).await.expect(200);
    let (_, mailbox) = app.user(&below_key, &tenant, json!({"address": "ada@one.example"})).await;

    let users: Vec<Value> = (0..4).map(|n| json!({"address": format!("u{n}@one.example")})).collect();
    let room = json!({"kind": "room", "display_name": "Aula", "address": "aula@one.example"});
    let cases = [
        ("users/batch", json!({"users": users}), "users: ", "only 2 of the 3 seats of the reseller are left"),
        ("domains", json!({"name": "two.example"}), "", "all 1 domains of the reseller are taken"),
        ("mailboxes", room, "", "all 0 shared mailboxes of the reseller are taken"),
    ];
    for (noun, body, place, told) in cases {
        for dry in ["", "?dry_run=true"] {
            let path = format!("{tenant}/{noun}{dry}");
            let seen = app.post(&north_key, &path, body.clone()).await.expect(409);
            let shown = text(&seen["detail"]);
            assert!(shown.ends_with(told), "{seen}");
            for hidden in [&own, &below_key] {
                let refused = app.post(hidden, &path, body.clone()).await.expect(409);
                let what = noun.replace("users/batch", "seats").replace("mailboxes", "shared mailboxes");
                let detail = format!("{place}the hosting provider has too few {what} left");
                assert_eq!((&refused["code"], text(&refused["detail"])), (&seen["code"], detail));
                let pointer = (noun == "users/batch").then_some("/users");
                assert_eq!(refused["errors"][0]["pointer"].as_str(), pointer, "{refused}");
            }
        }
    }
    let another = json!({"name": "x", "country": "DE", "currency": "EUR"});
    let refused = app.post(&below_key, "/v1/tenants", another).await.expect_problem(409, "tenants_exhausted");
    assert_eq!(refused["detail"], "the hosting provider has too few tenants left");

    let explained = async |key: &str| {
        let quota = app.get(key, &format!("{mailbox}/quota")).await.expect(200);
        (quota["effective_limit_bytes"].clone(), quota["inherited_from"].clone())
    };
    assert_eq!(explained(&north_key).await, (json!(10_000), json!("reseller")));
    for hidden in [&own, &below_key] {
        assert_eq!(explained(hidden).await, (json!(null), json!("reseller")));
    }
    // Its own level's numbers are the tenant's to know.
    app.patch(&below_key, &tenant, json!({"seats": {"limit": 1}, "storage": {"limit_bytes": 5000}}))
        .await
        .expect(200);
    let full = app.post(&own, &format!("{tenant}/users"), json!({"address": "bob@one.example"})).await;
    assert_eq!(full.expect_problem(409, "seats_exhausted")["detail"], "all 1 seats of the tenant are taken");
    assert_eq!(explained(&own).await, (json!(5000), json!("tenant")));
}
