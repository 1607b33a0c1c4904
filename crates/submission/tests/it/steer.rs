//! What senders and administrators do with what is on its way.

use chrono::TimeDelta;
use kernel::PageRequest;
use secrecy::ExposeSecret as _;
use submission::Error;
use submission::outgoing::State::{Delivered, Dropped, Failed, Held, Queued};
use submission::outgoing::{self, Filter, State};
use submission::queue::{self, Way};
use tenancy::policy::Capability;
use tenancy::{tenant, user};
use testkit::world;

use crate::support::Bench;

#[tokio::test]
async fn is_held_and_let_go() {
    let bench = Bench::new().await;
    let ctx = &bench.world.ctx;
    let id = bench.accept(&["bob@b.example"]).await;
    let held = outgoing::hold(ctx, id, "looks stolen", Some(1)).await.unwrap();
    assert_eq!((held.version, held.hold_reason.as_deref()), (2, Some("looks stolen")));
    assert_eq!(bench.states(id).await, [(Held, 0)]);
    bench.advance(TimeDelta::days(6));
    assert_eq!(bench.send_due().await.delivered, 0);
    assert!(matches!(
        outgoing::release(ctx, id, Some(1)).await,
        Err(Error::Mail(mailstore::Error::Tenancy(_)))
    ));
    outgoing::release(ctx, id, None).await.unwrap();
    assert_eq!(bench.states(id).await, [(Queued, 0)]);
    assert_eq!(bench.send_due().await.delivered, 1);
    assert!(matches!(outgoing::hold(ctx, id, "late", None).await, Err(Error::State(_))));
    let reason = outgoing::hold(ctx, id, "", None).await.unwrap_err();
    assert_eq!(reason.kind(), kernel::ErrorKind::Invalid);
}

#[tokio::test]
async fn is_sent_again_after_it_failed_and_dropped_before_it_does() {
    let bench = Bench::new().await;
    let ctx = &bench.world.ctx;
    bench.smarthost.answer("bob@b.example", "550 5.7.1 not from you");
    let id = bench.accept(&["bob@b.example", "dora@b.example"]).await;
    bench.send_due().await;
    assert_eq!(bench.states(id).await, [(Failed, 1), (Delivered, 1)]);
    bench.smarthost.recover();
    bench.advance(TimeDelta::days(2));
    outgoing::retry(ctx, id, None).await.unwrap();
    assert_eq!(bench.states(id).await, [(Queued, 0), (Delivered, 1)]);
    bench.send_due().await;
    assert_eq!(bench.states(id).await, [(Delivered, 1), (Delivered, 1)]);
    assert!(matches!(outgoing::retry(ctx, id, None).await, Err(Error::State(_))));
    assert!(matches!(outgoing::drop(ctx, id, None).await, Err(Error::State(_))));

    let id = bench.accept(&["bob@b.example"]).await;
    let claim = queue::claim(bench.submission.db(), 64, Way::Out).await.unwrap().remove(0);
    assert_eq!(bench.states(id).await, [(State::Delivering, 1)]);
    assert!(matches!(outgoing::drop(ctx, id, None).await, Err(Error::UnderWay)));
    bench.advance(queue::LEASE);
    let dropped = outgoing::drop(ctx, id, None).await.unwrap();
    assert_eq!(dropped.recipients[0].state, Dropped);
    // Who had it in hand finds nothing to note.
    bench.submission.attempt(claim).await;
    assert_eq!(bench.states(id).await, [(Dropped, 1)]);
    assert!(matches!(outgoing::retry(ctx, id, None).await, Err(Error::State(_))));
}

#[tokio::test]
async fn what_failed_long_ago_cannot_be_sent_again() {
    let bench = Bench::new().await;
    bench.smarthost.answer("bob@b.example", "550 5.7.1 not from you");
    let id = bench.accept(&["bob@b.example"]).await;
    bench.send_due().await;
    bench.send_due().await;
    bench.advance(submission::sweep::BODIES_FOR + TimeDelta::seconds(1));
    submission::sweep::run(bench.submission.db()).await.unwrap();
    let again = outgoing::retry(&bench.world.ctx, id, None).await;
    assert!(matches!(again, Err(Error::BodyGone)), "{again:?}");
    assert_eq!(bench.states(id).await, [(Failed, 1)]);
}

