//! What is done to messages: deleting, bringing back, marking, filing, copying.
//!
//! Whoever names several messages gets what was done to those that were there and live; the others are passed over.

use std::collections::BTreeSet;

use kernel::{FolderId, MailboxId, MessageId};
use tenancy::quota::{self, Charge};
use tenancy::{Action, Ctx, TenantTx, require_version};

use super::effect::{self, Touched};
use super::flags::{FlagChange, MAX_KEYWORDS};
use super::{Message, State, store};
use crate::{Error, MailStore, folder, lock_mailbox, to_column};

/// Where a message that was moved or copied is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The message that was named.
    pub of: MessageId,
    /// The UID under which it was named.
    pub of_uid: u64,
    /// The message that is there now: the same if it was moved.
    pub id: MessageId,
    /// Its UID there.
    pub uid: u64,
}

/// Deletes a message: it leaves its folder and the quota and stays recoverable as long as the tenant's retention policy says.
///
/// # Errors
/// [`Error::NotFound`] for what is not in this tenant's mailbox or was deleted before, `Forbidden` by role,
/// `SupportAccessRequired` for a caller from above the tenant.
pub async fn discard(mail: &MailStore, ctx: &Ctx, mailbox_id: MailboxId, id: MessageId) -> Result<(), Error> {
    discard_if(mail, ctx, mailbox_id, id, None).await
}

/// As [`discard`], of a message whose last change is still the one with a modification sequence, if one is named.
///
/// # Errors
/// As [`discard`]; `VersionMismatch`.
pub async fn discard_if(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: MessageId,
    if_version: Option<i64>,
) -> Result<(), Error> {
    ctx.require_mail(Action::MessageDelete, mailbox_id).await?;
    let mut tx = ctx.begin().await?;
    let modseq = lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    require_live(&mut tx, mailbox_id, id, if_version).await?;
    if discard_locked(&mut tx, ctx, mailbox_id, modseq, None, &[id]).await? == 0 {
        return Err(Error::NotFound);
    }
    mail.commit(tx, mailbox_id).await?;
    Ok(())
}

/// Refuses what is not a live message of a locked mailbox, or not in the version.
async fn require_live(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    id: MessageId,
    if_version: Option<i64>,
) -> Result<(), Error> {
    let found = store::find(tx, mailbox_id, id).await?;
    let message = found.filter(|message| message.state == State::Live).ok_or(Error::NotFound)?;
    Ok(require_version(if_version, to_column(message.modseq))?)
}

