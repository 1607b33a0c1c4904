//! Webhook endpoints: who gets what, and what becomes of it.

use std::time::Duration;

use chrono::TimeDelta;
use kernel::PageRequest;
use secrecy::ExposeSecret as _;
use sqlx::Connection as _;
use tenancy::api_key::{self, NewApiKey};
use tenancy::event::{self, Filter, Kind};
use tenancy::webhook_endpoint::WebhookEndpointChange;
use tenancy::webhook_endpoint::{self, DeliveryStatus, Due, Free, NewWebhookEndpoint, WebhookEndpoint};
use tenancy::{Action, Caller, Error, Origin, Role, Scope, purge};
use testkit::{World, world};
use webhook::{Guard, Outcome, Received, Secret};

use crate::neighbour;

const URL: &str = "https://hooks.example/in";
const LEASE: TimeDelta = TimeDelta::minutes(2);

async fn caller(world: &World, secret: secrecy::SecretString) -> Caller {
    let auth = tenancy::auth::Auth::new(world.test_db.db()).await.unwrap();
    auth.bearer(secret.expose_secret(), Origin::local(world.request_id())).await.unwrap()
}

async fn tenant_admin(world: &World, ctx: &tenancy::Ctx) -> Caller {
    let (_, secret) = api_key::create_for_tenant(ctx, NewApiKey::full(Role::TenantAdmin)).await.unwrap();
    caller(world, secret).await
}

async fn narrowed(world: &World, actions: &[Action]) -> Caller {
    let new = NewApiKey { actions: actions.iter().copied().collect(), ..NewApiKey::full(Role::TenantAdmin) };
    let (_, secret) = api_key::create_for_tenant(&world.ctx, new).await.unwrap();
    caller(world, secret).await
}

async fn reseller_admin(world: &World, id: kernel::ResellerId) -> Caller {
    let ctx = world.operator.enter_reseller(id).await.unwrap();
    let (_, secret) = api_key::create_for_reseller(&ctx, NewApiKey::full(Role::ResellerAdmin)).await.unwrap();
    caller(world, secret).await
}

async fn endpoint(caller: &Caller, kinds: &[Kind]) -> (WebhookEndpoint, Secret) {
    let new =
        NewWebhookEndpoint { url: URL.into(), kinds: kinds.iter().copied().collect(), description: None };
    let (endpoint, secret) = webhook_endpoint::create(caller, &Guard::default(), new).await.unwrap();
    (endpoint, Secret::parse(secret.expose_secret()).unwrap())
}

async fn deliveries(caller: &Caller, endpoint: &WebhookEndpoint) -> Vec<webhook_endpoint::Delivery> {
    let page = PageRequest::new(Some(200), None);
    webhook_endpoint::deliveries(caller, endpoint.id, None, page).await.unwrap().items
}

async fn claim(world: &World) -> Vec<Due> {
    let free = Free { all: 16, of_mail: 16 };
    webhook_endpoint::claim(&world.test_db.db(), free, LEASE).await.unwrap()
}

async fn settle(world: &World, due: &Due, status: u16) {
    let outcome = Outcome {
        status: Some(status),
        excerpt: "said".into(),
        duration: Duration::from_millis(7),
        retry_after: None,
        error: None,
    };
    webhook_endpoint::settle(&world.test_db.db(), due, &outcome).await.unwrap();
}

async fn chain(world: &World) {
    tenancy::event::chain(&world.test_db.db()).await.unwrap();
}

#[tokio::test]
async fn each_gets_its_own_part_of_the_tree_s_events() {
    let world = World::new().await;
    let other = neighbour(&world).await;
    let stranger = world::reseller(&world.operator, "Foreign").await;
    let owners = [
        world.operator.clone(),
        reseller_admin(&world, world.reseller.id).await,
        tenant_admin(&world, &world.ctx).await,
        tenant_admin(&world, &other).await,
        reseller_admin(&world, stranger.id).await,
    ];
    chain(&world).await;
    let mut endpoints = Vec::new();
    for owner in &owners {
        endpoints.push(endpoint(owner, &[Kind::UserCreated]).await.0);
    }
    world.user("ada", None).await;
    chain(&world).await;
    chain(&world).await;
    let mut counts = Vec::new();
    for (owner, endpoint) in owners.iter().zip(&endpoints) {
        let got = deliveries(owner, endpoint).await;
        assert!(got.iter().all(|one| one.kind == "user.created" && one.status == DeliveryStatus::Pending));
        counts.push(got.len());
    }
    assert_eq!(counts, [1, 1, 1, 0, 0]);
    let due = claim(&world).await;
    assert_eq!(due.len(), 3);
    assert!(claim(&world).await.is_empty(), "leased");
    let body: serde_json::Value = serde_json::from_slice(&due[0].message.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["id"]),
        (&"user.created".into(), &due[0].message.id.as_str().into())
    );
    assert_eq!(body["data"]["tenant_id"], world.tenant.id.to_string());
}

