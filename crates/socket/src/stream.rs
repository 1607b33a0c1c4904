//! A client's socket: plain, TLS, or between the two; and responses that gather before they go out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::deflated::Deflated;

/// A client's socket.
#[derive(Debug)]
enum Socket {
    /// As it was accepted.
    Plain(TcpStream),
    /// After a handshake.
    Tls(Box<TlsStream<TcpStream>>),
    /// During a handshake, and after one that failed: nothing is read, nothing can be written.
    Closed,
}

impl Socket {
    /// Whether a handshake has been done.
    fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    async fn upgrade(&mut self, tls: Arc<rustls::ServerConfig>, limit: Duration) -> io::Result<()> {
        let Self::Plain(stream) = std::mem::replace(self, Self::Closed) else {
            return Err(io::Error::other("already a TLS connection"));
        };
        // A box: what a handshake needs is not to be kept by the connection.
        match timeout(limit, Box::pin(TlsAcceptor::from(tls).accept(stream))).await {
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

/// How much of what is compressed is read at once.
const READ_BYTES: usize = 4 << 10;
/// A response is sent on when this much of it has gathered.
const SPILL_BYTES: usize = 32 << 10;

/// Why nothing more goes out.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The client did not take it in time.
    #[error("the client did not take its response in time")]
    Stalled,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
}

/// A client's socket with the responses that wait to go out, each wait bounded.
#[derive(Debug)]
pub struct Buffered {
    socket: Socket,
    out: BytesMut,
    /// Once both ends compress.
    deflated: Option<Box<Deflated>>,
    /// Whether TLS has taken something that the system may not have taken from it yet.
    is_unsent: bool,
    write_timeout: Duration,
    sent_bytes: u64,
}

impl Buffered {
    /// Over a socket as it was accepted; a client may take `write_timeout` to accept what has gathered.
    pub fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        let (socket, out) = (Socket::Plain(stream), BytesMut::new());
        Self { socket, out, deflated: None, is_unsent: false, write_timeout, sent_bytes: 0 }
    }

    /// Whether a handshake has been done.
    pub fn is_tls(&self) -> bool {
        self.socket.is_tls()
    }

    /// What the connection's TLS exports to bind to (RFC 9266 §2), if it is TLS 1.3.
    pub fn exported(&self) -> Option<[u8; 32]> {
        let Socket::Tls(stream) = &self.socket else { return None };
        let (_, tls) = stream.get_ref();
        if tls.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
            return None;
        }
        tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).ok()
    }

    /// Whether both ends compress.
    pub fn is_deflated(&self) -> bool {
        self.deflated.is_some()
    }

    /// From now on both ends compress what they send, by DEFLATE (RFC 4978 §4). Nothing waits to go out, and `arrived` is what the client
    /// has sent already. Takes about 250 KiB until the connection ends.
    pub fn deflate(&mut self, arrived: BytesMut) {
        self.deflated = Some(Box::new(Deflated::new(arrived)));
    }

    /// How many bytes have gone out.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Where responses gather; whoever adds much calls [`Self::spill`] now and then.
    pub fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Appends what the client has sent: how many bytes, none at the end of the connection. Cancel-safe.
    ///
    /// # Errors
    /// When the connection breaks, or the client does not compress as was agreed.
    pub async fn read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        let Some(deflated) = &mut self.deflated else { return self.socket.read_buf(input).await };
        loop {
            // What little inflates to much is there without a wait: others have their turn too.
            tokio::task::consume_budget().await;
            match deflated.inflate(input)? {
                Some(0) => {}
                came => return Ok(came.unwrap_or(0)),
            }
            deflated.arrived().reserve(READ_BYTES);
            if self.socket.read_buf(deflated.arrived()).await? == 0 {
                return Ok(0);
            }
        }
    }

    /// Sends what has gathered, if it is much.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn spill(&mut self) -> Result<(), Broken> {
        if self.out.len() < SPILL_BYTES { Ok(()) } else { self.flush().await }
    }

    /// Sends what has gathered. Cancel-safe: what a cancelled call has sent does not wait any more, and the next call sends the rest.
    ///
    /// # Errors
    /// When the client does not take it in time, or the connection breaks.
    pub async fn flush(&mut self) -> Result<(), Broken> {
        let out = match &mut self.deflated {
            Some(deflated) => deflated.pack(&mut self.out).map_err(Broken::Io)?,
            None => &mut self.out,
        };
        if out.is_empty() && !self.is_unsent {
            return Ok(());
        }
        self.is_unsent = true;
        let sending = async {
            while !out.is_empty() {
                match self.socket.write_buf(out).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    sent => self.sent_bytes += sent as u64,
                }
            }
            self.socket.flush().await?;
            self.is_unsent = false;
            Ok(())
        };
        bounded(self.write_timeout, sending).await
    }

    /// Gives back the memory that a long response took; nothing waits to go out.
    pub fn release(&mut self) {
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
        if let Some(deflated) = &mut self.deflated {
            deflated.release();
        }
    }

    /// Plays the server's part of a TLS handshake, for no longer than `limit`. Whoever has read from the socket before forgets what it has
    /// not used: it was not protected, and must not be taken for something that was (RFC 2595 §4).
    ///
    /// # Errors
    /// When the handshake fails or takes too long, or was done before; the socket is closed then.
    pub async fn upgrade(&mut self, tls: Arc<rustls::ServerConfig>, limit: Duration) -> io::Result<()> {
        self.socket.upgrade(tls, limit).await
    }

    /// Sends what has gathered and says goodbye (TLS's close_notify, TCP's FIN).
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn close(mut self) -> Result<(), Broken> {
        self.flush().await?;
        bounded(self.write_timeout, self.socket.shutdown()).await
    }

    /// The same, and reads away for as long what the client still sends: input that lies unread would have the system reset the connection, and
    /// the last response be lost.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn linger(mut self, limit: Duration) -> Result<(), Broken> {
        self.flush().await?;
        bounded(self.write_timeout, self.socket.shutdown()).await?;
        let mut sink = [0; 4096];
        let drain = async { while matches!(self.socket.read(&mut sink).await, Ok(read) if read > 0) {} };
        // Whether it closed in time changes nothing.
        let _ = timeout(limit, drain).await;
        Ok(())
    }
}

