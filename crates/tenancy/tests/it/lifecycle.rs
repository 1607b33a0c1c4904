//! What becomes of users, tenants and domains.

use chrono::TimeDelta;
use tenancy::auth::Auth;
use tenancy::domain::{self, Proof};
use tenancy::policy::Capability;
use tenancy::recipient::Recipients;
use tenancy::user::{self, UserChange};
use tenancy::{Error, Role, tenant};
use testkit::dns::DnsServer;
use testkit::{World, world};

use crate::neighbour;

async fn receives(world: &World, address: &str) -> bool {
    let recipients = Recipients::new(world.test_db.db());
    recipients.resolve(&address.parse().unwrap(), world.request_id()).await.unwrap().is_some()
}

async fn signs_in(world: &World, address: &str) -> bool {
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    auth.mail_login(Capability::Pop3, address, world::PASSWORD.into(), world.origin()).await.is_ok()
}

#[tokio::test]
async fn a_suspension_takes_what_it_names_and_no_more() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let address = ada.address.as_str();
    let suspended = user::suspend(&world.ctx, ada.id, None, &[Capability::Receive]).await.unwrap();
    assert_eq!((suspended.status.as_str(), suspended.version), ("suspended", 2));
    assert!(!receives(&world, address).await && signs_in(&world, address).await);
    user::suspend(&world.ctx, ada.id, None, &[Capability::Pop3]).await.unwrap();
    let back = user::resume(&world.ctx, ada.id, None, &[Capability::Receive]).await.unwrap();
    assert_eq!(back.suspended_capabilities, [Capability::Pop3]);
    assert!(receives(&world, address).await && !signs_in(&world, address).await);
    // The tenant's own suspension comes on top, and going takes nothing of the user's along.
    tenant::suspend(&world.ctx, None, &[Capability::Receive]).await.unwrap();
    assert!(!receives(&world, address).await);
    let tenant = tenant::resume(&world.ctx, None, &[]).await.unwrap();
    assert_eq!(tenant.status, "active");
    assert!(receives(&world, address).await && !signs_in(&world, address).await);
    let active = user::resume(&world.ctx, ada.id, None, &[]).await.unwrap();
    assert_eq!((active.status.as_str(), active.suspended_capabilities.len()), ("active", 0));
    assert!(signs_in(&world, address).await);
}

#[tokio::test]
async fn a_suspended_tenant_s_own_keys_are_refused_and_its_reseller_s_are_not() {
    let world = World::new().await;
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let new = tenancy::api_key::NewApiKey::full(Role::TenantAdmin);
    let (_, secret) = tenancy::api_key::create_for_tenant(&world.ctx, new).await.unwrap();
    let secret = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    tenant::suspend(&world.ctx, None, &[Capability::Api]).await.unwrap();
    let caller = auth.bearer(&secret, world.origin()).await.unwrap();
    assert!(matches!(caller.enter(world.tenant.id).await, Err(Error::Suspended("api"))));
    let page = kernel::PageRequest::new(None, None);
    assert!(matches!(tenant::list(&caller, &Default::default(), page).await, Err(Error::Suspended("api"))));
    let filter = tenancy::event::Filter::default();
    let feed = tenancy::event::list(&caller, tenancy::Action::EventRead, &filter, page).await;
    assert!(matches!(feed, Err(Error::Suspended("api"))));
    world.operator.enter(world.tenant.id).await.unwrap();
}

#[tokio::test]
async fn a_deleted_user_comes_back_by_the_same_id_with_their_mailbox() {
    let world = World::new().await;
    let ada = world.user("ada", Some(1_000)).await;
    user::delete(&world.ctx, ada.id, None).await.unwrap();
    assert!(!receives(&world, &ada.address).await && !signs_in(&world, &ada.address).await);
    let gone = user::Filter { status: Some(user::Status::Deleted), ..Default::default() };
    let page = kernel::PageRequest::new(None, None);
    assert_eq!(user::list(&world.ctx, &gone, page).await.unwrap().items[0].id, ada.id);
    let back = user::restore(&world.ctx, ada.id, None).await.unwrap();
    assert_eq!(
        (back.id, back.mailbox_id, back.address.clone()),
        (ada.id, ada.mailbox_id, ada.address.clone())
    );
    assert!(receives(&world, &ada.address).await && signs_in(&world, &ada.address).await);
    assert_eq!(tenant::get(&world.ctx).await.unwrap().seats_used, 1);
    assert_eq!(user::restore(&world.ctx, ada.id, None).await.unwrap_err().code(), "not_deleted");
}

