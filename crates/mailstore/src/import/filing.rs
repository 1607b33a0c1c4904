//! Which folder an imported message goes into.

use std::collections::BTreeMap;

use kernel::{FolderId, MailboxId};
use tenancy::Ctx;

use crate::folder::{self, NewFolder, SEPARATOR};
use crate::{Error, MailStore};

/// Where messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filing {
    /// All of them into one folder; `None` is the Inbox.
    InOne(Option<FolderId>),
    /// Into the folders that they were in, which are made where the mailbox has none of their names.
    AsFound,
}

/// The folders that messages of one import go into.
pub(super) struct Folders<'a> {
    store: &'a MailStore,
    ctx: &'a Ctx,
    mailbox_id: MailboxId,
    filing: Filing,
    /// By their paths, once they were asked for.
    known: BTreeMap<String, FolderId>,
}

impl<'a> Folders<'a> {
    pub(super) fn new(store: &'a MailStore, ctx: &'a Ctx, mailbox_id: MailboxId, filing: Filing) -> Self {
        Self { store, ctx, mailbox_id, filing, known: BTreeMap::new() }
    }

    /// The folder for a message that was in one.
    pub(super) async fn find(&mut self, parts: &[String]) -> Result<Option<FolderId>, Error> {
        let is_inbox = parts.is_empty() || (parts.len() == 1 && parts[0].eq_ignore_ascii_case("inbox"));
        match self.filing {
            Filing::InOne(folder) => Ok(folder),
            Filing::AsFound if is_inbox => Ok(None),
            Filing::AsFound => self.make(parts).await.map(Some),
        }
    }

    async fn make(&mut self, parts: &[String]) -> Result<FolderId, Error> {
        let path = parts.join(&SEPARATOR.to_string());
        if self.known.is_empty() {
            let folders = folder::list(self.ctx, self.mailbox_id).await?;
            self.known = folders.into_iter().map(|folder| (folder.path, folder.id)).collect();
        }
        if let Some(known) = self.known.get(&path) {
            return Ok(*known);
        }
        let (mut parent_id, mut way) = (None, String::new());
        for name in parts {
            if !way.is_empty() {
                way.push(SEPARATOR);
            }
            way.push_str(name);
            let id = match self.known.get(&way) {
                Some(known) => *known,
                None => {
                    let new = NewFolder { parent_id, name: name.clone(), role: None, is_subscribed: true };
                    folder::create(self.store, self.ctx, self.mailbox_id, new).await?.id
                }
            };
            self.known.insert(way.clone(), id);
            parent_id = Some(id);
        }
        parent_id.ok_or(Error::FolderNotFound)
    }
}
