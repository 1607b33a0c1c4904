//! The whole of it: RFC examples, and that structures and sections agree whatever comes.

use proptest::prelude::*;

use super::*;

/// The leaves of a message by their numbers, in their order.
fn leaves(body: &Part) -> Vec<(Vec<u32>, &Leaf)> {
    fn message<'a>(body: &'a Part, number: &[u32], leaves: &mut Vec<(Vec<u32>, &'a Leaf)>) {
        match body {
            Part::Multipart(_) => part(body, number.to_vec(), leaves),
            Part::Leaf(_) => part(body, [number, &[1]].concat(), leaves),
        }
    }
    fn part<'a>(part_of: &'a Part, number: Vec<u32>, leaves: &mut Vec<(Vec<u32>, &'a Leaf)>) {
        match part_of {
            Part::Multipart(multipart) => {
                for (at, child) in (1..).zip(&multipart.parts) {
                    part(child, [number.as_slice(), &[at]].concat(), leaves);
                }
            }
            Part::Leaf(leaf) => {
                leaves.push((number.clone(), leaf));
                if let Some(inner) = &leaf.message {
                    message(&inner.body, &number, leaves);
                }
            }
        }
    }
    let mut leaves = Vec::new();
    message(body, &[], &mut leaves);
    leaves
}

fn get(message: &str, number: &[u32], what: What) -> Option<String> {
    let found = Sections::new(message.as_bytes()).get(number, what);
    found.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn chosen(message: &str, number: &[u32], names: &[&str], is_among: bool) -> Option<String> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let header = Sections::new(message.as_bytes()).get(number, What::Header)?;
    Some(String::from_utf8(chosen_fields(header, &names, is_among)).unwrap())
}

/// Numbers and media types.
fn outline(message: &str) -> Vec<String> {
    let show = |(number, leaf): (Vec<u32>, &Leaf)| {
        let number: Vec<_> = number.iter().map(u32::to_string).collect();
        format!("{} {}/{}", number.join("."), leaf.media_type, leaf.subtype)
    };
    leaves(&parse(message.as_bytes()).body).into_iter().map(show).collect()
}

fn agrees(message: &[u8]) {
    let structure = parse(message);
    let json = serde_json::to_string(&structure).unwrap();
    assert!(!json.contains("\\u0000"));
    assert_eq!(serde_json::from_str::<Structure>(&json).unwrap(), structure);
    let leaves = leaves(&structure.body);
    for (number, leaf) in &leaves {
        let body = Sections::new(message).get(number, What::All).unwrap();
        assert_eq!(body.len() as u64, leaf.size_bytes, "{number:?}");
        let lines = leaf.lines.unwrap_or_else(|| body.iter().filter(|&&byte| byte == b'\n').count() as u64);
        assert_eq!(body.split(|&byte| byte == b'\n').count() as u64, lines + 1);
        assert!(Sections::new(message).get(number, What::Mime).is_some());
        let inner = [What::Header, What::Text].map(|what| Sections::new(message).get(number, what));
        match inner {
            [Some(header), Some(text)] => assert_eq!([header, text].concat(), body),
            inner => assert_eq!((inner, leaf.message.is_none()), ([None, None], true)),
        }
        if leaf.message.is_none() {
            assert_eq!(Sections::new(message).get(&[number.as_slice(), &[1]].concat(), What::All), None);
        }
    }
    if let Some(([before @ .., last], _)) = leaves.last().map(|(number, leaf)| (number.as_slice(), leaf)) {
        assert_eq!(Sections::new(message).get(&[before, &[last + 1]].concat(), What::All), None);
    }
}

/// RFC 9051 §8.
const SUMMARY: &str = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n\
    Subject: IMAP4rev2 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n\
    cc: minutes@CNRI.Reston.VA.US,\r\n   John Klensin <KLENSIN@MIT.EDU>\r\n\
    Message-Id: <B27397-0100000@cac.washington.ed>\r\nMIME-Version: 1.0\r\n\
    Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n";

