//! The folders of a locked mailbox, while something is put back into them.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{FolderId, MailboxId};
use tenancy::{Ctx, TenantTx};

use super::past::{Past, PastFolder};
use crate::Error;
use crate::change::{self, Kind, UidSet};
use crate::folder::{self, Folder, MAX_DEPTH, MAX_FOLDERS, NewFolder, Role, Tree};

/// Those that are live, and how more are made.
#[derive(Debug)]
pub(super) struct Folders {
    mailbox_id: MailboxId,
    modseq: i64,
    tree: Tree,
    inbox: FolderId,
    count: u64,
    next_uid_validity: i64,
    /// Those that were made here or put back.
    changed: BTreeSet<FolderId>,
    /// Where what was in a folder goes, as far as that was asked.
    found: BTreeMap<FolderId, FolderId>,
}

impl Folders {
    pub(super) async fn open(
        tx: &mut TenantTx,
        ctx: &Ctx,
        mailbox_id: MailboxId,
        modseq: i64,
    ) -> Result<Self, Error> {
        let inbox = folder::ensure_inbox(tx, ctx, mailbox_id).await?;
        let known = folder::store::known(tx, mailbox_id, ctx.env().now()).await?;
        let tree = Tree::new(folder::store::list(tx, mailbox_id).await?);
        Ok(Self {
            mailbox_id,
            modseq,
            tree,
            inbox,
            count: known.count,
            next_uid_validity: known.next_uid_validity,
            changed: BTreeSet::new(),
            found: BTreeMap::new(),
        })
    }

    /// The folder that was there, wherever it lies by now and under whatever name. One that was deleted is put back where it was, or what has its
    /// name or purpose there stands for it.
    pub(super) async fn in_place(
        &mut self,
        tx: &mut TenantTx,
        ctx: &Ctx,
        past: &Past,
        id: FolderId,
    ) -> Result<FolderId, Error> {
        let (mut lost, mut parent) = (Vec::new(), None);
        for (id, folder) in past.way_up(id) {
            if let Some(there) =
                self.found.get(&id).copied().or_else(|| self.tree.get(id).map(|live| live.id))
            {
                parent = Some(there);
                break;
            }
            lost.push((id, folder));
        }
        for (id, folder) in lost.into_iter().rev() {
            let there = self.put_back(tx, ctx, Some(id), folder, parent).await?;
            self.found.insert(id, there);
            parent = Some(there);
        }
        Ok(parent.unwrap_or(self.inbox))
    }

    /// The folder below `root` that stands for one that was there: along the way from `top`, or from the top of the mailbox.
    pub(super) async fn beside(
        &mut self,
        tx: &mut TenantTx,
        ctx: &Ctx,
        past: &Past,
        id: FolderId,
        (root, top): (FolderId, Option<FolderId>),
    ) -> Result<FolderId, Error> {
        if let Some(there) = self.found.get(&id) {
            return Ok(*there);
        }
        let mut way: Vec<&PastFolder> = Vec::new();
        for (at, folder) in past.way_up(id) {
            way.push(folder);
            if top == Some(at) {
                break;
            }
        }
        let mut parent = root;
        for folder in way.into_iter().rev() {
            // What it is for, another folder is for.
            let plain =
                PastFolder { parent_id: None, name: folder.name.clone(), role: None, is_subscribed: true };
            parent = self.put_back(tx, ctx, None, &plain, Some(parent)).await?;
        }
        self.found.insert(id, parent);
        Ok(parent)
    }

    /// The folder at the top that everything goes into: one that is there, or a new one of that name, or of the next that is free.
    pub(super) async fn root(
        &mut self,
        tx: &mut TenantTx,
        ctx: &Ctx,
        known: Option<FolderId>,
        name: &str,
    ) -> Result<FolderId, Error> {
        if let Some(known) = known.filter(|id| self.tree.get(*id).is_some()) {
            return Ok(known);
        }
        let mut names =
            std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name} ({number})")));
        let free = names.find(|name| self.child(None, name).is_none()).unwrap_or_default();
        let new = NewFolder { parent_id: None, name: free, role: None, is_subscribed: true };
        self.make(tx, ctx, ctx.env().new_id(), new).await
    }

    /// Writes down which folders are others now.
    pub(super) async fn note(self, tx: &mut TenantTx, ctx: &Ctx) -> Result<(), Error> {
        let entry = |id| change::store::Entry { folder_id: id, kind: Kind::Folder, uids: UidSet::default() };
        let entries: Vec<_> = self.changed.into_iter().map(entry).collect();
        Ok(change::store::insert(tx, self.mailbox_id, self.modseq, &entries, ctx.env().now()).await?)
    }

    /// What stands for a folder in a place: what has its purpose or its name there; itself, if it is known as deleted; or a new one.
    async fn put_back(
        &mut self,
        tx: &mut TenantTx,
        ctx: &Ctx,
        id: Option<FolderId>,
        folder: &PastFolder,
        parent_id: Option<FolderId>,
    ) -> Result<FolderId, Error> {
        let role = folder.role.as_deref().and_then(|role| role.parse::<Role>().ok());
        let same = role.and_then(|role| self.of_role(role)).or_else(|| self.child(parent_id, &folder.name));
        if let Some(same) = same {
            return Ok(same);
        }
        if let Some(parent) = parent_id
            && self.tree.way_up(parent).count() >= MAX_DEPTH
        {
            return Ok(parent);
        }
        let new =
            NewFolder { parent_id, name: folder.name.clone(), role, is_subscribed: folder.is_subscribed };
        if let Some(id) = id {
            let at = (self.mailbox_id, id);
            let put_back = folder::store::put_back(tx, at, &new, self.next_uid_validity, self.modseq).await?;
            if let Some(did_not_count) = put_back {
                if did_not_count && self.count >= MAX_FOLDERS {
                    return Err(folder::too_many());
                }
                self.count += u64::from(did_not_count);
                self.next_uid_validity += 1;
                return Ok(self.learn(id, new));
            }
        }
        self.make(tx, ctx, id.unwrap_or_else(|| ctx.env().new_id()), new).await
    }

    async fn make(
        &mut self,
        tx: &mut TenantTx,
        ctx: &Ctx,
        id: FolderId,
        new: NewFolder,
    ) -> Result<FolderId, Error> {
        if self.count >= MAX_FOLDERS {
            return Err(folder::too_many());
        }
        let (validity, now) = (self.next_uid_validity, ctx.env().now());
        folder::store::insert(tx, self.mailbox_id, id, &new, validity, self.modseq, now).await?;
        self.count += 1;
        self.next_uid_validity += 1;
        Ok(self.learn(id, new))
    }

    fn learn(&mut self, id: FolderId, new: NewFolder) -> FolderId {
        self.tree.add(id, new);
        self.changed.insert(id);
        id
    }

    fn of_role(&self, role: Role) -> Option<FolderId> {
        self.tree.all().find(|folder| folder.role == Some(role)).map(|folder| folder.id)
    }

    fn child(&self, parent_id: Option<FolderId>, name: &str) -> Option<FolderId> {
        // RFC 9051 §5.1: INBOX is the Inbox, however it is written.
        if parent_id.is_none() && name.eq_ignore_ascii_case("inbox") {
            return Some(self.inbox);
        }
        let is_it = |folder: &&Folder| folder.parent_id == parent_id && folder.name == name;
        self.tree.all().find(is_it).map(|folder| folder.id)
    }
}
