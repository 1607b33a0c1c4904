//! What is done again and again.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::Worker;

/// How often garbage is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// How often bodies are looked for that are to lie elsewhere.
const COMPACT_EVERY: Duration = Duration::from_secs(900);
/// How often kept answers and failed sign-ins are looked through, and the signing key's age, and stored bytes are sampled.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How often new events are chained: what a feed lags behind.
const CHAIN_EVERY: Duration = Duration::from_millis(500);
/// How often new mail is indexed: what is newer, a search has to read.
const INDEX_EVERY: Duration = Duration::from_secs(1);
/// How often restores are looked for that nobody has in hand.
const RESTORE_EVERY: Duration = Duration::from_secs(1);
/// How often domains' keys are seen to: a look-up of the domain name system for each that waits.
const SIGN_EVERY: Duration = Duration::from_secs(3_600);
/// How often open payments are looked through.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);
/// How often numbers that a register has said nothing of are looked through.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// How often what has come due is billed: somewhere a day begins at every quarter of an hour.
const BILL_EVERY: Duration = Duration::from_secs(900);
/// How often what is due and overdue is looked through.
const COLLECT_EVERY: Duration = Duration::from_secs(3_600);
/// How often a slice of the counters is compared, while a round over them is under way.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// How often the gauges of the queue and the pool are set.
const MEASURE_EVERY: Duration = Duration::from_secs(15);

/// What is worth an alert and may be long in coming.
const ALERTS: [&str; 6] = [
    "pillarbox_billing_runs_stopped_total",
    "pillarbox_compaction_failures_total",
    "pillarbox_compaction_unreadable_bodies_total",
    "pillarbox_payments_not_found_out_total",
    "pillarbox_purge_failures_total",
    "pillarbox_sweep_failures_total",
];

pub(crate) async fn run(worker: &Worker, shutdown: &CancellationToken) {
    // Counted from the start: who looks for a rise sees the first one too.
    for name in ALERTS {
        metrics::counter!(name).increment(0);
    }
    // A server that leaves billing to another never sets it.
    metrics::gauge!("pillarbox_billing_accounts_parked").set(0.0);
    tokio::join!(cut_off(worker, shutdown), restore_mail(worker, shutdown));
}

async fn cut_off(worker: &Worker, shutdown: &CancellationToken) {
    let (mut sweep, mut prune, mut measure) = (every(SWEEP_EVERY), every(PRUNE_EVERY), every(MEASURE_EVERY));
    let duties = async {
        loop {
            tokio::select! {
                _ = sweep.tick() => sweep_mail(worker).await,
                _ = prune.tick() => {
                    prune_answers(worker).await;
                    end_trials(worker).await;
                    sample_storage(worker).await;
                    look_after_credentials(worker).await;
                    forget_outgoing(worker).await;
                    forget_webhooks(worker).await;
                }
                _ = measure.tick() => measure_queues_and_pool(worker).await,
            }
        }
    };
    // A duty is a row of small transactions: cut off anywhere, the next one goes on from there.
    tokio::select! {
        () = duties => {}
        () = apart(worker, CHAIN_EVERY, chain_events) => {}
        () = purge_in_rounds(worker) => {}
        () = compare_counters(worker) => {}
        () = apart(worker, COMPACT_EVERY, compact_mail) => {}
        () = apart(worker, INDEX_EVERY, index_mail) => {}
        () = apart(worker, SIGN_EVERY, see_to_dkim_keys) => {}
        () = apart(worker, RECONCILE_EVERY, reconcile_payments) => {}
        () = apart(worker, ASK_EVERY, ask_about_vat_ids) => {}
        () = apart(worker, BILL_EVERY, bill_what_is_due) => {}
        // Apart from each other: a provider that takes its time keeps nobody suspended, and nobody from being reminded.
        () = apart(worker, COLLECT_EVERY, charge_what_is_due) => {}
        () = apart(worker, COLLECT_EVERY, dun_what_is_overdue) => {}
        () = shutdown.cancelled() => {}
    }
}

