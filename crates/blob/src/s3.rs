//! Objects in a bucket of an S3-compatible service.

mod parts;
mod versions;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls;
use bytes::Bytes;
use secrecy::ExposeSecret;

use crate::key::{is_stray, is_within};
use crate::{
    BlobKey, BlobStore, Cause, Credentials, Error, KeyPage, KeyPrefix, Location, PAGE_KEYS, S3Location,
    S3Options,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The first wait is a random part of this, each later one of twice the one before.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 5;
/// The SDK retries requests; a response that breaks off in its body is ours to ask for again.
const BODY_ATTEMPTS: u32 = 3;

/// Keeps each object in a bucket under the location's prefix.
#[derive(Debug)]
pub(crate) struct S3Store {
    client: Client,
    bucket: String,
    /// Empty, or ends with a slash: the prefix `a` must not cover `ab/`.
    prefix: String,
    /// All tries together, with the waits between them.
    operation_timeout: Duration,
}

impl S3Store {
    /// Makes a client; nothing is sent yet.
    pub(crate) async fn open(location: &S3Location, options: S3Options) -> Result<Self, Error> {
        let operation_timeout = options.attempt_timeout.mul_f32(2.5);
        let builder = match options.credentials {
            Some(credentials) => builder_for(location, credentials)?,
            None => builder_from_environment(location).await,
        };
        let mut builder = builder
            .force_path_style(location.path_style)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(BACKOFF_FIRST)
                    .with_max_backoff(BACKOFF_MAX),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(options.attempt_timeout)
                    .operation_timeout(operation_timeout)
                    .build(),
            )
            .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
            .response_checksum_validation(ResponseChecksumValidation::WhenSupported);
        if let Some(endpoint) = &location.endpoint {
            builder = builder.endpoint_url(endpoint.as_str());
        }
        let plain = location.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
        let config = builder.http_client(http_client(plain)).build();
        if config.region().is_none() {
            let text = "no region: add &region=… to the URL or set AWS_REGION";
            return Err(Error::Misconfigured(Cause::new(describe(location), text)));
        }
        let prefix = match location.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self {
            client: Client::from_conf(config),
            bucket: location.bucket.clone(),
            prefix,
            operation_timeout,
        })
    }

    fn name(&self, key: &BlobKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The object or a part of it, read to its last byte.
    async fn fetch(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        let mut attempt = 1;
        loop {
            let request = self.client.get_object().bucket(&self.bucket).key(self.name(key));
            let header = range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end - 1));
            let response = request
                .set_range(header)
                .send()
                .await
                .map_err(|error| self.error("getting an object", error))?;
            if let Some(range) = &range {
                check_range(&response, range)?;
            }
            match response.body.collect().await {
                Ok(body) => return Ok(body.into_bytes()),
                Err(error) if attempt < BODY_ATTEMPTS => {
                    tracing::debug!(blob.attempt = attempt, %error, "a response broke off, asking again");
                    attempt += 1;
                }
                Err(error) => {
                    return Err(Error::Unavailable(Cause::new("reading an object's bytes", error)));
                }
            }
        }
    }

    /// As `fetch`, with an end in time: the SDK's time-outs stop at the response's head.
    async fn fetch_in_time(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        match tokio::time::timeout(self.operation_timeout, self.fetch(key, range)).await {
            Ok(result) => result,
            Err(elapsed) => Err(Error::Unavailable(Cause::new("getting an object", elapsed))),
        }
    }

    fn error<E>(&self, doing: &str, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(|error| error.code()).map(str::to_owned);
        let doing = match (&code, status) {
            (Some(code), _) => format!("{doing} in bucket {}: the service answers {code}", self.bucket),
            (None, Some(status)) => {
                format!("{doing} in bucket {}: the service answers {status}", self.bucket)
            }
            (None, None) => format!("{doing} in bucket {}", self.bucket),
        };
        let kind = match (&error, code.as_deref(), status) {
            (SdkError::TimeoutError(_) | SdkError::ResponseError(_), ..) => Error::Unavailable,
            (SdkError::DispatchFailure(failure), ..) => {
                let out_of_reach = failure.is_io() || failure.is_timeout() || failure.as_other().is_some();
                if out_of_reach { Error::Unavailable } else { Error::Misconfigured }
            }
            (_, Some("NoSuchKey" | "NoSuchVersion"), _) => return Error::NotFound,
            (_, Some("InvalidRange"), _) | (_, _, Some(416)) => return Error::RangeNotSatisfiable,
            // Credentials are renewed and clocks are set while we run; putting parts together fails with a 200.
            (
                _,
                Some(
                    "RequestTimeout"
                    | "ExpiredToken"
                    | "RequestTimeTooSkewed"
                    | "InternalError"
                    | "SlowDown"
                    | "ServiceUnavailable",
                ),
                _,
            )
            | (_, _, Some(429 | 500..=599)) => Error::Unavailable,
            // 301 and 400 with this code are the answers to a wrong region.
            (_, Some("NoSuchBucket" | "AuthorizationHeaderMalformed"), _)
            | (_, _, Some(301 | 307 | 401 | 403)) => Error::Misconfigured,
            _ => Error::Internal,
        };
        kind(Cause::new(doing, error))
    }
}

