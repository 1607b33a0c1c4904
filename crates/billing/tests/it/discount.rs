//! Discounts: what is off, on which days, and what becomes of it when seats go.

use billing::discount::{self, Discount, NewDiscount};
use billing::price_book::{NewPrice, NewPriceBook, publish};
use billing::rating::RemovalPolicy;
use billing::subscription::{PutSubscription, put};
use billing::verify::Difference;
use kernel::{ErrorKind, Money};
use tenancy::{Ctx, user};
use testkit::World;

use super::courses::run_and_verify;
use super::tax::{customer, is, taxing};
use super::verify::{found, owner};
use super::{
    all_shown, at, book, date, invoices, price, run, seat, subscribe, terms, with_one_seat, world_on,
};

fn eur(amount_minor: i64) -> Money {
    Money::new(amount_minor, "EUR".parse().unwrap())
}

pub(super) fn percent(percentage: &str, starts_on: &str, ends_on: Option<&str>) -> NewDiscount {
    NewDiscount {
        description: format!("{percentage} % off"),
        percentage: Some(percentage.into()),
        starts_on: starts_on.into(),
        ends_on: ends_on.map(Into::into),
        ..NewDiscount::default()
    }
}

fn amount(amount_minor: i64, starts_on: &str) -> NewDiscount {
    NewDiscount {
        description: "A voucher".into(),
        amount: Some(eur(amount_minor)),
        starts_on: starts_on.into(),
        ..NewDiscount::default()
    }
}

pub(super) async fn give(ctx: &Ctx, new: NewDiscount) -> Discount {
    discount::create(ctx, new).await.unwrap()
}

async fn list(ctx: &Ctx) -> Vec<Discount> {
    discount::list(ctx).await.unwrap().items
}

/// With a monthly or annual subscription from that day on, whose seats are credited when they go.
async fn subscribed_on(day: &str, interval: &str) -> World {
    let world = world_on(day).await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, interval).await;
    world
}

