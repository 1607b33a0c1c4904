//! Rights to folders (RFC 4314 §3).

use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, MailboxName};

const IDENTIFIER: &str = "an identifier";
const RIGHTS: &str = "rights: lower-case letters and digits, maybe with + or - before them";

/// SETACL (RFC 4314 §3.1). Rights are lower-case letters and digits (§2).
pub(super) fn set(cursor: &mut Cursor) -> Result<Command> {
    let mailbox = about_somebody(cursor)?;
    cursor.space(RIGHTS)?;
    let text = cursor.astring_text(RIGHTS)?;
    let letters = text.strip_prefix(['+', '-']).unwrap_or(&text);
    match letters.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit()) {
        true => Ok(Command::SetAcl(mailbox)),
        false => Err(Fail::Expected(RIGHTS)),
    }
}

/// The arguments of DELETEACL and LISTRIGHTS (RFC 4314 §3.2, §3.4): a folder, and whose rights. Identifiers are in UTF-8, whatever names of
/// folders are in (§3).
pub(super) fn about_somebody(cursor: &mut Cursor) -> Result<MailboxName> {
    let mailbox = cursor.mailbox_argument()?;
    cursor.space(IDENTIFIER)?;
    cursor.astring_text(IDENTIFIER)?;
    Ok(mailbox)
}
