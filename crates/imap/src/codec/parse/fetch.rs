//! FETCH (RFC 9051 §6.4.5, RFC 3516 §4.2, RFC 7162 §3.1.4 and §3.2.6, RFC 8474 §5, RFC 8970 §6).

use std::num::NonZeroU32;

use super::set::SET;
use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, Fetch, FetchItem, Rfc822, Section, SectionText};

/// How many items one command may ask for.
const MAX_ITEMS: usize = 100;
const ITEM: &str = "an item to fetch";
const SECTION: &str = "a section";
const PART: &str = "a part number";
const PARTIAL: &str = "a partial range such as <0.1024>";

pub(super) fn fetch(cursor: &mut Cursor, by_uid: bool) -> Result<Command> {
    cursor.space(SET)?;
    let set = cursor.set()?;
    cursor.space("items to fetch")?;
    let items = items(cursor)?;
    let (changed_since, vanished) = if cursor.has_more() { modifiers(cursor)? } else { (None, false) };
    Ok(Command::Fetch(Fetch { by_uid, set, items, changed_since, vanished }))
}

fn items(cursor: &mut Cursor) -> Result<Vec<FetchItem>> {
    if cursor.peek() == Some(b'(') {
        let named = cursor.list_of_some("items to fetch", |cursor| {
            let name = cursor.item_name();
            item(cursor, &name)
        })?;
        // Each is told once: a client that asks twice for what is long would have it multiplied.
        let mut items: Vec<FetchItem> = Vec::with_capacity(named.len().min(MAX_ITEMS));
        for item in named {
            if !items.contains(&item) {
                items.push(item);
            }
            if items.len() > MAX_ITEMS {
                return Err(Fail::TooMany("items to fetch"));
            }
        }
        return Ok(items);
    }
    let name = cursor.item_name();
    let mut items = vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size];
    match name.as_str() {
        "FAST" => {}
        "ALL" => items.push(FetchItem::Envelope),
        "FULL" => items.extend([FetchItem::Envelope, FetchItem::Body]),
        _ => items = vec![item(cursor, &name)?],
    }
    Ok(items)
}

fn item(cursor: &mut Cursor, name: &str) -> Result<FetchItem> {
    let item = match name {
        "UID" => FetchItem::Uid,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822.SIZE" => FetchItem::Size,
        "ENVELOPE" => FetchItem::Envelope,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "MODSEQ" => FetchItem::ModSeq,
        "EMAILID" => FetchItem::EmailId,
        "THREADID" => FetchItem::ThreadId,
        "PREVIEW" => FetchItem::Preview { is_lazy: lazy(cursor)? },
        "RFC822" => FetchItem::Rfc822(Rfc822::All),
        "RFC822.HEADER" => FetchItem::Rfc822(Rfc822::Header),
        "RFC822.TEXT" => FetchItem::Rfc822(Rfc822::Text),
        "BODY" if cursor.peek() != Some(b'[') => FetchItem::Body,
        "BODY" => body(cursor, false)?,
        "BODY.PEEK" => body(cursor, true)?,
        "BINARY" => binary(cursor, false)?,
        "BINARY.PEEK" => binary(cursor, true)?,
        "BINARY.SIZE" => FetchItem::BinarySize(binary_section(cursor)?),
        _ => return Err(Fail::Expected(ITEM)),
    };
    Ok(item)
}

/// The modifiers of a preview, if they are there. A list after the last item can be FETCH's own.
fn lazy(cursor: &mut Cursor) -> Result<bool> {
    const LAZY: &str = "LAZY";
    if !cursor.is_before_list_of(LAZY) {
        return Ok(false);
    }
    cursor.space(LAZY)?;
    cursor.list_of_some(LAZY, |cursor| match cursor.word().as_str() {
        LAZY => Ok(()),
        _ => Err(Fail::Expected(LAZY)),
    })?;
    Ok(true)
}

