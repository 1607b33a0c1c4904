//! The operator sells resellers more than seats: shared mailboxes, archives, and what all their tenants store.

use billing::price_book::NewTier;
use billing::verify::{Difference, verify};
use tenancy::storage_sample;
use tenancy::user::{Fate, Leaving};

use super::*;
use crate::items::stores_in;

const GIB: i64 = 1 << 30;

fn of(item: &str, unit_price: &str) -> NewPrice {
    NewPrice { item: item.into(), ..price("month", unit_price, CreditToBalance) }
}

/// 0.10 for a GiB beyond those that the seats may store.
pub(super) fn storage(included_bytes: i64) -> NewPrice {
    NewPrice { included_bytes: Some(included_bytes), removal_policy: None, ..of("storage", "0.10") }
}

/// Three shared mailboxes at 3.10, further ones at half of that.
pub(super) fn shared() -> NewPrice {
    let tier = |up_to, unit_price: &str| NewTier { up_to, unit_price: unit_price.into() };
    NewPrice {
        model: "graduated".into(),
        unit_price: None,
        tiers: vec![tier(Some(3), "3.10"), tier(None, "1.55")],
        ..of("shared_mailbox", "0")
    }
}

async fn selling(world: &World, beside: Vec<NewPrice>) -> PriceBook {
    let prices = [vec![price("month", "4", CreditToBalance)], beside].concat();
    publish(&world.operator, None, prices).await.unwrap()
}

/// Of all that the operator sells.
pub(crate) async fn book_of_all(world: &World) -> PriceBook {
    selling(world, vec![shared(), of("archive", "0.31"), storage(10 * GIB)]).await
}

pub(super) async fn stores(world: &World, ctx: &Ctx, time: &str, used_bytes: i64) {
    at(world, time);
    stores_in(ctx, used_bytes).await;
    assert!(storage_sample::record(&world.test_db.db()).await.unwrap() > 0);
}

/// The lines of each document with their items, sorted.
async fn sold(world: &World, reseller: &Reseller) -> Vec<Vec<String>> {
    let line = |line: &invoice::WholesaleLine| {
        let whose = line.tenant.as_ref().map_or("nobody", |tenant| &tenant.name);
        let (start, end, kind) = (line.period.start(), line.period.end(), line.kind.as_str());
        format!("{whose} {}: {kind} {start}..{end} x{}, {}", line.item, line.quantity, line.amount)
    };
    let documents = documents(world, reseller).await;
    documents.iter().map(|document| sorted(document.lines.iter().map(line))).collect()
}

/// Two months of two tenants, one of which moves to another reseller in the second; billed on each of the days, and again.
async fn two_months(days: &[&str]) -> (World, [Reseller; 2]) {
    let world = world_on("2026-01-01").await;
    let south = world::reseller(&world.operator, "South").await;
    let book = book_of_all(&world).await;
    agree(&world, &world.reseller, agreed(&book, 5)).await;
    agree(&world, &south, agreed(&book, 0)).await;
    let one = tenant_of(&world, &world.reseller, "One", 1).await;
    let two = tenant_of(&world, &world.reseller, "Two", 1).await;
    let leaves = seat(&two, "leaves").await;
    for name in ["info", "sales"] {
        make(&one, Kind::Shared, name).await.unwrap();
    }
    let run = async |day: &str| {
        if days.contains(&day) {
            run(&world, day).await;
            assert_eq!(run(&world, day).await, RunSummary::default());
            verified(&world).await;
        }
    };
    run("2026-01-01").await;
    stores(&world, &one, "2026-01-11T00:00", 93 * GIB).await;
    for name in ["attic", "cellar"] {
        make(&two, Kind::Room, name).await.unwrap();
    }
    stores(&world, &two, "2026-01-21T00:00", 62 * GIB).await;
    let leaving = Leaving { mailbox: Fate::Archive, release_seat: true, hold: None };
    user::offboard(&two, leaves.id, None, leaving).await.unwrap();
    at(&world, "2026-02-01T12:00");
    run("2026-02-01").await;
    at(&world, "2026-02-15T12:00");
    billing::transfer::transfer(&two, None, south.id).await.unwrap();
    at(&world, "2026-03-01T12:00");
    run("2026-03-01").await;
    let north = world.reseller.clone();
    (world, [north, south])
}

