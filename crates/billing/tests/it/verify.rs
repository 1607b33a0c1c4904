//! Verifying: nothing is found in what a run left, whatever happened around it; and what is changed by hand is named.

use billing::price_book::publish;
use billing::rating::RemovalPolicy;
use billing::subscription::{PutSubscription, put};
use billing::verify::{Difference, Fault, Finding, GapKind, Sum, Verified, verify};
use kernel::{ErrorKind, PageRequest, TenantId};
use sqlx::PgPool;
use tenancy::{Ctx, tenant, user};
use testkit::{World, world};

use super::{
    admin_of, at, book, ctx_of, date, invoices, price, run, seat, subscribe, subscribed_tenant, terms,
    with_one_seat, world_on,
};

async fn verified(world: &World, tenant_id: Option<TenantId>) -> (Verified, Vec<Finding>) {
    let mut found = Vec::new();
    let verified = verify(&world.operator, tenant_id, |finding| found.push(finding.clone())).await.unwrap();
    assert_eq!(verified.differences, found.len() as u64);
    (verified, found)
}

/// Asserts that there is nothing to find, in so many documents.
pub(crate) async fn assert_clean(world: &World, documents: u64) {
    let (verified, found) = verified(world, None).await;
    assert_eq!(found, []);
    assert_eq!((verified.documents, verified.unrecorded), (documents, 0));
}

/// Asserts that there is nothing to find in what one tenant has.
pub(crate) async fn assert_tenant_clean(world: &World, tenant_id: TenantId) {
    assert_eq!(verified(world, Some(tenant_id)).await.1, []);
}

/// What is found, in words, without the tenant before it.
pub(crate) async fn found(world: &World) -> Vec<Difference> {
    verified(world, None).await.1.into_iter().map(|finding| finding.difference).collect()
}

pub(crate) async fn remove_first(ctx: &Ctx) {
    let users = user::list(ctx, &Default::default(), PageRequest::new(None, None)).await.unwrap().items;
    user::delete(ctx, users[0].id, None).await.unwrap();
}

async fn commit_to(world: &World, book: &billing::price_book::PriceBook, seats: i64) {
    let new = PutSubscription { seats_committed: Some(seats), ..terms(book, "month") };
    put(&world.ctx, new, None).await.unwrap();
}

#[tokio::test]
async fn nothing_is_found_after_any_boundary_of_a_lively_account() {
    for policy in [RemovalPolicy::CreditToBalance, RemovalPolicy::AtCycleEnd] {
        let world = world_on("2026-01-31").await;
        assert_clean(&world, 0).await;
        let book = book(&world, policy).await;
        // Everything may change until something is billed.
        subscribe(&world.ctx, &book, "year").await;
        commit_to(&world, &book, 5).await;
        commit_to(&world, &book, 1).await;
        let mut documents = 0;
        for (boundary, n) in [("2026-01-31", 0), ("2026-02-28", 1), ("2026-03-31", 2), ("2026-04-30", 3)] {
            seat(&world.ctx, &format!("early{n}")).await;
            at(&world, &format!("{boundary}T10:00"));
            run(&world, boundary).await;
            documents += 1;
            assert_clean(&world, documents).await;
            // On the boundary's own day, after it was billed: for the next document.
            at(&world, &format!("{boundary}T11:00"));
            seat(&world.ctx, &format!("late{n}")).await;
            commit_to(&world, &book, 2 + n).await;
            assert_clean(&world, documents).await;
            at(&world, &format!("{boundary}T12:00"));
            remove_first(&world.ctx).await;
            commit_to(&world, &book, 1).await;
            assert_clean(&world, documents).await;
        }
        // Boundaries that were missed are billed at once, by what is known then.
        at(&world, "2026-08-10T09:00");
        run(&world, "2026-08-10").await;
        let documents = invoices(&world.ctx).await.len() as u64;
        assert_clean(&world, documents).await;
    }
}