#[tokio::test]
async fn a_percentage_is_off_its_days_and_goes_with_what_it_was_off() {
    let world = subscribed_on("2026-01-01", "month").await;
    seat(&world.ctx, "ada").await;
    let ben = seat(&world.ctx, "ben").await;
    give(&world.ctx, percent("10", "2026-01-01", Some("2026-02-15"))).await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    user::delete(&world.ctx, ben.id, None).await.unwrap();
    run_and_verify(&world, "2026-02-01").await;
    run_and_verify(&world, "2026-03-01").await;
    let expected = [
        "invoice 2026-01-01 22.50 EUR; recurring 2026-01-01..2026-02-01 x2 = 62 seat-days, 25.00 EUR; \
         discount 2026-01-01..2026-02-01 x0 = 0 seat-days, -2.50 EUR",
        // 12.50 × 21/31 = 8.4677…, and 7.6209… net: what was billed less what is kept.
        "invoice 2026-02-01 4.26 EUR; recurring 2026-02-01..2026-02-15 x1 = 14 seat-days, 6.25 EUR; \
         discount 2026-02-01..2026-02-15 x0 = 0 seat-days, -0.62 EUR; \
         recurring 2026-02-15..2026-03-01 x1 = 14 seat-days, 6.25 EUR; \
         credit 2026-01-11..2026-02-01 x-1 = -21 seat-days, -8.47 EUR; \
         discount 2026-01-11..2026-02-01 x0 = 0 seat-days, 0.85 EUR",
        "invoice 2026-03-01 12.50 EUR; recurring 2026-03-01..2026-04-01 x1 = 31 seat-days, 12.50 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    let documents = invoices(&world.ctx).await;
    let words = |document: usize, line: usize| documents[document].lines[line].description.as_str();
    assert_eq!(words(0, 1), "discount: 10 % off, 2026-01-01 to 2026-01-31");
    assert_eq!(words(1, 4), "discount taken back: 10 % off, 2026-01-11 to 2026-01-31");
    let off = &documents[0].lines[1];
    assert_eq!(
        (off.item.as_str(), off.price_id, off.unit_price),
        ("mailbox", documents[0].lines[0].price_id, None)
    );
}

#[tokio::test]
async fn an_amount_is_off_each_cycle_and_never_more_than_is_charged() {
    let world = subscribed_on("2026-01-01", "month").await;
    seat(&world.ctx, "ada").await;
    give(&world.ctx, amount(1_000, "2026-01-01")).await;
    run_and_verify(&world, "2026-01-01").await;
    // A second seat from the 11th on costs what it would without; February has the amount off both.
    at(&world, "2026-01-11T12:00");
    let ben = seat(&world.ctx, "ben").await;
    run_and_verify(&world, "2026-02-01").await;
    // With more off than one seat costs, nothing is left to pay in March, and nothing is owed.
    at(&world, "2026-02-01T12:00");
    give(&world.ctx, amount(500, "2026-03-01")).await;
    user::delete(&world.ctx, ben.id, None).await.unwrap();
    run_and_verify(&world, "2026-03-01").await;
    let expected = [
        "invoice 2026-01-01 2.50 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 12.50 EUR; \
         discount 2026-01-01..2026-02-01 x0 = 0 seat-days, -10.00 EUR",
        "invoice 2026-02-01 23.47 EUR; recurring 2026-02-01..2026-03-01 x2 = 56 seat-days, 25.00 EUR; \
         discount 2026-02-01..2026-03-01 x0 = 0 seat-days, -10.00 EUR; \
         proration 2026-01-11..2026-02-01 x1 = 21 seat-days, 8.47 EUR",
        "credit_note 2026-03-01 -12.05 EUR; recurring 2026-03-01..2026-04-01 x1 = 31 seat-days, 12.50 EUR; \
         discount 2026-03-01..2026-04-01 x0 = 0 seat-days, -12.50 EUR; \
         credit 2026-02-02..2026-03-01 x-1 = -27 seat-days, -12.05 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
}

#[tokio::test]
async fn of_several_the_largest_percentage_counts_and_amounts_add_up() {
    let world = subscribed_on("2026-01-01", "year").await;
    seat(&world.ctx, "ada").await;
    for new in [
        percent("12.5", "2026-01-01", None),
        percent("33.3333", "2026-01-01", None),
        amount(1_000, "2026-01-01"),
        NewDiscount { item: Some("mailbox".into()), ..amount(250, "2026-01-01") },
    ] {
        give(&world.ctx, new).await;
    }
    run_and_verify(&world, "2026-01-01").await;
    // 120 × 0.666667 = 80.00004, less 12.50.
    let expected = "invoice 2026-01-01 67.50 EUR; recurring 2026-01-01..2027-01-01 x1 = 365 seat-days, 120.00 EUR; \
                    discount 2026-01-01..2027-01-01 x0 = 0 seat-days, -52.50 EUR";
    assert_eq!(all_shown(&world.ctx).await, [expected]);
    let words = &invoices(&world.ctx).await[0].lines[1].description;
    assert_eq!(words, "discount: 33.3333 % off, A voucher, A voucher, 2026-01-01 to 2026-12-31");
}

/// What the discount line of the first document says, of one seat at 12.50 a month.
async fn said_of(all: impl IntoIterator<Item = NewDiscount>) -> String {
    let world = subscribed_on("2026-01-01", "month").await;
    seat(&world.ctx, "ada").await;
    for new in all {
        give(&world.ctx, new).await;
    }
    run_and_verify(&world, "2026-01-01").await;
    let [of] = &invoices(&world.ctx).await[..] else { panic!("one document") };
    let off: Vec<_> = of.lines.iter().filter(|line| line.kind.as_str() == "discount").collect();
    let [line] = off[..] else { panic!("one line: {of:?}") };
    let days = ", 2026-01-01 to 2026-01-31";
    line.description.strip_prefix("discount: ").unwrap().strip_suffix(days).unwrap().to_owned()
}

#[tokio::test]
async fn a_line_names_the_discounts_that_gave_something_and_no_others() {
    let named = |minor: i64, description: &str| NewDiscount {
        description: description.into(),
        ..amount(minor, "2026-01-01")
    };
    let off = |percentage: &str| percent(percentage, "2026-01-01", None);
    assert_eq!(said_of([off("10"), off("20"), off("5")]).await, "20 % off");
    let twice = NewDiscount { description: "A second one".into(), ..off("20") };
    assert_eq!(said_of([off("20"), twice]).await, "20 % off");
    // Nothing is left of the price for an amount.
    assert_eq!(said_of([named(500, "A voucher"), off("100")]).await, "100 % off");
    assert_eq!(said_of([off("50"), named(625, "One"), named(100, "Two")]).await, "50 % off, One");
    assert_eq!(said_of([named(1000, "One"), named(250, "Two"), named(1, "Three")]).await, "One, Two");
    assert_eq!(said_of([named(1, "A cent")]).await, "A cent");
    // The larger one is of other days.
    assert_eq!(said_of([percent("40", "2026-02-01", None), off("10")]).await, "10 % off");
}

#[tokio::test]
async fn it_ends_with_what_has_been_billed_and_what_never_counted_is_gone() {
    let world = subscribed_on("2026-01-01", "month").await;
    seat(&world.ctx, "ada").await;
    let held = give(&world.ctx, percent("100", "2026-01-01", None)).await;
    let never = give(&world.ctx, percent("50", "2026-02-01", None)).await;
    discount::end(&world.ctx, never.id).await.unwrap();
    assert_eq!(discount::end(&world.ctx, never.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(list(&world.ctx).await, std::slice::from_ref(&held));
    run_and_verify(&world, "2026-01-01").await;
    // January is billed, in advance: neither does anything begin in it, nor end.
    let error = discount::create(&world.ctx, percent("5", "2026-01-31", None)).await.unwrap_err();
    assert_eq!(error.field_errors()[0].pointer, "/starts_on");
    discount::end(&world.ctx, held.id).await.unwrap();
    discount::end(&world.ctx, held.id).await.unwrap();
    let ended = list(&world.ctx).await;
    assert_eq!((ended.len(), ended[0].id, ended[0].ends_on), (1, held.id, Some(date("2026-02-01"))));
    run_and_verify(&world, "2026-02-01").await;
    let expected = [
        "invoice 2026-01-01 0.00 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 12.50 EUR; \
         discount 2026-01-01..2026-02-01 x0 = 0 seat-days, -12.50 EUR",
        "invoice 2026-02-01 12.50 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 12.50 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
}

#[tokio::test]
async fn a_change_of_the_interval_gives_back_what_was_paid() {
    let (world, book) = with_one_seat("2026-01-01", RemovalPolicy::default()).await;
    give(&world.ctx, percent("20", "2026-01-01", Some("2026-07-01"))).await;
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-15T12:00");
    let yearly = PutSubscription { term_months: Some(12), ..terms(&book, "year") };
    put(&world.ctx, yearly, None).await.unwrap();
    run_and_verify(&world, "2026-02-15").await;
    // Half of February's 10.00; the year at a fifth off up to July: 136 of its 365 days.
    let expected = "invoice 2026-02-15 106.06 EUR; recurring 2026-02-15..2026-07-01 x1 = 136 seat-days, 44.71 EUR; \
                    discount 2026-02-15..2026-07-01 x0 = 0 seat-days, -8.94 EUR; \
                    recurring 2026-07-01..2027-02-15 x1 = 229 seat-days, 75.29 EUR; \
                    credit 2026-02-15..2026-03-01 x-1 = -14 seat-days, -6.25 EUR; \
                    discount 2026-02-15..2026-03-01 x0 = 0 seat-days, 1.25 EUR";
    assert_eq!(all_shown(&world.ctx).await[2], expected);
}

#[tokio::test]
async fn late_runs_make_the_documents_of_daily_ones() {
    let (daily, late) =
        (subscribed_on("2026-01-31", "month").await, subscribed_on("2026-01-31", "month").await);
    for world in [&daily, &late] {
        give(&world.ctx, percent("7.77", "2026-02-10", Some("2026-03-20"))).await;
        give(&world.ctx, amount(333, "2026-01-31")).await;
    }
    let mut day = date("2026-01-31");
    for n in 0_u32..60 {
        for world in [&daily, &late] {
            at(world, &format!("{day}T11:00"));
            let (all, page) = (Default::default(), kernel::PageRequest::new(None, None));
            let users = user::list(&world.ctx, &all, page).await.unwrap().items;
            match n % 5 {
                0 | 1 => drop(seat(&world.ctx, &format!("user{n}")).await),
                3 => user::delete(&world.ctx, users[0].id, None).await.unwrap(),
                _ => {}
            }
            at(world, &format!("{day}T23:00"));
        }
        run(&daily, &day.to_string()).await;
        day = day.succ_opt().unwrap();
    }
    run_and_verify(&daily, "2026-03-31").await;
    run_and_verify(&late, "2026-03-31").await;
    let documents = all_shown(&daily.ctx).await;
    assert!(
        documents.len() == 3 && documents.iter().all(|shown| shown.contains("discount")),
        "{documents:#?}"
    );
    assert_eq!(documents, all_shown(&late.ctx).await);
}

#[tokio::test]
async fn tax_is_on_what_is_left() {
    for (behavior, totals, lines) in [
        ("exclusive", (2_250, 428, 2_678), [2_500, -250]),
        // 22.50 with 19 % in it; the line without the discount is the net of 25.00.
        ("inclusive", (1_891, 359, 2_250), [2_101, -210]),
    ] {
        let world = world_on("2026-01-01").await;
        taxing(&world).await;
        is(&world.ctx, customer("DE", None)).await;
        let prices = vec![price("month", "12.50", RemovalPolicy::CreditToBalance)];
        let book = NewPriceBook { tax_behavior: Some(behavior.into()), prices };
        let book = publish(&world.operator, Some(world.reseller.id), book).await.unwrap();
        subscribe(&world.ctx, &book, "month").await;
        let ada = seat(&world.ctx, "ada").await;
        let ben = seat(&world.ctx, "ben").await;
        give(&world.ctx, percent("10", "2026-01-01", None)).await;
        run_and_verify(&world, "2026-01-01").await;
        let first = &invoices(&world.ctx).await[0];
        let shown = [first.net, first.tax, first.total].map(|amount| amount.amount_minor);
        assert_eq!((shown[0], shown[1], shown[2]), totals);
        assert_eq!([0, 1].map(|at| first.lines[at].amount.amount_minor), lines);
        // All of it given back on the day it was taken would leave a day; of the rest the tax comes with it.
        at(&world, "2026-01-05T12:00");
        user::delete(&world.ctx, ada.id, None).await.unwrap();
        user::delete(&world.ctx, ben.id, None).await.unwrap();
        run_and_verify(&world, "2026-02-01").await;
        let documents = invoices(&world.ctx).await;
        let rated: i64 = documents.iter().flat_map(|d| &d.lines).map(|line| line.amount.amount_minor).sum();
        let net: i64 = documents.iter().map(|document| document.net.amount_minor).sum();
        assert_eq!(rated, net);
    }
}

#[tokio::test]
async fn bad_discounts_are_refused() {
    let world = world_on("2026-01-01").await;
    let error = discount::create(&world.ctx, percent("10", "2026-01-01", None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "there is no subscription");
    let book = book(&world, RemovalPolicy::default()).await;
    subscribe(&world.ctx, &book, "month").await;
    let fine = || percent("10", "2026-01-01", None);
    let dollars = Money::new(1, "USD".parse().unwrap());
    for (wrong, pointer) in [
        (NewDiscount { description: String::new(), ..fine() }, "/description"),
        (percent("0", "2026-01-01", None), "/percentage"),
        (percent("100.0001", "2026-01-01", None), "/percentage"),
        (percent("1.00001", "2026-01-01", None), "/percentage"),
        (NewDiscount { amount: Some(eur(1)), ..fine() }, "/percentage"),
        (NewDiscount { percentage: None, ..fine() }, "/percentage"),
        (amount(0, "2026-01-01"), "/amount/amount_minor"),
        (amount(-1, "2026-01-01"), "/amount/amount_minor"),
        (amount(i64::MAX, "2026-01-01"), "/amount/amount_minor"),
        (NewDiscount { amount: Some(dollars), ..amount(1, "2026-01-01") }, "/amount/currency"),
        (NewDiscount { item: Some("coffee".into()), ..fine() }, "/item"),
        (NewDiscount { item: Some("archive".into()), ..fine() }, "/item"),
        (percent("10", "2025-12-31", None), "/starts_on"),
        (percent("10", "2026-02-30", None), "/starts_on"),
        (percent("10", "2026-01-01", Some("2026-01-01")), "/ends_on"),
        (percent("10", "2026-01-01", Some("never")), "/ends_on"),
    ] {
        let error = discount::create(&world.ctx, wrong).await.unwrap_err();
        assert_eq!(
            error.field_errors().first().map(|error| error.pointer.as_str()),
            Some(pointer),
            "{error:?}"
        );
    }
    assert_eq!(list(&world.ctx).await, []);
}

#[tokio::test]
async fn what_is_not_sold_yet_has_a_discount_once_a_change_that_sells_it_is_planned() {
    let world = subscribed_on("2026-01-01", "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    let archives =
        |starts_on: &str| NewDiscount { item: Some("archive".into()), ..percent("10", starts_on, None) };
    let refused = discount::create(&world.ctx, archives("2026-02-01")).await.unwrap_err();
    let [error] = refused.field_errors() else { panic!("{refused:?}") };
    let detail = "must be what the subscription's price book sells, which has no price for archive";
    assert_eq!((error.pointer.as_str(), error.detail.as_str()), ("/item", detail));
    // Cheaper, so from February on.
    let of = |item: &str, unit_price: &str| NewPrice {
        item: item.into(),
        ..price("month", unit_price, RemovalPolicy::CreditToBalance)
    };
    let prices = vec![of("mailbox", "10"), of("archive", "1")];
    let cheaper = publish(&world.operator, Some(world.reseller.id), prices).await.unwrap();
    let changed = put(&world.ctx, terms(&cheaper, "month"), None).await.unwrap();
    assert_eq!(changed.terms.starts_on, date("2026-02-01"));
    give(&world.ctx, archives("2026-02-01")).await;
    run_and_verify(&world, "2026-02-01").await;
}

#[tokio::test]
async fn what_was_changed_of_a_discount_or_its_line_is_found() {
    for (tampering, expected) in [
        ("update subscription_discounts set percentage = 11", "line"),
        ("update subscription_discounts set ends_on = '2026-01-20'", "line"),
        ("update billed_boundaries set discounts_known = 0", "line"),
        ("update billed_boundaries set discounts_known = 2", "cut"),
        ("update invoice_lines set kind = 'recurring' where kind = 'discount'", "tax"),
        ("update invoice_lines set discount_percentage = 11", "cycle"),
        ("update invoice_lines set discount_off = 1", "cycle"),
    ] {
        let world = subscribed_on("2026-01-01", "month").await;
        seat(&world.ctx, "ada").await;
        give(&world.ctx, percent("10", "2026-01-01", None)).await;
        run_and_verify(&world, "2026-01-01").await;
        sqlx::raw_sql(tampering).execute(&owner(&world).await).await.unwrap();
        let found = found(&world).await;
        let is_found = match expected {
            "line" => matches!(found[..], [Difference::Line { position: 1, .. }, ..]),
            "cut" => matches!(found[..], [Difference::LogCut { .. }, ..]),
            "tax" => matches!(found[..], [Difference::LineTax { position: 2, .. }, ..]),
            _ => matches!(found[..], [Difference::Cycle { .. }]),
        };
        assert!(is_found, "{tampering}: {found:?}");
    }
}
