//! For every operation of the document: nobody, somebody else, and somebody without the right to it.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tenancy::{Action, Role, policy};

use crate::document::{id, is_public, is_scim, operations};
use crate::support::{Answer, App, MESSAGE, text};
use crate::{billing, support};

/// The operations that need no credential.
const PUBLIC: &[&str] = &["create_token", "get_health", "get_jwks", "get_metrics", "get_readiness"];

/// What Ada signs in with.
const PASSWORD: &str = "correct horse battery staple";

/// What somebody else's credential meets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stranger {
    /// The path names our object: there is no such thing.
    NotFound,
    /// The path names nothing: a list without our objects.
    SeesNothing,
    /// The path names nothing, the body names our object: there is no such thing.
    BodyNotFound,
    /// Neither names anything of ours: the stranger makes one of its own.
    MakesTheirOwn,
}

use Stranger::{BodyNotFound, MakesTheirOwn, NotFound, SeesNothing};

/// Every operation that needs a credential. One that is missing here, or is here and not in the document, fails the test.
const TABLE: &[(&str, Stranger)] = &[
    ("add_member", NotFound),
    ("create_alias", NotFound),
    ("create_app_password", NotFound),
    ("create_billing_run", BodyNotFound),
    ("create_domain", NotFound),
    ("create_group", NotFound),
    ("create_mailbox", NotFound),
    ("create_message", NotFound),
    ("create_price_book", BodyNotFound),
    ("create_reseller", BodyNotFound),
    ("create_reseller_api_key", NotFound),
    ("create_support_access", NotFound),
    ("create_tenant", BodyNotFound),
    ("create_tenant_api_key", NotFound),
    ("create_user", NotFound),
    ("create_users", NotFound),
    ("create_webhook_endpoint", MakesTheirOwn),
    ("delete_alias", NotFound),
    ("delete_domain", NotFound),
    ("delete_group", NotFound),
    ("delete_mailbox", NotFound),
    ("delete_message", NotFound),
    ("delete_tenant", NotFound),
    ("delete_user", NotFound),
    ("delete_webhook_endpoint", NotFound),
    ("end_support_access", NotFound),
    ("get_billing_run", NotFound),
    ("get_destruction_record", NotFound),
    ("get_domain", NotFound),
    ("get_domain_dns", NotFound),
    ("get_group", NotFound),
    ("get_invoice", NotFound),
    ("get_mailbox", NotFound),
    ("get_message", NotFound),
    ("get_message_raw", NotFound),
    ("get_operation", NotFound),
    ("get_price_book", NotFound),
    ("get_quota", NotFound),
    ("get_reseller", NotFound),
    ("get_reseller_branding", NotFound),
    ("get_subscription", NotFound),
    ("get_tenant", NotFound),
    ("get_tenant_branding", NotFound),
    ("get_user", NotFound),
    ("get_webhook_endpoint", NotFound),
    ("list_aliases", NotFound),
    ("list_app_passwords", NotFound),
    ("list_audit_log", SeesNothing),
    ("list_billing_runs", SeesNothing),
    ("list_delegates", NotFound),
    ("list_domains", NotFound),
    ("list_events", SeesNothing),
    ("list_folders", NotFound),
    ("list_groups", NotFound),
    ("list_invoices", NotFound),
    ("list_mailboxes", NotFound),
    ("list_members", NotFound),
    ("list_messages", NotFound),
    ("list_price_books", SeesNothing),
    ("list_prices", NotFound),
    ("list_reseller_api_keys", NotFound),
    ("list_resellers", SeesNothing),
    ("list_support_accesses", NotFound),
    ("list_tenant_api_keys", NotFound),
    ("list_tenants", SeesNothing),
    ("list_users", NotFound),
    ("list_webhook_deliveries", NotFound),
    ("list_webhook_endpoints", SeesNothing),
    ("offboard_user", NotFound),
    ("put_delegate", NotFound),
    ("put_subscription", NotFound),
    ("recover_message", NotFound),
    ("remove_delegate", NotFound),
    ("remove_member", NotFound),
    ("replay_webhook_delivery", NotFound),
    ("reset_password", NotFound),
    ("restore_mailbox", NotFound),
    ("restore_tenant", NotFound),
    ("restore_user", NotFound),
    ("resume_tenant", NotFound),
    ("resume_user", NotFound),
    ("revoke_app_password", NotFound),
    ("revoke_reseller_api_key", NotFound),
    ("revoke_tenant_api_key", NotFound),
    ("rotate_webhook_endpoint_secret", NotFound),
    ("scim_create_group", NotFound),
    ("scim_create_user", NotFound),
    ("scim_delete_group", NotFound),
    ("scim_delete_user", NotFound),
    ("scim_get_group", NotFound),
    ("scim_get_resource_type", NotFound),
    ("scim_get_schema", NotFound),
    ("scim_get_service_provider_config", NotFound),
    ("scim_get_user", NotFound),
    ("scim_list_groups", NotFound),
    ("scim_list_resource_types", NotFound),
    ("scim_list_schemas", NotFound),
    ("scim_list_users", NotFound),
    ("scim_replace_group", NotFound),
    ("scim_replace_user", NotFound),
    ("scim_update_group", NotFound),
    ("scim_update_user", NotFound),
    ("set_quota", NotFound),
    ("set_test_clock", NotFound),
    ("suspend_tenant", NotFound),
    ("suspend_user", NotFound),
    ("transfer_tenant", NotFound),
    ("update_domain", NotFound),
    ("update_group", NotFound),
    ("update_mailbox", NotFound),
    ("update_reseller", NotFound),
    ("update_tenant", NotFound),
    ("update_user", NotFound),
    ("update_webhook_endpoint", NotFound),
    ("verify_domain", NotFound),
];

