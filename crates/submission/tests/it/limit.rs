//! Sending limits, at each level, with many who send at once.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::sync::Arc;

use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::json;
use submission::Error;
use submission::limit::{self, Bounds, LimitLevel};
use tenancy::event::Kind;
use tenancy::user::User;
use testkit::world;

use crate::support::Bench;

const NO_BOUND: Bounds = Bounds { per_hour: None, per_day: None };

fn an_hour(per_hour: i32) -> Bounds {
    Bounds { per_hour: Some(per_hour), per_day: None }
}

/// The level that refused, the bound and its time.
fn refusal(refused: Result<kernel::OutgoingId, Error>) -> (LimitLevel, i32, &'static str) {
    match refused {
        Err(Error::SendingLimit { level, limit, period, .. }) => (level, limit, period),
        other => panic!("{other:?}"),
    }
}

async fn put_at(bench: &Bench, level: LimitLevel, bounds: Bounds) {
    let (ctx, reseller_id) = (&bench.world.ctx, bench.world.reseller.id);
    match level {
        LimitLevel::Mailbox => limit::put_of_mailbox(ctx, bench.ada.mailbox_id, bounds, None).await,
        LimitLevel::Tenant => limit::put_of_tenant(ctx, bounds, None).await,
        LimitLevel::Reseller => {
            let above = bench.world.operator.enter_reseller(reseller_id).await.unwrap();
            limit::put_of_reseller(&above, bounds, None).await
        }
    }
    .unwrap();
}