#[test]
fn the_message_of_rfc_9051_is_told_as_there() {
    let message = format!("{SUMMARY}{}", "a line\r\n".repeat(92));
    let Structure { envelope, body } = parse(message.as_bytes());
    assert_eq!(envelope.date.as_deref(), Some("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"));
    assert_eq!(envelope.subject.as_deref(), Some("IMAP4rev2 WG mtg summary and minutes"));
    let address = |name: Option<&str>, mailbox: &str, host: &str| Address {
        name: name.map(str::to_owned),
        route: None,
        mailbox: Some(mailbox.to_owned()),
        host: Some(host.to_owned()),
    };
    let gray = [address(Some("Terry Gray"), "gray", "cac.washington.edu")];
    assert_eq!([&envelope.from, envelope.sender(), envelope.reply_to()], [&gray; 3]);
    assert_eq!(envelope.to, [address(None, "imap", "cac.washington.edu")]);
    let klensin = address(Some("John Klensin"), "KLENSIN", "MIT.EDU");
    assert_eq!(envelope.cc, [address(None, "minutes", "CNRI.Reston.VA.US"), klensin]);
    assert_eq!((envelope.bcc.len(), &envelope.in_reply_to), (0, &None));
    assert_eq!(envelope.message_id.as_deref(), Some("<B27397-0100000@cac.washington.ed>"));
    let charset = ("CHARSET".to_owned(), "US-ASCII".to_owned());
    let text = Leaf {
        media_type: "TEXT".to_owned(),
        subtype: "PLAIN".to_owned(),
        parameters: vec![charset],
        size_bytes: 736,
        lines: Some(92),
        ..Leaf::default()
    };
    assert_eq!(body, Part::Leaf(text));
    agrees(message.as_bytes());
}

#[test]
fn what_is_kept_of_a_simple_message_is_small() {
    let structure = parse(b"From: J <j@x.example>\r\nSubject: Hi\r\n\r\nHello\r\n");
    assert_eq!(
        serde_json::to_string(&structure).unwrap(),
        r#"{"e":{"s":"Hi","f":[{"n":"J","m":"j","h":"x.example"}]},"b":{"l":{"t":"text","s":"plain","p":[["charset","us-ascii"]],"z":7,"l":1}}}"#
    );
    assert_eq!(parse(b""), Structure::default());
}

#[test]
fn chosen_fields_keep_their_order_and_folding() {
    let fields = |list: &[&str]| chosen(SUMMARY, &[], list, true).unwrap();
    assert_eq!(
        fields(&["CC", "date", "X-None"]),
        "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\ncc: minutes@CNRI.Reston.VA.US,\r\n   John Klensin <KLENSIN@MIT.EDU>\r\n\r\n"
    );
    assert_eq!(fields(&["X-None"]), "\r\n");
    let others = ["date", "FROM", "To", "Cc", "Message-ID", "Content-Type", "Subject"];
    assert_eq!(chosen(SUMMARY, &[], &others, false).as_deref(), Some("MIME-Version: 1.0\r\n\r\n"));
    assert_eq!(chosen(SUMMARY, &[], &[], false).as_deref(), Some(SUMMARY));
    assert_eq!(chosen("A: b", &[], &["a"], true).as_deref(), Some("A: b\r\n\r\n"));
    assert_eq!(chosen(SUMMARY, &[1], &["a"], true), None);
}

#[test]
fn a_message_without_parts_is_its_own_first() {
    let message = "Subject: x\r\n\r\nbody\r\n";
    let all = |number: &[u32]| get(message, number, What::All);
    assert_eq!(all(&[]).as_deref(), Some(message));
    assert_eq!(all(&[1]).as_deref(), Some("body\r\n"));
    assert_eq!(get(message, &[], What::Text), all(&[1]));
    assert_eq!(get(message, &[], What::Header).as_deref(), Some("Subject: x\r\n\r\n"));
    assert_eq!(get(message, &[1], What::Mime), get(message, &[], What::Header));
    for number in [&[0][..], &[2], &[1, 1], &[u32::MAX]] {
        assert_eq!(all(number), None, "{number:?}");
    }
    for (number, what) in [(&[][..], What::Mime), (&[1], What::Header), (&[1], What::Text)] {
        assert_eq!(get(message, number, what), None);
    }
}

