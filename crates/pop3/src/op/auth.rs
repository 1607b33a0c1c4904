//! AUTH (RFC 5034): a login by SASL. PLAIN (RFC 4616) is the mechanism there is.

use mailstore::maildrop::Maildrop;
use secrecy::ExposeSecret;
use socket::sasl::{self, Plain, SaslError};

use super::login;
use crate::codec::command::Auth;
use crate::codec::line::{Frame, SASL_MAX_OCTETS};
use crate::codec::response::Status;
use crate::reply;
use crate::session::{End, Session};

/// AUTH alone lists the mechanisms. RFC 5034 leaves that form to CAPA; clients that predate it ask so.
pub(crate) async fn list(session: &mut Session) -> Result<(), End> {
    session.reply(Status::ok("mechanisms follow")).await?;
    if session.login_allowed() {
        for mechanism in sasl::MECHANISMS {
            session.connection.item(mechanism).await?;
        }
    }
    session.connection.terminator().await
}

/// Plays the exchange and tries the login that comes out of it.
pub(crate) async fn run(session: &mut Session, auth: Auth) -> Result<Option<Maildrop>, End> {
    let refusal = if !session.login_allowed() {
        reply::encryption_needed()
    } else if !sasl::MECHANISMS.contains(&auth.mechanism.as_str()) {
        Status::err("no such mechanism; AUTH alone lists those there are")
    } else {
        match credentials(session, &auth).await? {
            // Acting for another is not offered. The same refusal as of a wrong password tells nothing of either.
            Ok(plain) if !plain.authzid.is_empty() && plain.authzid != plain.authcid => {
                login::refuse(session).await?;
                return Ok(None);
            }
            Ok(plain) => return login::attempt(session, &plain.authcid, plain.password).await,
            Err(error) => Status::err(error),
        }
    };
    session.reply(refusal).await?;
    Ok(None)
}

/// The PLAIN message: with the command, or in answer to an empty challenge.
async fn credentials(session: &mut Session, auth: &Auth) -> Result<Result<Plain, SaslError>, End> {
    let message = match &auth.initial_response {
        Some(response) => sasl::initial_response(response.expose_secret()),
        None => {
            session.connection.empty_challenge().await?;
            match session.line(SASL_MAX_OCTETS).await? {
                Frame::TooLong => Err(SaslError::TooLong),
                Frame::Line(line) => sasl::response(&line),
            }
        }
    };
    Ok(message.and_then(|message| sasl::plain(&message)))
}
