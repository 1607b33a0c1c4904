//! Sending what is claimed: to mailboxes of this installation by the mail store's door, to all others by the smarthost; and telling senders what
//! came of it.

mod local;
mod notice;
mod out;

use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use mailstore::parcel;
use tenancy::{Caller, Ctx};

use crate::queue::{self, Claim, Note, Outcome};
use crate::{Error, Submission};

pub use out::Route;

/// How long to wait with what failed for reasons of our own.
const OUR_FAULT: TimeDelta = TimeDelta::minutes(1);
/// How often it is tried to note what came of an attempt, while that fails.
const NOTE_AGAIN: Duration = Duration::from_secs(1);
/// How often it is tried to tell the sender of it.
const NOTICE_TRIES: u32 = 30;
/// Longer than [`relay`] takes at most.
const ATTEMPT: TimeDelta = TimeDelta::minutes(15);
/// How much memory the messages that are being sent may take.
pub(crate) const ROOM_KIB: u32 = 256 << 10;

/// What an attempt came to, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempted {
    /// Recipients whose server, or the smarthost, has taken it.
    pub delivered: u64,
    /// Those who are tried again.
    pub later: u64,
    /// Those it will not reach.
    pub failed: u64,
    /// Those who were not tried, for no fault of theirs.
    pub untried: u64,
}

impl Submission {
    /// Sends a message to the recipients of a claim and notes what came of it. What cannot be noted is sent again when the lease has ended, which
    /// mailboxes of this installation do not notice.
    pub async fn attempt(&self, claim: Claim) -> Attempted {
        // It is never closed; a message that is bigger than all of it goes alone.
        let _room = self.room.acquire_many(room_for(claim.message.size_bytes)).await;
        let ctx = match Caller::server(self.db.clone()).enter(claim.tenant_id).await {
            Ok(ctx) => ctx,
            Err(error) => {
                // Deleted meanwhile, or the database is away.
                tracing::warn!(outgoing.id = %claim.id, error.cause = %kernel::error::chain(&error), "mail was not sent");
                return Attempted { untried: claim.recipients.len() as u64, ..Attempted::default() };
            }
        };
        let (body, outcomes) = self.send(&ctx, &claim).await;
        let attempted = count(&outcomes);
        let mut tries = 0;
        while let Err(error) = self.note(&ctx, &claim, &body, &outcomes, tries < NOTICE_TRIES).await {
            tries += 1;
            tracing::warn!(outgoing.id = %claim.id, error.cause = %kernel::error::chain(&error), "what came of mail was not noted");
            if self.db.env().now() >= claim.leased_until {
                break;
            }
            tokio::time::sleep(NOTE_AGAIN).await;
        }
        attempted
    }

    /// The body as far as it was read, and what came of it for each recipient.
    async fn send(&self, ctx: &Ctx, claim: &Claim) -> (Bytes, Vec<Outcome>) {
        let untried = |wait| claim.recipients.iter().map(|_| Outcome::Untried { wait }).collect();
        let is_home = claim.destination.is_empty();
        if claim.is_stale(self.db.env().now()) {
            return (Bytes::new(), untried(OUR_FAULT));
        }
        if let (false, Some(wait)) = (is_home, self.closed_for()) {
            return (Bytes::new(), untried(wait));
        }
        let body = match parcel::read(&self.store, ctx, claim.message.blob_id).await {
            Ok(body) => body,
            Err(error) => {
                tracing::warn!(outgoing.id = %claim.id, error.cause = %kernel::error::chain(&error), "mail could not be read to be sent");
                return (Bytes::new(), untried(OUR_FAULT));
            }
        };
        // Nobody else is to begin before this one has ended.
        if !is_home && self.db.env().now() + ATTEMPT > claim.leased_until {
            return (body, untried(OUR_FAULT));
        }
        let outcomes = match is_home {
            true => self.to_mailboxes(claim, &body).await,
            false => self.out(claim, &body).await,
        };
        (body, outcomes)
    }

    async fn note(
        &self,
        ctx: &Ctx,
        claim: &Claim,
        body: &Bytes,
        outcomes: &[Outcome],
        with_notice: bool,
    ) -> Result<(), Error> {
        let (env, now) = (ctx.env(), ctx.env().now());
        let pairs = claim.recipients.iter().zip(outcomes);
        let mut notes: Vec<Note> =
            pairs.map(|(one, outcome)| queue::note(claim, one, outcome, now, env.random())).collect();
        let notice = match with_notice {
            true => self.notice(ctx, claim, body, outcomes, &mut notes).await?,
            false => {
                // Better that its sender does not hear of it than that others get it again and again.
                tracing::error!(outgoing.id = %claim.id, "a sender is not told what came of their mail");
                None
            }
        };
        let noted = queue::settle(ctx, claim, &notes, notice.as_ref()).await;
        let is_in_vain = match &noted {
            Ok(is_noted) => !is_noted,
            Err(error) => error.is_in_vain(),
        };
        if let Some(notice) = notice {
            match is_in_vain {
                true => notice.parcel.forget(&self.store).await,
                false => self.woken.notify_waiters(),
            }
        }
        noted.map(|_| ())
    }
}

/// The room that a message takes while it is sent: at home there is a copy of it.
fn room_for(size_bytes: u64) -> u32 {
    u32::try_from(size_bytes.div_ceil(512)).unwrap_or(u32::MAX).clamp(1, ROOM_KIB)
}

fn count(outcomes: &[Outcome]) -> Attempted {
    let mut attempted = Attempted::default();
    for outcome in outcomes {
        match outcome {
            Outcome::Delivered { .. } => attempted.delivered += 1,
            Outcome::Later { .. } => attempted.later += 1,
            Outcome::Failed { .. } => attempted.failed += 1,
            Outcome::Untried { .. } => attempted.untried += 1,
        }
    }
    attempted
}
