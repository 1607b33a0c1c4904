//! When a delivery that failed is tried again: ten attempts in a little over three days.

use chrono::TimeDelta;

const SECONDS: i64 = 1_000;
const MINUTES: i64 = 60 * SECONDS;
const HOURS: i64 = 60 * MINUTES;

/// How long to wait after the first, second, … attempt, before jitter. The example of Standard Webhooks, in full.
const DELAYS_MS: [i64; 9] = [
    5 * SECONDS,
    5 * MINUTES,
    30 * MINUTES,
    2 * HOURS,
    5 * HOURS,
    10 * HOURS,
    14 * HOURS,
    20 * HOURS,
    24 * HOURS,
];

/// Either way, in percent of the delay, so that the deliveries of one outage do not come back as one wave.
const JITTER_PERCENT: i64 = 20;

/// The longest wait that an endpoint may ask for by `Retry-After`: it may not keep us remembering for weeks.
pub const MAX_RETRY_AFTER: TimeDelta = TimeDelta::hours(24);

/// How many attempts a delivery gets.
pub const MAX_ATTEMPTS: u32 = DELAYS_MS.len() as u32 + 1;

/// How long after the attempt just made the next one is due, or `None` if that was the last. `attempts_made` counts the
/// one just made, so it is at least 1; an attempt that was never made is due at once.
///
/// The delay has a jitter of ±20 %. What the endpoint asked for by `Retry-After` can lengthen it, never shorten it.
/// `random` is `env.random()`.
pub fn next_attempt(
    attempts_made: u32,
    retry_after: Option<TimeDelta>,
    random: [u8; 4],
) -> Option<TimeDelta> {
    let Some(index) = attempts_made.checked_sub(1) else { return Some(TimeDelta::zero()) };
    let delay_ms = *DELAYS_MS.get(usize::try_from(index).ok()?)?;
    let reach_ms = delay_ms * JITTER_PERCENT / 100;
    // 0 ≤ random / 2³² < 1 of a span of at most 35 million: no overflow.
    let jitter_ms = ((2 * reach_ms + 1) * i64::from(u32::from_le_bytes(random))) >> 32;
    let jittered = TimeDelta::milliseconds(delay_ms - reach_ms + jitter_ms);
    Some(retry_after.map_or(jittered, |asked| jittered.max(asked.min(MAX_RETRY_AFTER))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOWEST: [u8; 4] = [0; 4];
    const MIDDLE: [u8; 4] = [0, 0, 0, 0x80];
    const HIGHEST: [u8; 4] = [0xff; 4];

    #[test]
    fn ten_attempts_in_three_days() {
        let total: TimeDelta = (1..MAX_ATTEMPTS).map(|made| next_attempt(made, None, MIDDLE).unwrap()).sum();
        assert_eq!(total, TimeDelta::seconds(5 + 35 * 60 + 75 * 3_600));
        assert_eq!(next_attempt(MAX_ATTEMPTS, None, MIDDLE), None);
        assert_eq!(next_attempt(MAX_ATTEMPTS, Some(TimeDelta::hours(1)), MIDDLE), None);
        assert_eq!(next_attempt(u32::MAX, None, MIDDLE), None);
        assert_eq!(next_attempt(0, None, HIGHEST), Some(TimeDelta::zero()));
    }

    #[test]
    fn the_jitter_is_a_fifth_either_way() {
        assert_eq!(next_attempt(1, None, LOWEST), Some(TimeDelta::seconds(4)));
        assert_eq!(next_attempt(1, None, HIGHEST), Some(TimeDelta::seconds(6)));
        assert_eq!(next_attempt(9, None, LOWEST), Some(TimeDelta::minutes(1_152)));
        assert_eq!(next_attempt(9, None, HIGHEST), Some(TimeDelta::minutes(1_728)));
    }

    #[test]
    fn the_endpoint_may_ask_for_more_but_not_for_less_nor_for_ever() {
        let asking = |asked| next_attempt(1, Some(asked), MIDDLE).unwrap();
        assert_eq!(asking(TimeDelta::zero()), TimeDelta::seconds(5));
        assert_eq!(asking(TimeDelta::minutes(10)), TimeDelta::minutes(10));
        assert_eq!(asking(TimeDelta::days(365)), MAX_RETRY_AFTER);
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(made in 1..MAX_ATTEMPTS, random: [u8; 4], asked in 0_i64..1_000_000) {
            let plain = next_attempt(made, None, random).unwrap();
            let delay = TimeDelta::milliseconds(DELAYS_MS[made as usize - 1]);
            prop_assert!(plain >= delay * 4 / 5 && plain <= delay * 6 / 5);
            let asked = TimeDelta::seconds(asked);
            let longer = next_attempt(made, Some(asked), random).unwrap();
            prop_assert_eq!(longer, plain.max(asked.min(MAX_RETRY_AFTER)));
        }
    }
}
