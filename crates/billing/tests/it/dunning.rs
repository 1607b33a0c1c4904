//! Dunning: each step once on its day, whoever looks and however often, and lifted by paying.

use std::time::Duration;

use billing::dunning::{self, Dunned, DunningPolicy, Policy};
use billing::payment::{self, NewTransfer};
use billing::rating::RemovalPolicy;
use billing::subscription;
use kernel::{ErrorKind, PageRequest};
use serde_json::{Value, json};
use tenancy::api_key::{self, NewApiKey};
use tenancy::event::Kind;
use tenancy::policy::Capability::{self, Imap, Receive, Send};
use tenancy::{Ctx, Role, tenant};
use testkit::{World, world};

use super::payment::{euro, nobody, paid, states};
use super::payment_charge::told;
use super::{
    admin_of, at, book, ctx_of, date, invoices, run, seat, subscribe, subscribed_tenant, with_one_seat,
    world_on,
};

fn policy() -> Policy {
    Policy {
        remind_after_days: vec![1, 7, 14],
        suspend_after_days: Some(20),
        suspend_capabilities: vec![Send, Imap],
        cancel_after_days: Some(30),
    }
}

async fn put(world: &World, policy: &Policy) -> DunningPolicy {
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    dunning::put(&reseller, policy, None).await.unwrap()
}

/// One invoice of 25.00 of 1 January, due on 15 January, and a policy.
async fn in_debt() -> World {
    let world = world_on("2026-01-01").await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    subscribe(&world.ctx, &book, "month").await;
    for name in ["ada", "ben"] {
        seat(&world.ctx, name).await;
    }
    run(&world, "2026-01-01").await;
    put(&world, &policy()).await;
    world
}

async fn dun(world: &World) -> Dunned {
    dunning::run(&world.test_db.db()).await.unwrap()
}

async fn dun_on(world: &World, day: &str) -> Dunned {
    at(world, &format!("{day}T12:00"));
    dun(world).await
}

/// What is suspended, and what of it for nonpayment.
async fn suspended(ctx: &Ctx) -> (Vec<Capability>, Vec<Capability>) {
    let tenant = tenant::get(ctx).await.unwrap();
    (tenant.suspended_capabilities, tenant.unpaid_capabilities)
}

/// The steps that were noted, with the days on which they were taken.
async fn steps(ctx: &Ctx) -> Vec<String> {
    let mut tx = ctx.begin().await.unwrap();
    let all = "select concat_ws(' ', course, step, after_days, taken_on) from dunning_steps order by course, taken_at, step, after_days";
    sqlx::query_scalar(all).fetch_all(tx.conn()).await.unwrap()
}

#[tokio::test]
async fn each_step_is_taken_on_its_day_and_told() {
    let world = in_debt().await;
    for day in 1..=50 {
        let day = date("2026-01-01") + chrono::TimeDelta::days(day);
        assert_eq!(dun_on(&world, &day.to_string()).await.failed, 0);
        assert_eq!(dun(&world).await, Dunned::default());
    }
    let expected = [
        "1 remind 1 2026-01-16",
        "1 remind 7 2026-01-22",
        "1 remind 14 2026-01-29",
        "1 suspend 20 2026-02-04",
        "1 cancel 30 2026-02-14",
    ];
    assert_eq!(steps(&world.ctx).await, expected);
    assert_eq!(suspended(&world.ctx).await, (vec![Send, Imap], vec![Send, Imap]));
    let ends_on = subscription::get(&world.ctx).await.unwrap().ends_on();
    assert_eq!(ends_on, Some(date("2026-03-01")));
    let invoice = invoices(&world.ctx).await[0].clone();
    let of = |days: i64| json!({"invoice_id": invoice.id, "number": invoice.number, "due_on": "2026-01-15", "due": euro(2500), "days_overdue": days});
    assert_eq!(told(&world, Kind::InvoiceOverdue).await, [of(1)]);
    assert_eq!(told(&world, Kind::InvoiceReminder).await, [of(1), of(7), of(14)]);
    let expected =
        json!({"suspended_capabilities": ["send", "imap"], "reason": "nonpayment", "invoice_id": invoice.id});
    assert_eq!(told(&world, Kind::TenantSuspended).await, [expected]);
}