/// A duty apart from the others: a big tenant, the first of a month or somebody outside may take their time.
async fn apart(worker: &Worker, period: Duration, duty: impl AsyncFn(&Worker)) {
    let mut due = every(period);
    loop {
        due.tick().await;
        duty(worker).await;
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn sweep_mail(worker: &Worker) {
    let swept = mailstore::sweep::run(&worker.store, &worker.db).await;
    let mailstore::sweep::Swept { messages, bodies, changes, reservations, packs, failed } = swept;
    metrics::counter!("pillarbox_swept_messages_total").increment(messages);
    metrics::counter!("pillarbox_swept_bodies_total").increment(bodies);
    metrics::counter!("pillarbox_swept_packs_total").increment(packs);
    metrics::counter!("pillarbox_sweep_failures_total").increment(failed);
    if swept != mailstore::sweep::Swept::default() {
        tracing::info!(
            sweep.messages = messages,
            sweep.bodies = bodies,
            sweep.changes = changes,
            sweep.reservations = reservations,
            sweep.packs = packs,
            sweep.failed = failed,
            "swept"
        );
    }
}

/// Knows where its round is: what is compared in one is a slice at each tick.
async fn compare_counters(worker: &Worker) {
    let (mut rounds, mut due) = (mailstore::check::Rounds::default(), every(COMPARE_EVERY));
    loop {
        due.tick().await;
        match rounds.step(&worker.db).await {
            Ok(mailstore::check::Found { drift_bytes, counters }) => {
                metrics::gauge!("pillarbox_quota_drift_bytes").set(drift_bytes as f64);
                metrics::gauge!("pillarbox_counters_off").set(counters as f64);
            }
            Err(error) => {
                tracing::warn!(error.cause = %kernel::error::chain(&error), "counters cannot be compared")
            }
        }
    }
}

async fn compact_mail(worker: &Worker) {
    match mailstore::compact::run(&worker.store, &worker.db, worker.compaction).await {
        Ok(mailstore::compact::Compacted { bodies, packs, unreadable, failed }) => {
            metrics::counter!("pillarbox_compacted_bodies_total").increment(bodies);
            metrics::counter!("pillarbox_compaction_unreadable_bodies_total").increment(unreadable);
            metrics::counter!("pillarbox_compaction_failures_total").increment(failed);
            if bodies + failed > 0 {
                tracing::info!(
                    compact.bodies = bodies,
                    compact.packs = packs,
                    compact.unreadable = unreadable,
                    compact.failed = failed,
                    "compacted"
                );
            }
        }
        Err(error) => {
            metrics::counter!("pillarbox_compaction_failures_total").increment(1);
            tracing::warn!(error.cause = %kernel::error::chain(&error), "what is to be compacted could not be looked up");
        }
    }
}

/// What is in hand at shutdown is handed over, so that nobody waits until it is taken for abandoned.
async fn restore_mail(worker: &Worker, shutdown: &CancellationToken) {
    let mut due = every(RESTORE_EVERY);
    while shutdown.run_until_cancelled(due.tick()).await.is_some() {
        while !shutdown.is_cancelled() {
            match recovery::restore::run_next(&worker.db, &worker.store, shutdown).await {
                Ok(true) => metrics::counter!("pillarbox_restores_total").increment(1),
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error.cause = %kernel::error::chain(&error), "restores that are due could not be looked up");
                    break;
                }
            }
        }
    }
}

async fn index_mail(worker: &Worker) {
    match mailstore::search::index::run(&worker.store, &worker.db).await {
        Ok(mailstore::search::index::Indexed { bodies, unreadable, failed }) => {
            metrics::counter!("pillarbox_search_indexed_bodies_total").increment(bodies);
            metrics::counter!("pillarbox_search_unreadable_bodies_total").increment(unreadable);
            metrics::counter!("pillarbox_search_failures_total").increment(failed);
        }
        Err(error) => {
            metrics::counter!("pillarbox_search_failures_total").increment(1);
            tracing::warn!(error.cause = %kernel::error::chain(&error), "what is to be indexed cannot be looked up");
        }
    }
}

async fn prune_answers(worker: &Worker) {
    if let Err(error) = tenancy::idempotency::prune(&worker.db).await {
        tracing::warn!(error.cause = %kernel::error::chain(&error), "old idempotency keys could not be forgotten");
    }
}

async fn look_after_credentials(worker: &Worker) {
    if let Err(error) = tenancy::auth::prune_throttles(&worker.db).await {
        tracing::warn!(error.cause = %kernel::error::chain(&error), "old failed sign-ins could not be forgotten");
    }
    if let Err(error) = worker.auth.signer().rotate(&worker.db).await {
        tracing::warn!(error.cause = %kernel::error::chain(&error), "the signing keys could not be looked after");
    }
}

