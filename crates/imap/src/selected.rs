//! The folder that is open: the numbers that the client knows messages by, kept in step with the mail store.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::FutureExt as _;
use kernel::{FolderId, MailboxId};
use mailstore::change::{self, Kind, UidSet, Watch};
use mailstore::folder;
use mailstore::message::{Flag, Flags, Keyword};
use mailstore::view::View;
use tenancy::Ctx;
use tokio::time::Instant;

use crate::ahead::Ahead;
use crate::codec::set::SequenceSet;
use crate::piece::Piecemeal;
use crate::render;
use crate::status::Status;
use crate::uids::{Lists, Uids};

/// A folder that is open.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) mailbox_id: MailboxId,
    pub(crate) folder: FolderId,
    pub(crate) is_read_only: bool,
    pub(crate) watch: Watch,
    /// Whether something is known to have changed that was not looked at.
    pub(crate) is_stale: bool,
    /// What the last search with SAVE found (RFC 5182), by UID.
    pub(crate) saved: Vec<u32>,
    /// What was looked up for the next commands.
    pub(crate) ahead: Ahead,
    /// What more may be asked for of.
    pub(crate) piecemeal: Piecemeal,
    /// The UIDs of messages, ascending; a message's number is its place, from 1.
    uids: Uids,
    /// How many of them the client knows of.
    announced: usize,
    /// The UID that came next when it was opened.
    uid_next: u64,
    /// What the client was told that the UIDs are good with.
    uid_validity: u32,
    /// The changes of the mailbox up to here are in the other fields.
    modseq: u64,
    /// The last of them that was one of the folder's messages.
    highest_modseq: u64,
    /// Those that are gone and that the client was not told of.
    gone: BTreeSet<u32>,
    /// Those whose flags are others and that the client was not told of.
    flagged: BTreeSet<u32>,
    /// Changes of flags that the client has asked for, and knows the outcome of.
    own: BTreeSet<u64>,
    /// The keywords that the client knows of.
    keywords: BTreeSet<Keyword>,
    /// Whether the folder itself has changed, and was not looked at since.
    is_touched: bool,
}

/// What there is to tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Numbers of messages that are gone, the highest first: each is right when it is told in this order.
    pub(crate) expunged: Vec<usize>,
    /// Their UIDs.
    pub(crate) vanished: UidSet,
    /// How many messages there are, if there are more.
    pub(crate) count: Option<usize>,
}

/// The keywords that clients give a meaning.
const KEYWORDS: [&str; 4] = ["$Forwarded", "$MDNSent", "$Junk", "$NotJunk"];

/// IMAP's UIDs have 32 bits; the mail store gives out no higher ones.
fn narrow(uid: u64) -> u32 {
    u32::try_from(uid).unwrap_or(u32::MAX)
}

/// Those of ascending UIDs that are in a range.
fn between<'a>(uids: &'a [u32], range: &RangeInclusive<u64>) -> &'a [u32] {
    let first = uids.partition_point(|uid| u64::from(*uid) < *range.start());
    let end = uids.partition_point(|uid| u64::from(*uid) <= *range.end());
    uids.get(first..end).unwrap_or_default()
}

impl Selected {
    pub(crate) fn new(
        view: &View,
        mailbox_id: MailboxId,
        watch: Watch,
        is_read_only: bool,
        lists: Arc<Lists>,
    ) -> Self {
        let uids: Vec<u32> = view.uids.iter().copied().map(narrow).collect();
        Self {
            mailbox_id,
            folder: view.folder.id,
            is_read_only,
            watch,
            is_stale: true,
            saved: Vec::new(),
            ahead: Ahead::default(),
            piecemeal: Piecemeal::default(),
            announced: uids.len(),
            uids: Uids::new(lists, view.folder.id, &uids),
            uid_next: view.folder.uid_next,
            uid_validity: view.folder.uid_validity,
            modseq: view.modseq,
            highest_modseq: view.folder.highest_modseq,
            gone: BTreeSet::new(),
            flagged: BTreeSet::new(),
            own: BTreeSet::new(),
            keywords: KEYWORDS
                .iter()
                .filter_map(|word| word.parse().ok())
                .chain(view.keywords.iter().cloned())
                .collect(),
            is_touched: false,
        }
    }

    /// The flags that there are, as untagged line; beside them clients may make their own.
    pub(crate) fn flags_line(&self) -> String {
        format!("FLAGS ({})", self.flags())
    }

    /// The flags that there are.
    pub(crate) fn flags(&self) -> String {
        let system = Flag::ALL.iter().copied().map(|flag| -> &str { render::name(flag) });
        let all: Vec<&str> = system.chain(self.keywords.iter().map(Keyword::as_str)).collect();
        all.join(" ")
    }

