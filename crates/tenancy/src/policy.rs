//! Who may do what: one pure table, printed as a golden file that reviewers read.

use kernel::named;

use crate::delegate::Right;

named! {
    /// What a caller is to the objects in its scope.
    Role {
        /// Runs the installation.
        Operator = "operator",
        /// Runs a reseller and everything below it.
        ResellerAdmin = "reseller_admin",
        /// Sees and steers a reseller's billing.
        ResellerBilling = "reseller_billing",
        /// Reads what a reseller has; mail, as everybody above a tenant, only by a support access.
        ResellerSupport = "reseller_support",
        /// Runs a tenant.
        TenantAdmin = "tenant_admin",
        /// Sees a tenant's billing.
        TenantBilling = "tenant_billing",
        /// Helps a tenant's users.
        Helpdesk = "helpdesk",
        /// A person with a mailbox; sees that one alone.
        User = "user",
        /// Mail arriving for a recipient: may put it there and do nothing else. Given to no credential.
        Delivery = "delivery",
    }
}

impl Role {
    /// Whether an API key of the given scope may carry this role.
    pub fn fits(self, scope: crate::Scope) -> bool {
        use crate::Scope;
        match self {
            Self::Operator => matches!(scope, Scope::Operator),
            Self::ResellerAdmin | Self::ResellerBilling | Self::ResellerSupport => {
                matches!(scope, Scope::Reseller(_))
            }
            Self::TenantAdmin | Self::TenantBilling | Self::Helpdesk => matches!(scope, Scope::Tenant(_)),
            Self::User | Self::Delivery => false,
        }
    }
}

