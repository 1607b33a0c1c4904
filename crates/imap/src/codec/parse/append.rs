//! APPEND (RFC 9051 §6.3.12, RFC 3502, RFC 6855 §4).

use bytes::Bytes;

use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Append, Command};

const MESSAGE: &str = "a literal with a message";

pub(super) fn append(cursor: &mut Cursor) -> Result<Command> {
    let mailbox = cursor.mailbox_argument()?;
    let mut messages = vec![message(cursor)?];
    while cursor.has_more() {
        // `has_more` has taken the space that `message` begins with.
        messages.push(message_after_space(cursor)?);
    }
    Ok(Command::Append { mailbox, messages })
}

fn message(cursor: &mut Cursor) -> Result<Append> {
    cursor.space(MESSAGE)?;
    message_after_space(cursor)
}

fn message_after_space(cursor: &mut Cursor) -> Result<Append> {
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.flag_list()?;
        cursor.space(MESSAGE)?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(cursor.date_time()?);
        cursor.space(MESSAGE)?;
    }
    let bytes = if cursor.eat_word("UTF8") {
        cursor.space(MESSAGE)?;
        cursor.open(MESSAGE)?;
        let bytes = data(cursor)?;
        cursor.close()?;
        bytes
    } else {
        data(cursor)?
    };
    Ok(Append { flags, date, bytes })
}

/// A literal or a literal8: a message with NUL in it is taken from either.
fn data(cursor: &mut Cursor) -> Result<Bytes> {
    cursor.literal().map(|literal| literal.bytes).ok_or(Fail::Expected(MESSAGE))
}
