//! Whom a message is from and for, and the commands that say so.

use std::ops::BitOr;

use kernel::xtext;

use crate::reply::Reply;
use crate::session::Features;

/// How much of a message a notification is to return (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// When a recipient's fate is to be told to the sender (RFC 3461 §4.1): one or several, joined by `|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify(u8);

impl Notify {
    /// Never. Whatever is joined to it is void.
    pub const NEVER: Self = Self(1);
    /// When it is delivered.
    pub const SUCCESS: Self = Self(1 << 1);
    /// When it cannot be.
    pub const FAILURE: Self = Self(1 << 2);
    /// When it takes long.
    pub const DELAY: Self = Self(1 << 3);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The parameter's value.
    fn value(self) -> String {
        if self.has(Self::NEVER) {
            return "NEVER".to_owned();
        }
        let all = [(Self::SUCCESS, "SUCCESS"), (Self::FAILURE, "FAILURE"), (Self::DELAY, "DELAY")];
        let words = all.into_iter().filter(|(wish, _)| self.has(*wish)).map(|(_, word)| word);
        words.collect::<Vec<_>>().join(",")
    }
}

impl BitOr for Notify {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One recipient.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// `local@domain`, quoted where it needs to be, without `<>`.
    pub address: &'a str,
    /// When to tell the sender; `None` leaves it to the smarthost.
    pub notify: Option<Notify>,
    /// Whom the message was for at first, as a client gave it: `rfc822;` and xtext (RFC 3461 §4.2). Left out if it is no
    /// single word.
    pub orcpt: Option<&'a str>,
}

/// Whom a message is from and for.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// `local@domain`, quoted where it needs to be, without `<>`; empty for the null path (RFC 5321 §4.5.5).
    pub sender: &'a str,
    /// Whether the message has octets beyond ASCII, which asks for 8BITMIME (RFC 6152).
    pub is_8bit: bool,
    /// Whether an address or a header field has, which asks for SMTPUTF8 (RFC 6531).
    pub is_utf8: bool,
    /// What the sender knows the message by (RFC 3461 §4.4), decoded. Left out if it is longer than 100 characters encoded.
    pub envelope_id: Option<&'a str>,
    /// How much a notification returns; `None` leaves it to the smarthost.
    pub ret: Option<Ret>,
    /// In the order of the outcomes.
    pub recipients: &'a [Recipient<'a>],
}

impl Envelope<'_> {
    /// Why a smarthost of these features cannot have this message of so many octets, in words of ours. A message is never
    /// converted: it is signed.
    pub(crate) fn misfit(&self, features: &Features, size: usize) -> Option<Reply> {
        let mut addresses = self.recipients.iter().map(|recipient| recipient.address).chain([self.sender]);
        if addresses.any(|address| address.chars().any(char::is_control)) {
            // Written as it is, it would be a command more.
            return Some(Reply::ours(553, (5, 1, 3), "an address has control characters"));
        }
        if features.size_limit.is_some_and(|limit| size > limit) {
            return Some(Reply::ours(552, (5, 3, 4), "the message is larger than the smarthost takes"));
        }
        if self.is_8bit && !features.has(smtp_proto::EXT_8BIT_MIME) {
            return Some(Reply::ours(554, (5, 6, 3), "the smarthost takes no 8-bit messages"));
        }
        if self.is_utf8 && !features.has(smtp_proto::EXT_SMTP_UTF8) {
            return Some(Reply::ours(550, (5, 6, 7), "the smarthost takes no internationalized messages"));
        }
        None
    }

    /// MAIL for a message of so many octets, with the parameters that the smarthost knows.
    pub(crate) fn mail(&self, features: &Features, size: usize) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.sender);
        if features.has(smtp_proto::EXT_SIZE) {
            line += &format!(" SIZE={size}");
        }
        if self.is_8bit {
            line += " BODY=8BITMIME";
        }
        if self.is_utf8 {
            line += " SMTPUTF8";
        }
        if features.has(smtp_proto::EXT_DSN) {
            match self.ret {
                Some(Ret::Full) => line += " RET=FULL",
                Some(Ret::Headers) => line += " RET=HDRS",
                None => {}
            }
            // RFC 3461 §4.4: at most 100 characters.
            if let Some(id) = self.envelope_id.map(xtext::encode).filter(|id| (1..=100).contains(&id.len())) {
                line += &format!(" ENVID={id}");
            }
        }
        line + "\r\n"
    }
}

