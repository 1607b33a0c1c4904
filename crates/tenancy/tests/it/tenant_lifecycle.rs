use chrono::TimeDelta;
use kernel::PageRequest;
use tenancy::caps::Counted;
use tenancy::domain::{self, Proof};
use tenancy::mailbox::{self, NewMailbox};
use tenancy::policy::Capability;
use tenancy::quota::drift;
use tenancy::reseller::{self, CapsChange, ResellerChange};
use tenancy::tenant::{self, NewTenant, TenantChange};
use tenancy::{Ctx, Error, event, purge, user};
use testkit::{World, world};

use crate::address::shared;
use crate::lands;

async fn drift_of(world: &World) -> u64 {
    drift(&world.test_db.db()).await.unwrap()
}

/// What the world's reseller counts: tenants, domains, seats.
async fn counted(world: &World) -> (i32, i32, i32) {
    let ctx = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    let used = reseller::get(&ctx).await.unwrap().used;
    (used.tenants, used.domains, used.seats)
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_for_all_and_comes_back_whole() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    assert_eq!(counted(&world).await, (1, 1, 1));
    let late = tenant::delete(&world.ctx, Some(99)).await;
    assert!(matches!(late, Err(Error::VersionMismatch { .. })));
    tenant::delete(&world.ctx, None).await.unwrap();
    assert_eq!(counted(&world).await, (0, 0, 0));
    assert_eq!(drift_of(&world).await, 0);
    assert!(lands(&world, "ada@acme.example").await.is_empty());
    assert!(matches!(world.operator.enter(world.tenant.id).await, Err(Error::NotFound)));
    let listed = async |status| {
        let filter = tenant::Filter { status, ..Default::default() };
        tenant::list(&world.operator, &filter, PageRequest::new(None, None)).await
    };
    assert_eq!(listed(None).await.unwrap().items.len(), 0);
    assert_eq!(listed(Some(tenant::Status::Deleted)).await.unwrap().items[0].status, "deleted");
    // Whoever came in before finds that it is gone.
    assert!(matches!(tenant::delete(&world.ctx, None).await, Err(Error::NotFound)));
    let hired = user::create(&world.ctx, world::new_user("bob@acme.example", None)).await;
    assert!(matches!(hired, Err(Error::NotFound)), "{hired:?}");
    let changes = [
        tenant::suspend(&world.ctx, None, &[]).await,
        tenant::resume(&world.ctx, None, &[]).await,
        tenant::update(&world.ctx, None, TenantChange::default()).await,
    ];
    assert!(changes.iter().all(|change| matches!(change, Err(Error::NotFound))), "{changes:?}");

    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    let back = tenant::restore(&ctx).await.unwrap();
    assert_eq!((back.id, back.status.as_str(), back.deleted_at), (world.tenant.id, "active", None));
    assert_eq!(counted(&world).await, (1, 1, 1));
    assert_eq!(drift_of(&world).await, 0);
    assert!(!lands(&world, "ada@acme.example").await.is_empty());
    assert_eq!(user::get(&world.ctx, ada.id).await.unwrap().address, "ada@acme.example");
    assert_eq!(tenant::restore(&ctx).await.unwrap_err().code(), "not_deleted");
    world.login(&ada).await;
}

#[tokio::test]
async fn its_domains_are_free_meanwhile() {
    let world = World::new().await;
    world.user("ada", None).await;
    let late = domain::create(&world.ctx, "late.example").await.unwrap();
    tenant::delete(&world.ctx, None).await.unwrap();
    // Whoever came in before, to verify one that waited for it.
    assert!(matches!(domain::verify(&world.ctx, late.id, Proof::Operator).await, Err(Error::NotFound)));
    let other = crate::neighbour(&world).await;
    world::domain(&other, "late.example").await;
    world::domain(&other, "acme.example").await;
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    tenant::restore(&ctx).await.unwrap();
    let domain = domain::list(&world.ctx, &Default::default(), PageRequest::new(None, None))
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!((domain.status.as_str(), domain.verified_at), ("pending", None));
    let taken = domain::verify(&world.ctx, domain.id, Proof::Operator).await;
    assert_eq!(taken.unwrap_err().code(), "domain_taken");
}

