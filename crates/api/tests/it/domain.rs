use serde_json::json;

use crate::support::{App, text};

#[tokio::test]
async fn is_added_read_listed_and_removed() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let made =
        app.post(&key, &format!("{tenant}/domains"), json!({"name": "Bücher.Example"})).await.expect(201);
    assert_eq!((&made["name"], &made["status"]), (&json!("xn--bcher-kva.example"), &json!("pending")));
    let path = format!("{tenant}/domains/{}", text(&made["id"]));
    assert_eq!(app.get(&key, &path).await.expect(200), made);
    assert_eq!(
        app.get(&key, &format!("{tenant}/domains")).await.expect(200)["data"].as_array().unwrap().len(),
        2
    );
    app.delete(&key, &path).await.expect(204);
    app.get(&key, &path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn belongs_to_one_tenant_and_stays_while_it_has_addresses() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let one = app.tenant(&key, "one.example", json!({})).await;
    let two = app.tenant(&key, "two.example", json!({})).await;
    let waiting = app.post(&key, &format!("{two}/domains"), json!({"name": "one.example"})).await.expect(201);
    let record = &waiting["verification"];
    app.dns.set_txt(&text(&record["name"]), &[&text(&record["value"])]);
    let verify = format!("{two}/domains/{}/verify", text(&waiting["id"]));
    app.post(&key, &verify, json!({})).await.expect_problem(409, "domain_taken");
    app.post(&key, &format!("{two}/domains"), json!({"name": "two.example"}))
        .await
        .expect_problem(409, "domain_taken");
    let refused = app.post(&key, &format!("{two}/domains"), json!({"name": "localhost"})).await;
    assert_eq!(refused.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/name");
    app.user(&key, &one, json!({"address": "ada@one.example"})).await;
    let id = text(&app.get(&key, &format!("{one}/domains")).await.expect(200)["data"][0]["id"]);
    app.delete(&key, &format!("{one}/domains/{id}")).await.expect_problem(409, "domain_in_use");
}

#[tokio::test]
async fn is_verified_by_its_record_and_checked() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let made = app.post(&key, &format!("{tenant}/domains"), json!({"name": "new.example"})).await.expect(201);
    let path = format!("{tenant}/domains/{}", text(&made["id"]));
    let verify = format!("{path}/verify");
    app.post(&key, &verify, json!({})).await.expect_problem(409, "domain_not_verified");
    app.post(&key, &verify, json!({"vouch": true})).await.expect_problem(403, "forbidden");
    app.dns.set_txt("_pillarbox-challenge.new.example", &[&text(&made["verification"]["value"])]);
    let answer = app.post(&key, &verify, json!({})).await;
    assert_eq!(answer.expect(200)["status"], "active");
    assert_eq!(answer.header("etag"), Some("\"2\""));
    let health = app.get(&key, &format!("{path}/dns")).await.expect(200);
    assert_eq!((&health["healthy"], &health["checks"][0]["record"]), (&json!(false), &json!("dmarc")));
    app.dns.set_txt("_dmarc.new.example", &["v=DMARC1; p=reject"]);
    let health = app.get(&key, &format!("{path}/dns")).await.expect(200);
    assert_eq!(health["healthy"], true, "{health}");
    let stale =
        app.call(axum::http::Method::DELETE, &path).token(&key).header("if-match", "\"1\"").send().await;
    stale.expect_problem(412, "version_mismatch");
}
