use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, text};

pub(crate) fn prices() -> Value {
    json!([
        {"item": "mailbox", "interval": "month", "model": "flat", "unit_price": "4.50", "currency": "EUR", "removal_policy": "credit_to_balance"},
        {"item": "mailbox", "interval": "year", "model": "flat", "unit_price": "45", "currency": "EUR"},
    ])
}

/// An hour of work, years away.
pub(crate) fn one_off_item() -> Value {
    json!({
        "description": "Moving mail, an hour", "quantity": 3, "bill_on": "2036-01-01",
        "unit_amount": {"amount_minor": 9000, "currency": "EUR"},
    })
}

/// An eighth off, years away.
pub(crate) fn discount() -> Value {
    json!({"description": "Early booking", "percentage": "12.5", "starts_on": "2036-01-01"})
}

/// An issuer that charges no tax.
pub(crate) fn issuer() -> Value {
    json!({
        "legal_name": "North Hosting GmbH", "vat_id": "DE136695976", "charges_tax": false,
        "address": {"street": "Hafenstr. 1", "postal_code": "20457", "city": "Hamburg", "country": "DE"},
    })
}

/// A customer in the same country.
pub(crate) fn customer() -> Value {
    json!({
        "legal_name": "Bakery Ltd",
        "address": {"street": "Markt 2", "postal_code": "10178", "city": "Berlin", "country": "DE"},
    })
}

/// Starts a run and does the worker's part; returns the run as it ended.
pub(crate) async fn run(app: &App, token: &str, body: Value) -> Value {
    let run = app.post(token, "/v1/billing/runs", body).await.expect(202);
    assert_eq!((&run["status"], &run["summary"]), (&json!("queued"), &json!(null)));
    let id = text(&run["id"]);
    billing::run::execute(&app.db.db(), id.parse().unwrap()).await.unwrap();
    app.get(token, &format!("/v1/billing/runs/{id}")).await.expect(200)
}

/// A sandbox tenant with a monthly subscription and so many users.
pub(crate) async fn subscribed(app: &App, token: &str, domain: &str, users: usize) -> String {
    let book = app.post(token, "/v1/price-books", json!({"prices": prices()})).await.expect(201);
    let tenant = app.tenant(token, domain, json!({"test_clock": true})).await;
    let body = json!({"price_book_id": book["id"], "interval": "month"});
    app.put(token, &format!("{tenant}/subscription"), body).await.expect(200);
    for at in 0..users {
        app.user(token, &tenant, json!({"address": format!("u{at}@{domain}")})).await;
    }
    tenant
}

/// The first document of a new tenant with one user.
pub(crate) async fn billed(app: &App, token: &str, domain: &str) -> Value {
    let tenant = subscribed(app, token, domain, 1).await;
    let as_of = json!({"as_of": "2026-03-02", "tenant_id": tenant.strip_prefix("/v1/tenants/")});
    run(app, token, as_of).await;
    app.get(token, &format!("{tenant}/invoices")).await.expect(200)["data"][0].clone()
}

/// What the operator agrees to with a reseller.
pub(crate) fn agreement(book: &str) -> Value {
    json!({"operator_name": "Pillar Ltd", "price_book_id": book, "interval": "month", "seats_committed": 50})
}

/// A wholesale agreement of the reseller's that has been billed: its price book and the invoice.
pub(crate) async fn sold_wholesale(app: &App, reseller: &str) -> (Value, Value) {
    let book = app.post(&app.operator, "/v1/price-books", json!({"prices": prices()})).await.expect(201);
    let path = format!("/v1/resellers/{reseller}/wholesale-agreement");
    app.put(&app.operator, &path, agreement(&text(&book["id"]))).await.expect(200);
    ::billing::run::run(&app.db.db(), "2026-03-02".parse().unwrap(), None).await.unwrap();
    let invoices = app.get(&app.operator, &format!("/v1/resellers/{reseller}/invoices")).await.expect(200);
    (book["id"].clone(), invoices["data"][0]["id"].clone())
}

