//! SELECT, FETCH, STORE and APPEND.

use std::num::NonZeroU32;

use super::{read, read_bytes, told};
use crate::codec::command::{
    Append, AppendForm, Command, Fetch, FetchItem, FlagName, Resync, Rfc822, Section, SectionText,
    SelectParameters, Store, StoreHow,
};
use crate::codec::frame::MAX_LITERALS;
use crate::codec::set::{Bound, SequenceSet};

fn selected(line: &str) -> SelectParameters {
    match read(line) {
        Command::Select { parameters, .. } => parameters,
        other => panic!("{other:?}"),
    }
}

fn fetch(line: &str) -> Fetch {
    match read(line) {
        Command::Fetch(fetch) => fetch,
        other => panic!("{other:?}"),
    }
}

fn store(line: &str) -> Store {
    match read(line) {
        Command::Store(store) => store,
        other => panic!("{other:?}"),
    }
}

fn appended(line: &str) -> Vec<Append> {
    match read(line) {
        Command::Append { messages, .. } => messages,
        other => panic!("{other:?}"),
    }
}

fn set(ranges: &[(u32, u32)]) -> SequenceSet {
    SequenceSet::Ranges(ranges.iter().map(|&(a, b)| (Bound::Number(a), Bound::Number(b))).collect())
}

fn section(part: &[u32], what: SectionText) -> FetchItem {
    let part = part.iter().filter_map(|number| NonZeroU32::new(*number)).collect();
    FetchItem::Section { is_peek: false, section: Section { part, what }, partial: None }
}

fn system(name: &str) -> FlagName {
    FlagName::System(name.into())
}

#[test]
fn selecting() {
    assert!(
        matches!(read("SELECT inbox"), Command::Select { is_read_only: false, mailbox, .. } if mailbox.name == "INBOX")
    );
    assert!(matches!(read("EXAMINE x"), Command::Select { is_read_only: true, .. }));
    assert_eq!(selected("SELECT x"), SelectParameters::default());
    assert_eq!(selected("SELECT x (condstore)"), SelectParameters { condstore: true, qresync: None });
    let resync = |known_uids, known_pairs| {
        let uid_validity = NonZeroU32::new(67).unwrap();
        Some(Resync { uid_validity, modseq: 9_000_000_000, known_uids, known_pairs })
    };
    assert_eq!(selected("SELECT x (QRESYNC (67 9000000000))").qresync, resync(None, None));
    assert_eq!(
        selected("SELECT x (QRESYNC (67 9000000000 41,43:211 ) CONDSTORE)"),
        SelectParameters { condstore: true, qresync: resync(Some(set(&[(41, 41), (43, 211)])), None) }
    );
    let pairs = Some((set(&[(1, 1), (5, 5)]), set(&[(10, 10), (20, 20)])));
    assert_eq!(
        selected("SELECT x (QRESYNC (67 9000000000 1:50 (1,5 10,20)))").qresync,
        resync(Some(set(&[(1, 50)])), pairs.clone())
    );
    assert_eq!(selected("SELECT x (QRESYNC (67 9000000000 (1,5 10,20)))").qresync, resync(None, pairs));
    assert_eq!(told("SELECT x (FOO)"), "SELECT: expected CONDSTORE or QRESYNC");
    assert_eq!(told("SELECT x (QRESYNC)"), "SELECT: expected the parameters of QRESYNC");
    assert_eq!(told("SELECT x (QRESYNC (0 1))"), "SELECT: expected a UIDVALIDITY");
    assert_eq!(told("SELECT x (QRESYNC (1))"), "SELECT: expected a modification sequence");
    assert!(told("SELECT x (QRESYNC (1 1 1:*))").contains("without * or $"));
    assert!(told("SELECT x (QRESYNC (1 1 $))").contains("without * or $"));
    assert!(told("SELECT x (QRESYNC (1 1 1 (1)))").contains("a set of UIDs"));
    assert!(told("SELECT x (QRESYNC (1 1 1 (1 1) 2))").contains("a closing parenthesis"));
}

