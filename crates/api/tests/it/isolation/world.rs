//! One object of each kind, and a call of each operation on them.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tenancy::{Action, Role};

use crate::billing;
use crate::document::id;
use crate::support::{Answer, App, MESSAGE, text};

/// What Ada signs in with.
const PASSWORD: &str = "correct horse battery staple";

/// Our objects, by the names that paths and bodies have for them.
pub(crate) struct World {
    pub(crate) app: App,
    /// The reseller's own admin.
    pub(crate) admin: String,
    pub(crate) ids: BTreeMap<&'static str, String>,
}

/// A DKIM key that is published and signs.
async fn signing(app: &App, admin: &str, keys: &str) -> Value {
    let key = app.post(admin, keys, json!({})).await.expect(201);
    for record in key["records"].as_array().unwrap() {
        app.dns.set_txt(&text(&record["name"]), &[&text(&record["value"])]);
    }
    app.post(admin, &format!("{keys}/{}/activate", text(&key["id"])), json!({})).await.expect(200)
}

impl World {
    pub(crate) async fn new() -> Self {
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
        let keys = format!("{tenant}/domains/{}/dkim-keys", text(&domain["id"]));
        // The second takes the place of the first.
        let going_dkim_key = signing(&app, &admin, &keys).await;
        let dkim_key = signing(&app, &admin, &keys).await;
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
        app.destroy(&admin, &tenant_purged).await;
        let tenant_gone = app.tenant(&admin, "gone.example", json!({})).await;
        app.delete(&admin, &tenant_gone).await.expect(204);
        let tenant_going = app.tenant(&admin, "going.example", json!({})).await;
        let endpoint = json!({"url": "https://hooks.example/in"});
        let endpoint = app.post(&admin, "/v1/webhook-endpoints", endpoint).await.expect(201);
        let message = app.deliver(&admin, &mailbox, MESSAGE).await.expect(201);
        app.open_for_support(&admin, &mailbox).await;
        let folder =
            app.post(&admin, &format!("{mailbox}/folders"), json!({"name": "Filed"})).await.expect(201);
        let going_folder =
            app.post(&admin, &format!("{mailbox}/folders"), json!({"name": "Going"})).await.expect(201);
        let hold =
            app.post(&admin, &format!("{tenant}/holds"), json!({"reason": "Case 17"})).await.expect(201);
        let outgoing = app.submit("ada@one.example", PASSWORD).await;
        let going_outgoing = app.submit("ada@one.example", PASSWORD).await;
        app.journal_from("2026-02-20").await;
        let access = app.open_for_support(&admin, &mailbox).await;
        let deleted = app.deliver(&admin, &mailbox, MESSAGE).await.expect(201);
        app.delete(&admin, &format!("{mailbox}/messages/{}", text(&deleted["id"]))).await.expect(204);
        let run = billing::run(&app, &admin, json!({"as_of": "2026-03-02"})).await;
        let invoice = app.get(&admin, &format!("{tenant}/invoices")).await.expect(200)["data"][0].clone();
        let transfer = json!({"amount": {"amount_minor": 1, "currency": "EUR"}, "reference": "", "received_on": "2026-03-01"});
        let payment = app.post(&admin, &format!("{tenant}/payments"), transfer.clone()).await.expect(201);
        let provider = json!({"secret_key": "sk_test_good", "webhook_secret": "whsec_test", "enabled": true});
        app.put(&admin, &format!("/v1/resellers/{reseller}/payment-provider"), provider).await.expect(200);
        let dunning = format!("/v1/resellers/{reseller}/dunning-policy");
        app.put(&admin, &dunning, json!({"remind_after_days": [7]})).await.expect(200);
        let method = json!({"customer": "cus_1", "method": "pm_1"});
        app.put(&admin, &format!("{tenant}/payment-method"), method).await.expect(200);
        let item =
            app.post(&admin, &format!("{tenant}/one-off-items"), billing::one_off_item()).await.expect(201);
        let discounts = format!("{tenant}/subscription/discounts");
        let discount = app.post(&admin, &discounts, billing::discount()).await.expect(201);
        let book = app.get(&admin, "/v1/price-books").await.expect(200)["data"][0].clone();
        let profile = format!("/v1/resellers/{reseller}/billing-profile");
        let voidable = billing::billed(&app, &admin, "void.example").await;
        let mut looks_at_drafts = billing::issuer();
        looks_at_drafts["draft_days"] = json!(3);
        app.put(&admin, &profile, looks_at_drafts).await.expect(200);
        let draft = billing::billed(&app, &admin, "draft.example").await;
        let going_draft = billing::billed(&app, &admin, "redraft.example").await;
        app.put(&admin, &profile, billing::issuer()).await.expect(200);
        app.put(&admin, &format!("{tenant}/billing-profile"), billing::customer()).await.expect(200);
        let (wholesale_book, wholesale_invoice) = billing::sold_wholesale(&app, &reseller).await;
        app.put(&app.operator, "/v1/operator/billing-profile", billing::issuer()).await.expect(200);
        let wholesale = |noun: &str| format!("/v1/resellers/{reseller}/{noun}");
        app.put(&app.operator, &wholesale("wholesale-profile"), billing::customer()).await.expect(200);
        let wholesale_payment = app.post(&app.operator, &wholesale("payments"), transfer).await.expect(201);
        let reseller_key = format!("/v1/resellers/{reseller}/api-keys");
        let reseller_key =
            app.post(&admin, &reseller_key, json!({"role": "reseller_support"})).await.expect(201);
        let tenant_key =
            app.post(&admin, &format!("{tenant}/api-keys"), json!({"role": "helpdesk"})).await.expect(201);
        let below = app.post(&admin, "/v1/resellers", json!({"name": "North-East"})).await.expect(201);
        let leaving = app.post(&admin, "/v1/resellers", json!({"name": "North-West"})).await.expect(201);
        let ids = [
            ("below_reseller_id", below["id"].clone()),
            ("going_reseller_id", leaving["id"].clone()),
            ("reseller_id", json!(reseller)),
            ("tenant_id", json!(tenant.strip_prefix("/v1/tenants/"))),
            ("purged_tenant_id", json!(tenant_purged.strip_prefix("/v1/tenants/"))),
            ("deleted_tenant_id", json!(tenant_gone.strip_prefix("/v1/tenants/"))),
            ("going_tenant_id", json!(tenant_going.strip_prefix("/v1/tenants/"))),
            ("domain_id", domain["id"].clone()),
            ("dkim_key_id", dkim_key["id"].clone()),
            ("going_dkim_key_id", going_dkim_key["id"].clone()),
            ("user_id", user["id"].clone()),
            ("mailbox_id", user["mailbox_id"].clone()),
            ("message_id", message["id"].clone()),
            ("hold_id", hold["id"].clone()),
            ("outgoing_id", outgoing.clone()),
            ("going_outgoing_id", going_outgoing.clone()),
            ("folder_id", folder["id"].clone()),
            ("going_folder_id", going_folder["id"].clone()),
            ("deleted_message_id", deleted["id"].clone()),
            ("price_book_id", book["id"].clone()),
            ("invoice_id", invoice["id"].clone()),
            ("voidable_invoice_id", voidable["id"].clone()),
            ("draft_id", draft["id"].clone()),
            ("going_draft_id", going_draft["id"].clone()),
            ("wholesale_book_id", wholesale_book),
            ("wholesale_invoice_id", wholesale_invoice),
            ("payment_id", payment["id"].clone()),
            ("wholesale_payment_id", wholesale_payment["id"].clone()),
            ("one_off_item_id", item["id"].clone()),
            ("discount_id", discount["id"].clone()),
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
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        operation: &Value,
        token: Option<&str>,
    ) -> Answer {
        self.send_if(method, path, operation, token, None).await
    }

    /// The same, with `If-Match`.
    pub(crate) async fn send_if(
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
        let dkim_key = if id(operation) == "delete_dkim_key" { "going_dkim_key_id" } else { "dkim_key_id" };
        let outgoing = if id(operation) == "drop_outgoing" { "going_outgoing_id" } else { "outgoing_id" };
        let folder = if id(operation) == "delete_folder" { "going_folder_id" } else { "folder_id" };
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
            .replace("{dkim_key_id}", &self.ids[dkim_key])
            .replace("{user_id}", &self.ids[user])
            .replace("{mailbox_id}", &self.ids[mailbox])
            .replace("{folder_id}", &self.ids[folder])
            .replace("{outgoing_id}", &self.ids[outgoing])
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
        // What is not a reseller's own to do.
        let reseller = match id(operation) {
            "put_reseller_sending_limit" => "below_reseller_id",
            "delete_reseller" => "going_reseller_id",
            _ => "reseller_id",
        };
        path = path.replace("{reseller_id}", &self.ids[reseller]);
        let invoice = match id(operation) {
            "get_reconciliation" => "wholesale_invoice_id",
            "void_invoice" => "voidable_invoice_id",
            "finalize_invoice" => "draft_id",
            "discard_invoice" => "going_draft_id",
            _ => "invoice_id",
        };
        path = path.replace("{invoice_id}", &self.ids[invoice]);
        if ["get_statement", "get_wholesale_statement", "list_margins", "list_usage"].contains(&id(operation))
            || id(operation).starts_with("export_")
        {
            path.push_str("?from=2026-03-01&to=2026-03-31");
        }
        for (name, id) in &self.ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        assert!(!path.contains('{'), "no object for {path}");
        if id(operation).ends_with("_restore") {
            // One at a time.
            self.app.forget_restores().await;
        }
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

    /// As [`Self::send`], on objects that never were.
    pub(crate) async fn send_to_nothing(
        &mut self,
        method: &str,
        path: &str,
        operation: &Value,
        token: &str,
    ) -> Answer {
        let never = |id: &String| {
            let (prefix, _) = id.split_once('_').unwrap();
            format!("{prefix}_019a2f3c5d7e7abc8def0123456789ab")
        };
        let never = self.ids.iter().map(|(name, id)| (*name, never(id))).collect();
        let ours = std::mem::replace(&mut self.ids, never);
        let answer = self.send(method, path, operation, Some(token)).await;
        self.ids = ours;
        answer
    }

    fn body(&self, operation: &str) -> Option<Value> {
        let ids = &self.ids;
        Some(match operation {
            "create_billing_run" => json!({"as_of": "2026-03-02", "tenant_id": ids["tenant_id"]}),
            "create_domain" => json!({"name": "new.example"}),
            "copy_message" | "update_message" => json!({"folder_id": ids["folder_id"]}),
            "hold_outgoing" => json!({"reason": "stolen"}),
            "create_hold" => json!({"reason": "Case 18"}),
            "create_mailbox_restore" | "create_tenant_restore" => {
                json!({"at": "2026-03-01T00:00:00Z", "mode": "beside"})
            }
            "put_retention_policy" => json!({"recoverable_days": 30, "recoverable_limit_bytes": 1_000_000}),
            "create_folder" => json!({"name": "New"}),
            "update_folder" => json!({"is_subscribed": false}),
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
            "void_invoice" => json!({"reason": "the address was wrong"}),
            "transfer_tenant" => json!({"reseller_id": ids["below_reseller_id"]}),
            "cancel_subscription" | "preview_subscription" | "preview_wholesale_agreement" => json!({}),
            "create_tax_rate" | "create_operator_tax_rate" => {
                json!({"country": "DE", "rate": "19", "valid_from": "2007-01-01"})
            }
            "put_reseller_billing_profile" | "put_operator_billing_profile" => billing::issuer(),
            "put_tenant_billing_profile" | "put_wholesale_profile" => billing::customer(),
            "create_payment" | "create_wholesale_payment" => {
                json!({"amount": {"amount_minor": 1, "currency": "EUR"}, "reference": "", "received_on": "2026-03-01"})
            }
            "create_discount" => billing::discount(),
            "create_one_off_item" => billing::one_off_item(),
            "refund_payment" => json!({"reason": "x"}),
            "put_dunning_policy" => json!({"remind_after_days": [1]}),
            "put_payment_method" => json!({"customer": "cus_2", "method": "pm_2"}),
            "put_payment_provider" => {
                json!({"secret_key": "sk_test_good", "webhook_secret": "whsec_test", "enabled": true})
            }
            "put_subscription" => json!({"price_book_id": ids["price_book_id"], "interval": "month"}),
            "put_wholesale_agreement" => billing::agreement(&ids["wholesale_book_id"]),
            "set_quota" => json!({"quota_bytes": null}),
            "set_test_clock" => json!({"now": "2026-03-03T00:00:00Z"}),
            "create_alias" => json!({"address": "hi@one.example", "mailbox_id": ids["mailbox_id"]}),
            "create_group" => json!({"display_name": "Support"}),
            "create_mailbox" => {
                json!({"kind": "room", "display_name": "Aula", "address": "aula@one.example"})
            }
            "offboard_user" => json!({}),
            // Other rights take more than one action.
            "put_delegate" => json!({"rights": ["send_as"]}),
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
            "put_mailbox_sending_limit" | "put_tenant_sending_limit" | "put_reseller_sending_limit" => {
                json!({"recipients_per_hour": 500})
            }
            "update_reseller" => json!({"name": "North"}),
            "update_tenant" => json!({"name": "Bakery"}),
            _ => return None,
        })
    }

    /// A key of our reseller's, with its admin's role and these actions alone.
    pub(crate) async fn narrowed(&self, actions: impl Iterator<Item = Action>) -> String {
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
    pub(crate) async fn credential(&self, role: Role) -> String {
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

    pub(crate) fn names_ours(&self, text: &str) -> bool {
        self.ids.values().any(|id| text.contains(id.as_str()))
    }
}
