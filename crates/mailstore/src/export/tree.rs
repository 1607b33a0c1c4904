//! One folder of a Maildir, as it is being written.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::mark::Mark;
use super::source::{Numbers, Source};
use super::{Failure, Occupied, private};
use crate::folder::SEPARATOR;
use crate::message::Message;
use crate::{maildir, uidlist};

/// A folder's files.
#[derive(Debug)]
pub(super) struct Tree {
    source: Source,
    at: PathBuf,
    /// The names and lengths of the messages' files, by what the names begin with.
    files: HashMap<String, (String, u64)>,
    keywords: Vec<String>,
    /// Those of the names that are of messages that are to be there, with their UIDs and their names by POP3.
    live: HashMap<String, (u64, String)>,
}

/// What the mark is called until all of it is written; no folder of a mailbox is called so, whose names begin with a dot.
pub(super) const MARK_BEGUN: &str = "pillarbox-export.tmp";

/// What a folder's own is called in a Maildir: at first as it would be, then as it fits.
fn name(source: &Source) -> Option<(String, String)> {
    let parts: Vec<_> = source.path.split(SEPARATOR).map(maildir::part).collect();
    let mut whole = format!(".{}", parts.join("."));
    if whole == maildir::EXPORT_MARK {
        whole = whole.replacen('p', "%70", 1);
    }
    (!source.is_inbox).then(|| (whole.clone(), maildir::fitting(&whole)))
}

/// Sees to it that a folder is this export or empty, and has no subfolders of folders that are not there any more.
pub(super) fn claim(at: &Path, mark: Mark, sources: &[Source]) -> Result<(), Failure> {
    let names = occupy(at, mark)?;
    // A mailbox that was deleted before anything was in it has not even an Inbox.
    make(at)?;
    let live: HashSet<String> = sources.iter().filter_map(|source| Some(name(source)?.1)).collect();
    for name in names.into_iter().filter(|name| name.starts_with('.') && name != maildir::EXPORT_MARK) {
        let gone = at.join(&name);
        if !live.contains(&name) && gone.join("cur").is_dir() {
            fs::remove_dir_all(&gone).map_err(Failure::of(&gone))?;
        }
    }
    Ok(())
}

/// Makes a Maildir.
fn make(at: &Path) -> Result<(), Failure> {
    let mut parts = ["tmp", "new", "cur"].into_iter();
    parts.try_for_each(|part| private::folder(&at.join(part))).map_err(Failure::of(at))
}

/// A folder that an export may be written into.
#[derive(Debug)]
pub(super) struct Found {
    names: Vec<String>,
    is_marked: bool,
    /// Whether a part of a mark is there.
    is_begun: bool,
}

/// Sees to it that a folder is marked as wanted, or is empty.
pub(super) fn look(at: &Path, wanted: Mark) -> Result<Found, Failure> {
    let mark = at.join(maildir::EXPORT_MARK);
    let mut names = Vec::new();
    for entry in fs::read_dir(at).map_err(Failure::of(at))? {
        names.push(entry.map_err(Failure::of(at))?.file_name().to_string_lossy().into_owned());
    }
    let marked = match fs::read_to_string(&mark) {
        Ok(marked) => Some(marked),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::of(&mark)(error)),
    };
    let text = wanted.text();
    let is_begun = names.iter().any(|name| name == MARK_BEGUN);
    if marked.as_ref() == Some(&text) {
        return Ok(Found { names, is_marked: true, is_begun });
    }
    // Where the disk was full at the very beginning, there is a part of a mark and nothing else.
    let is_ours = |name: &String| name == maildir::EXPORT_MARK || name == MARK_BEGUN;
    let begun = at.join(MARK_BEGUN);
    if !names.iter().all(is_ours)
        || marked.as_ref().is_some_and(|marked| !text.starts_with(marked))
        || (is_begun && !is_part_of(&begun, &text).map_err(Failure::of(&begun))?)
    {
        let found = marked.and_then(|marked| Mark::read(&marked));
        return Err(Failure::Occupied(Occupied::new(at, wanted, found)));
    }
    Ok(Found { names, is_marked: false, is_begun })
}

/// As [`look`], and marks a folder that was empty; what it held.
pub(super) fn occupy(at: &Path, wanted: Mark) -> Result<Vec<String>, Failure> {
    let Found { names, is_marked, is_begun } = look(at, wanted)?;
    if is_marked {
        return Ok(names);
    }
    let (mark, begun) = (at.join(maildir::EXPORT_MARK), at.join(MARK_BEGUN));
    let write = || -> io::Result<()> {
        if is_begun {
            fs::remove_file(&begun)?;
        }
        // What has come there since is neither written over nor followed.
        let mut new = fs::File::options();
        let mut file = new.write(true).create_new(true).mode(private::FILE).open(&begun)?;
        file.write_all(wanted.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&begun, &mark)
    };
    write().map_err(Failure::of(&mark))?;
    Ok(names)
}

/// Whether a file, which is no link, has no more in it than the beginning of a text.
fn is_part_of(path: &Path, text: &str) -> io::Result<bool> {
    let of = fs::symlink_metadata(path)?;
    Ok(of.is_file() && of.len() <= text.len() as u64 && text.as_bytes().starts_with(&fs::read(path)?))
}

