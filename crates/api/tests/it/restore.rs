//! Mail put back as it was at a moment. What becomes of it is the mail store's and is tested there.

use serde_json::{Value, json};
use tenancy::operation::{self, Step};

use crate::support::{App, text};

#[tokio::test]
async fn a_restore_is_an_operation_that_waits_for_a_worker() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let (user, mailbox) = app.user(&key, &tenant, json!({"address": "ada@one.example"})).await;
    let (mailbox, tenant) = (format!("{mailbox}/restores"), format!("{tenant}/restores"));
    let moment = json!({"at": "2026-03-01T00:00:00Z", "mode": "in_place"});
    // No journal, no moment.
    app.post(&key, &mailbox, moment.clone()).await.expect_problem(422, "invalid_request");
    app.journal_from("2026-02-20").await;
    let other = app.tenant(&key, "two.example", json!({})).await;
    let of_other = text(&app.get(&key, &other).await.expect(200)["id"]).to_owned();
    let other = format!("{other}/restores");
    for (path, subject) in [(&mailbox, text(&user["mailbox_id"])), (&other, of_other)] {
        let begun = app.post(&key, path, moment.clone()).await;
        let place = begun.header("location").unwrap().to_owned();
        let operation = begun.expect(202);
        assert_eq!(place, format!("/v1/operations/{}", text(&operation["id"])));
        assert_eq!((&operation["status"], &operation["subject"]), (&json!("queued"), &json!(subject)));
        assert_eq!((&operation["result"], &operation["problem"]), (&json!(null), &json!(null)));
        assert_eq!(app.get(&key, &place).await.expect(200), operation);
    }
    for path in [&mailbox, &tenant] {
        app.post(&key, path, moment.clone()).await.expect_problem(409, "restore_under_way");
    }
    let (folder, message) = ("fld_019a2f3c5d7e7abc8def0123456789ab", "msg_019a2f3c5d7e7abc8def0123456789ab");
    for refused in [
        json!({"at": "2026-02-19T00:00:00Z", "mode": "in_place"}),
        json!({"at": "2099-01-01T00:00:00Z", "mode": "in_place"}),
        json!({"at": "2026-03-01", "mode": "in_place"}),
        json!({"at": "2026-03-01T00:00:00Z", "mode": "elsewhere"}),
        json!({"at": "2026-03-01T00:00:00Z", "mode": "beside", "folder_id": folder, "message_id": message}),
    ] {
        app.post(&key, &mailbox, refused).await.expect_problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn what_came_of_a_restore_or_stopped_it_is_told_apart_from_its_steps() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let tenant_id = app.get(&key, &tenant).await.expect(200)["id"].clone();
    let ctx = testkit::world::operator(&app.db).enter(text(&tenant_id).parse().unwrap()).await.unwrap();
    let counted = [
        ("messages_returned", "2"),
        ("messages_moved", "0"),
        ("messages_flagged", "1"),
        ("messages_copied", "0"),
        ("messages_lost", "0"),
        ("messages_over_quota", "0"),
    ];
    // As the mail store notes it, and what it does is tested there.
    let ended = async |kind: &str, problem: Option<&str>| -> Value {
        let mut tx = ctx.begin().await.unwrap();
        let begun = operation::begin(&mut tx, &ctx, kind, ctx.tenant_id()).await.unwrap();
        let steps = counted.into_iter().chain(problem.map(|code| ("problem", code)));
        let steps =
            steps.map(|(name, outcome)| Step { name: name.into(), outcome: outcome.into() }).collect();
        operation::finish(&mut tx, &ctx, begun.id, problem.is_none(), steps).await.unwrap();
        tx.commit().await.unwrap();
        app.get(&key, &format!("/v1/operations/{}", begun.id)).await.expect(200)
    };
    let done = ended("tenant.restore", None).await;
    let result = json!({"messages_returned": 2, "messages_moved": 0, "messages_flagged": 1, "messages_copied": 0,
        "messages_lost": 0, "messages_over_quota": 0});
    assert_eq!((&done["status"], &done["result"]), (&json!("succeeded"), &result));
    assert_eq!((&done["problem"], done["steps"].as_array().unwrap().len()), (&json!(null), 6));
    let of_another_kind = ended("user.offboard", None).await;
    assert_eq!(of_another_kind["result"], json!(null), "it is no result of that kind");
    for (noted, code, status) in [
        ("unavailable", "unavailable", 503),
        ("journal_unreadable", "journal_unreadable", 500),
        ("folder_not_found", "not_found", 404),
        ("a_code_that_no_request_is_answered_with", "internal", 500),
    ] {
        let failed = ended("tenant.restore", Some(noted)).await;
        assert_eq!((&failed["status"], &failed["result"]), (&json!("failed"), &json!(null)));
        let problem = &failed["problem"];
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{noted}");
        assert_eq!(problem["type"], format!("urn:pillarbox:problem:{code}"));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert_eq!(failed["steps"][6], json!({"name": "problem", "outcome": noted}));
    }
}
