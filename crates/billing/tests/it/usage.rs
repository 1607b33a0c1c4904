//! Usage by tenant and day: what billing counts, and bytes by samples.

use billing::export::{self, Kind, Level, Window};
use billing::rating::RemovalPolicy::CreditToBalance;
use billing::subscription::PutSubscription;
use billing::table::Format;
use billing::usage;
use kernel::ErrorKind;
use sqlx::Connection as _;
use tenancy::{Ctx, storage_sample, user};
use testkit::World;

use super::wholesale::below;
use super::{all_shown, at, book, date, put, run, seat, subscribed_tenant, terms, world_on};

fn window(from: &str, until: &str) -> Window {
    Window::of_usage(date(from), date(until)).unwrap()
}

/// `used/committed` seats and bytes, by day.
async fn shown(ctx: &Ctx, from: &str, until: &str) -> Vec<String> {
    let days = usage::of_tenant(ctx, window(from, until)).await.unwrap();
    let bytes = |bytes: Option<i64>| bytes.map_or("unknown".into(), |bytes| bytes.to_string());
    days.iter()
        .map(|of| format!("{} {}/{} {}", of.day, of.seats_used, of.seats_committed, bytes(of.used_bytes)))
        .collect()
}

/// As mail of so many bytes would leave one of the tenant's mailboxes, which has no limit.
async fn stores(world: &World, ctx: &Ctx, used_bytes: i64) -> u64 {
    let mut connection = sqlx::PgConnection::connect(&world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let one = "update mailboxes set used_bytes = $2 where id = (select min(id::text)::uuid from mailboxes where tenant_id = $1)";
    sqlx::query(one).bind(ctx.tenant_id().uuid()).bind(used_bytes).execute(&mut connection).await.unwrap();
    storage_sample::record(&world.test_db.db()).await.unwrap()
}

#[tokio::test]
async fn a_day_counts_its_largest_level_in_the_tenant_s_calendar() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, CreditToBalance).await;
    let ctx = subscribed_tenant(&world, &book, "Bakery", 2).await;
    // From then on a commitment counts from when it is made.
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-03T09:00");
    // The world's tenant is sampled once, too.
    assert_eq!(stores(&world, &ctx, 500).await, 2);
    at(&world, "2026-01-03T10:00");
    assert_eq!(stores(&world, &ctx, 900).await, 1);
    at(&world, "2026-01-03T11:00");
    assert_eq!(stores(&world, &ctx, 900).await, 0);
    assert_eq!(stores(&world, &ctx, 100).await, 1);
    // A clock that stands still.
    assert_eq!(stores(&world, &ctx, 300).await, 1);
    // Another server's, that goes slow.
    at(&world, "2026-01-03T10:59");
    assert_eq!(stores(&world, &ctx, 700).await, 0);
    at(&world, "2026-01-04T10:00");
    let guest = seat(&ctx, "guest").await;
    at(&world, "2026-01-04T11:00");
    user::delete(&ctx, guest.id, None).await.unwrap();
    put(&ctx, PutSubscription { seats_committed: Some(5), ..terms(&book, "month") }, None).await.unwrap();
    at(&world, "2026-01-05T10:00");
    let expected =
        ["2026-01-02 2/0 unknown", "2026-01-03 2/0 900", "2026-01-04 3/5 300", "2026-01-05 2/5 300"];
    assert_eq!(shown(&ctx, "2026-01-02", "2026-02-01").await, expected);
    assert_eq!(shown(&ctx, "2026-01-03", "2026-01-04").await, expected[1..2]);
    assert_eq!(shown(&ctx, "2026-01-06", "2026-02-01").await, [""; 0]);
    let file = usage::file(&ctx, window("2026-01-02", "2026-02-01"), Format::Csv).await.unwrap();
    let file = String::from_utf8(file).unwrap();
    assert!(
        file.starts_with(
            "day,seats_used,seats_committed,used_bytes\r\n2026-01-02,2,0,\r\n2026-01-03,2,0,900\r\n"
        ),
        "{file}"
    );
}

