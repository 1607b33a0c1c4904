use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::json;

use crate::billing;
use crate::support::{App, text};

#[tokio::test]
async fn is_created_with_a_mailbox_and_deleted() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({"seats": {"limit": 2}})).await;
    let body = json!({
        "address": "Ada@One.Example", "aliases": ["a@one.example"], "display_name": "Ada", "role": "helpdesk",
        "password": "correct horse", "quota_bytes": 1000, "external_id": "42",
    });
    let (made, mailbox) = app.user(&key, &tenant, body).await;
    let expected = json!({
        "id": made["id"], "tenant_id": tenant.strip_prefix("/v1/tenants/"), "address": "ada@one.example",
        "aliases": ["a@one.example"], "display_name": "Ada", "role": "helpdesk", "status": "active",
        "suspended_capabilities": [], "mailbox_id": made["mailbox_id"], "external_id": "42", "created_at": "2026-03-02T09:00:00Z",
        "given_name": null, "family_name": null, "deleted_at": null,
    });
    assert_eq!(made, expected);
    let path = format!("{tenant}/users/{}", text(&made["id"]));
    assert_eq!(app.get(&key, &path).await.expect(200), made);
    assert_eq!(app.get(&key, &mailbox).await.expect(200)["quota"]["quota_bytes"], 1000);
    // Ids are in the order of the clock.
    app.db.clock().advance(chrono::TimeDelta::milliseconds(1));
    let (plain, _) = app.user(&key, &tenant, json!({"address": "bob@one.example"})).await;
    assert_eq!((&plain["role"], &plain["display_name"]), (&json!("user"), &json!("bob@one.example")));
    assert_eq!(app.get(&key, &format!("{tenant}/users")).await.expect(200)["data"], json!([made, plain]));

    app.delete(&key, &path).await.expect(204);
    app.delete(&key, &path).await.expect_problem(404, "not_found");
    assert_eq!(app.get(&key, &format!("{tenant}/users")).await.expect(200)["data"], json!([plain]));
    assert_eq!(app.get(&key, &tenant).await.expect(200)["seats"], json!({"limit": 2, "used": 1}));
}

#[tokio::test]
async fn one_too_many_leaves_nothing_half_made() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({"seats": {"limit": 1}})).await;
    let (ada, _) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    let mailboxes = app.get(&key, &format!("{tenant}/mailboxes")).await.expect(200);
    let body = json!({"address": "bob@one.example", "aliases": ["b@one.example"]});
    app.post(&key, &format!("{tenant}/users"), body.clone()).await.expect_problem(409, "seats_exhausted");
    assert_eq!(app.get(&key, &format!("{tenant}/users")).await.expect(200)["data"], json!([ada]));
    assert_eq!(app.get(&key, &format!("{tenant}/mailboxes")).await.expect(200), mailboxes);
    assert_eq!(app.get(&key, &tenant).await.expect(200)["seats"], json!({"limit": 1, "used": 1}));
    // The addresses are free: with room, the same request succeeds.
    app.patch(&key, &tenant, json!({"seats": {"limit": 2}})).await.expect(200);
    app.post(&key, &format!("{tenant}/users"), body).await.expect(201);
}

#[tokio::test]
async fn the_reseller_s_cap_holds_over_all_its_tenants() {
    let app = App::new().await;
    let (reseller, key) = app.reseller("North").await;
    app.patch(&app.operator, &format!("/v1/resellers/{reseller}"), json!({"caps": {"seats": 1}}))
        .await
        .expect(200);
    let one = app.tenant(&key, "one.example", json!({})).await;
    let two = app.tenant(&key, "two.example", json!({})).await;
    app.user(&key, &one, json!({"address": "ada@one.example"})).await;
    let refused = app.post(&key, &format!("{two}/users"), json!({"address": "bob@two.example"})).await;
    let problem = refused.expect_problem(409, "seats_exhausted");
    assert_eq!(problem["detail"], "all 1 seats of the reseller are taken");
}

