//! What happened is on its trail exactly when it was committed, in an order that stays, and cannot be changed unseen.

use kernel::PageRequest;
use secrecy::ExposeSecret as _;
use tenancy::event::{self, Chained, Filter, Kind};
use tenancy::{Action, Caller, Error, Scope, user};
use testkit::{World, world};

use crate::neighbour;

async fn seen(caller: &Caller, filter: &Filter) -> Vec<Chained> {
    let page = PageRequest::new(Some(200), None);
    event::list(caller, Action::EventRead, filter, page).await.unwrap().items
}

fn kinds(events: &[Chained]) -> Vec<&str> {
    events.iter().map(|chained| chained.event.kind.as_str()).collect()
}

#[tokio::test]
async fn a_change_is_on_the_trail_when_it_committed_and_not_when_it_did_not() {
    let world = World::new().await;
    let ada = world.user("ada", None).await;
    // Refused after its event was written: the address is taken.
    let again = user::create(&world.ctx, world::new_user("ada@acme.example", None)).await;
    assert_eq!(again.unwrap_err().code(), "address_taken");
    event::chain(&world.test_db.db()).await.unwrap();
    let filter = Filter { tenant_id: Some(world.tenant.id), ..Filter::default() };
    let events = seen(&world.operator, &filter).await;
    assert_eq!(kinds(&events), ["tenant.created", "domain.created", "domain.verified", "user.created"]);
    let created = &events[3].event;
    assert_eq!(
        (created.subject.clone(), created.trail),
        (ada.id.to_string(), Scope::Tenant(world.tenant.id))
    );
    assert_eq!(created.principal, "local_operator");
    assert_eq!(created.data["address"], "ada@acme.example");
    let only = Filter { kinds: [Kind::DomainVerified].into(), ..filter };
    assert_eq!(kinds(&seen(&world.operator, &only).await), ["domain.verified"]);
}

#[tokio::test]
async fn the_feed_goes_on_where_it_was_left() {
    let world = World::new().await;
    let db = world.test_db.db();
    event::chain(&db).await.unwrap();
    let first =
        event::list(&world.operator, Action::EventRead, &Filter::default(), PageRequest::new(Some(2), None))
            .await
            .unwrap();
    assert_eq!(first.items.len(), 2);
    world.user("ada", None).await;
    event::chain(&db).await.unwrap();
    let mut positions: Vec<i64> = first.items.iter().map(|chained| chained.position).collect();
    let mut next = first.next;
    while let Some(cursor) = next {
        let page = PageRequest::new(Some(2), Some(cursor));
        let page = event::list(&world.operator, Action::EventRead, &Filter::default(), page).await.unwrap();
        positions.extend(page.items.iter().map(|chained| chained.position));
        next = page.next;
    }
    let all = seen(&world.operator, &Filter::default()).await;
    assert_eq!(positions, all.iter().map(|chained| chained.position).collect::<Vec<_>>());
    assert!(positions.is_sorted());
}

#[tokio::test]
async fn a_reseller_reads_its_own_and_what_is_below_and_nobody_else_does() {
    let world = World::new().await;
    let other = neighbour(&world).await;
    let foreign = world::reseller(&world.operator, "Foreign").await;
    event::chain(&world.test_db.db()).await.unwrap();
    let key = |reseller| {
        let world = &world;
        async move {
            let ctx = world.operator.enter_reseller(reseller).await.unwrap();
            let new = tenancy::api_key::NewApiKey::full(tenancy::Role::ResellerAdmin);
            let (_, secret) = tenancy::api_key::create_for_reseller(&ctx, new).await.unwrap();
            let auth = tenancy::auth::Auth::new(world.test_db.db()).await.unwrap();
            auth.bearer(secrecy::ExposeSecret::expose_secret(&secret), world.origin()).await.unwrap()
        }
    };
    let own = seen(&key(world.reseller.id).await, &Filter::default()).await;
    assert!(own.iter().any(|chained| chained.event.trail == Scope::Tenant(world.tenant.id)));
    assert!(own.iter().any(|chained| chained.event.trail == Scope::Reseller(world.reseller.id)));
    let foreign_key = key(foreign.id).await;
    let strangers = seen(&foreign_key, &Filter::default()).await;
    assert!(
        strangers.iter().all(|chained| chained.event.trail == Scope::Reseller(foreign.id)),
        "{strangers:?}"
    );
    let of_ours = Filter { tenant_id: Some(other.tenant_id()), ..Filter::default() };
    let refused = event::list(&foreign_key, Action::EventRead, &of_ours, PageRequest::new(None, None)).await;
    assert!(matches!(refused, Err(Error::NotFound)));
}