/// Our objects, by the names that paths and bodies have for them.
struct World {
    app: App,
    /// The reseller's own admin.
    admin: String,
    ids: BTreeMap<&'static str, String>,
}

impl World {
    async fn new() -> Self {
        let app = App::new().await;
        let (reseller, admin) = app.reseller("North").await;
        let tenant = billing::subscribed(&app, &admin, "one.example", 1).await;
        let (user, mailbox) = app.user(&admin, &tenant, json!({"address": "ada@one.example"})).await;
        let domain = app
            .post(&admin, &format!("{tenant}/domains"), json!({"name": "spare.example"}))
            .await
            .expect(201);
        let record = &domain["verification"];
        app.dns.set_txt(&text(&record["name"]), &[&text(&record["value"])]);
        let user_path = format!("{tenant}/users/{}", text(&user["id"]));
        let app_password = json!({"name": "phone", "protocols": ["pop3"]});
        let app_password =
            app.post(&admin, &format!("{user_path}/app-passwords"), app_password).await.expect(201);
        let password = json!({"password": PASSWORD});
        app.post(&admin, &format!("{user_path}/reset-password"), password).await.expect(204);
        let (leaver, _) = app.user(&admin, &tenant, json!({"address": "leaver@one.example"})).await;
        app.delete(&admin, &format!("{tenant}/users/{}", text(&leaver["id"]))).await.expect(204);
        let (mover, _) = app.user(&admin, &tenant, json!({"address": "mover@one.example"})).await;
        let shared = async |local: &str| {
            let body =
                json!({"kind": "shared", "display_name": "Info", "address": format!("{local}@one.example")});
            app.post(&admin, &format!("{tenant}/mailboxes"), body).await.expect(201)
        };
        let (info, gone, going) = (shared("info").await, shared("gone").await, shared("going").await);
        app.delete(&admin, &format!("{tenant}/mailboxes/{}", text(&gone["id"]))).await.expect(204);
        let delegate = format!("{tenant}/mailboxes/{}/delegates/{}", text(&info["id"]), text(&mover["id"]));
        app.put(&admin, &delegate, json!({"rights": ["read"]})).await.expect(200);
        let alias = json!({"address": "hello@one.example", "mailbox_id": info["id"]});
        let alias = app.post(&admin, &format!("{tenant}/aliases"), alias).await.expect(201);
        let group = json!({"display_name": "Sales", "members": [user["mailbox_id"]]});
        let group = app.post(&admin, &format!("{tenant}/groups"), group).await.expect(201);
        let going_group = json!({"display_name": "Going"});
        let going_group = app.post(&admin, &format!("{tenant}/groups"), going_group).await.expect(201);
        let (walker, _) = app.user(&admin, &tenant, json!({"address": "walker@one.example"})).await;
        let (former, _) = app.user(&admin, &tenant, json!({"address": "former@one.example"})).await;
        let offboard = format!("{tenant}/users/{}/offboard", text(&former["id"]));
        let offboarded = app.post(&admin, &offboard, json!({"mailbox": "archive"})).await.expect(202);
        let tenant_purged = app.tenant(&admin, "purged.example", json!({"test_clock": true})).await;
        app.delete(&admin, &tenant_purged).await.expect(204);
        app.destroy(&tenant_purged).await;
        let tenant_gone = app.tenant(&admin, "gone.example", json!({})).await;
        app.delete(&admin, &tenant_gone).await.expect(204);
        let tenant_going = app.tenant(&admin, "going.example", json!({})).await;
        let endpoint = json!({"url": "https://hooks.example/in"});
        let endpoint = app.post(&admin, "/v1/webhook-endpoints", endpoint).await.expect(201);
        let message = app.deliver(&admin, &mailbox, MESSAGE).await.expect(201);
        app.open_for_support(&admin, &mailbox).await;
        let access = app.open_for_support(&admin, &mailbox).await;
        let deleted = app.deliver(&admin, &mailbox, MESSAGE).await.expect(201);
        app.delete(&admin, &format!("{mailbox}/messages/{}", text(&deleted["id"]))).await.expect(204);
        let run = billing::run(&app, &admin, json!({"as_of": "2026-03-02"})).await;
        let invoice = app.get(&admin, &format!("{tenant}/invoices")).await.expect(200)["data"][0].clone();
        let book = app.get(&admin, "/v1/price-books").await.expect(200)["data"][0].clone();
        let reseller_key = format!("/v1/resellers/{reseller}/api-keys");
        let reseller_key =
            app.post(&admin, &reseller_key, json!({"role": "reseller_support"})).await.expect(201);
        let tenant_key =
            app.post(&admin, &format!("{tenant}/api-keys"), json!({"role": "helpdesk"})).await.expect(201);
        let below = app.post(&admin, "/v1/resellers", json!({"name": "North-East"})).await.expect(201);
        let ids = [
            ("below_reseller_id", below["id"].clone()),
            ("reseller_id", json!(reseller)),
            ("tenant_id", json!(tenant.strip_prefix("/v1/tenants/"))),
            ("purged_tenant_id", json!(tenant_purged.strip_prefix("/v1/tenants/"))),
            ("deleted_tenant_id", json!(tenant_gone.strip_prefix("/v1/tenants/"))),
            ("going_tenant_id", json!(tenant_going.strip_prefix("/v1/tenants/"))),
            ("domain_id", domain["id"].clone()),
            ("user_id", user["id"].clone()),
            ("mailbox_id", user["mailbox_id"].clone()),
            ("message_id", message["id"].clone()),
            ("deleted_message_id", deleted["id"].clone()),
            ("price_book_id", book["id"].clone()),
            ("invoice_id", invoice["id"].clone()),
            ("run_id", run["id"].clone()),
            ("reseller_key_id", reseller_key["id"].clone()),
            ("tenant_key_id", tenant_key["id"].clone()),
            ("app_password_id", app_password["id"].clone()),
            ("shared_mailbox_id", info["id"].clone()),
            ("deleted_mailbox_id", gone["id"].clone()),
            ("going_mailbox_id", going["id"].clone()),
            ("alias_id", alias["id"].clone()),
            ("group_id", group["id"].clone()),
            ("going_group_id", going_group["id"].clone()),
            ("member_id", user["mailbox_id"].clone()),
            ("support_access_id", access["id"].clone()),
            ("deleted_user_id", leaver["id"].clone()),
            ("other_user_id", mover["id"].clone()),
            ("going_user_id", walker["id"].clone()),
            ("operation_id", offboarded["id"].clone()),
        ];
        tenancy::event::chain(&app.db.db()).await.unwrap();
        let deliveries = format!("/v1/webhook-endpoints/{}/deliveries", text(&endpoint["id"]));
        let delivery = app.get(&admin, &deliveries).await.expect(200)["data"][0].clone();
        let webhook = [("endpoint_id", text(&endpoint["id"])), ("delivery_id", text(&delivery["id"]))];
        Self { app, admin, ids: ids.iter().map(|(name, id)| (*name, text(id))).chain(webhook).collect() }
    }

