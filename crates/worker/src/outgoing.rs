//! Sends mail that leaves, several messages at a time. No transaction is open while one is under way.

use std::time::Duration;

use submission::post::Attempted;
use submission::queue::{self, Claim, Way};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Worker;

/// How many are under way at once, to mailboxes here and to all others: who is slow out there keeps nobody at home waiting.
const AT_ONCE: usize = 64;
/// How often it is looked for what has come due, or was queued by another process.
const POLL: Duration = Duration::from_secs(1);
/// How long, at shutdown, messages that are under way get to be finished. What is cut off is tried again when its lease ends.
const FINISH: Duration = Duration::from_secs(20);

pub(crate) async fn run(worker: &Worker, shutdown: &CancellationToken) {
    tokio::join!(send_all(worker, shutdown, Way::Home), send_all(worker, shutdown, Way::Out));
}

async fn send_all(worker: &Worker, shutdown: &CancellationToken, way: Way) {
    let mut sending = JoinSet::new();
    while !shutdown.is_cancelled() {
        // Before it is looked: what is queued meanwhile wakes it.
        let woken = worker.submission.woken();
        let free = AT_ONCE.saturating_sub(sending.len());
        let found = fill(worker, free, way, &mut sending).await;
        // What is found may not be all there is.
        if found > 0 && sending.len() < AT_ONCE {
            continue;
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(POLL) => {}
            Some(_) = sending.join_next() => {}
            () = shutdown.cancelled() => {}
        }
        while sending.try_join_next().is_some() {}
    }
    let finish = async { while sending.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH, finish).await.is_err() {
        tracing::warn!("mail that was being sent is cut off");
    }
}

/// Starts up to `free` more; how many.
async fn fill(worker: &Worker, free: usize, way: Way, sending: &mut JoinSet<()>) -> usize {
    if free == 0 {
        return 0;
    }
    match queue::claim(&worker.db, free, way).await {
        Ok(claims) => {
            let found = claims.len();
            for claim in claims {
                sending.spawn(send(worker.clone(), claim));
            }
            found
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "the mail that is due cannot be read");
            0
        }
    }
}

async fn send(worker: Worker, claim: Claim) {
    let Attempted { delivered, later, failed, untried } = worker.submission.attempt(claim).await;
    for (outcome, count) in
        [("delivered", delivered), ("later", later), ("failed", failed), ("untried", untried)]
    {
        metrics::counter!("pillarbox_outgoing_attempts_total", "outcome" => outcome).increment(count);
    }
}