#[tokio::test]
async fn an_end_that_was_given_and_comes_sooner_stays() {
    let world = in_debt().await;
    at(&world, "2026-02-01T12:00");
    subscription::cancel(&world.ctx, Some("2026-02-20"), None).await.unwrap();
    dun_on(&world, "2026-02-14").await;
    assert!(steps(&world.ctx).await.contains(&"1 cancel 30 2026-02-14".to_owned()));
    assert_eq!(subscription::get(&world.ctx).await.unwrap().ends_on(), Some(date("2026-02-20")));
    // One that comes later does not.
    let world = in_debt().await;
    at(&world, "2026-02-01T12:00");
    subscription::cancel(&world.ctx, Some("2026-12-24"), None).await.unwrap();
    dun_on(&world, "2026-02-14").await;
    assert_eq!(subscription::get(&world.ctx).await.unwrap().ends_on(), Some(date("2026-03-01")));
}

#[tokio::test]
async fn a_payment_gives_back_at_once_what_was_taken_and_nothing_that_somebody_took() {
    let world = in_debt().await;
    tenant::suspend(&world.ctx, None, &[Imap, Receive]).await.unwrap();
    dun_on(&world, "2026-02-04").await;
    assert_eq!(suspended(&world.ctx).await, (vec![Send, Receive, Imap], vec![Send]));
    at(&world, "2026-02-04T13:00");
    // A part is not all.
    paid(&world.ctx, 2000, "INV-000001").await;
    assert_eq!(suspended(&world.ctx).await.1, [Send]);
    at(&world, "2026-02-04T14:00");
    paid(&world.ctx, 500, "INV-000001").await;
    assert_eq!(suspended(&world.ctx).await, (vec![Receive, Imap], vec![]));
    let expected = json!({"suspended_capabilities": ["receive", "imap"], "reason": "nonpayment"});
    assert_eq!(told(&world, Kind::TenantResumed).await, [expected]);
    assert_eq!(dun(&world).await, Dunned::default());
    super::payment::assert_clean(&world).await;
}

#[tokio::test]
async fn a_void_gives_back_at_once_what_was_taken() {
    let world = in_debt().await;
    dun_on(&world, "2026-02-04").await;
    assert_eq!(suspended(&world.ctx).await.1, [Send, Imap]);
    billing::invoice::void(&world.operator, invoices(&world.ctx).await[0].id, "x").await.unwrap();
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    assert_eq!(dun_on(&world, "2026-02-05").await, Dunned::default());
    super::payment::assert_clean(&world).await;
    // What is billed anew, and February, are due in their own time, and theirs is another course.
    run(&world, "2026-02-05").await;
    assert_eq!(dun_on(&world, "2026-02-19").await, Dunned::default());
    assert_eq!(dun_on(&world, "2026-02-20").await.steps, 1);
    assert_eq!(steps(&world.ctx).await.last().unwrap(), "2 remind 1 2026-02-20");
}

/// Nobody has billed for two months: what is due by its day is dunned only once there was time to pay it.
#[tokio::test]
async fn what_is_billed_late_is_dunned_as_late() {
    let world = in_debt().await;
    paid(&world.ctx, 2500, "INV-000001").await;
    at(&world, "2026-03-20T12:00");
    run(&world, "2026-03-20").await;
    let due_on: Vec<_> = invoices(&world.ctx).await.iter().map(|one| one.due_on.to_string()).collect();
    assert_eq!(due_on, ["2026-01-15", "2026-02-15", "2026-03-15"]);
    assert_eq!(dun(&world).await, Dunned::default());
    // Fourteen days after it was made.
    assert_eq!(dun_on(&world, "2026-04-03").await, Dunned::default());
    assert_eq!(dun_on(&world, "2026-04-04").await.steps, 1);
    assert_eq!(steps(&world.ctx).await, ["1 remind 1 2026-04-04"]);
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    dun_on(&world, "2026-04-22").await;
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    dun_on(&world, "2026-04-23").await;
    assert_eq!(suspended(&world.ctx).await.1, [Send, Imap]);
}

