//! Credentials that are bound, rotated, used up and throttled.

use std::net::IpAddr;

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::api_key::{self, NewApiKey};
use tenancy::app_password::{self, NewAppPassword};
use tenancy::auth::{Auth, Grant, Tokens};
use tenancy::policy::Capability;
use tenancy::{Error, MailLogin, Origin, Role, Scope, event, user};
use testkit::{World, world};

async fn auth(world: &World) -> Auth {
    Auth::new(world.test_db.db()).await.unwrap()
}

fn from(world: &World, address: &str) -> Origin {
    Origin { request_id: world.request_id(), network: Some(address.parse::<IpAddr>().unwrap()) }
}

fn password_grant(password: &str) -> Grant {
    Grant::Password { username: "ada@acme.example".into(), password: password.into() }
}

async fn pop3(auth: &Auth, password: &SecretString, origin: Origin) -> Result<MailLogin, Error> {
    auth.mail_login(Capability::Pop3, "ada@acme.example", password.clone(), origin).await
}

#[tokio::test]
async fn a_key_bound_to_networks_is_good_from_there_alone_and_its_use_is_on_the_trail() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let new = NewApiKey { networks, ..NewApiKey::full(Role::TenantAdmin) };
    let (key, secret) = api_key::create_for_tenant(&world.ctx, new).await.unwrap();
    for origin in [from(&world, "198.51.100.1"), world.origin()] {
        assert!(matches!(auth.bearer(secret.expose_secret(), origin).await, Err(Error::Unauthenticated)));
    }
    auth.bearer(secret.expose_secret(), from(&world, "192.0.2.7")).await.unwrap();
    auth.bearer(secret.expose_secret(), from(&world, "192.0.2.7")).await.unwrap();
    let keys = api_key::list_of_tenant(&world.ctx, kernel::PageRequest::new(None, None)).await.unwrap().items;
    let kept = keys.iter().find(|kept| kept.id == key.id).unwrap();
    assert_eq!(kept.last_used_from, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(kept.last_used_at, Some(world.test_db.db().env().now()));
    let used = world.noted(event::Kind::ApiKeyUsed).await;
    assert_eq!(used.len(), 1, "the first use is noted, the next within a day is not");
    assert_eq!(used[0].event.principal, key.id.to_string());
}

#[tokio::test]
async fn a_key_in_steady_use_is_noted_once_each_day_and_at_each_change_of_address() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let (_, secret) =
        api_key::create_for_tenant(&world.ctx, NewApiKey::full(Role::TenantAdmin)).await.unwrap();
    let (home, away) = ("192.0.2.7", "198.51.100.1");
    let begun = world.test_db.db().env().now();
    // Counted from 09:00 of the first day: never a day without a use, and in the end from elsewhere.
    for hours in [0, 6, 14, 16, 26, 38, 40, 41, 42] {
        world.test_db.clock().set(begun + TimeDelta::hours(hours));
        let address = if hours < 41 { home } else { away };
        auth.bearer(secret.expose_secret(), from(&world, address)).await.unwrap();
    }
    let used = world.noted(event::Kind::ApiKeyUsed).await;
    let noted = |chained: &event::Chained| {
        let address = chained.event.data["network"].as_str().unwrap().to_owned();
        (address, (chained.event.at - begun).num_hours())
    };
    let noted: Vec<_> = used.iter().map(noted).collect();
    let expected = [(home, 0), (home, 16), (home, 40), (away, 41)];
    assert_eq!(noted, expected.map(|(address, hours)| (address.to_owned(), hours)));
}

#[tokio::test]
async fn a_key_used_from_many_addresses_is_noted_once_a_day_for_each_of_some() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let (key, secret) =
        api_key::create_for_tenant(&world.ctx, NewApiKey::full(Role::TenantAdmin)).await.unwrap();
    let use_from = async |address: &str| {
        auth.bearer(secret.expose_secret(), from(&world, address)).await.unwrap();
    };
    let noted = async || world.noted(event::Kind::ApiKeyUsed).await.len();
    for day in 0..2 {
        for _ in 0..5 {
            use_from("192.0.2.7").await;
            use_from("2001:db8::7").await;
        }
        assert_eq!(noted().await, 2 * (day + 1));
        world.test_db.clock().advance(TimeDelta::days(1));
    }
    for n in 0..40 {
        use_from(&format!("198.51.100.{n}")).await;
    }
    assert_eq!(noted().await, 4 + 20);
    // What is not noted is seen, to the minute.
    world.test_db.clock().advance(TimeDelta::minutes(2));
    use_from("198.51.100.39").await;
    let keys = api_key::list_of_tenant(&world.ctx, kernel::PageRequest::new(None, None)).await.unwrap().items;
    let kept = keys.iter().find(|kept| kept.id == key.id).unwrap();
    assert_eq!(kept.last_used_from, Some("198.51.100.39".parse().unwrap()));
    assert_eq!(noted().await, 4 + 20);
}

