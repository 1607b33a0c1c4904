//! From a credential to a caller.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::{Auth, Grant};
use tenancy::delegate::{self, Right};
use tenancy::mailbox;
use tenancy::policy::Capability;
use tenancy::{Action, Error, Origin, Role};
use testkit::{World, world};

use crate::address::shared;

async fn auth(world: &World) -> Auth {
    Auth::new(world.test_db.db()).await.unwrap()
}

fn full(role: Role) -> NewApiKey {
    NewApiKey::full(role)
}

async fn tenant_key(world: &World, new: NewApiKey) -> (api_key::ApiKey, SecretString) {
    api_key::create_for_tenant(&world.ctx, new).await.unwrap()
}

#[tokio::test]
async fn a_key_proves_its_role_and_is_kept_as_a_hash() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let (key, secret) = tenant_key(&world, full(Role::TenantAdmin)).await;
    let caller = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    assert_eq!(caller.role(), Role::TenantAdmin);
    let wrong = format!("{}x", secret.expose_secret());
    assert!(matches!(auth.bearer(&wrong, world.origin()).await, Err(Error::Unauthenticated)));
    let mut tx = superuserless(&world).await;
    let kept: Vec<u8> = sqlx::query_scalar("select secret_hash from api_keys where id = $1")
        .bind(key.id.uuid())
        .fetch_one(tx.conn())
        .await
        .unwrap();
    assert_eq!(kept.len(), 32);
    assert!(!kept.windows(8).any(|window| secret.expose_secret().as_bytes().windows(8).any(|s| s == window)));
}

#[expect(clippy::disallowed_methods, reason = "the test looks from below")]
async fn superuserless(world: &World) -> db::SystemTx {
    db::SystemTx::begin(&world.test_db.db()).await.unwrap()
}

#[tokio::test]
async fn a_key_ends_by_time_and_by_revocation_and_its_tokens_with_it() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let soon = world.test_db.db().env().now() + TimeDelta::minutes(1);
    let (_, expiring) =
        tenant_key(&world, NewApiKey { expires_at: Some(soon), ..full(Role::Helpdesk) }).await;
    let (key, revoked) = tenant_key(&world, full(Role::Helpdesk)).await;
    let grant = Grant::ClientCredentials { client_id: key.id.to_string(), client_secret: revoked.clone() };
    let token = auth.token(grant, world.origin()).await.unwrap().access.token;
    for proof in [&expiring, &revoked, &token] {
        auth.bearer(proof.expose_secret(), world.origin()).await.unwrap();
    }
    world.test_db.clock().advance(TimeDelta::minutes(2));
    api_key::revoke_of_tenant(&world.ctx, key.id).await.unwrap();
    for proof in [&expiring, &revoked, &token] {
        let refused = auth.bearer(proof.expose_secret(), world.origin()).await;
        assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    }
}

#[tokio::test]
async fn an_action_list_narrows_and_never_widens() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let only_read = NewApiKey { actions: BTreeSet::from([Action::UserRead]), ..full(Role::TenantAdmin) };
    let (_, secret) = tenant_key(&world, only_read).await;
    let caller = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let ctx = caller.enter(world.tenant.id).await.unwrap();
    assert!(
        tenancy::user::list(&ctx, &Default::default(), kernel::PageRequest::new(None, None)).await.is_ok()
    );
    let refused = tenancy::user::create(&ctx, world::new_user("x@acme.example", None)).await;
    assert!(matches!(refused, Err(Error::Forbidden("users:write"))), "{refused:?}");
    let beyond = NewApiKey { actions: BTreeSet::from([Action::TenantWrite]), ..full(Role::TenantAdmin) };
    assert!(matches!(api_key::create_for_tenant(&world.ctx, beyond).await, Err(Error::Invalid(_))));
    let unfit = api_key::create_for_tenant(&world.ctx, full(Role::Operator)).await;
    assert!(matches!(unfit, Err(Error::Invalid(_))), "{unfit:?}");
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_hold() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let actions = BTreeSet::from([Action::ApiKeyWrite]);
    let (_, secret) = tenant_key(&world, NewApiKey { actions, ..full(Role::TenantAdmin) }).await;
    let caller = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let ctx = caller.enter(world.tenant.id).await.unwrap();
    assert!(matches!(
        api_key::create_for_tenant(&ctx, full(Role::TenantAdmin)).await,
        Err(Error::Invalid(_))
    ));
}

