//! What IMAP tells of a message's MIME structure: ENVELOPE, BODY and BODYSTRUCTURE (RFC 9051 §7.5.2), and the
//! sections of its body (§6.4.5.1).
//!
//! A [`Structure`] is made once, at ingest, from whatever a stranger sent, and kept as JSON: texts are bounded and
//! free of NULs, so that it fits a column. A section is cut from the message itself by the same reading of it
//! (`tree`): what BODYSTRUCTURE numbers is what a section finds.
//!
//! Messages are expected with CRLF line ends; others are read as well as they can be.

mod address;
mod binary;
mod content;
mod cursor;
mod describe;
mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod section;
#[cfg(test)]
mod tests;
mod tree;

use serde::{Deserialize, Serialize};

pub use binary::{UnknownEncoding, without_binary};
pub use section::{Sections, What, chosen_fields};

/// What IMAP tells of a message without its body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// What its header says.
    #[serde(default, rename = "e", skip_serializing_if = "is_default")]
    pub envelope: Envelope,
    /// What its body is.
    #[serde(rename = "b")]
    pub body: Part,
}

impl Structure {
    /// As a column holds it.
    pub(crate) fn to_column(&self) -> String {
        // A struct of texts, numbers and lists of them has no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a message's header says, as it is written there: unfolded, nothing decoded.
///
/// A text has at most 3,992 characters, a list about 1,000 addresses. Of a text that is there twice this is the
/// last one, as in [`Parsed`](crate::parsed::Parsed). The lists hold the addresses of all fields of a name: nobody
/// can hide a sender behind another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// `Date`, which need not be one.
    #[serde(default, rename = "d", skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// `Subject`, encoded words and all.
    #[serde(default, rename = "s", skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `From`.
    #[serde(default, rename = "f", skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Address>,
    /// `Sender`; IMAP wants [`Envelope::sender()`].
    #[serde(default, rename = "sn", skip_serializing_if = "Vec::is_empty")]
    pub sender: Vec<Address>,
    /// `Reply-To`; IMAP wants [`Envelope::reply_to()`].
    #[serde(default, rename = "rt", skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<Address>,
    /// `To`.
    #[serde(default, rename = "t", skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Address>,
    /// `Cc`.
    #[serde(default, rename = "c", skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<Address>,
    /// `Bcc`.
    #[serde(default, rename = "bc", skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<Address>,
    /// `In-Reply-To`, with the angle brackets.
    #[serde(default, rename = "ir", skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// `Message-ID`, with the angle brackets.
    #[serde(default, rename = "id", skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

impl Envelope {
    /// Who sent it: the authors unless the header names another (RFC 9051 §7.5.2).
    pub fn sender(&self) -> &[Address] {
        if self.sender.is_empty() { &self.from } else { &self.sender }
    }

    /// Who gets replies: the authors unless the header names others (RFC 9051 §7.5.2).
    pub fn reply_to(&self) -> &[Address] {
        if self.reply_to.is_empty() { &self.from } else { &self.reply_to }
    }
}

/// An address, or the beginning or end of a group of them (RFC 9051 §7.5.2).
///
/// Without a host it begins a group, whose name is in `mailbox`; without a mailbox, too, it ends one. What is no
/// address has an empty host or mailbox, not none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The display name, or else the comment (RFC 5322 §3.4 has both), without its quoting.
    #[serde(default, rename = "n", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The source route of old, as `@one,@two`.
    #[serde(default, rename = "r", skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// What is before the `@`, without its quoting.
    #[serde(default, rename = "m", skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
    /// What is after it.
    #[serde(default, rename = "h", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A part of a message, or its whole body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// One that is made of parts.
    #[serde(rename = "m")]
    Multipart(Multipart),
    /// One that is not, though it may be a message.
    #[serde(rename = "l")]
    Leaf(Leaf),
}

/// A text without a header, which says nothing.
impl Default for Part {
    fn default() -> Self {
        Self::Leaf(Leaf::default())
    }
}

/// A part that is made of parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multipart {
    /// Its parts: at least one, an empty text if there is none in the message.
    #[serde(rename = "ps")]
    pub parts: Vec<Part>,
    /// What follows `multipart/`, as written.
    #[serde(rename = "s")]
    pub subtype: String,
    /// The parameters of its media type; see [`Leaf::parameters`].
    #[serde(default, rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// `Content-Disposition`.
    #[serde(default, rename = "dp", skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// The tags in `Content-Language`, at most 100.
    #[serde(default, rename = "la", skip_serializing_if = "Vec::is_empty")]
    pub language: Vec<String>,
    /// `Content-Location`.
    #[serde(default, rename = "lo", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// A part that is not made of parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The media type's first half, as written, at most 127 characters: compare it without regard to case.
    #[serde(rename = "t")]
    pub media_type: String,
    /// Its second half, likewise. A message or multipart that is not looked into is `application/octet-stream`,
    /// since IMAP's grammar has no way to show it as what it is.
    #[serde(rename = "s")]
    pub subtype: String,
    /// The parameters of its media type as written, without quoting: at most 100, and those that RFC 2231 cuts up
    /// or encodes by the names that they have then (`name*0*`).
    #[serde(default, rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// `Content-ID`, with the angle brackets.
    #[serde(default, rename = "i", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `Content-Description`.
    #[serde(default, rename = "d", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Content-Transfer-Encoding` as written, `7BIT` if it is not.
    #[serde(default = "seven_bit", rename = "e", skip_serializing_if = "is_seven_bit")]
    pub encoding: String,
    /// The length of its body in the message, still encoded.
    #[serde(rename = "z")]
    pub size_bytes: u64,
    /// The line ends in its body if it is a text or a message.
    #[serde(default, rename = "l", skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// What it holds if it is a message that is looked into.
    #[serde(default, rename = "m", skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<Structure>>,
    /// `Content-MD5`.
    #[serde(default, rename = "md", skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// `Content-Disposition`.
    #[serde(default, rename = "dp", skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// The tags in `Content-Language`, at most 100.
    #[serde(default, rename = "la", skip_serializing_if = "Vec::is_empty")]
    pub language: Vec<String>,
    /// `Content-Location`.
    #[serde(default, rename = "lo", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// An empty text that has no header.
impl Default for Leaf {
    fn default() -> Self {
        let of = content::MediaType::text();
        Self {
            media_type: of.media_type,
            subtype: of.subtype,
            parameters: of.parameters,
            id: None,
            description: None,
            encoding: seven_bit(),
            size_bytes: 0,
            lines: Some(0),
            message: None,
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
        }
    }
}

/// How a part wants to be shown (RFC 2183).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposition {
    /// `inline`, `attachment` or another, as written.
    #[serde(rename = "k")]
    pub kind: String,
    /// What it says besides; see [`Leaf::parameters`].
    #[serde(default, rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
}

/// Reads what can be read. Never fails; a reader that panics has read nothing.
pub fn parse(message: &[u8]) -> Structure {
    std::panic::catch_unwind(|| describe::structure(&tree::scan(message))).unwrap_or_default()
}

fn seven_bit() -> String {
    "7BIT".to_owned()
}

fn is_seven_bit(encoding: &str) -> bool {
    encoding == "7BIT"
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
