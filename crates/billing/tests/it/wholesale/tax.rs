//! Taxes of what the operator bills resellers.

use billing::OPERATOR;
use billing::profile::{
    CustomerProfile, NewAddress, PutCustomer, PutIssuer, Versioned, of_issuer, put_issuer,
};
use billing::tax_rate::{self, NewTaxRate};
use billing::vat_id::{NoRegister, Registration, register_at};
use billing::verify::{Difference, Finding, verify};
use billing::wholesale::profile;
use serde_json::json;
use tenancy::{Scope, event};
use testkit::vies::{FakeVies, Fault};

use super::*;
use crate::run::told_on;
use crate::tax::customer;

pub(crate) fn issuer() -> PutIssuer {
    let address = NewAddress {
        street: "Kai 9".into(),
        city: "Hamburg".into(),
        country: "DE".into(),
        ..NewAddress::default()
    };
    PutIssuer {
        legal_name: "Pillar SE".into(),
        address,
        vat_id: Some("DE136695976".into()),
        charges_tax: true,
        days_to_pay: Some(30),
        ..PutIssuer::default()
    }
}

/// The operator is in Germany and charges tax.
pub(super) async fn taxing(world: &World) {
    put_issuer(&world.operator, OPERATOR, issuer(), Some(0)).await.unwrap();
    rate(world, "19", "2007-01-01").await;
}

pub(crate) async fn rate(world: &World, rate: &str, valid_from: &str) {
    let new = NewTaxRate { country: "DE".into(), rate: rate.into(), valid_from: valid_from.into() };
    tax_rate::add(&world.operator, OPERATOR, new).await.unwrap();
}

pub(crate) async fn is(world: &World, reseller: &Reseller, new: PutCustomer) {
    let ctx = world.operator.enter_reseller(reseller.id).await.unwrap();
    profile::put(&ctx, &NoRegister, new, None).await.unwrap();
}

/// `category rate taxable tax`, by group.
fn taxes(document: &WholesaleInvoice) -> Vec<String> {
    assert_eq!(document.net.amount_minor + document.tax.amount_minor, document.total.amount_minor);
    let sum = |of: &dyn Fn(&billing::invoice::InvoiceTax) -> i64| document.taxes.iter().map(of).sum::<i64>();
    assert_eq!(sum(&|tax| tax.taxable.amount_minor), document.net.amount_minor);
    assert_eq!(sum(&|tax| tax.tax.amount_minor), document.tax.amount_minor);
    let shown = |tax: &billing::invoice::InvoiceTax| {
        format!("{} {} {}", tax.group, tax.taxable.amount_minor, tax.tax.amount_minor)
    };
    document.taxes.iter().map(shown).collect()
}

async fn all_taxes(world: &World, reseller: &Reseller) -> Vec<Vec<String>> {
    documents(world, reseller).await.iter().map(taxes).collect()
}

#[tokio::test]
async fn each_reseller_is_taxed_by_where_it_is() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    let book = wholesale_book(&world, "12.50", CreditToBalance).await;
    let exempt = PutCustomer { exemption: Some("a public body".into()), ..customer("DE", None) };
    let mut resellers = Vec::new();
    for (name, new, expected, reason) in [
        ("Domestic", customer("DE", Some("DE136695976")), "S 19.0000 % 1250 238", None),
        ("Reverse", customer("FR", Some("FR40303265045")), "AE 0.0000 % 1250 0", Some("reverse charge")),
        ("Exempt", exempt, "E 0.0000 % 1250 0", Some("a public body")),
        ("Third", customer("US", None), "O 0.0000 % 1250 0", Some("not subject to VAT")),
    ] {
        let reseller = world::reseller(&world.operator, name).await;
        is(&world, &reseller, new).await;
        agree(&world, &reseller, agreed(&book, 1)).await;
        resellers.push((reseller, expected, reason));
    }
    run(&world, "2026-01-01").await;
    for (reseller, expected, reason) in &resellers {
        assert_eq!(all_taxes(&world, reseller).await, [[*expected]]);
        let document = documents(&world, reseller).await.remove(0);
        let found = document.taxes[0].reason.as_deref();
        assert!(
            found.is_some() == reason.is_some()
                && found.unwrap_or_default().starts_with(reason.unwrap_or_default())
        );
        // Both are on it as they were then, whatever becomes of them.
        assert_eq!(
            (document.issuer.name.as_str(), document.customer.name.as_str()),
            ("Pillar SE", "Bakery Ltd")
        );
        assert_eq!(document.customer.profile.unwrap().address.city, "Hafen");
        assert_eq!(document.due_on, date("2026-01-31"));
    }
    let balances = ledger::trial_balance(&world.operator, OPERATOR, ledger::AsOf::day(date("2026-01-01")))
        .await
        .unwrap();
    let payable = balances.iter().find(|balance| balance.account == ledger::Account::TaxPayable).unwrap();
    assert_eq!(payable.balance.amount_minor, -238);
    verified(&world).await;
}

