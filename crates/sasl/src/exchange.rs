//! What is said in an exchange, by every protocol alike: who plays it has a way to ask the client, and to look a user's keys up.

use secrecy::{ExposeSecret as _, SecretString};

use super::bearer::{self, Bearer};
use super::scram::{self, Offer};
use super::{Mechanism, Plain, SaslError, initial_response, plain};

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

/// How an exchange begins, and on which connection.
pub struct Opening {
    mechanism: Mechanism,
    /// The client's first message, where it came with the command.
    initial: Option<Result<Vec<u8>, SaslError>>,
    channel: Option<[u8; 32]>,
}

impl Opening {
    /// What a command asks for; none if there is no mechanism of that name on such a connection. `initial`: the initial response as it came,
    /// in base64, or `=` for an empty one; `channel`: what the connection's TLS exports to bind to (RFC 9266), if it does.
    pub fn new(mechanism: &str, initial: Option<&SecretString>, channel: Option<[u8; 32]>) -> Option<Self> {
        let mechanism = Mechanism::named(mechanism, channel.is_some())?;
        let initial = initial.map(|text| initial_response(text.expose_secret()));
        Some(Self { mechanism, initial, channel })
    }
}

// The first message may have a password in it.
impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
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
    /// What the client sent is no message of the mechanism's; nothing was tried.
    Broken(SaslError),
    /// The client was challenged to prove something and has not tried: it counts as a wrong proof does, or names could be tried at will.
    Unproven(SaslError),
    /// The proof was wrong, or the client wants to act for another.
    Wrong,
    /// The keys were not to be had.
    Keys(E),
}

impl<E> From<SaslError> for Refusal<E> {
    fn from(error: SaslError) -> Self {
        Self::Broken(error)
    }
}

