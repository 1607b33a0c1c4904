//! Tenants that move to another time zone: a cycle keeps the calendar that it began in, the next has the new one.

use billing::export::{self, Kind, Level, Window};
use billing::payment::{self, NewTransfer};
use billing::preview::{NewPreview, preview};
use billing::price_book::{NewPrice, PriceBook, publish};
use billing::rating::RemovalPolicy::CreditToBalance;
use billing::run::scheduled;
use billing::subscription::{cancel, get};
use billing::table::Format;
use billing::usage;
use tenancy::mailbox;
use tenancy::tenant::{self, NewTenant, TenantChange};
use tenancy::{Ctx, storage_sample, user};
use testkit::{World, world};

use super::items::{GIB, make, selling, storage, stores_in};
use super::verify::{assert_clean, assert_tenant_clean, found, owner};
use super::{all_shown, at, ctx_of, date, domain, invoices, price, run, seat, subscribe, terms, world_on};

/// A tenant that lives in a time zone, without a subscription yet.
async fn living_in(world: &World, time_zone: &str) -> Ctx {
    let new = NewTenant { time_zone: time_zone.into(), ..world::new_tenant(&world.reseller, time_zone) };
    let tenant = tenant::create(&world.operator, new).await.unwrap();
    let ctx = ctx_of(world, tenant.id).await;
    world::domain(&ctx, &domain(&ctx)).await;
    ctx
}

/// A tenant that lives in a time zone, and was billed for ada's seat on 1 January.
async fn billed_in(world: &World, time_zone: &str, book: &PriceBook) -> Ctx {
    let ctx = living_in(world, time_zone).await;
    subscribe(&ctx, book, "month").await;
    seat(&ctx, "ada").await;
    run(world, "2026-01-01").await;
    ctx
}

/// Moves a tenant, and enters it as the next request does.
async fn moves(world: &World, ctx: &Ctx, time_zone: &str) -> Ctx {
    let change = TenantChange { time_zone: Some(time_zone.into()), ..TenantChange::default() };
    let moved = tenant::update(ctx, None, change).await.unwrap();
    assert_eq!(moved.time_zone.name(), time_zone);
    ctx_of(world, ctx.tenant_id()).await
}

/// In which zones the cycles of an item are counted.
async fn zones(ctx: &Ctx, item: &str) -> Vec<String> {
    let mut tx = ctx.begin().await.unwrap();
    let all = "select days::text || ' ' || time_zone from billing_coverage where item = $1 and kind = 'cycle' order by starts_on";
    sqlx::query_scalar(all).bind(item).fetch_all(tx.conn()).await.unwrap()
}

/// As mail would leave one of the tenant's mailboxes, from a time on.
async fn stores(world: &World, ctx: &Ctx, time: &str, used_bytes: i64) {
    at(world, time);
    stores_in(ctx, used_bytes).await;
    storage_sample::record(&world.test_db.db()).await.unwrap();
}

/// January is Auckland's, February that of Los Angeles, where it begins 21 hours after January has ended in Auckland.
async fn from_auckland_to_los_angeles(world: &World) -> Ctx {
    let book = selling(world, vec![storage(0)]).await;
    let ctx = billed_in(world, "Pacific/Auckland", &book).await;
    // The eleventh begins.
    stores(world, &ctx, "2026-01-10T11:00", 10 * GIB).await;
    at(world, "2026-01-15T12:00");
    let ctx = moves(world, &ctx, "America/Los_Angeles").await;
    // It is the 20th there, and the 21st where January is counted.
    at(world, "2026-01-20T12:00");
    let ben = seat(&ctx, "ben").await;
    at(world, "2026-01-31T12:00");
    assert_eq!(run(world, "2026-02-01").await.invoices, 0, "it is January where the tenant is now");
    stores(world, &ctx, "2026-01-31T20:00", 20 * GIB).await;
    at(world, "2026-02-01T07:59");
    assert_eq!(run(world, "2026-02-01").await.invoices, 0);
    at(world, "2026-02-01T08:00");
    assert_eq!(run(world, "2026-02-01").await.invoices, 1);
    // The tenth there, the eleventh in Auckland.
    at(world, "2026-02-11T05:00");
    user::delete(&ctx, ben.id, None).await.unwrap();
    at(world, "2026-03-01T08:00");
    assert_eq!(run(world, "2026-03-01").await.invoices, 1);
    ctx
}

