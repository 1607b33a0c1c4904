//! The signature scheme `v1`: HMAC-SHA256 over `{id}.{timestamp}.{body}`, base64 after a version mark.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::Secret;

const VERSION: &str = "v1";

/// How far a message's timestamp may be from the receiver's clock, either way.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The value of `webhook-signature`: one `v1,<base64>` for each secret, separated by spaces. While a secret is being
/// replaced, both sign, so that the receiver may change over when it likes.
///
/// `id` must be free of `.`, which separates the parts of what is signed.
pub fn sign(secrets: &[Secret], id: &str, timestamp: DateTime<Utc>, body: &[u8]) -> String {
    let one = |secret| format!("{VERSION},{}", STANDARD.encode(mac(secret, id, timestamp.timestamp(), body)));
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A message as a receiver has it: the three headers as they are, and the body's bytes, unparsed.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// Why a message is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is no number of seconds.
    #[error("the timestamp is not a number of seconds")]
    Timestamp,
    /// The timestamp is further than [`TOLERANCE`] from now: a replay, or a clock that is wrong.
    #[error("the timestamp is too far from now")]
    Stale,
    /// No signature is by any of the secrets.
    #[error("no signature matches")]
    Signature,
}

/// Checks that a message was signed by one of `secrets` and not long ago. What a receiver does; here for our tests and
/// as the reference for users who write their own.
pub fn verify(secrets: &[Secret], message: &Received<'_>, now: DateTime<Utc>) -> Result<(), VerifyError> {
    let seconds: i64 = message.timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
    let timestamp = DateTime::from_timestamp(seconds, 0).ok_or(VerifyError::Timestamp)?;
    if (now - timestamp).abs() > TOLERANCE {
        return Err(VerifyError::Stale);
    }
    let expected: Vec<_> =
        secrets.iter().map(|secret| mac(secret, message.id, seconds, message.body)).collect();
    let mut matches = Choice::from(0);
    // Other versions, such as v1a, may stand beside ours: they are passed over, not refused.
    for encoded in message.signature.split(' ').filter_map(|part| part.strip_prefix("v1,")) {
        let Ok(given) = STANDARD.decode(encoded) else { continue };
        for expected in &expected {
            matches |= given.ct_eq(expected);
        }
    }
    if matches.into() { Ok(()) } else { Err(VerifyError::Signature) }
}

fn mac(secret: &Secret, id: &str, seconds: i64, body: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.key()).expect("a key of any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use kernel::Env;
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn secret() -> Secret {
        Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn received(signature: &str) -> Received<'_> {
        Received { id: ID, timestamp: "1614265330", signature, body: BODY }
    }

    /// The vector of the reference libraries (`libraries/*/`, "sign function works").
    const VECTOR: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn signs_as_the_reference_libraries_do() {
        assert_eq!(sign(&[secret()], ID, at(1_614_265_330), BODY), VECTOR);
        assert_eq!(verify(&[secret()], &received(VECTOR), at(1_614_265_330)), Ok(()));

        // The vector of the library for Rust, whose key and signature hold `+` and `/`.
        let other = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(
            sign(&[other], "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", at(1_649_367_553), body),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn both_secrets_of_a_rotation_sign() {
        let (old, new) = (secret(), Secret::generate(&Env::system()));
        let signature = sign(&[new.clone(), old.clone()], ID, at(1_614_265_330), BODY);
        assert_eq!(signature.split(' ').nth(1), Some(VECTOR));
        for known in [old, new] {
            assert_eq!(verify(&[known], &received(&signature), at(1_614_265_330)), Ok(()));
        }
        let stranger = Secret::generate(&Env::system());
        assert_eq!(
            verify(&[stranger], &received(&signature), at(1_614_265_330)),
            Err(VerifyError::Signature)
        );
    }

    #[test]
    fn an_old_or_early_message_is_refused() {
        for (now, expected) in [
            (1_614_265_330 + 300, Ok(())),
            (1_614_265_330 + 301, Err(VerifyError::Stale)),
            (1_614_265_330 - 300, Ok(())),
            (1_614_265_330 - 301, Err(VerifyError::Stale)),
        ] {
            assert_eq!(verify(&[secret()], &received(VECTOR), at(now)), expected, "{now}");
        }
        for timestamp in ["", "soon", "1614265330.0", "9223372036854775807", "99999999999999999999"] {
            let message = Received { timestamp, ..received(VECTOR) };
            assert_eq!(verify(&[secret()], &message, at(1_614_265_330)), Err(VerifyError::Timestamp));
        }
    }

    #[test]
    fn other_versions_are_passed_over() {
        let now = at(1_614_265_330);
        let beside = format!("v1a,{} v2,AAAA nonsense {VECTOR}", &VECTOR[3..]);
        assert_eq!(verify(&[secret()], &received(&beside), now), Ok(()));
        for signature in ["", "v1,", "v1", VECTOR.strip_prefix("v1,").unwrap(), &VECTOR.replace("v1", "v1a")]
        {
            let found = verify(&[secret()], &received(signature), now);
            assert_eq!(found, Err(VerifyError::Signature), "{signature}");
        }
        assert_eq!(verify(&[], &received(VECTOR), now), Err(VerifyError::Signature));
    }

    proptest! {
        #[test]
        fn a_change_of_any_part_is_found(id in "[a-z0-9_]{1,40}", body: Vec<u8>, seconds in 0_i64..4_000_000_000,
                                         flip in any::<prop::sample::Index>()) {
            let signature = sign(&[secret()], &id, at(seconds), &body);
            let timestamp = seconds.to_string();
            let message = Received { id: &id, timestamp: &timestamp, signature: &signature, body: &body };
            prop_assert_eq!(verify(&[secret()], &message, at(seconds)), Ok(()));

            let other_id = format!("{id}x");
            let later = (seconds + 1).to_string();
            let mut other_body = body.clone();
            if body.is_empty() { other_body.push(0) } else { other_body[flip.index(body.len())] ^= 1 }
            for changed in [
                Received { id: &other_id, ..message },
                Received { timestamp: &later, ..message },
                Received { body: &other_body, ..message },
            ] {
                prop_assert_eq!(verify(&[secret()], &changed, at(seconds)), Err(VerifyError::Signature));
            }
        }
    }
}