#[tokio::test]
async fn what_an_earlier_version_has_dunned_by_its_due_day_goes_on_so() {
    let world = in_debt().await;
    paid(&world.ctx, 2500, "INV-000001").await;
    at(&world, "2026-03-20T12:00");
    run(&world, "2026-03-20").await;
    let begun = "insert into dunning_courses (tenant_id, ordinal, invoice_id, begun_at)
                 select tenant_id, 1, id, finalized_at from invoices where issued_on = '2026-02-01'";
    let mut tx = world.ctx.begin().await.unwrap();
    sqlx::query(begun).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(dun(&world).await.steps > 0);
    assert_eq!(suspended(&world.ctx).await.1, [Send, Imap]);
}

#[tokio::test]
async fn what_somebody_takes_or_gives_back_meanwhile_is_theirs() {
    let world = in_debt().await;
    dun_on(&world, "2026-02-04").await;
    // Taken by somebody as well: a payment does not give it back.
    tenant::suspend(&world.ctx, None, &[Send]).await.unwrap();
    // Given back by somebody: it is not taken again.
    tenant::resume(&world.ctx, None, &[Imap]).await.unwrap();
    assert_eq!(suspended(&world.ctx).await, (vec![Send], vec![]));
    assert_eq!(dun_on(&world, "2026-02-05").await, Dunned::default());
    paid(&world.ctx, 2500, "INV-000001").await;
    assert_eq!(suspended(&world.ctx).await, (vec![Send], vec![]));
}

/// Somebody takes the policy away, and puts another in its place later, while the same invoice is overdue.
#[tokio::test]
async fn the_policy_as_it_is_takes_and_gives_back() {
    let world = in_debt().await;
    dun_on(&world, "2026-02-04").await;
    let narrow = |days, which: &[Capability]| Policy {
        suspend_after_days: Some(days),
        suspend_capabilities: which.to_vec(),
        cancel_after_days: None,
        ..policy()
    };
    let none = Policy { suspend_after_days: None, suspend_capabilities: vec![], ..policy() };
    // What is put on each day, and what is taken then.
    let puts = [
        ("2026-02-05", Policy::default(), &[][..]),
        ("2026-02-06", narrow(20, &[Send, Imap]), &[Send, Imap]),
        ("2026-02-07", narrow(20, &[Imap]), &[Imap]),
        ("2026-02-08", narrow(20, &[Receive, Imap]), &[Receive, Imap]),
        ("2026-02-09", none, &[]),
        ("2026-02-10", narrow(28, &[Send]), &[]),
        ("2026-02-11", narrow(27, &[Send]), &[Send]),
        ("2026-02-12", narrow(29, &[Send]), &[]),
        ("2026-02-13", narrow(29, &[Send]), &[Send]),
    ];
    for (day, policy, expected) in puts {
        put(&world, &policy).await;
        dun_on(&world, day).await;
        assert_eq!(suspended(&world.ctx).await, (expected.to_vec(), expected.to_vec()), "{day}");
        assert_eq!(dun(&world).await, Dunned::default(), "{day}");
    }
    // It is one course, and each time is told.
    assert_eq!(steps(&world.ctx).await.last().unwrap(), "1 suspend 20 2026-02-04");
    let resumed = told(&world, Kind::TenantResumed).await;
    let left: Vec<_> = resumed.iter().map(|one| one["suspended_capabilities"].to_string()).collect();
    assert_eq!(left, ["[]", "[\"imap\"]", "[]", "[]"]);
    assert_eq!(told(&world, Kind::TenantSuspended).await.len(), 5);
    paid(&world.ctx, 2500, "INV-000001").await;
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    super::payment::assert_clean(&world).await;
}

