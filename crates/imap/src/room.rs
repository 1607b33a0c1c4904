//! Room for messages that are being sent or taken in, and for connections that are compressed.

use std::sync::Arc;
use std::time::Duration;

use kernel::MailboxId;
use socket::room::NoRoom;
pub(crate) use socket::room::Taken;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;
use crate::status::Status;

/// The room of a listener's sessions.
#[derive(Debug)]
pub(crate) struct Room {
    messages: socket::room::Room<MailboxId>,
    compressors: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new(limits: &Limits) -> Self {
        let messages = socket::room::Room::new(limits.bodies_in_flight_bytes, mailstore::MAX_MESSAGE_BYTES);
        Self { messages, compressors: Arc::new(Semaphore::new(limits.max_compressed)) }
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
        self.messages.take(mailbox_id, bytes, patience).await.map_err(|NoRoom| {
            Status::no("too much is being read and written, try again later").with("UNAVAILABLE")
        })
    }

    /// Leave to compress a connection as long as it is held; `None` where too many have it.
    pub(crate) fn compressor(&self) -> Option<OwnedSemaphorePermit> {
        self.compressors.clone().try_acquire_owned().ok()
    }
}
