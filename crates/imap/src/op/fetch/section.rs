//! Sections of a message, as they are in it or without their encoding (RFC 9051 §6.4.5.1, RFC 3516 §4.3).

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mailstore::structure::{Sections, UnknownEncoding, What, chosen_fields};

use crate::codec::command::{FetchItem, Rfc822, Section, SectionText};
use crate::codec::write;
use crate::connection::Connection;
use crate::session::{End, Trouble};
use crate::status::Status;

/// From so many bytes on a message is read where it holds up no other session.
const LONG_BYTES: usize = 128 << 10;

/// Whether an item is a section.
pub(super) fn is_one(item: &FetchItem) -> bool {
    matches!(
        item,
        FetchItem::Section { .. }
            | FetchItem::Rfc822(_)
            | FetchItem::Binary { .. }
            | FetchItem::BinarySize(_)
    )
}

/// A section that was cut out of a message.
#[derive(Debug, Clone)]
pub(super) enum Cut {
    /// As it is written, or a part of it is.
    Text(Bytes),
    /// What it is made from when it is written, so that however often it is asked for, there is one copy of it at a time: the header that fields are
    /// chosen from, the message that a part of is decoded.
    From(Bytes),
}

/// Cuts sections out of a message, pieces of it; none for what there is not.
///
/// # Errors
/// What to answer where a part is to be decoded that cannot be.
pub(super) async fn cut(message: Bytes, wanted: Arc<[FetchItem]>) -> Result<Vec<Option<Cut>>, Trouble> {
    let is_long = message.len() >= LONG_BYTES;
    let work = move || {
        let sections = Sections::new(&message);
        let mut decoded = BTreeMap::new();
        let cut = wanted.iter().map(|item| cut_one(&message, &sections, &mut decoded, item));
        cut.collect::<Result<Vec<Option<Cut>>, UnknownEncoding>>()
    };
    let cut = match is_long {
        true => tokio::task::spawn_blocking(work).await.map_err(|_| mailstore::Error::ShuttingDown)?,
        false => work(),
    };
    Ok(cut.map_err(|error| Status::no(error.to_string()).with("UNKNOWN-CTE"))?)
}

/// How long parts are without their encoding, of those that were asked for; none of one that there is not.
type Decoded = BTreeMap<Vec<u32>, Result<Option<usize>, UnknownEncoding>>;

fn cut_one(
    message: &Bytes,
    sections: &Sections<'_>,
    decoded: &mut Decoded,
    item: &FetchItem,
) -> Result<Option<Cut>, UnknownEncoding> {
    let mut size = |part: &[NonZeroU32]| {
        let part = numbers(part);
        let decode =
            |part: &Vec<u32>| sections.decoded(part).transpose().map(|found| found.map(|bytes| bytes.len()));
        // However many pieces of it are asked for.
        *decoded.entry(part).or_insert_with_key(decode)
    };
    match item {
        FetchItem::Binary { part, .. } => Ok(size(part)?.map(|_| Cut::From(message.clone()))),
        // A part that there is not has nothing in it: the grammar has a number here.
        FetchItem::BinarySize(part) => Ok(Some(Cut::Text(size(part)?.unwrap_or(0).to_string().into()))),
        item => {
            let found = piece(message, sections, item);
            Ok(found.map(|text| if chosen(item).is_some() { Cut::From(text) } else { Cut::Text(text) }))
        }
    }
}

fn numbers(part: &[NonZeroU32]) -> Vec<u32> {
    part.iter().map(|number| number.get()).collect()
}

