//! One client's socket, plain or TLS: lines in, buffered responses out, each wait bounded.

use std::sync::Arc;
use std::time::Duration;

use socket::stream::Buffered;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::codec::line::{Frame, Framer};
use crate::codec::response::{Status, Stuffer, TERMINATOR};
use crate::limits::Limits;
use crate::session::End;

/// How much is read at once, and in which pieces a message is stuffed.
const PIECE_BYTES: usize = 16 << 10;

pub(crate) struct Connection {
    socket: Buffered,
    framer: Framer,
    command_timeout: Duration,
    write_timeout: Duration,
    min_bytes_per_second: u64,
    handshake_timeout: Duration,
    /// By when somebody is to have signed in.
    login_deadline: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, limits: &Limits) -> Self {
        Self {
            socket: Buffered::new(stream, limits.write_timeout),
            framer: Framer::default(),
            command_timeout: limits.command_timeout,
            write_timeout: limits.write_timeout,
            min_bytes_per_second: limits.min_bytes_per_second.max(1),
            handshake_timeout: limits.handshake_timeout,
            login_deadline: Some(Instant::now() + limits.login_timeout),
        }
    }

    /// Somebody has signed in: the connection may last.
    pub(crate) fn may_last(&mut self) {
        self.login_deadline = None;
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.socket.is_tls()
    }

    pub(crate) fn sent_bytes(&self) -> u64 {
        self.socket.sent_bytes()
    }

    /// The next line; what was answered before goes out first, unless the client has pipelined already
    /// (RFC 2449 §6.6). The wait is for the whole line, so bytes that drip do not prolong it. Cancel-safe.
    pub(crate) async fn line(&mut self, max_octets: usize) -> Result<Frame, End> {
        // Whoever always has a line ready would never be waited for.
        if self.login_deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(End::Idle);
        }
        if !self.framer.has_frame() {
            self.flush().await?;
        }
        let until = Instant::now() + self.command_timeout;
        let until = self.login_deadline.map_or(until, |deadline| until.min(deadline));
        let Self { socket, framer, .. } = self;
        let frame = async {
            loop {
                if let Some(frame) = framer.frame(max_octets) {
                    return Ok(frame);
                }
                framer.input().reserve(PIECE_BYTES);
                if socket.read(framer.input()).await.map_err(End::Io)? == 0 {
                    return Err(End::Disconnected);
                }
            }
        };
        timeout_at(until, frame).await.unwrap_or(Err(End::Idle))
    }

    /// Queues a status line.
    pub(crate) async fn status(&mut self, status: &Status) -> Result<(), End> {
        self.socket.out().extend_from_slice(status.as_bytes());
        self.spill().await
    }

    /// Queues one line of a multi-line response; it must not begin with a dot.
    pub(crate) async fn item(&mut self, item: &str) -> Result<(), End> {
        self.socket.out().extend_from_slice(item.as_bytes());
        self.socket.out().extend_from_slice(b"\r\n");
        self.spill().await
    }

    /// Queues the end of a multi-line response.
    pub(crate) async fn terminator(&mut self) -> Result<(), End> {
        self.socket.out().extend_from_slice(TERMINATOR);
        self.spill().await
    }

    /// Queues a SASL challenge (RFC 5034 §4: a plus, a space, and base64 or nothing).
    pub(crate) async fn challenge(&mut self, base64: &str) -> Result<(), End> {
        self.socket.out().extend_from_slice(format!("+ {base64}\r\n").as_bytes());
        self.spill().await
    }

    /// What its TLS exports to bind to.
    pub(crate) fn exported(&self) -> Option<[u8; 32]> {
        self.socket.exported()
    }

    /// Sends a message in CRLF form, byte-stuffed, with the response's end. Who takes it more slowly than is allowed does not keep its room from
    /// others.
    pub(crate) async fn message(&mut self, message: &[u8]) -> Result<(), End> {
        let at_least = Duration::from_secs(message.len() as u64 / self.min_bytes_per_second);
        let limit = self.write_timeout + at_least;
        let sending = async {
            let mut stuffer = Stuffer::default();
            for piece in message.chunks(PIECE_BYTES) {
                stuffer.push(piece, self.socket.out());
                self.spill().await?;
            }
            stuffer.finish(self.socket.out());
            self.spill().await
        };
        timeout(limit, sending).await.unwrap_or(Err(End::Stalled))
    }

    async fn spill(&mut self) -> Result<(), End> {
        Ok(self.socket.spill().await?)
    }

    /// Sends what is queued. Cancel-safe: what a cancelled call has sent is no longer queued.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        Ok(self.socket.flush().await?)
    }

    /// Makes it a TLS connection. What the client sent before the handshake, beyond the command that asked for it,
    /// is forgotten: it was not protected, and must not be taken for something that was (RFC 2595 §4).
    pub(crate) async fn upgrade(&mut self, tls: Arc<rustls::ServerConfig>) -> Result<(), End> {
        self.framer = Framer::default();
        self.socket.upgrade(tls, self.handshake_timeout).await.map_err(End::Tls)
    }

    /// Sends what is queued and says goodbye (TLS's close_notify, TCP's FIN).
    pub(crate) async fn close(self) -> Result<(), End> {
        Ok(self.socket.close().await?)
    }
}
