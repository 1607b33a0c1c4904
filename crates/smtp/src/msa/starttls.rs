//! STARTTLS (RFC 3207).

use super::session::{End, Session};
use crate::reply::Reply;

/// After the handshake both start over.
pub(super) async fn starttls(session: &mut Session) -> Result<Option<Reply>, End> {
    if session.wire.is_tls() {
        return Ok(Some(Reply::tls_already()));
    }
    session.wire.reply(&Reply::begin_tls()).await?;
    session.wire.flush().await?;
    session.start_over();
    handshake(session).await?;
    // The client has the next word.
    Ok(None)
}

/// Plays the server's part of a handshake, unless the server shuts down first.
pub(super) async fn handshake(session: &mut Session) -> Result<(), End> {
    let (tls, limit) = (session.service.tls.clone(), session.service.limits.handshake_timeout);
    tokio::select! {
        () = session.shutdown.cancelled() => Err(End::Shutdown),
        upgraded = session.wire.upgrade(tls, limit) => upgraded.map_err(End::Tls),
    }
}