/// As [`discard`], in a transaction of the caller's, which it is the last in, and only those in a folder, if one is named: how many.
pub(crate) async fn discard_in(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    within: Option<FolderId>,
    ids: &[MessageId],
) -> Result<usize, Error> {
    let modseq = lock_mailbox(tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    discard_locked(tx, ctx, mailbox_id, modseq, within, ids).await
}

/// As [`discard_in`], with the mailbox locked already.
async fn discard_locked(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    modseq: i64,
    within: Option<FolderId>,
    ids: &[MessageId],
) -> Result<usize, Error> {
    let now = ctx.env().now();
    let gone = store::discard(tx, mailbox_id, within, ids, modseq, now).await?;
    effect::settle(tx, mailbox_id, modseq, gone.iter().map(Touched::gone), now).await?;
    quota::discard(tx, ctx, mailbox_id, gone.iter().map(|message| message.size_bytes).sum()).await?;
    Ok(gone.len())
}

/// Brings a deleted message back into its folder, or into the Inbox if that was deleted, inside the quota: with its id, UIDL and date, and
/// a new, higher UID (RFC 9051 §2.3.1.1 forbids the old one). It is not marked as deleted any more.
///
/// # Errors
/// [`Error::NotFound`] for what is not in this tenant's mailbox, [`Error::NotDeleted`] for a live message,
/// [`Error::OverQuota`], `Forbidden` by role,
/// `SupportAccessRequired` for a caller from above the tenant.
pub async fn recover(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: MessageId,
) -> Result<Message, Error> {
    ctx.require_mail(Action::MessageWrite, mailbox_id).await?;
    let mut tx = ctx.begin().await?;
    let modseq = lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    let found = store::locate(&mut tx, mailbox_id, id).await?.ok_or(Error::NotFound)?;
    if found.state == State::Live {
        return Err(Error::NotDeleted);
    }
    let (folder, uid) = match folder::store::take_uids(&mut tx, mailbox_id, found.folder, 1).await? {
        Some(uid) => (found.folder, uid),
        None => {
            let inbox = folder::ensure_inbox(&mut tx, ctx, mailbox_id).await?;
            let uid = folder::store::take_uids(&mut tx, mailbox_id, inbox, 1).await?;
            (inbox, uid.ok_or(Error::FolderNotFound)?)
        }
    };
    let now = ctx.env().now();
    let back =
        store::set_live(&mut tx, mailbox_id, id, folder, uid, modseq).await?.ok_or(Error::NotDeleted)?;
    effect::settle(&mut tx, mailbox_id, modseq, [back.arrived(folder, uid)].into_iter(), now).await?;
    let message = store::find(&mut tx, mailbox_id, id).await?.ok_or(Error::NotFound)?;
    match quota::recover(&mut tx, ctx, mailbox_id, back.size_bytes).await? {
        Charge::Taken { .. } => {}
        Charge::OverQuota => return Err(Error::OverQuota),
        Charge::Gone => return Err(Error::NotFound),
    }
    mail.commit(tx, mailbox_id).await?;
    Ok(message)
}

/// Changes the flags of live messages. Those whose flags are others now.
///
/// # Errors
/// [`Error::NotFound`] for a mailbox that is not this tenant's or not the caller's, `Forbidden` by role,
/// `SupportAccessRequired` for a caller from above the tenant; [`Error::TooManyKeywords`], and then nothing is changed.
pub async fn flag(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    ids: &[MessageId],
    change: &FlagChange,
) -> Result<Vec<MessageId>, Error> {
    let (mut tx, modseq) = open(ctx, mailbox_id).await?;
    let flagged = flag_in(&mut tx, ctx, mailbox_id, modseq, ids, change).await?;
    if !flagged.is_empty() {
        mail.commit(tx, mailbox_id).await?;
    }
    Ok(flagged)
}

/// Moves live messages into a folder of their mailbox (RFC 6851): each gets a new UID there, in the order of the old ones, and keeps all
/// else. Those that were elsewhere.
///
/// # Errors
/// As [`flag`]; [`Error::FolderNotFound`].
pub async fn relocate(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    ids: &[MessageId],
    to: FolderId,
) -> Result<Vec<Placed>, Error> {
    let (mut tx, modseq) = open(ctx, mailbox_id).await?;
    let placed = gather_in(&mut tx, ctx, mailbox_id, modseq, ids, to).await?;
    if !placed.is_empty() {
        mail.commit(tx, mailbox_id).await?;
    }
    Ok(placed)
}

/// What is to be another way about a message; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// The folder that it is in.
    pub folder: Option<FolderId>,
    /// Its flags.
    pub flags: FlagChange,
}

/// Changes a live message's flags and moves it, both or neither; if a modification sequence is named, only while its last change is the one with that.
///
/// # Errors
/// As [`relocate`]; [`Error::NotFound`] for what is not in the mailbox or was deleted; `VersionMismatch`.
pub async fn update(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: MessageId,
    update: &Update,
    if_version: Option<i64>,
) -> Result<Message, Error> {
    let (mut tx, modseq) = open(ctx, mailbox_id).await?;
    require_live(&mut tx, mailbox_id, id, if_version).await?;
    let flagged = flag_in(&mut tx, ctx, mailbox_id, modseq, &[id], &update.flags).await?;
    let moved = match update.folder {
        Some(to) => gather_in(&mut tx, ctx, mailbox_id, modseq, &[id], to).await?,
        None => Vec::new(),
    };
    let message = store::find(&mut tx, mailbox_id, id).await?.ok_or(Error::NotFound)?;
    if !flagged.is_empty() || !moved.is_empty() {
        mail.commit(tx, mailbox_id).await?;
    }
    Ok(message)
}

