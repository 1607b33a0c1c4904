//! OAUTHBEARER (RFC 7628) and XOAUTH2, as Google has written it down. Pure.

use secrecy::SecretString;

use super::SaslError;

/// A token, and whose the client says it is.
#[derive(Debug)]
pub struct Bearer {
    /// Whom to act as, if that is said.
    pub username: Option<String>,
    /// The token.
    pub token: SecretString,
}

/// What the client is told of a token that is not taken (RFC 7628 §3.2.2); it answers with anything, and is refused then.
pub const FAILURE: &[u8] = br#"{"status":"invalid_token"}"#;

/// Reads OAUTHBEARER's message (RFC 7628 §3.1): a header as SCRAM has it, and fields between bytes 1.
pub(crate) fn oauthbearer(message: &[u8]) -> Result<Bearer, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Bearer)?;
    let (header, fields) = text.split_once('\u{1}').ok_or(SaslError::Bearer)?;
    let mut header = header.splitn(3, ',');
    // There is no channel binding in it.
    let is_unbound = matches!(header.next(), Some("n" | "y"));
    let username = match header.next() {
        Some("") => None,
        Some(authzid) => Some(authzid.strip_prefix("a=").ok_or(SaslError::Bearer)?),
        None => return Err(SaslError::Bearer),
    };
    if !is_unbound || header.next() != Some("") {
        return Err(SaslError::Bearer);
    }
    let username = username.map(|name| name.replace("=2C", ",").replace("=3D", "="));
    Ok(Bearer { username, token: token(fields)? })
}

/// Reads XOAUTH2's message: `user=` and `auth=`, each with a byte 1 behind it, and another one at the end.
pub(crate) fn xoauth2(message: &[u8]) -> Result<Bearer, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Bearer)?;
    let (user, fields) = text.split_once('\u{1}').ok_or(SaslError::Bearer)?;
    let username = user.strip_prefix("user=").filter(|name| !name.is_empty()).ok_or(SaslError::Bearer)?;
    Ok(Bearer { username: Some(username.to_owned()), token: token(fields)? })
}

/// The token in fields that end in bytes 1.
fn token(fields: &str) -> Result<SecretString, SaslError> {
    let fields = fields.strip_suffix("\u{1}\u{1}").ok_or(SaslError::Bearer)?;
    let auth =
        fields.split('\u{1}').find_map(|field| field.strip_prefix("auth=")).ok_or(SaslError::Bearer)?;
    let (scheme, token) = auth.split_once(' ').ok_or(SaslError::Bearer)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() {
        return Err(SaslError::Bearer);
    }
    Ok(token.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[track_caller]
    fn reads(read: Result<Bearer, SaslError>, username: Option<&str>) {
        let bearer = read.unwrap();
        assert_eq!(
            (bearer.username.as_deref(), bearer.token.expose_secret()),
            (username, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
        );
    }

    #[test]
    fn the_examples() {
        // RFC 7628 §4.1.
        reads(oauthbearer(b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"), Some("user@example.com"));
        reads(oauthbearer(b"n,,\x01auth=bearer  vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"), None);
        reads(
            xoauth2(
                b"user=ada@example.com\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
            ),
            Some("ada@example.com"),
        );
    }

    #[test]
    fn strangers_are_refused() {
        for message in [
            "",
            "n,,",
            "n,,\x01\x01",
            "n,,\x01auth=Basic x\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "p=x,,\x01auth=Bearer x\x01\x01",
            "n,x,\x01auth=Bearer x\x01\x01",
            "n,,\x01auth=Bearer x\x01",
        ] {
            assert!(oauthbearer(message.as_bytes()).is_err(), "{message:?}");
        }
        for message in ["", "user=\x01auth=Bearer x\x01\x01", "auth=Bearer x\x01\x01", "user=a\x01\x01"] {
            assert!(xoauth2(message.as_bytes()).is_err(), "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (oauthbearer(&bytes), xoauth2(&bytes));
        }
    }
}
