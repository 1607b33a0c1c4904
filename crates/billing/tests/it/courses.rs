//! Trials, changes of the interval and ends: cycles that are cut, replaced and begun anew.

use billing::rating::RemovalPolicy;
use billing::subscription::{AgreedTerms, PutSubscription, Status, cancel, get, put};
use kernel::ErrorKind;
use testkit::World;

use super::verify::assert_clean;
use super::{all_shown, at, book, date, invoices, run, seat, subscribe, terms, with_one_seat, world_on};

pub(super) async fn run_and_verify(world: &World, day: &str) {
    at(world, &format!("{day}T10:00"));
    // As each request does: it may have moved since.
    let ctx = &world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    // I17: what a run makes is what was shown before.
    let before = all_shown(ctx).await;
    let previewed = super::preview::previewed(ctx, day).await;
    assert_eq!(all_shown(ctx).await, before, "looking leaves nothing");
    run(world, day).await;
    let shown = all_shown(ctx).await;
    assert_eq!(shown, [before, previewed].concat());
    assert_clean(world, shown.len() as u64).await;
    run(world, day).await;
    assert_eq!(all_shown(ctx).await, shown, "a second run adds nothing");
}

#[tokio::test]
async fn a_longer_interval_cuts_the_cycle_at_once() {
    let (world, book) = with_one_seat("2026-01-31", RemovalPolicy::default()).await;
    run_and_verify(&world, "2026-01-31").await;
    at(&world, "2026-02-14T12:00");
    let yearly = subscribe(&world.ctx, &book, "year").await;
    assert_eq!(yearly.next_invoice_on, Some(date("2026-02-14")));
    let AgreedTerms { starts_on, anchor_date, .. } = yearly.terms;
    assert_eq!([starts_on, anchor_date], [date("2026-02-14"); 2]);
    run_and_verify(&world, "2026-02-28").await;
    // 14 of 28 days of the month are given back: all that was billed for it less 12.50 × 14/28.
    let expected = [
        "invoice 2026-01-31 12.50 EUR; recurring 2026-01-31..2026-02-28 x1 = 28 seat-days, 12.50 EUR",
        "invoice 2026-02-14 113.75 EUR; recurring 2026-02-14..2027-02-14 x1 = 365 seat-days, 120.00 EUR; \
         credit 2026-02-14..2026-02-28 x-1 = -14 seat-days, -6.25 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);

    // The month waits for the end of the year; its cycles go on from the same anchor.
    let monthly = subscribe(&world.ctx, &book, "month").await;
    let AgreedTerms { starts_on, anchor_date, .. } = monthly.terms;
    assert_eq!((starts_on, anchor_date), (date("2027-02-14"), date("2026-02-14")));
    run_and_verify(&world, "2027-03-14").await;
    let shown = all_shown(&world.ctx).await;
    let renewed =
        "invoice 2027-02-14 12.50 EUR; recurring 2027-02-14..2027-03-14 x1 = 28 seat-days, 12.50 EUR";
    assert_eq!(shown[2], renewed);
    assert!(shown[3].starts_with("invoice 2027-03-14 12.50 EUR"), "{shown:#?}");
}

#[tokio::test]
async fn a_day_that_was_billed_keeps_its_interval() {
    let (world, book) = with_one_seat("2026-01-01", RemovalPolicy::default()).await;
    run_and_verify(&world, "2026-01-01").await;
    let yearly = subscribe(&world.ctx, &book, "year").await;
    assert_eq!(yearly.terms.starts_on, date("2026-01-02"));
    // Taken back before it began: the month is what it was.
    let back = subscribe(&world.ctx, &book, "month").await;
    assert_eq!((back.terms.starts_on, back.next_invoice_on), (date("2026-01-01"), Some(date("2026-02-01"))));
    assert_clean(&world, 1).await;
    let yearly = subscribe(&world.ctx, &book, "year").await;
    assert_eq!(yearly.next_invoice_on, Some(date("2026-01-02")));
    run_and_verify(&world, "2026-01-02").await;
    let expected = "invoice 2026-01-02 107.90 EUR; recurring 2026-01-02..2027-01-02 x1 = 365 seat-days, 120.00 EUR; \
                    credit 2026-01-02..2026-02-01 x-1 = -30 seat-days, -12.10 EUR";
    assert_eq!(all_shown(&world.ctx).await[1], expected);
}

#[tokio::test]
async fn a_trial_costs_nothing_and_moves_the_anchor() {
    let world = world_on("2026-01-20").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let tried = PutSubscription { trial_ends_on: Some("2026-02-03".into()), ..terms(&book, "month") };
    let tried = put(&world.ctx, tried, None).await.unwrap();
    assert_eq!(tried.status(&world.ctx), Status::Trialing);
    assert_eq!(
        (tried.terms.anchor_date, tried.next_invoice_on),
        (date("2026-02-03"), Some(date("2026-02-03")))
    );
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-31").await;
    assert_eq!(all_shown(&world.ctx).await, [""; 0]);

    // Given more time, on another plan.
    let longer = PutSubscription { trial_ends_on: Some("2026-02-10".into()), ..terms(&book, "year") };
    let longer = put(&world.ctx, longer, None).await.unwrap();
    assert_eq!((longer.terms.anchor_date, longer.starts_on()), (date("2026-02-10"), date("2026-01-20")));
    let same = put(&world.ctx, terms(&book, "year"), None).await.unwrap();
    assert_eq!(same, longer);
    run_and_verify(&world, "2026-02-10").await;
    let expected =
        ["invoice 2026-02-10 120.00 EUR; recurring 2026-02-10..2027-02-10 x1 = 365 seat-days, 120.00 EUR"];
    assert_eq!(all_shown(&world.ctx).await, expected);
    assert_eq!(get(&world.ctx).await.unwrap().status(&world.ctx), Status::Active);

    for wrong in ["2026-01-20", "2027-01-22", "2026-02-30"] {
        let wrong = PutSubscription { trial_ends_on: Some(wrong.into()), ..terms(&book, "month") };
        let other = testkit::world::tenant(&world.operator, &world.reseller, "Other").await;
        let ctx = super::ctx_of(&world, other.id).await;
        at(&world, "2026-01-20T09:00");
        let error = put(&ctx, wrong, None).await.unwrap_err();
        assert_eq!(error.field_errors()[0].pointer, "/trial_ends_on");
    }
}

#[tokio::test]
async fn a_trial_that_is_cancelled_is_never_charged() {
    let world = world_on("2026-01-20").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let tried = PutSubscription { trial_ends_on: Some("2026-02-03".into()), ..terms(&book, "month") };
    put(&world.ctx, tried, None).await.unwrap();
    seat(&world.ctx, "ada").await;
    let ended = cancel(&world.ctx, None, None).await.unwrap();
    assert_eq!((ended.ends_on(), ended.next_invoice_on), (Some(date("2026-02-03")), None));
    run_and_verify(&world, "2026-03-03").await;
    assert_eq!(all_shown(&world.ctx).await, [""; 0]);
    assert_eq!(get(&world.ctx).await.unwrap().status(&world.ctx), Status::Ended);
    // It begins anew on that day, and not where the trial had ended.
    let again = subscribe(&world.ctx, &book, "month").await;
    assert_eq!([again.terms.starts_on, again.terms.anchor_date], [date("2026-03-03"); 2]);
    assert_eq!(subscribe(&world.ctx, &book, "month").await, again);
    let more = PutSubscription { seats_committed: Some(2), ..terms(&book, "month") };
    put(&world.ctx, more, None).await.unwrap();
    run_and_verify(&world, "2026-03-03").await;
    let begun = "invoice 2026-03-03 25.00 EUR; recurring 2026-03-03..2026-04-03 x2 = 62 seat-days, 25.00 EUR";
    assert_eq!(all_shown(&world.ctx).await, [begun]);
}

#[tokio::test]
async fn a_cancelled_one_is_charged_as_its_removal_policy_says() {
    for (policy, last) in [
        (
            RemovalPolicy::CreditToBalance,
            Some(
                "credit_note 2026-02-11 -8.04 EUR; credit 2026-02-11..2026-03-01 x-1 = -18 seat-days, -8.04 EUR",
            ),
        ),
        (RemovalPolicy::AtCycleEnd, None),
    ] {
        let (world, book) = with_one_seat("2026-01-01", policy).await;
        run_and_verify(&world, "2026-02-01").await;
        at(&world, "2026-02-10T12:00");
        for past in ["2026-02-10", "2026-01-01", "tomorrow"] {
            let error = cancel(&world.ctx, Some(past), None).await.unwrap_err();
            assert_eq!(error.field_errors()[0].pointer, "/ends_on");
        }
        let at_term = cancel(&world.ctx, None, None).await.unwrap();
        assert_eq!([at_term.ends_on(), at_term.next_invoice_on], [Some(date("2026-03-01")); 2]);
        cancel(&world.ctx, Some("2026-02-11"), None).await.unwrap();
        run_and_verify(&world, "2026-06-01").await;
        let shown = all_shown(&world.ctx).await;
        assert_eq!(shown.get(2).map(String::as_str), last, "{shown:#?}");
        let error = cancel(&world.ctx, None, None).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "subscription_ended"));

        // It begins anew, with days in between that nobody pays for.
        at(&world, "2026-06-01T11:00");
        let again = subscribe(&world.ctx, &book, "month").await;
        assert_eq!(
            (again.terms.starts_on, again.terms.anchor_date, again.ends_on()),
            (date("2026-06-01"), date("2026-06-01"), None)
        );
        run(&world, "2026-06-01").await;
        let shown = all_shown(&world.ctx).await;
        assert_clean(&world, shown.len() as u64).await;
        let begun =
            "invoice 2026-06-01 12.50 EUR; recurring 2026-06-01..2026-07-01 x1 = 30 seat-days, 12.50 EUR";
        assert_eq!(shown.last().unwrap(), begun);
    }
}

