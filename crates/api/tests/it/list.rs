//! What all lists have in common.

use serde_json::{Value, json};

use crate::billing::{billed, sold_wholesale};
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
    for (list, parameter, known) in [
        ("aliases", "colour", "limit, cursor, address, mailbox_id and group_id"),
        ("holds", "limits", "limit and cursor"),
        ("users", "Status", "limit, cursor, status, role, external_id and address"),
    ] {
        let refused = app.get(&key, &format!("{tenant}/{list}?{parameter}=x")).await;
        let refused = refused.expect_problem(422, "invalid_request");
        let detail = format!("is none of this operation's, which takes {known}");
        assert_eq!(refused["errors"], json!([{"parameter": parameter, "detail": detail}]));
    }
    let refused =
        app.post(&key, &format!("{tenant}/users?dry=true"), json!({"address": "a@one.example"})).await;
    let refused = refused.expect_problem(422, "invalid_request");
    assert_eq!(refused["detail"], "dry: is none of this operation's, which takes dry_run");
}

#[tokio::test]
async fn a_word_that_a_filter_does_not_know_is_told_which_it_does() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (_, mailbox) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    for (path, parameter, words) in [
        ("/v1/tenants".to_owned(), "status", "trial, active, suspended, deleted or purged"),
        ("/v1/resellers".to_owned(), "status", "deleted"),
        (format!("{tenant}/users"), "status", "active, suspended or deleted"),
        (format!("{tenant}/users"), "role", "tenant_admin, tenant_billing, helpdesk or user"),
        (format!("{tenant}/mailboxes"), "kind", "personal, shared, room, equipment or archive"),
        (format!("{tenant}/mailboxes"), "status", "deleted"),
        (format!("{tenant}/domains"), "status", "pending or active"),
        (format!("{tenant}/invoices"), "status", "draft, final, paid or void"),
        (format!("{tenant}/invoices"), "kind", "invoice or credit_note"),
        (
            format!("{tenant}/payments"),
            "status",
            "pending, unknown, requires_action, processing, failed or succeeded",
        ),
        (format!("{tenant}/outgoing"), "state", "queued, delivering, held, delivered, failed or dropped"),
        (format!("{mailbox}/messages"), "state", "live or recoverable"),
    ] {
        let refused = app.get(&key, &format!("{path}?{parameter}=foo")).await;
        let refused = refused.expect_problem(422, "invalid_request");
        let detail = format!("must be {words}");
        assert_eq!(refused["errors"], json!([{"parameter": parameter, "detail": detail}]), "{path}");
    }
    // As in a body.
    let user = json!({"address": "ben@one.example", "role": "king"});
    let refused =
        app.post(&key, &format!("{tenant}/users"), user).await.expect_problem(422, "invalid_request");
    let detail = "must be tenant_admin, tenant_billing, helpdesk or user";
    assert_eq!(refused["errors"], json!([{"pointer": "/role", "detail": detail}]));
}

/// What a list has, each item by one of its members.
async fn shown(app: &App, key: &str, path: &str, member: &str) -> Vec<String> {
    let page = app.get(key, path).await.expect(200);
    page["data"].as_array().unwrap().iter().map(|one| text(&one[member])).collect()
}

#[tokio::test]
async fn users_are_narrowed_by_their_fields_and_paged_as_ever() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let users = format!("{tenant}/users");
    let mut paths = Vec::new();
    let join = async |name: &str, role: &str| {
        app.db.clock().advance(chrono::TimeDelta::seconds(1));
        let body = json!({"address": format!("{name}@one.example"), "role": role});
        format!("{users}/{}", text(&app.user(&key, &tenant, body).await.0["id"]))
    };
    for (name, role) in [("ada", "user"), ("ben", "user"), ("eve", "helpdesk"), ("fay", "user")] {
        paths.push(join(name, role).await);
    }
    let suspend = async |path: &str| {
        app.post(&key, &format!("{path}/suspend"), json!({"capabilities": ["send"]})).await.expect(200);
    };
    suspend(&paths[1]).await;
    suspend(&paths[2]).await;
    app.delete(&key, &paths[3]).await.expect(204);
    let of = async |query: &str| {
        let addresses = shown(&app, &key, &format!("{users}?{query}"), "address").await;
        addresses.iter().map(|address| address[..3].to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "ada ben eve"),
        ("status=active", "ada"),
        ("status=suspended", "ben eve"),
        ("status=deleted", "fay"),
        ("role=helpdesk", "eve"),
        ("role=user", "ada ben"),
        ("role=user&status=suspended", "ben"),
        ("role=tenant_admin", ""),
        ("status=suspended&address=eve@one.example", "eve"),
        ("status=active&address=eve@one.example", ""),
    ] {
        assert_eq!(of(query).await, expected, "{query}");
    }
    // Who comes meanwhile is on a later page.
    let mut seen = Vec::new();
    let mut path = format!("{users}?status=suspended&limit=1");
    loop {
        let page = app.get(&key, &path).await.expect(200);
        seen.push(text(&page["data"][0]["address"]));
        if seen.len() == 1 {
            suspend(&join("gus", "user").await).await;
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{users}?status=suspended&limit=1&cursor={cursor}");
    }
    assert_eq!(seen, ["ben@one.example", "eve@one.example", "gus@one.example"]);
    for (query, parameter) in [("status=gone", "status"), ("role=king", "role")] {
        let refused = app.get(&key, &format!("{users}?{query}")).await;
        let refused = refused.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["parameter"], parameter, "{refused}");
    }
}

