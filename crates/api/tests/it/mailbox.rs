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
    let quota = json!({"quota_bytes": 5000, "warn_bytes": null, "block_send_bytes": null, "used_bytes": 0, "recoverable_bytes": 0,
        "threshold_reached": null});
    let mut expected = json!({
        "id": ada["mailbox_id"], "kind": "personal", "user_id": ada["id"], "primary_address": "ada@one.example",
        "quota": quota, "created_at": "2026-03-02T09:00:00Z", "deleted_at": null, "aliases": [], "display_name": "ada@one.example",
    });
    let listed = app.get(&key, &format!("{tenant}/mailboxes")).await.expect(200);
    assert_eq!(listed["data"], json!([expected]));
    // One alone says also what a query for each would find out.
    let explained = json!({"held_bytes": 0, "effective_limit_bytes": 5000, "inherited_from": "mailbox"});
    expected["quota"].as_object_mut().unwrap().extend(explained.as_object().unwrap().clone());
    assert_eq!(mailbox, expected);
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
    for (body, pointer) in [
        (json!({"quota_bytes": -1}), "/quota_bytes"),
        (json!({}), "/quota_bytes"),
        (json!({"quota": 1}), "/quota"),
    ] {
        let problem = app.put(&key, &quota, body).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn what_legal_holds_alone_keep_is_told_apart() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (ada, path) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    app.open_for_support(&key, &path).await;
    for _ in 0..2 {
        let message = app.deliver(&key, &path, MESSAGE).await.expect(201);
        app.delete(&key, &format!("{path}/messages/{}", text(&message["id"]))).await.expect(204);
        app.db.clock().advance(chrono::TimeDelta::seconds(1));
    }
    let size = MESSAGE.len();
    let policy = json!({"recoverable_days": 30, "recoverable_limit_bytes": size});
    app.put(&key, &format!("{tenant}/retention-policy"), policy).await.expect(200);
    let told = async || {
        let quota = app.get(&key, &format!("{path}/quota")).await.expect(200);
        assert_eq!(app.get(&key, &path).await.expect(200)["quota"], quota);
        [quota["recoverable_bytes"].clone(), quota["held_bytes"].clone()]
    };
    assert_eq!(told().await, [json!(2 * size), json!(0)], "nothing is on hold");
    let hold = json!({"mailbox_id": ada["mailbox_id"], "reason": "Case 17"});
    let hold = app.post(&key, &format!("{tenant}/holds"), hold).await.expect(201);
    let hold = format!("{tenant}/holds/{}", text(&hold["id"]));
    assert_eq!(told().await, [json!(2 * size), json!(size)], "the older one is more than is kept");
    assert_eq!(app.get(&key, &hold).await.expect(200)["held_bytes"], size);
    let set = app.put(&key, &format!("{path}/quota"), json!({"quota_bytes": 5000})).await.expect(200);
    assert_eq!((&set["held_bytes"], &set["inherited_from"]), (&json!(size), &json!("mailbox")));
    let listed = app.get(&key, &format!("{tenant}/mailboxes")).await.expect(200);
    assert_eq!(listed["data"][0]["quota"].get("held_bytes"), None, "a query for each");
    app.delete(&key, &hold).await.expect(204);
    assert_eq!(told().await, [json!(2 * size), json!(0)]);
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

#[tokio::test]
async fn of_those_that_are_nobody_s_own_there_are_no_more_than_the_tenant_may_have() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({"shared_mailboxes": {"limit": 1}})).await;
    let mailboxes = format!("{tenant}/mailboxes");
    let new = |kind: &str, local: &str| json!({"kind": kind, "display_name": local, "address": format!("{local}@one.example")});
    let info = app.post(&key, &mailboxes, new("shared", "info")).await.expect(201);
    let counted = async || app.get(&key, &tenant).await.expect(200)["shared_mailboxes"].clone();
    assert_eq!(counted().await, json!({"limit": 1, "used": 1}));
    for path in [mailboxes.clone(), format!("{mailboxes}?dry_run=true")] {
        let full = app.post(&key, &path, new("room", "attic")).await;
        let full = full.expect_problem(409, "shared_mailboxes_exhausted");
        assert_eq!(full["detail"], "all 1 shared mailboxes of the tenant are taken");
    }
    let wider = json!({"shared_mailboxes": {"limit": 2}});
    let wider = app.patch(&key, &tenant, wider).await.expect(200);
    assert_eq!(wider["shared_mailboxes"], json!({"limit": 2, "used": 1}));
    app.post(&key, &mailboxes, new("room", "attic")).await.expect(201);
    // One below what there is stops more, and lifting it lets them come.
    app.patch(&key, &tenant, json!({"shared_mailboxes": {"limit": 0}})).await.expect(200);
    assert_eq!(counted().await, json!({"limit": 0, "used": 2}));
    app.delete(&key, &format!("{mailboxes}/{}", text(&info["id"]))).await.expect(204);
    let restore = format!("{mailboxes}/{}/restore", text(&info["id"]));
    app.post(&key, &restore, json!({})).await.expect_problem(409, "shared_mailboxes_exhausted");
    app.patch(&key, &tenant, json!({"shared_mailboxes": {"limit": null}})).await.expect(200);
    app.post(&key, &restore, json!({})).await.expect(200);
    assert_eq!(counted().await, json!({"limit": null, "used": 2}));
    let negative = app.patch(&key, &tenant, json!({"shared_mailboxes": {"limit": -1}})).await;
    let negative = negative.expect_problem(422, "invalid_request");
    assert_eq!(negative["errors"][0]["pointer"], "/shared_mailboxes/limit");
}