#[tokio::test]
async fn who_crosses_the_date_line_in_mid_cycle_has_the_new_calendar_from_the_next_cycle_on() {
    let world = world_on("2026-01-01").await;
    let ctx = from_auckland_to_los_angeles(&world).await;
    let expected = [
        "invoice 2026-01-01 10.00 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 10.00 EUR",
        // 10 × 11/31 = 3.548…; ten GiB on 21 of 31 days of Auckland: 6.774, whatever was stored in the hours after them.
        "invoice 2026-02-01 24.23 EUR; recurring 2026-02-01..2026-03-01 x2 = 56 seat-days, 20.00 EUR; \
         proration 2026-01-21..2026-02-01 x1 = 11 seat-days, 3.55 EUR; \
         usage 2026-01-01..2026-02-01 x7 = 0 seat-days, 0.68 EUR",
        // 18 of 28 days are given back.
        "invoice 2026-03-01 5.57 EUR; recurring 2026-03-01..2026-04-01 x1 = 31 seat-days, 10.00 EUR; \
         credit 2026-02-11..2026-03-01 x-1 = -18 seat-days, -6.43 EUR; \
         usage 2026-02-01..2026-03-01 x20 = 0 seat-days, 2.00 EUR",
    ];
    assert_eq!(all_shown(&ctx).await, expected);
    let calendars = [
        "[2026-01-01,2026-02-01) Pacific/Auckland",
        "[2026-02-01,2026-03-01) America/Los_Angeles",
        "[2026-03-01,2026-04-01) America/Los_Angeles",
    ];
    assert_eq!(zones(&ctx, "mailbox").await, calendars);
    assert_eq!(zones(&ctx, "storage").await, calendars);
    assert_clean(&world, 3).await;
}

