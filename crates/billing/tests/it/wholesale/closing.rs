//! When a reseller can be deleted, and what is left of it.

use std::time::Duration;

use billing::payment::NewTransfer;
use billing::payment_provider;
use billing::wholesale::{closing, payment};
use kernel::ResellerId;
use sqlx::{Connection as _, PgConnection};
use tenancy::ResellerCtx;
use tenancy::reseller::{self, NewReseller};

use super::*;
use crate::payment::euro;
use crate::payment_charge::Scene;
use crate::verify::assert_clean;

async fn entered(world: &World, reseller: &Reseller) -> ResellerCtx {
    world.operator.enter_reseller(reseller.id).await.unwrap()
}

async fn refused(ctx: &ResellerCtx) -> &'static str {
    closing::delete(ctx, None).await.unwrap_err().code()
}

#[tokio::test]
async fn it_goes_when_what_was_used_below_it_is_billed_and_is_billed_no_more() {
    let world = world_on("2026-01-01").await;
    let south = world::reseller(&world.operator, "South").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &south, agreed(&book, 5)).await;
    let moves = tenant_of(&world, &south, "Moves", 3).await;
    let ctx = entered(&world, &south).await;
    run(&world, "2026-01-01").await;
    assert_eq!(refused(&ctx).await, "reseller_not_empty");
    at(&world, "2026-01-16T12:00");
    billing::transfer::transfer(&moves, None, world.reseller.id).await.unwrap();
    assert_eq!(refused(&ctx).await, "reseller_not_billed");
    at(&world, "2026-01-31T12:00");
    run(&world, "2026-01-31").await;
    assert_eq!(refused(&ctx).await, "reseller_not_billed");
    at(&world, "2026-02-01T12:00");
    run(&world, "2026-02-01").await;
    let before = documents(&world, &south).await;
    assert_eq!(before.len(), 2);
    closing::delete(&ctx, None).await.unwrap();

    assert_eq!(world.operator.enter_reseller(south.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Not even what it has committed to.
    at(&world, "2026-04-01T12:00");
    let summary = run(&world, "2026-04-01").await;
    assert_eq!((summary.accounts_due, summary.wholesale_invoices, summary.wholesale_credit_notes), (0, 0, 0));
    let gone = world.operator.enter_reseller_deleted_too(south.id).await.unwrap();
    assert_eq!(reseller::get(&gone).await.unwrap().status, "deleted");
    let first = &before[0];
    let transfer = NewTransfer {
        amount: first.total,
        reference: first.number.clone(),
        received_on: "2026-04-01".into(),
        invoice_id: Some(first.id),
    };
    payment::record(&gone, transfer).await.unwrap();
    let after = invoice::list(&gone, Default::default(), PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!((after[0].due, after[1].due), (euro(0), before[1].due));
    assert_eq!(invoice::find(&world.operator, first.id).await.unwrap().number, first.number);
    assert_clean(&world, 2).await;
}

#[tokio::test]
async fn one_who_has_agreed_to_nothing_yet_goes_at_once_and_what_is_due_is_billed_before() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    let [owes, later, bare] = [below(&world).await, below(&world).await, below(&world).await];
    agree(&world, &owes, agreed(&book, 5)).await;
    agree(&world, &later, PutAgreement { starts_on: Some("2026-02-11".into()), ..agreed(&book, 5) }).await;
    assert_eq!(refused(&entered(&world, &world.reseller).await).await, "reseller_not_empty");
    at(&world, "2026-02-10T12:00");
    // Two cycles of the commitment, of which no run has known.
    assert_eq!(refused(&entered(&world, &owes).await).await, "reseller_not_billed");
    for reseller in [&later, &bare] {
        closing::delete(&entered(&world, reseller).await, None).await.unwrap();
    }
    assert_eq!(run(&world, "2026-02-10").await.wholesale_invoices, 2);
    closing::delete(&entered(&world, &owes).await, None).await.unwrap();
    at(&world, "2026-03-10T12:00");
    assert_eq!(run(&world, "2026-03-10").await.wholesale_invoices, 0);
}

/// Each day is billed to somebody once: here the lower one agrees from a past day on, which the upper one is credited.
#[tokio::test]
async fn what_came_to_count_otherwise_is_billed_before() {
    let world = world_on("2026-01-01").await;
    let top = world::reseller(&world.operator, "Top").await;
    let lower = world::reseller_below(&world.operator, &top, "Lower").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    agree(&world, &top, agreed(&book, 0)).await;
    let moves = tenant_of(&world, &lower, "Moves", 3).await;
    at(&world, "2026-02-20T12:00");
    run(&world, "2026-02-20").await;
    billing::transfer::transfer(&moves, None, world.reseller.id).await.unwrap();
    at(&world, "2026-03-10T12:00");
    run(&world, "2026-03-10").await;
    agree(&world, &lower, PutAgreement { starts_on: Some("2026-02-01".into()), ..agreed(&book, 0) }).await;
    assert_eq!(refused(&entered(&world, &lower).await).await, "reseller_not_billed");
    run(&world, "2026-03-10").await;
    closing::delete(&entered(&world, &lower).await, None).await.unwrap();
    assert_eq!(refused(&entered(&world, &top).await).await, "reseller_not_billed");
    at(&world, "2026-04-01T12:00");
    assert_eq!(run(&world, "2026-04-01").await.wholesale_credit_notes, 1);
    closing::delete(&entered(&world, &top).await, None).await.unwrap();
}

#[tokio::test]
async fn whoever_has_agreed_with_the_operator_is_the_operator_s_to_delete() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    let [agreed_to, bare] = [below(&world).await, below(&world).await];
    agree(&world, &agreed_to, PutAgreement { starts_on: Some("2026-02-11".into()), ..agreed(&book, 5) })
        .await;
    let above = admin_of(&world, &world.reseller).await;
    assert_eq!(refused(&above.enter_reseller(agreed_to.id).await.unwrap()).await, "forbidden");
    closing::delete(&above.enter_reseller(bare.id).await.unwrap(), None).await.unwrap();
    closing::delete(&entered(&world, &agreed_to).await, None).await.unwrap();
}

