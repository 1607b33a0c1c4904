//! Taxes on documents: whom what rate reaches, how a credit finds its way back, and what verifying says of it.

use billing::invoice::{DocumentKind, Invoice};
use billing::ledger::{Account, AsOf, trial_balance};
use billing::price_book::{NewPriceBook, publish};
use billing::profile::{NewAddress, PutCustomer, PutIssuer, of_customer, put_customer, put_issuer};
use billing::rating::RemovalPolicy;
use billing::tax_rate::{self, NewTaxRate};
use billing::vat_id::{NoRegister, Registration, VatRegister};
use billing::verify::Difference;
use kernel::FieldError;
use tenancy::Ctx;
use testkit::{World, world};

use super::verify::{assert_clean, found, owner, remove_first};
use super::{at, book, date, domain, invoices, price, run, seat, subscribe, world_on};

fn address(country: &str) -> NewAddress {
    NewAddress {
        street: "Hafenstr. 1".into(),
        city: "Hafen".into(),
        country: country.into(),
        ..NewAddress::default()
    }
}

/// An issuer in Germany that charges tax.
pub(crate) async fn taxing(world: &World) {
    let new = PutIssuer {
        legal_name: "North Hosting GmbH".into(),
        address: address("DE"),
        vat_id: Some("DE136695976".into()),
        charges_tax: true,
        days_to_pay: Some(30),
        ..PutIssuer::default()
    };
    put_issuer(&world.operator, world.reseller.id, new, Some(0)).await.unwrap();
    rate(world, "DE", "19", "2007-01-01").await;
}

pub(super) async fn rate(world: &World, country: &str, rate: &str, valid_from: &str) {
    let new = NewTaxRate { country: country.into(), rate: rate.into(), valid_from: valid_from.into() };
    tax_rate::add(&world.operator, world.reseller.id, new).await.unwrap();
}

pub(super) fn customer(country: &str, vat_id: Option<&str>) -> PutCustomer {
    PutCustomer {
        legal_name: "Bakery Ltd".into(),
        address: address(country),
        vat_id: vat_id.map(Into::into),
        exemption: None,
        reference: None,
    }
}

pub(super) async fn is(ctx: &Ctx, new: PutCustomer) {
    put_customer(ctx, &NoRegister, new, None).await.unwrap();
}

/// `category rate taxable tax`, by group.
fn taxes(invoice: &Invoice) -> Vec<String> {
    assert_eq!(invoice.net.amount_minor + invoice.tax.amount_minor, invoice.total.amount_minor);
    let lines: i64 = invoice.lines.iter().map(|line| line.amount.amount_minor).sum();
    assert_eq!(lines, invoice.net.amount_minor);
    let shown = |tax: &billing::invoice::InvoiceTax| {
        format!("{} {} {}", tax.group, tax.taxable.amount_minor, tax.tax.amount_minor)
    };
    invoice.taxes.iter().map(shown).collect()
}

async fn documents(ctx: &Ctx) -> Vec<Vec<String>> {
    invoices(ctx).await.iter().map(taxes).collect()
}

#[tokio::test]
async fn each_customer_is_taxed_by_where_it_is() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    rate(&world, "FR", "20", "2014-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    let exempt = PutCustomer { exemption: Some("a public body".into()), ..customer("DE", None) };
    let mut tenants = Vec::new();
    for (name, new, expected) in [
        ("domestic", customer("DE", Some("DE136695976")), "S 19.0000 % 1250 238"),
        ("reverse", customer("FR", Some("FR40303265045")), "AE 0.0000 % 1250 0"),
        ("shop", customer("FR", None), "S 20.0000 % 1250 250"),
        ("below", customer("IT", None), "S 19.0000 % 1250 238"),
        ("exempt", exempt, "E 0.0000 % 1250 0"),
        ("third", customer("US", None), "O 0.0000 % 1250 0"),
    ] {
        let tenant = world::tenant(&world.operator, &world.reseller, name).await;
        let ctx = world.operator.enter(tenant.id).await.unwrap();
        world::domain(&ctx, &domain(&ctx)).await;
        is(&ctx, new).await;
        subscribe(&ctx, &book, "month").await;
        seat(&ctx, "ada").await;
        tenants.push((ctx, expected));
    }
    run(&world, "2026-01-01").await;
    for (ctx, expected) in &tenants {
        assert_eq!(documents(ctx).await, [[*expected]]);
    }
    let document = invoices(&tenants[0].0).await.remove(0);
    assert_eq!(
        (document.issuer.name.as_str(), document.customer.name.as_str()),
        ("North Hosting GmbH", "Bakery Ltd")
    );
    assert_eq!(document.due_on, date("2026-01-31"));
    for (at, reason) in [(1, "reverse charge"), (4, "a public body"), (5, "not subject to VAT")] {
        let document = invoices(&tenants[at].0).await.remove(0);
        assert!(document.taxes[0].reason.as_ref().unwrap().starts_with(reason));
    }
    let balances =
        trial_balance(&world.operator, world.reseller.id, AsOf::day(date("2026-01-01"))).await.unwrap();
    let payable = balances.iter().find(|balance| balance.account == Account::TaxPayable).unwrap();
    assert_eq!(payable.balance.amount_minor, -(238 + 250 + 238));
    assert_clean(&world, 6).await;
}

