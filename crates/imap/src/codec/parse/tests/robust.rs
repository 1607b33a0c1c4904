//! What clients send, and what nobody should.

use bytes::Bytes;
use proptest::prelude::*;

use super::{read, read_bytes};
use crate::codec::frame::{Input, Literal};
use crate::codec::parse;

/// Lines as they are in the sources and logs of clients.
const LINES: [(&str, &[&str]); 8] = [
    (
        "mbsync",
        &[
            "CAPABILITY",
            "AUTHENTICATE PLAIN AGFkYQBodW50ZXIy",
            "LOGIN \"ada@example.org\" \"hunter2\"",
            "NAMESPACE",
            "LIST \"\" \"*\"",
            "LSUB \"\" \"INBOX*\"",
            "SELECT \"INBOX\"",
            "UID FETCH * (UID)",
            "UID FETCH 1:1000 (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-TUID MESSAGE-ID)])",
            "UID FETCH 7 (FLAGS INTERNALDATE BODY.PEEK[])",
            "UID FETCH 7 (BODY.PEEK[HEADER])",
            "UID STORE 7 +FLAGS.SILENT (\\Deleted)",
            "UID MOVE 7 \"Trash\"",
            "APPEND \"Sent\" (\\Seen $Forwarded) \"17-Jul-2026 02:44:25 +0000\" {5+}\r\nX: y\n",
            "CREATE \"Archive/2026\"",
            "CHECK",
            "UID EXPUNGE 7,9:12",
            "LOGOUT",
        ],
    ),
    (
        "neomutt",
        &[
            "ID (\"name\" \"NeoMutt\" \"version\" \"20260101\")",
            "ENABLE CONDSTORE",
            "ENABLE QRESYNC",
            "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\" RETURN (CHILDREN)",
            "STATUS \"INBOX\" (UIDNEXT UIDVALIDITY UNSEEN RECENT MESSAGES)",
            "SELECT \"INBOX\" (CONDSTORE)",
            "FETCH 1:20 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SENDER SUBJECT TO CC)])",
            "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 42 VANISHED)",
            "UID SEARCH HEADER \"Message-Id\" \"<a@example.org>\"",
            "UID STORE 3,4 +FLAGS.SILENT (\\Seen)",
            "UID COPY 3:4 \"Archive\"",
            "EXPUNGE",
            "IDLE",
            "CLOSE",
        ],
    ),
    (
        "Thunderbird",
        &[
            "authenticate PLAIN",
            "list (subscribed) \"\" \"*\" return (special-use)",
            "list \"\" \"INBOX\"",
            "lsub \"\" \"*\"",
            "select \"INBOX\" (CONDSTORE)",
            "getquotaroot \"INBOX\"",
            "UID fetch 1:* (FLAGS)",
            "UID fetch 5:7 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])",
            "UID fetch 5 (UID RFC822.SIZE BODY.PEEK[])",
            "UID fetch 5 (BODY.PEEK[1.2]<0.65536>)",
            "uid store 5 +Flags (\\Seen)",
            "uid copy 5 \"Trash\"",
            "append \"Entw&APw-rfe\" (\\Draft) {2+}\r\nhi",
            "noop",
        ],
    ),
    (
        "K-9",
        &[
            "LIST (SPECIAL-USE) \"\" \"*\"",
            "EXAMINE \"INBOX\"",
            "STATUS \"INBOX\" (UIDVALIDITY)",
            "UID SEARCH *:*",
            "UID SEARCH 1:100 SINCE 1-Jan-2026 NOT DELETED",
            "UID SEARCH UID 17 HEADER MESSAGE-ID \"<a@example.org>\"",
            "UID FETCH 1,2 (UID FLAGS INTERNALDATE RFC822.SIZE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (date subject from)])",
            "UID FETCH 1 (UID BODY.PEEK[1.MIME] BODY.PEEK[TEXT]<0.131072>)",
            "UID MOVE 1 \"Archive\"",
            "UID EXPUNGE 1",
        ],
    ),
    (
        "getmail",
        &[
            "LOGIN ada \"hunter2\"",
            "UID SEARCH ALL",
            "UID FETCH 1:500 (UID RFC822.SIZE)",
            "UID FETCH 3 (RFC822)",
            "UID STORE 3 FLAGS (\\Deleted \\Seen)",
        ],
    ),
    (
        "imaplib",
        &[
            "STORE 1 +FLAGS (\\Deleted)",
            "SEARCH CHARSET UTF-8 UNSEEN",
            "FETCH 1 (RFC822)",
            "STATUS INBOX (MESSAGES)",
        ],
    ),
    (
        "Outlook",
        &[
            "ID (\"name\" \"Microsoft Outlook\")",
            "UID FETCH 1:* (UID FLAGS)",
            "UID FETCH 2 (UID ENVELOPE BODYSTRUCTURE)",
            "UID SEARCH 1:* NOT (DELETED) SINCE 1-Jan-2026",
            "SUBSCRIBE \"Sent Items\"",
        ],
    ),
    (
        "Roundcube",
        &[
            "UID SORT (DISPLAYFROM) US-ASCII ALL",
            "UID SORT (ARRIVAL) US-ASCII ALL UNDELETED",
            "UID THREAD REFERENCES US-ASCII ALL",
            "SETACL Shared \"ada@example.org\" lrswi",
            "DELETEACL Shared ada",
            "GETACL Shared",
            "LISTRIGHTS Shared ada",
            "MYRIGHTS INBOX",
        ],
    ),
];

