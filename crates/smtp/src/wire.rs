//! The socket: bytes in and replies out, each with a bound on what is held and on how long it takes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use socket::stream::{Broken, Buffered};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::codec::data::{Decoder, Progress};
use crate::codec::line::{Frame, Framer};
use crate::reply::Reply;

/// How much is read at once.
pub(crate) const BLOCK_BYTES: usize = 16 << 10;
/// Replies that gather for one write (RFC 2920 §3.2); when there are more, the client has to read first.
const OUTPUT_BYTES: usize = 8 << 10;
/// How long to wait, at the end, for the client to close its side.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Wire {
    socket: Buffered,
    input: BytesMut,
    framer: Framer,
    /// The longest line.
    line_max_octets: usize,
    command_timeout: Duration,
}

/// What came instead of a line.
#[derive(Debug)]
pub(crate) enum Interruption {
    /// The client closed the connection.
    Closed,
    /// The server is shutting down.
    Shutdown,
    /// The connection failed, or the client was too slow ([`io::ErrorKind::TimedOut`]).
    Failed(io::Error),
}

impl Wire {
    /// Over a socket as it was accepted, for lines of at most `line_max_octets` octets.
    pub(crate) fn new(stream: TcpStream, line_max_octets: usize, command_timeout: Duration) -> Self {
        let (socket, framer) = (Buffered::new(stream, command_timeout), Framer::new(line_max_octets));
        Self { socket, input: BytesMut::new(), framer, line_max_octets, command_timeout }
    }

    /// Whether the client has sent more than was read of it.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether a handshake has been done.
    pub(crate) fn is_tls(&self) -> bool {
        self.socket.is_tls()
    }

    /// What its TLS exports to bind to (RFC 9266).
    pub(crate) fn exported(&self) -> Option<[u8; 32]> {
        self.socket.exported()
    }

    /// Plays the server's part of a TLS handshake. What the client has sent before is forgotten: it was not protected, and must not be taken for
    /// something that was (RFC 3207 §4.2).
    pub(crate) async fn upgrade(
        &mut self,
        tls: Arc<rustls::ServerConfig>,
        limit: Duration,
    ) -> io::Result<()> {
        (self.input, self.framer) = (BytesMut::new(), Framer::new(self.line_max_octets));
        self.socket.upgrade(tls, limit).await
    }

    /// Queues a reply; it is written at the latest before the next wait for the client.
    pub(crate) async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        reply.render(self.socket.out());
        if self.socket.out().len() >= OUTPUT_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().await.map_err(|broken| match broken {
            // Not a `TimedOut`: who does not read cannot be told about it either.
            Broken::Stalled => io::Error::other(broken),
            Broken::Io(error) => error,
        })
    }

    /// The next command line. The time limit is for the whole line, however its bytes trickle in.
    pub(crate) async fn frame(&mut self, shutdown: &CancellationToken) -> Result<Frame, Interruption> {
        let deadline = Instant::now() + self.command_timeout;
        loop {
            if shutdown.is_cancelled() {
                return Err(Interruption::Shutdown);
            }
            if let Some(frame) = self.framer.next(&mut self.input) {
                return Ok(frame);
            }
            self.flush().await.map_err(Interruption::Failed)?;
            self.input.reserve(BLOCK_BYTES);
            let read = tokio::select! {
                read = timeout_at(deadline, self.socket.read(&mut self.input)) => read,
                () = shutdown.cancelled() => return Err(Interruption::Shutdown),
            };
            match read {
                Ok(Ok(0)) => return Err(Interruption::Closed),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Interruption::Failed(error)),
                Err(elapsed) => return Err(Interruption::Failed(elapsed.into())),
            }
        }
    }

    /// Reads the next bytes of DATA if none wait, and returns how many do, up to [`BLOCK_BYTES`]. A connection
    /// closed here is an error: the message never ended.
    pub(crate) async fn fill(&mut self, deadline: Instant) -> io::Result<usize> {
        if self.input.is_empty() {
            self.flush().await?;
            self.input.reserve(BLOCK_BYTES);
            if timeout_at(deadline, self.socket.read(&mut self.input)).await?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.input.len().min(BLOCK_BYTES))
    }

    /// Decodes the first `waiting` bytes of input into `content`; what follows the message stays.
    pub(crate) fn decode(
        &mut self,
        waiting: usize,
        decoder: &mut Decoder,
        content: &mut Vec<u8>,
    ) -> Progress {
        let progress = decoder.decode(&self.input[..waiting], content);
        self.input.advance(progress.consumed);
        progress
    }

    /// Writes what is queued and closes, once the client has read it.
    pub(crate) async fn close(self) {
        // Whether the client closed in time changes nothing.
        let _ = self.socket.linger(LINGER).await;
    }
}