#[tokio::test]
async fn terms_that_are_agreed_later_leave_what_was_billed_as_it_was() {
    let world = world_on("2026-01-01").await;
    let first = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &first, "month").await;
    seat(&world.ctx, "ada").await;
    run(&world, "2026-01-01").await;
    // At once, since it costs no less; of the two that cost the same, the later has a price of its own.
    for (day, documents) in [("2026-01-15", 2), ("2026-02-15", 3)] {
        at(&world, &format!("{day}T09:00"));
        let dearer = vec![price("month", "20", RemovalPolicy::CreditToBalance)];
        let dearer = publish(&world.operator, Some(world.reseller.id), dearer).await.unwrap();
        subscribe(&world.ctx, &dearer, "month").await;
        assert_clean(&world, documents - 1).await;
        let boundary = day.parse::<chrono::NaiveDate>().unwrap() + chrono::Days::new(17);
        at(&world, &format!("{boundary}T09:00"));
        run(&world, &boundary.to_string()).await;
        assert_clean(&world, documents).await;
    }
    // Less, from the end of the term on.
    subscribe(&world.ctx, &first, "month").await;
    assert_clean(&world, 3).await;
    at(&world, "2026-05-01T09:00");
    run(&world, "2026-05-01").await;
    assert_clean(&world, 5).await;
}

#[tokio::test]
async fn a_cycle_stays_in_the_calendar_it_was_opened_in() {
    let (world, _) = with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await;
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-20T23:30");
    seat(&world.ctx, "ben").await;
    super::run::behind_and_commit(&world, "update tenants set time_zone = 'Pacific/Auckland'").await;
    at(&world, "2026-03-02T09:00");
    run(&world, "2026-03-02").await;
    assert_clean(&world, 3).await;
}

