//! Room for messages that are being sent or taken in: how much of them is in memory at a time, of all and of each who holds some.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which room is given: a semaphore's permits are counted in 32 bits.
const UNIT_BYTES: u64 = 1 << 10;
/// Which part of the room one holder has at most: one that fills its share keeps nobody else waiting.
const SHARES: u32 = 8;

/// The room of a listener's sessions, shared out among holders, such as mailboxes.
#[derive(Debug)]
pub struct Room<Holder> {
    all: Arc<Semaphore>,
    all_units: u32,
    share_units: u32,
    /// Of the holders that have some.
    shares: Mutex<BTreeMap<Holder, Weak<Semaphore>>>,
}

/// No room came free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for a message came free in time")]
pub struct NoRoom;

/// Room, as long as it is held.
#[derive(Debug)]
pub struct Taken {
    of_the_holder: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl<Holder: Ord + Copy> Room<Holder> {
    /// So many bytes of room, of which a holder has an eighth, or `largest_bytes` where that is more.
    pub fn new(bytes: u64, largest_bytes: u64) -> Self {
        let all_units = units(bytes);
        let share_units = (all_units / SHARES).max(units(largest_bytes)).min(all_units);
        let all = Arc::new(Semaphore::new(all_units as usize));
        Self { all, all_units, share_units, shares: Mutex::default() }
    }

    /// Waits for room for so many bytes of a holder's, for so long at most; what is larger than a share has the holder's to itself, and
    /// what is larger than all the room goes alone.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn take(&self, holder: Holder, bytes: u64, patience: Duration) -> Result<Taken, NoRoom> {
        let (wanted, share) = (units(bytes), self.share(holder));
        let of_the_holder = (share, wanted.min(self.share_units));
        let of_all = (self.all.clone(), wanted.min(self.all_units));
        acquire(of_the_holder, of_all, patience).await
    }

    fn share(&self, holder: Holder) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&holder).and_then(Weak::upgrade) {
            return share;
        }
        // Whoever has some or waits for some holds it.
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share_units as usize));
        shares.insert(holder, Arc::downgrade(&share));
        share
    }
}

impl Taken {
    /// For how many bytes there is room.
    pub fn bytes(&self) -> u64 {
        self.of_all.num_permits() as u64 * UNIT_BYTES
    }

    /// Grows to room for so many bytes, waiting for it for so long at most. Those who wait keep what they have, so they may come to wait for each
    /// other: the time limit ends that, with one of them put off.
    ///
    /// # Errors
    /// When it takes too long, as it always does where the holder's share is not so large.
    pub async fn grow(&mut self, bytes: u64, patience: Duration) -> Result<(), NoRoom> {
        let more = units(bytes.saturating_sub(self.bytes()));
        let of_the_holder = (self.of_the_holder.semaphore().clone(), more);
        let more = acquire(of_the_holder, (self.of_all.semaphore().clone(), more), patience).await?;
        self.of_the_holder.merge(more.of_the_holder);
        self.of_all.merge(more.of_all);
        Ok(())
    }
}

/// So many units of each, first of the holder's: who waits for their own share keeps nobody else waiting.
async fn acquire(
    (share, of_the_holder): (Arc<Semaphore>, u32),
    (all, of_all): (Arc<Semaphore>, u32),
    patience: Duration,
) -> Result<Taken, NoRoom> {
    let taking = async {
        let of_the_holder = share.acquire_many_owned(of_the_holder).await.ok()?;
        let of_all = all.acquire_many_owned(of_all).await.ok()?;
        Some(Taken { of_the_holder, of_all })
    };
    // They are never closed.
    tokio::time::timeout(patience, taking).await.ok().flatten().ok_or(NoRoom)
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn one_holder_does_not_take_the_room_of_others() {
        let room = Room::new(64 * UNIT_BYTES, 0);
        let most = 8 * UNIT_BYTES;
        let held = room.take(1, most, PATIENCE).await.unwrap();
        assert_eq!(room.take(1, 1, PATIENCE).await.unwrap_err(), NoRoom);
        assert_eq!(room.take(1, 1, Duration::ZERO).await.unwrap_err(), NoRoom);
        assert!(room.take(2, most, Duration::ZERO).await.is_ok());
        drop(held);
        assert!(room.take(1, u64::MAX, PATIENCE).await.is_ok());
        // Who has none any more is forgotten.
        assert_eq!(room.shares.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_largest_fits_into_a_share() {
        let room = Room::new(16 * UNIT_BYTES, 5 * UNIT_BYTES);
        let held = room.take(1, 5 * UNIT_BYTES, PATIENCE).await.unwrap();
        assert_eq!(held.bytes(), 5 * UNIT_BYTES);
        assert_eq!(room.take(1, 1, PATIENCE).await.unwrap_err(), NoRoom);
    }

    #[tokio::test]
    async fn what_is_held_grows_within_the_share_and_comes_back() {
        let room = Arc::new(Room::new(8 * UNIT_BYTES, 8 * UNIT_BYTES));
        let mut first = room.take((), 5 * UNIT_BYTES - 1, PATIENCE).await.unwrap();
        assert_eq!(first.bytes(), 5 * UNIT_BYTES);
        assert_eq!(room.take((), 4 * UNIT_BYTES, PATIENCE).await.unwrap_err(), NoRoom);
        first.grow(8 * UNIT_BYTES, PATIENCE).await.unwrap();
        assert_eq!(first.grow(9 * UNIT_BYTES, PATIENCE).await, Err(NoRoom));
        assert_eq!(first.bytes(), 8 * UNIT_BYTES);
        assert_eq!(room.take((), 1, PATIENCE).await.unwrap_err(), NoRoom);
        let waits = tokio::spawn({
            let room = room.clone();
            async move { room.take((), 8 * UNIT_BYTES, Duration::from_secs(60)).await.map(|taken| taken.bytes()) }
        });
        drop(first);
        assert_eq!(waits.await.unwrap(), Ok(8 * UNIT_BYTES));
    }
}