#[tokio::test]
async fn a_credit_is_taxed_at_the_rate_of_what_it_takes_back() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    rate(&world, "DE", "21", "2026-02-01").await;
    is(&world.ctx, customer("DE", None)).await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "year").await;
    for name in ["ada", "ben", "cy"] {
        seat(&world.ctx, name).await;
    }
    run(&world, "2026-01-01").await;
    // One more in the year, from 2 January on, at the new rate; then two are gone from 11 February on.
    at(&world, "2026-01-02T09:00");
    seat(&world.ctx, "dee").await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    at(&world, "2026-02-10T09:00");
    for _ in 0..2 {
        remove_first(&world.ctx).await;
    }
    at(&world, "2026-03-01T09:00");
    run(&world, "2026-03-01").await;
    // 120 × 364/365 = 119.67; 2 × 120 × 324/365 = 213.04, of which 119.67 were charged at the new rate.
    let expected = [
        vec!["S 19.0000 % 36000 6840"],
        vec!["S 21.0000 % 11967 2513"],
        vec!["S 21.0000 % -11967 -2513", "S 19.0000 % -9337 -1774"],
    ];
    assert_eq!(documents(&world.ctx).await, expected);
    let note = invoices(&world.ctx).await.remove(2);
    assert_eq!(note.kind, DocumentKind::CreditNote);
    let lines: Vec<_> =
        note.lines.iter().map(|line| (line.quantity, line.seat_days, line.tax.rate().to_string())).collect();
    assert_eq!(lines, [(-2, -648, "21.0000".to_owned()), (0, 0, "19.0000".to_owned())]);
    assert_clean(&world, 3).await;
    // What was billed goes on from the parts as from one line.
    at(&world, "2027-01-01T09:00");
    run(&world, "2027-01-01").await;
    assert_eq!(documents(&world.ctx).await[3..], [["S 21.0000 % 24000 5040"]]);
    assert_clean(&world, 4).await;
}

#[tokio::test]
async fn who_moves_abroad_is_credited_as_it_was_charged() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    is(&world.ctx, customer("DE", None)).await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    for name in ["ada", "ben"] {
        seat(&world.ctx, name).await;
    }
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-15T09:00");
    remove_first(&world.ctx).await;
    is(&world.ctx, customer("US", None)).await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    // 12.50 × 16/31 = 6.45: charged at 19 %. Beside that, what is outside tax is exempt.
    let second = ["S 19.0000 % -645 -123", "E 0.0000 % 1250 0"];
    assert_eq!(documents(&world.ctx).await[1], second);
    assert_clean(&world, 2).await;
}

