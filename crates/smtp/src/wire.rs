//! The socket: bytes in and replies out, each with a bound on what is held and on how long it takes.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::codec::data::{Decoder, Progress};
use crate::codec::line::{Frame, Framer, LINE_LIMIT};
use crate::reply::Reply;

/// How much is read at once.
pub(crate) const BLOCK_BYTES: usize = 16 << 10;
/// Replies that gather for one write (RFC 2920 §3.2); when there are more, the client has to read first.
const OUTPUT_BYTES: usize = 8 << 10;
/// How long to wait, at the end, for the client to close its side.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Wire {
    stream: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
    framer: Framer,
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
    pub(crate) fn new(stream: TcpStream, command_timeout: Duration) -> Self {
        let framer = Framer::new(LINE_LIMIT);
        Self { stream, input: BytesMut::new(), output: Vec::new(), framer, command_timeout }
    }

    /// Queues a reply; it is written at the latest before the next wait for the client.
    pub(crate) async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        reply.render(&mut self.output);
        if self.output.len() >= OUTPUT_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        // Not a `TimedOut`: who does not read cannot be told about it either.
        let written = timeout(self.command_timeout, self.stream.write_all(&self.output)).await;
        written.unwrap_or_else(|_| Err(io::Error::other("the client does not read its replies")))?;
        self.output.clear();
        Ok(())
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
                read = timeout_at(deadline, self.stream.read_buf(&mut self.input)) => read,
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
            if timeout_at(deadline, self.stream.read_buf(&mut self.input)).await?? == 0 {
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

    /// Writes what is queued and closes. Input that lies unread at a close would make the kernel reset the
    /// connection and the last reply be lost, so it is read away for a moment.
    pub(crate) async fn close(mut self) {
        if self.flush().await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        let mut sink = [0; 4096];
        let drain = async { while matches!(self.stream.read(&mut sink).await, Ok(read) if read > 0) {} };
        // Whether the client closed in time changes nothing.
        let _ = timeout(LINGER, drain).await;
    }
}
