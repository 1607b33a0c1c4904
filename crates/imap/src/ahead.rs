//! Rows of the next messages, for clients that ask for one message after the other, as mbsync does.
//!
//! They are forgotten when the mailbox is known to have changed, by any other command, and soon in any case: another process's word of a change
//! takes a moment.

use std::collections::VecDeque;
use std::time::Duration;

use mailstore::view::Row;
use tokio::time::Instant;

/// How many are looked up at once.
pub(crate) const COUNT: usize = 64;
/// For how long they are taken for what they were: as long as it may take to learn of another process's changes.
const FRESH: Duration = Duration::from_millis(100);

/// Rows that were looked up beforehand.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    rows: VecDeque<Row>,
    /// When they were looked up.
    since: Option<Instant>,
    /// The message that was asked for last.
    last: Option<u32>,
}

impl Ahead {
    /// The row of a message, if it was looked up a moment ago.
    pub(crate) fn take(&mut self, uid: u32) -> Option<Row> {
        if self.since.is_none_or(|since| since.elapsed() >= FRESH) {
            self.rows.clear();
        }
        while let Some(row) = self.rows.pop_front() {
            if row.uid == u64::from(uid) {
                self.last = Some(uid);
                return Some(row);
            }
        }
        None
    }

    /// Notes which message is asked for: the one before.
    pub(crate) fn asked_for(&mut self, uid: u32) -> Option<u32> {
        self.last.replace(uid)
    }

    /// Keeps rows, ascending, that were not looked up before `since`.
    pub(crate) fn keep(&mut self, rows: impl Iterator<Item = Row>, since: Instant) {
        self.rows = rows.collect();
        self.since = Some(since);
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.rows = VecDeque::new();
    }
}