/// A transaction with the mailbox locked for a change, and the change's modification sequence.
pub(crate) async fn open(ctx: &Ctx, mailbox_id: MailboxId) -> Result<(TenantTx, i64), Error> {
    ctx.require_mail(Action::MessageWrite, mailbox_id).await?;
    let mut tx = ctx.begin().await?;
    let modseq = lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    Ok((tx, modseq))
}

/// Changes flags in a transaction of the caller's, with the mailbox locked: those whose flags are others now.
pub(crate) async fn flag_in(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    modseq: i64,
    ids: &[MessageId],
    change: &FlagChange,
) -> Result<Vec<MessageId>, Error> {
    let flagged = store::flag(tx, mailbox_id, ids, change, modseq).await.map_err(too_many)?;
    let effects = flagged.iter().map(|(message, is_seen)| message.flagged(*is_seen));
    effect::settle(tx, mailbox_id, modseq, effects, ctx.env().now()).await?;
    Ok(flagged.into_iter().map(|(message, _)| message.id).collect())
}

/// Moves messages in a transaction of the caller's, with the mailbox locked. What is in the folder already gets a new UID there too.
pub(crate) async fn relocate_in(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    modseq: i64,
    ids: &[MessageId],
    to: FolderId,
) -> Result<Vec<Placed>, Error> {
    let moving = store::live(tx, mailbox_id, ids).await?;
    put(tx, ctx, mailbox_id, modseq, &moving, to).await
}

/// As [`relocate_in`], but what is in the folder already stays as it is.
async fn gather_in(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    modseq: i64,
    ids: &[MessageId],
    to: FolderId,
) -> Result<Vec<Placed>, Error> {
    let mut moving = store::live(tx, mailbox_id, ids).await?;
    moving.retain(|message| message.folder != to);
    put(tx, ctx, mailbox_id, modseq, &moving, to).await
}

/// Puts messages into a folder under new UIDs, in the order that they are in.
async fn put(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    modseq: i64,
    moving: &[Touched],
    to: FolderId,
) -> Result<Vec<Placed>, Error> {
    let first = folder::store::take_uids(tx, mailbox_id, to, moving.len()).await?;
    let placed = place(moving, first.ok_or(Error::FolderNotFound)?);
    store::relocate(tx, mailbox_id, &placed, to, modseq).await?;
    let arrivals = moving.iter().zip(&placed).map(|(message, placed)| message.arrived(to, placed.uid));
    let effects = moving.iter().map(Touched::gone).chain(arrivals);
    effect::settle(tx, mailbox_id, modseq, effects, ctx.env().now()).await?;
    Ok(placed)
}

/// Where messages are to be copied to.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// A mailbox of the same tenant, the same one or another.
    pub mailbox_id: MailboxId,
    /// A folder of it; `None` is the Inbox.
    pub folder: Option<FolderId>,
}

/// Copies live messages, all or none, inside the quota of the mailbox that they go to: with their flags and dates, in the order of
/// their UIDs. The copies share the bodies. Whoever copies into another mailbox must be allowed to read this one.
///
/// # Errors
/// As [`flag`], of either mailbox; [`Error::FolderNotFound`], [`Error::OverQuota`].
pub async fn copy(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    ids: &[MessageId],
    to: Target,
) -> Result<Vec<Placed>, Error> {
    let mut across = open_for_copy(ctx, mailbox_id, to).await?;
    let placed = across.copy(ctx, ids).await?;
    if !placed.is_empty() {
        mail.commit(across.tx, to.mailbox_id).await?;
    }
    Ok(placed)
}

/// Two mailboxes, or one twice, locked in a transaction for messages to go from the one to the other.
pub(crate) struct Across {
    pub(crate) tx: TenantTx,
    from: Locked,
    to: Locked,
    /// The folder that is named of the second; `None` is its Inbox.
    folder: Option<FolderId>,
}

/// A locked mailbox, and the modification sequence of what is done in it.
#[derive(Clone, Copy)]
struct Locked {
    mailbox_id: MailboxId,
    modseq: i64,
}

