//! One [`Input`] → one [`Tagged`] command: recursive descent by RFC 9051 §9 and the extensions' grammars.
//!
//! Read leniently where clients are known to be sloppy: more than one space between arguments, spaces at the end, old and new forms
//! side by side. What a client may do, and whether a name or a number exists, is not decided here.

mod acl;
mod append;
mod date;
mod fetch;
mod list;
mod mailbox;
mod search;
mod select;
mod set;
mod sort;
mod store;
mod token;

#[cfg(test)]
mod tests;

use super::command::{Command, Tagged};
use super::frame::{self, Input};
use token::{Cursor, Fail, Result};

pub use mailbox::normalised;

/// A name of a command that is longer is cut off in what is told of it.
const MAX_NAME_BYTES: usize = 32;

/// Why an input is no command, with the tag to answer to if it has one. As a text it can go to the client after `BAD`: ASCII, one
/// line, nothing of the arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseError {
    /// The tag; without it, the answer is untagged.
    pub tag: Option<String>,
    /// What is wrong.
    pub reason: Reason,
}

/// Why an input is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No command that this server has; its name, in upper case.
    #[error("unknown command {0}")]
    Unknown(String),
    /// Right command, wrong arguments.
    #[error("{command}{}expected {expected}", separator(.command))]
    Syntax {
        /// The command's name, in upper case; empty before it is known.
        command: String,
        /// What should have stood where reading ended.
        expected: &'static str,
    },
    /// Search keys in search keys, more than 32 deep.
    #[error("nested too deeply")]
    TooDeep,
    /// More search keys, ranges or sort criteria than anything needs: what there are too many of.
    #[error("too many {0}")]
    TooMany(&'static str),
}

fn separator(command: &str) -> &'static str {
    if command.is_empty() { "" } else { ": " }
}

/// Reads a command. `is_utf8`: whether the client has enabled IMAP4rev2 or UTF8=ACCEPT, and names of folders are UTF-8; they are in
/// modified UTF-7 otherwise (RFC 9051 appendix A, RFC 6855 §3), but plain UTF-8 is read then too. With it quoted strings are UTF-8;
/// without it they may have any bytes beyond ASCII where no text is needed.
pub fn parse(input: Input, is_utf8: bool) -> std::result::Result<Tagged, ParseError> {
    let tag = input.texts.first().and_then(|line| frame::tag(line));
    let mut cursor = Cursor::new(input, is_utf8);
    let mut name = String::new();
    match tagged(&mut cursor, tag.as_deref(), &mut name) {
        Ok(command) => Ok(Tagged { tag: tag.unwrap_or_default(), command }),
        Err(fail) => {
            name.truncate(MAX_NAME_BYTES);
            let reason = match fail {
                Fail::Unknown => Reason::Unknown(name),
                Fail::Expected(expected) => Reason::Syntax { command: name, expected },
                Fail::TooDeep => Reason::TooDeep,
                Fail::TooMany(what) => Reason::TooMany(what),
            };
            Err(ParseError { tag, reason })
        }
    }
}

fn tagged(cursor: &mut Cursor, tag: Option<&str>, name: &mut String) -> Result<Command> {
    cursor.skip(tag.ok_or(Fail::Expected("a tag"))?.len());
    cursor.space("a command")?;
    *name = cursor.word();
    let command = if name == "UID" {
        cursor.space("a command after UID")?;
        let word = cursor.word();
        if !word.is_empty() {
            name.push(' ');
            name.push_str(&word);
        }
        by_uid(cursor, &word)?
    } else {
        command(cursor, name)?
    };
    cursor.end()?;
    Ok(command)
}

fn by_uid(cursor: &mut Cursor, word: &str) -> Result<Command> {
    match word {
        "FETCH" => fetch::fetch(cursor, true),
        "STORE" => store::store(cursor, true),
        "SEARCH" => search::search(cursor, true),
        "SORT" => sort::sort(cursor, true),
        "THREAD" => sort::thread(cursor, true),
        "COPY" => mailbox::copy(cursor, true, false),
        "MOVE" => mailbox::copy(cursor, true, true),
        "EXPUNGE" => {
            cursor.space(set::SET)?;
            Ok(Command::Expunge(Some(cursor.set()?)))
        }
        "" => Err(Fail::Expected("a command after UID")),
        _ => Err(Fail::Unknown),
    }
}