    /// The operation, on our objects, as a caller who may would send it.
    async fn send(&self, method: &str, path: &str, operation: &Value, token: Option<&str>) -> Answer {
        self.send_if(method, path, operation, token, None).await
    }

    /// The same, with `If-Match`.
    async fn send_if(
        &self,
        method: &str,
        path: &str,
        operation: &Value,
        token: Option<&str>,
        tag: Option<&str>,
    ) -> Answer {
        let key = if path.contains("{reseller_id}") { "reseller_key_id" } else { "tenant_key_id" };
        let message = if id(operation) == "recover_message" { "deleted_message_id" } else { "message_id" };
        let user = match id(operation) {
            "restore_user" => "deleted_user_id",
            "offboard_user" => "going_user_id",
            "scim_delete_user" | "put_delegate" | "remove_delegate" => "other_user_id",
            _ => "user_id",
        };
        let group = if id(operation) == "scim_delete_group" { "going_group_id" } else { "group_id" };
        let mailbox = match id(operation) {
            "restore_mailbox" => "deleted_mailbox_id",
            "delete_mailbox" => "going_mailbox_id",
            "update_mailbox" | "list_delegates" | "put_delegate" | "remove_delegate" => "shared_mailbox_id",
            _ => "mailbox_id",
        };
        let mut path = path
            .replace("{key_id}", &self.ids[key])
            .replace("{message_id}", &self.ids[message])
            .replace("{user_id}", &self.ids[user])
            .replace("{mailbox_id}", &self.ids[mailbox])
            .replace("{group_id}", &self.ids[group])
            .replace("{resource_type}", "User")
            .replace("{schema}", "urn:ietf:params:scim:schemas:core:2.0:User");
        let tenant = match id(operation) {
            "restore_tenant" => "deleted_tenant_id",
            "delete_tenant" => "going_tenant_id",
            "get_destruction_record" => "purged_tenant_id",
            _ => "tenant_id",
        };
        path = path.replace("{tenant_id}", &self.ids[tenant]);
        for (name, id) in &self.ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        assert!(!path.contains('{'), "no object for {path}");
        let mut call = self.app.call(Method::from_bytes(method.as_bytes()).unwrap(), &path);
        if let Some(token) = token {
            call = call.token(token);
        }
        if let Some(tag) = tag {
            call = call.header("if-match", tag);
        }
        match self.body(id(operation)) {
            Some(Value::String(message)) => call.bytes("message/rfc822", message).send().await,
            Some(body) => call.json(body).send().await,
            None => call.send().await,
        }
    }

