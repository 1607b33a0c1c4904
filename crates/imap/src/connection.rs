//! One client's socket, plain or TLS: commands in, buffered responses out, each wait bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket::stream::Buffered;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::codec::frame::{Event, Framer, TooLong};
use crate::limits::Limits;
use crate::session::End;
use crate::status::Status;

/// How much is read at once of a command that has begun.
const READ_BYTES: usize = 4 << 10;
/// How much is read at first: most commands are shorter, and a session that is idle keeps so much.
const FIRST_BYTES: usize = 256;
/// In which pieces a long literal goes out.
const PIECE_BYTES: usize = 32 << 10;

pub(crate) struct Connection {
    socket: Buffered,
    framer: Framer,
    read_timeout: Duration,
    write_timeout: Duration,
    min_bytes_per_second: u64,
    handshake_timeout: Duration,
    /// By when the line or literal that has begun is to be there.
    deadline: Option<Instant>,
    /// By when somebody is to have signed in.
    login_deadline: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, limits: &Limits) -> Self {
        Self {
            socket: Buffered::new(stream, limits.write_timeout),
            framer: Framer::default(),
            read_timeout: limits.read_timeout,
            write_timeout: limits.write_timeout,
            min_bytes_per_second: limits.min_bytes_per_second.max(1),
            handshake_timeout: limits.handshake_timeout,
            deadline: None,
            login_deadline: Some(Instant::now() + limits.login_timeout),
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.socket.is_tls()
    }

    /// What its TLS exports to bind to.
    pub(crate) fn exported(&self) -> Option<[u8; 32]> {
        self.socket.exported()
    }

    pub(crate) fn is_deflated(&self) -> bool {
        self.socket.is_deflated()
    }

    /// Both ends compress from now on. What the client has sent beyond the command that asked for it is compressed already.
    pub(crate) fn deflate(&mut self) {
        let arrived = std::mem::take(self.framer.input());
        self.framer = Framer::default();
        self.socket.deflate(arrived);
    }

    pub(crate) fn sent_bytes(&self) -> u64 {
        self.socket.sent_bytes()
    }

    /// Where responses are queued; whoever queues much calls [`Self::spill`] now and then.
    pub(crate) fn out(&mut self) -> &mut BytesMut {
        self.socket.out()
    }

    /// Lets the literal come that was announced.
    pub(crate) fn accept(&mut self) {
        self.framer.accept();
    }

    /// Somebody has signed in: the connection may last.
    pub(crate) fn may_last(&mut self) {
        self.login_deadline = None;
    }

    /// Does not let it come. A client that does not wait to be asked sends it all the same, and has the time for it.
    pub(crate) fn refuse(&mut self) {
        self.framer.refuse();
    }

    /// How long so many bytes take the slowest client.
    fn at_least(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1_000) / self.min_bytes_per_second)
    }

    /// How long a client may take to accept so many bytes.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        self.write_timeout + self.at_least(bytes)
    }

    /// What comes next of a command; what was answered before goes out first, unless the client has pipelined already. The wait for a command
    /// is bounded by `patience`; each line and literal of one that has begun is to be there in its time. Cancel-safe.
    pub(crate) async fn event(&mut self, patience: Duration) -> Result<Event, End> {
        loop {
            if let Some(event) = self.framer.next() {
                self.deadline = None;
                return Ok(event);
            }
            self.read(patience).await?;
        }
    }

    /// The next line, as a SASL exchange and IDLE take it. Cancel-safe.
    pub(crate) async fn line(
        &mut self,
        max_octets: usize,
        patience: Duration,
    ) -> Result<Result<Bytes, TooLong>, End> {
        loop {
            if let Some(line) = self.framer.line(max_octets) {
                self.deadline = None;
                return Ok(line);
            }
            self.read(patience).await?;
        }
    }

    async fn read(&mut self, patience: Duration) -> Result<(), End> {
        self.flush().await?;
        if self.login_deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            // Also where there is always more to read.
            return Err(End::Idle);
        }
        let has_begun = !self.framer.is_empty();
        if let Some(bytes) = self.framer.part() {
            // What is passed over may be announced as longer than any message.
            let bytes = bytes.min(mailstore::MAX_MESSAGE_BYTES);
            self.deadline = Some(Instant::now() + self.read_timeout + self.at_least(bytes));
        }
        let wanted = if has_begun { READ_BYTES } else { FIRST_BYTES };
        let input = self.framer.input();
        if input.is_empty() && input.capacity() > wanted {
            // What a long command or response took is not kept while nothing comes.
            *input = BytesMut::new();
        }
        if !has_begun {
            self.socket.release();
        }
        input.reserve(wanted);
        let until = match has_begun {
            true => *self.deadline.get_or_insert_with(|| Instant::now() + self.read_timeout),
            false => {
                self.deadline = None;
                Instant::now() + patience
            }
        };
        let until = self.login_deadline.map_or(until, |deadline| until.min(deadline));
        match timeout_at(until, self.socket.read(input)).await {
            Ok(Ok(0)) => Err(End::Disconnected),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(cause)) => Err(End::Io(cause)),
            Err(_) => Err(End::Idle),
        }
    }

    /// Queues a tagged line.
    pub(crate) async fn tagged(&mut self, tag: &str, status: &Status) -> Result<(), End> {
        status.write(tag, self.socket.out());
        self.spill().await
    }

    /// Queues an untagged line as it stands, without its end.
    pub(crate) fn untagged(&mut self, line: &str) {
        self.socket.out().extend_from_slice(b"* ");
        self.socket.out().extend_from_slice(line.as_bytes());
        self.socket.out().extend_from_slice(b"\r\n");
    }

    /// Asks the client to go on (RFC 9051 §7.6).
    pub(crate) fn go_on(&mut self, text: &str) {
        self.socket.out().extend_from_slice(b"+ ");
        self.socket.out().extend_from_slice(text.as_bytes());
        self.socket.out().extend_from_slice(b"\r\n");
    }

    /// Queues a literal, which can be long. There are NULs only in one that may be binary (RFC 9051 §4.3). In others they go out as another
    /// byte that is no text: clients take one for the end.
    pub(crate) async fn literal(&mut self, bytes: &[u8], may_be_binary: bool) -> Result<(), End> {
        let is_binary = may_be_binary && bytes.contains(&0);
        let mark = if is_binary { "~" } else { "" };
        self.socket.out().extend_from_slice(format!("{mark}{{{}}}\r\n", bytes.len()).as_bytes());
        for piece in bytes.chunks(PIECE_BYTES) {
            match !is_binary && piece.contains(&0) {
                true => {
                    self.socket.out().extend(piece.iter().map(|byte| if *byte == 0 { 0x80 } else { *byte }))
                }
                false => self.socket.out().extend_from_slice(piece),
            }
            self.spill().await?;
        }
        Ok(())
    }

    /// Queues what can be long, in pieces.
    pub(crate) async fn queue(&mut self, bytes: &[u8]) -> Result<(), End> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.socket.out().extend_from_slice(piece);
            self.spill().await?;
        }
        Ok(())
    }

    pub(crate) async fn spill(&mut self) -> Result<(), End> {
        Ok(self.socket.spill().await?)
    }

    /// Sends what is queued. Cancel-safe: what a cancelled call has sent is no longer queued.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        Ok(self.socket.flush().await?)
    }

    /// Makes it a TLS connection. What the client sent before the handshake, beyond the command that asked for it, is forgotten: it was not
    /// protected, and must not be taken for something that was.
    pub(crate) async fn upgrade(&mut self, tls: Arc<rustls::ServerConfig>) -> Result<(), End> {
        self.framer = Framer::default();
        self.socket.upgrade(tls, self.handshake_timeout).await.map_err(End::Tls)
    }

    /// Sends what is queued and says goodbye (TLS's close_notify, TCP's FIN).
    pub(crate) async fn close(self) -> Result<(), End> {
        Ok(self.socket.close().await?)
    }
}
