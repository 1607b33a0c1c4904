//! Taking over the UIDs that messages had where they come from: a client that knows them need not fetch the mail again.
//!
//! A folder takes over a list's UID validity if it never gave out a UID, and then each message's UID. What a client knows from there about a UID is true here
//! as well, or it is told otherwise:
//!
//! - From then on nothing but the list's messages gets a UID that is in the list's range ([`crate::folder`]'s `uid_reserved`).
//! - The mailbox's modification sequence goes on from the microseconds of the clock, which no other server counts beyond. So all that is here is newer than
//!   what the client has of there, and it is told of all flags.
//! - The UIDs of the range that nothing has in the end are logged as gone.
//! - The folder itself is logged as changed: a session that has it open ends.
//!
//! No UID validity comes twice: none is taken over that a folder of the mailbox has, or had, or that is later than the log goes back before it forgets a
//! deleted folder, after which a new one gets a later validity by the clock; nor one of whose messages an import has taken some before.

use std::collections::HashMap;

use kernel::{FolderId, MailboxId};
use tenancy::Ctx;

use super::store;
use crate::change::{self, Kind, UidSet};
use crate::folder;
use crate::ingest::ImportKey;
use crate::uidlist::{Listed, Numbering};
use crate::{Error, MailStore, from_column, lock_mailbox};

/// Why a folder does not take over the UIDs that its messages had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untaken {
    /// Clients may know others by them.
    #[error("the folder has had messages before")]
    HadMessages,
    /// As [`Self::HadMessages`], in a folder that is not there any more.
    #[error("an earlier import has taken messages of it before")]
    ImportedBefore,
    /// Whichever is renamed to what, a name would have a UID twice.
    #[error("another folder of the mailbox has or had the same UIDVALIDITY")]
    OfAnother,
    /// Folders that are made later could not have later ones.
    #[error("its UIDVALIDITY lies in the future")]
    InFuture,
}

/// The lists that come up in an import.
pub(super) struct Lists<'a> {
    mail: &'a MailStore,
    ctx: &'a Ctx,
    mailbox_id: MailboxId,
    /// The folder that has taken one over, or `None`: by the folder (`None` is the Inbox) and the list's UID validity.
    known: HashMap<(Option<FolderId>, u32), Option<FolderId>>,
    current: Option<Current>,
}

/// The folder whose list is being gone through.
struct Current {
    folder: FolderId,
    /// Whether all messages have been taken.
    is_whole: bool,
}

impl<'a> Lists<'a> {
    pub(super) fn new(mail: &'a MailStore, ctx: &'a Ctx, mailbox_id: MailboxId) -> Self {
        Self { mail, ctx, mailbox_id, known: HashMap::new(), current: None }
    }

    /// The place of a message in its list, if the folder that it goes into numbers its messages as the list does, and the first time that it does not, why.
    pub(super) async fn place(
        &mut self,
        folder: Option<FolderId>,
        listed: Listed,
        key: &ImportKey,
    ) -> Result<(Option<Listed>, Option<Untaken>), Error> {
        let list = (folder, listed.of.uid_validity);
        let (taken, untaken) = match self.known.get(&list) {
            Some(taken) => (*taken, None),
            None => {
                let adopted = adopt(self.mail, self.ctx, self.mailbox_id, folder, listed.of, key).await?;
                self.known.insert(list, adopted.ok());
                (adopted.ok(), adopted.err())
            }
        };
        if let Some(folder) = taken
            && self.current.as_ref().is_none_or(|current| current.folder != folder)
        {
            self.leave().await?;
            self.current = Some(Current { folder, is_whole: true });
        }
        Ok((taken.map(|_| listed), untaken))
    }

    /// Notes that a message was not taken, which may be taken later.
    pub(super) fn failed(&mut self) {
        if let Some(current) = &mut self.current {
            current.is_whole = false;
        }
    }

    /// Ends the list that is being gone through, if there is one.
    pub(super) async fn leave(&mut self) -> Result<(), Error> {
        match self.current.take() {
            Some(Current { folder, is_whole }) => {
                settle(self.mail, self.ctx, self.mailbox_id, folder, is_whole).await
            }
            None => Ok(()),
        }
    }
}

/// Has a folder take a numbering over, or go on with it; the folder.
async fn adopt(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: Option<FolderId>,
    list: Numbering,
    first: &ImportKey,
) -> Result<Result<FolderId, Untaken>, Error> {
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    let id = match folder {
        Some(id) => id,
        None => folder::ensure_inbox(&mut tx, ctx, mailbox_id).await?,
    };
    let (uid_validity, uid_next) = (i64::from(list.uid_validity), i64::from(list.uid_next));
    let numbers = store::numbers(&mut tx, mailbox_id, id, uid_validity).await?;
    let numbers = numbers.ok_or(Error::FolderNotFound)?;
    if numbers.uid_reserved > 1 && numbers.uid_validity == uid_validity {
        store::reserve(&mut tx, mailbox_id, id, uid_next).await?;
        tx.commit().await?;
        return Ok(Ok(id));
    }
    if numbers.uid_next > 1 || numbers.uid_reserved > 1 {
        return Ok(Err(Untaken::HadMessages));
    }
    if uid_validity > (now + change::KEPT).timestamp() {
        return Ok(Err(Untaken::InFuture));
    }
    if numbers.is_anothers {
        return Ok(Err(Untaken::OfAnother));
    }
    if store::is_imported(&mut tx, mailbox_id, first).await? {
        return Ok(Err(Untaken::ImportedBefore));
    }
    let modseq = store::raise_modseq(&mut tx, mailbox_id, now.timestamp_micros()).await?;
    store::renumber(&mut tx, mailbox_id, id, uid_validity, uid_next, modseq).await?;
    folder::note(&mut tx, ctx, mailbox_id, id, modseq).await?;
    mail.commit(tx, mailbox_id).await?;
    Ok(Ok(id))
}

/// Logs the UIDs of a list that nothing has and nothing will get; if all of its messages were taken, the folder goes on after the list.
async fn settle(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: FolderId,
    is_whole: bool,
) -> Result<(), Error> {
    let mut tx = ctx.begin().await?;
    let modseq = lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    // It may have been deleted since.
    let Some(numbers) = store::numbers(&mut tx, mailbox_id, id, 0).await? else { return Ok(()) };
    let uid_next = store::settle(&mut tx, mailbox_id, id, is_whole, modseq).await?;
    let uid_next = uid_next.ok_or(Error::FolderNotFound)?;
    let passed = UidSet::from_iter([1..=from_column(uid_next.min(numbers.uid_reserved) - 1)]);
    let there = store::uids(&mut tx, mailbox_id, id).await?.into_iter().map(from_column);
    let uids = passed.without(&there.collect());
    if uids.is_empty() && uid_next == numbers.uid_next {
        return Ok(());
    }
    if !uids.is_empty() {
        let gone = change::store::Entry { folder_id: id, kind: Kind::Gone, uids };
        change::store::insert(&mut tx, mailbox_id, modseq, &[gone], ctx.env().now()).await?;
    }
    mail.commit(tx, mailbox_id).await
}
