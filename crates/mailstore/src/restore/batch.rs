//! A batch of messages that is put back, in one transaction.

use std::collections::BTreeMap;

use kernel::{FolderId, MailboxId, MessageId};
use pack::Uidl;
use serde::Serialize;
use tenancy::quota::{self, Charge};
use tenancy::{Ctx, TenantTx, operation};
use uuid::Uuid;

use super::folders::Folders;
use super::past::{Past, PastMessage, Within};
use super::store::{self, Present};
use super::{Counts, LEASE, Place, Restore};
use crate::message::effect::{self, Effect, Touched};
use crate::message::{Flag, State};
use crate::{Error, MailStore, body, folder, lock_mailbox, to_column};

/// How many messages a batch has at most.
const BATCH: usize = 500;

/// What became of a batch.
enum Ended {
    /// It is done, and there may be more.
    Done,
    /// There is no more to do.
    Finished,
    /// These messages have no room together; nothing was done.
    OverQuota(Vec<MessageId>),
}

/// A message's place and marks from now on; a copy of another, if `of` is another.
#[derive(Debug, Serialize)]
pub(super) struct Put<'a> {
    pub(super) of: Uuid,
    pub(super) id: Uuid,
    folder_id: Uuid,
    uid: i64,
    uidl: String,
    flags: i16,
    keywords: &'a [String],
}

/// Puts back what of a mailbox is not yet. What is over the quota stays where it is, and is counted.
///
/// # Errors
/// [`Error::NotFound`] for a folder or a message that was not there at the moment, [`Error::TooManyFolders`], and as of any statement; what
/// was done before stays done.
pub async fn put_back(
    mail: &MailStore,
    ctx: &Ctx,
    restore: &Restore,
    mailbox_id: MailboxId,
    past: &Past,
) -> Result<(), Error> {
    let within = past.within(restore).ok_or(Error::NotFound)?;
    let job = Job { mail, ctx, restore, mailbox_id, past, within: &within };
    let mut size = BATCH;
    loop {
        match job.batch(size).await? {
            Ended::Done => size = (size * 2).min(BATCH),
            Ended::Finished => return Ok(()),
            Ended::OverQuota(ids) if ids.len() == 1 => job.pass_by(ids[0]).await?,
            Ended::OverQuota(ids) => size = ids.len() / 2,
        }
    }
}

/// What is put back where.
struct Job<'a> {
    mail: &'a MailStore,
    ctx: &'a Ctx,
    restore: &'a Restore,
    mailbox_id: MailboxId,
    past: &'a Past,
    within: &'a Within,
}

/// A mailbox that is locked for a batch.
struct Open {
    tx: TenantTx,
    modseq: i64,
    folders: Folders,
    /// The folder that all of it goes into, beside what is there; `None` in place.
    root: Option<FolderId>,
    /// The last message that had its turn.
    done_to: Option<MessageId>,
}

