//! A clock that stands still until it is told, and randomness that a test's name decides.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Clock, Env, Random};

/// A clock that stands still until [`ManualClock::set`] or [`ManualClock::advance`] moves it, unless it is to [tick](ManualClock::tick).
#[derive(Debug)]
pub struct ManualClock {
    micros: AtomicI64,
    step: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `at`, to the microsecond.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self { micros: AtomicI64::new(at.timestamp_micros()), step: AtomicI64::new(0) }
    }

    /// Shows `at` from now on.
    pub fn set(&self, at: DateTime<Utc>) {
        self.micros.store(at.timestamp_micros(), Ordering::SeqCst);
    }

    /// Moves on by `by` each time that somebody looks, from now on.
    pub fn tick(&self, by: TimeDelta) {
        self.step.store(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
    }

    /// Moves on by `by`.
    pub fn advance(&self, by: TimeDelta) {
        self.micros.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        let micros = self.micros.fetch_add(self.step.load(Ordering::SeqCst), Ordering::SeqCst);
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

/// A repeatable source of bytes (splitmix64). Never for secrets.
#[derive(Debug)]
pub struct SeededRandom {
    state: AtomicU64,
}

impl SeededRandom {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// The next number of the sequence.
    pub fn next_u64(&self) -> u64 {
        let mut z = self.state.fetch_add(Self::STEP, Ordering::SeqCst).wrapping_add(Self::STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for SeededRandom {
    fn fill(&self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// Where every test's clock begins: 2026-03-02 09:00 UTC, a Monday.
pub fn start_of_tests() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_442_000, 0).unwrap_or(DateTime::UNIX_EPOCH)
}

/// An environment for one test: a manual clock at [`start_of_tests`] and randomness seeded by the test's name
/// (libtest names the thread after it), so that a failing test fails again.
pub fn test_env() -> (Env, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(start_of_tests()));
    let env = Env::new(clock.clone(), Arc::new(SeededRandom::new(seed_of_this_test())));
    (env, clock)
}

fn seed_of_this_test() -> u64 {
    thread_local!(static CALLS: Cell<u64> = const { Cell::new(0) });
    let call = CALLS.with(|calls| calls.replace(calls.get() + 1));
    let thread = std::thread::current();
    // FNV-1a: stable between runs and builds, which std's hasher does not promise.
    let name = thread.name().unwrap_or("unnamed").bytes();
    let hash =
        name.fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash.wrapping_add(call.wrapping_mul(SeededRandom::STEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let (env, clock) = test_env();
        let before = env.now();
        assert_eq!(before, env.now());
        assert_eq!(before.to_rfc3339(), "2026-03-02T09:00:00+00:00");
        clock.advance(TimeDelta::days(2));
        assert_eq!(env.now() - before, TimeDelta::days(2));
        clock.set(before);
        assert_eq!(env.now(), before);
    }

    #[test]
    fn a_seed_repeats_and_two_environments_of_a_test_differ() {
        let (one, two) = (SeededRandom::new(7), SeededRandom::new(7));
        assert_eq!((one.next_u64(), one.next_u64()), (two.next_u64(), two.next_u64()));
        assert_ne!(test_env().0.random::<16>(), test_env().0.random::<16>());
    }
}
