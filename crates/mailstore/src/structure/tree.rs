//! Which parts a message has, and where in it they are: the one reading of it that its structure and its sections
//! share.

use super::content::{self, MediaType};
use super::fields::{Fields, text};
use crate::parsed::mime::{MAX_HEADER_BYTES, Parts, split};

/// How deep multiparts and messages in it are followed. It bounds the work, too: each level is one pass over the
/// bytes in it.
const MAX_DEPTH: usize = 20;
/// How many parts are looked at.
const MAX_PARTS: usize = 1_000;

/// A message or a part.
pub(super) struct Node<'a> {
    /// With the empty line that ends it.
    pub(super) header: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) of: MediaType,
    /// As written, if it is.
    pub(super) encoding: Option<String>,
    pub(super) inside: Inside<'a>,
}

/// What is looked into.
pub(super) enum Inside<'a> {
    Nothing,
    /// At least one.
    Parts(Vec<Node<'a>>),
    Message(Box<Node<'a>>),
}

impl<'a> Node<'a> {
    /// The fields of its header, as far as they are read.
    pub(super) fn fields(&self) -> Fields<'a> {
        Fields::of(self.header.get(..MAX_HEADER_BYTES).unwrap_or(self.header))
    }

    /// The part of a number in this message (RFC 9051 §6.4.5.1).
    pub(super) fn part(&self, number: &[u32]) -> Option<&Self> {
        let (first, rest) = number.split_first()?;
        let index = usize::try_from(*first).ok()?.checked_sub(1)?;
        let mut part = match &self.inside {
            Inside::Parts(parts) => parts.get(index)?,
            // A message that has no parts is its own part 1.
            _ => (index == 0).then_some(self)?,
        };
        if rest.is_empty() {
            return Some(part);
        }
        match &part.inside {
            Inside::Parts(_) => {}
            Inside::Message(message) => part = message,
            Inside::Nothing => return None,
        }
        part.part(rest)
    }
}

/// Finds what is in a message.
pub(super) fn scan(message: &[u8]) -> Node<'_> {
    Scan { left: MAX_PARTS }.node(message, MAX_DEPTH, MediaType::text)
}

struct Scan {
    /// How many more parts are looked at.
    left: usize,
}

impl Scan {
    fn node<'a>(&mut self, bytes: &'a [u8], depth: usize, default: fn() -> MediaType) -> Node<'a> {
        let (header, body) = split(bytes);
        let mut node = Node { header, body, of: default(), encoding: None, inside: Inside::Nothing };
        // Of those that are there twice the last one, as mail-parser does: what is said of a message shall agree.
        for field in node.fields() {
            if field.name.eq_ignore_ascii_case(b"content-type") {
                node.of = MediaType::read(&text(field.value)).unwrap_or_else(default);
            } else if field.name.eq_ignore_ascii_case(b"content-transfer-encoding") {
                node.encoding = content::encoding(&text(field.value));
            }
        }
        if !node.of.is_multipart() && !node.of.is_message() {
            return node;
        }
        if depth == 0 || self.left == 0 || is_encoded_message(&node) {
            node.of = node.of.opaque();
        } else if node.of.is_message() {
            self.left -= 1;
            node.inside = Inside::Message(Box::new(self.node(body, depth - 1, MediaType::text)));
        } else {
            node.inside = Inside::Parts(self.parts(&node, depth - 1));
        }
        node
    }

    fn parts<'a>(&mut self, of: &Node<'a>, depth: usize) -> Vec<Node<'a>> {
        let is_digest = of.of.subtype.eq_ignore_ascii_case("digest");
        let default = if is_digest { MediaType::message } else { MediaType::text };
        let boundary = of.of.boundary();
        let mut parts = Vec::new();
        for part in boundary.iter().flat_map(|boundary| Parts::new(of.body, boundary)) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            parts.push(self.node(part, depth, default));
        }
        if parts.is_empty() {
            // IMAP's grammar knows no multipart without parts.
            parts.push(self.node(b"", 0, MediaType::text));
        }
        parts
    }
}

/// RFC 2046 §5.2.1 forbids it and RFC 6532 §3.7 does not: what is in it is no slice of the message, and only the
/// client that decodes it can look into it.
fn is_encoded_message(node: &Node<'_>) -> bool {
    let is_it = |encoding: &String| {
        ["base64", "quoted-printable"].iter().any(|name| encoding.eq_ignore_ascii_case(name))
    };
    node.of.is_message() && node.encoding.as_ref().is_some_and(is_it)
}
