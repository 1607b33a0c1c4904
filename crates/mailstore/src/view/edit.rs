//! What whoever has a folder open does to its messages, by their UIDs.

use kernel::{FolderId, MailboxId, MessageId};
use tenancy::{Action, Ctx, TenantTx};

use super::{Row, Uids, store};
use crate::message::edit::{discard_in, flag_in, open, open_for_copy, relocate_in};
use crate::message::{FlagChange, Placed, Target};
use crate::{Error, MailStore, folder as folders, from_column, lock_mailbox};

/// How messages are to be marked.
#[derive(Debug, Clone, Default)]
pub struct Marking {
    /// What becomes of their flags.
    pub change: FlagChange,
    /// Only of those not changed after this modification sequence (RFC 7162 §3.1.3).
    pub unchanged_since: Option<u64>,
    /// Whether somebody is told of them, and wants them back.
    pub tells: bool,
}

/// What became of messages whose flags were to be changed.
#[derive(Debug, Clone)]
pub struct Flagged {
    /// The change's modification sequence; `None` if nothing was changed.
    pub modseq: Option<u64>,
    /// Those that it was done to, as they are now: also where that is as they were. None if nobody is to be told.
    pub rows: Vec<Row>,
    /// The UIDs of those that had been changed before, and were left as they are.
    pub unmet: Vec<u64>,
}

/// Changes the flags of messages.
///
/// # Errors
/// [`Error::NotFound`] for a mailbox that is not this tenant's or not the caller's, `Forbidden` by role, `SupportAccessRequired` for a caller
/// from above the tenant; [`Error::TooManyKeywords`], and then nothing is changed.
pub async fn flag(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    marking: &Marking,
) -> Result<Flagged, Error> {
    let (mut tx, modseq) = open(ctx, mailbox_id).await?;
    let found = store::rows(&mut tx, mailbox_id, folder, uids, 0).await?;
    let (met, unmet): (Vec<Row>, Vec<Row>) =
        found.into_iter().partition(|row| marking.unchanged_since.is_none_or(|since| row.modseq <= since));
    let ids: Vec<MessageId> = met.iter().map(|row| row.id).collect();
    let changed = flag_in(&mut tx, ctx, mailbox_id, modseq, &ids, &marking.change).await?;
    let rows = match (marking.tells, changed.is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => met,
        (true, false) => store::rows(&mut tx, mailbox_id, folder, uids, 0).await?,
    };
    let unmet: Vec<u64> = unmet.iter().map(|row| row.uid).collect();
    let rows = rows.into_iter().filter(|row| unmet.binary_search(&row.uid).is_err()).collect();
    if changed.is_empty() {
        // The number that the change would have had is somebody else's now.
        return Ok(Flagged { modseq: None, rows, unmet });
    }
    mail.commit(tx, mailbox_id).await?;
    Ok(Flagged { modseq: Some(from_column(modseq)), rows, unmet })
}

/// Deletes those of the messages that are marked as deleted (RFC 9051 §6.4.3): they become recoverable. Their UIDs.
///
/// # Errors
/// As [`flag`], but `TooManyKeywords`.
pub async fn expunge(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
) -> Result<Vec<u64>, Error> {
    ctx.require_mail(Action::MessageDelete, mailbox_id).await?;
    let mut tx = ctx.begin().await?;
    // Most who close a folder have marked nothing, and lock nothing.
    if store::named(&mut tx, mailbox_id, folder, uids, false).await?.is_empty() {
        return Ok(Vec::new());
    }
    lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    // Looked for again: a mark may have been taken away before the lock.
    let found = store::named(&mut tx, mailbox_id, folder, uids, false).await?;
    let (ids, uids): (Vec<MessageId>, Vec<u64>) = found.into_iter().unzip();
    if !ids.is_empty() {
        discard_in(&mut tx, ctx, mailbox_id, Some(folder), &ids).await?;
        mail.commit(tx, mailbox_id).await?;
    }
    Ok(uids)
}

/// Moves messages into a folder of the mailbox, as [`crate::message::relocate`]. Into the one that they are in they go too, under new UIDs
/// (RFC 6851 §3.3). Into another mailbox of the tenant they go as copies, all or none, inside that one's quota, and what is left behind is deleted, to
/// be recovered as whatever else is deleted there: whoever does that must be allowed to read and to delete here.
///
/// # Errors
/// As [`flag`], of either mailbox; [`Error::FolderNotFound`]; [`Error::OverQuota`] into another mailbox.
pub async fn relocate(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    to: Target,
) -> Result<Vec<Placed>, Error> {
    if to.mailbox_id != mailbox_id {
        return relocate_across(mail, ctx, mailbox_id, folder, uids, to).await;
    }
    let (mut tx, modseq) = open(ctx, mailbox_id).await?;
    let ids = ids(&mut tx, mailbox_id, folder, uids).await?;
    let to = match to.folder {
        Some(folder) => folder,
        None => folders::ensure_inbox(&mut tx, ctx, mailbox_id).await?,
    };
    let placed = relocate_in(&mut tx, ctx, mailbox_id, modseq, &ids, to).await?;
    if !placed.is_empty() {
        mail.commit(tx, mailbox_id).await?;
    }
    Ok(placed)
}

async fn relocate_across(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    to: Target,
) -> Result<Vec<Placed>, Error> {
    ctx.require_mail(Action::MessageDelete, mailbox_id).await?;
    let mut across = open_for_copy(ctx, mailbox_id, to).await?;
    let ids = ids(&mut across.tx, mailbox_id, folder, uids).await?;
    let placed = across.relocate(ctx, &ids).await?;
    if !placed.is_empty() {
        mail.commit_of(across.tx, &[mailbox_id, to.mailbox_id]).await?;
    }
    Ok(placed)
}

/// Copies messages, as [`crate::message::copy`].
///
/// # Errors
/// As there.
pub async fn copy(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
    to: Target,
) -> Result<Vec<Placed>, Error> {
    let mut across = open_for_copy(ctx, mailbox_id, to).await?;
    let ids = ids(&mut across.tx, mailbox_id, folder, uids).await?;
    let placed = across.copy(ctx, &ids).await?;
    if !placed.is_empty() {
        mail.commit(across.tx, to.mailbox_id).await?;
    }
    Ok(placed)
}

async fn ids(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    folder: FolderId,
    uids: &Uids,
) -> Result<Vec<MessageId>, Error> {
    let named = store::named(tx, mailbox_id, folder, uids, true).await?;
    Ok(named.into_iter().map(|(id, _)| id).collect())
}
