//! Claims jobs and calls the domain function each names; keeps the periodic duties.
//!
//! Any number of processes may work on one database: a job is claimed under a lease, and every duty bears being done
//! by several at once, so nothing here needs a leader. Those that one at a time is enough for, scheduled billing and the comparison of counters,
//! are led by whoever takes their lock.

mod duties;
mod jobs;
mod outgoing;
mod webhooks;

use std::sync::Arc;

use db::Db;
use dns::Resolver;
use mailstore::MailStore;
use submission::Submission;
use tenancy::auth::Auth;
use tokio_util::sync::CancellationToken;

/// What a worker works on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The queue and the domains' tables.
    pub db: Db,
    /// Where mail is kept.
    pub store: MailStore,
    /// How mail is moved into packs of its tenant's own.
    pub compaction: mailstore::compact::Pace,
    /// For how long the operator keeps backups of the database: records of destroyed tenants say when the last has expired.
    pub backups_kept: chrono::TimeDelta,
    /// Whose signing keys are rotated, and by which those records are signed.
    pub auth: Auth,
    /// Takes charges.
    pub payments: Arc<dyn billing::payment::Provider>,
    /// Knows numbers for value-added tax.
    pub vat_register: Arc<dyn billing::vat_id::VatRegister>,
    /// Sends mail that leaves.
    pub submission: Submission,
    /// Asks the domain name system whether domains' keys are published.
    pub dns: Resolver,
    /// Sends webhooks.
    pub sender: webhook::Sender,
}

/// Works until `shutdown` is cancelled; returns once nothing is under way any more.
pub async fn run(worker: Worker, shutdown: CancellationToken) {
    tokio::join!(
        jobs::run(&worker, &shutdown),
        duties::run(&worker, &shutdown),
        outgoing::run(&worker, &shutdown),
        webhooks::run(&worker, &shutdown)
    );
}
