//! `ETag` in the document: the operations whose answers have one.

use utoipa::openapi::RefOr;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::VERSIONED;

/// Those that take no `If-Match`; a test carries every operation out and compares.
const ALSO: &[&str] = &[
    "activate_dkim_key",
    "copy_message",
    "create_dkim_key",
    "create_domain",
    "create_folder",
    "create_group",
    "create_mailbox",
    "create_message",
    "create_reseller",
    "create_tenant",
    "create_user",
    "create_webhook_endpoint",
    "get_dkim_key",
    "get_domain",
    "get_dunning_policy",
    "get_folder",
    "get_group",
    "get_mailbox",
    "get_mailbox_sending_limit",
    "get_message",
    "get_message_raw",
    "get_operator_billing_profile",
    "get_outgoing",
    "get_payment_method",
    "get_payment_provider",
    "get_quota",
    "get_reseller",
    "get_reseller_billing_profile",
    "get_reseller_sending_limit",
    "get_retention_policy",
    "get_subscription",
    "get_tenant",
    "get_tenant_billing_profile",
    "get_tenant_sending_limit",
    "get_user",
    "get_webhook_endpoint",
    "get_wholesale_agreement",
    "get_wholesale_profile",
    "recover_message",
    "restore_mailbox",
    "restore_tenant",
    "restore_user",
    "scim_create_group",
    "scim_create_user",
    "scim_get_group",
    "scim_get_user",
    "verify_domain",
];

/// What is gone has no version any more, and who is offboarded is told of by an operation.
fn has_tag(id: &str) -> bool {
    let is_left = |id: &str| !id.contains("delete_") && id != "offboard_user";
    ALSO.contains(&id) || (VERSIONED.contains(&id) && is_left(id))
}

/// Says so of the answers that have one.
pub(super) fn declare(operation: &mut Operation) {
    let Some(id) = operation.operation_id.as_deref().filter(|id| has_tag(id)) else { return };
    let (about, example) = match id {
        "get_message_raw" => {
            ("Names the bytes, which never change.", "\"msg_019a2f3c5d7e7abc8def0123456789ab\"")
        }
        _ if id.starts_with("scim_") => ("The version of the resource, as `If-Match` takes it.", "W/\"1\""),
        _ => ("The version of the resource, as `If-Match` takes it; not with `dry_run`.", "\"1\""),
    };
    // Where something is created, any other success is a dry run's.
    let creates = operation.responses.responses.contains_key("201");
    for (status, response) in &mut operation.responses.responses {
        let shows = if creates { status == "201" } else { status.starts_with('2') || status == "304" };
        if let RefOr::T(own) = response
            && shows
        {
            let tag = ObjectBuilder::new().schema_type(Type::String).examples([example]);
            let header = HeaderBuilder::new().description(Some(about)).schema(Some(tag.build())).build();
            own.headers.insert("ETag".to_owned(), RefOr::T(header));
        }
    }
}
