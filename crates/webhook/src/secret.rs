//! An endpoint's signing secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::Env;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

const PREFIX: &str = "whsec_";

/// What [`Secret::generate`] makes; Standard Webhooks allows 24 to 64.
const GENERATED_BYTES: usize = 32;
const MIN_BYTES: usize = 24;
const MAX_BYTES: usize = 64;

/// A symmetric signing secret. As text it is `whsec_` and the base64 of 24 to 64 bytes; `Debug` hides it.
#[derive(Debug, Clone)]
pub struct Secret(SecretSlice<u8>);

/// Why a text is no secret. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text does not begin with `whsec_`.
    #[error("a signing secret begins with whsec_")]
    Prefix,
    /// What follows is not base64 of the standard alphabet, padded.
    #[error("a signing secret is base64 after its prefix")]
    Base64,
    /// The key is too short or too long.
    #[error("a signing secret has 24 to 64 bytes")]
    Length,
}

impl Secret {
    /// A new secret of 32 random bytes.
    pub fn generate(env: &Env) -> Self {
        Self(SecretSlice::from(env.random::<GENERATED_BYTES>().to_vec()))
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        // Decoded only if it can be a key, so that a long text costs nothing.
        if encoded.len() > MAX_BYTES.div_ceil(3) * 4 {
            return Err(SecretError::Length);
        }
        let key = SecretSlice::from(STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?);
        if !(MIN_BYTES..=MAX_BYTES).contains(&key.expose_secret().len()) {
            return Err(SecretError::Length);
        }
        Ok(Self(key))
    }

    /// The text form, to be stored, and to be shown to the endpoint's owner.
    pub fn expose(&self) -> SecretString {
        SecretString::from(format!("{PREFIX}{}", STANDARD.encode(self.key())))
    }

    /// The key itself.
    pub(crate) fn key(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_secret_survives_its_text_form() {
        let secret = Secret::generate(&Env::system());
        let text = secret.expose();
        assert_eq!(text.expose_secret().len(), PREFIX.len() + 44);
        assert_eq!(Secret::parse(text.expose_secret()).unwrap().key(), secret.key());
        assert_ne!(Secret::generate(&Env::system()).key(), secret.key());
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let shown = format!("{secret:?} {:?}", secret.expose());
        assert!(!shown.contains("MfKQ") && !shown.contains("49, 242"), "{shown}");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        assert_eq!(Secret::parse(&of(23)).unwrap_err(), SecretError::Length);
        assert!(Secret::parse(&of(24)).is_ok());
        assert!(Secret::parse(&of(64)).is_ok());
        assert_eq!(Secret::parse(&of(65)).unwrap_err(), SecretError::Length);
        assert_eq!(Secret::parse(&of(6_000)).unwrap_err(), SecretError::Length);
        assert_eq!(Secret::parse(&of(32)[6..]).unwrap_err(), SecretError::Prefix);
        assert_eq!(Secret::parse("whsec_-_-_").unwrap_err(), SecretError::Base64);
        assert_eq!(Secret::parse("").unwrap_err(), SecretError::Prefix);
    }

    proptest! {
        #[test]
        fn any_text_is_a_secret_or_an_error(text in "(whsec_)?.{0,100}") {
            if let Ok(secret) = Secret::parse(&text) {
                let again = secret.expose();
                prop_assert_eq!(again.expose_secret(), text);
            }
        }

        #[test]
        fn any_key_survives_its_text_form(key in proptest::collection::vec(any::<u8>(), 24..=64)) {
            let secret = Secret(SecretSlice::from(key.clone()));
            let again = Secret::parse(secret.expose().expose_secret()).unwrap();
            prop_assert_eq!(again.key(), key);
        }
    }
}