#[tokio::test]
async fn a_price_book_is_published_and_never_changes() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let book = app.post(&north, "/v1/price-books", json!({"prices": prices()})).await.expect(201);
    assert_eq!(
        (&book["version"], &book["currency"], &book["reseller_id"]),
        (&json!(1), &json!("EUR"), &json!(reseller))
    );
    let of = |book: &Value, interval: &str| {
        let prices = book["prices"].as_array().unwrap().iter();
        prices.clone().find(|price| price["interval"] == interval).unwrap_or_else(|| panic!("{book}")).clone()
    };
    let price = of(&book, "month");
    assert_eq!(
        (&price["unit_price"], &price["tiers"], &price["removal_policy"]),
        (&json!("4.50000000"), &json!([]), &json!("credit_to_balance"))
    );
    assert_eq!(of(&book, "year")["removal_policy"], "at_cycle_end");
    let path = format!("/v1/price-books/{}", text(&book["id"]));
    let read = app.get(&north, &path).await.expect(200);
    assert_eq!((of(&read, "month"), of(&read, "year"), &read["id"]), (price, of(&book, "year"), &book["id"]));
    assert_eq!(app.get(&north, &format!("{path}/prices")).await.expect(200)["data"], read["prices"]);
    let named = json!({"reseller_id": reseller, "prices": prices()});
    assert_eq!(app.post(&app.operator, "/v1/price-books", named).await.expect(201)["version"], 2);
    let listed = app.get(&north, "/v1/price-books").await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    // The operator's own, which it sells to resellers by.
    let unnamed = app.post(&app.operator, "/v1/price-books", json!({"prices": prices()})).await.expect(201);
    assert_eq!((&unnamed["version"], &unnamed["reseller_id"]), (&json!(1), &json!(null)));
    app.get(&north, &format!("/v1/price-books/{}", text(&unnamed["id"])))
        .await
        .expect_problem(404, "not_found");
    let mut wrong = prices();
    wrong[1]["unit_price"] = json!("-1");
    let refused = app
        .post(&north, "/v1/price-books", json!({"prices": wrong}))
        .await
        .expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/prices/1/unit_price");
    let as_number =
        json!({"prices": [{"item": "mailbox", "interval": "month", "unit_price": 4.5, "currency": "EUR"}]});
    let refused = app.post(&north, "/v1/price-books", as_number).await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/prices/0/unit_price");
}

#[tokio::test]
async fn a_subscription_is_put_and_read() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let path = format!("{tenant}/subscription");
    app.get(&north, &path).await.expect_problem(404, "not_found");
    let book = app.post(&north, "/v1/price-books", json!({"prices": prices()})).await.expect(201);
    let body = json!({"price_book_id": book["id"], "interval": "year", "payment_schedule": "monthly",
        "term_months": 24, "seats_committed": 3, "anchor_date": "2026-03-01"});
    let put = app.put(&north, &path, body).await.expect(200);
    let expected = json!({
        "id": put["id"], "price_book_id": book["id"], "price_book_version": 1, "interval": "year",
        "payment_schedule": "monthly", "term_months": 24,
        "seats_committed": 3, "anchor_date": "2026-03-01", "starts_on": "2026-03-02", "terms_start_on": "2026-03-02", "status": "active",
        "trial_ends_on": null, "ends_on": null,
        "in_force": {"price_book_id": book["id"], "price_book_version": 1, "interval": "year", "payment_schedule": "monthly",
            "term_months": 24, "term_ends_on": "2028-03-01"},
        "next_invoice_on": put["next_invoice_on"], "parked_reason": null,
    });
    assert_eq!(put, expected);
    assert_eq!(app.get(&north, &path).await.expect(200), put);
    let monthly = json!({"price_book_id": book["id"], "interval": "month"});
    run(
        &app,
        &north,
        json!({"as_of": "2026-03-02", "tenant_id": tenant.strip_prefix("/v1/tenants/").unwrap()}),
    )
    .await;
    let planned = app.put(&north, &path, monthly).await.expect(200);
    assert_eq!((&planned["interval"], &planned["terms_start_on"]), (&json!("month"), &json!("2028-03-01")));
    assert_eq!(planned["in_force"], put["in_force"], "until then, what was agreed before");
    let (_, south) = app.reseller("South").await;
    let elsewhere = app.post(&south, "/v1/price-books", json!({"prices": prices()})).await.expect(201);
    let refused =
        app.put(&north, &path, json!({"price_book_id": elsewhere["id"], "interval": "month"})).await;
    assert_eq!(refused.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/price_book_id");
    let monthly = json!({"price_book_id": book["id"], "interval": "month", "payment_schedule": "monthly"});
    let refused = app.put(&north, &path, monthly).await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/payment_schedule");
}