#[tokio::test]
async fn somebody_else_s_endpoint_does_not_exist() {
    let world = World::new().await;
    let admin = tenant_admin(&world, &world.ctx).await;
    let (mine, _) = endpoint(&admin, &[]).await;
    let reseller = reseller_admin(&world, world.reseller.id).await;
    for other in [&world.operator, &reseller, &tenant_admin(&world, &neighbour(&world).await).await] {
        assert!(matches!(webhook_endpoint::get(other, mine.id).await, Err(Error::NotFound)));
        assert!(matches!(webhook_endpoint::delete(other, mine.id, None).await, Err(Error::NotFound)));
        assert!(matches!(webhook_endpoint::rotate_secret(other, mine.id, None).await, Err(Error::NotFound)));
        let page = PageRequest::new(None, None);
        assert!(webhook_endpoint::list(other, page).await.unwrap().items.is_empty());
        assert!(matches!(
            webhook_endpoint::deliveries(other, mine.id, None, page).await,
            Err(Error::NotFound)
        ));
    }
    let stale = webhook_endpoint::delete(&admin, mine.id, Some(2)).await;
    assert!(matches!(stale, Err(Error::VersionMismatch { version: 1 })));
    chain(&world).await;
    assert!(!claim(&world).await.is_empty());
    webhook_endpoint::delete(&admin, mine.id, Some(1)).await.unwrap();
    assert!(matches!(webhook_endpoint::get(&admin, mine.id).await, Err(Error::NotFound)));
    chain(&world).await;
    world.test_db.clock().advance(TimeDelta::hours(1));
    assert!(claim(&world).await.is_empty());
}

#[tokio::test]
async fn a_secret_that_was_replaced_signs_for_a_day() {
    let world = World::new().await;
    let (mine, old) = endpoint(&world.operator, &[Kind::UserCreated]).await;
    let (_, new) = webhook_endpoint::rotate_secret(&world.operator, mine.id, Some(1)).await.unwrap();
    let new = Secret::parse(new.expose_secret()).unwrap();
    world.user("ada", None).await;
    chain(&world).await;
    for (hours, both) in [(0, true), (25, false)] {
        world.test_db.clock().advance(TimeDelta::hours(hours));
        let due = claim(&world).await.remove(0);
        let now = due.message.timestamp;
        let signature = webhook::sign(&due.message.secrets, &due.message.id, now, &due.message.body);
        let timestamp = now.timestamp().to_string();
        let received = Received {
            id: &due.message.id,
            timestamp: &timestamp,
            signature: &signature,
            body: &due.message.body,
        };
        assert!(webhook::verify(std::slice::from_ref(&new), &received, now).is_ok());
        assert_eq!(webhook::verify(std::slice::from_ref(&old), &received, now).is_ok(), both);
        settle(&world, &due, 500).await;
    }
}

#[tokio::test]
async fn a_failure_is_tried_ten_times_and_can_be_replayed() {
    let world = World::new().await;
    let (mine, _) = endpoint(&world.operator, &[Kind::UserCreated]).await;
    world.user("ada", None).await;
    chain(&world).await;
    for attempt in 1..=10 {
        let due = claim(&world).await;
        assert_eq!(due.len(), 1, "{attempt}");
        settle(&world, &due[0], 503).await;
        // A claim is settled once.
        settle(&world, &due[0], 200).await;
        assert!(claim(&world).await.is_empty(), "due at once");
        let state = deliveries(&world.operator, &mine).await.remove(0);
        assert_eq!((state.attempts, state.response_status), (attempt, Some(503)));
        assert_eq!(state.status == DeliveryStatus::Failed, attempt == 10);
        world.test_db.clock().advance(TimeDelta::hours(30));
    }
    assert!(claim(&world).await.is_empty());
    assert!(webhook_endpoint::get(&world.operator, mine.id).await.unwrap().failing_since.is_some());
    let failed = deliveries(&world.operator, &mine).await.remove(0);
    webhook_endpoint::replay(&world.operator, mine.id, failed.id).await.unwrap();
    chain(&world).await;
    let filter = Filter { kinds: [Kind::WebhookDeliveryReplayed].into(), ..Default::default() };
    let page = PageRequest::new(None, None);
    let noted = event::list(&world.operator, Action::AuditRead, &filter, page).await.unwrap().items;
    assert_eq!(noted.len(), 1);
    assert_eq!(
        (noted[0].event.subject.clone(), noted[0].event.trail),
        (failed.id.to_string(), Scope::Operator)
    );
    assert_eq!(noted[0].event.data["event_id"], failed.event_id.unwrap().to_string());
    let due = claim(&world).await.remove(0);
    assert_eq!(due.message.id, failed.event_id.unwrap().to_string());
    settle(&world, &due, 204).await;
    let done = webhook_endpoint::delivery(&world.operator, mine.id, failed.id).await.unwrap();
    assert_eq!((done.status, done.attempts), (DeliveryStatus::Delivered, 1));
    assert!(webhook_endpoint::get(&world.operator, mine.id).await.unwrap().failing_since.is_none());
}