async fn bounded(limit: Duration, sending: impl Future<Output = io::Result<()>>) -> Result<(), Broken> {
    match timeout(limit, sending).await {
        Ok(sent) => sent.map_err(Broken::Io),
        Err(_) => Err(Broken::Stalled),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Both ends of a connection over TLS that has little room on the way.
    async fn narrow() -> (Buffered, client::TlsStream<TcpStream>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let theirs = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let ours = rustls::ServerConfig::builder().with_no_client_auth();
        let ours = ours.with_single_cert(vec![certificate], key).unwrap();

        // An accepted socket has the size of the one that listens.
        let (listening, calling) = (TcpSocket::new_v4().unwrap(), TcpSocket::new_v4().unwrap());
        listening.set_send_buffer_size(4 << 10).unwrap();
        calling.set_recv_buffer_size(4 << 10).unwrap();
        listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listening.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, accepted) = tokio::join!(calling.connect(address), listener.accept());
        let mut server = Buffered::new(accepted.unwrap().0, PATIENCE);
        let name = "localhost".try_into().unwrap();
        let connecting = TlsConnector::from(Arc::new(theirs)).connect(name, stream.unwrap());
        let (upgraded, client) = tokio::join!(server.upgrade(Arc::new(ours), PATIENCE), connecting);
        upgraded.unwrap();
        (server, client.unwrap())
    }

    #[tokio::test]
    async fn what_a_cancelled_flush_has_left_goes_out_with_the_next() {
        let (mut server, mut client) = narrow().await;
        // As much as TLS takes at once, and more than there is room for on the way.
        let response = b"* 1 FETCH (FLAGS ())\r\n".repeat(2_000);
        server.out().extend_from_slice(&response);
        assert!(
            timeout(Duration::from_millis(50), server.flush()).await.is_err(),
            "there was room for all of it"
        );
        let mut came = vec![0; response.len()];
        let (flushed, read) = tokio::join!(server.flush(), timeout(PATIENCE, client.read_exact(&mut came)));
        flushed.unwrap();
        read.expect("the rest goes out").unwrap();
        assert_eq!(came, response);
    }
}