#[tokio::test]
async fn usage_of_who_has_moved_is_by_the_days_that_are_billed() {
    let world = world_on("2026-01-01").await;
    let ctx = from_auckland_to_los_angeles(&world).await;
    let window = Window::of_usage(date("2026-01-01"), date("2026-03-01")).unwrap();
    let days = usage::of_tenant(&ctx, window).await.unwrap();
    assert!(days.iter().map(|of| of.day).eq(date("2026-01-01").iter_days().take(59)));
    let two: Vec<_> = days.iter().filter(|of| of.seats_used == 2).map(|of| of.day).collect();
    assert_eq!(
        (two.first(), two.last(), two.len()),
        (Some(&date("2026-01-21")), Some(&date("2026-02-10")), 21)
    );
    let used: i64 = days.iter().map(|of| of.seats_used).sum();
    let billed = invoices(&ctx).await;
    let lines =
        billed.iter().flat_map(|one| &one.lines).filter(|line| line.period.start() < date("2026-03-01"));
    assert_eq!(lines.map(|line| line.seat_days).sum::<i64>(), used);
    let sampled = days.iter().find(|of| of.used_bytes.is_some()).unwrap();
    assert_eq!((sampled.day, sampled.used_bytes), (date("2026-01-11"), Some(10 * GIB)));

    // The reseller's file says the same.
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let window = Window::new(date("2026-01-01"), date("2026-03-01")).unwrap();
    let mut file =
        export::open(&reseller, Kind::Usage, Level::Retail, window, Format::JsonLines).await.unwrap();
    let mut lines = Vec::new();
    while let Some(piece) = file.next().await.unwrap() {
        lines.extend(piece);
    }
    let lines = String::from_utf8(lines).unwrap();
    let rows = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let rows = rows.filter(|row| row["tenant_id"] == ctx.tenant_id().to_string());
    let row =
        |row: serde_json::Value| (row["day"].clone(), row["seats_used"].clone(), row["used_bytes"].clone());
    let expected = days.iter().map(|of| {
        let cell = |value: Option<i64>| serde_json::json!(value);
        (serde_json::json!(of.day), cell(Some(of.seats_used)), cell(of.used_bytes))
    });
    assert_eq!(rows.map(row).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// January is that of Los Angeles, where it ends 21 hours after February has begun in Auckland.
async fn from_los_angeles_to_auckland(world: &World, day: &str) -> Ctx {
    let book = selling(world, vec![storage(0)]).await;
    let ctx = billed_in(world, "America/Los_Angeles", &book).await;
    at(world, &format!("{day}T12:00"));
    moves(world, &ctx, "Pacific/Auckland").await
}

#[tokio::test]
async fn a_cycle_is_billed_when_it_is_over_where_its_days_are_counted() {
    let world = world_on("2026-01-01").await;
    let ctx = from_los_angeles_to_auckland(&world, "2026-01-15").await;
    // February in Auckland, January for another 20 hours where it is counted.
    at(&world, "2026-01-31T12:00");
    let before = get(&ctx).await.unwrap();
    let summary = run(&world, "2026-02-01").await;
    assert_eq!((summary.invoices, summary.accounts_billed, summary.accounts_not_yet), (0, 0, 1));
    let named =
        billing::run::run(&world.test_db.db(), date("2026-02-01"), Some(ctx.tenant_id())).await.unwrap();
    assert_eq!((named.invoices, named.accounts_not_yet), (0, 1));
    assert_eq!(get(&ctx).await.unwrap(), before, "a look leaves nothing");
    assert_eq!(preview(&ctx, NewPreview::default()).await.unwrap().documents.len(), 0);
    let ahead = NewPreview { as_of: Some("2026-03-01".into()), ..NewPreview::default() };
    assert_eq!(preview(&ctx, ahead).await.unwrap().documents.len(), 2);

    // For the last twelve hours of January.
    stores(&world, &ctx, "2026-01-31T20:00", 1000 * GIB).await;
    at(&world, "2026-02-01T07:59");
    assert_eq!(scheduled(&world.test_db.db()).await.unwrap().unwrap().accounts_not_yet, 1);
    at(&world, "2026-02-01T08:00");
    let billed = scheduled(&world.test_db.db()).await.unwrap().unwrap();
    assert_eq!((billed.invoices, billed.accounts_not_yet), (1, 0));
    assert_tenant_clean(&world, ctx.tenant_id()).await;
    at(&world, "2026-02-28T11:00");
    assert_eq!(scheduled(&world.test_db.db()).await.unwrap().unwrap().invoices, 1, "it is March in Auckland");
    let expected = [
        "invoice 2026-01-01 10.00 EUR; recurring 2026-01-01..2026-02-01 x1 = 31 seat-days, 10.00 EUR",
        // 1000 GiB for half a day of 31: 16.129.
        "invoice 2026-02-01 11.61 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 10.00 EUR; \
         usage 2026-01-01..2026-02-01 x16 = 0 seat-days, 1.61 EUR",
        // 1000 GiB but for the first nine of 672 hours: 986.607.
        "invoice 2026-03-01 108.66 EUR; recurring 2026-03-01..2026-04-01 x1 = 31 seat-days, 10.00 EUR; \
         usage 2026-02-01..2026-03-01 x987 = 0 seat-days, 98.66 EUR",
    ];
    assert_eq!(all_shown(&ctx).await, expected);
    assert_clean(&world, 3).await;
}

#[tokio::test]
async fn a_run_that_is_late_opens_a_cycle_where_it_began() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![storage(0)]).await;
    let (mut prompt, mut late) =
        (living_in(&world, "Pacific/Auckland").await, living_in(&world, "Pacific/Auckland").await);
    let bill = async |ctx: &Ctx| {
        let db = world.test_db.db();
        billing::run::run(&db, ctx.today(), Some(ctx.tenant_id())).await.unwrap()
    };
    for ctx in [&prompt, &late] {
        subscribe(ctx, &book, "month").await;
        seat(ctx, "ada").await;
    }
    bill(&prompt).await;
    at(&world, "2026-01-31T12:00");
    bill(&prompt).await;
    // The fourth in Los Angeles, the fifth in Auckland.
    at(&world, "2026-02-04T12:00");
    for ctx in [&prompt, &late] {
        seat(ctx, "ben").await;
        stores(&world, ctx, "2026-02-04T12:00", GIB).await;
    }
    at(&world, "2026-02-10T12:00");
    for ctx in [&mut prompt, &mut late] {
        *ctx = moves(&world, ctx, "America/Los_Angeles").await;
    }
    at(&world, "2026-03-05T12:00");
    bill(&prompt).await;
    bill(&late).await;
    let shown = all_shown(&prompt).await;
    assert_eq!(shown.len(), 3);
    assert!(shown[2].contains("proration 2026-02-05..2026-03-01 x1 = 24 seat-days"), "{shown:?}");
    assert_eq!(all_shown(&late).await, shown);
    let calendars = zones(&prompt, "mailbox").await;
    assert_eq!(calendars[1], "[2026-02-01,2026-03-01) Pacific/Auckland");
    assert_eq!(zones(&late, "mailbox").await, calendars);
    assert_clean(&world, 6).await;
}