#[tokio::test]
async fn a_tenant_that_is_moved_or_deleted_keeps_what_it_was_billed() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::default()).await;
    let moved = subscribed_tenant(&world, &book, "Moved", 2).await;
    let deleted = subscribed_tenant(&world, &book, "Deleted", 1).await;
    run(&world, "2026-01-01").await;
    let other = world::reseller(&world.operator, "Other").await;
    billing::transfer::transfer(&moved, None, other.id).await.unwrap();
    tenant::delete(&deleted, None).await.unwrap();
    assert_clean(&world, 2).await;
    let (one, findings) = verified(&world, Some(deleted.tenant_id())).await;
    assert_eq!((one.tenants, one.documents, one.transfers, findings.len()), (1, 1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_found_while_accounts_are_billed_and_changed() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    let mut tenants = Vec::new();
    for n in 0..4 {
        tenants.push(subscribed_tenant(&world, &book, &format!("Tenant {n}"), 1).await);
    }
    at(&world, "2026-12-01T12:00");
    let db = world.test_db.db();
    let billing = tokio::spawn(async move {
        for month in 1..=12 {
            billing::run::run(&db, date(&format!("2026-{month:02}-01")), None).await.unwrap();
        }
    });
    let changing = tokio::spawn({
        let tenants = tenants.clone();
        async move {
            for n in 0..12 {
                seat(&tenants[n % tenants.len()], &format!("more{n}")).await;
            }
        }
    });
    let mut rounds = 0;
    while !(billing.is_finished() && changing.is_finished()) || rounds == 0 {
        assert_eq!(found(&world).await, []);
        rounds += 1;
    }
    billing.await.unwrap();
    changing.await.unwrap();
    assert_eq!(found(&world).await, []);
    assert_eq!(invoices(&tenants[0]).await.len(), 12);
}

#[tokio::test]
async fn two_issuers_are_verified_apart_and_only_by_who_sees_them() {
    let world = world_on("2026-01-01").await;
    let own = book(&world, RemovalPolicy::default()).await;
    subscribe(&world.ctx, &own, "month").await;
    seat(&world.ctx, "ada").await;
    let other = world::reseller(&world.operator, "Other").await;
    let prices = vec![price("month", "7", RemovalPolicy::default())];
    let others = publish(&world.operator, Some(other.id), prices).await.unwrap();
    let tenant = world::tenant(&world.operator, &other, "Elsewhere").await;
    let elsewhere = ctx_of(&world, tenant.id).await;
    world::domain(&elsewhere, "elsewhere.example").await;
    subscribe(&elsewhere, &others, "month").await;
    seat(&elsewhere, "ada").await;
    run(&world, "2026-01-01").await;
    assert_clean(&world, 2).await;

    let admin = admin_of(&world, &other).await;
    assert_eq!(verify(&admin, Some(tenant.id), |_| {}).await.unwrap().documents, 1);
    for (tenant_id, kind) in [(Some(world.tenant.id), ErrorKind::NotFound), (None, ErrorKind::Forbidden)] {
        assert_eq!(verify(&admin, tenant_id, |_| {}).await.unwrap_err().kind(), kind);
    }
}

/// A tenant with three invoices and a credit note, and the hand of the tables' owner.
async fn with_an_owner() -> (World, PgPool) {
    let world = with_four_documents().await;
    let owner = owner(&world).await;
    (world, owner)
}

async fn with_four_documents() -> World {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    for name in ["ada", "ben", "cy"] {
        seat(&world.ctx, name).await;
    }
    run(&world, "2026-01-01").await;
    at(&world, "2026-01-10T12:00");
    seat(&world.ctx, "dee").await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    at(&world, "2026-02-03T12:00");
    for _ in 0..4 {
        remove_first(&world.ctx).await;
    }
    at(&world, "2026-03-01T12:00");
    run(&world, "2026-03-01").await;
    at(&world, "2026-03-02T12:00");
    seat(&world.ctx, "eve").await;
    at(&world, "2026-04-01T12:00");
    run(&world, "2026-04-01").await;
    assert_clean(&world, 4).await;
    world
}

pub(crate) async fn owner(world: &World) -> PgPool {
    let owner = PgPool::connect(&world.test_db.url()).await.unwrap();
    for table in [
        "invoices",
        "invoice_lines",
        "invoice_taxes",
        "tax_rates",
        "transfers",
        "credit_note_references",
        "billed_boundaries",
        "seat_changes",
        "storage_samples",
        "mailbox_changes",
        "subscriptions",
        "subscription_terms",
        "number_series",
        "seat_commitments",
        "billing_coverage",
        "tenants",
        "payments",
        "refunds",
        "dispute_fees",
        "unbilled_documents",
        "one_off_items",
        "subscription_discounts",
        "disputes",
    ] {
        let statement = format!("alter table {table} no force row level security");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&owner).await.unwrap();
    }
    sqlx::raw_sql("alter table invoices disable trigger invoices_final").execute(&owner).await.unwrap();
    owner
}

/// What is found after the owner's hand has done something.
async fn after(tampering: &'static str) -> Vec<Difference> {
    let (world, owner) = with_an_owner().await;
    sqlx::raw_sql(tampering).execute(&owner).await.unwrap();
    found(&world).await
}

