//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802, RFC 7677, RFC 9266). Pure.
//!
//! Which of several passwords somebody has shows only by the proof: all of them are under one salt, and the proof is held against each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::SaslError;

/// How long a nonce or a name may be.
const MAX_BYTES: usize = 512;

/// `StoredKey` and `ServerKey`, one behind the other (RFC 5802 §3): what a password is proven by, without it.
pub type Keys = [u8; 64];

/// What the keys of a user were made with, and they themselves.
pub struct Offer<Id> {
    /// The salt of all of them.
    pub salt: Vec<u8>,
    /// How often it was hashed.
    pub iterations: u32,
    /// Of each of the user's passwords; none for who has none, or is not there.
    pub keys: Vec<(Id, Keys)>,
}

impl<Id> std::fmt::Debug for Offer<Id> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// The client's first message (RFC 5802 §7).
#[derive(Debug)]
pub(crate) struct ClientFirst {
    /// Whom to act as; empty for oneself.
    pub(crate) authzid: String,
    /// Who is signing in.
    pub(crate) authcid: String,
    nonce: String,
    bare: String,
    /// What `c=` is to be in the end: the header, and what binds to the channel.
    binding: Vec<u8>,
}

/// Reads the first message. `channel`: what the connection's TLS exports (RFC 9266), if it does; `is_plus`: whether the mechanism binds to it.
pub(crate) fn client_first(
    message: &[u8],
    channel: Option<&[u8]>,
    is_plus: bool,
) -> Result<ClientFirst, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Scram)?;
    let mut parts = text.splitn(3, ',');
    let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(SaslError::Scram);
    };
    let bound = match (flag, is_plus, channel) {
        ("p=tls-exporter", true, Some(channel)) => channel,
        // It could bind and takes us to be unable to, although we have offered it: somebody is in between (RFC 5802 §6).
        ("y", false, None) | ("n", false, _) => &[],
        _ => return Err(SaslError::Scram),
    };
    let authzid = match authzid.strip_prefix("a=") {
        Some(name) => unescaped(name)?,
        None if authzid.is_empty() => String::new(),
        None => return Err(SaslError::Scram),
    };
    let header = &text[..text.len() - bare.len()];
    let mut attributes = bare.split(',');
    let authcid = unescaped(value(attributes.next(), "n=")?)?;
    let nonce = value(attributes.next(), "r=")?;
    let is_printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
    if authcid.is_empty() || nonce.is_empty() || nonce.len() > MAX_BYTES || !is_printable {
        return Err(SaslError::Scram);
    }
    let binding = [header.as_bytes(), bound].concat();
    Ok(ClientFirst { authzid, authcid, nonce: nonce.to_owned(), bare: bare.to_owned(), binding })
}

/// An exchange after the server's first message.
#[derive(Debug)]
pub(crate) struct Challenged<Id> {
    first: ClientFirst,
    offer: Offer<Id>,
    nonce: String,
    message: String,
}

impl ClientFirst {
    /// Challenges the client; `nonce`: random and printable, without a comma.
    pub(crate) fn challenge<Id>(self, offer: Offer<Id>, nonce: &str) -> Challenged<Id> {
        let nonce = format!("{}{nonce}", self.nonce);
        let message = format!("r={nonce},s={},i={}", STANDARD.encode(&offer.salt), offer.iterations);
        Challenged { first: self, offer, nonce, message }
    }
}

impl<Id: Copy> Challenged<Id> {
    /// The server's first message.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Checks the client's final message: whose keys it proves, if any, and the server's final message for it.
    ///
    /// # Errors
    /// When it is no such message, or of another exchange, or bound to another channel.
    pub(crate) fn prove(&self, message: &[u8]) -> Result<Option<(Id, String)>, SaslError> {
        let text = std::str::from_utf8(message).map_err(|_| SaslError::Scram)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(SaslError::Scram)?;
        let mut attributes = without_proof.split(',');
        let binding = decoded(value(attributes.next(), "c=")?)?;
        let is_this = value(attributes.next(), "r=")? == self.nonce;
        if !is_this || binding != self.first.binding {
            return Err(SaslError::Scram);
        }
        let proof: [u8; 32] = decoded(proof)?.try_into().map_err(|_| SaslError::Scram)?;
        let signed = format!("{},{},{without_proof}", self.first.bare, self.message);
        // One that nothing proves, so that who has none is not told by there being nothing to check.
        let nobodys = (None, &[0; 64]);
        let mut found = None;
        for (id, keys) in self.offer.keys.iter().map(|(id, keys)| (Some(*id), keys)).chain([nobodys]) {
            let (stored, server) = keys.split_at(32);
            let signature = hmac(stored, signed.as_bytes());
            let mut client_key = proof;
            client_key.iter_mut().zip(signature).for_each(|(byte, other)| *byte ^= other);
            let is_it: bool = Sha256::digest(client_key).as_slice().ct_eq(stored).into();
            if let (true, Some(id)) = (is_it, id) {
                found = Some((id, format!("v={}", STANDARD.encode(hmac(server, signed.as_bytes())))));
            }
        }
        Ok(found)
    }
}

