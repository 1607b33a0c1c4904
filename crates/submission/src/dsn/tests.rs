//! Goldens, and what must hold for any values.

use super::*;
use chrono::TimeZone as _;
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use proptest::prelude::*;

fn at(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 3, hour, 5, 6).unwrap()
}

const ORIGINAL: &[u8] = b"From: Ada <ada@a.example>\r\nTo: bob@b.example\r\nSubject: Lunch on Friday\r\n\
    Message-ID: <1@a.example>\r\n\r\nAt noon?\r\n\r\n-- \r\nAda\r\n";

const FAILED: Status<'_> = Status {
    recipient: "bob@b.example",
    original: None,
    action: Action::Failed,
    status: (5, 1, 1),
    diagnostic: Some("550 5.1.1 <bob@b.example>: no such user here"),
    remote: Some("mx.b.example"),
    last_attempt: None,
    will_retry_until: None,
};

fn report<'a>(recipients: &'a [Status<'a>]) -> Report<'a> {
    Report {
        hostname: "mail.a.example",
        to: "ada@a.example",
        message_id: "0192.dsn@mail.a.example",
        boundary: "01926f00-0000-7000-8000-000000000001",
        at: at(9),
        arrived_at: at(4),
        envelope_id: None,
        subject: Some("Lunch on Friday"),
        recipients,
        original: Original::Headers(ORIGINAL),
        is_utf8: false,
    }
}

fn text(report: &Report<'_>) -> String {
    String::from_utf8(render(report)).unwrap()
}

/// The header and the three parts, each as header and body, by RFC 2046 §5.1.1 to the letter.
fn split(message: &[u8]) -> (String, Vec<(String, Vec<u8>)>) {
    let find = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).position(|at| at == needle);
    let end = find(message, b"\r\n\r\n").unwrap();
    let header = String::from_utf8(message[..end + 2].to_vec()).unwrap();
    let boundary = header.split_once("boundary=\"").unwrap().1.split_once('"').unwrap().0;
    assert!((1..=70).contains(&boundary.len()), "{boundary}");
    let delimiter = format!("\r\n--{boundary}");
    let mut pieces = Vec::new();
    let mut rest = &message[end + 2..];
    while let Some(at) = find(rest, delimiter.as_bytes()) {
        pieces.push(&rest[..at]);
        rest = &rest[at + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    assert_eq!(pieces[0], b"", "no preamble");
    let parts = pieces[1..].iter().map(|piece| {
        let piece = piece.strip_prefix(b"\r\n").unwrap();
        let end = find(piece, b"\r\n\r\n").unwrap();
        (String::from_utf8(piece[..end + 2].to_vec()).unwrap(), piece[end + 4..].to_vec())
    });
    (header.clone(), parts.collect())
}

#[test]
fn one_failure() {
    insta::assert_snapshot!(text(&report(&[FAILED])).replace("\r\n", "\n"));
}

#[test]
fn several_recipients() {
    let recipients = [
        Status {
            recipient: "eve@d.example",
            action: Action::Delivered,
            status: (2, 1, 5),
            diagnostic: None,
            remote: None,
            ..FAILED
        },
        Status {
            recipient: "carol@c.example",
            original: Some(("rfc822", "carol+list@c.example")),
            action: Action::Delayed,
            status: (4, 4, 1),
            diagnostic: Some("connection refused"),
            remote: None,
            last_attempt: Some(at(8)),
            will_retry_until: Some(at(4) + chrono::Duration::days(5)),
        },
        Status {
            status: (5, 7, 1),
            diagnostic: Some(
                "550-5.7.1 Our system has detected that this message is likely unsolicited mail.\r\n550 5.7.1 See \
                 https://b.example/help/why-was-my-message-refused-and-what-can-be-done-about-it-at-all",
            ),
            last_attempt: Some(at(8)),
            will_retry_until: Some(at(8)),
            ..FAILED
        },
        Status {
            recipient: "fay@f.example",
            action: Action::Relayed,
            status: (2, 0, 0),
            diagnostic: Some("250 2.0.0 Ok: queued as 4XyZ"),
            remote: Some("mx.f.example"),
            ..FAILED
        },
    ];
    let report = Report { envelope_id: Some("QQ314159 a"), ..report(&recipients) };
    insta::assert_snapshot!(text(&report).replace("\r\n", "\n"));
}

#[test]
fn utf8() {
    let recipients = [Status {
        recipient: "jürgen@b.example",
        original: Some(("utf-8", "jürgen@b.example")),
        diagnostic: Some("550 5.1.1 kein Postfach für jürgen"),
        ..FAILED
    }];
    let original = "From: Zoë <zoë@a.example>\r\nSubject: Grüße\r\n\r\nhallo\r\n";
    let report = Report {
        to: "zoë@a.example",
        subject: Some("Grüße"),
        original: Original::Headers(original.as_bytes()),
        is_utf8: true,
        ..report(&recipients)
    };
    insta::assert_snapshot!(text(&report).replace("\r\n", "\n"));
}

#[test]
fn the_whole_original() {
    let original = "From: Ada <ada@a.example>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n--b--\r\n";
    let report = Report { original: Original::Whole(original.as_bytes()), ..report(&[FAILED]) };
    insta::assert_snapshot!(text(&report).replace("\r\n", "\n"));
    let (_, parts) = split(&render(&report));
    assert_eq!(parts[2].1, original.as_bytes(), "every octet of it");
}

#[test]
fn seven_bits_without_smtputf8() {
    let recipients = [Status { original: Some(("utf-8", "jü+x@b.example")), ..FAILED }];
    let message = text(&report(&recipients));
    assert!(message.contains("Original-Recipient: utf-8; j\\x{FC}\\x{2B}x@b.example\r\n"), "{message}");
    assert!(message.is_ascii() && message.contains("report-type=delivery-status"));
    // A sender beyond ASCII can only have come with SMTPUTF8.
    let message = text(&Report { to: "zoë@a.example", ..report(&recipients) });
    assert!(message.contains("To: <zoë@a.example>\r\n") && message.contains("utf-8; jü+x@b.example\r\n"));
    assert!(message.contains("report-type=global-delivery-status"), "{message}");
}

#[test]
fn the_boundary_is_never_in_the_contents() {
    let boundary = report(&[]).boundary;
    let original = format!("Subject: a\r\n--{boundary}\r\nX: --{boundary}0--\r\n\r\n--{boundary}1--\r\n");
    let report = Report { original: Original::Whole(original.as_bytes()), ..report(&[FAILED]) };
    let (header, parts) = split(&render(&report));
    assert!(header.contains(&format!("boundary=\"{boundary}2\"")), "{header}");
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[2].1, original.as_bytes());
}

#[test]
fn a_diagnostic_is_short_and_folded() {
    let long = "550 no ".to_owned() + &"word ".repeat(400);
    let recipients = [Status { diagnostic: Some(&long), ..FAILED }];
    let (_, parts) = split(&render(&report(&recipients)));
    let fields = String::from_utf8(parts[1].1.clone()).unwrap();
    assert!(fields.lines().all(|line| line.len() <= 78), "{fields}");
    let words = fields.split_once("smtp; ").unwrap().1.replace("\r\n ", " ");
    let words = words.lines().next().unwrap();
    assert!((890..=900).contains(&words.len()) && long.starts_with(words), "{words}");
}

#[test]
fn classify_corrects_and_fills_in() {
    assert_eq!(classify(550, Some((5, 1, 1))), (5, 1, 1));
    assert_eq!(classify(550, None), (5, 0, 0));
    assert_eq!(classify(451, None), (4, 0, 0));
    assert_eq!(classify(250, None), (2, 0, 0));
    assert_eq!(classify(556, None), (5, 1, 10));
    assert_eq!(classify(556, Some((5, 7, 0))), (5, 7, 0));
    // RFC 2034 §4: the classes must agree.
    assert_eq!(classify(550, Some((4, 7, 1))), (5, 7, 1));
    assert_eq!(classify(450, Some((2, 0, 0))), (4, 0, 0));
    // No status at all: RFC 3463 §2.
    assert_eq!(classify(550, Some((7, 1, 1))), (5, 0, 0));
    assert_eq!(classify(550, Some((5, 1000, 1))), (5, 0, 0));
    assert_eq!(classify(354, None), (4, 5, 0));
    assert_eq!(classify(0, Some((4, 4, 2))), (4, 4, 2));
}

#[test]
fn another_reader_understands_it() {
    let whole = Report { original: Original::Whole(ORIGINAL), ..report(&[FAILED]) };
    let bytes = render(&whole);
    let message = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(message.from().unwrap().first().unwrap().address(), Some("postmaster@mail.a.example"));
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some("ada@a.example"));
    assert_eq!(message.header("Auto-Submitted").unwrap().as_text(), Some("auto-replied"));
    assert_eq!(message.date().unwrap().to_rfc3339(), "2026-11-03T09:05:06Z");
    let kind = message.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    assert_eq!(message.parts.len(), 4);
    let status = std::str::from_utf8(message.parts[2].contents()).unwrap();
    assert!(
        status.contains("\r\n\r\nFinal-Recipient: rfc822; bob@b.example\r\nAction: failed\r\n"),
        "{status}"
    );
    let PartType::Message(nested) = &message.parts[3].body else { panic!("{:?}", message.parts[3]) };
    assert_eq!(nested.subject(), Some("Lunch on Friday"));
    assert_eq!(nested.body_text(0).unwrap(), "At noon?\r\n\r\n-- \r\nAda\r\n");
}

