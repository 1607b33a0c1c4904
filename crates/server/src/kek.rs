//! The keys that wrap tenants' keys: out of a setting or a file, or made by the first start on embedded defaults.

mod file;

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use db::Db;
use kernel::Env;
use pack::{KeyEncryption, KeyError, LocalKeys, WrappedKey};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::KeyEncryptionKeys;
use crate::files::{DataDir, write_private_once};
use file::FileKeys;

/// The keys, once it is sure that they open what was wrapped before.
pub(crate) async fn open(
    config: &KeyEncryptionKeys,
    data_dir: &DataDir,
    db: &Db,
) -> Result<Arc<dyn KeyEncryption>> {
    let in_use = mailstore::key::in_use(db).await.context("looking up which keys are in use")?;
    if matches!(config, KeyEncryptionKeys::Own) && in_use.is_empty() {
        make(&own(data_dir))?;
    }
    let source = Source::of(config, data_dir);
    let keys = source.keys()?;
    for (kek, wrapped) in &in_use {
        check(&keys, kek, wrapped).await.map_err(|error| {
            let told = advice(&error, kek, &source);
            anyhow::Error::new(error).context(told)
        })?;
    }
    Ok(source.held(keys))
}

/// What is amiss with a key-encryption key, and what to do.
fn advice(error: &KeyError, kek: &str, source: &Source) -> String {
    if error.is_damage() {
        format!(
            "the key-encryption key {kek} of {source} opens none of the tenants' keys that are wrapped with the one of that name: without \
             that one their mail cannot be read. Put it there under its name"
        )
    } else {
        format!(
            "tenants' keys are wrapped with the key-encryption key {kek}, which {source} does not have: without it their mail cannot \
             be read. Put it back, below the current one"
        )
    }
}

/// Whether a key-encryption key opens what is wrapped with it, of which these are some. Of the current one not all may be damaged: it wraps. Of an older one
/// all that is left may be, since it could not be wrapped anew.
async fn check(keys: &LocalKeys, kek: &str, wrapped: &[WrappedKey]) -> Result<(), KeyError> {
    let mut failed = None;
    for one in wrapped {
        match keys.unwrap(one).await {
            Ok(_) => return Ok(()),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if error.is_damage() && kek != keys.current().as_str() => {
            tracing::error!(
                kek.id = kek,
                error.cause = %kernel::error::chain(&error),
                "no tenant's key opens that is wrapped with an older key-encryption key: they are damaged, or it is another one of that name"
            );
            Ok(())
        }
        failed => failed.map_or(Ok(()), Err),
    }
}

/// The keys that there are, for a database that is to be made anew.
pub(crate) fn existing(config: &KeyEncryptionKeys, data_dir: &DataDir) -> Result<Arc<dyn KeyEncryption>> {
    let source = Source::of(config, data_dir);
    let keys = source.keys()?;
    Ok(source.held(keys))
}

/// The file that a first start on embedded defaults makes.
fn own(data_dir: &DataDir) -> PathBuf {
    data_dir.join("key-encryption-keys")
}

/// Where the keys are.
enum Source<'a> {
    /// In the setting itself.
    Setting(&'a SecretString),
    File(PathBuf),
}

impl<'a> Source<'a> {
    fn of(config: &'a KeyEncryptionKeys, data_dir: &DataDir) -> Self {
        match config {
            KeyEncryptionKeys::Text(text) => Self::Setting(text),
            KeyEncryptionKeys::File(path) => Self::File(path.clone()),
            // Also what was made just now: another process may have been first.
            KeyEncryptionKeys::Own => Self::File(own(data_dir)),
        }
    }

    fn keys(&self) -> Result<LocalKeys> {
        let parsed = match self {
            Self::Setting(text) => LocalKeys::parse(&Env::system(), text),
            Self::File(path) => {
                warn_of_readers(path);
                LocalKeys::parse(&Env::system(), &read(path)?)
            }
        };
        parsed.with_context(|| format!("reading the key-encryption keys of {self}"))
    }

    /// Those of a file, which is read anew when it has to be; a setting stays what it is for as long as the process runs.
    fn held(self, keys: LocalKeys) -> Arc<dyn KeyEncryption> {
        match self {
            Self::Setting(_) => Arc::new(keys),
            Self::File(path) => Arc::new(FileKeys::new(path, keys)),
        }
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(_) => f.write_str("PILLARBOX_KEY_ENCRYPTION_KEYS"),
            Self::File(path) => fmt::Display::fmt(&path.display(), f),
        }
    }
}

/// Whoever reads the file and the bucket reads all mail.
fn warn_of_readers(path: &Path) {
    if let Ok(found) = std::fs::metadata(path)
        && found.mode() & 0o077 != 0
    {
        tracing::warn!(
            file.path = %path.display(),
            file.mode = format!("{:04o}", found.mode() & 0o7777),
            "others than its owner may read the key-encryption keys: give the file to the server's account, with mode 0600"
        );
    }
}

fn read(path: &Path) -> Result<SecretString> {
    let text = std::fs::read_to_string(path);
    text.map(SecretString::from)
        .with_context(|| format!("reading {}, without which no mail can be read", path.display()))
}

/// Makes the file unless it is there.
fn make(path: &Path) -> Result<()> {
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
    use pack::{DataKey, Generation};

    use super::*;

    async fn wrapped(keys: &LocalKeys) -> WrappedKey {
        let env = Env::system();
        let key = DataKey::generate(&env, env.new_id(), Generation::FIRST);
        keys.wrap(&key).await.unwrap()
    }

    fn damaged(wrapped: &WrappedKey) -> WrappedKey {
        let mut bytes = wrapped.encode();
        *bytes.last_mut().unwrap() ^= 1;
        WrappedKey::decode(&bytes).unwrap()
    }

    #[tokio::test]
    async fn damaged_keys_do_not_keep_a_server_from_starting_and_one_that_is_not_given_does() {
        let (old, new) = (LocalKeys::generate(&Env::system()), LocalKeys::generate(&Env::system()));
        let local = |text: &str| LocalKeys::parse(&Env::system(), &SecretString::from(text)).unwrap();
        let both = local(&format!("{}{}", new.expose_secret(), old.expose_secret()));
        let (alone, latest) = (local(old.expose_secret()), local(new.expose_secret()));
        let (name, current) = (alone.current().as_str(), latest.current().as_str());
        let (whole, recent) = (wrapped(&alone).await, wrapped(&latest).await);
        let (bad, worse) = (damaged(&whole), damaged(&wrapped(&alone).await));

        check(&both, name, &[bad.clone(), whole.clone()]).await.unwrap();
        // Those that could not be wrapped anew.
        check(&both, name, std::slice::from_ref(&bad)).await.unwrap();
        check(&both, name, &[bad.clone(), worse]).await.unwrap();
        check(&both, name, &[]).await.unwrap();
        for (keys, kek, wrapped, has_it) in [
            (&latest, name, vec![whole], false),
            (&latest, name, vec![bad], false),
            // Rather the key-encryption key is another one of that name.
            (&both, current, vec![damaged(&recent)], true),
        ] {
            let error = check(keys, kek, &wrapped).await.unwrap_err();
            let told = advice(&error, kek, &Source::File("/keys".into()));
            assert_eq!(told.contains("/keys does not have"), !has_it, "{told}");
            assert_eq!(told.contains("of /keys opens none"), has_it, "{told}");
        }
    }

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
