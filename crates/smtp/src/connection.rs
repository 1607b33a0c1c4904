//! One client, from its greeting to its end.

use std::io;
use std::net::IpAddr;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::codec::command::{self, Dialect};
use crate::codec::line::{Frame, LINE_MAX_OCTETS};
use crate::lmtp::{self, Flow};
use crate::reply::Reply;
use crate::serve::Server;
use crate::session::Session;
use crate::wire::{Interruption, Wire};

/// Serves a client until one of both ends it.
pub(crate) async fn run(server: &Server, stream: TcpStream, peer: IpAddr, shutdown: &CancellationToken) {
    let mut wire = Wire::new(stream, LINE_MAX_OCTETS, server.service.limits.command_timeout);
    match talk(server, &mut wire, peer, shutdown).await {
        Ok(()) => wire.close().await,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            tracing::info!("client too slow, closing");
            if wire.reply(&Reply::timeout()).await.is_ok() {
                wire.close().await;
            }
        }
        Err(error) => tracing::debug!(error.cause = %error, "connection lost"),
    }
}

/// Answers commands; returns when the last reply is queued and the connection is to be closed.
async fn talk(
    server: &Server,
    wire: &mut Wire,
    peer: IpAddr,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    let limits = &server.service.limits;
    let mut session = Session::default();
    wire.reply(&Reply::greeting(&server.service.hostname)).await?;
    loop {
        let command = match wire.frame(shutdown).await {
            Ok(Frame::Line(line)) => command::parse(&line, Dialect::Lmtp).map_err(Reply::from),
            Ok(Frame::TooLong) => Err(Reply::line_too_long()),
            Ok(Frame::BareLineFeed) => Err(Reply::bare_line_feed()),
            Err(Interruption::Closed) => return Ok(()),
            Err(Interruption::Shutdown) => return wire.reply(&Reply::shutdown()).await,
            Err(Interruption::Failed(error)) => return Err(error),
        };
        let outcome = match command {
            Ok(command) => lmtp::execute(server, &mut session, wire, peer, command).await?,
            Err(reply) => Flow::Reply(reply),
        };
        match outcome {
            Flow::Reply(reply) => {
                wire.reply(&reply).await?;
                if reply.is_fault() && session.is_fault_too_many(limits.faults) {
                    tracing::info!("too many mistakes, closing");
                    return wire.reply(&Reply::too_many_faults()).await;
                }
            }
            Flow::Replied => {}
            Flow::Quit(reply) => return wire.reply(&reply).await,
        }
    }
}
