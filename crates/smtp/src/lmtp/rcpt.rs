//! RCPT: who receives, looked up at once, so that an unknown mailbox is refused before the message is sent.

use crate::codec::path::ForwardPath;
use crate::reply::{Reply, is_ours};
use crate::serve::Lmtp;
use crate::session::Session;

/// Adds a recipient to the transaction.
pub(super) async fn rcpt(service: &Lmtp, session: &mut Session, to: ForwardPath) -> Reply {
    let transaction = match session.transaction() {
        Ok(transaction) => transaction,
        Err(reply) => return reply,
    };
    if transaction.recipients.len() >= service.limits.recipients {
        return Reply::too_many_recipients();
    }
    let ForwardPath::Mailbox(mailbox) = to else {
        return Reply::no_such_mailbox();
    };
    if !mailbox.is_ascii() && !transaction.mail.is_utf8 {
        return Reply::recipient_needs_utf8();
    }
    let Some(address) = mailbox.address() else {
        return Reply::no_such_mailbox();
    };
    match service.recipients.resolve(&address, transaction.id).await {
        Ok(Some(recipient)) => {
            transaction.recipients.push(recipient);
            Reply::recipient_ok()
        }
        Ok(None) => Reply::no_such_mailbox(),
        Err(error) => {
            if is_ours(error.kind()) {
                tracing::error!(request.id = %transaction.id, error.cause = %kernel::error::chain(&error), "recipient lookup failed");
            }
            Reply::failure(error.kind(), transaction.id)
        }
    }
}
