//! Folders of a mailbox: a tree.
//!
//! A deleted folder's row stays as long as the mail that was in it can be recovered, or its name is subscribed to ([`gone`]); nothing but its UIDs and
//! its name is known of it then.

mod edit;
pub mod gone;
mod intake;
pub(crate) mod store;
mod tree;

use kernel::{FolderId, MailboxId};
use tenancy::{Action, Ctx, TenantTx, quota};
use unicode_normalization::UnicodeNormalization as _;

use crate::Error;
pub use edit::{Changed, NewFolder, create, delete, delete_if, named, update, update_if};
pub(crate) use edit::{note, too_many};
pub(crate) use intake::{Folders, lock_for_intake};
pub(crate) use tree::Tree;

/// What stands between the names of a path.
pub const SEPARATOR: char = '/';

/// How many folders a mailbox has at most, with those that were deleted and are still known. Names that stay subscribed to do not count; of these there
/// are [`gone::MAX_NAMES`].
pub const MAX_FOLDERS: u64 = 10_000;

/// How many names a path has at most.
pub const MAX_DEPTH: usize = 20;

/// How many characters a name has at most.
pub const MAX_NAME_CHARS: usize = 255;

kernel::named! {
    /// What a folder is for (RFC 6154), if it is for something in particular. Every mailbox has one of each from the start, in this order.
    Role {
        /// Where new mail arrives; what POP3 shows.
        Inbox = "inbox",
        /// Unfinished messages.
        Drafts = "drafts",
        /// Messages sent.
        Sent = "sent",
        /// Mail judged unwanted.
        Junk = "junk",
        /// Where clients move what they delete.
        Trash = "trash",
        /// Mail put away.
        Archive = "archive",
    }
}

impl Role {
    /// The name that a new mailbox's folder gets.
    const fn first_name(self) -> &'static str {
        match self {
            Self::Inbox => "Inbox",
            Self::Drafts => "Drafts",
            Self::Sent => "Sent",
            Self::Junk => "Junk",
            Self::Trash => "Trash",
            Self::Archive => "Archive",
        }
    }
}

/// Where mailboxes of others are shown to whoever may read them (RFC 2342): nobody has a folder of that name at the top.
pub const OTHERS: &str = "Other Users/";

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its id, for life.
    pub id: FolderId,
    /// The folder that it lies in; `None` at the top.
    pub parent_id: Option<FolderId>,
    /// Its name, 1 to 255 characters without `/`, in [one form](in_one_form), once in its place.
    pub name: String,
    /// The names on the way to it and its own, with `/` between them.
    pub path: String,
    /// What it is for; each role once in a mailbox.
    pub role: Option<Role>,
    /// Whether clients show it (RFC 9051 §6.3.7).
    pub is_subscribed: bool,
    /// The validity of its UIDs (RFC 9051 §2.3.1.1), 1 to 2³² − 1.
    pub uid_validity: u32,
    /// The UID that the next message will get.
    pub uid_next: u64,
    /// How many live messages it has.
    pub message_count: u64,
    /// How many of them nobody has seen.
    pub unseen_count: u64,
    /// The sizes of the live messages in it, added up.
    pub size_bytes: u64,
    /// The mailbox's modification sequence at the last change of it or of what is or was in it.
    pub highest_modseq: u64,
    /// Counted on with each change of its own name, place, purpose or subscription; from 1. Mail in it does not change it, and neither does what is done
    /// to a folder that it lies in.
    pub version: i64,
}

/// A name or path as it is kept and looked for: composed (NFC), so that what looks alike is one (RFC 9051 §5.1, RFC 5198 §2).
pub fn in_one_form(name: &str) -> String {
    name.nfc().collect()
}

/// The folders of a mailbox in the order of their paths, each after the one it lies in. A mailbox nobody has looked at yet gets its
/// first ones here.
///
/// # Errors
/// [`Error::NotFound`] for a mailbox that is not this tenant's or not the caller's, `Forbidden` by role.
pub async fn list(ctx: &Ctx, mailbox_id: MailboxId) -> Result<Vec<Folder>, Error> {
    ctx.require_mailbox(Action::MailboxRead, mailbox_id)?;
    let mut tx = ctx.begin().await?;
    if !quota::exists(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    ensure_inbox(&mut tx, ctx, mailbox_id).await?;
    let tree = Tree::new(store::list(&mut tx, mailbox_id).await?);
    tx.commit().await?;
    Ok(tree.into_folders())
}

/// One of a mailbox's folders.
///
/// # Errors
/// As [`list`]; [`Error::FolderNotFound`].
pub async fn get(ctx: &Ctx, mailbox_id: MailboxId, id: FolderId) -> Result<Folder, Error> {
    let folders = list(ctx, mailbox_id).await?;
    folders.into_iter().find(|folder| folder.id == id).ok_or(Error::FolderNotFound)
}

/// The mailbox's Inbox; makes it and the other first folders if there is none. Idempotent, also when several
/// callers do it at once: the later ones wait for the first and find its folders.
///
/// # Errors
/// As of any statement.
pub async fn ensure_inbox(
    tx: &mut TenantTx,
    ctx: &Ctx,
    mailbox_id: MailboxId,
) -> Result<FolderId, db::Error> {
    if let Some(inbox) = store::find_inbox(tx, mailbox_id).await? {
        return Ok(inbox);
    }
    store::insert_first(tx, ctx.env(), &[(tx.tenant_id(), mailbox_id)]).await?;
    store::get_inbox(tx, mailbox_id).await
}
