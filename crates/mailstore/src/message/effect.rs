//! What a command does to messages, and so to their folders' counters and to the log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kernel::{FolderId, MailboxId, MessageId};
use tenancy::TenantTx;

use crate::change::store::Entry;
use crate::change::{self, Kind};
use crate::folder::store::{self as folders, Delta};
use crate::to_column;

/// A message as a command found it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touched {
    pub(crate) id: MessageId,
    pub(crate) folder: FolderId,
    pub(crate) uid: u64,
    pub(crate) size_bytes: u64,
    pub(crate) was_seen: bool,
}

/// What becomes of a folder by one message.
#[derive(Debug)]
pub(crate) struct Effect {
    folder: FolderId,
    kind: Kind,
    uid: u64,
    delta: Delta,
}

impl Touched {
    /// It is in its folder no more.
    pub(crate) fn gone(&self) -> Effect {
        let delta = Delta { messages: -1, unseen: -self.unseen(), size_bytes: -to_column(self.size_bytes) };
        Effect { folder: self.folder, kind: Kind::Gone, uid: self.uid, delta }
    }

    /// It is in a folder under a UID that it did not have there.
    pub(crate) fn arrived(&self, folder: FolderId, uid: u64) -> Effect {
        let delta = Delta { messages: 1, unseen: self.unseen(), size_bytes: to_column(self.size_bytes) };
        Effect { folder, kind: Kind::Arrived, uid, delta }
    }

    /// Its flags are others.
    pub(crate) fn flagged(&self, is_seen: bool) -> Effect {
        let unseen = i64::from(!is_seen) - self.unseen();
        Effect {
            folder: self.folder,
            kind: Kind::Flagged,
            uid: self.uid,
            delta: Delta { unseen, ..Delta::default() },
        }
    }

    fn unseen(&self) -> i64 {
        i64::from(!self.was_seen)
    }
}

/// Counts and notes what a command did in a locked mailbox.
///
/// # Errors
/// As of any statement.
pub(crate) async fn settle(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    modseq: i64,
    effects: impl Iterator<Item = Effect>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let mut deltas: BTreeMap<FolderId, Delta> = BTreeMap::new();
    let mut uids: BTreeMap<(FolderId, Kind), Vec<u64>> = BTreeMap::new();
    for Effect { folder, kind, uid, delta } in effects {
        let sum = deltas.entry(folder).or_default();
        sum.messages += delta.messages;
        sum.unseen += delta.unseen;
        sum.size_bytes += delta.size_bytes;
        uids.entry((folder, kind)).or_default().push(uid);
    }
    folders::count(tx, mailbox_id, modseq, &deltas).await?;
    let entry = |((folder_id, kind), uids): (_, Vec<u64>)| Entry {
        folder_id,
        kind,
        uids: uids.into_iter().collect(),
    };
    let entries: Vec<Entry> = uids.into_iter().map(entry).collect();
    change::store::insert(tx, mailbox_id, modseq, &entries, now).await
}
