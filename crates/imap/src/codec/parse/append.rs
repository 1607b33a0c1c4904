//! APPEND (RFC 9051 §6.3.12, RFC 3502, RFC 3516 §4.4, RFC 6855 §4).

use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Append, AppendForm, Command};
use crate::codec::frame::Literal;

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
    let (form, bytes) = if cursor.eat_word("UTF8") {
        cursor.space(MESSAGE)?;
        cursor.open(MESSAGE)?;
        // It is to be a literal8; what is meant by another is as clear.
        let bytes = data(cursor)?.bytes;
        cursor.close()?;
        (AppendForm::Utf8, bytes)
    } else {
        let Literal { bytes, is_binary } = data(cursor)?;
        (if is_binary { AppendForm::Binary } else { AppendForm::Plain }, bytes)
    };
    Ok(Append { flags, date, form, bytes })
}

/// A literal or a literal8: a message with NUL in it is taken from either.
fn data(cursor: &mut Cursor) -> Result<Literal> {
    cursor.literal().ok_or(Fail::Expected(MESSAGE))
}
