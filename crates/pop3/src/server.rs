//! The accept loop: admission, TLS or not, one task a session, and an orderly end.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mailstore::MailStore;
use tenancy::auth::Auth;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::admission::{Admission, Admitted};
use crate::codec::response::{Code, Status};
use crate::connection::Connection;
use crate::limits::Limits;
use crate::op::retr::ROOM_UNIT_BYTES;
use crate::session::Session;

/// How long accepting pauses after it failed, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the sessions of one or more listeners work with.
pub struct Pop3 {
    /// Checks passwords.
    pub auth: Auth,
    /// Opens maildrops.
    pub store: MailStore,
    /// Certificate and key, for STLS and for implicit TLS.
    pub tls: Arc<rustls::ServerConfig>,
    /// The bounds of each listener.
    pub limits: Limits,
    /// How the server names itself in its greeting.
    pub hostname: String,
}

impl fmt::Debug for Pop3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pop3")
            .field("hostname", &self.hostname)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// When a connection becomes TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// When the client says STLS (RFC 2595); port 110.
    Starttls,
    /// From its first byte (RFC 8314 §3.2); port 995.
    Implicit,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Implicit => "implicit",
        }
    }
}

/// Serves POP3 on `listener` until `shutdown`. Then no connection is accepted any more, sessions finish the command
/// they are at and end without deleting anything, and those that take longer than the grace are cut off.
pub async fn serve(listener: TcpListener, service: Arc<Pop3>, mode: Mode, shutdown: CancellationToken) {
    let admission = Admission::new(&service.limits);
    let room = service.limits.bodies_in_flight_bytes.div_ceil(ROOM_UNIT_BYTES);
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    let bodies = Arc::new(Semaphore::new(room));
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = sessions.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match admission.admit(address.ip()) {
                    Some(admitted) => {
                        count(mode, "accepted");
                        let session = session(stream, address, &service, mode, &bodies, &shutdown);
                        sessions.spawn(hold(admitted, mode, session));
                    }
                    None => turn_away(&stream, mode),
                },
                Err(error) => {
                    tracing::warn!(error = %error, pop3.mode = mode.as_str(), "pop3 cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let finish = async {
        while let Some(ended) = sessions.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(service.limits.shutdown_grace, finish).await.is_err() {
        tracing::warn!(pop3.mode = mode.as_str(), pop3.sessions = sessions.len(), "pop3 sessions cut off");
        sessions.shutdown().await;
    }
}

fn session(
    stream: TcpStream,
    address: SocketAddr,
    service: &Arc<Pop3>,
    mode: Mode,
    bodies: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    // Responses are written whole; waiting to fill a packet only delays them. A socket that refuses is slower, not
    // wrong.
    let _ = stream.set_nodelay(true);
    let connection = Connection::new(stream, &service.limits);
    let session = Session::new(service.clone(), connection, address.ip(), bodies.clone(), shutdown.clone());
    let span =
        tracing::info_span!("pop3.session", request.id = %session.request_id, pop3.mode = mode.as_str());
    session.run(mode).instrument(span)
}

/// Counts the connection as open, and keeps its place, for as long as the session lasts.
async fn hold(admitted: Admitted, mode: Mode, session: impl Future<Output = ()> + Send) {
    let _place = (admitted, Open::new(mode));
    session.await;
}

/// An open connection in the gauge; also when its task is cut off.
struct Open(Mode);

impl Open {
    fn new(mode: Mode) -> Self {
        metrics::gauge!("pillarbox_pop3_open_connections", "mode" => mode.as_str()).increment(1);
        Self(mode)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("pillarbox_pop3_open_connections", "mode" => self.0.as_str()).decrement(1);
    }
}

/// Tells a client without TLS why; a fresh socket has room for one line, and nobody waits for it.
fn turn_away(stream: &TcpStream, mode: Mode) {
    count(mode, "turned_away");
    tracing::warn!(pop3.mode = mode.as_str(), "pop3 connection turned away, too many are open");
    if mode == Mode::Starttls {
        let status = Status::coded(Code::SysTemp, "too many connections, try again later");
        let _: io::Result<usize> = stream.try_write(status.as_bytes());
    }
}

fn count(mode: Mode, outcome: &'static str) {
    metrics::counter!("pillarbox_pop3_connections_total", "mode" => mode.as_str(), "outcome" => outcome)
        .increment(1);
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %error, "pop3 session failed");
    }
}
