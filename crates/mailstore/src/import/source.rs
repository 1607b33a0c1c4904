//! Finds the files to import.

use std::collections::HashSet;
use std::io::{BufReader, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use tempfile::TempDir;

use super::{archive, filing};
use crate::ingest::Was;
use crate::uidlist::{self, Listed, UidList};
use crate::{folder, maildir};

/// What a file is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message.
    Message,
    /// A message of a Maildir.
    Maildir,
    /// An mbox.
    Mbox,
}

/// A file to read.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) size_bytes: u64,
    /// The folder that it was in, by the parts of its path; none is the Inbox.
    pub(super) folder: Vec<String>,
    /// What the letters in its name stand for.
    pub(super) keywords: Arc<Vec<String>>,
    /// What a list says that its message was known by.
    pub(super) was: Was,
}

/// What a search came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order of the paths given, and by name within a folder, or by UID as far as a Maildir has a list of them.
    pub(super) files: Vec<File>,
    /// Folders that nothing is in: where they are, and the parts of their paths.
    pub(super) empty: Vec<(PathBuf, Vec<String>)>,
    /// Files and folders that could not be looked at.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
    /// What is neither a file nor a folder, and what it is.
    pub(super) passed_over: Vec<(PathBuf, &'static str)>,
    /// What zips had in them, until it has been read.
    _extracted: Vec<TempDir>,
}

/// A folder that is being searched.
#[derive(Debug, Clone, Default)]
struct Place {
    in_maildir: bool,
    in_zip: bool,
    /// The names of the folders on the way, or of a Maildir's subfolder.
    folder: Vec<String>,
    keywords: Arc<Vec<String>>,
    /// What a Maildir's list of UIDs says of the file that is visited.
    was: Was,
}

/// How much of a Maildir's own small files is read.
const MAX_OWN_BYTES: u64 = 1 << 20;

/// A Maildir's file's name without its flags, by which lists have it.
fn base(path: &Path) -> String {
    uidlist::base(&path.file_name().unwrap_or_default().to_string_lossy()).to_owned()
}

/// What a list says of a file in a folder.
fn was(list: &UidList, base: &str, folder: &[String]) -> Was {
    let Some(entry) = list.entry(base) else { return Was::default() };
    let uidl = if filing::is_inbox(folder) { list.uidl(entry) } else { entry.uidl.clone() };
    Was { uidl, listed: list.numbering().map(|of| Listed { of, uid: entry.uid }) }
}

/// Searches the paths. A symbolic link is followed if it is one of them.
pub(super) fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        match fs::metadata(path) {
            Ok(of) if of.is_dir() => found.search(path, &Place::default()),
            Ok(of) if of.is_file() => found.take(path.clone(), of.len(), &Place::default()),
            Ok(_) => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder");
                found.unreadable.push((path.clone(), error));
            }
            Err(error) => found.unreadable.push((path.clone(), error)),
        }
    }
    found
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

/// The folder's name that a file or folder stands for.
fn stands_for(part: Option<&std::ffi::OsStr>) -> String {
    folder::in_one_form(&maildir::unescaped(&part.unwrap_or_default().to_string_lossy()))
}

/// The folder's name that a part of a subfolder's name stands for; the part as it is written, where no folder can be called so.
fn stands_for_subfolder(part: &str) -> String {
    folder::named(&maildir::name(part)).unwrap_or_else(|_| folder::in_one_form(&maildir::unescaped(part)))
}