async fn forget_outgoing(worker: &Worker) {
    match submission::sweep::run(&worker.db).await {
        Ok(submission::sweep::Swept { bodies, messages, failed }) => {
            metrics::counter!("pillarbox_outgoing_forgotten_bodies_total").increment(bodies);
            metrics::counter!("pillarbox_outgoing_forgotten_messages_total").increment(messages);
            metrics::counter!("pillarbox_outgoing_forgetting_failures_total").increment(failed);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "mail that has left could not be forgotten")
        }
    }
}

async fn forget_webhooks(worker: &Worker) {
    if let Err(error) = tenancy::webhook_endpoint::expire(&worker.db).await {
        tracing::warn!(error.cause = %kernel::error::chain(&error), "webhooks about old mail could not be forgotten");
    }
}

async fn see_to_dkim_keys(worker: &Worker) {
    // What stays in this installation is verified by nobody.
    if !worker.submission.has_way_out() {
        return;
    }
    match submission::dkim::run(&worker.db, &worker.store, &worker.dns).await {
        Ok(submission::dkim::Done { created, activated, waiting, unpublished, failed }) => {
            metrics::counter!("pillarbox_dkim_keys_created_total").increment(created);
            metrics::counter!("pillarbox_dkim_keys_activated_total").increment(activated);
            metrics::gauge!("pillarbox_dkim_keys_waiting").set(waiting as f64);
            metrics::gauge!("pillarbox_dkim_keys_unpublished").set(unpublished as f64);
            metrics::counter!("pillarbox_dkim_failures_total").increment(failed);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "domains' keys could not be looked up")
        }
    }
}

async fn chain_events(worker: &Worker) {
    match tenancy::event::chain(&worker.db).await {
        Ok(chained) => metrics::counter!("pillarbox_events_chained_total").increment(chained),
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "events could not be chained")
        }
    }
}

async fn purge_in_rounds(worker: &Worker) {
    let (mut rounds, mut due) = (mailstore::purge::Rounds::default(), every(PRUNE_EVERY));
    loop {
        due.tick().await;
        purge(worker, &mut rounds).await;
        // Also after a long round there is an hour until the next.
        due.reset();
    }
}

async fn purge(worker: &Worker, rounds: &mut mailstore::purge::Rounds) {
    // Before they are billed and charged: a clock may leap at any moment, and whoever comes to be due by that is billed and charged in the next round.
    let due = match mailstore::purge::due_tenants(&worker.db).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "the tenants that are to be destroyed cannot be looked up");
            return;
        }
    };
    // Nobody bills a tenant that is destroyed, nor charges it by a payment method that is gone: those that are not billed are passed by.
    if let Err(error) = billing::run::settle(&worker.db).await {
        metrics::counter!("pillarbox_billing_runs_stopped_total").increment(1);
        tracing::error!(error.cause = %kernel::error::chain(&error), "what is held of deleted tenants could not be billed to the end");
        return;
    }
    let due = match rounds.pick(&worker.db, due).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "which tenants are billed to the end cannot be looked up");
            return;
        }
    };
    let charged = billing::payment::autopay_deleted(&worker.db, &*worker.payments).await;
    let is_charged = charged.is_ok();
    count_charges(charged);
    if !is_charged {
        return;
    }
    let terms =
        mailstore::purge::Terms { backups_kept: worker.backups_kept, ..mailstore::purge::Terms::default() };
    match mailstore::purge::run(&worker.store, &worker.db, &worker.auth, terms, &due).await {
        Ok(mailstore::purge::Purged { mailboxes, tenants, failed }) => {
            metrics::counter!("pillarbox_purged_mailboxes_total").increment(mailboxes);
            metrics::counter!("pillarbox_purged_tenants_total").increment(tenants);
            metrics::counter!("pillarbox_purge_failures_total").increment(failed);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "what is to be destroyed cannot be looked up")
        }
    }
}

async fn reconcile_payments(worker: &Worker) {
    match billing::payment::reconcile(&worker.db, &*worker.payments).await {
        Ok(billing::payment::Reconciled { asked, failed }) => {
            metrics::counter!("pillarbox_payments_asked_about_total").increment(asked);
            metrics::counter!("pillarbox_payments_not_found_out_total").increment(failed);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "open payments cannot be looked up")
        }
    }
}

