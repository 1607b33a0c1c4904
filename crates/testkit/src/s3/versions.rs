//! A bucket that keeps versions: `s3s-fs` has what is there, and memory what was there before and the markers of what was deleted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteMarkerEntry, DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ObjectVersion, PutObjectInput, PutObjectOutput, StreamingBlob, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

/// How many versions a page has at most: fewer than services give, and never more than they may.
const PAGE: usize = 3;

/// What a bucket keeps of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The object's name in the bucket.
    pub name: String,
    /// What it was; `None` for a marker that it was deleted.
    pub bytes: Option<Bytes>,
}

#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the object's name, the oldest first.
    objects: BTreeMap<String, Vec<Kept>>,
    /// How many ids were given out.
    given: u64,
}

#[derive(Debug)]
struct Kept {
    id: String,
    bytes: Option<Bytes>,
}

impl Versions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All under a prefix, each object's oldest first.
    pub(super) fn under(&self, prefix: &str) -> Vec<Version> {
        let state = self.state();
        let objects = state.objects.iter().filter(|(name, _)| name.starts_with(prefix));
        objects
            .flat_map(|(name, kept)| {
                kept.iter().map(move |one| Version { name: name.clone(), bytes: one.bytes.clone() })
            })
            .collect()
    }

    /// Keeps a version, or a marker; its id.
    fn push(&self, name: String, bytes: Option<Bytes>) -> String {
        let mut state = self.state();
        state.given += 1;
        let id = format!("version-{}", state.given);
        state.objects.entry(name).or_default().push(Kept { id: id.clone(), bytes });
        id
    }

    /// Forgets a version; what the object is then, if it is there.
    fn remove(&self, name: &str, id: &str) -> Option<Bytes> {
        let mut state = self.state();
        let kept = state.objects.get_mut(name)?;
        kept.retain(|one| one.id != id);
        let current = kept.last().and_then(|one| one.bytes.clone());
        if kept.is_empty() {
            state.objects.remove(name);
        }
        current
    }

    /// The newest version of each object first, as services list them. A place is known by a version only while that is there.
    fn page(&self, input: ListObjectVersionsInput) -> S3Result<ListObjectVersionsOutput> {
        let state = self.state();
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let all: Vec<(&String, &Kept, bool)> = state
            .objects
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .flat_map(|(name, kept)| kept.iter().rev().enumerate().map(move |(at, one)| (name, one, at == 0)))
            .collect();
        let start = match (&input.key_marker, &input.version_id_marker) {
            (None, _) => 0,
            (Some(key), None) => all.iter().filter(|(name, ..)| *name <= key).count(),
            (Some(key), Some(id)) => {
                let at = all.iter().position(|(name, one, _)| *name == key && one.id == *id);
                at.ok_or_else(|| s3_error!(InvalidArgument))? + 1
            }
        };
        let rest = all.get(start..).unwrap_or_default();
        let page = rest.get(..PAGE).unwrap_or(rest);
        let is_truncated = rest.len() > page.len();
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        for (name, one, is_latest) in page {
            let (key, version_id) = (Some((*name).clone()), Some(one.id.clone()));
            let is_latest = Some(*is_latest);
            match &one.bytes {
                Some(bytes) => {
                    let size = i64::try_from(bytes.len()).ok();
                    versions.push(ObjectVersion {
                        key,
                        version_id,
                        is_latest,
                        size,
                        ..ObjectVersion::default()
                    });
                }
                None => markers.push(DeleteMarkerEntry {
                    key,
                    version_id,
                    is_latest,
                    ..DeleteMarkerEntry::default()
                }),
            }
        }
        let last = page.last().filter(|_| is_truncated);
        Ok(ListObjectVersionsOutput {
            is_truncated: Some(is_truncated),
            next_key_marker: last.map(|(name, ..)| (*name).clone()),
            next_version_id_marker: last.map(|(_, one, _)| one.id.clone()),
            versions: Some(versions),
            delete_markers: Some(markers),
            ..ListObjectVersionsOutput::default()
        })
    }
}

/// Files, with versions of those of one bucket.
pub(super) struct Versioned {
    pub(super) files: FileSystem,
    /// The bucket's folder.
    pub(super) folder: PathBuf,
    pub(super) versions: Arc<Versions>,
}

#[async_trait::async_trait]
impl S3 for Versioned {
    async fn put_object(&self, mut req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let name = req.input.key.clone();
        let Some(body) = req.input.body.take() else { return Err(s3_error!(IncompleteBody)) };
        let bytes = read(body).await?;
        req.input.body = Some(body_of(bytes.clone()));
        let mut answer = self.files.put_object(req).await?;
        answer.output.version_id = Some(self.versions.push(name, Some(bytes)));
        Ok(answer)
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let name = req.input.key.clone();
        let Some(id) = req.input.version_id.clone() else {
            let mut answer = self.files.delete_object(req).await?;
            answer.output.delete_marker = Some(true);
            answer.output.version_id = Some(self.versions.push(name, None));
            return Ok(answer);
        };
        match self.versions.remove(&name, &id) {
            Some(bytes) => {
                let bucket = req.input.bucket.clone();
                let body = Some(body_of(bytes));
                let back = PutObjectInput { bucket, key: name, body, ..PutObjectInput::default() };
                self.files.put_object(req.map_input(|_| back)).await?;
            }
            None => {
                self.files.delete_object(req).await?;
            }
        }
        Ok(S3Response::new(DeleteObjectOutput { version_id: Some(id), ..DeleteObjectOutput::default() }))
    }

    async fn list_object_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        Ok(S3Response::new(self.versions.page(req.input)?))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.files.get_object(req).await
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.files.create_multipart_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.files.upload_part(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let name = req.input.key.clone();
        let mut answer = self.files.complete_multipart_upload(req).await?;
        let put = tokio::fs::read(self.folder.join(&name)).await;
        let put = put.map_err(|error| s3_error!(error, InternalError))?;
        answer.output.version_id = Some(self.versions.push(name, Some(put.into())));
        Ok(answer)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(req).await
    }
}

async fn read(mut body: StreamingBlob) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part.map_err(|_| s3_error!(IncompleteBody))?);
    }
    Ok(bytes.freeze())
}

fn body_of(bytes: Bytes) -> StreamingBlob {
    StreamingBlob::wrap(futures::stream::iter([Ok::<_, std::io::Error>(bytes)]))
}