#[tokio::test]
async fn each_item_is_counted_over_all_tenants_and_what_they_store_pools_over_all_their_seats() {
    let (world, [north, south]) = two_months(&["2026-01-01", "2026-02-01", "2026-03-01"]).await;
    let [first, second, third] = &sold(&world, &north).await[..] else { panic!("three documents") };
    // The commitment is of seats alone.
    let expected = [
        "One mailbox: recurring 2026-01-01..2026-02-01 x1, 4.00 EUR",
        "One shared_mailbox: recurring 2026-01-01..2026-02-01 x2, 6.20 EUR",
        "Two mailbox: recurring 2026-01-01..2026-02-01 x2, 8.00 EUR",
        "nobody mailbox: recurring 2026-01-01..2026-02-01 x2, 8.00 EUR",
    ];
    assert_eq!(*first, sorted(expected));
    let expected = [
        "One mailbox: recurring 2026-02-01..2026-03-01 x1, 4.00 EUR",
        // Four cost 10.85, of which One has a half: on 21 of 31 days 3.675 for what was 4.20.
        "One shared_mailbox: credit 2026-01-11..2026-02-01 x0, -0.52 EUR",
        "One shared_mailbox: recurring 2026-02-01..2026-03-01 x2, 5.43 EUR",
        // 93 GiB on 21 days and 62 on 11 are 85 on average; five seats, used or not, have 50 of them. Of 3.50, One has 1643 of 1815
        // parts: 93 times 21 less ten times 31; and Two 62 times 11 less ten times 51.
        "One storage: usage 2026-01-01..2026-02-01 x31, 3.16 EUR",
        "Two archive: proration 2026-01-21..2026-02-01 x1, 0.11 EUR",
        "Two archive: recurring 2026-02-01..2026-03-01 x1, 0.31 EUR",
        "Two mailbox: credit 2026-01-21..2026-02-01 x-1, -1.42 EUR",
        "Two mailbox: recurring 2026-02-01..2026-03-01 x1, 4.00 EUR",
        "Two shared_mailbox: proration 2026-01-11..2026-02-01 x2, 3.67 EUR",
        "Two shared_mailbox: recurring 2026-02-01..2026-03-01 x2, 5.42 EUR",
        "Two storage: usage 2026-01-01..2026-02-01 x4, 0.34 EUR",
        "nobody mailbox: proration 2026-01-21..2026-02-01 x1, 1.42 EUR",
        "nobody mailbox: recurring 2026-02-01..2026-03-01 x3, 12.00 EUR",
    ];
    assert_eq!(*second, sorted(expected));
    let expected = [
        "One mailbox: recurring 2026-03-01..2026-04-01 x1, 4.00 EUR",
        "One shared_mailbox: proration 2026-02-16..2026-03-01 x0, 0.36 EUR",
        "One shared_mailbox: recurring 2026-03-01..2026-04-01 x2, 6.20 EUR",
        // One's 93 GiB on 28 days and Two's 62 on 15, less five times ten on 28: 2134 GiB-days are 7.62, in 2324 and 780 parts.
        "One storage: usage 2026-02-01..2026-03-01 x56, 5.70 EUR",
        "Two archive: credit 2026-02-16..2026-03-01 x-1, -0.14 EUR",
        "Two mailbox: credit 2026-02-16..2026-03-01 x-1, -1.86 EUR",
        "Two shared_mailbox: credit 2026-02-16..2026-03-01 x-2, -2.52 EUR",
        "Two storage: usage 2026-02-01..2026-03-01 x20, 1.92 EUR",
        "nobody mailbox: proration 2026-02-16..2026-03-01 x1, 1.86 EUR",
        "nobody mailbox: recurring 2026-03-01..2026-04-01 x4, 16.00 EUR",
    ];
    assert_eq!(*third, sorted(expected));
    let expected = [
        "Two archive: proration 2026-02-16..2026-03-01 x1, 0.14 EUR",
        "Two archive: recurring 2026-03-01..2026-04-01 x1, 0.31 EUR",
        "Two mailbox: proration 2026-02-16..2026-03-01 x1, 1.86 EUR",
        "Two mailbox: recurring 2026-03-01..2026-04-01 x1, 4.00 EUR",
        "Two shared_mailbox: proration 2026-02-16..2026-03-01 x2, 2.88 EUR",
        "Two shared_mailbox: recurring 2026-03-01..2026-04-01 x2, 6.20 EUR",
        // 62 less ten, on 13 of 28 days.
        "Two storage: usage 2026-02-01..2026-03-01 x24, 2.41 EUR",
    ];
    assert_eq!(sold(&world, &south).await, [sorted(expected)]);
    let second = &documents(&world, &north).await[1];
    let said = |tenant: &str, item: &str| -> Vec<&str> {
        let is_it = |line: &&invoice::WholesaleLine| {
            line.tenant.as_ref().is_some_and(|named| named.name == tenant) && line.item == item
        };
        second.lines.iter().filter(is_it).map(|line| line.description.as_str()).collect()
    };
    let shared = [
        "shared mailboxes, per month, 2026-02-01 to 2026-02-28",
        "shared mailboxes, at the price of the new total, 2026-01-11 to 2026-01-31",
    ];
    assert_eq!(said("One", "shared_mailbox"), shared);
    assert_eq!(said("Two", "archive")[1], "archives added, 2026-01-21 to 2026-01-31");
    assert_eq!(
        [said("One", "storage"), said("Two", "storage")].concat(),
        [
            "storage beyond what is included, 31.683 GiB on average, 2026-01-01 to 2026-01-31",
            "storage beyond what is included, 3.317 GiB on average, 2026-01-01 to 2026-01-31",
        ]
    );
    assert_eq!(said("One", "mailbox"), ["mailboxes, per month, 2026-02-01 to 2026-02-28"]);

    // The lines are what the reseller reconciles, and what its tenants cost it.
    let own = admin_of(&world, &north).await.enter_reseller(north.id).await.unwrap();
    let file = reconciliation::file(&own, second.id, Format::JsonLines).await.unwrap();
    let file = String::from_utf8(file).unwrap();
    let rows: Vec<serde_json::Value> = file.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let sum: i64 = rows.iter().map(|row| row["amount_minor"].as_i64().unwrap()).sum();
    assert_eq!((rows.len(), sum), (13, second.net.amount_minor));
    let stored = rows.iter().find(|row| row["item"] == "storage").unwrap();
    assert_eq!([&stored["quantity"], &stored["seat_days"]], [31, 0]);
    let margins = margin::list(&own, during("2026-02-01", "2026-02-02")).await.unwrap();
    let shown = |row: &margin::Margin| {
        format!("{} {} {}", row.tenant_name.as_deref().unwrap_or("nobody"), row.item, row.wholesale)
    };
    let expected = [
        "One mailbox 4.00 EUR",
        "One shared_mailbox 4.91 EUR",
        "One storage 3.16 EUR",
        "Two archive 0.42 EUR",
        "Two mailbox 2.58 EUR",
        "Two shared_mailbox 9.09 EUR",
        "Two storage 0.34 EUR",
        "nobody mailbox 13.42 EUR",
    ];
    assert_eq!(sorted(margins.iter().map(shown)), expected);
}

