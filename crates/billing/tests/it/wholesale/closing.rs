//! When a reseller can be deleted, and what is left of it.

use billing::payment::NewTransfer;
use billing::payment_provider;
use billing::wholesale::{closing, payment};
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
    let after = invoice::list(&gone, PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!((after[0].due, after[1].due), (euro(0), before[1].due));
    assert_eq!(invoice::find(&world.operator, first.id).await.unwrap().number, first.number);
    assert_clean(&world, 2).await;
}

#[tokio::test]
async fn one_who_never_used_anything_or_has_agreed_to_nothing_goes_at_once() {
    let world = world_on("2026-01-01").await;
    let book = wholesale_book(&world, "4", CreditToBalance).await;
    let [agreed_to, bare] = [below(&world).await, below(&world).await];
    agree(&world, &agreed_to, agreed(&book, 5)).await;
    assert_eq!(refused(&entered(&world, &world.reseller).await).await, "reseller_not_empty");
    for reseller in [&agreed_to, &bare] {
        closing::delete(&entered(&world, reseller).await, None).await.unwrap();
    }
    assert_eq!(run(&world, "2026-01-01").await.wholesale_invoices, 0);
}

#[tokio::test]
async fn a_tenant_that_can_be_restored_is_in_the_way() {
    let world = world_on("2026-01-01").await;
    let gone = below(&world).await;
    let ctx = entered(&world, &gone).await;
    let tenant = tenant_of(&world, &gone, "One", 1).await;
    tenant::delete(&tenant, None).await.unwrap();
    assert_eq!(refused(&ctx).await, "reseller_not_empty");
    tenant::restore(&world.operator.enter_deleted_too(tenant.tenant_id()).await.unwrap()).await.unwrap();
    assert_eq!(refused(&ctx).await, "reseller_not_empty");
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

/// Whoever comes first.
#[tokio::test]
async fn nothing_is_put_below_one_that_goes_meanwhile() {
    let world = world_on("2026-01-01").await;
    for n in 0..12 {
        let going = below(&world).await;
        let ctx = entered(&world, &going).await;
        let tenant = world::new_tenant(&going, "One");
        let lower = NewReseller {
            name: "Lower".into(),
            parent_id: Some(going.id),
            caps: Default::default(),
            branding: Default::default(),
        };
        let later = async {
            // So that each of them is first now and then.
            for _ in 0..n {
                tokio::task::yield_now().await;
            }
            closing::delete(&ctx, None).await
        };
        let (key, made, lower, deleted) = tokio::join!(
            api_key::create_for_reseller(&ctx, NewApiKey::full(Role::ResellerAdmin)),
            tenant::create(&world.operator, tenant),
            reseller::create(&world.operator, lower),
            later
        );
        match deleted {
            Ok(()) => {
                for refused in [made.err(), lower.err()] {
                    assert_eq!(refused.unwrap().kind(), ErrorKind::NotFound);
                }
                let auth = Auth::new(world.test_db.db()).await.unwrap();
                if let Ok((_, secret)) = key {
                    let proven = auth.bearer(secret.expose_secret(), world.origin()).await;
                    assert_eq!(proven.unwrap_err().kind(), ErrorKind::Unauthenticated);
                }
            }
            Err(error) => {
                assert_eq!(error.code(), "reseller_not_empty");
                assert!(made.is_ok() || lower.is_ok());
            }
        }
    }
}