#[tokio::test]
async fn an_agreement_waits_for_the_profile_and_credits_are_taxed_as_what_they_take_back() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    let book = wholesale_book(&world, "31", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let goes = tenant_of(&world, &world.reseller, "Goes", 2).await;
    let summary = run(&world, "2026-01-01").await;
    assert_eq!((summary.accounts_parked, summary.wholesale_invoices), (1, 0));
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let reason = agreement::get(&ctx).await.unwrap().parked_reason;
    assert_eq!(reason.as_deref(), Some("the issuer charges tax and the customer has no billing profile"));
    run(&world, "2026-01-01").await;
    let told = told_on(&world, Scope::Operator, event::Kind::WholesaleAgreementParked).await;
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert_eq!(told[0].1, json!({"reseller_id": world.reseller.id, "reason": reason}));
    is(&world, &world.reseller, customer("DE", None)).await;
    assert_eq!(agreement::get(&ctx).await.unwrap().parked_reason, None);
    run(&world, "2026-01-01").await;
    // What is charged from February on is taxed at another rate; what is taken back of January, as it was charged.
    rate(&world, "21", "2026-02-01").await;
    at(&world, "2026-01-11T12:00");
    tenant::delete(&goes, None).await.unwrap();
    let stays = tenant_of(&world, &world.reseller, "Stays", 1).await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let expected = [vec!["S 19.0000 % 6200 1178"], vec!["S 19.0000 % -4000 -760", "S 21.0000 % 5200 1092"]];
    assert_eq!(all_taxes(&world, &world.reseller).await, expected);
    // In February it moves abroad: it is not charged the German rate any more, and gets it back.
    is(&world, &world.reseller, customer("FR", Some("FR40303265045"))).await;
    tenant::delete(&stays, None).await.unwrap();
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    let documents = documents(&world, &world.reseller).await;
    assert_eq!(documents[2].kind.as_str(), "credit_note");
    assert_eq!(taxes(&documents[2]), ["S 21.0000 % -2989 -628"]);
    verified(&world).await;
}