#[tokio::test]
async fn a_late_run_bills_all_items_as_runs_on_time_do() {
    let (on_time, [north, south]) = two_months(&["2026-01-01", "2026-02-01", "2026-03-01"]).await;
    let (late, [late_north, late_south]) = two_months(&["2026-03-01"]).await;
    assert_eq!(sold(&late, &late_north).await, sold(&on_time, &north).await);
    assert_eq!(sold(&late, &late_south).await, sold(&on_time, &south).await);
}

#[tokio::test]
async fn what_is_stored_below_the_pool_costs_nothing_and_what_is_settled_stays() {
    let world = world_on("2026-01-01").await;
    let book = selling(&world, vec![storage(10 * GIB)]).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let one = tenant_of(&world, &world.reseller, "One", 1).await;
    let two = tenant_of(&world, &world.reseller, "Two", 3).await;
    run(&world, "2026-01-01").await;
    // What one stores beyond its own, the other may and does not.
    stores(&world, &one, "2026-01-01T12:00", 40 * GIB).await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let seats = |month: &str| {
        [("One", 1, "4.00"), ("Two", 3, "12.00")]
            .map(|(name, seats, cost)| format!("{name} mailbox: recurring {month} x{seats}, {cost} EUR"))
    };
    assert_eq!(sold(&world, &world.reseller).await[1], seats("2026-02-01..2026-03-01"));
    // A server whose clock is late samples a past day: whoever knew of it would bill 135 GiB-days of January.
    let late = "insert into storage_samples (tenant_id, at, used_bytes)
      values ($1, '2026-01-27T00:00:00Z', $2), ($1, '2026-02-01T00:00:00Z', 0)";
    let owner = crate::verify::owner(&world).await;
    sqlx::query(late).bind(two.tenant_id().uuid()).bind(31 * GIB).execute(&owner).await.unwrap();
    // Half a day of 56 GiB more, beyond 40 that all may store.
    stores(&world, &two, "2026-02-15T00:00", 56 * GIB).await;
    stores(&world, &two, "2026-02-15T12:00", 0).await;
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    verified(&world).await;
    // Two stored 28 GiB-days and might have 840: One has all of it, a GiB.
    let usage = ["One storage: usage 2026-02-01..2026-03-01 x1, 0.10 EUR".to_owned()];
    let expected = sorted([seats("2026-03-01..2026-04-01").to_vec(), usage.to_vec()].concat());
    assert_eq!(sold(&world, &world.reseller).await[2], expected);
    assert_eq!(run(&world, "2026-03-01").await, RunSummary::default());
}