/// What somebody gave back for these arrears stays, though the policy was away, or another invoice the oldest, meanwhile.
#[tokio::test]
async fn what_somebody_resumes_holds_until_a_later_suspension_falls_due() {
    let world = in_debt().await;
    let policy = Policy { cancel_after_days: None, ..policy() };
    put(&world, &policy).await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    dun_on(&world, "2026-02-04").await;
    tenant::resume(&world.ctx, None, &[]).await.unwrap();
    put(&world, &Policy::default()).await;
    dun_on(&world, "2026-02-05").await;
    put(&world, &policy).await;
    assert_eq!(dun_on(&world, "2026-02-06").await, Dunned::default());
    // It settles January's and a part of February's, which is the oldest then.
    let transfer = NewTransfer {
        amount: euro(3000),
        reference: String::new(),
        received_on: "2026-02-06".into(),
        invoice_id: None,
    };
    let bounces = payment::record(&world.ctx, transfer).await.unwrap();
    dun_on(&world, "2026-02-16").await;
    assert_eq!(steps(&world.ctx).await.last().unwrap(), "2 remind 1 2026-02-16");
    at(&world, "2026-02-17T09:00");
    payment::refund(&world.operator, &nobody(), bounces.id, None, "bounced".into()).await.unwrap();
    dun_on(&world, "2026-02-17").await;
    assert_eq!(steps(&world.ctx).await.last().unwrap(), "3 remind 14 2026-02-17");
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    at(&world, "2026-03-02T09:00");
    paid(&world.ctx, 2500, "INV-000001").await;
    // February's is due on the 15th, and suspended for from 7 March on.
    dun_on(&world, "2026-03-06").await;
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    dun_on(&world, "2026-03-07").await;
    assert_eq!(suspended(&world.ctx).await.1, [Send, Imap]);
    super::payment::assert_clean(&world).await;
}

#[tokio::test]
async fn the_whole_tenant_stands_suspended_and_is_rated_so() {
    let world = in_debt().await;
    put(&world, &Policy { suspend_capabilities: Capability::ALL.to_vec(), ..policy() }).await;
    dun_on(&world, "2026-02-04").await;
    paid(&world.ctx, 2500, "INV-000001").await;
    let mut tx = world.ctx.begin().await.unwrap();
    let changes = tenancy::standing::changes(&mut tx).await.unwrap();
    let shown: Vec<_> = changes.iter().map(|one| format!("{} {:?}", one.day, one.standing)).collect();
    assert_eq!(shown, ["2026-02-04 Suspended", "2026-02-04 Active"]);
}

#[tokio::test]
async fn the_next_oldest_invoice_has_a_course_of_its_own_and_what_is_due_again_another() {
    let world = in_debt().await;
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    // The invoice of 1 February is due on 15 February: five days overdue, and so no reason to suspend.
    dun_on(&world, "2026-02-20").await;
    assert_eq!(suspended(&world.ctx).await.1, [Send, Imap]);
    let first = paid(&world.ctx, 2500, "INV-000001").await;
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    assert_eq!(dun(&world).await, Dunned { steps: 1, ..Dunned::default() });
    at(&world, "2026-02-20T13:00");
    payment::refund(&world.operator, &nobody(), first.id, None, "bounced".into()).await.unwrap();
    assert_eq!(states(&world.ctx).await, ["final 0/2500"; 2]);
    // Its time begins anew with the day on which it was given back: nobody is suspended within the hour.
    dun(&world).await;
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    let expected = [
        "1 cancel 30 2026-02-20",
        "1 remind 14 2026-02-20",
        "1 suspend 20 2026-02-20",
        "2 remind 1 2026-02-20",
    ];
    let mut noted = steps(&world.ctx).await;
    noted.sort();
    assert_eq!(noted, expected);
}

