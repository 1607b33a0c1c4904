//! REFERENCES word by word as RFC 5256 §3 has it: recursive and slow, for a few mails.

use std::cmp::Reverse;

use super::{Id, Mail};
use crate::order::collate;

/// A thread as the tests compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) number: Option<u32>,
    pub(super) children: Vec<Tree>,
}

struct Message {
    id: Option<Id>,
    /// Which mail it is; none for a dummy.
    mail: Option<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
}

struct Oracle<'a> {
    mails: &'a [Mail],
    messages: Vec<Message>,
    /// The children of the root.
    tops: Vec<usize>,
}

pub(super) fn references(mails: &[Mail]) -> Vec<Tree> {
    let mut oracle = Oracle { mails, messages: Vec::new(), tops: Vec::new() };
    oracle.link_all();
    let tops = (0..oracle.messages.len()).filter(|&at| oracle.messages[at].parent.is_none()).collect();
    oracle.tops = oracle.prune(tops, true);
    let mut tops = std::mem::take(&mut oracle.tops);
    for &top in &tops {
        oracle.sort_dummy(top);
    }
    tops.sort_by_key(|&top| oracle.date(top));
    oracle.tops = tops;
    oracle.gather();
    let tops = oracle.tops.clone();
    oracle.sorted(tops)
}

impl Oracle<'_> {
    fn add(&mut self, id: Option<Id>, mail: Option<usize>) -> usize {
        self.messages.push(Message { id, mail, parent: None, children: Vec::new() });
        self.messages.len() - 1
    }

    fn find(&self, id: Id) -> Option<usize> {
        self.messages.iter().position(|message| message.id == Some(id))
    }

    fn is_descendant(&self, at: usize, of: usize) -> bool {
        at == of || self.messages[of].children.iter().any(|&child| self.is_descendant(at, child))
    }

    fn link(&mut self, parent: usize, child: usize) {
        if !self.is_descendant(parent, child) {
            self.messages[parent].children.push(child);
            self.messages[child].parent = Some(parent);
        }
    }

    fn unlink(&mut self, child: usize) {
        if let Some(parent) = self.messages[child].parent.take() {
            self.messages[parent].children.retain(|&other| other != child);
        }
    }

    fn link_all(&mut self) {
        for (at, mail) in self.mails.iter().enumerate() {
            let id = mail.message_id.filter(|id| self.find(*id).is_none());
            self.add(id, Some(at));
        }
        for (at, mail) in self.mails.iter().enumerate() {
            let mut references = Vec::new();
            for id in &mail.references {
                references.push(self.find(*id).unwrap_or_else(|| self.add(Some(*id), None)));
            }
            for pair in references.windows(2) {
                if self.messages[pair[1]].parent.is_none() {
                    self.link(pair[0], pair[1]);
                }
            }
            self.unlink(at);
            if let Some(&last) = references.last() {
                self.link(last, at);
            }
        }
    }

    fn prune(&mut self, siblings: Vec<usize>, is_top: bool) -> Vec<usize> {
        let mut pruned = Vec::new();
        for at in siblings {
            let children = std::mem::take(&mut self.messages[at].children);
            let children = self.prune(children, false);
            if self.messages[at].mail.is_some() || (is_top && children.len() > 1) {
                self.messages[at].children = children;
                pruned.push(at);
            } else {
                pruned.extend(children);
            }
        }
        pruned
    }

    /// The first child in place of a dummy.
    fn head(&self, at: usize) -> usize {
        self.messages[at].mail.unwrap_or_else(|| self.messages[self.messages[at].children[0]].mail.unwrap())
    }

    fn date(&self, at: usize) -> (i64, usize) {
        (self.mails[self.head(at)].sent_at, self.head(at))
    }

    fn sort_dummy(&mut self, at: usize) {
        let mut children = std::mem::take(&mut self.messages[at].children);
        if self.is_dummy(at) {
            children.sort_by_key(|&child| self.date(child));
        }
        self.messages[at].children = children;
    }

    fn is_dummy(&self, at: usize) -> bool {
        self.messages[at].mail.is_none()
    }

    fn is_reply(&self, at: usize) -> bool {
        self.messages[at].mail.is_some_and(|mail| self.mails[mail].subject.is_reply_or_forward)
    }

    fn gather(&mut self) {
        let mut table: Vec<(String, usize)> = Vec::new();
        let subject = |oracle: &Self, at| collate::key(&oracle.mails[oracle.head(at)].subject.text);
        let tops: Vec<_> = self.tops.iter().map(|&top| (top, subject(self, top))).collect();
        let tops: Vec<_> = tops.into_iter().filter(|(_, subject)| !subject.is_empty()).collect();
        for (top, subject) in tops.clone() {
            match table.iter_mut().find(|(of, _)| *of == subject) {
                None => table.push((subject, top)),
                Some((_, found)) => {
                    let is_better = self.is_dummy(top) || (self.is_reply(*found) && !self.is_reply(top));
                    if !self.is_dummy(*found) && is_better {
                        *found = top;
                    }
                }
            }
        }
        for (top, subject) in tops {
            let place = table.iter().position(|(of, _)| *of == subject).unwrap();
            let found = table[place].1;
            if found == top || !self.tops.contains(&top) {
                continue;
            }
            self.tops.retain(|&other| other != top);
            if self.is_dummy(found) && self.is_dummy(top) {
                let children = std::mem::take(&mut self.messages[top].children);
                self.messages[found].children.extend(children);
            } else if self.is_dummy(found) || (self.is_reply(top) && !self.is_reply(found)) {
                self.messages[found].children.push(top);
            } else {
                let dummy = self.add(None, None);
                self.messages[dummy].children = vec![top, found];
                self.tops.retain(|&other| other != found);
                self.tops.push(dummy);
                table[place].1 = dummy;
            }
        }
    }

    /// Grandchildren before children.
    fn sorted(&mut self, mut siblings: Vec<usize>) -> Vec<Tree> {
        let mut trees = Vec::new();
        for &at in &siblings {
            self.sort_dummy(at);
        }
        siblings.sort_by_key(|&at| Reverse(self.date(at)));
        while let Some(at) = siblings.pop() {
            let children = self.messages[at].children.clone();
            let number = self.messages[at].mail.map(|mail| self.mails[mail].number);
            trees.push(Tree { number, children: self.sorted(children) });
        }
        trees
    }
}
