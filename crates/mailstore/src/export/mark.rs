//! Whose an export is, and of what, as it says itself.

use std::fmt;
use std::path::{Path, PathBuf};

use kernel::MailboxId;

/// How the comment of a zip begins.
const OF_ZIP: &str = "pillarbox-export ";
/// How the mark of a folder of mboxes ends.
const OF_MBOXES: &str = " mbox";
/// What stands there where what was deleted is written as well.
const WITH_DELETED: &str = " with deleted";

/// What an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A folder that is a Maildir.
    Maildir,
    /// A folder of mboxes.
    Mboxes,
    /// A zip of either.
    Zip,
}

/// Whose mail an export has, how much of it, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) mailbox_id: MailboxId,
    pub(super) with_deleted: bool,
    pub(super) form: Form,
}

impl Mark {
    /// What the file in a folder says, or the comment of a zip.
    pub(super) fn text(self) -> String {
        let Self { mailbox_id, with_deleted, form } = self;
        let deleted = if with_deleted { WITH_DELETED } else { "" };
        match form {
            Form::Maildir => format!("{mailbox_id}{deleted}\n"),
            Form::Mboxes => format!("{mailbox_id}{deleted}{OF_MBOXES}\n"),
            Form::Zip => format!("{OF_ZIP}{mailbox_id}{deleted}"),
        }
    }

    /// What a text says, if it is such a one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (form, rest) = match (text.strip_prefix(OF_ZIP), text.strip_suffix('\n')) {
            (Some(rest), _) => (Form::Zip, rest),
            (None, rest) => match rest?.strip_suffix(OF_MBOXES) {
                Some(rest) => (Form::Mboxes, rest),
                None => (Form::Maildir, rest?),
            },
        };
        let live = rest.strip_suffix(WITH_DELETED);
        let mailbox_id = live.unwrap_or(rest).parse().ok()?;
        Some(Self { mailbox_id, with_deleted: live.is_some(), form })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::Maildir => "a Maildir",
            Form::Mboxes => "mboxes",
            Form::Zip => "a zip",
        };
        let what = if self.with_deleted { "with what was deleted" } else { "of live mail alone" };
        write!(f, "an export of {} as {form}, {what}", self.mailbox_id)
    }
}

/// What is in the place of an export, and is left as it is.
#[derive(Debug, Clone)]
pub struct Occupied {
    path: PathBuf,
    wanted: Mark,
    /// Which export it is, if it says so.
    found: Option<Mark>,
}

impl Occupied {
    pub(super) fn new(path: &Path, wanted: Mark, found: Option<Mark>) -> Self {
        Self { path: path.to_owned(), wanted, found }
    }

    /// Whether it does not say which export it is.
    pub(super) fn is_unknown(&self) -> bool {
        self.found.is_none()
    }
}

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, wanted, found } = self;
        write!(f, "{}: it holds ", path.display())?;
        match found {
            Some(found) => write!(f, "{found}, not {wanted}, and is left as it is"),
            None => write!(
                f,
                "something other than {wanted}, or one that an earlier version made, and is left as it is"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_again_what_it_was_made_of() {
        let mailbox_id: MailboxId = "mbx_019a2f3c5d7e7abc8def0123456789ab".parse().unwrap();
        for form in [Form::Maildir, Form::Mboxes, Form::Zip] {
            for with_deleted in [false, true] {
                let mark = Mark { mailbox_id, with_deleted, form };
                assert_eq!(Mark::read(&mark.text()), Some(mark), "{mark:?}");
            }
        }
        let texts = ["", "\n", "mine\n", "pillarbox-export ", "mbx_019a2f3c5d7e7abc8def0123456789ab"];
        assert!(texts.iter().all(|text| Mark::read(text).is_none()));
    }
}
