//! Keys and recipients that are looked up together: each caller gets its own answer, as the database has it when it asks.

use std::time::Duration;

use futures::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenancy::api_key::{self, NewApiKey};
use tenancy::auth::Auth;
use tenancy::recipient::Recipients;
use tenancy::{Caller, Ctx, Error, Principal, Role, Scope, user};
use testkit::{World, world};

use crate::neighbour;

async fn auth(world: &World) -> Auth {
    Auth::new(world.test_db.db()).await.unwrap()
}

async fn key(world: &World) -> (api_key::ApiKey, SecretString) {
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    api_key::create_for_reseller(&reseller, NewApiKey::full(Role::ResellerAdmin)).await.unwrap()
}

/// Holds whoever looks up a tenant together with a key, when what there is has been looked at already.
const HOLD_READERS: &str = "create policy slow on tenants as restrictive for select using (pg_advisory_xact_lock_shared(42)::text = '');
    commit; begin; select pg_advisory_xact_lock(42)";
/// Holds whoever looks up a user of one tenant, which is to be put in.
const HOLD_USERS: &str = "create policy slow on users as restrictive for select
      using (tenant_id <> 'TENANT' or pg_advisory_xact_lock_shared(42)::text = '');
    commit; begin; select pg_advisory_xact_lock(42)";
/// Holds whoever looks up a key.
const HOLD_KEYS: &str = "begin; lock table api_keys in access exclusive mode";

