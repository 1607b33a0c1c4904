//! `ETag` in the document: the operations whose answers have one.

use utoipa::openapi::RefOr;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// All of them; a test carries every operation out and compares.
const TAGGED: &[&str] = &[
    "activate_dkim_key",
    "cancel_subscription",
    "copy_message",
    "create_dkim_key",
    "create_folder",
    "create_message",
    "create_webhook_endpoint",
    "drop_outgoing",
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
    "hold_outgoing",
    "put_dunning_policy",
    "put_mailbox_sending_limit",
    "put_operator_billing_profile",
    "put_payment_method",
    "put_payment_provider",
    "put_reseller_billing_profile",
    "put_reseller_sending_limit",
    "put_retention_policy",
    "put_subscription",
    "put_tenant_billing_profile",
    "put_tenant_sending_limit",
    "put_wholesale_agreement",
    "put_wholesale_profile",
    "recover_message",
    "release_outgoing",
    "restore_mailbox",
    "restore_tenant",
    "restore_user",
    "resume_tenant",
    "resume_user",
    "retry_outgoing",
    "rotate_webhook_endpoint_secret",
    "scim_create_group",
    "scim_create_user",
    "scim_get_group",
    "scim_get_user",
    "scim_replace_group",
    "scim_replace_user",
    "scim_update_group",
    "scim_update_user",
    "set_quota",
    "suspend_tenant",
    "suspend_user",
    "transfer_tenant",
    "update_domain",
    "update_folder",
    "update_group",
    "update_mailbox",
    "update_message",
    "update_reseller",
    "update_tenant",
    "update_user",
    "update_webhook_endpoint",
    "verify_domain",
];

/// Says so of the answers that have one.
pub(super) fn declare(operation: &mut Operation) {
    let Some(id) = operation.operation_id.as_deref().filter(|id| TAGGED.contains(id)) else { return };
    let (about, example) = match id {
        "get_message_raw" => {
            ("Names the bytes, which never change.", "\"msg_019a2f3c5d7e7abc8def0123456789ab\"")
        }
        _ if id.starts_with("scim_") => ("The version of the resource, as `If-Match` takes it.", "W/\"1\""),
        _ => ("The version of the resource, as `If-Match` takes it; not with `dry_run`.", "\"1\""),
    };
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(own) = response
            && (status.starts_with('2') || status.as_str() == "304")
        {
            let tag = ObjectBuilder::new().schema_type(Type::String).examples([example]);
            let header = HeaderBuilder::new().description(Some(about)).schema(Some(tag.build())).build();
            own.headers.insert("ETag".to_owned(), RefOr::T(header));
        }
    }
}
