//! The folders of a mailbox as a tree.

use std::collections::BTreeMap;

use kernel::FolderId;

use super::{Folder, NewFolder, SEPARATOR};

/// All live folders of a mailbox, each with its path.
#[derive(Debug)]
pub(crate) struct Tree(BTreeMap<FolderId, Folder>);

impl Tree {
    /// Of rows whose paths are not known yet.
    pub(crate) fn new(rows: Vec<Folder>) -> Self {
        let mut folders: BTreeMap<_, _> = rows.into_iter().map(|folder| (folder.id, folder)).collect();
        let tree = Self(folders.clone());
        for folder in folders.values_mut() {
            let mut names: Vec<&str> = tree.way_up(folder.id).map(|folder| folder.name.as_str()).collect();
            names.reverse();
            folder.path = names.join(&SEPARATOR.to_string());
        }
        Self(folders)
    }

    /// Adds one that was made just now, as far as its place goes.
    pub(crate) fn add(&mut self, id: FolderId, new: NewFolder) {
        let NewFolder { parent_id, name, role, is_subscribed } = new;
        let path = self.path(parent_id, &name);
        let folder = Folder {
            id,
            parent_id,
            name,
            path,
            role,
            is_subscribed,
            uid_validity: 0,
            uid_next: 1,
            message_count: 0,
            unseen_count: 0,
            size_bytes: 0,
            highest_modseq: 0,
            version: 1,
        };
        self.0.insert(id, folder);
    }

    /// The path of a name in a place.
    pub(super) fn path(&self, parent_id: Option<FolderId>, name: &str) -> String {
        match parent_id.and_then(|parent| self.get(parent)) {
            Some(parent) => format!("{}{SEPARATOR}{name}", parent.path),
            None => name.to_owned(),
        }
    }

    pub(crate) fn get(&self, id: FolderId) -> Option<&Folder> {
        self.0.get(&id)
    }

    /// The folder, the one it lies in, and so on to the top. Whoever moves a folder keeps it from lying below itself.
    pub(crate) fn way_up(&self, id: FolderId) -> impl Iterator<Item = &Folder> {
        std::iter::successors(self.get(id), |folder| self.get(folder.parent_id?))
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Folder> {
        self.0.values()
    }

    /// Those that lie right in it.
    pub(super) fn children(&self, id: FolderId) -> impl Iterator<Item = &Folder> {
        self.all().filter(move |folder| folder.parent_id == Some(id))
    }

    /// How many levels there are from it down, its own among them.
    pub(super) fn height(&self, id: FolderId) -> usize {
        let depths = self.0.keys().filter_map(|at| self.way_up(*at).position(|folder| folder.id == id));
        depths.max().map_or(1, |depth| depth + 1)
    }

    /// In the order of their paths, each after the one that it lies in.
    pub(crate) fn into_folders(self) -> Vec<Folder> {
        let mut folders: Vec<Folder> = self.0.into_values().collect();
        folders.sort_by(|one, other| one.path.split(SEPARATOR).cmp(other.path.split(SEPARATOR)));
        folders
    }
}
