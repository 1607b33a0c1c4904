//! What those do in a shared mailbox who have full access to it, and what those do not who may only read it.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, MESSAGE, text};

const PASSWORD: &str = "correct horse battery staple";

struct Fixture {
    app: App,
    admin: String,
    tenant: String,
    /// The shared mailbox.
    info: String,
    ada: Value,
    /// Ada's own mailbox.
    own: String,
    /// Has full access.
    full: String,
    /// Reads.
    reader: String,
    /// The reader's own mailbox.
    readers: String,
    /// Is of the tenant, and no delegate.
    colleague: String,
    /// Is of another tenant.
    stranger: String,
}

impl Fixture {
    async fn new() -> Self {
        let app = App::new().await;
        let (_, admin) = app.reseller("North").await;
        let tenant = app.tenant(&admin, "one.example", json!({})).await;
        let other = app.tenant(&admin, "two.example", json!({})).await;
        let person = async |tenant: &str, address: &str| {
            let user = app.user(&admin, tenant, json!({"address": address, "password": PASSWORD})).await;
            (user, app.sign_in(address, PASSWORD).await)
        };
        let ((ada, own), full) = person(&tenant, "ada@one.example").await;
        let ((bob, readers), reader) = person(&tenant, "bob@one.example").await;
        let (_, colleague) = person(&tenant, "cleo@one.example").await;
        let (_, stranger) = person(&other, "eve@two.example").await;
        let body = json!({"kind": "shared", "display_name": "Info", "address": "info@one.example"});
        let info = app.post(&admin, &format!("{tenant}/mailboxes"), body).await.expect(201);
        let info = format!("{tenant}/mailboxes/{}", text(&info["id"]));
        for (user, rights) in [(&ada, json!(["full_access"])), (&bob, json!(["read"]))] {
            let delegate = format!("{info}/delegates/{}", text(&user["id"]));
            let put = app.put(&admin, &delegate, json!({"rights": rights})).await.expect(200);
            assert_eq!(put["rights"], rights);
        }
        Self { app, admin, tenant, info, ada, own, full, reader, readers, colleague, stranger }
    }

    async fn call(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let call = self.app.call(method, path).token(token);
        match body {
            Some(body) => call.json(body).send().await,
            None => call.send().await,
        }
    }

    /// A message that has come to the shared mailbox, and where it is.
    async fn delivered(&self) -> (Value, String) {
        let message = self.app.deliver(&self.admin, &self.info, MESSAGE).await.expect(201);
        let path = format!("{}/messages/{}", self.info, text(&message["id"]));
        (message, path)
    }

    /// All that changes messages or folders, by a message that is live, one that was deleted, and a folder.
    async fn changes(&self) -> Vec<(Method, String, Option<Value>)> {
        let (_, live) = self.delivered().await;
        let (_, deleted) = self.delivered().await;
        let folder = json!({"name": "Theirs"});
        let folder = self.app.post(&self.full, &format!("{}/folders", self.info), folder).await.expect(201);
        self.app.delete(&self.full, &deleted).await.expect(204);
        let path = format!("{}/folders/{}", self.info, text(&folder["id"]));
        vec![
            (Method::PATCH, live.clone(), Some(json!({"flags": {"seen": true}}))),
            (Method::PATCH, live.clone(), Some(json!({"folder_id": folder["id"]}))),
            (Method::POST, format!("{live}/copy"), Some(json!({"folder_id": folder["id"]}))),
            (Method::POST, format!("{deleted}/recover"), None),
            (Method::POST, format!("{}/folders", self.info), Some(json!({"name": "New"}))),
            (Method::PATCH, path.clone(), Some(json!({"name": "Renamed", "is_subscribed": false}))),
            (Method::DELETE, live, None),
            (Method::DELETE, path, None),
        ]
    }
}

