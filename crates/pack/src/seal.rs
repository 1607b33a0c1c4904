//! The two primitives: a key for each purpose by HKDF-SHA256, and AES-256-GCM under it.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

pub(crate) const TAG_BYTES: usize = 16;
pub(crate) const KEY_BYTES: usize = 32;

/// What a key is derived for: keys of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Entry,
    Footer,
    Segment,
    Wrap,
    Secret,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Entry => b"pillarbox pack 1 entry",
            Self::Footer => b"pillarbox pack 1 footer",
            Self::Segment => b"pillarbox journal 1 section",
            Self::Wrap => b"pillarbox key 1 wrap",
            Self::Secret => b"pillarbox secret 1 sealed",
        }
    }
}

/// The bytes do not open: another key, another place, or not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DoesNotOpen;

/// A key for one purpose. Every nonce seals once.
pub(crate) struct Sealer {
    key: LessSafeKey,
    purpose: Purpose,
}

impl Sealer {
    /// The key that `secret` gives for a purpose and a salt.
    #[expect(clippy::expect_used, reason = "HKDF refuses only outputs of more than 255 hashes")]
    pub(crate) fn derive(secret: &[u8; KEY_BYTES], salt: &[u8], purpose: Purpose) -> Self {
        let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
        let info = [purpose.info()];
        let okm = prk.expand(&info, &AES_256_GCM).expect("a key is shorter than 255 hashes");
        Self { key: LessSafeKey::new(UnboundKey::from(okm)), purpose }
    }

    /// Encrypts in place; the tag. `place` is what the bytes are bound to.
    #[expect(clippy::expect_used, reason = "GCM refuses only plaintexts of 64 GiB and more")]
    pub(crate) fn seal(&self, nonce: u32, place: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        let tag = self
            .key
            .seal_in_place_separate_tag(numbered(nonce), Aad::from(self.bound_to(place)), bytes)
            .expect("a body is shorter than 64 GiB");
        let mut out = [0; TAG_BYTES];
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// The plaintext of ciphertext and tag.
    pub(crate) fn open(&self, nonce: u32, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, DoesNotOpen> {
        let mut bytes = sealed.to_vec();
        let aad = Aad::from(self.bound_to(place));
        let length = self.key.open_in_place(numbered(nonce), aad, &mut bytes).map_err(|_| DoesNotOpen)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Purpose and place: no purpose is the beginning of another, so no two of both read the same.
    fn bound_to(&self, place: &[u8]) -> Vec<u8> {
        [self.purpose.info(), place].concat()
    }
}

fn numbered(nonce: u32) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 4..].copy_from_slice(&nonce.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