    fn body(&self, operation: &str) -> Option<Value> {
        let ids = &self.ids;
        Some(match operation {
            "create_billing_run" => json!({"as_of": "2026-03-02", "tenant_id": ids["tenant_id"]}),
            "create_domain" => json!({"name": "new.example"}),
            "create_message" => json!(MESSAGE),
            "create_price_book" => json!({"reseller_id": ids["reseller_id"], "prices": billing::prices()}),
            "create_reseller" => json!({"name": "Below", "parent_id": ids["reseller_id"]}),
            "create_reseller_api_key" => json!({"role": "reseller_admin", "actions": ["api_keys:write"]}),
            "create_tenant" => {
                json!({"reseller_id": ids["reseller_id"], "name": "Two", "country": "DE", "currency": "EUR"})
            }
            "create_tenant_api_key" => json!({"role": "tenant_admin", "actions": ["api_keys:write"]}),
            "create_users" => {
                json!({"users": [{"address": "first@one.example"}, {"address": "second@one.example"}]})
            }
            "create_user" => json!({"address": "new@one.example"}),
            "scim_create_group" | "scim_replace_group" => json!({"displayName": "Everyone"}),
            "scim_update_group" => json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "displayName", "value": "Everybody"}],
            }),
            "scim_create_user" => json!({"userName": "hired@one.example"}),
            "scim_replace_user" => json!({"userName": "ada@one.example"}),
            "scim_update_user" => json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "displayName", "value": "Ada"}],
            }),
            "transfer_tenant" => json!({"reseller_id": ids["below_reseller_id"]}),
            "put_subscription" => json!({"price_book_id": ids["price_book_id"], "interval": "month"}),
            "set_quota" => json!({"quota_bytes": null}),
            "set_test_clock" => json!({"now": "2026-03-03T00:00:00Z"}),
            "create_alias" => json!({"address": "hi@one.example", "mailbox_id": ids["mailbox_id"]}),
            "create_group" => json!({"display_name": "Support"}),
            "create_mailbox" => {
                json!({"kind": "room", "display_name": "Aula", "address": "aula@one.example"})
            }
            "offboard_user" => json!({}),
            "put_delegate" => json!({"rights": ["read"]}),
            "update_domain" => json!({"plus_addressing": true}),
            "update_group" => json!({"display_name": "Sales"}),
            "update_mailbox" => json!({"display_name": "Info"}),
            "restore_mailbox" => json!({}),
            "create_support_access" => json!({"reason": "Ticket 4711"}),
            "create_app_password" => json!({"name": "tablet", "protocols": ["imap"]}),
            "reset_password" => json!({"password": "another good password"}),
            "restore_tenant" | "suspend_tenant" | "resume_tenant" | "suspend_user" | "resume_user"
            | "restore_user" | "verify_domain" => json!({}),
            "create_webhook_endpoint" => json!({"url": "https://hooks.example/new"}),
            "update_webhook_endpoint" => json!({"description": "the portal's"}),
            "update_user" => json!({"display_name": "Ada"}),
            "update_reseller" => json!({"name": "North"}),
            "update_tenant" => json!({"name": "Bakery"}),
            _ => return None,
        })
    }

    /// A key of our reseller's, with its admin's role and these actions alone.
    async fn narrowed(&self, actions: impl Iterator<Item = Action>) -> String {
        let actions: Vec<_> = actions.map(Action::as_str).collect();
        let path = format!("/v1/resellers/{}/api-keys", self.ids["reseller_id"]);
        let body = json!({"role": "reseller_admin", "actions": actions});
        self.opened(&self.app.post(&self.admin, &path, body).await.expect(201)).await
    }

    /// A key's secret, when our mailbox is open to it for support; it need not be allowed to open it itself.
    async fn opened(&self, key: &Value) -> String {
        let mut connection = sqlx::PgConnection::connect(&self.app.db.url()).await.unwrap();
        sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
        sqlx::query(
            "insert into support_accesses (tenant_id, id, mailbox_id, principal, reason, created_at, expires_at)
             select tenant_id, gen_random_uuid(), mailbox_id, $1, reason, created_at, expires_at from support_accesses limit 1",
        )
        .bind(text(&key["id"]))
        .execute(&mut connection)
        .await
        .unwrap();
        text(&key["secret"])
    }

    /// A credential of each role that a caller can have, for the part of the tree that our objects are in.
    async fn credential(&self, role: Role) -> String {
        let (level, id) = match role {
            Role::Operator => {
                let path =
                    format!("/v1/tenants/{}/mailboxes/{}", self.ids["tenant_id"], self.ids["mailbox_id"]);
                self.app.open_for_support(&self.app.operator, &path).await;
                return self.app.operator.clone();
            }
            Role::User => return self.app.sign_in("ada@one.example", PASSWORD).await,
            Role::TenantAdmin | Role::TenantBilling | Role::Helpdesk => ("tenants", &self.ids["tenant_id"]),
            _ => ("resellers", &self.ids["reseller_id"]),
        };
        let path = format!("/v1/{level}/{id}/api-keys");
        self.opened(&self.app.post(&self.admin, &path, json!({"role": role.as_str()})).await.expect(201))
            .await
    }

    fn names_ours(&self, text: &str) -> bool {
        self.ids.values().any(|id| text.contains(id.as_str()))
    }
}

