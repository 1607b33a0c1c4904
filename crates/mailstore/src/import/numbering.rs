//! Taking over the UIDs that messages had where they come from: a client that knows them need not fetch the mail again.
//!
//! A folder takes over a list's UID validity if it never gave out a UID, and then each message's UID, as long as they ascend. What a client knows from
//! there about a UID is true here as well, or it is told otherwise:
//!
//! - From then on nothing but the list's messages gets a UID that is in the list's range, or in the [`HEADROOM`] above it, where the other server may go on
//!   giving out UIDs for a while ([`crate::folder`]'s `uid_reserved`). What is delivered here meanwhile gets one beyond, and since UIDs ascend (RFC 9051
//!   §2.3.1.1) so does all that the list has yet to come.
//! - The mailbox's modification sequence goes on from the microseconds of the clock, which no other server counts beyond. So all that is here is newer than
//!   what the client has of there, and it is told of all flags.
//! - The UIDs of the range that nothing has in the end are logged as gone, but for those of messages that could not be taken and may be yet.
//! - The folder itself is logged as changed: a session that has it open ends.
//!
//! No UID validity comes twice: none is taken over that another folder of the mailbox has, nor one that is not higher than those of its folders that were
//! deleted or lost with a database (`mailboxes.uid_validity_floor`), which those that are made later have higher ones than.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kernel::{FolderId, MailboxId};
use tenancy::Ctx;

use super::store;
use crate::change::{self, Kind, UidSet};
use crate::folder;
use crate::uidlist::{Listed, Numbering};
use crate::{Error, MailStore, from_column, lock_mailbox};

/// How many UIDs above a list's are kept as well: the other server may give them out until mail comes here, and a later copy of its list have them.
const HEADROOM: i64 = 1_000_000;

/// Why a folder does not take over the UIDs that its messages had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untaken {
    /// Clients may know others by them.
    #[error("the folder has had messages, has taken another list over, or was there before a recovery")]
    HadMessages,
    /// Whichever is renamed to what, a name would have a UID twice.
    #[error(
        "another folder of the mailbox has its UIDVALIDITY, or one that was deleted or lost had that or a later one"
    )]
    OfAnother,
    /// Folders that are made later could not have later ones.
    #[error("its UIDVALIDITY lies in the future")]
    InFuture,
}

/// UIDs of a list's messages that could not be taken, and may be by a later run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) of: Numbering,
    pub(super) uids: RangeInclusive<u32>,
}

impl From<Listed> for Left {
    /// The UID of one message.
    fn from(Listed { of, uid }: Listed) -> Self {
        Self { of, uids: uid..=uid }
    }
}

/// The lists that come up in an import.
pub(super) struct Lists<'a> {
    mail: &'a MailStore,
    ctx: &'a Ctx,
    mailbox_id: MailboxId,
    /// By the folder (`None` is the Inbox) and the list's UID validity; `None` for a list that the folder has not taken over.
    known: BTreeMap<(Option<FolderId>, u32), Option<Adopted>>,
}

/// A list that a folder has taken over.
struct Adopted {
    folder: FolderId,
    path: String,
    uid_next: u32,
    /// The UIDs that the list has for the messages that were taken.
    wanted: Vec<u32>,
    /// Those of messages that could not be taken, and may be by a later run.
    left: Vec<RangeInclusive<u64>>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(mail: &'a MailStore, ctx: &'a Ctx, mailbox_id: MailboxId) -> Self {
        Self { mail, ctx, mailbox_id, known: BTreeMap::new() }
    }

    /// Has a folder take over a list that comes up for the first time; why it does not, if so.
    pub(super) async fn open(
        &mut self,
        folder: Option<FolderId>,
        path: &str,
        of: Numbering,
    ) -> Result<Option<Untaken>, Error> {
        let list = (folder, of.uid_validity);
        if self.known.contains_key(&list) {
            return Ok(None);
        }
        let adopted = adopt(self.mail, self.ctx, self.mailbox_id, folder, of).await?;
        let known = adopted.ok().map(|folder| Adopted {
            folder,
            path: path.to_owned(),
            uid_next: of.uid_next,
            wanted: Vec::new(),
            left: Vec::new(),
        });
        self.known.insert(list, known);
        Ok(adopted.err())
    }