#[tokio::test]
async fn a_trail_adds_up_until_somebody_tampers_with_it() {
    let world = World::new().await;
    for name in ["ada", "bob", "eve"] {
        world.user(name, None).await;
    }
    event::chain(&world.test_db.db()).await.unwrap();
    let verdict =
        || async { event::verify(&world.operator, Some(world.tenant.id)).await.unwrap().remove(0).1 };
    let whole = verdict().await;
    assert_eq!((whole.events, whole.fault.clone()), (6, None));
    // The application's own roles may not: the table's owner can, by hand.
    let pool = sqlx::PgPool::connect(&world.test_db.url()).await.unwrap();
    sqlx::query("alter table events no force row level security").execute(&pool).await.unwrap();
    let tamper = "update events set data = data || '{\"address\": \"mallory@acme.example\"}'
         where kind = 'user.created' and data ->> 'address' = 'bob@acme.example'";
    sqlx::query(tamper).execute(&pool).await.unwrap();
    assert_eq!(verdict().await.fault.unwrap().what, "is not what was hashed");
    sqlx::query("delete from events where data ->> 'address' = 'mallory@acme.example'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(verdict().await.fault.unwrap().what, "does not follow the event before it");
}

#[tokio::test]
async fn the_application_s_roles_cannot_change_or_delete_what_was_said() {
    let world = World::new().await;
    for statement in ["update events set kind = 'x'", "delete from events"] {
        let mut tx = world.ctx.begin().await.unwrap();
        let refused = sqlx::query(statement).execute(tx.conn()).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{refused}");
        #[expect(clippy::disallowed_methods, reason = "the test looks from below")]
        let mut tx = db::SystemTx::begin(&world.test_db.db()).await.unwrap();
        let refused = sqlx::query(statement).execute(tx.conn()).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{refused}");
    }
}

#[tokio::test]
async fn many_chain_at_once_and_every_event_has_one_place() {
    let world = World::new().await;
    let users = (0..20).map(|n| {
        let ctx = world.ctx.clone();
        async move {
            let mut new = world::new_user(&format!("user{n}@acme.example"), None);
            new.password = None;
            user::create(&ctx, new).await.unwrap();
            event::chain(ctx.db()).await.unwrap();
        }
    });
    futures::future::join_all(users).await;
    event::chain(&world.test_db.db()).await.unwrap();
    let all = seen(&world.operator, &Filter::default()).await;
    let positions: Vec<i64> = all.iter().map(|chained| chained.position).collect();
    assert_eq!(positions, (1..=all.len() as i64).collect::<Vec<_>>());
    let verdicts = event::verify(&world.operator, None).await.unwrap();
    assert!(
        verdicts.len() >= 2 && verdicts.iter().all(|(_, verdict)| verdict.fault.is_none()),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn what_happened_below_one_reseller_is_not_the_next_one_s_to_read() {
    let world = World::new().await;
    let south = world::reseller(&world.operator, "South").await;
    let mut callers = Vec::new();
    for reseller in [&world.reseller, &south] {
        let ctx = world.operator.enter_reseller(reseller.id).await.unwrap();
        let new = tenancy::api_key::NewApiKey::full(tenancy::Role::ResellerAdmin);
        let (_, secret) = tenancy::api_key::create_for_reseller(&ctx, new).await.unwrap();
        let auth = tenancy::auth::Auth::new(world.test_db.db()).await.unwrap();
        callers.push(auth.bearer(secret.expose_secret(), world.origin()).await.unwrap());
    }
    let before = world.user("before", None).await;
    let leaving = tenancy::tenant::leave(&world.ctx).await.unwrap();
    leaving.move_to(None, south.id, Vec::new()).await.unwrap();
    let after = world.user("after", None).await;
    // Only now: whose it is was decided when it happened.
    event::chain(&world.test_db.db()).await.unwrap();
    let filter = Filter { tenant_id: Some(world.tenant.id), ..Filter::default() };
    for (caller, made) in callers.iter().zip([before, after]) {
        let all = seen(caller, &Filter { tenant_id: None, ..filter.clone() }).await;
        let users = all.iter().filter(|one| one.event.kind == "user.created");
        let subjects: Vec<_> = users.map(|one| one.event.subject.clone()).collect();
        assert_eq!(subjects, [made.id.to_string()]);
    }
}
