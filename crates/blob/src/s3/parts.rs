//! Large objects, put in parts: what breaks off is sent again by the part, and there is nothing under the name until all are there.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::S3Store;
use crate::{BlobKey, Error};

/// From so many bytes on an object is put in parts.
pub(super) const LARGE_BYTES: usize = 16 << 20;
/// How many bytes each part has but the last; S3 takes none of less than 5 MiB before the last.
const PART_BYTES: usize = 8 << 20;
/// How many parts are under way at a time.
const AT_ONCE: usize = 4;

/// An upload that has begun: the object's name, and what the service calls the upload.
struct Upload {
    name: String,
    id: String,
}

impl S3Store {
    /// Puts an object in parts.
    pub(super) async fn put_in_parts(&self, key: &BlobKey, bytes: Bytes) -> Result<(), Error> {
        let upload = self.begin(self.name(key)).await?;
        match self.put_parts(&upload, &bytes).await {
            Ok(()) => Ok(()),
            // A completion whose answer was lost is asked for again, and there is no such upload any more. Services answer that
            // in as many ways as there are services; what is under the name says what happened.
            Err(error) => match self.fetch_in_time(key, None).await {
                Ok(there) if there == bytes => Ok(()),
                Ok(_) | Err(_) => {
                    self.take_back(&upload).await;
                    Err(error)
                }
            },
        }
    }

    async fn begin(&self, name: String) -> Result<Upload, Error> {
        let begin = self.client.create_multipart_upload().bucket(&self.bucket).key(&name);
        let begun = begin.send().await.map_err(|error| self.error("beginning to put an object", error))?;
        Ok(Upload { name, id: begun.upload_id().unwrap_or_default().to_owned() })
    }

    async fn put_parts(&self, upload: &Upload, bytes: &Bytes) -> Result<(), Error> {
        let parts: Vec<_> = (1..)
            .zip((0..bytes.len()).step_by(PART_BYTES))
            .map(|(number, start)| {
                let end = (start + PART_BYTES).min(bytes.len());
                self.put_part(upload, number, bytes.slice(start..end))
            })
            .collect();
        let parts = futures::stream::iter(parts).buffered(AT_ONCE).try_collect().await?;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.bucket).key(&upload.name);
        let done = complete.upload_id(&upload.id).multipart_upload(parts).send().await;
        done.map(drop).map_err(|error| self.error("putting an object together", error))
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

    /// Parts that are not put together cost room and have no name; if this fails too, the bucket's own rule takes them.
    async fn take_back(&self, upload: &Upload) {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(&upload.name);
        if let Err(error) = abort.upload_id(&upload.id).send().await {
            tracing::warn!(
                blob.name = upload.name,
                ?error,
                "parts of an object that was not put together are left"
            );
        }
    }
}