#[tokio::test]
async fn who_lost_their_address_comes_back_under_another() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    user::delete(&world.ctx, ada.id, None).await.unwrap();
    let heir = world.user("ada", None).await;
    let refused = user::restore(&world.ctx, ada.id, None).await;
    assert_eq!(refused.unwrap_err().code(), "address_taken");
    let back = user::restore(&world.ctx, ada.id, Some("ada.l@acme.example")).await.unwrap();
    assert_eq!((back.id, back.address.as_str()), (ada.id, "ada.l@acme.example"));
    assert_eq!(user::get(&world.ctx, heir.id).await.unwrap().address, "ada@acme.example");
}

#[tokio::test]
async fn a_restore_takes_a_seat_or_changes_nothing_and_ends_after_thirty_days() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    user::delete(&world.ctx, ada.id, None).await.unwrap();
    world.user("bob", None).await;
    let limit = tenant::TenantChange { seats_limit: Some(Some(1)), ..Default::default() };
    tenant::update(&world.ctx, None, limit).await.unwrap();
    assert!(matches!(user::restore(&world.ctx, ada.id, None).await, Err(Error::Exhausted { .. })));
    assert!(!receives(&world, &ada.address).await, "nothing is half restored");
    world.test_db.clock().advance(TimeDelta::days(31));
    let late = user::restore(&world.ctx, ada.id, None).await;
    assert!(matches!(late, Err(Error::Conflict { code: "restore_expired", .. })), "{late:?}");
}

#[tokio::test]
async fn a_change_asks_for_the_version_that_was_seen() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let named = |name: &str| UserChange { display_name: Some(name.into()), ..Default::default() };
    let changed = user::update(&world.ctx, ada.id, Some(1), named("Ada")).await.unwrap();
    assert_eq!((changed.display_name.as_str(), changed.version), ("Ada", 2));
    let stale = user::update(&world.ctx, ada.id, Some(1), named("Eve")).await;
    assert!(matches!(stale, Err(Error::VersionMismatch { version: 2 })), "{stale:?}");
    assert!(matches!(user::delete(&world.ctx, ada.id, Some(1)).await, Err(Error::VersionMismatch { .. })));
    assert_eq!(user::get(&world.ctx, ada.id).await.unwrap().display_name, "Ada");
}

#[tokio::test]
async fn a_new_primary_address_keeps_the_old_one_as_an_alias() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let change = UserChange { address: Some("countess@acme.example".into()), ..Default::default() };
    let renamed = user::update(&world.ctx, ada.id, None, change).await.unwrap();
    assert_eq!(renamed.address, "countess@acme.example");
    assert_eq!(renamed.aliases, ["ada@acme.example"]);
    assert!(receives(&world, "ada@acme.example").await);
    let only = UserChange { aliases: Some(vec![]), ..Default::default() };
    let bare = user::update(&world.ctx, ada.id, None, only).await.unwrap();
    assert_eq!((bare.address.as_str(), bare.aliases.len()), ("countess@acme.example", 0));
    assert!(!receives(&world, "ada@acme.example").await);
    world.user("bob", None).await;
    let taken = UserChange { address: Some("bob@acme.example".into()), ..Default::default() };
    let refused = user::update(&world.ctx, ada.id, None, taken).await;
    assert_eq!(refused.unwrap_err().code(), "address_taken");
    assert_eq!(user::get(&world.ctx, ada.id).await.unwrap().address, "countess@acme.example");
}

