use std::time::Duration;

use chrono::TimeDelta;
use kernel::PageRequest;
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};
use tenancy::address::{self, Target};
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use tenancy::caps::Counted;
use tenancy::delegate::{self, Right};
use tenancy::mailbox::{self, Filter, Kind, MailboxChange, NewMailbox};
use tenancy::tenant::{self, TenantChange};
use tenancy::user::{Fate, Leaving, User};
use tenancy::{Action, Error, Role, policy, user};
use testkit::World;

use crate::address::shared;
use crate::desk::waiting;

#[tokio::test]
async fn a_mailbox_that_is_nobody_s_own_takes_no_seat_and_comes_back_after_deletion() {
    let world = World::new().await;
    let info = mailbox::create(&world.ctx, shared("info")).await.unwrap();
    assert_eq!(
        (info.kind, info.user_id, info.primary_address.as_str()),
        (Kind::Shared, None, "info@acme.example")
    );
    assert_eq!(tenancy::tenant::get(&world.ctx).await.unwrap().seats_used, 0);
    let change = MailboxChange { display_name: Some("Front desk".into()), ..MailboxChange::default() };
    let info = mailbox::update(&world.ctx, info.id, Some(1), change).await.unwrap();
    assert_eq!((info.display_name.as_str(), info.version), ("Front desk", 2));
    assert!(matches!(
        mailbox::delete(&world.ctx, info.id, Some(1)).await,
        Err(Error::VersionMismatch { .. })
    ));
    mailbox::delete(&world.ctx, info.id, Some(2)).await.unwrap();
    assert!(matches!(mailbox::get(&world.ctx, info.id).await, Err(Error::NotFound)));
    let deleted = Filter { deleted: true, kind: None };
    let listed = mailbox::list(&world.ctx, deleted, PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [info.id]);
    assert!(listed[0].deleted_at.is_some());
    // Its address was given away, so it comes back under another.
    world.user("info", None).await;
    assert_eq!(mailbox::restore(&world.ctx, info.id, None).await.unwrap_err().code(), "address_taken");
    let back = mailbox::restore(&world.ctx, info.id, Some("desk@acme.example")).await.unwrap();
    assert_eq!((back.id, back.primary_address.as_str()), (info.id, "desk@acme.example"));
    assert_eq!(mailbox::restore(&world.ctx, info.id, None).await.unwrap_err().code(), "not_deleted");
    mailbox::delete(&world.ctx, info.id, None).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(31));
    assert_eq!(mailbox::restore(&world.ctx, info.id, None).await.unwrap_err().code(), "restore_expired");
}

#[tokio::test]
async fn a_personal_mailbox_is_its_user_s_affair() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let codes = [
        mailbox::delete(&world.ctx, ada.mailbox_id, None).await.unwrap_err().code(),
        mailbox::update(&world.ctx, ada.mailbox_id, None, MailboxChange::default()).await.unwrap_err().code(),
    ];
    assert_eq!(codes, ["mailbox_is_personal"; 2]);
    let mut new = shared("x");
    new.kind = Kind::Personal;
    assert!(matches!(mailbox::create(&world.ctx, new).await, Err(Error::Invalid(_))));
    user::delete(&world.ctx, ada.id, None).await.unwrap();
    let refused = mailbox::restore(&world.ctx, ada.mailbox_id, None).await.unwrap_err();
    assert_eq!(refused.code(), "mailbox_is_personal");
}