#[tokio::test]
async fn a_key_s_first_use_of_a_day_is_noted_once_however_many_requests_come_at_once() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let (_, secret) =
        api_key::create_for_tenant(&world.ctx, NewApiKey::full(Role::TenantAdmin)).await.unwrap();
    for (day, address) in [(1, "192.0.2.7"), (2, "192.0.2.7"), (3, "198.51.100.1")] {
        let together = (0..16).map(|_| auth.bearer(secret.expose_secret(), from(&world, address)));
        for caller in futures::future::join_all(together).await {
            caller.unwrap();
        }
        assert_eq!(world.noted(event::Kind::ApiKeyUsed).await.len(), day);
        // To the next day, and on the last turn only to another address.
        if day == 1 {
            world.test_db.clock().advance(TimeDelta::days(1));
        }
    }
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_a_second_use_ends_its_family() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let refresh = |tokens: Tokens| Grant::RefreshToken { refresh_token: tokens.refresh.unwrap() };
    let first = auth.token(password_grant(world::PASSWORD), world.origin()).await.unwrap();
    let stolen = Grant::RefreshToken { refresh_token: first.refresh.clone().unwrap() };
    let second = auth.token(refresh(first), world.origin()).await.unwrap();
    auth.bearer(second.access.token.expose_secret(), world.origin()).await.unwrap();
    assert!(matches!(auth.token(stolen, world.origin()).await, Err(Error::Unauthenticated)));
    // The one that was good until then is of the same family.
    assert!(matches!(auth.token(refresh(second), world.origin()).await, Err(Error::Unauthenticated)));
    // Another sign-in is another family.
    let other = auth.token(password_grant(world::PASSWORD), world.origin()).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(31));
    assert!(matches!(auth.token(refresh(other), world.origin()).await, Err(Error::Unauthenticated)));
    for rubbish in ["", "pillarboxrt_", "pillarboxrt_zz_x", "x"] {
        let grant = Grant::RefreshToken { refresh_token: rubbish.into() };
        assert!(matches!(auth.token(grant, world.origin()).await, Err(Error::Unauthenticated)), "{rubbish}");
    }
}

#[tokio::test]
async fn one_of_many_that_use_a_refresh_token_at_once_gets_the_next() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let tokens = auth.token(password_grant(world::PASSWORD), world.origin()).await.unwrap();
    let secret = tokens.refresh.unwrap();
    let tries = (0..8).map(|_| {
        let grant = Grant::RefreshToken { refresh_token: secret.clone() };
        auth.token(grant, world.origin())
    });
    let won = futures::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_new_password_a_suspension_and_a_deletion_end_every_session() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let ada = world.user("ada", None).await;
    let session = async |password: &str| auth.token(password_grant(password), world.origin()).await.unwrap();
    let is_over = async |tokens: Tokens| {
        let access = auth.bearer(tokens.access.token.expose_secret(), world.origin()).await;
        assert!(matches!(access, Err(Error::Unauthenticated)), "{access:?}");
        let grant = Grant::RefreshToken { refresh_token: tokens.refresh.unwrap() };
        assert!(matches!(auth.token(grant, world.origin()).await, Err(Error::Unauthenticated)));
    };
    let old = session(world::PASSWORD).await;
    user::reset_password(&world.ctx, ada.id, "another good password".into()).await.unwrap();
    is_over(old).await;
    let old = session("another good password").await;
    user::suspend(&world.ctx, ada.id, None, &[Capability::SignIn]).await.unwrap();
    is_over(old).await;
    user::resume(&world.ctx, ada.id, None, &[]).await.unwrap();
    let old = session("another good password").await;
    user::delete(&world.ctx, ada.id, None).await.unwrap();
    is_over(old).await;
}

