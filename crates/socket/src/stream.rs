//! A client's socket: plain, TLS, or between the two.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client's socket.
#[derive(Debug)]
pub enum Socket {
    /// As it was accepted.
    Plain(TcpStream),
    /// After a handshake.
    Tls(Box<TlsStream<TcpStream>>),
    /// During a handshake, and after one that failed: nothing is read, nothing can be written.
    Closed,
}

impl Socket {
    /// Whether a handshake has been done.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Plays the server's part of a TLS handshake, for no longer than `limit`. Whoever has read from the socket before forgets what it has
    /// not used: it was not protected, and must not be taken for something that was (RFC 2595 §4).
    ///
    /// # Errors
    /// When the handshake fails or takes too long, or was done before; the socket is closed then.
    pub async fn upgrade(&mut self, tls: Arc<rustls::ServerConfig>, limit: Duration) -> io::Result<()> {
        let Self::Plain(stream) = std::mem::replace(self, Self::Closed) else {
            return Err(io::Error::other("already a TLS connection"));
        };
        match timeout(limit, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(stream) => *self = Self::Tls(Box::new(stream?)),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
