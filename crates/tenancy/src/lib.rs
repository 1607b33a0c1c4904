//! Who is calling, for which tenant, and what may they do: resellers, tenants, domains, users, mailboxes' limits,
//! credentials, tokens, roles.
//!
//! A request is proven in two steps. [`auth`] makes a [`Caller`] of a credential; [`Caller::enter`] makes a [`Ctx`]
//! of a caller and a tenant it may see, and from then on the tenant travels in the type: [`Ctx::begin`] is the only
//! way to a [`TenantTx`], and no store reaches a tenant's table without one, or without a [`TenantsTx`] for several.

pub mod address;
pub mod api_key;
pub mod app_password;
pub mod auth;
pub mod branding;
mod calendar;
mod caller;
pub mod caps;
mod ctx;
pub mod delegate;
mod desk;
pub mod domain;
pub mod effect;
mod error;
pub mod event;
pub mod group;
pub mod hold;
pub mod idempotency;
pub mod mailbox;
pub mod operation;
mod origin;
mod password;
pub mod placement;
pub mod policy;
pub mod purge;
pub mod quota;
pub mod recipient;
pub mod reseller;
pub mod seats;
pub mod sender;
pub mod standing;
pub mod storage_sample;
pub mod support_access;
pub mod tenant;
mod tx;
pub mod user;
pub mod webhook_endpoint;

pub use calendar::Calendar;
pub use caller::{Caller, Principal, ResellerCtx, Scope};
pub use ctx::{Ctx, MailLogin};
pub use error::Error;
pub use origin::Origin;
pub use policy::{Action, Role};
pub use tx::{IngestTx, OfTenants, TenantRead, TenantTx, TenantsTx};

/// What `If-Match` asks: that the object is still the one that the caller has seen. `None` asks nothing.
///
/// # Errors
/// [`Error::VersionMismatch`] when it has changed since.
pub fn require_version(wanted: Option<i64>, version: i64) -> Result<(), Error> {
    if wanted.is_none_or(|wanted| wanted == version) {
        Ok(())
    } else {
        Err(Error::VersionMismatch { version })
    }
}