#[test]
fn what_clients_send_is_read() {
    for (_, lines) in LINES {
        for line in lines {
            read(line);
        }
    }
}

/// A piece of a line: as grammar has them, or not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::sample::select(vec![
            " ", " ", " ", "(", ")", "[", "]", "<0.1>", "\"", "\\", "*", ":", ",", "$", "%", "1", "0", "4294967295",
            "UID", "FETCH", "STORE", "SEARCH", "APPEND", "LIST", "SELECT", "STATUS", "CREATE", "ID", "LOGIN",
            "RETURN", "BODY", "BODY.PEEK", "HEADER.FIELDS", "FLAGS", "+FLAGS", "\\Seen", "OR", "NOT", "ALL",
            "MODSEQ", "CHANGEDSINCE", "QRESYNC", "STATUS", "MESSAGES", "\"x\"", "\" 1-Jan-2026 10:00:00 +0100\"",
            "1-Jan-2026", "SINCE", "&AOk-", "inbox", "UTF8", "USE", "NIL", "SORT", "THREAD", "REVERSE", "DATE", "SUBJECT",
            "REFERENCES", "UTF-8", "BINARY", "BINARY.PEEK", "BINARY.SIZE", ".", "SETACL", "ada", "lrs", "+", "-",
            "COMPRESS", "DEFLATE",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..10),
    ]
}

/// Texts and literals that may not even fit each other.
fn input() -> impl Strategy<Value = Input> {
    let text = proptest::collection::vec(piece(), 0..20).prop_map(|pieces| pieces.concat());
    let start = proptest::sample::select(vec![
        "a UID ",
        "a ",
        "",
        "a FETCH 1 ",
        "a SEARCH ",
        "a APPEND x ",
        "a SELECT x ",
        "a SORT (",
        "a UID SORT RETURN () (DATE) ",
        "a THREAD REFERENCES UTF-8 ",
        "a FETCH 1 BINARY[",
        "a APPEND x UTF8 (",
        "a SETACL x ada ",
    ]);
    let literal = (proptest::collection::vec(any::<u8>(), 0..10), any::<bool>())
        .prop_map(|(bytes, is_binary)| Literal { bytes: bytes.into(), is_binary });
    (start, proptest::collection::vec(text, 0..4), proptest::collection::vec(literal, 0..4)).prop_map(
        |(start, mut texts, literals)| {
            if let Some(first) = texts.first_mut() {
                first.splice(0..0, start.bytes());
            }
            Input { texts: texts.into_iter().map(Bytes::from).collect(), literals }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(3_000)))]

    #[test]
    fn nothing_breaks_the_parser(input in input(), is_utf8: bool) {
        if let Err(error) = parse(input, is_utf8) {
            let text = error.to_string();
            prop_assert!(!text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
        }
    }

    #[test]
    fn no_bytes_break_the_parser(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let line: Vec<u8> = line.into_iter().filter(|byte| !matches!(byte, b'\n' | b'}')).collect();
        let _ = read_bytes(&line, false);
    }

    /// A byte changed, dropped or doubled in what clients send.
    #[test]
    fn damaged_lines_do_not_break_the_parser(
        client in 0..LINES.len(),
        line in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        byte: u8,
        how in 0..3_u8,
    ) {
        let Some((_, lines)) = LINES.get(client) else { panic!("no client") };
        let mut line = format!("a {}", line.get(lines)).into_bytes();
        let at = at.index(line.len());
        match how {
            0 => drop(line.remove(at)),
            1 => line.insert(at, byte),
            _ => line.truncate(at),
        }
        let text = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let _ = parse(Input { texts: vec![Bytes::copy_from_slice(text)], literals: Vec::new() }, false);
    }
}
