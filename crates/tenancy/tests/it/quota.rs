//! A mailbox's bytes under contention.

use futures::future::join_all;
use kernel::MailboxId;
use tenancy::quota::{self, Bounds, Charge, Threshold};
use tenancy::{Action, event};
use testkit::World;
use uuid::Uuid;

#[tokio::test]
async fn of_many_writers_at_one_free_slot_exactly_one_wins() {
    let world = World::new().await;
    let mailbox = world.user("ada", Some(100)).await.mailbox_id;
    let attempts = (0..64).map(|_| {
        let ctx = world.ctx.clone();
        async move {
            let mut tx = ctx.begin().await.unwrap();
            let charge = quota::charge(&mut tx, &ctx, mailbox, 60).await.unwrap();
            tx.commit().await.unwrap();
            charge
        }
    });
    let outcomes = join_all(attempts).await;
    let taken = outcomes.iter().filter(|charge| matches!(charge, Charge::Taken { .. })).count();
    let over = outcomes.iter().filter(|charge| **charge == Charge::OverQuota).count();
    assert_eq!((taken, over), (1, 63));
    assert_eq!(tenancy::mailbox::get(&world.ctx, mailbox).await.unwrap().quota.used_bytes, 60);
}

#[tokio::test]
async fn bytes_move_between_used_and_recoverable() {
    let world = World::new().await;
    let mailbox = world.user("ada", Some(100)).await.mailbox_id;
    let mut tx = world.ctx.begin().await.unwrap();
    assert!(matches!(quota::charge(&mut tx, &world.ctx, mailbox, 100).await.unwrap(), Charge::Taken { .. }));
    quota::discard(&mut tx, &world.ctx, mailbox, 100).await.unwrap();
    assert!(matches!(quota::charge(&mut tx, &world.ctx, mailbox, 1).await.unwrap(), Charge::Taken { .. }));
    assert_eq!(quota::recover(&mut tx, &world.ctx, mailbox, 100).await.unwrap(), Charge::OverQuota);
    quota::forget(&mut tx, mailbox, 100).await.unwrap();
    tx.commit().await.unwrap();
    let quota = tenancy::mailbox::get(&world.ctx, mailbox).await.unwrap().quota;
    assert_eq!((quota.used_bytes, quota.recoverable_bytes), (1, 0));
}

#[tokio::test]
async fn a_quota_may_fall_below_what_is_used_and_loses_nothing() {
    let world = World::new().await;
    let mailbox = world.user("ada", None).await.mailbox_id;
    let mut tx = world.ctx.begin().await.unwrap();
    quota::charge(&mut tx, &world.ctx, mailbox, 100).await.unwrap();
    tx.commit().await.unwrap();
    let bounds = Bounds { quota_bytes: Some(10), ..Default::default() };
    let (lowered, effective) = tenancy::mailbox::set_quota(&world.ctx, mailbox, None, bounds).await.unwrap();
    assert_eq!((lowered.quota.bounds.quota_bytes, lowered.quota.used_bytes), (Some(10), 100));
    assert_eq!(lowered.quota.reached(), Some(Threshold::Quota));
    assert_eq!((effective.limit_bytes, effective.inherited_from), (Some(10), Some("mailbox")));
    let wanted = [(&world.ctx, mailbox, 1), (&world.ctx, MailboxId::from_uuid(Uuid::nil()), 1)];
    let full = quota::Room { fits: false, storage_dedicated: false };
    assert_eq!(quota::have_room(world.ctx.db(), &wanted).await.unwrap(), [Some(full), None]);
}

/// What the trail says of the thresholds that a mailbox crossed: which, and whether upwards.
async fn crossed(world: &World) -> Vec<(String, bool)> {
    event::chain(&world.test_db.db()).await.unwrap();
    let filter = event::Filter { kinds: [event::Kind::MailboxQuotaWarning].into(), ..Default::default() };
    let page = kernel::PageRequest::new(Some(200), None);
    let events = event::list(&world.operator, Action::EventRead, &filter, page).await.unwrap().items;
    let each = events.iter().map(|chained| &chained.event.data);
    each.map(|data| (data["threshold"].as_str().unwrap().into(), data["reached"].as_bool().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_threshold_that_is_crossed_is_an_event_either_way() {
    let world = World::new().await;
    let mailbox = world.user("ada", Some(100)).await.mailbox_id;
    let warned = |reached| ("warn".to_owned(), reached);
    let mut tx = world.ctx.begin().await.unwrap();
    quota::charge(&mut tx, &world.ctx, mailbox, 89).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(crossed(&world).await, []);
    let mut tx = world.ctx.begin().await.unwrap();
    quota::charge(&mut tx, &world.ctx, mailbox, 1).await.unwrap();
    quota::charge(&mut tx, &world.ctx, mailbox, 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(crossed(&world).await, [warned(true)]);
    let mut tx = world.ctx.begin().await.unwrap();
    quota::discard(&mut tx, &world.ctx, mailbox, 50).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(crossed(&world).await, [warned(true), warned(false)]);
    let bounds = Bounds { quota_bytes: Some(41), ..Default::default() };
    tenancy::mailbox::set_quota(&world.ctx, mailbox, None, bounds).await.unwrap();
    let all = [warned(true), warned(false), warned(true), ("quota".to_owned(), true)];
    assert_eq!(crossed(&world).await, all);
}

#[tokio::test]
async fn a_mailbox_that_may_send_no_more_and_one_that_may_again_are_events() {
    let world = World::new().await;
    let mailbox = world.user("ada", None).await.mailbox_id;
    let bounds = Bounds { quota_bytes: Some(100), warn_bytes: Some(50), block_send_bytes: Some(70) };
    tenancy::mailbox::set_quota(&world.ctx, mailbox, None, bounds).await.unwrap();
    let charge = async |bytes| {
        let mut tx = world.ctx.begin().await.unwrap();
        let charge = quota::charge(&mut tx, &world.ctx, mailbox, bytes).await.unwrap();
        assert!(matches!(charge, Charge::Taken { .. }), "{charge:?}");
        tx.commit().await.unwrap();
    };
    let (warned, blocked) = (("warn".to_owned(), true), |reached| ("block_send".to_owned(), reached));
    charge(69).await;
    assert_eq!(crossed(&world).await, std::slice::from_ref(&warned));
    charge(1).await;
    assert_eq!(crossed(&world).await, [warned.clone(), blocked(true)]);
    charge(1).await;
    let mut tx = world.ctx.begin().await.unwrap();
    quota::discard(&mut tx, &world.ctx, mailbox, 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(crossed(&world).await, [warned, blocked(true), blocked(false)]);
}
