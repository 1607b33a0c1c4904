use std::collections::BTreeSet;

use axum::http::Method;
use mailstore::compact::{self, Pace};
use serde_json::{Value, json};

use crate::support::{App, MESSAGE, text};

fn bakery() -> Value {
    json!({"name": "Bakery Ltd", "country": "DE", "currency": "EUR", "time_zone": "Europe/Berlin", "seats": {"limit": 5}})
}

#[tokio::test]
async fn is_created_read_changed_and_listed() {
    let app = App::new().await;
    let (reseller, key) = app.reseller("North").await;
    let made = app.post(&key, "/v1/tenants", bakery()).await.expect(201);
    let expected = json!({
        "id": made["id"], "reseller_id": reseller, "name": "Bakery Ltd", "external_id": null, "country": "DE", "currency": "EUR",
        "time_zone": "Europe/Berlin", "status": "active", "suspended_capabilities": [], "unpaid_capabilities": [], "seats": {"limit": 5, "used": 0},
        "domains": {"limit": null, "used": 0}, "shared_mailboxes": {"limit": null, "used": 0},
        "storage": {"limit_bytes": null, "used_bytes": 0, "allow_overallocation": true, "dedicated": false, "shared_bytes": null},
        "branding": {"product_name": null, "logo_url": null, "primary_color": null, "support_email": null, "support_url": null},
        "test_clock": null, "trial_ends_at": null, "created_at": "2026-03-02T09:00:00Z", "deleted_at": null,
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
async fn are_listed_by_how_they_stand_and_by_whose_they_are() {
    let app = App::new().await;
    let ((north, key), (south, other)) = (app.reseller("North").await, app.reseller("South").await);
    let one = app.tenant(&key, "one.example", json!({})).await;
    let two = app.tenant(&key, "two.example", json!({"trial_ends_at": "2026-03-20T00:00:00Z"})).await;
    let three = app.tenant(&other, "three.example", json!({})).await;
    app.post(&key, &format!("{one}/suspend"), json!({"capabilities": ["send"]})).await.expect(200);
    app.delete(&other, &three).await.expect(204);
    let listed = async |key: &str, query: &str| {
        let page = app.get(key, &format!("/v1/tenants?{query}")).await.expect(200);
        let path = |tenant: &Value| format!("/v1/tenants/{}", text(&tenant["id"]));
        page["data"].as_array().unwrap().iter().map(path).collect::<BTreeSet<_>>()
    };
    let these = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>();
    let operator = &app.operator;
    assert_eq!(listed(operator, "").await, these(&[&one, &two]));
    assert_eq!(listed(operator, "status=suspended").await, these(&[&one]));
    assert_eq!(listed(operator, "status=trial").await, these(&[&two]));
    assert!(listed(operator, "status=active").await.is_empty());
    assert_eq!(listed(operator, &format!("reseller_id={south}&status=deleted")).await, these(&[&three]));
    assert!(listed(operator, &format!("reseller_id={south}")).await.is_empty());
    assert_eq!(listed(operator, &format!("reseller_id={north}&status=trial")).await, these(&[&two]));
    // Whoever does not see a reseller sees nothing of it.
    assert!(listed(&other, &format!("reseller_id={north}")).await.is_empty());
    assert!(listed(operator, "status=purged").await.is_empty());
    let named = app.patch(&key, &two, json!({"external_id": "c-20417"})).await.expect(200);
    assert_eq!(named["external_id"], "c-20417");
    assert_eq!(listed(&key, "external_id=c-20417").await, these(&[&two]));
    assert!(listed(&other, "external_id=c-20417").await.is_empty());
    assert_eq!(listed(operator, "domain=ONE.example").await, these(&[&one]));
    assert!(listed(operator, "domain=one.example&external_id=c-20417").await.is_empty());
    let unnamed = app.patch(&key, &two, json!({"external_id": null})).await.expect(200);
    assert_eq!(unnamed["external_id"], json!(null));
    let refused = app.patch(&key, &two, json!({"external_id": " "})).await;
    assert_eq!(refused.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/external_id");
    for (query, field) in [("status=gone", "status"), ("reseller_id=ten_1", "reseller_id")] {
        let refused = app.get(operator, &format!("/v1/tenants?{query}")).await;
        let refused = refused.expect_problem(422, "invalid_request");
        assert!(refused["errors"].to_string().contains(field), "{refused}");
    }
}

#[tokio::test]
async fn moves_to_another_time_zone() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({"time_zone": "Pacific/Auckland"})).await;
    let before = app.get(&key, &tenant).await;
    let tag = before.header("etag").unwrap();
    let to = |zone: Value| json!({"time_zone": zone});
    let tried = app.patch(&key, &format!("{tenant}?dry_run=true"), to(json!("America/Los_Angeles"))).await;
    tried.expect(200);
    assert_eq!(app.get(&key, &tenant).await.header("etag"), Some(tag));
    let moved = app.patch(&key, &tenant, to(json!("America/Los_Angeles"))).await.expect(200);
    assert_eq!(moved["time_zone"], "America/Los_Angeles");
    assert_eq!(app.get(&key, &tenant).await.expect(200), moved);
    let stale = app.call(Method::PATCH, &tenant).token(&key).header("if-match", tag);
    stale.json(to(json!("Europe/Berlin"))).send().await.expect_problem(412, "version_mismatch");
    for wrong in [json!("UTC+2"), json!("america/los_angeles"), json!(""), json!(null)] {
        let refused = app.patch(&key, &tenant, to(wrong)).await.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["pointer"], "/time_zone");
    }
    let own =
        app.post(&key, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await.expect(201);
    let refused = app.patch(&text(&own["secret"]), &tenant, to(json!("Europe/Berlin"))).await;
    refused.expect_problem(403, "forbidden");
    tenancy::event::chain(&app.db.db()).await.unwrap();
    let told = app.get(&key, "/v1/events?kind=tenant.updated").await.expect(200);
    assert_eq!(told["data"].as_array().unwrap().len(), 1);
    assert_eq!(told["data"][0]["data"]["time_zone"], "America/Los_Angeles");
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
    // A code that no country has, as billing profiles and rates of tax refuse it.
    for country in ["ZZ", "EL", "UK"] {
        let body = json!({"name": "x", "country": country, "currency": "EUR"});
        let problem = app.post(&key, "/v1/tenants", body).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/country");
    }
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

#[tokio::test]
async fn a_pool_refuses_mail_as_the_mailbox_s_quota_does_and_is_explained() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({"storage": {"limit_bytes": 10}})).await;
    let (_, mailbox) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    app.deliver(&key, &mailbox, MESSAGE).await.expect_problem(422, "quota_exceeded");
    let quota = app.get(&key, &format!("{mailbox}/quota")).await.expect(200);
    let explained = (&quota["quota_bytes"], &quota["effective_limit_bytes"], &quota["inherited_from"]);
    assert_eq!(explained, (&json!(null), &json!(10), &json!("tenant")));
    let wider = json!({"storage": {"limit_bytes": 10_000, "allow_overallocation": true}});
    app.patch(&key, &tenant, wider).await.expect(200);
    app.deliver(&key, &mailbox, MESSAGE).await.expect(201);
    let size = app.get(&key, &tenant).await.expect(200)["storage"]["used_bytes"].clone();
    assert!(size.as_i64().unwrap() > 0);
    // Below what is used: nothing is lost, and no more comes in.
    let lowered = app.patch(&key, &tenant, json!({"storage": {"limit_bytes": 1}})).await.expect(200);
    assert_eq!(lowered["storage"]["used_bytes"], size);
    app.deliver(&key, &mailbox, MESSAGE).await.expect_problem(422, "quota_exceeded");
}

#[tokio::test]
async fn whether_its_mail_lies_beside_others_is_for_those_above_it_to_say_and_is_an_event() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({"storage": {"dedicated": true}})).await;
    assert_eq!(app.get(&key, &tenant).await.expect(200)["storage"]["dedicated"], true);
    let own =
        app.post(&key, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await.expect(201);
    let (own, shared) = (text(&own["secret"]), json!({"storage": {"dedicated": false}}));
    app.patch(&own, &tenant, shared.clone()).await.expect_problem(403, "forbidden");
    assert_eq!(app.get(&own, &tenant).await.expect(200)["storage"]["dedicated"], true);
    let null = app.patch(&key, &tenant, json!({"storage": {"dedicated": null}})).await;
    assert_eq!(null.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/storage/dedicated");

    // Absent stays, the operator may as well as the reseller.
    app.patch(&key, &tenant, json!({"storage": {"limit_bytes": 10_000}})).await.expect(200);
    assert_eq!(app.patch(&key, &tenant, shared).await.expect(200)["storage"]["dedicated"], false);
    let dedicated = json!({"storage": {"dedicated": true}});
    let changed = app.patch(&app.operator, &tenant, dedicated.clone()).await.expect(200);
    assert_eq!(app.patch(&app.operator, &tenant, dedicated).await.expect(200), changed, "it is so already");
    tenancy::event::chain(&app.db.db()).await.unwrap();
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let told = async |kind: &str| {
        let page = app.get(&own, &format!("/v1/events?tenant_id={id}&kind={kind}")).await.expect(200);
        let said = |event: &Value| event["data"]["storage"]["dedicated"].as_bool().unwrap();
        page["data"].as_array().unwrap().iter().map(said).collect::<Vec<_>>()
    };
    assert_eq!(told("tenant.created").await, [true]);
    assert_eq!(told("tenant.updated").await, [true, false, true]);
}

#[tokio::test]
async fn how_much_of_its_mail_has_yet_to_move_from_beside_others_is_told() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (_, mailbox) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    app.deliver(&key, &mailbox, MESSAGE).await.expect(201);
    let told = async || app.get(&key, &tenant).await.expect(200)["storage"]["shared_bytes"].clone();
    assert_eq!(told().await, json!(null), "it may share");
    app.patch(&key, &tenant, json!({"storage": {"dedicated": true}})).await.expect(200);
    let bytes = told().await;
    assert!(bytes.as_u64().unwrap() > 0, "{bytes}");
    app.deliver(&key, &mailbox, &MESSAGE.replace("How", "Who")).await.expect(201);
    assert_eq!(told().await, bytes, "that shares nothing from the start");
    let listed = app.get(&key, "/v1/tenants").await.expect(200)["data"][0]["storage"].clone();
    assert_eq!((&listed["dedicated"], &listed["shared_bytes"]), (&json!(true), &json!(null)));
    let pace = Pace::default();
    assert_eq!(compact::run(&app.api.store, &app.db.db(), pace).await.unwrap().bodies, 1);
    assert_eq!(told().await, json!(0));
}

