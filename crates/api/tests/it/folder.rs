//! Folders, and what is done to messages in them, as a webmail would.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, MESSAGE, text};

struct Fixture {
    app: App,
    key: String,
    tenant: String,
    mailbox: String,
}

impl Fixture {
    async fn new() -> Self {
        let app = App::new().await;
        let (_, key) = app.reseller("North").await;
        let tenant = app.tenant(&key, "one.example", json!({})).await;
        let (_, mailbox) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
        app.open_for_support(&key, &mailbox).await;
        Self { app, key, tenant, mailbox }
    }

    async fn get(&self, path: &str) -> Answer {
        self.app.get(&self.key, &format!("{}{path}", self.mailbox)).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.app.post(&self.key, &format!("{}{path}", self.mailbox), body).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        let path = format!("{}{path}", self.mailbox);
        self.app.call(Method::PATCH, &path).token(&self.key).json(body).send().await
    }

    async fn folder(&self, body: Value) -> Value {
        self.post("/folders", body).await.expect(201)
    }
}

#[tokio::test]
async fn are_made_renamed_moved_and_deleted() {
    let here = Fixture::new().await;
    let top = here.folder(json!({"name": "Suppliers"})).await;
    let below = here.folder(json!({"name": "Flour", "parent_id": top["id"], "is_subscribed": false})).await;
    assert_eq!((&below["path"], &below["is_subscribed"]), (&json!("Suppliers/Flour"), &json!(false)));
    let path = format!("/folders/{}", text(&below["id"]));
    assert_eq!(here.get(&path).await.expect(200), below);

    let top_path = format!("/folders/{}", text(&top["id"]));
    here.patch(&top_path, json!({"name": "Millers"})).await.expect(200);
    assert_eq!(here.get(&path).await.expect(200)["path"], "Millers/Flour");
    let moved = here.patch(&path, json!({"parent_id": null, "is_subscribed": true})).await.expect(200);
    assert_eq!((&moved["path"], &moved["parent_id"]), (&json!("Flour"), &json!(null)));
    let listed = here.get("/folders").await.expect(200);
    let paths: Vec<_> =
        listed["data"].as_array().unwrap().iter().map(|folder| text(&folder["path"])).collect();
    assert_eq!(paths, ["Archive", "Drafts", "Flour", "Inbox", "Junk", "Millers", "Sent", "Trash"]);

    here.app.delete(&here.key, &format!("{}{path}", here.mailbox)).await.expect(204);
    here.get(&path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_reason() {
    let here = Fixture::new().await;
    let top = here.folder(json!({"name": "A"})).await;
    let below = here.folder(json!({"name": "B", "parent_id": top["id"]})).await;
    let folders = here.get("/folders").await.expect(200);
    let inbox = folders["data"].as_array().unwrap().iter().find(|folder| folder["role"] == "inbox").unwrap();
    let path = |folder: &Value| format!("/folders/{}", text(&folder["id"]));
    for (body, status, code) in [
        (json!({"name": "A"}), 409, "folder_exists"),
        (json!({"name": "inbox"}), 409, "folder_exists"),
        (json!({"name": "Other Users"}), 422, "invalid_request"),
        (json!({"name": "Other", "role": "trash"}), 409, "folder_exists"),
        (json!({"name": "a/b"}), 422, "invalid_request"),
        (json!({"name": "../etc"}), 422, "invalid_request"),
        (json!({"name": ""}), 422, "invalid_request"),
        (json!({"name": "C", "role": "outbox"}), 422, "invalid_request"),
        (json!({"name": "C", "parent_id": "fld_019a2f3c5d7e7abc8def0123456789ab"}), 404, "not_found"),
    ] {
        here.post("/folders", body).await.expect_problem(status, code);
    }
    here.patch(&path(inbox), json!({"name": "Post"})).await.expect_problem(409, "inbox_stays");
    here.patch(&path(&top), json!({"parent_id": below["id"]})).await.expect_problem(422, "invalid_request");
    for (folder, code) in [(inbox, "inbox_stays"), (&top, "folder_has_children")] {
        let path = format!("{}{}", here.mailbox, path(folder));
        here.app.delete(&here.key, &path).await.expect_problem(409, code);
    }
    assert_eq!(here.get("/folders").await.expect(200), folders);
}

#[tokio::test]
async fn messages_are_marked_filed_and_copied() {
    let here = Fixture::new().await;
    let (_, other) = here.app.user(&here.key, &here.tenant, json!({"address": "bob@one.example"})).await;
    here.app.open_for_support(&here.key, &other).await;
    let message = here.app.deliver(&here.key, &here.mailbox, MESSAGE).await.expect(201);
    let filed = here.folder(json!({"name": "Filed"})).await;
    let path = format!("/messages/{}", text(&message["id"]));
    let start = here.get("/changes").await.expect(200)["modseq"].clone();

    let marks = json!({"flags": {"seen": true, "flagged": true}, "keywords": ["$Forwarded"], "folder_id": filed["id"]});
    let marked = here.patch(&path, marks).await.expect(200);
    assert_eq!((&marked["folder_id"], &marked["uid"]), (&filed["id"], &json!(1)));
    let marked = here.patch(&path, json!({"flags": {"flagged": false}})).await.expect(200);
    let flags = json!({"seen": true, "answered": false, "flagged": false, "deleted": false, "draft": false});
    assert_eq!((&marked["flags"], &marked["keywords"]), (&flags, &json!(["$Forwarded"])));
    let folder = here.get(&format!("/folders/{}", text(&filed["id"]))).await.expect(200);
    assert_eq!(
        (&folder["message_count"], &folder["unseen_count"], &folder["size_bytes"]),
        (&json!(1), &json!(0), &json!(MESSAGE.len()))
    );
    for wrong in [json!({"keywords": ["a b"]}), json!({"flags": {"recent": true}}), json!({"flags": null})] {
        here.patch(&path, wrong).await.expect_problem(422, "invalid_request");
    }

    let copied =
        here.post(&format!("{path}/copy"), json!({"mailbox_id": other.rsplit('/').next()})).await.expect(201);
    assert_eq!((&copied["flags"], &copied["keywords"]), (&flags, &json!(["$Forwarded"])));
    let raw = here.app.get(&here.key, &format!("{other}/messages/{}", text(&copied["id"]))).await.expect(200);
    assert_eq!(raw["subject"], message["subject"]);
    let theirs = other.rsplit('/').next().unwrap();
    let nowhere = json!({"mailbox_id": theirs, "folder_id": filed["id"]});
    here.post(&format!("{path}/copy"), nowhere).await.expect_problem(404, "not_found");

    let told = here.get(&format!("/changes?since={start}")).await.expect(200);
    let kinds: Vec<_> =
        told["changes"].as_array().unwrap().iter().map(|change| text(&change["kind"])).collect();
    assert_eq!(kinds.len(), 4, "{told}");
    assert_eq!(kinds[3], "flagged");
    assert_eq!(told["changes"][3]["uids"], json!([{"first": 1, "last": 1}]));
    let reached = &told["modseq"];
    let nothing = here.get(&format!("/changes?since={reached}")).await.expect(200);
    assert_eq!((&nothing["changes"], &nothing["modseq"]), (&json!([]), reached));
    here.get("/changes?since=999999").await.expect_problem(409, "changes_expired");
    here.get("/changes?since=-1").await.expect_problem(422, "invalid_request");
    here.get("/changes?wait_seconds=31").await.expect_problem(422, "invalid_request");
}

#[tokio::test]
async fn who_waits_for_a_change_is_answered_when_it_comes() {
    let here = Fixture::new().await;
    let start = here.get("/changes").await.expect(200)["modseq"].clone();
    let path = format!("/changes?since={start}&wait_seconds=30");
    let begun = std::time::Instant::now();
    let deliver = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        here.app.deliver(&here.key, &here.mailbox, MESSAGE).await.expect(201)
    };
    let (told, _) = tokio::join!(here.get(&path), deliver);
    assert_eq!(told.expect(200)["changes"][0]["kind"], "arrived");
    assert!(begun.elapsed() < std::time::Duration::from_secs(29), "it waited to the end");
}

#[tokio::test]
async fn change_and_go_only_in_the_version_that_was_seen() {
    let here = Fixture::new().await;
    let made = here.post("/folders", json!({"name": "Suppliers"})).await;
    let path = format!("/folders/{}", text(&made.expect(201)["id"]));
    let at = format!("{}{path}", here.mailbox);
    let first = made.header("etag").unwrap().to_owned();
    let call =
        |method: Method, tag: &str| here.app.call(method, &at).token(&here.key).header("if-match", tag);

    let renamed = call(Method::PATCH, &first).json(json!({"name": "Millers"})).send().await;
    renamed.expect(200);
    let second = renamed.header("etag").unwrap().to_owned();
    assert_ne!(second, first);
    let refused = call(Method::PATCH, &first).json(json!({"name": "Mills"})).send().await;
    refused.expect_problem(412, "version_mismatch");
    // What is there already is no change, and mail in it is none of the folder.
    let same = call(Method::PATCH, &second).json(json!({"name": "Millers"})).send().await;
    assert_eq!((same.expect(200)["name"].as_str(), same.header("etag")), (Some("Millers"), Some(&*second)));
    let put = here.app.call(Method::POST, &format!("{}/messages?folder_id={}", here.mailbox, &path[9..]));
    put.token(&here.key).bytes("message/rfc822", MESSAGE).send().await.expect(201);
    let seen = here.get(&path).await;
    assert_eq!((seen.expect(200)["message_count"].as_u64(), seen.header("etag")), (Some(1), Some(&*second)));

    let hidden = call(Method::PATCH, "*").json(json!({"is_subscribed": false})).send().await;
    hidden.expect(200);
    let third = hidden.header("etag").unwrap().to_owned();
    call(Method::DELETE, &second).send().await.expect_problem(412, "version_mismatch");
    assert_eq!(here.get(&path).await.expect(200)["is_subscribed"], false);
    call(Method::DELETE, &third).send().await.expect(204);
    here.get(&path).await.expect_problem(404, "not_found");
}
