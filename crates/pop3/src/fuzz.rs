//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use bytes::BytesMut;
use secrecy::ExposeSecret as _;

use crate::codec::command::{Auth, Command, parse};
use crate::codec::line::{Frame, Framer, LINE_MAX_OCTETS};
use crate::codec::response::{STATUS_MAX_OCTETS, Status, Stuffer, TERMINATOR, top};

/// What a client sends: however it is cut it is the same lines, none longer than may be, and a command that is read is read again
/// as a client would write it.
pub fn commands(bytes: &[u8]) {
    let whole = frames(bytes, bytes.len().max(1));
    assert_eq!(frames(bytes, 1), whole);
    assert_eq!(frames(bytes, usize::from(bytes.first().copied().unwrap_or(0)) + 1), whole);
    for frame in whole {
        let Frame::Line(line) = frame else { continue };
        assert!(line.len() < LINE_MAX_OCTETS && !line.contains(&b'\n'));
        match parse(&line) {
            Ok(command) => {
                let written = render(&command);
                assert!(!written.contains(char::is_control));
                assert_eq!(parse(written.as_bytes()).map(|command| render(&command)), Ok(written));
            }
            Err(error) => assert!(error.to_string().is_ascii()),
        }
    }
}

fn frames(bytes: &[u8], size: usize) -> Vec<Frame> {
    let (mut framer, mut frames) = (Framer::default(), Vec::new());
    for chunk in bytes.chunks(size) {
        framer.input().extend_from_slice(chunk);
        loop {
            let is_there = framer.has_frame();
            let frame = framer.frame(LINE_MAX_OCTETS);
            assert_eq!(frame.is_some(), is_there);
            let Some(frame) = frame else { break };
            frames.push(frame);
        }
        assert!(framer.input().len() < LINE_MAX_OCTETS);
    }
    frames
}

/// The line a client would send for a command: the inverse of [`parse`].
pub(crate) fn render(command: &Command) -> String {
    let number = |message: &Option<u64>| message.map_or(String::new(), |n| format!(" {n}"));
    match command {
        Command::User(name) => format!("USER {name}"),
        Command::Pass(password) => format!("PASS {}", password.expose_secret()),
        Command::Auth(None) => "AUTH".into(),
        Command::Auth(Some(Auth { mechanism, initial_response })) => match initial_response {
            Some(response) => format!("AUTH {mechanism} {}", response.expose_secret()),
            None => format!("AUTH {mechanism}"),
        },
        Command::List(message) => format!("LIST{}", number(message)),
        Command::Uidl(message) => format!("UIDL{}", number(message)),
        Command::Retr(message) => format!("RETR {message}"),
        Command::Top { message, lines } => format!("TOP {message} {lines}"),
        Command::Dele(message) => format!("DELE {message}"),
        plain => plain.keyword().to_uppercase(),
    }
}

/// A message as RETR and TOP send it, and a status with any text: a response ends where it should and nowhere else, and nothing of
/// it is lost.
pub fn responses(bytes: &[u8]) {
    let form = kernel::crlf::normalize(bytes);
    let sent = |size: usize| {
        let (mut stuffer, mut out) = (Stuffer::default(), BytesMut::new());
        form.chunks(size).for_each(|piece| stuffer.push(piece, &mut out));
        stuffer.finish(&mut out);
        out
    };
    let whole = sent(form.len().max(1));
    assert_eq!(sent(1), whole);
    let mut read = Vec::new();
    let mut lines = whole.split_inclusive(|byte| *byte == b'\n');
    for line in lines.by_ref().take_while(|line| *line != TERMINATOR) {
        read.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    assert_eq!(lines.next(), None);
    assert_eq!(read, form.as_ref());

    let mut shorter = 0;
    for lines in [0, 1, 2, u64::MAX] {
        let piece = top(&form, lines);
        assert!(form.starts_with(piece) && piece.len() >= shorter);
        shorter = piece.len();
    }
    assert_eq!(shorter, form.len());

    let status = Status::err(String::from_utf8_lossy(bytes));
    let line = status.as_bytes();
    assert!(line.len() <= STATUS_MAX_OCTETS && std::str::from_utf8(line).is_ok());
    assert_eq!(line.iter().position(|byte| matches!(byte, b'\r' | b'\n')), line.len().checked_sub(2));
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("pop3_commands", super::commands);
        crate::seeds::play("pop3_responses", super::responses);
    }
}
