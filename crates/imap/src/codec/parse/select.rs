//! SELECT and EXAMINE.

use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, Resync, SelectParameters};

/// RFC 9051 §6.3.2 with the parameters of RFC 7162 §3.1.8 and §3.2.5.
pub(super) fn select(cursor: &mut Cursor, is_read_only: bool) -> Result<Command> {
    const WHAT: &str = "CONDSTORE or QRESYNC";
    let mailbox = cursor.mailbox_argument()?;
    let mut parameters = SelectParameters::default();
    if cursor.has_more() {
        cursor.list("(CONDSTORE) or (QRESYNC (...))", |cursor| {
            match cursor.word().as_str() {
                "CONDSTORE" => parameters.condstore = true,
                "QRESYNC" => parameters.qresync = Some(resync(cursor)?),
                _ => return Err(Fail::Expected(WHAT)),
            }
            Ok(())
        })?;
    }
    Ok(Command::Select { mailbox, is_read_only, parameters })
}

fn resync(cursor: &mut Cursor) -> Result<Resync> {
    const VALIDITY: &str = "a UIDVALIDITY";
    const MODSEQ: &str = "a modification sequence";
    cursor.space("the parameters of QRESYNC")?;
    cursor.open("the parameters of QRESYNC")?;
    let uid_validity = cursor.nz_number(VALIDITY)?;
    cursor.space(MODSEQ)?;
    let modseq = cursor.number(MODSEQ)?;
    let mut known_uids = None;
    let mut known_pairs = None;
    if has_more_in_list(cursor) && cursor.peek() != Some(b'(') {
        known_uids = Some(cursor.known_set()?);
        has_more_in_list(cursor);
    }
    if cursor.peek() == Some(b'(') {
        cursor.open("sets of message numbers and UIDs")?;
        let numbers = cursor.known_set()?;
        cursor.space("a set of UIDs")?;
        let uids = cursor.known_set()?;
        cursor.close()?;
        known_pairs = Some((numbers, uids));
    }
    cursor.close()?;
    Ok(Resync { uid_validity, modseq, known_uids, known_pairs })
}

fn has_more_in_list(cursor: &mut Cursor) -> bool {
    cursor.has_more() && cursor.peek() != Some(b')')
}