#[tokio::test]
async fn it_comes_back_for_thirty_days_and_only_where_there_is_room() {
    let world = World::new().await;
    world.user("ada", None).await;
    tenant::delete(&world.ctx, None).await.unwrap();
    let caps = |tenants| ResellerChange {
        caps: CapsChange { tenants: Some(tenants), ..CapsChange::default() },
        ..Default::default()
    };
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    reseller::update(&reseller, None, caps(Some(0))).await.unwrap();
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    let full = tenant::restore(&ctx).await;
    assert!(matches!(full, Err(Error::Exhausted { counted: Counted::Tenants, .. })), "{full:?}");
    assert_eq!(counted(&world).await, (0, 0, 0));
    reseller::update(&reseller, None, caps(None)).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(31));
    assert_eq!(tenant::restore(&ctx).await.unwrap_err().code(), "restore_expired");
}

/// A tenant with a test clock that is deleted, as those above it see it.
async fn deleted_sandbox(world: &World) -> Ctx {
    let new = NewTenant { test_clock: true, ..world::new_tenant(&world.reseller, "Sandbox") };
    let tenant = tenant::create(&world.operator, new).await.unwrap();
    tenant::delete(&world.operator.enter(tenant.id).await.unwrap(), None).await.unwrap();
    world.operator.enter_deleted_too(tenant.id).await.unwrap()
}

#[tokio::test]
async fn a_deleted_one_s_test_clock_goes_on_until_it_is_destroyed() {
    let world = World::new().await;
    let db = world.test_db.db();
    let ctx = deleted_sandbox(&world).await;
    let deleted_at = ctx.now();
    let moves = async |to: TimeDelta| tenant::set_test_clock(&ctx, deleted_at + to).await;
    let due = async || purge::due_tenants(&db, None).await.unwrap();
    moves(TimeDelta::days(30)).await.unwrap();
    tenant::restore(&ctx).await.unwrap();
    tenant::delete(&ctx, None).await.unwrap();
    // By the clock as it was then.
    let deleted_at = tenant::get(&ctx).await.unwrap().deleted_at.unwrap();
    assert_eq!(deleted_at, ctx.now() + TimeDelta::days(30));

    let moves = async |to: TimeDelta| tenant::set_test_clock(&ctx, deleted_at + to).await;
    moves(TimeDelta::days(30) + TimeDelta::seconds(1)).await.unwrap();
    assert_eq!(tenant::restore(&ctx).await.unwrap_err().code(), "restore_expired");
    assert!(due().await.is_empty());
    moves(purge::AT_THE_LATEST).await.unwrap();
    assert_eq!(due().await, [ctx.tenant_id()]);
    let further = moves(purge::AT_THE_LATEST + TimeDelta::seconds(1)).await.unwrap_err();
    assert!(matches!(&further, Error::Invalid(errors) if errors[0].pointer == "/now"), "{further:?}");

    let auth = tenancy::auth::Auth::new(db.clone()).await.unwrap();
    let destroyed = purge::Destroyed::default();
    assert!(purge::tenant(&db, &auth, ctx.tenant_id(), destroyed, TimeDelta::days(35)).await.unwrap());
    assert!(matches!(moves(purge::AT_THE_LATEST).await, Err(Error::NotFound)));
}

/// Whoever comes in sees the clock as it is then, and it may be moved before the row is locked.
#[tokio::test]
async fn is_deleted_and_restored_by_its_clock_as_it_has_come_to_be() {
    let world = World::new().await;
    let before = deleted_sandbox(&world).await;
    tenant::restore(&before).await.unwrap();
    let moved = before.now() + TimeDelta::days(40);
    tenant::set_test_clock(&before, moved).await.unwrap();
    tenant::delete(&before, None).await.unwrap();
    assert_eq!(tenant::get(&before).await.unwrap().deleted_at, Some(moved));
    assert!(purge::due_tenants(&world.test_db.db(), None).await.unwrap().is_empty());
    let before = world.operator.enter_deleted_too(before.tenant_id()).await.unwrap();
    tenant::set_test_clock(&before, moved + TimeDelta::days(32)).await.unwrap();
    assert_eq!(tenant::restore(&before).await.unwrap_err().code(), "restore_expired");
}

