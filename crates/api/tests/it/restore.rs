//! Mail put back as it was at a moment. What becomes of it is the mail store's and is tested there.

use serde_json::json;

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