#[tokio::test]
async fn bad_input_is_pointed_at() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    app.user(&key, &tenant, json!({"address": "ada@one.example", "aliases": ["a@one.example"]})).await;
    let users = format!("{tenant}/users");
    let cases = [
        (json!({"address": "nobody"}), "/address"),
        (json!({"address": "x@two.example"}), "/address"),
        (json!({"address": "x@one.example", "aliases": ["y@one.example", "z@two.example"]}), "/aliases/1"),
        (json!({"address": "x@one.example", "password": "short"}), "/password"),
        (json!({"address": "x@one.example", "quota_bytes": -1}), "/quota_bytes"),
        (json!({"address": "x@one.example", "quota_bytes": 1.5}), "/quota_bytes"),
        (json!({"address": "x@one.example", "role": "operator"}), "/role"),
        (json!({"address": "x@one.example", "role": "king"}), "/role"),
        (json!({"address": "x@one.example", "nickname": "x"}), "/nickname"),
        (json!({}), "/address"),
    ];
    for (body, pointer) in cases {
        let problem = app.post(&key, &users, body.clone()).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    for address in ["ada@one.example", "A@One.Example"] {
        app.post(&key, &users, json!({"address": address})).await.expect_problem(409, "address_taken");
    }
    assert_eq!(app.get(&key, &tenant).await.expect(200)["seats"]["used"], 1);
}

#[tokio::test]
async fn is_changed_in_the_one_version_that_a_list_names() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (user, _) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    let path = format!("{tenant}/users/{}", text(&user["id"]));
    let patch = async |tags: &[&str], name: &str| {
        let call = app.call(Method::PATCH, &path).token(&key);
        let call = tags.iter().fold(call, |call, tag| call.header("if-match", tag));
        call.json(json!({"display_name": name})).send().await
    };
    for (tags, name) in [(&["\"x, y\", W/\"9\",\"1\""][..], "A"), (&["\"x\"", "\"2\""][..], "B")] {
        assert_eq!(patch(tags, name).await.expect(200)["display_name"], name, "{tags:?}");
    }
    // In one line, and in two.
    for several in [&["\"1\", \"3\""][..], &["\"1\"", "\"3\""][..]] {
        patch(several, "Eve").await.expect_problem(422, "invalid_request");
    }
    let shown = app.get(&key, &path).await;
    assert_eq!((&shown.expect(200)["display_name"], shown.header("etag")), (&json!("B"), Some("\"3\"")));
}

#[tokio::test]
async fn is_changed_in_the_version_that_was_seen() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (user, _) = app.user(&key, &tenant, json!({"address": "ada@one.example", "external_id": "7"})).await;
    let path = format!("{tenant}/users/{}", text(&user["id"]));
    let seen = app.get(&key, &path).await;
    assert_eq!(seen.header("etag"), Some("\"1\""));
    let patch = async |tag: &str, body: serde_json::Value| {
        let call = app.call(Method::PATCH, &path).token(&key).header("if-match", tag);
        call.bytes("application/merge-patch+json", body.to_string()).send().await
    };
    let changed =
        patch("\"1\"", json!({"display_name": "Ada", "external_id": null, "role": "helpdesk"})).await;
    let body = changed.expect(200);
    assert_eq!((&body["display_name"], &body["external_id"]), (&json!("Ada"), &json!(null)));
    assert_eq!(changed.header("etag"), Some("\"2\""));
    patch("\"1\"", json!({"display_name": "Eve"})).await.expect_problem(412, "version_mismatch");
    patch("W/\"2\"", json!({})).await.expect_problem(412, "version_mismatch");
    patch("2", json!({})).await.expect_problem(422, "invalid_request");
    for (body, pointer) in [
        (json!({"display_name": null}), "/display_name"),
        (json!({"role": "operator"}), "/role"),
        (json!({"aliases": ["x"]}), "/aliases/0"),
        (json!({"address": "ada@two.example"}), "/address"),
        (json!({"given_name": ""}), "/given_name"),
        (json!({"id": "usr_1"}), "/id"),
    ] {
        let refused = patch("*", body.clone()).await.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}: {refused}");
    }
}