#[tokio::test]
async fn a_tenant_that_may_not_send_keeps_what_it_has_queued() {
    let bench = Bench::new().await;
    let (ctx, tenant) = (&bench.world.ctx, &bench.world.tenant);
    let id = bench.accept(&["bob@b.example"]).await;
    tenant::suspend(ctx, None, &[Capability::Send]).await.unwrap();
    assert_eq!(bench.send_due().await.delivered, 0);
    assert_eq!(bench.states(id).await, [(Queued, 0)]);
    tenant::resume(ctx, None, &[]).await.unwrap();
    bench.advance(TimeDelta::minutes(10));
    assert_eq!(bench.send_due().await.delivered, 1, "{}", tenant.id);
}

#[tokio::test]
async fn is_seen_by_those_whose_it_is() {
    let bench = Bench::new().await;
    let world = &bench.world;
    let bob = world.user("bob", None).await;
    let ids =
        [bench.accept(&["a@b.example"]).await, bench.accept(&["bob@acme.example", "c@d.example"]).await];
    let list = async |ctx: &tenancy::Ctx, filter: Filter| {
        let page = outgoing::list(ctx, filter, PageRequest::new(None, None)).await?;
        Ok::<_, Error>(page.items.iter().map(|one| one.id).collect::<Vec<_>>())
    };
    let (ada, of_bob) = (world.login(&bench.ada).await.ctx, world.login(&bob).await.ctx);
    let mut sorted = ids.to_vec();
    sorted.sort();
    assert_eq!(list(&world.ctx, Filter::default()).await.unwrap(), sorted);
    assert_eq!(list(&ada, Filter::default()).await.unwrap(), sorted);
    assert_eq!(list(&of_bob, Filter::default()).await.unwrap(), []);
    let own = Filter { mailbox_id: Some(bench.ada.mailbox_id), ..Filter::default() };
    assert!(matches!(list(&of_bob, own).await, Err(Error::NotFound)));
    assert!(matches!(outgoing::get(&of_bob, ids[0]).await, Err(Error::NotFound)));
    assert!(matches!(outgoing::drop(&of_bob, ids[0], None).await, Err(Error::NotFound)));
    let at_d = Filter { domain: Some("D.Example".to_owned()), ..Filter::default() };
    assert_eq!(list(&world.ctx, at_d).await.unwrap(), [ids[1]]);
    let at_none = Filter { domain: Some("\0".to_owned()), ..Filter::default() };
    assert_eq!(list(&world.ctx, at_none).await.unwrap(), []);
    bench.send_due().await;
    let queued = Filter { state: Some(Queued), ..Filter::default() };
    assert_eq!(list(&world.ctx, queued).await.unwrap(), []);
    let delivered = Filter { state: Some(Delivered), ..Filter::default() };
    assert_eq!(list(&world.ctx, delivered).await.unwrap(), sorted);
    outgoing::get(&ada, ids[0]).await.unwrap();
    let south = world::tenant(&world.operator, &world.reseller, "South").await;
    let south = world.operator.enter(south.id).await.unwrap();
    assert!(matches!(outgoing::get(&south, ids[0]).await, Err(Error::NotFound)));
    assert_eq!(list(&south, Filter::default()).await.unwrap(), []);
}

/// Between the look and the change, somebody else may have begun to send it.
#[tokio::test]
async fn what_is_held_or_dropped_while_it_is_claimed_is_one_or_the_other() {
    let bench = Bench::new().await;
    let ctx = &bench.world.ctx;
    for n in 0..12 {
        let id = bench.accept(&["bob@b.example"]).await;
        let steer = async {
            match n % 2 {
                0 => outgoing::hold(ctx, id, "stolen", None).await,
                _ => outgoing::drop(ctx, id, None).await,
            }
        };
        let (steered, claims) = tokio::join!(steer, queue::claim(bench.submission.db(), 64, Way::Out));
        let claims = claims.unwrap();
        let sent = claims.iter().any(|claim| claim.id == id);
        match steered {
            Ok(now) if n % 2 == 0 => {
                assert!(!sent || now.recipients[0].state == State::Delivering, "{now:?}")
            }
            Ok(now) => assert!(!sent && now.recipients[0].state == Dropped, "{now:?}"),
            Err(error) => assert!(sent && matches!(error, Error::UnderWay), "{error:?}"),
        }
        for claim in claims {
            bench.submission.attempt(claim).await;
        }
    }
}