    /// Whether there is a keyword among flags that the client was not told of; from now on it is taken to know it.
    pub(crate) fn learn(&mut self, flags: &Flags) -> bool {
        let mut is_new = false;
        for keyword in &flags.keywords {
            if !self.keywords.contains(keyword) {
                self.keywords.insert(keyword.clone());
                is_new = true;
            }
        }
        is_new
    }

    /// What the client calls a message, in a command by UIDs or by numbers.
    pub(crate) fn name_of(&self, uid: u64, by_uid: bool) -> Option<u32> {
        let number = self.number_of(uid)?;
        if by_uid { u32::try_from(uid).ok() } else { u32::try_from(number).ok() }
    }

    /// The UID of a message by what the client calls it: [`Self::name_of`] the other way round.
    pub(crate) fn uid_of(&self, name: u32, by_uid: bool) -> Option<u64> {
        let uid = if by_uid { name } else { *self.uids().get((name as usize).checked_sub(1)?)? };
        Some(u64::from(uid))
    }

    /// The UIDs of the messages that the client knows of.
    pub(crate) fn uids(&self) -> &[u32] {
        &self.uids[..self.announced]
    }

    /// How many messages to look up for a client that asks for one; noted is that it does with [`Ahead::take`].
    pub(crate) fn count_ahead(&mut self, uid: u32, now: Instant) -> usize {
        let known = self.uids();
        let at = known.binary_search(&uid).ok();
        let before = at.and_then(|at| known.get(at.checked_sub(1)?)).copied();
        self.ahead.count(before, now)
    }

