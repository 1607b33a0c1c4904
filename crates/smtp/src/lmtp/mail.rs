//! MAIL: who sends, and how much.

use crate::codec::envelope::Mail;
use crate::reply::Reply;
use crate::serve::Lmtp;
use crate::session::Session;

/// Opens a transaction, unless the message is known to be too large (RFC 1870 §6.1).
pub(super) fn mail(service: &Lmtp, session: &mut Session, mail: Mail) -> Reply {
    let is_too_large = mail.size_bytes.is_some_and(|size| size > service.limits.message_bytes);
    match session.open(service.recipients.env().new_id(), mail) {
        Err(reply) => reply,
        Ok(()) if is_too_large => {
            session.reset();
            Reply::too_large()
        }
        Ok(()) => Reply::sender_ok(),
    }
}
