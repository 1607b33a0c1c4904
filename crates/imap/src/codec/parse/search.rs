//! SEARCH (RFC 9051 §6.4.4, RFC 4731, RFC 5032, RFC 5182, RFC 7162 §3.1.5, RFC 8474 §6).

use super::token::{Cursor, Fail, Result};
use crate::codec::command::{Command, FlagName, Search, SearchGive, SearchKey};

/// How deep keys may stand in keys.
const MAX_DEPTH: usize = 32;

/// How many keys there may be at all.
const MAX_KEYS: usize = 1_000;

/// What is expected where a charset stands.
pub(super) const CHARSET: &str = "a charset";

const KEY: &str = "a search key";
const TEXT: &str = "a text to search for";

/// An `objectid` (RFC 8474 §7) is no longer.
const MAX_OBJECT_ID_BYTES: usize = 255;

pub(super) fn search(cursor: &mut Cursor, by_uid: bool) -> Result<Command> {
    cursor.space(KEY)?;
    let give = return_options(cursor, KEY)?;
    let charset = if cursor.eat_word("CHARSET") {
        cursor.space(CHARSET)?;
        Some(charset(cursor)?)
    } else {
        None
    };
    let key = keys(cursor)?;
    Ok(Command::Search(Search { by_uid, give, charset, key }))
}

/// `search-return-opts` and the space before what comes `next`, if they are there (RFC 4731 §4).
pub(super) fn return_options(cursor: &mut Cursor, next: &'static str) -> Result<Option<SearchGive>> {
    if !cursor.eat_word("RETURN") {
        return Ok(None);
    }
    cursor.space("return options")?;
    let give = returns(cursor)?;
    cursor.space(next)?;
    Ok(Some(give))
}

/// A charset in upper case, and the space before the keys.
pub(super) fn charset(cursor: &mut Cursor) -> Result<String> {
    let charset = cursor.astring_text(CHARSET)?.to_ascii_uppercase();
    cursor.space(KEY)?;
    Ok(charset)
}

/// Keys up to the end of the command: all of them together.
pub(super) fn keys(cursor: &mut Cursor) -> Result<SearchKey> {
    let mut keys = Keys { count: 0 };
    let mut read = vec![keys.key(cursor, 0)?];
    while cursor.has_more() {
        read.push(keys.key(cursor, 0)?);
    }
    Ok(all_of(read))
}

fn returns(cursor: &mut Cursor) -> Result<SearchGive> {
    const WHAT: &str = "a return option: MIN, MAX, ALL, COUNT or SAVE";
    let mut give = SearchGive::default();
    cursor.list(WHAT, |cursor| {
        match cursor.word().as_str() {
            "MIN" => give.min = true,
            "MAX" => give.max = true,
            "ALL" => give.all = true,
            "COUNT" => give.count = true,
            "SAVE" => give.save = true,
            _ => return Err(Fail::Expected(WHAT)),
        }
        Ok(())
    })?;
    if give == SearchGive::default() {
        give.all = true;
    }
    Ok(give)
}

fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match (keys.pop(), keys.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            keys.extend(last);
            SearchKey::And(keys)
        }
    }
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

/// Reads keys, and counts them.
struct Keys {
    count: usize,
}

impl Keys {
    fn key(&mut self, cursor: &mut Cursor, depth: usize) -> Result<SearchKey> {
        if depth > MAX_DEPTH {
            return Err(Fail::TooDeep);
        }
        self.count += 1;
        if self.count > MAX_KEYS {
            return Err(Fail::TooMany("search keys"));
        }
        match cursor.peek() {
            Some(b'(') => cursor.list_of_some(KEY, |cursor| self.key(cursor, depth + 1)).map(all_of),
            Some(b'0'..=b'9' | b'*' | b'$') => cursor.set().map(SearchKey::Set),
            _ => self.named(cursor, depth),
        }
    }

    fn named(&mut self, cursor: &mut Cursor, depth: usize) -> Result<SearchKey> {
        let name = cursor.word();
        if let Some(key) = alone(&name) {
            return Ok(key);
        }
        match name.as_str() {
            "NOT" => {
                cursor.space(KEY)?;
                self.key(cursor, depth + 1).map(not)
            }
            "OR" => {
                cursor.space(KEY)?;
                let mut alternatives = vec![self.key(cursor, depth + 1)?];
                cursor.space(KEY)?;
                // Programs make one of many by one OR in the other: each is no deeper for that.
                while cursor.eat_word("OR") {
                    cursor.space(KEY)?;
                    alternatives.push(self.key(cursor, depth + 1)?);
                    cursor.space(KEY)?;
                }
                let last = self.key(cursor, depth + 1)?;
                let or = |other, one| SearchKey::Or(Box::new(one), Box::new(other));
                Ok(alternatives.into_iter().rev().fold(last, or))
            }
            _ => with_argument(cursor, &name),
        }
    }
}

