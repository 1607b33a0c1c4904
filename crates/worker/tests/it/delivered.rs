//! Mail that is delivered, told to the webhook endpoints that ask for it and to no others.

use std::time::Duration;

use ::webhook::{Guard, Outcome as Attempt, Received, Secret};
use chrono::TimeDelta;
use kernel::{EmailAddress, MailboxId, MessageId, PageRequest};
use mailstore::MailStore;
use mailstore::ingest::{self, ImportKey, Incoming, Outcome, Target, Within};
use mailstore::message::{self, Flags};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Connection as _;
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use tenancy::event::{self, Filter, Kind};
use tenancy::recipient::Recipients;
use tenancy::webhook_endpoint::{
    self, Delivery, DeliveryStatus, Due, Free, NewWebhookEndpoint, WebhookEndpoint, WebhookEndpointChange,
};
use tenancy::{Action, Caller, Ctx, Role};
use testkit::{World, world};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::webhook::receive;
use crate::{PATIENCE, Working};

const HELLO: &[u8] = b"Subject: between us\r\n\r\nHello you\r\n";
const LEASE: TimeDelta = TimeDelta::minutes(2);

pub(super) async fn store(world: &World) -> MailStore {
    let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
    MailStore::new(world.test_db.db(), blobs, testkit::kek::encryption())
}

fn guard() -> Guard {
    Guard::new(vec!["127.0.0.0/8".parse().unwrap()])
}

async fn endpoint(caller: &Caller, url: &str, kinds: &[Kind]) -> (WebhookEndpoint, Secret) {
    let new =
        NewWebhookEndpoint { url: url.into(), kinds: kinds.iter().copied().collect(), description: None };
    let (endpoint, secret) = webhook_endpoint::create(caller, &guard(), new).await.unwrap();
    (endpoint, Secret::parse(secret.expose_secret()).unwrap())
}

pub(super) async fn asking(caller: &Caller) -> WebhookEndpoint {
    endpoint(caller, "https://hooks.example/in", &[Kind::MessageDelivered]).await.0
}

async fn caller(world: &World, secret: SecretString) -> Caller {
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    auth.bearer(secret.expose_secret(), world.origin()).await.unwrap()
}

async fn tenant_admin(world: &World, ctx: &Ctx) -> Caller {
    let (_, secret) = api_key::create_for_tenant(ctx, NewApiKey::full(Role::TenantAdmin)).await.unwrap();
    caller(world, secret).await
}

async fn reseller_admin(world: &World, id: kernel::ResellerId) -> Caller {
    let ctx = world.operator.enter_reseller(id).await.unwrap();
    let (_, secret) = api_key::create_for_reseller(&ctx, NewApiKey::full(Role::ResellerAdmin)).await.unwrap();
    caller(world, secret).await
}

pub(super) async fn told(caller: &Caller, endpoint: &WebhookEndpoint) -> Vec<Delivery> {
    let page = PageRequest::new(Some(200), None);
    webhook_endpoint::deliveries(caller, endpoint.id, None, page).await.unwrap().items
}

pub(super) async fn claim(world: &World) -> Vec<Due> {
    claim_of(world, 16, 16).await
}

async fn claim_of(world: &World, all: usize, of_mail: usize) -> Vec<Due> {
    webhook_endpoint::claim(&world.test_db.db(), Free { all, of_mail }, LEASE).await.unwrap()
}

/// Until nothing is left to chain.
async fn chain(world: &World) {
    for _ in 0..2 {
        event::chain(&world.test_db.db()).await.unwrap();
    }
}

fn answered(status: u16) -> Attempt {
    Attempt {
        status: Some(status),
        excerpt: String::new(),
        duration: Duration::from_millis(7),
        retry_after: None,
        error: None,
    }
}

pub(super) async fn change(caller: &Caller, endpoint: &WebhookEndpoint, change: WebhookEndpointChange) {
    webhook_endpoint::update(caller, &guard(), endpoint.id, change, None).await.unwrap();
}

pub(super) fn enabled(enabled: bool) -> WebhookEndpointChange {
    WebhookEndpointChange { enabled: Some(enabled), ..Default::default() }
}

/// As mail arrives for an address, by LMTP and by what is submitted here alike.
pub(super) async fn arriving(world: &World, address: &str) -> (Ctx, MailboxId) {
    let address: EmailAddress = address.parse().unwrap();
    let recipients = Recipients::new(world.test_db.db());
    let found = recipients.resolve(&address, world.request_id()).await.unwrap().unwrap();
    (found.ctx, found.mailbox_ids[0])
}