#[tokio::test]
async fn goes_to_another_reseller_with_everything_it_has() {
    let app = App::new().await;
    let (north, north_key) = app.reseller("North").await;
    let (south, south_key) = app.reseller("South").await;
    let tenant = app.tenant(&north_key, "one.example", json!({})).await;
    let (ada, mailbox) = app.user(&north_key, &tenant, json!({"address": "ada@one.example"})).await;
    let message = app.deliver(&north_key, &mailbox, MESSAGE).await.expect(201);
    let transfer = format!("{tenant}/transfer");
    // A reseller sees no other, so only somebody above both can do it.
    app.post(&north_key, &transfer, json!({"reseller_id": south})).await.expect_problem(404, "not_found");
    let info = json!({"kind": "shared", "display_name": "Info", "address": "info@one.example"});
    app.post(&north_key, &format!("{tenant}/mailboxes"), info).await.expect(201);
    let to_south = || app.post(&app.operator, &transfer, json!({"reseller_id": south}));
    for (caps, code) in [
        (json!({"seats": 0, "tenants": 1}), "seats_exhausted"),
        (json!({"seats": 1, "shared_mailboxes": 0}), "shared_mailboxes_exhausted"),
    ] {
        let capped = json!({ "caps": caps });
        app.patch(&app.operator, &format!("/v1/resellers/{south}"), capped).await.expect(200);
        to_south().await.expect_problem(409, code);
    }
    let wide = json!({"caps": {"shared_mailboxes": 1}});
    app.patch(&app.operator, &format!("/v1/resellers/{south}"), wide).await.expect(200);
    assert_eq!(to_south().await.expect(200)["reseller_id"], json!(south));
    to_south().await.expect_problem(409, "same_reseller");

    app.get(&north_key, &tenant).await.expect_problem(404, "not_found");
    let user = format!("{tenant}/users/{}", text(&ada["id"]));
    assert_eq!(app.get(&south_key, &user).await.expect(200), ada);
    let kept = format!("{mailbox}/messages/{}", text(&message["id"]));
    app.open_for_support(&south_key, &mailbox).await;
    assert_eq!(app.get(&south_key, &kept).await.expect(200)["id"], message["id"]);
    let used = |reseller: String| {
        let app = &app;
        async move {
            app.get(&app.operator, &format!("/v1/resellers/{reseller}")).await.expect(200)["used"].clone()
        }
    };
    let counts = |tenants: u8, domains: u8, seats: u8, shared_mailboxes: u8| {
        json!({"tenants": tenants, "domains": domains, "seats": seats, "shared_mailboxes": shared_mailboxes,
            "storage_bytes": null})
    };
    assert_eq!(used(north).await, counts(0, 0, 0, 0));
    assert_eq!(used(south).await, counts(1, 1, 1, 1));
}