#[tokio::test]
async fn what_a_reseller_below_takes_over_from_a_past_day_on_is_given_back_above() {
    let world = world_on("2026-01-01").await;
    let below = below(&world).await;
    let book = selling(&world, vec![storage(0)]).await;
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    let deep = tenant_of(&world, &below, "Deep", 1).await;
    let own = tenant_of(&world, &world.reseller, "Own", 1).await;
    stores(&world, &own, "2026-01-01T00:00", 31 * GIB).await;
    stores(&world, &deep, "2026-01-01T00:00", 31 * GIB).await;
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    let of = |whose: &str, line: &str| format!("{whose} {line}");
    let seat = |whose: &str, days: &str| of(whose, &format!("mailbox: recurring {days} x1, 4.00 EUR"));
    let usage = |whose: &str, days: &str| of(whose, &format!("storage: usage {days} x31, 3.10 EUR"));
    let (january, february) = ("2026-01-01..2026-02-01", "2026-02-01..2026-03-01");
    let above = sold(&world, &world.reseller).await;
    let both = |of: &dyn Fn(&str) -> String| ["Deep", "Own"].map(of);
    let on_march =
        [both(&|who| seat(who, "2026-03-01..2026-04-01")), both(&|who| usage(who, february))].concat();
    let on_february = [both(&|who| seat(who, february)), both(&|who| usage(who, january))].concat();
    assert_eq!(above[1..], [sorted(on_february), sorted(on_march)]);
    at(&world, "2026-03-10T12:00");
    let past = PutAgreement { starts_on: Some("2026-01-17".into()), ..agreed(&book, 0) };
    agree(&world, &below, past).await;
    at(&world, "2026-04-01T12:00");
    run(&world, "2026-04-01").await;
    verified(&world).await;
    let given_back = [
        seat("Own", "2026-04-01..2026-05-01"),
        usage("Own", "2026-03-01..2026-04-01"),
        of("Deep", "mailbox: credit 2026-01-17..2026-02-01 x-1, -1.94 EUR"),
        of("Deep", "mailbox: credit 2026-02-01..2026-03-01 x-1, -4.00 EUR"),
        of("Deep", "mailbox: credit 2026-03-01..2026-04-01 x-1, -4.00 EUR"),
        // 16 of 31 days are left of January.
        of("Deep", "storage: credit 2026-01-01..2026-02-01 x-15, -1.50 EUR"),
        of("Deep", "storage: credit 2026-02-01..2026-03-01 x-31, -3.10 EUR"),
    ];
    assert_eq!(sold(&world, &world.reseller).await[3], sorted(given_back));
    let (first, second) = ("2026-01-17..2026-02-17", "2026-02-17..2026-03-17");
    let expected = [
        vec![seat("Deep", first)],
        vec![seat("Deep", second), usage("Deep", first)],
        vec![seat("Deep", "2026-03-17..2026-04-17"), usage("Deep", second)],
    ];
    assert_eq!(sold(&world, &below).await, expected);
}

