//! Rights to folders (RFC 4314 §3).

use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, Rights, RightsHow};

const IDENTIFIER: &str = "an identifier";
const RIGHTS: &str = "rights: lower-case letters and digits, maybe with + or - before them";

/// SETACL (RFC 4314 §3.1).
pub(super) fn set(cursor: &mut Cursor) -> Result<Command> {
    let mailbox = cursor.mailbox_argument()?;
    let identifier = identifier(cursor)?;
    cursor.space(RIGHTS)?;
    let text = cursor.astring_text(RIGHTS)?;
    let (how, letters) = match text.split_at_checked(1) {
        Some(("+", letters)) => (RightsHow::Add, letters),
        Some(("-", letters)) => (RightsHow::Remove, letters),
        _ => (RightsHow::Replace, text.as_str()),
    };
    let rights = Rights::new(how, letters).ok_or(Fail::Expected(RIGHTS))?;
    Ok(Command::SetAcl { mailbox, identifier, rights })
}

/// DELETEACL (RFC 4314 §3.2).
pub(super) fn delete(cursor: &mut Cursor) -> Result<Command> {
    Ok(Command::DeleteAcl { mailbox: cursor.mailbox_argument()?, identifier: identifier(cursor)? })
}

/// LISTRIGHTS (RFC 4314 §3.4).
pub(super) fn list(cursor: &mut Cursor) -> Result<Command> {
    Ok(Command::ListRights { mailbox: cursor.mailbox_argument()?, identifier: identifier(cursor)? })
}

/// Identifiers are in UTF-8, whatever names of folders are in (RFC 4314 §3).
fn identifier(cursor: &mut Cursor) -> Result<String> {
    cursor.space(IDENTIFIER)?;
    cursor.astring_text(IDENTIFIER)
}
