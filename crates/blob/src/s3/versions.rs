//! Objects with the versions that a bucket keeps of them: a plain DELETE only hides them behind a marker, and whoever may read versions
//! reads them still.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::S3Store;
use crate::{BlobKey, BlobStore as _, Cause, Error};

/// A version of an object, or the marker that one was deleted.
struct Version {
    key: BlobKey,
    /// What the service calls it; `null` where there is the one alone.
    id: Option<String>,
}

impl S3Store {
    /// Deletes every version of the objects under a prefix, or of one object there alone. `false`, and nothing is deleted, if the service
    /// does not know versions. `true` does not say that there is nothing: some know versions and list none of a bucket that keeps none.
    pub(super) async fn erase_versions(&self, prefix: &str, only: Option<&BlobKey>) -> Result<bool, Error> {
        // All are found first: a page may not be asked for from a version on that is gone.
        let Some(versions) = self.versions(prefix, only).await? else { return Ok(false) };
        for version in &versions {
            self.delete_version(version).await?;
        }
        if versions.is_empty() {
            return Ok(true);
        }
        // A service that knows versions and not how to delete one would have answered the same.
        match self.versions(prefix, only).await? {
            Some(left) if !left.is_empty() => {
                let text = format!("{} versions are there after they were deleted", left.len());
                Err(Error::Internal(Cause::new(format!("erasing in bucket {}", self.bucket), text)))
            }
            _ => Ok(true),
        }
    }

    /// `None` if the service does not know versions.
    async fn versions(&self, prefix: &str, only: Option<&BlobKey>) -> Result<Option<Vec<Version>>, Error> {
        let mut found = Vec::new();
        let mut from: (Option<String>, Option<String>) = (None, None);
        loop {
            let request = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(format!("{}{prefix}", self.prefix))
                .set_key_marker(from.0.clone())
                .set_version_id_marker(from.1.clone());
            let page = match request.send().await {
                Ok(page) => page,
                Err(error) if from.0.is_none() && knows_no_versions(&error) => return Ok(None),
                Err(error) => return Err(self.error("listing versions", error)),
            };
            let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
            let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
            for (name, id) in versions.chain(markers) {
                // The prefix begins other names too; what is none of ours is left alone.
                let key = name.and_then(|name| name.strip_prefix(self.prefix.as_str()));
                let Some(key) = key.and_then(|name| name.parse::<BlobKey>().ok()) else { continue };
                if only.is_none_or(|only| *only == key) {
                    found.push(Version { key, id: id.map(str::to_owned) });
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(Some(found));
            }
            let next =
                (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
            if next.0.is_none() || next == from {
                let text = "there is more, and the service does not say from where on";
                return Err(Error::Internal(Cause::new("listing versions", text)));
            }
            from = next;
        }
    }

    /// Deletes an object of which the service shows no version. [`Error::Misconfigured`] if its answer says that the bucket keeps some.
    pub(super) async fn delete_only_version(&self, key: &BlobKey) -> Result<(), Error> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.name(key));
        let deleted = match request.send().await.map_err(|error| self.error("deleting an object", error)) {
            Ok(deleted) => deleted,
            Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        // Where versioning was never on there is neither; `null` alone is what some call the one version.
        if deleted.delete_marker() == Some(true) || deleted.version_id().is_some_and(|id| id != "null") {
            let text = "the bucket keeps versions, and the service does not show them";
            return Err(Error::Misconfigured(Cause::new(format!("erasing in bucket {}", self.bucket), text)));
        }
        Ok(())
    }

    pub(super) async fn is_there(&self, key: &BlobKey) -> Result<bool, Error> {
        match self.get_range(key, 0..0).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn still_there(&self) -> Error {
        let text = "an object is there after it was deleted";
        Error::Internal(Cause::new(format!("erasing in bucket {}", self.bucket), text))
    }

    async fn delete_version(&self, version: &Version) -> Result<(), Error> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.name(&version.key));
        let deleted = request.set_version_id(version.id.clone()).send().await;
        match deleted.map_err(|error| self.error("deleting a version", error)) {
            // Another process erases it as well, or our first request's answer was lost.
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether the service answers that it has no such operation: 501 by S3's own words, 405 or 400 elsewhere. Being turned away (403) is none
/// of these, nor is whatever time may heal.
fn knows_no_versions<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.as_service_error().and_then(|error| error.code());
    matches!(
        (status, code),
        (Some(501 | 405), _)
            | (_, Some("NotImplemented" | "MethodNotAllowed"))
            | (Some(400), Some("InvalidRequest"))
    )
}
