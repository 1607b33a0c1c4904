//! What the commands do, one file each; those that do next to nothing are here.

pub(crate) mod acl;
pub(crate) mod append;
pub(crate) mod authenticate;
pub(crate) mod close;
pub(crate) mod compress;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod enable;
pub(crate) mod expunge;
pub(crate) mod fetch;
mod headers;
pub(crate) mod idle;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod quota;
pub(crate) mod rename;
pub(crate) mod search;
pub(crate) mod select;
pub(crate) mod sort;
pub(crate) mod starttls;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod subscribe;
pub(crate) mod thread;

use crate::capability;
use crate::folders::OTHERS;
use crate::session::{Answer, End, Own, Session};
use crate::status::Status;

/// CAPABILITY (RFC 9051 §6.1.1).
pub(crate) fn capability(session: &mut Session) -> Status {
    let all = capability::of(session);
    session.connection.untagged(&format!("CAPABILITY {all}"));
    Status::ok("that is all")
}

/// ID (RFC 2971): the name, and nothing that helps an attacker.
pub(crate) fn id(session: &mut Session) -> Status {
    session.connection.untagged("ID (\"name\" \"Pillarbox\")");
    Status::ok("pleased to meet you")
}

/// CHECK (RFC 3501 §6.4.1), for a folder that is open: what was done in it is durable when it is answered.
pub(crate) fn check(session: &Session) -> Answer {
    session.login()?;
    session.selected()?;
    Ok(Status::ok("done"))
}

/// LOGOUT (RFC 9051 §6.1.3).
pub(crate) async fn logout(session: &mut Session, tag: &str) -> Answer {
    session.connection.untagged("BYE goodbye");
    session.connection.tagged(tag, &Status::ok("logged out")).await?;
    Err(End::Own(Own::Logout).into())
}

/// NAMESPACE (RFC 9051 §6.3.10): one's own folders, and those of others that one may read.
pub(crate) fn namespace(session: &mut Session) -> Answer {
    session.login()?;
    session.connection.untagged(&format!("NAMESPACE ((\"\" \"/\")) ((\"{OTHERS}\" \"/\")) NIL"));
    Ok(Status::ok("that is all"))
}
