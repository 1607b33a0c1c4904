//! The listener: who gets in, and how everyone gets out.

use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mailstore::MailStore;
use tenancy::recipient::Recipients;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::codec::mark::SpamMark;
use crate::connection;
use crate::intake::most_bytes;
use crate::limits::Limits;
use crate::reply::Reply;
use crate::room::Room;

/// How long to leave a listener alone that cannot accept, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an LMTP server is made of.
#[derive(Debug)]
pub struct Lmtp {
    /// Finds the mailbox of an address.
    pub recipients: Recipients,
    /// Where messages go.
    pub store: MailStore,
    /// This server's name, in greetings and Received fields: a host name.
    pub hostname: String,
    /// The header field that makes a message go into Junk. Whoever reaches the listener is believed; `None`: nobody.
    pub spam_mark: Option<SpamMark>,
    /// What a client may use up.
    pub limits: Limits,
}

/// One listener at work: the service and what its connections share.
pub(crate) struct Server {
    pub(crate) service: Arc<Lmtp>,
    pub(crate) room: Room,
}

/// Serves LMTP on `listener` until `shutdown` is cancelled.
///
/// Then nobody new gets in, and sessions between two commands get 421 and end; one in the middle of DATA finishes
/// its transaction, for at most [`Limits::shutdown_grace`]. Returns when every session has ended.
pub async fn serve(listener: TcpListener, service: Arc<Lmtp>, shutdown: CancellationToken) {
    let limits = &service.limits;
    let room =
        Room::new(limits.bodies_in_flight_bytes.max(most_bytes(limits.message_bytes)), limits.body_wait);
    let connections = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let shutdown_grace = limits.shutdown_grace;
    let server = Arc::new(Server { service, room });
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());

    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => match connections.clone().try_acquire_owned() {
                Ok(permit) => {
                    metrics::counter!("pillarbox_lmtp_connections_total", "outcome" => "accepted")
                        .increment(1);
                    let (shutdown, stop) = (shutdown.clone(), stop.clone());
                    tasks.spawn(session(server.clone(), stream, peer.ip(), permit, shutdown, stop));
                }
                Err(_) => {
                    metrics::counter!("pillarbox_lmtp_connections_total", "outcome" => "refused")
                        .increment(1);
                    refuse(stream);
                }
            },
            Err(error) => {
                tracing::warn!(error.cause = %error, "cannot accept lmtp connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    drop(listener);
    tasks.close();
    if tokio::time::timeout(shutdown_grace, tasks.wait()).await.is_err() {
        tracing::warn!(sessions = tasks.len(), "lmtp sessions cut off at the end of the drain");
        stop.cancel();
        tasks.wait().await;
    }
}

async fn session(
    server: Arc<Server>,
    stream: TcpStream,
    peer: IpAddr,
    permit: OwnedSemaphorePermit,
    shutdown: CancellationToken,
    stop: CancellationToken,
) {
    let _open = Open::new();
    // Replies are written whole; waiting for more to send with them only costs the client its time.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error.cause = %error, "cannot set TCP_NODELAY");
    }
    tokio::select! {
        () = connection::run(&server, stream, peer, &shutdown) => {}
        () = stop.cancelled() => {}
    }
    drop(permit);
}

/// Counts an open connection for as long as it lives, however it ends.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("pillarbox_lmtp_open_connections").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("pillarbox_lmtp_open_connections").decrement(1);
    }
}

/// Tells a client that there are too many. Nobody waits for it: into a socket this new the reply fits. The runtime
/// has not seen it writable yet, so the system's own call is made.
fn refuse(stream: TcpStream) {
    let mut reply = Vec::new();
    Reply::too_many_connections().render(&mut reply);
    if let Err(error) = stream.into_std().and_then(|mut stream| stream.write_all(&reply)) {
        tracing::debug!(error.cause = %error, "refused client is gone");
    }
}