#[tokio::test]
async fn a_line_of_another_item_that_somebody_changed_is_found() {
    let (world, _) = two_months(&["2026-03-01"]).await;
    let owner = crate::verify::owner(&world).await;
    for table in ["invoice_lines", "boundary_tenants", "coverage"] {
        let statement = format!("alter table wholesale_{table} no force row level security");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&owner).await.unwrap();
    }
    let found = async |change: &'static str, undo: &'static str| {
        sqlx::raw_sql(change).execute(&owner).await.unwrap();
        let mut found = Vec::new();
        verify(&world.operator, None, |finding| found.push(finding.difference.clone())).await.unwrap();
        sqlx::raw_sql(undo).execute(&owner).await.unwrap();
        verified(&world).await;
        found
    };
    let is_line = |difference: &Difference| matches!(difference, Difference::Line { .. });
    let lines = found(
        "update wholesale_invoice_lines set quantity = quantity + 1 where item = 'storage'",
        "update wholesale_invoice_lines set quantity = quantity - 1 where item = 'storage'",
    );
    assert_eq!(lines.await.iter().filter(|found| is_line(found)).count(), 5);
    let logs = found(
        "update storage_samples set used_bytes = used_bytes + 1073741824 where used_bytes > 0",
        "update storage_samples set used_bytes = used_bytes - 1073741824 where used_bytes > 0",
    );
    assert!(logs.await.iter().any(is_line));
    let logs = found(
        "update mailbox_changes set at = at + interval '2 days' where kind = 'archive'",
        "update mailbox_changes set at = at - interval '2 days' where kind = 'archive'",
    );
    assert!(logs.await.iter().any(is_line));
    let is_cut = |difference: &Difference| matches!(difference, Difference::LogCut { .. });
    for (change, undo) in [
        (
            "update wholesale_boundary_tenants set mailbox_changes_known = mailbox_changes_known + 1",
            "update wholesale_boundary_tenants set mailbox_changes_known = mailbox_changes_known - 1",
        ),
        (
            "update wholesale_boundary_tenants set storage_sample_known = - storage_sample_known",
            "update wholesale_boundary_tenants set storage_sample_known = - storage_sample_known",
        ),
    ] {
        assert!(found(change, undo).await.iter().any(is_cut), "{change}");
    }
    let cycles = found(
        "update wholesale_coverage set time_zone = 'Europe/Berlin' where item = 'archive' and kind = 'cycle'",
        "update wholesale_coverage set time_zone = 'UTC' where item = 'archive' and kind = 'cycle'",
    );
    assert!(cycles.await.iter().any(|found| matches!(found, Difference::Cycle { .. })));
}

#[tokio::test]
async fn the_operator_s_book_sells_all_items_and_no_setups() {
    let world = world_on("2026-01-01").await;
    let all = vec![shared(), of("archive", "1"), storage(0)];
    assert_eq!(selling(&world, all.clone()).await.prices.len(), 4);
    let seats = price("month", "4", CreditToBalance);
    let setup = NewPrice { setup_price: Some("1".into()), ..seats.clone() };
    for (prices, pointer) in [
        (vec![setup, shared()], "/prices/0/setup_price"),
        (vec![seats.clone(), NewPrice { interval: "year".into(), ..shared() }], "/prices/1/interval"),
        (all, "/prices/0/interval"),
        (vec![seats.clone(), NewPrice { included_bytes: None, ..storage(0) }], "/prices/1/included_bytes"),
    ] {
        let refused = publish(&world.operator, None, prices).await.unwrap_err();
        assert_eq!(refused.field_errors()[0].pointer, pointer);
    }
}
