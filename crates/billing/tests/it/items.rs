//! What is sold beside seats: mailboxes that are nobody's own, archives, and stored bytes in arrears.

use billing::discount::NewDiscount;
use billing::invoice;
use billing::price_book::{NewPrice, NewTier, PriceBook, publish};
use billing::profile::put_customer;
use billing::rating::RemovalPolicy::CreditToBalance;
use billing::subscription::{cancel, put};
use billing::vat_id::NoRegister;
use billing::verify::Difference;
use kernel::Money;
use tenancy::mailbox::{self, Kind, Mailbox, NewMailbox};
use tenancy::user::{self, Fate, Leaving};
use tenancy::{Ctx, storage_sample};
use testkit::World;

use super::courses::run_and_verify;
use super::discount::{give, percent};
use super::tax::{customer, rate, taxing};
use super::verify::{found, owner};
use super::{all_shown, at, invoices, price, run, seat, subscribe, terms, world_on};

pub(super) const GIB: i64 = 1 << 30;

/// Of an item beside seats, with the policy of what is counted.
fn of(item: &str, unit_price: &str) -> NewPrice {
    NewPrice { item: item.into(), ..price("month", unit_price, CreditToBalance) }
}

/// 0.10 for a GiB.
pub(super) fn storage(included_bytes: i64) -> NewPrice {
    NewPrice { included_bytes: Some(included_bytes), removal_policy: None, ..of("storage", "0.10") }
}

pub(super) async fn selling(world: &World, beside: Vec<NewPrice>) -> PriceBook {
    let prices = [vec![price("month", "10", CreditToBalance)], beside].concat();
    publish(&world.operator, Some(world.reseller.id), prices).await.unwrap()
}

pub(super) async fn make(ctx: &Ctx, kind: Kind, name: &str) -> Result<Mailbox, tenancy::Error> {
    let domains =
        tenancy::domain::list(ctx, &Default::default(), kernel::PageRequest::new(None, None)).await.unwrap();
    let address = format!("{name}@{}", domains.items[0].name);
    let display_name = name.into();
    let new = NewMailbox { kind, display_name, address, aliases: Vec::new(), quota_bytes: None };
    mailbox::create(ctx, new).await
}

