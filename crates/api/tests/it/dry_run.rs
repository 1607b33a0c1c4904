//! Changes that are only tried.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::document::{id, is_scim};
use crate::isolation::guarded;
use crate::isolation::world::World;
use crate::support::{App, text};

struct Fixture {
    app: App,
    key: String,
    tenant: String,
}

impl Fixture {
    async fn new() -> Self {
        let app = App::new().await;
        let (_, key) = app.reseller("North").await;
        let pool = json!({"storage": {"limit_bytes": 10_000, "allow_overallocation": false}});
        let tenant = app.tenant(&key, "one.example", pool).await;
        Self { app, key, tenant }
    }

    /// All that a trial is not to change.
    async fn state(&self) -> Value {
        let mut state = json!({});
        for list in ["users", "users?status=deleted", "mailboxes", "mailboxes?status=deleted"] {
            state[list] = self.app.get(&self.key, &format!("{}/{list}", self.tenant)).await.expect(200);
        }
        state["tenant"] = self.app.get(&self.key, &self.tenant).await.expect(200);
        state
    }

    async fn post(&self, path: &str, body: Value) -> crate::support::Answer {
        self.app.post(&self.key, &format!("{}/{path}", self.tenant), body).await
    }
}

fn room(quota_bytes: i64) -> Value {
    json!({"kind": "room", "display_name": "Hall", "address": "hall@one.example", "quota_bytes": quota_bytes})
}

#[tokio::test]
async fn mailboxes_are_tried_and_nothing_is_changed() {
    let fixture = Fixture::new().await;
    let (app, key, tenant) = (&fixture.app, &fixture.key, &fixture.tenant);
    let user = json!({"address": "ada@one.example", "quota_bytes": 4_000});
    app.user(key, tenant, user).await;
    let before = fixture.state().await;
    let effect = fixture.post("mailboxes?dry_run=true", room(6_000)).await.expect(200);
    let seats = json!({"before": 1, "after": 1, "limit": null});
    let quota = json!({"before_bytes": 4_000, "after_bytes": 10_000, "storage_limit_bytes": 10_000});
    assert_eq!((&effect["seats"], &effect["quota"]), (&seats, &quota), "a room takes no seat");
    let over = fixture.post("mailboxes?dry_run=true", room(6_001)).await;
    over.expect_problem(409, "pool_overallocated");
    let mut taken = room(1);
    taken["address"] = json!("ada@one.example");
    fixture.post("mailboxes?dry_run=true", taken).await.expect_problem(409, "address_taken");
    let wrong = fixture.post("mailboxes?dry_run=true", room(-1)).await.expect_problem(422, "invalid_request");
    assert_eq!(wrong["errors"][0]["pointer"], "/quota_bytes");
    assert_eq!(fixture.state().await, before);

    let made = fixture.post("mailboxes", room(1_000)).await.expect(201);
    let mailbox = format!("{tenant}/mailboxes/{}", text(&made["id"]));
    let before = fixture.state().await;
    let trial = format!("{mailbox}/quota?dry_run=true");
    let effect = app.put(key, &trial, json!({"quota_bytes": 2_000})).await.expect(200);
    assert_eq!(effect["quota"]["after_bytes"], 6_000, "{effect}");
    let over = app.put(key, &trial, json!({"quota_bytes": 6_001})).await;
    over.expect_problem(409, "pool_overallocated");
    let order = app.put(key, &trial, json!({"quota_bytes": 1, "warn_bytes": 2})).await;
    order.expect_problem(422, "invalid_request");
    let effect = app.delete(key, &format!("{mailbox}?dry_run=true")).await.expect(200);
    assert_eq!(effect["quota"]["after_bytes"], 4_000, "{effect}");
    assert_eq!(fixture.state().await, before);

    app.delete(key, &mailbox).await.expect(204);
    let before = fixture.state().await;
    let path = format!("{mailbox}/restore?dry_run=true");
    let effect = app.post(key, &path, json!({})).await.expect(200);
    assert_eq!(effect["quota"]["after_bytes"], 5_000, "{effect}");
    assert_eq!(fixture.state().await, before, "it is still deleted");
}

