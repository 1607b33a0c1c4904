use axum::http::Method;
use serde_json::json;
use sqlx::Connection as _;

use crate::support::{App, text};

fn caps(seats: serde_json::Value) -> serde_json::Value {
    json!({"tenants": null, "domains": null, "seats": seats, "shared_mailboxes": null, "storage_bytes": null})
}

#[tokio::test]
async fn is_created_read_changed_and_listed() {
    let app = App::new().await;
    let made = app
        .post(&app.operator, "/v1/resellers", json!({"name": "North", "caps": {"seats": 10}}))
        .await
        .expect(201);
    assert_eq!(made["caps"], caps(json!(10)));
    assert_eq!(made["parent_id"], json!(null));
    assert_eq!(made["created_at"], "2026-03-02T09:00:00Z");
    let path = format!("/v1/resellers/{}", text(&made["id"]));
    assert_eq!(app.get(&app.operator, &path).await.expect(200), made);

    let renamed = app.patch(&app.operator, &path, json!({"name": "Nord"})).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["caps"]), (&json!("Nord"), &caps(json!(10))));
    let lifted = app.patch(&app.operator, &path, json!({"caps": {"seats": null}})).await.expect(200);
    assert_eq!((&lifted["name"], &lifted["caps"]), (&json!("Nord"), &caps(json!(null))));

    let listed = app.get(&app.operator, "/v1/resellers").await.expect(200);
    assert_eq!(listed, json!({"data": [lifted], "next_cursor": null}));
}

#[tokio::test]
async fn sees_itself_and_what_is_below_it() {
    let app = App::new().await;
    let (north, north_key) = app.reseller("North").await;
    let (south, _) = app.reseller("South").await;
    let below = app.post(&north_key, "/v1/resellers", json!({"name": "North-East"})).await.expect(201);
    assert_eq!(below["parent_id"], json!(north));
    let listed = app.get(&north_key, "/v1/resellers").await.expect(200);
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
    assert_eq!(ids, [north.clone(), text(&below["id"])]);
    app.get(&north_key, &format!("/v1/resellers/{south}")).await.expect_problem(404, "not_found");
    // Its own caps are its parent's to set, here the operator's.
    let own = format!("/v1/resellers/{north}");
    app.patch(&north_key, &own, json!({"caps": {"seats": 1000}})).await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn resellers_nest_five_levels_deep_and_no_deeper() {
    let app = App::new().await;
    let (top, top_key) = app.reseller("Level 1").await;
    let (mut chain, mut key) = (vec![top], top_key.clone());
    for level in 2..=5 {
        app.db.clock().advance(chrono::TimeDelta::milliseconds(1));
        let body = json!({"name": format!("Level {level}")});
        let made = app.post(&key, "/v1/resellers", body).await.expect(201);
        assert_eq!(made["parent_id"], json!(chain.last()));
        let path = format!("/v1/resellers/{}/api-keys", text(&made["id"]));
        chain.push(text(&made["id"]));
        key = text(&app.post(&key, &path, json!({"role": "reseller_admin"})).await.expect(201)["secret"]);
    }
    // Neither by the fifth's own hand nor by that of those above it.
    let sixth = json!({"name": "Level 6", "parent_id": chain[4]});
    for (token, body) in
        [(&key, json!({"name": "Level 6"})), (&top_key, sixth.clone()), (&app.operator, sixth)]
    {
        let refused = app.post(token, "/v1/resellers", body).await.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["pointer"], "/parent_id", "{refused}");
    }
    let listed = app.get(&top_key, "/v1/resellers").await.expect(200);
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
    assert_eq!(ids, chain);
    // What the fifth has belongs to all above it.
    let tenant = app.tenant(&key, "deep.example", json!({})).await;
    assert_eq!(app.get(&top_key, &tenant).await.expect(200)["reseller_id"], json!(chain[4]));
}