/// Strings that try to break out, among any others.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        Just("\r\n".to_owned()),
        Just("\r\n\r\n--b".to_owned()),
        Just("\r\n--b--\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("b0b1".to_owned()),
        Just("\u{85}\u{2028}\u{202e}\0".to_owned()),
        Just("ü@b.example>, <x".to_owned()),
        Just("x".repeat(1200)),
        Just("\u{10ffff}".repeat(400)),
        Just("word ".repeat(300)),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<Vec<u8>>(),
        hostile().prop_map(String::into_bytes),
        Just(b"Subject: a\r\n".to_vec()),
        Just(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".to_vec()),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

prop_compose! {
    fn recipient()(
        recipient in hostile(),
        original in prop::option::of((hostile(), hostile())),
        action in prop::sample::select(vec![Action::Failed, Action::Delayed, Action::Relayed, Action::Delivered]),
        status in any::<(u8, u16, u16)>(),
        diagnostic in prop::option::of(hostile()),
        remote in prop::option::of(hostile()),
        is_timed in any::<bool>(),
    ) -> (String, Option<(String, String)>, Action, (u8, u16, u16), Option<String>, Option<String>, bool) {
        (recipient, original, action, status, diagnostic, remote, is_timed)
    }
}

proptest! {
    #[test]
    fn nothing_breaks_out(
        texts in (hostile(), hostile(), hostile(), prop_oneof![Just("b".to_owned()), hostile()]),
        optional in (prop::option::of(hostile()), prop::option::of(hostile())),
        recipients in prop::collection::vec(recipient(), 0..4),
        original in bytes(),
        is_whole in any::<bool>(),
        is_utf8 in any::<bool>(),
    ) {
        let recipients: Vec<Status<'_>> = recipients.iter().map(|of| Status {
            recipient: &of.0,
            original: of.1.as_ref().map(|(kind, address)| (kind.as_str(), address.as_str())),
            action: of.2,
            status: of.3,
            diagnostic: of.4.as_deref(),
            remote: of.5.as_deref(),
            last_attempt: of.6.then(|| at(1)),
            will_retry_until: of.6.then(|| at(2)),
        }).collect();
        let report = Report {
            hostname: &texts.0,
            to: &texts.1,
            message_id: &texts.2,
            boundary: &texts.3,
            envelope_id: optional.0.as_deref(),
            subject: optional.1.as_deref(),
            original: if is_whole { Original::Whole(&original) } else { Original::Headers(&original) },
            is_utf8,
            ..report(&recipients)
        };
        check(&report)?;
    }
}

