use chrono::TimeDelta;
use kernel::PageRequest;
use tenancy::address::{self, Target};
use tenancy::delegate::{self, Right};
use tenancy::mailbox::{self, Filter, Kind, MailboxChange};
use tenancy::{Action, Error, Role, user};
use testkit::World;

use crate::address::shared;

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
async fn who_reads_an_administrator_s_mailbox_is_beyond_a_helpdesk() {
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
    delegate::put(&world.ctx, boss.mailbox_id, secretary.id, &[Right::Read]).await.unwrap();
    let refused = user::reset_password(&helpdesk, secretary.id, "yet another password".into()).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    delegate::put(&world.ctx, boss.mailbox_id, secretary.id, &[Right::SendAs]).await.unwrap();
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
