//! LIST (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154), LSUB and STATUS.

use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, List, ListGive, ListSelect, StatusItem};

const REFERENCE: &str = "a reference name";
const PATTERN: &str = "a mailbox pattern";

pub(super) fn list(cursor: &mut Cursor) -> Result<Command> {
    cursor.space(REFERENCE)?;
    let mut is_extended = false;
    let mut select = ListSelect::default();
    if cursor.peek() == Some(b'(') {
        is_extended = true;
        select = selection(cursor)?;
        cursor.space(REFERENCE)?;
    }
    let reference = reference(cursor)?;
    cursor.space(PATTERN)?;
    let patterns = if cursor.peek() == Some(b'(') {
        is_extended = true;
        cursor.list_of_some(PATTERN, pattern)?
    } else {
        vec![pattern(cursor)?]
    };
    let mut give = ListGive::default();
    if cursor.has_more() {
        is_extended = true;
        if !cursor.eat_word("RETURN") {
            return Err(Fail::Expected("RETURN or the end of the command"));
        }
        cursor.space("return options")?;
        give = returns(cursor)?;
    }
    Ok(Command::List(List { is_extended, select, reference, patterns, give }))
}

/// RFC 3501 §6.3.9.
pub(super) fn lsub(cursor: &mut Cursor) -> Result<Command> {
    cursor.space(REFERENCE)?;
    let reference = reference(cursor)?;
    cursor.space(PATTERN)?;
    let pattern = pattern(cursor)?;
    Ok(Command::Lsub { reference, pattern })
}

fn reference(cursor: &mut Cursor) -> Result<String> {
    let bytes = cursor.astring(REFERENCE)?;
    cursor.decode(bytes, REFERENCE)
}

fn pattern(cursor: &mut Cursor) -> Result<String> {
    let bytes = cursor.pattern(PATTERN)?;
    cursor.decode(bytes, PATTERN)
}

fn selection(cursor: &mut Cursor) -> Result<ListSelect> {
    const WHAT: &str = "a selection option: SUBSCRIBED, SPECIAL-USE, REMOTE or RECURSIVEMATCH";
    let mut select = ListSelect::default();
    cursor.list(WHAT, |cursor| {
        match cursor.word().as_str() {
            "SUBSCRIBED" => select.subscribed = true,
            "SPECIAL-USE" => select.special_use = true,
            "REMOTE" => select.remote = true,
            "RECURSIVEMATCH" => select.recursive_match = true,
            _ => return Err(Fail::Expected(WHAT)),
        }
        Ok(())
    })?;
    // RFC 5258 §3.1: it says what to do with another option, and REMOTE is not one of those.
    if select.recursive_match && !select.subscribed && !select.special_use {
        return Err(Fail::Expected("SUBSCRIBED or SPECIAL-USE with RECURSIVEMATCH"));
    }
    Ok(select)
}

fn returns(cursor: &mut Cursor) -> Result<ListGive> {
    const WHAT: &str = "a return option: SUBSCRIBED, CHILDREN, SPECIAL-USE or STATUS";
    let mut give = ListGive::default();
    cursor.list(WHAT, |cursor| {
        match cursor.word().as_str() {
            "SUBSCRIBED" => give.subscribed = true,
            "CHILDREN" => give.children = true,
            "SPECIAL-USE" => give.special_use = true,
            "STATUS" => give.status = Some(status_items(cursor)?),
            _ => return Err(Fail::Expected(WHAT)),
        }
        Ok(())
    })?;
    Ok(give)
}

/// RFC 9051 §6.3.11.
pub(super) fn status(cursor: &mut Cursor) -> Result<Command> {
    let mailbox = cursor.mailbox_argument()?;
    let items = status_items(cursor)?;
    Ok(Command::Status { mailbox, items })
}

fn status_items(cursor: &mut Cursor) -> Result<Vec<StatusItem>> {
    cursor.space("a list of status items")?;
    cursor.list_of_some("a list of status items", |cursor| {
        let item = match cursor.word().as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "DELETED" => StatusItem::Deleted,
            "DELETED-STORAGE" => StatusItem::DeletedStorage,
            "SIZE" => StatusItem::Size,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            "APPENDLIMIT" => StatusItem::AppendLimit,
            "MAILBOXID" => StatusItem::MailboxId,
            _ => return Err(Fail::Expected("a status item")),
        };
        Ok(item)
    })
}
