//! Who waits at the door, and when the next batch of them goes in.
//!
//! A part that finds nobody under way goes in at once. What arrives meanwhile goes in together, as soon as that is done: with whoever has waited
//! longest all that may lie in one pack with theirs, which is what those have who share packs, or what one tenant has that shares none. After a
//! batch of more than one the next lingers, up to a share of what that one took or until as many more wait as were in it: those who have just been
//! answered send their next message now, and without it batches of n and of all the others would take turns for ever. Who has waited
//! [`PATIENCE`], behind an upload that is slow or a mailbox that is locked, goes in beside, and so does what a batch leaves, being full or another's.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use kernel::Env;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::batch::Way;
use super::{Part, batch};
use crate::MailStore;
use crate::body::{Kind, RESERVATION};

/// The share of the time that a batch took for which the next one waits for those who have just been answered: the more they are, and the slower
/// everything is, the longer it takes until they are back.
const LINGER_SHARE: u32 = 4;
/// How long it waits at least, if it is to wait, and at most.
const MIN_LINGER: Duration = Duration::from_millis(2);
const MAX_LINGER: Duration = Duration::from_millis(10);
/// How long a part waits behind others that are under way.
const PATIENCE: Duration = Duration::from_millis(50);
/// How many batches go in beside the one whose turn it is.
const MAX_BESIDE: usize = 3;
/// How many parts a batch has at most.
const MAX_PARTS: usize = 256;
/// From so many mailboxes on a batch takes no other part: their rows are locked together.
const MAX_DELIVERIES: usize = 1_000;
/// From so many bytes on a batch takes no other part.
const MAX_BYTES: usize = 16 << 20;
/// From so many bytes on a body is an object of its own.
const LARGE_BYTES: usize = 1 << 20;
/// How many bytes of messages are being taken in at most, by all sessions of the process.
const MAX_ROOM_BYTES: usize = 256 << 20;
/// The unit in which room is given.
const ROOM_UNIT_BYTES: usize = 1 << 10;

/// The door of a mail store.
#[derive(Debug)]
pub(crate) struct Door {
    state: Mutex<State>,
    arrived: Notify,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    /// Each with when it came.
    waiting: VecDeque<(Instant, Part)>,
    /// Whether somebody takes batches in until nobody waits.
    is_served: bool,
    /// How many batches are under way beside.
    beside: usize,
    /// Packs that are reserved and were not used yet: one for all who share, and one for each tenant that does not.
    spares: BTreeMap<Kind, Spare>,
}

/// An empty pack that is reserved.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) writer: pack::Writer,
    pub(super) kind: Kind,
    pub(super) until: DateTime<Utc>,
}

impl Spare {
    /// One that is to be reserved.
    pub(super) fn new(env: &Env, kind: Kind) -> Self {
        Self { writer: pack::Writer::new(env), kind, until: env.now() + RESERVATION }
    }
}

impl Default for Door {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(MAX_ROOM_BYTES / ROOM_UNIT_BYTES));
        Self { state: Mutex::default(), arrived: Notify::new(), room }
    }
}

impl Door {
    /// Nothing is spawned or dropped under this lock that could ask for it again.
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a message of so many bytes may be taken in; until then whoever sends it is told nothing and waits.
    pub(super) async fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(ROOM_UNIT_BYTES).min(MAX_ROOM_BYTES / ROOM_UNIT_BYTES);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // It is never closed.
        self.room.clone().acquire_many_owned(units).await.ok()
    }

    pub(super) fn take_spare(&self, kind: Kind) -> Option<Spare> {
        self.state().spares.remove(&kind)
    }

    pub(super) fn has_spare(&self, kind: Kind) -> bool {
        self.state().spares.contains_key(&kind)
    }

    pub(super) fn put_spare(&self, spare: Spare) {
        let now = spare.until - RESERVATION;
        let mut state = self.state();
        // Those of tenants that get no mail any more would stay for ever.
        state.spares.retain(|_, other| other.until > now);
        state.spares.insert(spare.kind, spare);
    }
}

impl State {
    /// The next batch: who has waited longest, and those of all others who may lie beside it, in the order in which they came; empty if nobody waits.
    fn take(&mut self) -> Vec<Part> {
        let (mut batch, mut others) = (Vec::new(), VecDeque::new());
        let Some(owner) = self.waiting.front().map(|(_, part)| part.owner()) else { return batch };
        let (mut bytes, mut deliveries) = (0, 0);
        while batch.len() < MAX_PARTS && bytes < MAX_BYTES && deliveries < MAX_DELIVERIES {
            let Some((came, part)) = self.waiting.pop_front() else { break };
            if part.owner() != owner {
                others.push_back((came, part));
                continue;
            }
            bytes += part.message.body.stored_bytes();
            deliveries += part.deliveries.len();
            batch.push(part);
        }
        others.append(&mut self.waiting);
        self.waiting = others;
        batch
    }