#[tokio::test]
async fn domains_are_narrowed_by_their_fields() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let domains = format!("{tenant}/domains");
    app.post(&key, &domains, json!({"name": "Bücher.Example"})).await.expect(201);
    let of = async |query: &str| shown(&app, &key, &format!("{domains}?{query}"), "name").await.join(" ");
    for (query, expected) in [
        ("status=active", "one.example"),
        ("status=pending", "xn--bcher-kva.example"),
        ("name=b%C3%BCcher.example", "xn--bcher-kva.example"),
        ("name=ONE.example&status=active", "one.example"),
        ("name=one.example&status=pending", ""),
        ("name=two.example", ""),
        ("name=no+domain", ""),
    ] {
        assert_eq!(of(query).await, expected, "{query}");
    }
    let refused = app.get(&key, &format!("{domains}?status=routed")).await;
    assert_eq!(refused.expect_problem(422, "invalid_request")["errors"][0]["parameter"], "status");
}

#[tokio::test]
async fn groups_and_aliases_are_narrowed_by_their_fields() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let ada = json!({"address": "ada@one.example", "aliases": ["info@one.example", "shop@one.example"]});
    let (ada, _) = app.user(&key, &tenant, ada).await;
    let (groups, aliases) = (format!("{tenant}/groups"), format!("{tenant}/aliases"));
    let sales = json!({"display_name": "Sales", "address": "sales@one.example", "aliases": ["vertrieb@one.example"],
        "external_id": "g-17"});
    let sales = app.post(&key, &groups, sales).await.expect(201);
    app.post(&key, &groups, json!({"display_name": "All"})).await.expect(201);
    let of = async |path: &str, member: &str| {
        let mut found = shown(&app, &key, path, member).await;
        found.sort();
        found.join(" ")
    };
    for (query, expected) in [
        ("", "All Sales"),
        ("address=sales@one.example", "Sales"),
        ("address=Vertrieb@one.example", "Sales"),
        ("address=ada@one.example", ""),
        ("address=nobody", ""),
        ("external_id=g-17&address=sales@one.example", "Sales"),
        ("external_id=g-18", ""),
    ] {
        assert_eq!(of(&format!("{groups}?{query}"), "display_name").await, expected, "{query}");
    }
    let (mailbox, group) = (text(&ada["mailbox_id"]), text(&sales["id"]));
    for (query, expected) in [
        (format!("mailbox_id={mailbox}"), "info@one.example shop@one.example"),
        (format!("group_id={group}"), "vertrieb@one.example"),
        (format!("group_id={group}&mailbox_id={mailbox}"), ""),
        ("address=Info@one.example".into(), "info@one.example"),
        (format!("address=info@one.example&group_id={group}"), ""),
        // Primary ones are no aliases.
        ("address=ada@one.example".into(), ""),
    ] {
        assert_eq!(of(&format!("{aliases}?{query}"), "address").await, expected, "{query}");
    }
    let refused = app.get(&key, &format!("{aliases}?mailbox_id={group}")).await;
    assert_eq!(refused.expect_problem(422, "invalid_request")["errors"][0]["parameter"], "mailbox_id");
}