#[tokio::test]
async fn a_narrowed_key_gives_no_right_to_what_it_may_not_do() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let ada = world.user("ada", None).await;
    let info = mailbox::create(&world.ctx, shared("info")).await.unwrap();
    let steps: [(&[Action], &[Right]); 4] = [
        (&[Action::MailboxWrite], &[Right::SendAs, Right::SendOnBehalf]),
        (&[Action::MailboxRead, Action::MessageRead], &[Right::Read, Right::SendAs, Right::SendOnBehalf]),
        (&[Action::MessageWrite], &[Right::Read, Right::SendAs, Right::SendOnBehalf]),
        (&[Action::MessageDelete], Right::ALL),
    ];
    let mut actions = BTreeSet::new();
    for (more, given) in steps {
        actions.extend(more.iter().copied());
        let narrowed = NewApiKey { actions: actions.clone(), ..full(Role::TenantAdmin) };
        let (_, secret) = tenant_key(&world, narrowed).await;
        let caller = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
        let ctx = caller.enter(world.tenant.id).await.unwrap();
        for &right in Right::ALL {
            let put = delegate::put(&ctx, info.id, ada.id, &[right]).await;
            match given.contains(&right) {
                true => assert_eq!(put.unwrap().rights, [right]),
                false => assert!(matches!(put, Err(Error::Forbidden(_))), "{right}: {put:?}"),
            }
        }
        // One right too many gives none.
        let put = delegate::put(&ctx, info.id, ada.id, &[Right::SendAs, Right::FullAccess]).await;
        assert_eq!(put.is_ok(), given.contains(&Right::FullAccess), "{put:?}");
    }
}

