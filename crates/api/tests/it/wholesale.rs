//! What the operator sells to resellers.

use axum::http::Method;
use serde_json::{Value, json};
use tenancy::storage_sample;
use tenancy::user::{self, Fate, Leaving};

use crate::billing::{agreement, customer, issuer, prices, sold_wholesale};
use crate::support::{App, text};

#[tokio::test]
async fn the_operator_bills_a_reseller_for_its_tenants() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    app.user(&north, &tenant, json!({"address": "ada@one.example"})).await;
    let (book, invoice) = sold_wholesale(&app, &reseller).await;
    let path = format!("/v1/resellers/{reseller}");
    let agreed = app.get(&north, &format!("{path}/wholesale-agreement")).await.expect(200);
    let expected = json!({
        "id": agreed["id"], "reseller_id": reseller, "operator_name": "Pillar Ltd", "price_book_id": book,
        "price_book_version": 1, "interval": "month", "term_months": 1, "terms_start_on": "2026-03-02", "seats_committed": 50,
        "currency": "EUR", "time_zone": "UTC", "anchor_date": "2026-03-02", "starts_on": "2026-03-02",
        "next_invoice_on": "2026-04-02", "parked_reason": null,
    });
    assert_eq!(agreed, expected);
    let fixed = json!({"operator_name": "Pillar Ltd", "price_book_id": book, "interval": "year"});
    app.put(&app.operator, &format!("{path}/wholesale-agreement"), fixed)
        .await
        .expect_problem(409, "agreement_terms_fixed");
    app.put(&north, &format!("{path}/wholesale-agreement"), agreement(&text(&book)))
        .await
        .expect_problem(403, "forbidden");

    let found = app.get(&north, &format!("/v1/invoices/{}", text(&invoice))).await.expect(200);
    assert_eq!(app.get(&north, &format!("{path}/invoices")).await.expect(200)["data"][0], found);
    insta::assert_json_snapshot!("wholesale_invoice", found, {
        ".id" => "[id]", ".customer.id" => "[id]", ".lines[].price_id" => "[id]", ".lines[].tenant.id" => "[id]",
    });
    let file = format!("{path}/invoices/{}/reconciliation", text(&invoice));
    let answer = app.call(Method::GET, &file).token(&north).send().await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let csv = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let answer =
        app.call(Method::GET, &file).token(&north).header("accept", "application/jsonl").send().await;
    let rows = String::from_utf8(answer.body.to_vec()).unwrap();
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let sum: i64 = rows.iter().map(|row| row["amount_minor"].as_i64().unwrap()).sum();
    assert_eq!((sum, rows.len()), (50 * 450, 2));

    // The operator has no address to put into XML.
    let document = format!("/v1/invoices/{}", text(&invoice));
    let xml = app.call(Method::GET, &document).token(&north).header("accept", "application/xml").send().await;
    xml.expect_problem(409, "no_such_form");
    let page = app.call(Method::GET, &document).token(&north).header("accept", "text/html").send().await;
    assert_eq!(page.status, 200);

    let margins = format!("{path}/margins?from=2026-03-01&to=2026-03-03");
    let seen = app.get(&north, &margins).await.expect(200);
    for (query, parameter, detail) in [
        ("from=2026-03-31&to=2026-03-01", "to", "must be later than from, by a year at most"),
        ("from=2026-03-01&to=2026-03-01", "to", "must be later than from, by a year at most"),
        ("from=2026-03-01&to=2027-03-02", "to", "must be later than from, by a year at most"),
        ("from=2026-03-31", "to", "is missing"),
    ] {
        let refused = app.get(&north, &format!("{path}/margins?{query}")).await;
        let refused = refused.expect_problem(422, "invalid_request");
        assert_eq!(refused["errors"], json!([{"parameter": parameter, "detail": detail}]));
    }
    assert_eq!(seen["data"][1]["margin"], json!({"amount_minor": -450, "currency": "EUR"}), "{seen}");
    // The last day is not in it.
    let before = app.get(&north, &format!("{path}/margins?from=2026-03-01&to=2026-03-02")).await.expect(200);
    assert_eq!(before["data"], json!([]));
    app.get(&app.operator, &margins).await.expect_problem(403, "forbidden");
    let (_, south) = app.reseller("South").await;
    for hidden in [&margins, &file, &format!("{path}/invoices"), &format!("/v1/invoices/{}", text(&invoice))]
    {
        app.get(&south, hidden).await.expect_problem(404, "not_found");
    }
    let bad = app.get(&north, &format!("{path}/margins?from=2026-02-30&to=2026-03-31")).await;
    assert_eq!(bad.expect_problem(422, "invalid_request")["errors"][0]["parameter"], "from");
}

