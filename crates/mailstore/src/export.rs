//! Writes a mailbox's mail into files: a Maildir with subfolders (Maildir++), or an mbox for each folder (mboxrd), in a folder or as one zip. Live mail,
//! and, if that is wanted, what was deleted and is still kept, in folders below one of their own. Of a mailbox that is deleted, what a legal hold keeps.
//!
//! Each message is fetched once however often an export is run: what is in the folder already is not written again, what is not in the mailbox any more is taken
//! away, and what is broken off is run again as it was. Whose export it is stands in the folder, which takes no other, and in the comment of a zip, which gives
//! way to none but a newer one of the same mailbox.
//! What becomes a zip or mboxes is gathered as a Maildir beside it first, in a folder whose name ends in `.part`. All of it is for the account alone that
//! writes it, and one export at a time writes to a place.
//!
//! A file of the Maildir is named by the second in which its message was received, which is also its modification time, and by the message's id; flags and
//! keywords are in the name as Maildir has them. An mbox has them as `X-Keywords`, `X-Status` and `Status` before all other fields. Of a folder's
//! keywords the first 26 are written.
//!
//! How messages are numbered comes along, so that an import, or Dovecot with the folder as its Maildir, has the same UID validities, UIDs and names by POP3:
//! in each folder's `dovecot-uidlist`, which is written anew by each run, and in an mbox as `X-IMAPbase`, in its first message, `X-UID` and `X-UIDL` before the
//! marks, the messages in the order of their UIDs. What was deleted has no UIDs. Modification sequences and the ids of the API are not written.

mod archive;
mod mark;
pub(crate) mod mbox;
mod place;
mod private;
mod source;
mod store;
mod tree;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kernel::{ErrorKind, MailboxId, PageRequest};
use tenancy::Ctx;

use crate::message::Message;
use crate::{Error, MailStore};
use place::Place;
use tree::Tree;

pub use mark::Occupied;

/// How many bodies are fetched at a time.
const AT_ONCE: usize = 4;

/// In what form mail is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A file for each message.
    Maildir,
    /// A file for each folder.
    Mbox,
}

/// What of a mailbox is written, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// In what form.
    pub format: Format,
    /// Whether what was deleted from it and can be recovered, or is kept by a legal hold, is written as well: below a folder `Deleted messages`, in the
    /// folders that it was in.
    pub with_deleted: bool,
}

impl From<Format> for How {
    /// Live mail alone.
    fn from(format: Format) -> Self {
        Self { format, with_deleted: false }
    }
}

/// Where an export has got to. At the end, what it came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages written.
    pub done: u64,
    /// Messages that an earlier run had written.
    pub skipped: u64,
    /// Messages that cannot be read, by a fault of the blob store's.
    pub failed: u64,
    /// How many there are.
    pub total: u64,
}

/// Why an export ended early. What was written stays.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// A file or folder could not be written or read.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: Arc<io::Error>,
    },
    /// The folder, or the file, holds something that is not an earlier export of the same of this mailbox (of its live mail, or of that with what was deleted),
    /// or does not say that it is: versions before this did not write that into zips and folders of mboxes. It is as it was.
    #[error("{0}")]
    Occupied(Occupied),
    /// The folder that it is to lie in is not there.
    #[error("{}: the folder that this is to lie in is not there: make it first", .0.display())]
    Nowhere(PathBuf),
    /// There is a file where a folder is to be.
    #[error("{}: it is a file, and this export is a folder: name another place, or a zip (.zip)", .0.display())]
    NoFolder(PathBuf),
    /// Another export is being written there.
    #[error("{}: another export is being written there; run this one when that has ended", .0.display())]
    Busy(PathBuf),
    /// The folder that it would be gathered in has in it what another has gathered, and does not say whose that is.
    #[error(
        "{}: it is what is left of an export that was broken off, and does not say of which mailbox: remove it, and run the same command again",
        .0.display()
    )]
    Left(PathBuf),
    /// The mail store refused it.
    #[error(transparent)]
    Refused(#[from] Error),
}

impl Failure {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { path, cause: Arc::new(cause) }
    }
}

/// Whether [`run`] could write there, as it is: nothing is written for it.
///
/// # Errors
/// What is in the way.
pub async fn look(mailbox_id: MailboxId, to: &Path, how: impl Into<How>) -> Result<(), Failure> {
    let place = Place::new(to, how.into(), mailbox_id);
    blocking(move || place.look()).await
}