#[tokio::test]
async fn one_that_ended_today_begins_anew_tomorrow_and_once() {
    let (world, book) = with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await;
    run_and_verify(&world, "2026-01-01").await;
    cancel(&world.ctx, Some("2026-01-11"), None).await.unwrap();
    run_and_verify(&world, "2026-01-11").await;
    let again = subscribe(&world.ctx, &book, "month").await;
    assert_eq!([again.terms.starts_on, again.terms.anchor_date], [date("2026-01-12"); 2]);
    assert_eq!(subscribe(&world.ctx, &book, "month").await, again);
    run_and_verify(&world, "2026-01-12").await;
    let begun = "invoice 2026-01-12 12.50 EUR; recurring 2026-01-12..2026-02-12 x1 = 31 seat-days, 12.50 EUR";
    assert_eq!(all_shown(&world.ctx).await[2], begun);
}

#[tokio::test]
async fn a_cancellation_is_taken_back_before_it_comes() {
    let (world, book) = with_one_seat("2026-01-01", RemovalPolicy::default()).await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    let ended = cancel(&world.ctx, Some("2026-01-20"), None).await.unwrap();
    assert_eq!(
        (ended.ends_on(), ended.next_invoice_on),
        (Some(date("2026-01-20")), Some(date("2026-02-01")))
    );
    at(&world, "2026-01-19T12:00");
    let back = subscribe(&world.ctx, &book, "month").await;
    assert_eq!((back.ends_on(), back.next_invoice_on), (None, Some(date("2026-02-01"))));
    run_and_verify(&world, "2026-02-01").await;
    assert_eq!(
        all_shown(&world.ctx).await[1],
        "invoice 2026-02-01 12.50 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 12.50 EUR"
    );
}

