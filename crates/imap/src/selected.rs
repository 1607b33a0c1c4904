//! The folder that is open: the numbers that the client knows messages by, kept in step with the mail store.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kernel::{FolderId, MailboxId};
use mailstore::change::{self, Kind, Watch};
use mailstore::folder;
use mailstore::view::View;
use tenancy::Ctx;

use crate::codec::set::SequenceSet;
use crate::status::Status;

/// A folder that is open.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) folder: FolderId,
    pub(crate) is_read_only: bool,
    pub(crate) watch: Watch,
    /// Whether something is known to have changed that was not looked at.
    pub(crate) is_stale: bool,
    /// What the last search with SAVE found (RFC 5182), by UID.
    pub(crate) saved: Vec<u32>,
    /// The UIDs of messages, ascending; a message's number is its place, from 1.
    uids: Vec<u32>,
    /// How many of them the client knows of.
    announced: usize,
    /// The changes up to here are in the other fields.
    modseq: u64,
    /// Those that are gone and that the client was not told of.
    gone: BTreeSet<u32>,
    /// Those whose flags are others and that the client was not told of.
    flagged: BTreeSet<u32>,
    /// Changes of flags that the client has asked for, and knows the outcome of.
    own: BTreeSet<u64>,
}

/// What there is to tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Numbers of messages that are gone, the highest first: each is right when it is told in this order.
    pub(crate) expunged: Vec<usize>,
    /// How many messages there are, if there are more.
    pub(crate) count: Option<usize>,
    /// The UIDs of those with other flags.
    pub(crate) flagged: Vec<u64>,
}

/// IMAP's UIDs have 32 bits; the mail store gives out no higher ones.
fn narrow(uid: u64) -> u32 {
    u32::try_from(uid).unwrap_or(u32::MAX)
}

impl Selected {
    pub(crate) fn new(view: View, watch: Watch, is_read_only: bool) -> Self {
        let uids: Vec<u32> = view.uids.into_iter().map(narrow).collect();
        Self {
            folder: view.folder.id,
            is_read_only,
            watch,
            is_stale: true,
            saved: Vec::new(),
            announced: uids.len(),
            uids,
            modseq: view.modseq,
            gone: BTreeSet::new(),
            flagged: BTreeSet::new(),
            own: BTreeSet::new(),
        }
    }

    /// The UIDs of the messages that the client knows of.
    pub(crate) fn uids(&self) -> &[u32] {
        &self.uids[..self.announced]
    }

    /// The number of a message that the client knows of.
    pub(crate) fn number_of(&self, uid: u64) -> Option<usize> {
        self.uids().binary_search(&u32::try_from(uid).ok()?).ok().map(|index| index + 1)
    }

    /// Notes a change of flags that the client is told of by the command that made it.
    pub(crate) fn note_own(&mut self, modseq: u64) {
        self.own.insert(modseq);
    }

    /// The UIDs of the messages that a set names, ascending.
    ///
    /// # Errors
    /// A message number that there is not (RFC 9051 §6.4.8: not so a UID).
    pub(crate) fn resolve(&self, set: &SequenceSet, by_uid: bool) -> Result<Vec<u32>, Status> {
        let known = self.uids();
        if *set == SequenceSet::Saved {
            return Ok(self.saved.iter().copied().filter(|uid| known.binary_search(uid).is_ok()).collect());
        }
        let last = if by_uid { known.last().copied().unwrap_or(0) } else { narrow(known.len() as u64) };
        let mut uids = Vec::new();
        for range in set.ranges(last) {
            uids.extend_from_slice(match by_uid {
                true => self.between(&range),
                // `1:*` of none names none; clients ask for it.
                false if known.is_empty() => &[],
                false => known
                    .get((*range.start() as usize).wrapping_sub(1)..*range.end() as usize)
                    .ok_or_else(|| Status::bad("there is no message of that number"))?,
            });
        }
        Ok(uids)
    }

    fn between(&self, range: &RangeInclusive<u32>) -> &[u32] {
        let known = self.uids();
        let first = known.partition_point(|uid| uid < range.start());
        let end = known.partition_point(|uid| uid <= range.end());
        known.get(first..end).unwrap_or_default()
    }

    /// Learns what has changed since it looked last.
    pub(crate) async fn catch_up(
        &mut self,
        ctx: &Ctx,
        mailbox_id: MailboxId,
    ) -> Result<(), mailstore::Error> {
        let mut is_touched = false;
        loop {
            let news = change::since(ctx, mailbox_id, Some(self.modseq)).await?;
            let folder = self.folder;
            for change in news.changes.iter().filter(|change| change.folder_id == folder) {
                match change.kind {
                    Kind::Arrived => self.arrived(change.uids.iter().map(narrow)),
                    Kind::Gone => self.gone.extend(change.uids.iter().map(narrow)),
                    Kind::Flagged if self.own.contains(&change.modseq) => {}
                    Kind::Flagged => self.flagged.extend(change.uids.iter().map(narrow)),
                    Kind::Folder => is_touched = true,
                }
            }
            self.modseq = news.modseq;
            if !news.has_more {
                break;
            }
        }
        self.own.clear();
        self.is_stale = false;
        if is_touched {
            folder::get(ctx, mailbox_id, self.folder).await?;
        }
        Ok(())
    }

    fn arrived(&mut self, uids: impl Iterator<Item = u32>) {
        let last = self.uids.last().copied().unwrap_or(0);
        // What was there when the folder was opened may be told once more. No UID comes that is lower than one that was there.
        self.uids.extend(uids.filter(|uid| *uid > last));
    }

    /// What there is to tell, which the client is taken to know afterwards.
    pub(crate) fn take_news(&mut self, may_expunge: bool) -> News {
        let mut expunged = Vec::new();
        if may_expunge && !self.gone.is_empty() {
            let gone = std::mem::take(&mut self.gone);
            self.flagged.retain(|uid| !gone.contains(uid));
            for uid in gone.into_iter().rev() {
                let Ok(index) = self.uids.binary_search(&uid) else { continue };
                self.uids.remove(index);
                if index < self.announced {
                    self.announced -= 1;
                    expunged.push(index + 1);
                }
            }
        }
        let count = (self.uids.len() > self.announced).then_some(self.uids.len());
        self.announced = self.uids.len();
        let flagged = std::mem::take(&mut self.flagged).into_iter().map(u64::from).collect();
        News { expunged, count, flagged }
    }
}
