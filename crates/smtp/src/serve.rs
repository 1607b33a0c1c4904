//! The listener, and what its connections share.

use std::sync::Arc;

use mailstore::MailStore;
use socket::listen::{Listen, Mode};
use socket::room::Room;
use tenancy::recipient::Recipients;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::codec::mark::SpamMark;
use crate::connection;
use crate::intake::most_bytes;
use crate::limits::Limits;
use crate::lmtp;
use crate::reply::TOO_MANY_CONNECTIONS;

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
    /// All messages come from the MTA: there is nobody to share it with.
    pub(crate) room: Room<()>,
}

/// Serves LMTP on `listener` until `shutdown` is cancelled.
///
/// Then nobody new gets in, and sessions between two commands get 421 and end; one in the middle of DATA finishes
/// its transaction, for at most [`Limits::shutdown_grace`]. Returns when every session has ended.
pub async fn serve(listener: TcpListener, service: Arc<Lmtp>, shutdown: CancellationToken) {
    let limits = &service.limits;
    let room_bytes = limits.bodies_in_flight_bytes.max(most_bytes(limits.message_bytes));
    let room = Room::new(room_bytes, room_bytes);
    let listen = Listen {
        protocol: "lmtp",
        mode: Mode::Plain,
        max_connections: limits.max_connections,
        // All come from the MTA.
        max_connections_per_peer: limits.max_connections,
        shutdown_grace: limits.shutdown_grace,
        too_many: TOO_MANY_CONNECTIONS,
    };
    lmtp::begin_counts();
    let server = Arc::new(Server { service, room });
    let session = |stream, peer| {
        let (server, shutdown) = (server.clone(), shutdown.clone());
        async move { connection::run(&server, stream, peer, &shutdown).await }
    };
    listen.serve(listener, shutdown.clone(), session).await;
}
