//! The sections of a message: RFC 9051 §6.4.5.1.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::fields::{Field, Fields};
use super::tree::{self, Inside, Node};
use crate::parsed::mime::split;

/// What is wanted of a message or a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// Of a message all of it, of a part its body as it is encoded.
    All,
    /// A message's header with the empty line that ends it: the message's or, of a part, the one's that it is.
    Header,
    /// The fields of these names in such a header, in its order and with their folding, and an empty line.
    HeaderFields(&'a [String]),
    /// The other fields, likewise.
    HeaderFieldsNot(&'a [String]),
    /// What follows such a header.
    Text,
    /// A part's own header with the empty line that ends it.
    Mime,
}

/// A message of which sections are wanted; it is read once, whatever is asked for.
pub struct Sections<'a> {
    message: &'a [u8],
    root: OnceCell<Node<'a>>,
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

    /// What is wanted of the message, or of the part of a number in it; none if there is no such thing.
    ///
    /// All but chosen fields is a slice of the message. The numbers are those of [`parse`](super::parse): by them a
    /// part's body is as long as it says there.
    pub fn get(&self, part: &[u32], what: What<'_>) -> Option<Cow<'a, [u8]>> {
        if part.is_empty() {
            return match what {
                What::All => Some(Cow::Borrowed(self.message)),
                What::Mime => None,
                _ => Some(of_message(split(self.message), what)),
            };
        }
        let node = self.root.get_or_init(|| tree::scan(self.message)).part(part)?;
        match (what, &node.inside) {
            (What::All, _) => Some(Cow::Borrowed(node.body)),
            (What::Mime, _) => Some(Cow::Borrowed(node.header)),
            (_, Inside::Message(message)) => Some(of_message((message.header, message.body), what)),
            _ => None,
        }
    }
}

fn of_message<'a>((header, body): (&'a [u8], &'a [u8]), what: What<'_>) -> Cow<'a, [u8]> {
    match what {
        What::HeaderFields(names) => Cow::Owned(chosen(header, names, true)),
        What::HeaderFieldsNot(names) => Cow::Owned(chosen(header, names, false)),
        What::Header | What::Mime => Cow::Borrowed(header),
        What::Text | What::All => Cow::Borrowed(body),
    }
}

/// The fields whose name is among the names, or those whose name is not.
fn chosen(header: &[u8], names: &[String], is_among: bool) -> Vec<u8> {
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
