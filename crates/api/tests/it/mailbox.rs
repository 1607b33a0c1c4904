use serde_json::json;

use crate::support::{App, MESSAGE, text};

#[tokio::test]
async fn is_listed_with_its_quota_and_folders() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (ada, path) =
        app.user(&key, &tenant, json!({"address": "ada@one.example", "quota_bytes": 5000})).await;
    let mailbox = app.get(&key, &path).await.expect(200);
    let expected = json!({
        "id": ada["mailbox_id"], "kind": "personal", "user_id": ada["id"], "primary_address": "ada@one.example",
        "quota": {"quota_bytes": 5000, "warn_bytes": null, "block_send_bytes": null, "used_bytes": 0, "recoverable_bytes": 0,
            "threshold_reached": null}, "created_at": "2026-03-02T09:00:00Z", "deleted_at": null, "aliases": [], "display_name": "ada@one.example",
    });
    assert_eq!(mailbox, expected);
    assert_eq!(app.get(&key, &format!("{tenant}/mailboxes")).await.expect(200)["data"], json!([mailbox]));
    let folders = app.get(&key, &format!("{path}/folders")).await.expect(200);
    let inbox = folders["data"].as_array().unwrap().iter().find(|folder| folder["role"] == "inbox").unwrap();
    assert_eq!(
        (&inbox["name"], &inbox["message_count"], &inbox["uid_next"]),
        (&json!("Inbox"), &json!(0), &json!(1))
    );
    assert!(inbox["uid_validity"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_quota_is_set_and_lifted() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (_, path) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    let quota = format!("{path}/quota");
    assert_eq!(app.get(&key, &quota).await.expect(200)["quota_bytes"], json!(null));
    assert_eq!(app.put(&key, &quota, json!({"quota_bytes": 7})).await.expect(200)["quota_bytes"], 7);
    assert_eq!(app.get(&key, &quota).await.expect(200)["quota_bytes"], 7);
    assert_eq!(
        app.put(&key, &quota, json!({"quota_bytes": null})).await.expect(200)["quota_bytes"],
        json!(null)
    );
    app.deliver(&key, &path, MESSAGE).await.expect(201);
    let tight = json!({"quota_bytes": 7, "warn_bytes": 2, "block_send_bytes": 3});
    let tight = app.put(&key, &quota, tight).await.expect(200);
    assert_eq!((&tight["threshold_reached"], &tight["warn_bytes"]), (&json!("quota"), &json!(2)));
    let disorder = json!({"quota_bytes": 7, "warn_bytes": 8});
    let problem = app.put(&key, &quota, disorder).await.expect_problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/quota_bytes");
    for (body, pointer) in
        [(json!({"quota_bytes": -1}), "/quota_bytes"), (json!({}), ""), (json!({"quota": 1}), "/quota")]
    {
        let problem = app.put(&key, &quota, body).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn a_person_sees_their_own_alone() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (ada, own) =
        app.user(&key, &tenant, json!({"address": "ada@one.example", "password": "correct-horse"})).await;
    let (_, others) = app.user(&key, &tenant, json!({"address": "bob@one.example"})).await;
    let token = app.sign_in("ada@one.example", "correct-horse").await;
    let listed = app.get(&token, &format!("{tenant}/mailboxes")).await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(text(&listed["data"][0]["id"]), text(&ada["mailbox_id"]));
    app.get(&token, &own).await.expect(200);
    for path in ["", "/quota", "/folders", "/messages"] {
        app.get(&token, &format!("{others}{path}")).await.expect_problem(404, "not_found");
    }
    app.deliver(&token, &others, crate::support::MESSAGE).await.expect_problem(404, "not_found");
    app.put(&token, &format!("{own}/quota"), json!({"quota_bytes": null}))
        .await
        .expect_problem(403, "forbidden");
}