#[tokio::test]
async fn a_line_that_was_changed_is_named_with_both_amounts() {
    let (world, owner) = with_an_owner().await;
    let second = invoices(&world.ctx).await[1].clone();
    let tamper = "update invoice_lines set amount_minor = amount_minor + 1, rated_minor = rated_minor + 1 where kind = 'proration' and lower(period) = '2026-01-10'";
    sqlx::query(tamper).execute(&owner).await.unwrap();
    let (verified, found) = verified(&world, None).await;
    assert_eq!((verified.tenants, verified.documents, verified.transfers), (1, 4, 4));
    let (tenant, id, price) = (world.tenant.id, second.id, second.lines[1].price_id.unwrap());
    // Four from February on, and the fourth for 22 of January's 31 days: 12.50 × 22/31 = 8.8709…
    let expected = [
        format!("{tenant}: {id}: the net is 58.87 EUR, the lines make 58.88 EUR"),
        format!(
            "{tenant}: {id} line 2: stored proration 2026-01-10..2026-02-01 x1 = 22 seat-days at {price} (12.50000000), 8.88 EUR; \
             computed proration 2026-01-10..2026-02-01 x1 = 22 seat-days at {price} (12.50000000), 8.87 EUR"
        ),
    ];
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_document_that_was_changed_with_its_lines_and_its_transfer_is_still_found() {
    let tampering = "
        update invoice_lines set amount_minor = amount_minor + 100, rated_minor = rated_minor + 100 where lower(cycle) = '2026-01-01' and kind = 'recurring';
        update invoices set net_minor = net_minor + 100, total_minor = total_minor + 100 where issued_on = '2026-01-01';
        update transfers set amount_minor = amount_minor + 100 where effective_on = '2026-01-01'";
    assert!(matches!(after(tampering).await[..], [Difference::Line { position: 1, .. }]));
}

#[tokio::test]
async fn a_line_too_many_or_too_few_is_found() {
    let removed =
        after("delete from invoice_lines where kind = 'proration' and lower(period) = '2026-01-10'").await;
    assert!(
        matches!(
            removed[..],
            [
                Difference::Sum { sum: Sum::Net, .. },
                Difference::Line { position: 2, stored: None, computed: Some(_), .. }
            ]
        ),
        "{removed:?}"
    );
    let added = after(
        "insert into invoice_lines select tenant_id, invoice_id, 9, item, kind, description, period, cycle, quantity, seat_days,
           unit_price, 0, price_id, whole, 9, 0, tax_category, tax_rate from invoice_lines where lower(period) = '2026-01-01'",
    )
    .await;
    assert!(
        matches!(added[..], [Difference::Line { position: 2, stored: Some(_), computed: None, .. }]),
        "{added:?}"
    );
}

#[tokio::test]
async fn a_total_that_was_changed_is_found_in_the_ledger_too() {
    // The database itself refuses a total that is not net and tax.
    let changed = after(
        "alter table invoices drop constraint invoices_total;
         update invoices set total_minor = total_minor - 1 where issued_on = '2026-01-01'",
    )
    .await;
    assert!(
        matches!(changed[..], [Difference::Sum { sum: Sum::Total, .. }, Difference::Balance { .. }]),
        "{changed:?}"
    );
}

#[tokio::test]
async fn a_reference_that_was_changed_is_found() {
    let less = after("update credit_note_references set amount_minor = 1").await;
    assert!(matches!(less[..], [Difference::Sum { sum: Sum::Credits, .. }]), "{less:?}");
    let more = after("update credit_note_references set amount_minor = 100000").await;
    assert!(
        matches!(
            more[..],
            [Difference::Sum { sum: Sum::Credited, .. }, Difference::Sum { sum: Sum::Credits, .. }]
        ),
        "{more:?}"
    );
}

#[tokio::test]
async fn a_transfer_that_was_changed_is_found_and_so_is_its_balance() {
    for (tampering, fault) in [
        ("update transfers set amount_minor = 1 where effective_on = '2026-02-01'", Fault::Differs),
        ("delete from transfers where effective_on = '2026-02-01'", Fault::Missing),
        (
            "insert into transfers select tenant_id, gen_random_uuid(), code, issuer_id, debit_account, credit_account, currency,
               amount_minor, effective_on, posted_at from transfers where effective_on = '2026-02-01'",
            Fault::Unfounded,
        ),
    ] {
        let found = after(tampering).await;
        assert!(matches!(found[..], [
            Difference::Transfer { fault: is, .. },
            Difference::Balance { .. },
            Difference::Balance { .. }
        ] if is == fault), "{fault:?}: {found:?}");
    }
    // The day moves no balance.
    let found =
        after("update transfers set effective_on = effective_on + 1 where effective_on = '2026-02-01'").await;
    assert!(matches!(found[..], [Difference::Transfer { fault: Fault::Differs, .. }]), "{found:?}");
}

#[tokio::test]
async fn a_payment_or_refund_that_was_changed_is_found_and_so_are_its_balances() {
    use billing::verify::Posted;
    let paid = async |tampering: &'static str| {
        let (world, owner) = with_an_owner().await;
        let new = billing::payment::NewTransfer {
            amount: super::payment::euro(5000),
            reference: "INV-000001".into(),
            received_on: "2026-03-02".into(),
            invoice_id: None,
        };
        let payment = billing::payment::record(&world.ctx, new).await.unwrap();
        let back = kernel::Money::new(1000, "EUR".parse().unwrap());
        let none = super::payment::nobody();
        billing::payment::refund(&world.operator, &none, payment.id, Some(back), "x".into()).await.unwrap();
        assert_clean(&world, 4).await;
        let untied = "alter table payments disable trigger payments_final; alter table refunds disable trigger refunds_final";
        sqlx::raw_sql(untied).execute(&owner).await.unwrap();
        sqlx::raw_sql(tampering).execute(&owner).await.unwrap();
        found(&world).await
    };
    for (tampering, fault, is_payment) in [
        ("update payments set received_minor = 4999", Fault::Differs, true),
        ("update transfers set amount_minor = 1 where code = 'payment'", Fault::Differs, true),
        ("delete from transfers where code = 'payment'", Fault::Missing, true),
        ("delete from refunds", Fault::Unfounded, false),
        ("update refunds set amount_minor = 999", Fault::Differs, false),
        ("delete from transfers where code = 'refund'", Fault::Missing, false),
    ] {
        let found = paid(tampering).await;
        let [
            Difference::Transfer { posted, fault: is, .. },
            Difference::Balance { .. },
            Difference::Balance { .. },
        ] = &found[..]
        else {
            panic!("{tampering}: {found:?}")
        };
        assert_eq!((*is, matches!(posted, Posted::Payment(_))), (fault, is_payment), "{tampering}");
    }
    let found = paid("update payments set received_on = received_on - 1").await;
    assert!(matches!(found[..], [Difference::Transfer { fault: Fault::Differs, .. }]), "{found:?}");
    let found = paid("update payments set currency = 'USD'").await;
    assert!(found.iter().filter(|one| matches!(one, Difference::Balance { .. })).count() >= 4, "{found:?}");
    let found = paid("update refunds set amount_minor = 5001").await;
    let is_it = |one: &Difference| {
        matches!(one, Difference::Refunded { received, refunded, .. }
            if (received.amount_minor, refunded.amount_minor) == (5000, 5001))
    };
    assert!(found.iter().any(is_it), "{found:?}");
}

