//! One folder of a Maildir, as it is being written.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Failure;
use crate::folder::{Folder, Role, SEPARATOR};
use crate::maildir;
use crate::message::Message;

/// A folder's files.
#[derive(Debug)]
pub(super) struct Tree {
    at: PathBuf,
    /// The names of the messages' files, by what they begin with.
    files: HashMap<String, String>,
    keywords: Vec<String>,
}

/// Where in a Maildir a folder's messages are: the Inbox's at its top.
fn place(at: &Path, folder: &Folder) -> PathBuf {
    if folder.role == Some(Role::Inbox) {
        return at.to_owned();
    }
    let parts: Vec<_> = folder.path.split(SEPARATOR).map(maildir::escaped).collect();
    at.join(format!(".{}", parts.join(".")))
}

/// What a message's file is called, flags aside.
fn base(message: &Message) -> String {
    format!("{}.{}.pillarbox", message.internal_date.timestamp(), message.id)
}

impl Tree {
    /// With what an earlier run has written.
    pub(super) fn open(root: &Path, folder: &Folder) -> Result<Self, Failure> {
        let at = place(root, folder);
        for part in ["tmp", "new", "cur"] {
            fs::create_dir_all(at.join(part)).map_err(Failure::of(&at))?;
        }
        let keywords = at.join(maildir::KEYWORDS_FILE);
        let keywords = match fs::read_to_string(&keywords) {
            Ok(text) => maildir::read_keywords(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::of(&keywords)(error)),
        };
        let cur = at.join("cur");
        let mut files = HashMap::new();
        for entry in fs::read_dir(&cur).map_err(Failure::of(&cur))? {
            let name = entry.map_err(Failure::of(&cur))?.file_name().to_string_lossy().into_owned();
            let base = name.split(':').next().unwrap_or_default().to_owned();
            files.insert(base, name);
        }
        Ok(Self { at, files, keywords })
    }

    pub(super) fn has(&self, message: &Message) -> bool {
        self.files.contains_key(&base(message))
    }

    /// Marks a message that is there as it is marked now.
    pub(super) fn mark(&mut self, message: &Message) -> Result<(), Failure> {
        let (base, name) = (base(message), self.name(message)?);
        match self.files.get(&base) {
            Some(old) if *old != name => {
                let cur = self.at.join("cur");
                fs::rename(cur.join(old), cur.join(&name)).map_err(Failure::of(&cur))?;
                self.files.insert(base, name);
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes a message that is not there. Blocking.
    pub(super) fn put(&mut self, message: &Message, bytes: &[u8]) -> Result<(), Failure> {
        let (base, name) = (base(message), self.name(message)?);
        let part = self.at.join("tmp").join(&base);
        let seconds = u64::try_from(message.internal_date.timestamp()).unwrap_or(0);
        let written = fs::write(&part, bytes).and_then(|()| {
            let file = fs::File::options().write(true).open(&part)?;
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        });
        written.map_err(Failure::of(&part))?;
        fs::rename(&part, self.at.join("cur").join(&name)).map_err(Failure::of(&part))?;
        self.files.insert(base, name);
        Ok(())
    }

    /// What a message's file is to be called. Letters are written down before anything is named by them.
    fn name(&mut self, message: &Message) -> Result<String, Failure> {
        let known = self.keywords.len();
        maildir::add_keywords(&mut self.keywords, &message.flags.keywords);
        if self.keywords.len() > known {
            let keywords = self.at.join(maildir::KEYWORDS_FILE);
            fs::write(&keywords, maildir::write_keywords(&self.keywords)).map_err(Failure::of(&keywords))?;
        }
        Ok(format!("{}:2,{}", base(message), maildir::letters(&message.flags, &self.keywords)))
    }
}
