//! Which folder an imported message goes into.

use std::collections::BTreeMap;

use kernel::{FolderId, MailboxId};
use sha2::{Digest as _, Sha256};
use tenancy::Ctx;

use crate::folder::{self, NewFolder, OTHERS, SEPARATOR};
use crate::{Error, MailStore};

/// Where messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filing {
    /// All of them into one folder; `None` is the Inbox.
    InOne(Option<FolderId>),
    /// Into the folders that they were in, which are made where the mailbox has none of their names.
    AsFound,
}

/// Whether a folder that messages were in is the Inbox.
pub(super) fn is_inbox(parts: &[String]) -> bool {
    parts.is_empty() || (parts.len() == 1 && parts[0].eq_ignore_ascii_case("inbox"))
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
        match self.filing {
            Filing::InOne(folder) => Ok(folder),
            Filing::AsFound if is_inbox(parts) => Ok(None),
            Filing::AsFound => self.make(parts).await.map(Some),
        }
    }

    /// What a message is known by that was in a folder: in another one it is another.
    pub(super) fn key(&self, parts: &[String], sha256: [u8; 32]) -> [u8; 32] {
        match self.filing {
            Filing::AsFound if !is_inbox(parts) => {
                let mut hash = Sha256::new_with_prefix(sha256);
                let is_below_inbox = parts.first().is_some_and(|first| first.eq_ignore_ascii_case("inbox"));
                for (at, part) in parts.iter().enumerate() {
                    hash.update(if at == 0 && is_below_inbox { "inbox" } else { part });
                    hash.update([0]);
                }
                hash.finalize().into()
            }
            Filing::AsFound | Filing::InOne(_) => sha256,
        }
    }

    async fn make(&mut self, parts: &[String]) -> Result<FolderId, Error> {
        let mut parts = parts.to_vec();
        if self.known.is_empty() {
            let folders = folder::list(self.ctx, self.mailbox_id).await?;
            self.known = folders.into_iter().map(|folder| (folder.path, folder.id)).collect();
        }
        // RFC 9051 §5.1: INBOX is the Inbox, however it is written.
        let is_below_inbox = parts.first().is_some_and(|first| first.eq_ignore_ascii_case("inbox"));
        if let Some(first) = parts.first_mut().filter(|_| is_below_inbox)
            && let Some(inbox) = self.known.keys().find(|path| path.eq_ignore_ascii_case("inbox"))
        {
            first.clone_from(inbox);
        }
        // A folder of others at another server is no folder of others here.
        if let Some(first) = parts.first_mut().filter(|first| OTHERS.strip_suffix(SEPARATOR) == Some(first))
            && !self.known.contains_key(first)
        {
            first.push_str(" (imported)");
        }
        let path = parts.join(&SEPARATOR.to_string());
        if let Some(known) = self.known.get(&path) {
            return Ok(*known);
        }
        let (mut parent_id, mut way) = (None, String::new());
        for name in &parts {
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