#[tokio::test]
async fn the_present_day_never_goes_back() {
    let world = world_on("2026-01-09").await;
    at(&world, "2026-01-09T20:00");
    let book = selling(&world, Vec::new()).await;
    let ctx = living_in(&world, "Pacific/Auckland").await;
    assert_eq!(subscribe(&ctx, &book, "month").await.terms.anchor_date, date("2026-01-10"));
    seat(&ctx, "ada").await;
    billing::run::run(&world.test_db.db(), date("2026-01-10"), Some(ctx.tenant_id())).await.unwrap();
    // It is noon on the ninth there.
    let ctx = moves(&world, &ctx, "America/Los_Angeles").await;
    let dearer =
        publish(&world.operator, Some(world.reseller.id), vec![price("month", "31", CreditToBalance)]);
    let dearer = dearer.await.unwrap();
    let put = subscribe(&ctx, &dearer, "month").await;
    assert_eq!((put.terms.starts_on, put.terms.anchor_date), (date("2026-01-10"), date("2026-01-10")));
    let past = billing::subscription::cancel(&ctx, Some("2026-01-10"), None).await.unwrap_err();
    assert_eq!(past.field_errors()[0].pointer, "/ends_on");
    let paid = NewTransfer {
        amount: super::payment::euro(1000),
        reference: String::new(),
        received_on: "2026-01-10".into(),
        invoice_id: None,
    };
    payment::record(&ctx, paid).await.unwrap();
    // For the whole of the cycle, from its first day on.
    at(&world, "2026-02-10T08:00");
    run(&world, "2026-02-10").await;
    let shown = all_shown(&ctx).await;
    assert!(
        shown[1].starts_with("invoice 2026-02-10 52.00 EUR; recurring 2026-02-10..2026-03-10"),
        "{shown:?}"
    );
    // Nor was what was agreed in the same breath put off.
    let again = billing::subscription::put(&ctx, terms(&dearer, "month"), None).await.unwrap();
    assert_eq!(again.terms.starts_on, date("2026-01-10"));
    assert_tenant_clean(&world, ctx.tenant_id()).await;
}