#[tokio::test]
async fn gone_disables_the_endpoint_and_ends_what_is_on_its_way() {
    let world = World::new().await;
    let (mine, _) = endpoint(&world.operator, &[Kind::UserCreated]).await;
    world.user("ada", None).await;
    world.user("bob", None).await;
    chain(&world).await;
    let due = claim(&world).await;
    assert_eq!(due.len(), 2);
    settle(&world, &due[0], 410).await;
    settle(&world, &due[1], 200).await;
    let now = webhook_endpoint::get(&world.operator, mine.id).await.unwrap();
    assert_eq!((now.status.as_str(), now.version), ("disabled", 2));
    let states = deliveries(&world.operator, &mine).await;
    assert!(states.iter().all(|one| one.status == DeliveryStatus::Failed), "{states:?}");
    let replay = webhook_endpoint::replay(&world.operator, mine.id, states[0].id).await;
    assert!(matches!(replay, Err(Error::Conflict { code: "webhook_endpoint_disabled", .. })));
    let change = WebhookEndpointChange { enabled: Some(true), ..Default::default() };
    let guard = Guard::default();
    webhook_endpoint::update(&world.operator, &guard, mine.id, change, Some(2)).await.unwrap();
    webhook_endpoint::replay(&world.operator, mine.id, states[0].id).await.unwrap();
    assert_eq!(claim(&world).await.len(), 1);
}

/// Under way while somebody changes the endpoint: what is answered is of what it was.
#[tokio::test]
async fn what_an_endpoint_answered_before_it_was_changed_says_nothing_of_it() {
    let world = World::new().await;
    let (operator, guard) = (&world.operator, Guard::default());
    let (mine, _) = endpoint(operator, &[Kind::UserCreated]).await;
    world.user("ada", None).await;
    chain(&world).await;
    let shown = async || webhook_endpoint::get(operator, mine.id).await.unwrap();
    let moves = async |url: &str| {
        let change = WebhookEndpointChange { url: Some(url.into()), ..Default::default() };
        webhook_endpoint::update(operator, &guard, mine.id, change, None).await.unwrap();
    };
    let next = async || {
        world.test_db.clock().advance(TimeDelta::hours(1));
        claim(&world).await.remove(0)
    };

    let due = next().await;
    moves("https://hooks.example/moved").await;
    settle(&world, &due, 410).await;
    let state = deliveries(operator, &mine).await.remove(0);
    assert_eq!((state.status, state.response_status), (DeliveryStatus::Pending, Some(410)));
    assert_eq!((shown().await.status.as_str(), shown().await.failing_since), ("enabled", None));
    let due = next().await;
    assert_eq!(due.message.url, "https://hooks.example/moved");
    webhook_endpoint::rotate_secret(operator, mine.id, None).await.unwrap();
    settle(&world, &due, 401).await;
    assert_eq!(shown().await.failing_since, None);
    let due = next().await;
    settle(&world, &due, 401).await;
    let failing = shown().await.failing_since;
    assert!(failing.is_some());
    let due = next().await;
    moves("https://hooks.example/again").await;
    settle(&world, &due, 204).await;
    assert_eq!(shown().await.failing_since, failing, "there it was not taken");
    let state = deliveries(operator, &mine).await.remove(0);
    assert_eq!((state.status, state.attempts), (DeliveryStatus::Delivered, 4));

    // Disabled and enabled again meanwhile, it is replayed.
    webhook_endpoint::replay(operator, mine.id, state.id).await.unwrap();
    let due = claim(&world).await.remove(0);
    for enabled in [false, true] {
        let change = WebhookEndpointChange { enabled: Some(enabled), ..Default::default() };
        webhook_endpoint::update(operator, &guard, mine.id, change, None).await.unwrap();
    }
    webhook_endpoint::replay(operator, mine.id, state.id).await.unwrap();
    settle(&world, &due, 410).await;
    assert_eq!(shown().await.status, "enabled");
    let due = claim(&world).await.remove(0);
    settle(&world, &due, 410).await;
    assert_eq!(shown().await.status, "disabled");
}

