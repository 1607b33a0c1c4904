//! The keys that wrap tenants' keys: out of a setting or a file, or made by the first start on embedded defaults.

use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use db::Db;
use kernel::Env;
use pack::{KeyEncryption, LocalKeys};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::KeyEncryptionKeys;
use crate::files::{DataDir, write_private};

/// The keys, once it is sure that they are those that everything was wrapped with.
pub(crate) async fn open(
    config: &KeyEncryptionKeys,
    data_dir: &DataDir,
    db: &Db,
) -> Result<Arc<dyn KeyEncryption>> {
    let in_use = mailstore::key::in_use(db).await.context("looking up which keys are in use")?;
    let own = data_dir.join("key-encryption-keys");
    let path = match config {
        KeyEncryptionKeys::File(path) => path,
        KeyEncryptionKeys::Text(_) | KeyEncryptionKeys::Own => &own,
    };
    let text = match config {
        KeyEncryptionKeys::Text(text) => text.clone(),
        KeyEncryptionKeys::File(_) | KeyEncryptionKeys::Own => match std::fs::read_to_string(path) {
            Ok(text) => SecretString::from(text),
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && matches!(config, KeyEncryptionKeys::Own)
                    && in_use.is_empty() =>
            {
                let text = LocalKeys::generate(&Env::system());
                write_private(path, text.expose_secret().as_bytes())?;
                tracing::info!(file.path = %path.display(), "the key that wraps tenants' keys was written: keep a copy of it");
                text
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("reading {}, without which no mail can be read", path.display())
                });
            }
        },
    };
    let keys = LocalKeys::parse(&Env::system(), &text)
        .with_context(|| format!("reading key-encryption keys (of {})", path.display()))?;
    for id in in_use {
        if !keys.knows(&id) {
            bail!(
                "tenants' keys are wrapped with the key-encryption key {id}, which is not given: without it their mail cannot be \
                 read. Put it back below the current one (PILLARBOX_KEY_ENCRYPTION_KEYS_FILE), and `pillarbox keys rewrap` does \
                 without it"
            );
        }
    }
    Ok(Arc::new(keys))
}
