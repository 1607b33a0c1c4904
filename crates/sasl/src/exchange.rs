//! What is said in an exchange, by every protocol alike: who plays it has a way to ask the client, and to look a user's keys up.

use secrecy::SecretString;

use super::bearer::{self, Bearer};
use super::scram::{self, Offer};
use super::{Mechanism, Plain, SaslError, plain};

/// How a protocol asks its client.
pub trait Ask {
    /// Why it cannot ask any more.
    type End;

    /// Sends a challenge and reads what comes back, without their base64.
    fn ask(
        &mut self,
        challenge: &[u8],
    ) -> impl Future<Output = Result<Result<Vec<u8>, SaslError>, Self::End>> + Send;
}

/// What the client has offered to prove who it is.
#[derive(Debug)]
pub enum Proof<Id> {
    /// A password.
    Password {
        /// Whose.
        username: String,
        /// It.
        password: SecretString,
    },
    /// It has proven one of the keys that it was offered.
    Key {
        /// Whose.
        username: String,
        /// Which.
        id: Id,
    },
    /// A token. Where it is not taken, the client is to be told [`bearer::FAILURE`] first.
    Bearer(Bearer),
}

/// Why nothing is proven.
#[derive(Debug)]
pub enum Refusal<E> {
    /// What the client sent is no message of the mechanism's.
    Sasl(SaslError),
    /// The client was challenged to prove something and has not tried: it counts as a wrong proof does, or names could be tried at will.
    Unproven(SaslError),
    /// The proof was wrong, or the client wants to act for another.
    Wrong,
    /// The keys were not to be had.
    Keys(E),
}

impl<E> From<SaslError> for Refusal<E> {
    fn from(error: SaslError) -> Self {
        Self::Sasl(error)
    }
}

/// Plays an exchange. `initial`: the initial response, if there was one; `channel`: what the connection's TLS exports, if it does; `nonce`:
/// random and printable, without a comma.
///
/// # Errors
/// When the client cannot be asked any more; inside, when nothing is proven.
pub async fn play<A: Ask, Id: Copy, E>(
    client: &mut A,
    mechanism: Mechanism,
    initial: Option<Result<Vec<u8>, SaslError>>,
    channel: Option<&[u8]>,
    nonce: &str,
    keys: impl AsyncFnOnce(&str) -> Result<Offer<Id>, E>,
) -> Result<Result<Proof<Id>, Refusal<E>>, A::End> {
    let first = match initial {
        Some(first) => first,
        None if mechanism == Mechanism::Login => client.ask(b"Username:").await?,
        None => client.ask(b"").await?,
    };
    let first = match first {
        Ok(first) => first,
        Err(error) => return Ok(Err(error.into())),
    };
    Ok(match mechanism {
        Mechanism::Plain => plain(&first).map_err(Refusal::from).and_then(for_oneself),
        Mechanism::Login => {
            let password = client.ask(b"Password:").await?;
            password.and_then(|password| login(&first, &password)).map_err(Refusal::from)
        }
        Mechanism::OAuthBearer => bearer::oauthbearer(&first).map(Proof::Bearer).map_err(Refusal::from),
        Mechanism::XOAuth2 => bearer::xoauth2(&first).map(Proof::Bearer).map_err(Refusal::from),
        Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
            let is_plus = mechanism == Mechanism::ScramSha256Plus;
            let first = match scram::client_first(&first, channel, is_plus) {
                Ok(first) if first.authzid.is_empty() || first.authzid == first.authcid => first,
                Ok(_) => return Ok(Err(Refusal::Wrong)),
                Err(error) => return Ok(Err(error.into())),
            };
            let username = first.authcid.clone();
            let offer = match keys(&username).await {
                Ok(offer) => offer,
                Err(error) => return Ok(Err(Refusal::Keys(error))),
            };
            let challenged = first.challenge(offer, nonce);
            let last = client.ask(challenged.message().as_bytes()).await?;
            match last.and_then(|last| challenged.prove(&last)) {
                Ok(Some((id, message))) => {
                    // The client checks that it is talking to who knows its password, and says so by an empty message.
                    match client.ask(message.as_bytes()).await? {
                        Ok(empty) if empty.is_empty() => Ok(Proof::Key { username, id }),
                        Ok(_) => Err(Refusal::Unproven(SaslError::Scram)),
                        Err(error) => Err(Refusal::Unproven(error)),
                    }
                }
                Ok(None) => Err(Refusal::Wrong),
                Err(error) => Err(Refusal::Unproven(error)),
            }
        }
    })
}

/// Acting for another is not offered. The same refusal as of a wrong password tells nothing of either.
fn for_oneself<Id, E>(plain: Plain) -> Result<Proof<Id>, Refusal<E>> {
    let Plain { authzid, authcid, password } = plain;
    match authzid.is_empty() || authzid == authcid {
        true => Ok(Proof::Password { username: authcid, password }),
        false => Err(Refusal::Wrong),
    }
}

/// LOGIN has a message for the name and one for the password (draft-murchison-sasl-login).
fn login<Id>(username: &[u8], password: &[u8]) -> Result<Proof<Id>, SaslError> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| SaslError::Login);
    let (username, password) = (text(username)?, text(password)?);
    match username.is_empty() || password.is_empty() {
        true => Err(SaslError::Login),
        false => Ok(Proof::Password { username, password: password.into() }),
    }
}
