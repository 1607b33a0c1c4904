//! Mail that leaves: who may send as whom and to how many, what is done to its header, the keys that sign it, the queue that keeps it, and what its
//! senders are told.
//!
//! What is accepted is durable with its body before anybody is told so. From then on it is the queue's: each recipient is *queued* until the
//! message is *delivered*, has *failed* or was *dropped*. Recipients of this installation get it by the mail store's door, all others by the
//! operator's smarthost. What goes is signed with the keys of its author's domain ([`dkim`]).

mod accept;
pub mod dkim;
pub mod dsn;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod header;
pub mod limit;
pub mod outgoing;
pub mod post;
pub mod queue;
pub mod schedule;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
pub mod sweep;

use std::sync::Arc;

use db::Db;
use mailstore::MailStore;
use relay::Relay;
use tenancy::recipient::Recipients;
use tokio::sync::{Notify, Semaphore};

pub use accept::{Addressee, Destination, Envelope, Secured};
pub use error::Error;

/// What accepts mail and sends it. Cheap to clone; clones in one process wake each other.
#[derive(Debug, Clone)]
pub struct Submission {
    db: Db,
    store: MailStore,
    recipients: Recipients,
    /// This server's name, in Received fields and notifications.
    hostname: Arc<str>,
    /// The way out; without one, mail stays in this installation.
    relay: Option<Relay>,
    /// Something new is due.
    woken: Arc<Notify>,
    signers: dkim::Signers,
    route: Arc<post::Route>,
    /// For messages in memory, by the KiB.
    room: Arc<Semaphore>,
}

impl Submission {
    /// Over a mail store, under this server's host name, with a way out if there is one.
    pub fn new(db: Db, store: MailStore, hostname: &str, relay: Option<Relay>) -> Self {
        let recipients = Recipients::new(db.clone());
        Self {
            db,
            store,
            recipients,
            hostname: hostname.into(),
            relay,
            woken: Arc::default(),
            signers: dkim::Signers::default(),
            route: Arc::default(),
            room: Arc::new(Semaphore::new(post::ROOM_KIB as usize)),
        }
    }

    /// Whether mail leaves this installation.
    pub fn has_way_out(&self) -> bool {
        self.relay.is_some()
    }

    /// Clock, randomness and connections.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// This server's name.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Returns when something is queued by this process from now on.
    pub fn woken(&self) -> impl Future<Output = ()> + Send + use<> {
        self.woken.clone().notified_owned()
    }
}
