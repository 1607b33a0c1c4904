//! The ids in paths.

use kernel::{
    AliasId, ApiKeyId, AppPasswordId, DeliveryId, DiscountId, DkimKeyId, DomainId, FolderId, GroupId, HoldId,
    InvoiceId, MailboxId, MessageId, OneOffItemId, OperationId, OutgoingId, PaymentId, PriceBookId,
    ResellerId, RunId, SupportAccessId, TenantId, UserId, WebhookEndpointId,
};
use serde::Deserialize;
use tenancy::group::Member as MemberId;
use utoipa::IntoParams;

use crate::schema;

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $id:ident),* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
        #[into_params(parameter_in = Path)]
        pub(crate) struct $name {
            $(#[param(value_type = schema::$id)] pub(crate) $field: $id),*
        }
    )*};
}

paths! {
    /// A reseller.
    ResellerPath { reseller_id: ResellerId }
    /// A wholesale invoice or credit note of a reseller.
    ResellerInvoicePath { reseller_id: ResellerId, invoice_id: InvoiceId }
    /// A key of a reseller.
    ResellerKeyPath { reseller_id: ResellerId, key_id: ApiKeyId }
    /// A tenant.
    TenantPath { tenant_id: TenantId }
    /// A key of a tenant.
    TenantKeyPath { tenant_id: TenantId, key_id: ApiKeyId }
    /// A domain of a tenant.
    DomainPath { tenant_id: TenantId, domain_id: DomainId }
    /// A DKIM key of a domain.
    DkimKeyPath { tenant_id: TenantId, domain_id: DomainId, dkim_key_id: DkimKeyId }
    /// A user of a tenant.
    UserPath { tenant_id: TenantId, user_id: UserId }
    /// An app password of a user.
    AppPasswordPath { tenant_id: TenantId, user_id: UserId, app_password_id: AppPasswordId }
    /// A mailbox of a tenant.
    MailboxPath { tenant_id: TenantId, mailbox_id: MailboxId }
    /// A folder of a mailbox.
    FolderPath { tenant_id: TenantId, mailbox_id: MailboxId, folder_id: FolderId }
    /// A legal hold of a tenant.
    HoldPath { tenant_id: TenantId, hold_id: HoldId }
    /// A message on its way out.
    OutgoingPath { tenant_id: TenantId, outgoing_id: OutgoingId }
    /// A support access to a mailbox.
    SupportAccessPath { tenant_id: TenantId, mailbox_id: MailboxId, support_access_id: SupportAccessId }
    /// An operation.
    OperationPath { operation_id: OperationId }
    /// A delegate of a mailbox.
    DelegatePath { tenant_id: TenantId, mailbox_id: MailboxId, user_id: UserId }
    /// An alias of a tenant.
    AliasPath { tenant_id: TenantId, alias_id: AliasId }
    /// A group of a tenant.
    GroupPath { tenant_id: TenantId, group_id: GroupId }
    /// A member of a group.
    MemberPath { tenant_id: TenantId, group_id: GroupId, member_id: MemberId }
    /// A webhook endpoint.
    WebhookEndpointPath { endpoint_id: WebhookEndpointId }
    /// A delivery of a webhook endpoint.
    DeliveryPath { endpoint_id: WebhookEndpointId, delivery_id: DeliveryId }
    /// A discount of a tenant's subscription.
    DiscountPath { tenant_id: TenantId, discount_id: DiscountId }
    /// A one-off item of a tenant.
    OneOffItemPath { tenant_id: TenantId, one_off_item_id: OneOffItemId }
    /// A price book.
    PriceBookPath { price_book_id: PriceBookId }
    /// An invoice or credit note.
    InvoicePath { invoice_id: InvoiceId }
    /// A payment.
    PaymentPath { payment_id: PaymentId }
    /// A billing run.
    RunPath { run_id: RunId }
    /// A message in a mailbox.
    MessagePath { tenant_id: TenantId, mailbox_id: MailboxId, message_id: MessageId }
}
