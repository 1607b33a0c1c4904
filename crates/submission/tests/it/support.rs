//! A tenant that sends, and a smarthost.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use bytes::Bytes;
use chrono::TimeDelta;
use kernel::{OutgoingId, PageRequest};
use mailstore::MailStore;
use mailstore::message::{self, Filter};
use relay::{Relay, Smarthost};
use rustls::RootCertStore;
use submission::outgoing::{self, Notify, Outgoing, Returned, State};
use submission::post::Attempted;
use submission::queue::{self, Way};
use submission::{Addressee, Destination, Envelope, Error, Secured, Submission};
use tenancy::user::User;
use tenancy::{Action, event};
use testkit::World;
use testkit::smarthost::{FakeSmarthost, Tls};

pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) store: MailStore,
    pub(crate) submission: Submission,
    pub(crate) smarthost: FakeSmarthost,
    relay: Relay,
    pub(crate) ada: User,
}

/// What is sent, and how its sender wants to be told of it.
#[derive(Default)]
pub(crate) struct Wish {
    pub(crate) notify: Option<Vec<Notify>>,
    pub(crate) original: Option<&'static str>,
    pub(crate) returned: Option<Returned>,
    pub(crate) envelope_id: Option<&'static str>,
}

const HOSTNAME: &str = "mx.test.example";

pub(crate) const MESSAGE: &[u8] =
    b"From: ada@acme.example\r\nTo: bob@b.example\r\nSubject: The news\r\nDate: Mon, 02 Mar 2026 08:59:00 +0000\r\n\
    Message-ID: <news@acme.example>\r\n\r\n.hello\r\n";

impl Bench {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let blobs = blob::open(&"memory:".parse().unwrap()).await.unwrap();
        let store = MailStore::new(world.test_db.db(), blobs, testkit::kek::encryption());
        let (tls, certificate) = testkit::certificate::self_signed();
        let smarthost = FakeSmarthost::start(Tls::Implicit(tls)).await;
        smarthost.offer(&["PIPELINING", "SIZE 100000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]);
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let way = Smarthost::parse(&smarthost.url("")).unwrap();
        let relay = Relay::with_roots(way, "mx.test.example".to_owned(), roots).unwrap();
        let submission = Submission::new(world.test_db.db(), store.clone(), HOSTNAME, Some(relay.clone()));
        let ada = world.user("ada", None).await;
        Self { world, store, submission, smarthost, relay, ada }
    }

    /// The same, with a process that remembers nothing.
    pub(crate) fn with_new_process(mut self) -> Self {
        let db = self.world.test_db.db();
        self.submission = Submission::new(db, self.store.clone(), HOSTNAME, Some(self.relay.clone()));
        self
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.world.test_db.clock().advance(by);
    }

    /// Accepts a message of Ada's.
    pub(crate) async fn accept(&self, to: &[&str]) -> OutgoingId {
        self.accept_as(to, &Wish::default(), MESSAGE).await
    }

    pub(crate) async fn accept_as(&self, to: &[&str], wish: &Wish, message: &[u8]) -> OutgoingId {
        self.try_accept_as(to, wish, message).await.unwrap()
    }

    /// As [`Self::accept`], where it may be refused.
    pub(crate) async fn try_accept(&self, to: &[&str]) -> Result<OutgoingId, Error> {
        self.try_accept_as(to, &Wish::default(), MESSAGE).await
    }

    /// The same of somebody else's.
    pub(crate) async fn try_accept_of(&self, user: &User, to: &[&str]) -> Result<OutgoingId, Error> {
        let message = format!("From: {}\r\nTo: bob@b.example\r\n\r\nhello\r\n", user.address);
        self.try_accept_by(user, to, &Wish::default(), message.as_bytes()).await
    }

    async fn try_accept_as(&self, to: &[&str], wish: &Wish, message: &[u8]) -> Result<OutgoingId, Error> {
        self.try_accept_by(&self.ada, to, wish, message).await
    }

    async fn try_accept_by(
        &self,
        user: &User,
        to: &[&str],
        wish: &Wish,
        message: &[u8],
    ) -> Result<OutgoingId, Error> {
        let login = self.world.login(user).await;
        let mut recipients = Vec::new();
        for address in to {
            let parsed = address.parse().ok();
            let (_, domain) = address.split_once('@').unwrap();
            let request_id = self.world.request_id();
            let domain = match self.submission.destination(parsed.as_ref(), domain, request_id).await.unwrap()
            {
                Destination::Local => None,
                Destination::Remote(domain) => Some(domain),
                nowhere => panic!("{address}: {nowhere:?}"),
            };
            recipients.push(Addressee {
                address: (*address).to_owned(),
                domain,
                notify: wish.notify.clone(),
                original: wish.original.map(str::to_owned),
            });
        }
        let envelope = Envelope {
            sender: Some(user.address.parse().unwrap()),
            is_utf8: false,
            envelope_id: wish.envelope_id.map(str::to_owned),
            returned: wish.returned,
            recipients,
        };
        let message = Bytes::copy_from_slice(message);
        let request_id = self.world.request_id();
        self.submission.accept(&login, envelope, message, Secured::Tls, request_id).await
    }

    /// Makes one attempt at all that is due; what they came to.
    pub(crate) async fn send_due(&self) -> Attempted {
        let db = self.submission.db();
        let mut all = Attempted::default();
        for way in [Way::Home, Way::Out] {
            for claim in queue::claim(db, 64, way).await.unwrap() {
                let Attempted { delivered, later, failed, untried } = self.submission.attempt(claim).await;
                all.delivered += delivered;
                all.later += later;
                all.failed += failed;
                all.untried += untried;
            }
        }
        all
    }

    pub(crate) async fn outgoing(&self, id: OutgoingId) -> Outgoing {
        outgoing::get(&self.world.ctx, id).await.unwrap()
    }

    /// The state of each recipient, and how many attempts were begun.
    pub(crate) async fn states(&self, id: OutgoingId) -> Vec<(State, i32)> {
        self.outgoing(id).await.recipients.iter().map(|one| (one.state, one.attempts)).collect()
    }

    /// What is in somebody's mailbox.
    pub(crate) async fn messages(&self, user: &User) -> Vec<String> {
        let ctx = self.world.login(user).await.ctx;
        let page = PageRequest::new(Some(200), None);
        let list = message::list(&ctx, user.mailbox_id, Filter::default(), &page).await.unwrap();
        let mut texts = Vec::new();
        for message in list.items {
            let raw = message::raw(&self.store, &ctx, user.mailbox_id, message.id, None).await.unwrap();
            texts.push(String::from_utf8(raw.bytes.to_vec()).unwrap());
        }
        texts
    }

    /// The events of a kind, as the operator sees them.
    pub(crate) async fn events(&self, kind: event::Kind) -> Vec<event::Event> {
        event::chain(self.submission.db()).await.unwrap();
        let filter = event::Filter { kinds: [kind].into(), tenant_id: None };
        let page = PageRequest::new(Some(200), None);
        let page = event::list(&self.world.operator, Action::EventRead, &filter, page).await.unwrap();
        page.items.into_iter().map(|chained| chained.event).collect()
    }

    /// Runs a statement as the system.
    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.system().await).await.unwrap();
    }

    /// What a statement counts, as the system.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.system().await).await.unwrap()
    }

    async fn system(&self) -> sqlx::PgConnection {
        use sqlx::Connection as _;
        let mut connection = sqlx::PgConnection::connect(&self.world.test_db.url()).await.unwrap();
        sqlx::raw_sql("set role pillarbox_system").execute(&mut connection).await.unwrap();
        connection
    }
}
