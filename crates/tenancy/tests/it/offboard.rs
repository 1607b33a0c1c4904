use kernel::{OperationId, PageRequest};
use tenancy::app_password::{self, NewAppPassword};
use tenancy::mailbox::{self, Kind};
use tenancy::policy::Capability;
use tenancy::quota::drift;
use tenancy::user::{self, Fate, Leaving, User};
use tenancy::{Ctx, Error, Role, hold, operation, tenant};
use testkit::World;

use crate::lands;

async fn leave(world: &World, user: &User, mailbox: Fate, release_seat: bool) -> operation::Operation {
    let leaving = Leaving { mailbox, release_seat, hold: None };
    user::offboard(&world.ctx, user.id, None, leaving).await.unwrap()
}

async fn seats(world: &World) -> i32 {
    assert_eq!(drift(&world.test_db.db()).await.unwrap(), 0);
    tenant::get(&world.ctx).await.unwrap().seats_used
}

#[tokio::test]
async fn a_mailbox_that_becomes_shared_lives_on_without_its_user() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let phone = NewAppPassword { name: "phone".into(), protocols: vec![Capability::Pop3], expires_at: None };
    app_password::create(&world.ctx, ada.id, phone).await.unwrap();
    let done = leave(&world, &ada, Fate::Shared, true).await;
    let steps: Vec<_> = done.steps.iter().map(|step| (step.name.as_str(), step.outcome.as_str())).collect();
    let expected =
        [("sessions", "ended"), ("app_passwords", "1 revoked"), ("mailbox", "shared"), ("seat", "released")];
    assert_eq!(steps, expected);
    assert_eq!(seats(&world).await, 0);
    assert!(matches!(user::get(&world.ctx, ada.id).await, Err(Error::NotFound)));
    let mailbox = mailbox::get(&world.ctx, ada.mailbox_id).await.unwrap();
    assert_eq!((mailbox.kind, mailbox.user_id), (Kind::Shared, None));
    assert_eq!(
        (mailbox.primary_address.as_str(), mailbox.display_name),
        ("ada@acme.example", ada.display_name)
    );
    assert!(!lands(&world, "ada@acme.example").await.is_empty());
    let read = operation::get(&world.operator, done.id).await.unwrap();
    let result = serde_json::json!({"mailbox": "shared", "mailbox_id": ada.mailbox_id, "seat_released": true,
        "app_passwords_revoked": 1, "hold_id": null});
    assert_eq!((read.result.as_ref(), read.problem()), (Some(&result), None));
    assert_eq!((read.status.as_str(), read.subject, read.done), ("succeeded", ada.id.to_string(), 4));
}

#[tokio::test]
async fn an_archive_is_kept_and_nothing_arrives_there() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    leave(&world, &ada, Fate::Archive, true).await;
    let mailbox = mailbox::get(&world.ctx, ada.mailbox_id).await.unwrap();
    assert_eq!((mailbox.kind, mailbox.primary_address.as_str()), (Kind::Archive, "ada@acme.example"));
    assert!(lands(&world, "ada@acme.example").await.is_empty());
    assert!(lands(&world, "postmaster@acme.example").await.is_empty());
    assert_eq!(seats(&world).await, 0);
}

#[tokio::test]
async fn whose_mailbox_is_kept_is_suspended_or_deleted() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    leave(&world, &ada, Fate::Keep, false).await;
    let suspended = user::get(&world.ctx, ada.id).await.unwrap();
    assert_eq!(suspended.status, "suspended");
    assert!(!suspended.suspended_capabilities.contains(&Capability::Receive));
    assert_eq!(suspended.suspended_capabilities.len(), Capability::ALL.len() - 1);
    assert!(!lands(&world, "ada@acme.example").await.is_empty());
    leave(&world, &bob, Fate::Keep, true).await;
    assert_eq!(seats(&world).await, 1);
    user::restore(&world.ctx, bob.id, None).await.unwrap();
}

#[tokio::test]
async fn all_of_it_or_nothing() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    let leaving = Leaving { mailbox: Fate::Archive, release_seat: false, hold: None };
    let refused = user::offboard(&world.ctx, ada.id, None, leaving.clone()).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    let late = user::offboard(&world.ctx, ada.id, Some(99), Leaving { release_seat: true, ..leaving }).await;
    assert!(matches!(late, Err(Error::VersionMismatch { .. })), "{late:?}");
    assert_eq!(user::get(&world.ctx, ada.id).await.unwrap().version, 1);
    world.login(&ada).await;
    let unknown = OperationId::from_uuid(uuid::Uuid::from_u128(1));
    assert!(matches!(operation::get(&world.operator, unknown).await, Err(Error::NotFound)));
    let page = mailbox::list(&world.ctx, Default::default(), PageRequest::new(None, None)).await.unwrap();
    assert_eq!(page.items.len(), 1);
}

#[tokio::test]
async fn a_leaver_s_mailbox_is_on_hold_from_the_moment_they_are_gone() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let mut desk = testkit::world::new_user("desk@acme.example", None);
    desk.role = Role::Helpdesk;
    let desk = user::create(&world.ctx, desk).await.unwrap();
    let helpdesk = world.login(&desk).await.ctx;
    let leave = async |ctx: &Ctx, who: &User, mailbox: Fate, reason: &str| {
        let leaving = Leaving { mailbox, release_seat: true, hold: Some(reason.into()) };
        user::offboard(ctx, who.id, None, leaving).await
    };
    let holds = async || hold::list(&world.ctx, &PageRequest::new(None, None)).await.unwrap().items;
    // Who may not place a hold, or says no reason, offboards nobody.
    let forbidden = leave(&helpdesk, &ada, Fate::Keep, "Case 17").await;
    assert!(matches!(forbidden, Err(Error::Forbidden(_))), "{forbidden:?}");
    let without = leave(&world.ctx, &ada, Fate::Keep, "").await;
    assert!(
        matches!(&without, Err(Error::Invalid(errors)) if errors[0].pointer == "/hold/reason"),
        "{without:?}"
    );
    assert!(holds().await.is_empty());
    world.login(&ada).await;

    for (who, fate, nth) in [(&ada, Fate::Keep, 0), (&bob, Fate::Shared, 1)] {
        let done = leave(&world.ctx, who, fate, "Case 17").await.unwrap();
        let placed = holds().await.remove(nth);
        assert_eq!(placed.mailbox_id, Some(who.mailbox_id));
        assert_eq!((placed.reason.as_str(), placed.released_at), ("Case 17", None));
        let last = done.steps.last().unwrap();
        assert_eq!((last.name.as_str(), last.outcome.clone()), ("hold", placed.id.to_string()));
        assert_eq!((done.steps.len(), done.total), (5, 5));
        world.test_db.clock().advance(chrono::TimeDelta::milliseconds(1));
    }
    assert_eq!(seats(&world).await, 1);
}
