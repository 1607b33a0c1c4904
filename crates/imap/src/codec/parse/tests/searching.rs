//! SEARCH.

use bytes::Bytes;
use chrono::NaiveDate;

use super::{read, told};
use crate::codec::command::{Command, FlagName, Search, SearchGive, SearchKey};
use crate::codec::set::{Bound, SequenceSet};

fn search(line: &str) -> Search {
    match read(line) {
        Command::Search(search) => search,
        other => panic!("{other:?}"),
    }
}

fn key(keys: &str) -> SearchKey {
    search(&format!("SEARCH {keys}")).key
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn seen() -> SearchKey {
    SearchKey::Flag(FlagName::System("SEEN".into()))
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

#[test]
fn single_keys() {
    let day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let all = SequenceSet::Ranges(vec![(Bound::Number(1), Bound::Last)]);
    let keyword = || SearchKey::Flag(FlagName::Keyword("$Forwarded".into()));
    for (keys, read) in [
        ("ALL", SearchKey::All),
        ("1:*", SearchKey::Set(all.clone())),
        ("$", SearchKey::Set(SequenceSet::Saved)),
        ("uid 1:*", SearchKey::Uid(all)),
        ("seen", seen()),
        ("UNSEEN", not(seen())),
        ("NEW", SearchKey::And(vec![SearchKey::Recent, not(seen())])),
        ("OLD", not(SearchKey::Recent)),
        ("RECENT", SearchKey::Recent),
        ("KEYWORD $Forwarded", keyword()),
        ("UNKEYWORD $Forwarded", not(keyword())),
        ("BEFORE 1-Jan-2026", SearchKey::Before(day)),
        ("ON \"1-Jan-2026\"", SearchKey::On(day)),
        ("SINCE \" 1-JAN-2026\"", SearchKey::Since(day)),
        ("SENTBEFORE 01-Jan-2026", SearchKey::SentBefore(day)),
        ("SENTON 1-jan-2026", SearchKey::SentOn(day)),
        ("SENTSINCE 1-Jan-2026", SearchKey::SentSince(day)),
        ("FROM ada", SearchKey::Header("FROM".into(), text("ada"))),
        ("bcc \"\"", SearchKey::Header("BCC".into(), text(""))),
        ("SUBJECT {4+}\r\nzwö", SearchKey::Header("SUBJECT".into(), text("zwö"))),
        ("HEADER Message-ID <a@b>", SearchKey::Header("Message-ID".into(), text("<a@b>"))),
        ("BODY \"two words\"", SearchKey::Body(text("two words"))),
        ("TEXT x", SearchKey::Text(text("x"))),
        ("LARGER 9000000000", SearchKey::Larger(9_000_000_000)),
        ("SMALLER 0", SearchKey::Smaller(0)),
        ("OLDER 60", SearchKey::Older(60)),
        ("YOUNGER 60", SearchKey::Younger(60)),
        ("MODSEQ 620162338", SearchKey::ModSeq(620_162_338)),
        ("MODSEQ \"/flags/\\\\draft\" all 5", SearchKey::ModSeq(5)),
        ("EMAILID M6d99ac3275bb4e", SearchKey::EmailId("M6d99ac3275bb4e".into())),
        ("THREADID \"T_1-2\"", SearchKey::ThreadId("T_1-2".into())),
    ] {
        assert_eq!(key(keys), read, "{keys}");
    }
}

#[test]
fn keys_in_keys() {
    let both = SearchKey::And(vec![seen(), SearchKey::All]);
    assert_eq!(key("SEEN  ALL "), both);
    assert_eq!(key("(SEEN ALL)"), both);
    assert_eq!(key("( (SEEN) ALL )"), both);
    assert_eq!(key("NOT NOT SEEN"), not(not(seen())));
    assert_eq!(
        key("OR (SEEN ALL) NOT UNSEEN"),
        SearchKey::Or(Box::new(both.clone()), Box::new(not(not(seen()))))
    );
    assert_eq!(key("UNDELETED OR SEEN ALL 3"), {
        let deleted = SearchKey::Flag(FlagName::System("DELETED".into()));
        let third = SequenceSet::Ranges(vec![(Bound::Number(3), Bound::Number(3))]);
        let either = SearchKey::Or(Box::new(seen()), Box::new(SearchKey::All));
        SearchKey::And(vec![not(deleted), either, SearchKey::Set(third)])
    });
}

#[test]
fn options() {
    let read = search("UID SEARCH RETURN (MIN MAX COUNT ALL SAVE) CHARSET utf-8 TEXT {6}\r\nzwölf");
    assert!(read.by_uid);
    assert_eq!(read.give, Some(SearchGive { min: true, max: true, all: true, count: true, save: true }));
    assert_eq!(read.charset.as_deref(), Some("UTF-8"));
    assert_eq!(read.key, SearchKey::Text(text("zwölf")));
    assert_eq!(search("SEARCH ALL").give, None);
    assert_eq!(search("SEARCH return ( ) ALL").give, Some(SearchGive { all: true, ..SearchGive::default() }));
    assert_eq!(
        search("SEARCH RETURN (SAVE) ALL").give,
        Some(SearchGive { save: true, ..SearchGive::default() })
    );
    assert_eq!(search("SEARCH CHARSET \"x\" ALL").charset.as_deref(), Some("X"));
}

#[test]
fn what_cannot_be_searched_for() {
    for (line, expected) in [
        ("SEARCH", "a search key"),
        ("SEARCH FOO", "a search key"),
        ("SEARCH ()", "a search key"),
        ("SEARCH NOT", "a search key"),
        ("SEARCH OR SEEN", "a search key"),
        ("SEARCH RETURN (MIN)", "a search key"),
        ("SEARCH CHARSET UTF-8", "a search key"),
        ("SEARCH RETURN (PARTIAL 1:2) ALL", "a return option: MIN, MAX, ALL, COUNT or SAVE"),
        ("SEARCH SEEN CHARSET UTF-8 ALL", "a search key"),
        ("SEARCH FROM", "a text to search for"),
        ("SEARCH HEADER X", "a text to search for"),
        ("SEARCH TEXT {2}\r\na\0", "a text to search for"),
        ("SEARCH ON 2026-01-01", "a date such as 1-Jan-2026"),
        ("SEARCH ON 30-Feb-2026", "a date such as 1-Jan-2026"),
        ("SEARCH ON \"1-Jan-2026", "a closing quote"),
        ("SEARCH LARGER -1", "a number of bytes"),
        ("SEARCH OLDER 0", "a number of seconds from 1"),
        ("SEARCH MODSEQ \"/flags/x\" some 5", "priv, shared or all"),
        ("SEARCH EMAILID a.b", "an object id"),
        ("SEARCH KEYWORD \\Seen", "a keyword"),
        ("SEARCH (SEEN", "a space or a closing parenthesis"),
        ("SEARCH SEEN)", "the end of the command"),
        ("SEARCH UID x", "a set of message numbers or UIDs"),
    ] {
        assert_eq!(told(line), format!("SEARCH: expected {expected}"), "{line}");
    }
}

#[test]
fn keys_are_bounded() {
    let nested = |depth: usize| format!("SEARCH {}ALL{}", "(".repeat(depth), ")".repeat(depth));
    search(&nested(32));
    assert_eq!(told(&nested(33)), "nested too deeply");
    assert_eq!(told(&nested(30_000)), "nested too deeply");
    search(&format!("SEARCH {}ALL", "NOT ".repeat(32)));
    assert_eq!(told(&format!("SEARCH {}ALL", "NOT ".repeat(33))), "nested too deeply");
    // One of many alternatives is no deeper than one of two.
    search(&format!("SEARCH {}ALL ALL", "OR ALL ".repeat(400)));
    assert_eq!(told(&format!("SEARCH {}ALL ALL", "OR ALL ".repeat(1_001))), "too many search keys");
    search(&format!("SEARCH{}", " SEEN".repeat(1_000)));
    assert_eq!(told(&format!("SEARCH{}", " SEEN".repeat(1_001))), "too many search keys");
}
