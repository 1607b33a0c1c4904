//! The key-encryption keys of a file that may get new ones while a server runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use kernel::Env;
use pack::{DataKey, KekId, KeyEncryption, KeyError, LocalKeys, WrappedKey};
use secrecy::SecretString;

/// Wraps with what was the current key when the process started, and unwraps with that, its others, and those that have come into the file since.
#[derive(Debug)]
pub(super) struct FileKeys {
    path: PathBuf,
    first: LocalKeys,
    /// What the file had when it was last read anew.
    later: RwLock<Option<Arc<LocalKeys>>>,
}

impl FileKeys {
    /// `keys` are what is in the file at `path`.
    pub(super) fn new(path: PathBuf, keys: LocalKeys) -> Self {
        Self { path, first: keys, later: RwLock::default() }
    }

    fn later(&self) -> Option<Arc<LocalKeys>> {
        self.later.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file anew; `None` where it cannot be read or holds no keys, which is told.
    async fn read(&self) -> Option<Arc<LocalKeys>> {
        match read(&self.path).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *self.later.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&keys));
                Some(keys)
            }
            Err(error) => {
                tracing::warn!(
                    file.path = %self.path.display(),
                    error.cause = %kernel::error::chain(error.as_ref()),
                    "the key-encryption keys cannot be read anew"
                );
                None
            }
        }
    }
}

async fn read(path: &Path) -> anyhow::Result<LocalKeys> {
    let text = SecretString::from(tokio::fs::read_to_string(path).await?);
    Ok(LocalKeys::parse(&Env::system(), &text)?)
}

#[async_trait]
impl KeyEncryption for FileKeys {
    fn current(&self) -> &KekId {
        self.first.current()
    }

    async fn wrap(&self, key: &DataKey) -> Result<WrappedKey, KeyError> {
        self.first.wrap(key).await
    }

    async fn unwrap(&self, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        match self.first.unwrap(wrapped).await {
            Err(KeyError::Unknown(_)) => {}
            done => return done,
        }
        if let Some(later) = self.later() {
            match later.unwrap(wrapped).await {
                Err(KeyError::Unknown(_)) => {}
                done => return done,
            }
        }
        match self.read().await {
            Some(read) => {
                let unwrapped = read.unwrap(wrapped).await;
                if unwrapped.is_ok() {
                    tracing::info!(kek.id = %wrapped.kek(), "the file of the key-encryption keys has a new one");
                }
                unwrapped
            }
            None => Err(KeyError::Unknown(wrapped.kek().clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use pack::Generation;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn a_key_that_came_into_the_file_since_opens_and_one_that_went_still_does() {
        let env = Env::system();
        let (old, new) = (LocalKeys::generate(&env), LocalKeys::generate(&env));
        let (old_keys, new_keys) =
            (LocalKeys::parse(&env, &old).unwrap(), LocalKeys::parse(&env, &new).unwrap());
        let key = DataKey::generate(&env, env.new_id(), Generation::FIRST);
        let (before, after) = (old_keys.wrap(&key).await.unwrap(), new_keys.wrap(&key).await.unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, old.expose_secret()).unwrap();
        let held = FileKeys::new(path.clone(), LocalKeys::parse(&env, &old).unwrap());

        for broken in [Some(old.expose_secret()), Some("no key"), None] {
            match broken {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            assert!(matches!(held.unwrap(&after).await, Err(KeyError::Unknown(_))), "{broken:?}");
        }
        std::fs::write(&path, new.expose_secret()).unwrap();
        assert!(held.unwrap(&after).await.is_ok());
        std::fs::remove_file(&path).unwrap();
        assert!(held.unwrap(&after).await.is_ok() && held.unwrap(&before).await.is_ok());
        assert_eq!(held.current(), old_keys.current());
    }
}
