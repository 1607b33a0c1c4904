//! Rows of the next messages, for clients that ask for one message after the other without waiting for answers, as mbsync does.
//!
//! They are for commands that had come when they were looked up, so they are as new as an answer has to be. They are forgotten when more is
//! read, when something has changed and by any other command.

use std::collections::VecDeque;

use mailstore::view::Row;

/// How many are looked up at once.
pub(crate) const COUNT: usize = 64;

/// Rows that were looked up beforehand.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    rows: VecDeque<Row>,
    /// How often the client had been read from.
    reads: u64,
    /// The message that was asked for last.
    last: Option<u32>,
}

impl Ahead {
    /// The row of a message, if it was looked up since the client was read from last.
    pub(crate) fn take(&mut self, uid: u32, reads: u64) -> Option<Row> {
        if self.reads != reads {
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

    /// Keeps rows that were looked up just now, ascending.
    pub(crate) fn keep(&mut self, rows: impl Iterator<Item = Row>, reads: u64) {
        self.rows = rows.collect();
        self.reads = reads;
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.rows = VecDeque::new();
    }
}