#[test]
fn fetching_items() {
    use FetchItem::{
        Body, BodyStructure, EmailId, Envelope, Flags, InternalDate, ModSeq, Preview, Size, ThreadId, Uid,
    };
    let (preview, lazy) = (Preview { is_lazy: false }, Preview { is_lazy: true });
    for (items, read) in [
        ("FLAGS", vec![Flags]),
        ("(FLAGS  UID)", vec![Flags, Uid]),
        ("( uid modseq )", vec![Uid, ModSeq]),
        ("FAST", vec![Flags, InternalDate, Size]),
        ("all", vec![Flags, InternalDate, Size, Envelope]),
        ("FULL", vec![Flags, InternalDate, Size, Envelope, Body]),
        ("(BODY BODYSTRUCTURE EMAILID THREADID)", vec![Body, BodyStructure, EmailId, ThreadId]),
        ("PREVIEW", vec![preview.clone()]),
        ("preview (lazy)", vec![lazy.clone()]),
        ("(PREVIEW UID)", vec![preview.clone(), Uid]),
        ("(UID PREVIEW  ( Lazy LAZY ) FLAGS)", vec![Uid, lazy.clone(), Flags]),
        ("(PREVIEW (LAZY) PREVIEW)", vec![lazy, preview]),
        (
            "(RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)",
            vec![
                FetchItem::Rfc822(Rfc822::All),
                FetchItem::Rfc822(Rfc822::Header),
                FetchItem::Rfc822(Rfc822::Text),
                Size,
            ],
        ),
        ("BODY[]", vec![section(&[], SectionText::All)]),
        ("(BODY[1.2.HEADER] UID)", vec![section(&[1, 2], SectionText::Header), Uid]),
        ("BODY[1.MIME]", vec![section(&[1], SectionText::Mime)]),
        ("BODY[2]", vec![section(&[2], SectionText::All)]),
        ("body[header]", vec![section(&[], SectionText::Header)]),
        (
            "BODY[HEADER.FIELDS (\"From\" To {2+}\r\nCc)]",
            vec![section(&[], SectionText::HeaderFields(vec!["From".into(), "To".into(), "Cc".into()]))],
        ),
        (
            "BODY[3.HEADER.FIELDS.NOT ( X-Tuid ) ]",
            vec![section(&[3], SectionText::HeaderFieldsNot(vec!["X-Tuid".into()]))],
        ),
    ] {
        let fetch = fetch(&format!("FETCH 1 {items}"));
        assert_eq!(fetch.items, read, "{items}");
        assert!(!fetch.by_uid && fetch.changed_since.is_none() && !fetch.vanished);
    }
}

#[test]
fn fetching_parts() {
    let read = fetch("UID FETCH 4,7:* (BODY.PEEK[HEADER.FIELDS (DATE)]<0.100> BODY[TEXT]<0.1024>)");
    assert!(read.by_uid);
    assert_eq!(
        read.set,
        SequenceSet::Ranges(vec![(Bound::Number(4), Bound::Number(4)), (Bound::Number(7), Bound::Last)])
    );
    assert_eq!(
        read.items,
        [
            FetchItem::Section {
                is_peek: true,
                section: Section { part: vec![], what: SectionText::HeaderFields(vec!["DATE".into()]) },
                partial: Some((0, 100)),
            },
            FetchItem::Section {
                is_peek: false,
                section: Section { part: vec![], what: SectionText::Text },
                partial: Some((0, 1024)),
            },
        ]
    );
    let read = fetch("FETCH 1 (FLAGS) (CHANGEDSINCE 5 VANISHED)");
    assert_eq!((read.changed_since, read.vanished), (Some(5), true));
    let read = fetch("UID FETCH 1:* FLAGS (changedsince 18)");
    assert_eq!((read.changed_since, read.vanished), (Some(18), false));
    assert_eq!(fetch("FETCH $ UID").set, SequenceSet::Saved);
}

#[test]
fn a_list_after_a_preview_is_its_own_or_that_of_the_command() {
    for (line, is_lazy, changed_since) in [
        ("FETCH 1 PREVIEW (CHANGEDSINCE 5)", false, Some(5)),
        ("FETCH 1 PREVIEW (LAZY)", true, None),
        ("FETCH 1 PREVIEW (LAZY) (CHANGEDSINCE 5)", true, Some(5)),
        ("FETCH 1 (PREVIEW (LAZY)) (CHANGEDSINCE 5)", true, Some(5)),
    ] {
        let read = fetch(line);
        assert_eq!((read.items, read.changed_since), (vec![FetchItem::Preview { is_lazy }], changed_since));
    }
    for (items, expected) in [
        ("PREVIEW (LAZY FAST)", "LAZY"),
        ("PREVIEW (LAZYNESS)", "CHANGEDSINCE or VANISHED"),
        ("PREVIEW(LAZY)", "the end of the command"),
        ("(PREVIEW(LAZY))", "a space or a closing parenthesis"),
        ("(PREVIEW (FAST))", "an item to fetch"),
        ("(PREVIEW ())", "an item to fetch"),
        ("(PREVIEW (LAZY", "a space or a closing parenthesis"),
        ("LAZY", "an item to fetch"),
    ] {
        assert_eq!(told(&format!("FETCH 1 {items}")), format!("FETCH: expected {expected}"), "{items}");
    }
}

