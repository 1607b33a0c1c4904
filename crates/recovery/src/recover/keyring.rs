//! The data keys that the bucket has, each fetched when it is first asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blob::{BlobKey, BlobStore};
use kernel::{TenantId, WrappedKeyId};
use mailstore::key::INSTALLATION;
use pack::{DataKey, Generation, KeyEncryption, KeyError, WrappedKey};

use crate::Error;

pub(super) struct Keyring {
    blobs: Arc<dyn BlobStore>,
    encryption: Arc<dyn KeyEncryption>,
    objects: BTreeMap<TenantId, Vec<WrappedKeyId>>,
    opened: BTreeMap<TenantId, BTreeMap<Generation, Vec<Arc<DataKey>>>>,
    missing: BTreeSet<TenantId>,
}

impl Keyring {
    pub(super) fn new(
        blobs: Arc<dyn BlobStore>,
        encryption: Arc<dyn KeyEncryption>,
        objects: BTreeMap<TenantId, Vec<WrappedKeyId>>,
    ) -> Self {
        Self { blobs, encryption, objects, opened: BTreeMap::new(), missing: BTreeSet::new() }
    }

    /// A generation of a tenant's key; none if the bucket has none of it, and several where another database has used the bucket.
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
                return Err(Error::KeysMissing("(the installation's own)".to_owned()));
            }
            self.missing.insert(tenant);
        }
        Ok(found.unwrap_or_default())
    }

    async fn open(&self, tenant: TenantId) -> Result<BTreeMap<Generation, Vec<Arc<DataKey>>>, Error> {
        let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for &key in self.objects.get(&tenant).into_iter().flatten() {
            let bytes = match self.blobs.get(&BlobKey::WrappedKey { tenant, key }).await {
                // It was wrapped anew since the bucket was listed.
                Err(blob::Error::NotFound) => continue,
                bytes => bytes?,
            };
            let wrapped = WrappedKey::decode(&bytes).map_err(KeyError::from)?;
            let key = Arc::new(self.encryption.unwrap(&wrapped).await?);
            keys.entry(wrapped.generation()).or_default().push(key);
        }
        Ok(keys)
    }

    /// Those of whom a key was asked for that the bucket has not.
    pub(super) fn missing(&self) -> &BTreeSet<TenantId> {
        &self.missing
    }

    /// The objects that keys are wrapped in.
    pub(super) fn objects(&self) -> &BTreeMap<TenantId, Vec<WrappedKeyId>> {
        &self.objects
    }
}