/// As mail would leave a mailbox of the tenant's, if it has one.
pub(super) async fn stores_in(ctx: &Ctx, used_bytes: i64) {
    let mut tx = ctx.begin().await.unwrap();
    let one = "update mailboxes set used_bytes = $1 where id = (select min(id::text)::uuid from mailboxes where status = 'active')";
    sqlx::query(one).bind(used_bytes).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

/// As mail would leave a mailbox of the tenant's, from a time on.
pub(super) async fn stores(world: &World, time: &str, used_bytes: i64) {
    at(world, time);
    stores_in(&world.ctx, used_bytes).await;
    assert_eq!(storage_sample::record(&world.test_db.db()).await.unwrap(), 1);
}

#[tokio::test]
async fn mailboxes_that_are_nobody_s_own_are_charged_by_day_beside_the_seats() {
    let world = world_on("2026-01-01").await;
    let tier = |up_to, unit_price: &str| NewTier { up_to, unit_price: unit_price.into() };
    let shared = NewPrice {
        model: "graduated".into(),
        unit_price: None,
        tiers: vec![tier(Some(2), "0"), tier(None, "3.10")],
        ..of("shared_mailbox", "0")
    };
    let book = selling(&world, vec![shared, of("archive", "1")]).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    let ben = seat(&world.ctx, "ben").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-11T12:00");
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    make(&world.ctx, Kind::Room, "attic").await.unwrap();
    let van = make(&world.ctx, Kind::Equipment, "van").await.unwrap();
    at(&world, "2026-01-21T12:00");
    let leaving = Leaving { mailbox: Fate::Archive, release_seat: true, hold: None };
    user::offboard(&world.ctx, ben.id, None, leaving).await.unwrap();
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-10T12:00");
    mailbox::delete(&world.ctx, van.id, None).await.unwrap();
    at(&world, "2026-02-20T12:00");
    mailbox::restore(&world.ctx, van.id, None).await.unwrap();
    run_and_verify(&world, "2026-03-01").await;
    let expected = [
        "invoice 2026-01-01 20.00 EUR; recurring 2026-01-01..2026-02-01 x2 = 62 seat-days, 20.00 EUR",
        // The third of them costs 3.10: 21 of 31 days of January.
        "invoice 2026-02-01 13.32 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 10.00 EUR; \
         credit 2026-01-22..2026-02-01 x-1 = -10 seat-days, -3.23 EUR; \
         recurring 2026-02-01..2026-03-01 x3 = 84 seat-days, 3.10 EUR; \
         proration 2026-01-11..2026-02-01 x3 = 63 seat-days, 2.10 EUR; \
         recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 1.00 EUR; \
         proration 2026-01-21..2026-02-01 x1 = 11 seat-days, 0.35 EUR",
        // The day on which it went, and that on which it came back, are charged: nine of 28 are not.
        "invoice 2026-03-01 13.10 EUR; recurring 2026-03-01..2026-04-01 x1 = 31 seat-days, 10.00 EUR; \
         recurring 2026-03-01..2026-04-01 x3 = 93 seat-days, 3.10 EUR; \
         credit 2026-02-11..2026-02-20 x-1 = -9 seat-days, -1.00 EUR; \
         recurring 2026-03-01..2026-04-01 x1 = 31 seat-days, 1.00 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    let lines = &invoices(&world.ctx).await[1].lines;
    let said: Vec<_> = lines.iter().map(|line| (line.item.as_str(), line.description.as_str())).collect();
    assert_eq!(
        said[1..5],
        [
            ("mailbox", "mailboxes removed, 2026-01-22 to 2026-01-31"),
            ("shared_mailbox", "shared mailboxes, per month, 2026-02-01 to 2026-02-28"),
            ("shared_mailbox", "shared mailboxes added, 2026-01-11 to 2026-01-31"),
            ("archive", "archives, per month, 2026-02-01 to 2026-02-28"),
        ]
    );

    // It stays a function of what was recorded: a mailbox that was made later is found out.
    let later = "update mailbox_changes set at = at + interval '5 days' where kind = 'room'";
    assert_eq!(sqlx::query(later).execute(&owner(&world).await).await.unwrap().rows_affected(), 1);
    let differences = found(&world).await;
    assert!(differences.iter().any(|one| matches!(one, Difference::Line { .. })), "{differences:?}");
}

#[tokio::test]
async fn what_is_stored_beyond_the_pool_of_the_seats_is_charged_when_the_cycle_is_over() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![storage(10 * GIB)]).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    seat(&world.ctx, "ben").await;
    run_and_verify(&world, "2026-01-01").await;
    stores(&world, "2026-01-11T00:00", 50 * GIB).await;
    run_and_verify(&world, "2026-02-01").await;
    // A third seat pools its ten GiB from its day on.
    at(&world, "2026-02-15T12:00");
    seat(&world.ctx, "eve").await;
    run_and_verify(&world, "2026-03-01").await;
    // Below the pool nothing is charged, and nothing is given back.
    stores(&world, "2026-03-01T12:00", GIB).await;
    run_and_verify(&world, "2026-04-01").await;
    let expected = [
        "invoice 2026-01-01 20.00 EUR; recurring 2026-01-01..2026-02-01 x2 = 62 seat-days, 20.00 EUR",
        // 21 days of 50 GiB, less 31 of 20: 13.871 over 31.
        "invoice 2026-02-01 21.39 EUR; recurring 2026-02-01..2026-03-01 x2 = 56 seat-days, 20.00 EUR; \
         usage 2026-01-01..2026-02-01 x14 = 0 seat-days, 1.39 EUR",
        // 30 GiB for 14 days and 20 for 14: 25.
        "invoice 2026-03-01 37.50 EUR; recurring 2026-03-01..2026-04-01 x3 = 93 seat-days, 30.00 EUR; \
         proration 2026-02-15..2026-03-01 x1 = 14 seat-days, 5.00 EUR; \
         usage 2026-02-01..2026-03-01 x25 = 0 seat-days, 2.50 EUR",
        "invoice 2026-04-01 30.00 EUR; recurring 2026-04-01..2026-05-01 x3 = 90 seat-days, 30.00 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    let line = &invoices(&world.ctx).await[1].lines[1];
    assert_eq!(
        line.description,
        "storage beyond what is included, 13.870 GiB on average, 2026-01-01 to 2026-01-31"
    );
    assert_eq!(line.unit_price, Some("0.10".parse().unwrap()));

    // It stays a function of what was recorded: another sample than the one that was known is found out.
    let owner = owner(&world).await;
    let later = "update storage_samples set used_bytes = used_bytes + 31 * 1073741824::bigint where used_bytes > 1073741824";
    let changed = sqlx::query(later).execute(&owner).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let differences = found(&world).await;
    assert!(
        matches!(&differences[..], [Difference::Line { .. }, Difference::Line { .. }, ..]),
        "{differences:?}"
    );
}

#[tokio::test]
async fn a_stub_counts_as_the_part_of_the_cycle_that_it_is_and_an_end_settles_it() {
    let world = world_on("2026-01-10").await;
    let book = selling(&world, vec![storage(0)]).await;
    let anchored = billing::subscription::PutSubscription {
        anchor_date: Some("2026-01-01".into()),
        ..terms(&book, "month")
    };
    put(&world.ctx, anchored, None).await.unwrap();
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    stores(&world, "2026-01-11T00:00", 31 * GIB).await;
    run_and_verify(&world, "2026-01-10").await;
    run_and_verify(&world, "2026-02-01").await;
    at(&world, "2026-02-05T12:00");
    cancel(&world.ctx, Some("2026-02-15"), None).await.unwrap();
    run_and_verify(&world, "2026-03-01").await;
    let expected = [
        // 21 of the 22 days of the stub: 29.59 GiB, at 22 of 31 parts of what they cost.
        "invoice 2026-02-01 2.10 EUR; usage 2026-01-10..2026-02-01 x30 = 0 seat-days, 2.10 EUR",
        // 14 of 28 days of 31 GiB.
        "invoice 2026-02-15 1.55 EUR; usage 2026-02-01..2026-02-15 x31 = 0 seat-days, 1.55 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
}

#[tokio::test]
async fn tiers_and_amounts_off_are_of_whole_cycles_of_storage() {
    let world = world_on("2026-01-01").await;
    let tier = |up_to, unit_price: &str| NewTier { up_to, unit_price: unit_price.into() };
    let volume = NewPrice {
        model: "volume".into(),
        unit_price: None,
        tiers: vec![tier(Some(100), "0.20"), tier(None, "0.10")],
        ..storage(0)
    };
    let book = selling(&world, vec![volume]).await;
    subscribe(&world.ctx, &book, "month").await;
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    let voucher = NewDiscount {
        description: "A voucher".into(),
        amount: Some(Money::new(620, "EUR".parse().unwrap())),
        item: Some("storage".into()),
        starts_on: "2026-01-01".into(),
        ..NewDiscount::default()
    };
    give(&world.ctx, voucher).await;
    stores(&world, "2026-01-01T10:00", 0).await;
    stores(&world, "2026-01-02T00:00", 310 * GIB).await;
    at(&world, "2026-01-03T12:00");
    cancel(&world.ctx, Some("2026-01-11"), None).await.unwrap();
    run_and_verify(&world, "2026-02-01").await;
    // 279 GiB on average over ten of 31 days, at the price of so many: 27.90 × 10/31, less 6.20 × 10/31.
    let expected = "invoice 2026-01-11 7.00 EUR; usage 2026-01-01..2026-01-11 x279 = 0 seat-days, 9.00 EUR; \
                    discount 2026-01-01..2026-01-11 x0 = 0 seat-days, -2.00 EUR";
    assert_eq!(all_shown(&world.ctx).await, [expected]);
}

#[tokio::test]
async fn what_is_held_of_an_item_is_billed_after_the_last_seat() {
    let world = world_on("2026-01-01").await;
    let locked =
        NewPrice { removal_policy: Some("locked_until_term_end".into()), ..of("shared_mailbox", "3") };
    let book = selling(&world, vec![locked]).await;
    let for_a_quarter =
        billing::subscription::PutSubscription { term_months: Some(4), ..terms(&book, "month") };
    put(&world.ctx, for_a_quarter, None).await.unwrap();
    seat(&world.ctx, "ada").await;
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-01-20T12:00");
    cancel(&world.ctx, Some("2026-02-10"), None).await.unwrap();
    for day in ["2026-02-01", "2026-02-10", "2026-03-01", "2026-04-01", "2026-06-01"] {
        run_and_verify(&world, day).await;
    }
    let shown = all_shown(&world.ctx).await;
    let locked: Vec<_> = shown[2..].iter().map(|one| one.split(';').next().unwrap()).collect();
    // The seat is charged up to its end, and the mailbox to that of the term.
    assert_eq!(locked, ["invoice 2026-03-01 3.00 EUR", "invoice 2026-04-01 3.00 EUR"]);
}

#[tokio::test]
async fn what_a_later_book_sells_is_charged_from_its_day_on() {
    let world = world_on("2026-01-01").await;
    let before = selling(&world, Vec::new()).await;
    subscribe(&world.ctx, &before, "month").await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    stores(&world, "2026-01-11T00:00", 31 * GIB).await;
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    at(&world, "2026-01-16T12:00");
    let after = selling(&world, vec![of("shared_mailbox", "3.10"), storage(0)]).await;
    put(&world.ctx, terms(&after, "month"), None).await.unwrap();
    run_and_verify(&world, "2026-02-01").await;
    let expected = [
        "invoice 2026-01-01 10.00 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 10.00 EUR",
        "invoice 2026-02-01 16.30 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 10.00 EUR; \
         recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 3.10 EUR; \
         proration 2026-01-16..2026-02-01 x1 = 16 seat-days, 1.60 EUR; \
         usage 2026-01-16..2026-02-01 x31 = 0 seat-days, 1.60 EUR",
    ];
    let shown = all_shown(&world.ctx).await;
    // A stub of days that were not billed before is a cycle of its own.
    assert_eq!(shown, expected.map(|text| text.replace("proration 2026-01-16", "recurring 2026-01-16")));
}

#[tokio::test]
async fn a_percentage_is_off_everything_and_an_amount_off_the_seats_alone() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![of("shared_mailbox", "4"), storage(0)]).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    give(&world.ctx, percent("50", "2026-01-01", None)).await;
    let voucher = NewDiscount {
        description: "A voucher".into(),
        amount: Some(Money::new(300, "EUR".parse().unwrap())),
        starts_on: "2026-01-01".into(),
        ..NewDiscount::default()
    };
    give(&world.ctx, voucher.clone()).await;
    give(&world.ctx, NewDiscount { item: Some("storage".into()), ..voucher }).await;
    stores(&world, "2026-01-01T12:00", 0).await;
    stores(&world, "2026-01-11T00:00", 310 * GIB).await;
    run_and_verify(&world, "2026-01-01").await;
    run_and_verify(&world, "2026-02-01").await;
    let shown = all_shown(&world.ctx).await;
    // 10 × 0.5 − 3, and 4 × 0.5.
    assert!(shown[0].starts_with("invoice 2026-01-01 4.00 EUR"), "{}", shown[0]);
    // The same again, and of 210 GiB 21.00, half of it less 3.00.
    assert!(shown[1].starts_with("invoice 2026-02-01 11.50 EUR"), "{}", shown[1]);
    let usage = "usage 2026-01-01..2026-02-01 x210 = 0 seat-days, 21.00 EUR; \
                 discount 2026-01-01..2026-02-01 x0 = 0 seat-days, -13.50 EUR";
    assert!(shown[1].ends_with(usage), "{}", shown[1]);
}

