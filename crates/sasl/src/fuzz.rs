//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use secrecy::{ExposeSecret as _, SecretString};

use crate::exchange::{Ask, Opening, Proof, play};
use crate::scram::Offer;
use crate::{Mechanism, SaslError, plain, response};

/// The message of PLAIN: what is read is what was sent, whole.
pub fn message(bytes: &[u8]) {
    if let Ok(read) = plain(bytes) {
        let password = read.password.expose_secret();
        assert_eq!([&read.authzid, &read.authcid, password].map(String::from).join("\0").as_bytes(), bytes);
        assert!(!read.authcid.is_empty() && !password.is_empty());
    }
}

/// A whole exchange. The first line is a mechanism and maybe an initial response, the others are what the client answers. Nothing
/// but the keys proves a key, and no more is asked than a mechanism has messages.
pub fn exchange(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (mechanism, initial) = first.split_once(' ').map_or((first.as_str(), None), |(a, b)| (a, Some(b)));
    let initial = initial.map(SecretString::from);
    for channel in [None, Some([7; 32])] {
        let Some(opening) = Opening::new(mechanism, initial.as_ref(), channel) else { continue };
        let mut client = Client { lines: lines.clone().collect(), asked: 0 };
        let offer = Offer { salt: vec![1; 16], iterations: 4096, keys: vec![(1, [3; 64]), (2, [4; 64])] };
        let keys = async |name: &str| {
            assert!(!name.is_empty());
            Ok::<_, Infallible>(offer)
        };
        let played = pin!(play(&mut client, opening, "nonce", keys));
        let Poll::Ready(played) = played.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it waits for something else than its client")
        };
        match played {
            Ok(Ok(Proof::Password { username, password })) => {
                assert!(!username.is_empty() && !password.expose_secret().is_empty());
            }
            Ok(Ok(Proof::Bearer(bearer))) => {
                let token = bearer.token.expose_secret();
                assert!(!token.is_empty() && token.trim() == token && !token.contains('\u{1}'));
            }
            Ok(Ok(Proof::Key { .. })) => panic!("a key was proven by who does not have it"),
            Ok(Err(refusal)) => assert!(!format!("{refusal:?}").is_empty()),
            Err(End) => {}
        }
    }
    assert!(Mechanism::offered(false).all(|mechanism| mechanism != Mechanism::ScramSha256Plus));
}

/// A client that answers with the lines it has.
struct Client<'a> {
    lines: Vec<&'a [u8]>,
    asked: usize,
}

/// It has none left.
struct End;

impl Ask for Client<'_> {
    type End = End;

    async fn ask(&mut self, challenge: &[u8]) -> Result<Result<Vec<u8>, SaslError>, End> {
        assert!(self.asked < 3 && challenge.is_ascii() && !challenge.contains(&0));
        let line = self.lines.get(self.asked).ok_or(End)?;
        self.asked += 1;
        // Base64 of anything is a search for nothing: a line that is none is the message itself.
        Ok(match response(line) {
            Err(SaslError::Base64) => Ok(line.to_vec()),
            read => read,
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("sasl_message", super::message);
        crate::seeds::play("sasl_exchange", super::exchange);
    }
}
