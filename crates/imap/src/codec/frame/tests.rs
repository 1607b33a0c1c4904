use proptest::prelude::*;

use super::*;

/// What a command is in these tests: its texts, its literals, and which of them are binary.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Command(Vec<String>, Vec<(String, bool)>),
    Literal(Announced),
    TooLong(Option<String>),
}

fn seen(event: Event) -> Seen {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    match event {
        Event::Command(Input { texts, literals }) => {
            assert_eq!(texts.len(), literals.len() + 1);
            let literals = literals.iter().map(|literal| (text(&literal.bytes), literal.is_binary)).collect();
            Seen::Command(texts.iter().map(text).collect(), literals)
        }
        Event::Literal(announced) => Seen::Literal(announced),
        Event::TooLong { tag } => Seen::TooLong(tag),
    }
}

/// Feeds chunks, takes literals shorter than `limit`, and checks that no more is kept than may be.
fn events(chunks: &[&[u8]], limit: u64) -> Vec<Seen> {
    let mut framer = Framer::default();
    let mut events = Vec::new();
    for chunk in chunks {
        framer.input().extend_from_slice(chunk);
        while let Some(event) = framer.next() {
            if let Event::Literal(announced) = &event {
                assert!(framer.next().is_none(), "not decided yet");
                if announced.bytes < limit { framer.accept() } else { framer.refuse() }
            }
            events.push(seen(event));
        }
        assert!(framer.input().len() <= MAX_TEXT_BYTES + 1, "kept more than the limit");
    }
    events
}

fn command(texts: &[&str], literals: &[&str]) -> Seen {
    let literals = literals.iter().map(|literal| ((*literal).to_owned(), false)).collect();
    Seen::Command(texts.iter().map(|text| (*text).to_owned()).collect(), literals)
}

fn literal(bytes: u64, is_sync: bool, command: &str, before: usize) -> Seen {
    Seen::Literal(Announced { bytes, is_sync, tag: Some("a".into()), command: command.into(), before })
}

#[test]
fn lines_end_in_lf() {
    assert_eq!(
        events(&[b"a NOOP\r\nb NOOP\n\r\nc\rNOOP\r\nd NO"], 100),
        [
            command(&["a NOOP"], &[]),
            command(&["b NOOP"], &[]),
            command(&[""], &[]),
            command(&["c\rNOOP"], &[])
        ]
    );
}

#[test]
fn literals_stand_between_texts() {
    assert_eq!(
        events(&[b"a login {3}\r\nada {4+}\r\n\r\n{}\r\n"], 100),
        [
            literal(3, true, "LOGIN", 0),
            literal(4, false, "LOGIN", 3),
            command(&["a login ", " ", ""], &["ada", "\r\n{}"]),
        ]
    );
    assert_eq!(
        events(&[b"a APPEND x ~{2+}\r\n\0\n\n"], 100),
        [
            literal(2, false, "APPEND", 0),
            Seen::Command(vec!["a APPEND x ".into(), String::new()], vec![("\0\n".into(), true)]),
        ]
    );
    assert_eq!(
        events(&[b"a SELECT {0}\r\n\r\n"], 100),
        [literal(0, true, "SELECT", 0), command(&["a SELECT ", ""], &[""])]
    );
}