/// How the name of a message's file ends, flags aside.
const OURS: &str = ".pillarbox";

/// What a message's file is called, flags aside.
fn base(message: &Message) -> String {
    format!("{}.{}{OURS}", seconds(message), message.id)
}

/// Whether a file is called as a message is.
pub(super) fn is_message(name: &str) -> bool {
    name.split(':').next().is_some_and(|base| base.ends_with(OURS))
}

/// When it was received. Nothing that reads such files knows of a time before 1970.
fn seconds(message: &Message) -> u64 {
    u64::try_from(message.internal_date.timestamp()).unwrap_or(0)
}

impl Tree {
    /// With what an earlier run has written.
    pub(super) fn open(root: &Path, source: Source) -> Result<Self, Failure> {
        let own = name(&source);
        let at = own.as_ref().map_or_else(|| root.to_owned(), |(_, fitting)| root.join(fitting));
        if own.is_some() {
            private::folder(&at).map_err(Failure::of(&at))?;
        }
        make(&at)?;
        // It says what an earlier run has written. Should this one be broken off, no list is better than one that lacks what is there.
        let list = at.join(uidlist::DOVECOT);
        match fs::remove_file(&list) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failure::of(&list)(error)),
            _ => {}
        }
        if let Some((whole, fitting)) = own
            && whole != fitting
        {
            let path = at.join(maildir::FOLDER_FILE);
            private::write(&path, &whole).map_err(Failure::of(&path))?;
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
            let entry = entry.map_err(Failure::of(&cur))?;
            let of = entry.metadata().map_err(Failure::of(&cur))?;
            private::close(&entry.path(), &of);
            let size_bytes = of.len();
            let name = entry.file_name().to_string_lossy().into_owned();
            let base = name.split(':').next().unwrap_or_default().to_owned();
            files.insert(base, (name, size_bytes));
        }
        Ok(Self { source, at, files, keywords, live: HashMap::new() })
    }

    /// What is written into it.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Whether all of a message is there: a power failure may have left less of it.
    pub(super) fn has(&self, message: &Message) -> bool {
        self.files.get(&base(message)).is_some_and(|(_, size_bytes)| *size_bytes == message.size_bytes)
    }

    /// Marks a message that is there as it is marked now.
    pub(super) fn mark(&mut self, message: &Message) -> Result<(), Failure> {
        let (base, name) = (base(message), self.name(message)?);
        let cur = self.at.join("cur");
        if let Some((old, _)) = self.files.get_mut(&base)
            && *old != name
        {
            fs::rename(cur.join(&old), cur.join(&name)).map_err(Failure::of(&cur))?;
            *old = name;
        }
        Ok(())
    }

    /// Writes a message that is not there whole. Blocking.
    pub(super) fn put(&mut self, message: &Message, bytes: &[u8]) -> Result<(), Failure> {
        let (base, name) = (base(message), self.name(message)?);
        let part = self.at.join("tmp").join(&base);
        let seconds = seconds(message);
        let written = private::file(&part).and_then(|mut file| {
            file.write_all(bytes)?;
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        });
        written.map_err(Failure::of(&part))?;
        let cur = self.at.join("cur");
        fs::rename(&part, cur.join(&name)).map_err(Failure::of(&part))?;
        if let Some((old, _)) = self.files.insert(base, (name.clone(), message.size_bytes))
            && old != name
        {
            fs::remove_file(cur.join(&old)).map_err(Failure::of(&cur))?;
        }
        Ok(())
    }

    /// Takes away the files of messages that are not to be there any more, and writes down how those that are there are numbered. Blocking.
    pub(super) fn close(self) -> Result<(), Failure> {
        for (base, (name, _)) in &self.files {
            if base.ends_with(OURS) && !self.live.contains_key(base) {
                let gone = self.at.join("cur").join(name);
                fs::remove_file(&gone).map_err(Failure::of(&gone))?;
            }
        }
        let Some(Numbers { folder_id, uid_validity, uid_next }) = self.source.numbers else { return Ok(()) };
        // One that could not be read has no file.
        let there = self.live.iter().filter(|(base, _)| self.files.contains_key(*base));
        let there = there.map(|(base, (uid, uidl))| (base.as_str(), *uid, uidl.as_str()));
        let guid = folder_id.uuid().simple().to_string();
        let list = self.at.join(uidlist::DOVECOT);
        let text = uidlist::write(uid_validity, uid_next, &guid, there);
        let part = self.at.join("tmp").join(format!("{}{OURS}", uidlist::DOVECOT));
        private::write(&part, &text).map_err(Failure::of(&part))?;
        fs::rename(&part, &list).map_err(Failure::of(&list))
    }

    /// What a message's file is to be called. Letters are written down before anything is named by them.
    fn name(&mut self, message: &Message) -> Result<String, Failure> {
        self.live.insert(base(message), (message.uid, message.uidl.clone()));
        let known = self.keywords.len();
        maildir::add_keywords(&mut self.keywords, &message.flags.keywords);
        if self.keywords.len() > known {
            let keywords = self.at.join(maildir::KEYWORDS_FILE);
            let letters = maildir::write_keywords(&self.keywords);
            private::write(&keywords, &letters).map_err(Failure::of(&keywords))?;
        }
        Ok(format!("{}:2,{}", base(message), maildir::letters(&message.flags, &self.keywords)))
    }
}
