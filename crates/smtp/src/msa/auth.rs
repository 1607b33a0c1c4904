//! AUTH (RFC 4954): a login by SASL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sasl::SaslError;
use sasl::exchange::{Ask, Opening};
use socket::login::count;
use socket::plaintext_allowed;
use tenancy::auth::SaslLoginError;
use tenancy::policy::Capability;
use tokio::time::Instant;

use super::session::{End, Login, Session};
use crate::codec::command::Auth;
use crate::codec::line::Frame;
use crate::reply::{Reply, is_ours};

/// Plays the exchange and tries the login that comes out of it.
pub(super) async fn auth(session: &mut Session, auth: Auth) -> Result<Reply, End> {
    if !session.is_greeted {
        return Ok(Reply::out_of_sequence("say EHLO first"));
    }
    if session.login.is_some() {
        return Ok(Reply::signed_in_already());
    }
    if session.transaction.is_some() {
        // RFC 4954 §4.
        return Ok(Reply::out_of_sequence("not in the middle of a message"));
    }
    if !plaintext_allowed(session.peer, session.wire.is_tls()) {
        return Ok(Reply::encryption_needed());
    }
    let opening = Opening::new(&auth.mechanism, auth.initial.as_ref(), session.wire.exported());
    let Some(opening) = opening else { return Ok(Reply::no_such_mechanism()) };
    let (auth, origin) = (session.service.auth.clone(), session.origin());
    match auth.sasl(Capability::Send, opening, origin, session).await? {
        Ok(login) => {
            count("submission", "ok");
            tracing::info!(tenant.id = %login.ctx.tenant_id(), mailbox.id = %login.mailbox_id, "submission login");
            session.login = Some(Login { login, sure_at: Instant::now() });
            Ok(Reply::signed_in())
        }
        Err(SaslLoginError::Broken(error)) => Ok(Reply::sasl(error)),
        Err(SaslLoginError::Unproven(error)) => refuse(session, Reply::sasl(error)).await,
        Err(SaslLoginError::Login(tenancy::Error::Throttled { .. })) => {
            refuse(session, Reply::login_throttled()).await
        }
        Err(SaslLoginError::Login(error)) if error.refuses_login() => {
            refuse(session, Reply::login_refused()).await
        }
        Err(SaslLoginError::Login(error)) => {
            count("submission", "failed");
            if is_ours(error.kind()) && !matches!(error, tenancy::Error::Busy) {
                tracing::error!(error.cause = %kernel::error::chain(&error), "a sign-in could not be checked");
            }
            Ok(Reply::login_failed(session.request_id))
        }
    }
}

/// Answers refused credentials late, and ends the session when that has happened too often.
async fn refuse(session: &mut Session, answer: Reply) -> Result<Reply, End> {
    let delay = session.service.limits.failed_login_delay;
    session.failed_logins.add("submission", delay, &session.shutdown).await?;
    if !session.failed_logins.are(session.service.limits.max_failed_logins) {
        return Ok(answer);
    }
    session.wire.reply(&answer).await?;
    session.end("too_many_failed_logins", &Reply::too_many_logins()).await
}

impl Ask for Session {
    type End = End;

    async fn ask(&mut self, challenge: &[u8]) -> Result<Result<Vec<u8>, SaslError>, End> {
        self.wire.reply(&Reply::challenge(&STANDARD.encode(challenge))).await?;
        Ok(match self.line().await? {
            Frame::Line(line) => sasl::response(&line),
            Frame::TooLong => Err(SaslError::TooLong),
            Frame::BareLineFeed => Err(SaslError::Base64),
        })
    }
}
