//! Large objects, put in parts: what breaks off is sent again by the part, and there is nothing under the name until all are there.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::StreamExt as _;

use super::S3Store;
use crate::{BlobKey, Cause, Error};

/// From so many bytes on an object is put in parts.
pub(super) const LARGE_BYTES: usize = 16 << 20;
/// How many bytes each part has but the last; S3 takes none of less than 5 MiB before the last.
const PART_BYTES: usize = 8 << 20;
/// How many parts are under way at a time.
const AT_ONCE: usize = 4;

/// An upload that has begun. Parts that are not put together cost room and have no name: unless it is over, dropping it takes them back.
struct Upload {
    client: Client,
    bucket: String,
    name: String,
    /// What the service calls the upload.
    id: String,
    is_over: bool,
}

impl Upload {
    /// Takes the parts back; if that fails, the bucket's own rule takes them.
    async fn take_back(mut self) {
        self.is_over = true;
        abort(self.client.clone(), self.bucket.clone(), self.name.clone(), self.id.clone()).await;
    }
}

impl Drop for Upload {
    /// Whoever waited for it has gone away.
    fn drop(&mut self) {
        if !self.is_over
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (client, bucket) = (self.client.clone(), self.bucket.clone());
            runtime.spawn(abort(client, bucket, self.name.clone(), self.id.clone()));
        }
    }
}

async fn abort(client: Client, bucket: String, name: String, id: String) {
    let abort = client.abort_multipart_upload().bucket(bucket).key(&name).upload_id(id);
    if let Err(error) = abort.send().await {
        tracing::warn!(blob.name = name, ?error, "parts of an object that was not put together are left");
    }
}

impl S3Store {
    /// Puts an object in parts.
    pub(super) async fn put_in_parts(&self, key: &BlobKey, bytes: Bytes) -> Result<(), Error> {
        let mut upload = self.begin(self.name(key)).await?;
        let parts = match self.put_parts(&upload, &bytes).await {
            Ok(parts) => parts,
            Err(error) => {
                upload.take_back().await;
                return Err(error);
            }
        };
        let Err(error) = self.put_together(&upload, parts).await else {
            upload.is_over = true;
            return Ok(());
        };
        // A completion whose answer was lost is asked for again, and there is no such upload any more. Services answer that in as
        // many ways as there are services; what is under the name says what happened.
        if matches!(self.fetch_in_time(key, None).await, Ok(there) if there == bytes) {
            upload.is_over = true;
            return Ok(());
        }
        upload.take_back().await;
        Err(error)
    }

    async fn begin(&self, name: String) -> Result<Upload, Error> {
        let begin = self.client.create_multipart_upload().bucket(&self.bucket).key(&name);
        // Named here, since each part brings one: services refuse to put together what they were not told of.
        let begun = begin.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await;
        let begun = begun.map_err(|error| self.error("beginning to put an object", error))?;
        let id = begun.upload_id().unwrap_or_default().to_owned();
        Ok(Upload { client: self.client.clone(), bucket: self.bucket.clone(), name, id, is_over: false })
    }

    /// Puts all parts. After one has failed none is begun, and those under way are waited for: one that is still arriving when the upload is
    /// taken back may be left.
    async fn put_parts(&self, upload: &Upload, bytes: &Bytes) -> Result<Vec<CompletedPart>, Error> {
        let has_failed = AtomicBool::new(false);
        let parts: Vec<_> = (1..)
            .zip((0..bytes.len()).step_by(PART_BYTES))
            .map(|(number, start)| {
                let end = (start + PART_BYTES).min(bytes.len());
                let (part, has_failed) = (bytes.slice(start..end), &has_failed);
                async move {
                    if has_failed.load(Ordering::Relaxed) {
                        let text = "another part of it failed";
                        return Err(Error::Unavailable(Cause::new("putting a part of an object", text)));
                    }
                    let put = self.put_part(upload, number, part).await;
                    has_failed.fetch_or(put.is_err(), Ordering::Relaxed);
                    put
                }
            })
            .collect();
        let put: Vec<_> = futures::stream::iter(parts).buffered(AT_ONCE).collect().await;
        put.into_iter().collect()
    }

    /// Puts the part of that number, from 1.
    async fn put_part(&self, upload: &Upload, number: i32, bytes: Bytes) -> Result<CompletedPart, Error> {
        let part = self.client.upload_part().bucket(&self.bucket).key(&upload.name).upload_id(&upload.id);
        let put = part.part_number(number).body(ByteStream::from(bytes)).send().await;
        let put = put.map_err(|error| self.error("putting a part of an object", error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(put.e_tag)
            .set_checksum_crc32(put.checksum_crc32)
            .build())
    }

    async fn put_together(&self, upload: &Upload, parts: Vec<CompletedPart>) -> Result<(), Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.bucket).key(&upload.name);
        let done = complete.upload_id(&upload.id).multipart_upload(parts).send().await;
        done.map(drop).map_err(|error| self.error("putting an object together", error))
    }
}
