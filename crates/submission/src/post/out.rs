//! Out of this installation, by the smarthost.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use relay::{Envelope, Recipient, Reply, Ret};

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

    /// For how long nothing is tried, if so.
    fn closed_for(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.health().again_at.filter(|at| *at > now).map(|at| at - now)
    }

    fn succeeded(&self) {
        *self.health() = Health::default();
        metrics::gauge!("pillarbox_outgoing_route_up").set(1.0);
    }

    /// It has failed; how long nothing is tried. Several that fail together are one failure.
    fn failed(&self, now: DateTime<Utc>) -> TimeDelta {
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
    /// For how long nothing can go out, if so.
    pub(super) fn closed_for(&self) -> Option<TimeDelta> {
        match &self.relay {
            Some(_) => self.route.closed_for(self.db.env().now()),
            // There is nothing to wait for but one.
            None => Some(schedule::route_pause(u32::MAX)),
        }
    }

    pub(super) async fn out(&self, claim: &Claim, body: &[u8]) -> Vec<Outcome> {
        let untried = |wait| claim.recipients.iter().map(|_| Outcome::Untried { wait }).collect();
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
        let mut addresses = recipients.iter().map(|one| one.address).chain([claim.message.sender.as_str()]);
        let envelope = Envelope {
            sender: &claim.message.sender,
            is_8bit: claim.message.is_8bit,
            is_utf8: claim.message.is_utf8 || !addresses.all(str::is_ascii),
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
            // The host may not bear this message, and all others.
            Err(fault) if fault.is_in_message() => {
                self.route.succeeded();
                let reply = Reply::ours(451, (4, 4, 2), &kernel::error::chain(&fault));
                claim.recipients.iter().map(|_| Outcome::Later(reply.clone())).collect()
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

    #[test]
    fn a_way_that_fails_is_tried_less_and_less_often() {
        let (route, start) = (Route::default(), DateTime::UNIX_EPOCH);
        assert_eq!(route.closed_for(start), None);
        assert_eq!(route.failed(start), TimeDelta::minutes(1));
        assert_eq!(route.closed_for(start), Some(TimeDelta::minutes(1)));
        assert_eq!(route.failed(start + TimeDelta::seconds(20)), TimeDelta::seconds(40), "the same failure");
        let later = start + TimeDelta::minutes(1);
        assert_eq!(route.closed_for(later), None);
        assert_eq!(route.failed(later), TimeDelta::minutes(2));
        assert_eq!(route.failed(later + TimeDelta::minutes(2)), TimeDelta::minutes(4));
        route.succeeded();
        assert_eq!(route.closed_for(later), None);
    }
}
