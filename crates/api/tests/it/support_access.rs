use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{App, MESSAGE, text};

struct Fixture {
    app: App,
    /// The reseller's admin.
    admin: String,
    /// The tenant's own admin.
    own: String,
    tenant: String,
    mailbox: String,
    message: String,
}

async fn fixture() -> Fixture {
    let app = App::new().await;
    let (_, admin) = app.reseller("North").await;
    let tenant = app.tenant(&admin, "one.example", json!({})).await;
    let (_, mailbox) = app.user(&admin, &tenant, json!({"address": "ada@one.example"})).await;
    let message = app.deliver(&admin, &mailbox, MESSAGE).await.expect(201);
    let message = format!("{mailbox}/messages/{}", text(&message["id"]));
    let own =
        app.post(&admin, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await.expect(201);
    Fixture { own: text(&own["secret"]), app, admin, tenant, mailbox, message }
}

impl Fixture {
    /// What the tenant's trail says of support accesses: the kind and the data of each event.
    async fn trail(&self) -> Vec<(String, Value)> {
        tenancy::event::chain(&self.app.db.db()).await.unwrap();
        let trail = self.app.get(&self.own, "/v1/audit-log?limit=200").await.expect(200);
        let events = trail["data"].as_array().unwrap().iter();
        let events = events.map(|event| (text(&event["kind"]), event["data"].clone()));
        events.filter(|(kind, _)| kind.starts_with("support_access.")).collect()
    }

    async fn is_closed(&self, token: &str) {
        for path in [&self.message, &format!("{}/raw", self.message), &format!("{}/messages", self.mailbox)] {
            self.app.get(token, path).await.expect_problem(403, "support_access_required");
        }
        self.app.delete(token, &self.message).await.expect_problem(403, "support_access_required");
        let recover = self.app.post(token, &format!("{}/recover", self.message), json!({})).await;
        recover.expect_problem(403, "support_access_required");
    }
}

#[tokio::test]
async fn from_above_mail_is_seen_for_a_reason_and_a_time_and_the_tenant_reads_so() {
    let here = fixture().await;
    here.is_closed(&here.admin).await;
    here.is_closed(&here.app.operator).await;
    // The tenant's own admin needs none, and cannot open one.
    here.app.get(&here.own, &here.message).await.expect(200);
    let path = format!("{}/support-accesses", here.mailbox);
    let reason = json!({"reason": "Ticket 4711"});
    here.app.post(&here.own, &path, reason.clone()).await.expect_problem(403, "forbidden");
    assert_eq!(here.trail().await, []);

    let access = here.app.post(&here.admin, &path, reason).await.expect(201);
    let (opened, ends) = (time(&access["created_at"]), time(&access["expires_at"]));
    assert_eq!(ends - opened, TimeDelta::hours(1));
    here.app.get(&here.admin, &here.message).await.expect(200);
    // It is the opener's alone.
    here.is_closed(&here.app.operator).await;

    let listed = here.app.get(&here.own, &path).await.expect(200);
    assert_eq!(listed["data"], json!([access]));
    let id = text(&access["id"]);
    here.app.delete(&here.own, &format!("{path}/{id}")).await.expect(204);
    here.is_closed(&here.admin).await;
    let trail = here.trail().await;
    let kinds: Vec<_> = trail.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["support_access.opened", "support_access.used", "support_access.ended"]);
    assert!(trail.iter().all(|(_, data)| data["reason"] == "Ticket 4711"), "{trail:?}");
    assert_eq!(trail[1].1["action"], "messages:read");
    // Ending it once more changes nothing.
    here.app.delete(&here.own, &format!("{path}/{id}")).await.expect(204);
    assert_eq!(here.trail().await.len(), 3);
}

#[tokio::test]
async fn it_ends_by_itself() {
    let here = fixture().await;
    here.app.open_for_support(&here.admin, &here.mailbox).await;
    here.app.get(&here.admin, &here.message).await.expect(200);
    here.app.db.clock().advance(TimeDelta::hours(1));
    here.is_closed(&here.admin).await;
}

#[tokio::test]
async fn a_reason_is_needed_and_a_day_is_the_longest() {
    let here = fixture().await;
    let path = format!("{}/support-accesses", here.mailbox);
    let now = time(&here.app.get(&here.admin, &here.tenant).await.expect(200)["created_at"]);
    let wrong = [
        (json!({"reason": ""}), "/reason"),
        (json!({"reason": "   "}), "/reason"),
        (json!({"reason": "x".repeat(501)}), "/reason"),
        (json!({"reason": "a\nb"}), "/reason"),
        (json!({"reason": 7}), "/reason"),
        (json!({"reason": "why", "expires_at": "tomorrow"}), "/expires_at"),
        (json!({"reason": "why", "expires_at": now}), "/expires_at"),
        (json!({"reason": "why", "expires_at": now + TimeDelta::hours(25)}), "/expires_at"),
        (json!({"reason": "why", "principal": "me"}), "/principal"),
    ];
    for (body, pointer) in wrong {
        let problem = here.app.post(&here.admin, &path, body).await.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    here.is_closed(&here.admin).await;
}

#[track_caller]
fn time(value: &Value) -> chrono::DateTime<Utc> {
    text(value).parse().unwrap()
}