#[tokio::test]
async fn a_policy_that_changes_or_a_reseller_that_does_lifts_what_it_does_not_know() {
    let world = in_debt().await;
    dun_on(&world, "2026-02-04").await;
    put(&world, &Policy::default()).await;
    assert_eq!(dun(&world).await.lifted, 1);
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));

    let world = in_debt().await;
    dun_on(&world, "2026-02-04").await;
    let other = world::reseller(&world.operator, "Other").await;
    billing::transfer::transfer(&world.ctx, None, other.id).await.unwrap();
    let reseller = world.operator.enter_reseller(other.id).await.unwrap();
    dunning::put(&reseller, &policy(), None).await.unwrap();
    assert_eq!(dun_on(&world, "2026-02-20").await, Dunned { lifted: 1, ..Dunned::default() });
    assert_eq!(suspended(&ctx_of(&world, world.tenant.id).await).await, (vec![], vec![]));
}

#[tokio::test]
async fn a_test_clock_is_followed_and_a_zone_is_the_tenant_s() {
    let world = in_debt().await;
    at(&world, "2026-01-01T09:00");
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    let mut sandboxes = Vec::new();
    for zone in ["Pacific/Kiritimati", "Pacific/Niue"] {
        let new = tenant::NewTenant {
            test_clock: true,
            time_zone: zone.into(),
            ..world::new_tenant(&world.reseller, zone)
        };
        let ctx = ctx_of(&world, tenant::create(&world.operator, new).await.unwrap().id).await;
        world::domain(&ctx, &super::domain(&ctx)).await;
        subscribe(&ctx, &book, "month").await;
        seat(&ctx, "ada").await;
        tenant::set_test_clock(&ctx, "2026-01-02T00:00:00Z".parse().unwrap()).await.unwrap();
        sandboxes.push(ctx);
    }
    at(&world, "2026-01-02T12:00");
    run(&world, "2026-01-02").await;
    for sandbox in &sandboxes {
        let due_on = invoices(sandbox).await[0].due_on;
        let at_noon = format!("{due_on}T12:00:00Z").parse().unwrap();
        tenant::set_test_clock(sandbox, at_noon).await.unwrap();
    }
    // On the due day at noon in UTC it is the day after it in Kiritimati, and still the day in Niue.
    dun(&world).await;
    assert_eq!((steps(&sandboxes[0]).await.len(), steps(&sandboxes[1]).await.len()), (1, 0));
    // Real time has not moved.
    assert_eq!(steps(&world.ctx).await, [""; 0]);
}

