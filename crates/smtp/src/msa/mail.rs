//! MAIL: who sends, and how much.

use tenancy::policy::Capability;
use tokio::time::Instant;

use super::session::{End, Login, Session, Transaction};
use crate::codec::envelope::Mail;
use crate::codec::path::ReversePath;
use crate::reply::{Reply, is_ours};

/// Opens a transaction, if the sender is theirs to send from (RFC 6409 §6.1).
pub(super) async fn mail(session: &mut Session, mail: Mail) -> Result<Reply, End> {
    if !session.is_greeted {
        return Ok(Reply::out_of_sequence("say EHLO first"));
    }
    if session.login.is_none() {
        return Ok(Reply::sign_in_first());
    }
    if session.transaction.is_some() {
        return Ok(Reply::out_of_sequence("a transaction is open; RSET ends it"));
    }
    if let Some(reply) = renew(session).await? {
        return Ok(reply);
    }
    if mail.size_bytes.is_some_and(|size| size > session.service.limits.message_bytes) {
        return Ok(Reply::too_large());
    }
    let id = session.service.auth.db().env().new_id();
    if let (ReversePath::Mailbox(mailbox), Some(Login { login, .. })) = (&mail.from, &session.login) {
        let Some(address) = mailbox.address() else {
            let error = submission::Error::NotYours(mailbox.to_string());
            return Ok(Reply::not_sent(&error, id));
        };
        if let Err(error) = session.service.submission.may_send(login, &address).await {
            if is_ours(error.kind()) && !matches!(error, submission::Error::NotYours(_)) {
                tracing::error!(request.id = %id, error.cause = %kernel::error::chain(&error), "a sender could not be checked");
            }
            return Ok(Reply::not_sent(&error, id));
        }
    }
    session.transaction = Some(Transaction { id, mail, recipients: Vec::new() });
    Ok(Reply::sender_ok())
}

/// Sees to it that who has signed in a while ago may still send. What an account that was suspended sends until it is asked again waits in the queue.
async fn renew(session: &mut Session) -> Result<Option<Reply>, End> {
    let Some(Login { login, sure_at }) = &session.login else { return Ok(None) };
    if sure_at.elapsed() < session.service.limits.recheck {
        return Ok(None);
    }
    match session.service.auth.renewed(Capability::Send, login, session.origin()).await {
        Ok(Some(login)) => {
            session.login = Some(Login { login, sure_at: Instant::now() });
            Ok(None)
        }
        Ok(None) => session.end("login_over", &Reply::login_over()).await,
        Err(error) => {
            if is_ours(error.kind()) {
                tracing::error!(error.cause = %kernel::error::chain(&error), "a sign-in could not be renewed");
            }
            Ok(Some(Reply::failure(error.kind(), session.request_id)))
        }
    }
}
