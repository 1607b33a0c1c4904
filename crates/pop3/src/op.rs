//! The commands, one file each.

pub(crate) mod auth;
pub(crate) mod capa;
pub(crate) mod dele;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod pass;
pub(crate) mod quit;
pub(crate) mod retr;
pub(crate) mod rset;
pub(crate) mod stat;
pub(crate) mod stls;
pub(crate) mod top;
pub(crate) mod uidl;
pub(crate) mod user;
