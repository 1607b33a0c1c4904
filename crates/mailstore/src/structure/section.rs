//! The sections of a message: RFC 9051 §6.4.5.1.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::panic::catch_unwind;

use super::binary::{self, UnknownEncoding};
use super::fields::{Field, Fields};
use super::tree::{self, Inside, Node};
use crate::parsed::mime::split;

/// What is wanted of a message or a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Of a message all of it, of a part its body as it is encoded.
    All,
    /// A message's header with the empty line that ends it: the message's or, of a part, the one's that it is.
    Header,
    /// What follows such a header.
    Text,
    /// A part's own header with the empty line that ends it.
    Mime,
}

/// A message of which sections are wanted; it is read once, whatever is asked for.
pub struct Sections<'a> {
    message: &'a [u8],
    /// Nothing where its reader panicked, as of [`parse`](super::parse).
    root: OnceCell<Option<Node<'a>>>,
}

impl std::fmt::Debug for Sections<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sections").field("size_bytes", &self.message.len()).finish_non_exhaustive()
    }
}

impl<'a> Sections<'a> {
    /// The sections of a message.
    pub fn new(message: &'a [u8]) -> Self {
        Self { message, root: OnceCell::new() }
    }

    /// What is wanted of the message, or of the part of a number in it; none if there is no such thing. What is not empty is a piece of the
    /// message. The numbers are those of [`parse`](super::parse): by them a part's body is as long as it says there.
    pub fn get(&self, part: &[u32], what: What) -> Option<&'a [u8]> {
        if part.is_empty() {
            return match what {
                What::All => Some(self.message),
                What::Header => Some(split(self.message).0),
                What::Text => Some(split(self.message).1),
                What::Mime => None,
            };
        }
        let node = self.root()?.part(part)?;
        match (what, &node.inside) {
            (What::All, _) => Some(node.body),
            (What::Mime, _) => Some(node.header),
            (What::Header, Inside::Message(message)) => Some(message.header),
            (What::Text, Inside::Message(message)) => Some(message.body),
            _ => None,
        }
    }

    /// The part of a number without its encoding (RFC 3516 §4.3); the message itself for no number; none if there is no such part.
    ///
    /// # Errors
    /// When its encoding is not known.
    pub fn decoded(&self, part: &[u32]) -> Option<Result<Cow<'a, [u8]>, UnknownEncoding>> {
        if part.is_empty() {
            return Some(Ok(self.message.into()));
        }
        self.root()?.part(part).map(binary::decoded)
    }

    fn root(&self) -> Option<&Node<'a>> {
        self.root.get_or_init(|| catch_unwind(|| tree::scan(self.message)).ok()).as_ref()
    }
}

/// The fields of a header whose name is among the names, or those whose name is not: in its order and with their folding, and an empty line.
pub fn chosen_fields(header: &[u8], names: &[String], is_among: bool) -> Vec<u8> {
    // Sorted, since a stranger chooses how many fields there are, and a client how many names.
    let mut names: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    let is_chosen = |field: &Field<'_>| {
        let lower = || field.name.iter().map(u8::to_ascii_lowercase);
        names.binary_search_by(|name| name.bytes().cmp(lower())).is_ok() == is_among
    };
    let mut chosen = Vec::new();
    for field in Fields::of(header).filter(is_chosen) {
        chosen.extend_from_slice(field.raw);
        // The last one of a header without a body may lack it.
        if !field.raw.ends_with(b"\n") {
            chosen.extend_from_slice(b"\r\n");
        }
    }
    chosen.extend_from_slice(b"\r\n");
    chosen
}