named! {
    /// Something that a caller may be allowed to do.
    Action {
        /// See resellers.
        ResellerRead = "resellers:read",
        /// Create and change resellers.
        ResellerWrite = "resellers:write",
        /// See which API keys there are, without their secrets.
        ApiKeyRead = "api_keys:read",
        /// Create and revoke API keys.
        ApiKeyWrite = "api_keys:write",
        /// See tenants.
        TenantRead = "tenants:read",
        /// Create and change tenants, their seats and their test clock.
        TenantWrite = "tenants:write",
        /// See domains.
        DomainRead = "domains:read",
        /// Add and remove domains.
        DomainWrite = "domains:write",
        /// See users.
        UserRead = "users:read",
        /// Create, change and delete users.
        UserWrite = "users:write",
        /// See operations and how far they are.
        OperationRead = "operations:read",
        /// See mailboxes, folders and quotas.
        MailboxRead = "mailboxes:read",
        /// Create, change, delete and restore mailboxes that are nobody's own, and say who may use which.
        MailboxWrite = "mailboxes:write",
        /// See aliases.
        AliasRead = "aliases:read",
        /// Create and delete aliases.
        AliasWrite = "aliases:write",
        /// See groups and their members.
        GroupRead = "groups:read",
        /// Create, change and delete groups, and say who is in them.
        GroupWrite = "groups:write",
        /// See app passwords, without their secrets.
        AppPasswordRead = "app_passwords:read",
        /// Create and revoke app passwords.
        AppPasswordWrite = "app_passwords:write",
        /// See events.
        EventRead = "events:read",
        /// Read the audit trail.
        AuditRead = "audit_log:read",
        /// See webhook endpoints and what became of their deliveries.
        WebhookRead = "webhooks:read",
        /// Create, change and delete webhook endpoints, and send again.
        WebhookWrite = "webhooks:write",
        /// See who may look into a mailbox from above the tenant, and why.
        SupportAccessRead = "support_accesses:read",
        /// Open a mailbox for support, and end that.
        SupportAccessWrite = "support_accesses:write",
        /// See legal holds.
        HoldRead = "holds:read",
        /// Place and release legal holds.
        HoldWrite = "holds:write",
        /// See how long a tenant keeps what was deleted.
        RetentionRead = "retention_policies:read",
        /// Say how long a tenant keeps what was deleted.
        RetentionWrite = "retention_policies:write",
        /// Change a mailbox's quota.
        QuotaWrite = "quotas:write",
        /// Read mail.
        MessageRead = "messages:read",
        /// Have mail put back as it was at a moment, without seeing it.
        RestoreWrite = "restores:write",
        /// Put messages into a mailbox, mark, file and copy them, bring deleted ones back, and make and change folders.
        MessageWrite = "messages:write",
        /// Delete messages and folders.
        MessageDelete = "messages:delete",
        /// Deliver arriving mail.
        MessageDeliver = "messages:deliver",
        /// See mail on its way out, without what it says.
        OutgoingRead = "outgoing:read",
        /// Hold, release, send again and drop mail on its way out.
        OutgoingWrite = "outgoing:write",
        /// See price books.
        PriceBookRead = "price_books:read",
        /// Publish price books.
        PriceBookWrite = "price_books:write",
        /// See subscriptions.
        SubscriptionRead = "subscriptions:read",
        /// Change subscriptions.
        SubscriptionWrite = "subscriptions:write",
        /// See who is on documents, and rates of tax.
        BillingProfileRead = "billing_profiles:read",
        /// Say who is on documents and how they are taxed.
        BillingProfileWrite = "billing_profiles:write",
        /// See invoices.
        InvoiceRead = "invoices:read",
        /// Make drafts final, discard them, and void invoices.
        InvoiceWrite = "invoices:write",
        /// See payments.
        PaymentRead = "payments:read",
        /// Record payments that have arrived, pay back, and say by what a tenant pays.
        PaymentWrite = "payments:write",
        /// Pay invoices by the tenant's payment method.
        PaymentMake = "payments:make",
        /// See by which provider a reseller takes money, without its secrets.
        PaymentProviderRead = "payment_providers:read",
        /// Say by which provider a reseller takes money.
        PaymentProviderWrite = "payment_providers:write",
        /// See in which steps a reseller collects what is overdue.
        DunningPolicyRead = "dunning_policies:read",
        /// Say in which steps a reseller collects what is overdue, which may suspend its tenants.
        DunningPolicyWrite = "dunning_policies:write",
        /// Start billing runs and see what they did.
        BillingRun = "billing:run",
        /// See what a reseller buys by, is billed for by the operator and has paid, and what it earns.
        WholesaleRead = "wholesale:read",
        /// Agree with a reseller what it buys by, say who both are on its documents, and record what it has paid: the operator's
        /// alone.
        WholesaleWrite = "wholesale:write",
    }
}

named! {
    /// What a suspension can take away.
    Capability {
        /// Sign in anywhere.
        SignIn = "sign_in",
        /// Send mail.
        Send = "send",
        /// Receive mail.
        Receive = "receive",
        /// Use IMAP.
        Imap = "imap",
        /// Use POP3.
        Pop3 = "pop3",
        /// Use the API.
        Api = "api",
        /// Synchronise devices.
        Sync = "sync",
    }
}

impl Capability {
    /// What is suspended when these are taken beside what was already; all of them when none is named.
    pub(crate) fn taken(old: &[Self], named: &[Self]) -> Vec<Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|one| named.is_empty() || old.contains(one) || named.contains(one)).collect()
    }

    /// What stays suspended when these are given back; nothing when none is named.
    pub(crate) fn given_back(old: &[Self], named: &[Self]) -> Vec<Self> {
        old.iter().copied().filter(|one| !named.is_empty() && !named.contains(one)).collect()
    }
}

/// Capabilities as a column holds them.
pub(crate) fn capabilities(names: &[String]) -> Result<Vec<Capability>, crate::Error> {
    names.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(crate::Error::internal)
}

