//! The pieces that responses are made of (RFC 9051 §9). Each appends to a buffer and adds neither spaces nor line ends.
//!
//! Whatever the values, a piece is one piece: nothing that a message or a folder's name has in it can end a line.

use std::fmt::Write;
use std::ops::RangeInclusive;

use bytes::BytesMut;
use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use kernel::utf7;

#[cfg(test)]
mod tests;

/// A string as long as this is written as a literal: some clients read quoted strings into buffers of a fixed size.
const MAX_QUOTED_BYTES: usize = 1_000;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `string`: quoted if it is short and printable, a literal otherwise. UTF-8 may be quoted only for clients that have enabled it
/// (`is_utf8`: RFC 9051 §4.3, RFC 6855).
pub fn string(out: &mut BytesMut, bytes: &[u8], is_utf8: bool) {
    if !can_be_quoted(bytes, is_utf8) {
        return literal(out, bytes);
    }
    out.extend_from_slice(b"\"");
    for piece in bytes.split_inclusive(|byte| matches!(byte, b'"' | b'\\')) {
        match piece.split_last() {
            Some((special @ (b'"' | b'\\'), plain)) => {
                out.extend_from_slice(plain);
                out.extend_from_slice(&[b'\\', *special]);
            }
            _ => out.extend_from_slice(piece),
        }
    }
    out.extend_from_slice(b"\"");
}

fn can_be_quoted(bytes: &[u8], is_utf8: bool) -> bool {
    let is_quotable = |&byte: &u8| matches!(byte, b'\t' | b' '..=b'~') || (is_utf8 && !byte.is_ascii());
    bytes.len() < MAX_QUOTED_BYTES
        && bytes.iter().all(is_quotable)
        && (bytes.is_ascii() || std::str::from_utf8(bytes).is_ok())
}

/// `nstring`: a string, or NIL.
pub fn nstring(out: &mut BytesMut, bytes: Option<&[u8]>, is_utf8: bool) {
    match bytes {
        Some(bytes) => string(out, bytes, is_utf8),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// `astring`: an atom where it can be one. `NIL` is quoted, for clients that do not tell them apart.
pub fn astring(out: &mut BytesMut, text: &str, is_utf8: bool) {
    let is_atom = !text.is_empty() && text.bytes().all(|byte| is_atom_char(byte) || byte == b']');
    if is_atom && !text.eq_ignore_ascii_case("NIL") {
        out.extend_from_slice(text.as_bytes());
    } else {
        string(out, text.as_bytes(), is_utf8);
    }
}

/// `mailbox`: `INBOX` as an atom, other names as strings; in modified UTF-7 (RFC 3501 §5.1.3) unless the client has enabled UTF-8.
pub fn mailbox(out: &mut BytesMut, name: &str, is_utf8: bool) {
    if name == "INBOX" {
        out.extend_from_slice(b"INBOX");
    } else if is_utf8 {
        string(out, name.as_bytes(), true);
    } else {
        string(out, utf7::encode(name).as_bytes(), false);
    }
}

/// `literal`: any bytes but NUL.
pub fn literal(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len() + 24);
    out.extend_from_slice(b"{");
    number(out, bytes.len() as u64);
    out.extend_from_slice(b"}\r\n");
    out.extend_from_slice(bytes);
}

/// `number` and `number64`.
pub fn number(out: &mut BytesMut, number: u64) {
    format(out, format_args!("{number}"));
}

/// `date-time`, as INTERNALDATE has it: `"17-Jul-1996 02:44:25 -0700"`, a day of one digit after a space.
pub fn date_time(out: &mut BytesMut, date: DateTime<FixedOffset>) {
    let month = MONTHS.get(date.month0() as usize).copied().unwrap_or("Jan");
    let offset = date.offset().local_minus_utc() / 60;
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    format(
        out,
        format_args!(
            "\"{:2}-{month}-{:04} {:02}:{:02}:{:02} {sign}{hours:02}{minutes:02}\"",
            date.day(),
            date.year().clamp(0, 9999),
            date.hour(),
            date.minute(),
            date.second(),
        ),
    );
}

/// `sequence-set`, such as `1:3,5`: of ranges as [`super::set::SequenceSet::ranges`] gives them. Ranges that touch are written as one if
/// they come in order. Nothing for no ranges: that is not a set.
pub fn set(out: &mut BytesMut, ranges: impl IntoIterator<Item = RangeInclusive<u32>>) {
    let mut current: Option<RangeInclusive<u32>> = None;
    let mut is_first = true;
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match &mut current {
            Some(before) if before.end().checked_add(1) == Some(*range.start()) => {
                *before = *before.start()..=*range.end();
            }
            _ => {
                if let Some(before) = current.replace(range) {
                    set_range(out, &before, &mut is_first);
                }
            }
        }
    }
    if let Some(last) = current {
        set_range(out, &last, &mut is_first);
    }
}

fn set_range(out: &mut BytesMut, range: &RangeInclusive<u32>, is_first: &mut bool) {
    let comma = if std::mem::take(is_first) { "" } else { "," };
    let (start, end) = (range.start(), range.end());
    if start == end {
        format(out, format_args!("{comma}{start}"));
    } else {
        format(out, format_args!("{comma}{start}:{end}"));
    }
}

/// `text`, for people: line ends become spaces, and what else is not printable ASCII becomes `?`, so that no response can be split.
pub fn text(out: &mut BytesMut, text: &str) {
    out.extend(text.chars().map(|char| match char {
        ' '..='~' => char as u8,
        '\r' | '\n' | '\t' => b' ',
        _ => b'?',
    }));
}

/// RFC 9051 §9, `ATOM-CHAR`.
pub(super) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}

fn format(out: &mut BytesMut, arguments: std::fmt::Arguments<'_>) {
    // A BytesMut grows as it is written to: this cannot fail.
    let _ = out.write_fmt(arguments);
}
