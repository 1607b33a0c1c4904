//! Mailboxes and leavings that are only tried.

use serde_json::{Value, json};

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
    // Of the cycle that opens at once, and of the next.
    assert_eq!((before, with_room), (2_000, 2_620));
    assert_eq!(told["amount"]["amount_minor"], 620, "{told}");

    let leaves = json!({"mailbox": "archive"});
    let path = format!("users/{}/offboard", text(&ada["id"]));
    let left = fixture.post(&format!("{path}?dry_run=true"), leaves.clone()).await.expect(200);
    fixture.post(&path, leaves).await.expect(202);
    let difference = total_until(&fixture, day).await - with_room;
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
        (json!({"mailbox": "shared"}), 0, 1),
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
    // Their session goes on.
    app.get(&session, &format!("{tenant}/mailboxes")).await.expect(200);
}
