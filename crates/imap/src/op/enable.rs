//! ENABLE (RFC 9051 §6.3.1).

use crate::session::{Answer, Session};
use crate::status::Status;

pub(crate) fn run(session: &mut Session, names: &[String]) -> Answer {
    session.login()?;
    // What is not known is passed over.
    let enabled = names.iter().any(|name| name == "CONDSTORE");
    session.is_condstore |= enabled;
    session.connection.untagged(if enabled { "ENABLED CONDSTORE" } else { "ENABLED" });
    Ok(Status::ok("done"))
}