#[tokio::test]
async fn a_void_invoice_has_its_usage_billed_again() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![of("shared_mailbox", "4"), storage(0)]).await;
    subscribe(&world.ctx, &book, "month").await;
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    stores(&world, "2026-01-11T00:00", 31 * GIB).await;
    run_and_verify(&world, "2026-01-01").await;
    run_and_verify(&world, "2026-02-01").await;
    let wrong = invoices(&world.ctx).await[1].clone();
    // Of one instant, ids are in no order, by which lists go.
    at(&world, "2026-02-01T10:01");
    invoice::void(&world.operator, wrong.id, "misspelt").await.unwrap();
    at(&world, "2026-02-01T10:02");
    run(&world, "2026-02-01").await;
    assert_eq!(found(&world).await, []);
    let all = all_shown(&world.ctx).await;
    let [.., first, note, again] = &all[..] else { panic!("{all:?}") };
    assert!(first.starts_with("invoice 2026-02-01 6.10 EUR"), "{first}");
    assert!(note.starts_with("credit_note 2026-02-01 -6.10 EUR"), "{note}");
    assert_eq!(again, first);
}

#[tokio::test]
async fn what_is_over_and_billed_takes_no_samples_any_more() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![storage(0)]).await;
    subscribe(&world.ctx, &book, "month").await;
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    stores(&world, "2026-01-11T00:00", 31 * GIB).await;
    run_and_verify(&world, "2026-01-01").await;
    run_and_verify(&world, "2026-02-01").await;
    stores(&world, "2026-02-20T00:00", 56 * GIB).await;
    run_and_verify(&world, "2026-03-01").await;
    let gone = sqlx::query("delete from storage_samples where at < '2026-02-20'");
    assert_eq!(gone.execute(&owner(&world).await).await.unwrap().rows_affected(), 1);
    stores(&world, "2026-03-11T00:00", 87 * GIB).await;
    at(&world, "2026-04-01T10:00");
    run(&world, "2026-04-01").await;
    // 21 of 31 days of 31 GiB; 19 of 28 and 9 of 56; 10 of 31 of 56 and 21 of 87: March takes the last of February's samples.
    let expected = [
        "invoice 2026-02-01 2.10 EUR; usage 2026-01-01..2026-02-01 x21 = 0 seat-days, 2.10 EUR",
        "invoice 2026-03-01 3.90 EUR; usage 2026-02-01..2026-03-01 x39 = 0 seat-days, 3.90 EUR",
        "invoice 2026-04-01 7.70 EUR; usage 2026-03-01..2026-04-01 x77 = 0 seat-days, 7.70 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
}

