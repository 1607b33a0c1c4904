//! When what could not be sent is tried again, and how long (RFC 5321 §4.5.4.1).

use chrono::TimeDelta;

const MINUTES: i64 = 60 * 1_000;
const HOURS: i64 = 60 * MINUTES;

/// How long to wait after the first, second, … attempt, before jitter; after all further ones as after the last.
const DELAYS_MS: [i64; 7] = [MINUTES, 5 * MINUTES, 15 * MINUTES, 30 * MINUTES, HOURS, 2 * HOURS, 4 * HOURS];

/// Either way, in percent of the delay, so that what waits for one server does not come back as one wave.
const JITTER_PERCENT: i64 = 20;

/// How long a message is tried.
pub const GIVE_UP_AFTER: TimeDelta = TimeDelta::days(5);

/// How long it takes until its sender is told that it takes long.
pub const TELL_AFTER: TimeDelta = TimeDelta::hours(4);

/// How long after the attempt just made, the `attempts_made`th, the next one is due: with a jitter of ±20 %. `random` is `env.random()`.
pub fn next_attempt(attempts_made: u32, random: [u8; 4]) -> TimeDelta {
    let index = usize::try_from(attempts_made).unwrap_or(usize::MAX).clamp(1, DELAYS_MS.len()) - 1;
    let delay_ms = DELAYS_MS[index];
    let reach_ms = delay_ms * JITTER_PERCENT / 100;
    // 0 ≤ random / 2³² < 1 of a span of at most 6 million: no overflow.
    let jitter_ms = ((2 * reach_ms + 1) * i64::from(u32::from_le_bytes(random))) >> 32;
    TimeDelta::milliseconds(delay_ms - reach_ms + jitter_ms)
}

/// How long nothing is tried by a way out that has failed so many times in a row.
pub fn route_pause(failures: u32) -> TimeDelta {
    let minutes = 1_i64 << failures.saturating_sub(1).min(4);
    TimeDelta::minutes(minutes.min(15))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_longer_each_time_and_no_longer_than_four_hours() {
        let middle = [0, 0, 0, 0x80];
        let minutes: Vec<i64> = (0..9).map(|attempts| next_attempt(attempts, middle).num_minutes()).collect();
        assert_eq!(minutes, [1, 1, 5, 15, 30, 60, 120, 240, 240]);
        let pauses: Vec<i64> = (0..7).map(|failures| route_pause(failures).num_minutes()).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 15, 15]);
        assert_eq!(route_pause(u32::MAX).num_minutes(), 15);
    }

    proptest! {
        #[test]
        fn jitter_keeps_within_a_fifth(attempts in any::<u32>(), random in any::<[u8; 4]>()) {
            let middle = next_attempt(attempts, [0, 0, 0, 0x80]).num_milliseconds();
            let wait = next_attempt(attempts, random).num_milliseconds();
            prop_assert!((wait - middle).abs() <= middle / 5 + 1, "{} beside {}", wait, middle);
        }
    }
}
