//! A message on its way in: held as long as it may be kept, counted and dropped from then on.

use std::io;
use std::time::Duration;

use socket::room::Taken;
use tokio::time::Instant;

use crate::codec::data::Decoder;
use crate::codec::trace;
use crate::limits::Transfer;
use crate::reply::Reply;
use crate::wire::{BLOCK_BYTES, Wire};

/// For how much of a message room is taken on the word of SIZE; beyond it, a message takes room as it comes, so that nobody has it for a word.
const DECLARED_BYTES: u64 = 1 << 20;

/// A message as it comes in.
pub(crate) struct Intake {
    /// The trace fields and what has come so far; once refused, the latest block only.
    bytes: Vec<u8>,
    trace_bytes: usize,
    limit_bytes: u64,
    kept: Result<Taken, Refusal>,
    /// How long it waits for more room.
    patience: Duration,
    dropped_bytes: u64,
}

/// Why a message is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It exceeds the limit.
    TooLarge,
    /// It outgrew its room, and no more came free in time.
    NoRoom,
    /// A CR or LF stood alone in it (RFC 5321 §2.3.8).
    BareLineEnd,
}

impl Refusal {
    /// As metrics name it, and what the client is told.
    pub(crate) fn told(self) -> (&'static str, Reply) {
        match self {
            Self::TooLarge => ("too_large", Reply::too_large()),
            Self::NoRoom => ("no_room", Reply::no_room()),
            Self::BareLineEnd => ("bare_line_end", Reply::bare_line_end()),
        }
    }
}

/// What a message takes before any of it has come, of which SIZE may have told how large it is.
pub(crate) fn first_bytes(declared_bytes: Option<u64>) -> u64 {
    declared_bytes.unwrap_or(0).min(DECLARED_BYTES) + BLOCK_BYTES as u64
}

/// The most that a message of the largest size needs while it comes in.
pub(crate) fn most_bytes(limit_bytes: u64) -> u64 {
    limit_bytes.saturating_add((trace::LIMIT_BYTES + 2 * BLOCK_BYTES) as u64)
}

impl Intake {
    /// A message that begins with `trace` and may measure `limit_bytes` after it; with the room that it has, and how long it waits for more.
    pub(crate) fn new(trace: Vec<u8>, limit_bytes: u64, (room, patience): (Taken, Duration)) -> Self {
        let trace_bytes = trace.len();
        Self { bytes: trace, trace_bytes, limit_bytes, kept: Ok(room), patience, dropped_bytes: 0 }
    }

    /// Reads to the final dot, whether or not the message can be kept: the client goes on after it. An error ends the session: the message never
    /// ended, and nothing of it is kept.
    pub(crate) async fn receive(&mut self, wire: &mut Wire, limits: &Transfer) -> io::Result<()> {
        let began = Instant::now();
        let (end, mut deadline) = (began + limits.whole, began + limits.piece);
        let mut decoder = Decoder::new();
        loop {
            let waiting = wire.fill(end.min(deadline)).await?;
            let came_at = Instant::now();
            let content = self.make_room(waiting).await;
            // How long there was no room is not the client's fault.
            deadline = limits.extended(deadline + came_at.elapsed(), waiting);
            let is_done = wire.decode(waiting, &mut decoder, content).is_done;
            self.check();
            if decoder.has_bare() && self.kept.is_ok() {
                self.refuse(Refusal::BareLineEnd);
            }
            if is_done {
                return Ok(());
            }
        }
    }

    /// Where the next `waiting` bytes of input go, once there is room for them. Growth is by half, up to what the
    /// largest message needs.
    async fn make_room(&mut self, waiting: usize) -> &mut Vec<u8> {
        // A decoder gives out at most two bytes more than it is given.
        let needed = (self.bytes.len() + waiting + 2) as u64;
        if let Ok(room) = &mut self.kept {
            let wanted = needed.max((needed + needed / 2).min(most_bytes(self.limit_bytes)));
            if needed > room.bytes() && room.grow(wanted, self.patience).await.is_err() {
                self.refuse(Refusal::NoRoom);
            } else if needed > self.bytes.capacity() as u64 {
                let more = room.bytes() - self.bytes.len() as u64;
                self.bytes.reserve_exact(usize::try_from(more).unwrap_or(waiting + 2));
            }
        }
        &mut self.bytes
    }

    /// Drops what exceeds the limit and whatever comes after a refusal. To be called after each block.
    fn check(&mut self) {
        if self.kept.is_ok() && self.body_bytes() > self.limit_bytes {
            self.refuse(Refusal::TooLarge);
        } else if self.kept.is_err() {
            self.dropped_bytes += self.bytes.len() as u64;
            self.bytes.clear();
        }
    }

    /// How much the message measures so far, without the trace fields.
    pub(crate) fn body_bytes(&self) -> u64 {
        let held = if self.kept.is_ok() { self.bytes.len() - self.trace_bytes } else { self.bytes.len() };
        self.dropped_bytes + held as u64
    }

    /// The whole message, trace fields first, with the room that it occupies; or why it was not kept.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, Taken), Refusal> {
        self.kept.map(|room| (self.bytes, room))
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.dropped_bytes = self.body_bytes();
        self.bytes = Vec::new();
        self.kept = Err(refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket::room::Room;

    const PATIENCE: Duration = Duration::from_millis(10);

    async fn fill(room_bytes: u64, limit_bytes: u64, blocks: usize) -> (Intake, u64) {
        let room = Room::new(room_bytes, room_bytes);
        let taken = room.take((), 1, PATIENCE).await.unwrap();
        let mut intake = Intake::new(b"trace".to_vec(), limit_bytes, (taken, PATIENCE));
        for _ in 0..blocks {
            intake.make_room(1000).await.extend_from_slice(&[b'x'; 1000]);
            intake.check();
            if let Ok(room) = &intake.kept {
                assert!(intake.bytes.capacity() as u64 <= room.bytes(), "holds no more than its room");
            }
        }
        let size = intake.body_bytes();
        (intake, size)
    }

    #[tokio::test]
    async fn keeps_what_fits() {
        let (intake, size) = fill(1 << 20, 100_000, 100).await;
        assert_eq!(size, 100_000);
        let (bytes, _room) = intake.finish().unwrap();
        assert_eq!(bytes.len(), 100_005);
        assert!(bytes.starts_with(b"tracexx"));
    }

    #[tokio::test]
    async fn counts_what_it_drops() {
        let (intake, size) = fill(1 << 20, 99_999, 150).await;
        assert_eq!((size, intake.bytes.len(), intake.finish().err()), (150_000, 0, Some(Refusal::TooLarge)));
        let (intake, size) = fill(30_000, 100_000, 100).await;
        assert_eq!((size, intake.bytes.len(), intake.finish().err()), (100_000, 0, Some(Refusal::NoRoom)));
    }
}
