//! A server on a free port, with a tenant behind it.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{BlobKey, BlobStore, KeyPage, KeyPrefix, Location};
use bytes::Bytes;
use kernel::PageRequest;
use mailstore::MailStore;
use mailstore::message::{self, Filter};
use smtp::{Limits, Lmtp};
use tenancy::recipient::Recipients;
use tenancy::user::User;
use testkit::client::lmtp::Lmtp as Client;
use testkit::client::reply::Reply;
use testkit::world::World;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Served {
    pub(crate) world: World,
    pub(crate) blobs: Arc<Gate>,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    store: MailStore,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let world = World::new().await;
        let blobs = Arc::new(Gate::new().await);
        let store = MailStore::new(world.test_db.db(), blobs.clone(), testkit::kek::encryption());
        let service = Lmtp {
            recipients: Recipients::new(world.test_db.db()),
            store: store.clone(),
            hostname: "mx.test.example".into(),
            spam_mark: Some("X-Spam: Yes".parse().unwrap()),
            limits,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(smtp::serve(listener, Arc::new(service), shutdown.clone()));
        Self { world, blobs, address, shutdown, store, task }
    }

    /// A client that has said LHLO.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await.unwrap()
    }

    /// A client that has said LHLO and opened DATA for a recipient, told that `size_bytes` will follow.
    pub(crate) async fn in_data(&self, to: &str, size_bytes: usize) -> Client {
        let mut client = self.client().await;
        assert_eq!(
            code(&mut client, &format!("MAIL FROM:<a@b.example> SIZE={size_bytes}")).await,
            "250 2.1.0"
        );
        assert_eq!(code(&mut client, &format!("RCPT TO:<{to}>")).await, "250 2.1.5");
        assert_eq!(code(&mut client, "DATA").await, "354");
        client
    }

    /// The messages in a user's mailbox.
    pub(crate) async fn messages(&self, user: &User) -> Vec<Bytes> {
        let ctx = self.world.login(user).await.ctx;
        let page = PageRequest::new(Some(200), None);
        let list = message::list(&ctx, user.mailbox_id, Filter::default(), &page).await.unwrap();
        let mut bodies = Vec::new();
        for message in list.items {
            let raw = message::raw(&self.store, &ctx, user.mailbox_id, message.id, None).await.unwrap();
            bodies.push(raw.bytes);
        }
        bodies
    }

    /// Shuts the server down and waits until every session has ended.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    /// Waits until the server has returned.
    pub(crate) async fn ended(&mut self) {
        tokio::time::timeout(Duration::from_secs(60), &mut self.task).await.unwrap().unwrap();
    }
}

/// Code and enhanced code of the reply to a line.
pub(crate) async fn code(client: &mut Client, line: &str) -> String {
    codes(&client.command(line).await.unwrap())
}

/// Code and enhanced code of the next reply.
pub(crate) async fn next_code(client: &mut Client) -> String {
    codes(&client.read_reply().await.unwrap())
}

pub(crate) fn codes(reply: &Reply) -> String {
    format!("{} {}", reply.code, reply.enhanced()).trim_end().to_owned()
}

/// Asserts that the server has closed the connection.
pub(crate) async fn assert_closed(mut client: Client) {
    let error = client.read_reply().await.unwrap_err().to_string();
    assert!(!error.contains("no answer within"), "the connection is still open");
}

/// A blob store in memory whose writes of packs can be held up or refused.
#[derive(Debug)]
pub(crate) struct Gate {
    memory: Arc<dyn BlobStore>,
    mode: watch::Sender<Mode>,
    writes: watch::Sender<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    Closed,
    Broken,
}

impl Gate {
    async fn new() -> Self {
        let memory = blob::open(&"memory:".parse::<Location>().unwrap()).await.unwrap();
        Self { memory, mode: watch::Sender::new(Mode::Open), writes: watch::Sender::new(0) }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Waits until a write has been asked for.
    pub(crate) async fn write_asked(&self) {
        let mut writes = self.writes.subscribe();
        let asked = writes.wait_for(|&writes| writes > 0);
        tokio::time::timeout(Duration::from_secs(60), asked).await.unwrap().unwrap();
    }
}

#[async_trait]
impl BlobStore for Gate {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), blob::Error> {
        if !matches!(key, BlobKey::Pack { .. }) {
            return self.memory.put(key, bytes).await;
        }
        self.writes.send_modify(|writes| *writes += 1);
        let mode = *self.mode.subscribe().wait_for(|&mode| mode != Mode::Closed).await.unwrap();
        match mode {
            Mode::Broken => Err(blob::Error::NotFound),
            _ => self.memory.put(key, bytes).await,
        }
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, blob::Error> {
        self.memory.get(key).await
    }

    async fn get_range(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, blob::Error> {
        self.memory.get_range(key, range).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), blob::Error> {
        self.memory.delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, after: Option<&str>) -> Result<KeyPage, blob::Error> {
        self.memory.list(prefix, after).await
    }

    async fn erase(&self, key: &BlobKey) -> Result<(), blob::Error> {
        self.memory.erase(key).await
    }

    async fn erase_all(&self, prefix: &KeyPrefix) -> Result<(), blob::Error> {
        self.memory.erase_all(prefix).await
    }
}