#[tokio::test]
async fn a_run_bills_once_to_the_cent() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = subscribed(&app, &north, "one.example", 3).await;
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let done = run(&app, &north, json!({"as_of": "2026-03-02", "tenant_id": id})).await;
    assert_eq!(
        (&done["status"], &done["summary"]["invoices"], &done["as_of"]),
        (&json!("succeeded"), &json!(1), &json!("2026-03-02"))
    );
    app.db.clock().advance(chrono::TimeDelta::seconds(1));
    let again = run(&app, &north, json!({"as_of": "2026-03-02", "tenant_id": id})).await;
    assert_eq!(again["summary"]["invoices"], 0);

    let listed = app.get(&north, &format!("{tenant}/invoices")).await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let invoice = &listed["data"][0];
    insta::assert_json_snapshot!("invoice", invoice, {
        ".id" => "[id]", ".issuer.id" => "[id]", ".customer.id" => "[id]", ".lines[].price_id" => "[id]",
    });
    let path = format!("/v1/invoices/{}", text(&invoice["id"]));
    assert_eq!(&app.get(&north, &path).await.expect(200), invoice);
    let (_, south) = app.reseller("South").await;
    app.get(&south, &path).await.expect_problem(404, "not_found");
    let runs = app.get(&north, "/v1/billing/runs").await.expect(200);
    assert_eq!(runs["data"], json!([done, again]));
    assert_eq!(app.get(&south, "/v1/billing/runs").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn profiles_and_rates_make_taxes() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let (profile, rates) =
        (format!("/v1/resellers/{reseller}/billing-profile"), format!("/v1/resellers/{reseller}/tax-rates"));
    app.get(&north, &profile).await.expect_problem(404, "not_found");
    let mut issuer = issuer();
    issuer["charges_tax"] = json!(true);
    issuer["iban"] = json!("DE88370400440532013000");
    let refused = app.put(&north, &profile, issuer.clone()).await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/iban");
    issuer["iban"] = json!("DE89 3704 0044 0532 0130 00");
    let put = app.put(&north, &profile, issuer.clone()).await.expect(200);
    assert_eq!((&put["iban"], &put["days_to_pay"]), (&json!("DE89370400440532013000"), &json!(14)));
    assert_eq!(app.get(&north, &profile).await.expect(200), put);
    let rate = json!({"country": "DE", "rate": "19", "valid_from": "2007-01-01"});
    let made = app.post(&north, &rates, rate.clone()).await.expect(201);
    assert_eq!((&made["rate"], &made["valid_until"]), (&json!("19.0000"), &json!(null)));
    let refused = app.post(&north, &rates, rate).await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/valid_from");
    assert_eq!(app.get(&north, &rates).await.expect(200)["data"], json!([made]));

    let tenant = subscribed(&app, &north, "one.example", 3).await;
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let due = json!({"as_of": "2026-03-02", "tenant_id": id});
    assert_eq!(run(&app, &north, due.clone()).await["summary"]["accounts_parked"], 1);
    let reason =
        app.get(&north, &format!("{tenant}/subscription")).await.expect(200)["parked_reason"].clone();
    assert_eq!(reason, "the issuer charges tax and the customer has no billing profile");
    let key =
        app.post(&north, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await.expect(201);
    let key = text(&key["secret"]);
    let profile = format!("{tenant}/billing-profile");
    app.put(&key, &profile, customer()).await.expect_problem(403, "forbidden");
    let put = app.put(&north, &profile, customer()).await.expect(200);
    assert_eq!(put["vat_id_registration"], json!(null));
    assert_eq!(app.get(&key, &profile).await.expect(200), put);
    assert_eq!(run(&app, &north, due).await["summary"]["invoices"], 1);
    let invoice = app.get(&north, &format!("{tenant}/invoices")).await.expect(200)["data"][0].clone();
    insta::assert_json_snapshot!("taxed_invoice", invoice, {
        ".id" => "[id]", ".issuer.id" => "[id]", ".customer.id" => "[id]", ".lines[].price_id" => "[id]",
    });
    let path = format!("/v1/invoices/{}", text(&invoice["id"]));
    let as_paper = async |accept: &str| {
        let answer = app.call(Method::GET, &path).token(&north).header("accept", accept).send().await;
        assert_eq!(answer.status, 200, "{accept}");
        assert!(answer.header("content-type").unwrap().starts_with(accept), "{accept}");
        answer.body.to_vec()
    };
    let pdf = as_paper("application/pdf").await;
    assert!(pdf.starts_with(b"%PDF-1.7"), "{:?}", &pdf[..16]);
    let number = text(&invoice["number"]);
    let html = String::from_utf8(as_paper("text/html").await).unwrap();
    assert!(html.contains(&number) && html.contains(&text(&invoice["customer"]["name"])), "{html}");
    let xml = String::from_utf8(as_paper("application/xml").await).unwrap();
    let total = invoice["total"]["amount_minor"].as_i64().unwrap();
    let payable = format!(">{}.{:02}</cbc:PayableAmount>", total / 100, total % 100);
    assert!(xml.contains(&format!("<cbc:ID>{number}</cbc:ID>")) && xml.contains(&payable), "{xml}");
}

#[tokio::test]
async fn a_run_for_a_day_that_is_none_is_refused() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = subscribed(&app, &north, "one.example", 1).await;
    let id = tenant.strip_prefix("/v1/tenants/").unwrap();
    let pointer =
        |answer: Answer| text(&answer.expect_problem(422, "invalid_request")["errors"][0]["pointer"]);
    assert_eq!(pointer(app.post(&north, "/v1/billing/runs", json!({"as_of": "2026-02-30"})).await), "/as_of");
    assert_eq!(
        pointer(app.post(&north, "/v1/billing/runs", json!({"as_of": "2026-04-02", "tenant_id": id})).await),
        "/as_of"
    );
    assert_eq!(
        pointer(app.post(&north, "/v1/billing/runs", json!({"as_of": "2026-03-02", "tenant_id": "x"})).await),
        "/tenant_id"
    );
}

