//! How documents look, and drafts and voids by API.

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::billing::{billed, customer, issuer, run, subscribed};
use crate::support::{App, text};

const LOGO: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="240" height="60" viewBox="0 0 240 60">
<rect width="60" height="60" rx="12" fill="#b3261e"/><path d="M15 20h30v22H15z M15 20l15 13 15-13" fill="none" stroke="#fff" stroke-width="4"/>
<rect x="76" y="22" width="150" height="16" fill="#b3261e"/></svg>"##;

async fn paper(app: &App, token: &str, path: &str, media_type: &str) -> Vec<u8> {
    let answer = app.call(Method::GET, path).token(token).header("accept", media_type).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.to_vec()
}

/// The reseller looks like itself, and looks at drafts for so many days.
async fn branded(app: &App, token: &str, reseller: &str, draft_days: u32) {
    let branding = json!({"branding": {"product_name": "North Mail", "primary_color": "#b3261e", "support_email": "help@north.example"}});
    app.call(Method::PATCH, &format!("/v1/resellers/{reseller}"))
        .token(&app.operator)
        .json(branding)
        .send()
        .await
        .expect(200);
    let mut profile = issuer();
    let more = json!({
        "contact_email": "billing@north.example", "contact_phone": "+49 40 123456", "website": "north.example",
        "payment_terms": "Payable without deduction.", "note": "Thank you for your business.",
        "logo": STANDARD.encode(LOGO), "draft_days": draft_days, "iban": "DE89370400440532013000", "registration_number": "HRB 12345",
    });
    profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let path = format!("/v1/resellers/{reseller}/billing-profile");
    let put = app.put(token, &path, profile.clone()).await.expect(200);
    assert_eq!((&put["logo"], &put["note"]), (&profile["logo"], &profile["note"]));
    profile["logo"] = json!(STANDARD.encode("GIF89a"));
    let refused = app.put(token, &path, profile).await.expect_problem(422, "invalid_request");
    assert_eq!(refused["errors"][0]["pointer"], "/logo");
}