/// Whoever moves a clock waits for no hourly round.
#[tokio::test]
async fn a_run_that_is_asked_for_duns_by_test_clocks() {
    let world = in_debt().await;
    at(&world, "2026-01-01T09:00");
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    let mut sandboxes = Vec::new();
    for name in ["One", "Two"] {
        let new = tenant::NewTenant { test_clock: true, ..world::new_tenant(&world.reseller, name) };
        let ctx = ctx_of(&world, tenant::create(&world.operator, new).await.unwrap().id).await;
        world::domain(&ctx, &super::domain(&ctx)).await;
        subscribe(&ctx, &book, "month").await;
        seat(&ctx, "ada").await;
        sandboxes.push(ctx);
    }
    run(&world, "2026-01-01").await;
    for sandbox in &sandboxes {
        tenant::set_test_clock(sandbox, "2026-03-10T12:00:00Z".parse().unwrap()).await.unwrap();
    }
    // Real time has gone on as well, and is left to the round.
    at(&world, "2026-02-20T12:00");
    let db = world.test_db.db();
    let named = Some(sandboxes[0].tenant_id());
    billing::run::run(&db, date("2026-03-10"), named).await.unwrap();
    let noted = async |ctx: &Ctx| {
        let mut noted = steps(ctx).await;
        noted.sort();
        noted
    };
    let all = ["1 cancel 30 2026-03-10", "1 remind 14 2026-03-10", "1 suspend 20 2026-03-10"];
    assert_eq!(noted(&sandboxes[0]).await, all);
    assert_eq!(noted(&sandboxes[1]).await, [""; 0]);
    assert_eq!(suspended(&sandboxes[0]).await.1, [Send, Imap]);
    billing::run::run(&db, date("2026-02-20"), None).await.unwrap();
    assert_eq!(noted(&sandboxes[1]).await, all);
    assert_eq!(noted(&sandboxes[0]).await, all);
    assert_eq!(noted(&world.ctx).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_and_a_payment_between_them_take_each_step_once_and_leave_nothing_held() {
    let world = in_debt().await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    at(&world, "2026-01-01T12:00");
    let other = subscribed_tenant(&world, &book, "Other", 1).await;
    at(&world, "2026-01-02T12:00");
    run(&world, "2026-01-02").await;
    at(&world, "2026-02-20T12:00");
    let work = |n: u64| {
        let db = world.test_db.db();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(n * 3)).await;
            assert_eq!(dunning::run(&db).await.unwrap().failed, 0);
        })
    };
    let workers: Vec<_> = (0..10).map(work).collect();
    tokio::time::sleep(Duration::from_millis(12)).await;
    paid(&world.ctx, 2500, "INV-000001").await;
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    for worker in workers {
        worker.await.unwrap();
    }
    dun(&world).await;
    // A payment that has arrived is seen by whoever comes after it.
    assert_eq!(suspended(&world.ctx).await, (vec![], vec![]));
    let mut noted = steps(&other).await;
    noted.sort();
    assert_eq!(noted, ["1 cancel 30 2026-02-20", "1 remind 14 2026-02-20", "1 suspend 20 2026-02-20"]);
    let theirs = json!(invoices(&other).await[0].id);
    let reminders = told(&world, Kind::InvoiceReminder).await;
    assert_eq!(reminders.iter().filter(|one| one["invoice_id"] == theirs).count(), 1);
    assert_eq!(suspended(&other).await.1, [Send, Imap]);
}

#[tokio::test]
async fn one_who_is_killed_anywhere_leaves_the_same_as_one_who_is_not() {
    let world = in_debt().await;
    at(&world, "2026-02-20T12:00");
    let mut cut_off = 0;
    for micros in (200..40_000).step_by(700) {
        let cut = tokio::time::timeout(Duration::from_micros(micros), dun(&world)).await;
        cut_off += u32::from(cut.is_err());
    }
    assert!(cut_off > 1, "{cut_off} were cut off");
    dun(&world).await;
    let mut noted = steps(&world.ctx).await;
    noted.sort();
    assert_eq!(noted, ["1 cancel 30 2026-02-20", "1 remind 14 2026-02-20", "1 suspend 20 2026-02-20"]);
    assert_eq!(told(&world, Kind::InvoiceReminder).await.len(), 1);
    assert_eq!(told(&world, Kind::TenantSuspended).await.len(), 1);
}

#[tokio::test]
async fn a_tenant_that_cannot_be_looked_at_stops_nobody() {
    let world = in_debt().await;
    let book = book(&world, RemovalPolicy::CreditToBalance).await;
    at(&world, "2026-01-01T12:00");
    let other = subscribed_tenant(&world, &book, "Other", 1).await;
    at(&world, "2026-01-02T12:00");
    run(&world, "2026-01-02").await;
    let mut tx = super::run::behind(&world).await;
    let nowhere = "update tenants set time_zone = 'Nowhere/Nothing' where id = $1";
    sqlx::query(nowhere).bind(world.tenant.id.uuid()).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(dun_on(&world, "2026-01-20").await, Dunned { steps: 1, failed: 1, ..Dunned::default() });
    assert_eq!(steps(&other).await, ["1 remind 1 2026-01-20"]);
}