#[tokio::test]
async fn branding_is_inherited_and_says_from_where() {
    let app = App::new().await;
    let (north, key) = app.reseller("North").await;
    let own = format!("/v1/resellers/{north}");
    let says = json!({"branding": {"product_name": "North Mail", "primary_color": "#0a5fd0"}});
    app.patch(&key, &own, says).await.expect(200);
    let branding = json!({"product_name": "Bakery Mail"});
    let tenant = app.tenant(&key, "one.example", json!({"branding": branding})).await;
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let effective = app.get(&key, &format!("{tenant}/branding")).await.expect(200);
    assert_eq!(effective["product_name"], json!({"value": "Bakery Mail", "inherited_from": id}));
    assert_eq!(effective["primary_color"], json!({"value": "#0a5fd0", "inherited_from": north}));
    assert_eq!(effective["logo_url"], json!(null));
    // Null is inherited again.
    app.patch(&key, &tenant, json!({"branding": {"product_name": null}})).await.expect(200);
    let effective = app.get(&key, &format!("{tenant}/branding")).await.expect(200);
    assert_eq!(effective["product_name"], json!({"value": "North Mail", "inherited_from": north}));
    let of_reseller = app.get(&key, &format!("{own}/branding")).await.expect(200);
    assert_eq!(of_reseller["product_name"], effective["product_name"]);
    let wrong = json!({"branding": {"logo_url": "javascript:alert(1)", "primary_color": "blue", "support_email": "nobody"}});
    let problem = app.patch(&key, &tenant, wrong).await.expect_problem(422, "invalid_request");
    let pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| text(&error["pointer"])).collect();
    assert_eq!(pointers, ["/branding/logo_url", "/branding/primary_color", "/branding/support_email"]);
}