    /// Notes that a message was taken.
    pub(super) fn took(&mut self, folder: Option<FolderId>, listed: Listed) {
        if let Some(Some(adopted)) = self.known.get_mut(&(folder, listed.of.uid_validity)) {
            adopted.wanted.push(listed.uid);
        }
    }

    /// Notes that messages could not be taken.
    pub(super) fn left(&mut self, folder: Option<FolderId>, left: Left) {
        if let Some(Some(adopted)) = self.known.get_mut(&(folder, left.of.uid_validity)) {
            let (first, last) = left.uids.into_inner();
            adopted.left.push(first.into()..=last.into());
        }
    }

    /// Ends the lists: the folders, by their paths, that messages were taken into which did not get the UIDs that their list has for them, and how many.
    pub(super) async fn close(self) -> Result<Vec<(String, u64)>, Error> {
        let mut late = Vec::new();
        for adopted in self.known.into_values().flatten() {
            let count = settle(self.mail, self.ctx, self.mailbox_id, &adopted).await?;
            late.extend((count > 0).then_some((adopted.path, count)));
        }
        Ok(late)
    }
}

/// Has a folder take a numbering over, or go on with it; the folder.
async fn adopt(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: Option<FolderId>,
    list: Numbering,
) -> Result<Result<FolderId, Untaken>, Error> {
    let now = ctx.env().now();
    let mut tx = ctx.begin().await?;
    lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    let id = match folder {
        Some(id) => id,
        None => folder::ensure_inbox(&mut tx, ctx, mailbox_id).await?,
    };
    let uid_validity = i64::from(list.uid_validity);
    let numbers = store::numbers(&mut tx, mailbox_id, id, uid_validity).await?;
    let numbers = numbers.ok_or(Error::FolderNotFound)?;
    if numbers.uid_reserved > 1 && numbers.uid_validity == uid_validity {
        // A later list may have come beyond what is kept. No more is: a recovery could not tell up to where UIDs had been given out.
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
    let modseq = store::raise_modseq(&mut tx, mailbox_id, now.timestamp_micros()).await?;
    let uid_reserved = i64::from(list.uid_next) + HEADROOM;
    store::renumber(&mut tx, mailbox_id, id, uid_validity, uid_reserved, modseq).await?;
    folder::note(&mut tx, ctx, mailbox_id, id, modseq).await?;
    mail.commit(tx, mailbox_id).await?;
    Ok(Ok(id))
}

/// Logs the UIDs of a list that nothing has, if the log does not have them; how many messages did not get the UIDs that they were to get.
async fn settle(mail: &MailStore, ctx: &Ctx, mailbox_id: MailboxId, list: &Adopted) -> Result<u64, Error> {
    let mut tx = ctx.begin().await?;
    let modseq = lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    // It may have been deleted since.
    let Some(numbers) = store::numbers(&mut tx, mailbox_id, list.folder, 0).await? else { return Ok(0) };
    let there = store::uids(&mut tx, mailbox_id, list.folder).await?;
    let wanted: UidSet = list.wanted.iter().copied().map(u64::from).collect();
    let late = (list.wanted.len() as u64).saturating_sub(wanted.within(&there).iter().count() as u64);
    // Also those that the other server gave out last, and that are in its list no more.
    let end = numbers.uid_next.max(i64::from(list.uid_next)).min(numbers.uid_reserved);
    let passed = UidSet::from_iter([1..=from_column(end - 1)]);
    // UIDs ascend: of the messages that are left, those whose UIDs were not passed by may still get them.
    let not_passed = UidSet::from_iter([from_column(numbers.uid_next)..=u64::MAX]);
    let to_come = list.left.iter().cloned().collect::<UidSet>().within(&not_passed);
    let told = store::gone(&mut tx, mailbox_id, list.folder).await?;
    let uids = passed.without(&there).without(&told).without(&to_come);
    if !uids.is_empty() {
        store::touch(&mut tx, mailbox_id, list.folder, modseq).await?;
        let gone = change::store::Entry { folder_id: list.folder, kind: Kind::Gone, uids };
        change::store::insert(&mut tx, mailbox_id, modseq, &[gone], ctx.env().now()).await?;
        mail.commit(tx, mailbox_id).await?;
    }
    Ok(late)
}