fn multipart(subtype: &str, boundary: &str, parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--{boundary}\r\n{part}\r\n")).collect();
    format!("Content-Type: MULTIPART/{subtype}; boundary={boundary}\r\n\r\n{parts}--{boundary}--\r\n")
}

/// RFC 9051 §6.4.5.1.
#[test]
fn parts_are_numbered_as_in_rfc_9051() {
    let text = "Content-Type: TEXT/PLAIN\r\n\r\ntext";
    let file = "Content-Type: APPLICATION/OCTET-STREAM\r\n\r\nfile";
    let message = |inner: &str| format!("Content-Type: MESSAGE/RFC822\r\n\r\nSubject: inner\r\n{inner}");
    let third = multipart("MIXED", "b3", &[text, file]);
    let alternative = multipart("ALTERNATIVE", "b422", &[text, "Content-Type: TEXT/RICHTEXT\r\n\r\nrich"]);
    let image = "Content-Type: IMAGE/GIF\r\nContent-ID: <i>\r\n\r\ngif";
    let fourth =
        multipart("MIXED", "b4", &[image, &message(&multipart("MIXED", "b42", &[text, &alternative]))]);
    let whole = multipart("MIXED", "b", &[text, file, &message(&third), &fourth]);
    assert_eq!(
        outline(&whole),
        [
            "1 TEXT/PLAIN",
            "2 APPLICATION/OCTET-STREAM",
            "3 MESSAGE/RFC822",
            "3.1 TEXT/PLAIN",
            "3.2 APPLICATION/OCTET-STREAM",
            "4.1 IMAGE/GIF",
            "4.2 MESSAGE/RFC822",
            "4.2.1 TEXT/PLAIN",
            "4.2.2.1 TEXT/PLAIN",
            "4.2.2.2 TEXT/RICHTEXT"
        ]
    );
    let is = |number: &[u32], what: What, text: &str| {
        assert_eq!(get(&whole, number, what).as_deref(), Some(text), "{number:?}");
    };
    let body = |part: &str| part.split_once("\r\n\r\n").unwrap().1.to_owned();
    is(&[3], What::All, &format!("Subject: inner\r\n{third}"));
    is(&[3], What::Header, "Subject: inner\r\nContent-Type: MULTIPART/MIXED; boundary=b3\r\n\r\n");
    is(&[3], What::Text, &body(&third));
    is(&[3, 2], What::All, "file");
    is(&[4], What::All, &body(&fourth));
    is(&[4, 1], What::Mime, "Content-Type: IMAGE/GIF\r\nContent-ID: <i>\r\n\r\n");
    assert_eq!(chosen(&whole, &[4, 2], &["subject"], true).as_deref(), Some("Subject: inner\r\n\r\n"));
    is(&[4, 2, 2], What::All, &body(&alternative));
    is(&[4, 2, 2, 2], What::All, "rich");
    assert_eq!(get(&whole, &[4], What::Header).or_else(|| get(&whole, &[4], What::Text)), None);
    agrees(whole.as_bytes());
}

