//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use std::net::Ipv4Addr;

use bytes::BytesMut;
use chrono::{DateTime, Utc};

use crate::codec::command::{Command, Dialect, parse};
use crate::codec::data::Decoder;
use crate::codec::line::{Frame, Framer, LINE_MAX_OCTETS};
use crate::codec::mark::SpamMark;
use crate::codec::netstring::{self, Answer, Malformed, REQUEST_LIMIT, Request};
use crate::codec::path::{ClientName, ForwardPath, ReversePath, forward, reverse};
use crate::codec::trace::{LIMIT_BYTES, Trace};

/// How many bytes come at a time: one, a number that the input chooses, all.
fn sizes(bytes: &[u8]) -> [usize; 3] {
    [1, usize::from(bytes.first().copied().unwrap_or(0)) + 1, bytes.len().max(1)]
}

/// What a client sends, of LMTP and of submission: however it is cut it is the same lines, and what a path says is read again and can
/// end no line.
pub fn commands(bytes: &[u8]) {
    let [one, some, whole] = sizes(bytes).map(|size| frames(bytes, size));
    assert!(one == whole && some == whole);
    for frame in whole {
        let Frame::Line(line) = frame else { continue };
        assert!(line.len() + 2 <= LINE_MAX_OCTETS && !line.contains(&b'\n'));
        for dialect in [Dialect::Lmtp, Dialect::Submission] {
            match parse(&line, dialect) {
                Ok(Command::Mail(mail)) => {
                    sender(&mail.from);
                    assert!(mail.envelope_id.is_none_or(|id| !id.contains(char::is_control)));
                }
                Ok(Command::Rcpt(rcpt)) => {
                    recipient(&rcpt.to);
                    assert!(
                        rcpt.original
                            .is_none_or(|original| original.bytes().all(|byte| byte.is_ascii_graphic()))
                    );
                }
                Ok(Command::Lhlo(name)) => traced(&ReversePath::Null, &name),
                Ok(_) => {}
                Err(error) => assert!(error.to_string().is_ascii()),
            }
        }
    }
}

fn frames(bytes: &[u8], size: usize) -> Vec<Frame> {
    let (mut framer, mut input, mut frames) = (Framer::new(LINE_MAX_OCTETS), BytesMut::new(), Vec::new());
    for chunk in bytes.chunks(size) {
        input.extend_from_slice(chunk);
        while let Some(frame) = framer.next(&mut input) {
            frames.push(frame);
        }
        assert!(input.len() <= LINE_MAX_OCTETS);
    }
    frames
}

fn sender(from: &ReversePath) {
    let written = match from {
        ReversePath::Null => "<>".to_owned(),
        ReversePath::Mailbox(mailbox) => format!("<{mailbox}>"),
    };
    assert!(!written.contains(|c: char| c.is_control()));
    assert_eq!(reverse(&written), Ok((from.clone(), "")));
    traced(from, &ClientName::parse("client.example").expect("a host name"));
}

fn recipient(to: &ForwardPath) {
    let ForwardPath::Mailbox(mailbox) = to else { return };
    assert_eq!(forward(&format!("<{mailbox}>")), Ok((to.clone(), "")));
    if let Some(address) = mailbox.address() {
        assert!(address.to_string().parse().is_ok_and(|again: kernel::EmailAddress| again == address));
    }
}

/// What is put in front of a message is four whole lines.
fn traced(sender: &ReversePath, client: &ClientName) {
    let (peer, at) = (Ipv4Addr::LOCALHOST.into(), DateTime::<Utc>::UNIX_EPOCH);
    let id = kernel::RequestId::from_uuid(Default::default());
    let trace = Trace { sender, client, peer, hostname: "mx.example", is_utf8: true, id, at }.render();
    assert!(trace.len() <= LIMIT_BYTES && trace.ends_with("\r\n"));
    let lines = trace.split_terminator("\r\n").collect::<Vec<_>>();
    assert!(lines.iter().all(|line| line.len() <= 998 && !line.contains(['\r', '\n', '\0'])));
    let fields = lines.iter().filter(|line| !line.starts_with('\t'));
    assert_eq!((lines.len(), fields.count()), (4, 2));
}

