//! Who may do what: one pure table, printed as a golden file that reviewers read.

use std::fmt;
use std::str::FromStr;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire and in tables.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|item| item.as_str() == text).ok_or(UnknownName)
            }
        }
    };
}

/// A text that names no role, action or capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known name")]
pub struct UnknownName;

named! {
    /// What a caller is to the objects in its scope.
    Role {
        /// Runs the installation.
        Operator = "operator",
        /// Runs a reseller and everything below it.
        ResellerAdmin = "reseller_admin",
        /// Sees and steers a reseller's billing.
        ResellerBilling = "reseller_billing",
        /// Reads what a reseller has, but no mail.
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
        /// See mailboxes, folders and quotas.
        MailboxRead = "mailboxes:read",
        /// Change a mailbox's quota.
        QuotaWrite = "quotas:write",
        /// Read mail.
        MessageRead = "messages:read",
        /// Put messages into a mailbox and bring deleted ones back.
        MessageWrite = "messages:write",
        /// Delete messages.
        MessageDelete = "messages:delete",
        /// Deliver arriving mail.
        MessageDeliver = "messages:deliver",
        /// See price books.
        PriceBookRead = "price_books:read",
        /// Publish price books.
        PriceBookWrite = "price_books:write",
        /// See subscriptions.
        SubscriptionRead = "subscriptions:read",
        /// Change subscriptions.
        SubscriptionWrite = "subscriptions:write",
        /// See invoices.
        InvoiceRead = "invoices:read",
        /// Start billing runs and see what they did.
        BillingRun = "billing:run",
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

/// Whether a role may do an action to the objects in its scope.
pub fn allows(role: Role, action: Action) -> bool {
    use Action::*;
    match role {
        Role::Operator | Role::ResellerAdmin => action != MessageDeliver,
        Role::ResellerBilling => matches!(
            action,
            ResellerRead
                | TenantRead
                | UserRead
                | PriceBookRead
                | PriceBookWrite
                | SubscriptionRead
                | SubscriptionWrite
                | InvoiceRead
                | BillingRun
        ),
        Role::ResellerSupport => matches!(
            action,
            ResellerRead
                | ApiKeyRead
                | TenantRead
                | DomainRead
                | UserRead
                | MailboxRead
                | PriceBookRead
                | SubscriptionRead
                | InvoiceRead
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
                | MailboxRead
                | QuotaWrite
                | MessageRead
                | MessageWrite
                | MessageDelete
                | SubscriptionRead
                | InvoiceRead
        ),
        Role::TenantBilling => matches!(action, TenantRead | SubscriptionRead | InvoiceRead),
        Role::Helpdesk => matches!(action, TenantRead | DomainRead | UserRead | UserWrite | MailboxRead),
        Role::User => matches!(action, MailboxRead | MessageRead | MessageWrite | MessageDelete),
        Role::Delivery => action == MessageDeliver,
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
