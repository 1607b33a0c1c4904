//! Where an export is written, and the right to write there.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kernel::MailboxId;

use super::mark::{Form, Mark};
use super::{Failure, Format, How, archive, mbox, private, tree};
use crate::{maildir, uidlist};

/// Where an export is written, and as what.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The folder, or the zip.
    to: PathBuf,
    /// The Maildir that it is gathered in; the folder itself, where it stays one.
    pub(super) at: PathBuf,
    format: Format,
    mark: Mark,
}

/// The right to write into a folder, until dropped. The kernel takes it back from a process that is killed.
#[derive(Debug)]
pub(super) struct Turn(File);

impl Drop for Turn {
    fn drop(&mut self) {
        // Not by closing it alone: a child of this process that has yet to exec holds a copy of the file, and the lock with it.
        let _ = self.0.unlock();
    }
}

impl Turn {
    /// `None` while somebody else has it.
    fn at(folder: &Path) -> io::Result<Option<Self>> {
        let file = File::open(folder)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Where the file system knows no locks, nothing keeps two apart.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let turn = Self(file);
        let held = turn.0.metadata()?;
        // Whoever had it before may have taken the folder away since it was opened.
        let is_there = |of: fs::Metadata| (of.dev(), of.ino()) == (held.dev(), held.ino());
        Ok(fs::metadata(folder).is_ok_and(is_there).then_some(turn))
    }
}

impl Place {
    pub(super) fn new(to: &Path, how: How, mailbox_id: MailboxId) -> Self {
        let is_zip = to.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
        let form = match (is_zip, how.format) {
            (true, _) => Form::Zip,
            (false, Format::Mbox) => Form::Mboxes,
            (false, Format::Maildir) => Form::Maildir,
        };
        let mark = Mark { mailbox_id, with_deleted: how.with_deleted, form };
        let at = if form == Form::Maildir { to.to_owned() } else { beside(to) };
        Self { to: to.to_owned(), at, format: how.format, mark }
    }

    /// Whether it is gathered beside its place first.
    fn is_staged(&self) -> bool {
        self.mark.form != Form::Maildir
    }

    /// What the Maildir is marked as that it is gathered in.
    pub(super) fn gathered(&self) -> Mark {
        Mark { form: Form::Maildir, ..self.mark }
    }

    /// Whether it could be taken, as it is; nothing is made.
    pub(super) fn look(&self) -> Result<(), Failure> {
        self.require_way()?;
        match self.mark.form {
            Form::Zip => archive::look(&self.to, self.mark)?,
            Form::Mboxes => self.look_into(&self.to, self.mark)?,
            Form::Maildir => {}
        }
        self.look_into(&self.at, self.gathered()).map_err(|failure| self.left(failure))
    }

    /// Looks into a folder that need not be there.
    fn look_into(&self, folder: &Path, wanted: Mark) -> Result<(), Failure> {
        if !folder.exists() {
            return Ok(());
        }
        let _turn = self.turn(folder)?;
        tree::look(folder, wanted).map(drop)
    }

    /// Takes the place, if nothing else is there and nobody else writes there; for as long as what it answers is held.
    pub(super) fn take(&self) -> Result<Vec<Turn>, Failure> {
        self.require_way()?;
        let mut turns = Vec::new();
        match self.mark.form {
            Form::Zip => archive::look(&self.to, self.mark)?,
            Form::Mboxes => {
                private::root(&self.to).map_err(Failure::of(&self.to))?;
                turns.push(self.turn(&self.to)?);
                tree::occupy(&self.to, self.mark)?;
            }
            Form::Maildir => {}
        }
        let made = if self.is_staged() { private::folder(&self.at) } else { private::root(&self.at) };
        made.map_err(Failure::of(&self.at))?;
        turns.push(self.turn(&self.at)?);
        tree::occupy(&self.at, self.gathered()).map_err(|failure| self.left(failure))?;
        Ok(turns)
    }

    /// Sees to it that there is a folder for it to lie in, and no file where it is to be a folder.
    fn require_way(&self) -> Result<(), Failure> {
        let parent = self.to.parent().filter(|parent| !parent.as_os_str().is_empty());
        // One that is mistyped is not to become a new place for mail.
        if parent.is_some_and(|parent| !parent.is_dir()) {
            return Err(Failure::Nowhere(self.to.clone()));
        }
        let mut folders = vec![&self.at];
        if self.mark.form == Form::Mboxes {
            folders.push(&self.to);
        }
        match folders.into_iter().find(|folder| folder.exists() && !folder.is_dir()) {
            Some(file) => Err(Failure::NoFolder(file.clone())),
            None => Ok(()),
        }
    }

    /// What is in the way, where that may be what an export has left.
    fn left(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Occupied(by)
                if self.is_staged() && by.is_unknown() && is_gathered(&self.at).unwrap_or(false) =>
            {
                Failure::Left(self.at.clone())
            }
            failure => failure,
        }
    }

    fn turn(&self, folder: &Path) -> Result<Turn, Failure> {
        let turn = Turn::at(folder).map_err(Failure::of(folder))?;
        turn.ok_or_else(|| Failure::Busy(self.to.clone()))
    }

    /// Makes what is wanted out of what was gathered.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        match self.mark.form {
            Form::Zip => archive::write(&self.at, &self.to, self.format, self.mark)?,
            Form::Mboxes => mbox::write_all(&self.at, &self.to)?,
            Form::Maildir => {}
        }
        make_durable(&self.to)?;
        if self.is_staged() {
            take_away(&self.at).map_err(Failure::of(&self.at))?;
        }
        Ok(())
    }
}

/// Whoever is told that an export is done may delete the mailbox: all that was written is on the disk then, with the file system that it is on. To ask for
/// each of a hundred thousand files would take minutes.
fn make_durable(to: &Path) -> Result<(), Failure> {
    let file = File::open(to).map_err(Failure::of(to))?;
    rustix::fs::syncfs(file).map_err(|error| Failure::of(to)(error.into()))
}

/// Where something is gathered, or written until it is whole.
pub(super) fn beside(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Removes what was gathered, its mark last: where this is cut short, what is left still says whose it is.
fn take_away(at: &Path) -> io::Result<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name() == maildir::EXPORT_MARK {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    fs::remove_dir_all(at)
}

/// Whether a folder has in it what an export gathers, and nothing else.
fn is_gathered(at: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let (path, of) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = match name.as_str() {
            "cur" | "new" | "tmp" => of.is_dir() && has_only_messages(&path)?,
            maildir::KEYWORDS_FILE | maildir::FOLDER_FILE | uidlist::DOVECOT | tree::MARK_BEGUN => {
                of.is_file()
            }
            _ => name.starts_with('.') && of.is_dir() && is_gathered(&path)?,
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a folder has in it files that are called as an export calls messages, and nothing else.
fn has_only_messages(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() || !tree::is_message(&entry.file_name().to_string_lossy()) {
            return Ok(false);
        }
    }
    Ok(true)
}