/// What DATA carries: however it is cut its end is where the first CRLF `.` CRLF is, and what it says is that with its dots doubled.
/// Without a bare CR or LF, no other server sees another end in it.
pub fn data(bytes: &[u8]) {
    let [one, some, whole] = sizes(bytes).map(|size| decoded(bytes, size));
    assert!(one == whole && some == whole);
    let (content, end, has_bare) = whole;
    let begins = |at: usize| at == 0 || bytes[..at].ends_with(b"\r\n");
    let dot = (0..bytes.len()).find(|at| begins(*at) && bytes[*at..].starts_with(b".\r\n"));
    assert_eq!(end, dot.map(|at| at + 3));
    let Some(dot) = dot else { return };
    let mut stuffed = Vec::new();
    for (at, byte) in content.iter().enumerate() {
        if *byte == b'.' && (at == 0 || content[..at].ends_with(b"\r\n")) {
            stuffed.push(b'.');
        }
        stuffed.push(*byte);
    }
    // Of a line that begins with one dot only it is not known that it did.
    let once = |bytes: &[u8]| decoded(&[bytes, b".\r\n"].concat(), usize::MAX).0;
    assert_eq!(once(&stuffed), once(&bytes[..dot]));
    let is_bare = |(at, byte): (usize, &u8)| match byte {
        b'\n' => at == 0 || bytes[at - 1] != b'\r',
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    assert_eq!(has_bare, bytes[..dot].iter().enumerate().any(is_bare));
    if !has_bare {
        // However a server takes line ends, there is one dot alone on a line: the last.
        let lines = bytes[..dot + 3].split(|byte| matches!(byte, b'\r' | b'\n'));
        assert_eq!(lines.filter(|line| *line == b".").count(), 1);
    }
}

/// The content, what was consumed if it was all of it, and whether there is a bare one.
fn decoded(bytes: &[u8], size: usize) -> (Vec<u8>, Option<usize>, bool) {
    let (mut decoder, mut content, mut consumed) = (Decoder::new(), Vec::new(), 0);
    for chunk in bytes.chunks(size) {
        let before = content.len();
        let progress = decoder.decode(chunk, &mut content);
        assert!(progress.consumed <= chunk.len() && content.len() <= before + chunk.len() + 2);
        consumed += progress.consumed;
        if progress.is_done {
            return (content, Some(consumed), decoder.has_bare());
        }
    }
    (content, None, decoder.has_bare())
}

/// What Postfix asks: however it is cut it is the same requests, and each is read again as it would be written.
pub fn requests(bytes: &[u8]) {
    let [one, some, whole] = sizes(bytes).map(|size| asked(bytes, size));
    assert!(one == whole && some == whole);
    for Request { map, key } in whole.0 {
        assert!(!map.contains(&b' ') && map.len() + 1 + key.len() <= REQUEST_LIMIT);
        let text = [map.as_ref(), b" ", key.as_ref()].concat();
        let mut written = BytesMut::from(format!("{}:", text.len()).as_bytes());
        written.extend_from_slice(&text);
        written.extend_from_slice(b",");
        assert_eq!(netstring::next(&mut written), Ok(Some(Request { map, key })));
        assert!(written.is_empty());
    }
    let mut out = BytesMut::new();
    Answer::Found(String::from_utf8_lossy(bytes).into_owned()).render(&mut out);
    let colon = out.iter().position(|byte| *byte == b':').unwrap_or_default();
    let length = std::str::from_utf8(&out[..colon]).ok().and_then(|digits| digits.parse::<usize>().ok());
    assert_eq!(length, (out.len() - colon).checked_sub(2));
}

fn asked(bytes: &[u8], size: usize) -> (Vec<Request>, Option<Malformed>) {
    let (mut input, mut requests) = (BytesMut::new(), Vec::new());
    for chunk in bytes.chunks(size) {
        input.extend_from_slice(chunk);
        loop {
            match netstring::next(&mut input) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(malformed) => return (requests, Some(malformed)),
            }
        }
        assert!(input.len() <= REQUEST_LIMIT + 6);
    }
    (requests, None)
}

/// Whether a message is marked: that is said by its header alone.
pub fn mark(bytes: &[u8]) {
    let mark: SpamMark = "X-Spam: Yes".parse().expect("a field");
    let is_on = mark.is_on(bytes);
    // Not right before it, whose first line may belong to the field.
    for field in ["X-Spam: Yes\r\nTo: b\r\n", "Subject: a\r\nx-spam:\r\n yes\r\nTo: b\r\n"] {
        assert!(mark.is_on(&[field.as_bytes(), bytes].concat()));
    }
    assert!(!mark.is_on(&[b"\r\n", bytes].concat()));
    assert_eq!(mark.is_on(&[bytes, b"\r\n\r\nX-Spam: Yes\r\n"].concat()), is_on);
    // As an operator may write it, on one line.
    let line = String::from_utf8_lossy(bytes);
    let line = line.lines().next().unwrap_or_default();
    if let Ok(mark) = line.parse::<SpamMark>() {
        assert!(mark.is_on(format!("{line}\r\n\r\n").as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("smtp_commands", super::commands);
        crate::seeds::play("smtp_data", super::data);
        crate::seeds::play("smtp_requests", super::requests);
        crate::seeds::play("smtp_mark", super::mark);
    }
}
