//! Threads as they are answered with.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{self, Write as _};

use super::Mail;

/// Threads. They are flat, for a thread can be as deep as there are mails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forest {
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<usize>,
}

/// A mail in a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// The mail's number. Without one it is a dummy: what the mails below it answer is not there. Only a root can be that.
    pub(super) number: Option<u32>,
    /// The answers to it, in their order: their places in the forest's nodes.
    pub(super) children: Vec<usize>,
}

impl Forest {
    /// Makes a forest of mails, which come with their places in the order that siblings are to have, and of what the
    /// parent of each place is. A parent that is no mail is a dummy, and as old as its oldest child (RFC 5256 §3).
    pub(super) fn grow(order: &[(usize, &Mail)], parents: &[Option<usize>]) -> Self {
        let mut forest = Self { nodes: vec![Node::default(); order.len()], roots: Vec::new() };
        let mut dummies = HashMap::new();
        for &(at, mail) in order {
            if let Some(node) = forest.nodes.get_mut(at) {
                node.number = Some(mail.number);
            }
            let parent = match parents.get(at).copied().flatten() {
                None => {
                    forest.roots.push(at);
                    continue;
                }
                Some(parent) if parent < order.len() => parent,
                Some(dummy) => match dummies.entry(dummy) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => {
                        let node = forest.nodes.len();
                        forest.nodes.push(Node::default());
                        forest.roots.push(node);
                        *entry.insert(node)
                    }
                },
            };
            if let Some(node) = forest.nodes.get_mut(parent) {
                node.children.push(at);
            }
        }
        forest
    }

    /// Writes `thread-members` as far as there is one answer to each, and gives what branches off after them.
    fn write_members(&self, mut at: usize, out: &mut fmt::Formatter<'_>) -> Result<&[usize], fmt::Error> {
        let mut is_first = true;
        while let Some(node) = self.nodes.get(at) {
            if let Some(number) = node.number {
                let space = if is_first { "" } else { " " };
                write!(out, "{space}{number}")?;
                is_first = false;
            }
            match node.children.as_slice() {
                [] => break,
                [child] => at = *child,
                branches => {
                    if !is_first {
                        out.write_char(' ')?;
                    }
                    return Ok(branches);
                }
            }
        }
        Ok(&[])
    }
}

/// What follows `* THREAD ` if there are any threads (RFC 5256 §4 and §5: `1*thread-list`).
impl fmt::Display for Forest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps: Vec<_> = self.roots.iter().rev().map(|&root| Step::Open(root)).collect();
        while let Some(step) = steps.pop() {
            match step {
                Step::Close => out.write_char(')')?,
                Step::Open(at) => {
                    out.write_char('(')?;
                    steps.push(Step::Close);
                    let branches = self.write_members(at, out)?;
                    steps.extend(branches.iter().rev().map(|&branch| Step::Open(branch)));
                }
            }
        }
        Ok(())
    }
}

/// What is still to be written.
enum Step {
    Open(usize),
    Close,
}
