//! The client's side of SCRAM-SHA-256 (RFC 7677), bound to the connection or not.

use std::num::NonZeroU32;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// An exchange that has begun.
#[derive(Debug)]
pub struct Scram {
    password: String,
    header: String,
    bound: Vec<u8>,
    bare: String,
    server_key: Vec<u8>,
    signed: String,
}

impl Scram {
    /// Begins to sign somebody in, bound to what TLS exports if that is given.
    pub fn new(username: &str, password: &str, channel: Option<[u8; 32]>) -> Self {
        let header = if channel.is_some() { "p=tls-exporter,," } else { "n,," };
        Self {
            password: password.to_owned(),
            header: header.to_owned(),
            bound: channel.map_or_else(Vec::new, |channel| channel.to_vec()),
            bare: format!("n={},r=clientnonce", username.replace('=', "=3D").replace(',', "=2C")),
            server_key: Vec::new(),
            signed: String::new(),
        }
    }

    /// The first message, in base64.
    pub fn first(&self) -> String {
        STANDARD.encode(format!("{}{}", self.header, self.bare))
    }

    /// The final message in answer to the server's first one, both in base64.
    ///
    /// # Errors
    /// When the server's is none.
    pub fn last(&mut self, challenge: &str) -> Result<String> {
        let challenge = String::from_utf8(STANDARD.decode(challenge.trim())?)?;
        let value = |name: &str| challenge.split(',').find_map(|attribute| attribute.strip_prefix(name));
        let (nonce, salt) =
            (value("r=").context("no nonce")?, STANDARD.decode(value("s=").context("no salt")?)?);
        let iterations: NonZeroU32 = value("i=").context("no iterations")?.parse()?;
        let mut salted = [0; 32];
        let password = self.password.as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let binding = STANDARD.encode([self.header.as_bytes(), &self.bound].concat());
        let without_proof = format!("c={binding},r={nonce}");
        self.signed = format!("{},{challenge},{without_proof}", self.bare);
        self.server_key = hmac::sign(&salted, b"Server Key").as_ref().to_vec();
        let signature =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored.as_ref()), self.signed.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(one, other)| one ^ other).collect();
        Ok(STANDARD.encode(format!("{without_proof},p={}", STANDARD.encode(proof))))
    }

    /// Whether the server's final message, in base64, shows that it knows the password.
    pub fn is_known(&self, last: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.server_key);
        let signature = STANDARD.encode(hmac::sign(&key, self.signed.as_bytes()));
        STANDARD.encode(format!("v={signature}")) == last.trim()
    }
}
