//! Who waits for a mailbox to change, in this process and in the others on the database.
//!
//! Whoever has committed says so here: those who wait in this process are woken at once, and those of other processes by one `NOTIFY` for
//! all that was committed while the last one was on its way. A word may get lost with a connection, so each process also looks once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::{Db, Listener, SystemRead};
use kernel::{MailboxId, TenantId};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use uuid::Uuid;

use super::store;

const CHANNEL: &str = "pillarbox_mail";

/// How long it takes at most until a word that was lost is made up for.
const POLL: Duration = Duration::from_secs(1);

/// How long what changes is gathered after others were told of something: each word costs every process a round trip.
const GATHERED: Duration = Duration::from_millis(5);

/// How many wait at a time: fewer than a server has connections, each of which a wait holds.
const MAX_WAITING: usize = 512;

/// How many mailboxes one payload names; it has at most 7,999 bytes.
const AT_ONCE: usize = 200;

/// Those who wait.
#[derive(Debug)]
pub(crate) struct Hub {
    /// What this process calls itself, so as not to hear itself.
    process: Uuid,
    watched: Mutex<Watched>,
    /// Mailboxes that the other processes are to be told of.
    untold: Mutex<BTreeSet<MailboxId>>,
    wake: Notify,
    turns: Semaphore,
}

#[derive(Debug, Default)]
struct Watched {
    by_mailbox: BTreeMap<MailboxId, (TenantId, watch::Sender<()>)>,
    is_closed: bool,
}

/// Whoever waits for one mailbox to change.
#[derive(Debug)]
pub struct Watch(watch::Receiver<()>);

impl Watch {
    /// Waits until the mailbox may have changed since this was called last, or since the watch began. Answers now and then when it has
    /// not, and at once when the server is stopping.
    pub async fn changed(&mut self) {
        // An error: nobody will wake us any more, since the server is stopping.
        let _ = self.0.changed().await;
    }
}

impl Hub {
    pub(crate) fn new(process: Uuid) -> Self {
        let (watched, untold) = (Mutex::default(), Mutex::default());
        Self { process, watched, untold, wake: Notify::new(), turns: Semaphore::new(MAX_WAITING) }
    }

    /// Leave to wait, as long as it is held; `None` where too many have it.
    pub(super) fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.try_acquire().ok()
    }

    pub(super) fn watch(&self, tenant_id: TenantId, mailbox_id: MailboxId) -> Watch {
        let mut watched = lock(&self.watched);
        if watched.is_closed {
            return Watch(watch::channel(()).1);
        }
        let (_, sender) =
            watched.by_mailbox.entry(mailbox_id).or_insert_with(|| (tenant_id, watch::channel(()).0));
        Watch(sender.subscribe())
    }

    /// Says that mailboxes have changed, or may have.
    pub(crate) fn changed(&self, mailboxes: impl Iterator<Item = MailboxId> + Clone) {
        self.wake(mailboxes.clone());
        lock(&self.untold).extend(mailboxes);
        self.wake.notify_one();
    }

    fn wake(&self, mailboxes: impl Iterator<Item = MailboxId>) {
        let watched = lock(&self.watched);
        for (_, sender) in mailboxes.filter_map(|mailbox| watched.by_mailbox.get(&mailbox)) {
            sender.send_replace(());
        }
    }

    /// Those that somebody waits for; the others are forgotten.
    fn watched(&self) -> Vec<(TenantId, MailboxId)> {
        let mut watched = lock(&self.watched);
        watched.by_mailbox.retain(|_, (_, sender)| sender.receiver_count() > 0);
        watched.by_mailbox.iter().map(|(mailbox, (tenant, _))| (*tenant, *mailbox)).collect()
    }

    /// Whether the server is stopping.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.watched).is_closed
    }

    /// Whoever waits goes on, and nobody waits any more.
    fn close(&self) {
        let mut watched = lock(&self.watched);
        watched.is_closed = true;
        watched.by_mailbox.clear();
    }

    /// Tells the other processes, and hears from them, until `stop`.
    pub(super) async fn run(&self, db: &Db, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.tell(db) => {}
            () = self.listen(db) => {}
            () = self.poll(db) => {}
        }
        self.close();
    }

    async fn tell(&self, db: &Db) {
        loop {
            self.wake.notified().await;
            let untold: Vec<_> = std::mem::take(&mut *lock(&self.untold)).into_iter().collect();
            let payload = |mailboxes: &[MailboxId]| {
                let ids = mailboxes.iter().map(|mailbox| mailbox.uuid().simple().to_string());
                std::iter::once(self.process.simple().to_string()).chain(ids).collect::<Vec<_>>().join(" ")
            };
            let payloads: Vec<_> = untold.chunks(AT_ONCE).map(payload).collect();
            if let Err(error) = db::notify(db, CHANNEL, &payloads).await {
                tracing::debug!(error.cause = %error, "other processes were not told of changes; they will look");
            }
            tokio::time::sleep(GATHERED).await;
        }
    }

    async fn listen(&self, db: &Db) {
        loop {
            if let Ok(mut listener) = Listener::open(db, CHANNEL).await {
                while let Ok(told) = listener.next().await {
                    self.hear(&told);
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn hear(&self, told: &str) {
        let mut ids = told.split(' ').filter_map(|id| id.parse::<Uuid>().ok());
        if ids.next() != Some(self.process) {
            self.wake(ids.map(MailboxId::from_uuid));
        }
    }

    async fn poll(&self, db: &Db) {
        let mut known: BTreeMap<MailboxId, u64> = BTreeMap::new();
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let watched = self.watched();
            if watched.is_empty() {
                known.clear();
                continue;
            }
            let Ok(current) = modseqs(db, &watched).await else { continue };
            // One that is watched only since the last look may have changed before this one.
            self.wake(
                current
                    .iter()
                    .filter(|(mailbox, modseq)| known.get(mailbox) != Some(modseq))
                    .map(|(mailbox, _)| *mailbox),
            );
            known = current;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the mailboxes that somebody watches are of several tenants")]
async fn modseqs(
    db: &Db,
    mailboxes: &[(TenantId, MailboxId)],
) -> Result<BTreeMap<MailboxId, u64>, db::Error> {
    store::modseqs(&mut SystemRead::open(db).await?, mailboxes).await
}

/// What is behind the lock is whole whenever the lock is free.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_no_more_until_one_goes() {
        let hub = Hub::new(Uuid::nil());
        let mut turns: Vec<_> = std::iter::from_fn(|| hub.turn()).collect();
        assert_eq!(turns.len(), MAX_WAITING);
        turns.pop();
        assert!(hub.turn().is_some());
    }
}