/// Keys that are one word.
fn alone(name: &str) -> Option<SearchKey> {
    let key = match name {
        "ALL" => SearchKey::All,
        "RECENT" => SearchKey::Recent,
        "NEW" => SearchKey::And(vec![SearchKey::Recent, not(system_flag("SEEN"))]),
        "OLD" => not(SearchKey::Recent),
        "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" | "SEEN" => system_flag(name),
        "UNANSWERED" | "UNDELETED" | "UNDRAFT" | "UNFLAGGED" | "UNSEEN" => {
            not(system_flag(name.strip_prefix("UN")?))
        }
        _ => return None,
    };
    Some(key)
}

fn system_flag(name: &str) -> SearchKey {
    SearchKey::Flag(FlagName::System(name.to_owned()))
}

/// Keys with an argument that is no key.
fn with_argument(cursor: &mut Cursor, name: &str) -> Result<SearchKey> {
    const FIELD: &str = "a header field name";
    let what = match name {
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" | "BODY" | "TEXT" => TEXT,
        "HEADER" => FIELD,
        "KEYWORD" | "UNKEYWORD" => "a keyword",
        "BEFORE" | "ON" | "SINCE" | "SENTBEFORE" | "SENTON" | "SENTSINCE" => "a date",
        "LARGER" | "SMALLER" => "a number of bytes",
        "OLDER" | "YOUNGER" => "a number of seconds from 1",
        "MODSEQ" => "a modification sequence",
        "UID" => "a set of UIDs",
        "EMAILID" | "THREADID" => "an object id",
        _ => return Err(Fail::Expected(KEY)),
    };
    cursor.space(what)?;
    let key = match name {
        "HEADER" => {
            let field = cursor.astring_text(FIELD)?;
            cursor.space(TEXT)?;
            SearchKey::Header(field, cursor.astring(TEXT)?)
        }
        "BODY" => SearchKey::Body(cursor.astring(what)?),
        "TEXT" => SearchKey::Text(cursor.astring(what)?),
        "KEYWORD" => SearchKey::Flag(FlagName::Keyword(cursor.atom(what)?)),
        "UNKEYWORD" => not(SearchKey::Flag(FlagName::Keyword(cursor.atom(what)?))),
        "BEFORE" => SearchKey::Before(cursor.date()?),
        "ON" => SearchKey::On(cursor.date()?),
        "SINCE" => SearchKey::Since(cursor.date()?),
        "SENTBEFORE" => SearchKey::SentBefore(cursor.date()?),
        "SENTON" => SearchKey::SentOn(cursor.date()?),
        "SENTSINCE" => SearchKey::SentSince(cursor.date()?),
        "LARGER" => SearchKey::Larger(cursor.number(what)?),
        "SMALLER" => SearchKey::Smaller(cursor.number(what)?),
        "OLDER" => SearchKey::Older(cursor.nz_number(what)?.get().into()),
        "YOUNGER" => SearchKey::Younger(cursor.nz_number(what)?.get().into()),
        "MODSEQ" => mod_sequence(cursor, what)?,
        "UID" => SearchKey::Uid(cursor.set()?),
        "EMAILID" => SearchKey::EmailId(object_id(cursor, what)?),
        "THREADID" => SearchKey::ThreadId(object_id(cursor, what)?),
        field => SearchKey::Header(field.to_owned(), cursor.astring(what)?),
    };
    Ok(key)
}

/// RFC 7162 §3.1.5. There is one modification sequence for all of a message, so that the entry's name and type say nothing.
fn mod_sequence(cursor: &mut Cursor, what: &'static str) -> Result<SearchKey> {
    if cursor.peek() == Some(b'"') {
        cursor.astring(what)?;
        cursor.space("priv, shared or all")?;
        if !["PRIV", "SHARED", "ALL"].iter().any(|kind| cursor.eat_word(kind)) {
            return Err(Fail::Expected("priv, shared or all"));
        }
        cursor.space(what)?;
    }
    cursor.number(what).map(SearchKey::ModSeq)
}

fn object_id(cursor: &mut Cursor, what: &'static str) -> Result<String> {
    let id = cursor.astring_text(what)?;
    let is_id = !id.is_empty()
        && id.len() <= MAX_OBJECT_ID_BYTES
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_id { Ok(id) } else { Err(Fail::Expected(what)) }
}