fn piece(message: &Bytes, sections: &Sections<'_>, item: &FetchItem) -> Option<Bytes> {
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
            (numbers(&section.part), what)
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

/// The fields that an item chooses from a header, and whether it is these or all others.
fn chosen(item: &FetchItem) -> Option<(&[String], bool)> {
    let FetchItem::Section { section, .. } = item else { return None };
    match &section.what {
        SectionText::HeaderFields(names) => Some((names, true)),
        SectionText::HeaderFieldsNot(names) => Some((names, false)),
        SectionText::All | SectionText::Header | SectionText::Text | SectionText::Mime => None,
    }
}

/// What an item makes of what was cut for it: the fields that it chooses from a header, a part without its encoding, or the text itself.
async fn made(cut: Cut, item: &FetchItem, last: &mut LastDecoded) -> Result<Bytes, End> {
    let from = match cut {
        Cut::Text(text) => return Ok(text),
        Cut::From(from) => from,
    };
    if let FetchItem::Binary { part, .. } = item {
        return Ok(match last {
            Some((of, decoded)) if of == part => decoded.clone(),
            last => last.insert((part.clone(), decoded(from, numbers(part)).await?)).1.clone(),
        });
    }
    let Some((names, is_among)) = chosen(item) else { return Ok(from) };
    if from.len() < LONG_BYTES {
        return Ok(chosen_fields(&from, names, is_among).into());
    }
    let names = names.to_vec();
    let work = move || chosen_fields(&from, &names, is_among).into();
    tokio::task::spawn_blocking(work).await.map_err(|_| End::Shutdown)
}

/// The part of a message that was decoded last, for other pieces of it.
pub(super) type LastDecoded = Option<(Vec<NonZeroU32>, Bytes)>;

/// A part of a message that can be decoded.
async fn decoded(message: Bytes, part: Vec<u32>) -> Result<Bytes, End> {
    let work = move || match Sections::new(&message).decoded(&part) {
        Some(Ok(Cow::Owned(bytes))) => bytes.into(),
        Some(Ok(Cow::Borrowed(bytes))) if !bytes.is_empty() => message.slice_ref(bytes),
        _ => Bytes::new(),
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| End::Shutdown)
}

/// Writes a section under the name that was asked for. What there is not is `NIL`. The text of which a part was written, if it is long and goes on after
/// that part.
pub(super) async fn write(
    connection: &mut Connection,
    item: &FetchItem,
    cut: Option<Cut>,
    last: &mut LastDecoded,
) -> Result<Option<Bytes>, End> {
    label(connection.out(), item);
    connection.out().extend_from_slice(b" ");
    let Some(cut) = cut else {
        connection.out().extend_from_slice(b"NIL");
        return Ok(None);
    };
    let text = made(cut, item, last).await?;
    let partial = match item {
        FetchItem::Section { partial, .. } | FetchItem::Binary { partial, .. } => *partial,
        FetchItem::BinarySize(_) => {
            connection.out().extend_from_slice(&text);
            return Ok(None);
        }
        _ => None,
    };
    let is_binary = matches!(item, FetchItem::Binary { .. });
    let within = range(text.len(), partial);
    let goes_on = partial.is_some() && text.len() >= LONG_BYTES && within.end < text.len();
    connection.literal(&text[within], is_binary).await?;
    Ok(goes_on.then_some(text))
}

/// So many bytes from one on, as far as they are there.
fn range(length: usize, partial: Option<(u64, u64)>) -> Range<usize> {
    let Some((first, count)) = partial else { return 0..length };
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(length);
    at(first)..at(first.saturating_add(count))
}

/// A section as the client named it.
fn label(out: &mut BytesMut, item: &FetchItem) {
    match item {
        FetchItem::Section { section, partial, .. } => {
            out.extend_from_slice(b"BODY[");
            path(out, section);
            end(out, *partial);
        }
        FetchItem::Binary { part, partial, .. } => {
            out.extend_from_slice(b"BINARY[");
            dotted(out, part);
            end(out, *partial);
        }
        FetchItem::BinarySize(part) => {
            out.extend_from_slice(b"BINARY.SIZE[");
            dotted(out, part);
            end(out, None);
        }
        FetchItem::Rfc822(Rfc822::Header) => out.extend_from_slice(b"RFC822.HEADER"),
        FetchItem::Rfc822(Rfc822::Text) => out.extend_from_slice(b"RFC822.TEXT"),
        _ => out.extend_from_slice(b"RFC822"),
    }
}

fn end(out: &mut BytesMut, partial: Option<(u64, u64)>) {
    out.extend_from_slice(b"]");
    if let Some((first, _)) = partial {
        out.extend_from_slice(format!("<{first}>").as_bytes());
    }
}

fn dotted(out: &mut BytesMut, part: &[NonZeroU32]) {
    let numbers: Vec<String> = part.iter().map(ToString::to_string).collect();
    out.extend_from_slice(numbers.join(".").as_bytes());
}

fn path(out: &mut BytesMut, section: &Section) {
    dotted(out, &section.part);
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
