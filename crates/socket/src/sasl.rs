//! The client's side of a SASL exchange (RFC 4954 §4, RFC 5034 §4, RFC 9051 §6.2.2), and the PLAIN mechanism (RFC 4616). Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

/// The mechanisms on offer, as a protocol lists them.
pub const MECHANISMS: &[&str] = &["PLAIN"];

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
}

/// What PLAIN carries.
#[derive(Debug)]
pub struct Plain {
    /// Whom to act as; empty for oneself.
    pub authzid: String,
    /// Who is signing in.
    pub authcid: String,
    /// With which password.
    pub password: SecretString,
}

/// Decodes the initial response of an AUTH command; `=` stands for an empty one.
pub fn initial_response(text: &str) -> Result<Vec<u8>, SaslError> {
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
pub fn plain(message: &[u8]) -> Result<Plain, SaslError> {
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
