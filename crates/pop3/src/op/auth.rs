//! AUTH (RFC 5034): a login by SASL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailstore::maildrop::Maildrop;
use sasl::exchange::{Ask, Opening};
use sasl::{Mechanism, SaslError};
use tenancy::auth::SaslLoginError;
use tenancy::policy::Capability;

use super::login;
use crate::codec::command::Auth;
use crate::codec::line::Frame;
use crate::codec::response::Status;
use crate::reply;
use crate::session::{End, Session};

/// AUTH alone lists the mechanisms. RFC 5034 leaves that form to CAPA; clients that predate it ask so.
pub(crate) async fn list(session: &mut Session) -> Result<(), End> {
    session.reply(Status::ok("mechanisms follow")).await?;
    if session.login_allowed() {
        for mechanism in Mechanism::offered(session.connection.exported().is_some()) {
            session.connection.item(mechanism.as_str()).await?;
        }
    }
    session.connection.terminator().await
}

/// Plays the exchange and tries the login that comes out of it.
pub(crate) async fn run(session: &mut Session, auth: Auth) -> Result<Option<Maildrop>, End> {
    if !session.login_allowed() {
        session.reply(reply::encryption_needed()).await?;
        return Ok(None);
    }
    let channel = session.connection.exported();
    let Some(opening) = Opening::new(&auth.mechanism, auth.initial_response.as_ref(), channel) else {
        session.reply(Status::err("no such mechanism; AUTH alone lists those there are")).await?;
        return Ok(None);
    };
    let (auth, origin) = (session.service.auth.clone(), session.origin());
    let login = match auth.sasl(Capability::Pop3, opening, origin, session).await? {
        Ok(login) => Ok(login),
        Err(SaslLoginError::Broken(error)) => {
            session.reply(Status::err(error)).await?;
            return Ok(None);
        }
        Err(SaslLoginError::Unproven(error)) => {
            login::refuse(session, Status::err(error)).await?;
            return Ok(None);
        }
        Err(SaslLoginError::Login(error)) => Err(error),
    };
    login::end(session, login).await
}

impl Ask for Session {
    type End = End;

    async fn ask(&mut self, challenge: &[u8]) -> Result<Result<Vec<u8>, SaslError>, End> {
        self.connection.challenge(&STANDARD.encode(challenge)).await?;
        Ok(match self.line(sasl::LINE_MAX_OCTETS).await? {
            Frame::TooLong => Err(SaslError::TooLong),
            Frame::Line(line) => sasl::response(&line),
        })
    }
}
