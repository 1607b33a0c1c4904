//! Data keys at rest: wrapped by a key-encryption key.

mod local;

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use kernel::TenantId;

use crate::codec::{Input, Malformed};
use crate::key::{DataKey, Generation};

pub use local::{KeyTextError, LocalKeys};

/// Magic and version.
const MARK: [u8; 8] = *b"PBWKEY\x00\x01";
/// The longest wrapping of 32 bytes that is kept: a key service's may name its own key.
const MAX_WRAPPING_BYTES: usize = 4096;

/// The name of a key-encryption key: 1 to 64 characters of `A`–`Z`, `a`–`z`, `0`–`9`, `.`, `_`, `-`, `/` and `:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KekId(String);

impl KekId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KekId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        if fits { Ok(Self(text.to_owned())) } else { Err(Malformed("the name of a key-encryption key")) }
    }
}

/// A data key that only the holder of its key-encryption key can read. Not secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    tenant: TenantId,
    generation: Generation,
    kek: KekId,
    wrapping: Vec<u8>,
}

impl WrappedKey {
    /// What a key-encryption key made of a data key. `None` if the wrapping is longer than 4 KiB.
    pub fn new(key: &DataKey, kek: KekId, wrapping: Vec<u8>) -> Option<Self> {
        let fits = wrapping.len() <= MAX_WRAPPING_BYTES;
        fits.then_some(Self { tenant: key.tenant(), generation: key.generation(), kek, wrapping })
    }

    /// Whose key it is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Which of the tenant's keys it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What it is wrapped with.
    pub fn kek(&self) -> &KekId {
        &self.kek
    }

    /// The key service's own bytes.
    pub fn wrapping(&self) -> &[u8] {
        &self.wrapping
    }

    /// The bytes to keep, in a row and as an object: `"PBWKEY" 0x0001 | tenant 16 | generation 4 | name's length 1 | name | wrapping`.
    pub fn encode(&self) -> Vec<u8> {
        // A name has 64 characters at most.
        let name = [&[self.kek.0.len() as u8], self.kek.0.as_bytes()].concat();
        let generation = self.generation.number().to_be_bytes();
        [&MARK, self.tenant.uuid().as_bytes().as_slice(), &generation, &name, &self.wrapping].concat()
    }

    /// Reads [`Self::encode`]'s bytes.
    ///
    /// # Errors
    /// Whatever else it is.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(bytes);
        if input.array()? != MARK {
            return Err(Malformed("it is not a wrapped key of a known version"));
        }
        let tenant = TenantId::from_uuid(input.uuid()?);
        let generation = Generation::new(input.u32()?).ok_or(Malformed("a generation of 0"))?;
        let length = input.byte()?;
        let name = str::from_utf8(input.take(length.into())?);
        let kek = name.map_err(|_| Malformed("the name of a key-encryption key"))?.parse()?;
        let wrapping = input.rest().to_vec();
        if wrapping.len() > MAX_WRAPPING_BYTES {
            return Err(Malformed("a wrapping of more than 4 KiB"));
        }
        Ok(Self { tenant, generation, kek, wrapping })
    }

    /// What a wrapping is bound to: a wrapped key opens as this tenant's, this generation, and nothing else.
    pub(crate) fn place(tenant: TenantId, generation: Generation, kek: &KekId) -> Vec<u8> {
        let generation = generation.number().to_be_bytes();
        [tenant.uuid().as_bytes().as_slice(), &generation, kek.0.as_bytes()].concat()
    }
}

/// Why a data key was not wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is wrapped with a key-encryption key that is not at hand.
    #[error("the key-encryption key {0} is not known here")]
    Unknown(KekId),
    /// It does not open: the key-encryption key of that name is another one, or the bytes have changed.
    #[error("a wrapped key does not open under the key-encryption key {0}")]
    Refused(KekId),
    /// The bytes are no wrapped key.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The service that holds the key-encryption keys does not answer. The same call may work later.
    #[error("the key-encryption keys are out of reach")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl KeyError {
    /// Whether the wrapped key may be to blame: its key-encryption key is at hand, or another one of that name.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Malformed(_) => true,
            Self::Unknown(_) | Self::Unavailable(_) => false,
        }
    }
}

/// The holder of the key-encryption keys: [`LocalKeys`], or a key management service.
#[async_trait]
pub trait KeyEncryption: Send + Sync + fmt::Debug {
    /// The key-encryption key that new wrappings are made with.
    fn current(&self) -> &KekId;

    /// Wraps a data key with the current one, bound to the key's tenant and generation.
    async fn wrap(&self, key: &DataKey) -> Result<WrappedKey, KeyError>;

    /// The data key, whichever of the keys it is wrapped with.
    async fn unwrap(&self, wrapped: &WrappedKey) -> Result<DataKey, KeyError>;
}
