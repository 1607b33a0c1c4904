use super::*;
use proptest::prelude::*;

const TRACE: &[u8] = b"Received: by mx.example with ESMTPSA id 1;\r\n\tSat, 03 Feb 2024 04:05:06 +0000\r\n";

fn mends(sender: SenderMend<'static>) -> Mends<'static> {
    Mends {
        trace: TRACE,
        date: "2024-02-03T04:05:06Z".parse().unwrap(),
        message_id: "<id@own.example>",
        hostname: "mx.example",
        sender,
    }
}

/// The mended message without the trace fields.
fn mended(message: &[u8], sender: SenderMend<'static>) -> Vec<u8> {
    let mended = Header::read(message).unwrap().mended(&mends(sender));
    mended.strip_prefix(TRACE).unwrap().to_vec()
}

fn assert_mended(message: &str, wanted: &str) {
    let out = mended(message.as_bytes(), SenderMend::Remove);
    assert_eq!(String::from_utf8_lossy(&out), wanted);
}

/// A message with this line in front of, or behind, a From.
fn with_line(line: &str) -> [String; 2] {
    let from = "From: own@own.example";
    [format!("{line}\r\n{from}\r\n\r\n"), format!("{from}\r\n{line}\r\n\r\n")]
}

#[test]
fn adds_what_is_missing_at_the_end_of_the_header() {
    const ADDED: &str = "Date: Sat, 03 Feb 2024 04:05:06 +0000\r\nMessage-ID: <id@own.example>\r\n";
    let body = "\r\nFrom: nobody\r\n\r\nbody\r\n";
    assert_mended(
        &format!("From: own@own.example\r\n{body}"),
        &format!("From: own@own.example\r\n{ADDED}{body}"),
    );
    // A header only, whole or without its last line end.
    assert_mended("From: own@own.example\r\n", &format!("From: own@own.example\r\n{ADDED}"));
    assert_mended("From: own@own.example", &format!("From: own@own.example\r\n{ADDED}"));
    // Blank ones are none.
    assert_mended(
        "Date:\r\n \r\nFrom: own@own.example\r\nmessage-id :  \r\n\r\n",
        &format!("From: own@own.example\r\n{ADDED}\r\n"),
    );
}

#[test]
fn leaves_what_is_there() {
    let message = "Received: a\r\nARC-Seal: i=1;\r\n b=\r\nDKIM-Signature: v=1;\r\n\tbh=x\r\nX-Odd:  y \r\n \r\nTo: a\r\n\
                   Subject:\r\n =?utf-8?q?x?=\r\n y\r\nfrom: own@own.example\r\nDate: not a date\r\n\
                   Message-Id: no brackets\r\nDelivered-To: x\r\nX-Original-To: y\r\n\r\n\r\nBcc: z\r\n";
    assert_mended(message, message);
    let header = Header::read(message.as_bytes()).unwrap();
    assert!(header.sender().is_none());
}

#[test]
fn takes_out_what_is_not_to_be_sent() {
    assert_mended(
        "Return-Path: <x@y>\r\nFrom: own@own.example\r\nBCC: a@b,\r\n c@d\r\nDate: x\r\nBcc : e\r\nResent-Bcc: f\r\n\
         return-path\t: g\r\nMessage-ID: <1@a>\r\nBcc:\r\nResent: x\r\n\r\nbody",
        "From: own@own.example\r\nDate: x\r\nMessage-ID: <1@a>\r\nResent: x\r\n\r\nbody",
    );
    // Who sends it again would be anybody, and half a block is none.
    assert_mended(
        "Resent-Date: x\r\nRESENT-FROM : evil@x\r\nResent-To: a@b\r\nResent-Cc: c\r\nResent-Sender: d\r\nResent-Message-ID: <2@a>\r\n\
         From: own@own.example\r\nDate: x\r\nMessage-ID: <1@a>\r\n\r\nbody",
        "From: own@own.example\r\nDate: x\r\nMessage-ID: <1@a>\r\n\r\nbody",
    );
    assert_mended(
        "Authentication-Results: MX.example;\r\n spf=pass\r\nAuthentication-Results: mx.other; none\r\n\
         authentication-results:\r\n (c)\r\n mx.example 1; none\r\nARC-Authentication-Results: i=1; mx.example; none\r\n\
         From: own@own.example\r\nDate: x\r\nMessage-ID: <1@a>\r\n\r\n",
        "Authentication-Results: mx.other; none\r\nARC-Authentication-Results: i=1; mx.example; none\r\n\
         From: own@own.example\r\nDate: x\r\nMessage-ID: <1@a>\r\n\r\n",
    );
}

#[test]
fn takes_out_white_space_before_a_colon() {
    assert_mended(
        "X \t : y\r\nSubject : a\r\n : b\r\nFrom\t: own@own.example\r\nDate : x\r\nMessage-ID\t: <1@a>\r\nTo : c",
        "X: y\r\nSubject: a\r\n : b\r\nFrom: own@own.example\r\nDate: x\r\nMessage-ID: <1@a>\r\nTo: c\r\n",
    );
}

#[test]
fn of_several_dates_and_ids_the_first_stays() {
    let message = "Date: \r\nDate: a\r\nMessage-ID: <1@a>\r\nFrom: own@own.example\r\nmessage-id: <2@a>\r\nDATE : b\r\n\r\n";
    assert_mended(message, "Date: a\r\nMessage-ID: <1@a>\r\nFrom: own@own.example\r\n\r\n");
}

#[test]
fn sender_is_set_replaced_kept_or_removed() {
    const OWN: SenderMend<'static> = SenderMend::Set("own@own.example");
    let around = |sender: &str| format!("{sender}From: a@b\r\nDate: x\r\nMessage-ID: <1@a>\r\n\r\n");
    let added = "From: a@b\r\nDate: x\r\nMessage-ID: <1@a>\r\nSender: own@own.example\r\n\r\n";
    for (sender, set) in [
        ("", added.to_owned()),
        ("Sender: evil@x\r\n", around("Sender: own@own.example\r\n")),
        ("Sender:\r\n", around("Sender: own@own.example\r\n")),
        ("Sender: own@own.example, evil@x\r\n", around("Sender: own@own.example\r\n")),
        ("Sender: evil@x <own@own.example>\r\n", around("Sender: own@own.example\r\n")),
        ("Sender : own@own.example\r\n", around("Sender: own@own.example\r\n")),
        ("sender:\r\n Own <own@own.example>\r\n", around("sender:\r\n Own <own@own.example>\r\n")),
    ] {
        let message = around(sender);
        assert_eq!(String::from_utf8(mended(message.as_bytes(), OWN)).unwrap(), set, "{sender:?}");
        assert_mended(&message, &around(""));
    }
    let message = around("Sender: Own <own@own.example>\r\n");
    let header = Header::read(message.as_bytes()).unwrap();
    assert_eq!(header.sender().map(Author::as_str), Some("own@own.example"));
}

#[test]
fn refuses_what_is_dangerous() {
    let error = |message: &str| Header::read(message.as_bytes()).err();
    for (message, wanted) in [
        ("", Malformed::NoFrom),
        ("\r\nFrom: own@own.example\r\n", Malformed::NoFrom),
        ("To: a@b\r\n\r\nFrom: own@own.example\r\n", Malformed::NoFrom),
        ("Resent-From: a@b\r\nX-From: a@b\r\n\r\n", Malformed::NoFrom),
        ("From: undisclosed:;\r\n\r\n", Malformed::From),
        ("From own@own.example Sat Feb  3 04:05:06 2024\r\nFrom: own@own.example\r\n\r\n", Malformed::Mbox),
    ] {
        assert_eq!(error(message), Some(wanted), "{message:?}");
    }
    for line in ["From: evil@x", "FROM:evil@x", "From : evil@x", "fRom \t:\r\n\tevil@x", "From:"] {
        for message in with_line(line) {
            assert_eq!(error(&message), Some(Malformed::Several("From")), "{message:?}");
        }
    }
    for line in [
        "no field",
        "Fr om: evil@x",
        "X: y\nFrom: evil@x",
        "X\r\n : y",
        ": From: evil@x",
        "From\u{c}: evil@x",
    ] {
        for message in with_line(line) {
            assert_eq!(error(&message), Some(Malformed::Line), "{message:?}");
        }
    }
    for name in ONCE.into_iter().filter(|name| *name != "From") {
        let twice = format!("{name}: a@b\r\n{} : a@b", name.to_ascii_lowercase());
        for message in with_line(&twice) {
            assert_eq!(error(&message), Some(Malformed::Several(name)));
        }
    }
    let hops = |count: usize| with_line("Received: x\r\n".repeat(count).trim_end());
    assert_eq!(hops(50).map(|message| error(&message)), [None, None]);
    assert_eq!(hops(51).map(|message| error(&message)), [Some(Malformed::Loop); 2]);
}

/// A field, folded or not, with its CRLF.
fn any_field() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec![
        "To",
        "Bcc",
        "bcc ",
        "Date",
        "date",
        "Message-ID",
        "Message-Id\t",
        "Return-Path",
        "Sender",
        "Resent-Bcc",
        "Authentication-Results",
        "ARC-Seal",
        "ARC-Authentication-Results",
        "DKIM-Signature",
        "Received",
        "X-é",
        "Delivered-To",
        "Subject",
    ]);
    let value = "( mx\\.example; none| own@own\\.example| [ -~é]{0,20})(\r\n[ \t][ -~]{0,10}){0,2}";
    (name, value).prop_map(|(name, value)| format!("{name}:{value}\r\n"))
}

