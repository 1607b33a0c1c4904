//! AUTHENTICATE (RFC 9051 §6.2.2): a login by SASL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sasl::exchange::{self, Ask, Proof, Refusal};
use sasl::scram::Offer;
use sasl::{Mechanism, SaslError, bearer};
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::auth::ScramOffer;
use tenancy::policy::Capability;

use super::login;
use crate::session::{Answer, End, Session};
use crate::status::{self, Status};

pub(crate) async fn run(session: &mut Session, mechanism: &str, initial: Option<&SecretString>) -> Answer {
    login::may_try(session)?;
    let channel = session.connection.exported();
    let Some(mechanism) = Mechanism::named(mechanism, channel.is_some()) else {
        let text = "no such mechanism; CAPABILITY lists those there are";
        return Err(Status::no(text).with("CANNOT").into());
    };
    let initial = initial.map(|text| sasl::initial_response(text.expose_secret()));
    let (auth, origin) = (session.service.auth.clone(), session.origin());
    let nonce = STANDARD.encode(auth.db().env().random::<18>());
    let keys = async |username: &str| {
        let ScramOffer { salt, iterations, keys } = auth.scram_offer(Capability::Imap, username).await?;
        Ok::<_, tenancy::Error>(Offer { salt, iterations, keys })
    };
    let channel = channel.as_ref().map(<[u8; 32]>::as_slice);
    let proof = exchange::play(session, mechanism, initial, channel, &nonce, keys).await?;
    let login = match proof {
        Ok(Proof::Password { username, password }) => {
            auth.mail_login(Capability::Imap, &username, password, origin).await
        }
        Ok(Proof::Key { username, id }) => {
            auth.mail_login_by_proof(Capability::Imap, &username, id, origin).await
        }
        Ok(Proof::Bearer(bearer)) => {
            let username = bearer.username.as_deref();
            let login = auth.mail_login_by_token(Capability::Imap, username, &bearer.token, origin).await;
            if login.as_ref().is_err_and(status::is_refusal) {
                // Whatever it answers.
                let _ = session.ask(bearer::FAILURE).await?;
            }
            login
        }
        Err(Refusal::Sasl(error)) => return Err(Status::bad(error.to_string()).into()),
        Err(Refusal::Unproven(error)) => {
            login::failed(session).await?;
            return Err(Status::bad(error.to_string()).into());
        }
        Err(Refusal::Wrong) => Err(tenancy::Error::Unauthenticated),
        Err(Refusal::Keys(error)) => Err(error),
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
