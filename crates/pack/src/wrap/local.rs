//! Key-encryption keys that this process holds itself.

use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::Env;
use secrecy::zeroize::{Zeroize as _, Zeroizing};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::{KekId, KeyEncryption, KeyError, WrappedKey};
use crate::key::DataKey;
use crate::seal::{KEY_BYTES, Purpose, Sealer};

/// Each wrapping has a key of its own, derived with a salt that is too long ever to come twice, and so needs no nonce.
const SALT_BYTES: usize = 32;

/// Key-encryption keys out of a text, which comes from a file or the environment.
///
/// One key a line: its name, white space, and 32 bytes in base64. Empty lines and those that begin with `#` do not count. The first key
/// wraps; all of them unwrap. To change the key, put the new one first and keep the old one until everything is wrapped anew.
pub struct LocalKeys {
    env: Env,
    current: Kek,
    older: Vec<Kek>,
}

struct Kek {
    id: KekId,
    secret: SecretBox<[u8; KEY_BYTES]>,
}

/// Why a text holds no keys. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// There is no key in it.
    #[error("there is no key-encryption key")]
    Empty,
    /// A line is not a name and 32 bytes in base64.
    #[error("line {0} is not a name and 32 bytes in base64")]
    Line(usize),
    /// A line names a key that an earlier one has.
    #[error("line {0} names a key a second time")]
    Twice(usize),
}

impl LocalKeys {
    /// Reads the text; `env` gives the randomness of wrapping.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(env: &Env, text: &SecretString) -> Result<Self, KeyTextError> {
        let mut keys: Vec<Kek> = Vec::new();
        for (index, line) in text.expose_secret().lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = Kek::parse(line).ok_or(KeyTextError::Line(index + 1))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeyTextError::Twice(index + 1));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeyTextError::Empty);
        }
        let current = keys.remove(0);
        Ok(Self { env: env.clone(), current, older: keys })
    }

    /// A line with a new key under a name that tells it from others.
    pub fn generate(env: &Env) -> SecretString {
        let mut random = env.random::<KEY_BYTES>();
        let secret = Zeroizing::new(STANDARD.encode(random));
        random.zeroize();
        SecretString::from(format!("kek-{} {}\n", env.new_uuid().simple(), secret.as_str()))
    }
}

impl Kek {
    fn parse(line: &str) -> Option<Self> {
        let (id, secret) = line.split_once(char::is_whitespace)?;
        let bytes = Zeroizing::new(STANDARD.decode(secret.trim()).ok()?);
        let bytes: &[u8; KEY_BYTES] = bytes.as_slice().try_into().ok()?;
        let secret = SecretBox::init_with_mut(|secret: &mut [u8; KEY_BYTES]| secret.copy_from_slice(bytes));
        Some(Self { id: id.parse().ok()?, secret })
    }

    fn sealer(&self, salt: &[u8]) -> Sealer {
        Sealer::derive(self.secret.expose_secret(), salt, Purpose::Wrap)
    }
}

#[async_trait]
impl KeyEncryption for LocalKeys {
    fn current(&self) -> &KekId {
        &self.current.id
    }

    async fn wrap(&self, key: &DataKey) -> Result<WrappedKey, KeyError> {
        let salt = self.env.random::<SALT_BYTES>();
        let kek = self.current.id.clone();
        let place = WrappedKey::place(key.tenant(), key.generation(), &kek);
        let mut bytes = Zeroizing::new(*key.secret());
        let tag = self.current.sealer(&salt).seal(0, &place, bytes.as_mut_slice());
        let wrapping = [&salt, bytes.as_slice(), &tag].concat();
        Ok(WrappedKey { tenant: key.tenant(), generation: key.generation(), kek, wrapping })
    }

    async fn unwrap(&self, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        let kek = std::iter::once(&self.current).chain(&self.older).find(|kek| kek.id == wrapped.kek);
        let kek = kek.ok_or_else(|| KeyError::Unknown(wrapped.kek.clone()))?;
        let refused = || KeyError::Refused(wrapped.kek.clone());
        let (salt, sealed) = wrapped.wrapping.split_at_checked(SALT_BYTES).ok_or_else(refused)?;
        let place = WrappedKey::place(wrapped.tenant, wrapped.generation, &wrapped.kek);
        let opened = kek.sealer(salt).open(0, &place, sealed).map_err(|_| refused())?;
        let opened = Zeroizing::new(opened);
        let bytes: &[u8; KEY_BYTES] = opened.as_slice().try_into().map_err(|_| refused())?;
        Ok(DataKey::from_bytes(wrapped.tenant, wrapped.generation, bytes))
    }
}

impl fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older = self.older.iter().map(|kek| &kek.id).collect::<Vec<_>>();
        f.debug_struct("LocalKeys")
            .field("current", &self.current.id)
            .field("older", &older)
            .finish_non_exhaustive()
    }
}
