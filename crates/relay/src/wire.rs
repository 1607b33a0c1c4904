//! A connection that is read by lines: plain, or TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{
    AsyncBufRead as _, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader, ReadBuf,
};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::fault::garbled;
use crate::reply::{Gathering, Reply};

/// The longest reply that is read, in octets, and so the longest line (RFC 5321 §4.5.3.1.5 asks for 512 a line).
const REPLY_LIMIT: usize = 16 * 1_024;

#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The connection. To read from it ends at a line's end, so whoever reads one reply leaves what is behind it; an end of the
/// stream is an error, since it never comes where it is waited for.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: BufReader<Socket>,
}

impl Wire {
    /// Over TCP as it is.
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(Socket::Plain(stream)) }
    }

    /// Encrypted.
    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: BufReader::new(Socket::Tls(Box::new(stream))) }
    }

    /// The connection for a handshake; `None` if it is encrypted already, or if something came that nobody has read.
    pub(crate) fn into_quiet_plain(mut self) -> Option<TcpStream> {
        if !self.is_quiet() {
            return None;
        }
        match self.stream.into_inner() {
            Socket::Plain(stream) => Some(stream),
            Socket::Tls(_) => None,
        }
    }

    /// Whether it is open, and nothing has come that nobody has read, as far as can be said without waiting.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_fill_buf(&mut context).is_pending()
    }

    /// The next reply.
    ///
    /// # Errors
    /// Those of the connection, and [`io::ErrorKind::InvalidData`] for what is no reply.
    pub(crate) async fn reply(&mut self, remote: &Arc<str>) -> io::Result<Reply> {
        let mut left = REPLY_LIMIT;
        let mut gathering = Gathering::default();
        loop {
            let mut line = Vec::new();
            let count = (&mut self.stream).take(left as u64).read_until(b'\n', &mut line).await?;
            left -= count;
            if !line.ends_with(b"\n") {
                return Err(if left == 0 { garbled() } else { io::ErrorKind::UnexpectedEof.into() });
            }
            if gathering.take(&line)? {
                return gathering.finish(remote);
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.get_mut().stream);
        let came = ready!(stream.as_mut().poll_fill_buf(cx))?;
        if came.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let line = came.iter().position(|octet| *octet == b'\n').map_or(came.len(), |end| end + 1);
        let count = line.min(buf.remaining());
        buf.put_slice(&came[..count]);
        stream.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
