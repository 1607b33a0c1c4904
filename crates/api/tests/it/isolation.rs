//! For every operation of the document: nobody, somebody else, and somebody without the right to it.

pub(crate) mod world;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenancy::{Action, Role, policy};

use crate::document::{created_and_shown, id, is_public, is_scim, operations};
use crate::event;
use crate::support::{self, Answer, text};
use world::World;

/// The operations that need no credential.
const PUBLIC: &[&str] =
    &["create_token", "get_health", "get_jwks", "get_metrics", "get_readiness", "receive_payment_event"];

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
    /// It is the operator's, of whom everybody knows, and nobody else's.
    Forbidden,
}

use Stranger::{BodyNotFound, Forbidden, MakesTheirOwn, NotFound, SeesNothing};

/// Every operation that needs a credential. One that is missing here, or is here and not in the document, fails the test.
const TABLE: &[(&str, Stranger)] = &[
    ("activate_dkim_key", NotFound),
    ("add_member", NotFound),
    ("cancel_subscription", NotFound),
    ("copy_message", NotFound),
    ("create_alias", NotFound),
    ("create_app_password", NotFound),
    ("create_billing_run", BodyNotFound),
    ("create_discount", NotFound),
    ("create_dkim_key", NotFound),
    ("create_domain", NotFound),
    ("create_folder", NotFound),
    ("create_group", NotFound),
    ("create_hold", NotFound),
    ("create_mailbox", NotFound),
    ("create_mailbox_restore", NotFound),
    ("create_message", NotFound),
    ("create_one_off_item", NotFound),
    ("create_operator_tax_rate", Forbidden),
    ("create_payment", NotFound),
    ("create_price_book", BodyNotFound),
    ("create_reseller", BodyNotFound),
    ("create_reseller_api_key", NotFound),
    ("create_support_access", NotFound),
    ("create_tax_rate", NotFound),
    ("create_tenant", BodyNotFound),
    ("create_tenant_api_key", NotFound),
    ("create_tenant_restore", NotFound),
    ("create_user", NotFound),
    ("create_users", NotFound),
    ("create_webhook_endpoint", MakesTheirOwn),
    ("create_wholesale_payment", NotFound),
    ("delete_alias", NotFound),
    ("delete_discount", NotFound),
    ("delete_dkim_key", NotFound),
    ("delete_domain", NotFound),
    ("delete_folder", NotFound),
    ("delete_group", NotFound),
    ("delete_mailbox", NotFound),
    ("delete_message", NotFound),
    ("delete_one_off_item", NotFound),
    ("delete_payment_method", NotFound),
    ("delete_payment_provider", NotFound),
    ("delete_reseller", NotFound),
    ("delete_tenant", NotFound),
    ("delete_user", NotFound),
    ("delete_webhook_endpoint", NotFound),
    ("discard_invoice", NotFound),
    ("drop_outgoing", NotFound),
    ("end_support_access", NotFound),
    ("export_invoice_lines", NotFound),
    ("export_invoices", NotFound),
    ("export_ledger", NotFound),
    ("export_usage", NotFound),
    ("finalize_invoice", NotFound),
    ("get_billing_run", NotFound),
    ("get_destruction_record", NotFound),
    ("get_dkim_key", NotFound),
    ("get_domain", NotFound),
    ("get_domain_dns", NotFound),
    ("get_dunning_policy", NotFound),
    ("get_folder", NotFound),
    ("get_group", NotFound),
    ("get_hold", NotFound),
    ("get_invoice", NotFound),
    ("get_mailbox", NotFound),
    ("get_mailbox_sending_limit", NotFound),
    ("get_message", NotFound),
    ("get_message_raw", NotFound),
    ("get_operation", NotFound),
    ("get_operator_billing_profile", Forbidden),
    ("get_outgoing", NotFound),
    ("get_payment", NotFound),
    ("get_payment_method", NotFound),
    ("get_payment_provider", NotFound),
    ("get_price_book", NotFound),
    ("get_quota", NotFound),
    ("get_reconciliation", NotFound),
    ("get_reseller", NotFound),
    ("get_reseller_billing_profile", NotFound),
    ("get_reseller_branding", NotFound),
    ("get_reseller_sending_limit", NotFound),
    ("get_retention_policy", NotFound),
    ("get_statement", NotFound),
    ("get_subscription", NotFound),
    ("get_tenant", NotFound),
    ("get_tenant_billing_profile", NotFound),
    ("get_tenant_branding", NotFound),
    ("get_tenant_sending_limit", NotFound),
    ("get_user", NotFound),
    ("get_webhook_endpoint", NotFound),
    ("get_wholesale_agreement", NotFound),
    ("get_wholesale_profile", NotFound),
    ("get_wholesale_statement", NotFound),
    ("hold_outgoing", NotFound),
    ("list_aliases", NotFound),
    ("list_all_outgoing", SeesNothing),
    ("list_app_passwords", NotFound),
    ("list_audit_log", SeesNothing),
    ("list_billing_runs", SeesNothing),
    ("list_changes", NotFound),
    ("list_delegates", NotFound),
    ("list_discounts", NotFound),
    ("list_dkim_keys", NotFound),
    ("list_domains", NotFound),
    ("list_events", SeesNothing),
    ("list_folders", NotFound),
    ("list_groups", NotFound),
    ("list_holds", NotFound),
    ("list_invoices", NotFound),
    ("list_mailboxes", NotFound),
    ("list_margins", NotFound),
    ("list_members", NotFound),
    ("list_messages", NotFound),
    ("list_one_off_items", NotFound),
    ("list_operator_tax_rates", Forbidden),
    ("list_outgoing", NotFound),
    ("list_payments", NotFound),
    ("list_price_books", SeesNothing),
    ("list_prices", NotFound),
    ("list_reseller_api_keys", NotFound),
    ("list_resellers", SeesNothing),
    ("list_support_accesses", NotFound),
    ("list_tax_rates", NotFound),
    ("list_tenant_api_keys", NotFound),
    ("list_tenants", SeesNothing),
    ("list_usage", NotFound),
    ("list_users", NotFound),
    ("list_webhook_deliveries", NotFound),
    ("list_webhook_endpoints", SeesNothing),
    ("list_wholesale_invoices", NotFound),
    ("list_wholesale_payments", NotFound),
    ("offboard_user", NotFound),
    ("pay_invoice", NotFound),
    ("preview_subscription", NotFound),
    ("preview_wholesale_agreement", NotFound),
    ("put_delegate", NotFound),
    ("put_dunning_policy", NotFound),
    ("put_mailbox_sending_limit", NotFound),
    ("put_operator_billing_profile", Forbidden),
    ("put_payment_method", NotFound),
    ("put_payment_provider", NotFound),
    ("put_reseller_billing_profile", NotFound),
    ("put_reseller_sending_limit", NotFound),
    ("put_retention_policy", NotFound),
    ("put_subscription", NotFound),
    ("put_tenant_billing_profile", NotFound),
    ("put_tenant_sending_limit", NotFound),
    ("put_wholesale_agreement", NotFound),
    ("put_wholesale_profile", NotFound),
    ("recover_message", NotFound),
    ("refund_payment", NotFound),
    ("release_hold", NotFound),
    ("release_outgoing", NotFound),
    ("remove_delegate", NotFound),
    ("remove_member", NotFound),
    ("replay_webhook_delivery", NotFound),
    ("reset_password", NotFound),
    ("restore_mailbox", NotFound),
    ("restore_tenant", NotFound),
    ("restore_user", NotFound),
    ("resume_tenant", NotFound),
    ("resume_user", NotFound),
    ("retry_outgoing", NotFound),
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
    ("update_folder", NotFound),
    ("update_group", NotFound),
    ("update_mailbox", NotFound),
    ("update_message", NotFound),
    ("update_reseller", NotFound),
    ("update_tenant", NotFound),
    ("update_user", NotFound),
    ("update_webhook_endpoint", NotFound),
    ("verify_domain", NotFound),
    ("void_invoice", NotFound),
];

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
pub(crate) fn guarded() -> Vec<(String, String, Value)> {
    let mut guarded: Vec<_> =
        operations().into_iter().filter(|(.., operation)| !is_public(operation)).collect();
    // What is inside goes before what it is in, and a tenant leaves its reseller after what is between them.
    guarded.sort_by_key(|(method, path, operation)| {
        let depth = std::cmp::Reverse(path.matches('/').count());
        let id = id(operation);
        let leaves = id == "transfer_tenant";
        (method == "DELETE" || leaves).then_some((depth, leaves || id == "delete_user"))
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
            Forbidden => drop(refused(&answer, &path, 403, "forbidden")),
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
    let mut world = World::new().await;
    let other = world.app.tenant(&world.admin, "two.example", json!({})).await;
    let key = world
        .app
        .post(&world.admin, &format!("{other}/api-keys"), json!({"role": "tenant_admin"}))
        .await
        .expect(201);
    let stranger = text(&key["secret"]);
    for (method, path, operation) in guarded() {
        let answer = world.send(&method, &path, &operation, Some(&stranger)).await;
        let in_scope = ["{tenant_id}", "{reseller_id}", "{invoice_id}", "{payment_id}"]
            .iter()
            .any(|part| path.contains(part));
        match answer.status.as_u16() {
            404 => {
                let never = world.send_to_nothing(&method, &path, &operation, &stranger).await;
                let [ours, never] = [&answer, &never].map(|one| refused(one, &path, 404, "not_found"));
                assert_eq!(ours, never, "{method} {path}");
            }
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
async fn to_nobody_but_the_reseller_and_the_operator_does_a_wholesale_payment_exist() {
    let mut world = World::new().await;
    let (_, foreign) = world.app.reseller("South").await;
    let key = async |path: String, role: &str| {
        let key = world.app.post(&world.app.operator, &path, json!({"role": role})).await.expect(201);
        text(&key["secret"])
    };
    let below =
        key(format!("/v1/resellers/{}/api-keys", world.ids["below_reseller_id"]), "reseller_admin").await;
    let tenants = key(format!("/v1/tenants/{}/api-keys", world.ids["tenant_id"]), "tenant_admin").await;
    let never = "pay_019a2f3c5d7e7abc8def0123456789ab".to_owned();
    let ids = [world.ids["wholesale_payment_id"].clone(), never];
    let by_payment = || guarded().into_iter().filter(|(_, path, _)| path.contains("{payment_id}"));
    assert_eq!(by_payment().count(), 2, "to get it and to pay it back");
    for (method, path, operation) in by_payment() {
        for stranger in [&foreign, &below, &tenants] {
            let mut answers = Vec::new();
            for id in &ids {
                world.ids.insert("payment_id", id.clone());
                let answer = world.send(&method, &path, &operation, Some(stranger)).await;
                answers.push(refused(&answer, &path, 404, "not_found"));
            }
            assert_eq!(answers[0], answers[1], "{path}");
        }
    }
    let seen = format!("/v1/payments/{}", ids[0]);
    for own in [&world.admin, &world.app.operator] {
        assert_eq!(world.app.get(own, &seen).await.expect(200)["status"], "succeeded");
    }
}

/// The actions that some bodies of an operation need too, as its description says.
fn further_actions(operation: &Value) -> &'static [Action] {
    match id(operation) {
        "update_user" | "update_group" | "update_mailbox" => &[Action::AliasWrite],
        "create_webhook_endpoint" | "update_webhook_endpoint" => &[Action::EventRead, Action::MessageRead],
        _ => &[],
    }
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
        let with = match policy::allows(Role::ResellerAdmin, action) {
            true => {
                world
                    .narrowed(std::iter::once(action).chain(further_actions(&operation).iter().copied()))
                    .await
            }
            // The operator's alone.
            false => world.app.operator.clone(),
        };
        let answer = world.send(&method, &path, &operation, Some(&with)).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
        let declared = &operation["responses"][answer.status.as_str()]["headers"]["ETag"];
        assert_eq!(answer.header("etag").is_some(), declared.is_object(), "{method} {path}: {answer:?}");
    }
    // All that has been done by now.
    is_told_as_documented(&world).await;
}

async fn is_told_as_documented(world: &World) {
    let mut connection = PgConnection::connect(&world.app.db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let told = sqlx::query_as::<_, (String, Value)>("select kind, data from events");
    let told = told.fetch_all(&mut connection).await.unwrap();
    let documented = event::documented();
    for (kind, data) in &told {
        let (members, data) = (&documented[kind.as_str()], data.as_object().unwrap());
        for name in data.keys() {
            assert!(members.contains_key(name.as_str()), "{kind} has {name}");
        }
        for (name, is_always) in members {
            assert!(!is_always || data.contains_key(*name), "{kind} lacks {name}: {data:?}");
        }
    }
    let kinds: BTreeSet<_> = told.iter().map(|(kind, _)| kind).collect();
    assert!(kinds.len() > 50, "{kinds:?}");
}

/// So that what one has created can be changed with `If-Match` at once.
#[tokio::test]
async fn what_is_created_has_the_version_that_it_is_shown_with() {
    let world = World::new().await;
    for [(method, path, operation), _] in created_and_shown() {
        let created = world.send(&method, &path, &operation, Some(&world.admin)).await;
        let id = text(&created.expect(201)["id"]);
        let among =
            world.ids.iter().fold(path.clone(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id));
        let shown = world.app.get(&world.admin, &format!("{among}/{id}")).await;
        shown.expect(200);
        assert!(created.header("etag").is_some(), "{path}");
        assert_eq!(created.header("etag"), shown.header("etag"), "{path}");
    }
}

#[tokio::test]
async fn a_version_that_is_no_more_is_refused_where_the_document_says_so() {
    let world = World::new().await;
    let mut versioned = 0;
    for (method, path, operation) in guarded() {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        if parameters.iter().any(|parameter| parameter["name"] == "If-Match") {
            let is_operators = [
                "put_operator_billing_profile",
                "put_wholesale_agreement",
                "put_wholesale_profile",
                "update_reseller",
            ];
            let is_operators = is_operators.contains(&id(&operation));
            let token = if is_operators { &world.app.operator } else { &world.admin };
            let answer = world.send_if(&method, &path, &operation, Some(token), Some("\"999\"")).await;
            refused(&answer, &path, 412, "version_mismatch");
            versioned += 1;
        }
    }
    assert_eq!(versioned, 53);
    nothing_has_changed(&world).await;
}

#[tokio::test]
async fn a_patch_that_asks_for_what_is_there_leaves_no_trace() {
    let world = World::new().await;
    let mut connection = PgConnection::connect(&world.app.db.url()).await.unwrap();
    sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
    let mut events = async || {
        // Each look into somebody's mailbox is one.
        let count =
            sqlx::query_scalar::<_, i64>("select count(*) from events where kind <> 'support_access.used'");
        count.fetch_one(&mut connection).await.unwrap()
    };
    let mut patched = Vec::new();
    for (method, path, operation) in guarded().into_iter().filter(|(method, ..)| method == "PATCH") {
        let token = if id(&operation) == "update_reseller" { &world.app.operator } else { &world.admin };
        let first = world.send(&method, &path, &operation, Some(token)).await;
        let before = events().await;
        let second = world.send(&method, &path, &operation, Some(token)).await;
        assert!(second.status.is_success(), "{path}: {second:?}");
        assert_eq!((second.header("etag"), events().await), (first.header("etag"), before), "{path}");
        assert_eq!(second.json(), first.json(), "{path}");
        patched.push(id(&operation).to_owned());
    }
    assert_eq!(patched.len(), 11, "{patched:?}");
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