#[tokio::test]
async fn a_delegate_reads_and_does_nothing_else() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let info = mailbox::create(&world.ctx, shared("info")).await.unwrap();
    let login = world.login(&ada).await;
    assert!(matches!(mailbox::get(&login.ctx, info.id).await, Err(Error::NotFound)));
    let delegate = delegate::put(&world.ctx, info.id, ada.id, &[Right::SendAs, Right::Read]).await.unwrap();
    assert_eq!(delegate.rights, [Right::Read, Right::SendAs]);

    let ctx = world.login(&ada).await.ctx;
    let seen = mailbox::list(&ctx, Filter::default(), PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(seen.len(), 2);
    assert!(mailbox::get(&ctx, info.id).await.is_ok());
    assert!(ctx.require_mailbox(Action::MessageRead, info.id).is_ok());
    for action in [Action::MessageDelete, Action::MessageWrite, Action::QuotaWrite, Action::MailboxWrite] {
        assert!(matches!(ctx.require_mailbox(action, info.id), Err(Error::Forbidden(_))), "{action}");
    }
    // To send is not to read.
    delegate::put(&world.ctx, info.id, ada.id, &[Right::SendOnBehalf]).await.unwrap();
    let ctx = world.login(&ada).await.ctx;
    assert!(matches!(ctx.require_mailbox(Action::MessageRead, info.id), Err(Error::NotFound)));
    delegate::remove(&world.ctx, info.id, ada.id).await.unwrap();
    assert!(matches!(delegate::remove(&world.ctx, info.id, ada.id).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn a_delegate_with_full_access_does_what_an_owner_does_with_mail_and_nothing_else() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let [info, sales] = ["info", "sales"].map(shared);
    let (info, sales) =
        (mailbox::create(&world.ctx, info).await.unwrap(), mailbox::create(&world.ctx, sales).await.unwrap());
    let delegate = delegate::put(&world.ctx, info.id, ada.id, &[Right::FullAccess]).await.unwrap();
    assert_eq!(delegate.rights, [Right::FullAccess]);
    delegate::put(&world.ctx, sales.id, ada.id, &[Right::Read]).await.unwrap();
    let ctx = world.login(&ada).await.ctx;
    let seen = mailbox::list(&ctx, Filter::default(), PageRequest::new(None, None)).await.unwrap().items;
    assert_eq!(seen.len(), 3);
    assert_eq!(mailbox::of_others(&ctx).await.unwrap().len(), 2);
    for &action in Action::ALL {
        let is_allowed = policy::right_allows(Right::FullAccess, action);
        assert!(!is_allowed || policy::allows(Role::User, action), "no owner may do {action}");
        assert_eq!(ctx.require_mailbox(action, info.id).is_ok(), is_allowed, "{action}");
        let reads = policy::right_allows(Right::Read, action);
        assert_eq!(ctx.require_mailbox(action, sales.id).is_ok(), reads, "{action}");
        assert!(!reads || is_allowed, "to read is less than full access");
        for right in [Right::SendAs, Right::SendOnBehalf] {
            assert!(!policy::right_allows(right, action), "{right} {action}");
        }
    }
    for action in [Action::MessageWrite, Action::MessageDelete] {
        assert!(ctx.require_mailbox(action, info.id).is_ok());
        assert!(matches!(ctx.require_mailbox(action, sales.id), Err(Error::Forbidden(_))));
    }
    // Neither does a role of office make more of it, nor the right more of the role.
    let mut new = testkit::world::new_user("desk@acme.example", None);
    new.role = Role::Helpdesk;
    let desk = user::create(&world.ctx, new).await.unwrap();
    delegate::put(&world.ctx, info.id, desk.id, &[Right::FullAccess]).await.unwrap();
    let ctx = world.login(&desk).await.ctx;
    assert!(ctx.require_mailbox(Action::MessageWrite, info.id).is_ok());
    assert!(ctx.require_mailbox(Action::MessageRead, sales.id).is_err());
    // It is the mailbox's own tenant that is asked, whatever id somebody else's has.
    let other = crate::neighbour(&world).await;
    testkit::world::domain(&other, "other.example").await;
    let stranger = testkit::world::user(&other, "eve@other.example", None).await;
    let ctx = world.login(&stranger).await.ctx;
    assert!(matches!(ctx.require_mailbox(Action::MessageWrite, info.id), Err(Error::NotFound)));
    // What was given is what is there, and no longer than it is.
    delegate::put(&world.ctx, info.id, ada.id, &[Right::Read]).await.unwrap();
    let ctx = world.login(&ada).await.ctx;
    assert!(matches!(ctx.require_mailbox(Action::MessageWrite, info.id), Err(Error::Forbidden(_))));
    delegate::remove(&world.ctx, info.id, ada.id).await.unwrap();
    let ctx = world.login(&ada).await.ctx;
    assert!(matches!(ctx.require_mailbox(Action::MessageRead, info.id), Err(Error::NotFound)));
}

#[tokio::test]
async fn whatever_a_person_s_role_their_own_mailbox_is_listed() {
    let world = World::new().await;
    let (info, sales) = (
        mailbox::create(&world.ctx, shared("info")).await.unwrap(),
        mailbox::create(&world.ctx, shared("sales")).await.unwrap(),
    );
    let all = PageRequest::new(None, None);
    for role in [Role::User, Role::TenantBilling, Role::Helpdesk, Role::TenantAdmin] {
        let mut new = testkit::world::new_user(&format!("{role}@acme.example"), None);
        new.role = role;
        let person = user::create(&world.ctx, new).await.unwrap();
        delegate::put(&world.ctx, info.id, person.id, &[Right::Read]).await.unwrap();
        let ctx = world.login(&person).await.ctx;
        let listed = mailbox::list(&ctx, Filter::default(), all).await.unwrap().items;
        let has = |id| listed.iter().any(|one| one.id == id);
        assert!(has(person.mailbox_id) && has(info.id), "{role}");
        assert_eq!(has(sales.id), policy::allows(role, Action::MailboxRead) && role != Role::User, "{role}");
        assert!(mailbox::get(&ctx, person.mailbox_id).await.is_ok(), "{role}");
    }
    // A key of the same role is nobody, and has none.
    let (_, secret) =
        api_key::create_for_tenant(&world.ctx, NewApiKey::full(Role::TenantBilling)).await.unwrap();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    let key = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let ctx = key.enter(world.tenant.id).await.unwrap();
    assert!(matches!(mailbox::list(&ctx, Filter::default(), all).await, Err(Error::Forbidden(_))));
}

#[tokio::test]
async fn delegates_are_the_tenant_s_own_people() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let info = mailbox::create(&world.ctx, shared("info")).await.unwrap();
    let other = crate::neighbour(&world).await;
    testkit::world::domain(&other, "other.example").await;
    let stranger = testkit::world::user(&other, "eve@other.example", None).await;
    let refused = delegate::put(&world.ctx, info.id, stranger.id, &[Right::Read]).await;
    assert!(matches!(refused, Err(Error::NotFound)));
    assert!(matches!(
        delegate::put(&other, info.id, stranger.id, &[Right::Read]).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(delegate::put(&world.ctx, info.id, ada.id, &[]).await, Err(Error::Invalid(_))));
    let own = delegate::put(&world.ctx, ada.mailbox_id, ada.id, &[Right::Read]).await;
    assert!(matches!(own, Err(Error::Invalid(_))));
    // A mailbox may have an alias, too.
    address::create(&world.ctx, "hello@acme.example", Target::Mailbox(info.id)).await.unwrap();
    assert_eq!(mailbox::get(&world.ctx, info.id).await.unwrap().aliases, ["hello@acme.example"]);
}

#[tokio::test]
async fn two_are_made_delegates_of_each_other_at_once() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let mut holder = world.ctx.begin().await.unwrap();
    sqlx::query("select id from mailboxes for no key update").execute(holder.conn()).await.unwrap();
    let put = |owner: &User, delegate: &User| {
        let (ctx, mailbox_id, user_id) = (world.ctx.clone(), owner.mailbox_id, delegate.id);
        tokio::spawn(async move { delegate::put(&ctx, mailbox_id, user_id, &[Right::Read]).await })
    };
    let both = [put(&ada, &bob), put(&bob, &ada)];
    // Each has locked somebody then, and waits.
    let mut connection = PgConnection::connect(&world.test_db.url()).await.unwrap();
    let waits = async {
        while waiting(&mut connection).await < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap();
    holder.commit().await.unwrap();
    for done in both {
        done.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_may_use_an_administrator_s_mailbox_is_beyond_a_helpdesk() {
    let world = World::new().await;
    let person = async |local: &str, role| {
        let mut new = testkit::world::new_user(&format!("{local}@acme.example"), None);
        new.role = role;
        user::create(&world.ctx, new).await.unwrap()
    };
    let (boss, desk) = (person("boss", Role::TenantAdmin).await, person("desk", Role::Helpdesk).await);
    let secretary = person("secretary", Role::User).await;
    let helpdesk = world.login(&desk).await.ctx;
    user::reset_password(&helpdesk, secretary.id, "another good password".into()).await.unwrap();
    for right in [Right::Read, Right::FullAccess, Right::SendAs, Right::SendOnBehalf] {
        delegate::put(&world.ctx, boss.mailbox_id, secretary.id, &[right]).await.unwrap();
        let refused = user::reset_password(&helpdesk, secretary.id, "yet another password".into()).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    }
    delegate::remove(&world.ctx, boss.mailbox_id, secretary.id).await.unwrap();
    user::reset_password(&helpdesk, secretary.id, "yet another password".into()).await.unwrap();
}

#[tokio::test]
async fn no_alias_is_given_to_a_mailbox_that_is_gone() {
    let world = World::new().await;
    let info = mailbox::create(&world.ctx, shared("info")).await.unwrap();
    mailbox::delete(&world.ctx, info.id, None).await.unwrap();
    let refused = address::create(&world.ctx, "hello@acme.example", Target::Mailbox(info.id)).await;
    assert!(matches!(refused, Err(Error::NotFound)));
}

async fn limit_shared(world: &World, limit: Option<i32>) {
    let change = TenantChange { shared_mailboxes_limit: Some(limit), ..TenantChange::default() };
    tenant::update(&world.ctx, None, change).await.unwrap();
}

/// Whether the tenant has as many as it may.
fn is_full<T>(outcome: &Result<T, Error>) -> bool {
    matches!(
        outcome,
        Err(Error::Exhausted { counted: Counted::SharedMailboxes, level: "tenant", left: 0, .. })
    )
}

async fn counted(world: &World) -> i32 {
    tenant::get(&world.ctx).await.unwrap().shared_mailboxes_used
}

#[tokio::test]
async fn a_cap_counts_what_is_nobody_s_own_and_no_archive_however_it_came_to_be() {
    let world = World::new().await;
    let (ada, ben) = (world.user("ada", None).await, world.user("ben", None).await);
    limit_shared(&world, Some(2)).await;
    let make = async |local: &str, kind: Kind| {
        mailbox::create(&world.ctx, NewMailbox { kind, ..shared(local) }).await
    };
    let info = make("info", Kind::Shared).await.unwrap();
    make("attic", Kind::Room).await.unwrap();
    let full = make("van", Kind::Equipment).await;
    assert!(is_full(&full), "{full:?}");
    assert_eq!(full.unwrap_err().code(), "shared_mailboxes_exhausted");
    // Who leaves may leave an archive behind, and is here as before where it was to be a shared mailbox.
    let leaving = |mailbox| Leaving { mailbox, release_seat: true, hold: None };
    let full = user::offboard(&world.ctx, ada.id, None, leaving(Fate::Shared)).await;
    assert!(is_full(&full), "{full:?}");
    assert_eq!(user::get(&world.ctx, ada.id).await.unwrap(), ada);
    user::offboard(&world.ctx, ben.id, None, leaving(Fate::Archive)).await.unwrap();
    assert_eq!(counted(&world).await, 2);
    mailbox::delete(&world.ctx, info.id, None).await.unwrap();
    user::offboard(&world.ctx, ada.id, None, leaving(Fate::Shared)).await.unwrap();
    let full = mailbox::restore(&world.ctx, info.id, None).await;
    assert!(is_full(&full), "{full:?}");
    // The address is free: had the van been half made, it would be taken.
    limit_shared(&world, Some(3)).await;
    make("van", Kind::Equipment).await.unwrap();
    limit_shared(&world, None).await;
    mailbox::restore(&world.ctx, info.id, None).await.unwrap();
    assert_eq!(counted(&world).await, 4);
    // Another tenant's are its own.
    let other = crate::neighbour(&world).await;
    assert_eq!(tenant::get(&other).await.unwrap().shared_mailboxes_used, 0);
}

#[tokio::test]
async fn of_all_who_race_for_the_last_place_one_gets_it() {
    for round in 0..4 {
        let world = World::new().await;
        let ada = world.user("ada", None).await;
        let gone = mailbox::create(&world.ctx, shared("gone")).await.unwrap();
        mailbox::delete(&world.ctx, gone.id, None).await.unwrap();
        limit_shared(&world, Some(3)).await;
        for local in ["one", "two"] {
            mailbox::create(&world.ctx, shared(local)).await.unwrap();
        }
        let ctx = &world.ctx;
        let make = |n: u32| async move {
            let made = mailbox::create(ctx, shared(&format!("last{n}"))).await;
            made.map(drop)
        };
        let makers = futures::future::join_all((0..12).map(make));
        let restorer = async { mailbox::restore(ctx, gone.id, None).await.map(drop) };
        let leaver = async {
            let leaving = Leaving { mailbox: Fate::Shared, release_seat: true, hold: None };
            user::offboard(ctx, ada.id, None, leaving).await.map(drop)
        };
        let (mut outcomes, restored, left) = futures::join!(makers, restorer, leaver);
        outcomes.extend([restored, left]);
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let refused = outcomes.iter().filter(|outcome| is_full(outcome)).count();
        assert_eq!((won, refused), (1, 13), "{round}: {outcomes:?}");
        assert_eq!(counted(&world).await, 3);
    }
}
