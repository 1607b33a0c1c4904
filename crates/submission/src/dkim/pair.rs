//! A pair of keys as they are made and kept.

use kernel::Env;
use pack::{DataKey, SecretDoesNotOpen};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
use rsa::pkcs8::EncodePublicKey as _;
use rsa::rand_core::{CryptoRng, RngCore};
use rsa::{RsaPrivateKey, RsaPublicKey};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretSlice};

/// RFC 8301 §3.2: no less than 1024 bits, better 2048; a longer one's record is more than many DNS servers bear.
const RSA_BITS: usize = 2048;
const SEED_BYTES: usize = 32;

/// What makes or reads no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("RSA: {0}")]
    Rsa(Box<dyn std::error::Error + Send + Sync>),
    #[error("Ed25519: {0}")]
    Ed25519(ring::error::KeyRejected),
    #[error(transparent)]
    Sealed(#[from] SecretDoesNotOpen),
    #[error("a pair is a seed and a key")]
    Short,
}

fn of_rsa(cause: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::Rsa(cause.into())
}

/// Both keys.
pub(super) struct Pair {
    /// `seed of Ed25519 32 | RSA's private key, DER of PKCS #1 (RFC 8017 A.1.2)`.
    secret: SecretSlice<u8>,
    rsa_public: Vec<u8>,
    ed25519_public: Vec<u8>,
}

impl Pair {
    /// New ones. It takes up to some seconds of a processor.
    pub(super) fn generate(env: &Env) -> Result<Self, Fault> {
        let seed = Zeroizing::new(env.random::<SEED_BYTES>());
        let rsa = RsaPrivateKey::new(&mut Rng(env), RSA_BITS).map_err(of_rsa)?;
        let der = rsa.to_pkcs1_der().map_err(of_rsa)?;
        Self::from_secret([seed.as_slice(), der.as_bytes()].concat().into())
    }

    fn from_secret(secret: SecretSlice<u8>) -> Result<Self, Fault> {
        let (seed, der) = secret.expose_secret().split_at_checked(SEED_BYTES).ok_or(Fault::Short)?;
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(seed).map_err(Fault::Ed25519)?;
        let rsa = RsaPublicKey::from(RsaPrivateKey::from_pkcs1_der(der).map_err(of_rsa)?);
        let rsa_public = rsa.to_public_key_der().map_err(of_rsa)?.into_vec();
        Ok(Self { rsa_public, ed25519_public: ed25519.public_key().as_ref().to_vec(), secret })
    }

    /// The public half of RSA, as SubjectPublicKeyInfo: what readers take, whatever RFC 6376 §3.6.1 says (its erratum 3017).
    pub(super) fn rsa_public(&self) -> &[u8] {
        &self.rsa_public
    }

    /// The public half of Ed25519, 32 bytes (RFC 8463 §4.2).
    pub(super) fn ed25519_public(&self) -> &[u8] {
        &self.ed25519_public
    }

    pub(super) fn seed(&self) -> &[u8] {
        &self.secret.expose_secret()[..SEED_BYTES]
    }

    /// RSA's private key, DER of PKCS #1.
    pub(super) fn rsa_der(&self) -> &[u8] {
        &self.secret.expose_secret()[SEED_BYTES..]
    }

    /// The private halves, for a row.
    pub(super) fn seal(&self, key: &DataKey, env: &Env, place: &[u8]) -> Vec<u8> {
        key.seal_secret(env, place, self.secret.expose_secret())
    }

    /// What [`Self::seal`] sealed.
    pub(super) fn open(key: &DataKey, place: &[u8], sealed: &[u8]) -> Result<Self, Fault> {
        Self::from_secret(key.open_secret(place, sealed)?)
    }
}

/// The environment's randomness, as the RSA library wants it.
struct Rng<'a>(&'a Env);

impl CryptoRng for Rng<'_> {}

impl RngCore for Rng<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.random())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.random())
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for chunk in dest.chunks_mut(64) {
            let random = Zeroizing::new(self.0.random::<64>());
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}