/// A seat charged for a year at one rate and one at another; both go at once, which is one credit of two seats.
#[tokio::test]
async fn a_credit_of_what_was_taxed_in_two_groups_is_a_line_in_each() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    is(&world, &world.reseller, customer("DE", None)).await;
    let prices = vec![NewPrice { interval: "year".into(), ..price("month", "365", CreditToBalance) }];
    let book = publish(&world.operator, None, prices).await.unwrap();
    agree(&world, &world.reseller, PutAgreement { interval: "year".into(), ..agreed(&book, 0) }).await;
    let goes = tenant_of(&world, &world.reseller, "Goes", 1).await;
    let stays = tenant_of(&world, &world.reseller, "Stays", 1).await;
    run(&world, "2026-01-01").await;
    rate(&world, "21", "2026-02-01").await;
    at(&world, "2026-01-11T12:00");
    seat(&goes, "second").await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    at(&world, "2026-02-10T12:00");
    tenant::delete(&goes, None).await.unwrap();
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    let expected = [
        vec!["S 19.0000 % 73000 13870"],
        vec!["S 21.0000 % 35500 7455"],
        vec!["S 19.0000 % -29300 -5567", "S 21.0000 % -35500 -7455"],
    ];
    assert_eq!(all_taxes(&world, &world.reseller).await, expected);
    let note = documents(&world, &world.reseller).await.remove(2);
    // The seats and their days are counted once, in the group that was charged last.
    let shown = |line: &invoice::WholesaleLine| {
        format!("{} x{} {} {} {}", line.description, line.quantity, line.seat_days, line.amount, line.tax)
    };
    let said = "mailboxes removed, 2026-02-11 to 2026-12-31";
    let expected =
        [format!("{said} x-2 -648 -355.00 EUR S 21.0000 %"), format!("{said} x0 0 -293.00 EUR S 19.0000 %")];
    assert_eq!(note.lines.iter().map(shown).collect::<Vec<_>>(), expected);
    assert_eq!((note.kind.as_str(), note.corrects.len()), ("credit_note", 2));
    verified(&world).await;
    // The reseller reconciles both, and its margin counts both.
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    let file = reconciliation::file(&own, note.id, Format::JsonLines).await.unwrap();
    let file = String::from_utf8(file).unwrap();
    let rows: Vec<serde_json::Value> = file.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let sum = |name: &str| rows.iter().map(|row| row[name].as_i64().unwrap()).sum::<i64>();
    assert_eq!((rows.len(), sum("amount_minor"), sum("quantity"), sum("seat_days")), (2, -64_800, -2, -648));
    let margins = margin::list(&own, during("2026-03-01", "2026-03-02")).await.unwrap();
    assert_eq!(margins.iter().map(|row| row.wholesale.amount_minor).collect::<Vec<_>>(), [-64_800]);
    // What is moved from one group to the other is found, though the line as it was rated is the same.
    let owner = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    let unforced = "alter table wholesale_invoice_lines no force row level security";
    sqlx::raw_sql(unforced).execute(&owner).await.unwrap();
    let moved = async |amount: i64| {
        let moved = "update wholesale_invoice_lines set amount_minor = amount_minor + case when quantity = 0 then $1 else - $1 end
           where amount_minor < 0";
        assert_eq!(sqlx::query(moved).bind(amount).execute(&owner).await.unwrap().rows_affected(), 2);
        let mut found = Vec::new();
        let note = |finding: &Finding| found.push(finding.difference.clone());
        verify(&world.operator, None, note).await.unwrap();
        found
    };
    let found = moved(100).await;
    let is_of_tax = |one: &Difference| matches!(one, Difference::LineTax { .. } | Difference::Tax { .. });
    assert!(!found.is_empty() && found.iter().all(is_of_tax), "{found:?}");
    assert_eq!(moved(-100).await, []);
    // What is left of the cycle is in one group.
    tenant::delete(&stays, None).await.unwrap();
    at(&world, "2026-04-01T12:00");
    run(&world, "2026-04-01").await;
    assert_eq!(all_taxes(&world, &world.reseller).await[3], ["S 19.0000 % -30500 -5795"]);
    verified(&world).await;
}

