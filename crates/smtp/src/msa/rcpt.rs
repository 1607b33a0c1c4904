//! RCPT: who receives, looked up at once where that is a mailbox of ours.

use submission::{Addressee, Destination};

use super::session::{End, Session};
use crate::codec::envelope::Rcpt;
use crate::codec::path::{ForwardPath, ReversePath};
use crate::reply::{Reply, is_ours};

/// Adds a recipient to the transaction; one that is there already has it once.
///
/// Whoever names many that nobody is tries out which there are.
pub(super) async fn rcpt(session: &mut Session, rcpt: Rcpt) -> Result<Reply, End> {
    let reply = add(session, rcpt).await;
    if reply != Reply::no_such_mailbox() {
        return Ok(reply);
    }
    session.unknown += 1;
    if session.unknown <= session.service.limits.unknown_recipients {
        return Ok(reply);
    }
    session.wire.reply(&reply).await?;
    session.end("too_many_unknown", &Reply::too_many_unknown()).await
}

async fn add(session: &mut Session, rcpt: Rcpt) -> Reply {
    let limit = session.service.limits.recipients;
    let Some(transaction) = &mut session.transaction else { return Reply::out_of_sequence("say MAIL first") };
    let mailbox = match (rcpt.to, &transaction.mail.from) {
        (ForwardPath::Mailbox(mailbox), _) => mailbox,
        // RFC 5321 §4.5.1. This server is that of many domains: theirs is the sender's.
        (ForwardPath::Postmaster, ReversePath::Mailbox(sender)) => sender.postmaster(),
        (ForwardPath::Postmaster, ReversePath::Null) => return Reply::no_such_mailbox(),
    };
    if !mailbox.is_ascii() && !transaction.mail.is_utf8 {
        return Reply::recipient_needs_utf8();
    }
    let address = mailbox.address();
    let submission = &session.service.submission;
    let found = submission.destination(address.as_ref(), mailbox.domain(), transaction.id).await;
    let (address, domain) = match found {
        Ok(Destination::Local) => (mailbox.to_string(), None),
        Ok(Destination::Remote(domain)) => (mailbox.at(&domain).to_string(), Some(domain)),
        Ok(Destination::Nobody) => return Reply::no_such_mailbox(),
        Ok(Destination::NoDomain) => return Reply::no_domain(),
        Ok(Destination::NoWayOut) => return Reply::no_way_out(),
        Err(error) => {
            if is_ours(error.kind()) {
                tracing::error!(request.id = %transaction.id, error.cause = %kernel::error::chain(&error), "a recipient could not be looked up");
            }
            return Reply::failure(error.kind(), transaction.id);
        }
    };
    if transaction.recipients.iter().any(|one| one.address == address) {
        return Reply::recipient_ok();
    }
    if transaction.recipients.len() >= limit {
        return Reply::too_many_recipients();
    }
    transaction.recipients.push(Addressee { address, domain, notify: rcpt.notify, original: rcpt.original });
    Reply::recipient_ok()
}