#[tokio::test]
async fn its_own_drafts_are_made_final_before() {
    let world = world_on("2026-01-01").await;
    let book = book(&world, CreditToBalance).await;
    crate::draft::drafting(&world, 3, 0).await;
    subscribe(&world.ctx, &book, "month").await;
    seat(&world.ctx, "ada").await;
    run(&world, "2026-01-01").await;
    let other = world::reseller(&world.operator, "Other").await;
    billing::transfer::transfer(&world.ctx, None, other.id).await.unwrap();
    let ctx = entered(&world, &world.reseller).await;
    assert_eq!(refused(&ctx).await, "reseller_has_drafts");
    let draft = invoices(&world.ctx).await[0].id;
    billing::invoice::finalize(&world.operator, draft).await.unwrap();
    closing::delete(&ctx, None).await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_can_be_restored_is_in_the_way_until_it_is_destroyed() {
    let world = world_on("2026-01-01").await;
    let gone = below(&world).await;
    let ctx = entered(&world, &gone).await;
    let tenant = tenant_of(&world, &gone, "One", 1).await;
    tenant::delete(&tenant, None).await.unwrap();
    assert_eq!(refused(&ctx).await, "reseller_not_empty");
    crate::run::behind_and_commit(&world, "update tenants set purged_at = now() where status = 'deleted'")
        .await;
    closing::delete(&ctx, None).await.unwrap();
}

#[tokio::test]
async fn its_provider_is_kept_while_payments_are_under_way_and_then_forgotten() {
    let scene = Scene::new().await;
    let (world, ctx) = (&scene.world, entered(&scene.world, &scene.world.reseller).await);
    scene.fake.fail(&[testkit::stripe::Fault::Processing]);
    scene.pay().await.unwrap();
    let other = world::reseller(&world.operator, "Other").await;
    billing::transfer::transfer(&world.ctx, None, other.id).await.unwrap();
    assert_eq!(refused(&ctx).await, "payments_under_way");
    assert_eq!(payment_provider::get(&ctx).await.unwrap().reseller_id, world.reseller.id);
    scene.fake.settle("pi_1", "succeeded");
    assert_eq!(scene.reconciled(TimeDelta::minutes(5)).await, 1);
    closing::delete(&ctx, None).await.unwrap();
    assert_eq!(payment_provider::get(&ctx).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// Until so many sessions wait for rows.
async fn waiting(owner: &mut PgConnection, sessions: i64) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let waits = async {
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *owner).await.unwrap() < sessions {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("nobody waits for the row");
}

/// What somebody makes of a reseller that they have entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    Tenant,
    Transferred,
    Lower,
    Key,
    Provider,
}

async fn put_there(what: Put, at: ResellerCtx, moves: Ctx) -> Result<(), Error> {
    let id = at.reseller_id();
    match what {
        Put::Tenant => {
            let new = world::new_tenant(&reseller::get(&at).await?, "One");
            drop(tenant::create(at.caller(), new).await?);
        }
        Put::Transferred => drop(billing::transfer::transfer(&moves, None, id).await?),
        Put::Lower => {
            let (caps, branding) = Default::default();
            let new = NewReseller { name: "Lower".into(), parent_id: Some(id), caps, branding };
            drop(reseller::create(at.caller(), new).await?);
        }
        Put::Key => drop(api_key::create_for_reseller(&at, NewApiKey::full(Role::ResellerAdmin)).await?),
        Put::Provider => {
            drop(payment_provider::put(&at, &crate::payment_provider::settings(), None).await?);
        }
    }
    Ok(())
}

/// The deletion and what is put there meet at the reseller's row.
#[tokio::test]
async fn nothing_is_put_below_one_that_goes_meanwhile() {
    let world = world_on("2026-01-01").await;
    let moves = tenant_of(&world, &world.reseller, "Moves", 1).await;
    let mut owner = PgConnection::connect(&world.test_db.url()).await.unwrap();
    for what in [Put::Tenant, Put::Transferred, Put::Lower, Put::Key, Put::Provider] {
        for is_deleted_first in [true, false] {
            let going = below(&world).await;
            let ctx = entered(&world, &going).await;
            let mut held = crate::run::behind(&world).await;
            sqlx::query("select from resellers where id = $1 for update")
                .bind(going.id.uuid())
                .execute(held.conn())
                .await
                .unwrap();
            let (going, at) = (ctx.clone(), ctx.clone());
            let deletion = async move { closing::delete(&going, None).await };
            let put = put_there(what, at, moves.clone());
            let (deletion, put) = if is_deleted_first {
                let deletion = tokio::spawn(deletion);
                waiting(&mut owner, 1).await;
                let put = tokio::spawn(put);
                waiting(&mut owner, 2).await;
                (deletion, put)
            } else {
                let put = tokio::spawn(put);
                waiting(&mut owner, 1).await;
                let deletion = tokio::spawn(deletion);
                waiting(&mut owner, 2).await;
                (deletion, put)
            };
            held.commit().await.unwrap();
            let outcome = match (deletion.await.unwrap(), put.await.unwrap()) {
                (Ok(()), Ok(())) => "both",
                (Ok(()), Err(error)) if error.kind() == ErrorKind::NotFound => "deleted",
                (Err(error), Ok(())) if error.code() == "reseller_not_empty" => "put",
                (deletion, put) => panic!("{what:?} {is_deleted_first}: {deletion:?} {put:?}"),
            };
            let expected: &[&str] = match (what, is_deleted_first) {
                (Put::Tenant | Put::Transferred, true) => &["deleted"],
                (Put::Tenant | Put::Transferred, false) => &["put"],
                // These can be made as long as nothing but the lock is taken.
                (Put::Lower, _) => &["deleted", "put"],
                // What is its own goes with it.
                (Put::Key | Put::Provider, _) => &["deleted", "both"],
            };
            assert!(expected.contains(&outcome), "{what:?} {is_deleted_first}: {outcome}");
            assert!(outcome != "both" || left_of(&world, ctx.reseller_id()).await == (0, 0));
        }
    }
}

/// How many keys of a reseller prove something, and how many providers it has.
async fn left_of(world: &World, id: ResellerId) -> (i64, i64) {
    let sql = "select (select count(*) from api_keys where reseller_id = $1 and revoked_at is null),
        (select count(*) from payment_providers where reseller_id = $1)";
    let mut tx = crate::run::behind(world).await;
    sqlx::query_as(sql).bind(id.uuid()).fetch_one(tx.conn()).await.unwrap()
}