/// The refusal in the form that the path has for them; what it says, without the request's id.
#[track_caller]
fn refused(answer: &Answer, path: &str, status: u16, code: &str) -> Value {
    if is_scim(path) {
        return answer.expect_scim(status, None);
    }
    let mut body = answer.expect_problem(status, code);
    body.as_object_mut().unwrap().remove("request_id");
    body
}

/// The operations that need a credential: those that destroy come last.
fn guarded() -> Vec<(String, String, Value)> {
    let mut guarded: Vec<_> =
        operations().into_iter().filter(|(.., operation)| !is_public(operation)).collect();
    // What is inside goes before what it is in.
    guarded.sort_by_key(|(method, path, operation)| {
        let depth = std::cmp::Reverse(path.matches('/').count());
        (method == "DELETE").then_some((depth, id(operation) == "delete_user"))
    });
    guarded
}

#[test]
fn the_table_has_every_operation() {
    let mut documented: Vec<_> = guarded().iter().map(|(.., operation)| id(operation).to_owned()).collect();
    documented.sort();
    let table: Vec<_> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(documented, table);
    let operations = operations();
    let mut public: Vec<_> =
        operations.iter().filter(|(.., one)| is_public(one)).map(|(.., one)| id(one)).collect();
    public.sort_unstable();
    assert_eq!(public, PUBLIC);
}

