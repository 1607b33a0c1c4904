//! An IMAP server on loopback with one tenant's users in its database.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use blob::BlobStore;
use bytes::Bytes;
use imap::{Imap, Limits, Mode};
use kernel::MailboxId;
use mailstore::MailStore;
use mailstore::change;
use mailstore::ingest::{self, Incoming, Target, Within};
use mailstore::message::Flags;
use tenancy::auth::Auth;
use tenancy::user::User;
use testkit::World;
use testkit::client::imap::{Answer, Imap as Client};
use testkit::world::PASSWORD;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) store: MailStore,
    blobs: Arc<dyn BlobStore>,
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) listeners: [JoinHandle<()>; 2],
}

/// Limits that make no test wait.
pub(crate) fn quick() -> Limits {
    Limits { failed_login_delay: Duration::from_millis(1), recheck: Duration::ZERO, ..Limits::default() }
}

async fn service(world: &World, store: MailStore, limits: Limits) -> Arc<Imap> {
    let (tls, _) = testkit::certificate::self_signed();
    let auth = Auth::new(world.test_db.db()).await.unwrap();
    Arc::new(Imap { auth, store, tls, limits, hostname: "imap.acme.example".to_owned() })
}

async fn listen(
    service: Arc<Imap>,
    mode: Mode,
    shutdown: &CancellationToken,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(imap::serve(listener, service, mode, shutdown.clone())))
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(quick()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let world = World::new().await;
        let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
        let store = MailStore::new(world.test_db.db(), blobs.clone(), testkit::kek::encryption());
        let service = service(&world, store.clone(), limits).await;
        let shutdown = CancellationToken::new();
        let (address, plain) = listen(service.clone(), Mode::Starttls, &shutdown).await;
        let (tls_address, implicit) = listen(service, Mode::Implicit, &shutdown).await;
        Self { world, store, blobs, address, tls_address, shutdown, listeners: [plain, implicit] }
    }

    /// The address of a second server on the same database and bodies; from now on each tells the other what changes.
    pub(crate) async fn beside(&self) -> SocketAddr {
        let store = MailStore::new(self.world.test_db.db(), self.blobs.clone(), testkit::kek::encryption());
        for store in [self.store.clone(), store.clone()] {
            let stop = self.shutdown.clone();
            tokio::spawn(async move { change::run(&store, stop.cancelled()).await });
        }
        let service = service(&self.world, store, quick()).await;
        listen(service, Mode::Starttls, &self.shutdown).await.0
    }

    /// A user whose Inbox holds these messages, delivered in this order.
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
        let bytes = Bytes::copy_from_slice(message);
        let incoming = Incoming { bytes, internal_date, flags: Flags::default(), import_key: None };
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

    /// What a user's calls are made with.
    pub(crate) async fn login_of(&self, user: &User) -> tenancy::MailLogin {
        self.world.login(user).await
    }

    /// A client of a user with their Inbox open.
    pub(crate) async fn inbox(&self, user: &User) -> Client {
        let mut client = self.login(user).await;
        ok(&mut client, "SELECT INBOX").await;
        client
    }
}

/// A message of a subject.
pub(crate) fn message(subject: &str) -> Vec<u8> {
    format!("From: Ann <ann@example.org>\r\nTo: ada@acme.example\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.org>\r\n\r\nThis is {subject}.\r\n")
        .into_bytes()
}

/// The untagged responses to a command that is to succeed.
pub(crate) async fn ok(client: &mut Client, command: &str) -> Vec<String> {
    let answer = client.command(command).await.unwrap();
    assert!(answer.status.starts_with("OK"), "{command}: {answer:?}");
    answer.untagged
}

/// The whole answer to a command.
pub(crate) async fn say(client: &mut Client, command: &str) -> Answer {
    client.command(command).await.unwrap()
}

/// Says a command that is to be refused with this beginning of a status.
pub(crate) async fn refused(client: &mut Client, command: &str, status: &str) {
    let answer = client.command(command).await.unwrap();
    assert!(answer.status.starts_with(status), "{command}: {answer:?}");
}
