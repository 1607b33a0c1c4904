//! Takes mail in from files: single messages, mboxes, Maildirs and folders of them.
//!
//! - A file whose name ends in `.mbox` is an mbox of the mboxrd dialect: a `From ` line after an empty line begins a
//!   message, and one `>` is taken off `>From `, `>>From ` and so on.
//! - A folder with `cur` and `new` in it is a Maildir: the files in those two are its messages, marked as their names and `dovecot-keywords` say;
//!   its other files are not taken, and Maildirs beside `cur` are its subfolders (Maildir++).
//! - A file whose name ends in `.zip` is what is in it, unless it lies in a Maildir or in another zip.
//! - Any other folder is searched through; symbolic links in it are not followed, but told, as is all else that is no file.
//! - Any other regular file is a message, but the one that says whose export a folder is.
//!
//! Messages go into one folder, or into those that they were in: a Maildir's subfolders by their names, mboxes by theirs and those of the folders they
//! lie in; those that are empty are made as well. A message of an mbox is marked as `Status`, `X-Status` and `X-Keywords` say if they come before all other fields, which are taken off it.
//!
//! Filed as it was found, a message keeps its UID with the folder's UID validity, where a folder takes these over: see [`Untaken`]. They are in a Maildir's
//! `dovecot-uidlist` or `courierimapuiddb`, and in an mbox's `X-IMAPbase` (or `X-IMAP`, in its first message) and `X-UID`, which are taken off if they come
//! before all other fields and the marks. Messages of a Maildir are taken in the order of their UIDs, those that have none last; in an mbox one without
//! a UID, or with one that is not higher than those before, costs those after it theirs. Of how many that is so is told at the end ([`Event::Late`]).
//! However it is filed, a message keeps its name by POP3 (UIDL) if no other of the mailbox has it: `P` in `dovecot-uidlist`, in the Inbox also the name that
//! Dovecot makes of the UID by default, and `X-UIDL` where `X-UID` is taken off too. Modification sequences are not taken: a client asks once for all flags.
//!
//! What is stored has CRLF line ends and a final CRLF. The internal date is, in this order: for a message of an
//! mbox, its `From ` line's and the `Date` field's; for one of a Maildir, the file's modification time, which mail
//! servers set to the arrival; for a single file, the `Date` field's and the file's modification time, which a copy
//! may have changed. A date in the future, or none, becomes the present.
//!
//! Each message is taken once however often an import is run: it is known by the hash of its CRLF form, by the folder that it is filed in
//! as it was found in, other than the Inbox, and, among equals in one run, by its place. So a broken import is run again as it was. Versions that did not
//! take `X-IMAPbase`, `X-UID` and `X-UIDL` off hashed them too: what is known by that is not taken again.

mod archive;
mod filing;
mod from_line;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod mbox;
mod numbering;
mod reader;
mod source;
mod status;
mod store;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use kernel::{FolderId, MailboxId};
use tenancy::{Action, Ctx, quota};
use tokio::sync::mpsc;

pub use crate::Error;
use crate::ingest::{self, ImportKey, Incoming, Outcome, Target, Was};
use crate::uidlist::Numbering;
use crate::{MAX_MESSAGE_BYTES, MailStore};
pub use filing::Filing;
use filing::Folders;
pub use numbering::Untaken;
use numbering::{Left, Lists};
use reader::{Item, Raw};

/// How many messages are read ahead of the one being stored.
const READ_AHEAD: usize = 2;

/// Where an import has got to. At the end, what it came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages stored.
    pub done: u64,
    /// Messages that an earlier import had stored.
    pub skipped: u64,
    /// Messages and files that could not be taken.
    pub failed: u64,
    /// Links, pipes, sockets and devices among the files: they are not followed or read.
    pub passed_over: u64,
    /// Bytes of files that have been dealt with.
    pub read_bytes: u64,
    /// Bytes of all the files found.
    pub total_bytes: u64,
}

/// Something to tell about an import under way.
#[derive(Debug)]
pub enum Event<'a> {
    /// One more message has been dealt with.
    Progress(Progress),
    /// One could not be taken; the import goes on.
    Failed {
        /// The file, and in an mbox the message's number from 1.
        origin: &'a str,
        /// Why.
        reason: &'a Failure,
    },
    /// A folder's messages get new UIDs, though there is a list of those that they had. Told once for a list; no message is worse off otherwise.
    Renumbered {
        /// The folder's path.
        folder: &'a str,
        /// Why.
        reason: Untaken,
    },
    /// Some of a folder's messages got new UIDs, though it goes by a list that has others for them: mail with higher ones was there before, or the list has
    /// one twice. Told at the end.
    Late {
        /// The folder's path.
        folder: &'a str,
        /// How many.
        count: u64,
    },
    /// One is no file of mail, and there is nothing to take.
    PassedOver {
        /// Its path.
        origin: &'a str,
        /// What it is.
        reason: &'a Failure,
    },
}