#[tokio::test]
async fn is_suspended_deleted_and_restored() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let new = json!({"address": "ada@one.example", "password": "correct horse battery"});
    let (user, _) = app.user(&key, &tenant, new).await;
    let path = format!("{tenant}/users/{}", text(&user["id"]));
    let token = app.sign_in("ada@one.example", "correct horse battery").await;
    let body = json!({"capabilities": ["sign_in", "send"]});
    let suspended = app.post(&key, &format!("{path}/suspend"), body).await.expect(200);
    assert_eq!(suspended["status"], "suspended");
    assert_eq!(suspended["suspended_capabilities"], json!(["sign_in", "send"]));
    app.get(&token, &format!("{tenant}/mailboxes")).await.expect_problem(401, "unauthenticated");
    let wrong = app.post(&key, &format!("{path}/suspend"), json!({"capabilities": ["fly"]})).await;
    assert_eq!(wrong.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/capabilities/0");
    assert_eq!(app.post(&key, &format!("{path}/resume"), json!({})).await.expect(200)["status"], "active");
    app.delete(&key, &path).await.expect(204);
    let deleted = app.get(&key, &format!("{tenant}/users?status=deleted")).await.expect(200);
    assert_eq!(deleted["data"][0]["id"], user["id"]);
    // They are shown, and so it is told why they are not changed.
    app.get(&key, &path).await.expect(200);
    app.patch(&key, &path, json!({"display_name": "Ghost"})).await.expect_problem(409, "user_deleted");
    let changes = [
        ("suspend", json!({})),
        ("resume", json!({})),
        ("offboard", json!({})),
        ("reset-password", json!({"password": "another good one"})),
    ];
    for (verb, body) in changes {
        app.post(&key, &format!("{path}/{verb}"), body).await.expect_problem(409, "user_deleted");
    }
    let heir =
        app.post(&key, &format!("{tenant}/users"), json!({"address": "ada@one.example"})).await.expect(201);
    let taken =
        app.post(&key, &format!("{path}/restore"), json!({})).await.expect_problem(409, "address_taken");
    assert_eq!(taken["errors"][0]["pointer"], "/address");
    let heir = format!("{tenant}/users/{}", text(&heir["id"]));
    app.patch(&key, &heir, json!({"address": "heir@one.example", "aliases": []})).await.expect(200);
    let restore = format!("{path}/restore");
    let empty = app.call(Method::POST, &restore).token(&key).bytes("application/json", "").send();
    let empty = empty.await.expect_problem(400, "malformed_body");
    assert!(text(&empty["detail"]).contains("if only {}"), "{empty}");
    let restored = app.post(&key, &restore, json!({})).await.expect(200);
    assert_eq!((&restored["id"], &restored["status"]), (&user["id"], &json!("active")));
    app.post(&key, &format!("{path}/restore"), json!({})).await.expect_problem(409, "not_deleted");
    app.post(&key, &format!("{path}/reset-password"), json!({"password": "another good one"}))
        .await
        .expect(204);
    app.sign_in("ada@one.example", "another%20good%20one").await;
    let short = app.post(&key, &format!("{path}/reset-password"), json!({"password": "short"})).await;
    assert_eq!(short.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/password");
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_names_the_row() {
    let app = App::new().await;
    let (reseller, key) = app.reseller("North").await;
    let above = format!("/v1/resellers/{reseller}");
    let tenant = app.tenant(&key, "one.example", json!({"seats": {"limit": 4}})).await;
    let batch = format!("{tenant}/users/batch");
    let rows = |locals: &[&str]| {
        let users = locals.iter().map(|local| json!({"address": format!("{local}@one.example")}));
        json!({"users": users.collect::<Vec<_>>()})
    };
    let made = app.post(&key, &batch, rows(&["ada", "bob", "eve"])).await.expect(201);
    let listed = app.get(&key, &format!("{tenant}/users")).await.expect(200);
    let row = |user: &serde_json::Value| (text(&user["address"]), text(&user["id"]));
    let in_order: Vec<_> = made["users"].as_array().unwrap().iter().map(|user| row(user).0).collect();
    assert_eq!(in_order, ["ada@one.example", "bob@one.example", "eve@one.example"]);
    // Ids of one instant have no order among themselves.
    let sorted =
        |users: &serde_json::Value| users.as_array().unwrap().iter().map(row).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&made["users"]), sorted(&listed["data"]));

    let pointers = |problem: &serde_json::Value| -> Vec<String> {
        problem["errors"].as_array().unwrap().iter().map(|error| text(&error["pointer"])).collect()
    };
    let taken = app.post(&key, &batch, rows(&["new", "ada"])).await.expect_problem(409, "address_taken");
    assert_eq!(pointers(&taken), ["/users/1/address"]);
    let twice = app.post(&key, &batch, rows(&["new", "new"])).await.expect_problem(409, "address_taken");
    assert_eq!(pointers(&twice), ["/users/1/address"]);
    let alias =
        json!({"users": [{"address": "new@one.example", "aliases": ["x@one.example", "bob@one.example"]}]});
    let alias = app.post(&key, &batch, alias).await.expect_problem(409, "address_taken");
    assert_eq!(pointers(&alias), ["/users/0/aliases/1"]);
    let body = json!({"users": [{"address": "new@one.example"}, {"address": "@"}, {"address": "x@one.example", "role": "user", "quota_bytes": -1}]});
    let wrong = app.post(&key, &batch, body).await.expect_problem(422, "invalid_request");
    assert_eq!(pointers(&wrong), ["/users/1/address", "/users/2/quota_bytes"]);
    let unknown = json!({"users": [{"address": "new@one.example", "nickname": "n"}]});
    let unknown = app.post(&key, &batch, unknown).await.expect_problem(422, "invalid_request");
    assert_eq!(pointers(&unknown), ["/users/0/nickname"]);
    let elsewhere = json!({"users": [{"address": "new@one.example"}, {"address": "new@other.example"}]});
    let elsewhere = app.post(&key, &batch, elsewhere).await.expect_problem(422, "invalid_request");
    assert_eq!(pointers(&elsewhere), ["/users/1/address"]);
    let full = app
        .post(&key, &batch, rows(&["new", "newer", "newest"]))
        .await
        .expect_problem(409, "seats_exhausted");
    assert_eq!(pointers(&full), ["/users/1"]);
    assert_eq!(full["detail"], "users 1: only 1 of the 4 seats of the tenant are left");
    // The level that has least left counts.
    let above = |seats: Option<u32>| app.patch(&app.operator, &above, json!({"caps": {"seats": seats}}));
    above(Some(3)).await.expect(200);
    let full = app
        .post(&key, &batch, rows(&["new", "newer", "newest"]))
        .await
        .expect_problem(409, "seats_exhausted");
    assert_eq!(
        (pointers(&full), &full["detail"]),
        (vec!["/users/0".to_owned()], &json!("users 0: all 3 seats of the reseller are taken"))
    );
    above(None).await.expect(200);
    let many: Vec<_> = (0..1001).map(|n| format!("u{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let many = app.post(&key, &batch, rows(&many)).await.expect_problem(422, "invalid_request");
    assert_eq!(pointers(&many), ["/users"]);
    app.post(&key, &batch, rows(&[])).await.expect_problem(422, "invalid_request");

    assert_eq!(app.get(&key, &format!("{tenant}/users")).await.expect(200), listed);
    assert_eq!(app.get(&key, &tenant).await.expect(200)["seats"]["used"], 3);
    app.post(&key, &batch, rows(&["new"])).await.expect(201);
}

#[tokio::test]
async fn a_batch_names_the_first_whose_quota_is_too_much() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let storage = json!({"storage": {"limit_bytes": 1_000, "allow_overallocation": false}});
    let tenant = app.tenant(&key, "one.example", storage).await;
    app.user(&key, &tenant, json!({"address": "ada@one.example", "quota_bytes": 400})).await;
    let batch = format!("{tenant}/users/batch");
    let rows = |quotas: &[Option<i64>]| {
        let users = quotas.iter().enumerate();
        let users =
            users.map(|(n, quota)| json!({"address": format!("u{n}@one.example"), "quota_bytes": quota}));
        json!({"users": users.collect::<Vec<_>>()})
    };
    for (quotas, row) in [
        (&[Some(300), Some(300), Some(1), Some(1)][..], "/users/2"),
        (&[Some(300), None, Some(1)], "/users/1"),
        (&[Some(601)], "/users/0"),
    ] {
        let refused = app.post(&key, &batch, rows(quotas)).await.expect_problem(409, "pool_overallocated");
        assert_eq!(refused["errors"][0]["pointer"], row, "{refused}");
    }
    app.post(&key, &batch, rows(&[Some(300), Some(300)])).await.expect(201);
}

#[tokio::test]
async fn a_thousand_come_in_one_batch() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let users: Vec<_> = (0..1000)
        .map(|n| json!({"address": format!("u{n}@one.example"), "external_id": format!("e-{n}")}))
        .collect();
    let made = app.post(&key, &format!("{tenant}/users/batch"), json!({"users": users})).await.expect(201);
    assert_eq!(made["users"].as_array().unwrap().len(), 1000);
    assert_eq!(made["users"][999]["external_id"], "e-999");
    assert_eq!(app.get(&key, &tenant).await.expect(200)["seats"]["used"], 1000);
}

