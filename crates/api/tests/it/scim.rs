//! SCIM 2.0 as directories meet it.

mod entra;
mod groups;
mod okta;
mod users;

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, MESSAGE, text};

const MEDIA_TYPE: &str = "application/scim+json";
const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const MAILBOX_URN: &str = "urn:pillarbox:params:scim:schemas:extension:mailbox:2.0:User";

/// A tenant whose directory has a key of it.
struct Directory {
    app: App,
    /// The reseller's key, for what a portal does.
    admin: String,
    /// The tenant's path in the rest of the API.
    tenant: String,
    /// SCIM's base URL.
    base: String,
    key: String,
}

impl Directory {
    async fn new() -> Self {
        Self::of(json!({})).await
    }

    /// A tenant with more to it than its name.
    async fn of(more: Value) -> Self {
        let app = App::new().await;
        let (_, admin) = app.reseller("North").await;
        let tenant = app.tenant(&admin, "one.example", more).await;
        let key = app.post(&admin, &format!("{tenant}/api-keys"), json!({"role": "tenant_admin"})).await;
        let key = text(&key.expect(201)["secret"]);
        let base = tenant.replace("/v1/tenants/", "/scim/v2/");
        Self { app, admin, tenant, base, key }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let call = self.app.call(method, &format!("{}{path}", self.base)).token(&self.key);
        match body {
            Some(body) => call.bytes(MEDIA_TYPE, body.to_string()).send().await,
            None => call.send().await,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// A PATCH with these operations.
    async fn patch(&self, path: &str, operations: Value) -> Answer {
        let body =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// The list of those that match.
    async fn matching(&self, filter: &str) -> Value {
        let encoded: String = url_encoded(filter);
        self.get(&format!("/Users?filter={encoded}")).await.expect(200)
    }

    /// A new user; their path under the base URL.
    async fn user(&self, body: Value) -> String {
        format!("/Users/{}", text(&self.post("/Users", body).await.expect(201)["id"]))
    }

    /// What the token endpoint says to a person.
    async fn sign_in(&self, address: &str, password: &str) -> u16 {
        let form = format!("grant_type=password&username={address}&password={password}");
        let call = self.app.call(Method::POST, "/v1/auth/token");
        call.bytes("application/x-www-form-urlencoded", form).send().await.status.as_u16()
    }

    /// The user as the rest of the API shows them.
    async fn portal_view(&self, path: &str) -> Value {
        let id = path.rsplit('/').next().unwrap();
        self.app.get(&self.admin, &format!("{}/users/{id}", self.tenant)).await.expect(200)
    }

    /// Takes a message in for a user.
    async fn deliver(&self, path: &str) -> u16 {
        let mailbox = text(&self.portal_view(path).await["mailbox_id"]);
        let mailbox = format!("{}/mailboxes/{mailbox}", self.tenant);
        self.app.deliver(&self.admin, &mailbox, MESSAGE).await.status.as_u16()
    }
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn no_match() -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 0,
        "startIndex": 1, "itemsPerPage": 0, "Resources": []})
}

#[tokio::test]
async fn the_server_says_what_it_can_do() {
    let directory = Directory::new().await;
    let config = directory.get("/ServiceProviderConfig").await;
    assert_eq!(config.header("content-type"), Some(MEDIA_TYPE));
    let config = config.expect(200);
    for (feature, supported) in [
        ("patch", true),
        ("bulk", false),
        ("filter", true),
        ("sort", false),
        ("etag", true),
        ("changePassword", true),
    ] {
        assert_eq!(config[feature]["supported"], supported, "{feature}");
    }
    let types = directory.get("/ResourceTypes").await.expect(200);
    let schemas = directory.get("/Schemas").await.expect(200);
    let ids = |list: &Value| {
        let each = list["Resources"].as_array().unwrap().iter();
        each.map(|one| text(&one["id"])).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids(&types), ids(&schemas)),
        (vec!["User".into(), "Group".into()], vec![USER_URN.into(), GROUP_URN.into(), MAILBOX_URN.into()])
    );
    // Each is where it says it is.
    for one in types["Resources"].as_array().unwrap().iter().chain(schemas["Resources"].as_array().unwrap()) {
        let path = text(&one["meta"]["location"]);
        assert_eq!(&directory.app.get(&directory.key, &path).await.expect(200), one);
    }
    directory.get("/Schemas/urn:nothing").await.expect_scim(404, None);
    directory.get("/ResourceTypes/Device").await.expect_scim(404, None);
    directory.get("/Schemas?filter=id%20pr").await.expect_scim(403, None);
}

#[tokio::test]
async fn every_error_is_scims() {
    let directory = Directory::new().await;
    directory.get("/Nothing").await.expect_scim(404, None);
    directory.get("/Users/usr_019a2f3c5d7e7abc8def0123456789ab").await.expect_scim(404, None);
    directory.get("/Users/2819c223").await.expect_scim(404, None);
    let method = directory.put("/Users", json!({})).await;
    method.expect_scim(405, None);
    assert!(method.header("allow").is_some_and(|allowed| allowed.contains("POST")), "{method:?}");
    let users = format!("{}/Users", directory.base);
    let post = |body: &str, media_type: &str| {
        let call = directory.app.call(Method::POST, &users).token(&directory.key);
        call.bytes(media_type, body.to_owned()).send()
    };
    post("{", MEDIA_TYPE).await.expect_scim(400, Some("invalidSyntax"));
    post("[]", MEDIA_TYPE).await.expect_scim(400, Some("invalidSyntax"));
    post("<user/>", "text/xml").await.expect_scim(415, None);
    post(&" ".repeat(2 << 20), MEDIA_TYPE).await.expect_scim(413, None);
    // The rest of the API takes this media type, and so does SCIM.
    post(r#"{"userName": "ada@one.example"}"#, "application/json; charset=utf-8").await.expect(201);
    let nobody = directory.app.call(Method::GET, &users).send().await;
    nobody.expect_scim(401, None);
    assert!(nobody.header("www-authenticate").is_some_and(|text| text.starts_with("Bearer")));
}