/// Plays an exchange. `nonce`: random and printable, without a comma; `keys`: looks up what a name is proven by.
///
/// # Errors
/// When the client cannot be asked any more; inside, when nothing is proven.
pub async fn play<A: Ask, Id: Copy, E>(
    client: &mut A,
    opening: Opening,
    nonce: &str,
    keys: impl AsyncFnOnce(&str) -> Result<Offer<Id>, E>,
) -> Result<Result<Proof<Id>, Refusal<E>>, A::End> {
    let Opening { mechanism, initial, channel } = opening;
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
            let first = match scram::client_first(&first, channel.as_ref().map(<[u8; 32]>::as_slice), is_plus)
            {
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use futures::FutureExt as _;

    use super::*;

    /// A client that says what it is given, and then hangs up.
    struct Client {
        says: VecDeque<Result<Vec<u8>, SaslError>>,
        /// What it was asked.
        asked: Vec<String>,
    }

    impl Ask for Client {
        type End = &'static str;

        async fn ask(&mut self, challenge: &[u8]) -> Result<Result<Vec<u8>, SaslError>, Self::End> {
            self.asked.push(String::from_utf8(challenge.to_vec()).unwrap());
            self.says.pop_front().ok_or("hung up")
        }
    }

    /// Plays with a client whose messages are `says`, the first with the command if `at_once`; nobody has keys. What came of it, and what
    /// was asked.
    fn played(mechanism: &str, at_once: bool, says: &[Result<&str, SaslError>]) -> (String, Vec<String>) {
        let mut says: VecDeque<_> =
            says.iter().map(|said| said.map(|text| text.as_bytes().to_vec())).collect();
        let initial =
            at_once.then(|| says.pop_front().unwrap().unwrap()).map(|text| STANDARD.encode(text).into());
        let opening = Opening::new(mechanism, initial.as_ref(), None).unwrap();
        let mut client = Client { says, asked: Vec::new() };
        let keys = async |name: &str| match name {
            "broken" => Err("no keys"),
            _ => Ok(Offer::<u8> { salt: vec![0], iterations: 4096, keys: Vec::new() }),
        };
        let came = play(&mut client, opening, "nonce", keys).now_or_never().unwrap();
        let came = match came {
            Ok(Ok(Proof::Password { username, password })) => {
                format!("{username} {}", password.expose_secret())
            }
            Ok(Ok(Proof::Bearer(bearer))) => {
                format!("{:?} {}", bearer.username, bearer.token.expose_secret())
            }
            Ok(Ok(Proof::Key { .. })) => "a key".to_owned(),
            Ok(Err(refusal)) => format!("{refusal:?}"),
            Err(end) => end.to_owned(),
        };
        (came, client.asked)
    }

    #[test]
    fn the_first_message_comes_with_the_command_or_is_asked_for() {
        for (mechanism, says, proof, asked) in [
            ("plain", &["\0ada\0secret"][..], "ada secret", &[""][..]),
            ("PLAIN", &["ada\0ada\0secret"], "ada secret", &[""]),
            ("LOGIN", &["ada", "secret"], "ada secret", &["Username:", "Password:"]),
            ("XOAUTH2", &["user=ada\x01auth=Bearer t\x01\x01"], "Some(\"ada\") t", &[""]),
            ("OAUTHBEARER", &["n,,\x01auth=Bearer t\x01\x01"], "None t", &[""]),
        ] {
            let says: Vec<_> = says.iter().copied().map(Ok).collect();
            for (at_once, asked) in [(false, asked), (true, &asked[1..])] {
                let (came, were_asked) = played(mechanism, at_once, &says);
                assert_eq!(came, proof, "{mechanism}");
                assert_eq!(were_asked, asked, "{mechanism}");
            }
        }
        for no_such in ["", "CRAM-MD5", "SCRAM-SHA-256-PLUS"] {
            assert!(Opening::new(no_such, None, None).is_none(), "{no_such}");
        }
        assert!(Opening::new("scram-sha-256-plus", None, Some([1; 32])).is_some());
    }

    #[test]
    fn what_is_broken_is_told_from_what_is_unproven_and_what_is_wrong() {
        let first = Ok("n,,n=ada,r=abc");
        let proof = format!("c=biws,r=abcnonce,p={}", STANDARD.encode([0; 32]));
        let cancelled = Err(SaslError::Cancelled);
        for (mechanism, says, came) in [
            ("PLAIN", &[cancelled][..], "Broken(Cancelled)"),
            ("PLAIN", &[Ok("ada")], "Broken(Plain)"),
            ("PLAIN", &[Ok("bob\0ada\0secret")], "Wrong"),
            ("PLAIN", &[], "hung up"),
            ("LOGIN", &[Ok("ada"), cancelled], "Broken(Cancelled)"),
            ("LOGIN", &[Ok("ada"), Ok("")], "Broken(Login)"),
            ("LOGIN", &[Ok("ada")], "hung up"),
            ("XOAUTH2", &[Ok("ada")], "Broken(Bearer)"),
            ("SCRAM-SHA-256", &[Ok("ada")], "Broken(Scram)"),
            ("SCRAM-SHA-256", &[cancelled], "Broken(Cancelled)"),
            ("SCRAM-SHA-256", &[Ok("n,a=bob,n=ada,r=abc"), Ok("")], "Wrong"),
            ("SCRAM-SHA-256", &[Ok("n,,n=broken,r=abc")], "Keys(\"no keys\")"),
            ("SCRAM-SHA-256", &[first], "hung up"),
            ("SCRAM-SHA-256", &[first, cancelled], "Unproven(Cancelled)"),
            ("SCRAM-SHA-256", &[first, Ok("")], "Unproven(Scram)"),
            ("SCRAM-SHA-256", &[first, Ok(&proof)], "Wrong"),
        ] {
            assert_eq!(played(mechanism, false, says).0, came, "{mechanism} {says:?}");
        }
    }

    #[test]
    fn what_an_exchange_begins_with_is_not_written_into_logs() {
        let initial = STANDARD.encode("\0ada\0secret").into();
        let opening = Opening::new("PLAIN", Some(&initial), None).unwrap();
        assert_eq!(format!("{opening:?}"), "Opening { mechanism: Plain, .. }");
    }
}
