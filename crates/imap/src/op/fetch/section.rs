//! Sections of a message (RFC 9051 §6.4.5.1).

use std::borrow::Cow;

use mailstore::structure::{self, What};

use crate::codec::command::{Rfc822, Section, SectionText};
use crate::codec::write;
use crate::connection::Connection;
use crate::session::End;

/// Writes a section, or the part of it that is asked for. What there is not is `NIL`.
pub(super) async fn write(
    connection: &mut Connection,
    message: &[u8],
    section: &Section,
    partial: Option<(u64, u64)>,
) -> Result<(), End> {
    let out = connection.out();
    out.extend_from_slice(b"BODY[");
    label(out, section);
    out.extend_from_slice(b"]");
    if let Some((first, _)) = partial {
        out.extend_from_slice(format!("<{first}>").as_bytes());
    }
    out.extend_from_slice(b" ");
    let part: Vec<u32> = section.part.iter().map(|number| number.get()).collect();
    let what = match &section.what {
        SectionText::All => What::All,
        SectionText::Header => What::Header,
        SectionText::HeaderFields(names) => What::HeaderFields(names),
        SectionText::HeaderFieldsNot(names) => What::HeaderFieldsNot(names),
        SectionText::Text => What::Text,
        SectionText::Mime => What::Mime,
    };
    match structure::section(message, &part, what) {
        Some(text) => connection.literal(cut(&text, partial)).await,
        None => {
            connection.out().extend_from_slice(b"NIL");
            Ok(())
        }
    }
}

/// Writes what goes by an old name.
pub(super) async fn write_rfc822(
    connection: &mut Connection,
    message: &[u8],
    which: Rfc822,
) -> Result<(), End> {
    let (name, what) = match which {
        Rfc822::All => ("RFC822 ", What::All),
        Rfc822::Header => ("RFC822.HEADER ", What::Header),
        Rfc822::Text => ("RFC822.TEXT ", What::Text),
    };
    connection.out().extend_from_slice(name.as_bytes());
    let text = structure::section(message, &[], what).unwrap_or(Cow::Borrowed(b""));
    connection.literal(&text).await
}

/// So many bytes from one on, as far as they are there.
fn cut(text: &[u8], partial: Option<(u64, u64)>) -> &[u8] {
    let Some((first, count)) = partial else { return text };
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(text.len());
    &text[at(first)..at(first.saturating_add(count))]
}

/// A section as the client named it.
fn label(out: &mut bytes::BytesMut, section: &Section) {
    let numbers: Vec<String> = section.part.iter().map(ToString::to_string).collect();
    out.extend_from_slice(numbers.join(".").as_bytes());
    let (word, names) = match &section.what {
        SectionText::All => return,
        SectionText::Header => ("HEADER", None),
        SectionText::HeaderFields(names) => ("HEADER.FIELDS", Some(names)),
        SectionText::HeaderFieldsNot(names) => ("HEADER.FIELDS.NOT", Some(names)),
        SectionText::Text => ("TEXT", None),
        SectionText::Mime => ("MIME", None),
    };
    if !section.part.is_empty() {
        out.extend_from_slice(b".");
    }
    out.extend_from_slice(word.as_bytes());
    let Some(names) = names else { return };
    out.extend_from_slice(b" (");
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b" ");
        }
        write::astring(out, name, false);
    }
    out.extend_from_slice(b")");
}