/// Whether a role may do an action to the objects in its scope.
pub fn allows(role: Role, action: Action) -> bool {
    use Action::*;
    match role {
        Role::Operator => action != MessageDeliver,
        Role::ResellerAdmin => !matches!(action, MessageDeliver | WholesaleWrite),
        Role::ResellerBilling => matches!(
            action,
            ResellerRead
                | TenantRead
                | UserRead
                | EventRead
                | PriceBookRead
                | PriceBookWrite
                | SubscriptionRead
                | SubscriptionWrite
                | BillingProfileRead
                | BillingProfileWrite
                | InvoiceRead
                | InvoiceWrite
                | PaymentRead
                | PaymentWrite
                | PaymentMake
                | PaymentProviderRead
                | DunningPolicyRead
                | BillingRun
                | WholesaleRead
        ),
        Role::ResellerSupport => matches!(
            action,
            ResellerRead
                | ApiKeyRead
                | TenantRead
                | DomainRead
                | UserRead
                | OperationRead
                | MailboxRead
                | AliasRead
                | GroupRead
                | AppPasswordRead
                | EventRead
                | AuditRead
                | WebhookRead
                | SupportAccessRead
                | SupportAccessWrite
                | MessageRead
                | OutgoingRead
                | PriceBookRead
                | SubscriptionRead
                | BillingProfileRead
                | InvoiceRead
                | PaymentRead
        ),
        Role::TenantAdmin => matches!(
            action,
            ApiKeyRead
                | ApiKeyWrite
                | TenantRead
                | DomainRead
                | DomainWrite
                | UserRead
                | UserWrite
                | OperationRead
                | MailboxRead
                | MailboxWrite
                | AliasRead
                | AliasWrite
                | GroupRead
                | GroupWrite
                | AppPasswordRead
                | AppPasswordWrite
                | EventRead
                | AuditRead
                | WebhookRead
                | WebhookWrite
                | SupportAccessRead
                | SupportAccessWrite
                | HoldRead
                | HoldWrite
                | RetentionRead
                | RetentionWrite
                | QuotaWrite
                | RestoreWrite
                | MessageRead
                | MessageWrite
                | MessageDelete
                | OutgoingRead
                | OutgoingWrite
                | SubscriptionRead
                | BillingProfileRead
                | InvoiceRead
                | PaymentRead
                | PaymentMake
        ),
        Role::TenantBilling => {
            matches!(
                action,
                TenantRead | SubscriptionRead | BillingProfileRead | InvoiceRead | PaymentRead | PaymentMake
            )
        }
        Role::Helpdesk => matches!(
            action,
            TenantRead
                | DomainRead
                | UserRead
                | UserWrite
                | OperationRead
                | MailboxRead
                | AliasRead
                | GroupRead
                | AppPasswordRead
                | AppPasswordWrite
                | RestoreWrite
                | OutgoingRead
        ),
        Role::User => matches!(
            action,
            MailboxRead
                | MessageRead
                | MessageWrite
                | MessageDelete
                | OutgoingRead
                | OutgoingWrite
                | AppPasswordRead
                | AppPasswordWrite
        ),
        Role::Delivery => action == MessageDeliver,
    }
}

/// Whether a delegate's right to a mailbox allows an action in it, whatever their role: of what its owner may do there, what is done to mail and folders.
pub fn right_allows(right: Right, action: Action) -> bool {
    use Action::*;
    match right {
        Right::Read => matches!(action, MailboxRead | MessageRead),
        Right::FullAccess => matches!(action, MailboxRead | MessageRead | MessageWrite | MessageDelete),
        // Whoever sends sees nothing of the mailbox: `sender` decides as whom they may.
        Right::SendAs | Right::SendOnBehalf => false,
    }
}

/// The table as text: a line per action, a column per role.
pub fn matrix() -> String {
    let header = Role::ALL.iter().map(|role| format!(" {role}")).collect::<String>();
    let mut text = format!("{:22}{header}\n", "action");
    for &action in Action::ALL {
        let cells = Role::ALL
            .iter()
            .map(|&role| {
                format!(
                    " {:width$}",
                    if allows(role, action) { "yes" } else { "-" },
                    width = role.as_str().len()
                )
            })
            .collect::<String>();
        text.push_str(format!("{:22}{cells}", action.as_str()).trim_end());
        text.push('\n');
    }
    text
}
