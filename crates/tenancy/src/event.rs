//! What happened: one row in the transaction of the change itself, chained into its trail afterwards.
//!
//! Rows are written without an order, so that writers wait for nobody. [`chain()`] gives each its place: a position in
//! the feed of all, and a hash over itself and the event before it on the same trail, so that a trail that was
//! tampered with no longer adds up ([`verify`]).

mod chain;
mod store;

use std::collections::BTreeSet;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use db::{Db, SystemTx};
use kernel::{EventId, Page, PageRequest, RequestId, TenantId};
use serde_json::Value;

use crate::{Action, Caller, Ctx, Error, OfTenants, Scope, TenantTx};
use kernel::named;

pub use chain::{Chained, Fault, Verdict, chain, hash, verify};

named! {
    /// What kinds of events there are.
    Kind {
        /// What the operator is on wholesale documents was put, or a rate of its tax added.
        OperatorUpdated = "operator.updated",
        /// A reseller was created.
        ResellerCreated = "reseller.created",
        /// A reseller's fields were changed.
        ResellerUpdated = "reseller.updated",
        /// A reseller was deleted, with nothing below it.
        ResellerDeleted = "reseller.deleted",
        /// A reseller's tenants have written to as many recipients as they may; told once for the hour or day of the limit.
        ResellerSendingLimited = "reseller.sending_limited",
        /// A tenant was created.
        TenantCreated = "tenant.created",
        /// A tenant's fields were changed.
        TenantUpdated = "tenant.updated",
        /// Capabilities of a tenant were suspended.
        TenantSuspended = "tenant.suspended",
        /// Capabilities of a tenant were given back.
        TenantResumed = "tenant.resumed",
        /// A tenant was deleted; it can be restored for 30 days.
        TenantDeleted = "tenant.deleted",
        /// A deleted tenant was restored.
        TenantRestored = "tenant.restored",
        /// The mail of all of a tenant's mailboxes is to be put back as it was at a moment.
        TenantRestoreRequested = "tenant.restore_requested",
        /// A deleted tenant was destroyed for good.
        TenantPurged = "tenant.purged",
        /// A tenant's mailboxes have written to as many recipients as they may; told once for the hour or day of the limit.
        TenantSendingLimited = "tenant.sending_limited",
        /// A tenant was given a new key for what is stored from now on.
        TenantKeyRotated = "tenant.key_rotated",
        /// All tenants' keys are to be wrapped with the present key-encryption key; on the operator's trail.
        KeysRewrapRequested = "keys.rewrap_requested",
        /// A tenant went to another reseller.
        TenantTransferred = "tenant.transferred",
        /// A sandbox tenant's time was moved forward.
        TenantTestClockSet = "tenant.test_clock_set",
        /// A domain was added.
        DomainCreated = "domain.created",
        /// A domain's ownership was proven: it routes mail.
        DomainVerified = "domain.verified",
        /// Where a domain's mail goes was changed.
        DomainUpdated = "domain.updated",
        /// A domain was removed.
        DomainDeleted = "domain.deleted",
        /// Keys were made for a domain to sign its mail with.
        DkimKeyCreated = "dkim_key.created",
        /// A domain's mail is signed with a key from now on.
        DkimKeyActivated = "dkim_key.activated",
        /// Records of a key that signs are not published any more, or are again.
        DkimKeyUnpublished = "dkim_key.unpublished",
        /// Keys that sign nothing were removed.
        DkimKeyDeleted = "dkim_key.deleted",
        /// A user was created.
        UserCreated = "user.created",
        /// A user's fields were changed.
        UserUpdated = "user.updated",
        /// Capabilities of a user were suspended.
        UserSuspended = "user.suspended",
        /// Capabilities of a user were given back.
        UserResumed = "user.resumed",
        /// A user was deleted; they can be restored for 30 days.
        UserDeleted = "user.deleted",
        /// A deleted user was restored.
        UserRestored = "user.restored",
        /// A deleted user and their mailbox were destroyed for good.
        UserPurged = "user.purged",
        /// A user has left: every way in was taken from them.
        UserOffboarded = "user.offboarded",
        /// A user's password was set by somebody else.
        UserPasswordReset = "user.password_reset",
        /// A mailbox that is nobody's own was created.
        MailboxCreated = "mailbox.created",
        /// A mailbox's quota, name or addresses were changed.
        MailboxUpdated = "mailbox.updated",
        /// A mailbox that is nobody's own was deleted; it can be restored for 30 days.
        MailboxDeleted = "mailbox.deleted",
        /// A deleted mailbox was restored.
        MailboxRestored = "mailbox.restored",
        /// A deleted mailbox was destroyed for good.
        MailboxPurged = "mailbox.purged",
        /// A mailbox, or a part of it, is to be put back as it was at a moment.
        MailboxRestoreRequested = "mailbox.restore_requested",
        /// A mailbox has written to as many recipients as it may; told once for the hour or day of the limit.
        MailboxSendingLimited = "mailbox.sending_limited",
        /// Somebody's rights to a mailbox that is not their own were changed.
        MailboxDelegated = "mailbox.delegated",
        /// Mail on its way out was held back.
        OutgoingHeld = "outgoing.held",
        /// Mail that was held back was let go on.
        OutgoingReleased = "outgoing.released",
        /// Mail was sent again to those whom it had not reached.
        OutgoingRetried = "outgoing.retried",
        /// Mail was taken out of the queue.
        OutgoingDropped = "outgoing.dropped",
        /// An alias was created.
        AliasCreated = "alias.created",
        /// An alias was deleted.
        AliasDeleted = "alias.deleted",
        /// A group was created; `group.member_added` tells of each member that it was given.
        GroupCreated = "group.created",
        /// A group's fields were changed.
        GroupUpdated = "group.updated",
        /// A group was deleted.
        GroupDeleted = "group.deleted",
        /// A mailbox or group became a member of a group.
        GroupMemberAdded = "group.member_added",
        /// A mailbox or group is no longer a member of a group.
        GroupMemberRemoved = "group.member_removed",
        /// A mailbox reached a threshold (to warn, to stop sending, its quota) or is below it again.
        MailboxQuotaWarning = "mailbox.quota_warning",
        /// A mailbox was opened for somebody above the tenant, for a reason and a time.
        SupportAccessOpened = "support_access.opened",
        /// Somebody above the tenant looked into a mailbox.
        SupportAccessUsed = "support_access.used",
        /// A mailbox is no longer open for somebody above the tenant.
        SupportAccessEnded = "support_access.ended",
        /// A message was delivered to a mailbox. Told to the webhook endpoints that name it, and to no others; it is on no trail and in no feed.
        MessageDelivered = "message.delivered",
        /// The operator wrote a mailbox's mail into files at the machine's own command line, for a reason.
        MailboxExported = "mailbox.exported",
        /// The operator took mail out of files into a mailbox at the machine's own command line.
        MailboxImported = "mailbox.imported",
        /// A legal hold was placed.
        HoldPlaced = "hold.placed",
        /// A legal hold was released.
        HoldReleased = "hold.released",
        /// How long a tenant keeps what was deleted was put.
        RetentionChanged = "retention_policy.changed",
        /// An API key was created.
        ApiKeyCreated = "api_key.created",
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// An API key was used for the first time in a day (UTC), or for the first time that day from an address.
        ApiKeyUsed = "api_key.used",
        /// Access tokens are signed with a new key, and those in force ended.
        SigningKeyReplaced = "signing_key.replaced",
        /// An app password was created.
        AppPasswordCreated = "app_password.created",
        /// An app password was revoked.
        AppPasswordRevoked = "app_password.revoked",
        /// A webhook endpoint was created.
        WebhookEndpointCreated = "webhook_endpoint.created",
        /// A webhook endpoint was changed, or its secret was.
        WebhookEndpointUpdated = "webhook_endpoint.updated",
        /// A webhook endpoint was deleted.
        WebhookEndpointDeleted = "webhook_endpoint.deleted",
        /// A webhook endpoint said that it is gone, and gets nothing any more.
        WebhookEndpointDisabled = "webhook_endpoint.disabled",
        /// A delivery is sent to a webhook endpoint again.
        WebhookDeliveryReplayed = "webhook_delivery.replayed",
        /// A refresh token was used a second time; its whole family is worth nothing now.
        RefreshTokenReused = "auth.refresh_token_reused",
        /// A subscription was put or changed.
        SubscriptionChanged = "subscription.changed",
        /// The next version of a reseller's prices, or of the operator's, was published.
        PriceBookPublished = "price_book.published",
        /// A billing run was asked for.
        BillingRunRequested = "billing_run.requested",
        /// A subscription cannot be billed, for a reason that somebody has to look at; told once for each reason.
        SubscriptionParked = "subscription.parked",
        /// A charge that comes once was added to a tenant's.
        OneOffItemCreated = "one_off_item.created",
        /// A charge that comes once was deleted before it was billed.
        OneOffItemDeleted = "one_off_item.deleted",
        /// A discount was given.
        DiscountCreated = "discount.created",
        /// A discount was ended, or removed before it counted.
        DiscountEnded = "discount.ended",
        /// A draft of an invoice or credit note was made, which nobody owes yet.
        InvoiceDrafted = "invoice.drafted",
        /// An invoice or credit note is final.
        InvoiceFinalized = "invoice.finalized",
        /// A draft was discarded: what it billed is billed anew.
        InvoiceDiscarded = "invoice.discarded",
        /// An invoice was voided by a credit note: what it billed is billed anew.
        InvoiceVoided = "invoice.voided",
        /// An invoice is the oldest of its tenant's that are past their due day.
        InvoiceOverdue = "invoice.overdue",
        /// An overdue invoice is to be reminded of, as its issuer's dunning policy says.
        InvoiceReminder = "invoice.reminder",
        /// In which steps a reseller collects what is overdue was put.
        DunningPolicyChanged = "dunning_policy.changed",
        /// What a reseller buys by was agreed or changed.
        WholesaleAgreementChanged = "wholesale_agreement.changed",
        /// What a reseller buys cannot be billed, for a reason that the operator has to look at; told once for each reason.
        WholesaleAgreementParked = "wholesale_agreement.parked",
        /// A wholesale invoice or credit note was made final.
        WholesaleInvoiceFinalized = "wholesale_invoice.finalized",
        /// A wholesale invoice was voided by a credit note: what it billed is billed anew.
        WholesaleInvoiceVoided = "wholesale_invoice.voided",
        /// A payment of a reseller's has arrived at the operator.
        WholesalePaymentSucceeded = "wholesale_payment.succeeded",
        /// A reseller was paid back a payment, or a part of it.
        WholesalePaymentRefunded = "wholesale_payment.refunded",
        /// A payment has arrived.
        PaymentSucceeded = "payment.succeeded",
        /// A payment by a provider is not coming.
        PaymentFailed = "payment.failed",
        /// A payment, or a part of it, was paid back.
        PaymentRefunded = "payment.refunded",
        /// A refund is not made, or was sent back after it had been.
        PaymentRefundFailed = "payment.refund_failed",
        /// A customer's bank contests a payment.
        PaymentDisputeOpened = "payment.dispute_opened",
        /// A dispute took its amount from the issuer: it is due again.
        PaymentDisputeWithdrawn = "payment.dispute_withdrawn",
        /// A dispute gave its amount back to the issuer.
        PaymentDisputeReinstated = "payment.dispute_reinstated",
        /// A dispute is won or lost.
        PaymentDisputeClosed = "payment.dispute_closed",
        /// By which provider a reseller takes money was put or deleted.
        PaymentProviderChanged = "payment_provider.changed",
        /// A reseller's payment provider refuses its key: it charges nothing until somebody sees to it.
        PaymentProviderRefused = "payment_provider.refused",
        /// A tenant's payment method was put or deleted.
        PaymentMethodChanged = "payment_method.changed",
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Whose trail it is on.
    pub trail: Scope,
    /// What kind of thing.
    pub kind: String,
    /// The wire id of what it is about.
    pub subject: String,
    /// What of it, by kind, as `docs/events.md` lists it. Never a secret.
    pub data: Value,
    /// Who did it.
    pub principal: String,
    /// By which role.
    pub role: String,
    /// From where, if by a client.
    pub network: Option<IpAddr>,
    /// The request, connection or job.
    pub request_id: RequestId,
    /// When.
    pub at: DateTime<Utc>,
}

/// Notes what a tenant's transaction did. It is there exactly when that commits.
///
/// # Errors
/// As of any statement.
pub async fn record(
    tx: &mut TenantTx,
    ctx: &Ctx,
    kind: Kind,
    subject: impl std::fmt::Display,
    data: Value,
) -> Result<(), db::Error> {
    let event = new(ctx.caller(), Scope::Tenant(tx.tenant_id()), kind, subject, data);
    store::insert(tx.conn(), &[event]).await
}

/// What happened to a tenant, for [`record_all`].
#[derive(Debug)]
pub struct Happened<'a> {
    /// Whose trail it is noted on.
    pub ctx: &'a Ctx,
    /// What.
    pub kind: Kind,
    /// To what.
    pub subject: String,
    /// As of [`record`].
    pub data: Value,
}

