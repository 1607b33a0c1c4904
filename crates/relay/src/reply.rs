//! What the smarthost answers, and what becomes of a recipient by it.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::fault::garbled;

/// The longest text kept, in characters.
const TEXT_LIMIT: usize = 500;

/// The classes of a reply's code (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// 2yz
    Positive,
    /// 3yz: it waits for more.
    Intermediate,
    /// 4yz
    Later,
    /// 5yz
    Never,
}

/// A reply of SMTP (RFC 5321 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits, the first of which is 2 to 5.
    pub code: u16,
    /// Class, subject and detail (RFC 3463 §2), if there are any and the class is the code's.
    pub status: Option<(u8, u16, u16)>,
    /// The text of all its lines in one, without code and status and without controls, at most 500 characters.
    pub text: String,
    remote: Option<Arc<str>>,
}

impl Reply {
    /// One that no host gave: ours.
    pub fn ours(code: u16, status: (u8, u16, u16), text: &str) -> Self {
        Self { code, status: Some(status), text: clean(text), remote: None }
    }

    /// The host that gave it; none for one of ours.
    pub fn remote(&self) -> Option<&str> {
        self.remote.as_deref()
    }

    /// What mail-send read. It cuts a status' numbers off at 255, so none that reaches it is believed.
    pub(crate) fn read_by_library(response: &smtp_proto::Response<String>, remote: &Arc<str>) -> Self {
        let [class, subject, detail] = response.esc;
        let is_whole = u16::from(class) == response.code / 100 && subject < u8::MAX && detail < u8::MAX;
        let status = is_whole.then_some((class, subject.into(), detail.into()));
        Self { code: response.code, status, text: clean(&response.message), remote: Some(remote.clone()) }
    }

    /// Whether it may be an old host's way to say that a transaction has too many recipients: of them 552 is no refusal
    /// for good (RFC 5321 §4.5.3.1.10).
    pub(crate) fn may_mean_too_many(&self) -> bool {
        self.code == 552 && matches!(self.status, None | Some((_, 5, 3)))
    }

    /// What its code says of what was asked.
    pub(crate) fn class(&self) -> Class {
        match self.code / 100 {
            2 => Class::Positive,
            3 => Class::Intermediate,
            4 => Class::Later,
            _ => Class::Never,
        }
    }
}

impl fmt::Display for Reply {
    /// As one line: `550 5.1.1 no such user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some((class, subject, detail)) = self.status {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, " {}", self.text) }
    }
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The smarthost has the message.
    Accepted {
        /// Its reply to the final dot.
        reply: Reply,
        /// Whether it took over what was wished of delivery status notifications (RFC 3461).
        takes_dsn: bool,
    },
    /// Not now.
    Later(Reply),
    /// Not ever.
    Refused(Reply),
}

impl Outcome {
    /// What a reply to MAIL, RCPT, DATA or the final dot makes of a recipient.
    pub(crate) fn of(reply: Reply, takes_dsn: bool) -> Self {
        match reply.class() {
            Class::Positive => Self::Accepted { reply, takes_dsn },
            Class::Intermediate | Class::Later => Self::Later(reply),
            Class::Never => Self::Refused(reply),
        }
    }
}

/// A reply whose lines come one by one.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    code: Option<u16>,
    status: Option<(u8, u16, u16)>,
    text: String,
}

impl Gathering {
    /// Takes the next line, with or without its line end. Answers whether it was the last.
    ///
    /// # Errors
    /// When it is no line of a reply (RFC 5321 §4.2), or has another code than those before it (§4.2.1).
    pub(crate) fn take(&mut self, line: &[u8]) -> io::Result<bool> {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        let (code, rest) = line.split_at_checked(3).ok_or_else(garbled)?;
        let digits_hold = code.starts_with(['2', '3', '4', '5']) && code.bytes().all(|c| c.is_ascii_digit());
        let code = code.parse::<u16>().ok().filter(|_| digits_hold).ok_or_else(garbled)?;
        // A code alone is a reply too (RFC 5321 §4.2).
        let (is_last, rest) = match rest.split_at_checked(1) {
            None => (true, ""),
            Some((" ", rest)) => (true, rest),
            Some(("-", rest)) => (false, rest),
            Some(_) => return Err(garbled()),
        };
        let is_first = self.code.is_none();
        if *self.code.get_or_insert(code) != code {
            return Err(garbled());
        }
        let (status, rest) = split_status(code, rest);
        if is_first {
            self.status = status;
        }
        self.text.push(' ');
        self.text.push_str(rest);
        Ok(is_last)
    }

