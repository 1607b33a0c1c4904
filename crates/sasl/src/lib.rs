//! SASL (RFC 4422) as the mail protocols play it (RFC 4954 §4, RFC 5034 §4, RFC 9051 §6.2.2): the mechanisms, pure, and what is said in which
//! order ([`exchange`]).

pub mod bearer;
pub mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod scram;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

/// How long a line of an exchange may be, its end included: whatever the limit of a protocol's commands, as RFC 4954 §4 has it for SMTP.
pub const LINE_MAX_OCTETS: usize = 12_288;

/// A way to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// A password (RFC 4616).
    Plain,
    /// The same in two messages, for clients of old.
    Login,
    /// A proof of an app password that does not tell it (RFC 7677).
    ScramSha256,
    /// The same, bound to the connection's TLS (RFC 9266): nobody stands in between.
    ScramSha256Plus,
    /// A token (RFC 7628).
    OAuthBearer,
    /// The same, as it was before there was an RFC.
    XOAuth2,
}

impl Mechanism {
    /// All of them, the strongest first.
    const ALL: [Self; 6] = [
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::Plain,
        Self::Login,
    ];

    /// Its name in every protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// Those that there are on a connection, which can be bound to or not.
    pub fn offered(can_bind: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |mechanism| can_bind || *mechanism != Self::ScramSha256Plus)
    }

    /// The one of a name, of those that there are.
    fn named(name: &str, can_bind: bool) -> Option<Self> {
        Self::offered(can_bind).find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name))
    }
}

/// Why a SASL message cannot be used. The text goes to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The client sent `*`.
    #[error("authentication cancelled")]
    Cancelled,
    /// The line was longer than any message of the mechanism has to be.
    #[error("the response is too long")]
    TooLong,
    /// RFC 4648 §4, with its padding.
    #[error("the response is not valid base64")]
    Base64,
    /// Not three UTF-8 fields separated by NUL, or no name, or no password.
    #[error("a PLAIN message is [authzid] NUL authcid NUL passwd")]
    Plain,
    /// No name or no password, or not UTF-8.
    #[error("LOGIN takes a name and a password")]
    Login,
    /// Not as RFC 5802 §7 has it, of another exchange, or bound to another connection.
    #[error("not a message of SCRAM in this exchange")]
    Scram,
    /// Not as RFC 7628 §3.1 has it.
    #[error("not a message with a bearer token")]
    Bearer,
}

/// What PLAIN carries.
#[derive(Debug)]
struct Plain {
    /// Whom to act as; empty for oneself.
    authzid: String,
    /// Who is signing in.
    authcid: String,
    /// With which password.
    password: SecretString,
}

/// Decodes the initial response of an AUTH command; `=` stands for an empty one.
fn initial_response(text: &str) -> Result<Vec<u8>, SaslError> {
    if text == "=" { Ok(Vec::new()) } else { decode(text.as_bytes()) }
}

/// Decodes a line that answers a challenge; `*` cancels the exchange.
pub fn response(line: &[u8]) -> Result<Vec<u8>, SaslError> {
    if line == b"*" { Err(SaslError::Cancelled) } else { decode(line) }
}

fn decode(text: &[u8]) -> Result<Vec<u8>, SaslError> {
    STANDARD.decode(text).map_err(|_| SaslError::Base64)
}

/// Reads the message of the PLAIN mechanism.
fn plain(message: &[u8]) -> Result<Plain, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Plain)?;
    let fields = text.split('\0').collect::<Vec<_>>();
    match fields[..] {
        [authzid, authcid, password] if !authcid.is_empty() && !password.is_empty() => {
            Ok(Plain { authzid: authzid.into(), authcid: authcid.into(), password: password.into() })
        }
        _ => Err(SaslError::Plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    #[test]
    fn decodes_strictly() {
        assert_eq!(initial_response("="), Ok(vec![]));
        assert_eq!(initial_response("AGEAYg=="), Ok(b"\0a\0b".to_vec()));
        assert_eq!(response(b"*"), Err(SaslError::Cancelled));
        assert_eq!(response(b""), Ok(vec![]));
        for bad in ["AGEAYg", "AGEAYg=", "AGEA Yg==", "====", "AGEAYh==", "*a"] {
            assert_eq!(response(bad.as_bytes()), Err(SaslError::Base64), "{bad}");
        }
    }

    #[test]
    fn refuses_what_is_not_plain() {
        for message in ["", "a", "a\0b", "\0\0b", "\0a\0", "\0a\0b\0", "\0a\0b\0c"] {
            assert_eq!(plain(message.as_bytes()).map(|_| ()), Err(SaslError::Plain), "{message:?}");
        }
        assert_eq!(plain(b"\0\xff\0b").map(|_| ()), Err(SaslError::Plain));
    }

    proptest! {
        #[test]
        fn plain_is_inverse(authzid in "[^\0]{0,20}", authcid in "[^\0]{1,20}", password in "[^\0]{1,20}") {
            let message = format!("{authzid}\0{authcid}\0{password}");
            let decoded = response(STANDARD.encode(&message).as_bytes()).unwrap();
            let read = plain(&decoded).unwrap();
            prop_assert_eq!(format!("{}\0{}\0{}", read.authzid, read.authcid, read.password.expose_secret()), message);
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (response(&bytes), plain(&bytes));
        }
    }
}