#[async_trait]
impl BlobStore for S3Store {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), Error> {
        if bytes.len() >= parts::LARGE_BYTES {
            return self.put_in_parts(key, bytes).await;
        }
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(self.name(key))
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map(drop)
            .map_err(|error| self.error("putting an object", error))
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, Error> {
        self.fetch_in_time(key, None).await
    }

    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, Error> {
        if range.is_empty() {
            // HTTP has no empty range; whether there is an object is asked with a range of one byte. (A HEAD would not tell
            // a missing object from a missing bucket.)
            return match self.fetch_in_time(key, Some(0..1)).await {
                Ok(_) | Err(Error::RangeNotSatisfiable) => Ok(Bytes::new()),
                Err(error) => Err(error),
            };
        }
        // Services read offsets as signed numbers; no object reaches that far.
        let end = range.end.min(i64::MAX.unsigned_abs());
        let start = range.start.min(end - 1);
        self.fetch_in_time(key, Some(start..end)).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), Error> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.name(key));
        match request.send().await.map_err(|error| self.error("deleting an object", error)) {
            // AWS answers 204 to what is absent; some services say that it is.
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, Error> {
        let response = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{}{prefix}", self.prefix))
            .set_start_after(after.map(|after| format!("{}{after}", self.prefix)))
            .max_keys(PAGE_KEYS as i32)
            .send()
            .await
            .map_err(|error| self.error("listing", error))?;
        let names: Vec<&str> = response
            .contents()
            .iter()
            .filter_map(|object| object.key()?.strip_prefix(self.prefix.as_str()))
            .collect();
        let next = match names.last() {
            Some(name) if response.is_truncated() == Some(true) => Some((*name).to_owned()),
            _ => None,
        };
        // Where all of the bucket is under our prefix, others may have theirs in it.
        let is_ours = |name: &&&str| is_stray(name) && (!self.prefix.is_empty() || is_within(name));
        let strays = match prefix {
            KeyPrefix::All => names.iter().filter(is_ours).map(|name| (*name).to_owned()).collect(),
            KeyPrefix::Tenant(_) | KeyPrefix::WrappedKeys(_) | KeyPrefix::Journal => Vec::new(),
        };
        Ok(KeyPage { keys: names.iter().filter_map(|name| name.parse().ok()).collect(), next, strays })
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), Error> {
        let knows_versions = self.erase_versions(&key.to_string(), Some(key)).await?;
        if knows_versions && !self.is_there(key).await? {
            return Ok(());
        }
        self.delete_only_version(key).await?;
        if self.is_there(key).await? { Err(self.still_there()) } else { Ok(()) }
    }

    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), Error> {
        let knows_versions = self.erase_versions(&prefix.to_string(), None).await?;
        let mut page = self.list(prefix, None).await?;
        if knows_versions && page.keys.is_empty() && page.next.is_none() {
            return Ok(());
        }
        // Asked where there is nothing: a marker would hide what is left from the next call, which would find nothing to do.
        self.delete_only_version(&BlobKey::nil()).await?;
        loop {
            for key in &page.keys {
                self.delete_only_version(key).await?;
            }
            let Some(after) = page.next else { break };
            page = self.list(prefix, Some(after.as_str())).await?;
        }
        if self.list(prefix, None).await?.keys.is_empty() { Ok(()) } else { Err(self.still_there()) }
    }
}

/// A service that ignores `Range` would hand out the wrong bytes.
fn check_range(response: &GetObjectOutput, asked: &Range<u64>) -> Result<(), Error> {
    let given = response.content_range().unwrap_or_default();
    let length = response.content_length().and_then(|length| u64::try_from(length).ok());
    let starts_right = given.starts_with(&format!("bytes {}-", asked.start));
    if starts_right && length.is_some_and(|length| length <= asked.end - asked.start) {
        return Ok(());
    }
    let text = format!("asked for bytes {}-{}, given {given:?}", asked.start, asked.end - 1);
    Err(Error::Internal(Cause::new("getting a part of an object", text)))
}

fn builder_for(location: &S3Location, credentials: Credentials) -> Result<Builder, Error> {
    let credentials = aws_sdk_s3::config::Credentials::new(
        credentials.access_key_id,
        credentials.secret_access_key.expose_secret(),
        None,
        None,
        "pillarbox",
    );
    let region =
        location.region.clone().or_else(|| location.endpoint.as_ref().map(|_| DEFAULT_REGION.into()));
    Ok(aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region(region.map(Region::new)))
}

/// What services that know no regions expect in a signature.
const DEFAULT_REGION: &str = "us-east-1";

async fn builder_from_environment(location: &S3Location) -> Builder {
    let region = match (&location.region, &location.endpoint) {
        (Some(region), _) => RegionProviderChain::first_try(Region::new(region.clone())),
        // Not the whole chain: it ends in asking an EC2 instance's metadata, which is not there beside an endpoint of one's own.
        (None, Some(_)) => RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(Region::from_static(DEFAULT_REGION)),
        (None, None) => RegionProviderChain::default_provider(),
    };
    let shared = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(false))
        .region(region)
        .load()
        .await;
    Builder::from(&shared)
}

/// TCP_NODELAY is this client's default. Without TLS no trust anchors are looked for: a bare machine has none.
fn http_client(plain: bool) -> SharedHttpClient {
    let trust = if plain { tls::TrustStore::empty() } else { tls::TrustStore::default() };
    let builder = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
    match tls::TlsContext::builder().with_trust_store(trust).build() {
        Ok(context) => builder.tls_context(context).build_https(),
        // Building fails only over certificates of one's own, which are not used here.
        Err(_) => builder.build_https(),
    }
}

fn describe(location: &S3Location) -> String {
    format!("opening {}", Location::S3(location.clone()))
}