fn command(cursor: &mut Cursor, word: &str) -> Result<Command> {
    match word {
        "CAPABILITY" => Ok(Command::Capability),
        "NOOP" => Ok(Command::Noop),
        "LOGOUT" => Ok(Command::Logout),
        "ID" => id(cursor),
        "STARTTLS" => Ok(Command::StartTls),
        "AUTHENTICATE" => authenticate(cursor),
        "LOGIN" => login(cursor),
        "ENABLE" => enable(cursor),
        "SELECT" => select::select(cursor, false),
        "EXAMINE" => select::select(cursor, true),
        "CREATE" => mailbox::create(cursor),
        "DELETE" => Ok(Command::Delete(cursor.mailbox_argument()?)),
        "RENAME" => Ok(Command::Rename { from: cursor.mailbox_argument()?, to: cursor.mailbox_argument()? }),
        "SUBSCRIBE" => Ok(Command::Subscribe { mailbox: cursor.mailbox_argument()?, is_subscribed: true }),
        "UNSUBSCRIBE" => Ok(Command::Subscribe { mailbox: cursor.mailbox_argument()?, is_subscribed: false }),
        "LIST" => list::list(cursor),
        "LSUB" => list::lsub(cursor),
        "NAMESPACE" => Ok(Command::Namespace),
        "STATUS" => list::status(cursor),
        "APPEND" => append::append(cursor),
        "IDLE" => Ok(Command::Idle),
        "CHECK" => Ok(Command::Check),
        "CLOSE" => Ok(Command::Close),
        "UNSELECT" => Ok(Command::Unselect),
        "EXPUNGE" => Ok(Command::Expunge(None)),
        "SEARCH" => search::search(cursor, false),
        "SORT" => sort::sort(cursor, false),
        "THREAD" => sort::thread(cursor, false),
        "FETCH" => fetch::fetch(cursor, false),
        "STORE" => store::store(cursor, false),
        "COPY" => mailbox::copy(cursor, false, false),
        "MOVE" => mailbox::copy(cursor, false, true),
        "GETQUOTA" => {
            cursor.space("a quota root")?;
            Ok(Command::GetQuota(cursor.astring_text("a quota root")?))
        }
        "GETQUOTAROOT" => Ok(Command::GetQuotaRoot(cursor.mailbox_argument()?)),
        "SETACL" => acl::set(cursor),
        "DELETEACL" => Ok(Command::DeleteAcl(acl::about_somebody(cursor)?)),
        "GETACL" => Ok(Command::GetAcl(cursor.mailbox_argument()?)),
        "LISTRIGHTS" => Ok(Command::ListRights(acl::about_somebody(cursor)?)),
        "MYRIGHTS" => Ok(Command::MyRights(cursor.mailbox_argument()?)),
        "COMPRESS" => compress(cursor),
        "" => Err(Fail::Expected("a command")),
        _ => Err(Fail::Unknown),
    }
}

/// RFC 2971 §3.1: `NIL`, or names and values in turn. Nothing of them is kept, so that they need not come in pairs.
fn id(cursor: &mut Cursor) -> Result<Command> {
    const WHAT: &str = "NIL or a list of strings";
    cursor.space(WHAT)?;
    if !cursor.eat_word("NIL") {
        cursor.list(
            WHAT,
            |cursor| {
                if cursor.eat_word("NIL") { Ok(()) } else { cursor.astring(WHAT).map(|_| ()) }
            },
        )?;
    }
    Ok(Command::Id)
}

/// RFC 9051 §6.2.2. Whether the initial response decodes is for the mechanism to say.
fn authenticate(cursor: &mut Cursor) -> Result<Command> {
    cursor.space("a mechanism")?;
    let mechanism = cursor.atom("a mechanism")?.to_ascii_uppercase();
    let initial = if cursor.has_more() {
        Some(cursor.base64("an initial response in base64, or =")?.into())
    } else {
        None
    };
    Ok(Command::Authenticate { mechanism, initial })
}

fn login(cursor: &mut Cursor) -> Result<Command> {
    cursor.space("a user name")?;
    let username = cursor.astring_text("a user name")?;
    cursor.space("a password")?;
    let password = cursor.astring_text("a password")?.into();
    Ok(Command::Login { username, password })
}

fn enable(cursor: &mut Cursor) -> Result<Command> {
    const WHAT: &str = "a capability";
    cursor.space(WHAT)?;
    let mut names = vec![cursor.atom(WHAT)?.to_ascii_uppercase()];
    while cursor.has_more() {
        names.push(cursor.atom(WHAT)?.to_ascii_uppercase());
    }
    Ok(Command::Enable(names))
}

/// RFC 4978 §5. Whether there is such a mechanism is for the session to say.
fn compress(cursor: &mut Cursor) -> Result<Command> {
    const WHAT: &str = "a compression mechanism";
    cursor.space(WHAT)?;
    Ok(Command::Compress { mechanism: cursor.atom(WHAT)?.to_ascii_uppercase() })
}