#[tokio::test]
async fn a_tenant_that_moved_is_billed_by_its_new_reseller_at_the_prices_it_has() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let (south, south_key) = app.reseller("South").await;
    let tenant = subscribed(&app, &north, "one.example", 2).await;
    let id = tenant.strip_prefix("/v1/tenants/").unwrap().to_owned();
    run(&app, &north, json!({"as_of": "2026-03-02", "tenant_id": id})).await;
    app.post(&app.operator, &format!("{tenant}/transfer"), json!({"reseller_id": south})).await.expect(200);
    app.put(&south_key, &format!("{tenant}/test-clock"), json!({"now": "2026-04-02T12:00:00Z"}))
        .await
        .expect(200);
    run(&app, &south_key, json!({"as_of": "2026-04-02", "tenant_id": id})).await;
    let invoices = app.get(&south_key, &format!("{tenant}/invoices")).await.expect(200);
    let issued =
        |one: &Value| (one["issued_on"].clone(), one["issuer"]["name"].clone(), one["total"].clone());
    let invoices: Vec<_> = invoices["data"].as_array().unwrap().iter().map(issued).collect();
    assert_eq!(invoices.len(), 2, "{invoices:?}");
    let of = |name: &str| {
        invoices.iter().find(|one| one.1 == json!(name)).unwrap_or_else(|| panic!("{invoices:?}"))
    };
    assert_eq!((&of("North").0, &of("South").0), (&json!("2026-03-02"), &json!("2026-04-02")));
    assert_eq!(of("North").2, of("South").2, "the same seats for the same days cost the same");
}

