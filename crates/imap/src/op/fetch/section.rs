//! Sections of a message (RFC 9051 §6.4.5.1).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mailstore::structure::{Sections, What, chosen_fields};

use crate::codec::command::{FetchItem, Rfc822, Section, SectionText};
use crate::codec::write;
use crate::connection::Connection;
use crate::session::End;

/// From so many bytes on a message is read where it holds up no other session.
const LONG_BYTES: usize = 128 << 10;

/// Whether an item is a section.
pub(super) fn is_one(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Section { .. } | FetchItem::Rfc822(_))
}

/// Cuts sections out of a message, pieces of it; none for what there is not. Of chosen fields it is the header that they are chosen from:
/// however often they are asked for, there is one copy of them at a time, which is made when it is written.
pub(super) async fn cut(
    message: Bytes,
    wanted: Arc<[FetchItem]>,
) -> Result<Vec<Option<Bytes>>, mailstore::Error> {
    let is_long = message.len() >= LONG_BYTES;
    let work = move || {
        let sections = Sections::new(&message);
        let cut = wanted.iter().map(|item| cut_one(&message, &sections, item));
        cut.collect::<Vec<Option<Bytes>>>()
    };
    match is_long {
        true => tokio::task::spawn_blocking(work).await.map_err(|_| mailstore::Error::ShuttingDown),
        false => Ok(work()),
    }
}

fn cut_one(message: &Bytes, sections: &Sections<'_>, item: &FetchItem) -> Option<Bytes> {
    let (part, what) = match item {
        FetchItem::Section { section, .. } => {
            let what = match section.what {
                SectionText::All => What::All,
                SectionText::Text => What::Text,
                SectionText::Mime => What::Mime,
                SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_) => {
                    What::Header
                }
            };
            (section.part.iter().map(|number| number.get()).collect(), what)
        }
        FetchItem::Rfc822(Rfc822::All) => (Vec::new(), What::All),
        FetchItem::Rfc822(Rfc822::Header) => (Vec::new(), What::Header),
        FetchItem::Rfc822(Rfc822::Text) => (Vec::new(), What::Text),
        _ => return None,
    };
    Some(match sections.get(&part, what)? {
        // What is empty need not be a piece of the message.
        [] => Bytes::new(),
        text => message.slice_ref(text),
    })
}

/// The fields that an item chooses from a header; the text itself of one that chooses none.
async fn chosen(text: Bytes, item: &FetchItem) -> Result<Bytes, End> {
    let FetchItem::Section { section, .. } = item else { return Ok(text) };
    let (names, is_among) = match &section.what {
        SectionText::HeaderFields(names) => (names.clone(), true),
        SectionText::HeaderFieldsNot(names) => (names.clone(), false),
        _ => return Ok(text),
    };
    if text.len() < LONG_BYTES {
        return Ok(chosen_fields(&text, &names, is_among).into());
    }
    let work = move || chosen_fields(&text, &names, is_among).into();
    tokio::task::spawn_blocking(work).await.map_err(|_| End::Shutdown)
}

/// Writes a section under the name that was asked for. What there is not is `NIL`.
pub(super) async fn write(
    connection: &mut Connection,
    item: &FetchItem,
    text: Option<Bytes>,
) -> Result<(), End> {
    label(connection.out(), item);
    connection.out().extend_from_slice(b" ");
    match text {
        Some(text) => {
            let text = chosen(text, item).await?;
            let partial = match item {
                FetchItem::Section { partial, .. } => *partial,
                _ => None,
            };
            connection.literal(range(&text, partial)).await
        }
        None => {
            connection.out().extend_from_slice(b"NIL");
            Ok(())
        }
    }
}

/// So many bytes from one on, as far as they are there.
fn range(text: &[u8], partial: Option<(u64, u64)>) -> &[u8] {
    let Some((first, count)) = partial else { return text };
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(text.len());
    &text[at(first)..at(first.saturating_add(count))]
}

/// A section as the client named it.
fn label(out: &mut BytesMut, item: &FetchItem) {
    match item {
        FetchItem::Section { section, partial, .. } => {
            out.extend_from_slice(b"BODY[");
            path(out, section);
            out.extend_from_slice(b"]");
            if let Some((first, _)) = partial {
                out.extend_from_slice(format!("<{first}>").as_bytes());
            }
        }
        FetchItem::Rfc822(Rfc822::Header) => out.extend_from_slice(b"RFC822.HEADER"),
        FetchItem::Rfc822(Rfc822::Text) => out.extend_from_slice(b"RFC822.TEXT"),
        _ => out.extend_from_slice(b"RFC822"),
    }
}

fn path(out: &mut BytesMut, section: &Section) {
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