async fn paused_book(world: &World) -> billing::price_book::PriceBook {
    let monthly = super::price("month", "12.50", RemovalPolicy::AtCycleEnd);
    let monthly = billing::price_book::NewPrice { suspension_policy: Some("pause".into()), ..monthly };
    billing::price_book::publish(&world.operator, Some(world.reseller.id), vec![monthly]).await.unwrap()
}

#[tokio::test]
async fn a_price_that_pauses_charges_no_suspended_day() {
    let world = world_on("2026-01-01").await;
    let book = paused_book(&world).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-07T12:00");
    tenancy::tenant::suspend(&world.ctx, None, &[]).await.unwrap();
    // Some capabilities are no suspension of the tenant.
    tenancy::tenant::resume(&world.ctx, None, &[]).await.unwrap();
    tenancy::tenant::suspend(&world.ctx, None, &[tenancy::policy::Capability::Send]).await.unwrap();
    run_and_verify(&world, "2026-02-08").await;
    tenancy::tenant::suspend(&world.ctx, None, &[]).await.unwrap();
    assert_clean(&world, 2).await;
    run_and_verify(&world, "2026-02-09").await;
    // Nothing happens for two months, and then it is resumed on a day within a cycle.
    run_and_verify(&world, "2026-04-01").await;
    at(&world, "2026-04-11T12:00");
    tenancy::tenant::resume(&world.ctx, None, &[]).await.unwrap();
    run_and_verify(&world, "2026-05-01").await;
    let expected = [
        "invoice 2026-01-01 12.50 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 12.50 EUR",
        "invoice 2026-02-01 12.50 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 12.50 EUR",
        // The 8th was begun in use; 12.50 × 20/28 = 8.9285….
        "credit_note 2026-02-09 -8.93 EUR; credit 2026-02-09..2026-03-01 x-1 = -20 seat-days, -8.93 EUR",
        // 12.50 × 20/30.
        "invoice 2026-04-11 8.33 EUR; recurring 2026-04-11..2026-05-01 x1 = 20 seat-days, 8.33 EUR",
        "invoice 2026-05-01 12.50 EUR; recurring 2026-05-01..2026-06-01 x1 = 31 seat-days, 12.50 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    // Nobody was removed.
    let said = async |at: usize| invoices(&world.ctx).await[at].lines.last().unwrap().description.clone();
    assert_eq!(said(2).await, "mailboxes paused, 2026-02-09 to 2026-02-28");
    at(&world, "2026-05-10T12:00");
    tenancy::tenant::suspend(&world.ctx, None, &[]).await.unwrap();
    run_and_verify(&world, "2026-05-11").await;
    at(&world, "2026-05-20T12:00");
    tenancy::tenant::resume(&world.ctx, None, &[]).await.unwrap();
    run_and_verify(&world, "2026-06-01").await;
    assert_eq!(said(5).await, "mailboxes paused, 2026-05-11 to 2026-05-31");
    assert_eq!(said(6).await, "mailboxes resumed, 2026-05-20 to 2026-05-31");
}

#[tokio::test]
async fn a_deleted_tenant_gets_its_last_documents_and_a_restored_one_goes_on() {
    let (world, _) = with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    tenancy::tenant::delete(&world.ctx, None).await.unwrap();
    at(&world, "2026-01-11T10:00");
    run(&world, "2026-01-11").await;
    // Its reseller reads them though it is gone.
    let last = super::invoices(&world.ctx).await[1].id;
    assert_eq!(
        billing::invoice::get(&world.operator, last).await.unwrap().number.as_deref(),
        Some("CRN-000001")
    );
    at(&world, "2026-01-21T12:00");
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    tenancy::tenant::restore(&ctx).await.unwrap();
    assert_clean(&world, 2).await;
    run_and_verify(&world, "2026-02-01").await;
    let expected = [
        "invoice 2026-01-01 12.50 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 12.50 EUR",
        "credit_note 2026-01-11 -8.47 EUR; credit 2026-01-11..2026-02-01 x-1 = -21 seat-days, -8.47 EUR",
        "invoice 2026-01-21 4.44 EUR; recurring 2026-01-21..2026-02-01 x1 = 11 seat-days, 4.44 EUR",
        "invoice 2026-02-01 12.50 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 12.50 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
}

/// Deletes the tenant on one day, with a run on the day after, and restores it on another.
async fn gone_between(world: &World, deleted: &str, after: &str, restored: &str) {
    at(world, &format!("{deleted}T12:00"));
    tenancy::tenant::delete(&world.ctx, None).await.unwrap();
    at(world, &format!("{after}T10:00"));
    run(world, after).await;
    at(world, &format!("{restored}T12:00"));
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    tenancy::tenant::restore(&ctx).await.unwrap();
}

#[tokio::test]
async fn a_restored_tenant_has_what_it_had_agreed_to_and_no_more() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    subscribe(&world.ctx, &book, "year").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    // A downgrade waits for the end of the year, and an end comes before that.
    subscribe(&world.ctx, &book, "month").await;
    cancel(&world.ctx, Some("2026-11-11"), None).await.unwrap();
    gone_between(&world, "2026-03-10", "2026-03-11", "2026-04-05").await;
    run_and_verify(&world, "2026-05-01").await;
    let found = get(&world.ctx).await.unwrap();
    assert_eq!((found.ends_on(), found.terms.interval.as_str()), (Some(date("2026-11-11")), "year"));
    run_and_verify(&world, "2027-02-01").await;
    // The year is held, and nothing follows it.
    let year =
        "invoice 2026-01-01 120.00 EUR; recurring 2026-01-01..2027-01-01 x1 = 365 seat-days, 120.00 EUR";
    assert_eq!(all_shown(&world.ctx).await, [year]);
}

#[tokio::test]
async fn a_trial_goes_on_where_its_tenant_is_restored() {
    let world = world_on("2026-01-20").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let tried = PutSubscription { trial_ends_on: Some("2026-02-03".into()), ..terms(&book, "month") };
    put(&world.ctx, tried, None).await.unwrap();
    seat(&world.ctx, "ada").await;
    gone_between(&world, "2026-01-25", "2026-01-26", "2026-02-10").await;
    subscribe(&world.ctx, &book, "month").await;
    run_and_verify(&world, "2026-02-10").await;
    // From the day of the restoration on: 21 of the 28 days of the cycle that began with the trial's end.
    let expected =
        "invoice 2026-02-10 9.38 EUR; recurring 2026-02-10..2026-03-03 x1 = 21 seat-days, 9.38 EUR";
    assert_eq!(all_shown(&world.ctx).await, [expected]);
}

#[tokio::test]
async fn an_end_lifts_no_lock() {
    let world = world_on("2026-01-01").await;
    let locked = RemovalPolicy::LockedUntilTermEnd { grace_days: 0 };
    let book = book(&world, locked).await;
    let year = PutSubscription { term_months: Some(12), ..terms(&book, "month") };
    put(&world.ctx, year, None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    cancel(&world.ctx, Some("2026-01-11"), None).await.unwrap();
    at(&world, "2026-01-12T12:00");
    let again = subscribe(&world.ctx, &book, "month").await;
    assert_eq!(again.terms.starts_on, date("2027-01-01"));
}

#[tokio::test]
async fn nor_does_an_end_that_the_same_terms_follow() {
    let world = world_on("2026-01-01").await;
    let locked = RemovalPolicy::LockedUntilTermEnd { grace_days: 0 };
    let book = book(&world, locked).await;
    let year = || PutSubscription { term_months: Some(12), ..terms(&book, "month") };
    put(&world.ctx, year(), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    let bob = seat(&world.ctx, "bob").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    tenancy::user::delete(&world.ctx, bob.id, None).await.unwrap();
    cancel(&world.ctx, Some("2026-01-11"), None).await.unwrap();
    at(&world, "2026-01-12T12:00");
    // With another anchor there would be other cycles, in which nothing is held.
    let moved = PutSubscription { anchor_date: Some("2026-01-12".into()), ..year() };
    let waits = put(&world.ctx, moved, None).await.unwrap();
    assert_eq!(waits.terms.starts_on, date("2027-01-01"));
    cancel(&world.ctx, Some("2026-01-13"), None).await.unwrap();
    at(&world, "2026-01-14T12:00");
    let again = put(&world.ctx, year(), None).await.unwrap();
    assert_eq!((again.terms.starts_on, again.terms.anchor_date), (date("2026-01-14"), date("2026-01-01")));
    run_and_verify(&world, "2026-03-01").await;
    let shown = all_shown(&world.ctx).await;
    let both = "invoice 2026-03-01 25.00 EUR; recurring 2026-03-01..2026-04-01 x2 = 62 seat-days, 25.00 EUR";
    assert_eq!(shown.last().unwrap(), both, "{shown:#?}");
}