/// Why one message, or one file, was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The file or folder could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(Arc<std::io::Error>),
    /// It begins with text before the first `From ` line, or has no such line.
    #[error("the text before the first From line belongs to no message")]
    NoFromLine,
    /// It is neither a file nor a folder, but what is said.
    #[error("passed over: {0}")]
    PassedOver(&'static str),
    /// The folder that it was in cannot be made. Told once for all that were in it.
    #[error("no folder {path:?} can be made, and nothing that was in it is taken: {cause}")]
    Folder {
        /// The folder's path.
        path: String,
        /// Why.
        cause: Error,
    },
    /// The mail store refused it.
    #[error(transparent)]
    Refused(Error),
}

/// Imports `paths` into a mailbox, telling `tell` about it. Files are read one after
/// another and in the order of their names; of an mbox no more than a few messages are in memory.
///
/// # Errors
/// [`Error::NotFound`] or `Forbidden` when the caller may not write to the mailbox, and the first error that would
/// befall every message: no such mailbox or folder, database or blob store out of order. What was stored until then stays.
pub async fn run(
    mail: &MailStore,
    ctx: &Ctx,
    mailbox_id: MailboxId,
    filing: Filing,
    paths: Vec<PathBuf>,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Progress, Error> {
    ctx.require_mailbox(Action::MessageWrite, mailbox_id)?;
    let mut tx = ctx.read().await?;
    if !quota::exists(&mut tx, mailbox_id).await? {
        return Err(Error::NotFound);
    }
    let is_first = !store::has_imported(&mut tx, mailbox_id).await?;
    drop(tx);
    let (sender, mut items) = mpsc::channel::<Item>(READ_AHEAD);
    // Ends when the receiver does: an import that is given up reads no further.
    let reading = tokio::task::spawn_blocking(move || {
        reader::read(&paths, MAX_MESSAGE_BYTES, &mut |item| sender.blocking_send(item).is_ok());
    });
    let mut progress = Progress::default();
    let mut refused = HashSet::new();
    let mut import = Import::new(mail, ctx, mailbox_id, filing, is_first);
    while let Some(item) = items.recv().await {
        let Item { origin, folder, message, is_empty, left, read_bytes, total_bytes } = item;
        (progress.read_bytes, progress.total_bytes) = (read_bytes, total_bytes);
        let taken = match message {
            Ok(Some(raw)) => import.take(&folder, raw, &mut tell).await,
            // It is made all the same.
            Ok(None) if is_empty => match import.folder(&folder).await {
                Ok(_) => continue,
                Err(failure) => Err(failure),
            },
            Ok(None) => continue,
            Err(reason) => match import.leave(&folder, left, &mut tell).await {
                Err(Failure::Refused(error)) if is_everybodys(&error) => return Err(error),
                // Where its folder cannot be made, there is no UID to keep.
                Ok(()) | Err(_) => Err(reason),
            },
        };
        match taken {
            Ok(Outcome::Stored(_)) => progress.done += 1,
            Ok(Outcome::AlreadyImported) => progress.skipped += 1,
            Err(Failure::Refused(error)) if is_everybodys(&error) => return Err(error),
            Err(reason @ Failure::PassedOver(_)) => {
                progress.passed_over += 1;
                tell(Event::PassedOver { origin: &origin, reason: &reason });
            }
            Err(reason) => {
                progress.failed += 1;
                let is_new = match &reason {
                    Failure::Folder { path, .. } => refused.insert(path.clone()),
                    _ => true,
                };
                if is_new {
                    tell(Event::Failed { origin: &origin, reason: &reason });
                }
            }
        }
        tell(Event::Progress(progress));
    }
    for (folder, count) in import.lists.close().await? {
        tell(Event::Late { folder: &folder, count });
    }
    reading.await.map_err(|_| Error::ShuttingDown)?;
    Ok(progress)
}

/// Where messages of one import go.
struct Import<'a> {
    mail: &'a MailStore,
    ctx: &'a Ctx,
    mailbox_id: MailboxId,
    filing: Filing,
    folders: Folders<'a>,
    lists: Lists<'a>,
    /// How many there were so far of each hash.
    occurrences: HashMap<[u8; 32], i32>,
    /// Whether no import has taken anything into the mailbox before.
    is_first: bool,
}

