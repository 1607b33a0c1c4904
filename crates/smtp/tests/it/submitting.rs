//! A submission server on two free ports, with a tenant behind it and somebody who sends what it queues.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kernel::PageRequest;
use mailstore::MailStore;
use mailstore::message::{self, Filter};
use smtp::msa::{self, Limits, Mode, Msa};
use submission::Submission;
use submission::queue::{self, Way};
use tenancy::auth::Auth;
use tenancy::user::User;
use testkit::World;
use testkit::client::reply::Reply;
use testkit::client::smtp::Smtp;
use testkit::world::PASSWORD;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) struct Submitting {
    pub(crate) world: World,
    pub(crate) submission: Submission,
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    store: MailStore,
}

/// Limits that make no test wait.
pub(crate) fn quick() -> Limits {
    Limits { failed_login_delay: Duration::from_millis(1), ..Limits::default() }
}

impl Submitting {
    pub(crate) async fn new() -> Self {
        Self::with(quick()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let world = World::new().await;
        let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
        let db = world.test_db.db();
        let store = MailStore::new(db.clone(), blobs, testkit::kek::encryption());
        let submission = Submission::new(db.clone(), store.clone(), "mx.test.example", None);
        let (tls, _) = testkit::certificate::self_signed();
        let service =
            Arc::new(Msa { auth: Auth::new(db).await.unwrap(), submission: submission.clone(), tls, limits });
        let shutdown = CancellationToken::new();
        let listen = async |mode| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(msa::serve(listener, service.clone(), mode, shutdown.clone()));
            address
        };
        let (address, tls_address) = (listen(Mode::Starttls).await, listen(Mode::Implicit).await);
        Self { world, submission, address, tls_address, shutdown, store }
    }

    /// A client that has said EHLO, in plain text on loopback.
    pub(crate) async fn client(&self) -> Smtp {
        let mut client = Smtp::connect(self.address).await.unwrap();
        client.ehlo().await.unwrap();
        client
    }

    /// The same that has signed in.
    pub(crate) async fn signed_in(&self, user: &User) -> Smtp {
        let mut client = self.client().await;
        assert_eq!(codes(&client.auth(&user.address, PASSWORD).await.unwrap()), "235 2.7.0");
        client
    }

    /// Sends what is due, until nothing is.
    pub(crate) async fn send_all(&self) {
        loop {
            let claims = queue::claim(self.submission.db(), 64, Way::Home).await.unwrap();
            if claims.is_empty() {
                return;
            }
            for claim in claims {
                self.submission.attempt(claim).await;
            }
        }
    }

    /// The messages in a user's mailbox, once what is due was sent.
    pub(crate) async fn messages(&self, user: &User) -> Vec<Bytes> {
        self.send_all().await;
        let ctx = self.world.login(user).await.ctx;
        let page = PageRequest::new(Some(200), None);
        let list = message::list(&ctx, user.mailbox_id, Filter::default(), &page).await.unwrap();
        let mut bodies = Vec::new();
        for message in list.items {
            bodies.push(
                message::raw(&self.store, &ctx, user.mailbox_id, message.id, None).await.unwrap().bytes,
            );
        }
        bodies
    }
}

pub(crate) fn codes(reply: &Reply) -> String {
    format!("{} {}", reply.code, reply.enhanced()).trim_end().to_owned()
}
