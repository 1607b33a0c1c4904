//! The REFERENCES algorithm (RFC 5256 §3). The steps are numbered as they are there.
//!
//! A mail is known by its place, a dummy by a number that no mail has as its place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::ancestry::Ancestry;
use super::forest::Forest;
use super::{Id, Mail, by_date, set};
use crate::order::collate;

/// Threads by who answers whom, and where that is not known, by the subject (REFERENCES).
///
/// The mails are in the order of their sequence numbers.
pub(crate) fn references(mails: &[Mail]) -> Forest {
    let ancestry = linked(mails);
    let order = by_date(mails);
    let mut threads = Threads {
        mails,
        parents: pruned(mails.len(), &ancestry),
        next_dummy: ancestry.len(),
        merged: HashMap::new(),
    };
    threads.gather(&order);
    // (6) To add the mails by their date sorts each set of siblings.
    Forest::grow(&order, &threads.parents())
}

/// Step 1: who is whose parent by their references. What is referred to and is not there is a dummy.
fn linked(mails: &[Mail]) -> Ancestry {
    let mut ancestry = Ancestry::new(mails.len());
    let mut nodes: HashMap<Id, usize> = HashMap::with_capacity(mails.len());
    for (at, mail) in mails.iter().enumerate() {
        // An id is that of the first mail that has it; others have none that anyone could refer to.
        mail.message_id.iter().for_each(|id| {
            nodes.entry(*id).or_insert(at);
        });
    }
    for (at, mail) in mails.iter().enumerate() {
        // (1.A) A parent that is there stays: what is next to each other in truncated references is no parent and child.
        let mut last = None;
        for id in &mail.references {
            let node = *nodes.entry(*id).or_insert_with(|| ancestry.add());
            if let Some(parent) = last
                && ancestry.parent(node).is_none()
            {
                ancestry.link(parent, node);
            }
            last = Some(node);
        }
        // (1.B) What the mail itself says counts more than what was said of it.
        if ancestry.parent(at) != last {
            ancestry.cut(at);
            if let Some(parent) = last {
                ancestry.link(parent, at);
            }
        }
    }
    ancestry
}

/// Steps 2 and 3: the parent of each mail when dummies are there only at the top, and there with two children or more.
fn pruned(mails: usize, ancestry: &Ancestry) -> Vec<Option<usize>> {
    // What is the parent, then, of those whose parent is this node: itself unless it is a dummy that goes.
    let mut stands: Vec<usize> = (0..ancestry.len()).collect();
    let mut way = Vec::new();
    for dummy in mails..ancestry.len() {
        let mut at = dummy;
        let found = loop {
            let known = stands.get(at).copied().unwrap_or(at);
            match ancestry.parent(at).filter(|_| known == at && at >= mails) {
                Some(parent) => {
                    way.push(at);
                    at = parent;
                }
                None => break known,
            }
        };
        for at in way.drain(..) {
            if let Some(stands) = stands.get_mut(at) {
                *stands = found;
            }
        }
    }
    let parent = |at| ancestry.parent(at).and_then(|parent| stands.get(parent).copied());
    let parents: Vec<Option<usize>> = (0..mails).map(parent).collect();
    let mut children = vec![0_usize; ancestry.len()];
    for &parent in parents.iter().flatten() {
        children.get_mut(parent).into_iter().for_each(|count| *count += 1);
    }
    let stays = |&parent: &usize| parent < mails || children.get(parent).is_some_and(|&count| count > 1);
    parents.into_iter().map(|parent| parent.filter(stays)).collect()
}

/// Threads as they become one by their subjects.
struct Threads<'a> {
    mails: &'a [Mail],
    parents: Vec<Option<usize>>,
    next_dummy: usize,
    /// Dummies whose children are those of another one.
    merged: HashMap<usize, usize>,
}

/// A thread: the node at its top, and the key of its subject.
type Top = (usize, String);

impl Threads<'_> {
    /// Step 5, for what step 4 gives.
    fn gather(&mut self, order: &[(usize, &Mail)]) {
        let tops = self.tops(order);
        // (5.B) For each subject a dummy if there is one, else what is no reply, and the first of these.
        let mut table: HashMap<&str, usize> = HashMap::new();
        for (top, subject) in &tops {
            match table.entry(subject) {
                Entry::Vacant(entry) => {
                    entry.insert(*top);
                }
                Entry::Occupied(mut entry) => {
                    let is_better =
                        self.is_dummy(*top) || (self.is_reply(*entry.get()) && !self.is_reply(*top));
                    if !self.is_dummy(*entry.get()) && is_better {
                        entry.insert(*top);
                    }
                }
            }
        }
        // (5.C)
        for (top, subject) in &tops {
            if let Some(first) = table.get_mut(subject.as_str()).filter(|first| *first != top) {
                *first = self.merge(*top, *first);
            }
        }
    }

    /// Step 4: the threads by their date, of a dummy that of its first child. Without those that have no subject, which
    /// is, of a dummy, that of its first child (5.B.i and ii).
    fn tops(&self, order: &[(usize, &Mail)]) -> Vec<Top> {
        let mut is_met = vec![false; self.next_dummy];
        let mut tops = Vec::new();
        for (at, mail) in order {
            let top = match self.parents.get(*at).copied().flatten() {
                Some(parent) if !self.is_dummy(parent) => continue,
                parent => parent.unwrap_or(*at),
            };
            let was_met = is_met.get_mut(top).is_none_or(|is_met| std::mem::replace(is_met, true));
            if !was_met && !mail.subject.text.is_empty() {
                tops.push((top, collate::key(&mail.subject.text)));
            }
        }
        tops
    }

    /// Makes a thread a part of what is in the table for its subject, and gives what is there then.
    fn merge(&mut self, top: usize, first: usize) -> usize {
        match (self.is_dummy(first), self.is_dummy(top)) {
            (true, true) => {
                self.merged.insert(top, first);
                first
            }
            (true, false) => {
                set(&mut self.parents, top, first);
                first
            }
            _ if self.is_reply(top) && !self.is_reply(first) => {
                set(&mut self.parents, top, first);
                first
            }
            _ => {
                let dummy = self.next_dummy;
                self.next_dummy += 1;
                set(&mut self.parents, first, dummy);
                set(&mut self.parents, top, dummy);
                dummy
            }
        }
    }

    fn parents(&self) -> Vec<Option<usize>> {
        let moved = |parent| self.merged.get(&parent).copied().unwrap_or(parent);
        self.parents.iter().map(|parent| parent.map(moved)).collect()
    }

    fn is_dummy(&self, node: usize) -> bool {
        node >= self.mails.len()
    }

    fn is_reply(&self, node: usize) -> bool {
        self.mails.get(node).is_some_and(|mail| mail.subject.is_reply_or_forward)
    }
}
