//! The changes (RFC 6409 §8): what is taken out, replaced and added.

use chrono::{DateTime, Utc};

use crate::header::Header;
use crate::header::field::Kind;
use crate::header::scan::{Scan, is_space};

/// What a message gets from us. No text may have a CR, LF or NUL, but for the line ends of `trace`.
#[derive(Debug, Clone, Copy)]
pub struct Mends<'m> {
    /// The fields that stand in front of all others, each with its CRLF, such as Received; may be empty.
    pub trace: &'m [u8],
    /// The time of submission, for a Date.
    pub date: DateTime<Utc>,
    /// `<id@domain>`, for a Message-ID.
    pub message_id: &'m str,
    /// This server's name, by which it signs Authentication-Results.
    pub hostname: &'m str,
    /// What becomes of Sender.
    pub sender: SenderMend<'m>,
}

/// What becomes of Sender (RFC 6409 §8.1, RFC 5322 §3.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderMend<'m> {
    /// It names this address, `local@domain`. A Sender that does so already stays as it is; any other is replaced
    /// in its place.
    Set(&'m str),
    /// There is none.
    Remove,
}

impl Header<'_> {
    /// The whole message as it is sent: the trace fields, the header, the body.
    ///
    /// - Date and Message-ID are added where there is none (RFC 6409 §8.2, §8.3); one without a value is none. Of
    ///   several the first stays: which one is shown would be the reader's choice, and large receivers refuse them.
    /// - Each Bcc and Return-Path is taken out. A message that had only Bcc is left without any recipient in its header, which RFC 5322 §3.6 allows.
    /// - So is each Resent field (RFC 5322 §3.6.6): who sends something again could be anybody, as nobody asks who may, and a block without
    ///   its Resent-From would be none. What its author sends once more is their message as it was; what is another's they may not send.
    /// - White space between a name and its colon is taken out (RFC 5322 §4.5): readers do not agree whether that is a field, nor do signers and
    ///   those who verify. To a relaxed signature of the client's it is the same (RFC 6376 §3.4.2).
    /// - Authentication-Results that claim to be ours, or do not say whose they are, are taken out (RFC 8601 §5).
    /// - Sender is as [`SenderMend`] says.
    ///
    /// What is added goes to the header's end: in front it would part the blocks of trace fields, whose order says what belongs together
    /// (RFC 5322 §3.6), and come between the client's ARC and DKIM fields and what they sign. A signature of ours goes in front of it all. Mending twice is mending once.
    pub fn mended(&self, mends: &Mends<'_>) -> Vec<u8> {
        let header_bytes = self.fields.iter().map(|field| field.raw.len()).sum::<usize>();
        let mut out = Vec::with_capacity(mends.trace.len() + header_bytes + self.rest.len() + 512);
        out.extend_from_slice(mends.trace);
        let (mut has_date, mut has_id, mut has_sender) = (false, false, false);
        for field in &self.fields {
            let stays = match field.kind() {
                Kind::Date => !field.is_blank() && !std::mem::replace(&mut has_date, true),
                Kind::MessageId => !field.is_blank() && !std::mem::replace(&mut has_id, true),
                Kind::Removed => false,
                Kind::Results => !claims(&field.text(), mends.hostname),
                Kind::Sender => match mends.sender {
                    SenderMend::Remove => false,
                    SenderMend::Set(address) => {
                        has_sender = true;
                        let is_same = self.sender.as_ref().is_some_and(|sender| sender.as_str() == address);
                        if !is_same {
                            push(&mut out, &format!("Sender: {address}"));
                        }
                        is_same
                    }
                },
                Kind::From | Kind::Received | Kind::Other => true,
            };
            if stays {
                out.extend_from_slice(&field.sent().concat());
            }
        }
        if !has_date {
            push(&mut out, &format!("Date: {}", mends.date.format("%a, %d %b %Y %H:%M:%S +0000")));
        }
        if let SenderMend::Set(address) = mends.sender
            && !has_sender
        {
            push(&mut out, &format!("Sender: {address}"));
        }
        if !has_id {
            push(&mut out, &format!("Message-ID: {}", mends.message_id));
        }
        out.extend_from_slice(self.rest);
        out
    }
}

/// Appends a line.
fn push(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Whether the Authentication-Results with this unfolded value claim to be of `hostname`, by the `authserv-id` that
/// they begin with (RFC 8601 §2.2), or whose they are cannot be read.
fn claims(value: &str, hostname: &str) -> bool {
    authserv_id(value).is_none_or(|id| {
        let id = id.strip_suffix('.').unwrap_or(&id);
        id.is_empty() || id.eq_ignore_ascii_case(hostname)
    })
}

/// `[CFWS] authserv-id`, which is a token or a quoted string.
fn authserv_id(value: &str) -> Option<String> {
    let mut scan = Scan { rest: value };
    scan.skip_cfws()?;
    match scan.peek() {
        Some('"') => scan.quoted(),
        _ => Some(scan.take_while(|c| !is_space(c) && !"();\"".contains(c)).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_results_in_our_name() {
        for value in [
            "mx.example; none",
            "MX.Example 1; spf=pass",
            "mx.example",
            "mx.example.; none",
            "(a comment; (other.example)) mx.example (another); none",
            "\"mx.exa\\mple\"; none",
            "mx.example(x);none",
            "",
            "; spf=pass",
            "(unterminated mx.example; none",
            "\"mx.example; none",
        ] {
            assert!(claims(value, "mx.example"), "{value:?}");
        }
        for value in
            ["other.example; none", "mx.example.org; none", "a.mx.example; x=mx.example", "(mx.example) b; x"]
        {
            assert!(!claims(value, "mx.example"), "{value:?}");
        }
    }
}