#[tokio::test]
async fn what_comes_to_be_sold_in_mid_cycle_is_counted_where_the_cycle_is() {
    let world = world_on("2026-01-01").await;
    let shared = NewPrice { item: "shared_mailbox".into(), ..price("month", "3.10", CreditToBalance) };
    let (seats, both) = (selling(&world, Vec::new()).await, selling(&world, vec![shared, storage(0)]).await);
    let ctx = billed_in(&world, "Pacific/Auckland", &seats).await;
    at(&world, "2026-01-15T12:00");
    let ctx = moves(&world, &ctx, "America/Los_Angeles").await;
    at(&world, "2026-01-20T12:00");
    assert_eq!(subscribe(&ctx, &both, "month").await.terms.starts_on, date("2026-01-20"));
    // The 25th there; where January is counted, the 26th begins.
    stores(&world, &ctx, "2026-01-25T11:00", 12 * GIB).await;
    at(&world, "2026-01-25T12:00");
    make(&ctx, mailbox::Kind::Shared, "info").await.unwrap();
    at(&world, "2026-02-01T08:00");
    run(&world, "2026-02-01").await;
    let calendars =
        ["[2026-01-20,2026-02-01) Pacific/Auckland", "[2026-02-01,2026-03-01) America/Los_Angeles"];
    assert_eq!(zones(&ctx, "shared_mailbox").await, calendars);
    assert_eq!(zones(&ctx, "storage").await, calendars);
    let shown = all_shown(&ctx).await.pop().unwrap();
    // Six days of a mailbox; and of twelve days of storage, 31 of a month's, the last six at twelve GiB.
    for part in [
        "2026-01-26..2026-02-01 x1 = 6 seat-days, 0.60 EUR",
        "usage 2026-01-20..2026-02-01 x6 = 0 seat-days, 0.23 EUR",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert_clean(&world, 2).await;
}

/// Before, what came to be sold in mid-cycle was counted where the boundary was.
#[tokio::test]
async fn what_was_counted_by_another_rule_is_verified_as_it_was_counted() {
    let world = world_on("2026-01-01").await;
    let shared = NewPrice { item: "shared_mailbox".into(), ..price("month", "3.10", CreditToBalance) };
    let (seats, both) = (selling(&world, Vec::new()).await, selling(&world, vec![shared]).await);
    let ctx = billed_in(&world, "Pacific/Auckland", &seats).await;
    at(&world, "2026-01-15T12:00");
    let ctx = moves(&world, &ctx, "America/Los_Angeles").await;
    at(&world, "2026-01-20T12:00");
    subscribe(&ctx, &both, "month").await;
    // It is the 25th in both places.
    at(&world, "2026-01-25T09:00");
    make(&ctx, mailbox::Kind::Shared, "info").await.unwrap();
    at(&world, "2026-02-01T08:00");
    run(&world, "2026-02-01").await;
    let as_before = "update billing_coverage set time_zone = 'America/Los_Angeles'
                     where tenant_id = $1 and item = 'shared_mailbox' and kind = 'cycle'";
    let owner = owner(&world).await;
    sqlx::query(as_before).bind(ctx.tenant_id().uuid()).execute(&owner).await.unwrap();
    assert!(zones(&ctx, "shared_mailbox").await[0].ends_with(" America/Los_Angeles"));
    assert_clean(&world, 2).await;

    // No rule has ever counted these there.
    for (item, starts_on) in [("shared_mailbox", "2026-01-20"), ("mailbox", "2026-02-01")] {
        let put = "update billing_coverage set time_zone = $4
                   where tenant_id = $1 and item = $2 and kind = 'cycle' and starts_on = $3";
        for (zone, is_clean) in [("Asia/Tokyo", false), ("America/Los_Angeles", true)] {
            let put = sqlx::query(put).bind(ctx.tenant_id().uuid()).bind(item).bind(date(starts_on));
            assert_eq!(put.bind(zone).execute(&owner).await.unwrap().rows_affected(), 1);
            assert_eq!(found(&world).await.is_empty(), is_clean, "{item} {zone}");
        }
    }
}

#[tokio::test]
async fn who_subscribes_on_a_day_that_lasts_on_is_charged_for_it() {
    let world = world_on("2026-01-09").await;
    at(&world, "2026-01-09T20:00");
    let book = selling(&world, Vec::new()).await;
    // The tenth in Auckland, and noon of the ninth in Los Angeles.
    let mut moved = Vec::new();
    for _ in 0..2 {
        let ctx = living_in(&world, "Pacific/Auckland").await;
        moved.push(moves(&world, &ctx, "America/Los_Angeles").await);
    }
    // The tenth is over in Auckland.
    at(&world, "2026-01-10T12:00");
    for ctx in &moved {
        assert_eq!(subscribe(ctx, &book, "month").await.terms.starts_on, date("2026-01-10"));
        seat(ctx, "ada").await;
    }
    let bill = async |ctx: &Ctx| {
        let db = world.test_db.db();
        billing::run::run(&db, ctx.today(), Some(ctx.tenant_id())).await.unwrap()
    };
    bill(&moved[0]).await;
    at(&world, "2026-02-10T12:00");
    for ctx in &moved {
        bill(ctx).await;
        let expected = [
            "invoice 2026-01-10 10.00 EUR; recurring 2026-01-10..2026-02-10 x1 = 31 seat-days, 10.00 EUR",
            "invoice 2026-02-10 10.00 EUR; recurring 2026-02-10..2026-03-10 x1 = 28 seat-days, 10.00 EUR",
        ];
        assert_eq!(all_shown(ctx).await, expected, "whenever it is billed");
        assert_eq!(zones(ctx, "mailbox").await[0], "[2026-01-10,2026-02-10) America/Los_Angeles");
        assert_tenant_clean(&world, ctx.tenant_id()).await;
    }
}

#[tokio::test]
async fn so_is_who_subscribes_again_on_such_a_day() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, Vec::new()).await;
    let ctx = billed_in(&world, "Pacific/Auckland", &book).await;
    cancel(&ctx, Some("2026-01-05"), None).await.unwrap();
    at(&world, "2026-01-09T20:00");
    run(&world, "2026-01-09").await;
    // The tenth in Auckland, where it is over sixteen hours later.
    let ctx = moves(&world, &ctx, "America/Los_Angeles").await;
    at(&world, "2026-01-10T12:00");
    assert_eq!(subscribe(&ctx, &book, "month").await.terms.starts_on, date("2026-01-10"));
    run(&world, "2026-01-10").await;
    let calendars = zones(&ctx, "mailbox").await;
    assert_eq!(calendars.last().unwrap(), "[2026-01-10,2026-02-10) America/Los_Angeles");
    assert_tenant_clean(&world, ctx.tenant_id()).await;
}