#[tokio::test]
async fn wholesale_documents_and_payments_are_narrowed_as_those_of_tenants() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let (_, id) = sold_wholesale(&app, &reseller).await;
    let path = format!("/v1/resellers/{reseller}");
    let (invoices, payments) = (format!("{path}/invoices"), format!("{path}/payments"));
    let there = async |path: &str| shown(&app, &north, path, "id").await;
    let one = vec![text(&id)];
    for (query, is_there) in [
        ("status=final", true),
        ("status=paid", false),
        ("status=void", false),
        ("status=draft", false),
        ("kind=invoice&status=final", true),
        ("kind=credit_note", false),
        ("from=2026-03-02&to=2026-03-03", true),
        ("from=2026-03-03", false),
        ("to=2026-03-02", false),
    ] {
        let expected = if is_there { one.clone() } else { Vec::new() };
        assert_eq!(there(&format!("{invoices}?{query}")).await, expected, "{query}");
    }
    let paid = json!({"amount": {"amount_minor": 22500, "currency": "EUR"}, "reference": "INV-000001",
        "received_on": "2026-03-02"});
    let paid = app.post(&app.operator, &payments, paid).await.expect(201);
    assert_eq!(there(&format!("{invoices}?status=paid")).await, one);
    assert!(there(&format!("{invoices}?status=final")).await.is_empty());
    for (query, expected) in [
        (format!("status=succeeded&invoice_id={}", one[0]), vec![text(&paid["id"])]),
        ("status=failed".into(), Vec::new()),
        ("invoice_id=inv_019a2f3c5d7e7abc8def0123456789ab".into(), Vec::new()),
    ] {
        assert_eq!(there(&format!("{payments}?{query}")).await, expected, "{query}");
    }
    let of_invoices = "is none of this operation's, which takes limit, cursor, status, kind, from and to";
    let of_payments = "is none of this operation's, which takes limit, cursor, status and invoice_id";
    for (path, parameter, detail) in [
        (format!("{invoices}?colour=x"), "colour", of_invoices),
        (format!("{payments}?colour=x"), "colour", of_payments),
        (format!("{invoices}?status=foo"), "status", "must be draft, final, paid or void"),
        (format!("{invoices}?from=2026-03-03&to=2026-03-02"), "to", "must be later than from"),
    ] {
        let refused = app.get(&north, &path).await.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"], json!([{"parameter": parameter, "detail": detail}]), "{path}");
    }
}

#[tokio::test]
async fn documents_and_payments_are_narrowed_by_their_fields() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let invoice = billed(&app, &north, "one.example").await;
    let id = text(&invoice["id"]);
    let tenant = format!("/v1/tenants/{}", text(&invoice["customer"]["id"]));
    let (invoices, payments) = (format!("{tenant}/invoices"), format!("{tenant}/payments"));
    let of = async |query: &str| shown(&app, &north, &format!("{invoices}?{query}"), "id").await;
    let is_there = async |query: &str, expected: bool| {
        let expected: Vec<String> = expected.then(|| id.clone()).into_iter().collect();
        assert_eq!(of(query).await, expected, "{query}");
    };
    assert_eq!((&invoice["issued_on"], &invoice["status"]), (&json!("2026-03-02"), &json!("final")));
    for (query, expected) in [
        ("status=final", true),
        ("status=paid", false),
        ("kind=invoice&status=final", true),
        ("kind=credit_note", false),
        ("from=2026-03-02&to=2026-03-03", true),
        ("from=2026-03-03", false),
        ("to=2026-03-02", false),
    ] {
        is_there(query, expected).await;
    }
    let paid =
        json!({"amount": invoice["total"], "reference": "", "received_on": "2026-03-02", "invoice_id": id});
    let paid = app.post(&north, &payments, paid).await.expect(201);
    is_there("status=paid", true).await;
    is_there("status=final", false).await;
    for (query, expected) in [
        (format!("status=succeeded&invoice_id={id}"), vec![text(&paid["id"])]),
        ("status=failed".into(), Vec::new()),
        ("invoice_id=inv_019a2f3c5d7e7abc8def0123456789ab".into(), Vec::new()),
    ] {
        assert_eq!(shown(&app, &north, &format!("{payments}?{query}"), "id").await, expected, "{query}");
    }
    for (path, parameter) in [
        (format!("{invoices}?status=overdue"), "status"),
        (format!("{invoices}?kind=receipt"), "kind"),
        (format!("{invoices}?from=yesterday"), "from"),
        (format!("{invoices}?from=2026-03-03&to=2026-03-02"), "to"),
        (format!("{invoices}?from=2026-03-03&to=2026-03-03"), "to"),
        (format!("{payments}?status=lost"), "status"),
    ] {
        let refused = app.get(&north, &path).await.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["parameter"], parameter, "{refused}");
    }
}
