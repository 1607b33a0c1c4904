//! Sends what is due to webhook endpoints, several at a time. No transaction is open while one is under way.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tenancy::webhook_endpoint::{self, Due, Free};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use webhook::Verdict;

use crate::Worker;

/// How many are under way at once.
const AT_ONCE: usize = 16;
/// How many of these may be word of mail, of which there is far more than of events.
const MAIL_AT_ONCE: usize = 8;
/// Nobody else makes an attempt before this has passed; longer than any takes.
const LEASE: TimeDelta = TimeDelta::minutes(2);
/// How often it is looked for what is due.
const POLL: Duration = Duration::from_millis(500);

pub(crate) async fn run(worker: &Worker, shutdown: &CancellationToken) {
    let mut sending = JoinSet::new();
    let mail = Arc::new(Semaphore::new(MAIL_AT_ONCE));
    while !shutdown.is_cancelled() {
        let free = AT_ONCE.saturating_sub(sending.len());
        let found = fill(worker, free, &mail, &mut sending).await;
        // What is found may not be all there is; what is not found comes with time, or as places become free.
        if found > 0 && sending.len() < AT_ONCE {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            Some(_) = sending.join_next() => {}
            () = shutdown.cancelled() => {}
        }
        while sending.try_join_next().is_some() {}
    }
    // Each ends in the time that the sender allows for an attempt.
    while sending.join_next().await.is_some() {}
}

/// Starts up to `free` more; how many.
async fn fill(worker: &Worker, free: usize, mail: &Arc<Semaphore>, sending: &mut JoinSet<()>) -> usize {
    if free == 0 {
        return 0;
    }
    let free = Free { all: free, of_mail: mail.available_permits() };
    match webhook_endpoint::claim(&worker.db, free, LEASE).await {
        Ok(due) => {
            let found = due.len();
            for due in due {
                // Nobody else takes any, so there is one.
                let turn = due.is_of_mail().then(|| Arc::clone(mail).try_acquire_owned().ok()).flatten();
                sending.spawn(send(worker.clone(), due, turn));
            }
            found
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "the webhooks that are due cannot be read");
            0
        }
    }
}

/// The turn, of mail, ends with it.
async fn send(worker: Worker, due: Due, _turn: Option<OwnedSemaphorePermit>) {
    let outcome = worker.sender.send(worker.db.env(), &due.message).await;
    let label = match outcome.verdict() {
        Verdict::Delivered => "delivered",
        Verdict::Gone => "gone",
        Verdict::Failed => "failed",
    };
    metrics::counter!("pillarbox_webhook_attempts_total", "outcome" => label).increment(1);
    if let Err(error) = webhook_endpoint::settle(&worker.db, &due, &outcome).await {
        // Its lease runs out, and then it is sent again under the same id.
        tracing::warn!(delivery.id = %due.id, error.cause = %kernel::error::chain(&error), "what came of a webhook could not be noted");
    }
}