/// MULTIAPPEND (RFC 3502): whether a message may come is asked for each, with what has been taken before it.
#[test]
fn each_literal_of_a_command_is_announced() {
    let mut framer = Framer::default();
    let mut step = |bytes: &[u8]| {
        framer.input().extend_from_slice(bytes);
        let event = framer.next().map(seen);
        framer.accept();
        event
    };
    assert_eq!(step(b"a append {1}\r\n"), Some(literal(1, true, "APPEND", 0)));
    assert_eq!(step(b"x (\\Seen) {3}\r\n"), Some(literal(3, true, "APPEND", 1)));
    assert_eq!(step(b"on"), None);
    assert_eq!(step(b"e ~{4}\r\n"), Some(literal(4, true, "APPEND", 4)));
    assert_eq!(step(b"\0two UTF8 (~{5+}\r\n"), Some(literal(5, false, "APPEND", 8)));
    assert_eq!(step(b"thr\r\n"), None);
    let literals = [("x", false), ("one", false), ("\0two", true), ("thr\r\n", true)];
    assert_eq!(
        step(b")\r\n"),
        Some(Seen::Command(
            ["a append ", " (\\Seen) ", " ", " UTF8 (", ")"].map(String::from).into(),
            literals.map(|(text, is_binary)| (text.to_owned(), is_binary)).into(),
        ))
    );
    // The next command's count begins anew; one that is refused takes those before it along.
    assert_eq!(step(b"a APPEND x {2}\r\n"), Some(literal(2, true, "APPEND", 0)));
    assert_eq!(
        events(&[b"a APPEND x {2}\r\nhi {50}\r\na APPEND x {1}\r\n!\r\n"], 50),
        [
            literal(2, true, "APPEND", 0),
            literal(50, true, "APPEND", 2),
            literal(1, true, "APPEND", 0),
            command(&["a APPEND x ", ""], &["!"]),
        ]
    );
}

#[test]
fn what_announces_nothing() {
    for line in [
        "a X {}",
        "a X {+}",
        "a X {-1}",
        "a X {1-}",
        "a X {1} ",
        "a X 1}",
        "a X {18446744073709551616}",
        "a X {000000000000000000001}",
        "a X {1++}",
    ] {
        assert_eq!(events(&[line.as_bytes(), b"\r\n"], 100), [command(&[line], &[])]);
    }
    let announced = events(&[b"a X {18446744073709551615}\r\n"], 100);
    assert_eq!(announced, [literal(u64::MAX, true, "X", 0)]);
}

#[test]
fn a_refused_literal_ends_its_command_or_is_passed_over() {
    assert_eq!(
        events(&[b"a APPEND x {100}\r\nb NOOP\r\n"], 50),
        [literal(100, true, "APPEND", 0), command(&["b NOOP"], &[])]
    );
    let mut bytes = b"a APPEND x {2+}\r\nhi {100+}\r\n".to_vec();
    bytes.extend([b'\n'; 100]);
    bytes.extend(b" {60+}\r\n");
    bytes.extend([b'x'; 60]);
    bytes.extend(b"\r\nb NOOP\r\n");
    assert_eq!(
        events(&[&bytes], 50),
        [literal(2, false, "APPEND", 0), literal(100, false, "APPEND", 2), command(&["b NOOP"], &[])]
    );
}

#[test]
fn a_refused_literal_is_not_kept() {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(b"a APPEND x {10000000+}\r\n");
    assert!(matches!(framer.next(), Some(Event::Literal(_))));
    framer.refuse();
    for _ in 0..1_000 {
        framer.input().extend_from_slice(&[b'x'; 10_000]);
        assert!(framer.next().is_none());
        assert!(framer.input().is_empty());
        assert!(!framer.is_empty());
    }
    framer.input().extend_from_slice(b"\r\nb NOOP\r\n");
    assert_eq!(framer.next().map(seen), Some(command(&["b NOOP"], &[])));
    assert!(framer.is_empty());
}

#[test]
fn each_literal_is_a_part_and_so_is_what_follows_it() {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(b"a X {5+}\r\n");
    assert!(matches!(framer.next(), Some(Event::Literal(_))));
    assert_eq!(framer.part(), None);
    framer.refuse();
    assert_eq!(framer.part(), Some(5));
    for (bytes, part) in [
        ("12", None),
        ("345", Some(0)),
        (" x {7+}", None),
        ("\r\n", Some(7)),
        ("1234567 ", Some(0)),
        ("\r\nb", Some(0)),
        (" X {3}", None),
    ] {
        framer.input().extend_from_slice(bytes.as_bytes());
        assert!(framer.next().is_none());
        assert_eq!(framer.part(), part, "{bytes:?}");
    }
    framer.input().extend_from_slice(b"\r\n");
    assert!(matches!(framer.next(), Some(Event::Literal(_))));
    framer.accept();
    assert_eq!(framer.part(), Some(3));
    framer.input().extend_from_slice(b"123 ");
    assert!(framer.next().is_none());
    assert_eq!(framer.part(), Some(0));
}

