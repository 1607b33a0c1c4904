//! USER (RFC 1939 §7): the first half of a login.

use crate::codec::response::Status;
use crate::reply;
use crate::session::{End, Session};

/// Remembers the name, whoever it is: to tell whether it exists would help those who guess (RFC 1939 §13).
/// Refused here rather than at PASS where a password must not be sent, so that it is not.
pub(crate) async fn run(session: &mut Session, name: String) -> Result<(), End> {
    if !session.login_allowed() {
        return session.reply(reply::encryption_needed()).await;
    }
    session.user = Some(name);
    session.reply(Status::ok("now the password")).await
}