#[tokio::test]
async fn a_document_bears_the_issuers_look_and_words() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    branded(&app, &north, &reseller, 0).await;
    let tenant = subscribed(&app, &north, "one.example", 3).await;
    let mut bakery = customer();
    bakery["reference"] = json!("PO 4711");
    app.put(&north, &format!("{tenant}/billing-profile"), bakery).await.expect(200);
    run(&app, &north, json!({"as_of": "2026-03-02"})).await;
    let invoice = app.get(&north, &format!("{tenant}/invoices")).await.expect(200)["data"][0].clone();
    assert_eq!(
        (&invoice["customer"]["reference"], &invoice["issuer"]["website"]),
        (&json!("PO 4711"), &json!("north.example"))
    );
    let path = format!("/v1/invoices/{}", text(&invoice["id"]));
    let html = String::from_utf8(paper(&app, &north, &path, "text/html").await).unwrap();
    let logo = format!("src=\"data:image/svg+xml;base64,{}\"", STANDARD.encode(LOGO));
    let said = [
        &logo,
        "#b3261e",
        "alt=\"North Mail\"",
        "help@north.example",
        "billing@north.example",
        "+49 40 123456",
        "north.example",
        "Payable without deduction.",
        "Thank you for your business.",
        "PO 4711",
    ];
    for part in said {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    let pdf = paper(&app, &north, &path, "application/pdf").await;
    assert!(pdf.starts_with(b"%PDF"));
    if let Ok(file) = std::env::var("PILLARBOX_PDF") {
        std::fs::write(file, &pdf).unwrap();
    }
    let xml = String::from_utf8(paper(&app, &north, &path, "application/xml").await).unwrap();
    for part in [
        "<cbc:BuyerReference>PO 4711<",
        "<cbc:ElectronicMail>billing@north.example<",
        "<cbc:Note>Payable without deduction.<",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    let note = app.post(&north, &format!("{path}/void"), json!({"reason": "misspelt"})).await.expect(201);
    let html = String::from_utf8(paper(&app, &north, &path, "text/html").await).unwrap();
    assert!(html.contains("<h1>VOID invoice</h1>") && html.contains("<td>EUR 0.00</td>"), "{html}");
    assert!(!html.contains("Payment by bank transfer"), "{html}");
    // What a customer's books have taken in never changes: the credit note takes it out of them.
    let of_void = String::from_utf8(paper(&app, &north, &path, "application/xml").await).unwrap();
    assert_eq!(of_void, xml);
    let of_note = format!("/v1/invoices/{}", text(&note["id"]));
    let xml = String::from_utf8(paper(&app, &north, &of_note, "application/xml").await).unwrap();
    for part in
        ["<CreditNote ", "CRN-000001", "<cbc:Note>This amount is set off against what is due, or paid back.<"]
    {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    // A tenant sees the look of its issuer, too; a picture that cannot be drawn keeps nobody from the PDF.
    let broken = json!({"logo": STANDARD.encode("<svg")});
    let mut profile = issuer();
    profile.as_object_mut().unwrap().extend(broken.as_object().unwrap().clone());
    app.put(&north, &format!("/v1/resellers/{reseller}/billing-profile"), profile).await.expect(200);
    assert!(paper(&app, &north, &path, "application/pdf").await.starts_with(b"%PDF"));
}

#[tokio::test]
async fn a_draft_is_shown_as_one_and_has_no_xml() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    branded(&app, &north, &reseller, 3).await;
    let draft = billed(&app, &north, "one.example").await;
    assert_eq!((&draft["status"], &draft["number"]), (&json!("draft"), &Value::Null));
    let path = format!("/v1/invoices/{}", text(&draft["id"]));
    let html = String::from_utf8(paper(&app, &north, &path, "text/html").await).unwrap();
    assert!(html.contains("<h1>DRAFT invoice</h1>") && !html.contains("Payment by bank transfer"), "{html}");
    assert!(html.contains("Draft: nothing due yet"), "{html}");
    assert!(paper(&app, &north, &path, "application/pdf").await.starts_with(b"%PDF"));
    let xml = app.call(Method::GET, &path).token(&north).header("accept", "application/xml").send().await;
    xml.expect_problem(409, "no_such_form");
    let voided = app.post(&north, &format!("{path}/void"), json!({"reason": "x"})).await;
    voided.expect_problem(409, "not_voidable");
    let made = app.call(Method::POST, &format!("{path}/finalize")).token(&north).send().await.expect(200);
    assert_eq!((&made["status"], &made["number"]), (&json!("final"), &json!("INV-000001")));
    app.delete(&north, &path).await.expect_problem(409, "not_a_draft");
    let note = app.post(&north, &format!("{path}/void"), json!({"reason": "misspelt"})).await.expect(201);
    assert_eq!((&note["reason"], &note["corrects"][0]), (&json!("misspelt"), &draft["id"]));
    assert_eq!(app.get(&north, &path).await.expect(200)["status"], "void");
    let path = format!("/v1/invoices/{}", text(&note["id"]));
    let html = String::from_utf8(paper(&app, &north, &path, "text/html").await).unwrap();
    assert!(html.contains("misspelt") && html.contains("INV-000001 of"), "{html}");
}

#[tokio::test]
async fn a_former_reseller_reads_what_it_issued_in_every_form() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    let (south, _) = app.reseller("South").await;
    branded(&app, &north, &reseller, 0).await;
    let tenant = subscribed(&app, &north, "one.example", 3).await;
    app.put(&north, &format!("{tenant}/billing-profile"), customer()).await.expect(200);
    run(&app, &north, json!({"as_of": "2026-03-02"})).await;
    let invoice = app.get(&north, &format!("{tenant}/invoices")).await.expect(200)["data"][0].clone();
    let transfer = json!({"amount": {"amount_minor": 100, "currency": "EUR"}, "reference": "thanks", "received_on": "2026-03-02"});
    let payment = app.post(&north, &format!("{tenant}/payments"), transfer.clone()).await.expect(201);
    let to = json!({"reseller_id": south});
    app.post(&app.operator, &format!("{tenant}/transfer"), to).await.expect(200);
    let path = format!("/v1/invoices/{}", text(&invoice["id"]));
    let read = app.get(&north, &path).await.expect(200);
    assert_eq!((&read["number"], &read["paid"]["amount_minor"]), (&invoice["number"], &json!(100)));
    for media_type in ["text/html", "application/pdf", "application/xml"] {
        assert!(!paper(&app, &north, &path, media_type).await.is_empty());
    }
    let paid = format!("/v1/payments/{}", text(&payment["id"]));
    assert_eq!(app.get(&north, &paid).await.expect(200), payment);
    let statement = format!("{tenant}/statement?from=2026-03-01&to=2026-04-01");
    let own = format!("{statement}&issuer_id={reseller}");
    assert_eq!(
        app.get(&north, &own).await.expect(200)["accounts"][0]["entries"].as_array().unwrap().len(),
        2
    );
    assert!(paper(&app, &north, &own, "application/pdf").await.starts_with(b"%PDF"));
    // It looks, and that is all.
    let refund = app.post(&north, &format!("{paid}/refund"), json!({"reason": "x"})).await;
    refund.expect_problem(409, "tenant_transferred");
    let void = app.post(&north, &format!("{path}/void"), json!({"reason": "x"})).await;
    void.expect_problem(409, "tenant_transferred");
    for hidden in [
        tenant.clone(),
        statement.clone(),
        format!("{statement}&issuer_id={south}"),
        format!("{tenant}/invoices"),
        format!("{tenant}/payments"),
        format!("{tenant}/subscription"),
        format!("{tenant}/usage?from=2026-03-01&to=2026-03-02"),
    ] {
        app.get(&north, &hidden).await.expect_problem(404, "not_found");
    }
    app.post(&north, &format!("{tenant}/payments"), transfer).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_statement_of_account_has_its_forms_and_the_issuers_look() {
    let app = App::new().await;
    let (reseller, north) = app.reseller("North").await;
    branded(&app, &north, &reseller, 0).await;
    let tenant = subscribed(&app, &north, "one.example", 3).await;
    app.put(&north, &format!("{tenant}/billing-profile"), customer()).await.expect(200);
    run(&app, &north, json!({"as_of": "2026-03-02"})).await;
    let invoice = app.get(&north, &format!("{tenant}/invoices")).await.expect(200)["data"][0].clone();
    let due = invoice["total"]["amount_minor"].as_i64().unwrap();
    let transfer = json!({"amount": {"amount_minor": due - 100, "currency": "EUR"}, "reference": "thanks", "received_on": "2026-03-02"});
    app.post(&north, &format!("{tenant}/payments"), transfer).await.expect(201);
    let path = format!("{tenant}/statement?from=2026-03-01&to=2026-04-01");
    let said = app.get(&north, &path).await.expect(200);
    assert_eq!(
        (&said["issuer_id"], &said["from"], &said["to"]),
        (&json!(reseller), &json!("2026-03-01"), &json!("2026-04-01"))
    );
    let account = &said["accounts"][0];
    let minor =
        |at: &str| account.pointer(at).and_then(Value::as_i64).unwrap_or_else(|| panic!("{at}: {account}"));
    assert_eq!([minor("/opening_balance/amount_minor"), minor("/closing_balance/amount_minor")], [0, 100]);
    assert_eq!(
        [minor("/entries/0/debit/amount_minor"), minor("/entries/1/credit/amount_minor")],
        [due, due - 100]
    );
    assert_eq!(
        [&account["entries"][0]["reference"], &account["entries"][1]["reference"]],
        [&invoice["number"], &json!("thanks")]
    );
    // Due in the middle of March.
    assert_eq!([minor("/open/days_1_30/amount_minor"), minor("/open/credit/amount_minor")], [100, 0]);
    let html = String::from_utf8(paper(&app, &north, &path, "text/html").await).unwrap();
    for part in [
        "<h1>Statement of account</h1>",
        "#b3261e",
        "alt=\"North Mail\"",
        "DE89 3704 0044 0532 0130 00",
        "1 to 31 March 2026",
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    let answer = app.call(Method::GET, &path).token(&north).header("accept", "application/pdf").send().await;
    let name = "inline; filename=\"statement_2026-03-01_2026-04-01.pdf\"";
    assert_eq!(answer.header("content-disposition"), Some(name));
    assert!(answer.body.starts_with(b"%PDF"));
    // There is no XML of it.
    let other = app.call(Method::GET, &path).token(&north).header("accept", "application/xml").send().await;
    assert_eq!(other.header("content-type"), Some("application/json"));
    for (query, status, code) in [
        ("from=2026-03-01&to=2026-03-01", 422, "invalid_request"),
        ("from=2026-03-01&to=2027-03-02", 422, "invalid_request"),
        ("from=2026-03-01&to=2026-04-01&issuer_id=rsl_019a2f3c5d7e7abc8def0123456789ab", 404, "not_found"),
    ] {
        app.get(&north, &format!("{tenant}/statement?{query}")).await.expect_problem(status, code);
    }
}
