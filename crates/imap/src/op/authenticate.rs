//! AUTHENTICATE (RFC 9051 §6.2.2): a login by SASL. PLAIN (RFC 4616) is the mechanism there is.

use secrecy::{ExposeSecret as _, SecretString};
use socket::sasl::{self, Plain, SaslError};

use super::login;
use crate::session::{Answer, End, Session};
use crate::status::Status;

/// How long a line of an exchange may be.
const MAX_OCTETS: usize = 4 << 10;

pub(crate) async fn run(session: &mut Session, mechanism: &str, initial: Option<&SecretString>) -> Answer {
    login::may_try(session)?;
    if !sasl::MECHANISMS.contains(&mechanism) {
        return Err(Status::no("no such mechanism; CAPABILITY lists those there are").with("CANNOT").into());
    }
    match credentials(session, initial).await? {
        // Acting for another is not offered. The same refusal as of a wrong password tells nothing of either.
        Ok(plain) if !plain.authzid.is_empty() && plain.authzid != plain.authcid => {
            login::refuse(session).await
        }
        Ok(plain) => login::attempt(session, &plain.authcid, plain.password).await,
        Err(error) => Err(Status::bad(error.to_string()).into()),
    }
}

/// The PLAIN message: with the command (RFC 4959), or in answer to an empty challenge.
async fn credentials(
    session: &mut Session,
    initial: Option<&SecretString>,
) -> Result<Result<Plain, SaslError>, End> {
    let message = match initial {
        Some(response) => sasl::initial_response(response.expose_secret()),
        None => {
            session.connection.go_on("");
            let patience = session.service.limits.read_timeout;
            tokio::select! {
                () = session.shutdown.cancelled() => return Err(End::Shutdown),
                line = session.connection.line(MAX_OCTETS, patience) => match line? {
                    Ok(line) => sasl::response(&line),
                    Err(_) => Err(SaslError::TooLong),
                },
            }
        }
    };
    Ok(message.and_then(|message| sasl::plain(&message)))
}
