//! What a message's nodes say, put down within bounds.

use serde::Serialize;

use super::fields::{Fields, kept, text};
use super::tree::{Inside, Node};
use super::{Disposition, Envelope, Leaf, Multipart, Part, Structure, address, content, seven_bit};

/// How much is kept of all that the headers in a message say, as JSON. A mail has few KiB of it; with a header for
/// each of a thousand parts, and six bytes for a control character, it could be hundreds of MiB.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// What IMAP tells of a message.
pub(super) fn structure(message: &Node<'_>) -> Structure {
    Keeper { left_bytes: MAX_KEPT_BYTES }.structure(message)
}

/// What the header of a part says besides what the part is.
#[derive(Default, Serialize)]
struct Details {
    parameters: Vec<(String, String)>,
    id: Option<String>,
    description: Option<String>,
    md5: Option<String>,
    disposition: Option<Disposition>,
    language: Vec<String>,
    location: Option<String>,
}

struct Keeper {
    left_bytes: usize,
}

impl Keeper {
    /// What a header says, or nothing if there is no room for it.
    fn keep<T: Default + Serialize>(&mut self, says: T) -> T {
        let left = serde_json::to_vec(&says).ok().and_then(|json| self.left_bytes.checked_sub(json.len()));
        let Some(left) = left else { return T::default() };
        self.left_bytes = left;
        says
    }

    fn structure(&mut self, message: &Node<'_>) -> Structure {
        Structure { envelope: self.keep(envelope(message.fields())), body: self.part(message) }
    }

    fn part(&mut self, node: &Node<'_>) -> Part {
        let details = self.keep(details(node));
        let subtype = node.of.subtype.clone();
        if let Inside::Parts(parts) = &node.inside {
            return Part::Multipart(Multipart {
                parts: parts.iter().map(|part| self.part(part)).collect(),
                subtype,
                parameters: details.parameters,
                disposition: details.disposition,
                language: details.language,
                location: details.location,
            });
        }
        let message = match &node.inside {
            Inside::Message(message) => Some(Box::new(self.structure(message))),
            _ => None,
        };
        let has_lines = node.of.is_text() || message.is_some();
        let lines = || node.body.iter().filter(|&&byte| byte == b'\n').count() as u64;
        Part::Leaf(Leaf {
            media_type: node.of.media_type.clone(),
            subtype,
            parameters: details.parameters,
            id: details.id,
            description: details.description,
            encoding: node.encoding.clone().unwrap_or_else(seven_bit),
            size_bytes: node.body.len() as u64,
            lines: has_lines.then(lines),
            message,
            md5: details.md5,
            disposition: details.disposition,
            language: details.language,
            location: details.location,
        })
    }
}

fn details(node: &Node<'_>) -> Details {
    let mut details = Details { parameters: node.of.parameters.clone(), ..Details::default() };
    for field in node.fields() {
        let says = || text(field.value);
        match field.name.to_ascii_lowercase().as_slice() {
            b"content-id" => details.id = kept(says()),
            b"content-description" => details.description = kept(says()),
            b"content-md5" => details.md5 = kept(says()),
            b"content-disposition" => details.disposition = content::disposition(&says()),
            b"content-language" => details.language = content::languages(&says()),
            b"content-location" => details.location = kept(says()),
            _ => {}
        }
    }
    details
}

fn envelope(fields: Fields<'_>) -> Envelope {
    let mut envelope = Envelope::default();
    for field in fields {
        let says = || text(field.value);
        match field.name.to_ascii_lowercase().as_slice() {
            b"date" => envelope.date = kept(says()),
            b"subject" => envelope.subject = kept(says()),
            b"from" => address::read(&says(), &mut envelope.from),
            b"sender" => address::read(&says(), &mut envelope.sender),
            b"reply-to" => address::read(&says(), &mut envelope.reply_to),
            b"to" => address::read(&says(), &mut envelope.to),
            b"cc" => address::read(&says(), &mut envelope.cc),
            b"bcc" => address::read(&says(), &mut envelope.bcc),
            b"in-reply-to" => envelope.in_reply_to = kept(says()),
            b"message-id" => envelope.message_id = kept(says()),
            _ => {}
        }
    }
    envelope
}