    /// A message that the client knows of and some that follow it, as many as there are.
    pub(crate) fn from(&self, uid: u32, count: usize) -> &[u32] {
        let known = self.uids();
        let at = known.partition_point(|one| *one < uid);
        &known[at..known.len().min(at + count)]
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
    /// As [`Self::ranges`].
    pub(crate) fn resolve(&self, set: &SequenceSet, by_uid: bool) -> Result<Vec<u32>, Status> {
        let ranges = self.ranges(set, by_uid)?;
        Ok(ranges.iter().flat_map(|range| self.between(range)).copied().collect())
    }

    /// The UIDs that a set names, of messages that are there and of others, as ascending ranges: as many as the set has.
    ///
    /// # Errors
    /// A message number that there is not (RFC 9051 §6.4.8: not so a UID).
    pub(crate) fn ranges(&self, set: &SequenceSet, by_uid: bool) -> Result<Vec<RangeInclusive<u64>>, Status> {
        let known = self.uids();
        if *set == SequenceSet::Saved {
            let saved: UidSet = self.saved.iter().copied().map(u64::from).collect();
            return Ok(saved.ranges().to_vec());
        }
        if by_uid {
            let ranges = set.ranges(known.last().copied().unwrap_or(0)).into_iter();
            return Ok(ranges.map(|range| u64::from(*range.start())..=u64::from(*range.end())).collect());
        }
        if known.is_empty() {
            // `1:*` of none names none; clients ask for it.
            return Ok(Vec::new());
        }
        let uid = |number: u32| known.get((number as usize).checked_sub(1)?).copied().map(u64::from);
        let ranges = set.ranges(narrow(known.len() as u64)).into_iter();
        let uids = ranges.map(|range| Some(uid(*range.start())?..=uid(*range.end())?));
        uids.collect::<Option<_>>().ok_or_else(|| Status::bad("there is no message of that number"))
    }

    /// The UIDs that a set names, of messages that are there and of those that were: `*` is the highest that there was.
    pub(crate) fn ever(&self, set: &SequenceSet) -> UidSet {
        match set {
            SequenceSet::Saved => self.saved.iter().copied().map(u64::from).collect(),
            set => {
                let ranges = set.ranges(narrow(self.last_uid())).into_iter();
                ranges.map(|range| u64::from(*range.start())..=u64::from(*range.end())).collect()
            }
        }
    }

    fn between(&self, range: &RangeInclusive<u64>) -> &[u32] {
        between(self.uids(), range)
    }

    /// Whether something is known to have changed that was not looked at.
    pub(crate) fn look_for_news(&mut self) -> bool {
        // Asked without waiting; what it says once may stand for many changes.
        self.is_stale |= self.watch.changed().now_or_never().is_some();
        self.is_stale
    }

    /// Learns what has changed since it looked last.
    pub(crate) async fn catch_up(&mut self, ctx: &Ctx) -> Result<(), mailstore::Error> {
        let mailbox_id = self.mailbox_id;
        loop {
            let news = change::since(ctx, mailbox_id, Some(self.modseq)).await?;
            if news.changes.iter().any(|change| !self.own.contains(&change.modseq)) {
                self.ahead.clear();
            }
            let folder = self.folder;
            let mut arrived: Vec<u32> = Vec::new();
            for change in news.changes.iter().filter(|change| change.folder_id == folder) {
                if change.kind != Kind::Folder {
                    self.highest_modseq = self.highest_modseq.max(change.modseq);
                }
                match change.kind {
                    Kind::Arrived => arrived.extend(change.uids.iter().map(narrow)),
                    // An import says it of any number of UIDs that nothing ever had here.
                    Kind::Gone => {
                        for range in change.uids.ranges() {
                            self.gone.extend(between(&self.uids, range));
                            self.gone.extend(between(&arrived, range));
                        }
                    }
                    Kind::Flagged if self.own.contains(&change.modseq) => {}
                    Kind::Flagged => self.flagged.extend(change.uids.iter().map(narrow)),
                    Kind::Folder => self.is_touched = true,
                }
            }
            self.arrived(arrived);
            self.modseq = news.modseq;
            if !news.has_more {
                break;
            }
        }
        self.own.clear();
        if self.is_touched {
            let folder = folder::get(ctx, mailbox_id, self.folder).await?;
            // An import has numbered it otherwise, while it was empty: what the client knows it as is gone (RFC 9051 §2.3.1.1).
            if folder.uid_validity != self.uid_validity {
                return Err(mailstore::Error::FolderNotFound);
            }
            self.is_touched = false;
        }
        self.is_stale = false;
        Ok(())
    }

    fn arrived(&mut self, mut uids: Vec<u32>) {
        let mut last = self.uids.last().copied().unwrap_or(0);
        // What was there when the folder was opened may be told once more. No UID comes that is lower than one that was there.
        uids.retain(|uid| {
            let is_new = *uid > last;
            last = last.max(*uid);
            is_new
        });
        if !uids.is_empty() {
            let all = [&*self.uids, &uids].concat();
            self.uids.set(&all);
        }
    }

    /// What there is to tell, which the client is taken to know afterwards.
    pub(crate) fn take_news(&mut self, may_expunge: bool) -> News {
        let (mut expunged, mut vanished) = (Vec::new(), Vec::new());
        if may_expunge && !self.gone.is_empty() {
            let gone = std::mem::take(&mut self.gone);
            self.flagged.retain(|uid| !gone.contains(uid));
            let (mut number, announced) = (0, self.announced);
            let mut left = self.uids.to_vec();
            left.retain(|uid| {
                number += 1;
                let is_gone = gone.contains(uid);
                if is_gone && number <= announced {
                    expunged.push(number);
                    vanished.push(u64::from(*uid));
                }
                !is_gone
            });
            self.uids.set(&left);
            self.announced -= expunged.len();
            expunged.reverse();
        }
        let count = (self.uids.len() > self.announced).then_some(self.uids.len());
        self.announced = self.uids.len();
        News { expunged, vanished: vanished.into_iter().collect(), count }
    }

    /// The highest UID that there was so far.
    pub(crate) fn last_uid(&self) -> u64 {
        let last = self.uids.last().copied().map_or(0, u64::from);
        last.max(self.uid_next.saturating_sub(1))
    }

    /// The modification sequence up to which the mailbox's changes are known here.
    pub(crate) fn reached(&self) -> u64 {
        self.modseq
    }

    /// The modification sequence of the folder's last change that is known here.
    pub(crate) fn highest_modseq(&self) -> u64 {
        self.highest_modseq.max(1)
    }

    /// The modification sequence up to which the client knows the folder, if it knows all that it was to be told.
    pub(crate) fn known_modseq(&self) -> Option<u64> {
        let is_told = !self.is_untold() && self.gone.is_empty();
        is_told.then_some(self.highest_modseq())
    }

    /// Whether there is, or may be, something that the client was not told though it could be.
    pub(crate) fn is_untold(&self) -> bool {
        self.is_stale || !self.flagged.is_empty()
    }

    /// Some of the messages whose flags are others and that the client was not told of.
    pub(crate) fn some_flagged(&self, max: usize) -> Vec<u32> {
        self.flagged.iter().take(max).copied().collect()
    }

    /// The client is told of these, ascending.
    pub(crate) fn told_flagged(&mut self, uids: &[u32]) {
        self.flagged.retain(|uid| uids.binary_search(uid).is_err());
    }
}