fn target((ctx, mailbox_id): &(Ctx, MailboxId)) -> Target {
    Target { ctx: ctx.clone(), mailbox_id: *mailbox_id, folder: Within::Inbox, room_bytes: None }
}

fn incoming(world: &World) -> Incoming {
    Incoming {
        bytes: HELLO.into(),
        internal_date: world.test_db.db().env().now(),
        flags: Flags::default(),
        import_key: None,
    }
}

pub(super) async fn put(store: &MailStore, world: &World, to: &[(Ctx, MailboxId)]) -> Vec<Option<MessageId>> {
    let results = ingest::ingest(store, to.iter().map(target).collect(), incoming(world)).await;
    let id = |result: Result<Outcome, mailstore::Error>| match result {
        Ok(Outcome::Stored(id)) => Some(id),
        Ok(Outcome::AlreadyImported) | Err(_) => None,
    };
    results.into_iter().map(id).collect()
}

/// The one delivery, once it is as asked.
pub(super) async fn until(
    caller: &Caller,
    endpoint: &WebhookEndpoint,
    is_so: impl Fn(&Delivery) -> bool,
) -> Delivery {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = told(caller, endpoint).await;
        if let [delivery] = found.as_slice()
            && is_so(delivery)
        {
            return delivery.clone();
        }
        assert!(Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn delivered_mail_is_told_once_and_again_under_the_same_id_where_it_was_not_taken() {
    let world = World::new().await;
    world.user("ada", None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let (endpoint, secret) = endpoint(&world.operator, &url, &[Kind::MessageDelivered]).await;
    let working = Working::new(world).await;
    let world = &working.world;
    let to = arriving(world, "ada@acme.example").await;
    let received_at = world.test_db.db().env().now();
    let id = put(&working.store, world, std::slice::from_ref(&to)).await[0].unwrap();

    let first = receive(&listener, "500 Oops").await;
    let now = world.test_db.db().env().now();
    let received = Received {
        id: first.field("webhook-id"),
        timestamp: first.field("webhook-timestamp"),
        signature: first.field("webhook-signature"),
        body: &first.body,
    };
    ::webhook::verify(std::slice::from_ref(&secret), &received, now).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    let message = message::get(&world.ctx, to.1, id).await.unwrap();
    let at = received_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    let expected = serde_json::json!({"tenant_id": world.tenant.id, "mailbox_id": to.1, "folder_id": message.folder_id,
        "message_id": id, "received_at": at, "size_bytes": HELLO.len()});
    assert_eq!((&body["type"], &body["data"]), (&"message.delivered".into(), &expected));

    until(&world.operator, &endpoint, |delivery| {
        delivery.attempts == 1 && delivery.response_status == Some(500)
    })
    .await;
    world.test_db.clock().advance(TimeDelta::seconds(10));
    let second = receive(&listener, "204 No Content").await;
    assert_eq!(second.field("webhook-id"), first.field("webhook-id"));
    let done = until(&world.operator, &endpoint, |one| one.status == DeliveryStatus::Delivered).await;
    assert_eq!((done.attempts, done.kind.as_str(), done.event_id), (2, "message.delivered", None));
    assert_eq!(done.id.to_string(), first.field("webhook-id"));

    webhook_endpoint::replay(&world.operator, endpoint.id, done.id).await.unwrap();
    let third = receive(&listener, "204 No Content").await;
    assert_eq!((third.field("webhook-id"), &third.body), (first.field("webhook-id"), &first.body));
    working.stop().await;
}

#[tokio::test]
async fn only_what_is_delivered_is_told_and_only_to_those_who_ask() {
    let world = World::new().await;
    let store = store(&world).await;
    let (ada, carol) = (world.user("ada", None).await, world.user("carol", None).await);
    world.user("bob", Some(1)).await;
    let operator = &world.operator;
    let asks = asking(operator).await;
    let (all, _) = endpoint(operator, "https://hooks.example/all", &[]).await;
    let (users, _) = endpoint(operator, "https://hooks.example/users", &[Kind::UserCreated]).await;

    // By APPEND and as of several at once, by an import, by a copy, and refused.
    let own = (world.login(&ada).await.ctx, ada.mailbox_id);
    let id = put(&store, &world, std::slice::from_ref(&own)).await[0].unwrap();
    ingest::ingest_all(&store, target(&own), vec![incoming(&world), incoming(&world)]).await.unwrap();
    let key = ImportKey { sha256: [7; 32], occurrence: 1 };
    let imported = Incoming { import_key: Some(key), ..incoming(&world) };
    let by_admin = target(&(world.ctx.clone(), ada.mailbox_id));
    assert!(ingest::ingest(&store, vec![by_admin], imported).await[0].is_ok());
    let to = message::Target { mailbox_id: carol.mailbox_id, folder: None };
    message::copy(&store, &world.ctx, ada.mailbox_id, &[id], to).await.unwrap();
    let full = arriving(&world, "bob@acme.example").await;
    assert_eq!(put(&store, &world, &[full]).await, [None]);
    assert_eq!(told(operator, &asks).await.len(), 0);

    let to = arriving(&world, "ada@acme.example").await;
    put(&store, &world, std::slice::from_ref(&to)).await[0].unwrap();
    event::chain(&world.test_db.db()).await.unwrap();
    assert_eq!(told(operator, &asks).await.len(), 1);
    for other in [&all, &users] {
        let others = told(operator, other).await;
        assert!(others.iter().all(|one| one.kind != "message.delivered"), "{others:?}");
    }
    // It is on no trail.
    let filter = Filter { kinds: [Kind::MessageDelivered].into(), ..Default::default() };
    let page = PageRequest::new(None, None);
    assert!(event::list(operator, Action::AuditRead, &filter, page).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn what_is_rolled_back_is_told_to_nobody_and_what_is_tried_again_is_told_once() {
    let world = World::new().await;
    let store = store(&world).await;
    world.user("ada", None).await;
    let asks = asking(&world.operator).await;
    let (ctx, mailbox_id) = arriving(&world, "ada@acme.example").await;
    let deliveries = [(world.test_db.db().env().new_id::<MessageId>(), mailbox_id)];
    let deliver = async || {
        let results = ingest::ingest_once(&store, &ctx, incoming(&world), &deliveries).await;
        results.is_ok_and(|results| results.iter().all(Result::is_ok))
    };
    let pool = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    // Counted last in the transaction.
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
        create trigger refuse before update on mailboxes for each statement execute function refuse()";
    sqlx::raw_sql(refuse).execute(&pool).await.unwrap();
    assert!(!deliver().await);
    assert_eq!(told(&world.operator, &asks).await.len(), 0);
    sqlx::raw_sql("drop trigger refuse on mailboxes").execute(&pool).await.unwrap();
    assert!(deliver().await);
    assert!(deliver().await);
    assert_eq!(told(&world.operator, &asks).await.len(), 1);
}

#[tokio::test]
async fn each_hears_of_the_mail_of_its_own_part_of_the_tree() {
    let world = World::new().await;
    let store = store(&world).await;
    world.user("ada", None).await;
    let neighbour = world::tenant(&world.operator, &world.reseller, "Neighbour").await;
    let next_door = world.operator.enter(neighbour.id).await.unwrap();
    world::domain(&next_door, "neighbour.example").await;
    world::user(&next_door, "eve@neighbour.example", None).await;
    let stranger = world::reseller(&world.operator, "Foreign").await;
    let owners = [
        world.operator.clone(),
        reseller_admin(&world, world.reseller.id).await,
        tenant_admin(&world, &world.ctx).await,
        tenant_admin(&world, &next_door).await,
        reseller_admin(&world, stranger.id).await,
    ];
    let mut endpoints = Vec::new();
    for owner in &owners {
        endpoints.push(asking(owner).await);
    }
    let ada = arriving(&world, "ada@acme.example").await;
    let eve = arriving(&world, "eve@neighbour.example").await;
    assert!(put(&store, &world, &[ada, eve]).await.iter().all(Option::is_some));

    let mut counts = Vec::new();
    for (owner, endpoint) in owners.iter().zip(&endpoints) {
        counts.push(told(owner, endpoint).await.len());
    }
    assert_eq!(counts, [2, 2, 1, 1, 0]);
    let due = claim(&world).await;
    assert_eq!(due.len(), 6);
    for (endpoint, tenant_id) in [(&endpoints[2], world.tenant.id), (&endpoints[3], neighbour.id)] {
        let one = due.iter().find(|due| due.endpoint_id == endpoint.id).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&one.message.body).unwrap();
        assert_eq!(body["data"]["tenant_id"], tenant_id.to_string());
    }
    let ids: std::collections::BTreeSet<_> = due.iter().map(|due| due.message.id.clone()).collect();
    assert_eq!(ids.len(), 6, "one for each message and endpoint");
}

#[tokio::test]
async fn an_endpoint_that_is_disabled_hears_of_nothing_and_what_is_over_is_forgotten() {
    let world = World::new().await;
    let store = store(&world).await;
    world.user("ada", None).await;
    let operator = &world.operator;
    let asks = asking(operator).await;
    let to = arriving(&world, "ada@acme.example").await;
    let arrives = async || put(&store, &world, std::slice::from_ref(&to)).await[0].unwrap();
    change(operator, &asks, enabled(false)).await;
    arrives().await;
    assert_eq!(told(operator, &asks).await.len(), 0);
    change(operator, &asks, enabled(true)).await;
    arrives().await;
    let due = claim(&world).await.remove(0);
    webhook_endpoint::settle(&world.test_db.db(), &due, &answered(204)).await.unwrap();
    arrives().await;
    let expires_after = async |days| {
        world.test_db.clock().advance(TimeDelta::days(days));
        webhook_endpoint::expire(&world.test_db.db()).await.unwrap()
    };
    assert_eq!(expires_after(2).await, 0);
    assert_eq!(expires_after(2).await, 1, "what waits for three days is given up");
    let count =
        |found: &[Delivery], status: DeliveryStatus| found.iter().filter(|one| one.status == status).count();
    let left = told(operator, &asks).await;
    assert_eq!(
        [DeliveryStatus::Delivered, DeliveryStatus::Failed].map(|status| count(&left, status)),
        [1, 1]
    );
    assert!(claim(&world).await.is_empty());
    assert_eq!(expires_after(27).await, 2);
    assert_eq!(told(operator, &asks).await.len(), 0);
}

#[tokio::test]
async fn a_backlog_of_mail_holds_up_neither_events_nor_who_has_less_under_way() {
    let world = World::new().await;
    let store = store(&world).await;
    world.user("ada", None).await;
    chain(&world).await;
    let (operator, admin) = (&world.operator, tenant_admin(&world, &world.ctx).await);
    let mut others = std::collections::BTreeSet::new();
    for owner in [operator, operator, &admin] {
        others.insert(asking(owner).await.id);
    }
    let kinds = [Kind::MessageDelivered, Kind::UserCreated];
    let (both, _) = endpoint(operator, "https://hooks.example/both", &kinds).await;
    let to = arriving(&world, "ada@acme.example").await;
    for _ in 0..6 {
        put(&store, &world, std::slice::from_ref(&to)).await[0].unwrap();
    }
    world.test_db.clock().advance(TimeDelta::seconds(1));
    world.user("bob", None).await;
    chain(&world).await;

    let first = claim_of(&world, 1, 1).await;
    assert_eq!(
        first.iter().map(|due| (due.endpoint_id, due.is_of_mail())).collect::<Vec<_>>(),
        [(both.id, false)]
    );
    let next = claim_of(&world, 3, 3).await;
    assert_eq!(next.iter().map(|due| due.endpoint_id).collect::<std::collections::BTreeSet<_>>(), others);
    assert_eq!(claim_of(&world, 16, 0).await.len(), 0);
    let half = claim_of(&world, 16, 4).await;
    let ids: std::collections::BTreeSet<_> = half.iter().map(|due| due.endpoint_id).collect();
    assert_eq!((half.len(), ids.len()), (4, 4));
    assert_eq!(claim(&world).await.len(), 8, "four of each");
    assert_eq!(claim(&world).await.len(), 0);
}

/// Each time one place is free, and the slow have waited for longer.
#[tokio::test]
async fn many_endpoints_of_one_owner_with_old_backlogs_do_not_have_every_place_that_comes_free() {
    let world = World::new().await;
    world.user("ada", None).await;
    chain(&world).await;
    let admin = tenant_admin(&world, &world.ctx).await;
    for _ in 0..17 {
        endpoint(&admin, "https://hooks.example/slow", &[Kind::UserCreated]).await;
    }
    world.user("bob", None).await;
    chain(&world).await;
    let (quick, _) = endpoint(&world.operator, "https://hooks.example/quick", &[Kind::UserCreated]).await;
    world.test_db.clock().advance(TimeDelta::seconds(1));
    world.user("cyd", None).await;
    chain(&world).await;
    // By chance, one in eighteen has it: that none of 300 is its is one in 28 millions.
    for _ in 0..300 {
        let claimed = claim_of(&world, 1, 0).await;
        if claimed.iter().any(|due| due.endpoint_id == quick.id) {
            return;
        }
        world.test_db.clock().advance(LEASE + TimeDelta::seconds(1));
    }
    panic!("it never had a turn");
}

#[tokio::test]
async fn endpoints_that_do_not_answer_leave_half_of_the_turns_to_events() {
    let world = World::new().await;
    world.user("ada", None).await;
    chain(&world).await;
    let [silent, listener] =
        [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let url = |listener: &TcpListener| format!("http://{}/in", listener.local_addr().unwrap());
    let (operator, admin) = (world.operator.clone(), tenant_admin(&world, &world.ctx).await);
    let mut slow = Vec::new();
    for owner in [&operator, &operator, &operator, &admin] {
        slow.push((owner, endpoint(owner, &url(&silent), &[Kind::MessageDelivered]).await.0));
    }
    endpoint(&operator, &url(&listener), &[Kind::UserCreated]).await;
    let working = Working::new(world).await;
    let world = &working.world;
    let to = arriving(world, "ada@acme.example").await;
    let began = Instant::now();
    for _ in 0..4 {
        put(&working.store, world, std::slice::from_ref(&to)).await[0].unwrap();
    }
    let under_way = async || {
        let mut begun = 0;
        for (owner, endpoint) in &slow {
            begun += told(owner, endpoint).await.iter().filter(|one| one.attempts > 0).count();
        }
        begun
    };
    let deadline = Instant::now() + PATIENCE;
    while under_way().await < 8 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.user("bob", None).await;
    receive(&listener, "204 No Content").await;
    // After twenty seconds the first are given up, and others are tried.
    assert!(under_way().await == 8 || began.elapsed() > Duration::from_secs(15));
    drop(silent);
    working.stop().await;
}

#[tokio::test]
async fn what_was_queued_before_an_endpoint_asks_again_is_sent_when_it_is_replayed_alone() {
    let world = World::new().await;
    let store = store(&world).await;
    world.user("ada", None).await;
    let (operator, db) = (&world.operator, world.test_db.db());
    let asks = asking(operator).await;
    let to = arriving(&world, "ada@acme.example").await;
    let arrives = async || put(&store, &world, std::slice::from_ref(&to)).await[0].unwrap();
    let kinds = |kind| WebhookEndpointChange { kinds: Some([kind].into()), ..Default::default() };
    let message_id = arrives().await;
    let before = told(operator, &asks).await.remove(0);
    let by_status = async |status| {
        let page = PageRequest::new(Some(200), None);
        let found = webhook_endpoint::deliveries(operator, asks.id, Some(status), page).await.unwrap().items;
        found.iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(
        (before.status, by_status(DeliveryStatus::Pending).await),
        (DeliveryStatus::Pending, vec![before.id])
    );
    change(operator, &asks, kinds(Kind::UserCreated)).await;
    assert!(claim(&world).await.is_empty());
    // It shows before anything is done about it: it is not sent.
    let dropped = told(operator, &asks).await.remove(0);
    assert_eq!(
        (dropped.id, dropped.status, dropped.next_attempt_at),
        (before.id, DeliveryStatus::Failed, None)
    );
    assert!(dropped.error.is_some_and(|error| error.contains("no mail any more")));
    let one = webhook_endpoint::delivery(operator, asks.id, before.id).await.unwrap();
    assert_eq!(one.status, DeliveryStatus::Failed);
    assert_eq!(by_status(DeliveryStatus::Failed).await, [before.id]);
    assert!(by_status(DeliveryStatus::Pending).await.is_empty());
    let refused = webhook_endpoint::replay(operator, asks.id, before.id).await.unwrap_err();
    assert_eq!(refused.code(), "webhook_kind_not_asked");

    world.test_db.clock().advance(TimeDelta::seconds(1));
    change(operator, &asks, kinds(Kind::MessageDelivered)).await;
    assert!(claim(&world).await.is_empty());
    assert_eq!(by_status(DeliveryStatus::Failed).await, [before.id], "queued before it asked again");
    arrives().await;
    let due = claim(&world).await;
    assert!(due.len() == 1 && due[0].id != before.id);
    let replayed = webhook_endpoint::replay(operator, asks.id, before.id).await.unwrap();
    assert_eq!(replayed.status, DeliveryStatus::Pending);
    assert_eq!(webhook_endpoint::expire(&db).await.unwrap(), 0);
    assert_eq!(claim(&world).await.iter().map(|due| due.id).collect::<Vec<_>>(), [before.id]);
    chain(&world).await;
    let filter = Filter { kinds: [Kind::WebhookDeliveryReplayed].into(), ..Default::default() };
    let page = PageRequest::new(None, None);
    let noted = event::list(operator, Action::AuditRead, &filter, page).await.unwrap().items;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].event.data["message_id"], serde_json::json!(message_id));

    change(operator, &asks, kinds(Kind::UserCreated)).await;
    assert_eq!(webhook_endpoint::expire(&db).await.unwrap(), 0, "both are under way");
    world.test_db.clock().advance(LEASE);
    assert_eq!(webhook_endpoint::expire(&db).await.unwrap(), 2);
    change(operator, &asks, kinds(Kind::MessageDelivered)).await;
    assert_eq!(by_status(DeliveryStatus::Failed).await.len(), 2);
    world.test_db.clock().advance(TimeDelta::days(29));
    assert_eq!(
        webhook_endpoint::expire(&db).await.unwrap(),
        0,
        "they are kept as long as others that failed"
    );
    webhook_endpoint::replay(operator, asks.id, before.id).await.unwrap();
    let due = claim(&world).await.remove(0);
    assert_eq!(due.id, before.id);
    webhook_endpoint::settle(&db, &due, &answered(204)).await.unwrap();
    world.test_db.clock().advance(TimeDelta::days(2));
    assert_eq!(webhook_endpoint::expire(&db).await.unwrap(), 2);
    assert_eq!(told(operator, &asks).await.len(), 0);
}

#[tokio::test]
async fn mail_waits_for_no_endpoint_that_is_being_disabled_and_is_not_sent_once_it_is_enabled() {
    let world = World::new().await;
    let store = store(&world).await;
    world.user("ada", None).await;
    chain(&world).await;
    let (operator, db) = (world.operator.clone(), world.test_db.db());
    let kinds = [Kind::MessageDelivered, Kind::UserCreated];
    let (asks, _) = endpoint(&operator, "https://hooks.example/in", &kinds).await;
    world.user("bob", None).await;
    chain(&world).await;
    let due = claim(&world).await.remove(0);
    let to = arriving(&world, "ada@acme.example").await;
    let pool = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    // Whoever has locked the endpoint waits for the event that is on its way there.
    let arrives_while = async |work: tokio::task::JoinHandle<()>, holder: &mut sqlx::PgConnection| {
        let waits = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
        let deadline = Instant::now() + PATIENCE;
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&pool).await.unwrap() {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let arrival = put(&store, &world, std::slice::from_ref(&to));
        let arrived = tokio::time::timeout(Duration::from_secs(10), arrival).await;
        assert!(arrived.expect("it waits for the endpoint")[0].is_some());
        assert!(!work.is_finished());
        sqlx::raw_sql("rollback").execute(&mut *holder).await.unwrap();
        work.await.unwrap();
    };
    let hold = async |holder: &mut sqlx::PgConnection| {
        sqlx::raw_sql("begin").execute(&mut *holder).await.unwrap();
        let lock =
            "select id from webhook_deliveries where endpoint_id = $1 and event_id is not null for update";
        let held = sqlx::query(lock).bind(asks.id.uuid()).execute(&mut *holder).await.unwrap();
        assert_eq!(held.rows_affected(), 1);
    };
    let mut holder = sqlx::PgConnection::connect(&world.test_db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut holder).await.unwrap();

    hold(&mut holder).await;
    let settling = db.clone();
    let settle = async move { webhook_endpoint::settle(&settling, &due, &answered(500)).await.unwrap() };
    arrives_while(tokio::spawn(settle), &mut holder).await;
    hold(&mut holder).await;
    let (owner, of) = (operator.clone(), asks.clone());
    let disable = async move { change(&owner, &of, enabled(false)).await };
    arrives_while(tokio::spawn(disable), &mut holder).await;

    let ended = told(&operator, &asks).await;
    assert_eq!(ended.len(), 3);
    assert!(ended.iter().all(|one| one.status == DeliveryStatus::Failed), "{ended:?}");
    world.test_db.clock().advance(TimeDelta::hours(1));
    assert!(claim(&world).await.is_empty());
    change(&operator, &asks, enabled(true)).await;
    assert!(claim(&world).await.is_empty());
    put(&store, &world, std::slice::from_ref(&to)).await[0].unwrap();
    assert_eq!(claim(&world).await.len(), 1);
    assert_eq!(webhook_endpoint::expire(&db).await.unwrap(), 2);
    let left = told(&operator, &asks).await;
    let failed = left.iter().filter(|one| one.status == DeliveryStatus::Failed).count();
    assert_eq!((left.len(), failed), (4, 3), "{left:?}");
}
