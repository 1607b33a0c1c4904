//! A failure that lasts is told at once, and then ever more seldom; and so is its end.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing is said after the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// How long at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What is tried again and again.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Option<Lasting>);

#[derive(Debug)]
struct Lasting {
    since: Instant,
    /// When it is to be told again.
    next: Instant,
    pause: Duration,
}

impl Trouble {
    /// Notes that it has failed; whether that is to be told.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        match &mut self.0 {
            None => {
                self.0 = Some(Lasting { since: now, next: now + FIRST_PAUSE, pause: FIRST_PAUSE });
                true
            }
            Some(lasting) if now >= lasting.next => {
                lasting.pause = LONGEST_PAUSE.min(lasting.pause * 2);
                lasting.next = now + lasting.pause;
                true
            }
            Some(_) => false,
        }
    }

    /// Notes that it has not failed; how long it had, if it did before.
    pub(crate) fn over(&mut self, now: Instant) -> Option<Duration> {
        self.0.take().map(|lasting| now.saturating_duration_since(lasting.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_ever_more_seldom_and_its_end_once() {
        let (mut trouble, begin) = (Trouble::default(), Instant::now());
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        assert_eq!(trouble.over(begin), None);
        let told: Vec<u64> = (0..=2_000).filter(|second| trouble.failed(at(*second))).collect();
        assert_eq!(told, [0, 10, 30, 70, 150, 310, 630, 1_230, 1_830]);
        assert_eq!(trouble.over(at(2_001)), Some(Duration::from_secs(2_001)));
        assert_eq!(trouble.over(at(2_002)), None);
        assert!(trouble.failed(at(2_003)));
    }
}