/// As [`record`], for much at once.
///
/// # Errors
/// As of any statement.
pub async fn record_all(tx: &mut impl OfTenants, happened: Vec<Happened<'_>>) -> Result<(), db::Error> {
    let note = |Happened { ctx, kind, subject, data }| {
        new(ctx.caller(), Scope::Tenant(ctx.tenant_id()), kind, subject, data)
    };
    let events: Vec<Event> = happened.into_iter().map(note).collect();
    store::insert(tx.conn(), &events).await
}

/// Notes what a system transaction did, on any trail.
///
/// # Errors
/// As of any statement.
pub async fn record_on(
    tx: &mut SystemTx,
    caller: &Caller,
    trail: Scope,
    kind: Kind,
    subject: impl std::fmt::Display,
    data: Value,
) -> Result<(), db::Error> {
    store::insert(tx.conn(), &[new(caller, trail, kind, subject, data)]).await
}

/// Notes on the operator's trail that all tenants' keys are about to be wrapped with the present key-encryption key.
///
/// # Errors
/// [`Error::Forbidden`] for anybody but the operator.
pub async fn note_rewrap(caller: &Caller) -> Result<(), Error> {
    if caller.scope() != Scope::Operator {
        return Err(Error::Forbidden("wrapping tenants' keys"));
    }
    let mut tx = system(caller.db()).await?;
    let data = serde_json::json!({});
    record_on(&mut tx, caller, Scope::Operator, Kind::KeysRewrapRequested, "operator", data).await?;
    Ok(tx.commit().await?)
}