#[tokio::test]
async fn prices_that_include_tax_come_to_what_they_say() {
    for (currency, change, unit_price, expected) in [
        ("EUR", "update tenants set currency = 'EUR'", "12.50", "S 19.0000 % 1050 200"),
        ("JPY", "update tenants set currency = 'JPY'", "999", "S 19.0000 % 839 160"),
        ("KWD", "update tenants set currency = 'KWD'", "1.234", "S 19.0000 % 1037 197"),
    ] {
        let world = world_on("2026-01-01").await;
        taxing(&world).await;
        is(&world.ctx, customer("DE", None)).await;
        super::run::behind_and_commit(&world, change).await;
        let of = |unit_price: &str| {
            let price = price("month", unit_price, RemovalPolicy::CreditToBalance);
            vec![billing::price_book::NewPrice { currency: currency.into(), ..price }]
        };
        let new = NewPriceBook { tax_behavior: Some("inclusive".into()), prices: of(unit_price) };
        let gross = publish(&world.operator, Some(world.reseller.id), new).await.unwrap();
        subscribe(&world.ctx, &gross, "month").await;
        seat(&world.ctx, "ada").await;
        run(&world, "2026-01-01").await;
        assert_eq!(documents(&world.ctx).await, [[expected]]);
        // All of it is given back, but the day on which it was used.
        at(&world, "2026-01-01T10:00");
        remove_first(&world.ctx).await;
        at(&world, "2026-02-01T09:00");
        run(&world, "2026-02-01").await;
        let sums: Vec<i64> =
            invoices(&world.ctx).await.iter().map(|document| document.total.amount_minor).collect();
        let (_, exponent) = unit_price.split_once('.').unwrap_or(("", ""));
        let gross_minor: i64 = unit_price.replace('.', "").parse().unwrap();
        assert_eq!(exponent.len() as u32, currency.parse::<kernel::Currency>().unwrap().exponent());
        let kept = (gross_minor * 2 + 31) / 62;
        assert_eq!(sums, [gross_minor, kept - gross_minor]);
        assert_clean(&world, 2).await;
        let net = publish(&world.operator, Some(world.reseller.id), of("999")).await.unwrap();
        let refused =
            billing::subscription::put(&world.ctx, super::terms(&net, "month"), None).await.unwrap_err();
        assert_eq!(pointers(refused.field_errors()), ["/price_book_id"]);
    }
}

fn pointers(errors: &[FieldError]) -> Vec<&str> {
    errors.iter().map(|error| error.pointer.as_str()).collect()
}

#[tokio::test]
async fn who_cannot_be_taxed_is_parked_until_it_can() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    let parked = async |why: &str| {
        let summary = run(&world, "2026-01-01").await;
        assert_eq!((summary.accounts_parked, summary.invoices), (1, 0));
        let reason = billing::subscription::get(&world.ctx).await.unwrap().parked_reason;
        assert_eq!(reason.as_deref(), Some(why));
    };
    parked("the issuer charges tax and the customer has no billing profile").await;
    // An issuer in another country, for which it has no rate.
    let issuer = PutIssuer {
        legal_name: "North Hosting".into(),
        address: address("AT"),
        vat_id: Some("ATU13585627".into()),
        charges_tax: true,
        ..PutIssuer::default()
    };
    put_issuer(&world.operator, world.reseller.id, issuer, Some(1)).await.unwrap();
    is(&world.ctx, customer("AT", None)).await;
    parked("the issuer charges tax and has no rate for AT on the day of the document").await;
    // What was missing of the issuer's unparks all its tenants.
    rate(&world, "AT", "20", "2020-01-01").await;
    assert_eq!(billing::subscription::get(&world.ctx).await.unwrap().parked_reason, None);
    is(&world.ctx, customer("AT", Some("ATU13585627"))).await;
    assert_eq!(run(&world, "2026-01-01").await.invoices, 1);
    assert_eq!(documents(&world.ctx).await, [["S 20.0000 % 1250 250"]]);
}

#[tokio::test]
async fn a_rate_that_has_begun_never_changes() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    let add = async |valid_from: &str, percent: &str| {
        let new = NewTaxRate { country: "DE".into(), rate: percent.into(), valid_from: valid_from.into() };
        tax_rate::add(&world.operator, world.reseller.id, new).await
    };
    for begun in ["2006-01-01", "2007-01-01", "2025-12-31", "2026-01-01"] {
        assert_eq!(pointers(add(begun, "21").await.unwrap_err().field_errors()), ["/valid_from"]);
    }
    add("2026-07-01", "21").await.unwrap();
    add("2026-06-01", "22").await.unwrap();
    let rates = tax_rate::list(&world.operator, world.reseller.id).await.unwrap();
    let shown: Vec<_> = rates
        .iter()
        .map(|held| (held.rate.rate.to_string(), held.rate.valid_from, held.valid_until))
        .collect();
    let expected = [
        ("19.0000".to_owned(), date("2007-01-01"), Some(date("2026-06-01"))),
        ("22.0000".to_owned(), date("2026-06-01"), None),
    ];
    assert_eq!(shown, expected);
    let wrong = NewTaxRate { country: "EU".into(), rate: "101".into(), valid_from: "2026-02-30".into() };
    let wrong = tax_rate::add(&world.operator, world.reseller.id, wrong).await.unwrap_err();
    assert_eq!(pointers(wrong.field_errors()), ["/country", "/rate", "/valid_from"]);
}

