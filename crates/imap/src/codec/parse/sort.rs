//! SORT and THREAD (RFC 5256 §5, RFC 5267 §3, RFC 5957 §5).

use super::search;
use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm};

/// There are nine keys, and nothing is gained by one that comes again.
const MAX_CRITERIA: usize = 16;

const CRITERIA: &str = "a list of sort criteria";

pub(super) fn sort(cursor: &mut Cursor, by_uid: bool) -> Result<Command> {
    cursor.space(CRITERIA)?;
    let give = search::return_options(cursor, CRITERIA)?;
    let criteria = criteria(cursor)?;
    let charset = charset(cursor)?;
    let key = search::keys(cursor)?;
    Ok(Command::Sort(Sort { by_uid, give, criteria, charset, key }))
}

pub(super) fn thread(cursor: &mut Cursor, by_uid: bool) -> Result<Command> {
    const ALGORITHM: &str = "ORDEREDSUBJECT or REFERENCES";
    cursor.space(ALGORITHM)?;
    let algorithm = match cursor.word().as_str() {
        "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" => ThreadAlgorithm::References,
        _ => return Err(Fail::Expected(ALGORITHM)),
    };
    let charset = charset(cursor)?;
    let key = search::keys(cursor)?;
    Ok(Command::Thread(Thread { by_uid, algorithm, charset, key }))
}

/// The charset that, other than with SEARCH, must be there.
fn charset(cursor: &mut Cursor) -> Result<String> {
    cursor.space(search::CHARSET)?;
    search::charset(cursor)
}

fn criteria(cursor: &mut Cursor) -> Result<Vec<SortCriterion>> {
    let mut count = 0;
    cursor.list_of_some(CRITERIA, |cursor| {
        count += 1;
        if count > MAX_CRITERIA {
            return Err(Fail::TooMany("sort criteria"));
        }
        criterion(cursor)
    })
}

fn criterion(cursor: &mut Cursor) -> Result<SortCriterion> {
    const KEY: &str = "a sort key";
    let is_reverse = cursor.eat_word("REVERSE");
    if is_reverse {
        cursor.space(KEY)?;
    }
    let key = match cursor.word().as_str() {
        "ARRIVAL" => SortKey::Arrival,
        "CC" => SortKey::Cc,
        "DATE" => SortKey::Date,
        "FROM" => SortKey::From,
        "SIZE" => SortKey::Size,
        "SUBJECT" => SortKey::Subject,
        "TO" => SortKey::To,
        "DISPLAYFROM" => SortKey::DisplayFrom,
        "DISPLAYTO" => SortKey::DisplayTo,
        _ => return Err(Fail::Expected(KEY)),
    };
    Ok(SortCriterion { is_reverse, key })
}