/// Locks the mailboxes that messages are copied out of and into.
pub(crate) async fn open_for_copy(ctx: &Ctx, mailbox_id: MailboxId, to: Target) -> Result<Across, Error> {
    ctx.require_mail(Action::MessageWrite, to.mailbox_id).await?;
    if to.mailbox_id != mailbox_id {
        ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    }
    let mut tx = ctx.begin().await?;
    // Both, in the order of their ids: what is counted as seen is what is copied as seen.
    let (mut from, mut into) = (0, 0);
    for id in BTreeSet::from([mailbox_id, to.mailbox_id]) {
        let modseq = lock_mailbox(&mut tx, id).await?.ok_or(Error::NotFound)?;
        from = if id == mailbox_id { modseq } else { from };
        into = if id == to.mailbox_id { modseq } else { into };
    }
    Ok(Across {
        tx,
        from: Locked { mailbox_id, modseq: from },
        to: Locked { mailbox_id: to.mailbox_id, modseq: into },
        folder: to.folder,
    })
}

impl Across {
    /// Copies messages. Last in its transaction.
    pub(crate) async fn copy(&mut self, ctx: &Ctx, ids: &[MessageId]) -> Result<Vec<Placed>, Error> {
        let (placed, size_bytes) = self.put_copies(ctx, ids).await?;
        self.charge(ctx, size_bytes).await?;
        Ok(placed)
    }

    /// Copies messages and deletes them where they were: what is deleted is recoverable there. Last in its transaction.
    pub(crate) async fn relocate(&mut self, ctx: &Ctx, ids: &[MessageId]) -> Result<Vec<Placed>, Error> {
        let (placed, size_bytes) = self.put_copies(ctx, ids).await?;
        if placed.is_empty() {
            return Ok(placed);
        }
        let gone: Vec<MessageId> = placed.iter().map(|placed| placed.of).collect();
        let Locked { mailbox_id, modseq } = self.from;
        // Before the other is charged: what stays within the pools above both takes no room there.
        discard_locked(&mut self.tx, ctx, mailbox_id, modseq, None, &gone).await?;
        self.charge(ctx, size_bytes).await?;
        Ok(placed)
    }

    /// Puts copies of the messages that are live into the folder; them, and their sizes added up.
    async fn put_copies(&mut self, ctx: &Ctx, ids: &[MessageId]) -> Result<(Vec<Placed>, u64), Error> {
        let Locked { mailbox_id, modseq } = self.to;
        let tx = &mut self.tx;
        let folder = match self.folder {
            Some(folder) => folder,
            None => folder::ensure_inbox(tx, ctx, mailbox_id).await?,
        };
        let found = store::live(tx, self.from.mailbox_id, ids).await?;
        let first = folder::store::take_uids(tx, mailbox_id, folder, found.len()).await?;
        let mut placed = place(&found, first.ok_or(Error::FolderNotFound)?);
        placed.iter_mut().for_each(|placed| placed.id = ctx.env().new_id());
        if placed.is_empty() {
            return Ok((placed, 0));
        }
        store::copy(tx, self.from.mailbox_id, &placed, mailbox_id, folder, modseq).await?;
        let effects = found.iter().zip(&placed).map(|(message, placed)| message.arrived(folder, placed.uid));
        effect::settle(tx, mailbox_id, modseq, effects, ctx.env().now()).await?;
        Ok((placed, found.iter().map(|message| message.size_bytes).sum()))
    }

    /// Counts the copies' bytes, if there are some.
    async fn charge(&mut self, ctx: &Ctx, size_bytes: u64) -> Result<(), Error> {
        if size_bytes == 0 {
            return Ok(());
        }
        match quota::take(&mut self.tx, ctx, self.to.mailbox_id, size_bytes).await? {
            Charge::Taken { .. } => Ok(()),
            Charge::OverQuota => Err(Error::OverQuota),
            Charge::Gone => Err(Error::NotFound),
        }
    }
}

/// Gives messages UIDs from `first` on, in their order.
fn place(messages: &[Touched], first: u64) -> Vec<Placed> {
    let placed = messages.iter().zip(first..);
    placed.map(|(message, uid)| Placed { of: message.id, of_uid: message.uid, id: message.id, uid }).collect()
}

fn too_many(error: db::Error) -> Error {
    match error.constraint() {
        Some("messages_keywords_count") => Error::TooManyKeywords { max: MAX_KEYWORDS as u64 },
        _ => error.into(),
    }
}
