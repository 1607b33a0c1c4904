//! STARTTLS (RFC 9051 §6.2.1).

use crate::session::{Answer, Session, Trouble};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, tag: &str) -> Answer {
    if session.connection.is_tls() {
        return Err(Status::bad("the connection is encrypted already").into());
    }
    if session.is_logged_in() {
        return Err(Status::bad("too late: you are logged in").into());
    }
    session.connection.tagged(tag, &Status::ok("begin the handshake")).await?;
    session.connection.flush().await?;
    session.upgrade().await?;
    Err(Trouble::Answered)
}
