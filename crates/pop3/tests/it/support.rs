//! A POP3 server on loopback with one tenant's users in its database, and a client that speaks bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blob::BlobStore;
use bytes::Bytes;
use kernel::MailboxId;
use mailstore::MailStore;
use mailstore::ingest::{self, Incoming, Target, Within};
use mailstore::message::Flags;
use pop3::{Limits, Mode, Pop3};
use rustls::pki_types::{CertificateDer, ServerName};
use tenancy::auth::Auth;
use tenancy::user::User;
use testkit::World;
use testkit::client::pop3::Pop3 as Client;
use testkit::world::PASSWORD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// How long any wait in a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) store: MailStore,
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) listeners: [JoinHandle<()>; 2],
    certificate: CertificateDer<'static>,
}

/// Limits that make no test wait.
pub(crate) fn quick() -> Limits {
    Limits { failed_login_delay: Duration::from_millis(1), ..Limits::default() }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with_limits(quick()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
        Self::with(limits, blobs).await
    }

    pub(crate) async fn with(limits: Limits, blobs: Arc<dyn BlobStore>) -> Self {
        let world = World::new().await;
        let store = MailStore::new(world.test_db.db(), blobs, testkit::kek::encryption());
        let (tls, certificate) = testkit::certificate::self_signed();
        let service = Arc::new(Pop3 {
            auth: Auth::new(world.test_db.db()).await.unwrap(),
            store: store.clone(),
            tls,
            limits,
            hostname: "pop.acme.example".to_owned(),
        });
        let shutdown = CancellationToken::new();
        let listen = async |mode| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            (address, tokio::spawn(pop3::serve(listener, service.clone(), mode, shutdown.clone())))
        };
        let (address, plain) = listen(Mode::Starttls).await;
        let (tls_address, implicit) = listen(Mode::Implicit).await;
        Self { world, store, address, tls_address, shutdown, listeners: [plain, implicit], certificate }
    }

    /// A user whose mailbox holds these messages, delivered in this order.
    pub(crate) async fn user_with(&self, local: &str, messages: &[&[u8]]) -> User {
        let user = self.world.user(local, None).await;
        for message in messages {
            self.deliver(user.mailbox_id, message).await;
        }
        user
    }

    pub(crate) async fn deliver(&self, mailbox_id: MailboxId, message: &[u8]) {
        let ctx = self.world.ctx.clone();
        let internal_date = ctx.now();
        let target = Target { ctx, mailbox_id, folder: Within::Inbox, room_bytes: None };
        let incoming = Incoming {
            bytes: Bytes::copy_from_slice(message),
            internal_date,
            flags: Flags::default(),
            import_key: None,
        };
        for result in ingest::ingest(&self.store, vec![target], incoming).await {
            result.unwrap();
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await.unwrap()
    }

    pub(crate) async fn login(&self, user: &User) -> Client {
        let mut client = self.connect().await;
        client.login(&user.address, PASSWORD).await.unwrap();
        client
    }

    /// Logs in as soon as the maildrop is free.
    pub(crate) async fn login_when_free(&self, user: &User) -> Client {
        poll("the maildrop is free", async || {
            let mut client = self.connect().await;
            client.login(&user.address, PASSWORD).await.ok().map(|()| client)
        })
        .await
    }

    /// A connection that speaks bytes, past the greeting.
    pub(crate) async fn raw(&self) -> Raw<TcpStream> {
        let mut raw = Raw(TcpStream::connect(self.address).await.unwrap());
        assert!(raw.line().await.starts_with("+OK pop.acme.example "));
        raw
    }

    /// Plays the client's part of a TLS handshake, checking the certificate.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Raw<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Raw(tokio::time::timeout(PATIENCE, connecting).await.unwrap().unwrap())
    }
}

/// Bytes over a stream, each wait bounded.
pub(crate) struct Raw<S>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sending = async {
            self.0.write_all(bytes.as_ref()).await?;
            self.0.flush().await
        };
        tokio::time::timeout(PATIENCE, sending).await.unwrap().unwrap();
    }

    /// One line with its end, read byte by byte so that nothing after it is consumed.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let reading = async {
            while !line.ends_with(b"\r\n") {
                line.push(self.0.read_u8().await.unwrap_or_else(|e| panic!("{e} after {line:?}")));
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a line in time");
        String::from_utf8(line).unwrap()
    }

    pub(crate) async fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.line().await
    }

    /// Everything until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest))
            .await
            .expect("the end in time")
            .unwrap();
        rest
    }
}

/// Asks until there is an answer.
pub(crate) async fn poll<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A PLAIN message in base64.
pub(crate) fn plain(authzid: &str, authcid: &str, password: &str) -> String {
    STANDARD.encode(format!("{authzid}\0{authcid}\0{password}"))
}
