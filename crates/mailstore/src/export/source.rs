//! What of a mailbox is exported, folder by folder.

use std::collections::BTreeMap;
use std::iter;

use kernel::{FolderId, MailboxId, Page, PageRequest};
use tenancy::{Action, Ctx, mailbox, quota};
use uuid::Uuid;

use super::store;
use crate::folder::{self, Role, SEPARATOR, Tree};
use crate::message::{self, Filter, Message, State};
use crate::{Error, MailStore, body};

/// Below which folder what was deleted is written, with a number where the mailbox has one of that name.
const DELETED: &str = "Deleted messages";

/// The messages that are written into one folder.
#[derive(Debug)]
pub(super) struct Source {
    /// The names on the way to it and its own, as those of a mailbox's folder.
    pub(super) path: String,
    /// Whether it is the mailbox's Inbox.
    pub(super) is_inbox: bool,
    /// The mailbox's folders that they are in, or were in when they were deleted.
    pub(super) folders: Vec<FolderId>,
    /// Whether they are live, or were deleted.
    pub(super) state: State,
    /// How many there are.
    pub(super) message_count: u64,
    /// How they are numbered; what was deleted is not any more.
    pub(super) numbers: Option<Numbers>,
}

/// How a folder numbers its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) folder_id: FolderId,
    pub(super) uid_validity: u32,
    pub(super) uid_next: u64,
}

/// All of a mailbox's live mail; and what was deleted from it and is still kept, if that is wanted.
///
/// # Errors
/// [`Error::NotFound`] for a mailbox that the tenant does not have, or that is deleted while no hold keeps it; `Forbidden` by role;
/// `SupportAccessRequired`.
pub(super) async fn all(ctx: &Ctx, mailbox_id: MailboxId, with_deleted: bool) -> Result<Vec<Source>, Error> {
    ctx.require_mail(Action::MessageRead, mailbox_id).await?;
    let mut tx = ctx.read().await?;
    if !mailbox::is_kept(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    let is_deleted = !quota::exists(&mut tx, mailbox_id).await?;
    let deleted = if with_deleted { store::folders(&mut tx, mailbox_id).await? } else { Vec::new() };
    let uid_nexts = store::uid_nexts(&mut tx, mailbox_id).await?;
    let folders = if is_deleted {
        Tree::new(folder::store::list(&mut tx, mailbox_id).await?).into_folders()
    } else {
        drop(tx);
        folder::list(ctx, mailbox_id).await?
    };
    let live = folders.into_iter().map(|folder| Source {
        path: folder.path,
        is_inbox: folder.role == Some(Role::Inbox),
        folders: vec![folder.id],
        state: State::Live,
        message_count: folder.message_count,
        numbers: Some(Numbers {
            folder_id: folder.id,
            uid_validity: folder.uid_validity,
            // A client may know messages of the server that a list came from by those that are kept.
            uid_next: uid_nexts.get(&folder.id).map_or(folder.uid_next, |next| folder.uid_next.max(*next)),
        }),
    });
    let mut sources: Vec<Source> = live.collect();
    let top = unused(&sources);
    sources.extend(below(&top, &deleted));
    Ok(sources)
}

/// A name that no folder at the top has.
fn unused(live: &[Source]) -> String {
    let is_taken =
        |name: &String| live.iter().any(|source| source.path.split(SEPARATOR).next() == Some(name.as_str()));
    let numbered = (2..).map(|number: u32| format!("{DELETED} {number}"));
    iter::once(DELETED.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

/// What was deleted, by the path of the folder that it was in: folders that were deleted one after the other may have had the same.
fn below(top: &str, folders: &[store::Folder]) -> impl Iterator<Item = Source> {
    let by_id: BTreeMap<FolderId, &store::Folder> =
        folders.iter().map(|folder| (folder.id, folder)).collect();
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    for folder in folders.iter().filter(|folder| folder.deleted_count > 0) {
        let way_up = iter::successors(Some(folder), |folder| by_id.get(&folder.parent_id?).copied());
        let mut names: Vec<&str> = way_up.map(|folder| folder.name.as_str()).collect();
        names.push(top);
        names.reverse();
        let path = names.join(&SEPARATOR.to_string());
        let source = sources.entry(path.clone()).or_insert_with(|| Source {
            path,
            is_inbox: false,
            folders: Vec::new(),
            state: State::Recoverable,
            message_count: 0,
            numbers: None,
        });
        source.folders.push(folder.id);
        source.message_count += folder.deleted_count;
    }
    sources.into_values()
}

/// A page of what is in a folder in a state, or was in it when it was deleted, of a mailbox that [`all`] has let the caller at.
///
/// # Errors
/// [`Error::NotFound`] when the mailbox is not kept any more: what is not in it then is not to be taken from the export.
pub(super) async fn page(
    ctx: &Ctx,
    mailbox_id: MailboxId,
    folder_id: FolderId,
    state: State,
    page: &PageRequest,
) -> Result<Page<Message>, Error> {
    let filter = Filter { folder_id: Some(folder_id), state, since: None };
    let mut tx = ctx.read().await?;
    let messages =
        message::store::list_folder(&mut tx, mailbox_id, folder_id, filter, page, Uuid::max()).await?;
    // Afterwards: nothing of it is destroyed before it is so.
    if !mailbox::is_kept(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    Ok(Page::cut(messages, page, |message| message.id.uuid()))
}

/// The bytes of a message that was found by [`page`].
///
/// # Errors
/// [`Error::NotFound`] when it was destroyed since; `Unreadable`, `Blob`.
pub(super) async fn bytes(store: &MailStore, ctx: &Ctx, message: &Message) -> Result<bytes::Bytes, Error> {
    body::find(store, ctx, message.blob_id.uuid(), None).await
}
