//! Making, changing and deleting folders.

use std::collections::BTreeMap;

use kernel::{Checks, FolderId, MailboxId};
use tenancy::{Action, Ctx, TenantTx, quota, require_version};

use super::gone::MAX_NAMES;
use super::store::unsubscribe_gone;
use super::tree::Tree;
use super::{
    Folder, MAX_DEPTH, MAX_FOLDERS, MAX_NAME_CHARS, OTHERS, Role, SEPARATOR, ensure_inbox, in_one_form, store,
};
use crate::change::{self, Kind, UidSet};
use crate::message::effect::{self, Touched};
use crate::{Error, MailStore, lock_mailbox, message};

/// A folder to make.
#[derive(Debug, Clone)]
pub struct NewFolder {
    /// The one it is to lie in; `None` at the top.
    pub parent_id: Option<FolderId>,
    /// Its name, in whatever form.
    pub name: String,
    /// What it is for.
    pub role: Option<Role>,
    /// Whether clients are to show it.
    pub is_subscribed: bool,
}

/// What is to be another way about a folder; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// Its name.
    pub name: Option<String>,
    /// The folder that it lies in; `Some(None)` brings it to the top. What lies below it comes along.
    pub parent_id: Option<Option<FolderId>>,
    /// Whether clients show it.
    pub is_subscribed: Option<bool>,
}

/// Makes a folder.
///
/// # Errors
/// [`Error::FolderExists`] where there is one of that name or for that purpose, [`Error::FolderNotFound`] for a parent that is not there,
/// [`Error::TooManyFolders`], `Invalid` for a name that is none, [`Error::NotFound`] for a mailbox that is not this tenant's or not the caller's,
/// `Forbidden` by role, `SupportAccessRequired` for a caller from above the tenant.
pub async fn create(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    mut new: NewFolder,
) -> Result<Folder, Error> {
    ctx.require_mail(Action::MessageWrite, mailbox_id).await?;
    new.name = named(&new.name)?;
    // Every mailbox has its Inbox.
    if new.role == Some(Role::Inbox) {
        return Err(Error::FolderExists);
    }
    let (mut tx, tree, modseq) = open(ctx, mailbox_id).await?;
    let depth = place(&tree, new.parent_id, &new.name)?;
    let known = store::known(&mut tx, mailbox_id, ctx.env().now()).await?;
    // Those that were deleted count as well, as long as they are known: each costs as much as one that is there. Names that stay have a limit of their own.
    if known.count >= MAX_FOLDERS || depth > MAX_DEPTH {
        return Err(too_many());
    }
    let id: FolderId = ctx.env().new_id();
    // RFC 9051 §6.3.7: a name that is subscribed to is that also of another folder.
    let path = tree.path(new.parent_id, &new.name);
    new.is_subscribed |= !unsubscribe_gone(&mut tx, mailbox_id, &[path]).await?.is_empty();
    store::insert(&mut tx, mailbox_id, id, &new, known.next_uid_validity, modseq, ctx.env().now())
        .await
        .map_err(taken)?;
    finish(mail, tx, ctx, mailbox_id, id, modseq).await
}

/// Changes a folder; its UIDs, and those of what lies below it, stay what they are.
///
/// # Errors
/// As [`create`]; [`Error::InboxStays`]; [`Error::FolderNotFound`]; `Invalid` for one that would lie below itself.
pub async fn update(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: FolderId,
    changed: Changed,
) -> Result<Folder, Error> {
    update_if(mail, ctx, mailbox_id, id, changed, None).await
}

