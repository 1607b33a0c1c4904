//! What there was in mailboxes at a moment, out of images of rows as the journal has them.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{FolderId, MailboxId, MessageId};
use serde::Deserialize;
use uuid::Uuid;

use super::Restore;
use crate::{Error, folder};

/// What there was in some mailboxes. Images come in the order of the journal; a later one of a row is what the row was from then on.
#[derive(Debug, Default)]
pub struct Pasts(BTreeMap<MailboxId, Past>);

/// What there was in one.
#[derive(Debug, Default)]
pub struct Past {
    pub(super) folders: BTreeMap<FolderId, PastFolder>,
    pub(super) messages: BTreeMap<MessageId, PastMessage>,
}

/// A folder as it was.
#[derive(Debug)]
pub(super) struct PastFolder {
    pub(super) parent_id: Option<FolderId>,
    pub(super) name: String,
    pub(super) role: Option<String>,
    pub(super) is_subscribed: bool,
}

/// A live message as it was.
#[derive(Debug)]
pub(super) struct PastMessage {
    pub(super) folder_id: FolderId,
    pub(super) flags: i16,
    pub(super) keywords: Vec<String>,
}

/// Those columns of either table that are needed. Older images may lack some; of a deleted row there is no more than its key.
#[derive(Deserialize)]
struct Image {
    mailbox_id: Uuid,
    id: Uuid,
    #[serde(default)]
    parent_id: Option<Uuid>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    is_subscribed: bool,
    #[serde(default)]
    deleted_at: Option<String>,
    #[serde(default)]
    folder_id: Uuid,
    #[serde(default)]
    flags: i16,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    state: String,
}

impl Pasts {
    /// Of these mailboxes, of which nothing is known yet.
    pub fn of(mailboxes: impl IntoIterator<Item = MailboxId>) -> Self {
        Self(mailboxes.into_iter().map(|id| (id, Past::default())).collect())
    }

    /// Whether images of a table say anything here.
    pub fn wants(relation: &str) -> bool {
        matches!(relation, "folders" | "messages")
    }

    /// Takes in what a row became: `json` is the row, or of a deleted one its primary key.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for what is no image of such a row.
    pub fn put(&mut self, relation: &str, is_deleted: bool, json: &str) -> Result<(), Error> {
        if !Self::wants(relation) {
            return Ok(());
        }
        let image: Image = serde_json::from_str(json).map_err(|_| pack::OpenError::Refused)?;
        let Some(past) = self.0.get_mut(&MailboxId::from_uuid(image.mailbox_id)) else { return Ok(()) };
        if relation == "folders" {
            past.put_folder(image, is_deleted);
        } else {
            past.put_message(image, is_deleted);
        }
        Ok(())
    }

    /// What there was in each.
    pub fn into_each(self) -> impl Iterator<Item = (MailboxId, Past)> {
        self.0.into_iter()
    }
}

impl Past {
    fn put_folder(&mut self, image: Image, is_deleted: bool) {
        let id = FolderId::from_uuid(image.id);
        if is_deleted || image.deleted_at.is_some() {
            self.folders.remove(&id);
            return;
        }
        let Image { parent_id, name, role, is_subscribed, .. } = image;
        let parent_id = parent_id.map(FolderId::from_uuid);
        let name = folder::in_one_form(&name);
        self.folders.insert(id, PastFolder { parent_id, name, role, is_subscribed });
    }

    fn put_message(&mut self, image: Image, is_deleted: bool) {
        let id = MessageId::from_uuid(image.id);
        if is_deleted || image.state != "live" {
            self.messages.remove(&id);
            return;
        }
        let Image { folder_id, flags, keywords, .. } = image;
        let folder_id = FolderId::from_uuid(folder_id);
        self.messages.insert(id, PastMessage { folder_id, flags, keywords });
    }

    /// The folder and those it lay in, up to the top.
    pub(super) fn way_up(&self, id: FolderId) -> impl Iterator<Item = (FolderId, &PastFolder)> {
        let one = |id| self.folders.get(&id).map(|folder| (id, folder));
        std::iter::successors(one(id), move |(_, folder)| one(folder.parent_id?))
            .take(crate::folder::MAX_DEPTH)
    }

    /// What of it is restored; `None` for a folder or a message that was not there.
    pub(super) fn within(&self, restore: &Restore) -> Option<Within> {
        let top = match (restore.folder_id, restore.message_id) {
            (Some(folder), _) => Some(folder),
            (None, Some(message)) => Some(self.messages.get(&message)?.folder_id),
            (None, None) => None,
        };
        if top.is_some_and(|top| !self.folders.contains_key(&top)) {
            return None;
        }
        let lies_below = |id: FolderId| top.is_none_or(|top| self.way_up(id).any(|(at, _)| at == top));
        let folders: BTreeSet<FolderId> = match restore.message_id {
            Some(_) => top.into_iter().collect(),
            None => self.folders.keys().copied().filter(|id| lies_below(*id)).collect(),
        };
        let messages: Vec<_> = match restore.message_id {
            Some(id) => vec![id],
            None => {
                let is_in = |message: &PastMessage| folders.contains(&message.folder_id);
                self.messages.iter().filter(|(_, message)| is_in(message)).map(|(id, _)| *id).collect()
            }
        };
        Some(Within { top, folders, messages })
    }
}

/// A part of what there was.
#[derive(Debug)]
pub(super) struct Within {
    /// The one folder that all of it lay in; `None` for all of the mailbox.
    pub(super) top: Option<FolderId>,
    pub(super) folders: BTreeSet<FolderId>,
    /// In the order of their ids: that of their arrival.
    pub(super) messages: Vec<MessageId>,
}