#[test]
fn a_literal_is_collected_without_what_was_announced_being_reserved() {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(b"a APPEND x {1000000000000}\r\n");
    assert!(matches!(framer.next(), Some(Event::Literal(_))));
    framer.accept();
    framer.input().extend_from_slice(&[b'x'; 100]);
    assert!(framer.next().is_none());
    assert!(matches!(&framer.state, State::Literal { bytes, .. } if bytes.capacity() <= FIRST_RESERVE_BYTES));
    let mut framer = Framer::default();

    framer.input().extend_from_slice(b"a APPEND x {300000}\r\n");
    assert!(matches!(framer.next(), Some(Event::Literal(_))));
    framer.accept();
    for _ in 0..30 {
        framer.input().extend_from_slice(&[b'x'; 10_000]);
        assert!(framer.next().is_none());
    }
    framer.input().extend_from_slice(b"\r\n");
    let Some(Event::Command(input)) = framer.next() else { panic!("no command") };
    assert_eq!(input.literals.first().map(|literal| literal.bytes.len()), Some(300_000));
}

#[test]
fn text_is_bounded_over_all_lines() {
    let fits = format!("a {}", "x".repeat(MAX_TEXT_BYTES - 2));
    assert_eq!(events(&[fits.as_bytes(), b"\r", b"\n"], 100), [command(&[&fits], &[])]);
    let over = format!("a {}\r\nb NOOP\r\n", "x".repeat(MAX_TEXT_BYTES - 1));
    let too_long = || Seen::TooLong(Some("a".into()));
    assert_eq!(events(&[over.as_bytes()], 100), [too_long(), command(&["b NOOP"], &[])]);
    // Together with the line before it: one byte too long, with a literal to be passed over behind it.
    let rest = "x".repeat(MAX_TEXT_BYTES - "a X {2}".len() - 4 + 1);
    let over = format!("a X {{2}}\r\nhi{rest}{{3+}}\r\nb\r\n\r\nc NOOP\r\n");
    assert_eq!(
        events(&[over.as_bytes()], 100),
        [literal(2, true, "X", 0), too_long(), command(&["c NOOP"], &[])]
    );
    let untagged = "x".repeat(MAX_TEXT_BYTES * 3);
    assert_eq!(events(&[untagged.as_bytes(), b"\n"], 100), [Seen::TooLong(None)]);
}

#[test]
fn literals_are_bounded_in_number() {
    let most = format!("a X{}", " {1+}\r\nx".repeat(MAX_LITERALS));
    let taken = events(&[most.as_bytes(), b"\r\n"], 100);
    assert_eq!(taken.len(), MAX_LITERALS + 1);
    assert!(matches!(taken.last(), Some(Seen::Command(_, literals)) if literals.len() == MAX_LITERALS));
    for (more, rest) in [(" {3+}\r\nxxx {1+}\r\nx", "\r\n"), (" {1}", "\r\n")] {
        let events = events(&[most.as_bytes(), more.as_bytes(), rest.as_bytes(), b"b NOOP\r\n"], 100);
        assert_eq!(events.len(), MAX_LITERALS + 2);
        assert_eq!(events.get(MAX_LITERALS), Some(&Seen::TooLong(Some("a".into()))));
    }
}