#[tokio::test]
async fn a_dry_run_tells_what_it_would_come_to_and_changes_nothing() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = billing::subscribed(&app, &key, "one.example", 1).await;
    let limits = json!({"seats": {"limit": 3}, "storage": {"limit_bytes": 10_000}});
    app.patch(&key, &tenant, limits).await.expect(200);
    let before = app.get(&key, &tenant).await.expect(200);
    let listed = app.get(&key, &format!("{tenant}/users")).await.expect(200);
    let users = format!("{tenant}/users?dry_run=true");
    let new = json!({"address": "new@one.example", "quota_bytes": 500});
    let effect = app.post(&key, &users, new.clone()).await.expect(200);
    assert_eq!(effect["seats"], json!({"before": 1, "after": 2, "limit": 3}));
    assert_eq!(effect["quota"]["storage_limit_bytes"], 10_000);
    let one = effect["price_difference"]["amount"]["amount_minor"].as_i64().unwrap();
    assert!(one > 0, "{effect}");

    let two = json!({"users": [new.clone(), {"address": "newer@one.example"}]});
    let batch = format!("{tenant}/users/batch?dry_run=true");
    let effect = app.post(&key, &batch, two).await.expect(200);
    assert_eq!(effect["seats"], json!({"before": 1, "after": 3, "limit": 3}));
    assert_eq!(effect["quota"]["after_bytes"], json!(null), "one is unlimited");
    let of_two = effect["price_difference"]["amount"]["amount_minor"].as_i64().unwrap();
    assert!((of_two - 2 * one).abs() <= 1, "{one} and {of_two}");

    // What would be refused is refused.
    let many = json!({"users": [new, {"address": "a@one.example"}, {"address": "b@one.example"}]});
    app.post(&key, &batch, many).await.expect_problem(409, "seats_exhausted");
    let taken = json!({"address": text(&listed["data"][0]["address"])});
    app.post(&key, &users, taken).await.expect_problem(409, "address_taken");
    let user = format!("{tenant}/users/{}", text(&listed["data"][0]["id"]));
    let effect = app.delete(&key, &format!("{user}?dry_run=true")).await.expect(200);
    assert_eq!(effect["seats"]["after"], 0);
    assert_eq!(app.get(&key, &tenant).await.expect(200), before);
    assert_eq!(app.get(&key, &format!("{tenant}/users")).await.expect(200), listed);

    app.delete(&key, &user).await.expect(204);
    let restore = format!("{user}/restore?dry_run=true");
    let effect = app.post(&key, &restore, json!({})).await.expect(200);
    assert_eq!(effect["seats"], json!({"before": 0, "after": 1, "limit": 3}));
    assert_eq!(app.get(&key, &user).await.expect(200)["status"], "deleted");
}