#[test]
fn fetching_decoded() {
    let part =
        |numbers: &[u32]| numbers.iter().filter_map(|number| NonZeroU32::new(*number)).collect::<Vec<_>>();
    let binary = |is_peek, numbers, partial| FetchItem::Binary { is_peek, part: part(numbers), partial };
    for (items, read) in [
        ("BINARY[]", vec![binary(false, &[], None)]),
        ("BINARY[1]", vec![binary(false, &[1], None)]),
        ("binary.peek[1.2.3]", vec![binary(true, &[1, 2, 3], None)]),
        ("BINARY.PEEK[2]<0.1024>", vec![binary(true, &[2], Some((0, 1024)))]),
        ("(BINARY[4]<7.1> UID)", vec![binary(false, &[4], Some((7, 1))), FetchItem::Uid]),
        ("BINARY.SIZE[]", vec![FetchItem::BinarySize(vec![])]),
        (
            "(BINARY.SIZE[1.2] binary.size[4294967295])",
            vec![FetchItem::BinarySize(part(&[1, 2])), FetchItem::BinarySize(part(&[u32::MAX]))],
        ),
        // Each is told once.
        ("(BINARY[1] BINARY[1] BINARY.PEEK[1])", vec![binary(false, &[1], None), binary(true, &[1], None)]),
    ] {
        assert_eq!(fetch(&format!("FETCH 1 {items}")).items, read, "{items}");
    }
    for (items, expected) in [
        ("BINARY", "a section"),
        ("BINARY.PEEK", "a section"),
        ("BINARY.SIZE", "a section"),
        ("BINARY.SIZE.PEEK[1]", "an item to fetch"),
        ("BINARY[0]", "a part number"),
        ("BINARY[1.]", "a part number"),
        ("BINARY[1.MIME]", "a part number"),
        ("BINARY[HEADER]", "a part number"),
        ("BINARY[ 1]", "a part number"),
        ("BINARY[4294967296]", "a part number"),
        ("BINARY[1.2", "a closing bracket"),
        ("BINARY[1,2]", "a closing bracket"),
        ("BINARY[", "a part number"),
        ("BINARY[1]<0.0>", "a partial range such as <0.1024>"),
        ("BINARY[1]<0>", "a partial range such as <0.1024>"),
        ("BINARY.SIZE[1]<0.1>", "the end of the command"),
        ("(BINARY.SIZE[1]<0.1>)", "a space or a closing parenthesis"),
    ] {
        assert_eq!(told(&format!("FETCH 1 {items}")), format!("FETCH: expected {expected}"), "{items}");
    }
}

#[test]
fn what_cannot_be_fetched() {
    for (line, expected) in [
        ("FETCH", "a set of message numbers or UIDs"),
        ("FETCH 1", "items to fetch"),
        ("FETCH 1 ()", "items to fetch"),
        ("FETCH 0 UID", "a set of message numbers or UIDs"),
        ("FETCH 4294967296 UID", "a set of message numbers or UIDs"),
        ("FETCH 1, UID", "a set of message numbers or UIDs"),
        ("FETCH 1: UID", "a set of message numbers or UIDs"),
        ("FETCH 1;2 UID", "items to fetch"),
        ("FETCH 1 FOO", "an item to fetch"),
        ("FETCH 1 (UID FAST)", "an item to fetch"),
        ("FETCH 1 (UID", "a space or a closing parenthesis"),
        ("FETCH 1 (UID)FLAGS", "the end of the command"),
        ("FETCH 1 BODY.PEEK", "a section"),
        ("FETCH 1 BODY[MIME]", "a section"),
        ("FETCH 1 BODY[1.]", "a section"),
        ("FETCH 1 BODY[FOO]", "a section"),
        ("FETCH 1 BODY[0]", "a part number"),
        ("FETCH 1 BODY[1.2", "a closing bracket"),
        ("FETCH 1 BODY[HEADER.FIELDS]", "a list of header field names"),
        ("FETCH 1 BODY[HEADER.FIELDS ()]", "a list of header field names"),
        ("FETCH 1 BODY[]<0>", "a partial range such as <0.1024>"),
        ("FETCH 1 BODY[]<0.0>", "a partial range such as <0.1024>"),
        ("FETCH 1 BODY[]<0.9223372036854775808>", "a partial range such as <0.1024>"),
        ("FETCH 1 UID (VANISHED)", "CHANGEDSINCE with VANISHED"),
        ("FETCH 1 UID (FOO)", "CHANGEDSINCE or VANISHED"),
        ("FETCH 1 UID FLAGS", "(CHANGEDSINCE ...) or the end of the command"),
    ] {
        assert_eq!(told(line), format!("FETCH: expected {expected}"), "{line}");
    }
    let many = "1,".repeat(10_000);
    assert_eq!(told(&format!("FETCH {many}1 UID")), "too many ranges in a set");
    fetch(&format!("FETCH {} UID", many.trim_end_matches(',')));
}

