//! The folders that many messages arrive in at once: locked together, and given out UIDs of.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Env, FolderId, MailboxId, TenantId};
use tenancy::IngestTx;

use super::Role;
use super::store::{self, Grown, Locked};
use crate::change::UidSet;
use crate::ingest::Within;
use crate::uidlist::Listed;

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
    /// The UIDs that were given out, ascending.
    uids: Vec<i64>,
    unseen: i64,
    size_bytes: i64,
    modseq: i64,
}

impl Folder {
    pub(crate) fn id(&self) -> FolderId {
        FolderId::from_uuid(self.of.id)
    }

    /// Gives out a UID, and counts one more message: the UID that a list names, if the folder has taken over its numbering and has not come past it;
    /// or else the next one that is in no such list.
    pub(crate) fn take_uid(
        &mut self,
        listed: Option<Listed>,
        size_bytes: u64,
        is_seen: bool,
        modseq: i64,
    ) -> i64 {
        let (next, reserved) = (self.uid_next(), self.of.uid_reserved);
        let listed = listed.filter(|listed| i64::from(listed.of.uid_validity) == self.of.uid_validity);
        let listed = listed.map(|listed| i64::from(listed.uid)).filter(|uid| (next..reserved).contains(uid));
        let uid = listed.unwrap_or_else(|| next.max(reserved));
        self.uids.push(uid);
        self.unseen += i64::from(!is_seen);
        self.size_bytes += crate::to_column(size_bytes);
        self.modseq = modseq;
        uid
    }

    fn uid_next(&self) -> i64 {
        self.uids.last().map_or(self.of.uid_next, |last| last + 1)
    }
}

/// Locks the Inboxes of locked mailboxes, which are made where there are none, the Junk folders that messages go into, and those of the named
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
            match of.role.as_deref().and_then(|role| role.parse::<Role>().ok()) {
                Some(Role::Inbox) => drop(self.inboxes.insert(mailbox_id, id)),
                Some(Role::Junk) => drop(self.junk.insert(mailbox_id, id)),
                _ => {}
            }
            self.locked.insert(id, Folder { of, uids: Vec::new(), unseen: 0, size_bytes: 0, modseq: 0 });
        }
    }

    /// Whether a mailbox has such a folder, or gets it by [`Self::make_junk`].
    pub(crate) fn has(&self, mailbox_id: MailboxId, place: Within) -> bool {
        place == Within::Junk || self.id_of(mailbox_id, place).is_some()
    }

    /// Gives those of some locked mailboxes a Junk folder that have none: they have messages for it. Nobody else can hold a folder of theirs, so it does not matter
    /// what is locked already.
    ///
    /// # Errors
    /// As of any statement.
    pub(crate) async fn make_junk(
        &mut self,
        tx: &mut IngestTx,
        env: &Env,
        mailboxes: BTreeSet<(TenantId, MailboxId)>,
    ) -> Result<(), db::Error> {
        let lacking = without(&self.junk, &mailboxes.into_iter().collect::<Vec<_>>());
        if !lacking.is_empty() {
            self.made = store::insert_junk(tx, env, &lacking).await?;
            self.extend(store::lock_many(tx, &lacking, &self.made, &[]).await?);
        }
        Ok(())
    }

    fn id_of(&self, mailbox_id: MailboxId, place: Within) -> Option<FolderId> {
        let id = match place {
            Within::Inbox => *self.inboxes.get(&mailbox_id)?,
            Within::Junk => *self.junk.get(&mailbox_id)?,
            Within::Folder(id) => id,
        };
        self.locked.get(&id).filter(|found| found.of.mailbox_id == mailbox_id.uuid())?;
        Some(id)
    }

    /// A folder of a mailbox, if it is there.
    pub(crate) fn find(&mut self, mailbox_id: MailboxId, place: Within) -> Option<&mut Folder> {
        self.locked.get_mut(&self.id_of(mailbox_id, place)?)
    }

    /// What was given out and counted, to be written and noted.
    pub(crate) fn grown(&self) -> Vec<Grown<'_>> {
        let grown = self.locked.values().filter(|folder| !folder.uids.is_empty()).map(|folder| Grown {
            folder: &folder.of,
            uid_next: folder.uid_next(),
            uids: folder.uids.iter().map(|uid| crate::from_column(*uid)).collect::<UidSet>().to_column(),
            count: folder.uids.len() as i64,
            unseen: folder.unseen,
            size_bytes: folder.size_bytes,
            modseq: folder.modseq,
            is_made: self.made.contains(&folder.id()),
        });
        grown.collect()
    }
}