fn new(caller: &Caller, trail: Scope, kind: Kind, subject: impl std::fmt::Display, data: Value) -> Event {
    let env = caller.db().env();
    Event {
        id: env.new_id(),
        trail,
        kind: kind.as_str().into(),
        subject: subject.to_string(),
        data,
        principal: caller.principal().to_string(),
        role: caller.role().as_str().into(),
        network: caller.network(),
        request_id: caller.request_id(),
        at: env.now(),
    }
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of these kinds; empty: of all.
    pub kinds: BTreeSet<Kind>,
    /// Only of this tenant's trail.
    pub tenant_id: Option<TenantId>,
}

/// The events that the caller sees, the oldest first, in the order in which they were chained: what is read once
/// stays where it is, and what comes later comes after. The trail of a tenant that is deleted, or destroyed, is kept, and is
/// read by whoever may see the tenant.
///
/// # Errors
/// [`Error::Forbidden`] without the right to `action`; [`Error::NotFound`] for a tenant out of scope.
pub async fn list(
    caller: &Caller,
    action: Action,
    filter: &Filter,
    page: PageRequest,
) -> Result<Page<Chained>, Error> {
    caller.require(action)?;
    let reader = match (filter.tenant_id, caller.scope()) {
        // Entering says whether it is in scope, and whether the tenant's own callers may call at all.
        (Some(id), _) | (None, Scope::Tenant(id)) => {
            Scope::Tenant(caller.enter_deleted_too(id).await?.tenant_id())
        }
        (None, above) => above,
    };
    let mut tx = system(caller.db()).await?;
    let rows = store::list(&mut tx, reader, &filter.kinds, &page).await?;
    let place = |chained: &Chained| uuid::Uuid::from_u128(chained.position.unsigned_abs().into());
    let cut = Page::cut(rows, &page, place);
    // Whoever follows goes on from the last that there is.
    let next = cut.items.last().map(|last| page.cursor_after(place(last)));
    Ok(Page { next, ..cut })
}

#[expect(
    clippy::disallowed_methods,
    reason = "trails are of tenants and of those above them; reading is bounded by a scope"
)]
pub(crate) async fn system(db: &Db) -> Result<SystemTx, db::Error> {
    SystemTx::begin(db).await
}
