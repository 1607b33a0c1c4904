//! The listener: plain HTTP/1.1. TLS and HTTP/2 towards browsers are a reverse proxy's part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::add_extension::AddExtension;

use crate::client::Peer;
use crate::tasks::Tasks;
use crate::{Limits, Means};

/// What hyper buffers at least, and refuses to go below.
const LEAST_HEADER_BYTES: usize = 8 * 1024;
/// How long to wait when the machine has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API until `shutdown`: then no connection is accepted any more, requests under way come to their end
/// (with their connections or without), and what is not done after [`Limits::shutdown_grace`] is cut.
pub async fn serve(listener: TcpListener, means: Means, shutdown: CancellationToken) {
    let limits = means.limits.clone();
    let tasks = Tasks::default();
    let router = crate::routes::tracked(means, tasks.clone());
    let room = Arc::new(Semaphore::new(limits.max_connections));
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let router = AddExtension::new(router.clone(), Peer(peer.ip()));
        let (limits, shutdown, cut) = (limits.clone(), shutdown.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                () = connection(stream, router, &limits, &shutdown) => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    // In this order: connections start tasks.
    let end = async || {
        connections.wait().await;
        tasks.wait().await;
    };
    if tokio::time::timeout(limits.shutdown_grace, end()).await.is_err() {
        let (connections, tasks_left) = (connections.len(), tasks.len());
        tracing::warn!(
            http.connections = connections,
            http.tasks = tasks_left,
            "requests did not end in time and are cut"
        );
        cut.cancel();
        tasks.cut();
        end().await;
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            // Of one connection, or of the machine (no descriptors left): neither is a reason to stop.
            tracing::warn!(error.cause = %error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: AddExtension<Router, Peer>,
    limits: &Limits,
    shutdown: &CancellationToken,
) {
    // Without it an answer's last small packet waits for the client's delayed acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(limits.header_bytes.max(LEAST_HEADER_BYTES));
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client went away or spoke no HTTP: worth a line only to whoever looks for it.
        tracing::debug!(error.cause = %error, "a connection ended early");
    }
}
