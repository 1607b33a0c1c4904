use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::codec::command::{Command, SearchKey};
use crate::codec::parse;
use crate::codec::set::SequenceSet;
use crate::fuzz::read_back;

fn written(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn strings() {
    for (bytes, is_utf8, text) in [
        (&b""[..], false, "\"\""),
        (b"plain", false, "\"plain\""),
        (b"a\"b\\", false, "\"a\\\"b\\\\\""),
        (b"\"\"", false, "\"\\\"\\\"\""),
        (b"tab\there", false, "\"tab\there\""),
        (b"a\r\nb", false, "{4}\r\na\r\nb"),
        (b"\x7f", false, "{1}\r\n\x7f"),
        ("é".as_bytes(), false, "{2}\r\né"),
        ("é".as_bytes(), true, "\"é\""),
        (b"\xff", true, "{1}\r\n\u{fffd}"),
    ] {
        assert_eq!(written(|out| string(out, bytes, is_utf8)), text);
    }
    assert_eq!(written(|out| string(out, &[b'x'; 999], false)).len(), 1_001);
    assert!(written(|out| string(out, &[b'x'; 1_000], false)).starts_with("{1000}\r\n"));
    assert_eq!(written(|out| nstring(out, None, false)), "NIL");
    assert_eq!(written(|out| nstring(out, Some(b"NIL"), false)), "\"NIL\"");
}

#[test]
fn astrings_and_names() {
    for (text, written_text) in [
        ("atom]", "atom]"),
        ("", "\"\""),
        ("two words", "\"two words\""),
        ("nil", "\"nil\""),
        ("a*", "\"a*\""),
    ] {
        assert_eq!(written(|out| astring(out, text, false)), written_text);
    }
    for (name, is_utf8, text) in [
        ("INBOX", false, "INBOX"),
        ("Sent", false, "\"Sent\""),
        ("Entwürfe & mehr", false, "\"Entw&APw-rfe &- mehr\""),
        ("Entwürfe & mehr", true, "\"Entwürfe & mehr\""),
        ("a\r\nb", false, "\"a&AA0ACg-b\""),
        ("a\r\nb", true, "{4}\r\na\r\nb"),
    ] {
        assert_eq!(written(|out| mailbox(out, name, is_utf8)), text);
    }
}

#[test]
fn dates() {
    for date in ["17-Jul-1996 02:44:25 -0700", " 1-Jan-2026 00:00:00 +0000", " 9-Dec-0001 23:59:59 +1345"] {
        let read = DateTime::parse_from_str(date.trim(), "%d-%b-%Y %H:%M:%S %z").unwrap();
        assert_eq!(written(|out| date_time(out, read)), format!("\"{date}\""));
    }
}

#[test]
fn sets() {
    assert_eq!(written(|out| set(out, [1..=3, 5..=5])), "1:3,5");
    assert_eq!(written(|out| set(out, [1..=1, 2..=2, 3..=9, 11..=u32::MAX])), "1:9,11:4294967295");
    assert_eq!(written(|out| set(out, [])), "");
}

#[test]
fn texts_are_one_line() {
    assert_eq!(written(|out| text(out, "no such folder: \u{e9}\r\n* BYE\0")), "no such folder: ?  * BYE?");
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(1..=255_u8, 0..200),
        "[ -~]{0,60}".prop_map(String::into_bytes),
        "[\"\\\\a]{0,20}".prop_map(String::into_bytes),
        any::<String>().prop_map(|text| text.replace('\0', "").into_bytes()),
        (990..1_010_usize).prop_map(|bytes| vec![b'\\'; bytes]),
    ]
}

proptest! {
    #[test]
    fn strings_are_read_back(bytes in any_bytes(), is_utf8: bool) {
        let Command::Search(search) = read_back("a SEARCH TEXT ", is_utf8, |out| string(out, &bytes, is_utf8))
        else { panic!("no search") };
        prop_assert_eq!(search.key, SearchKey::Text(Bytes::from(bytes)));
    }

    #[test]
    fn astrings_are_read_back(text in any::<String>(), is_utf8: bool) {
        let text = text.replace('\0', "");
        let Command::GetQuota(read) = read_back("a GETQUOTA ", is_utf8, |out| astring(out, &text, is_utf8))
        else { panic!("no root") };
        prop_assert_eq!(read, text);
    }

    #[test]
    fn names_are_read_back(name in any::<String>(), is_utf8: bool) {
        let name = parse::normalised(&name.replace('\0', ""));
        let Command::Delete(read) = read_back("a DELETE ", is_utf8, |out| mailbox(out, &name, is_utf8))
        else { panic!("no name") };
        prop_assert_eq!((read.name, read.given), (name, None));
    }

    #[test]
    fn sets_are_read_back(ranges in proptest::collection::vec((1..=50_u32, 0..4_u32), 1..20)) {
        let ranges: Vec<(u32, u32)> = ranges.into_iter().map(|(from, more)| (from, from + more)).collect();
        let read = |write: &dyn Fn(&mut BytesMut)| match read_back("a UID EXPUNGE ", false, write) {
            Command::Expunge(Some(set)) => set,
            other => panic!("{other:?}"),
        };
        let asked = read(&|out| {
            let ranges: Vec<String> = ranges.iter().map(|(from, to)| format!("{to}:{from}")).collect();
            out.extend_from_slice(ranges.join(",").as_bytes());
        });
        let numbers = |set: &SequenceSet| set.ranges(1).into_iter().flatten().collect::<Vec<u32>>();
        let again = read(&|out| set(out, asked.ranges(1)));
        let mut expected: Vec<u32> = ranges.iter().flat_map(|(from, to)| *from..=*to).collect();
        expected.sort_unstable();
        expected.dedup();
        prop_assert_eq!(numbers(&asked), expected.clone());
        prop_assert_eq!(numbers(&again), expected);
    }

    #[test]
    fn dates_are_read_back(seconds in -2_000_000_000_i64..4_000_000_000, minutes in -1_439..1_440_i32) {
        let offset = FixedOffset::east_opt(minutes * 60).unwrap();
        let date = DateTime::from_timestamp(seconds, 0).unwrap().with_timezone(&offset);
        let command = read_back("a APPEND x ", false, |out| {
            date_time(out, date);
            out.extend_from_slice(b" ");
            literal(out, b"message");
        });
        let Command::Append { messages, .. } = command else { panic!("no append") };
        let read = messages.first().and_then(|message| message.date).unwrap();
        prop_assert_eq!((read, read.offset()), (date, date.offset()));
    }
}
