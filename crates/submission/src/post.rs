//! Sending what is claimed: to mailboxes of this installation by the mail store's door, to all others by the smarthost; and telling senders what
//! came of it.

mod local;
mod notice;
mod out;

use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use kernel::ErrorKind;
use mailstore::parcel;
use tenancy::{Caller, Ctx};

use crate::queue::{self, Claim, Note, Outcome};
use crate::{Error, Submission};

pub use out::Route;

/// How long to wait with what failed for reasons of our own.
const OUR_FAULT: TimeDelta = TimeDelta::minutes(1);
/// How often it is tried to note what came of an attempt, while the database is away.
const NOTE_AGAIN: Duration = Duration::from_secs(1);

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
    /// Whether mail that has to go out is worth claiming: there is a way, and it did not fail just now.
    pub fn goes_out(&self) -> bool {
        self.relay.is_some() && self.route.is_open(self.db.env().now())
    }

    /// Sends a message to the recipients of a claim and notes what came of it. What cannot be noted is tried again when the lease ends.
    pub async fn attempt(&self, claim: Claim) -> Attempted {
        let sent = async {
            let ctx = Caller::server(self.db.clone()).enter(claim.tenant_id).await?;
            let body = parcel::read(&self.store, &ctx, claim.message.blob_id).await?;
            let outcomes = match claim.destination.is_empty() {
                true => self.to_mailboxes(&claim, &body).await,
                false => self.out(&claim, &body).await,
            };
            Ok::<_, Error>((ctx, body, outcomes))
        };
        let (ctx, body, outcomes) = match sent.await {
            Ok(sent) => sent,
            Err(error) => {
                tracing::warn!(outgoing.id = %claim.id, error.cause = %kernel::error::chain(&error), "mail could not be read to be sent");
                return Attempted { untried: claim.recipients.len() as u64, ..Attempted::default() };
            }
        };
        let attempted = count(&outcomes);
        while let Err(error) = self.note(&ctx, &claim, &body, &outcomes).await {
            let is_over = self.db.env().now() >= claim.leased_until;
            tracing::warn!(outgoing.id = %claim.id, error.cause = %kernel::error::chain(&error), "what came of mail was not noted");
            if is_over || error.kind() != ErrorKind::Unavailable {
                break;
            }
            tokio::time::sleep(NOTE_AGAIN).await;
        }
        attempted
    }

    async fn note(&self, ctx: &Ctx, claim: &Claim, body: &Bytes, outcomes: &[Outcome]) -> Result<(), Error> {
        let (env, now) = (ctx.env(), ctx.env().now());
        let pairs = claim.recipients.iter().zip(outcomes);
        let mut notes: Vec<Note> =
            pairs.map(|(one, outcome)| queue::note(claim, one, outcome, now, env.random())).collect();
        let notice = self.notice(ctx, claim, body, outcomes, &mut notes).await?;
        let noted = queue::settle(ctx, claim, &notes, notice.as_ref()).await;
        let is_in_vain = match &noted {
            Ok(is_noted) => !is_noted,
            Err(error) => error.is_in_vain(),
        };
        if let Some(notice) = notice {
            match is_in_vain {
                true => notice.parcel.forget(&self.store).await,
                false => self.woken.notify_one(),
            }
        }
        noted.map(|_| ())
    }
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