#[tokio::test]
async fn a_user_or_mailbox_of_it_is_deleted_and_restored_by_its_clock_as_it_has_come_to_be() {
    let world = World::new().await;
    let new = NewTenant { test_clock: true, ..world::new_tenant(&world.reseller, "Sandbox") };
    let tenant = tenant::create(&world.operator, new).await.unwrap();
    let ctx = world.operator.enter(tenant.id).await.unwrap();
    world::domain(&ctx, "sandbox.example").await;
    let ada = world::user(&ctx, "ada@sandbox.example", None).await;
    let info = NewMailbox { address: "info@sandbox.example".into(), ..shared("info") };
    let info = mailbox::create(&ctx, info).await.unwrap();
    let moves = async |days| tenant::set_test_clock(&ctx, ctx.now() + TimeDelta::days(days)).await.unwrap();
    moves(31).await;
    user::delete(&ctx, ada.id, None).await.unwrap();
    mailbox::delete(&ctx, info.id, None).await.unwrap();
    user::restore(&ctx, ada.id, None).await.unwrap();
    mailbox::restore(&ctx, info.id, None).await.unwrap();
    user::delete(&ctx, ada.id, None).await.unwrap();
    mailbox::delete(&ctx, info.id, None).await.unwrap();
    moves(62).await;
    assert_eq!(user::restore(&ctx, ada.id, None).await.unwrap_err().code(), "restore_expired");
    assert_eq!(mailbox::restore(&ctx, info.id, None).await.unwrap_err().code(), "restore_expired");
}

#[tokio::test]
async fn what_is_being_destroyed_does_not_come_back_whatever_a_clock_says() {
    let world = World::new().await;
    tenant::delete(&world.ctx, None).await.unwrap();
    let db = world.test_db.db();
    #[expect(clippy::disallowed_methods, reason = "what is destroyed is nobody's to enter")]
    let mut tx = db::SystemTx::begin(&db).await.unwrap();
    purge::begin(&mut tx, world.tenant.id, purge::Destroyed::default()).await.unwrap();
    tx.commit().await.unwrap();
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    assert_eq!(tenant::restore(&ctx).await.unwrap_err().code(), "restore_expired");
}

#[tokio::test]
async fn a_trial_ends_in_a_suspension_and_a_customer_stays() {
    let world = World::new().await;
    let mut new = world::new_tenant(&world.reseller, "Trying");
    let now = world.test_db.db().env().now();
    new.trial_ends_at = Some(now - TimeDelta::days(1));
    assert!(matches!(tenant::create(&world.operator, new.clone()).await, Err(Error::Invalid(_))));
    new.trial_ends_at = Some(now + TimeDelta::days(30));
    let mut trying = Vec::new();
    for _ in 0..3 {
        let tenant = tenant::create(&world.operator, new.clone()).await.unwrap();
        assert_eq!(tenant.status, "trial");
        trying.push(world.operator.enter(tenant.id).await.unwrap());
    }
    let until = |at| TenantChange { trial_ends_at: Some(at), ..TenantChange::default() };
    let customer = tenant::update(&trying[0], None, until(None)).await.unwrap();
    assert_eq!((customer.status.as_str(), customer.trial_ends_at), ("active", None));
    assert_eq!(tenant::update(&trying[0], None, until(None)).await.unwrap_err().code(), "trial_over");
    // A suspension in the trial does not end it.
    tenant::suspend(&trying[1], None, &[Capability::Send]).await.unwrap();
    assert_eq!(tenant::resume(&trying[1], None, &[]).await.unwrap().status, "trial");
    tenant::update(&trying[1], None, until(Some(now + TimeDelta::days(60)))).await.unwrap();
    let db = world.test_db.db();
    assert_eq!(tenant::end_trials(&db).await.unwrap(), 0);
    world.test_db.clock().advance(TimeDelta::days(31));
    assert_eq!(tenant::end_trials(&db).await.unwrap(), 1);
    assert_eq!(tenant::end_trials(&db).await.unwrap(), 0);
    // A trial that is suspended in part ends, too.
    tenant::suspend(&trying[1], None, &[Capability::Send]).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(30));
    assert_eq!(tenant::end_trials(&db).await.unwrap(), 1);
    assert_eq!(tenant::get(&trying[1]).await.unwrap().suspended_capabilities.len(), Capability::ALL.len());
    let over = tenant::get(&trying[2]).await.unwrap();
    assert_eq!(
        (over.status.as_str(), over.suspended_capabilities.len()),
        ("suspended", Capability::ALL.len())
    );
    assert_eq!(tenant::resume(&trying[2], None, &[]).await.unwrap().status, "active");
}

