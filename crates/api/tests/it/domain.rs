use serde_json::json;

use crate::support::{App, text};

#[tokio::test]
async fn is_added_read_listed_and_removed() {
    let app = App::new().await;
    let (_, key) = app.reseller("North").await;
    let tenant = app.tenant(&key, "one.example", json!({})).await;
    let made =
        app.post(&key, &format!("{tenant}/domains"), json!({"name": "Bücher.Example"})).await.expect(201);
    assert_eq!((&made["name"], &made["status"]), (&json!("xn--bcher-kva.example"), &json!("active")));
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
    app.post(&key, &format!("{two}/domains"), json!({"name": "one.example"}))
        .await
        .expect_problem(409, "domain_taken");
    app.post(&key, &format!("{two}/domains"), json!({"name": "two.example"}))
        .await
        .expect_problem(409, "domain_taken");
    let refused = app.post(&key, &format!("{two}/domains"), json!({"name": "localhost"})).await;
    assert_eq!(refused.expect_problem(422, "invalid_request")["errors"][0]["pointer"], "/name");
    app.user(&key, &one, json!({"address": "ada@one.example"})).await;
    let id = text(&app.get(&key, &format!("{one}/domains")).await.expect(200)["data"][0]["id"]);
    app.delete(&key, &format!("{one}/domains/{id}")).await.expect_problem(409, "domain_in_use");
}
