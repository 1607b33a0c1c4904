//! Room for messages that are being sent or taken in: how much of them is in memory at a time; and for connections that are compressed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use kernel::MailboxId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;
use crate::status::Status;

/// The unit in which room is given.
const UNIT_BYTES: u64 = 1 << 10;
/// Which part of the room one mailbox has at most: one that fills its share keeps nobody else waiting.
const SHARES: u64 = 8;

/// The room of a listener's sessions.
#[derive(Debug)]
pub(crate) struct Room {
    all: Arc<Semaphore>,
    all_units: u32,
    share_units: u32,
    compressors: Arc<Semaphore>,
    /// Of the mailboxes that have some.
    shares: Mutex<BTreeMap<MailboxId, Weak<Semaphore>>>,
}

/// Room, as long as it is held.
#[derive(Debug)]
pub(crate) struct Taken {
    _of_the_mailbox: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new(limits: &Limits) -> Self {
        let units = |bytes: u64| u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let all_units = units(limits.bodies_in_flight_bytes);
        // The largest message fits.
        let share_units = (all_units / SHARES as u32).max(units(mailstore::MAX_MESSAGE_BYTES)).min(all_units);
        let all = Arc::new(Semaphore::new(all_units as usize));
        let compressors = Arc::new(Semaphore::new(limits.max_compressed));
        Self { all, all_units, share_units, compressors, shares: Mutex::default() }
    }

    /// Waits for room for so many bytes of a mailbox's, for so long at most; what is larger than all the room goes alone.
    ///
    /// # Errors
    /// What to answer when it takes too long.
    pub(crate) async fn take(
        &self,
        mailbox_id: MailboxId,
        bytes: u64,
        patience: Duration,
    ) -> Result<Taken, Status> {
        let wanted = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let share = self.share(mailbox_id);
        let taking = async {
            let of_the_mailbox = share.acquire_many_owned(wanted.min(self.share_units)).await.ok()?;
            let of_all = self.all.clone().acquire_many_owned(wanted.min(self.all_units)).await.ok()?;
            Some(Taken { _of_the_mailbox: of_the_mailbox, _of_all: of_all })
        };
        match tokio::time::timeout(patience, taking).await {
            Ok(Some(taken)) => Ok(taken),
            // It is never closed.
            Ok(None) | Err(_) => {
                Err(Status::no("too much is being read and written, try again later").with("UNAVAILABLE"))
            }
        }
    }

    /// Leave to compress a connection as long as it is held; `None` where too many have it.
    pub(crate) fn compressor(&self) -> Option<OwnedSemaphorePermit> {
        self.compressors.clone().try_acquire_owned().ok()
    }

    fn share(&self, mailbox_id: MailboxId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&mailbox_id).and_then(Weak::upgrade) {
            return share;
        }
        // Whoever has some or waits for some holds it.
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share_units as usize));
        shares.insert(mailbox_id, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_mailbox_does_not_take_the_room_of_others() {
        let bodies_in_flight_bytes = 16 * mailstore::MAX_MESSAGE_BYTES;
        let room = Room::new(&Limits { bodies_in_flight_bytes, ..Limits::default() });
        let (one, other) = (kernel::Env::system().new_id(), kernel::Env::system().new_id());
        let most = mailstore::MAX_MESSAGE_BYTES * 2;
        let patience = Duration::from_millis(20);
        let held = room.take(one, most, patience).await.unwrap();
        assert!(room.take(one, 1, patience).await.is_err());
        assert!(room.take(one, 1, Duration::ZERO).await.is_err());
        assert!(room.take(other, most, Duration::ZERO).await.is_ok());
        drop(held);
        assert!(room.take(one, u64::MAX, patience).await.is_ok());
        // Who has none any more is forgotten.
        assert_eq!(room.shares.lock().unwrap().len(), 1);
    }
}
