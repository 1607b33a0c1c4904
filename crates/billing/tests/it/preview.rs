//! What a run would make, before there is one.

use billing::preview::{NewPreview, Preview, preview};
use billing::rating::RemovalPolicy;
use billing::subscription::get;
use kernel::ErrorKind;
use tenancy::{Ctx, storage_sample};
use testkit::World;

use super::items::{GIB, selling, storage, stores_in};
use super::{
    all_shown, at, book, date, invoices, run, seat, shown, subscribe, terms, with_one_seat, world_on,
};

/// What a run up to a day would make, as [`all_shown`] shows it.
pub(crate) async fn previewed(ctx: &Ctx, day: &str) -> Vec<String> {
    let made = asked(ctx, Some(day)).await;
    assert_eq!(made.parked_reason, None);
    made.documents.iter().map(shown).collect()
}

async fn asked(ctx: &Ctx, day: Option<&str>) -> Preview {
    preview(ctx, NewPreview { as_of: day.map(str::to_owned), subscription: None }).await.unwrap()
}

async fn one_seat() -> World {
    with_one_seat("2026-01-10", RemovalPolicy::CreditToBalance).await.0
}

#[tokio::test]
async fn months_ahead_are_what_runs_will_make_and_nothing_stays() {
    let world = one_seat().await;
    let next = asked(&world.ctx, None).await;
    assert_eq!((next.as_of, next.documents.len()), (Some(date("2026-01-10")), 1));
    let ahead = asked(&world.ctx, Some("2026-04-09")).await;
    assert_eq!((ahead.documents.len(), ahead.next_invoice_on), (3, Some(date("2026-04-10"))));
    let again = asked(&world.ctx, Some("2026-04-09")).await;
    assert_eq!(format!("{:?}", again.documents[0].lines), format!("{:?}", ahead.documents[0].lines));
    assert_eq!(invoices(&world.ctx).await.len(), 0);
    let unchanged = get(&world.ctx).await.unwrap();
    assert_eq!((unchanged.version, unchanged.next_invoice_on), (1, Some(date("2026-01-10"))));

    at(&world, "2026-04-09T12:00");
    run(&world, "2026-04-09").await;
    let made = all_shown(&world.ctx).await;
    assert_eq!(made, ahead.documents.iter().map(shown).collect::<Vec<_>>());
    // Numbers are given by runs alone.
    assert_eq!(invoices(&world.ctx).await[0].number.as_deref(), Some("INV-000001"));
    super::verify::assert_clean(&world, 3).await;
}

#[tokio::test]
async fn what_is_stored_goes_on_as_it_was_to_the_end_of_each_cycle_that_is_looked_at() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![storage(0)]).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-16T00:00");
    stores_in(&world.ctx, 31 * GIB).await;
    let db = world.test_db.db();
    assert_eq!(storage_sample::record(&db).await.unwrap(), 1);
    at(&world, "2026-01-20T12:00");
    let ahead = previewed(&world.ctx, "2026-03-01").await;
    let expected = [
        // On 16 of 31 days.
        "invoice 2026-02-01 11.60 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 10.00 EUR; \
         usage 2026-01-01..2026-02-01 x16 = 0 seat-days, 1.60 EUR",
        "invoice 2026-03-01 13.10 EUR; recurring 2026-03-01..2026-04-01 x1 = 31 seat-days, 10.00 EUR; \
         usage 2026-02-01..2026-03-01 x31 = 0 seat-days, 3.10 EUR",
    ];
    assert_eq!(ahead, expected);
    at(&world, "2026-03-01T10:00");
    assert_eq!(storage_sample::record(&db).await.unwrap(), 0, "nothing has changed");
    run(&world, "2026-03-01").await;
    assert_eq!(all_shown(&world.ctx).await[1..], ahead);
}

#[tokio::test]
async fn a_subscription_is_looked_at_before_it_is_put() {
    let world = one_seat().await;
    run(&world, "2026-01-10").await;
    at(&world, "2026-01-20T12:00");
    let yearly = terms(&book(&world, RemovalPolicy::CreditToBalance).await, "year");
    let as_if = NewPreview { subscription: Some(yearly.clone()), as_of: None };
    let ahead = preview(&world.ctx, as_if.clone()).await.unwrap();
    assert_eq!(ahead.as_of, Some(date("2026-01-20")));
    let ahead: Vec<_> = ahead.documents.iter().map(shown).collect();
    assert_eq!(ahead.len(), 1);
    let before = get(&world.ctx).await.unwrap();
    assert_eq!((before.terms.interval.as_str(), before.version), ("month", 2));
    billing::subscription::put(&world.ctx, yearly, None).await.unwrap();
    run(&world, "2026-01-20").await;
    assert_eq!(all_shown(&world.ctx).await[1..], ahead);

    let far = NewPreview { as_of: Some("2028-01-22".into()), ..NewPreview::default() };
    assert_eq!(preview(&world.ctx, far).await.unwrap_err().field_errors()[0].pointer, "/as_of");
    let none = NewPreview { as_of: Some("2026-02-30".into()), ..NewPreview::default() };
    assert_eq!(preview(&world.ctx, none).await.unwrap_err().field_errors()[0].pointer, "/as_of");
    let other = testkit::world::tenant(&world.operator, &world.reseller, "Other").await;
    let other = super::ctx_of(&world, other.id).await;
    assert_eq!(preview(&other, NewPreview::default()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(preview(&other, as_if).await.unwrap().as_of, Some(date("2026-01-20")));
}

#[tokio::test]
async fn drafts_are_shown_as_what_they_become_and_no_number_is_taken() {
    let world = one_seat().await;
    run(&world, "2026-01-10").await;
    super::draft::drafting(&world, 3, 0).await;
    at(&world, "2026-01-20T12:00");
    // Whoever is numbering documents does not keep anybody from looking.
    let mut held = super::run::behind(&world).await;
    let locked = sqlx::query("select from number_series for update").fetch_all(held.conn()).await.unwrap();
    assert_eq!(locked.len(), 2, "of invoices and of credit notes");
    let ahead = asked(&world.ctx, Some("2026-04-09")).await;
    let days: Vec<_> = ahead.documents.iter().map(|document| document.issued_on.to_string()).collect();
    assert_eq!(days, ["2026-02-13", "2026-03-13"]);
    assert!(ahead.documents.iter().all(|document| document.number.is_none()));
    held.commit().await.unwrap();
    super::draft::drafting(&world, 0, 1).await;
    let at_once = asked(&world.ctx, Some("2026-02-10")).await;
    assert_eq!(
        (at_once.documents[0].issued_on, at_once.documents[0].number.as_deref()),
        (date("2026-02-10"), None)
    );
    at(&world, "2026-02-10T12:00");
    run(&world, "2026-02-10").await;
    assert_eq!(invoices(&world.ctx).await[1].number.as_deref(), Some("INV-000002"));
    super::verify::assert_clean(&world, 2).await;
}

#[tokio::test]
async fn an_account_that_would_be_parked_says_why() {
    let world = one_seat().await;
    // Whoever issues with tax needs to know where its customer is.
    super::tax::taxing(&world).await;
    let shown = asked(&world.ctx, None).await;
    assert_eq!(shown.documents.len(), 0);
    let reason = shown.parked_reason.unwrap();
    run(&world, "2026-01-10").await;
    assert_eq!(get(&world.ctx).await.unwrap().parked_reason, Some(reason));
}