#[test]
fn bare_lines() {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(b"a IDLE\r\nDONE\r\nlonger\r\n=\nxx");
    assert!(matches!(framer.next(), Some(Event::Command(_))));
    assert_eq!(framer.line(4), Some(Ok("DONE".into())));
    assert_eq!(framer.line(4), Some(Err(TooLong)));
    assert_eq!(framer.line(4), Some(Ok("=".into())));
    assert_eq!(framer.line(4), None);
    framer.input().extend_from_slice(&[b'x'; 100]);
    assert_eq!(framer.line(4), None);
    assert!(framer.input().is_empty() && !framer.is_empty());
    framer.input().extend_from_slice(b"\r\nfour\r");
    assert_eq!(framer.line(4), Some(Err(TooLong)));
    assert_eq!(framer.line(4), None);
    framer.input().extend_from_slice(b"\nx {1}\r\n");
    assert_eq!(framer.line(4), Some(Ok("four".into())));
    assert!(matches!(framer.next(), Some(Event::Literal(_))));
    assert_eq!(framer.line(4), None);
    framer.refuse();
    assert!(framer.is_empty());
}

#[test]
fn tags() {
    for (line, read) in [
        ("a1 NOOP", Some("a1")),
        ("A]{ NOOP", None),
        ("A] NOOP", Some("A]")),
        ("+ NOOP", None),
        ("* NOOP", None),
        (" NOOP", None),
        ("", None),
        ("a\u{e9} NOOP", None),
    ] {
        assert_eq!(tag(line.as_bytes()).as_deref(), read, "{line:?}");
    }
    assert!(tag(&[b'a'; 64]).is_some());
    assert!(tag(&[b'a'; 65]).is_none());
}

#[test]
fn secrets_do_not_show_in_debug() {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(b"a LOGIN ada {7+}\r\nhunter2 hunter2\r\n");
    let mut shown = format!("{framer:?}");
    while let Some(event) = framer.next() {
        framer.accept();
        shown.push_str(&format!("{event:?} {framer:?}"));
    }
    assert!(shown.contains("Command") && !shown.contains("hunter2"), "{shown}");
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-c{}+~0-9 ]{0,12}".prop_map(String::into_bytes),
        4 => Just(b"\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        3 => (0..60_u32, any::<bool>(), any::<bool>()).prop_map(|(bytes, is_sync, is_binary)| {
            let (tilde, plus) = (if is_binary { "~" } else { "" }, if is_sync { "" } else { "+" });
            format!(" {tilde}{{{bytes}{plus}}}\r\n").into_bytes()
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (MAX_TEXT_BYTES - 20..MAX_TEXT_BYTES + 20).prop_map(|bytes| vec![b'x'; bytes]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(400)))]
    #[test]
    fn cuts_do_not_matter(
        pieces in proptest::collection::vec(piece(), 0..40),
        cuts in proptest::collection::vec(prop_oneof![1..20_usize, 1..3_000_usize, 60_000..70_000_usize], 1..20),
    ) {
        let bytes = pieces.concat();
        prop_assert_eq!(events(&testkit::pieces(&bytes, &cuts), 40), events(&[&bytes], 40));
    }
}

/// A client that drips bytes: each look must cost what is new, not what is there. With rescanning this takes minutes.
#[test]
fn dripping_costs_no_more_than_its_bytes() {
    let mut framer = Framer::default();
    let mut bytes = format!("a {} {{500000+}}\r\n", "x".repeat(MAX_TEXT_BYTES - 20)).into_bytes();
    bytes.extend(std::iter::repeat_n(b'x', 500_000));
    bytes.extend(b"\r\n");
    bytes.extend(std::iter::repeat_n(b'x', 500_000));
    bytes.extend(b"\r\n");
    let mut events = 0;
    for byte in bytes {
        framer.input().extend_from_slice(&[byte]);
        while framer.next().is_some() {
            framer.accept();
            events += 1;
        }
    }
    assert_eq!(events, 3);
}