#[tokio::test]
async fn a_cycle_that_is_cut_to_a_day_that_was_billed_has_its_usage_billed() {
    let world = world_on("2026-01-01").await;
    let daily = NewPrice { changes_billed: Some("daily".into()), ..price("month", "10", CreditToBalance) };
    let book = vec![daily, storage(0)];
    let book = publish(&world.operator, Some(world.reseller.id), book).await.unwrap();
    subscribe(&world.ctx, &book, "month").await;
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    stores(&world, "2026-01-11T00:00", 31 * GIB).await;
    run_and_verify(&world, "2026-01-20").await;
    // From the same day on, which was billed.
    at(&world, "2026-01-20T12:00");
    let dearer = vec![price("month", "20", CreditToBalance)];
    let dearer = publish(&world.operator, Some(world.reseller.id), dearer).await.unwrap();
    subscribe(&world.ctx, &dearer, "month").await;
    run_and_verify(&world, "2026-02-01").await;
    // Nine of the 19 days of which there is a price, at 19 of 31 parts of what they cost.
    let expected = "usage 2026-01-01..2026-01-20 x15 = 0 seat-days, 0.90 EUR";
    let all = all_shown(&world.ctx).await;
    assert!(all.iter().any(|one| one.contains(expected)), "{all:?}");
}