#[tokio::test]
async fn what_the_last_attempt_finds_gone_or_failing_that_was_changed_meanwhile_is_tried_again() {
    let world = World::new().await;
    let operator = &world.operator;
    let (mine, _) = endpoint(operator, &[Kind::UserCreated]).await;
    world.user("ada", None).await;
    chain(&world).await;
    let next = async || {
        world.test_db.clock().advance(TimeDelta::days(2));
        claim(&world).await.remove(0)
    };
    for _ in 1..webhook::schedule::MAX_ATTEMPTS {
        let due = next().await;
        settle(&world, &due, 500).await;
    }
    // As often as that is so.
    for answer in [410, 500, 410, 500] {
        let due = next().await;
        webhook_endpoint::rotate_secret(operator, mine.id, None).await.unwrap();
        settle(&world, &due, answer).await;
        assert_eq!(deliveries(operator, &mine).await[0].status, DeliveryStatus::Pending);
    }
    let due = next().await;
    settle(&world, &due, 500).await;
    assert_eq!(deliveries(operator, &mine).await[0].status, DeliveryStatus::Failed);
}

#[tokio::test]
async fn a_tenant_is_destroyed_while_somebody_notes_what_an_attempt_came_to() {
    let world = World::new().await;
    let admin = tenant_admin(&world, &world.ctx).await;
    endpoint(&admin, &[Kind::UserCreated]).await;
    world.user("ada", None).await;
    chain(&world).await;
    tenancy::tenant::delete(&world.ctx, None).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(32));
    let (db, id) = (world.test_db.db(), world.tenant.id);
    #[expect(clippy::disallowed_methods, reason = "somebody who is at it")]
    let mut held = db::SystemTx::begin(&db).await.unwrap();
    sqlx::query("select from webhook_endpoints for no key update").execute(held.conn()).await.unwrap();
    let auth = tenancy::auth::Auth::new(db.clone()).await.unwrap();
    let destroying = tokio::spawn(async move {
        purge::tenant(&db, &auth, id, purge::Destroyed::default(), TimeDelta::days(35)).await
    });
    let waits = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    let mut onlooker = sqlx::PgConnection::connect(&world.test_db.url()).await.unwrap();
    let waiting = async {
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut onlooker).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    let noted = "update webhook_deliveries set attempts = 1";
    assert_eq!(sqlx::query(noted).execute(held.conn()).await.unwrap().rows_affected(), 1);
    held.commit().await.unwrap();
    assert!(destroying.await.unwrap().unwrap());
}

#[tokio::test]
async fn nobody_waits_for_another_owner_s_endpoint() {
    let world = World::new().await;
    let (mine, _) = endpoint(&world.operator, &[Kind::UserCreated]).await;
    let other = tenant_admin(&world, &world.ctx).await;
    #[expect(clippy::disallowed_methods, reason = "somebody who is at it")]
    let mut held = db::SystemTx::begin(&world.test_db.db()).await.unwrap();
    sqlx::query("select from webhook_endpoints for update").execute(held.conn()).await.unwrap();
    let refused = webhook_endpoint::delete(&other, mine.id, None);
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
}

/// All of it within one instant, and so by leases that end at the same.
#[tokio::test]
async fn of_an_attempt_after_which_a_replay_was_asked_for_nothing_is_noted() {
    let world = World::new().await;
    let (mine, _) = endpoint(&world.operator, &[Kind::UserCreated]).await;
    world.user("ada", None).await;
    chain(&world).await;
    let before = claim(&world).await.remove(0);
    webhook_endpoint::replay(&world.operator, mine.id, before.id).await.unwrap();
    let after = claim(&world).await.remove(0);
    settle(&world, &before, 204).await;
    let state = deliveries(&world.operator, &mine).await.remove(0);
    assert_eq!((state.status, state.attempts, state.response_status), (DeliveryStatus::Pending, 1, None));
    settle(&world, &after, 204).await;
    let state = deliveries(&world.operator, &mine).await.remove(0);
    assert_eq!((state.status, state.attempts), (DeliveryStatus::Delivered, 1));
}

fn codes<T>(results: Vec<Result<T, Error>>) -> Vec<&'static str> {
    results.into_iter().filter_map(Result::err).map(|error| error.code()).collect()
}

