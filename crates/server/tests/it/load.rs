//! Mail by LMTP from many at once, each attempt noted with what it came to, for tests in which the program has a bad time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use db::{Db, SystemTx};
use tenancy::user::User;
use testkit::SeededRandom;
use testkit::client::lmtp::Lmtp;
use testkit::client::pop3::Pop3;
use testkit::client::reply::Reply;
use testkit::story::server::Server;
use testkit::world::PASSWORD;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long any condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(5);

/// What an attempt came to for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// None, so far or ever.
    None,
    Kept,
    /// 4yz.
    Refused,
}

#[derive(Debug)]
struct Shared {
    /// Where to connect to; `None` while nobody serves.
    address: Mutex<Option<SocketAddr>>,
    recipients: Vec<User>,
    /// By recipient's place and message.
    attempts: Mutex<BTreeMap<(usize, String), Answer>>,
    is_over: AtomicBool,
}

/// Connections that deliver one message after another, each to two of the recipients, and never one twice.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    connections: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(connections: usize, address: SocketAddr, recipients: Vec<User>) -> Self {
        let shared = Arc::new(Shared {
            address: Mutex::new(Some(address)),
            recipients,
            attempts: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let connections = (0..connections).map(|n| tokio::spawn(connection(shared.clone(), n))).collect();
        Self { shared, connections }
    }

    /// Where the program serves from now on, if it does.
    pub(crate) fn point_to(&self, address: Option<SocketAddr>) {
        *self.shared.address.lock().unwrap() = address;
    }

    /// Returns when so many more were acknowledged.
    pub(crate) async fn wait_for_kept(&self, more: usize) {
        self.wait_for(Answer::Kept, more).await;
    }

    /// Returns when so many more were refused.
    pub(crate) async fn wait_for_refused(&self, more: usize) {
        self.wait_for(Answer::Refused, more).await;
    }

    async fn wait_for(&self, answer: Answer, more: usize) {
        let (until, deadline) = (self.count(answer) + more, Instant::now() + PATIENCE);
        while self.count(answer) < until {
            assert!(Instant::now() < deadline, "no more are {answer:?}: {:?}", self.counts());
            tokio::time::sleep(POLL).await;
        }
    }

    fn count(&self, of: Answer) -> usize {
        self.shared.attempts.lock().unwrap().values().filter(|answer| **answer == of).count()
    }

    /// How many were acknowledged, refused and not answered, of those that have been begun.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.count(Answer::Kept), self.count(Answer::Refused), self.count(Answer::None))
    }

    /// Ends once each connection has its last answer.
    pub(crate) async fn stop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for connection in self.connections.drain(..) {
            tokio::time::timeout(PATIENCE, connection).await.unwrap().unwrap();
        }
    }

    /// What has been acknowledged by now is there once, everything that is there was sent and is there once, and every counter is the sum of
    /// what it counts.
    pub(crate) async fn assert_whole(&self, db: &Db) {
        let kept: Vec<_> = {
            let attempts = self.shared.attempts.lock().unwrap();
            attempts
                .iter()
                .filter(|(_, answer)| **answer == Answer::Kept)
                .map(|(key, _)| key.clone())
                .collect()
        };
        let held = held(db, &self.shared.recipients).await;
        let lost = kept.iter().filter(|key| !held.contains_key(*key)).collect::<Vec<_>>();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let doubled = held.iter().filter(|(_, count)| **count != 1).collect::<Vec<_>>();
        assert!(doubled.is_empty(), "there more than once: {doubled:?}");
        {
            let attempts = self.shared.attempts.lock().unwrap();
            let unknown = held.keys().filter(|key| !attempts.contains_key(*key)).collect::<Vec<_>>();
            assert!(unknown.is_empty(), "never sent: {unknown:?}");
        }
        let drift = mailstore::check::drift(db).await.unwrap();
        assert_eq!(drift, mailstore::check::Drift::default());
    }

    /// Every message that is there is what was sent, as its owner reads it.
    pub(crate) async fn assert_readable(&self, db: &Db, server: &Server) {
        let held = held(db, &self.shared.recipients).await;
        for (place, recipient) in self.shared.recipients.iter().enumerate() {
            let count = held.keys().filter(|(at, _)| *at == place).count();
            let mut pop3 = Pop3::connect_tls(server.listening().pop3s).await.unwrap();
            pop3.login(&recipient.address, PASSWORD).await.unwrap();
            assert_eq!(pop3.stat().await.unwrap().0, count);
            for number in 1..=count {
                let stored = pop3.retr(number).await.unwrap();
                let text = String::from_utf8_lossy(&stored);
                let name = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
                assert!(stored.ends_with(&message(&name)), "{name}");
                assert!(held.contains_key(&(place, name)));
            }
            pop3.quit().await.unwrap();
        }
    }
}