#[tokio::test]
async fn a_number_that_is_missing_or_beyond_its_counter_is_found() {
    for (tampering, after_number, what) in [
        (
            "update invoices set number = 7 where kind = 'invoice' and number = 2",
            1,
            GapKind::Missing { until: 2 },
        ),
        (
            "update number_series set last_number = 4 where series = 'invoice'",
            3,
            GapKind::Missing { until: 4 },
        ),
        (
            "update number_series set last_number = 2 where series = 'invoice'",
            3,
            GapKind::BeyondCounter { counter: 2 },
        ),
        (
            "drop index invoices_number_once; update invoices set number = 3 where number = 2",
            3,
            GapKind::Twice,
        ),
    ] {
        let found = after(tampering).await;
        let gaps: Vec<_> = found
            .iter()
            .map(|difference| match difference {
                Difference::Numbers(gap) => (gap.series.as_str(), gap.after, gap.what),
                other => panic!("{tampering}: {other:?}"),
            })
            .collect();
        assert!(gaps.contains(&("invoice", after_number, what)), "{tampering}: {gaps:?}");
    }
}

#[tokio::test]
async fn a_document_that_is_gone_or_made_up_is_found() {
    let gone = after(
        "delete from invoice_lines where invoice_id = (select id from invoices where issued_on = '2026-04-01');
         delete from invoice_taxes where invoice_id = (select id from invoices where issued_on = '2026-04-01');
         delete from transfers where effective_on = '2026-04-01'; delete from invoices where issued_on = '2026-04-01'",
    )
    .await;
    let [Difference::DocumentMissing { boundary, lines: 2 }, Difference::Numbers(_)] = gone[..] else {
        panic!("{gone:?}")
    };
    assert_eq!(boundary, date("2026-04-01"));
    let moved = after("update invoices set boundary = '2026-04-02' where boundary = '2026-04-01'").await;
    assert!(moved.iter().any(|found| matches!(found, Difference::DocumentUnfounded { .. })), "{moved:?}");
}