#[tokio::test]
async fn the_usage_of_a_void_invoice_is_billed_again_however_old_it_is() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![storage(0)]).await;
    subscribe(&world.ctx, &book, "month").await;
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    stores(&world, "2026-01-11T00:00", 31 * GIB).await;
    for day in ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"] {
        run_and_verify(&world, day).await;
    }
    invoice::void(&world.operator, invoices(&world.ctx).await[0].id, "misspelt").await.unwrap();
    at(&world, "2026-04-01T11:00");
    run(&world, "2026-04-01").await;
    assert_eq!(found(&world).await, []);
    run_and_verify(&world, "2026-05-01").await;
    let all = all_shown(&world.ctx).await;
    let [.., again, may] = &all[..] else { panic!("{all:?}") };
    let january = "invoice 2026-04-01 2.10 EUR; usage 2026-01-01..2026-02-01 x21 = 0 seat-days, 2.10 EUR";
    assert_eq!(again, january);
    assert!(may.starts_with("invoice 2026-05-01 3.10 EUR"), "{may}");
}

/// 120 a year for a seat and 36 for a shared mailbox, credited when they go.
async fn annual(world: &World) -> PriceBook {
    let yearly = |price: NewPrice| NewPrice { interval: "year".into(), ..price };
    let prices = vec![yearly(price("year", "120", CreditToBalance)), yearly(of("shared_mailbox", "36"))];
    let book = publish(&world.operator, Some(world.reseller.id), prices).await.unwrap();
    subscribe(&world.ctx, &book, "year").await;
    book
}

#[tokio::test]
async fn a_credit_is_taxed_as_its_own_item_was() {
    let world = world_on("2026-01-01").await;
    taxing(&world).await;
    rate(&world, "DE", "21", "2026-04-01").await;
    put_customer(&world.ctx, &NoRegister, customer("DE", None), None).await.unwrap();
    annual(&world).await;
    seat(&world.ctx, "ada").await;
    let ben = seat(&world.ctx, "ben").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-05-10T12:00");
    make(&world.ctx, Kind::Shared, "info").await.unwrap();
    run_and_verify(&world, "2026-06-01").await;
    at(&world, "2026-06-10T12:00");
    user::delete(&world.ctx, ben.id, None).await.unwrap();
    run_and_verify(&world, "2026-07-01").await;
    let documents = invoices(&world.ctx).await;
    let of_lines = documents.iter().flat_map(|one| &one.lines);
    let taxed: Vec<_> =
        of_lines.map(|line| (line.item.as_str(), line.kind.as_str(), line.tax.rate().to_string())).collect();
    // The mailbox, in the same year, was charged by the later rate.
    assert_eq!(
        taxed,
        [
            ("mailbox", "recurring", "19.0000".into()),
            ("shared_mailbox", "proration", "21.0000".into()),
            ("mailbox", "credit", "19.0000".into()),
        ]
    );
}

