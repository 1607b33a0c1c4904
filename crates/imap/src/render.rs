//! What FETCH tells of a message, written (RFC 9051 §7.5.2).

use bytes::BytesMut;
use mailstore::message::{Flag, Flags};
use mailstore::structure::{Address, Envelope};
use mailstore::view::Row;

use crate::codec::write;

mod structure;

pub(crate) use structure::body;

/// A line that tells a message's flags without being asked.
pub(crate) fn flags_line(out: &mut BytesMut, number: usize, row: &Row, is_condstore: bool, with_uid: bool) {
    out.extend_from_slice(format!("* {number} FETCH (").as_bytes());
    if with_uid {
        out.extend_from_slice(format!("UID {} ", row.uid).as_bytes());
    }
    flags(out, &row.flags);
    if is_condstore {
        out.extend_from_slice(format!(" MODSEQ ({})", row.modseq).as_bytes());
    }
    out.extend_from_slice(b")\r\n");
}

/// `FLAGS (…)`.
pub(crate) fn flags(out: &mut BytesMut, flags: &Flags) {
    out.extend_from_slice(b"FLAGS (");
    let system = flags.flags.iter().map(|flag| name(*flag));
    let all = system.chain(flags.keywords.iter().map(|keyword| keyword.as_str()));
    for (index, flag) in all.enumerate() {
        if index > 0 {
            out.extend_from_slice(b" ");
        }
        out.extend_from_slice(flag.as_bytes());
    }
    out.extend_from_slice(b")");
}

/// A flag's name in the protocol.
pub(crate) fn name(flag: Flag) -> &'static str {
    match flag {
        Flag::Seen => "\\Seen",
        Flag::Answered => "\\Answered",
        Flag::Flagged => "\\Flagged",
        Flag::Deleted => "\\Deleted",
        Flag::Draft => "\\Draft",
    }
}

/// An envelope.
pub(crate) fn envelope(out: &mut BytesMut, envelope: &Envelope) {
    out.extend_from_slice(b"(");
    text(out, envelope.date.as_deref());
    out.extend_from_slice(b" ");
    text(out, envelope.subject.as_deref());
    for list in [
        envelope.from.as_slice(),
        envelope.sender(),
        envelope.reply_to(),
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ] {
        out.extend_from_slice(b" ");
        addresses(out, list);
    }
    out.extend_from_slice(b" ");
    text(out, envelope.in_reply_to.as_deref());
    out.extend_from_slice(b" ");
    text(out, envelope.message_id.as_deref());
    out.extend_from_slice(b")");
}

fn addresses(out: &mut BytesMut, list: &[Address]) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.extend_from_slice(b"(");
    for Address { name, route, mailbox, host } in list {
        out.extend_from_slice(b"(");
        for (index, part) in [name, route, mailbox, host].into_iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b" ");
            }
            text(out, part.as_deref());
        }
        out.extend_from_slice(b")");
    }
    out.extend_from_slice(b")");
}

/// How many characters of a preview are told (RFC 8970 §3.3).
const PREVIEW_CHARS: usize = 200;

/// The beginning of what a message says, or `NIL` where nobody was to wait for it.
pub(crate) fn preview(out: &mut BytesMut, preview: Option<&str>) {
    let cut = |preview: &str| preview.char_indices().nth(PREVIEW_CHARS).map_or(preview.len(), |(end, _)| end);
    text(out, preview.map(|preview| preview[..cut(preview)].trim_end()));
}

/// A text, or `NIL`.
fn text(out: &mut BytesMut, text: Option<&str>) {
    write::nstring(out, text.map(str::as_bytes), false);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: Option<&str>) -> String {
        let mut out = BytesMut::new();
        preview(&mut out, text);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_preview_has_so_many_characters_and_not_bytes() {
        assert_eq!(told(None), "NIL");
        assert_eq!(told(Some("")), "\"\"");
        assert_eq!(told(Some("say \"a\\b\"")), "\"say \\\"a\\\\b\\\"\"");
        assert_eq!(told(Some(&"a".repeat(200))), format!("\"{}\"", "a".repeat(200)));
        assert_eq!(told(Some(&"a".repeat(201))), format!("\"{}\"", "a".repeat(200)));
        assert_eq!(told(Some(&"é".repeat(256))), format!("{{400}}\r\n{}", "é".repeat(200)));
        // Not in the middle of a gap.
        assert_eq!(told(Some(&format!("{} b", "a".repeat(199)))), format!("\"{}\"", "a".repeat(199)));
    }
}