#[tokio::test]
async fn a_test_clock_that_passes_the_end_of_a_trial_ends_it() {
    let world = World::new().await;
    let now = world.operator.db().env().now();
    let mut new = world::new_tenant(&world.reseller, "Tried");
    (new.test_clock, new.trial_ends_at) = (true, Some(now + TimeDelta::days(30)));
    let ctx = world.operator.enter(tenant::create(&world.operator, new).await.unwrap().id).await.unwrap();
    let moves = async |days| tenant::set_test_clock(&ctx, now + TimeDelta::days(days)).await.unwrap();
    assert_eq!(moves(29).await.status, "trial");
    let over = moves(30).await;
    assert_eq!(
        (over.status.as_str(), over.suspended_capabilities.len()),
        ("suspended", Capability::ALL.len())
    );
    assert_eq!(over, tenant::get(&ctx).await.unwrap());
    // It is over once, and the round finds nothing left to do.
    assert_eq!(tenant::end_trials(&world.test_db.db()).await.unwrap(), 0);
    assert_eq!(world.noted(event::Kind::TenantSuspended).await.len(), 1);
    assert_eq!(tenant::resume(&ctx, None, &[]).await.unwrap().status, "active");
    assert_eq!(moves(60).await.status, "active");
}

#[tokio::test]
async fn the_record_of_a_destruction_can_be_verified() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    let world = World::new().await;
    world.user("ada", None).await;
    tenant::delete(&world.ctx, None).await.unwrap();
    let db = world.test_db.db();
    let auth = tenancy::auth::Auth::new(db.clone()).await.unwrap();
    let destroyed = purge::Destroyed { messages: 3, bytes: 4096, objects: 2 };
    // Its time has not come.
    assert!(!purge::tenant(&db, &auth, world.tenant.id, destroyed, TimeDelta::days(35)).await.unwrap());
    world.test_db.clock().advance(TimeDelta::days(32));
    purge::tenant(&db, &auth, world.tenant.id, destroyed, TimeDelta::days(35)).await.unwrap();
    let ctx = world.operator.enter_deleted_too(world.tenant.id).await.unwrap();
    let record = purge::record(&ctx).await.unwrap();
    let header = jsonwebtoken::decode_header(&record.jws).unwrap();
    let jwks = auth.jwks().await.unwrap();
    let published = jwks.keys.iter().find(|key| Some(&key.kid) == header.kid.as_ref()).unwrap();
    let jwk = header.jwk.unwrap();
    assert_eq!(serde_json::to_value(&jwk).unwrap()["x"], published.x);
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    let said = jsonwebtoken::decode::<serde_json::Value>(&record.jws, &key, &validation).unwrap().claims;
    let counts = serde_json::json!({"messages": 3, "bytes": 4096, "objects": 2, "users": 1, "mailboxes": 1,
        "groups": 0, "domains": 1});
    assert_eq!((&said["tenant_id"], &said["destroyed"]), (&world.tenant.id.to_string().into(), &counts));
    // A day for a backup that was begun before.
    let expire = (record.created_at + TimeDelta::days(36)).date_naive();
    assert_eq!(said["backups_expire_on"], expire.to_string());
    // It is under the signature: whoever puts another day has a record that does not verify.
    let parts: Vec<&str> = record.jws.split('.').collect();
    let [head, payload, signature] = parts[..] else { panic!("{parts:?}") };
    let mut forged: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    forged["backups_expire_on"] = (expire - TimeDelta::days(1)).to_string().into();
    let forged = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(forged.to_string()));
    jsonwebtoken::decode::<serde_json::Value>(&forged, &key, &validation).unwrap_err();
    // Once is enough.
    purge::tenant(&db, &auth, world.tenant.id, destroyed, TimeDelta::days(90)).await.unwrap();
    assert_eq!(purge::record(&ctx).await.unwrap().id, record.id);
}