/// RFC 2046 §5.1.1.
#[test]
fn parts_come_without_their_encoding() {
    let part = |encoding: &str, body: &str| format!("Content-Transfer-Encoding: {encoding}\r\n\r\n{body}");
    let message = multipart(
        "mixed",
        "b",
        &[
            &part("BASE64", "aGVs\r\nbG8=\r\n"),
            &part("quoted-printable", "caf=C3=A9 =\r\nau lait"),
            &part("8bit", "caf\u{e9}"),
            &part("x-rot13", "uryyb"),
        ],
    );
    let sections = Sections::new(message.as_bytes());
    let decoded = |part: &[u32]| {
        sections.decoded(part).map(|bytes| bytes.map(|bytes| String::from_utf8(bytes.into_owned()).unwrap()))
    };
    assert_eq!(decoded(&[1]), Some(Ok("hello".to_owned())));
    assert_eq!(decoded(&[2]), Some(Ok("caf\u{e9} au lait".to_owned())));
    assert_eq!(decoded(&[3]), Some(Ok("caf\u{e9}".to_owned())));
    assert_eq!(decoded(&[4]), Some(Err(UnknownEncoding)));
    assert_eq!((decoded(&[5]), decoded(&[])), (None, Some(Ok(message.clone()))));
    // A message without parts is its own first.
    let alone = format!("Subject: one\r\n{}", part("base64", "aGVsbG8="));
    assert_eq!(Sections::new(alone.as_bytes()).decoded(&[1]).unwrap().unwrap().as_ref(), b"hello");
}