/// The raw fields whose names begin so, one after another.
fn fields_named(message: &[u8], prefix: &[u8]) -> Vec<u8> {
    let (fields, _) = field::split(message).unwrap();
    let is_named = |field: &&Field<'_>| field.raw.starts_with(prefix);
    fields.iter().filter(is_named).flat_map(|field| field.raw).copied().collect()
}

proptest! {
    #[test]
    fn the_body_and_what_is_sealed_stay_and_twice_is_once(
        before in proptest::collection::vec(any_field(), 0..6),
        after in proptest::collection::vec(any_field(), 0..6),
        body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
        is_set in any::<bool>(),
    ) {
        let fields = format!("{}From: own@own.example\r\n{}", before.concat(), after.concat());
        let end = body.map_or(vec![], |body| [b"\r\n", &body[..]].concat());
        let message = [fields.as_bytes(), &end].concat();
        let Ok(header) = Header::read(&message) else { return Ok(()) };
        let sender = if is_set { SenderMend::Set("own@own.example") } else { SenderMend::Remove };
        prop_assert!(header.mended(&mends(sender)).starts_with(TRACE));
        let once = mended(&message, sender);
        prop_assert!(once.ends_with(&end));
        for prefix in [&b"ARC-"[..], b"DKIM-", b"To", b"Received", b"From", b"Subject", b"Delivered-To"] {
            prop_assert_eq!(fields_named(&once, prefix), fields_named(&message, prefix));
        }
        prop_assert_eq!(mended(&once, sender), once.clone());
        let again = Header::read(&once).unwrap();
        prop_assert_eq!(again.authors(), header.authors());
        prop_assert_eq!(again.sender().map(Author::as_str), is_set.then_some("own@own.example"));
        let count = |kind: Kind| again.fields.iter().filter(|field| field.kind() == kind).count();
        prop_assert_eq!((count(Kind::Date), count(Kind::MessageId), count(Kind::Removed)), (1, 1, 0));
    }

    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "([A-Za-z]{0,4}[:\r\n \t@é]{0,3}){0,30}") {
        for message in [&bytes[..], text.as_bytes(), &[b"From: own@own.example\r\n", &bytes[..]].concat()] {
            if let Ok(header) = Header::read(message) {
                let once = mended(message, SenderMend::Remove);
                prop_assert_eq!(mended(&once, SenderMend::Remove), once.clone());
                prop_assert!(once.ends_with(header.rest));
            }
        }
    }
}