async fn ask_about_vat_ids(worker: &Worker) {
    match billing::profile::ask_again(&worker.db, &*worker.vat_register).await {
        Ok(billing::profile::Asked { answered, unanswered, failed }) => {
            metrics::counter!("pillarbox_vat_ids_answered_total").increment(answered);
            metrics::counter!("pillarbox_vat_ids_unanswered_total").increment(unanswered);
            metrics::counter!("pillarbox_vat_ids_failed_total").increment(failed);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "numbers to ask a register about cannot be looked up");
        }
    }
}

async fn bill_what_is_due(worker: &Worker) {
    match billing::run::scheduled(&worker.db).await {
        Ok(Some(summary)) => {
            metrics::counter!("pillarbox_billing_runs_total").increment(1);
            metrics::counter!("pillarbox_billing_accounts_billed_total").increment(summary.accounts_billed);
            metrics::counter!("pillarbox_billing_accounts_failed_total").increment(summary.accounts_failed);
            metrics::gauge!("pillarbox_billing_accounts_parked").set(summary.accounts_parked as f64);
            if summary.accounts_due > 0 {
                tracing::info!(
                    billing.accounts_due = summary.accounts_due,
                    billing.accounts_billed = summary.accounts_billed,
                    billing.accounts_parked = summary.accounts_parked,
                    billing.accounts_failed = summary.accounts_failed,
                    billing.invoices = summary.invoices,
                    billing.credit_notes = summary.credit_notes,
                    "billed what was due"
                );
            }
        }
        Ok(None) => {}
        Err(error) => {
            metrics::counter!("pillarbox_billing_runs_stopped_total").increment(1);
            tracing::error!(error.cause = %kernel::error::chain(&error), "what is due could not be billed to the end");
        }
    }
}

async fn charge_what_is_due(worker: &Worker) {
    count_charges(billing::payment::autopay(&worker.db, &*worker.payments).await);
}

fn count_charges(done: Result<billing::payment::Autopaid, billing::Error>) {
    match done {
        Ok(billing::payment::Autopaid { charged, failed }) => {
            metrics::counter!("pillarbox_autopay_charges_total").increment(charged);
            metrics::counter!("pillarbox_autopay_failures_total").increment(failed);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "what is to be charged cannot be looked up")
        }
    }
}

/// Whose charge is under way is left alone by it.
async fn dun_what_is_overdue(worker: &Worker) {
    match billing::dunning::run(&worker.db).await {
        Ok(billing::dunning::Dunned { steps, lifted, failed }) => {
            metrics::counter!("pillarbox_dunning_steps_total").increment(steps);
            metrics::counter!("pillarbox_dunning_lifted_total").increment(lifted);
            metrics::counter!("pillarbox_dunning_failures_total").increment(failed);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "what is overdue cannot be looked up")
        }
    }
}

async fn end_trials(worker: &Worker) {
    match tenancy::tenant::end_trials(&worker.db).await {
        Ok(ended) => metrics::counter!("pillarbox_trials_ended_total").increment(ended),
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "trials could not be ended")
        }
    }
}

async fn sample_storage(worker: &Worker) {
    if let Err(error) = tenancy::storage_sample::record(&worker.db).await {
        tracing::warn!(error.cause = %kernel::error::chain(&error), "stored bytes could not be sampled");
    }
}

async fn measure_queues_and_pool(worker: &Worker) {
    match db::jobs::depth(&worker.db).await {
        Ok(depth) => {
            metrics::gauge!("pillarbox_jobs_waiting").set(depth.waiting as f64);
            metrics::gauge!("pillarbox_jobs_failed").set(depth.failed as f64);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "the job queue cannot be measured")
        }
    }
    match mailstore::search::index::waiting(&worker.db).await {
        Ok(waiting) => metrics::gauge!("pillarbox_search_waiting").set(waiting as f64),
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "what is to be indexed cannot be measured")
        }
    }
    match submission::queue::depth(&worker.db).await {
        Ok((waiting, oldest_seconds)) => {
            metrics::gauge!("pillarbox_outgoing_waiting").set(waiting as f64);
            metrics::gauge!("pillarbox_outgoing_overdue_seconds").set(oldest_seconds);
        }
        Err(error) => {
            tracing::warn!(error.cause = %kernel::error::chain(&error), "the mail that waits cannot be measured")
        }
    }
    let (open, idle) = worker.db.connections();
    metrics::gauge!("pillarbox_db_connections", "state" => "open").set(f64::from(open));
    metrics::gauge!("pillarbox_db_connections", "state" => "idle").set(idle as f64);
}
