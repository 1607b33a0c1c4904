//! Subscriptions: what may be put, and what a change of the committed seats costs.

use billing::price_book::{NewPrice, NewTier, PriceBook, publish};
use billing::rating::RemovalPolicy;
use billing::subscription::{PutSubscription, get, put};
use kernel::{ErrorKind, PageRequest};
use testkit::{World, world};

use super::verify::assert_clean;
use super::{
    all_shown, at, book, date, invoices, price, run, seat, subscribe, terms, with_one_seat, world_on,
};

#[tokio::test]
async fn it_starts_on_the_present_day_and_may_be_anchored_elsewhere() {
    let world = world_on("2026-01-20").await;
    assert_eq!(get(&world.ctx).await.unwrap_err().kind(), ErrorKind::NotFound);
    let book = book(&world, RemovalPolicy::default()).await;
    let plain = subscribe(&world.ctx, &book, "month").await;
    assert_eq!(
        (plain.terms.anchor_date, plain.next_invoice_on),
        (date("2026-01-20"), Some(date("2026-01-20")))
    );
    assert_eq!((plain.terms.term_months, plain.seats_committed, plain.version), (1, 0, 1));

    // Nothing has been billed: everything may change. 12 days of 31 are left of the cycle from 1 January.
    let anchored = PutSubscription {
        anchor_date: Some("2026-02-01".into()),
        seats_committed: Some(3),
        ..terms(&book, "month")
    };
    let anchored = put(&world.ctx, anchored, None).await.unwrap();
    assert_eq!((anchored.id, anchored.version), (plain.id, 2));
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let expected = [
        "invoice 2026-01-20 14.52 EUR; recurring 2026-01-20..2026-02-01 x3 = 36 seat-days, 14.52 EUR",
        "invoice 2026-02-01 37.50 EUR; recurring 2026-02-01..2026-03-01 x3 = 84 seat-days, 37.50 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    assert_eq!(get(&world.ctx).await.unwrap().next_invoice_on, Some(date("2026-03-01")));
}

#[tokio::test]
async fn after_the_first_document_anchor_and_trial_stay() {
    let (world, book) = with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await;
    run(&world, "2026-01-01").await;

    let moved = PutSubscription { anchor_date: Some("2026-01-15".into()), ..terms(&book, "month") };
    let tried = PutSubscription { trial_ends_on: Some("2026-01-15".into()), ..terms(&book, "month") };
    for refused in [moved, tried] {
        let error = put(&world.ctx, refused, None).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "subscription_terms_fixed"));
    }

    at(&world, "2026-01-22T09:00");
    put(&world.ctx, PutSubscription { seats_committed: Some(3), ..terms(&book, "month") }, None)
        .await
        .unwrap();
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    // Two more from the 22nd on: 12.50 × 20/31 = 8.0645…
    let second = "invoice 2026-02-01 45.56 EUR; recurring 2026-02-01..2026-03-01 x3 = 84 seat-days, 37.50 EUR; \
                  proration 2026-01-22..2026-02-01 x2 = 20 seat-days, 8.06 EUR";
    assert_eq!(all_shown(&world.ctx).await[1], second);
}

#[tokio::test]
async fn a_committed_minimum_corrected_before_the_first_document_is_never_charged() {
    for (corrected_at, policy) in [
        ("2026-01-01T09:01", RemovalPolicy::AtCycleEnd),
        ("2026-01-08T09:00", RemovalPolicy::CreditToBalance),
    ] {
        let world = world_on("2026-01-01").await;
        let book = book(&world, policy).await;
        let committed = |seats| PutSubscription { seats_committed: Some(seats), ..terms(&book, "month") };
        put(&world.ctx, committed(100), None).await.unwrap();
        at(&world, corrected_at);
        put(&world.ctx, committed(3), None).await.unwrap();
        at(&world, "2026-01-08T10:00");
        run(&world, "2026-01-08").await;
        let expected =
            "invoice 2026-01-01 37.50 EUR; recurring 2026-01-01..2026-02-01 x3 = 93 seat-days, 37.50 EUR";
        assert_eq!(all_shown(&world.ctx).await, [expected]);
    }
}

#[tokio::test]
async fn the_minimum_set_last_holds_though_the_clock_steps_back() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    run(&world, "2026-01-01").await;
    for (time, seats) in [("2026-01-22T09:00", 3), ("2026-01-21T09:00", 2)] {
        at(&world, time);
        put(&world.ctx, PutSubscription { seats_committed: Some(seats), ..terms(&book, "month") }, None)
            .await
            .unwrap();
    }
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let second = "invoice 2026-02-01 33.06 EUR; recurring 2026-02-01..2026-03-01 x2 = 56 seat-days, 25.00 EUR; \
                  proration 2026-01-22..2026-02-01 x2 = 20 seat-days, 8.06 EUR";
    assert_eq!(all_shown(&world.ctx).await, [second]);
}