/// A transaction with a lock, until it commits.
pub(crate) async fn held(world: &World, statements: &str) -> PgConnection {
    let mut connection = PgConnection::connect(&world.test_db.url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
    connection
}

async fn until_one_waits(connection: &mut PgConnection) {
    until_waiting(connection, 1).await;
}

pub(crate) async fn until_waiting(connection: &mut PgConnection, statements: i64) {
    let deadline = Duration::from_secs(20);
    let waiting = async {
        while waiting(connection).await < statements {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(deadline, waiting).await.unwrap();
}

/// How many statements wait for a lock.
pub(crate) async fn waiting(connection: &mut PgConnection) -> i64 {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn of_many_at_once_each_gets_its_own_answer() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let mut keys = Vec::new();
    for _ in 0..8 {
        keys.push(key(&world).await);
    }
    let unknown = format!("{}x", keys[0].1.expose_secret());
    let calls = (0..64).map(|n| {
        let (auth, origin, (key, secret)) = (&auth, world.origin(), &keys[n % 8]);
        let proof = if n % 5 == 0 { unknown.as_str() } else { secret.expose_secret() };
        async move { (n, key.id, auth.bearer(proof, origin).await) }
    });
    for (n, id, answer) in join_all(calls).await {
        match answer {
            Ok(caller) => {
                assert!(n % 5 != 0);
                assert_eq!(caller.principal(), Principal::ApiKey(id), "{n}");
            }
            Err(error) => assert!(n % 5 == 0 && matches!(error, Error::Unauthenticated), "{n}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_asked_meanwhile_is_asked_in_one_statement_whoever_goes_away() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let (key, secret) = key(&world).await;
    // Its use is noted, so that nothing but the lookup is under way below.
    auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let mut holder = held(&world, HOLD_KEYS).await;
    let ask = || {
        let (auth, secret, origin) = (auth.clone(), secret.clone(), world.origin());
        tokio::spawn(async move { auth.bearer(secret.expose_secret(), origin).await })
    };
    let first = ask();
    until_one_waits(&mut holder).await;
    let others: Vec<_> = (0..16).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(waiting(&mut holder).await, 1);
    // The caller whose statement it is goes away; the others get their answers all the same.
    first.abort();
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().principal(), Principal::ApiKey(key.id));
    }
}

#[tokio::test]
async fn a_key_that_was_revoked_before_the_question_proves_nothing() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let (key, secret) = key(&world).await;
    auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let ask = |tenant_id| {
        let (auth, secret, origin) = (auth.clone(), secret.clone(), world.origin());
        tokio::spawn(async move { auth.bearer_towards(secret.expose_secret(), origin, tenant_id).await })
    };
    let reseller = world.operator.enter_reseller(world.reseller.id).await.unwrap();
    // A statement is under way that has seen the key in force: it does not answer who asks after the revocation.
    let mut holder = held(&world, HOLD_READERS).await;
    let early = ask(Some(world.tenant.id));
    until_one_waits(&mut holder).await;
    api_key::revoke_of_reseller(&reseller, key.id).await.unwrap();
    let late = [ask(None), ask(Some(world.tenant.id))];
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    assert_eq!(early.await.unwrap().unwrap().principal(), Principal::ApiKey(key.id));
    for late in late {
        let refused = late.await.unwrap();
        assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    }
}

#[tokio::test]
async fn where_the_tenant_is_comes_along_and_says_no_more_than_entering_does() {
    let world = World::new().await;
    let auth = auth(&world).await;
    let (_, secret) = key(&world).await;
    let towards = async |tenant_id| {
        auth.bearer_towards(secret.expose_secret(), world.origin(), Some(tenant_id)).await.unwrap()
    };
    // Of another reseller, deleted, and none at all.
    let south = world::reseller(&world.operator, "South").await;
    let foreign = world::tenant(&world.operator, &south, "Foreign").await.id;
    let gone = neighbour(&world).await;
    tenancy::tenant::delete(&gone, None).await.unwrap();
    let unknown = world.test_db.db().env().new_id();
    for tenant_id in [foreign, gone.tenant_id(), unknown] {
        let refused = towards(tenant_id).await.enter(tenant_id).await;
        assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
    }
    let caller: Caller = towards(world.tenant.id).await;
    assert_eq!(caller.scope(), Scope::Reseller(world.reseller.id));
    assert!(matches!(caller.enter(foreign).await, Err(Error::NotFound)));
    let asked = world.operator.enter(world.tenant.id).await.unwrap();
    // Nobody is there to be asked any more.
    world.test_db.db().close().await;
    let ctx = caller.enter(world.tenant.id).await.unwrap();
    assert_eq!((ctx.reseller_id(), ctx.time_zone()), (asked.reseller_id(), asked.time_zone()));
    assert!(matches!(caller.enter(foreign).await, Err(Error::Db(_))));
    let late = auth.bearer(secret.expose_secret(), world.origin()).await;
    assert!(matches!(&late, Err(error) if error.code() == "unavailable"), "{late:?}");
}

#[tokio::test]
async fn of_many_addresses_at_once_each_leads_to_its_own_mailbox_and_tenant() {
    let world = World::new().await;
    let other = neighbour(&world).await;
    world::domain(&other, "other.example").await;
    let users = [
        (world.tenant.id, world.user("ada", None).await),
        (world.tenant.id, world.user("bob", None).await),
        (other.tenant_id(), world::user(&other, "ada@other.example", None).await),
    ];
    let recipients = Recipients::new(world.test_db.db());
    let asked = (0..60).map(|n| {
        let (tenant_id, user) = &users[n % 3];
        let address = if n % 5 == 0 { "nobody@acme.example" } else { user.address.as_str() };
        let (recipients, address, id) = (&recipients, address.parse().unwrap(), world.request_id());
        async move { (n, *tenant_id, user.mailbox_id, recipients.resolve(&address, id).await.unwrap()) }
    });
    for (n, tenant_id, mailbox_id, found) in join_all(asked).await {
        let found = found.map(|found| (found.ctx.tenant_id(), found.mailbox_ids));
        assert_eq!(found, (n % 5 != 0).then(|| (tenant_id, vec![mailbox_id])), "{n}");
    }
    // Nothing is kept: an address that was given away takes mail no more.
    tenancy::user::delete(&world.ctx, users[0].1.id, None).await.unwrap();
    let gone = recipients.resolve(&users[0].1.address.parse().unwrap(), world.request_id()).await.unwrap();
    assert!(gone.is_none());
}

#[tokio::test]
async fn users_who_are_asked_for_meanwhile_are_one_statement_for_each_tenant() {
    let world = World::new().await;
    let other = neighbour(&world).await;
    world::domain(&other, "other.example").await;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let eve = world::user(&other, "eve@other.example", None).await;
    let auth = auth(&world).await;
    let (_, secret) = key(&world).await;
    let caller = auth.bearer(secret.expose_secret(), world.origin()).await.unwrap();
    let (ours, theirs) =
        (caller.enter(world.tenant.id).await.unwrap(), caller.enter(other.tenant_id()).await.unwrap());
    let statements = HOLD_USERS.replace("TENANT", &world.tenant.id.uuid().to_string());
    let mut holder = held(&world, &statements).await;
    let ask = |ctx: &Ctx, id| {
        let ctx = ctx.clone();
        tokio::spawn(async move { user::get(&ctx, id).await })
    };
    let first = ask(&ours, ada.id);
    until_one_waits(&mut holder).await;
    // Foreign to the tenant, and twice the same.
    let asked = [ada.id, bob.id, eve.id, ada.id];
    let others = asked.map(|id| (id, ask(&ours, id)));
    // Nobody waits for another tenant's.
    assert_eq!(ask(&theirs, eve.id).await.unwrap().unwrap(), eve);
    let stranger = ask(&theirs, ada.id).await.unwrap();
    assert!(matches!(stranger, Err(Error::NotFound)), "{stranger:?}");
    assert_eq!(waiting(&mut holder).await, 1);
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    assert_eq!(first.await.unwrap().unwrap(), ada);
    for (id, answer) in others {
        let answer = answer.await.unwrap();
        if id == eve.id {
            assert!(matches!(answer, Err(Error::NotFound)), "{answer:?}");
        } else {
            assert_eq!(answer.unwrap(), if id == ada.id { ada.clone() } else { bob.clone() });
        }
    }
}
