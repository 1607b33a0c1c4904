//! A key-encryption key that every test knows.

use std::sync::Arc;

use kernel::Env;
use pack::{KeyEncryption, LocalKeys};
use secrecy::SecretString;

/// The setting `PILLARBOX_KEY_ENCRYPTION_KEYS` with one that is no secret.
pub fn text() -> String {
    format!("test {}=\n", "A".repeat(43))
}

/// Wraps tenants' keys under [`text`]'s.
pub fn encryption() -> Arc<dyn KeyEncryption> {
    match LocalKeys::parse(&Env::system(), &SecretString::from(text())) {
        Ok(keys) => Arc::new(keys),
        Err(error) => panic!("32 bytes in base64 are a key: {error}"),
    }
}
