//! Whether an event is the provider's: `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>…]`, where a `v1` is HMAC-SHA256
//! over `{t}.{body}` by the endpoint's secret, whole as it is shown, `whsec_` and all.

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

/// How far an event's time may be from ours, either way.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Why an event is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The header has no time, or two.
    #[error("the signature header has no timestamp")]
    Timestamp,
    /// Further than [`TOLERANCE`] from now: a replay, or a clock that is wrong.
    #[error("the timestamp is too far from now")]
    Stale,
    /// No signature is by the secret.
    #[error("no signature matches")]
    Signature,
}

/// Checks that a body was signed by `secret` and not long ago.
///
/// # Errors
/// Why it is not to be trusted.
pub fn verify(
    secret: &SecretString,
    header: &str,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), VerifyError> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let mut times = parts().filter(|(name, _)| *name == "t").map(|(_, value)| value);
    let (Some(seconds), None) = (times.next(), times.next()) else { return Err(VerifyError::Timestamp) };
    let at = seconds.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    if (now - at.ok_or(VerifyError::Timestamp)?).abs() > TOLERANCE {
        return Err(VerifyError::Stale);
    }
    let expected = mac(secret, seconds, body);
    let mut matches = Choice::from(0);
    // Other schemes, such as v0 of test mode, are passed over: they prove nothing.
    for (_, given) in parts().filter(|(name, _)| *name == "v1") {
        matches |= given.as_bytes().ct_eq(expected.as_bytes());
    }
    // An empty secret is nobody's.
    if !secret.expose_secret().is_empty() && matches.into() { Ok(()) } else { Err(VerifyError::Signature) }
}

/// The header's value as the provider makes it; for servers that play one.
pub fn sign(secret: &SecretString, at: DateTime<Utc>, body: &[u8]) -> String {
    let seconds = at.timestamp().to_string();
    format!("t={seconds},v1={}", mac(secret, &seconds, body))
}

fn mac(secret: &SecretString, seconds: &str, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("a key of any length");
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    kernel::hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret() -> SecretString {
        SecretString::from("whsec_test_secret")
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn signs_as_the_scheme_says() {
        // Computed apart: printf '1492774577.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test_secret
        let header = sign(&secret(), at(1_492_774_577), br#"{"id":"evt_1"}"#);
        assert_eq!(
            header,
            "t=1492774577,v1=799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f"
        );
        assert_eq!(verify(&secret(), &header, br#"{"id":"evt_1"}"#, at(1_492_774_577)), Ok(()));
    }

    #[test]
    fn any_of_several_signatures_will_do_and_other_schemes_will_not() {
        let now = at(1_700_000_000);
        let header = sign(&secret(), now, b"{}");
        let (time, good) = header.split_once(",v1=").unwrap();
        let other = sign(&SecretString::from("whsec_other"), now, b"{}");
        let other = other.split_once(",v1=").unwrap().1;
        let check = |header: &str| verify(&secret(), header, b"{}", now);
        assert_eq!(check(&format!("{time},v1={other},v1={good}")), Ok(()));
        assert_eq!(check(&format!("{time}, v0={other}, v1={good}")), Ok(()));
        assert_eq!(check(&format!("{time},v1={other}")), Err(VerifyError::Signature));
        assert_eq!(check(&format!("{time},v0={good}")), Err(VerifyError::Signature));
        assert_eq!(check(time), Err(VerifyError::Signature));
        assert_eq!(check(&format!("v1={good}")), Err(VerifyError::Timestamp));
        assert_eq!(check(&format!("{time},{time},v1={good}")), Err(VerifyError::Timestamp));
        assert_eq!(check(""), Err(VerifyError::Timestamp));
        let nobodys = SecretString::from("");
        assert_eq!(verify(&nobodys, &sign(&nobodys, now, b"{}"), b"{}", now), Err(VerifyError::Signature));
    }

    #[test]
    fn an_old_or_early_event_is_refused() {
        let header = sign(&secret(), at(1_700_000_000), b"{}");
        for (seconds, expected) in
            [(300, Ok(())), (301, Err(VerifyError::Stale)), (-300, Ok(())), (-301, Err(VerifyError::Stale))]
        {
            assert_eq!(verify(&secret(), &header, b"{}", at(1_700_000_000 + seconds)), expected);
        }
        let huge = format!("t={},v1=00", i64::MAX);
        assert_eq!(verify(&secret(), &huge, b"{}", at(0)), Err(VerifyError::Timestamp));
    }

    proptest! {
        #[test]
        fn a_change_of_the_body_is_found(mut body in prop::collection::vec(any::<u8>(), 1..100), flip in any::<prop::sample::Index>()) {
            let header = sign(&secret(), at(1_700_000_000), &body);
            let place = flip.index(body.len());
            body[place] ^= 1;
            prop_assert_eq!(verify(&secret(), &header, &body, at(1_700_000_000)), Err(VerifyError::Signature));
        }

        #[test]
        fn any_header_is_judged(header in ".{0,200}") {
            let judged = verify(&secret(), &header, b"{}", at(1_700_000_000));
            prop_assert!(judged.is_err());
        }
    }
}