#[tokio::test]
async fn a_wholesale_invoice_is_taxed_by_both_profiles_and_is_an_invoice_in_every_form() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    app.user(&north, &tenant, json!({"address": "ada@one.example"})).await;
    let profile = format!("/v1/resellers/{reseller}/wholesale-profile");
    app.get(&north, &profile).await.expect_problem(404, "not_found");
    app.get(&app.operator, "/v1/operator/billing-profile").await.expect_problem(404, "not_found");
    let mut operator = issuer();
    let more = json!({"legal_name": "Pillar SE", "charges_tax": true, "days_to_pay": 30, "iban": "DE89370400440532013000"});
    operator.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut drafts = operator.clone();
    drafts["draft_days"] = json!(3);
    let refused = app.put(&app.operator, "/v1/operator/billing-profile", drafts).await;
    assert_eq!(refused.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/draft_days");
    let put = app.put(&app.operator, "/v1/operator/billing-profile", operator).await.expect(200);
    assert_eq!(app.get(&app.operator, "/v1/operator/billing-profile").await.expect(200), put);
    let rate = json!({"country": "DE", "rate": "19", "valid_from": "2007-01-01"});
    app.post(&app.operator, "/v1/operator/tax-rates", rate).await.expect(201);
    let rates = app.get(&app.operator, "/v1/operator/tax-rates").await.expect(200);
    assert_eq!(rates["data"][0]["rate"], "19.0000");
    app.get(&north, "/v1/operator/tax-rates").await.expect_problem(403, "forbidden");
    app.put(&north, &profile, customer()).await.expect_problem(403, "forbidden");
    let put = app.put(&app.operator, &profile, customer()).await.expect(200);
    assert_eq!(app.get(&north, &profile).await.expect(200), put);

    // Tiers: fifty at the price of the second, since so many are committed to.
    let tiers = json!([{"up_to": 10, "unit_price": "4.50"}, {"up_to": null, "unit_price": "4"}]);
    let mut tiered = json!([prices()[0]]);
    tiered[0]["model"] = json!("volume");
    tiered[0]["tiers"] = tiers;
    tiered[0].as_object_mut().unwrap().remove("unit_price");
    let book = app.post(&app.operator, "/v1/price-books", json!({"prices": tiered})).await.expect(201);
    let path = format!("/v1/resellers/{reseller}");
    app.put(&app.operator, &format!("{path}/wholesale-agreement"), agreement(&text(&book["id"])))
        .await
        .expect(200);
    billing::run::run(&app.db.db(), "2026-03-02".parse().unwrap(), None).await.unwrap();
    let found = app.get(&north, &format!("{path}/invoices")).await.expect(200)["data"][0].clone();
    let euro = |amount_minor: i64| json!({"amount_minor": amount_minor, "currency": "EUR"});
    assert_eq!((&found["net"], &found["tax"], &found["total"]), (&euro(20000), &euro(3800), &euro(23800)));
    assert_eq!(
        found["taxes"],
        json!([{"category": "S", "rate": "19.0000", "taxable": euro(20000), "tax": euro(3800), "reason": null}])
    );
    assert_eq!((&found["issuer"]["id"], &found["issuer"]["name"]), (&json!(null), &json!("Pillar SE")));
    assert_eq!((&found["customer"]["id"], &found["due_on"]), (&json!(reseller), &json!("2026-04-01")));
    assert_eq!(found["customer"]["address"]["city"], "Berlin");
    let line = &found["lines"][0];
    assert_eq!(
        (&line["unit_price"], &line["tax_category"], &line["amount"]),
        (&json!(null), &json!("S"), &euro(400))
    );
    let document = format!("/v1/invoices/{}", text(&found["id"]));
    let form = async |media_type: &str| {
        let answer = app.call(Method::GET, &document).token(&north).header("accept", media_type).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.to_vec()
    };
    let xml = String::from_utf8(form("application/xml").await).unwrap();
    for part in [
        "<cbc:TaxAmount currencyID=\"EUR\">38.00</cbc:TaxAmount>",
        "<cbc:PayableAmount currencyID=\"EUR\">238.00</cbc:PayableAmount>",
        "Pillar SE",
        "Bakery Ltd",
        "DE89370400440532013000",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    let page = String::from_utf8(form("text/html").await).unwrap();
    assert!(page.contains("Markt 2") && page.contains("38.00"), "{page}");
    assert!(form("application/pdf").await.starts_with(b"%PDF"));
}

/// What the operator sells, at which prices.
fn all_items() -> Value {
    let of = |item: &str, unit_price: &str| json!({"item": item, "interval": "month", "model": "flat", "unit_price": unit_price, "currency": "EUR"});
    let mut all = json!([
        of("mailbox", "4.50"),
        of("shared_mailbox", "0"),
        of("archive", "0.31"),
        of("storage", "0.10")
    ]);
    for counted in [0, 1, 2] {
        all[counted]["removal_policy"] = json!("credit_to_balance");
    }
    let shared = all[1].as_object_mut().unwrap();
    shared.remove("unit_price");
    shared.insert("model".into(), json!("graduated"));
    let tiers = json!([{"up_to": 3, "unit_price": "3.10"}, {"up_to": null, "unit_price": "1.55"}]);
    shared.insert("tiers".into(), tiers);
    all[3]["included_bytes"] = json!(1_i64 << 30);
    all
}

/// Two users, one who leaves behind 50 GiB, and two shared mailboxes.
async fn uses_everything(app: &App, token: &str, tenant: &str, domain: &str) {
    for local in ["ada", "ben", "leaves"] {
        let (user, _) = app.user(token, tenant, json!({"address": format!("{local}@{domain}")})).await;
        if local == "leaves" {
            let id = tenant.trim_start_matches("/v1/tenants/").parse().unwrap();
            let ctx = testkit::world::operator(&app.db).enter(id).await.unwrap();
            let leaving = Leaving { mailbox: Fate::Archive, release_seat: true, hold: None };
            user::offboard(&ctx, text(&user["id"]).parse().unwrap(), None, leaving).await.unwrap();
            let mut tx = ctx.begin().await.unwrap();
            let stored = "update mailboxes set used_bytes = 53687091200 where kind = 'archive'";
            sqlx::query(stored).execute(tx.conn()).await.unwrap();
            tx.commit().await.unwrap();
        }
    }
    for local in ["info", "sales"] {
        let body = json!({"kind": "shared", "display_name": local, "address": format!("{local}@{domain}")});
        app.post(token, &format!("{tenant}/mailboxes"), body).await.expect(201);
    }
    storage_sample::record(&app.db.db()).await.unwrap();
}

#[tokio::test]
async fn an_invoice_of_everything_that_is_sold_is_one_in_every_form() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let path = format!("/v1/resellers/{reseller}");
    let mut operator = issuer();
    operator["charges_tax"] = json!(true);
    operator["iban"] = json!("DE89370400440532013000");
    app.put(&app.operator, "/v1/operator/billing-profile", operator).await.expect(200);
    let rate = json!({"country": "DE", "rate": "19", "valid_from": "2007-01-01"});
    app.post(&app.operator, "/v1/operator/tax-rates", rate).await.expect(201);
    app.put(&app.operator, &format!("{path}/wholesale-profile"), customer()).await.expect(200);
    let book = app.post(&app.operator, "/v1/price-books", json!({"prices": all_items()})).await.expect(201);
    let mut agreed = agreement(&text(&book["id"]));
    agreed["seats_committed"] = json!(10);
    app.put(&app.operator, &format!("{path}/wholesale-agreement"), agreed).await.expect(200);
    let long = "Gesellschaft für angewandte Postwirtschaft mbH & Co. KG";
    for (name, domain) in [("Bakery Ltd", "one.example"), (long, "two.example")] {
        let tenant = app.tenant(&north, domain, json!({"name": name})).await;
        app.db.clock().advance(chrono::TimeDelta::days(1));
        uses_everything(&app, &north, &tenant, domain).await;
    }
    app.db.clock().advance(chrono::TimeDelta::days(40));
    billing::run::run(&app.db.db(), "2026-04-02".parse().unwrap(), None).await.unwrap();
    let found = app.get(&north, &format!("{path}/invoices")).await.expect(200)["data"][1].clone();
    let lines = found["lines"].as_array().unwrap();
    // Those of each tenant for the month to come and for the days of the last; storage is in arrears.
    for (item, count) in [("mailbox", 4), ("shared_mailbox", 4), ("archive", 4), ("storage", 2)] {
        let of_item = lines.iter().filter(|line| line["item"] == item && line["tenant"] != json!(null));
        assert_eq!(of_item.count(), count, "{item}: {found:#}");
    }
    let document = format!("/v1/invoices/{}", text(&found["id"]));
    let form = async |media_type: &str| {
        let answer = app.call(Method::GET, &document).token(&north).header("accept", media_type).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.to_vec()
    };
    // Days stand in words beside each line, and are not said twice.
    let page = String::from_utf8(form("text/html").await).unwrap();
    assert!(page.contains("shared mailboxes added<") && page.contains("3 March to 1 April 2026"), "{page}");
    assert!(!page.contains("2026-0"), "{page}");
    let xml = String::from_utf8(form("application/xml").await).unwrap();
    assert!(
        xml.contains("<cbc:Name>Bakery Ltd: storage beyond what is included, 42.696 GiB on average<"),
        "{xml}"
    );
    let amounts = |element: &str| -> Vec<i64> {
        let opening = format!("<cbc:{element} currencyID=\"EUR\">");
        let parts = xml.split(&opening).skip(1);
        parts.map(|rest| rest.split('<').next().unwrap().replace('.', "").parse().unwrap()).collect()
    };
    // Each line, and their sum (BR-CO-10).
    let mut of_lines = amounts("LineExtensionAmount");
    let total = of_lines.remove(0);
    assert_eq!((of_lines.iter().sum::<i64>(), of_lines.len()), (total, lines.len()));
    assert_eq!(json!(total), found["net"]["amount_minor"]);
    assert_eq!(json!(amounts("PayableAmount")[0]), found["total"]["amount_minor"]);
    let pdf = form("application/pdf").await;
    assert!(pdf.starts_with(b"%PDF"));
    if let Ok(file) = std::env::var("PILLARBOX_PDF") {
        std::fs::write(&file, &pdf).unwrap();
        std::fs::write(format!("{file}.xml"), &xml).unwrap();
    }
}

