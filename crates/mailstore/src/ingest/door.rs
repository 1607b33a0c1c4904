//! Who waits at the door, and when the next batch of them goes in.
//!
//! Those who share packs wait in one line, and each tenant that shares none has a line of its own: nobody waits for the mail of another line.
//!
//! A part that finds nobody of its line under way goes in at once. What arrives meanwhile goes in together, as soon as that is done. After a
//! batch of more than one the next lingers, up to a share of what that one took or until as many more wait as were in it: those who have just been
//! answered send their next message now, and without it batches of n and of all the others would take turns for ever. Who has waited
//! [`PATIENCE`], behind an upload that is slow or a mailbox that is locked, goes in beside, and so does what a batch leaves, being full.
//! Of the tenants that share none, [`MAX_ALONE`] batches are under way at once; further ones get their turn in the order in which they ask for it.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use kernel::{Env, TenantId};
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
/// How many batches of a line go in beside the one whose turn it is.
const MAX_BESIDE: usize = 3;
/// How many batches of tenants that share no pack are under way at once.
const MAX_ALONE: usize = 16;
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
    room: Arc<Semaphore>,
    /// Turns of those who share no pack: they are given in the order in which they are asked for.
    alone: Arc<Semaphore>,
}

/// Whose line it is: of a tenant that shares no pack, or of all others.
type Owner = Option<TenantId>;

#[derive(Debug, Default)]
struct State {
    /// Those in which somebody waits or is under way.
    lines: BTreeMap<Owner, Line>,
    /// Packs that are reserved and were not used yet: one for all who share, and one for each tenant that does not.
    spares: BTreeMap<Kind, Spare>,
}

/// Those who wait for each other.
#[derive(Debug, Default)]
struct Line {
    /// Each with when it came.
    waiting: VecDeque<(Instant, Part)>,
    /// Whether somebody takes batches in until nobody waits.
    is_served: bool,
    /// How many batches are under way beside.
    beside: usize,
    arrived: Arc<Notify>,
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
        Self { state: Mutex::default(), room, alone: Arc::new(Semaphore::new(MAX_ALONE)) }
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
    fn line(&mut self, owner: Owner) -> &mut Line {
        self.lines.entry(owner).or_default()
    }

    /// Forgets a line that nobody is in, or the lines of tenants that get no mail any more would stay for ever.
    fn tidy(&mut self, owner: Owner) {
        let is_over = |line: &Line| !line.is_served && line.beside == 0 && line.waiting.is_empty();
        if self.lines.get(&owner).is_some_and(is_over) {
            self.lines.remove(&owner);
        }
    }

    /// Whether a batch is to go in beside, of those who wait in the line, if the first of them has waited for long; it is counted then.
    fn late_goes_beside(&mut self, owner: Owner) -> bool {
        self.lines.get_mut(&owner).is_some_and(|line| {
            let is_late = line.is_late();
            line.goes_beside(is_late)
        })
    }
}

