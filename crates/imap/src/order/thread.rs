//! Threads of mails (RFC 5256 §3): ORDEREDSUBJECT and REFERENCES.

mod ancestry;
mod forest;
#[cfg(test)]
mod oracle;
mod references;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sha2::{Digest as _, Sha256};

pub(crate) use self::forest::Forest;
pub(crate) use self::references::references;
use crate::order::collate;
use crate::order::subject::Base;

/// A mail as it is put into a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mail {
    /// The sequence number, or the UID: what the answer consists of.
    pub(crate) number: u32,
    /// When it was sent, in seconds since 1970; if it does not say, when it came in (RFC 5256 §2.2).
    pub(crate) sent_at: i64,
    /// What it is about.
    pub(crate) subject: Base,
    /// Its own id, if it has one.
    pub(crate) message_id: Option<Id>,
    /// The ids of what it answers, the oldest first.
    pub(crate) references: Vec<Id>,
}

/// A message id, as short as each: a stranger chooses how long they are.
pub(crate) type Id = [u8; 16];

/// The id of a text.
pub(crate) fn id(text: &str) -> Id {
    let digest: [u8; 32] = Sha256::digest(text).into();
    digest.first_chunk().copied().unwrap_or_default()
}

/// One thread for each base subject: the first mail, and the others as its children (ORDEREDSUBJECT).
///
/// The mails are in the order of their sequence numbers. Those without a base subject are one thread.
pub(crate) fn ordered_subject(mails: &[Mail]) -> Forest {
    let order = by_date(mails);
    let mut parents = vec![None; mails.len()];
    let mut firsts = HashMap::new();
    for &(at, mail) in &order {
        match firsts.entry(collate::key(&mail.subject.text)) {
            Entry::Vacant(entry) => {
                entry.insert(at);
            }
            Entry::Occupied(entry) => set(&mut parents, at, *entry.get()),
        }
    }
    Forest::grow(&order, &parents)
}

/// The mails and their places, by when they were sent, and what was sent together in the order of its sequence numbers.
fn by_date(mails: &[Mail]) -> Vec<(usize, &Mail)> {
    let mut order: Vec<_> = mails.iter().enumerate().collect();
    order.sort_unstable_by_key(|&(at, mail)| (mail.sent_at, at));
    order
}

fn set(parents: &mut [Option<usize>], at: usize, parent: usize) {
    if let Some(of) = parents.get_mut(at) {
        *of = Some(parent);
    }
}
