//! Where things are looked up for all who ask at this moment: what is asked while a statement is under way is answered by
//! the next, in one round trip for all of it.
//!
//! Nothing is kept. Each answer is read after its question was put, so a key that was revoked before the request came
//! proves nothing, and an address that was given away before its mail came takes none.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::Db;
use tokio::sync::oneshot;

use crate::Error;

/// What is asked at one desk.
pub(crate) trait Question: Send + Sync + Sized + 'static {
    /// What there is to be found.
    type Found: Send;
    /// What questions that are answered together have in common; those of one lane wait for none of another's.
    type Lane: Clone + Eq + Hash + Send + Sync + 'static;

    /// Its lane.
    fn lane(&self) -> Self::Lane;

    /// The answers, in the order of the questions, which are of one lane; one at least.
    fn look_up(
        db: &Db,
        questions: &[Self],
    ) -> impl Future<Output = Result<Vec<Answer<Self>>, db::Error>> + Send;
}

/// What is found; `None` where there is no such thing.
pub(crate) type Answer<Q> = Result<Option<<Q as Question>::Found>, Error>;

/// How long a lookup may take.
const LONGEST: Duration = Duration::from_secs(10);

type Waiting<Q> = (Q, oneshot::Sender<Answer<Q>>);

/// Who waits in each lane that a task serves; nobody, where all of its questions are being answered.
type Lanes<Q> = HashMap<<Q as Question>::Lane, Vec<Waiting<Q>>>;

/// A desk. Cheap to clone; all clones are one.
pub(crate) struct Desk<Q: Question>(Arc<Mutex<Lanes<Q>>>);

impl<Q: Question> Default for Desk<Q> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Q: Question> Clone for Desk<Q> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Question> std::fmt::Debug for Desk<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

impl<Q: Question> Desk<Q> {
    /// What is asked for, as it is now.
    pub(crate) async fn ask(&self, db: &Db, question: Q) -> Answer<Q> {
        let (sender, answer) = oneshot::channel();
        let lane = question.lane();
        if self.put(&lane, (question, sender)) {
            // A task of its own: that one caller goes away is nothing to the others.
            let (desk, db) = (self.clone(), db.clone());
            tokio::spawn(async move { desk.serve(&db, lane).await });
        }
        answer.await.map_err(Error::internal)?
    }

    /// Whether it is for the caller to have the lane served.
    fn put(&self, lane: &Q::Lane, waiting: Waiting<Q>) -> bool {
        let mut lanes = self.lanes();
        match lanes.get_mut(lane) {
            Some(queue) => {
                queue.push(waiting);
                false
            }
            None => {
                lanes.insert(lane.clone(), vec![waiting]);
                true
            }
        }
    }

    async fn serve(&self, db: &Db, lane: Q::Lane) {
        let mut serving = Serving { desk: self, lane, is_over: false };
        while let Some(waiting) = serving.next() {
            let (questions, askers): (Vec<Q>, Vec<_>) = waiting.into_iter().unzip();
            // All wait for this one: a connection that says nothing is not to stop everybody for longer.
            let answered = tokio::time::timeout(LONGEST, Q::look_up(db, &questions)).await;
            let (mut found, fault) = match answered.unwrap_or_else(|_| Err(db::Error::timed_out())) {
                Ok(found) => (found, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            found.resize_with(askers.len(), || Ok(None));
            for (asker, found) in askers.into_iter().zip(found) {
                let answer = fault.as_ref().map_or(found, |error| Err(error.shared().into()));
                // Whoever is gone needs none.
                drop(asker.send(answer));
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes<Q>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane while it is served. When that ends before its time, as with the runtime, those who wait are told.
struct Serving<'a, Q: Question> {
    desk: &'a Desk<Q>,
    lane: Q::Lane,
    is_over: bool,
}

impl<Q: Question> Serving<'_, Q> {
    /// All who wait now; `None` when nobody does, and from then on the next to come has the lane served.
    fn next(&mut self) -> Option<Vec<Waiting<Q>>> {
        let mut lanes = self.desk.lanes();
        let waiting = lanes.get_mut(&self.lane).map(std::mem::take).unwrap_or_default();
        if waiting.is_empty() {
            lanes.remove(&self.lane);
            self.is_over = true;
            return None;
        }
        Some(waiting)
    }
}

impl<Q: Question> Drop for Serving<'_, Q> {
    fn drop(&mut self) {
        if !self.is_over {
            self.desk.lanes().remove(&self.lane);
        }
    }
}
