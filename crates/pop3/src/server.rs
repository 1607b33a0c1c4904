//! What a listener's sessions work with.

use std::fmt;
use std::sync::Arc;

use mailstore::MailStore;
use socket::listen::{Listen, Mode};
use socket::room::Room;
use tenancy::auth::Auth;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::connection::Connection;
use crate::limits::Limits;
use crate::session::Session;

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

/// Serves POP3 on `listener` until `shutdown`. Then no connection is accepted any more, sessions finish the command
/// they are at and end without deleting anything, and those that take longer than the grace are cut off.
pub async fn serve(listener: TcpListener, service: Arc<Pop3>, mode: Mode, shutdown: CancellationToken) {
    let room = Arc::new(Room::new(service.limits.bodies_in_flight_bytes, mailstore::MAX_MESSAGE_BYTES));
    let listen = Listen {
        protocol: "pop3",
        mode,
        max_connections: service.limits.max_connections,
        max_connections_per_peer: service.limits.max_connections_per_peer,
        shutdown_grace: service.limits.shutdown_grace,
        too_many: "-ERR [SYS/TEMP] too many connections, try again later\r\n",
    };
    let session = |stream, peer| {
        let connection = Connection::new(stream, &service.limits);
        let session = Session::new(service.clone(), connection, peer, room.clone(), shutdown.clone());
        let span =
            tracing::info_span!("pop3.session", request.id = %session.request_id, pop3.mode = mode.as_str());
        session.run(mode).instrument(span)
    };
    listen.serve(listener, shutdown.clone(), session).await;
}