#[tokio::test]
async fn a_reseller_pays_the_operator_and_has_a_statement_of_account() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    let (_, invoice) = sold_wholesale(&app, &reseller).await;
    let path = format!("/v1/resellers/{reseller}");
    let (payments, document) = (format!("{path}/payments"), format!("/v1/invoices/{}", text(&invoice)));
    let euro = |amount_minor: i64| json!({"amount_minor": amount_minor, "currency": "EUR"});
    let body =
        |amount: i64| json!({"amount": euro(amount), "reference": "INV-000001", "received_on": "2026-03-01"});
    app.post(&north, &payments, body(22500)).await.expect_problem(403, "forbidden");
    let mut dollars = body(22500);
    dollars["amount"]["currency"] = json!("USD");
    let refused = app.post(&app.operator, &payments, dollars).await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/amount/currency");
    // The same request again is the same payment.
    let send = async || {
        let call = app.call(Method::POST, &payments).token(&app.operator).header("idempotency-key", "one");
        call.json(body(22000)).send().await.expect(201)
    };
    let payment = send().await;
    assert_eq!(send().await, payment);
    assert_eq!((&payment["invoice_id"], &payment["status"]), (&invoice, &json!("succeeded")));
    let listed = app.get(&north, &payments).await.expect(200)["data"].clone();
    assert_eq!(listed, json!([payment]));
    let state = async || {
        let found = app.get(&north, &document).await.expect(200);
        (text(&found["status"]), found["paid"].clone(), found["due"].clone())
    };
    assert_eq!(state().await, ("final".to_owned(), euro(22000), euro(500)));
    app.post(&app.operator, &payments, body(700)).await.expect(201);
    assert_eq!(state().await, ("paid".to_owned(), euro(22500), euro(0)));
    let one = format!("/v1/payments/{}", text(&payment["id"]));
    app.post(&north, &format!("{one}/refund"), json!({"reason": ""})).await.expect_problem(403, "forbidden");
    let back = json!({"amount": euro(1000), "reason": "overpaid"});
    app.post(&app.operator, &format!("{one}/refund"), back).await.expect(201);
    assert_eq!(app.get(&north, &one).await.expect(200)["refunded"], euro(1000));
    assert_eq!(state().await, ("final".to_owned(), euro(21700), euro(800)));

    let statement = format!("{path}/statement?from=2026-03-01&to=2026-04-01");
    let found = app.get(&north, &statement).await.expect(200);
    assert_eq!(app.get(&app.operator, &statement).await.expect(200), found);
    let names = [&found["reseller_id"], &found["reseller_name"], &found["issuer_name"]];
    assert_eq!(names, [&json!(reseller), &json!("North"), &json!("Pillar Ltd")]);
    let account = &found["accounts"][0];
    let mut moved: Vec<String> = account["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {}", text(&entry["kind"]), entry["debit"]["amount_minor"]))
        .collect();
    moved.sort();
    assert_eq!(moved, ["invoice 22500", "payment 0", "payment 0", "refund 1000"]);
    assert_eq!((&account["opening_balance"], &account["closing_balance"]), (&euro(0), &euro(800)));
    // Due on 16 March.
    assert_eq!((&account["open"]["days_1_30"], &account["open"]["credit"]), (&euro(800), &euro(0)));
    let page = app.call(Method::GET, &statement).token(&north).header("accept", "text/html").send().await;
    assert_eq!(page.status, 200);
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(page.contains("INV-000001") && page.contains("8.00"), "{page}");
    let pdf =
        app.call(Method::GET, &statement).token(&north).header("accept", "application/pdf").send().await;
    assert!(pdf.body.starts_with(b"%PDF"), "{pdf:?}");
    let too_long = app.get(&north, &format!("{path}/statement?from=2026-03-01&to=2027-04-01")).await;
    assert_eq!(too_long.expect_problem(422, "invalid_request")["errors"][0]["parameter"], "to");

    // A tenant of the reseller's, another reseller and one below it: to them there is no such thing.
    let key =
        app.post(&north, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await.expect(201);
    let (_, south) = app.reseller("South").await;
    let below = app.post(&north, "/v1/resellers", json!({"name": "Below"})).await.expect(201);
    let below = format!("/v1/resellers/{}/api-keys", text(&below["id"]));
    let below = app.post(&north, &below, json!({"role": "reseller_admin"})).await.expect(201);
    for stranger in [text(&key["secret"]), south, text(&below["secret"])] {
        for hidden in [&payments, &one, &statement, &document] {
            app.get(&stranger, hidden).await.expect_problem(404, "not_found");
        }
        app.post(&stranger, &payments, body(1)).await.expect_problem(404, "not_found");
        app.post(&stranger, &format!("{one}/refund"), json!({"reason": ""}))
            .await
            .expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn the_next_wholesale_invoice_is_shown_to_both_parties_before_it_is_made() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    app.user(&north, &tenant, json!({"address": "ada@one.example"})).await;
    let path = format!("/v1/resellers/{reseller}");
    let preview = format!("{path}/wholesale-agreement/preview");
    app.post(&north, &preview, json!({})).await.expect_problem(404, "not_found");
    sold_wholesale(&app, &reseller).await;
    let ahead = app.post(&north, &preview, json!({})).await.expect(200);
    assert_eq!(app.post(&app.operator, &preview, json!({"as_of": "2026-04-02"})).await.expect(200), ahead);
    let days = [&ahead["as_of"], &ahead["next_invoice_on"], &ahead["parked_reason"]];
    assert_eq!(days, [&json!("2026-04-02"), &json!("2026-05-02"), &json!(null)]);
    let far = app.post(&north, &preview, json!({"as_of": "2199-01-01"})).await;
    assert_eq!(far.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/as_of");
    app.post(&north, &preview, json!({"tenant": "x"})).await.expect_problem(422, "invalid_request");
    let (_, south) = app.reseller("South").await;
    app.post(&south, &preview, json!({})).await.expect_problem(404, "not_found");

    let listed = async || app.get(&north, &format!("{path}/invoices")).await.expect(200)["data"].clone();
    assert_eq!(listed().await.as_array().unwrap().len(), 1);
    app.db.clock().advance(chrono::TimeDelta::days(31));
    billing::run::run(&app.db.db(), "2026-04-02".parse().unwrap(), None).await.unwrap();
    let made = listed().await[1].clone();
    for (name, value) in ahead["documents"][0].as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
    assert_eq!(made["total"]["amount_minor"], 50 * 450);
}

#[tokio::test]
async fn the_operator_voids_a_wholesale_invoice_and_to_others_there_is_none() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let tenant = app.tenant(&north, "one.example", json!({})).await;
    app.user(&north, &tenant, json!({"address": "ada@one.example"})).await;
    let (_, invoice) = sold_wholesale(&app, &reseller).await;
    let (path, document) = (format!("/v1/resellers/{reseller}"), format!("/v1/invoices/{}", text(&invoice)));
    let (void, body) = (format!("{document}/void"), json!({"reason": "the address was wrong"}));
    app.post(&north, &void, body.clone()).await.expect_problem(403, "forbidden");
    let key =
        app.post(&north, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await.expect(201);
    let (_, south) = app.reseller("South").await;
    let below = app.post(&north, "/v1/resellers", json!({"name": "Below"})).await.expect(201);
    let below = format!("/v1/resellers/{}/api-keys", text(&below["id"]));
    let below = app.post(&north, &below, json!({"role": "reseller_admin"})).await.expect(201);
    for stranger in [text(&key["secret"]), south, text(&below["secret"])] {
        app.post(&stranger, &void, body.clone()).await.expect_problem(404, "not_found");
    }
    let wrong = app.post(&app.operator, &void, json!({"reason": ""})).await;
    assert_eq!(wrong.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/reason");
    app.db.clock().advance(chrono::TimeDelta::minutes(1));
    // The same request again is the same credit note.
    let send = async || {
        let call = app.call(Method::POST, &void).token(&app.operator).header("idempotency-key", "one");
        call.json(body.clone()).send().await.expect(201)
    };
    let note = send().await;
    assert_eq!(send().await, note);
    let said = [&note["number"], &note["kind"], &note["reason"], &note["corrects"]];
    let expected =
        [json!("CRN-000001"), json!("credit_note"), json!("the address was wrong"), json!([invoice])];
    assert_eq!(said, expected.each_ref());
    assert_eq!(
        (&note["total"]["amount_minor"], &note["lines"][0]["kind"]),
        (&json!(-22_500), &json!("credit"))
    );
    assert_eq!(app.get(&north, &document).await.expect(200)["status"], "void");
    app.post(&app.operator, &void, body.clone()).await.expect_problem(409, "not_voidable");
    let of_note = format!("/v1/invoices/{}", text(&note["id"]));
    let page = app.call(Method::GET, &of_note).token(&north).header("accept", "text/html").send().await;
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(html.contains("the address was wrong") && html.contains("INV-000001 of"), "{html}");
    let file = format!("{path}/invoices/{}/reconciliation", text(&note["id"]));
    let file = app.call(Method::GET, &file).token(&north).header("accept", "application/jsonl").send().await;
    let rows = String::from_utf8(file.body.to_vec()).unwrap();
    let amount = |row: &str| serde_json::from_str::<Value>(row).unwrap()["amount_minor"].as_i64().unwrap();
    assert_eq!(rows.lines().map(amount).sum::<i64>(), -22_500);

    app.db.clock().advance(chrono::TimeDelta::minutes(1));
    billing::run::run(&app.db.db(), "2026-03-02".parse().unwrap(), None).await.unwrap();
    let all = app.get(&north, &format!("{path}/invoices")).await.expect(200)["data"].clone();
    assert_eq!((all.as_array().unwrap().len(), &all[2]["number"]), (3, &json!("INV-000002")));
    assert_eq!(all[2]["lines"], all[0]["lines"]);
}