fn body(cursor: &mut Cursor, is_peek: bool) -> Result<FetchItem> {
    let section = in_brackets(cursor, section)?;
    let partial = partial(cursor)?;
    Ok(FetchItem::Section { is_peek, section, partial })
}

fn binary(cursor: &mut Cursor, is_peek: bool) -> Result<FetchItem> {
    let part = binary_section(cursor)?;
    let partial = partial(cursor)?;
    Ok(FetchItem::Binary { is_peek, part, partial })
}

/// `section-binary`: numbers alone.
fn binary_section(cursor: &mut Cursor) -> Result<Vec<NonZeroU32>> {
    in_brackets(cursor, |cursor| {
        let mut part = Vec::new();
        if cursor.peek() == Some(b']') {
            return Ok(part);
        }
        loop {
            part.push(cursor.nz_number(PART)?);
            if !cursor.eat(b'.') {
                return Ok(part);
            }
        }
    })
}

fn in_brackets<T>(cursor: &mut Cursor, inside: impl FnOnce(&mut Cursor) -> Result<T>) -> Result<T> {
    if !cursor.eat(b'[') {
        return Err(Fail::Expected(SECTION));
    }
    let inside = inside(cursor)?;
    if cursor.eat(b']') { Ok(inside) } else { Err(Fail::Expected("a closing bracket")) }
}

/// `section-spec`, up to the closing bracket.
fn section(cursor: &mut Cursor) -> Result<Section> {
    let mut part = Vec::new();
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        part.push(cursor.nz_number(PART)?);
        if !cursor.eat(b'.') {
            return Ok(Section { part, what: SectionText::All });
        }
    }
    let what = match cursor.item_name().as_str() {
        "" if part.is_empty() => SectionText::All,
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => SectionText::HeaderFields(field_names(cursor)?),
        "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(field_names(cursor)?),
        "TEXT" => SectionText::Text,
        "MIME" if !part.is_empty() => SectionText::Mime,
        _ => return Err(Fail::Expected(SECTION)),
    };
    Ok(Section { part, what })
}

fn field_names(cursor: &mut Cursor) -> Result<Vec<String>> {
    const WHAT: &str = "a list of header field names";
    cursor.space(WHAT)?;
    let names = cursor.list_of_some(WHAT, |cursor| cursor.astring_text(WHAT))?;
    // Spaces before the bracket, as some have them.
    cursor.has_more();
    Ok(names)
}

/// `partial`, if it is there. RFC 9051 has its numbers in 63 bits.
fn partial(cursor: &mut Cursor) -> Result<Option<(u64, u64)>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let start = cursor.number(PARTIAL)?;
    let is_separated = cursor.eat(b'.');
    let bytes = cursor.number(PARTIAL)?;
    if is_separated && bytes > 0 && cursor.eat(b'>') {
        Ok(Some((start, bytes)))
    } else {
        Err(Fail::Expected(PARTIAL))
    }
}

fn modifiers(cursor: &mut Cursor) -> Result<(Option<u64>, bool)> {
    const WHAT: &str = "CHANGEDSINCE or VANISHED";
    const MODSEQ: &str = "a modification sequence";
    let mut changed_since = None;
    let mut vanished = false;
    cursor.list("(CHANGEDSINCE ...) or the end of the command", |cursor| {
        match cursor.word().as_str() {
            "CHANGEDSINCE" => {
                cursor.space(MODSEQ)?;
                changed_since = Some(cursor.number(MODSEQ)?);
            }
            "VANISHED" => vanished = true,
            _ => return Err(Fail::Expected(WHAT)),
        }
        Ok(())
    })?;
    // RFC 7162 §3.2.6. Whether QRESYNC is enabled, and the set one of UIDs, is for the session to say.
    if vanished && changed_since.is_none() {
        return Err(Fail::Expected("CHANGEDSINCE with VANISHED"));
    }
    Ok((changed_since, vanished))
}
