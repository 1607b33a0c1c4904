//! The queue: one job after another, each by the domain function of its kind.

use std::time::Duration;

use chrono::TimeDelta;
use db::jobs::{self, Job};
use tokio_util::sync::CancellationToken;

use crate::Worker;

/// Nobody else takes a job over before this has passed; a job that is at work for longer may be done twice.
const LEASE: TimeDelta = TimeDelta::minutes(15);
/// How often an empty queue is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How long a job under way gets to finish after the signal to stop.
const GRACE: Duration = Duration::from_secs(15);

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

pub(crate) async fn run(worker: &Worker, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        let claimed = jobs::claim(&worker.db, LEASE).await;
        match claimed {
            Ok(Some(job)) => work(worker, &job, shutdown).await,
            Ok(None) => pause(shutdown).await,
            Err(error) => {
                tracing::warn!(error.cause = %kernel::error::chain(&error), "the job queue cannot be read");
                pause(shutdown).await;
            }
        }
    }
}

async fn pause(shutdown: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(POLL) => {}
        () = shutdown.cancelled() => {}
    }
}

async fn work(worker: &Worker, job: &Job, shutdown: &CancellationToken) {
    let out_of_time = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let outcome = tokio::select! {
        outcome = dispatch(worker, job) => outcome,
        () = out_of_time => Err("the server stopped".into()),
    };
    let label = if outcome.is_ok() { "done" } else { "failed" };
    metrics::counter!("pillarbox_jobs_total", "kind" => job.kind.clone(), "outcome" => label).increment(1);
    let noted = match outcome {
        Ok(()) => jobs::complete(&worker.db, job.id).await,
        Err(error) => {
            let (id, cause) = (job.id, error.to_string());
            tracing::warn!(job.id = %id, job.kind = job.kind, job.attempts = job.attempts, error.cause = cause, "a job failed");
            jobs::fail(&worker.db, job, &cause).await
        }
    };
    if let Err(error) = noted {
        // Its lease runs out, and then it is done again.
        tracing::warn!(job.id = %job.id, error.cause = %kernel::error::chain(&error), "a job's outcome could not be noted");
    }
}

async fn dispatch(worker: &Worker, job: &Job) -> Outcome {
    match job.kind.as_str() {
        billing::run::JOB => Ok(billing::run::work(&worker.db, &job.payload).await?),
        kind => Err(format!("no function for jobs of kind {kind}").into()),
    }
}