/// As [`update`], of a folder that is still in a version, if one is named.
///
/// # Errors
/// As [`update`]; `VersionMismatch`.
pub async fn update_if(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: FolderId,
    changed: Changed,
    if_version: Option<i64>,
) -> Result<Folder, Error> {
    ctx.require_mail(Action::MessageWrite, mailbox_id).await?;
    let name = changed.name.as_deref().map(named).transpose()?;
    let (mut tx, tree, modseq) = open(ctx, mailbox_id).await?;
    let old = tree.get(id).ok_or(Error::FolderNotFound)?;
    require_version(if_version, old.version)?;
    let name = name.unwrap_or_else(|| old.name.clone());
    let parent_id = changed.parent_id.unwrap_or(old.parent_id);
    let stays = name == old.name && parent_id == old.parent_id;
    if stays && changed.is_subscribed.is_none_or(|is_subscribed| is_subscribed == old.is_subscribed) {
        // One that was put back may have a name that is kept as well, which is not to come back after it.
        if changed.is_subscribed.is_some() {
            unsubscribe_gone(&mut tx, mailbox_id, std::slice::from_ref(&old.path)).await?;
            tx.commit().await?;
        }
        return Ok(old.clone());
    }
    if !stays {
        if old.role == Some(Role::Inbox) {
            return Err(Error::InboxStays);
        }
        if parent_id.is_some_and(|parent| tree.way_up(parent).any(|folder| folder.id == id)) {
            return Err(tenancy::Error::invalid("/parent_id", "must not lie below the folder itself").into());
        }
        if place(&tree, parent_id, &name)? + tree.height(id) - 1 > MAX_DEPTH {
            return Err(too_many());
        }
    }
    // As in [`create`], unless something else is said; the folder's own subscription comes along with it.
    let (was_left, others) =
        take_names(&mut tx, mailbox_id, &tree, old, &tree.path(parent_id, &name)).await?;
    let is_subscribed = changed.is_subscribed.unwrap_or(old.is_subscribed || was_left);
    store::update(&mut tx, mailbox_id, id, &name, parent_id, is_subscribed, modseq).await.map_err(taken)?;
    for other in others {
        store::update(&mut tx, mailbox_id, other.id, &other.name, other.parent_id, true, modseq).await?;
        note(&mut tx, ctx, mailbox_id, other.id, modseq).await?;
    }
    finish(mail, tx, ctx, mailbox_id, id, modseq).await
}

/// Deletes a folder. The messages in it become recoverable, into the Inbox. Its name stays subscribed to if it was ([`gone`](super::gone)).
///
/// # Errors
/// [`Error::FolderHasChildren`] (RFC 9051 §7.1, `HASCHILDREN`), [`Error::InboxStays`], [`Error::FolderNotFound`]; [`Error::NotFound`] for a
/// mailbox that is not this tenant's or not the caller's, `Forbidden` by role, `SupportAccessRequired` for a caller from above the tenant.
pub async fn delete(mail: &MailStore, ctx: &Ctx, mailbox_id: MailboxId, id: FolderId) -> Result<(), Error> {
    delete_if(mail, ctx, mailbox_id, id, None).await
}

/// As [`delete`], of a folder that is still in a version, if one is named.
///
/// # Errors
/// As [`delete`]; `VersionMismatch`.
pub async fn delete_if(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: FolderId,
    if_version: Option<i64>,
) -> Result<(), Error> {
    ctx.require_mail(Action::MessageDelete, mailbox_id).await?;
    let (mut tx, tree, modseq) = open(ctx, mailbox_id).await?;
    let folder = tree.get(id).ok_or(Error::FolderNotFound)?;
    require_version(if_version, folder.version)?;
    if folder.role == Some(Role::Inbox) {
        return Err(Error::InboxStays);
    }
    if tree.children(id).next().is_some() {
        return Err(Error::FolderHasChildren);
    }
    let now = ctx.env().now();
    let gone = message::store::discard_folder(&mut tx, mailbox_id, id, modseq, now).await?;
    effect::settle(&mut tx, mailbox_id, modseq, gone.iter().map(Touched::gone), now).await?;
    let size_bytes = gone.iter().map(|message| message.size_bytes).sum();
    // RFC 9051 §6.3.7: its name stays what it is, subscribed to or not.
    unsubscribe_gone(&mut tx, mailbox_id, std::slice::from_ref(&folder.path)).await?;
    let subscribed_path = folder.is_subscribed.then_some(folder.path.as_str());
    store::mark_deleted(&mut tx, mailbox_id, id, subscribed_path, modseq, now).await?;
    store::forget_gone(&mut tx, mailbox_id, MAX_NAMES).await?;
    note(&mut tx, ctx, mailbox_id, id, modseq).await?;
    quota::discard(&mut tx, ctx, mailbox_id, size_bytes).await?;
    mail.commit(tx, mailbox_id).await?;
    Ok(())
}