    /// Whether the first of those who wait has waited for long.
    fn is_late(&self) -> bool {
        self.waiting.front().is_some_and(|(came, _)| came.elapsed() >= PATIENCE)
    }

    /// Whether a batch is to go in beside; it is counted then.
    fn goes_beside(&mut self, is_due: bool) -> bool {
        let goes = is_due && !self.waiting.is_empty() && self.beside < MAX_BESIDE;
        self.beside += usize::from(goes);
        goes
    }
}

/// Lets a part in, in its turn.
pub(super) fn enter(store: &MailStore, part: Part) {
    if part.message.body.stored_bytes() >= LARGE_BYTES {
        let store = store.clone();
        tokio::spawn(async move { batch::run(&store, vec![part], Way::Own).await });
        return;
    }
    let mut state = store.door.state();
    let is_first = state.waiting.is_empty();
    state.waiting.push_back((Instant::now(), part));
    let is_served = mem::replace(&mut state.is_served, true);
    drop(state);
    if !is_served {
        let turn = Turn { store: store.clone(), is_beside: false, is_over: false };
        tokio::spawn(turn.serve());
    } else if is_first {
        tokio::spawn(lose_patience(store.clone()));
    }
    store.door.arrived.notify_one();
}

/// Lets parts of one tenant in, all of them or none, beside all others.
pub(super) fn enter_whole(store: &MailStore, parts: Vec<Part>) {
    let store = store.clone();
    tokio::spawn(async move { batch::run(&store, parts, Way::Whole).await });
}

/// Lets a batch of those who wait in beside, if the first of them still waits after a while.
async fn lose_patience(store: MailStore) {
    tokio::time::sleep(PATIENCE).await;
    let mut state = store.door.state();
    let is_late = state.is_late();
    let goes = state.goes_beside(is_late);
    drop(state);
    if goes {
        beside(store);
    }
}

fn beside(store: MailStore) {
    let turn = Turn { store, is_beside: true, is_over: false };
    tokio::spawn(turn.one_batch());
}

/// One who takes batches in.
struct Turn {
    store: MailStore,
    is_beside: bool,
    is_over: bool,
}

impl Turn {
    /// Until nobody waits.
    async fn serve(mut self) {
        loop {
            let parts = self.take();
            let count = parts.len();
            if parts.is_empty() {
                return;
            }
            let begun = Instant::now();
            self.run(parts).await;
            if count > 1 {
                self.linger(count, (begun.elapsed() / LINGER_SHARE).clamp(MIN_LINGER, MAX_LINGER)).await;
            }
        }
    }

    async fn one_batch(mut self) {
        let parts = self.take();
        self.run(parts).await;
        self.is_over = true;
        let mut state = self.store.door.state();
        state.beside -= 1;
        let (waits, is_late) = (!state.waiting.is_empty(), state.is_late());
        let goes = state.goes_beside(is_late);
        drop(state);
        // There was no room beside for whoever waits, and may be none for long in turn.
        if goes {
            beside(self.store.clone());
        } else if waits {
            tokio::spawn(lose_patience(self.store.clone()));
        }
    }

    /// A panic is the end of its batch, whose callers are told, and of nothing else.
    async fn run(&self, parts: Vec<Part>) {
        let is_dedicated = parts.first().is_some_and(|part| part.is_dedicated);
        let way = if is_dedicated { Way::Dedicated } else { Way::Shared };
        let ended = AssertUnwindSafe(batch::run(&self.store, parts, way)).catch_unwind().await;
        if ended.is_err() {
            tracing::error!("a batch of mail ended by a panic");
        }
    }

    /// The next batch. When there is none, whose turn it was has had it: whoever comes then starts anew.
    fn take(&mut self) -> Vec<Part> {
        let mut state = self.store.door.state();
        let parts = state.take();
        if parts.is_empty() && !self.is_beside {
            state.is_served = false;
            self.is_over = true;
        }
        let goes = state.goes_beside(!parts.is_empty());
        drop(state);
        if goes {
            beside(self.store.clone());
        }
        parts
    }

    /// Waits until as many more wait as have just been answered.
    async fn linger(&self, answered: usize, limit: Duration) {
        let door = &self.store.door;
        let all = (door.state().waiting.len() + answered).min(MAX_PARTS);
        let enough = async {
            loop {
                let arrived = door.arrived.notified();
                if door.state().waiting.len() >= all {
                    return;
                }
                arrived.await;
            }
        };
        // Whether it is enough or too late, what waits goes in.
        let _ = tokio::time::timeout(limit, enough).await;
    }
}

impl Drop for Turn {
    /// Cut short, which the end of the runtime alone does: nobody will come for those who wait, so they are told.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.store.door.state();
        let waiting = mem::take(&mut state.waiting);
        if self.is_beside {
            state.beside -= 1;
        } else {
            state.is_served = false;
        }
        drop(state);
        drop(waiting);
    }
}