#[tokio::test]
async fn an_app_password_is_good_for_its_protocols_until_it_is_revoked() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let ada = world.user("ada", None).await;
    let own = world.login(&ada).await.ctx;
    let new = |protocols: &[Capability]| NewAppPassword {
        name: "phone".into(),
        protocols: protocols.to_vec(),
        expires_at: None,
    };
    let (phone, secret) = app_password::create(&own, ada.id, new(&[Capability::Pop3])).await.unwrap();
    let (_, imap) = app_password::create(&own, ada.id, new(&[Capability::Imap])).await.unwrap();
    pop3(&auth, &secret, world.origin()).await.unwrap();
    let typed = secret.expose_secret().replace('-', "").to_uppercase();
    pop3(&auth, &typed.into(), world.origin()).await.unwrap();
    assert!(matches!(pop3(&auth, &imap, world.origin()).await, Err(Error::Unauthenticated)));
    // It is no password for the API.
    let grant = password_grant(secret.expose_secret());
    assert!(matches!(auth.token(grant, world.origin()).await, Err(Error::Unauthenticated)));
    app_password::revoke(&own, ada.id, phone.id).await.unwrap();
    assert!(matches!(pop3(&auth, &secret, world.origin()).await, Err(Error::Unauthenticated)));
    // Not another person's to see.
    let bob = world.user("bob", None).await;
    let bob = world.login(&bob).await.ctx;
    let page = kernel::PageRequest::new(None, None);
    assert!(matches!(app_password::list(&bob, ada.id, page).await, Err(Error::NotFound)));
    for wrong in [vec![], vec![Capability::Api]] {
        assert!(matches!(app_password::create(&own, ada.id, new(&wrong)).await, Err(Error::Invalid(_))));
    }
}

#[tokio::test]
async fn a_guesser_is_slowed_down_and_the_owner_is_not_locked_out() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let (home, attacker) = (from(&world, "192.0.2.10"), from(&world, "203.0.113.5"));
    auth.token(password_grant(world::PASSWORD), home).await.unwrap();
    let guess =
        async |origin: Origin| auth.token(password_grant("a wrong password"), origin).await.unwrap_err();
    for _ in 0..5 {
        assert!(matches!(guess(attacker).await, Error::Unauthenticated));
    }
    let Error::Throttled { retry_after_secs } = guess(attacker).await else { panic!("let through") };
    assert!((1..=3).contains(&retry_after_secs), "{retry_after_secs}");
    // Even the right password has to wait there; at home it does not.
    assert!(matches!(
        auth.token(password_grant(world::PASSWORD), attacker).await,
        Err(Error::Throttled { .. })
    ));
    auth.token(password_grant(world::PASSWORD), home).await.unwrap();
    // From a thousand networks: strangers are stopped, the owner at home is not.
    for n in 0..50 {
        let _ = guess(from(&world, &format!("198.51.{n}.1"))).await;
    }
    assert!(matches!(guess(from(&world, "198.51.200.1")).await, Error::Throttled { .. }));
    auth.token(password_grant(world::PASSWORD), home).await.unwrap();
    world.test_db.clock().advance(TimeDelta::minutes(16));
    assert!(matches!(guess(attacker).await, Error::Unauthenticated));
}

#[tokio::test]
async fn an_owner_in_a_new_network_is_let_through_in_turn_however_many_guess() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let guess = async |n: i64| {
        let origin = from(&world, &format!("198.51.{n}.1"));
        auth.token(password_grant("a wrong password"), origin).await.unwrap_err()
    };
    let mut tried = 0;
    for n in 0..60 {
        tried += i64::from(matches!(guess(n).await, Error::Unauthenticated));
    }
    assert_eq!(tried, 50);
    let away = from(&world, "203.0.113.5");
    let own = async || auth.token(password_grant(world::PASSWORD), away).await;
    let Err(Error::Throttled { retry_after_secs }) = own().await else { panic!("no place") };
    // Behind the ten that have been given one before, whatever is asked meanwhile.
    assert_eq!(retry_after_secs, 111);
    let Err(Error::Throttled { .. }) = own().await else { panic!("let through early") };
    let mut left = i64::from(retry_after_secs);
    while left > 0 {
        world.test_db.clock().advance(TimeDelta::seconds(left.min(10)));
        left -= 10;
        for n in 0..70 {
            tried += i64::from(matches!(guess(n).await, Error::Unauthenticated));
        }
    }
    assert!((51..=62).contains(&tried), "one each ten seconds, not {tried}");
    own().await.unwrap();
    // From then on it is known there.
    own().await.unwrap();
}