/// The names of fields, as a reader sees them that unfolds nothing.
fn names(fields: &str) -> Vec<&str> {
    let own = |line: &&str| !line.starts_with([' ', '\t']);
    fields.split("\r\n").filter(own).map(|line| line.split(':').next().unwrap()).collect()
}

/// Lines, structure, and that no field is there which was not written.
fn check(report: &Report<'_>) -> Result<(), TestCaseError> {
    let message = render(report);
    prop_assert!(message.ends_with(b"\r\n"));
    for line in message[..message.len() - 2].split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        prop_assert!(line.len() <= 998, "{} octets", line.len());
        prop_assert!(!line.contains(&b'\r') && !line.contains(&0));
    }
    let crlf = message.windows(2).filter(|pair| pair == b"\r\n").count();
    prop_assert_eq!(message.iter().filter(|byte| **byte == b'\n').count(), crlf);
    let (header, parts) = split(&message);
    let wanted = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
        "",
    ];
    prop_assert_eq!(names(&header), wanted);
    prop_assert_eq!(parts.len(), 3);
    for (fields, body) in &parts {
        prop_assert_eq!(names(fields), ["Content-Type", "Content-Transfer-Encoding", ""]);
        prop_assert_eq!(fields.contains("8bit"), !body.is_ascii());
        prop_assert!(body.is_ascii() || header.contains("Content-Transfer-Encoding: 8bit"));
    }
    let fields = String::from_utf8(parts[1].1.clone()).unwrap();
    prop_assert!(report.is_utf8 || !report.to.is_ascii() || fields.is_ascii() && header.is_ascii());
    let groups: Vec<_> = fields.split("\r\n\r\n").map(names).collect();
    prop_assert_eq!(groups.len(), 1 + report.recipients.len());
    for group in &groups[1..] {
        let required = ["Final-Recipient", "Action", "Status"];
        prop_assert!(required.iter().all(|name| group.iter().filter(|of| of == &name).count() == 1));
        prop_assert!(group.len() <= 10);
    }
    // mail-parser looks for boundaries more loosely than it should.
    let parsed = MessageParser::default().parse(&message).unwrap();
    let PartType::Multipart(children) = &parsed.parts[0].body else { panic!("{parsed:?}") };
    prop_assert_eq!(children.len(), 3);
    Ok(())
}
