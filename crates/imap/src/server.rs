//! What a listener's sessions work with.

use std::fmt;
use std::sync::Arc;

use mailstore::MailStore;
use socket::listen::{Listen, Mode};
use tenancy::auth::Auth;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::connection::Connection;
use crate::limits::Limits;
use crate::room::Room;
use crate::session::Session;
use crate::uids::Lists;

/// What the sessions of one or more listeners work with.
pub struct Imap {
    /// Checks passwords.
    pub auth: Auth,
    /// Where the mail is.
    pub store: MailStore,
    /// Certificate and key, for STARTTLS and for implicit TLS.
    pub tls: Arc<rustls::ServerConfig>,
    /// The bounds of each listener.
    pub limits: Limits,
    /// How the server names itself in its greeting.
    pub hostname: String,
}

impl fmt::Debug for Imap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap")
            .field("hostname", &self.hostname)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Serves IMAP on `listener` until `shutdown`. Then no connection is accepted any more, sessions finish the command they are at, and those
/// that take longer than the grace are cut off.
pub async fn serve(listener: TcpListener, service: Arc<Imap>, mode: Mode, shutdown: CancellationToken) {
    let room = Arc::new(Room::new(&service.limits));
    let lists = Arc::new(Lists::default());
    let listen = Listen {
        protocol: "imap",
        mode,
        max_connections: service.limits.max_connections,
        max_connections_per_peer: service.limits.max_connections_per_peer,
        shutdown_grace: service.limits.shutdown_grace,
        too_many: "* BYE [UNAVAILABLE] too many connections, try again later\r\n",
    };
    let session = |stream, peer| {
        let connection = Connection::new(stream, &service.limits);
        let (room, lists) = (room.clone(), lists.clone());
        let session = Session::new(service.clone(), connection, peer, room, lists, shutdown.clone());
        let span =
            tracing::info_span!("imap.session", request.id = %session.request_id, imap.mode = mode.as_str());
        Box::new(session).run(mode).instrument(span)
    };
    listen.serve(listener, shutdown.clone(), session).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;

    fn bytes<S, F: Future>(_: impl Fn(Box<Session>, S) -> F) -> usize {
        size_of::<F>()
    }

    fn bytes_of_idle<F: Future>(_: impl Fn(&'static mut Session) -> F) -> usize {
        size_of::<F>()
    }

    /// A server has thousands of them.
    #[test]
    fn a_session_that_waits_is_small() {
        let (all, session, idle) = (bytes(Session::run), size_of::<Session>(), bytes_of_idle(op::idle::run));
        assert!(all + session + idle <= 4 << 10, "{all} {session} {idle}");
    }
}
