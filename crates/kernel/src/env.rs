//! Clock and randomness as parameters, so that a test decides both.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::id::Id;

/// Tells the time. The system's in production, a fixed one in tests.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant.
    fn now(&self) -> DateTime<Utc>;
}

/// Fills buffers with random bytes. The system's in production, a seeded one in tests.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Overwrites `buf` with random bytes fit for secrets.
    fn fill(&self, buf: &mut [u8]);
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the system clock is read")]
    fn now(&self) -> DateTime<Utc> {
        // Postgres keeps microseconds; a value that does not survive a round trip through it breaks comparisons.
        chrono::SubsecRound::trunc_subsecs(Utc::now(), 6)
    }
}

/// The operating system's random device.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, buf: &mut [u8]) {
        #[expect(
            clippy::expect_used,
            reason = "a machine without randomness can keep no secret; stopping is right"
        )]
        getrandom::fill(buf).expect("the operating system gives random bytes");
    }
}

/// Clock and randomness, handed down together.
#[derive(Debug, Clone)]
pub struct Env {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Env {
    /// An environment of the given clock and source of randomness.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random }
    }

    /// The machine's clock and random device.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(OsRandom))
    }

    /// The present instant.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }

    /// A new UUIDv7 (RFC 9562 §5.7): ordered by the millisecond of its making.
    pub fn new_uuid(&self) -> Uuid {
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.random()).into_uuid()
    }

    /// A new id of any kind.
    pub fn new_id<I: Id>(&self) -> I {
        I::from_uuid(self.new_uuid())
    }
}
