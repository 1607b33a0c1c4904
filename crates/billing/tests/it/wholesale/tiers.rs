//! Tiers are those of all tenants' seats together.

use billing::price_book::NewTier;

use super::*;

fn tiered(model: &str, tiers: [(Option<u32>, &str); 2]) -> NewPrice {
    let tier = |(up_to, unit_price): (_, &str)| NewTier { up_to, unit_price: unit_price.into() };
    NewPrice {
        model: model.into(),
        unit_price: None,
        tiers: tiers.map(tier).into(),
        ..price("month", "0", CreditToBalance)
    }
}

/// Dearer up to two seats.
pub(super) fn graduated() -> NewPrice {
    tiered("graduated", [(Some(2), "4.44"), (None, "3.33")])
}

pub(super) async fn tiered_book(world: &World, model: &str, tiers: [(Option<u32>, &str); 2]) -> PriceBook {
    publish(&world.operator, None, vec![tiered(model, tiers)]).await.unwrap()
}

/// The sums of the documents' files.
pub(super) async fn reconciled(world: &World, reseller: &Reseller) -> Vec<i64> {
    let own = admin_of(world, reseller).await.enter_reseller(reseller.id).await.unwrap();
    let mut sums = Vec::new();
    for document in documents(world, reseller).await {
        let file = reconciliation::file(&own, document.id, Format::JsonLines).await.unwrap();
        let rows = String::from_utf8(file).unwrap();
        let amount = |row: &str| {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            assert_eq!(
                row["quantity"].as_i64().unwrap() * row["days"].as_i64().unwrap(),
                row["seat_days"].as_i64().unwrap()
            );
            row["amount_minor"].as_i64().unwrap()
        };
        let sum = rows.lines().map(amount).sum();
        assert_eq!(document.net.amount_minor, sum);
        sums.push(sum);
    }
    sums
}

#[tokio::test]
async fn a_tenant_that_moves_to_another_reseller_takes_the_tier_with_it() {
    let world = world_on("2026-01-01").await;
    let south = world::reseller(&world.operator, "South").await;
    let tiers = tiered_book(&world, "graduated", [(Some(5), "4"), (None, "3")]).await;
    let flat = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &world.reseller, agreed(&tiers, 0)).await;
    agree(&world, &south, agreed(&flat, 0)).await;
    tenant_of(&world, &world.reseller, "One", 4).await;
    let two = tenant_of(&world, &world.reseller, "Two", 3).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-16T12:00");
    billing::transfer::transfer(&two, None, south.id).await.unwrap();
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    assert_eq!(run(&world, "2026-02-01").await, RunSummary::default());
    let north = all_lines(&world, &world.reseller).await;
    // Seven: five at 4 and two at 3, 26.00, of which One has four sevenths.
    let first = [
        "One recurring 2026-01-01..2026-02-01 x4, 14.86 EUR",
        "Two recurring 2026-01-01..2026-02-01 x3, 11.14 EUR",
    ];
    assert_eq!(north[0].1, sorted(first));
    // Without Two all of One's are in the dear tier: 16.00 a month from the 17th on.
    let second = [
        "One proration 2026-01-17..2026-02-01 x0, 0.55 EUR",
        "One recurring 2026-02-01..2026-03-01 x4, 16.00 EUR",
        "Two credit 2026-01-17..2026-02-01 x-3, -5.39 EUR",
    ];
    assert_eq!(north[1].1, sorted(second));
    let found = documents(&world, &world.reseller).await;
    let repriced = found[1].lines.iter().find(|line| line.quantity == 0).unwrap();
    assert_eq!(repriced.description, "mailboxes, at the price of the new total, 2026-01-17 to 2026-01-31");
    assert_eq!((repriced.unit_price, repriced.seat_days), (None, 0));
    assert_eq!(reconciled(&world, &world.reseller).await, [2600, 1116]);
    assert_eq!(reconciled(&world, &south).await, [581 + 1200]);
    verified(&world).await;
    let own = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    let margins = margin::list(&own, during("2026-01-01", "2026-02-02")).await.unwrap();
    let of = |name: &str| {
        let margin = margins.iter().find(|margin| margin.tenant_name.as_deref() == Some(name)).unwrap();
        margin.wholesale.amount_minor
    };
    assert_eq!((of("One"), of("Two")), (1486 + 55 + 1600, 1114 - 539));
}

#[tokio::test]
async fn what_was_committed_to_is_in_the_tier_too() {
    let world = world_on("2026-01-01").await;
    let book = tiered_book(&world, "volume", [(Some(9), "3.10"), (None, "2.17")]).await;
    agree(&world, &world.reseller, agreed(&book, 10)).await;
    let one = tenant_of(&world, &world.reseller, "One", 4).await;
    tenant_of(&world, &world.reseller, "Two", 3).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-11T12:00");
    for n in 0..2 {
        seat(&one, &format!("more{n}")).await;
    }
    // From the next cycle on, nine of all: each is dearer.
    agree(&world, &world.reseller, agreed(&book, 0)).await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let found = all_lines(&world, &world.reseller).await;
    let first = [
        "One recurring 2026-01-01..2026-02-01 x4, 8.68 EUR",
        "Two recurring 2026-01-01..2026-02-01 x3, 6.51 EUR",
        "nobody recurring 2026-01-01..2026-02-01 x3, 6.51 EUR",
    ];
    assert_eq!(found[0].1, sorted(first));
    let second = [
        "One proration 2026-01-11..2026-02-01 x2, 2.94 EUR",
        "One recurring 2026-02-01..2026-03-01 x6, 18.60 EUR",
        "Two recurring 2026-02-01..2026-03-01 x3, 9.30 EUR",
        "nobody credit 2026-01-11..2026-02-01 x-2, -2.94 EUR",
    ];
    assert_eq!(found[1].1, sorted(second));
    assert_eq!(reconciled(&world, &world.reseller).await, [2170, 2790]);
    verified(&world).await;
}