#[tokio::test]
async fn a_subscription_has_an_etag_that_every_change_moves() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = subscribed(&app, &north, "etag.test", 1).await;
    let path = format!("{tenant}/subscription");
    let body = app.get(&north, &path).await.expect(200);
    let put = async |tag: &str, seats: u32| {
        let body =
            json!({"price_book_id": body["price_book_id"], "interval": "month", "seats_committed": seats});
        let call = app.call(Method::PUT, &path).token(&north).header("if-match", tag);
        call.json(body).send().await
    };
    let etag = |answer: Answer| answer.header("etag").unwrap().to_owned();
    let first = etag(app.get(&north, &path).await);
    let second = etag(put(&first, 3).await);
    assert_ne!(first, second);
    assert_eq!(put(&first, 4).await.expect(412)["code"], "version_mismatch");
    assert_eq!(app.get(&north, &path).await.expect(200)["seats_committed"], 3);
    let today = text(&body["next_invoice_on"]);
    run(&app, &north, json!({"as_of": today})).await;
    assert_eq!(put(&second, 4).await.expect(412)["code"], "version_mismatch");
    assert_eq!(put("*", 4).await.expect(200)["seats_committed"], 4);
    let other = format!("{}/subscription", app.tenant(&north, "none.test", json!({})).await);
    let body = json!({"price_book_id": body["price_book_id"], "interval": "month"});
    let none =
        app.call(Method::PUT, &other).token(&north).header("if-match", "\"1\"").json(body).send().await;
    assert_eq!(none.expect(412)["code"], "version_mismatch");
}

#[tokio::test]
async fn prices_by_tiers_are_published_and_their_mistakes_pointed_at() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tiers = json!([{"up_to": 10, "unit_price": "5"}, {"up_to": null, "unit_price": "4"}]);
    let price = json!({"item": "mailbox", "interval": "year", "model": "volume", "tiers": tiers, "currency": "EUR",
        "removal_policy": "locked_until_term_end"});
    let book = app.post(&north, "/v1/price-books", json!({"prices": [price]})).await.expect(201);
    let shown = &book["prices"][0];
    assert_eq!(
        (&shown["model"], &shown["unit_price"], &shown["grace_days"]),
        (&json!("volume"), &json!(null), &json!(7))
    );
    assert_eq!(
        shown["tiers"],
        json!([{"up_to": 10, "unit_price": "5.00000000"}, {"up_to": null, "unit_price": "4.00000000"}])
    );
    for (change, pointer) in [
        (json!({"tiers": []}), "/prices/0/tiers"),
        (json!({"tiers": [{"up_to": 10, "unit_price": "5"}]}), "/prices/0/tiers"),
        (
            json!({"tiers": [{"up_to": 10, "unit_price": "five"}, {"unit_price": "4"}]}),
            "/prices/0/tiers/0/unit_price",
        ),
        (json!({"unit_price": "5"}), "/prices/0/unit_price"),
        (json!({"model": "flat"}), "/prices/0/tiers"),
        (json!({"removal_policy": "at_cycle_end", "grace_days": 3}), "/prices/0/grace_days"),
    ] {
        let mut bad = price.clone();
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let problem = app.post(&north, "/v1/price-books", json!({"prices": [bad]})).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn a_deleted_tenant_s_payments_are_there_for_those_above_it() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let key = app.post(&north, &format!("{tenant}/api-keys"), json!({"role": "tenant_billing"})).await;
    let own = text(&key.expect(201)["secret"]);
    let payments = format!("{tenant}/payments");
    app.get(&own, &payments).await.expect(200);
    app.delete(&north, &tenant).await.expect(204);
    assert_ne!(app.get(&own, &payments).await.status, 200);
    let transfer = json!({"amount": {"amount_minor": 500, "currency": "EUR"}, "reference": "last", "received_on": "2025-12-01"});
    let one = app.post(&north, &payments, transfer).await.expect(201);
    assert_eq!(one["refunds"], json!([]));
    let path = format!("/v1/payments/{}", text(&one["id"]));
    let back =
        app.post(&north, &format!("{path}/refund"), json!({"reason": "it has left"})).await.expect(201);
    assert_eq!(app.get(&north, &path).await.expect(200)["refunds"], json!([back]));
    assert_eq!(app.get(&north, &payments).await.expect(200)["data"][0]["refunds"], json!([back]));
}