#[tokio::test]
async fn a_page_ends_where_the_next_begins() {
    let app = App::new().await;
    let mut made = Vec::new();
    for at in 0..5 {
        app.db.clock().advance(chrono::TimeDelta::seconds(1));
        let body = json!({"name": format!("R{at}")});
        made.push(text(&app.post(&app.operator, "/v1/resellers", body).await.expect(201)["id"]));
    }
    let mut seen = Vec::new();
    let mut path = "/v1/resellers?limit=2".to_owned();
    let sizes = loop {
        let page = app.get(&app.operator, &path).await.expect(200);
        let ids: Vec<_> = page["data"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
        seen.push(ids);
        let Some(cursor) = page["next_cursor"].as_str() else {
            break seen.iter().map(Vec::len).collect::<Vec<_>>();
        };
        path = format!("/v1/resellers?limit=2&cursor={cursor}");
    };
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(seen.concat(), made);
    for (query, parameter) in [
        ("limit=201", "limit"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("page=2", "page"),
        ("limit=1&limit=2", "limit"),
    ] {
        let problem = app
            .get(&app.operator, &format!("/v1/resellers?{query}"))
            .await
            .expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{problem}");
    }
}

#[tokio::test]
async fn is_deleted_for_good_from_above() {
    let app = App::new().await;
    let (north, north_key) = app.reseller("North").await;
    let below = app.post(&north_key, "/v1/resellers", json!({"name": "North-East"})).await.expect(201);
    let path = format!("/v1/resellers/{}", text(&below["id"]));
    let key = json!({"role": "reseller_admin"});
    let own_key =
        text(&app.post(&north_key, &format!("{path}/api-keys"), key.clone()).await.expect(201)["secret"]);
    let endpoint = json!({"url": "https://hooks.example/in", "kinds": ["reseller.updated"]});
    app.post(&own_key, "/v1/webhook-endpoints", endpoint).await.expect(201);
    let tenant = app.tenant(&own_key, "one.example", json!({})).await;

    app.delete(&own_key, &path).await.expect_problem(403, "forbidden");
    app.delete(&north_key, &path).await.expect_problem(409, "reseller_not_empty");
    let tried = format!("{path}?dry_run=true");
    app.delete(&north_key, &tried).await.expect_problem(409, "reseller_not_empty");
    app.post(&north_key, &format!("{tenant}/transfer"), json!({"reseller_id": north})).await.expect(200);
    let effect = app.delete(&north_key, &tried).await.expect(200);
    assert_eq!(effect["seats"]["after"], 0, "{effect}");
    let seen = app.call(Method::GET, &path).token(&own_key).send().await;
    assert_eq!(seen.expect(200)["status"], "active");
    app.call(Method::DELETE, &path)
        .token(&north_key)
        .header("if-match", "\"77\"")
        .send()
        .await
        .expect_problem(412, "version_mismatch");
    let tag = seen.header("etag").unwrap();
    app.call(Method::DELETE, &path).token(&north_key).header("if-match", tag).send().await.expect(204);

    app.get(&own_key, &path).await.expect_problem(401, "unauthenticated");
    let gone = app.get(&north_key, &path).await.expect(200);
    assert_eq!(gone["status"], "deleted");
    assert_eq!(app.get(&north_key, "/v1/resellers?status=deleted").await.expect(200)["data"], json!([gone]));
    let there = app.get(&north_key, "/v1/resellers").await.expect(200);
    assert_eq!(there["data"].as_array().unwrap().len(), 1, "{there}");
    app.delete(&north_key, &path).await.expect_problem(404, "not_found");
    app.patch(&north_key, &path, json!({"name": "X"})).await.expect_problem(404, "not_found");
    app.post(&north_key, &format!("{path}/api-keys"), key).await.expect_problem(404, "not_found");
    let lower = json!({"name": "Lower", "parent_id": below["id"]});
    app.post(&north_key, "/v1/resellers", lower).await.expect_problem(404, "not_found");
    app.post(&north_key, &format!("{tenant}/transfer"), json!({"reseller_id": below["id"]}))
        .await
        .expect_problem(404, "not_found");
    tenancy::event::chain(&app.db.db()).await.unwrap();
    let told = app.get(&north_key, "/v1/events?kind=reseller.deleted").await.expect(200);
    assert_eq!(told["data"][0]["subject"], below["id"], "{told}");
    let mut connection = sqlx::PgConnection::connect(&app.db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let status = "select status || secret from webhook_endpoints";
    let left: String = sqlx::query_scalar(status).fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, "deleted", "without its secret");
}
