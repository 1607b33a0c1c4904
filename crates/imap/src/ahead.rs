//! Rows of the next messages and the body of the very next, for clients that ask for one message after the other, as mbsync does.
//!
//! They are forgotten when others are known to have changed the mailbox, by any other command, and soon in any case: another process's word of
//! a change takes a moment, and a session that waits keeps nothing.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use mailstore::view::{Coming, Row};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::room::Taken;

/// For how long they are taken for what they were: as long as it may take to learn of another process's changes.
const FRESH: Duration = Duration::from_millis(100);
/// How many are looked up at once: at first, then twice as many each time, and at most.
const FIRST: usize = 16;
const MAX: usize = 256;

/// Rows that were looked up beforehand.
#[derive(Debug)]
pub(crate) struct Ahead<R = Row> {
    /// With their UIDs, ascending.
    rows: VecDeque<(u64, R)>,
    /// The body of the first of them, or of the message that was asked for last, if that was without its body.
    reading: Option<(u64, Reading)>,
    /// The bodies of the rows, which are being fetched.
    coming: Coming,
    /// When they were looked up, and how many.
    since: Option<Instant>,
    count: usize,
    /// The message that was asked for last, and when.
    last: Option<(u32, Instant)>,
}

/// A message's body that is being read while another message is told.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The room that it takes.
    pub(crate) room: Taken,
    /// In CRLF form; none where it could not be read.
    pub(crate) bytes: AbortOnDropHandle<Option<Bytes>>,
}

impl<R> Default for Ahead<R> {
    fn default() -> Self {
        let (rows, coming) = (VecDeque::new(), Coming::default());
        Self { rows, reading: None, coming, since: None, count: 0, last: None }
    }
}

impl<R> Ahead<R> {
    /// How many messages to look up, the one that is asked for with those that follow it: as many as its client asks for while what is known of
    /// them is fresh, if the one before it is the one that was asked for last.
    pub(crate) fn count(&mut self, before: Option<u32>, now: Instant) -> usize {
        match self.last {
            Some((uid, at)) if Some(uid) == before => {
                let pause = now.saturating_duration_since(at).as_micros().max(1);
                let most = (self.count * 2).clamp(FIRST, MAX);
                usize::try_from(FRESH.as_micros() / pause).map_or(most, |count| count.clamp(1, most))
            }
            _ => {
                self.count = 0;
                1
            }
        }
    }