#[tokio::test]
async fn an_invoice_whose_item_was_credited_since_is_not_voided() {
    let world = world_on("2026-01-01").await;
    annual(&world).await;
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-03-15T12:00");
    let info = make(&world.ctx, Kind::Shared, "info").await.unwrap();
    run_and_verify(&world, "2026-04-01").await;
    at(&world, "2026-04-10T12:00");
    mailbox::delete(&world.ctx, info.id, None).await.unwrap();
    seat(&world.ctx, "ben").await;
    run_and_verify(&world, "2026-05-01").await;
    let (documents, shown) = (invoices(&world.ctx).await, all_shown(&world.ctx).await);
    let [_, of_mailbox, _] = &documents[..] else { panic!("{shown:?}") };
    let refused = invoice::void(&world.operator, of_mailbox.id, "x").await.unwrap_err();
    assert_eq!(refused.code(), "credited_since");
    assert_eq!(all_shown(&world.ctx).await, shown);
}

/// Downgrades wait, whichever item they are of; more of one may make up for less of another.
#[tokio::test]
async fn what_comes_to_less_for_all_items_together_waits() {
    let world = world_on("2026-01-01").await;
    let selling = async |shared: &[&str]| {
        let prices = shared.iter().map(|unit_price| of("shared_mailbox", unit_price));
        selling(&world, prices.collect()).await
    };
    let (dear, cheap, without) = (selling(&["9"]).await, selling(&["3"]).await, selling(&[]).await);
    let for_months = |book: &PriceBook| billing::subscription::PutSubscription {
        term_months: Some(4),
        ..terms(book, "month")
    };
    put(&world.ctx, for_months(&dear), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    let info = make(&world.ctx, Kind::Shared, "info").await.unwrap();
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-02-10T12:00");
    for less in [&cheap, &without] {
        let later = put(&world.ctx, for_months(less), None).await.unwrap();
        assert_eq!(later.terms.starts_on.to_string(), "2026-05-01");
        put(&world.ctx, for_months(&dear), None).await.unwrap();
    }
    // Nobody pays less by it who has none.
    run_and_verify(&world, "2026-02-01").await;
    mailbox::delete(&world.ctx, info.id, None).await.unwrap();
    run_and_verify(&world, "2026-03-01").await;
    at(&world, "2026-03-10T12:00");
    let now = put(&world.ctx, for_months(&without), None).await.unwrap();
    assert_eq!(now.terms.starts_on.to_string(), "2026-03-10");
    run_and_verify(&world, "2026-04-01").await;
}

#[tokio::test]
async fn a_change_of_prices_does_not_lift_the_lock_of_another_item() {
    let world = world_on("2026-01-01").await;
    let locked =
        NewPrice { removal_policy: Some("locked_until_term_end".into()), ..of("shared_mailbox", "3") };
    let with = selling(&world, vec![locked]).await;
    let without = selling(&world, Vec::new()).await;
    let for_months = |book: &PriceBook, months| billing::subscription::PutSubscription {
        term_months: Some(months),
        ..terms(book, "month")
    };
    put(&world.ctx, for_months(&with, 4), None).await.unwrap();
    seat(&world.ctx, "ada").await;
    run_and_verify(&world, "2026-01-01").await;
    at(&world, "2026-02-10T12:00");
    let later = put(&world.ctx, for_months(&without, 4), None).await.unwrap();
    assert_eq!(later.terms.starts_on.to_string(), "2026-05-01");
    // What sells it too, as locked, may hold at once.
    let locked =
        NewPrice { removal_policy: Some("locked_until_term_end".into()), ..of("shared_mailbox", "4") };
    let dearer = selling(&world, vec![locked]).await;
    let now = put(&world.ctx, for_months(&dearer, 4), None).await.unwrap();
    assert_eq!(now.terms.starts_on.to_string(), "2026-02-10");
}