#[test]
fn storing() {
    let plain = Store {
        by_uid: false,
        set: set(&[(1, 1)]),
        unchanged_since: None,
        how: StoreHow::Add,
        is_silent: false,
        flags: vec![system("SEEN")],
    };
    assert_eq!(store("STORE 1 +FLAGS \\Seen"), plain);
    assert_eq!(store("STORE 1 +flags.silent ( \\seen )"), Store { is_silent: true, ..plain.clone() });
    assert_eq!(
        store("STORE 1 (UNCHANGEDSINCE 5) FLAGS (\\Seen)"),
        Store { unchanged_since: Some(5), how: StoreHow::Replace, ..plain.clone() }
    );
    assert_eq!(
        store("UID STORE 1 -FLAGS.SILENT \\Deleted \\Foo \\Recent $Forwarded"),
        Store {
            by_uid: true,
            how: StoreHow::Remove,
            is_silent: true,
            flags: vec![
                system("DELETED"),
                system("FOO"),
                system("RECENT"),
                FlagName::Keyword("$Forwarded".into())
            ],
            ..plain.clone()
        }
    );
    assert_eq!(store("STORE 1 FLAGS ()").flags, []);
    assert_eq!(told("STORE 1 FLAGS"), "STORE: expected flags");
    assert_eq!(told("STORE 1 FLAGS (\\*)"), "STORE: expected a flag");
    assert_eq!(told("STORE 1 FLAGS \"x\""), "STORE: expected a flag");
    assert_eq!(told("STORE 1 FLAG \\Seen"), "STORE: expected FLAGS, +FLAGS or -FLAGS");
    assert_eq!(told("STORE 1 (FOO 5) FLAGS \\Seen"), "STORE: expected UNCHANGEDSINCE");
}

#[test]
fn appending() {
    let messages = appended("APPEND \"x\" (\\Seen) \" 1-Jan-2026 10:00:00 +0100\" {3}\r\na\r\n");
    let [Append { flags, date, form, bytes }] = messages.as_slice() else { panic!("not one") };
    assert_eq!(flags.as_slice(), [system("SEEN")]);
    assert_eq!(date.map(|date| date.to_rfc3339()).as_deref(), Some("2026-01-01T10:00:00+01:00"));
    assert_eq!(*form, AppendForm::Plain);
    assert_eq!(bytes, "a\r\n");

    let messages = appended("APPEND x {1+}\r\na () ~{2}\r\n\0b \"01-feb-2026 00:00:60 -0830\" {0}\r\n ");
    assert_eq!(messages.iter().map(|message| message.bytes.len()).collect::<Vec<_>>(), [1, 2, 0]);
    let dates: Vec<_> = messages.iter().map(|message| message.date.map(|date| date.to_rfc3339())).collect();
    assert_eq!(dates, [None, None, Some("2026-02-01T00:00:59-08:30".into())]);

    const MESSAGE: &str = "APPEND: expected a literal with a message";
    const DATE: &str = "APPEND: expected a date-time such as \" 1-Jan-2026 10:00:00 +0100\"";
    for (line, expected) in [
        ("APPEND x", MESSAGE),
        ("APPEND x (\\Seen)", MESSAGE),
        ("APPEND x CATENATE (TEXT {1}\r\nx)", MESSAGE),
        ("APPEND x {1}\r\na (\\Seen)", MESSAGE),
        ("APPEND x UTF8 ~{1}\r\nx", MESSAGE),
        ("APPEND x UTF8 (\"x\")", MESSAGE),
        ("APPEND x UTF8 ()", MESSAGE),
        ("APPEND x UTF8(~{1}\r\nx)", MESSAGE),
        ("APPEND x UTF8 (~{1}\r\nx", "APPEND: expected a closing parenthesis"),
        ("APPEND x UTF8 (~{1}\r\nx ~{1}\r\nx)", "APPEND: expected a closing parenthesis"),
        ("APPEND x ~{1}\r\nx)", "APPEND: expected the end of the command"),
        ("APPEND x{1}\r\na", MESSAGE),
        ("APPEND x {1}\r\na{1}\r\na", "APPEND: expected the end of the command"),
        ("APPEND x \"31-Feb-2026 10:00:00 +0100\" {1}\r\na", DATE),
        ("APPEND x \"1-Jan-2026 24:00:00 +0100\" {1}\r\na", DATE),
        ("APPEND x \"1-Jan-2026 10:00:00 +0160\" {1}\r\na", DATE),
        ("APPEND x \"1-Jan-2026 10:00:00 +9900\" {1}\r\na", DATE),
        ("APPEND x \"1-Jan-2026 10:00:00\" {1}\r\na", DATE),
        ("APPEND x \"subject\" {1}\r\na", DATE),
    ] {
        assert_eq!(told(line), expected, "{line}");
    }
}