#[tokio::test]
async fn the_next_invoices_are_shown_and_a_change_before_it_is_made() {
    let app = App::new().await;
    let (_, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let price = |interval: &str, unit_price: &str| json!({"item": "mailbox", "interval": interval, "model": "flat", "unit_price": unit_price, "currency": "EUR"});
    let prices = json!({"prices": [price("month", "4.99"), price("year", "50")]});
    let book = app.post(&north, "/v1/price-books", prices).await.expect(201);
    let path = format!("{tenant}/subscription/preview");
    let as_if =
        |interval: &str| json!({"price_book_id": book["id"], "interval": interval, "seats_committed": 2});
    app.post(&north, &path, json!({})).await.expect(404);
    let before = app.post(&north, &path, json!({"subscription": as_if("month")})).await.expect(200);
    assert_eq!(before["documents"][0]["total"]["amount_minor"], 998, "{before}");
    let dry = app.put(&north, &format!("{tenant}/subscription?dry_run=true"), as_if("month")).await;
    assert_eq!(dry.expect_problem(422, "invalid_request")["errors"][0]["parameter"], "dry_run");
    app.get(&north, &format!("{tenant}/subscription")).await.expect(404);
    app.put(&north, &format!("{tenant}/subscription"), as_if("month")).await.expect(200);
    let yearly = app.post(&north, &path, json!({"subscription": as_if("year")})).await.expect(200);
    assert_eq!(yearly["documents"][0]["lines"][0]["amount"]["amount_minor"], 10_000, "{yearly}");
    let kept = app.post(&north, &path, json!({})).await.expect(200);
    assert_eq!(kept["documents"], before["documents"]);
    assert_eq!(app.get(&north, &format!("{tenant}/invoices")).await.expect(200)["data"], json!([]));

    let wrong = app
        .post(&north, &path, json!({"subscription": {"price_book_id": book["id"], "interval": "week"}}))
        .await;
    assert_eq!(wrong.expect(422)["errors"][0]["pointer"], "/subscription/interval");
    let far = app.post(&north, &path, json!({"as_of": "2199-01-01"})).await.expect(422);
    assert_eq!(far["errors"][0]["pointer"], "/as_of");
}

#[tokio::test]
async fn a_dunning_policy_is_put_whole_and_read_and_a_payment_method_says_whether_it_charges_by_itself() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let path = format!("/v1/resellers/{reseller}/dunning-policy");
    app.get(&north, &path).await.expect_problem(404, "not_found");
    let policy = json!({"remind_after_days": [1, 7], "suspend_after_days": 21, "suspend_capabilities": ["send", "imap", "send"]});
    let put = app.put(&north, &path, policy).await.expect(200);
    let got = app.get(&north, &path).await.expect(200);
    assert_eq!(
        (&got, &got["suspend_capabilities"], &got["cancel_after_days"]),
        (&put, &json!(["send", "imap"]), &json!(null))
    );
    for (wrong, pointer) in [
        (json!({"remind_after_days": [7, 1]}), "/remind_after_days"),
        (json!({"suspend_after_days": 21}), "/suspend_capabilities"),
        (json!({"suspend_after_days": 21, "suspend_capabilities": ["fly"]}), "/suspend_capabilities/0"),
    ] {
        let problem = app.put(&north, &path, wrong).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(app.put(&north, &path, json!({})).await.expect(200)["remind_after_days"], json!([]));
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let method = format!("{tenant}/payment-method");
    let put = app.put(&north, &method, json!({"customer": "cus_1", "method": "pm_1"})).await.expect(200);
    assert_eq!(put["autopay"], false);
    let own = json!({"customer": "cus_1", "method": "pm_1", "autopay": true});
    assert_eq!(app.put(&north, &method, own).await.expect(200)["autopay"], true);
    assert_eq!(app.get(&north, &tenant).await.expect(200)["unpaid_capabilities"], json!([]));
}