fn value<'a>(attribute: Option<&'a str>, name: &str) -> Result<&'a str, SaslError> {
    attribute.and_then(|attribute| attribute.strip_prefix(name)).ok_or(SaslError::Scram)
}

fn decoded(text: &str) -> Result<Vec<u8>, SaslError> {
    STANDARD.decode(text).map_err(|_| SaslError::Scram)
}

/// A `saslname` (RFC 5802 §5.1): `=2C` is a comma, `=3D` an equals sign, and no other `=` stands in it.
fn unescaped(name: &str) -> Result<String, SaslError> {
    let plain = name.replace("=2C", ",").replace("=3D", "=");
    let escapes = name.matches("=2C").count() + name.matches("=3D").count();
    let is_it = name.matches('=').count() == escapes && name.len() <= MAX_BYTES && !name.contains('\0');
    if is_it { Ok(plain) } else { Err(SaslError::Scram) }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The keys of RFC 7677 §3's password under its salt.
    fn pencil() -> Keys {
        keys("pencil", &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096)
    }

    fn keys(password: &str, salt: &[u8], iterations: u32) -> Keys {
        // PBKDF2 with one block (RFC 5802 §2.2, `Hi`).
        let mut last = hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat());
        let mut salted = last;
        for _ in 1..iterations {
            last = hmac(password.as_bytes(), &last);
            salted.iter_mut().zip(last).for_each(|(byte, other)| *byte ^= other);
        }
        let client_key = hmac(&salted, b"Client Key");
        [<[u8; 32]>::from(Sha256::digest(client_key)), hmac(&salted, b"Server Key")]
            .concat()
            .try_into()
            .unwrap()
    }

    fn offer(keys: &[Keys]) -> Offer<usize> {
        let keys = keys.iter().copied().enumerate().collect();
        Offer { salt: STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), iterations: 4096, keys }
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let first = client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", None, false).unwrap();
        assert_eq!((first.authcid.as_str(), first.authzid.as_str()), ("user", ""));
        let other = [7; 64];
        let challenged = first.challenge(offer(&[other, pencil()]), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        assert_eq!(
            challenged.message(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let proven = challenged.prove(last).unwrap();
        assert_eq!(proven, Some((1, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned())));
        // Another password, another exchange, another channel.
        let first = client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", None, false).unwrap();
        let nobody = first.challenge(offer(&[other]), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        assert_eq!(nobody.prove(last), Ok(None));
        let first = client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", None, false).unwrap();
        assert_eq!(first.challenge(offer(&[pencil()]), "x").prove(last), Err(SaslError::Scram));
        let bound = String::from_utf8(last.to_vec()).unwrap().replace("c=biws", "c=eSws");
        assert_eq!(challenged.prove(bound.as_bytes()), Err(SaslError::Scram));
    }

    #[test]
    fn a_channel_is_bound_to_where_there_is_one() {
        let channel: &[u8] = &[9; 32];
        let first = |gs2: &str, channel, is_plus| {
            client_first(format!("{gs2}n=u,r=abc").as_bytes(), channel, is_plus).map(|first| first.binding)
        };
        assert_eq!(
            first("p=tls-exporter,,", Some(channel), true),
            Ok([b"p=tls-exporter,,", channel].concat())
        );
        assert_eq!(first("y,,", None, false), Ok(b"y,,".to_vec()));
        assert_eq!(first("n,,", Some(channel), false), Ok(b"n,,".to_vec()));
        for (gs2, channel, is_plus) in [
            // Somebody has taken the mechanism out of the list.
            ("y,,", Some(channel), false),
            ("n,,", Some(channel), true),
            ("p=tls-unique,,", Some(channel), true),
            ("p=tls-exporter,,", None, true),
            ("p=tls-exporter,,", Some(channel), false),
        ] {
            assert_eq!(first(gs2, channel, is_plus), Err(SaslError::Scram), "{gs2}");
        }
    }

    #[test]
    fn names_are_escaped_and_strangers_refused() {
        let first = |text: &str| {
            client_first(text.as_bytes(), None, false).map(|first| (first.authzid, first.authcid))
        };
        assert_eq!(first("n,a=x=2Cy,n=a=3Db,r=1"), Ok(("x,y".to_owned(), "a=b".to_owned())));
        for text in [
            "",
            "n",
            "n,,",
            "n,,n=u",
            "n,,r=1,n=u",
            "n,,n=,r=1",
            "n,,n=u,r=",
            "n,x,n=u,r=1",
            "n,,n=a=b,r=1",
            "n,,m=x,n=u,r=1",
            "q,,n=u,r=1",
            "n,,n=u,r=\u{e9}",
        ] {
            assert_eq!(first(text), Err(SaslError::Scram), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(one in prop::collection::vec(any::<u8>(), 0..60), other in "[cnrp=,a-z]{0,40}") {
            let _ = client_first(&one, None, false);
            if let Ok(first) = client_first(b"n,,n=u,r=1", None, false) {
                let challenged = first.challenge(offer(&[pencil()]), "2");
                let _ = challenged.prove(&one);
                prop_assert!(!matches!(challenged.prove(other.as_bytes()), Ok(Some(_))));
            }
        }
    }
}