/// A transaction with the mailbox locked, its folders, and the modification sequence of what is to be done.
async fn open(ctx: &Ctx, mailbox_id: MailboxId) -> Result<(TenantTx, Tree, i64), Error> {
    let mut tx = ctx.begin().await?;
    let modseq = lock_mailbox(&mut tx, mailbox_id).await?.ok_or(Error::NotFound)?;
    ensure_inbox(&mut tx, ctx, mailbox_id).await?;
    let tree = Tree::new(store::list(&mut tx, mailbox_id).await?);
    Ok((tx, tree, modseq))
}

/// Takes the names that a folder and all below it get with a path from deleted folders, and those that they had: whether the folder's new one was
/// subscribed to, and which of those below are to be subscribed to for theirs.
async fn take_names<'a>(
    tx: &mut TenantTx,
    mailbox_id: MailboxId,
    tree: &'a Tree,
    old: &Folder,
    path: &str,
) -> Result<(bool, Vec<&'a Folder>), Error> {
    let moves = path != old.path;
    let of_it = |folder: &Folder| {
        folder.id == old.id || (moves && tree.way_up(folder.id).any(|above| above.id == old.id))
    };
    let mut named: BTreeMap<String, &'a Folder> = BTreeMap::new();
    for folder in tree.all().filter(|folder| of_it(folder)) {
        let below = folder.path.strip_prefix(&old.path).unwrap_or_default();
        named.insert(format!("{path}{below}"), folder);
    }
    let had = named.values().map(|folder| folder.path.clone());
    let names: Vec<String> = named.keys().cloned().chain(had).collect();
    let were = unsubscribe_gone(tx, mailbox_id, &names).await?;
    named.retain(|name, folder| folder.id != old.id && were.contains(name) && !folder.is_subscribed);
    Ok((were.contains(path), named.into_values().collect()))
}

/// Notes that something about a folder is another way now, and answers with what it is.
async fn finish(
    mail: &MailStore,
    mut tx: TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: FolderId,
    modseq: i64,
) -> Result<Folder, Error> {
    note(&mut tx, ctx, mailbox_id, id, modseq).await?;
    let tree = Tree::new(store::list(&mut tx, mailbox_id).await?);
    mail.commit(tx, mailbox_id).await?;
    tree.get(id).cloned().ok_or(Error::FolderNotFound)
}

/// Notes a change of a folder itself.
pub(crate) async fn note(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    id: FolderId,
    modseq: i64,
) -> Result<(), Error> {
    let entry = change::store::Entry { folder_id: id, kind: Kind::Folder, uids: UidSet::default() };
    Ok(change::store::insert(tx, mailbox_id, modseq, &[entry], ctx.env().now()).await?)
}

/// How deep a folder of that name would lie in a place, from 1.
fn place(tree: &Tree, parent_id: Option<FolderId>, name: &str) -> Result<usize, Error> {
    let Some(parent_id) = parent_id else {
        if OTHERS.strip_suffix(SEPARATOR) == Some(name) {
            let detail = "is where the mailboxes of others are shown";
            return Err(tenancy::Error::invalid("/name", detail).into());
        }
        // RFC 9051 §5.1: INBOX is the Inbox, however it is written.
        return if name.eq_ignore_ascii_case("inbox") { Err(Error::FolderExists) } else { Ok(1) };
    };
    if tree.get(parent_id).is_none() {
        return Err(Error::FolderNotFound);
    }
    Ok(tree.way_up(parent_id).count() + 1)
}

/// A folder's name in the form that it is kept in.
///
/// # Errors
/// `Invalid` for one that is none.
pub fn named(name: &str) -> Result<String, Error> {
    let name = in_one_form(name);
    let mut checks = Checks::default();
    checks.name(&name, MAX_NAME_CHARS, "/name");
    checks.require(!name.contains(SEPARATOR), "/name", format_args!("must not contain {SEPARATOR}"));
    checks.require(name.trim() == name, "/name", "must not begin or end with a space");
    checks.done().map_err(tenancy::Error::Invalid)?;
    Ok(name)
}

pub(crate) fn too_many() -> Error {
    Error::TooManyFolders { max_folders: MAX_FOLDERS, max_depth: MAX_DEPTH as u64 }
}

fn taken(error: db::Error) -> Error {
    match error.constraint() {
        Some("folders_name_once" | "folders_role_once") => Error::FolderExists,
        _ => error.into(),
    }
}