/// What a dry run says of the price is what the next invoice comes to.
#[tokio::test]
async fn the_price_difference_is_what_the_next_invoice_shows() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let with = billing::subscribed(&app, &key, "with.example", 1).await;
    let without = billing::subscribed(&app, &key, "without.example", 1).await;
    for tenant in [&with, &without] {
        billing::run(
            &app,
            &key,
            json!({"as_of": "2026-03-02", "tenant_id": tenant.strip_prefix("/v1/tenants/")}),
        )
        .await;
    }
    let new = json!({"address": "new@with.example"});
    let told = app.post(&key, &format!("{with}/users?dry_run=true"), new.clone()).await.expect(200);
    let told = &told["price_difference"];
    app.post(&key, &format!("{with}/users"), new).await.expect(201);
    let due = text(&told["next_invoice_on"]);
    let mut totals = Vec::new();
    for tenant in [&with, &without] {
        app.put(&key, &format!("{tenant}/test-clock"), json!({"now": format!("{due}T12:00:00Z")}))
            .await
            .expect(200);
        billing::run(&app, &key, json!({"as_of": due, "tenant_id": tenant.strip_prefix("/v1/tenants/")}))
            .await;
        let invoices = app.get(&key, &format!("{tenant}/invoices")).await.expect(200);
        let on_the_day = invoices["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["issued_on"] == json!(due))
            .unwrap()
            .clone();
        totals.push(on_the_day["total"]["amount_minor"].as_i64().unwrap());
    }
    assert_eq!(told["amount"]["amount_minor"], totals[0] - totals[1]);
    assert!(totals[0] > totals[1]);
}