#[tokio::test]
async fn what_was_done_cannot_be_changed() {
    let world = in_debt().await;
    dun_on(&world, "2026-02-20").await;
    for statement in [
        "update dunning_steps set taken_on = taken_on",
        "delete from dunning_steps",
        "delete from dunning_courses",
        "update dunning_courses set invoice_id = invoice_id",
    ] {
        let refused = sqlx::query(statement).execute(world.ctx.begin().await.unwrap().conn()).await;
        assert!(refused.unwrap_err().to_string().contains("permission denied"), "{statement}");
        let refused = sqlx::query(statement).execute(super::run::behind(&world).await.conn()).await;
        assert!(refused.unwrap_err().to_string().contains("permission denied"), "{statement}");
    }
    let mut tx = world.ctx.begin().await.unwrap();
    let refused = sqlx::query("update dunning_policies set version = 9").execute(tx.conn()).await;
    assert!(refused.unwrap_err().to_string().contains("permission denied"));
}

#[tokio::test]
async fn a_policy_is_put_whole_by_its_reseller_and_makes_sense() {
    let world = world_on("2026-01-01").await;
    let reseller = admin_of(&world, &world.reseller).await.enter_reseller(world.reseller.id).await.unwrap();
    assert_eq!(dunning::get(&reseller).await.unwrap_err().kind(), ErrorKind::NotFound);
    let first = dunning::put(&reseller, &policy(), None).await.unwrap();
    assert_eq!(
        (dunning::get(&reseller).await.unwrap(), first.policy.clone(), first.version),
        (first.clone(), policy(), 1)
    );
    assert_eq!(dunning::put(&reseller, &policy(), Some(7)).await.unwrap_err().code(), "version_mismatch");
    for (wrong, pointer) in [
        (Policy { remind_after_days: vec![0], ..policy() }, "/remind_after_days"),
        (Policy { remind_after_days: vec![7, 7], ..policy() }, "/remind_after_days"),
        (Policy { remind_after_days: (1..=11).collect(), ..policy() }, "/remind_after_days"),
        (
            Policy { suspend_after_days: Some(366), cancel_after_days: None, ..policy() },
            "/suspend_after_days",
        ),
        (Policy { suspend_capabilities: vec![], ..policy() }, "/suspend_capabilities"),
        (Policy { suspend_after_days: None, ..policy() }, "/suspend_capabilities"),
        (Policy { cancel_after_days: Some(19), ..policy() }, "/cancel_after_days"),
    ] {
        let refused = dunning::put(&reseller, &wrong, None).await.unwrap_err();
        let pointers: Vec<_> = refused.field_errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{wrong:?}");
    }
    let none = dunning::put(&reseller, &Policy::default(), Some(1)).await.unwrap();
    assert_eq!((none.policy, none.version), (Policy::default(), 2));
    let kept: Vec<Value> = told(&world, Kind::DunningPolicyChanged).await;
    assert_eq!(kept.len(), 2);
    // Who sees to the money reads it, and may not suspend by it.
    let new = NewApiKey::full(Role::ResellerBilling);
    let (_, secret) = api_key::create_for_reseller(&reseller, new).await.unwrap();
    let auth = tenancy::auth::Auth::new(world.test_db.db()).await.unwrap();
    let billing = auth.bearer(secrecy::ExposeSecret::expose_secret(&secret), world.origin()).await.unwrap();
    let billing = billing.enter_reseller(world.reseller.id).await.unwrap();
    assert_eq!(dunning::get(&billing).await.unwrap().version, 2);
    assert_eq!(dunning::put(&billing, &policy(), None).await.unwrap_err().kind(), ErrorKind::Forbidden);
}

#[tokio::test]
async fn what_the_reseller_that_has_no_policy_is_owed_is_left_alone() {
    let (world, _) = with_one_seat("2026-01-01", RemovalPolicy::CreditToBalance).await;
    run(&world, "2026-01-01").await;
    assert_eq!(dun_on(&world, "2026-12-01").await, Dunned::default());
    let transfer = NewTransfer {
        amount: euro(1250),
        reference: String::new(),
        received_on: "2026-12-01".into(),
        invoice_id: None,
    };
    payment::record(&world.ctx, transfer).await.unwrap();
    let listed = payment::list(&world.ctx, Default::default(), PageRequest::new(None, None)).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}