impl Job<'_> {
    async fn batch(&self, size: usize) -> Result<Ended, Error> {
        let Some(mut open) = self.open().await? else { return Ok(Ended::Finished) };
        let ids = self.next(&open, size);
        if ids.is_empty() {
            self.commit(open).await?;
            return Ok(Ended::Finished);
        }
        let present = store::present(&mut open.tx, self.mailbox_id, &ids).await?;
        let there: Vec<_> =
            ids.iter().filter_map(|id| Some((present.get(id)?, self.past.messages.get(id)?))).collect();
        let mut counts = Counts { lost: count(ids.len() - there.len()), ..Counts::default() };
        let bytes = match open.root {
            None => self.in_place(&mut open, &there, &mut counts).await?,
            Some(root) => self.beside(&mut open, root, &there, &mut counts).await?,
        };
        self.advance(&mut open.tx, &ids, &counts).await?;
        let (tx, ctx) = (&mut open.tx, self.ctx);
        let charge = match open.root {
            _ if bytes == 0 => None,
            None => Some(quota::recover(tx, ctx, self.mailbox_id, bytes).await?),
            Some(_) => Some(quota::take(tx, ctx, self.mailbox_id, bytes).await?),
        };
        match charge {
            None | Some(Charge::Taken { .. }) => {}
            Some(Charge::OverQuota) => return Ok(Ended::OverQuota(ids)),
            Some(Charge::Gone) => return Ok(Ended::Finished),
        }
        self.commit(open).await?;
        Ok(Ended::Done)
    }

    async fn commit(&self, open: Open) -> Result<(), Error> {
        let Open { mut tx, folders, .. } = open;
        folders.note(&mut tx, self.ctx).await?;
        self.mail.commit(tx, self.mailbox_id).await
    }

    /// Those whose turn it is.
    fn next(&self, open: &Open, size: usize) -> Vec<MessageId> {
        let messages = &self.within.messages;
        let done = open.done_to.map_or(0, |last| messages.partition_point(|id| *id <= last));
        messages.iter().skip(done).take(size).copied().collect()
    }

    /// Lets a message be that has no room, if it is still its turn.
    async fn pass_by(&self, id: MessageId) -> Result<(), Error> {
        let Some(mut open) = self.open().await? else { return Ok(()) };
        if self.next(&open, 1) == [id] {
            self.advance(&mut open.tx, &[id], &Counts { over_quota: 1, ..Counts::default() }).await?;
            self.commit(open).await?;
        }
        Ok(())
    }

    /// Locks the mailbox; `None` when it is gone or somebody else has finished. The first time, folders are put back in a transaction of their
    /// own, also those that are empty.
    async fn open(&self) -> Result<Option<Open>, Error> {
        let (ctx, mailbox_id) = (self.ctx, self.mailbox_id);
        let mut tx = ctx.begin().await?;
        let Some(modseq) = lock_mailbox(&mut tx, mailbox_id).await? else {
            store::give_up_mailbox(&mut tx, self.restore.id, mailbox_id, None).await?;
            tx.commit().await?;
            return Ok(None);
        };
        let Some(progress) = store::progress(&mut tx, self.restore.id, mailbox_id).await? else {
            return Ok(None);
        };
        let mut folders = Folders::open(&mut tx, ctx, mailbox_id, modseq).await?;
        let root = match self.restore.place {
            Place::InPlace => None,
            Place::Beside => {
                let moment =
                    self.restore.at.with_timezone(&ctx.time_zone()).format("Restored %Y-%m-%d %H:%M");
                let root = folders.root(&mut tx, ctx, progress.into_folder, &moment.to_string()).await?;
                Some(root)
            }
        };
        if progress.is_new {
            for &folder in &self.within.folders {
                match root {
                    None => folders.in_place(&mut tx, ctx, self.past, folder).await?,
                    Some(root) => {
                        let way = (root, self.within.top);
                        folders.beside(&mut tx, ctx, self.past, folder, way).await?
                    }
                };
            }
            let total = self.within.messages.len();
            store::set_total(&mut tx, self.restore.id, mailbox_id, count(total)).await?;
            operation::grow(&mut tx, self.restore.id, count(total)).await?;
        }
        if root != progress.into_folder {
            store::set_root(&mut tx, self.restore.id, mailbox_id, root).await?;
        }
        let open = Open { tx, modseq, folders, root, done_to: progress.done_to };
        if progress.is_new {
            self.commit(open).await?;
            return Box::pin(self.open()).await;
        }
        Ok(Some(open))
    }

    async fn advance(&self, tx: &mut TenantTx, ids: &[MessageId], counts: &Counts) -> Result<(), Error> {
        let Some(last) = ids.last() else { return Ok(()) };
        let (by, due_at) = (count(ids.len()), self.ctx.env().now() + LEASE);
        store::advance(tx, self.restore.id, self.mailbox_id, (by, *last), counts, due_at).await?;
        Ok(operation::advance(tx, self.restore.id, by).await?)
    }

    /// Puts messages where they were, and as they were; how many bytes of them were deleted.
    async fn in_place(
        &self,
        open: &mut Open,
        there: &[(&Present, &PastMessage)],
        counts: &mut Counts,
    ) -> Result<u64, Error> {
        let mut arrivals: BTreeMap<FolderId, Vec<(&Present, &PastMessage)>> = BTreeMap::new();
        let (mut puts, mut effects, mut bytes) = (Vec::new(), Vec::new(), 0);
        for &(is, was) in there {
            let to = open.folders.in_place(&mut open.tx, self.ctx, self.past, was.folder_id).await?;
            match is.state {
                State::Live if is.touched.folder == to && is.has_marks(was) => {}
                State::Live if is.touched.folder == to => {
                    counts.flagged += 1;
                    puts.push(Put { flags: was.flags, ..put(is, was, is.touched.id, to, is.touched.uid) });
                    effects.push(is.touched.flagged(is_seen(was)));
                }
                State::Live => {
                    counts.moved += 1;
                    effects.push(is.touched.gone());
                    arrivals.entry(to).or_default().push((is, was));
                }
                State::Recoverable => {
                    counts.returned += 1;
                    bytes += is.touched.size_bytes;
                    arrivals.entry(to).or_default().push((is, was));
                }
            }
        }
        for (to, messages) in arrivals {
            let arrived = arrive(open, self.mailbox_id, to, &messages, |is| is.touched.id).await?;
            puts.extend(arrived.0);
            effects.extend(arrived.1);
        }
        if !puts.is_empty() {
            store::put(&mut open.tx, self.mailbox_id, open.modseq, &puts).await?;
        }
        let now = self.ctx.env().now();
        effect::settle(&mut open.tx, self.mailbox_id, open.modseq, effects.into_iter(), now).await?;
        Ok(bytes)
    }

    /// Copies messages as they were; how many bytes.
    async fn beside(
        &self,
        open: &mut Open,
        root: FolderId,
        there: &[(&Present, &PastMessage)],
        counts: &mut Counts,
    ) -> Result<u64, Error> {
        let way = (root, self.within.top);
        let mut arrivals: BTreeMap<FolderId, Vec<(&Present, &PastMessage)>> = BTreeMap::new();
        for &(is, was) in there {
            let to = open.folders.beside(&mut open.tx, self.ctx, self.past, was.folder_id, way).await?;
            arrivals.entry(to).or_default().push((is, was));
        }
        let (mut puts, mut effects) = (Vec::new(), Vec::new());
        for (to, messages) in arrivals {
            let arrived = arrive(open, self.mailbox_id, to, &messages, |_| self.ctx.env().new_id()).await?;
            puts.extend(arrived.0);
            effects.extend(arrived.1);
        }
        let bodies: Vec<_> = there.iter().map(|(is, _)| is.blob_id).collect();
        body::store::count_messages(&mut open.tx, &bodies, 1).await?;
        store::copy(&mut open.tx, self.mailbox_id, open.modseq, &puts).await?;
        counts.copied = count(there.len());
        let now = self.ctx.env().now();
        effect::settle(&mut open.tx, self.mailbox_id, open.modseq, effects.into_iter(), now).await?;
        Ok(there.iter().map(|(is, _)| is.touched.size_bytes).sum())
    }
}

