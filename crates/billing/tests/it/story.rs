//! The story of the project's first page, to the cent.

use billing::invoice::DocumentKind;
use billing::rating::RemovalPolicy;
use tenancy::user;
use testkit::{World, world};

use super::{all_shown, at, book, date, invoices, run, seat, subscribe, world_on};

/// Five on the first, a sixth on the tenth, one removed on the twentieth.
async fn january(world: &World, interval: &str, policy: RemovalPolicy) {
    let book = book(world, policy).await;
    subscribe(&world.ctx, &book, interval).await;
    for name in ["ada", "ben", "cy", "dee", "eve"] {
        seat(&world.ctx, name).await;
    }
    at(world, "2026-01-10T10:00");
    let sixth = seat(&world.ctx, "fay").await;
    at(world, "2026-01-20T16:00");
    user::delete(&world.ctx, sixth.id, None).await.unwrap();
    at(world, "2026-02-01T08:00");
}

#[tokio::test]
async fn a_monthly_tenant_is_billed_to_the_cent() {
    let world = world_on("2026-01-01").await;
    january(&world, "month", RemovalPolicy::CreditToBalance).await;
    let summary = run(&world, "2026-02-01").await;
    assert_eq!((summary.accounts_billed, summary.invoices, summary.credit_notes), (1, 2, 0));

    // The sixth from the 10th to the 20th: 12.50 × 11/31 = 4.4354…
    let expected = [
        "invoice 2026-01-01 62.50 EUR; recurring 2026-01-01..2026-02-01 x5 = 155 seat-days, 62.50 EUR",
        "invoice 2026-02-01 66.94 EUR; recurring 2026-02-01..2026-03-01 x5 = 140 seat-days, 62.50 EUR; \
         proration 2026-01-10..2026-01-21 x1 = 11 seat-days, 4.44 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);
    assert_eq!(run(&world, "2026-02-01").await, Default::default(), "a second run finds nothing due");
    assert_eq!(all_shown(&world.ctx).await, expected);

    let documents = invoices(&world.ctx).await;
    let first = &documents[0];
    assert_eq!(
        (first.number.as_deref(), documents[1].number.as_deref()),
        (Some("INV-000001"), Some("INV-000002"))
    );
    assert_eq!((first.kind, first.status.as_str()), (DocumentKind::Invoice, "final"));
    assert_eq!((first.issuer.name.as_str(), first.customer.name.as_str()), ("Hosting", "Acme"));
    assert_eq!((first.issued_on, first.due_on), (date("2026-01-01"), date("2026-01-15")));
    assert_eq!((first.net, first.tax.amount_minor), (first.total, 0));
    assert_eq!(first.lines[0].unit_price.unwrap().to_string(), "12.50000000");
    assert_eq!(first.lines[0].description, "mailboxes, per month, 2026-01-01 to 2026-01-31");
    assert_eq!(documents[1].lines[1].description, "mailboxes added, 2026-01-10 to 2026-01-20");
}

#[tokio::test]
async fn an_annual_tenant_pays_for_changes_at_the_next_month() {
    let world = world_on("2026-01-01").await;
    january(&world, "year", RemovalPolicy::CreditToBalance).await;
    run(&world, "2026-02-01").await;
    // 120 × 11/365 = 3.6164…
    let mut expected = vec![
        "invoice 2026-01-01 600.00 EUR; recurring 2026-01-01..2027-01-01 x5 = 1825 seat-days, 600.00 EUR",
        "invoice 2026-02-01 3.62 EUR; proration 2026-01-10..2026-01-21 x1 = 11 seat-days, 3.62 EUR",
    ];
    assert_eq!(all_shown(&world.ctx).await, expected);

    // One more is removed on 10 February. 264 days + 60 are left of 365 from the 11th on: the year's 1825 seat-days
    // and 11 shrink by 324 to 1512, which cost 497.0958…; 603.62 were billed.
    at(&world, "2026-02-10T12:00");
    let users = user::list(&world.ctx, &Default::default(), kernel::PageRequest::new(None, None))
        .await
        .unwrap()
        .items;
    user::delete(&world.ctx, users[0].id, None).await.unwrap();
    at(&world, "2026-03-01T00:00");
    run(&world, "2026-03-01").await;
    expected.push(
        "credit_note 2026-03-01 -106.52 EUR; credit 2026-02-11..2027-01-01 x-1 = -324 seat-days, -106.52 EUR",
    );
    assert_eq!(all_shown(&world.ctx).await, expected);
    let documents = invoices(&world.ctx).await;
    assert_eq!(documents[2].number.as_deref(), Some("CRN-000001"));
    // Not the newest, which billed days of January: the one that billed the rest of the year.
    assert_eq!(documents[2].corrects, [documents[0].id]);

    at(&world, "2027-01-01T00:00");
    run(&world, "2027-01-01").await;
    let renewed =
        "invoice 2027-01-01 480.00 EUR; recurring 2027-01-01..2028-01-01 x4 = 1460 seat-days, 480.00 EUR";
    expected.push(renewed);
    assert_eq!(all_shown(&world.ctx).await, expected);
}

#[tokio::test]
async fn by_default_a_removed_seat_stays_until_the_cycle_ends() {
    let world = world_on("2026-01-01").await;
    january(&world, "month", RemovalPolicy::default()).await;
    run(&world, "2026-02-01").await;
    // The sixth from the 10th to the end of the month: 12.50 × 22/31 = 8.8709…
    let second = "invoice 2026-02-01 71.37 EUR; recurring 2026-02-01..2026-03-01 x5 = 140 seat-days, 62.50 EUR; \
                  proration 2026-01-10..2026-02-01 x1 = 22 seat-days, 8.87 EUR";
    assert_eq!(all_shown(&world.ctx).await[1], second);
}

#[tokio::test]
async fn daily_runs_make_the_documents_of_one_late_run() {
    let (daily, late) = (world_on("2026-01-31").await, world_on("2026-01-31").await);
    for world in [&daily, &late] {
        let book = book(world, RemovalPolicy::CreditToBalance).await;
        subscribe(&world.ctx, &book, "month").await;
        seat(&world.ctx, "ada").await;
    }
    let mut day = date("2026-01-31");
    for n in 0_u32..90 {
        for world in [&daily, &late] {
            at(world, &format!("{day}T11:00"));
            let users = user::list(&world.ctx, &Default::default(), kernel::PageRequest::new(None, None))
                .await
                .unwrap()
                .items;
            match n % 7 {
                1 | 2 => drop(seat(&world.ctx, &format!("user{n}")).await),
                5 => user::delete(&world.ctx, users[0].id, None).await.unwrap(),
                _ => {}
            }
            at(world, &format!("{day}T23:00"));
        }
        run(&daily, &day.to_string()).await;
        day = day.succ_opt().unwrap();
    }
    run(&late, "2026-04-30").await;
    let documents = all_shown(&daily.ctx).await;
    assert_eq!(documents.len(), 4, "{documents:#?}");
    assert!(documents[1].starts_with("invoice 2026-02-28") && documents[2].starts_with("invoice 2026-03-31"));
    assert_eq!(documents, all_shown(&late.ctx).await);
}

#[tokio::test]
async fn a_test_clock_is_the_tenant_s_own_time() {
    let world = world_on("2026-01-01").await;
    let new = tenancy::tenant::NewTenant {
        country: "US".into(),
        time_zone: "America/Los_Angeles".into(),
        test_clock: true,
        ..world::new_tenant(&world.reseller, "Sandbox")
    };
    let tenant = tenancy::tenant::create(&world.operator, new).await.unwrap();
    let ctx = super::ctx_of(&world, tenant.id).await;
    world::domain(&ctx, "sandbox.example").await;
    let book = book(&world, RemovalPolicy::default()).await;
    // 09:00 in London is one in the morning in Los Angeles.
    assert_eq!(subscribe(&ctx, &book, "month").await.terms.anchor_date, date("2026-01-01"));
    seat(&ctx, "ada").await;

    let future =
        billing::run::run(&world.test_db.db(), date("2026-02-01"), Some(tenant.id)).await.unwrap_err();
    assert_eq!(future.field_errors()[0].pointer, "/as_of");
    let summary = run(&world, "2026-02-01").await;
    assert_eq!(
        (summary.invoices, summary.accounts_not_yet),
        (1, 1),
        "January is billed, February has not come"
    );

    // Already February in London, not yet in Los Angeles.
    tenancy::tenant::set_test_clock(&ctx, "2026-02-01T07:59:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(run(&world, "2026-02-01").await.accounts_not_yet, 1);
    tenancy::tenant::set_test_clock(&ctx, "2026-02-01T08:00:00Z".parse().unwrap()).await.unwrap();
    at(&world, "2026-01-01T10:00");
    let summary = billing::run::run(&world.test_db.db(), date("2026-02-01"), Some(tenant.id)).await.unwrap();
    assert_eq!((summary.invoices, summary.accounts_not_yet), (1, 0));
    assert_eq!(
        all_shown(&ctx).await[1],
        "invoice 2026-02-01 12.50 EUR; recurring 2026-02-01..2026-03-01 x1 = 28 seat-days, 12.50 EUR"
    );
}