async fn race_at(level: LimitLevel) {
    let bench = Arc::new(Bench::new().await);
    put_at(&bench, level, an_hour(21)).await;
    // Each message is for two: the last place is for nobody.
    let sent = (0..32).map(|_| {
        let bench = bench.clone();
        tokio::spawn(async move { bench.try_accept(&["bob@b.example", "eve@e.example"]).await })
    });
    let (mut accepted, mut refused) = (0, 0);
    for outcome in join_all(sent).await {
        match outcome.unwrap() {
            Ok(_) => accepted += 1,
            Err(Error::SendingLimit { level: at, limit: 21, period: "hour", is_ever: true })
                if at == level =>
            {
                refused += 1
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((accepted, refused), (10, 22), "{level:?}");
    assert_eq!(bench.count("select count(*) from outgoing_recipients").await, 20);
    bench.try_accept(&["bob@b.example"]).await.unwrap();
    assert_eq!(refusal(bench.try_accept(&["bob@b.example"]).await), (level, 21, "hour"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_one_too_many_of_a_mailbox_with_32_senders_at_once() {
    race_at(LimitLevel::Mailbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_one_too_many_of_a_tenant_with_32_senders_at_once() {
    race_at(LimitLevel::Tenant).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_one_too_many_of_a_reseller_with_32_senders_at_once() {
    race_at(LimitLevel::Reseller).await;
}

#[tokio::test]
async fn room_comes_back_as_the_hour_and_the_day_pass() {
    let bench = Bench::new().await;
    put_at(&bench, LimitLevel::Mailbox, Bounds { per_hour: Some(2), per_day: Some(3) }).await;
    bench.accept(&["bob@b.example", "ada@acme.example"]).await;
    assert_eq!(refusal(bench.try_accept(&["bob@b.example"]).await), (LimitLevel::Mailbox, 2, "hour"));
    bench.advance(TimeDelta::minutes(59));
    assert_eq!(refusal(bench.try_accept(&["bob@b.example"]).await).2, "hour");
    bench.advance(TimeDelta::minutes(11));
    bench.accept(&["bob@b.example"]).await;
    bench.advance(TimeDelta::hours(2));
    assert_eq!(refusal(bench.try_accept(&["bob@b.example"]).await), (LimitLevel::Mailbox, 3, "day"));
    let seen = limit::of_mailbox(&bench.world.ctx, bench.ada.mailbox_id).await.unwrap();
    assert_eq!((seen.last_hour, seen.last_day, seen.version), (0, 3, 1), "one of our own counts too");
    bench.advance(TimeDelta::hours(22));
    bench.accept(&["bob@b.example"]).await;
}

#[tokio::test]
async fn a_mailbox_has_a_limit_without_anybody_s_doing_and_gets_it_back() {
    let bench = Bench::new().await;
    let (ctx, id) = (&bench.world.ctx, bench.ada.mailbox_id);
    let default = limit::of_mailbox(ctx, id).await.unwrap();
    let bounds = Bounds { per_hour: Some(500), per_day: Some(2_000) };
    assert_eq!((default.bounds, default.updated_at, default.version), (bounds, None, 0));
    let put = limit::put_of_mailbox(ctx, id, an_hour(0), Some(0)).await.unwrap();
    assert_eq!(put.bounds, Bounds { per_hour: Some(0), per_day: Some(2_000) });
    assert_eq!(refusal(bench.try_accept(&["bob@b.example"]).await), (LimitLevel::Mailbox, 0, "hour"));
    assert!(limit::put_of_mailbox(ctx, id, NO_BOUND, Some(0)).await.is_err(), "another version");
    assert_eq!(limit::put_of_mailbox(ctx, id, NO_BOUND, Some(1)).await.unwrap().bounds, bounds);
    bench.accept(&["bob@b.example"]).await;
    assert_eq!(limit::of_tenant(ctx).await.unwrap().bounds, NO_BOUND);
}

#[tokio::test]
async fn what_is_refused_is_not_counted_at_any_level() {
    let bench = Bench::new().await;
    put_at(&bench, LimitLevel::Mailbox, an_hour(100)).await;
    put_at(&bench, LimitLevel::Reseller, an_hour(1)).await;
    let (ctx, id) = (&bench.world.ctx, bench.ada.mailbox_id);
    let refused = bench.try_accept(&["bob@b.example", "eve@e.example"]).await;
    assert!(matches!(refused, Err(Error::SendingLimit { is_ever: false, .. })), "never so many at once");
    assert_eq!(refusal(refused), (LimitLevel::Reseller, 1, "hour"));
    assert_eq!(limit::of_mailbox(ctx, id).await.unwrap().last_hour, 0);
    assert_eq!(limit::of_tenant(ctx).await.unwrap().last_hour, 0);
    bench.accept(&["bob@b.example"]).await;
    assert_eq!(limit::of_tenant(ctx).await.unwrap().last_hour, 1);
}

#[tokio::test]
async fn a_reseller_s_limit_is_over_its_tenants_and_those_below_and_not_its_own_to_put() {
    let bench = Bench::new().await;
    let (operator, reseller) = (&bench.world.operator, &bench.world.reseller);
    put_at(&bench, LimitLevel::Reseller, an_hour(2)).await;
    let below = world::reseller_below(operator, reseller, "Below").await;
    let other = world::tenant(operator, &below, "Other").await;
    let ctx = operator.enter(other.id).await.unwrap();
    world::domain(&ctx, "other.example").await;
    let dora: User = world::user(&ctx, "dora@other.example", None).await;
    bench.accept(&["bob@b.example"]).await;
    let dora_s = || bench.try_accept_of(&dora, &["bob@b.example"]);
    dora_s().await.unwrap();
    assert_eq!(refusal(dora_s().await), (LimitLevel::Reseller, 2, "hour"));
    assert_eq!(refusal(bench.try_accept(&["bob@b.example"]).await).0, LimitLevel::Reseller);
    let above = operator.enter_reseller(reseller.id).await.unwrap();
    assert_eq!(limit::of_reseller(&above).await.unwrap().last_hour, 2);
}

/// Nobody reads an event for each message that a script has refused.
#[tokio::test]
async fn it_is_told_once_in_an_hour_or_day_that_a_limit_is_reached() {
    let bench = Bench::new().await;
    let ids = [
        bench.ada.mailbox_id.to_string(),
        bench.world.tenant.id.to_string(),
        bench.world.reseller.id.to_string(),
    ];
    let kinds = [Kind::MailboxSendingLimited, Kind::TenantSendingLimited, Kind::ResellerSendingLimited];
    let levels = [LimitLevel::Mailbox, LimitLevel::Tenant, LimitLevel::Reseller];
    for ((level, kind), id) in levels.into_iter().zip(kinds).zip(ids) {
        let told = async || {
            bench.events(kind).await.into_iter().map(|event| (event.subject, event.data)).collect::<Vec<_>>()
        };
        put_at(&bench, level, an_hour(2)).await;
        for _ in 0..2 {
            bench.try_accept(&["bob@b.example"]).await.unwrap();
        }
        assert_eq!(told().await, []);
        let by_the_hour = (id.clone(), json!({"period": "hour", "limit": 2}));
        for _ in 0..3 {
            assert_eq!(refusal(bench.try_accept(&["bob@b.example"]).await), (level, 2, "hour"));
            bench.advance(TimeDelta::minutes(15));
        }
        assert_eq!(told().await, std::slice::from_ref(&by_the_hour), "{level:?}");
        // More at once than ever, and a bound of another time.
        bench.advance(TimeDelta::hours(1));
        refusal(bench.try_accept(&["a@b.example", "b@b.example", "c@b.example"]).await);
        assert_eq!(told().await, [by_the_hour.clone(), by_the_hour.clone()], "{level:?}");
        put_at(&bench, level, Bounds { per_hour: Some(i32::MAX), per_day: Some(1) }).await;
        for _ in 0..3 {
            bench.advance(TimeDelta::hours(2));
            assert_eq!(refusal(bench.try_accept(&["bob@b.example"]).await), (level, 1, "day"));
        }
        // As an hour has been told of so shortly, the day is not.
        assert_eq!(told().await.len(), 2, "{level:?}");
        bench.advance(TimeDelta::days(1));
        bench.try_accept(&["bob@b.example"]).await.unwrap();
        refusal(bench.try_accept(&["bob@b.example"]).await);
        assert_eq!(told().await[2], (id, json!({"period": "day", "limit": 1})), "{level:?}");
        put_at(&bench, level, Bounds { per_hour: Some(i32::MAX), per_day: Some(i32::MAX) }).await;
        bench.advance(TimeDelta::days(2));
    }
}
