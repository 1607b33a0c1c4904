//! Objects in a map: for tests.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BlobKey, BlobStore, Error, KeyPage, KeyPrefix, PAGE_KEYS, delete_all};

/// Keeps objects as long as it lives itself.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    // Ordered by the key's text, which is what listings promise.
    objects: Mutex<BTreeMap<String, (BlobKey, Bytes)>>,
}

impl MemoryStore {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, (BlobKey, Bytes)>> {
        // No operation leaves the map half changed, so a panic elsewhere spoils nothing.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), Error> {
        self.objects().insert(key.to_string(), (key.clone(), bytes));
        Ok(())
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, Error> {
        self.objects().get(&key.to_string()).map(|(_, bytes)| bytes.clone()).ok_or(Error::NotFound)
    }

    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, Error> {
        let bytes = self.get(key).await?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
        if start >= bytes.len() {
            return Err(Error::RangeNotSatisfiable);
        }
        Ok(bytes.slice(start..end))
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), Error> {
        self.objects().remove(&key.to_string());
        Ok(())
    }

    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, Error> {
        let prefix = prefix.to_string();
        let from = match after {
            Some(after) if after >= prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(prefix.as_str()),
        };
        let objects = self.objects();
        let mut found = objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(text, _)| text.starts_with(&prefix));
        let mut page = KeyPage::default();
        for (text, (key, _)) in found.by_ref().take(PAGE_KEYS) {
            page.keys.push(key.clone());
            page.next = Some(text.clone());
        }
        if found.next().is_none() {
            page.next = None;
        }
        Ok(page)
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), Error> {
        self.delete(key).await
    }

    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), Error> {
        delete_all(self, prefix).await
    }
}
