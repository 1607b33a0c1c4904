//! STLS (RFC 2595 §4): from plain text to TLS.

use crate::codec::response::Status;
use crate::session::{End, Session};

/// What was said before is forgotten: the name of a USER (dropped with every command) and whatever was received but
/// not yet answered. The count of refused logins is the connection's own and stays.
pub(crate) async fn run(session: &mut Session) -> Result<(), End> {
    if session.connection.is_tls() {
        return session.reply(Status::err("TLS is active already")).await;
    }
    session.reply(Status::ok("begin TLS negotiation")).await?;
    session.connection.flush().await?;
    session.upgrade().await
}
