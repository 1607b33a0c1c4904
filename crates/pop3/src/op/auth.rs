//! AUTH (RFC 5034): a login by SASL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailstore::maildrop::Maildrop;
use sasl::exchange::{self, Ask, Proof, Refusal};
use sasl::scram::Offer;
use sasl::{Mechanism, SaslError, bearer};
use secrecy::ExposeSecret as _;
use tenancy::auth::ScramOffer;
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
    let Some(mechanism) = Mechanism::named(&auth.mechanism, channel.is_some()) else {
        session.reply(Status::err("no such mechanism; AUTH alone lists those there are")).await?;
        return Ok(None);
    };
    let initial = auth.initial_response.map(|text| sasl::initial_response(text.expose_secret()));
    let (auth, origin) = (session.service.auth.clone(), session.origin());
    let nonce = STANDARD.encode(auth.db().env().random::<18>());
    let keys = async |username: &str| {
        let ScramOffer { salt, iterations, keys } = auth.scram_offer(Capability::Pop3, username).await?;
        Ok::<_, tenancy::Error>(Offer { salt, iterations, keys })
    };
    let channel = channel.as_ref().map(<[u8; 32]>::as_slice);
    let proof = exchange::play(session, mechanism, initial, channel, &nonce, keys).await?;
    let login = match proof {
        Ok(Proof::Password { username, password }) => {
            auth.mail_login(Capability::Pop3, &username, password, origin).await
        }
        Ok(Proof::Key { username, id }) => {
            auth.mail_login_by_proof(Capability::Pop3, &username, id, origin).await
        }
        Ok(Proof::Bearer(bearer)) => {
            let username = bearer.username.as_deref();
            let login = auth.mail_login_by_token(Capability::Pop3, username, &bearer.token, origin).await;
            if login.as_ref().is_err_and(reply::is_refusal) {
                // Whatever it answers.
                let _ = session.ask(bearer::FAILURE).await?;
            }
            login
        }
        Err(Refusal::Sasl(error)) => {
            session.reply(Status::err(error)).await?;
            return Ok(None);
        }
        Err(Refusal::Unproven(error)) => {
            login::refuse(session, Status::err(error)).await?;
            return Ok(None);
        }
        Err(Refusal::Wrong) => Err(tenancy::Error::Unauthenticated),
        Err(Refusal::Keys(error)) => Err(error),
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