#[test]
fn binary_parts_are_put_into_base64() {
    let body: Vec<u8> = (0..=255).collect();
    let inner =
        [b"Content-Type: image/x\r\ncontent-transfer-encoding: Binary\r\nX-A: b\r\n\r\n", &body[..]].concat();
    let message = [
        b"Subject: s\r\nContent-Transfer-Encoding: binary\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n",
        &inner[..],
        b"\r\n--b--\r\nepilogue",
    ]
    .concat();
    let mended = without_binary(&message).unwrap();
    assert!(!mended.contains(&0));
    let sections = Sections::new(&mended);
    assert_eq!(sections.decoded(&[2]).unwrap().unwrap().as_ref(), body);
    assert_eq!(sections.decoded(&[1]).unwrap().unwrap().as_ref(), b"text");
    let header = sections.get(&[2], What::Mime).unwrap();
    assert_eq!(header, b"Content-Type: image/x\r\nX-A: b\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    assert!(mended.ends_with(b"\r\n--b--\r\nepilogue"));
    // What has none is as it was; what has NULs elsewhere cannot be helped.
    assert_eq!(
        without_binary(b"Subject: s\r\n\r\nhello\r\n").unwrap().as_ref(),
        b"Subject: s\r\n\r\nhello\r\n"
    );
    assert_eq!(without_binary(b"Subject: s\r\n\r\n\0"), Err(UnknownEncoding));
}

#[test]
fn the_simple_multipart_of_rfc_2046() {
    let message = "From: Nathaniel Borenstein <nsb@bellcore.com>\r\nTo: Ned Freed <ned@innosoft.com>\r\n\
        Date: Sun, 21 Mar 1993 23:56:48 -0800 (PST)\r\nSubject: Sample message\r\nMIME-Version: 1.0\r\n\
        Content-type: multipart/mixed; boundary=\"simple boundary\"\r\n\r\n\
        This is the preamble.  It is to be ignored.\r\n\r\n--simple boundary\r\n\r\n\
        This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.\r\n\
        --simple boundary\r\nContent-type: text/plain; charset=us-ascii\r\n\r\n\
        This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n\r\n\
        --simple boundary--\r\n\r\nThis is the epilogue.  It is also to be ignored.\r\n";
    let all = |number: u32| get(message, &[number], What::All);
    let first = "This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.";
    assert_eq!(all(1).as_deref(), Some(first));
    let second = "This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n";
    assert_eq!(all(2).as_deref(), Some(second));
    assert_eq!(all(3), None);
    let structure = parse(message.as_bytes());
    let lines: Vec<_> = leaves(&structure.body).iter().map(|(_, leaf)| leaf.lines).collect();
    assert_eq!(lines, [Some(1), Some(2)]);
    agrees(message.as_bytes());
}

/// RFC 2046 §5.1.5.
#[test]
fn the_parts_of_a_digest_are_messages() {
    let message = multipart(
        "digest",
        "b",
        &["\r\nFrom: someone-else\r\nSubject: my opinion\r\n\r\nbody", "Content-Type: text/html\r\n\r\nx"],
    );
    assert_eq!(outline(&message), ["1 message/rfc822", "1.1 text/plain", "2 text/html"]);
    assert_eq!(get(&message, &[1, 1], What::All).as_deref(), Some("body"));
    agrees(message.as_bytes());
}

#[test]
fn what_a_part_says_of_itself_is_kept() {
    let structure = parse(
        b"Content-Type: image/png; name*0=\"a b\"; name*1*=%20c\r\nContent-ID: <i@x>\r\nContent-Description: a\r\n picture\r\n\
        Content-Transfer-Encoding: Base64\r\nContent-MD5: Q2hlY2s=\r\nContent-Disposition: inline; filename=x\r\n\
        Content-Language: de, en\r\nContent-Location: http://x/\r\n\r\nAAAA\r\n",
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let leaf = Leaf {
        media_type: "image".to_owned(),
        subtype: "png".to_owned(),
        parameters: vec![pair("name*0", "a b"), pair("name*1*", "%20c")],
        id: Some("<i@x>".to_owned()),
        description: Some("a picture".to_owned()),
        encoding: "Base64".to_owned(),
        size_bytes: 6,
        lines: None,
        message: None,
        md5: Some("Q2hlY2s=".to_owned()),
        disposition: Some(Disposition { kind: "inline".to_owned(), parameters: vec![pair("filename", "x")] }),
        language: vec!["de".to_owned(), "en".to_owned()],
        location: Some("http://x/".to_owned()),
    };
    assert_eq!(structure, Structure { envelope: Envelope::default(), body: Part::Leaf(leaf) });
}

#[test]
fn what_is_broken_is_shown_as_imap_can() {
    for broken in ["multipart/mixed; boundary=x", "multipart/mixed", "multipart/digest; boundary=\"\""] {
        let message = format!("Content-Type: {broken}\r\n\r\nno delimiter\r\n--\r\n");
        assert_eq!(outline(&message), ["1 text/plain"]);
        assert_eq!(get(&message, &[1], What::All).as_deref(), Some(""));
        agrees(message.as_bytes());
    }
    for broken in ["text", "", "???", "/"] {
        assert_eq!(parse(format!("Content-Type: {broken}\r\n\r\n").as_bytes()), Structure::default());
    }
    let encoded = "Content-Type: message/rfc822; name=x.eml\r\nContent-Transfer-Encoding: BASE64\r\n\r\nU3ViamVjdDogeA==";
    assert_eq!(outline(encoded), ["1 application/octet-stream"]);
    agrees(encoded.as_bytes());
}

#[test]
fn what_two_fields_say() {
    let envelope = parse(b"From: a@x\r\nSubject: 1\r\nSender:\r\nFrom: b@y\r\nSubject: 2\r\n\r\n").envelope;
    assert_eq!(envelope.subject.as_deref(), Some("2"));
    assert_eq!((envelope.from.len(), envelope.sender().len()), (2, 2));
}

#[test]
fn nesting_and_floods_are_bounded() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
    let deep = outline(&nested);
    assert_eq!(deep.len(), 21);
    assert!(deep.last().unwrap().ends_with(".1.1 application/octet-stream"), "{deep:?}");
    agrees(nested.as_bytes());

    let level = |level| format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
    let multiparts: String = (0..2_000).map(level).collect();
    assert_eq!(outline(&multiparts).len(), 1);
    agrees(multiparts.as_bytes());

    // A message in a digest counts twice: as a part, and as what is in it.
    for (subtype, last) in [("mixed", 1_000), ("digest", 500)] {
        let parts = "--b\r\n\r\n".repeat(100_000);
        let wide = format!("Content-Type: multipart/{subtype}; boundary=b\r\n\r\n{parts}");
        assert_eq!(outline(&wide).len(), 1_000);
        assert_eq!(get(&wide, &[last], What::All).as_deref(), Some(""));
        assert_eq!(get(&wide, &[last + 1], What::All), None);
    }

    let chatty = format!("--b\r\nContent-Description: {}\r\n\r\n", "\u{1}".repeat(3_000)).repeat(500);
    let chatty = parse(format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{chatty}").as_bytes());
    assert_eq!(leaves(&chatty.body).len(), 500);
    assert!(serde_json::to_vec(&chatty).unwrap().len() < 2 << 20);
}

/// A part as a program would write it.
#[derive(Debug, Clone)]
enum Made {
    Text(String),
    Message(Box<Made>),
    Parts(Vec<Made>),
}

impl Made {
    /// It, and the bodies of its leaves in their order. Boundaries tell how high above the leaves they are.
    fn write(&self, bodies: &mut Vec<String>) -> (usize, String) {
        let at = bodies.len();
        match self {
            Self::Text(text) => {
                bodies.push(text.clone());
                (0, format!("Content-Type: text/plain\r\n\r\n{text}"))
            }
            Self::Message(inner) => {
                bodies.push(String::new());
                let (height, inner) = inner.write(bodies);
                bodies[at] = format!("Subject: made\r\n{inner}");
                (height, format!("Content-Type: message/rfc822\r\n\r\n{}", bodies[at]))
            }
            Self::Parts(parts) => {
                let written: Vec<_> = parts.iter().map(|part| part.write(bodies)).collect();
                let height = 1 + written.iter().map(|(height, _)| *height).max().unwrap_or(0);
                let parts: Vec<_> = written.iter().map(|(_, part)| part.as_str()).collect();
                (height, multipart("mixed", &format!("=_{height}"), &parts))
            }
        }
    }
}

fn made() -> impl Strategy<Value = Made> {
    let text = "([a-z-]{0,9}\r\n|--=_\r\n|\r\n){0,4}[a-z]{0,3}".prop_map(Made::Text);
    text.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..5).prop_map(Made::Parts),
            inner.prop_map(|inner| Made::Message(Box::new(inner)))
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_found(made in made()) {
        let mut bodies = Vec::new();
        let (_, message) = made.write(&mut bodies);
        let structure = parse(message.as_bytes());
        let found = leaves(&structure.body);
        let read: Vec<_> = found.iter().map(|(number, _)| get(&message, number, What::All).unwrap()).collect();
        prop_assert_eq!(read, bodies);
        agrees(message.as_bytes());
    }

    #[test]
    fn what_is_mangled_agrees(made in made(), cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..9), 0..9)) {
        let mut message = made.write(&mut Vec::new()).1.into_bytes();
        for (at, byte, len) in cuts {
            let at = at.index(message.len());
            let end = (at + len).min(message.len());
            message.splice(at..end, [byte]);
        }
        agrees(&message);
    }

    #[test]
    fn whatever_comes_agrees(pieces in proptest::collection::vec(prop_oneof![
        Just(b"Subject: ".to_vec()), Just(b"To: ".to_vec()), Just(b"Content-Type: multipart/mixed; boundary=b\r\n".to_vec()),
        Just(b"Content-Type: message/rfc822\r\n".to_vec()), Just(b"Content-Type: multipart/digest; boundary*0=b\r\n".to_vec()),
        Just(b"Content-Transfer-Encoding: base64\r\n".to_vec()), Just(b"Content-Disposition: x; y=".to_vec()),
        Just(b"--b\r\n".to_vec()), Just(b"--b--\r\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"\0".to_vec()), Just(b"\n".to_vec()),
        "[\"(<>\\\\@:;, \\[\\]=a]{0,12}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..16)], 0..24)) {
        agrees(&pieces.concat());
    }
}