#[tokio::test]
async fn with_full_access_mail_is_used_as_one_s_own() {
    let here = Fixture::new().await;
    let (app, full, info) = (&here.app, &here.full, &here.info);
    let (_, path) = here.delivered().await;
    let (_, id) = info.rsplit_once('/').unwrap();
    for part in ["", "/quota", "/folders", "/messages", "/changes"] {
        app.get(full, &format!("{info}{part}")).await.expect(200);
    }
    assert_eq!(here.call(full, Method::GET, &format!("{path}/raw"), None).await.status.as_u16(), 200);
    for (method, path, body) in here.changes().await {
        let answer = here.call(full, method.clone(), &path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
    }
    // What one has read all have: marks are the mailbox's.
    app.patch(full, &path, json!({"flags": {"seen": true}})).await.expect(200);
    assert_eq!(app.get(&here.reader, &path).await.expect(200)["flags"]["seen"], true);
    // In from one's own, and out.
    let mine = app.deliver(full, &here.own, MESSAGE).await.expect(201);
    let copy = format!("{}/messages/{}/copy", here.own, text(&mine["id"]));
    let copied = app.post(full, &copy, json!({"mailbox_id": id})).await.expect(201);
    assert_eq!(copied["mailbox_id"], id);
    let (_, own) = here.own.rsplit_once('/').unwrap();
    app.post(full, &format!("{path}/copy"), json!({"mailbox_id": own})).await.expect(201);
    let put = app.deliver(full, info, MESSAGE).await.expect(201);
    assert_eq!(put["mailbox_id"], id);
}

#[tokio::test]
async fn the_quota_is_the_shared_mailbox_s() {
    let here = Fixture::new().await;
    let (app, full, info) = (&here.app, &here.full, &here.info);
    let (_, id) = info.rsplit_once('/').unwrap();
    let mine = app.deliver(full, &here.own, MESSAGE).await.expect(201);
    app.put(&here.admin, &format!("{info}/quota"), json!({"quota_bytes": MESSAGE.len()})).await.expect(200);
    app.deliver(full, info, MESSAGE).await.expect(201);
    app.deliver(full, info, MESSAGE).await.expect_problem(422, "quota_exceeded");
    let copy = format!("{}/messages/{}/copy", here.own, text(&mine["id"]));
    app.post(full, &copy, json!({"mailbox_id": id})).await.expect_problem(422, "quota_exceeded");
    assert_eq!(app.get(full, &format!("{info}/quota")).await.expect(200)["used_bytes"], MESSAGE.len());
}

#[tokio::test]
async fn nobody_else_changes_anything() {
    let here = Fixture::new().await;
    let calls = here.changes().await;
    let before =
        here.app.get(&here.full, &format!("{}/changes", here.info)).await.expect(200)["modseq"].clone();
    for (token, status, code) in [
        (&here.reader, 403, "forbidden"),
        (&here.colleague, 404, "not_found"),
        (&here.stranger, 404, "not_found"),
    ] {
        for (method, path, body) in &calls {
            here.call(token, method.clone(), path, body.clone()).await.expect_problem(status, code);
        }
        here.app.deliver(token, &here.info, MESSAGE).await.expect_problem(status, code);
    }
    let after =
        here.app.get(&here.full, &format!("{}/changes", here.info)).await.expect(200)["modseq"].clone();
    assert_eq!(after, before);
    // Into it nothing is copied either, though out of what may be read it is.
    let mine = here.app.deliver(&here.reader, &here.readers, MESSAGE).await.expect(201);
    let copy = format!("{}/messages/{}/copy", here.readers, text(&mine["id"]));
    let (_, id) = here.info.rsplit_once('/').unwrap();
    here.app.post(&here.reader, &copy, json!({"mailbox_id": id})).await.expect_problem(403, "forbidden");
    let (_, own) = here.readers.rsplit_once('/').unwrap();
    let (_, seen) = here.delivered().await;
    here.app.post(&here.reader, &format!("{seen}/copy"), json!({"mailbox_id": own})).await.expect(201);
}

#[tokio::test]
async fn full_access_is_to_mail_and_to_nothing_else() {
    let here = Fixture::new().await;
    let (tenant, info) = (&here.tenant, &here.info);
    let (_, id) = info.rsplit_once('/').unwrap();
    let delegate = format!("{info}/delegates/{}", text(&here.ada["id"]));
    let restore = json!({"at": "2026-03-01T00:00:00Z", "mode": "beside"});
    for (method, path, body) in [
        (Method::PATCH, info.clone(), Some(json!({"display_name": "Mine"}))),
        (Method::DELETE, info.clone(), None),
        (Method::PUT, format!("{info}/quota"), Some(json!({"quota_bytes": null}))),
        (Method::PUT, format!("{info}/sending-limit"), Some(json!({"recipients_per_hour": 500}))),
        (Method::PUT, delegate.clone(), Some(json!({"rights": ["full_access", "send_as"]}))),
        (Method::DELETE, delegate, None),
        (Method::POST, format!("{info}/restores"), Some(restore)),
        (Method::GET, format!("{info}/support-accesses"), None),
        (Method::POST, format!("{info}/support-accesses"), Some(json!({"reason": "Ticket 4711"}))),
        (Method::POST, format!("{tenant}/holds"), Some(json!({"mailbox_id": id, "reason": "Case 18"}))),
        (
            Method::PUT,
            format!("{tenant}/retention-policy"),
            Some(json!({"recoverable_days": 30, "recoverable_limit_bytes": 1_000_000})),
        ),
        (
            Method::POST,
            format!("{tenant}/aliases"),
            Some(json!({"address": "hi@one.example", "mailbox_id": id})),
        ),
    ] {
        here.call(&here.full, method, &path, body).await.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_right_that_is_taken_ends_at_once() {
    let here = Fixture::new().await;
    let (_, path) = here.delivered().await;
    let mark = || here.app.patch(&here.full, &path, json!({"flags": {"flagged": true}}));
    mark().await.expect(200);
    let delegate = format!("{}/delegates/{}", here.info, text(&here.ada["id"]));
    here.app.put(&here.admin, &delegate, json!({"rights": ["read"]})).await.expect(200);
    mark().await.expect_problem(403, "forbidden");
    here.app.get(&here.full, &path).await.expect(200);
    // To send is not to read, let alone to change.
    here.app.put(&here.admin, &delegate, json!({"rights": ["send_as"]})).await.expect(200);
    mark().await.expect_problem(404, "not_found");
    here.app.delete(&here.admin, &delegate).await.expect(204);
    mark().await.expect_problem(404, "not_found");
}