#[tokio::test]
async fn an_external_id_is_one_user_s() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let with = |id: &str| UserChange { external_id: Some(Some(id.into())), ..Default::default() };
    user::update(&world.ctx, ada.id, None, with("7")).await.unwrap();
    let taken = user::update(&world.ctx, bob.id, None, with("7")).await;
    let Err(Error::At { pointer, cause }) = taken else { panic!("{taken:?}") };
    assert_eq!((pointer.as_str(), cause.code()), ("/external_id", "external_id_taken"));
    let filter = user::Filter { external_id: Some("7".into()), ..Default::default() };
    let page = kernel::PageRequest::new(None, None);
    assert_eq!(user::list(&world.ctx, &filter, page).await.unwrap().items[0].id, ada.id);

    // As an address: whoever comes back has it again, unless somebody has it now.
    for is_taken in [false, true] {
        user::delete(&world.ctx, ada.id, None).await.unwrap();
        if is_taken {
            user::update(&world.ctx, bob.id, None, with("7")).await.unwrap();
        }
        let back = user::restore(&world.ctx, ada.id, None).await.unwrap();
        assert_eq!(back.external_id.as_deref(), (!is_taken).then_some("7"));
    }
    assert_eq!(user::get(&world.ctx, bob.id).await.unwrap().external_id.as_deref(), Some("7"));
}

#[tokio::test]
async fn a_domain_routes_mail_once_its_owner_has_shown_that_it_is_theirs() {
    let world = World::new().await;
    let dns = DnsServer::start().await;
    let resolver = dns::Resolver::at(&[dns.addr()]);
    let other = neighbour(&world).await;
    // Both may wait for the name.
    let ours = domain::create(&world.ctx, "münchen.example").await.unwrap();
    let theirs = domain::create(&other, "münchen.example").await.unwrap();
    assert_eq!((ours.name.as_str(), ours.status.as_str()), ("xn--mnchen-3ya.example", "pending"));
    let new = world::new_user("ada@münchen.example", None);
    let early = user::create(&world.ctx, new).await;
    assert!(matches!(early, Err(Error::Invalid(_))), "{early:?}");
    let missing = domain::verify(&world.ctx, ours.id, Proof::Dns(&resolver)).await;
    assert!(matches!(missing, Err(Error::Conflict { code: "domain_not_verified", .. })), "{missing:?}");
    let record = dns::ownership_value(&ours.verification_token);
    dns.set_txt(&dns::ownership_name(&ours.name), &["other", &record]);
    let stolen = domain::verify(&other, theirs.id, Proof::Dns(&resolver)).await;
    assert!(matches!(stolen, Err(Error::Conflict { code: "domain_not_verified", .. })), "{stolen:?}");
    let active = domain::verify(&world.ctx, ours.id, Proof::Dns(&resolver)).await.unwrap();
    assert_eq!((active.status.as_str(), active.version), ("active", 2));
    user::create(&world.ctx, world::new_user("ada@münchen.example", None)).await.unwrap();
    assert!(receives(&world, "ada@xn--mnchen-3ya.example").await);
    // The name is one tenant's, whatever the other can show by now.
    dns.set_txt(&dns::ownership_name(&ours.name), &[&dns::ownership_value(&theirs.verification_token)]);
    let late = domain::verify(&other, theirs.id, Proof::Dns(&resolver)).await;
    assert!(matches!(late, Err(Error::Conflict { code: "domain_taken", .. })), "{late:?}");
    let again = domain::create(&other, "münchen.example").await;
    assert!(matches!(again, Err(Error::Conflict { code: "domain_taken", .. })), "{again:?}");
}

#[tokio::test]
async fn an_outage_of_the_dns_is_no_verdict_and_only_the_operator_vouches() {
    let world = World::new().await;
    let dns = DnsServer::start().await;
    let resolver = dns::Resolver::at(&[dns.addr()]);
    let domain = domain::create(&world.ctx, "new.example").await.unwrap();
    dns.fail(&dns::ownership_name(&domain.name));
    let out = domain::verify(&world.ctx, domain.id, Proof::Dns(&resolver)).await;
    assert!(matches!(out, Err(Error::Unavailable(_))), "{out:?}");
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let new = tenancy::api_key::NewApiKey::full(Role::TenantAdmin);
    let (_, secret) = tenancy::api_key::create_for_tenant(&world.ctx, new).await.unwrap();
    let tenant = auth.bearer(secrecy::ExposeSecret::expose_secret(&secret), world.origin()).await.unwrap();
    let tenant = tenant.enter(world.tenant.id).await.unwrap();
    assert!(matches!(domain::verify(&tenant, domain.id, Proof::Operator).await, Err(Error::Forbidden(_))));
    domain::verify(&world.ctx, domain.id, Proof::Operator).await.unwrap();
}
