//! How many messages of one mailbox may come at a time, so that one who is slow, or many times there, does not take the room of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::MailboxId;

/// The turns of one listener. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    taken: Arc<Mutex<HashMap<MailboxId, usize>>>,
    limit: usize,
}

/// A turn, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    mailbox_id: MailboxId,
}

impl Turns {
    /// So many for each mailbox.
    pub(super) fn new(limit: usize) -> Self {
        Self { taken: Arc::default(), limit }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<MailboxId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn of a mailbox's, if it has one left.
    pub(super) fn take(&self, mailbox_id: MailboxId) -> Option<Turn> {
        let mut taken = self.taken();
        let count = taken.entry(mailbox_id).or_default();
        (*count < self.limit).then(|| {
            *count += 1;
            Turn { turns: self.clone(), mailbox_id }
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.turns.taken();
        if let Some(count) = taken.get_mut(&self.mailbox_id) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.mailbox_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mailbox_has_its_own() {
        let turns = Turns::new(2);
        let mailbox = |n| MailboxId::from_uuid(uuid::Uuid::from_u128(n));
        let first = turns.take(mailbox(1)).unwrap();
        let _second = turns.take(mailbox(1)).unwrap();
        assert!(turns.take(mailbox(1)).is_none());
        assert!(turns.take(mailbox(2)).is_some());
        drop(first);
        assert!(turns.take(mailbox(1)).is_some());
        assert_eq!(turns.taken().len(), 1, "what nobody has is forgotten");
    }
}