#[tokio::test]
async fn tries_from_new_networks_are_bounded_however_many_there_are() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let (home, away) = (from(&world, "192.0.2.10"), from(&world, "203.0.113.5"));
    let own = async |origin: Origin| auth.token(password_grant(world::PASSWORD), origin).await;
    own(home).await.unwrap();
    let guess_from_all = async || {
        let mut tried = 0;
        for n in 0..250 {
            let origin = from(&world, &format!("198.51.{n}.1"));
            let refused = auth.token(password_grant("a wrong password"), origin).await;
            tried += i64::from(matches!(refused, Err(Error::Unauthenticated)));
        }
        tried
    };
    // Signing in took the first place. Ninety have one within the next quarter of an hour.
    assert_eq!(guess_from_all().await, 49);
    let Err(Error::Throttled { retry_after_secs }) = own(away).await else { panic!("let through") };
    assert_eq!(retry_after_secs, 901);
    for _ in 0..2 {
        world.test_db.clock().advance(TimeDelta::seconds(901));
        assert_eq!(guess_from_all().await, 90);
        own(home).await.unwrap();
    }
    // Who asks when one is free has it.
    world.test_db.clock().advance(TimeDelta::seconds(20));
    let Err(Error::Throttled { retry_after_secs }) = own(away).await else { panic!("let through") };
    assert!(retry_after_secs <= 901, "{retry_after_secs}");
    world.test_db.clock().advance(TimeDelta::seconds(i64::from(retry_after_secs)));
    own(away).await.unwrap();
}

#[tokio::test]
async fn networks_of_one_site_have_one_place() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let guess = async |n: i64| {
        let origin = from(&world, &format!("2001:db8:1:{n:02x}00::1"));
        auth.token(password_grant("a wrong password"), origin).await.unwrap_err()
    };
    for n in 0..50 {
        assert!(matches!(guess(n).await, Error::Unauthenticated));
    }
    for n in 50..100 {
        let Error::Throttled { retry_after_secs } = guess(n).await else { panic!("let through") };
        assert_eq!(retry_after_secs, 11);
    }
    world.test_db.clock().advance(TimeDelta::seconds(11));
    assert!(matches!(guess(100).await, Error::Unauthenticated));
    assert!(matches!(guess(101).await, Error::Throttled { .. }));
}

#[tokio::test]
async fn a_place_and_the_end_of_a_pause_are_good_for_one_try() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let guess = |origin: Origin| auth.token(password_grant("a wrong password"), origin);
    let at_once = async |origin: Origin| {
        let outcomes = futures::future::join_all((0..16).map(|_| guess(origin))).await;
        outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Unauthenticated))).count()
    };
    let (home, stranger) = (from(&world, "192.0.2.10"), from(&world, "203.0.113.5"));
    auth.token(password_grant(world::PASSWORD), home).await.unwrap();
    for _ in 0..5 {
        guess(home).await.unwrap_err();
    }
    world.test_db.clock().advance(TimeDelta::seconds(2));
    assert_eq!(at_once(home).await, 1, "of those who were known");
    for n in 0..60 {
        guess(from(&world, &format!("198.51.{n}.1"))).await.unwrap_err();
    }
    assert!(matches!(guess(stranger).await, Err(Error::Throttled { .. })));
    world.test_db.clock().advance(TimeDelta::seconds(121));
    assert_eq!(at_once(stranger).await, 1, "of those who had a place");
}

