//! How many requests a credential may make: one layer around the operations that take one.
//!
//! It is the outermost, so a refused request has done nothing: its `Idempotency-Key` was not claimed, its body not read,
//! no turn was waited for. What it says of the quota is draft-ietf-httpapi-ratelimit-headers-11: a policy with its quota
//! and window in `RateLimit-Policy` (§3.1), what is left of it in `RateLimit` (§4.1).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use tenancy::Principal;

use crate::Api;
use crate::extract::Bearer;
use crate::problem::Problem;

/// What is left.
pub(crate) const RATE_LIMIT: &str = "ratelimit";
/// What there is in all.
pub(crate) const RATE_LIMIT_POLICY: &str = "ratelimit-policy";

/// The time in which a quota is used up and comes back.
const WINDOW: Duration = Duration::from_secs(60);

/// After how many checks the credentials are forgotten whose quota is whole again, so that no more are known than
/// called within a window, and this many.
const CHECKS_PER_SWEEP: u32 = 1024;

/// What each credential has used of its quota, in this process.
pub(crate) struct Rates<C: Clock = DefaultClock> {
    /// By the principal's name, so that a key's access tokens share what the key has.
    used: RateLimiter<String, DashMapStateStore<String>, C, StateInformationMiddleware>,
    clock: C,
    quota: NonZeroU32,
    checks: AtomicU32,
}

/// How a credential stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    is_within: bool,
    /// Requests that may follow at once.
    remaining: u32,
    /// Until when there are no more than these: whole seconds, rounded up.
    window_secs: u64,
}

impl Rates {
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        Self::with_clock(per_minute, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn with_clock(per_minute: NonZeroU32, clock: C) -> Self {
        let used =
            RateLimiter::new(Quota::per_minute(per_minute), DashMapStateStore::default(), clock.clone());
        Self { used, clock, quota: per_minute, checks: AtomicU32::new(0) }
    }

    /// Counts a request, unless it is one too many.
    fn check(&self, principal: Principal) -> Standing {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            self.used.retain_recent();
        }
        match self.used.check_key(&principal.to_string()) {
            Ok(state) => Standing {
                is_within: true,
                remaining: state.remaining_burst_capacity(),
                // The next comes back within the time that one takes.
                window_secs: WINDOW.as_secs().div_ceil(self.quota.get().into()),
            },
            Err(not_until) => Standing {
                is_within: false,
                remaining: 0,
                window_secs: whole_secs(not_until.wait_time_from(self.clock.now())),
            },
        }
    }

    fn policy(&self) -> String {
        format!("\"default\";q={};w={}", self.quota, WINDOW.as_secs())
    }
}

impl Standing {
    fn limit(self) -> String {
        format!("\"default\";r={};t={}", self.remaining, self.window_secs)
    }
}

/// Never zero: a client that comes back at once would be refused again.
fn whole_secs(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The layer. Who shows no valid credential is refused here and not counted.
pub(crate) async fn limit(
    State((api, rates)): State<(Api, Arc<Rates>)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let Bearer(caller) = Bearer::from_request_parts(&mut parts, &api).await?;
    let standing = rates.check(caller.principal());
    let mut response = if standing.is_within {
        next.run(Request::from_parts(parts, body)).await
    } else {
        too_many(standing).into_response()
    };
    for (name, value) in [(RATE_LIMIT_POLICY, rates.policy()), (RATE_LIMIT, standing.limit())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}

/// The time to wait is the effective window's, which it should not be shorter than (§6).
fn too_many(standing: Standing) -> Problem {
    let secs = standing.window_secs;
    let detail = format_args!("this credential has used its requests up; try again in {secs} seconds");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
        .with_header(RETRY_AFTER, HeaderValue::from(secs))
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use kernel::{ApiKeyId, MailboxId, UserId};
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> Principal {
        Principal::ApiKey(ApiKeyId::from_uuid(Uuid::from_u128(number)))
    }

    fn rates(per_minute: u32) -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::with_clock(NonZeroU32::new(per_minute).unwrap(), clock.clone()), clock)
    }

    #[test]
    fn a_quota_is_used_up_and_comes_back_evenly() {
        let (rates, clock) = rates(3);
        let within = |remaining| Standing { is_within: true, remaining, window_secs: 20 };
        let over = |window_secs| Standing { is_within: false, remaining: 0, window_secs };
        assert_eq!(rates.policy(), "\"default\";q=3;w=60");
        assert_eq!(within(2).limit(), "\"default\";r=2;t=20");
        assert_eq!([(); 4].map(|()| rates.check(key(1))), [within(2), within(1), within(0), over(20)]);
        clock.advance(Duration::from_millis(19_500));
        assert_eq!(rates.check(key(1)), over(1));
        clock.advance(Duration::from_millis(500));
        assert_eq!([(); 2].map(|()| rates.check(key(1))), [within(0), over(20)]);
        clock.advance(WINDOW);
        assert_eq!(rates.check(key(1)), within(2));
    }

    #[test]
    fn each_credential_has_its_own() {
        let (rates, _) = rates(1);
        let uuid = Uuid::from_u128(1);
        let person = Principal::User(UserId::from_uuid(uuid), MailboxId::from_uuid(uuid));
        for principal in [key(1), key(2), person] {
            assert!(rates.check(principal).is_within && !rates.check(principal).is_within, "{principal}");
        }
    }

    #[test]
    fn the_extremes_are_whole_seconds() {
        let (generous, _) = rates(u32::MAX);
        let first = generous.check(key(1));
        assert!(first.is_within && first.remaining > u32::MAX / 2 && first.window_secs == 1, "{first:?}");
        assert_eq!(whole_secs(Duration::ZERO), 1);
        assert_eq!(whole_secs(Duration::from_nanos(1)), 1);
        assert_eq!(whole_secs(Duration::from_nanos(1_000_000_001)), 2);
    }

    #[test]
    fn who_calls_no_more_is_forgotten() {
        let (rates, clock) = rates(6000);
        for number in 0..3 * u128::from(CHECKS_PER_SWEEP) {
            clock.advance(WINDOW);
            rates.check(key(number));
        }
        assert!(rates.used.len() <= CHECKS_PER_SWEEP as usize + 1, "{}", rates.used.len());
    }
}
