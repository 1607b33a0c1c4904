//! Out of this installation, by the smarthost.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use relay::{Envelope, Recipient, Ret};

use crate::Submission;
use crate::outgoing::{Notify, Returned};
use crate::queue::{Claim, Outcome};
use crate::schedule;

/// How the way out is doing, as far as this process has seen.
#[derive(Debug, Default)]
pub struct Route(Mutex<Health>);

#[derive(Debug, Default, Clone, Copy)]
struct Health {
    /// In a row.
    failures: u32,
    /// When it is tried again.
    again_at: Option<DateTime<Utc>>,
}

impl Route {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to try.
    pub(super) fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.health().again_at.is_none_or(|at| at <= now)
    }

    fn succeeded(&self) {
        *self.health() = Health::default();
        metrics::gauge!("pillarbox_outgoing_route_up").set(1.0);
    }

    /// It has failed; how long nothing is tried. Several that fail together are one failure.
    fn failed(&self, now: DateTime<Utc>) -> chrono::TimeDelta {
        let mut health = self.health();
        if health.again_at.is_none_or(|at| at <= now) {
            health.failures = health.failures.saturating_add(1);
            health.again_at = Some(now + schedule::route_pause(health.failures));
        }
        metrics::gauge!("pillarbox_outgoing_route_up").set(0.0);
        health.again_at.map_or(schedule::route_pause(1), |at| at - now)
    }
}

impl Submission {
    pub(super) async fn out(&self, claim: &Claim, body: &[u8]) -> Vec<Outcome> {
        let untried = |wait| claim.recipients.iter().map(|_| Outcome::Untried { wait }).collect();
        // Without a way there is nothing to wait for but one.
        let Some(relay) = &self.relay else { return untried(schedule::route_pause(u32::MAX)) };
        let recipients: Vec<Recipient<'_>> = claim
            .recipients
            .iter()
            .map(|one| Recipient {
                address: &one.address,
                notify: one.notify.as_deref().and_then(wishes),
                orcpt: one.original.as_deref(),
            })
            .collect();
        let envelope = Envelope {
            sender: &claim.message.sender,
            is_8bit: claim.message.is_8bit,
            is_utf8: claim.message.is_utf8,
            envelope_id: claim.message.envelope_id.as_deref(),
            ret: claim.message.returned.map(|returned| match returned {
                Returned::Full => Ret::Full,
                Returned::Headers => Ret::Headers,
            }),
            recipients: &recipients,
        };
        match relay.send(&envelope, body).await {
            Ok(outcomes) => {
                self.route.succeeded();
                outcomes.into_iter().map(Outcome::from).collect()
            }
            Err(fault) => {
                tracing::warn!(relay.host = relay.remote(), error.cause = %kernel::error::chain(&fault), "the way out is closed");
                untried(self.route.failed(self.db.env().now()))
            }
        }
    }
}

impl From<relay::Outcome> for Outcome {
    fn from(outcome: relay::Outcome) -> Self {
        match outcome {
            relay::Outcome::Accepted { reply, takes_dsn } => Self::Delivered { reply, is_told_of: takes_dsn },
            relay::Outcome::Later(reply) => Self::Later(reply),
            relay::Outcome::Refused(reply) => Self::Failed(reply),
        }
    }
}

fn wishes(asked: &[Notify]) -> Option<relay::Notify> {
    let wish = |one: &Notify| match one {
        Notify::Never => relay::Notify::NEVER,
        Notify::Success => relay::Notify::SUCCESS,
        Notify::Failure => relay::Notify::FAILURE,
        Notify::Delay => relay::Notify::DELAY,
    };
    asked.iter().map(wish).reduce(|all, one| all | one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_way_that_fails_is_tried_less_and_less_often() {
        let (route, start) = (Route::default(), DateTime::UNIX_EPOCH);
        assert!(route.is_open(start));
        assert_eq!(route.failed(start), TimeDelta::minutes(1));
        assert!(!route.is_open(start));
        assert_eq!(route.failed(start + TimeDelta::seconds(20)), TimeDelta::seconds(40), "the same failure");
        let later = start + TimeDelta::minutes(1);
        assert!(route.is_open(later));
        assert_eq!(route.failed(later), TimeDelta::minutes(2));
        assert_eq!(route.failed(later + TimeDelta::minutes(2)), TimeDelta::minutes(4));
        route.succeeded();
        assert!(route.is_open(later));
    }
}
