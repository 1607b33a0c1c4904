//! What all lists have in common.

use serde_json::{Value, json};

use crate::support::{App, text};

/// A page's `next_cursor`.
async fn cursor_of(app: &App, key: &str, path: &str) -> String {
    text(&app.get(key, path).await.expect(200)["next_cursor"])
}

/// A bakery with three users.
async fn three(app: &App, key: &str, domain: &str) -> String {
    let tenant = app.tenant(key, domain, json!({})).await;
    for name in ["ada", "ben", "eve"] {
        app.user(key, &tenant, json!({"address": format!("{name}@{domain}")})).await;
    }
    tenant
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_alone() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let (one, two) = (three(&app, &key, "one.example").await, three(&app, &key, "two.example").await);
    let users = cursor_of(&app, &key, &format!("{one}/users?limit=1")).await;
    let personal = cursor_of(&app, &key, &format!("{one}/mailboxes?kind=personal&limit=1")).await;
    for good in [
        format!("{one}/users?limit=1&cursor={users}"),
        // How long a page is does not matter, nor in which order things are said.
        format!("{one}/users?cursor={users}&limit=7"),
        format!("{one}/users?cursor={users}"),
        format!("{one}/mailboxes?cursor={personal}&kind=personal"),
    ] {
        let page = app.get(&key, &good).await.expect(200);
        assert!(!page["data"].as_array().unwrap().is_empty(), "{good}: {page}");
    }
    // Such as there were before they named a list.
    let first = app.get(&key, &format!("{one}/users?limit=1")).await.expect(200);
    let first: kernel::UserId = text(&first["data"][0]["id"]).parse().unwrap();
    let bare = kernel::Cursor::after(first.uuid());
    for (path, cursor) in [
        (format!("{one}/mailboxes?kind=personal"), &users),
        (format!("{one}/groups?limit=1"), &users),
        (format!("{two}/users?limit=1"), &users),
        (format!("{one}/users?status=deleted"), &users),
        ("/v1/tenants?limit=1".into(), &users),
        ("/v1/events?limit=1".into(), &users),
        (format!("{one}/mailboxes?limit=1"), &personal),
        (format!("{one}/mailboxes?kind=shared"), &personal),
        (format!("{one}/users?limit=1"), &bare.to_string()),
    ] {
        let refused = app.get(&key, &format!("{path}&cursor={cursor}")).await;
        let refused = refused.expect_problem(422, "invalid_request");
        let detail = "is of another list, or of this one with other filters";
        assert_eq!(refused["errors"], json!([{"parameter": "cursor", "detail": detail}]), "{path}");
    }
}

#[tokio::test]
async fn a_cursor_of_the_feed_is_a_place_in_it_whatever_narrows_it() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    three(&app, &key, "one.example").await;
    tenancy::event::chain(&app.db.db()).await.unwrap();
    let feed = "/v1/events?limit=1&kind=user.created";
    let cursor = cursor_of(&app, &key, feed).await;
    let rest = async |path: String| {
        let page = app.get(&key, &path).await.expect(200);
        page["data"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<Value>>()
    };
    let rest_of_users = rest(format!("/v1/events?kind=user.created&cursor={cursor}")).await;
    assert_eq!(rest_of_users.len(), 2);
    let on_the_trail = format!("/v1/audit-log?kind=user.created&cursor={cursor}");
    assert_eq!(rest(on_the_trail).await, rest_of_users);
    let rest_of_all = rest(format!("/v1/events?cursor={cursor}")).await;
    assert!(rest_of_users.iter().all(|one| rest_of_all.contains(one)), "{rest_of_all:?}");
    // One that somebody has kept since before cursors named a list.
    let named: kernel::Cursor = cursor.parse().unwrap();
    let bare = kernel::Cursor::after(named.last_seen());
    assert_eq!(rest(format!("/v1/events?kind=user.created&cursor={bare}")).await, rest_of_users);
    let elsewhere = app.get(&key, &format!("/v1/tenants?cursor={cursor}")).await;
    elsewhere.expect_problem(422, "invalid_request");
}

#[tokio::test]
async fn a_parameter_that_a_list_does_not_know_is_refused() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    for (list, parameter) in [("aliases", "colour"), ("holds", "limits"), ("users", "Status")] {
        let refused = app.get(&key, &format!("{tenant}/{list}?{parameter}=x")).await;
        let refused = refused.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["parameter"], parameter, "{refused}");
    }
}