#[tokio::test]
async fn failures_are_counted_by_person_and_not_by_spelling() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let mut ada = world::new_user("ada@acme.example", None);
    ada.aliases = vec!["countess@acme.example".into()];
    user::create(&world.ctx, ada).await.unwrap();
    let guess = async |username: &str, network: &str| {
        let grant = Grant::Password { username: username.into(), password: "a wrong password".into() };
        auth.token(grant, from(&world, network)).await.unwrap_err()
    };
    // Of somebody who is there, and of nobody: an address is the same with its domain in either form.
    let spellings = [
        (["ada@acme.example", "Countess@Acme.Example"], "203.0.113.5"),
        (["nobody@b\u{fc}cher.example", "NOBODY@xn--bcher-kva.example"], "198.51.100.5"),
    ];
    for (names, network) in spellings {
        for n in 0..5 {
            let refused = guess(names[n % 2], network).await;
            assert!(matches!(refused, Error::Unauthenticated), "{refused}");
        }
        for name in names {
            let refused = guess(name, network).await;
            assert!(matches!(refused, Error::Throttled { .. }), "{name}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_guess_is_counted_though_nobody_waits_for_the_answer() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let attacker = from(&world, "203.0.113.5");
    let mut given_up = 0;
    for _ in 0..500 {
        // Long enough to begin to hash, mostly, and too short for an answer.
        let guess = auth.token(password_grant("a wrong password"), attacker);
        match tokio::time::timeout(std::time::Duration::from_millis(15), guess).await {
            Err(_) => given_up += 1,
            Ok(Err(Error::Throttled { .. })) => break,
            Ok(other) => assert!(matches!(other, Err(Error::Unauthenticated)), "{other:?}"),
        }
    }
    assert!(given_up > 0, "every guess had its answer");
    let right = auth.token(password_grant(world::PASSWORD), attacker).await;
    assert!(matches!(right, Err(Error::Throttled { .. })), "{right:?}");
}

#[tokio::test]
async fn guesses_that_come_all_at_once_are_counted_all_the_same() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    let guesses =
        (0..40).map(|_| auth.token(password_grant("a wrong password"), from(&world, "203.0.113.5")));
    let tried = futures::future::join_all(guesses)
        .await
        .into_iter()
        .filter(|outcome| matches!(outcome, Err(Error::Unauthenticated)))
        .count();
    // Five are free; as many more may be under way as hash at one moment.
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    assert!((5..=5 + at_once).contains(&tried), "{tried}");
}

#[tokio::test]
async fn one_who_signs_in_over_and_over_leaves_room_for_others() {
    let world = World::new().await;
    let auth = auth(&world).await;
    world.user("ada", None).await;
    world.user("bob", None).await;
    let origin = from(&world, "203.0.113.200");
    let many = (0..100).map(|_| auth.token(password_grant(world::PASSWORD), origin));
    let bob = Grant::Password { username: "bob@acme.example".into(), password: world::PASSWORD.into() };
    let (many, bob) = futures::join!(futures::future::join_all(many), auth.token(bob, origin));
    bob.unwrap();
    let busy = many.iter().filter(|outcome| matches!(outcome, Err(Error::Busy))).count();
    assert_eq!(many.iter().filter(|outcome| outcome.is_ok()).count(), 100 - busy);
    assert!(busy > 0, "all were let in at once");
    assert_eq!(Error::Busy.kind(), kernel::ErrorKind::Unavailable);
    // Places are given back.
    auth.token(password_grant(world::PASSWORD), origin).await.unwrap();
}

#[tokio::test]
async fn signing_keys_rotate_without_a_token_failing() {
    let world = World::new().await;
    let (one, two) = (auth(&world).await, auth(&world).await);
    world.user("ada", None).await;
    let db = world.test_db.db();
    let kids = async || one.jwks().await.unwrap().keys.len();
    one.signer().rotate(&db).await.unwrap();
    assert_eq!(kids().await, 1, "the first key is young");
    world.test_db.clock().advance(TimeDelta::days(30));
    one.signer().rotate(&db).await.unwrap();
    one.signer().rotate(&db).await.unwrap();
    assert_eq!(kids().await, 2, "the next is known before it signs, and made once");
    let token = one.token(password_grant(world::PASSWORD), world.origin()).await.unwrap().access.token;
    world.test_db.clock().advance(TimeDelta::minutes(10));
    two.bearer(token.expose_secret(), world.origin()).await.unwrap();
    world.test_db.clock().advance(TimeDelta::hours(1));
    let by_the_new = one.token(password_grant(world::PASSWORD), world.origin()).await.unwrap().access.token;
    two.bearer(by_the_new.expose_secret(), world.origin()).await.unwrap();
    world.test_db.clock().advance(TimeDelta::hours(3));
    one.signer().rotate(&db).await.unwrap();
    assert_eq!(kids().await, 1, "the old one is forgotten once its last token is over");
    // For a key that leaked: another process learns of the new one by its token, and of the old one's end with time.
    let leaked = one.token(password_grant(world::PASSWORD), world.origin()).await.unwrap().access.token;
    two.bearer(leaked.expose_secret(), world.origin()).await.unwrap();
    one.signer().replace(&world.operator).await.unwrap();
    assert!(matches!(one.bearer(leaked.expose_secret(), world.origin()).await, Err(Error::Unauthenticated)));
    let token = one.token(password_grant(world::PASSWORD), world.origin()).await.unwrap().access.token;
    world.test_db.clock().advance(TimeDelta::seconds(6));
    two.bearer(token.expose_secret(), world.origin()).await.unwrap();
    world.test_db.clock().advance(TimeDelta::minutes(5));
    assert!(matches!(two.bearer(leaked.expose_secret(), world.origin()).await, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn a_signing_key_is_replaced_by_the_operator_alone_and_that_is_on_the_trail() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let (_, secret) =
        api_key::create_for_tenant(&world.ctx, NewApiKey::full(Role::TenantAdmin)).await.unwrap();
    let admin = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let refused = auth.signer().replace(&admin).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    auth.signer().replace(&world.operator).await.unwrap();
    let replaced = world.noted(event::Kind::SigningKeyReplaced).await;
    assert_eq!(replaced.len(), 1);
    assert_eq!(replaced[0].event.trail, Scope::Operator);
    assert_eq!(replaced[0].event.subject, auth.jwks().await.unwrap().keys[0].kid);
}