/// How often each message is in each mailbox.
#[expect(clippy::disallowed_methods, reason = "the test looks at the mail of all tenants")]
async fn held(db: &Db, recipients: &[User]) -> BTreeMap<(usize, String), i64> {
    let mut tx = SystemTx::begin(db).await.unwrap();
    let mut held = BTreeMap::new();
    for (place, recipient) in recipients.iter().enumerate() {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select o.parsed ->> 'subject', count(*) from messages m join message_outlines o on o.tenant_id = m.tenant_id and o.blob_id = m.blob_id
             where mailbox_id = $1 group by 1",
        )
        .bind(recipient.mailbox_id.uuid())
        .fetch_all(tx.conn())
        .await
        .unwrap();
        held.extend(rows.into_iter().map(|(name, count)| ((place, name), count)));
    }
    held
}

/// The message of a name: 200 bytes to 40 KB that do not get much smaller.
fn message(name: &str) -> Vec<u8> {
    let seed = name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let random = SeededRandom::new(seed);
    let mut text = format!("From: <a@sender.example>\r\nSubject: {name}\r\n\r\n");
    for _ in 0..=random.next_u64() % 200 {
        text +=
            &format!("{:016x}{:016x}{:016x}\r\n", random.next_u64(), random.next_u64(), random.next_u64());
    }
    text.into_bytes()
}

async fn connection(shared: Arc<Shared>, number: usize) {
    let mut count = 0;
    while !shared.is_over.load(Ordering::SeqCst) {
        let address = *shared.address.lock().unwrap();
        let lmtp = match address {
            Some(address) => Lmtp::connect(address).await.ok(),
            None => None,
        };
        let Some(mut lmtp) = lmtp else {
            tokio::time::sleep(POLL).await;
            continue;
        };
        while !shared.is_over.load(Ordering::SeqCst) {
            count += 1;
            if !deliver(&shared, &mut lmtp, number, count).await {
                break;
            }
        }
    }
}

/// Whether the connection is still good.
async fn deliver(shared: &Shared, lmtp: &mut Lmtp, number: usize, count: usize) -> bool {
    let name = format!("{number}-{count}");
    let all = shared.recipients.len();
    let places = [number % all, (number + count) % all];
    let places = if places[0] == places[1] { vec![places[0]] } else { places.to_vec() };
    {
        let mut attempts = shared.attempts.lock().unwrap();
        attempts.extend(places.iter().map(|place| ((*place, name.clone()), Answer::None)));
    }
    let note = |place: usize, reply: &Reply| {
        assert!(reply.is_positive() || reply.code / 100 == 4, "{name} was answered with {reply}");
        let answer = if reply.is_positive() { Answer::Kept } else { Answer::Refused };
        shared.attempts.lock().unwrap().insert((place, name.clone()), answer);
    };
    let to: Vec<&str> = places.iter().map(|place| shared.recipients[*place].address.as_str()).collect();
    let bytes = message(&name);
    let delivery =
        lmtp.deliver_noting("a@sender.example", &to, &bytes, |at, reply| note(places[at], reply)).await;
    let Ok(delivery) = delivery else { return false };
    // Refused before the message was sent.
    for ((place, before), last) in places.iter().zip(&delivery.recipients).zip(&delivery.outcomes) {
        if !before.is_positive() || delivery.data.code != 354 {
            note(*place, if before.is_positive() { &delivery.data } else { last });
        }
    }
    // Without a recipient the transaction stays open.
    delivery.data.code == 354 || lmtp.command("RSET").await.is_ok_and(|reply| reply.is_positive())
}