impl Recipient<'_> {
    /// RCPT, with the parameters that the smarthost knows.
    pub(crate) fn rcpt(&self, features: &Features) -> String {
        let mut line = format!("RCPT TO:<{}>", self.address);
        if features.has(smtp_proto::EXT_DSN) {
            if let Some(notify) = self.notify {
                line += &format!(" NOTIFY={}", notify.value());
            }
            let is_word = |text: &&str| !text.chars().any(|c| c.is_control() || c.is_whitespace());
            if let Some(orcpt) = self.orcpt.filter(is_word) {
                line += &format!(" ORCPT={orcpt}");
            }
        }
        line + "\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: u32 =
        smtp_proto::EXT_SIZE | smtp_proto::EXT_DSN | smtp_proto::EXT_8BIT_MIME | smtp_proto::EXT_SMTP_UTF8;

    fn features(bits: u32) -> Features {
        Features { bits, size_limit: None }
    }

    fn envelope<'a>(recipients: &'a [Recipient<'a>]) -> Envelope<'a> {
        Envelope {
            sender: "a@b.example",
            is_8bit: true,
            is_utf8: true,
            envelope_id: Some("a+b=c d\r\né"),
            ret: Some(Ret::Headers),
            recipients,
        }
    }

    #[test]
    fn parameters_are_written_and_encoded() {
        assert_eq!(
            envelope(&[]).mail(&features(EVERYTHING), 12),
            "MAIL FROM:<a@b.example> SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc+20d+0D+0A+C3+A9\r\n"
        );
        let null = Envelope { sender: "", is_8bit: false, is_utf8: false, ..envelope(&[]) };
        assert_eq!(null.mail(&features(0), 12), "MAIL FROM:<>\r\n");
        let long = "x".repeat(101);
        let long = Envelope { envelope_id: Some(&long), ret: None, ..null };
        assert_eq!(long.mail(&features(smtp_proto::EXT_DSN), 12), "MAIL FROM:<>\r\n");
    }

    #[test]
    fn wishes_are_written_once_each_and_never_stands_alone() {
        let wish = |notify, orcpt| {
            let recipient = Recipient { address: "c@d.example", notify, orcpt };
            recipient.rcpt(&features(smtp_proto::EXT_DSN))
        };
        let both = Some(Notify::DELAY | Notify::FAILURE | Notify::DELAY);
        assert_eq!(
            wish(both, Some("rfc822;c@d.example")),
            "RCPT TO:<c@d.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;c@d.example\r\n"
        );
        let never = Some(Notify::SUCCESS | Notify::NEVER);
        assert_eq!(wish(never, None), "RCPT TO:<c@d.example> NOTIFY=NEVER\r\n");
        // Not a word, so it could be a parameter or a command of somebody's choice.
        for bad in ["rfc822;a b", "rfc822;a\r\nDATA"] {
            assert_eq!(wish(None, Some(bad)), "RCPT TO:<c@d.example>\r\n");
        }
    }

    #[test]
    fn addresses_that_would_be_commands_are_not_sent() {
        let bad = [Recipient { address: "c@d.example>\r\nDATA\r\n", notify: None, orcpt: None }];
        let reply = envelope(&bad).misfit(&features(EVERYTHING), 12).unwrap();
        assert_eq!((reply.code, reply.remote()), (553, None));
        assert_eq!(envelope(&[]).misfit(&features(EVERYTHING), 12), None);
    }
}