#[tokio::test]
async fn is_deleted_restored_and_at_last_destroyed() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({"test_clock": true})).await;
    let own =
        app.post(&key, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await.expect(201);
    let own = text(&own["secret"]);
    app.delete(&key, &tenant).await.expect(204);
    app.delete(&key, &tenant).await.expect_problem(404, "not_found");
    app.get(&own, &tenant).await.expect_problem(404, "not_found");
    app.patch(&key, &tenant, json!({"name": "Ghost"})).await.expect_problem(404, "not_found");
    let shown = app.get(&key, &tenant).await.expect(200);
    assert_eq!(shown["status"], "deleted");
    assert_eq!(app.get(&key, "/v1/tenants").await.expect(200)["data"], json!([]));
    assert_eq!(app.get(&key, "/v1/tenants?status=deleted").await.expect(200)["data"], json!([shown]));
    let restored = app.post(&key, &format!("{tenant}/restore"), json!({})).await.expect(200);
    assert_eq!((&restored["status"], &restored["deleted_at"]), (&json!("active"), &json!(null)));
    app.post(&key, &format!("{tenant}/restore"), json!({})).await.expect_problem(409, "not_deleted");
    app.get(&own, &tenant).await.expect(200);

    app.delete(&key, &tenant).await.expect(204);
    app.get(&key, &format!("{tenant}/destruction-record")).await.expect_problem(404, "not_found");
    let (clock, moves) = (format!("{tenant}/test-clock"), |to: &str| json!({"now": to}));
    app.put(&own, &clock, moves("2026-03-03T09:00:00Z")).await.expect_problem(404, "not_found");
    let moved = app.put(&key, &clock, moves("2026-03-03T09:00:00Z")).await.expect(200);
    assert_eq!((&moved["status"], &moved["test_clock"]), (&json!("deleted"), &json!("2026-03-03T09:00:00Z")));
    // Deleted on the second.
    let far = app.put(&key, &clock, moves("2026-04-09T09:00:01Z")).await;
    assert_eq!(far.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/now");
    app.destroy(&key, &tenant).await;
    app.put(&key, &clock, moves("2026-04-09T09:00:00Z")).await.expect_problem(404, "not_found");
    let purged = app.get(&key, &tenant).await.expect(200);
    assert_eq!(purged["status"], "purged");
    for (query, listed) in
        [("", json!([])), ("?status=deleted", json!([])), ("?status=purged", json!([purged]))]
    {
        assert_eq!(
            app.get(&key, &format!("/v1/tenants{query}")).await.expect(200)["data"],
            listed,
            "{query}"
        );
    }
    app.post(&key, &format!("{tenant}/restore"), json!({})).await.expect_problem(409, "restore_expired");
    let record = app.get(&key, &format!("{tenant}/destruction-record")).await.expect(200);
    assert_eq!(text(&record["jws"]).split('.').count(), 3);
    // Its keys went with it.
    app.get(&own, &tenant).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_trial_has_an_end_in_the_future() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let trial = |ends: &str| {
        let mut body = bakery();
        body["trial_ends_at"] = json!(ends);
        body
    };
    for wrong in ["2026-03-01T00:00:00Z", "in a month"] {
        let problem =
            app.post(&key, "/v1/tenants", trial(wrong)).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/trial_ends_at");
    }
    let made = app.post(&key, "/v1/tenants", trial("2026-04-01T00:00:00Z")).await.expect(201);
    assert_eq!((&made["status"], &made["trial_ends_at"]), (&json!("trial"), &json!("2026-04-01T00:00:00Z")));
    let path = format!("/v1/tenants/{}", text(&made["id"]));
    let past = app.patch(&key, &path, json!({"trial_ends_at": "2026-03-01T00:00:00Z"})).await;
    assert_eq!(past.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/trial_ends_at");
    let customer = app.patch(&key, &path, json!({"trial_ends_at": null})).await.expect(200);
    assert_eq!((&customer["status"], &customer["trial_ends_at"]), (&json!("active"), &json!(null)));
    app.patch(&key, &path, json!({"trial_ends_at": null})).await.expect_problem(409, "trial_over");
}