#[tokio::test]
async fn without_a_credential_nothing_is_answered() {
    let world = World::new().await;
    for (method, path, operation) in guarded() {
        let nobody = world.send(&method, &path, &operation, None).await;
        refused(&nobody, &path, 401, "unauthenticated");
        assert!(nobody.header("www-authenticate").is_some_and(|text| text.starts_with("Bearer")), "{path}");
        for token in ["x", "pillarbox_019a2f3c5d7e7abc8def0123456789ab_AAAA", "eyJhbGciOiJub25lIn0.e30."] {
            let unknown = world.send(&method, &path, &operation, Some(token)).await;
            refused(&unknown, &path, 401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn to_another_reseller_our_objects_do_not_exist() {
    let world = World::new().await;
    let (_, stranger) = world.app.reseller("South").await;
    for (method, path, operation) in guarded() {
        let (_, expected) = TABLE.iter().find(|(name, _)| *name == id(&operation)).unwrap();
        assert_eq!(path.contains('{'), *expected == NotFound, "{path}");
        let answer = world.send(&method, &path, &operation, Some(&stranger)).await;
        match expected {
            NotFound | BodyNotFound => {
                let body = refused(&answer, &path, 404, "not_found");
                let nowhere = if is_scim(&path) { "/scim/v2/{}/Users" } else { "/v1/tenants/{}" };
                let nowhere = nowhere.replace("{}", "ten_019a2f3c5d7e7abc8def0123456789ab");
                let never = world.app.get(&stranger, &nowhere).await;
                assert_eq!(body, refused(&never, &path, 404, "not_found"), "{path}");
            }
            MakesTheirOwn => {
                let text = answer.expect(201).to_string();
                assert!(!world.names_ours(&text), "{path}: {text}");
            }
            SeesNothing => {
                let text = answer.expect(200).to_string();
                assert!(!world.names_ours(&text), "{path}: {text}");
            }
        }
    }
    nothing_has_changed(&world).await;
}

#[tokio::test]
async fn to_another_tenant_of_the_reseller_our_objects_do_not_exist() {
    let world = World::new().await;
    let other = world.app.tenant(&world.admin, "two.example", json!({})).await;
    let key = world
        .app
        .post(&world.admin, &format!("{other}/api-keys"), json!({"role": "tenant_admin"}))
        .await
        .expect(201);
    let stranger = text(&key["secret"]);
    for (method, path, operation) in guarded() {
        let answer = world.send(&method, &path, &operation, Some(&stranger)).await;
        let in_scope =
            ["{tenant_id}", "{reseller_id}", "{invoice_id}"].iter().any(|part| path.contains(part));
        match answer.status.as_u16() {
            404 => {}
            // A tenant's key has none of the reseller's actions.
            403 => assert!(!in_scope, "{path}: {answer:?}"),
            // The reseller is the stranger's as well, and what the stranger makes is its own.
            200 | 201 => {
                let text = answer.json().to_string().replace(&world.ids["reseller_id"], "");
                assert!(!world.names_ours(&text), "{path}: {answer:?}");
            }
            _ => panic!("{method} {path}: {answer:?}"),
        }
    }
    nothing_has_changed(&world).await;
}

#[tokio::test]
async fn without_the_action_it_is_forbidden_and_with_it_alone_it_is_done() {
    let world = World::new().await;
    let held = || Action::ALL.iter().copied().filter(|action| policy::allows(Role::ResellerAdmin, *action));
    for (method, path, operation) in guarded() {
        let action: Action = operation["x-required-action"].as_str().unwrap().parse().unwrap();
        let without = world.narrowed(held().filter(|other| *other != action)).await;
        let forbidden = world.send(&method, &path, &operation, Some(&without)).await;
        refused(&forbidden, &path, 403, "forbidden");
    }
    nothing_has_changed(&world).await;
    for (method, path, operation) in guarded() {
        let action: Action = operation["x-required-action"].as_str().unwrap().parse().unwrap();
        let with = world.narrowed(std::iter::once(action)).await;
        let answer = world.send(&method, &path, &operation, Some(&with)).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_version_that_is_no_more_is_refused_where_the_document_says_so() {
    let world = World::new().await;
    let mut versioned = 0;
    for (method, path, operation) in guarded() {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        if parameters.iter().any(|parameter| parameter["name"] == "If-Match") {
            let token = if id(&operation) == "update_reseller" { &world.app.operator } else { &world.admin };
            let answer = world.send_if(&method, &path, &operation, Some(token), Some("\"999\"")).await;
            refused(&answer, &path, 412, "version_mismatch");
            versioned += 1;
        }
    }
    assert_eq!(versioned, 27);
    nothing_has_changed(&world).await;
}

/// What the refused calls would have changed.
async fn nothing_has_changed(world: &World) {
    let tenant = format!("/v1/tenants/{}", world.ids["tenant_id"]);
    let mailbox = format!("{tenant}/mailboxes/{}", world.ids["mailbox_id"]);
    let get = async |path: String| world.app.get(&world.admin, &path).await.expect(200);
    let count = async |path: String| get(path).await["data"].as_array().unwrap().len();
    let tenants = get("/v1/tenants?status=deleted".into()).await["data"].to_string();
    assert!(tenants.contains(&world.ids["deleted_tenant_id"]), "{tenants}");
    get(format!("/v1/tenants/{}/users", world.ids["going_tenant_id"])).await;
    assert_eq!(count(format!("{tenant}/users")).await, 4);
    assert_eq!(count(format!("{tenant}/domains")).await, 2);
    assert_eq!(count(format!("{tenant}/mailboxes")).await, 7);
    assert_eq!(count(format!("{tenant}/aliases")).await, 1);
    assert_eq!(count(format!("{tenant}/groups")).await, 2);
    assert_eq!(count(format!("{mailbox}/messages")).await, 1);
    assert_eq!(count(format!("{mailbox}/messages?state=recoverable")).await, 1);
    assert_eq!(get(tenant.clone()).await["test_clock"], support::text(&get(tenant).await["created_at"]));
    let keys = get(format!("/v1/resellers/{}/api-keys", world.ids["reseller_id"])).await;
    assert!(keys["data"].as_array().unwrap().iter().all(|key| key["revoked_at"].is_null()), "{keys}");
}

/// What each role's call of every operation comes to, in a world of its own. Not the policy's table once more: what the
/// API makes of it, with objects that are there.
#[tokio::test]
async fn each_role_s_calls_are_the_golden_ones() {
    let roles: Vec<_> = Role::ALL.iter().copied().filter(|&role| role != Role::Delivery).collect();
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for &role in &roles {
        let world = World::new().await;
        let token = world.credential(role).await;
        for (method, path, operation) in guarded() {
            let answer = world.send(&method, &path, &operation, Some(&token)).await;
            assert!(!answer.status.is_server_error(), "{role}: {method} {path}: {answer:?}");
            let width = role.as_str().len();
            let cell = match answer.status.as_u16() {
                200..=299 => format!("{:width$}", "yes"),
                status => format!("{status:<width$}"),
            };
            let row = rows.entry(id(&operation).to_owned()).or_default();
            row.push_str(&format!("  {cell}"));
        }
    }
    let header = roles.iter().map(|role| format!("  {role}")).collect::<String>();
    let table =
        rows.iter().map(|(operation, row)| format!("{operation:34}{}\n", row.trim_end())).collect::<String>();
    insta::assert_snapshot!(format!("{:34}{header}\n{table}", "operation"));
}
