//! The keys that wrap tenants' keys: out of a setting or a file, or made by the first start on embedded defaults.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use db::Db;
use kernel::Env;
use pack::{KeyEncryption, LocalKeys};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::KeyEncryptionKeys;
use crate::files::{DataDir, write_private_once};

/// The keys, once it is sure that they open what was wrapped before.
pub(crate) async fn open(
    config: &KeyEncryptionKeys,
    data_dir: &DataDir,
    db: &Db,
) -> Result<Arc<dyn KeyEncryption>> {
    let wrapped = mailstore::key::one_of_each(db).await.context("looking up which keys are in use")?;
    if matches!(config, KeyEncryptionKeys::Own) && wrapped.is_empty() {
        make(&own(data_dir))?;
    }
    let (place, text) = text_of(config, data_dir)?;
    let keys = LocalKeys::parse(&Env::system(), &text)
        .with_context(|| format!("reading the key-encryption keys of {place}"))?;
    for wrapped in wrapped {
        keys.unwrap(&wrapped).await.with_context(|| {
            format!(
                "tenants' keys are wrapped with the key-encryption key {}, which {place} does not have: without it their mail cannot \
                 be read. Put it back, below the current one",
                wrapped.kek()
            )
        })?;
    }
    Ok(Arc::new(keys))
}

/// The keys that there are, for a database that is to be made anew.
pub(crate) fn existing(config: &KeyEncryptionKeys, data_dir: &DataDir) -> Result<Arc<dyn KeyEncryption>> {
    let (place, text) = text_of(config, data_dir)?;
    let keys = LocalKeys::parse(&Env::system(), &text)
        .with_context(|| format!("reading the key-encryption keys of {place}"))?;
    Ok(Arc::new(keys))
}

/// The file that a first start on embedded defaults makes.
fn own(data_dir: &DataDir) -> PathBuf {
    data_dir.join("key-encryption-keys")
}

/// Where the keys are, and what is there.
fn text_of(config: &KeyEncryptionKeys, data_dir: &DataDir) -> Result<(String, SecretString)> {
    Ok(match config {
        KeyEncryptionKeys::Text(text) => ("PILLARBOX_KEY_ENCRYPTION_KEYS".to_owned(), text.clone()),
        KeyEncryptionKeys::File(path) => (path.display().to_string(), read(path)?),
        // Also what was made just now: another process may have been first.
        KeyEncryptionKeys::Own => (own(data_dir).display().to_string(), read(&own(data_dir))?),
    })
}

fn read(path: &PathBuf) -> Result<SecretString> {
    let text = std::fs::read_to_string(path);
    text.map(SecretString::from)
        .with_context(|| format!("reading {}, without which no mail can be read", path.display()))
}

/// Makes the file unless it is there.
fn make(path: &std::path::Path) -> Result<()> {
    match path.try_exists() {
        Ok(true) => return Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("looking for {}", path.display()));
        }
        _ => {}
    }
    if write_private_once(path, LocalKeys::generate(&Env::system()).expose_secret().as_bytes())? {
        tracing::info!(file.path = %path.display(), "the key that wraps tenants' keys was written: keep a copy of it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_who_make_the_file_at_once_one_does_and_all_read_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key-encryption-keys");
        let texts: Vec<String> = std::thread::scope(|scope| {
            let making = (0..16).map(|_| {
                scope.spawn(|| {
                    make(&path).unwrap();
                    read(&path).unwrap().expose_secret().to_owned()
                })
            });
            let making: Vec<_> = making.collect();
            making.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(texts.iter().all(|text| *text == texts[0]));
        assert!(LocalKeys::parse(&Env::system(), &SecretString::from(texts[0].as_str())).is_ok());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