/// Of the same cycle, newer and of more, but another tenant's.
#[tokio::test]
async fn a_credit_corrects_the_invoice_that_billed_the_tenant() {
    let world = world_on("2026-01-01").await;
    let prices = vec![NewPrice { interval: "year".into(), ..price("month", "365", CreditToBalance) }];
    let book = publish(&world.operator, None, prices).await.unwrap();
    agree(&world, &world.reseller, PutAgreement { interval: "year".into(), ..agreed(&book, 0) }).await;
    let goes = tenant_of(&world, &world.reseller, "Goes", 1).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-11T12:00");
    tenant_of(&world, &world.reseller, "Comes", 2).await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    at(&world, "2026-02-10T12:00");
    tenant::delete(&goes, None).await.unwrap();
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    let documents = documents(&world, &world.reseller).await;
    let [first, second, note] = &documents[..] else { panic!("{documents:?}") };
    let totals = [first, second, note].map(|one| one.total.amount_minor);
    assert_eq!(totals, [36_500, 71_000, -32_400]);
    assert_eq!(note.corrects, [first.id]);
    verified(&world).await;
    let owner = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    for table in ["invoices", "credit_note_references"] {
        let statement = format!("alter table wholesale_{table} no force row level security");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&owner).await.unwrap();
    }
    let moved = "update wholesale_credit_note_references set invoice_id =
         (select id from wholesale_invoices where kind = 'invoice' and number = 2)";
    sqlx::raw_sql(moved).execute(&owner).await.unwrap();
    let mut found = Vec::new();
    verify(&world.operator, None, |finding: &Finding| found.push(finding.difference.clone())).await.unwrap();
    let expected = Difference::Corrected { credit_note: note.id, invoice: second.id, instead: first.id };
    assert_eq!(found, [expected]);
    // As a server from before that makes it.
    let older = "with made as (delete from wholesale_credit_note_references returning reseller_id, credit_note_id, invoice_id, amount_minor)
         insert into wholesale_credit_note_references (reseller_id, credit_note_id, invoice_id, amount_minor) select * from made";
    sqlx::raw_sql(older).execute(&owner).await.unwrap();
    verified(&world).await;
}

#[tokio::test]
async fn who_the_operator_is_is_its_own_to_say() {
    let world = world_on("2026-01-01").await;
    let admin = admin_of(&world, &world.reseller).await;
    assert_eq!(of_issuer(&world.operator, OPERATOR).await.unwrap_err().kind(), ErrorKind::NotFound);
    taxing(&world).await;
    let put = of_issuer(&world.operator, OPERATOR).await.unwrap();
    assert_eq!((put.version, put.profile.legal_name.as_str()), (1, "Pillar SE"));
    assert_eq!(tax_rate::list(&world.operator, OPERATOR).await.unwrap().len(), 1);
    assert_eq!(of_issuer(&admin, OPERATOR).await.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(put_issuer(&admin, OPERATOR, issuer(), None).await.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(tax_rate::list(&admin, OPERATOR).await.unwrap_err().kind(), ErrorKind::Forbidden);
    let drafts = PutIssuer { draft_days: 3, ..issuer() };
    let refused = put_issuer(&world.operator, OPERATOR, drafts, None).await.unwrap_err();
    assert_eq!(refused.field_errors()[0].pointer, "/draft_days");
    // The reseller sees who it is to the operator, and does not say so: its taxes follow from that.
    is(&world, &world.reseller, customer("DE", None)).await;
    let own = admin.enter_reseller(world.reseller.id).await.unwrap();
    assert_eq!(profile::get(&own).await.unwrap().version, 1);
    let error = profile::put(&own, &NoRegister, customer("FR", None), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let again = profile::put(&ctx, &NoRegister, customer("DE", None), Some(1)).await.unwrap();
    assert_eq!(again.version, 1);
    assert!(profile::put(&ctx, &NoRegister, customer("FR", None), Some(0)).await.is_err());
    let below = below(&world).await;
    let above = admin.enter_reseller(below.id).await.unwrap();
    assert_eq!(profile::get(&above).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_reseller_s_number_is_looked_up_on_the_operator_s_behalf() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    let vies = FakeVies::start().await;
    let register = register_at(vies.url().as_str()).unwrap();
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    // Good by form and check digits, and nobody's.
    let new = || customer("FR", Some("FR83404833048"));
    let said = |put: Versioned<CustomerProfile>| put.profile.vat_register.unwrap().registration;
    let first = profile::put(&ctx, &*register, new(), None).await.unwrap();
    assert_eq!(said(first), Registration::Void);
    assert_eq!(vies.heard()[0]["requesterNumber"], "136695976");
    // What it said stands while it says nothing.
    vies.fail(&[Fault::Broken]);
    let renamed = PutCustomer { legal_name: "Renamed".into(), ..new() };
    assert_eq!(said(profile::put(&ctx, &*register, renamed, None).await.unwrap()), Registration::Void);
    assert!(vies.heard().len() > 1, "it was asked again");
}
