//! Where keys are looked up, for all who call at this moment: what is asked while a statement is under way is answered by
//! the next, in one round trip for all of it.
//!
//! Nothing is kept. Each answer is read after its question was put, so a key that was revoked before the request came
//! proves nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db::Db;
use kernel::{ApiKeyId, TenantId};
use tokio::sync::oneshot;

use super::store;
use crate::Error;
use crate::api_key::{self, ApiKey};
use crate::tenant::Place;

/// A key that was shown, and the tenant that its request is about to enter, if one is known already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) key_id: ApiKeyId,
    pub(super) tenant_id: Option<TenantId>,
}

/// A key, and where the tenant is; `None` when there is no such tenant, or none was asked for.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: ApiKey,
    pub(super) secret_hash: Vec<u8>,
    pub(super) place: Option<Place>,
}

/// How long a lookup may take.
const LONGEST: Duration = Duration::from_secs(10);

type Answer = Result<Option<Found>, Error>;

#[derive(Debug)]
struct Waiting {
    question: Question,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Whether a task takes what is put here.
    is_served: bool,
}

/// The desk.
#[derive(Debug, Default)]
pub(super) struct Desk {
    queue: Mutex<Queue>,
}

impl Desk {
    /// The key and the tenant's place as they are now.
    pub(super) async fn ask(self: &Arc<Self>, db: &Db, question: Question) -> Answer {
        let (sender, answer) = oneshot::channel();
        if self.put(Waiting { question, answer: sender }) {
            // A task of its own: that one caller goes away is nothing to the others.
            let (desk, db) = (Arc::clone(self), db.clone());
            tokio::spawn(async move { desk.serve(&db).await });
        }
        answer.await.map_err(Error::internal)?
    }

    /// Whether it is for the caller to have it served.
    fn put(&self, waiting: Waiting) -> bool {
        let mut queue = self.queue();
        queue.waiting.push(waiting);
        !std::mem::replace(&mut queue.is_served, true)
    }

    async fn serve(&self, db: &Db) {
        let mut serving = Serving { desk: self, is_over: false };
        while let Some(waiting) = serving.next() {
            let questions: Vec<Question> = waiting.iter().map(|one| one.question).collect();
            // All wait for this one: a connection that says nothing is not to stop everybody for longer.
            let answered = tokio::time::timeout(LONGEST, look_up(db, &questions)).await;
            let (mut found, fault) = match answered.unwrap_or_else(|_| Err(db::Error::timed_out())) {
                Ok(found) => (found, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            found.resize_with(waiting.len(), || Ok(None));
            for (one, found) in waiting.into_iter().zip(found) {
                let answer = fault.as_ref().map_or(found, |error| Err(error.shared().into()));
                // Whoever is gone needs none.
                drop(one.answer.send(answer));
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of questions, in their order.
async fn look_up(db: &Db, questions: &[Question]) -> Result<Vec<Answer>, db::Error> {
    let mut read = api_key::lookup(db).await?;
    store::keys_with_places(&mut read, questions).await
}

/// A desk while it is served. When that ends before its time, as with the runtime, those who wait are told.
struct Serving<'a> {
    desk: &'a Desk,
    is_over: bool,
}

impl Serving<'_> {
    /// All who wait now; `None` when nobody does, and from then on the next to come has it served.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut queue = self.desk.queue();
        let waiting = std::mem::take(&mut queue.waiting);
        if waiting.is_empty() {
            queue.is_served = false;
            self.is_over = true;
            return None;
        }
        Some(waiting)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            *self.desk.queue() = Queue::default();
        }
    }
}
