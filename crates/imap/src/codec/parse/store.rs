//! STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3).

use super::set::SET;
use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, Store, StoreHow};

const HOW: &str = "FLAGS, +FLAGS or -FLAGS";

pub(super) fn store(cursor: &mut Cursor, by_uid: bool) -> Result<Command> {
    cursor.space(SET)?;
    let set = cursor.set()?;
    cursor.space(HOW)?;
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        unchanged_since = modifiers(cursor)?;
        cursor.space(HOW)?;
    }
    let how = if cursor.eat(b'+') {
        StoreHow::Add
    } else if cursor.eat(b'-') {
        StoreHow::Remove
    } else {
        StoreHow::Replace
    };
    let is_silent = match cursor.item_name().as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(Fail::Expected(HOW)),
    };
    cursor.space("flags")?;
    let flags = if cursor.peek() == Some(b'(') {
        cursor.flag_list()?
    } else {
        let mut flags = vec![cursor.flag()?];
        while cursor.has_more() {
            flags.push(cursor.flag()?);
        }
        flags
    };
    Ok(Command::Store(Store { by_uid, set, unchanged_since, how, is_silent, flags }))
}

fn modifiers(cursor: &mut Cursor) -> Result<Option<u64>> {
    const WHAT: &str = "UNCHANGEDSINCE";
    const MODSEQ: &str = "a modification sequence";
    let mut unchanged_since = None;
    cursor.list(WHAT, |cursor| {
        if !cursor.eat_word(WHAT) {
            return Err(Fail::Expected(WHAT));
        }
        cursor.space(MODSEQ)?;
        unchanged_since = Some(cursor.number(MODSEQ)?);
        Ok(())
    })?;
    Ok(unchanged_since)
}