/// Gives messages UIDs in a folder, in their order.
async fn arrive<'a>(
    open: &mut Open,
    mailbox_id: MailboxId,
    to: FolderId,
    messages: &[(&'a Present, &'a PastMessage)],
    id: impl Fn(&Present) -> MessageId,
) -> Result<(Vec<Put<'a>>, Vec<Effect>), Error> {
    let first = folder::store::take_uids(&mut open.tx, mailbox_id, to, messages.len()).await?;
    let first = first.ok_or(Error::FolderNotFound)?;
    let arrived = messages.iter().zip(first..).map(|(&(is, was), uid)| {
        let touched = Touched { was_seen: is_seen(was), ..is.touched };
        (put(is, was, id(is), to, uid), touched.arrived(to, uid))
    });
    Ok(arrived.unzip())
}

fn put<'a>(is: &Present, was: &'a PastMessage, id: MessageId, to: FolderId, uid: u64) -> Put<'a> {
    let (of, folder_id, uidl) = (is.touched.id.uuid(), to.uuid(), Uidl::of(id).as_str().to_owned());
    // What comes anew is not to go again at the next expunge.
    let flags = was.flags & !Flag::to_column([Flag::Deleted]);
    Put { of, id: id.uuid(), folder_id, uid: to_column(uid), uidl, flags, keywords: &was.keywords }
}

fn is_seen(was: &PastMessage) -> bool {
    Flag::from_column(was.flags).contains(&Flag::Seen)
}

/// A number of messages as a column holds it.
fn count(messages: usize) -> i32 {
    i32::try_from(messages).unwrap_or(i32::MAX)
}