#[tokio::test]
async fn a_log_or_terms_that_were_changed_make_other_lines() {
    for tampering in [
        "update seat_changes set at = at - interval '1 day' where at > '2026-01-05' and at < '2026-01-11'",
        "insert into seat_commitments select tenant_id, 0, at, 50 from seat_commitments;
         update seat_commitments set at = at - interval '1 hour', seats_committed = 9",
        "update subscription_terms set anchor_date = '2026-01-02'",
        "update billed_boundaries set time_zone = 'Pacific/Auckland', seat_changes_known = 3",
    ] {
        let found = after(tampering).await;
        assert!(found.iter().any(|found| matches!(found, Difference::Line { .. })), "{tampering}: {found:?}");
    }
    let cut = after("delete from seat_changes where at > '2026-03-01'").await;
    assert_eq!(cut, [Difference::LogCut { boundary: date("2026-04-01") }]);
    let unratable = after("update seat_changes set delta = -1 where at < '2026-01-02'").await;
    assert!(matches!(unratable[..], [Difference::NotRatable { .. }]), "{unratable:?}");
    let skipped = after("update subscriptions set next_invoice_on = '2026-06-01'").await;
    assert!(matches!(skipped[..], [Difference::Boundary { .. }]), "{skipped:?}");
    let calendar =
        after("update billing_coverage set time_zone = 'Pacific/Auckland' where lower(days) = '2026-04-01'")
            .await;
    assert_eq!(calendar, [Difference::Cycle { starts_on: date("2026-04-01") }]);
    let other_cycle =
        "update invoice_lines set cycle = '[2026-03-01,2026-04-01)', whole = '[2026-03-01,2026-04-01)'
         where lower(period) = '2026-04-01'";
    let found = after(other_cycle).await;
    assert!(matches!(found[..], [Difference::Cycle { .. }, Difference::Cycle { .. }]), "{found:?}");
    let unreadable = after("update billed_boundaries set time_zone = 'Mars/Olympus'").await;
    assert_eq!(unreadable, [Difference::Unreadable("time zone")]);
}

#[tokio::test]
async fn what_was_not_recorded_is_taken_as_stored_and_what_follows_is_computed() {
    let (world, owner) = with_an_owner().await;
    sqlx::query("delete from billed_boundaries where boundary < '2026-03-01'").execute(&owner).await.unwrap();
    let (verified, findings) = verified(&world, None).await;
    assert_eq!(findings, []);
    assert_eq!((verified.documents, verified.unrecorded), (4, 2));
    sqlx::query("delete from billed_boundaries where boundary = '2026-03-01'").execute(&owner).await.unwrap();
    assert_eq!(found(&world).await, []);
    sqlx::query("delete from billed_boundaries").execute(&owner).await.unwrap();
    assert_eq!(super::verify::verified(&world, None).await.0.unrecorded, 4);
}
