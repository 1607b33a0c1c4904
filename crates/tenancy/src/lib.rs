//! Who is calling, for which tenant, and what may they do: resellers, tenants, domains, users, mailboxes' limits,
//! credentials, tokens, roles.
//!
//! A request is proven in two steps. [`auth`] makes a [`Caller`] of a credential; [`Caller::enter`] makes a [`Ctx`]
//! of a caller and a tenant it may see, and from then on the tenant travels in the type: [`Ctx::begin`] is the only
//! way to a [`TenantTx`], and no store reaches a tenant's table without one.

pub mod api_key;
pub mod auth;
mod caller;
mod ctx;
pub mod domain;
mod error;
pub mod idempotency;
pub mod mailbox;
mod password;
pub mod policy;
pub mod quota;
pub mod recipient;
pub mod reseller;
pub mod seats;
pub mod tenant;
mod tx;
pub mod user;

pub use caller::{Caller, Principal, ResellerCtx, Scope};
pub use ctx::{Ctx, MailLogin};
pub use error::Error;
pub use policy::{Action, Role};
pub use tx::TenantTx;