#[tokio::test]
async fn putting_it_again_moves_nothing_and_new_terms_keep_the_first_day() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let first = subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    at(&world, "2026-01-20T09:00");
    assert_eq!(subscribe(&world.ctx, &book, "month").await, first);
    assert_eq!(get(&world.ctx).await.unwrap(), first);

    // Other terms count from the first day, too: 120 for the year from 1 January.
    let yearly = subscribe(&world.ctx, &book, "year").await;
    assert_eq!((yearly.starts_on(), yearly.terms.anchor_date), (first.starts_on(), first.terms.anchor_date));
    assert_eq!((yearly.next_invoice_on, yearly.version), (first.next_invoice_on, 2));
    let monthly = subscribe(&world.ctx, &book, "month").await;
    assert_eq!((monthly.id, monthly.version), (first.id, 3));
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let expected = [
        "invoice 2026-01-01 12.50 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 12.50 EUR",
        "invoice 2026-02-01 12.50 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 12.50 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    let billed = get(&world.ctx).await.unwrap();
    assert_eq!(subscribe(&world.ctx, &book, "month").await, billed);
}

#[tokio::test]
async fn a_price_that_does_not_fit_is_refused_and_nothing_is_half_done() {
    let world = world_on("2026-01-01").await;
    let other = world::reseller(&world.operator, "Other").await;
    let foreign = vec![price("month", "1", RemovalPolicy::default())];
    let foreign = publish(&world.operator, Some(other.id), foreign).await.unwrap();
    let monthly_only = vec![price("month", "1", RemovalPolicy::default())];
    let monthly_only = publish(&world.operator, Some(world.reseller.id), monthly_only).await.unwrap();
    let mut dollars = price("month", "1", RemovalPolicy::default());
    dollars.currency = "USD".into();
    let dollars = publish(&world.operator, Some(world.reseller.id), vec![dollars]).await.unwrap();
    for bad in [terms(&foreign, "month"), terms(&monthly_only, "year"), terms(&dollars, "month")] {
        let error = put(&world.ctx, bad, None).await.unwrap_err();
        assert_eq!(error.field_errors()[0].pointer, "/price_book_id");
    }
    assert_eq!(get(&world.ctx).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn tiers_price_the_whole_quantity_of_each_day() {
    let world = world_on("2026-01-01").await;
    let tiers =
        [(Some(2), "7"), (None, "5")].map(|(up_to, price)| NewTier { up_to, unit_price: price.into() });
    let graduated = NewPrice {
        model: "graduated".into(),
        unit_price: None,
        tiers: tiers.to_vec(),
        ..price("month", "", RemovalPolicy::CreditToBalance)
    };
    let book = publish(&world.operator, Some(world.reseller.id), vec![graduated]).await.unwrap();
    subscribe(&world.ctx, &book, "month").await;
    let ada = seat(&world.ctx, "ada").await;
    seat(&world.ctx, "bob").await;
    run(&world, "2026-01-01").await;
    // The third costs what its own tier says, from its day on; and is the one that is credited.
    at(&world, "2026-01-22T09:00");
    seat(&world.ctx, "eve").await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    at(&world, "2026-02-14T09:00");
    tenancy::user::delete(&world.ctx, ada.id, None).await.unwrap();
    at(&world, "2026-03-01T09:00");
    run(&world, "2026-03-01").await;
    let expected = [
        "invoice 2026-01-01 14.00 EUR; recurring 2026-01-01..2026-02-01 x2 = 62 seat-days, 14.00 EUR",
        "invoice 2026-02-01 20.61 EUR; recurring 2026-02-01..2026-03-01 x3 = 84 seat-days, 19.00 EUR; \
         proration 2026-01-22..2026-02-01 x1 = 10 seat-days, 1.61 EUR",
        "invoice 2026-03-01 11.50 EUR; recurring 2026-03-01..2026-04-01 x2 = 62 seat-days, 14.00 EUR; \
         credit 2026-02-15..2026-03-01 x-1 = -14 seat-days, -2.50 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    assert_clean(&world, 3).await;
}

/// Monthly books at 12.50, 20 and 10, and two seats from New Year on, of which January is billed.
async fn with_books() -> (World, [PriceBook; 3]) {
    let world = world_on("2026-01-01").await;
    let book = async |unit_price: &str| {
        let prices = vec![price("month", unit_price, RemovalPolicy::AtCycleEnd)];
        publish(&world.operator, Some(world.reseller.id), prices).await.unwrap()
    };
    let books = [book("12.50").await, book("20").await, book("10").await];
    subscribe(&world.ctx, &books[0], "month").await;
    seat(&world.ctx, "ada").await;
    seat(&world.ctx, "bob").await;
    run(&world, "2026-01-01").await;
    (world, books)
}

#[tokio::test]
async fn a_dearer_price_holds_at_once_and_what_was_billed_is_credited() {
    let (world, [_, dear, _]) = with_books().await;
    at(&world, "2026-01-22T09:00");
    let upgraded = subscribe(&world.ctx, &dear, "month").await;
    assert_eq!((upgraded.terms.starts_on, upgraded.terms.price_book_id), (date("2026-01-22"), dear.id));
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    // Of 25.00, 25 × 21/31 = 16.94 is kept; 40 × 10/31 = 12.90 is charged.
    let expected = [
        "invoice 2026-01-01 25.00 EUR; recurring 2026-01-01..2026-02-01 x2 = 62 seat-days, 25.00 EUR",
        "invoice 2026-02-01 44.84 EUR; recurring 2026-02-01..2026-03-01 x2 = 56 seat-days, 40.00 EUR; \
         credit 2026-01-22..2026-02-01 x-2 = -20 seat-days, -8.06 EUR; \
         proration 2026-01-22..2026-02-01 x2 = 20 seat-days, 12.90 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    let lines = &invoices(&world.ctx).await[1].lines;
    assert_eq!(
        lines.iter().map(|line| line.unit_price.unwrap().to_string()).collect::<Vec<_>>(),
        ["20.00000000", "12.50000000", "20.00000000"]
    );
    assert_eq!(lines[1].description, "mailboxes at the former price, unused, 2026-01-22 to 2026-01-31");
    assert_eq!(run(&world, "2026-02-01").await.invoices, 0);
    assert_clean(&world, 2).await;
}

#[tokio::test]
async fn a_cheaper_price_waits_for_the_end_of_the_term_and_can_be_taken_back() {
    let (world, [plain, dear, cheap]) = with_books().await;
    at(&world, "2026-01-22T09:00");
    let waiting = subscribe(&world.ctx, &cheap, "month").await;
    assert_eq!(waiting.terms.starts_on, date("2026-02-01"));
    assert_eq!(subscribe(&world.ctx, &cheap, "month").await, waiting);
    let back = subscribe(&world.ctx, &plain, "month").await;
    assert_eq!(back.terms.starts_on, date("2026-01-22"));
    subscribe(&world.ctx, &cheap, "month").await;
    at(&world, "2026-02-01T09:00");
    run(&world, "2026-02-01").await;
    let february =
        "invoice 2026-02-01 20.00 EUR; recurring 2026-02-01..2026-03-01 x2 = 56 seat-days, 20.00 EUR";
    assert_eq!(all_shown(&world.ctx).await[1], february);
    assert_clean(&world, 2).await;

    // A dearer one in place of a cheaper one that waits; then a longer term, which holds to its end.
    at(&world, "2026-02-15T09:00");
    subscribe(&world.ctx, &dear, "month").await;
    let year = PutSubscription { term_months: Some(12), ..terms(&dear, "month") };
    let year = put(&world.ctx, year, None).await.unwrap();
    assert_eq!((year.terms.starts_on, year.terms.term_months), (date("2026-02-15"), 12));
    let waiting = subscribe(&world.ctx, &plain, "month").await;
    assert_eq!(waiting.terms.starts_on, date("2027-01-01"));
}

#[tokio::test]
async fn nobody_escapes_a_price_by_removing_everybody_first() {
    let (world, [_, _, cheap]) = with_books().await;
    at(&world, "2026-01-22T09:00");
    let users =
        tenancy::user::list(&world.ctx, &Default::default(), PageRequest::new(None, None)).await.unwrap();
    for user in users.items {
        tenancy::user::delete(&world.ctx, user.id, None).await.unwrap();
    }
    at(&world, "2026-01-23T09:00");
    assert_eq!(subscribe(&world.ctx, &cheap, "month").await.terms.starts_on, date("2026-02-01"));
}

#[tokio::test]
async fn a_lock_is_not_lifted_before_the_term_ends() {
    let world = world_on("2026-01-01").await;
    let book = async |policy: RemovalPolicy| {
        let prices = vec![price("month", "10", policy)];
        publish(&world.operator, Some(world.reseller.id), prices).await.unwrap()
    };
    let locked = book(RemovalPolicy::LockedUntilTermEnd { grace_days: 7 }).await;
    let free = book(RemovalPolicy::CreditToBalance).await;
    let year = |book| PutSubscription { term_months: Some(12), ..terms(book, "month") };
    put(&world.ctx, year(&locked), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-22T09:00");
    assert_eq!(put(&world.ctx, year(&free), None).await.unwrap().terms.starts_on, date("2027-01-01"));
}