#[tokio::test]
async fn a_post_that_needs_no_member_and_ends_nothing_needs_no_body() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (user, _) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    let path = format!("{tenant}/users/{}", text(&user["id"]));
    let bodiless = async |method: Method, path: &str| app.call(method, path).token(&key).send().await;
    for at in [&path, &tenant] {
        for (verb, status) in [("suspend", "suspended"), ("resume", "active")] {
            // Who picks no capability does not mean all of them.
            let none = app.post(&key, &format!("{at}/{verb}"), json!({"capabilities": []})).await;
            assert_eq!(none.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/capabilities");
            let done = bodiless(Method::POST, &format!("{at}/{verb}")).await;
            assert_eq!(done.expect(200)["status"], status, "{at}");
        }
    }
    bodiless(Method::DELETE, &path).await.expect(204);
    assert_eq!(bodiless(Method::POST, &format!("{path}/restore")).await.expect(200)["status"], "active");
    // What needs a member, what ends something, what changes what is there, and what is of no known type.
    let posts = ["users", "domains"].map(|made| format!("{tenant}/{made}"));
    let more = [
        format!("{path}/reset-password"),
        format!("{path}/offboard"),
        format!("{tenant}/subscription/cancel"),
    ];
    for post in posts.iter().chain(&more) {
        bodiless(Method::POST, post).await.expect_problem(415, "unsupported_media_type");
    }
    for changed in [&path, &tenant] {
        bodiless(Method::PATCH, changed).await.expect_problem(415, "unsupported_media_type");
    }
    let suspend = format!("{path}/suspend");
    let untyped = app.call(Method::POST, &suspend).token(&key).untyped("{\"capabilities\": [\"send\"]}");
    untyped.send().await.expect_problem(415, "unsupported_media_type");
    let typed = app.call(Method::POST, &suspend).token(&key).bytes("text/plain", "");
    typed.send().await.expect_problem(415, "unsupported_media_type");
    assert_eq!(app.get(&key, &path).await.expect(200)["status"], "active");
}

#[tokio::test]
async fn who_leaves_may_leave_a_mailbox_on_hold() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (ada, _) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    let path = format!("{tenant}/users/{}/offboard", text(&ada["id"]));
    for blank in ["", "   "] {
        let without = app.post(&key, &path, json!({"hold": {"reason": blank}})).await;
        assert_eq!(without.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/hold/reason");
        let without = app.post(&key, &format!("{tenant}/holds"), json!({"reason": blank})).await;
        assert_eq!(without.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/reason");
    }
    let done = app.post(&key, &path, json!({"hold": {"reason": "Case 17/2026"}})).await.expect(202);
    assert_eq!((&done["steps"][4]["name"], &done["total"]), (&json!("hold"), &json!(5)));
    let hold = format!("{tenant}/holds/{}", text(&done["steps"][4]["outcome"]));
    let result = json!({"mailbox": "kept", "mailbox_id": ada["mailbox_id"], "seat_released": true, "app_passwords_revoked": 0,
        "hold_id": done["steps"][4]["outcome"]});
    assert_eq!((&done["result"], &done["problem"]), (&result, &json!(null)));
    let hold = app.get(&key, &hold).await.expect(200);
    assert_eq!((&hold["mailbox_id"], &hold["reason"]), (&ada["mailbox_id"], &json!("Case 17/2026")));
    assert_eq!(hold["released_at"], json!(null));
}