    /// Notes which message is asked for; its row, if it was looked up a moment ago. Rows of those before it are passed over.
    pub(crate) fn take(&mut self, uid: u32, now: Instant) -> Option<R> {
        self.last = Some((uid, now));
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= FRESH) {
            self.clear();
        }
        let uid = u64::from(uid);
        while self.rows.pop_front_if(|(one, _)| *one < uid).is_some() {}
        self.rows.pop_front_if(|(one, _)| *one == uid).map(|(_, row)| row)
    }

    /// The body of a message, if that is being read; else none is any more.
    pub(crate) fn take_reading(&mut self, uid: u32) -> Option<Reading> {
        self.reading.take().filter(|(one, _)| *one == u64::from(uid)).map(|(_, reading)| reading)
    }

    /// The row of the very next message, while no body is being read.
    pub(crate) fn next(&self) -> Option<&R> {
        self.rows.front().map(|(_, row)| row).filter(|_| self.reading.is_none())
    }

    /// Keeps the body of the very next message.
    pub(crate) fn read(&mut self, reading: Reading) {
        self.reading = self.rows.front().map(|(uid, _)| (*uid, reading));
    }

    /// Keeps rows, ascending by UID, that were not looked up before `since`, and what is being fetched of them.
    pub(crate) fn keep(&mut self, rows: impl Iterator<Item = (u64, R)>, coming: Coming, since: Instant) {
        self.clear();
        self.rows.extend(rows);
        (self.coming, self.since, self.count) = (coming, Some(since), self.rows.len());
    }

    /// What comes next of a command, where rows wait for it. If it does not come while they are fresh they are forgotten.
    pub(crate) async fn wait<E>(&mut self, next: impl Future<Output = E>) -> Option<E> {
        let since = self.since.filter(|_| !self.rows.is_empty() || self.reading.is_some())?;
        let event = timeout_at(since + FRESH, next).await.ok();
        if event.is_none() {
            self.clear();
        }
        event
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.rows = VecDeque::new();
        self.reading = None;
        self.coming = Coming::default();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::limits::Limits;
    use crate::room::Room;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn as_many_are_looked_up_as_are_asked_for_while_they_are_fresh() {
        let (mut ahead, start) = (Ahead::<()>::default(), Instant::now());
        assert_eq!(ahead.count(None, start), 1);
        ahead.take(7, start);
        let counts = |ahead: &mut Ahead<()>| {
            [0, 1, 2, 10, 60, 100, 5000].map(|after| ahead.count(Some(7), start + ms(after)))
        };
        assert_eq!(counts(&mut ahead), [16, 16, 16, 10, 1, 1, 1]);
        for (kept, most) in [(15, 30), (31, 62), (255, 256)] {
            ahead.keep((8..8 + kept).map(|uid| (uid, ())), Coming::default(), start);
            assert_eq!(counts(&mut ahead), [most, most.min(100), most.min(50), 10, 1, 1, 1]);
        }
        assert_eq!(ahead.count(Some(6), start), 1);
        assert_eq!(ahead.count(None, start), 1);
    }

    #[test]
    fn a_row_is_taken_once_in_its_turn_and_while_it_is_fresh() {
        let (mut ahead, start) = (Ahead::default(), Instant::now());
        ahead.keep(
            [(3, "three"), (4, "four"), (6, "six"), (7, "seven")].into_iter(),
            Coming::default(),
            start,
        );
        assert_eq!(ahead.take(4, start), Some("four"));
        assert_eq!(ahead.take(6, start + ms(99)), Some("six"));
        assert_eq!(ahead.take(7, start + ms(100)), None);
        ahead.keep([(8, "eight")].into_iter(), Coming::default(), start);
        assert_eq!(ahead.take(3, start), None);
        assert_eq!(ahead.take(8, start), Some("eight"), "one that was asked for in between takes none away");
        assert_eq!(ahead.take(8, start), None);
    }

    #[tokio::test]
    async fn a_body_is_that_of_the_very_next_message() {
        let (mut ahead, start) = (Ahead::default(), Instant::now());
        let room = Room::new(&Limits::default());
        let mailbox_id = kernel::Env::system().new_id();
        for (uid, is_it) in [(3, true), (4, false)] {
            ahead.keep([(3, "three"), (4, "four"), (6, "six")].into_iter(), Coming::default(), start);
            assert_eq!(ahead.next(), Some(&"three"));
            let room = room.take(mailbox_id, 1, ms(0)).await.unwrap();
            let bytes = AbortOnDropHandle::new(tokio::spawn(ready(Some(Bytes::from("body of three")))));
            ahead.read(Reading { room, bytes });
            assert!(ahead.take(uid, start).is_some());
            // A command without the body leaves it for the next one.
            assert_eq!(ahead.next(), None);
            assert_eq!(ahead.take_reading(uid).is_some(), is_it);
            assert_eq!(ahead.next(), Some(if is_it { &"four" } else { &"six" }));
        }
    }

    #[tokio::test]
    async fn rows_wait_for_the_next_command_and_not_with_the_session() {
        let (mut ahead, start) = (Ahead::default(), Instant::now());
        assert_eq!(ahead.wait(pending::<()>()).await, None);
        ahead.keep([(3, "three"), (4, "four")].into_iter(), Coming::default(), start);
        assert_eq!(ahead.wait(ready("FETCH")).await, Some("FETCH"));
        assert!(ahead.take(3, start).is_some());
        assert_eq!(ahead.wait(pending::<()>()).await, None);
        assert!(ahead.take(4, start).is_none());
    }
}
