//! The bounds of a mailbox: one that warns, one that stops sending, and the quota, which stops receiving.

use kernel::named;

named! {
    /// A bound that a mailbox's bytes reach or leave.
    Threshold {
        /// Its user is to be warned.
        Warn = "warn",
        /// It sends nothing more.
        BlockSend = "block_send",
        /// It takes nothing more in.
        Quota = "quota",
    }
}

/// The bounds of one mailbox, in bytes; `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Above it nothing more is taken in.
    pub quota_bytes: Option<i64>,
    /// From it on its user is warned; `None`: from nine tenths of the quota on.
    pub warn_bytes: Option<i64>,
    /// From it on it sends nothing more.
    pub block_send_bytes: Option<i64>,
}

impl Bounds {
    /// Where a threshold lies, if it is anywhere.
    pub fn at(&self, threshold: Threshold) -> Option<i64> {
        match threshold {
            Threshold::Warn => self.warn_bytes.or_else(|| self.quota_bytes.map(nine_tenths)),
            Threshold::BlockSend => self.block_send_bytes,
            Threshold::Quota => self.quota_bytes,
        }
    }

    /// Whether so many bytes have reached a threshold.
    pub fn reached(&self, threshold: Threshold, used_bytes: i64) -> bool {
        self.at(threshold).is_some_and(|at| used_bytes >= at)
    }
}

fn nine_tenths(bytes: i64) -> i64 {
    bytes / 10 * 9 + bytes % 10 * 9 / 10
}

/// A threshold that was crossed, and whether upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crossing {
    pub(crate) threshold: Threshold,
    pub(crate) is_reached: bool,
    pub(crate) at_bytes: Option<i64>,
}

/// What is crossed when bounds and bytes become others.
pub(crate) fn crossings(old: (&Bounds, i64), new: (&Bounds, i64)) -> Vec<Crossing> {
    let crossed = Threshold::ALL.iter().filter_map(|&threshold| {
        let is_reached = new.0.reached(threshold, new.1);
        let at_bytes = new.0.at(threshold);
        (is_reached != old.0.reached(threshold, old.1)).then_some(Crossing {
            threshold,
            is_reached,
            at_bytes,
        })
    });
    crossed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { quota_bytes: Some(100), warn_bytes: None, block_send_bytes: Some(95) };

    fn names(old: (&Bounds, i64), new: (&Bounds, i64)) -> Vec<(Threshold, bool)> {
        crossings(old, new).into_iter().map(|crossing| (crossing.threshold, crossing.is_reached)).collect()
    }

    #[test]
    fn either_way_and_only_when_crossed() {
        let of = |from, to| names((&BOUNDS, from), (&BOUNDS, to));
        assert_eq!(of(0, 89), []);
        assert_eq!(of(89, 90), [(Threshold::Warn, true)]);
        assert_eq!(of(90, 94), []);
        let all = [Threshold::Warn, Threshold::BlockSend, Threshold::Quota];
        assert_eq!(of(0, 100), all.map(|threshold| (threshold, true)));
        assert_eq!(of(100, 0), all.map(|threshold| (threshold, false)));
        assert_eq!(of(100, 96), [(Threshold::Quota, false)]);
    }

    #[test]
    fn a_bound_that_moves_crosses_as_well() {
        let lifted = Bounds::default();
        assert_eq!(names((&BOUNDS, 90), (&lifted, 90)), [(Threshold::Warn, false)]);
        assert_eq!(
            names((&lifted, 96), (&BOUNDS, 96)),
            [(Threshold::Warn, true), (Threshold::BlockSend, true)]
        );
    }

    #[test]
    fn nine_tenths_of_any_quota() {
        for (quota, warn) in [(0, 0), (1, 0), (10, 9), (101, 90), (i64::MAX, 8_301_034_833_169_298_226)] {
            assert_eq!(nine_tenths(quota), warn);
        }
    }
}