impl Line {
    /// The next batch, in the order in which they came; empty if nobody waits.
    fn take(&mut self) -> Vec<Part> {
        let mut batch = Vec::new();
        let (mut bytes, mut deliveries) = (0, 0);
        while batch.len() < MAX_PARTS && bytes < MAX_BYTES && deliveries < MAX_DELIVERIES {
            let Some((_, part)) = self.waiting.pop_front() else { break };
            bytes += part.message.body.stored_bytes();
            deliveries += part.deliveries.len();
            batch.push(part);
        }
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
    let owner = part.owner();
    let mut state = store.door.state();
    let line = state.line(owner);
    let is_first = line.waiting.is_empty();
    line.waiting.push_back((Instant::now(), part));
    let is_served = mem::replace(&mut line.is_served, true);
    let arrived = line.arrived.clone();
    drop(state);
    if !is_served {
        let turn = Turn { store: store.clone(), owner, is_beside: false, is_over: false };
        tokio::spawn(turn.serve());
    } else if is_first {
        tokio::spawn(lose_patience(store.clone(), owner));
    }
    arrived.notify_one();
}

/// Lets parts of one tenant in, all of them or none, beside all others.
pub(super) fn enter_whole(store: &MailStore, parts: Vec<Part>) {
    let store = store.clone();
    tokio::spawn(async move { batch::run(&store, parts, Way::Whole).await });
}

/// Lets a batch of those who wait in a line in beside, if the first of them still waits after a while.
async fn lose_patience(store: MailStore, owner: Owner) {
    tokio::time::sleep(PATIENCE).await;
    let goes = store.door.state().late_goes_beside(owner);
    if goes {
        beside(store, owner);
    }
}

fn beside(store: MailStore, owner: Owner) {
    let turn = Turn { store, owner, is_beside: true, is_over: false };
    tokio::spawn(turn.one_batch());
}

/// One who takes batches of a line in.
struct Turn {
    store: MailStore,
    owner: Owner,
    is_beside: bool,
    is_over: bool,
}

impl Turn {
    /// Until nobody waits.
    async fn serve(mut self) {
        loop {
            let permit = self.permit().await;
            let parts = self.take();
            let count = parts.len();
            if parts.is_empty() {
                return;
            }
            let begun = Instant::now();
            self.run(parts).await;
            drop(permit);
            if count > 1 {
                self.linger(count, (begun.elapsed() / LINGER_SHARE).clamp(MIN_LINGER, MAX_LINGER)).await;
            }
        }
    }

    async fn one_batch(mut self) {
        let permit = self.permit().await;
        let parts = self.take();
        // Another may have taken them.
        if !parts.is_empty() {
            self.run(parts).await;
        }
        drop(permit);
        self.is_over = true;
        let mut state = self.store.door.state();
        let line = state.line(self.owner);
        line.beside -= 1;
        let (waits, is_late) = (!line.waiting.is_empty(), line.is_late());
        let goes = line.goes_beside(is_late);
        state.tidy(self.owner);
        drop(state);
        // There was no room beside for whoever waits, and may be none for long in turn.
        if goes {
            beside(self.store.clone(), self.owner);
        } else if waits {
            tokio::spawn(lose_patience(self.store.clone(), self.owner));
        }
    }

    /// What a batch of a tenant that shares no pack has to have: however many such tenants there are, the rest of the process goes on.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.owner?;
        // It is never closed.
        self.store.door.alone.clone().acquire_owned().await.ok()
    }

    /// A panic is the end of its batch, whose callers are told, and of nothing else.
    async fn run(&self, parts: Vec<Part>) {
        let way = if self.owner.is_some() { Way::Dedicated } else { Way::Shared };
        let ended = AssertUnwindSafe(batch::run(&self.store, parts, way)).catch_unwind().await;
        if ended.is_err() {
            tracing::error!("a batch of mail ended by a panic");
        }
    }

    /// The next batch. When there is none, whose turn it was has had it: whoever comes then starts anew.
    fn take(&mut self) -> Vec<Part> {
        let mut state = self.store.door.state();
        let line = state.line(self.owner);
        let parts = line.take();
        if parts.is_empty() && !self.is_beside {
            line.is_served = false;
            self.is_over = true;
        }
        let goes = line.goes_beside(!parts.is_empty());
        state.tidy(self.owner);
        drop(state);
        if goes {
            beside(self.store.clone(), self.owner);
        }
        parts
    }

    /// Waits until as many more wait as have just been answered.
    async fn linger(&self, answered: usize, limit: Duration) {
        let waiting = || self.store.door.state().line(self.owner).waiting.len();
        let arrival = self.store.door.state().line(self.owner).arrived.clone();
        let all = (waiting() + answered).min(MAX_PARTS);
        let enough = async {
            loop {
                let arrived = arrival.notified();
                if waiting() >= all {
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
        let line = state.line(self.owner);
        let waiting = mem::take(&mut line.waiting);
        if self.is_beside {
            line.beside -= 1;
        } else {
            line.is_served = false;
        }
        state.tidy(self.owner);
        drop(state);
        drop(waiting);
    }
}
