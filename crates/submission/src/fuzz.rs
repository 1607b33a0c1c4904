//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use chrono::{DateTime, Utc};
use mailstore::structure::{Part, Sections, What, parse};

use crate::dsn::{Action, Original, Report, Status, render};
use crate::header::{Author, Header, Mends, SenderMend};

const TRACE: &[u8] = b"Received: by mx.example with ESMTPSA id 1;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n";

fn mended(header: &Header<'_>, sender: SenderMend<'_>) -> Vec<u8> {
    let date = DateTime::<Utc>::UNIX_EPOCH;
    header.mended(&Mends {
        trace: TRACE,
        date,
        message_id: "<id@own.example>",
        hostname: "mx.example",
        sender,
    })
}

/// A message that is submitted: mending keeps its body and its authors, is the same twice, and leaves one of each field that readers
/// look for. Who its authors are is what IMAP shows.
pub fn message(bytes: &[u8]) {
    let Ok(header) = Header::read(bytes) else { return };
    shown(bytes, header.authors());
    for sender in [SenderMend::Remove, SenderMend::Set("own@own.example")] {
        let out = mended(&header, sender);
        let once = out.strip_prefix(TRACE).expect("the trace comes first");
        let again = Header::read(once).expect("what is mended can be sent");
        assert_eq!(mended(&again, sender), out);
        assert_eq!(again.authors(), header.authors());
        let is_set = sender != SenderMend::Remove;
        assert_eq!(again.sender().map(Author::as_str), is_set.then_some("own@own.example"));
        let envelope = parse(once).envelope;
        assert!(envelope.bcc.is_empty());
        let (before, after) = (Sections::new(bytes), Sections::new(once));
        assert_eq!(after.get(&[], What::Text), before.get(&[], What::Text));
        shown(once, header.authors());
    }
}

/// A message that is signed once it is mended: whoever reads RFC 6376 to the letter finds both signatures good.
pub fn signed(bytes: &[u8]) {
    // Over SMTP come no others.
    let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\r').collect();
    let message = kernel::crlf::normalize(&bytes);
    let Ok(header) = Header::read(&message) else { return };
    crate::dkim::fuzz::signed(&mended(&header, SenderMend::Remove));
}

/// The value of a From field.
pub fn author(bytes: &[u8]) {
    message(&[b"From: ", bytes, b"\r\n\r\n"].concat());
    message(&[b"From: own@own.example\r\nSender: ", bytes, b"\r\n\r\n"].concat());
}

fn shown(message: &[u8], authors: &[Author]) {
    let envelope = parse(message).envelope;
    let addresses = envelope.from.iter().filter_map(|address| {
        let (mailbox, host) = (address.mailbox.as_ref()?, address.host.as_ref()?);
        Some(format!("{mailbox}@{host}"))
    });
    assert!(addresses.eq(authors.iter().map(|author| author.as_str().to_owned())), "{:?}", envelope.from);
}

/// A notification of what strangers wrote, with NULs between: of whatever it is, it is three parts of whole lines, and nothing in it
/// begins a field of its own.
pub fn report(bytes: &[u8]) {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let mut pieces = rest.splitn(8, |byte| *byte == 0);
    let texts =
        pieces.by_ref().take(7).map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>();
    let original = pieces.next().unwrap_or_default();
    let text = |at: usize| texts.get(at).filter(|text| !text.is_empty()).map(String::as_str);
    let benign = made(*first, &|at| text(at).map(|_| "a@b.example"), b"A: b\r\n\r\nc\r\n");
    let report = made(*first, &text, original);
    for (part, what) in [(&[][..], What::Header), (&[2], What::All)] {
        let mut expected = fields(&benign, part, what).into_iter();
        // What comes to nothing once it is made safe is left out.
        assert!(fields(&report, part, what).iter().all(|name| expected.any(|other| other == *name)));
    }
    for line in report.split(|byte| *byte == b'\n').rev().skip(1) {
        let line = line.strip_suffix(b"\r").expect("it ends in CRLF");
        assert!(line.len() <= 998 && !line.contains(&b'\r') && !line.contains(&0));
    }
    let Part::Multipart(root) = parse(&report).body else { panic!("it is made of parts") };
    assert_eq!((root.subtype.as_str(), root.parts.len()), ("report", 3));
}

fn made<'a>(first: u8, text: &dyn Fn(usize) -> Option<&'a str>, original: &[u8]) -> Vec<u8> {
    let at = DateTime::<Utc>::UNIX_EPOCH;
    let status = Status {
        recipient: text(0).unwrap_or("bob@b.example"),
        original: text(1).map(|address| ("rfc822", address)),
        action: if first & 2 == 0 { Action::Failed } else { Action::Delayed },
        status: (5, 1, 1),
        diagnostic: text(2),
        remote: text(3),
        last_attempt: Some(at),
        will_retry_until: None,
    };
    let original = if first & 4 == 0 { Original::Headers(original) } else { Original::Whole(original) };
    render(&Report {
        hostname: "mx.example",
        to: text(4).unwrap_or("ada@a.example"),
        message_id: "id@mx.example",
        boundary: "boundary",
        at,
        arrived_at: at,
        envelope_id: text(5),
        subject: text(6),
        recipients: &[status],
        original,
        is_utf8: first & 1 == 1,
    })
}

/// The names of fields.
fn fields(message: &[u8], part: &[u32], what: What) -> Vec<String> {
    let sections = Sections::new(message);
    let header = sections.get(part, what).unwrap_or_default();
    let lines =
        header.split(|byte| *byte == b'\n').filter(|line| !matches!(line.first(), Some(b' ' | b'\t')));
    let name = |line: &[u8]| {
        String::from_utf8_lossy(line.split(|byte| *byte == b':').next().unwrap_or_default()).into_owned()
    };
    lines.map(name).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("submission_message", super::message);
        crate::seeds::play("submission_author", super::author);
        crate::seeds::play("submission_report", super::report);
        crate::seeds::play("submission_signed", super::signed);
    }
}
