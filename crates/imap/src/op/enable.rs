//! ENABLE (RFC 9051 §6.3.1).

use crate::session::{Answer, Session};
use crate::status::Status;

pub(crate) fn run(session: &mut Session, names: &[String]) -> Answer {
    session.login()?;
    let mut enabled = String::from("ENABLED");
    for name in names {
        // What is not known is passed over.
        if session.enable(name) {
            enabled.push(' ');
            enabled.push_str(if name == "IMAP4REV2" { "IMAP4rev2" } else { name });
        }
    }
    session.connection.untagged(&enabled);
    Ok(Status::ok("done"))
}
