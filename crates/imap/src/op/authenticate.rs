//! AUTHENTICATE (RFC 9051 §6.2.2): a login by SASL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sasl::SaslError;
use sasl::exchange::{Ask, Opening};
use secrecy::SecretString;
use tenancy::auth::SaslLoginError;
use tenancy::policy::Capability;

use super::login;
use crate::session::{Answer, End, Session};
use crate::status::Status;

pub(crate) async fn run(session: &mut Session, mechanism: &str, initial: Option<&SecretString>) -> Answer {
    login::may_try(session)?;
    let Some(opening) = Opening::new(mechanism, initial, session.connection.exported()) else {
        let text = "no such mechanism; CAPABILITY lists those there are";
        return Err(Status::no(text).with("CANNOT").into());
    };
    let (auth, origin) = (session.service.auth.clone(), session.origin());
    let login = match auth.sasl(Capability::Imap, opening, origin, session).await? {
        Ok(login) => Ok(login),
        Err(SaslLoginError::Broken(error)) => return Err(Status::bad(error.to_string()).into()),
        Err(SaslLoginError::Unproven(error)) => {
            login::failed(session).await?;
            return Err(Status::bad(error.to_string()).into());
        }
        Err(SaslLoginError::Login(error)) => Err(error),
    };
    login::end(session, login).await
}

impl Ask for Session {
    type End = End;

    async fn ask(&mut self, challenge: &[u8]) -> Result<Result<Vec<u8>, SaslError>, End> {
        self.connection.go_on(&STANDARD.encode(challenge));
        let patience = self.service.limits.read_timeout;
        tokio::select! {
            () = self.shutdown.cancelled() => Err(End::Shutdown),
            line = self.connection.line(sasl::LINE_MAX_OCTETS, patience) => Ok(match line? {
                Ok(line) => sasl::response(&line),
                Err(_) => Err(SaslError::TooLong),
            }),
        }
    }
}
