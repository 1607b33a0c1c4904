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