#[tokio::test]
async fn who_takes_another_interval_on_such_a_day_goes_on_where_the_cycle_ends_that_it_cuts() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![price("year", "120", CreditToBalance)]).await;
    let ctx = billed_in(&world, "Pacific/Auckland", &book).await;
    // The tenth in Auckland, where it is over sixteen hours later.
    at(&world, "2026-01-09T20:00");
    let ctx = moves(&world, &ctx, "America/Los_Angeles").await;
    at(&world, "2026-01-10T12:00");
    assert_eq!(subscribe(&ctx, &book, "year").await.terms.starts_on, date("2026-01-10"));
    run(&world, "2026-01-10").await;
    let calendars = zones(&ctx, "mailbox").await;
    assert_eq!(calendars.last().unwrap(), "[2026-01-10,2027-01-10) Pacific/Auckland");
    assert_tenant_clean(&world, ctx.tenant_id()).await;
}

#[tokio::test]
async fn a_cycle_that_an_end_cuts_is_billed_when_its_last_day_is_over_where_it_is_counted() {
    let world = world_on("2026-01-01").await;
    let ctx = from_los_angeles_to_auckland(&world, "2026-01-10").await;
    cancel(&ctx, Some("2026-01-21"), None).await.unwrap();
    // The 21st has come in Auckland, and the 20th goes on where January is counted.
    at(&world, "2026-01-20T11:05");
    assert_eq!(run(&world, "2026-01-21").await.credit_notes, 0);
    stores(&world, &ctx, "2026-01-20T12:00", 1000 * GIB).await;
    at(&world, "2026-01-21T08:00");
    assert_eq!(run(&world, "2026-01-21").await.credit_notes, 1);
    // 1000 GiB on 20 of the 744 hours of January; 11 of 31 days of the seat are given back.
    let expected = "credit_note 2026-01-21 -0.86 EUR; credit 2026-01-21..2026-02-01 x-1 = -11 seat-days, -3.55 EUR; \
                    usage 2026-01-01..2026-01-21 x42 = 0 seat-days, 2.69 EUR";
    assert_eq!(all_shown(&ctx).await[1], expected);
    assert_clean(&world, 2).await;
}