#[tokio::test]
async fn a_person_signs_in_with_their_password_and_no_other() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let user = world.user("ada", None).await;
    let login = |name: &'static str, password: &'static str| {
        let auth = auth.clone();
        let request_id = world.origin();
        async move { auth.mail_login(Capability::Pop3, name, password.to_owned().into(), request_id).await }
    };
    assert_eq!(login("ADA@Acme.example", world::PASSWORD).await.unwrap().mailbox_id, user.mailbox_id);
    for (name, password) in [
        ("ada@acme.example", "wrong"),
        ("ada@acme.example", ""),
        ("bob@acme.example", world::PASSWORD),
        ("no address", world::PASSWORD),
    ] {
        assert!(matches!(login(name, password).await, Err(Error::Unauthenticated)), "{name}");
    }
    tenancy::user::delete(&world.ctx, user.id, None).await.unwrap();
    assert!(matches!(login("ada@acme.example", world::PASSWORD).await, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn a_token_is_good_for_its_time_and_only_when_we_signed_it() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let user = world.user("ada", None).await;
    let grant = Grant::Password { username: user.address, password: world::PASSWORD.to_owned().into() };
    let token = auth.token(grant, world.origin()).await.unwrap();
    let text = token.access.token.expose_secret();
    let caller = auth.bearer(text, world.origin()).await.unwrap();
    assert_eq!(caller.role(), Role::User);
    // Another installation's token of the same shape.
    let stranger = World::new().await;
    let refused = Auth::new(stranger.test_db.db()).await.unwrap().bearer(text, world.origin()).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)));
    // The last characters are the signature's.
    let (signed, _) = text.rsplit_once('.').unwrap();
    for forged in [signed.to_owned(), format!("{signed}."), format!("{signed}.AAAA")] {
        assert!(
            matches!(auth.bearer(&forged, world.origin()).await, Err(Error::Unauthenticated)),
            "{forged}"
        );
    }
    world.test_db.clock().advance(TimeDelta::seconds(token.access.expires_in_secs));
    assert!(matches!(auth.bearer(text, world.origin()).await, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn two_servers_on_one_database_share_the_signing_key() {
    let world = World::new().await;
    let (one, two) = tokio::join!(auth(&world), auth(&world));
    let user = world.user("ada", None).await;
    let grant = Grant::Password { username: user.address, password: world::PASSWORD.to_owned().into() };
    let token = one.token(grant, world.origin()).await.unwrap().access.token;
    two.bearer(token.expose_secret(), world.origin()).await.unwrap();
    assert_eq!(one.jwks().await.unwrap().keys.len(), 1);
}

#[tokio::test]
async fn users_are_no_way_round_that() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let mut admin = world::new_user("root@acme.example", None);
    admin.role = Role::TenantAdmin;
    let admin = tenancy::user::create(&world.ctx, admin).await.unwrap();
    let (_, secret) = tenant_key(&world, full(Role::Helpdesk)).await;
    let caller = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let ctx = caller.enter(world.tenant.id).await.unwrap();
    let mut accomplice = world::new_user("eve@acme.example", None);
    accomplice.role = Role::TenantAdmin;
    let refused = tenancy::user::create(&ctx, accomplice).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let refused = tenancy::user::delete(&ctx, admin.id, None).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let person = tenancy::user::create(&ctx, world::new_user("bob@acme.example", None)).await.unwrap();
    tenancy::user::delete(&ctx, person.id, None).await.unwrap();
}

#[tokio::test]
async fn a_key_s_children_end_no_later_than_it_does() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let end = world.test_db.db().env().now() + TimeDelta::hours(1);
    let (_, secret) =
        tenant_key(&world, NewApiKey { expires_at: Some(end), ..full(Role::TenantAdmin) }).await;
    let caller = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let ctx = caller.enter(world.tenant.id).await.unwrap();
    for beyond in [None, Some(end + TimeDelta::seconds(1))] {
        let child = NewApiKey { expires_at: beyond, ..full(Role::Helpdesk) };
        assert!(
            matches!(api_key::create_for_tenant(&ctx, child).await, Err(Error::Invalid(_))),
            "{beyond:?}"
        );
    }
    let child = NewApiKey { expires_at: Some(end), ..full(Role::Helpdesk) };
    api_key::create_for_tenant(&ctx, child).await.unwrap();
}

#[tokio::test]
async fn a_key_s_children_are_good_from_nowhere_that_it_is_not() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let nets =
        |texts: &[&str]| texts.iter().map(|text| text.parse::<ipnet::IpNet>().unwrap()).collect::<Vec<_>>();
    let bound = NewApiKey { networks: nets(&["192.0.2.0/24", "2001:db8::/32"]), ..full(Role::TenantAdmin) };
    let (_, secret) = tenant_key(&world, bound).await;
    let origin = Origin { network: Some("192.0.2.7".parse().unwrap()), ..world.origin() };
    let caller = auth.bearer(secret.expose_secret(), origin).await.unwrap();
    let ctx = caller.enter(world.tenant.id).await.unwrap();
    let wider: [&[&str]; 3] = [&["192.0.0.0/16"], &["192.0.2.0/25", "198.51.100.0/24"], &["0.0.0.0/0"]];
    for beyond in wider {
        let child = NewApiKey { networks: nets(beyond), ..full(Role::Helpdesk) };
        let refused = api_key::create_for_tenant(&ctx, child).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let (inherits, secret) = api_key::create_for_tenant(&ctx, full(Role::Helpdesk)).await.unwrap();
    assert_eq!(inherits.networks, nets(&["192.0.2.0/24", "2001:db8::/32"]));
    let elsewhere = Origin { network: Some("198.51.100.1".parse().unwrap()), ..world.origin() };
    let refused = auth.bearer(secret.expose_secret(), elsewhere).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    let child = NewApiKey { networks: nets(&["192.0.2.128/25"]), ..full(Role::Helpdesk) };
    api_key::create_for_tenant(&ctx, child).await.unwrap();
}