/// What the documents up to a day would come to, as a run would make them.
async fn total_until(fixture: &Fixture, day: &Value) -> i64 {
    let preview = fixture.post("subscription/preview", json!({"as_of": day})).await.expect(200);
    let totals = preview["documents"].as_array().unwrap().iter();
    totals.map(|one| one["total"]["amount_minor"].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn what_is_sold_beside_seats_has_its_price_told_too() {
    let fixture = Fixture::new().await;
    let (app, key, tenant) = (&fixture.app, &fixture.key, &fixture.tenant);
    let price = |item: &str, unit_price: &str| json!({"item": item, "interval": "month", "unit_price": unit_price, "currency": "EUR"});
    let mut storage = price("storage", "0.10");
    storage["included_bytes"] = json!(1_000);
    let prices =
        json!([price("mailbox", "10"), price("shared_mailbox", "3.10"), price("archive", "1.20"), storage]);
    let book = app.post(key, "/v1/price-books", json!({"prices": prices})).await.expect(201);
    let of_storage = &book["prices"][3];
    let policies = [&of_storage["removal_policy"], &of_storage["suspension_policy"]];
    assert_eq!((&of_storage["included_bytes"], policies), (&json!(1_000), [&Value::Null, &Value::Null]));
    let body = json!({"price_book_id": book["id"], "interval": "month"});
    app.put(key, &format!("{tenant}/subscription"), body).await.expect(200);
    let (ada, _) = app.user(key, tenant, json!({"address": "ada@one.example", "quota_bytes": 1})).await;

    let room = room(1_000);
    let told = fixture.post("mailboxes?dry_run=true", room.clone()).await.expect(200);
    let told = &told["price_difference"];
    let day = &told["next_invoice_on"];
    let before = total_until(&fixture, day).await;
    fixture.post("mailboxes", room).await.expect(201);
    let with_room = total_until(&fixture, day).await;
    // Of the cycle that opens at once: the next is on an invoice of its own.
    assert_eq!((before, with_room), (1_000, 1_310));
    assert_eq!(told["amount"]["amount_minor"], 310, "{told}");

    let leaves = json!({"mailbox": "archive"});
    let path = format!("users/{}/offboard", text(&ada["id"]));
    let left = fixture.post(&format!("{path}?dry_run=true"), leaves.clone()).await.expect(200);
    let day = &left["price_difference"]["next_invoice_on"];
    let before = total_until(&fixture, day).await;
    fixture.post(&path, leaves).await.expect(202);
    let difference = total_until(&fixture, day).await - before;
    assert_ne!(difference, 0);
    assert_eq!(left["price_difference"]["amount"]["amount_minor"], difference, "{left}");
}

#[tokio::test]
async fn a_leaving_is_tried_and_nobody_leaves() {
    let fixture = Fixture::new().await;
    let (app, key, tenant) = (&fixture.app, &fixture.key, &fixture.tenant);
    let ada = json!({"address": "ada@one.example", "quota_bytes": 1, "password": "correct-horse-battery"});
    let (user, _) = app.user(key, tenant, ada).await;
    let user = format!("{tenant}/users/{}", text(&user["id"]));
    let session = app.sign_in("ada@one.example", "correct-horse-battery").await;
    let before = fixture.state().await;
    let path = format!("{user}/offboard?dry_run=true");
    for (how, after, after_bytes) in [
        (json!({"mailbox": "shared", "hold": {"reason": "Case 17"}}), 0, 1),
        (json!({"mailbox": "keep", "release_seat": false}), 1, 1),
        (json!({}), 0, 0),
    ] {
        let effect = app.post(key, &path, how.clone()).await.expect(200);
        assert_eq!(effect["seats"], json!({"before": 1, "after": after, "limit": null}), "{how}");
        assert_eq!(effect["quota"]["after_bytes"], after_bytes, "{how}: {effect}");
    }
    let neither = app.post(key, &path, json!({"mailbox": "archive", "release_seat": false})).await;
    neither.expect_problem(422, "invalid_request");
    assert_eq!(fixture.state().await, before);
    assert_eq!(app.get(key, &format!("{tenant}/holds")).await.expect(200)["data"], json!([]));
    // Their session goes on.
    app.get(&session, &format!("{tenant}/mailboxes")).await.expect(200);
}

/// The tags of what is provisioned.
const PROVISIONING: &[&str] = &["Aliases", "Domains", "Groups", "Mailboxes", "Resellers", "Tenants", "Users"];

/// What of it cannot be tried, since it changes nothing that is counted or rests on more than the database; `docs/api.md` says
/// why.
const NOT_TRIED: &[&str] =
    &["create_support_access", "end_support_access", "reset_password", "set_test_clock", "verify_domain"];

/// What is done to a tenant as a whole or to a reseller.
const UNPRICED: &[&str] = &[
    "create_reseller",
    "create_tenant",
    "delete_reseller",
    "delete_tenant",
    "restore_tenant",
    "resume_tenant",
    "suspend_tenant",
    "transfer_tenant",
    "update_reseller",
];

async fn connected(app: &App) -> PgConnection {
    let mut connection = PgConnection::connect(&app.db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    connection
}

/// Of every table, how many rows it has and a digest of them; without when and from where a credential was last used.
async fn everything(connection: &mut PgConnection) -> BTreeMap<String, (i64, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and relname <> '_sqlx_migrations'",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let mut found = BTreeMap::new();
    for table in tables {
        let digest = format!(
            "select count(*), coalesce(md5(string_agg(row, '' order by row)), '') from (
               select (to_jsonb(t) - array['last_used_at', 'last_used_from'])::text as row from {table} t) t"
        );
        let digest = sqlx::query_as(sqlx::AssertSqlSafe(digest)).fetch_one(&mut *connection).await.unwrap();
        found.insert(table, digest);
    }
    found
}

/// The tables that are not as they were, with what they had and have.
fn changed<'a>(
    before: &'a BTreeMap<String, (i64, String)>,
    after: &'a BTreeMap<String, (i64, String)>,
) -> Vec<(&'a str, i64, i64)> {
    assert_eq!(before.len(), after.len());
    let differ = before.iter().filter(|(table, had)| after[*table] != **had);
    differ.map(|(table, had)| (table.as_str(), had.0, after[table].0)).collect()
}

fn members(object: &Value) -> Vec<&str> {
    object.as_object().unwrap_or_else(|| panic!("{object}")).keys().map(String::as_str).collect()
}

/// Whether it has the members that the document has for it, and no others, at each level.
#[track_caller]
fn assert_documented(effect: &Value, document: &Value) {
    let schemas = &document["components"]["schemas"];
    assert_eq!(members(effect), members(&schemas["Effect"]["properties"]), "{effect}");
    assert_eq!(members(&effect["seats"]), members(&schemas["SeatsEffect"]["properties"]), "{effect}");
    assert_eq!(members(&effect["quota"]), members(&schemas["QuotaEffect"]["properties"]), "{effect}");
    let difference = &effect["price_difference"];
    if !difference.is_null() {
        assert_eq!(members(difference), members(&schemas["PriceDifference"]["properties"]), "{effect}");
        assert_eq!(members(&difference["amount"]), ["amount_minor", "currency"], "{effect}");
    }
    assert!(effect["seats"]["before"].is_u64() && effect["seats"]["after"].is_u64(), "{effect}");
}

#[tokio::test]
async fn whatever_is_provisioned_can_be_tried_and_nothing_is_written() {
    let document: Value = serde_json::from_str(&api::openapi()).unwrap();
    let world = World::new().await;
    let (_, stranger) = world.app.reseller("South").await;
    // A key's first use is an event.
    world.app.get(&stranger, "/v1/tenants").await.expect(200);
    let mut connection = connected(&world.app).await;
    let before = everything(&mut connection).await;
    assert!(before["users"].0 > 0 && before["events"].0 > 0, "the role sees the rows: {before:?}");
    let (mut tried, mut not_tried) = (0, Vec::new());
    for (method, path, operation) in guarded() {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        if !parameters.iter().any(|parameter| parameter["name"] == "dry_run") {
            let is_provisioning = PROVISIONING.contains(&operation["tags"][0].as_str().unwrap());
            not_tried.extend((is_provisioning && method != "GET").then(|| id(&operation).to_owned()));
            continue;
        }
        let path = format!("{path}?dry_run=true");
        let effect = world.send(&method, &path, &operation, Some(&world.admin)).await.expect(200);
        assert_documented(&effect, &document);
        let is_unpriced = UNPRICED.contains(&id(&operation));
        assert_eq!(effect["price_difference"].is_null(), is_unpriced, "{method} {path}: {effect}");
        let refused = world.send(&method, &path, &operation, Some(&stranger)).await;
        refused.expect_problem(404, "not_found");
        let after = everything(&mut connection).await;
        assert_eq!(changed(&before, &after), [], "{method} {path}");
        tried += 1;
    }
    not_tried.sort();
    assert_eq!((tried, not_tried.iter().map(String::as_str).collect::<Vec<_>>()), (35, NOT_TRIED.to_vec()));
}

#[tokio::test]
async fn a_trial_keeps_no_idempotency_key() {
    let fixture = Fixture::new().await;
    let path = format!("{}/users", fixture.tenant);
    let send = async |path: &str, address: &str| {
        let call = fixture.app.call(Method::POST, path).token(&fixture.key).header("idempotency-key", "k-1");
        call.json(json!({"address": address, "quota_bytes": 1})).send().await
    };
    let mut connection = connected(&fixture.app).await;
    let before = everything(&mut connection).await;
    let trial = format!("{path}?dry_run=true");
    send(&trial, "ada@one.example").await.expect(200);
    send(&trial, "ada@elsewhere.example").await.expect_problem(422, "invalid_request");
    assert_eq!(changed(&before, &everything(&mut connection).await), []);
    send(&path, "ada@one.example").await.expect(201);
    let again = send(&path, "ada@one.example").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let before = everything(&mut connection).await;
    for (path, status, code) in
        [(trial.as_str(), 409, "address_taken"), ("/v1/tenants/x/users?dry_run=true", 404, "not_found")]
    {
        let call = fixture.app.call(Method::POST, path).token(&fixture.key).header("idempotency-key", "k-2");
        let refused = call.json(json!({"address": "ada@one.example", "quota_bytes": 1})).send().await;
        refused.expect_problem(status, code);
    }
    assert_eq!(changed(&before, &everything(&mut connection).await), [], "nor is a refusal kept");
}

#[tokio::test]
async fn tenants_and_resellers_are_tried_with_their_caps() {
    let fixture = Fixture::new().await;
    let (app, key, tenant) = (&fixture.app, &fixture.key, &fixture.tenant);
    app.user(key, tenant, json!({"address": "ada@one.example", "quota_bytes": 4_000})).await;
    let before = fixture.state().await;
    let seats =
        |before: u32, after: u32, limit: Value| json!({"before": before, "after": after, "limit": limit});
    let quota = |before: u32, after: u32, limit: Value| json!({"before_bytes": before, "after_bytes": after, "storage_limit_bytes": limit});
    let told = |effect: &Value| [effect["seats"].clone(), effect["quota"].clone()];

    let new = json!({"name": "Two", "country": "DE", "currency": "EUR", "seats": {"limit": 7}});
    let effect = app.post(key, "/v1/tenants?dry_run=true", new.clone()).await.expect(200);
    assert_eq!(told(&effect), [seats(0, 0, json!(7)), quota(0, 0, Value::Null)]);
    let patch = json!({"seats": {"limit": 0}, "storage": {"limit_bytes": 4_000}});
    let effect = app.patch(key, &format!("{tenant}?dry_run=true"), patch).await.expect(200);
    assert_eq!(told(&effect), [seats(1, 1, json!(0)), quota(4_000, 4_000, json!(4_000))]);
    let small = json!({"storage": {"limit_bytes": 3_999}});
    let refused = app.patch(key, &format!("{tenant}?dry_run=true"), small).await;
    refused.expect_problem(409, "pool_overallocated");
    // Nothing is suspended, and so nothing would be changed.
    let effect = fixture.post("resume?dry_run=true", json!({})).await.expect(200);
    assert_eq!(told(&effect), [seats(1, 1, Value::Null), quota(4_000, 4_000, json!(10_000))]);
    let effect = app.delete(key, &format!("{tenant}?dry_run=true")).await.expect(200);
    assert_eq!(told(&effect), [seats(1, 0, Value::Null), quota(4_000, 0, json!(10_000))]);
    let reseller = text(&before["tenant"]["reseller_id"]);
    let path = format!("/v1/resellers/{reseller}?dry_run=true");
    let caps = json!({"caps": {"tenants": 1, "seats": 5, "storage_bytes": 20_000}});
    app.patch(key, &path, caps.clone()).await.expect_problem(403, "forbidden");
    let effect = app.patch(&app.operator, &path, caps.clone()).await.expect(200);
    assert_eq!(told(&effect), [seats(1, 1, json!(5)), quota(4_000, 4_000, json!(20_000))]);
    assert_eq!(fixture.state().await, before);

    app.patch(&app.operator, &format!("/v1/resellers/{reseller}"), caps).await.expect(200);
    let full = app.post(key, "/v1/tenants?dry_run=true", new.clone()).await;
    full.expect_problem(409, "tenants_exhausted");
    let below = json!({"name": "North-East", "caps": {"seats": 0}});
    let effect = app.post(key, "/v1/resellers?dry_run=true", below.clone()).await.expect(200);
    assert_eq!(told(&effect), [seats(0, 0, json!(0)), quota(0, 0, Value::Null)]);
    let below = app.post(key, "/v1/resellers", below).await.expect(201);
    let to = json!({"reseller_id": below["id"]});
    fixture.post("transfer?dry_run=true", to).await.expect_problem(409, "seats_exhausted");

    app.delete(key, tenant).await.expect(204);
    let effect = fixture.post("restore?dry_run=true", Value::Null).await.expect(200);
    assert_eq!(told(&effect), [seats(0, 1, Value::Null), quota(0, 4_000, json!(10_000))]);
    assert_eq!(app.get(key, tenant).await.expect(200)["status"], "deleted");
}

/// Somebody else changes what is counted while a trial waits for them: that is no part of what it would come to.
#[tokio::test]
async fn what_others_change_meanwhile_is_not_the_trial_s() {
    let fixture = Fixture::new().await;
    let (app, key, tenant) = (&fixture.app, &fixture.key, &fixture.tenant);
    let id: kernel::TenantId = tenant.trim_start_matches("/v1/tenants/").parse().unwrap();
    let (mut other, mut watch) = (connected(app).await, connected(app).await);
    sqlx::raw_sql("begin").execute(&mut other).await.unwrap();
    sqlx::query("update tenants set seats_used = seats_used + 3, seats_limit = 9 where id = $1")
        .bind(id.uuid())
        .execute(&mut other)
        .await
        .unwrap();
    let users = format!("{tenant}/users?dry_run=true");
    let trial = app.post(key, &users, json!({"address": "ada@one.example", "quota_bytes": 1}));
    let meanwhile = async {
        let waits = "select exists (select from pg_locks where not granted)";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut watch).await.unwrap() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
    };
    let (effect, ()) = tokio::join!(trial, meanwhile);
    assert_eq!(effect.expect(200)["seats"], json!({"before": 3, "after": 4, "limit": 9}));
}

/// A write that passed over `?dry_run=true` would be made.
#[tokio::test]
async fn no_write_passes_over_a_parameter_that_it_does_not_know() {
    let world = World::new().await;
    let mut connection = connected(&world.app).await;
    let before = everything(&mut connection).await;
    for (method, path, operation) in guarded() {
        if method == "GET" || is_scim(&path) {
            continue;
        }
        let path = format!("{path}?dryrun=true");
        let refused = world.send(&method, &path, &operation, Some(&world.app.operator)).await;
        let refused = refused.expect_problem(422, "invalid_request");
        assert!(refused["errors"][0]["parameter"] == "dryrun", "{method} {path}: {refused}");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.contains_key("422"), "{method} {path} says so");
        let after = everything(&mut connection).await;
        assert_eq!(changed(&before, &after), [], "{method} {path}");
    }
}