/// What is there itself, not what lies behind a link: that was not named by whoever imports.
fn look(path: &Path) -> io::Result<Option<fs::FileType>> {
    match fs::symlink_metadata(path) {
        Ok(of) => Ok(Some(of.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(look(path)?.is_some_and(|of| of.is_dir()))
}

const LINK: &str = "a symbolic link";

/// What a thing is that is neither a file nor a folder.
fn kind(of: fs::FileType) -> &'static str {
    if of.is_symlink() {
        LINK
    } else if of.is_fifo() {
        "a named pipe"
    } else if of.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn is_mark(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == maildir::EXPORT_MARK)
}

fn holds_maildir(path: &Path) -> io::Result<bool> {
    Ok(is_folder(&path.join("cur"))? && is_folder(&path.join("new"))?)
}

impl Found {
    /// Takes a file for what its name and place say.
    fn take(&mut self, path: PathBuf, size_bytes: u64, place: &Place) {
        if place.in_maildir || !has_extension(&path, "zip") {
            return self.add(path, size_bytes, place);
        }
        let extracted = if place.in_zip {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a zip within a zip"))
        } else {
            archive::extract(&path)
        };
        match extracted {
            Ok(extracted) => {
                let place = Place { in_zip: true, ..place.clone() };
                self.search(extracted.dir.path(), &place);
                for name in extracted.left_out {
                    let name = PathBuf::from(format!("{}/{name}", path.display()));
                    self.passed_over.push((name, "a link, or outside of the zip"));
                }
                self._extracted.push(extracted.dir);
            }
            Err(error) => self.unreadable.push((path, error)),
        }
    }

    fn add(&mut self, path: PathBuf, size_bytes: u64, place: &Place) {
        let kind = match (place.in_maildir, has_extension(&path, "mbox")) {
            (true, _) => Kind::Maildir,
            (false, true) => Kind::Mbox,
            (false, false) => Kind::Message,
        };
        let folder = match kind {
            Kind::Maildir => place.folder.clone(),
            Kind::Mbox => [place.folder.as_slice(), &[stands_for(path.file_stem())]].concat(),
            // A folder of messages is no folder of a mailbox.
            Kind::Message => Vec::new(),
        };
        if kind == Kind::Mbox && size_bytes == 0 {
            self.empty.push((path, folder));
            return;
        }
        let (keywords, was) = (place.keywords.clone(), place.was.clone());
        self.files.push(File { path, kind, size_bytes, folder, keywords, was });
    }

    fn search(&mut self, folder: &Path, place: &Place) {
        // What cannot be looked into is told by its entries.
        let is_maildir = holds_maildir(folder).unwrap_or(false);
        // Of a Maildir itself that is the Inbox, wherever it lies.
        let of = if place.in_maildir { place.folder.clone() } else { Vec::new() };
        if is_maildir {
            let mut entries = [self.entries(&folder.join("new")), self.entries(&folder.join("cur"))].concat();
            // By name whether read or not: names begin with the time of arrival.
            entries.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
            if entries.is_empty() {
                self.empty.push((folder.to_owned(), of.clone()));
            }
            let keywords = Arc::new(maildir::read_keywords(&self.read_own(folder, maildir::KEYWORDS_FILE)));
            let place = Place { in_maildir: true, folder: of.clone(), keywords, ..place.clone() };
            for (path, was) in self.listed(folder, entries, &of) {
                self.visit(path, &Place { was, ..place.clone() });
            }
        }
        for path in self.entries(folder) {
            let name = path.file_name().unwrap_or_default();
            if !is_maildir {
                self.visit(path.clone(), place);
            } else if !["cur", "new", "tmp"].iter().any(|own| name == *own) && self.is_subfolder(&path) {
                let (written, name) = (self.read_own(&path, maildir::FOLDER_FILE), name.to_string_lossy());
                let name = if written.is_empty() { &*name } else { written.trim_end() };
                let parts = name.strip_prefix('.').unwrap_or(name).split('.').map(stands_for_subfolder);
                let folder = of.iter().cloned().chain(parts).collect();
                self.search(&path, &Place { in_maildir: true, folder, ..place.clone() });
            }
        }
    }

    /// Whether what lies in a Maildir is a subfolder of it. One that may be and cannot be looked into is told, and a link where one would be passed over.
    fn is_subfolder(&mut self, path: &Path) -> bool {
        let is_one = match look(path) {
            Ok(Some(of)) if of.is_dir() => holds_maildir(path),
            // A Maildir's other files are not taken whatever they are.
            Ok(Some(of)) if of.is_symlink() && path.is_dir() => {
                self.passed_over.push((path.to_owned(), LINK));
                return false;
            }
            Ok(_) => return false,
            Err(error) => Err(error),
        };
        match is_one {
            Ok(true) => return true,
            Ok(false) => {
                for own in ["cur", "new"].map(|own| path.join(own)) {
                    if look(&own).is_ok_and(|of| of.is_some_and(|of| of.is_symlink())) {
                        self.passed_over.push((own, LINK));
                    }
                }
            }
            Err(error) => self.unreadable.push((path.to_owned(), error)),
        }
        false
    }

    /// The files of a Maildir, each with what a list of UIDs says of it, in the order in which they can have these: ascending, those without one last. Of
    /// several of one name the list means one, and which of them it was is not to be told from the rest.
    fn listed(&mut self, folder: &Path, entries: Vec<PathBuf>, of: &[String]) -> Vec<(PathBuf, Was)> {
        let mut names: HashSet<String> = entries.iter().map(|path| base(path)).collect();
        let list = self.read_uids(folder, &names);
        let known = |path: PathBuf| {
            let base = base(&path);
            let list = list.as_ref().filter(|_| names.remove(&base));
            let was = list.map_or_else(Was::default, |list| was(list, &base, of));
            (path, was)
        };
        let mut files: Vec<_> = entries.into_iter().map(known).collect();
        files.sort_by_key(|(_, was)| was.listed.map_or(u32::MAX, |listed| listed.uid));
        files
    }

    /// Which UIDs a Maildir's messages have, if there is a list.
    fn read_uids(&mut self, folder: &Path, names: &HashSet<String>) -> Option<UidList> {
        for name in [uidlist::DOVECOT, uidlist::COURIER] {
            let Some(file) = self.open_own(folder, name) else { continue };
            match UidList::read(BufReader::new(file), |name| names.contains(name)) {
                Ok(None) => {}
                Ok(list) => return list,
                Err(error) => self.unreadable.push((folder.join(name), error)),
            }
        }
        None
    }

    /// What a small file of a Maildir says, if it is there.
    fn read_own(&mut self, folder: &Path, name: &str) -> String {
        let Some(file) = self.open_own(folder, name) else { return String::new() };
        let mut bytes = Vec::new();
        if let Err(error) = file.take(MAX_OWN_BYTES).read_to_end(&mut bytes) {
            self.unreadable.push((folder.join(name), error));
            return String::new();
        }
        String::from_utf8(bytes).unwrap_or_default()
    }

    fn open_own(&mut self, folder: &Path, name: &str) -> Option<fs::File> {
        let path = folder.join(name);
        let opened = match look(&path) {
            Ok(Some(of)) if of.is_file() => fs::File::open(&path),
            Ok(Some(of)) if !of.is_dir() => {
                self.passed_over.push((path, kind(of)));
                return None;
            }
            Ok(_) => return None,
            Err(error) => Err(error),
        };
        opened.map_err(|error| self.unreadable.push((path, error))).ok()
    }

    fn visit(&mut self, path: PathBuf, place: &Place) {
        match fs::symlink_metadata(&path) {
            Ok(of) if of.is_dir() => {
                let mut place = Place { was: Was::default(), ..place.clone() };
                place.folder.push(stands_for(path.file_name()));
                self.search(&path, &place);
            }
            Ok(of) if of.is_file() && is_mark(&path) => {}
            Ok(of) if of.is_file() => self.take(path, of.len(), place),
            Ok(of) => self.passed_over.push((path, kind(of.file_type()))),
            // Told in its turn: its UID may be a later run's to give out.
            Err(_) if place.was.listed.is_some() => self.add(path, 0, place),
            Err(error) => self.unreadable.push((path, error)),
        }
    }

    /// A folder's entries, by name.
    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        let read = |folder: &Path| -> io::Result<Vec<PathBuf>> {
            fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
        };
        let mut entries = read(folder).unwrap_or_else(|error| {
            self.unreadable.push((folder.to_owned(), error));
            Vec::new()
        });
        entries.sort();
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uidlist::Numbering;

    fn write(root: &Path, name: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }

    #[test]
    fn finds_messages_mboxes_and_maildirs() {
        let root = tempfile::tempdir().unwrap();
        let names = [
            "b/2.eml",
            "b/10",
            "a.mbox",
            "maildir/cur/200.x:2,S",
            "maildir/new/100.x",
            "maildir/tmp/300.x",
            "maildir/dovecot-uidlist",
            "maildir/.Sent/cur/400.x:2,",
            "maildir/.Sent/new/500.mbox",
            "c/cur/1.eml",
        ];
        for name in names {
            write(root.path(), name);
        }
        std::os::unix::fs::symlink(root.path(), root.path().join("b/loop")).unwrap();
        let found = find(&[root.path().to_owned()]);
        let seen: Vec<_> = found
            .files
            .iter()
            .map(|file| (file.path.strip_prefix(root.path()).unwrap().to_str().unwrap(), file.kind))
            .collect();
        use Kind::*;
        assert_eq!(
            seen,
            [
                ("a.mbox", Mbox),
                ("b/10", Message),
                ("b/2.eml", Message),
                ("c/cur/1.eml", Message),
                ("maildir/new/100.x", Maildir),
                ("maildir/cur/200.x:2,S", Maildir),
                ("maildir/.Sent/cur/400.x:2,", Maildir),
                ("maildir/.Sent/new/500.mbox", Maildir),
            ]
        );
        assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
        assert_eq!(found.passed_over, [(root.path().join("b/loop"), LINK)]);
        assert_eq!(found.files[0].size_bytes, 6);
    }

    #[test]
    fn nothing_behind_a_link_is_taken_and_subfolders_are_maildirs() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "victim/cur/9",
            "victim/new/8",
            "box/cur/1",
            "box/new/2",
            "box/sieve/rule",
            "box/Work/Deep/cur/3",
            "box/.Entw&APw-rfe.A%2EB/cur/4",
            "box/.No&AC8-folder/cur/5",
        ] {
            write(root.path(), name);
        }
        let empty = ["box/Work/Deep/new", "box/Work/cur", "box/Work/new", "box/.Odd/new"];
        for name in empty.into_iter().chain(["box/.Entw&APw-rfe.A%2EB/new", "box/.No&AC8-folder/new"]) {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let link =
            |to: &str, name: &str| std::os::unix::fs::symlink(root.path().join(to), root.path().join(name));
        link("victim", "box/.x").unwrap();
        link("box", "box/.loop").unwrap();
        link("victim/cur", "box/.Odd/cur").unwrap();
        let found = find(&[root.path().join("box")]);
        let seen: Vec<_> =
            found.files.iter().map(|file| (file.folder.join("/"), file.path.file_name())).collect();
        let named = |name: &'static str| Some(std::ffi::OsStr::new(name));
        let wanted = [
            ("", named("1")),
            ("", named("2")),
            ("Entwürfe/A.B", named("4")),
            // What it stands for would be two folders.
            ("No&AC8-folder", named("5")),
            ("Work/Deep", named("3")),
        ];
        assert_eq!(seen, wanted.map(|(folder, name)| (folder.to_owned(), name)));
        assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
        assert_eq!(found.empty, [(root.path().join("box/Work"), vec!["Work".to_owned()])]);
        let links = ["box/.Odd/cur", "box/.loop", "box/.x"];
        assert_eq!(found.passed_over, links.map(|name| (root.path().join(name), LINK)));
    }

    #[test]
    fn what_is_no_file_is_named_with_what_it_is_also_in_a_zip() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "mail/1.eml");
        let at = |name: &str| root.path().join("mail").join(name);
        std::os::unix::fs::symlink("nowhere", at("2.eml")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("3.eml")).unwrap();
        let mut zip = zip::ZipWriter::new(fs::File::create(at("4.zip")).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        zip.add_symlink("in/link", "/etc/passwd", options).unwrap();
        zip.finish().unwrap();
        let found = find(&[root.path().to_owned()]);
        assert_eq!((found.files.len(), found.unreadable.len()), (1, 0));
        let wanted = [(at("2.eml"), LINK), (at("3.eml"), "a socket")];
        assert_eq!(found.passed_over[..2], wanted);
        assert_eq!(found.passed_over[2..].len(), 1);
        assert_eq!(found.passed_over[2].0, at("4.zip/in/link"));
    }

    #[test]
    fn a_subfolder_that_cannot_be_looked_into_is_told() {
        let root = tempfile::tempdir().unwrap();
        let mut maildir = root.path().to_owned();
        while maildir.as_os_str().len() < 3_900 {
            maildir.push("x".repeat(100));
        }
        for part in ["cur", "new"] {
            fs::create_dir_all(maildir.join(part)).unwrap();
        }
        // Nobody, not root either, is let into it: a path has 4,095 bytes at most.
        let left = 4_093 - maildir.as_os_str().len() - 1;
        let shut = maildir.join(format!(".{}", "y".repeat(left - 1)));
        fs::create_dir(&shut).unwrap();
        fs::write(maildir.join("cur/1"), "x").unwrap();
        let found = find(&[root.path().to_owned()]);
        assert_eq!(found.files.len(), 1);
        let [(path, error)] = &found.unreadable[..] else { panic!("{:?}", found.unreadable) };
        assert_eq!((path, error.raw_os_error()), (&shut, Some(36)));
    }

    #[test]
    fn what_has_a_uid_and_cannot_be_looked_at_is_left_to_the_reader_with_that() {
        let mut found = Found::default();
        let of = Numbering { uid_validity: 7, uid_next: 9 };
        let was = Was { uidl: None, listed: Some(Listed { of, uid: 3 }) };
        found.visit("/nonexistent/cur/1".into(), &Place { in_maildir: true, was, ..Place::default() });
        assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
        let uids: Vec<_> = found.files.iter().map(|file| file.was.listed.map(|listed| listed.uid)).collect();
        assert_eq!(uids, [Some(3)]);
    }

    #[test]
    fn says_what_it_cannot_look_at() {
        let found = find(&["/nonexistent/mail".into(), "/dev/null".into()]);
        assert!(found.files.is_empty());
        assert_eq!(found.unreadable.len(), 2);
    }
}