impl<'a> Import<'a> {
    fn new(mail: &'a MailStore, ctx: &'a Ctx, mailbox_id: MailboxId, filing: Filing, is_first: bool) -> Self {
        let folders = Folders::new(mail, ctx, mailbox_id, filing);
        let lists = Lists::new(mail, ctx, mailbox_id);
        Self { mail, ctx, mailbox_id, filing, folders, lists, occurrences: HashMap::new(), is_first }
    }

    /// Takes in one message that was in a folder.
    async fn take(
        &mut self,
        parts: &[String],
        raw: Raw,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<Outcome, Failure> {
        let folder = self.folder(parts).await?;
        if let Some(former) = raw.former {
            let former = self.key(parts, former);
            if !self.is_first && self.is_known(&former).await.map_err(Failure::Refused)? {
                return Ok(Outcome::AlreadyImported);
            }
        }
        let key = self.key(parts, raw.sha256);
        let Was { uidl, listed } = raw.was;
        let listed = listed.filter(|_| self.filing == Filing::AsFound);
        if let Some(listed) = listed {
            self.open(folder, parts, listed.of, tell).await?;
        }
        let now = self.ctx.env().now();
        let internal_date = raw.received_at.filter(|at| *at <= now).unwrap_or(now);
        let target = Target {
            ctx: self.ctx.clone(),
            mailbox_id: self.mailbox_id,
            folder: folder.into(),
            room_bytes: None,
        };
        let incoming = Incoming { bytes: raw.bytes, internal_date, flags: raw.flags, import_key: Some(key) };
        let was = Was { uidl, listed };
        let taken = ingest::ingest_known(self.mail, &target, incoming, was).await;
        if let Some(listed) = listed {
            match taken {
                Ok(Outcome::Stored(_)) => self.lists.took(folder, listed),
                Ok(Outcome::AlreadyImported) => {}
                Err(_) => self.lists.left(folder, listed.into()),
            }
        }
        taken.map_err(Failure::Refused)
    }

    /// Keeps the UIDs for a later run that messages of a folder have which could not be read.
    async fn leave(
        &mut self,
        parts: &[String],
        left: Option<Left>,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Failure> {
        let Some(left) = left.filter(|_| self.filing == Filing::AsFound) else { return Ok(()) };
        let folder = self.folder(parts).await?;
        self.open(folder, parts, left.of, tell).await?;
        self.lists.left(folder, left);
        Ok(())
    }

    /// Where messages go that were in a folder.
    async fn folder(&mut self, parts: &[String]) -> Result<Option<FolderId>, Failure> {
        match self.folders.find(parts).await {
            Ok(folder) => Ok(folder),
            Err(error) if is_everybodys(&error) => Err(Failure::Refused(error)),
            Err(cause) => Err(Failure::Folder { path: path(parts), cause }),
        }
    }

    /// Has the folder take over a list, if it comes up for the first time.
    async fn open(
        &mut self,
        folder: Option<FolderId>,
        parts: &[String],
        of: Numbering,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Failure> {
        let path = path(parts);
        let untaken = self.lists.open(folder, &path, of).await.map_err(Failure::Refused)?;
        if let Some(reason) = untaken {
            tell(Event::Renumbered { folder: &path, reason });
        }
        Ok(())
    }

    /// What the next message of a hash is known by.
    fn key(&mut self, parts: &[String], sha256: [u8; 32]) -> ImportKey {
        let sha256 = self.folders.key(parts, sha256);
        let occurrence = *self.occurrences.entry(sha256).and_modify(|count| *count += 1).or_insert(1);
        ImportKey { sha256, occurrence }
    }

    async fn is_known(&self, key: &ImportKey) -> Result<bool, Error> {
        Ok(store::is_imported(&mut *self.ctx.read().await?, self.mailbox_id, key).await?)
    }
}

/// How a folder is called to whoever imports.
fn path(parts: &[String]) -> String {
    if parts.is_empty() { "Inbox".to_owned() } else { parts.join("/") }
}

/// Whether the next message would fare no better. A full mailbox may still have room for a smaller one.
fn is_everybodys(error: &Error) -> bool {
    let is_its_own = match error {
        Error::Tenancy(cause) => matches!(**cause, tenancy::Error::Invalid(_)),
        Error::FolderExists | Error::TooManyFolders { .. } => true,
        _ => false,
    };
    !is_its_own && !matches!(error, Error::OverQuota | Error::TooLarge { .. } | Error::ReservationLost)
}