    /// The reply that has been taken.
    ///
    /// # Errors
    /// When no line has been.
    pub(crate) fn finish(self, remote: &Arc<str>) -> io::Result<Reply> {
        let code = self.code.ok_or_else(garbled)?;
        Ok(Reply { code, status: self.status, text: clean(&self.text), remote: Some(remote.clone()) })
    }
}

/// The status that a line's text starts with (RFC 2034 §4), if its class is the code's, and the text behind it.
fn split_status(code: u16, text: &str) -> (Option<(u8, u16, u16)>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let status = || {
        let mut numbers = word.split('.');
        let class = numbers.next()?.parse::<u8>().ok().filter(|class| u16::from(*class) == code / 100)?;
        // RFC 3463 §2: one to three digits.
        let mut number = || {
            let digits = numbers.next()?;
            let is_short = digits.len() <= 3 && digits.bytes().all(|c| c.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| is_short)
        };
        let (subject, detail) = (number()?, number()?);
        numbers.next().is_none().then_some((class, subject, detail))
    };
    match status() {
        Some(status) => (Some(status), rest),
        None => (None, text),
    }
}

/// One line without controls, each run of white space one space, at most [`TEXT_LIMIT`] characters.
fn clean(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TEXT_LIMIT) {
        Some((end, _)) => line[..end].trim_end().to_owned(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&str]) -> io::Result<Reply> {
        let mut gathering = Gathering::default();
        let (last, before) = lines.split_last().unwrap();
        for line in before {
            assert!(!gathering.take(line.as_bytes())?, "{line} is not the last");
        }
        assert!(gathering.take(last.as_bytes())?, "{last} is the last");
        gathering.finish(&"mx.example".into())
    }

    #[test]
    fn replies_are_read_with_their_status() {
        for (lines, shown, status) in [
            (&["250 2.1.0 ok\r\n"][..], "250 2.1.0 ok", Some((2, 1, 0))),
            (
                &["451-4.7.1 greylisted,\r\n", "451 4.7.1 try later\r\n"],
                "451 4.7.1 greylisted, try later",
                Some((4, 7, 1)),
            ),
            (
                &["550 5.7.708 traffic from this IP\r\n"],
                "550 5.7.708 traffic from this IP",
                Some((5, 7, 708)),
            ),
            (&["550 no such user\n"], "550 no such user", None),
            (&["250\r\n"], "250", None),
            (&["550 5.1.1\r\n"], "550 5.1.1", Some((5, 1, 1))),
            // Another class than the code's, four numbers, a version, too many digits: text.
            (&["250 5.1.1 odd\r\n"], "250 5.1.1 odd", None),
            (&["550 5.1.1.1 odd\r\n"], "550 5.1.1.1 odd", None),
            (&["550 5.1 odd\r\n"], "550 5.1 odd", None),
            (&["550 5.1.1000 odd\r\n"], "550 5.1.1000 odd", None),
            (&["550 5.+1.1 odd\r\n"], "550 5.+1.1 odd", None),
        ] {
            let reply = read(lines).unwrap();
            assert_eq!((reply.to_string().as_str(), reply.status), (shown, status));
            assert_eq!(reply.remote(), Some("mx.example"));
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for line in
            ["", "\r\n", "25 ok", "2500 ok", "abc ok", "150 ok", "650 ok", "+25 ok", "250_ok", "é50 ok"]
        {
            assert!(Gathering::default().take(line.as_bytes()).is_err(), "{line:?}");
        }
        assert!(read(&["250-one", "550 two"]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_one_clean_line(octets in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut gathering = Gathering::default();
            let line = [b"550 ".as_slice(), &octets].concat();
            prop_assert!(gathering.take(&line).unwrap());
            let reply = gathering.finish(&"mx.example".into()).unwrap();
            prop_assert!(!reply.text.chars().any(char::is_control));
            prop_assert!(reply.text.chars().count() <= TEXT_LIMIT);
            prop_assert_eq!(reply.text.trim(), reply.text.as_str());
        }

        #[test]
        fn no_line_panics(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Gathering::default().take(&octets);
        }
    }
}