#[tokio::test]
async fn of_those_that_are_nobody_s_own_there_are_no_more_than_a_reseller_s_tenants_may_have_together() {
    let app = App::new().await;
    let (north, key) = app.reseller("North").await;
    let reseller = format!("/v1/resellers/{north}");
    let cap = |cap: serde_json::Value| json!({"caps": {"shared_mailboxes": cap}});
    app.patch(&key, &reseller, cap(json!(9))).await.expect_problem(403, "forbidden");
    let capped = app.patch(&app.operator, &reseller, cap(json!(1))).await.expect(200);
    assert_eq!(
        (&capped["caps"]["shared_mailboxes"], &capped["used"]["shared_mailboxes"]),
        (&json!(1), &json!(0))
    );
    let new =
        |domain: &str| json!({"kind": "room", "display_name": "Attic", "address": format!("attic@{domain}")});
    let one = app.tenant(&key, "one.example", json!({})).await;
    let attic = app.post(&key, &format!("{one}/mailboxes"), new("one.example")).await.expect(201);
    let two = app.tenant(&key, "two.example", json!({"shared_mailboxes": {"limit": 5}})).await;
    let mailboxes = format!("{two}/mailboxes");
    for path in [mailboxes.clone(), format!("{mailboxes}?dry_run=true")] {
        let full = app.post(&key, &path, new("two.example")).await;
        let full = full.expect_problem(409, "shared_mailboxes_exhausted");
        assert_eq!(full["detail"], "all 1 shared mailboxes of the reseller are taken");
    }
    // What one tenant gives up, another has, and a cap that is lowered takes nothing away.
    app.delete(&key, &format!("{one}/mailboxes/{}", text(&attic["id"]))).await.expect(204);
    app.post(&key, &mailboxes, new("two.example")).await.expect(201);
    let lowered = app.patch(&app.operator, &reseller, cap(json!(0))).await.expect(200);
    assert_eq!(
        (&lowered["caps"]["shared_mailboxes"], &lowered["used"]["shared_mailboxes"]),
        (&json!(0), &json!(1))
    );
    let restore = format!("{one}/mailboxes/{}/restore", text(&attic["id"]));
    app.post(&key, &restore, json!({})).await.expect_problem(409, "shared_mailboxes_exhausted");
    let renamed = app.patch(&app.operator, &reseller, json!({"name": "Nord"})).await.expect(200);
    assert_eq!(renamed["caps"]["shared_mailboxes"], 0, "what is absent stays");
    app.patch(&app.operator, &reseller, cap(json!(null))).await.expect(200);
    app.post(&key, &restore, json!({})).await.expect(200);
    let used = app.get(&key, &reseller).await.expect(200)["used"]["shared_mailboxes"].clone();
    assert_eq!(used, 2);
    let negative = app.patch(&app.operator, &reseller, cap(json!(-1))).await;
    let negative = negative.expect_problem(422, "invalid_request");
    assert_eq!(negative["errors"][0]["pointer"], "/caps/shared_mailboxes");
}
