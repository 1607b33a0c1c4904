//! The data keys that the bucket has, each fetched when it is first asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blob::{BlobKey, BlobStore};
use kernel::{TenantId, WrappedKeyId};
use mailstore::key::{Damaged, INSTALLATION};
use pack::{DataKey, Generation, KeyEncryption, KeyError, WrappedKey};

use crate::Error;

pub(super) struct Keyring {
    blobs: Arc<dyn BlobStore>,
    encryption: Arc<dyn KeyEncryption>,
    objects: BTreeMap<TenantId, Vec<WrappedKeyId>>,
    opened: BTreeMap<TenantId, BTreeMap<Generation, Vec<Arc<DataKey>>>>,
    missing: BTreeSet<TenantId>,
    damaged: Vec<Damaged>,
}

impl Keyring {
    pub(super) fn new(
        blobs: Arc<dyn BlobStore>,
        encryption: Arc<dyn KeyEncryption>,
        objects: BTreeMap<TenantId, Vec<WrappedKeyId>>,
    ) -> Self {
        Self {
            blobs,
            encryption,
            objects,
            opened: BTreeMap::new(),
            missing: BTreeSet::new(),
            damaged: Vec::new(),
        }
    }

    /// A generation of a tenant's key; none if the bucket has none of it that opens, and several where another database has used the bucket.
    pub(super) async fn find(
        &mut self,
        tenant: TenantId,
        generation: Generation,
    ) -> Result<Vec<Arc<DataKey>>, Error> {
        if !self.opened.contains_key(&tenant) {
            let keys = self.open(tenant).await?;
            self.opened.insert(tenant, keys);
        }
        let found = self.opened.get(&tenant).and_then(|keys| keys.get(&generation)).cloned();
        if found.is_none() {
            if tenant == INSTALLATION {
                // It may be that the key-encryption key is another one.
                if let Some(at) = self.damaged.iter().position(|one| one.tenant == INSTALLATION) {
                    return Err(self.damaged.swap_remove(at).cause.into());
                }
                return Err(Error::KeysMissing("(the installation's own)".to_owned()));
            }
            self.missing.insert(tenant);
        }
        Ok(found.unwrap_or_default())
    }

    async fn open(&mut self, tenant: TenantId) -> Result<BTreeMap<Generation, Vec<Arc<DataKey>>>, Error> {
        let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for key in self.objects.get(&tenant).cloned().unwrap_or_default() {
            let bytes = match self.blobs.get(&BlobKey::WrappedKey { tenant, key }).await {
                // It was wrapped anew since the bucket was listed.
                Err(blob::Error::NotFound) => continue,
                bytes => bytes?,
            };
            match self.unwrap(&bytes).await {
                Ok(opened) => keys.entry(opened.generation()).or_default().push(Arc::new(opened)),
                // It is no hindrance as long as nothing is read that it sealed.
                Err(cause) if cause.is_damage() => self.damaged.push(Damaged { tenant, key, cause }),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(keys)
    }

    async fn unwrap(&self, bytes: &[u8]) -> Result<DataKey, KeyError> {
        self.encryption.unwrap(&WrappedKey::decode(bytes)?).await
    }

    /// Adds damaged objects that nobody looked for a key in.
    pub(super) fn add_damaged(&mut self, damaged: Vec<Damaged>) {
        let known: BTreeSet<_> = self.damaged.iter().map(|one| one.key).collect();
        self.damaged.extend(damaged.into_iter().filter(|one| !known.contains(&one.key)));
    }

    /// The objects that were looked into and that hold no key that opens, a line each.
    pub(super) fn damaged(&self) -> Vec<String> {
        let line = |Damaged { tenant, key, cause }: &Damaged| {
            format!("{}: {}", BlobKey::WrappedKey { tenant: *tenant, key: *key }, kernel::error::chain(cause))
        };
        self.damaged.iter().map(line).collect()
    }

    /// Those of whom a key was asked for that the bucket has not, or damaged.
    pub(super) fn missing(&self) -> &BTreeSet<TenantId> {
        &self.missing
    }

    /// The objects that keys are wrapped in.
    pub(super) fn objects(&self) -> &BTreeMap<TenantId, Vec<WrappedKeyId>> {
        &self.objects
    }
}
