//! The room that messages in the middle of DATA share, so that their sum stays bounded.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room is given out in units, since a semaphore's permits are counted in 32 bits.
const UNIT_BYTES: u64 = 1024;

/// The room of one server.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    units: Arc<Semaphore>,
    timeout: Duration,
}

/// No room came free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// A part of the room, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Room,
    permit: OwnedSemaphorePermit,
}

impl Room {
    /// Room for `bytes`; whoever finds none waits for at most `timeout`.
    pub(crate) fn new(bytes: u64, timeout: Duration) -> Self {
        let units =
            usize::try_from(units(bytes)).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), timeout }
    }

    /// Takes room for `bytes`, waiting for it when there is none.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Share, NoRoom> {
        let wanted = u32::try_from(units(bytes)).map_err(|_| NoRoom)?;
        let permit = tokio::time::timeout(self.timeout, self.units.clone().acquire_many_owned(wanted)).await;
        match permit {
            Ok(Ok(permit)) => Ok(Share { room: self.clone(), permit }),
            Ok(Err(_)) | Err(_) => Err(NoRoom),
        }
    }
}

impl Share {
    /// How many bytes there is room for.
    pub(crate) fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64 * UNIT_BYTES
    }

    /// Grows to room for `bytes`, waiting for it when there is none. Those who wait keep what they have, so they
    /// may come to wait for each other: the time limit ends that, with one of them put off.
    pub(crate) async fn grow(&mut self, bytes: u64) -> Result<(), NoRoom> {
        let more = self.room.take(bytes.saturating_sub(self.bytes())).await?;
        self.permit.merge(more.permit);
        Ok(())
    }
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sum_is_bounded_and_comes_back() {
        let room = Room::new(8 * UNIT_BYTES, Duration::from_millis(20));
        let mut first = room.take(5 * UNIT_BYTES - 1).await.unwrap();
        assert_eq!(first.bytes(), 5 * UNIT_BYTES);
        assert_eq!(room.take(4 * UNIT_BYTES).await.unwrap_err(), NoRoom);
        first.grow(8 * UNIT_BYTES).await.unwrap();
        assert_eq!(first.grow(9 * UNIT_BYTES).await, Err(NoRoom));
        assert_eq!(room.take(1).await.unwrap_err(), NoRoom);
        let waits = tokio::spawn({
            let room = Room { timeout: Duration::from_secs(60), ..room };
            async move { room.take(8 * UNIT_BYTES).await.map(|share| share.bytes()) }
        });
        drop(first);
        assert_eq!(waits.await.unwrap(), Ok(8 * UNIT_BYTES));
    }
}
