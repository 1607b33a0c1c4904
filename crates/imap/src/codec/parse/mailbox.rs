//! Names of folders, and the commands that have little else.

use bytes::Bytes;
use kernel::utf7;
use mailstore::folder::in_one_form;

use super::set::SET;
use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, MailboxName};

const MAILBOX: &str = "a mailbox name";
const INBOX: &str = "INBOX";

/// A folder's name in the form that names are kept in, and with `INBOX` in upper case, if that is its first component, in whatever case it came (RFC 9051
/// §5.1). Patterns and references of LIST come as they were written; what is made of them both is a name.
pub fn normalised(name: &str) -> String {
    let name = in_one_form(name);
    let is_inbox = name.get(..INBOX.len()).is_some_and(|first| first.eq_ignore_ascii_case(INBOX));
    match name.get(INBOX.len()..) {
        Some(rest) if is_inbox && (rest.is_empty() || rest.starts_with('/')) => format!("{INBOX}{rest}"),
        _ => name,
    }
}

impl Cursor {
    /// A space and `mailbox`.
    pub(super) fn mailbox_argument(&mut self) -> Result<MailboxName> {
        self.space(MAILBOX)?;
        let bytes = self.astring(MAILBOX)?;
        let given = self.decode(bytes, MAILBOX)?;
        let name = normalised(&given);
        // In whatever case, INBOX is the same form of it.
        let is_other = in_one_form(&given) != given;
        Ok(MailboxName { name, given: is_other.then_some(given) })
    }

    /// Text of a name, or of a pattern for names. What is not in modified UTF-7 is taken as it stands, as it comes from clients and
    /// people who know nothing of it.
    pub(super) fn decode(&self, bytes: Bytes, what: &'static str) -> Result<String> {
        let decoded = if self.is_utf8 { None } else { utf7::decode(&bytes) };
        let name = match decoded {
            Some(name) => name,
            None => String::from_utf8(bytes.into()).map_err(|_| Fail::Expected(what))?,
        };
        // Modified UTF-7 can have a NUL hidden in it.
        if name.contains('\0') { Err(Fail::Expected(what)) } else { Ok(name) }
    }
}

/// CREATE. Of the parameters that it may have (RFC 4466 §2.2), there is only the USE of RFC 6154 §3.
pub(super) fn create(cursor: &mut Cursor) -> Result<Command> {
    let mailbox = cursor.mailbox_argument()?;
    let mut uses = Vec::new();
    if cursor.has_more() {
        cursor.list("(USE (...))", |cursor| {
            if !cursor.eat_word("USE") {
                return Err(Fail::Expected("USE"));
            }
            cursor.space("a list of uses")?;
            uses.extend(cursor.list("a list of uses", special_use)?);
            Ok(())
        })?;
    }
    Ok(Command::Create { mailbox, uses })
}

fn special_use(cursor: &mut Cursor) -> Result<String> {
    const WHAT: &str = "a use such as \\Sent";
    if !cursor.eat(b'\\') {
        return Err(Fail::Expected(WHAT));
    }
    cursor.atom(WHAT).map(|name| format!("\\{name}"))
}

/// COPY and MOVE.
pub(super) fn copy(cursor: &mut Cursor, by_uid: bool, is_move: bool) -> Result<Command> {
    cursor.space(SET)?;
    let set = cursor.set()?;
    let mailbox = cursor.mailbox_argument()?;
    Ok(Command::Copy { by_uid, set, mailbox, is_move })
}