#[tokio::test]
async fn the_seat_days_of_usage_are_those_that_are_billed() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, CreditToBalance).await;
    let ctx = subscribed_tenant(&world, &book, "Bakery", 2).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-10T10:00");
    let late = seat(&ctx, "late").await;
    at(&world, "2026-01-25T10:00");
    user::delete(&ctx, late.id, None).await.unwrap();
    at(&world, "2026-02-01T10:00");
    run(&world, "2026-02-01").await;
    let days = usage::of_tenant(&ctx, window("2026-01-01", "2026-02-01")).await.unwrap();
    let used: i64 = days.iter().map(|of| of.seats_used.max(of.seats_committed)).sum();
    // 2 all month, a third from the 10th to the 25th.
    assert_eq!((days.len(), used), (31, 2 * 31 + 16));
    let billed = super::invoices(&ctx).await;
    let january = |line: &&billing::invoice::InvoiceLine| line.period.start() < date("2026-02-01");
    let seat_days: i64 =
        billed.iter().flat_map(|one| &one.lines).filter(january).map(|line| line.seat_days).sum();
    assert_eq!(seat_days, used, "{:?}", all_shown(&ctx).await);
}

#[tokio::test]
async fn a_reseller_gets_all_its_tenants_by_day() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, CreditToBalance).await;
    // More than a page of them, and one below.
    for n in 0..11 {
        subscribed_tenant(&world, &book, &format!("Tenant {n}"), n % 3).await;
    }
    let below = below(&world).await;
    let deep = testkit::world::tenant(&world.operator, &below, "=Deep").await;
    at(&world, "2026-01-03T09:00");
    storage_sample::record(&world.test_db.db()).await.unwrap();
    let lines = async |reseller| {
        let ctx = world.operator.enter_reseller(reseller).await.unwrap();
        let days = Window::new(date("2026-01-01"), date("2027-01-01")).unwrap();
        let mut file = export::open(&ctx, Kind::Usage, Level::Retail, days, Format::JsonLines).await.unwrap();
        let mut lines = Vec::new();
        while let Some(piece) = file.next().await.unwrap() {
            lines.extend(piece);
        }
        let lines = String::from_utf8(lines).unwrap();
        let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        lines.split_terminator('\n').map(row).collect::<Vec<_>>()
    };
    let rows = lines(world.reseller.id).await;
    // With the world's own tenant 13, on three days each.
    assert_eq!(rows.len(), 13 * 3);
    let place = |row: &serde_json::Value| (row["tenant_id"].to_string(), row["day"].to_string());
    assert!(rows.is_sorted_by(|a, b| place(a) < place(b)));
    let seats: i64 = rows.iter().map(|row| row["seats_used"].as_i64().unwrap()).sum();
    assert_eq!(seats, 3 * (0..11).map(|n| n % 3).sum::<i64>());
    for row in &rows {
        let is_sampled = row["day"] == "2026-01-03";
        assert_eq!(
            row["used_bytes"],
            if is_sampled { serde_json::json!(0) } else { serde_json::Value::Null }
        );
    }
    let expected: Vec<_> =
        rows.iter().filter(|row| row["tenant_id"] == deep.id.to_string()).cloned().collect();
    assert_eq!((lines(below.id).await, expected.len()), (expected.clone(), 3));
    assert_eq!(
        (&expected[0]["tenant_name"], &expected[0]["reseller_id"]),
        (&"=Deep".into(), &below.id.to_string().into())
    );
    // Of one that is gone, the days up to its deletion.
    let gone = super::ctx_of(&world, world.tenant.id).await;
    tenancy::tenant::delete(&gone, None).await.unwrap();
    at(&world, "2026-01-06T09:00");
    let days: Vec<_> = lines(world.reseller.id)
        .await
        .into_iter()
        .filter(|row| row["tenant_id"] == world.tenant.id.to_string())
        .map(|row| row["day"].clone())
        .collect();
    assert_eq!(days, ["2026-01-01", "2026-01-02", "2026-01-03"]);
    let stranger = super::admin_of(&world, &testkit::world::reseller(&world.operator, "South").await).await;
    assert_eq!(stranger.enter_reseller(world.reseller.id).await.unwrap_err().kind(), ErrorKind::NotFound);
}