#[test]
fn forms_of_messages() {
    use AppendForm::{Binary, Plain, Utf8};
    for (line, form, message) in [
        (&b"a APPEND x {3}\r\n\xff\0\n"[..], Plain, &b"\xff\0\n"[..]),
        (b"a APPEND x ~{3}\r\n\xff\0\n", Binary, b"\xff\0\n"),
        (b"a APPEND x (\\Seen) ~{2+}\r\n\r\n ", Binary, b"\r\n"),
        (b"a APPEND x (\\Seen) UTF8 (~{3+}\r\n\xff\0\n)", Utf8, b"\xff\0\n"),
        (b"a APPEND x \"1-Jan-2026 10:00:00 +0100\" utf8  ( ~{1}\r\nx ) ", Utf8, b"x"),
        // Not what RFC 6855 has, but clear enough.
        (b"a APPEND x UTF8 ({1}\r\nx)", Utf8, b"x"),
    ] {
        for is_utf8 in [false, true] {
            let Command::Append { messages, .. } = read_bytes(line, is_utf8).unwrap().command else {
                panic!("no append")
            };
            let [read] = messages.as_slice() else { panic!("not one") };
            assert_eq!((read.form, read.bytes.as_ref()), (form, message));
        }
    }
}

/// RFC 3502: each message with what is said of it alone.
#[test]
fn appending_several() {
    let line = "APPEND {5+}\r\nInbox (\\Seen $A) \"1-Jan-2026 10:00:00 +0100\" {3}\r\none (\\Draft) ~{4}\r\n\0two \
                \"2-Jan-2026 10:00:00 +0000\" UTF8 (~{5+}\r\nthr\r\n) () {4+}\r\nfour  {0}\r\n";
    let Command::Append { mailbox, messages } = read(line) else { panic!("no append") };
    assert_eq!(mailbox.name, "INBOX");
    let read: Vec<_> = messages
        .iter()
        .map(|Append { flags, date, form, bytes }| {
            let date = date.map(|date| date.to_rfc3339());
            (flags.as_slice(), date, *form, std::str::from_utf8(bytes).unwrap())
        })
        .collect();
    let first = [system("SEEN"), FlagName::Keyword("$A".into())];
    let second = [system("DRAFT")];
    assert_eq!(
        read,
        [
            (&first[..], Some("2026-01-01T10:00:00+01:00".into()), AppendForm::Plain, "one"),
            (&second[..], None, AppendForm::Binary, "\0two"),
            (&[][..], Some("2026-01-02T10:00:00+00:00".into()), AppendForm::Utf8, "thr\r\n"),
            (&[][..], None, AppendForm::Plain, "four"),
            // What gives the whole command up (RFC 3502 §6.3.11): it is for the session to see.
            (&[][..], None, AppendForm::Plain, ""),
        ]
    );
    assert_eq!(
        told("APPEND x {1}\r\na (\\Seen) \"x\""),
        "APPEND: expected a date-time such as \" 1-Jan-2026 10:00:00 +0100\""
    );
    assert_eq!(told("APPEND x ~{1}\r\na~{1}\r\nb"), "APPEND: expected the end of the command");
}

/// As many as the framer lets through.
#[test]
fn appending_many() {
    let messages = appended(&format!("APPEND x{}", " ~{1+}\r\n\0".repeat(MAX_LITERALS)));
    assert_eq!(messages.len(), MAX_LITERALS);
    assert!(messages.iter().all(|message| message.form == AppendForm::Binary));
}
