//! Submission (RFC 6409): the mail of people who have signed in, on its way to others.

mod auth;
mod data;
mod hello;
mod limits;
mod mail;
mod rcpt;
mod session;
mod starttls;
mod turns;

use std::fmt;
use std::sync::Arc;

use socket::listen::Listen;
use submission::Submission;
use tenancy::auth::Auth;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::reply::TOO_MANY_CONNECTIONS;

pub use limits::Limits;
pub use socket::listen::Mode;

use data::Rooms;
use session::Session;
use turns::Turns;

/// What the sessions of one or more listeners work with.
pub struct Msa {
    /// Checks credentials.
    pub auth: Auth,
    /// Takes mail.
    pub submission: Submission,
    /// Certificate and key, for STARTTLS and for implicit TLS.
    pub tls: Arc<rustls::ServerConfig>,
    /// The bounds of each listener.
    pub limits: Limits,
}

impl fmt::Debug for Msa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Msa").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Serves submission on `listener` until `shutdown`. Then no connection is accepted any more, and sessions finish the command they are at; those
/// that take longer than the grace are cut off.
pub async fn serve(listener: TcpListener, service: Arc<Msa>, mode: Mode, shutdown: CancellationToken) {
    let limits = &service.limits;
    let rooms = Arc::new(Rooms::new(limits));
    let turns = Turns::new(limits.messages_at_once);
    let listen = Listen {
        protocol: "submission",
        mode,
        max_connections: limits.max_connections,
        max_connections_per_peer: limits.max_connections_per_peer,
        shutdown_grace: limits.shutdown_grace,
        too_many: TOO_MANY_CONNECTIONS,
    };
    let session = |stream, peer| {
        let session =
            Session::new(service.clone(), stream, peer, (rooms.clone(), turns.clone()), shutdown.clone());
        let span = tracing::info_span!("submission.session", request.id = %session.request_id, submission.mode = mode.as_str());
        session.run(mode).instrument(span)
    };
    data::begin_counts();
    listen.serve(listener, shutdown.clone(), session).await;
}