/// Exports a mailbox to `to`: one file if that ends in `.zip`, else a folder, telling `tell` about it.
///
/// # Errors
/// [`Error::NotFound`] or `Forbidden` when the caller may not read the mailbox, and `NotFound` for one that is deleted while no legal hold keeps it, also meanwhile; the first error
/// of a file or of the mail store.
pub async fn run(
    store: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    to: &Path,
    how: impl Into<How>,
    mut tell: impl FnMut(Progress),
) -> Result<Progress, Failure> {
    let how: How = how.into();
    // Nothing is made for a mailbox that there is not.
    source::all(ctx, mailbox_id, how.with_deleted).await?;
    let place = Place::new(to, how, mailbox_id);
    let taken = place.clone();
    let turns = blocking(move || taken.take()).await?;
    let progress = gather(store, ctx, how, &place, &mut tell).await?;
    blocking(move || {
        place.finish()?;
        drop(turns);
        Ok(())
    })
    .await?;
    Ok(progress)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::ShuttingDown)?
}

/// How often a mailbox is gone through that is worked on meanwhile.
const MAX_PASSES: usize = 5;

/// Writes what is not there yet into a Maildir, and takes away what is not in the mailbox.
async fn gather(
    store: &MailStore,
    ctx: &Ctx,
    how: How,
    place: &Place,
    tell: &mut impl FnMut(Progress),
) -> Result<Progress, Failure> {
    let mark = place.gathered();
    let mailbox_id = mark.mailbox_id;
    let mut progress = Progress::default();
    for pass in 0..MAX_PASSES {
        let sources = source::all(ctx, mailbox_id, how.with_deleted).await?;
        tree::claim(&place.at, mark, &sources)?;
        progress.total = sources.iter().map(|source| source.message_count).sum();
        let before = progress.done;
        progress.failed = 0;
        for source in sources {
            let tree = Tree::open(&place.at, source)?;
            walk(store, ctx, mailbox_id, tree, pass == 0, &mut progress, tell).await?;
        }
        // A message that was moved meanwhile is in a folder that was gone through before.
        if progress.done == before {
            break;
        }
    }
    tell(progress);
    Ok(progress)
}

/// Goes once through what is written into a folder; what is there already counts as skipped the first time.
async fn walk(
    store: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    mut tree: Tree,
    is_first: bool,
    progress: &mut Progress,
    tell: &mut impl FnMut(Progress),
) -> Result<(), Failure> {
    let state = tree.source().state;
    let mut folders = tree.source().folders.clone().into_iter();
    let Some(mut folder_id) = folders.next() else { return blocking(move || tree.close()).await };
    let mut after = None;
    loop {
        let page = PageRequest::new(Some(200), after);
        let page = source::page(ctx, mailbox_id, folder_id, state, &page).await?;
        let (there, new): (Vec<_>, Vec<_>) = page.items.into_iter().partition(|message| tree.has(message));
        for message in &there {
            tree.mark(message)?;
            progress.skipped += u64::from(is_first);
        }
        let new: Vec<_> = new.into_iter().map(|message| fetch(store.clone(), ctx.clone(), message)).collect();
        let mut bodies = stream::iter(new).buffered(AT_ONCE);
        while let Some(fetched) = bodies.try_next().await? {
            let (message, bytes) = match fetched {
                Fetched::Whole(message, bytes) => (message, bytes),
                // It was destroyed meanwhile.
                Fetched::Gone => continue,
                Fetched::Unreadable => {
                    progress.failed += 1;
                    continue;
                }
            };
            tree = tokio::task::spawn_blocking(move || tree.put(&message, &bytes).map(|()| tree))
                .await
                .map_err(|_| Error::ShuttingDown)??;
            progress.done += 1;
            tell(*progress);
        }
        after = page.next;
        if after.is_none() {
            match folders.next() {
                Some(next) => folder_id = next,
                None => return blocking(move || tree.close()).await,
            }
        }
    }
}

enum Fetched {
    Whole(Box<Message>, bytes::Bytes),
    Gone,
    /// Its bytes are away, or not what they were: the others are not to suffer for it.
    Unreadable,
}

async fn fetch(store: MailStore, ctx: Ctx, message: Message) -> Result<Fetched, Error> {
    match source::bytes(&store, &ctx, &message).await {
        Ok(bytes) => Ok(Fetched::Whole(Box::new(message), bytes)),
        Err(Error::NotFound) => Ok(Fetched::Gone),
        Err(error @ (Error::Unreadable(_) | Error::Blob(_))) if error.kind() != ErrorKind::Unavailable => {
            tracing::warn!(message.id = %message.id, error.cause = %kernel::error::chain(&error), "a message cannot be exported");
            Ok(Fetched::Unreadable)
        }
        Err(error) => Err(error),
    }
}
