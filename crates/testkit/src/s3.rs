//! An S3 server in this process: `s3s-fs` behind real HTTP on a loopback port, checking real signatures.
//!
//! It keeps objects in a temporary folder and fsyncs nothing: good for tests of the wire, not of durability.

mod versions;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use versions::Version;
use versions::{Versioned, Versions};

/// The bucket that the server starts with.
pub const BUCKET: &str = "pillarbox-test";
/// The access key that the server lets in.
pub const ACCESS_KEY_ID: &str = "GK0123456789abcdef01234567";
/// That key's secret.
pub const SECRET_ACCESS_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const REGION: &str = "us-east-1";

/// A running server with one empty bucket; it stops, and its objects go, when dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    root: TempDir,
    /// `None`: the bucket keeps none, and the server does not know of them.
    versions: Option<Arc<Versions>>,
}

impl S3Server {
    /// Starts a server on a free port of 127.0.0.1, on a thread of its own, so that a test that blocks does not stop it.
    pub async fn start() -> S3Server {
        Self::with(None).await
    }

    /// As [`Self::start`], with a bucket that keeps every version of its objects.
    pub async fn versioned() -> S3Server {
        Self::with(Some(Arc::default())).await
    }

    async fn with(versions: Option<Arc<Versions>>) -> S3Server {
        let started = tokio::task::spawn_blocking(move || start(versions)).await;
        started.expect("the S3 server's start does not panic").expect(
            "an S3 server starts on 127.0.0.1 with a temporary folder: is the loopback up and the disk writable?",
        )
    }

    /// What the bucket keeps of the objects whose names begin so, each object's oldest version first; nothing in a bucket without versions.
    pub fn versions(&self, prefix: &str) -> Vec<Version> {
        self.versions.as_ref().map_or_else(Vec::new, |versions| versions.under(prefix))
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A `PILLARBOX_BLOB_URL` for a part of the bucket: stores with different prefixes see nothing of each other.
    pub fn url(&self, prefix: &str) -> String {
        url(self.address, REGION, prefix)
    }

    /// The folder in which an object's name in the bucket is its path: to see what the server was really told.
    pub fn bucket_folder(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }

    /// The AWS variables that let a process in.
    pub fn env(&self) -> [(&'static str, &'static str); 2] {
        env()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; a second one here would abort the test run.
            let _ = thread.join();
        }
    }
}

pub(crate) fn url(address: SocketAddr, region: &str, prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}?endpoint=http://{address}&region={region}&path_style=true")
}

pub(crate) fn env() -> [(&'static str, &'static str); 2] {
    [("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]
}

fn start(versions: Option<Arc<Versions>>) -> anyhow::Result<S3Server> {
    let root = tempfile::Builder::new().prefix("pillarbox-s3-").tempdir()?;
    std::fs::create_dir(root.path().join(BUCKET))?;
    let service = service(root.path(), versions.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name("s3-server".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, service) => {}
                // The sender is dropped, never used.
                _ = stopped => {}
            }
        });
        runtime.shutdown_background();
    })?;
    Ok(S3Server { address, stop: Some(stop), thread: Some(thread), root, versions })
}

fn service(root: &Path, versions: Option<Arc<Versions>>) -> anyhow::Result<S3Service> {
    let files = s3s_fs::FileSystem::new(root)
        .map_err(|error| anyhow::anyhow!("{error:?}"))
        .context("opening the S3 server's folder")?;
    let mut builder = match versions {
        Some(versions) => S3ServiceBuilder::new(Versioned { files, folder: root.join(BUCKET), versions }),
        None => S3ServiceBuilder::new(files),
    };
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
    Ok(builder.build())
}

async fn accept(listener: TcpListener, service: S3Service) {
    let http = Builder::new(TokioExecutor::new());
    while let Ok((socket, _)) = listener.accept().await {
        // Without it each response waits 40 ms for the client's delayed acknowledgement.
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        let connection = http.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
        // A client that goes away ends its connection with an error; that is the client's matter.
        tokio::spawn(async move { drop(connection.await) });
    }
}