#[tokio::test]
async fn an_owner_has_twenty_endpoints_and_no_more_by_making_them_at_once() {
    let world = World::new().await;
    let (operator, guard) = (&world.operator, Guard::default());
    let new = || NewWebhookEndpoint { url: URL.into(), ..Default::default() };
    let made = (0..22).map(|_| webhook_endpoint::create(operator, &guard, new()));
    let refused = codes(futures::future::join_all(made).await);
    assert_eq!(refused, ["webhook_endpoints_exhausted"; 2]);
    // Another's do not count, nor does one that is deleted.
    endpoint(&tenant_admin(&world, &world.ctx).await, &[]).await;
    let page = PageRequest::new(Some(200), None);
    let there = webhook_endpoint::list(operator, page).await.unwrap().items;
    assert_eq!(there.len(), 20);
    webhook_endpoint::delete(operator, there[0].id, None).await.unwrap();
    endpoint(operator, &[]).await;
}

#[tokio::test]
async fn three_of_an_owner_s_endpoints_may_ask_for_mail() {
    let world = World::new().await;
    let (operator, guard) = (&world.operator, Guard::default());
    let asks = || WebhookEndpointChange {
        kinds: Some([Kind::MessageDelivered, Kind::UserCreated].into()),
        ..Default::default()
    };
    let (first, _) = endpoint(operator, &[Kind::MessageDelivered]).await;
    endpoint(operator, &[Kind::MessageDelivered]).await;
    let others = [endpoint(operator, &[]).await.0, endpoint(operator, &[Kind::UserCreated]).await.0];
    let changes = others.iter().map(|one| webhook_endpoint::update(operator, &guard, one.id, asks(), None));
    let refused = codes(futures::future::join_all(changes).await);
    assert_eq!(refused, ["webhook_endpoints_exhausted"]);
    let kinds = [Kind::MessageDelivered].into();
    let new = NewWebhookEndpoint { url: URL.into(), kinds, description: None };
    let refused = webhook_endpoint::create(operator, &guard, new).await;
    assert!(matches!(refused, Err(Error::Conflict { code: "webhook_endpoints_exhausted", .. })));
    // One that asks goes on asking; others may be made, and others have their own three.
    webhook_endpoint::update(operator, &guard, first.id, asks(), None).await.unwrap();
    endpoint(operator, &[Kind::UserCreated]).await;
    endpoint(&tenant_admin(&world, &world.ctx).await, &[Kind::MessageDelivered]).await;
}

#[tokio::test]
async fn nobody_has_events_sent_to_them_that_they_may_not_read() {
    let world = World::new().await;
    let admin = tenant_admin(&world, &world.ctx).await;
    let (there, _) = endpoint(&admin, &[]).await;
    let guard = Guard::default();
    let elsewhere = WebhookEndpointChange {
        url: Some("https://evil.example/".into()),
        ..WebhookEndpointChange::default()
    };
    let all =
        WebhookEndpointChange { kinds: Some([Kind::UserCreated].into()), ..WebhookEndpointChange::default() };
    let mail = WebhookEndpointChange {
        kinds: Some([Kind::MessageDelivered].into()),
        ..WebhookEndpointChange::default()
    };
    let writes = [Action::WebhookRead, Action::WebhookWrite];
    let reads = [Action::WebhookRead, Action::WebhookWrite, Action::EventRead];
    for (actions, changes, lacks) in [
        (&writes[..], vec![&elsewhere, &all, &mail], "events:read"),
        (&reads[..], vec![&mail], "messages:read"),
    ] {
        let caller = narrowed(&world, actions).await;
        for change in changes {
            let kinds = change.kinds.clone().unwrap_or_default();
            let new = NewWebhookEndpoint { url: URL.into(), kinds, description: None };
            let made = webhook_endpoint::create(&caller, &guard, new).await;
            assert!(matches!(made, Err(Error::Forbidden(action)) if action == lacks), "{made:?}");
            let made = webhook_endpoint::update(&caller, &guard, there.id, change.clone(), None).await;
            assert!(matches!(made, Err(Error::Forbidden(action)) if action == lacks), "{made:?}");
        }
        // What tells the caller nothing.
        let off = WebhookEndpointChange { enabled: Some(false), ..WebhookEndpointChange::default() };
        webhook_endpoint::update(&caller, &guard, there.id, off, None).await.unwrap();
    }
    let reader = narrowed(&world, &[&reads[..], &[Action::MessageRead]].concat()).await;
    endpoint(&reader, &[Kind::MessageDelivered]).await;
    for change in [elsewhere, all, mail] {
        webhook_endpoint::update(&reader, &guard, there.id, change, None).await.unwrap();
    }
}