#[tokio::test]
async fn what_was_queued_by_somebody_who_was_stopped_stays_when_they_leave() {
    let bench = Bench::new().await;
    let (ctx, ada) = (&bench.world.ctx, bench.ada.id);
    let id = bench.accept(&["bob@b.example"]).await;
    user::suspend(ctx, ada, None, &[Capability::Send]).await.unwrap();
    bench.advance(TimeDelta::minutes(10));
    assert_eq!(bench.send_due().await.delivered, 0);
    bench.execute("update outgoing_messages set user_id = gen_random_uuid()").await;
    bench.advance(TimeDelta::minutes(10));
    assert_eq!(bench.send_due().await.delivered, 0, "nobody says that they may");
    assert_eq!(bench.states(id).await, [(Queued, 0)]);
}

#[tokio::test]
async fn a_hold_is_an_administrator_s() {
    let bench = Bench::new().await;
    let ada = bench.world.login(&bench.ada).await.ctx;
    let id = bench.accept(&["bob@b.example"]).await;
    let forbidden = |done: Result<_, Error>| done.unwrap_err().kind() == kernel::ErrorKind::Forbidden;
    assert!(forbidden(outgoing::hold(&ada, id, "mine", None).await));
    outgoing::hold(&bench.world.ctx, id, "stolen", None).await.unwrap();
    assert!(forbidden(outgoing::release(&ada, id, None).await));
    outgoing::retry(&ada, id, None).await.unwrap();
    assert_eq!((bench.send_due().await.delivered, bench.states(id).await), (0, vec![(Held, 0)]));
    outgoing::drop(&ada, id, None).await.unwrap();
}

#[tokio::test]
async fn is_listed_over_all_tenants_that_a_caller_sees() {
    let bench = Bench::new().await;
    let operator = &bench.world.operator;
    let south = world::reseller(operator, "South").await;
    let other = world::tenant(operator, &south, "Other").await;
    let ctx = operator.enter(other.id).await.unwrap();
    world::domain(&ctx, "other.example").await;
    let dora = world::user(&ctx, "dora@other.example", None).await;
    let of_ada = bench.accept(&["bob@b.example", "ada@acme.example"]).await;
    bench.advance(TimeDelta::seconds(1));
    let of_dora = bench.try_accept_of(&dora, &["eve@e.example"]).await.unwrap();
    let list = async |caller: &tenancy::Caller, filter: Filter| {
        let page = outgoing::list_all(caller, filter, PageRequest::new(None, None)).await.unwrap();
        page.items.iter().map(|one| (one.tenant_id, one.id, one.recipients.len())).collect::<Vec<_>>()
    };
    let (adas, doras) = ((bench.world.tenant.id, of_ada, 2), (other.id, of_dora, 1));
    assert_eq!(list(operator, Filter::default()).await, [adas, doras]);
    let to_e = Filter { domain: Some("E.example".into()), ..Filter::default() };
    assert_eq!(list(operator, to_e).await, [doras]);
    let dropped = Filter { state: Some(Dropped), ..Filter::default() };
    assert_eq!(list(operator, dropped).await, []);
    let admin = async |reseller_id| {
        let above = operator.enter_reseller(reseller_id).await.unwrap();
        let new = tenancy::api_key::NewApiKey::full(tenancy::Role::ResellerAdmin);
        let (_, secret) = tenancy::api_key::create_for_reseller(&above, new).await.unwrap();
        let auth = tenancy::auth::Auth::new(bench.world.test_db.db()).await.unwrap();
        auth.bearer(secret.expose_secret(), bench.world.origin()).await.unwrap()
    };
    assert_eq!(list(&admin(south.id).await, Filter::default()).await, [doras]);
    assert_eq!(list(&admin(bench.world.reseller.id).await, Filter::default()).await, [adas]);
    let adas_alone = list(bench.world.login(&bench.ada).await.ctx.caller(), Filter::default()).await;
    assert_eq!(adas_alone, [adas]);
    tenancy::tenant::delete(&ctx, None).await.unwrap();
    assert_eq!(list(operator, Filter::default()).await, [adas], "nothing of a deleted tenant is sent");
}
