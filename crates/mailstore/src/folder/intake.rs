//! The folders that many messages arrive in at once: locked together, and given out UIDs of.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use kernel::{Env, FolderId, MailboxId, TenantId};
use tenancy::IngestTx;

use super::Role;
use super::store::{self, Grown, Locked};
use crate::change;
use crate::ingest::Within;

/// Folders that are locked until the transaction ends.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    locked: BTreeMap<FolderId, Folder>,
    inboxes: BTreeMap<MailboxId, FolderId>,
    junk: BTreeMap<MailboxId, FolderId>,
    /// Junk folders that a mailbox has only now.
    made: Vec<FolderId>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Folder {
    of: Locked,
    arrived: i64,
    unseen: i64,
    size_bytes: i64,
    modseq: i64,
}

impl Folder {
    pub(crate) fn id(&self) -> FolderId {
        FolderId::from_uuid(self.of.id)
    }

    /// Gives out the next UID, and counts one more message.
    pub(crate) fn take_uid(&mut self, size_bytes: u64, is_seen: bool, modseq: i64) -> i64 {
        self.arrived += 1;
        self.unseen += i64::from(!is_seen);
        self.size_bytes += crate::to_column(size_bytes);
        self.modseq = modseq;
        self.of.uid_next + self.arrived - 1
    }
}

/// Locks the Inboxes of locked mailboxes, the Junk folders that messages go into, both of which are made where there are none, and those of the named
/// folders that are theirs.
///
/// # Errors
/// As of any statement.
pub(crate) async fn lock_for_intake(
    tx: &mut IngestTx,
    env: &Env,
    mailboxes: impl Iterator<Item = (TenantId, MailboxId)>,
    places: &BTreeSet<(MailboxId, Within)>,
) -> Result<Folders, db::Error> {
    let mailboxes: Vec<_> = mailboxes.collect();
    let named: Vec<_> = places.iter().filter_map(|(_, place)| place.named()).collect();
    let gets_junk = |mailbox: MailboxId| places.contains(&(mailbox, Within::Junk));
    let junk: Vec<_> = mailboxes.iter().map(|(_, id)| *id).filter(|&id| gets_junk(id)).collect();
    let mut folders = Folders::default();
    folders.extend(store::lock_many(tx, &mailboxes, &named, &junk).await?);
    let new = without(&folders.inboxes, &mailboxes);
    if !new.is_empty() {
        store::insert_first(tx, env, &new).await?;
        folders.extend(store::lock_many(tx, &new, &[], &junk).await?);
    }
    let mut cleared = without(&folders.junk, &mailboxes);
    cleared.retain(|&(_, mailbox)| gets_junk(mailbox));
    if !cleared.is_empty() {
        folders.made = store::insert_junk(tx, env, &cleared).await?;
        folders.extend(store::lock_many(tx, &cleared, &folders.made, &[]).await?);
    }
    Ok(folders)
}

/// Those of the mailboxes that have none of such folders.
fn without(
    folders: &BTreeMap<MailboxId, FolderId>,
    mailboxes: &[(TenantId, MailboxId)],
) -> Vec<(TenantId, MailboxId)> {
    mailboxes.iter().filter(|(_, mailbox)| !folders.contains_key(mailbox)).copied().collect()
}

impl Folders {
    fn extend(&mut self, locked: Vec<Locked>) {
        for of in locked {
            let (id, mailbox_id) = (FolderId::from_uuid(of.id), MailboxId::from_uuid(of.mailbox_id));
            match of.role.as_deref().and_then(Role::from_column) {
                Some(Role::Inbox) => drop(self.inboxes.insert(mailbox_id, id)),
                Some(Role::Junk) => drop(self.junk.insert(mailbox_id, id)),
                _ => {}
            }
            self.locked.insert(id, Folder { of, arrived: 0, unseen: 0, size_bytes: 0, modseq: 0 });
        }
    }

    /// A folder of a mailbox, if it is there.
    pub(crate) fn find(&mut self, mailbox_id: MailboxId, place: Within) -> Option<&mut Folder> {
        let id = match place {
            Within::Inbox => *self.inboxes.get(&mailbox_id)?,
            Within::Junk => *self.junk.get(&mailbox_id)?,
            Within::Folder(id) => id,
        };
        self.locked.get_mut(&id).filter(|found| found.of.mailbox_id == mailbox_id.uuid())
    }

    /// Writes what was given out and counted, and notes it.
    ///
    /// # Errors
    /// As of any statement.
    pub(crate) async fn write(self, tx: &mut IngestTx, now: DateTime<Utc>) -> Result<(), db::Error> {
        let grown: Vec<_> = self.locked.into_values().filter(|folder| folder.arrived > 0).collect();
        let counted = grown.iter().map(|folder| Grown {
            folder: &folder.of,
            count: folder.arrived,
            unseen: folder.unseen,
            size_bytes: folder.size_bytes,
            modseq: folder.modseq,
        });
        store::add_arrived(tx, &counted.collect::<Vec<_>>()).await?;
        let noted = grown.iter().map(|folder| change::store::Arrived {
            tenant_id: folder.of.tenant_id,
            mailbox_id: folder.of.mailbox_id,
            folder_id: folder.of.id,
            modseq: folder.modseq,
            first_uid: folder.of.uid_next,
            last_uid: folder.of.uid_next + folder.arrived - 1,
        });
        change::store::insert_arrived(tx, &noted.collect::<Vec<_>>(), now).await?;
        let made = grown.iter().filter(|folder| self.made.contains(&folder.id()));
        let noted = made.map(|folder| change::store::Made {
            tenant_id: folder.of.tenant_id,
            mailbox_id: folder.of.mailbox_id,
            folder_id: folder.of.id,
            modseq: folder.modseq,
        });
        change::store::insert_made(tx, &noted.collect::<Vec<_>>(), now).await
    }
}
