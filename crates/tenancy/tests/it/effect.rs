//! Changes that are tried.

use kernel::PageRequest;
use tenancy::quota::{Bounds, drift};
use tenancy::{Error, api_key, effect, mailbox, tenant, user};
use testkit::{World, world};

/// One more user with a mailbox of 5 bytes.
async fn tried(world: &World, local: String) -> effect::Effect {
    let tenant_id = world.ctx.tenant_id();
    let create = async move |caller: tenancy::Caller| {
        let ctx = caller.enter(tenant_id).await?;
        user::create(&ctx, world::new_user(&format!("{local}@acme.example"), Some(5))).await
    };
    effect::of::<_, Error, _>(world.ctx.caller(), create).await.unwrap()
}

#[tokio::test]
async fn an_effect_is_the_change_s_own_whatever_others_do_meanwhile() {
    let world = World::new().await;
    let ada = world.user("ada", Some(0)).await;
    let others = async {
        for n in 0..40 {
            world.user(&format!("hired{n}"), Some(7)).await;
            let bounds = Bounds { quota_bytes: Some(n), warn_bytes: None, block_send_bytes: None };
            mailbox::set_quota(&world.ctx, ada.mailbox_id, None, bounds).await.unwrap();
        }
    };
    let trials = async |name: &str| {
        for n in 0..40 {
            let effect = tried(&world, format!("{name}{n}")).await;
            let seats = effect.after.seats_used - effect.before.seats_used;
            let bytes = effect.after.quota_bytes.unwrap() - effect.before.quota_bytes.unwrap();
            assert_eq!((seats, bytes), (1, 5), "{effect:?}");
        }
    };
    tokio::join!(others, trials("first"), trials("second"));
    assert_eq!(tenant::get(&world.ctx).await.unwrap().seats_used, 41);
    assert_eq!(drift(&world.test_db.db()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_change_that_tells_nothing_is_a_fault_and_is_taken_back_as_well() {
    let world = World::new().await;
    let reseller_id = world.reseller.id;
    let create = async move |caller: tenancy::Caller| {
        let ctx = caller.enter_reseller(reseller_id).await?;
        let new = api_key::NewApiKey::full(tenancy::Role::ResellerAdmin);
        api_key::create_for_reseller(&ctx, new).await
    };
    let untold = effect::of::<_, Error, _>(&world.operator, create).await;
    assert!(matches!(untold, Err(Error::Internal(_))), "{untold:?}");
    let ctx = world.operator.enter_reseller(reseller_id).await.unwrap();
    let keys = api_key::list_of_reseller(&ctx, PageRequest::new(None, None)).await.unwrap();
    assert!(keys.items.is_empty(), "{keys:?}");
}