/// A register that has no number of anybody.
#[derive(Debug)]
struct Empty;

#[async_trait::async_trait]
impl VatRegister for Empty {
    async fn look_up(&self, _: vies::Number<'_>, _: Option<vies::Number<'_>>) -> vies::Outcome {
        vies::Outcome::Answered { is_valid: false, consultation: None }
    }
}

#[tokio::test]
async fn a_number_that_a_register_does_not_have_is_no_reverse_charge() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    let abroad = customer("FR", Some("FR40303265045"));
    let put = put_customer(&world.ctx, &NoRegister, abroad.clone(), Some(0)).await.unwrap();
    let answer = put.profile.vat_register.clone().unwrap();
    assert_eq!((answer.registration, answer.checked_at), (Registration::Unchecked, None));
    let again = put_customer(&world.ctx, &NoRegister, abroad.clone(), Some(1)).await.unwrap();
    assert_eq!(again, put, "the same again is no change");
    put_customer(&world.ctx, &Empty, abroad.clone(), Some(1)).await.unwrap();
    // What a register said stays while nobody says otherwise.
    let renamed = PutCustomer { legal_name: "Boulangerie".into(), ..abroad.clone() };
    put_customer(&world.ctx, &NoRegister, renamed, Some(2)).await.unwrap();
    let stored = of_customer(&world.ctx).await.unwrap();
    let answer = stored.profile.vat_register.unwrap();
    assert_eq!(
        (answer.registration, answer.checked_at.is_some(), stored.version),
        (Registration::Void, true, 3)
    );
    assert!(put_customer(&world.ctx, &NoRegister, abroad, Some(1)).await.is_err(), "an old version");
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run(&world, "2026-01-01").await;
    assert_eq!(documents(&world.ctx).await, [["S 19.0000 % 1250 238"]]);
}

#[tokio::test]
async fn what_is_changed_by_hand_is_found() {
    let changes = [
        ("update tax_rates set rate = 20", vec!["line_tax", "tax", "tax"]),
        ("update tax_rates set valid_from = '2026-02-01'", vec!["untaxable"]),
        ("delete from tax_rates", vec!["log_cut"]),
        (
            "update invoices set customer_profile = jsonb_set(customer_profile, '{address,country}', '\"US\"')",
            vec!["line_tax", "tax", "tax"],
        ),
        ("update invoices set issuer_profile = null", vec!["line_tax", "tax", "tax"]),
        ("update invoices set customer_profile = null", vec!["untaxable"]),
        ("update invoices set customer_profile = '{}'", vec!["unreadable"]),
        ("update invoice_lines set tax_rate = 7", vec!["line_tax"]),
        ("update invoice_lines set rated_minor = 1249", vec!["line"]),
        ("update invoice_taxes set tax_minor = 237", vec!["sum", "tax"]),
        ("update invoice_taxes set rate = 7", vec!["tax", "tax"]),
    ];
    for (change, expected) in changes {
        let world = world_on("2026-01-01").await;
        taxing(&world).await;
        is(&world.ctx, customer("DE", None)).await;
        let book = book(&world, RemovalPolicy::CreditToBalance).await;
        subscribe(&world.ctx, &book, "month").await;
        seat(&world.ctx, "ada").await;
        run(&world, "2026-01-01").await;
        assert_clean(&world, 1).await;
        sqlx::raw_sql(change).execute(&owner(&world).await).await.unwrap();
        let kinds: Vec<&str> = found(&world)
            .await
            .iter()
            .map(|difference| match difference {
                Difference::Line { .. } => "line",
                Difference::LineTax { .. } => "line_tax",
                Difference::Tax { .. } => "tax",
                Difference::Untaxable { .. } => "untaxable",
                Difference::LogCut { .. } => "log_cut",
                Difference::Unreadable(_) => "unreadable",
                Difference::Sum { .. } => "sum",
                other => panic!("{change}: {other}"),
            })
            .collect();
        assert_eq!(kinds, expected, "{change}");
    }
}
