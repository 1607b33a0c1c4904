//! BODY and BODYSTRUCTURE (RFC 9051 §7.5.2).

use bytes::BytesMut;
use mailstore::structure::{Disposition, Leaf, Multipart, Part};

use super::text;
use crate::codec::write;

/// A body's structure, with its extension data or without.
pub(crate) fn body(out: &mut BytesMut, part: &Part, is_extended: bool) {
    out.extend_from_slice(b"(");
    match part {
        Part::Multipart(multipart) => multipart_in(out, multipart, is_extended),
        Part::Leaf(leaf) => leaf_in(out, leaf, is_extended),
    }
    out.extend_from_slice(b")");
}

fn multipart_in(out: &mut BytesMut, multipart: &Multipart, is_extended: bool) {
    for part in &multipart.parts {
        body(out, part, is_extended);
    }
    out.extend_from_slice(b" ");
    string(out, &multipart.subtype);
    if is_extended {
        out.extend_from_slice(b" ");
        parameters(out, &multipart.parameters);
        rest(out, multipart.disposition.as_ref(), &multipart.language, multipart.location.as_deref());
    }
}

fn leaf_in(out: &mut BytesMut, leaf: &Leaf, is_extended: bool) {
    string(out, &leaf.media_type);
    out.extend_from_slice(b" ");
    string(out, &leaf.subtype);
    out.extend_from_slice(b" ");
    parameters(out, &leaf.parameters);
    out.extend_from_slice(b" ");
    text(out, leaf.id.as_deref());
    out.extend_from_slice(b" ");
    text(out, leaf.description.as_deref());
    out.extend_from_slice(b" ");
    string(out, &leaf.encoding);
    out.extend_from_slice(format!(" {}", leaf.size_bytes).as_bytes());
    if let Some(message) = &leaf.message {
        out.extend_from_slice(b" ");
        super::envelope(out, &message.envelope);
        out.extend_from_slice(b" ");
        body(out, &message.body, is_extended);
    }
    if let Some(lines) = leaf.lines {
        out.extend_from_slice(format!(" {lines}").as_bytes());
    }
    if is_extended {
        out.extend_from_slice(b" ");
        text(out, leaf.md5.as_deref());
        rest(out, leaf.disposition.as_ref(), &leaf.language, leaf.location.as_deref());
    }
}

/// Disposition, language and location.
fn rest(out: &mut BytesMut, disposition: Option<&Disposition>, language: &[String], location: Option<&str>) {
    out.extend_from_slice(b" ");
    match disposition {
        Some(disposition) => {
            out.extend_from_slice(b"(");
            string(out, &disposition.kind);
            out.extend_from_slice(b" ");
            parameters(out, &disposition.parameters);
            out.extend_from_slice(b")");
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.extend_from_slice(b" ");
    list(out, language.iter().map(String::as_str));
    out.extend_from_slice(b" ");
    text(out, location);
}

fn parameters(out: &mut BytesMut, parameters: &[(String, String)]) {
    list(out, parameters.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
}

/// Texts in parentheses; `NIL` for none.
fn list<'a>(out: &mut BytesMut, texts: impl Iterator<Item = &'a str>) {
    let mut is_empty = true;
    for text in texts {
        out.extend_from_slice(if is_empty { b"(" } else { b" " });
        is_empty = false;
        string(out, text);
    }
    out.extend_from_slice(if is_empty { b"NIL" } else { b")" });
}

fn string(out: &mut BytesMut, text: &str) {
    write::string(out, text.as_bytes(), false);
}
