//! The one place where outcomes and errors become reply lines: codes of RFC 5321 §4.2, of AUTH of RFC 4954 §6, enhanced codes of RFC 3463.

use std::borrow::Cow;

use kernel::{ErrorKind, OutgoingId, RequestId};
use mailstore::ingest::Outcome;
use sasl::SaslError;

use crate::codec::command::ParseError;

/// What a client is told that is turned away.
pub(crate) const TOO_MANY_CONNECTIONS: &str = "421 4.3.2 too many connections, come back soon\r\n";

/// A reply of one line or more. Its texts are ours, never a client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    code: u16,
    /// RFC 2034 §4 leaves it out of greetings, LHLO's reply and 354.
    enhanced: &'static str,
    lines: Vec<Cow<'static, str>>,
}

fn reply(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Reply {
    Reply { code, enhanced, lines: vec![text.into()] }
}

impl Reply {
    #[cfg(test)]
    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    /// Whether what was asked for is done.
    pub(crate) fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether it answers a mistake in the talk itself, rather than a message or mailbox that cannot be served.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self.code, 500..=504 | 555)
    }

    /// Appends the reply's lines, each with its CRLF (RFC 5321 §4.2.1).
    pub(crate) fn render(&self, out: &mut impl Extend<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let mark = if at == last { ' ' } else { '-' };
            let gap = if self.enhanced.is_empty() { "" } else { " " };
            out.extend(format!("{}{mark}{}{gap}{line}\r\n", self.code, self.enhanced).into_bytes());
        }
    }

    pub(crate) fn greeting(hostname: &str) -> Self {
        reply(220, "", format!("{hostname} LMTP Pillarbox ready"))
    }

    /// What is offered, one extension a line (RFC 2033 §4.1, RFC 5321 §4.1.1.1).
    pub(crate) fn hello(hostname: &str, message_bytes: u64) -> Self {
        let lines = vec![
            hostname.to_owned().into(),
            "PIPELINING".into(),
            format!("SIZE {message_bytes}").into(),
            "8BITMIME".into(),
            "ENHANCEDSTATUSCODES".into(),
            "SMTPUTF8".into(),
        ];
        Self { code: 250, enhanced: "", lines }
    }

    /// What is offered to who sends: `extensions` one a line (RFC 5321 §4.1.1.1).
    pub(crate) fn ehlo(hostname: &str, extensions: Vec<String>) -> Self {
        let lines = std::iter::once(hostname.to_owned()).chain(extensions).map(Cow::from).collect();
        Self { code: 250, enhanced: "", lines }
    }

    pub(crate) fn helo(hostname: &str) -> Self {
        reply(250, "", hostname.to_owned())
    }

    pub(crate) fn msa_greeting(hostname: &str) -> Self {
        reply(220, "", format!("{hostname} ESMTP Pillarbox ready"))
    }

    pub(crate) fn msa_help() -> Self {
        reply(214, "2.0.0", "EHLO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY QUIT")
    }

    pub(crate) fn begin_tls() -> Self {
        reply(220, "2.0.0", "begin TLS")
    }

    /// RFC 3207 §4: after a first handshake, STARTTLS is no command any more.
    pub(crate) fn tls_already() -> Self {
        reply(503, "5.5.1", "TLS is active already")
    }

    /// RFC 4954 §4 and §6.
    pub(crate) fn challenge(base64: &str) -> Self {
        reply(334, "", base64.to_owned())
    }

    pub(crate) fn signed_in() -> Self {
        reply(235, "2.7.0", "signed in")
    }

    pub(crate) fn signed_in_already() -> Self {
        reply(503, "5.5.1", "you are signed in already")
    }

    pub(crate) fn sign_in_first() -> Self {
        reply(530, "5.7.0", "sign in first")
    }

    pub(crate) fn encryption_needed() -> Self {
        reply(538, "5.7.11", "passwords go over TLS alone: STARTTLS first")
    }

    pub(crate) fn no_such_mechanism() -> Self {
        reply(504, "5.5.4", "no such mechanism")
    }

    pub(crate) fn sasl(error: SaslError) -> Self {
        let (code, enhanced) = match error {
            SaslError::TooLong => (500, "5.5.6"),
            _ => (501, "5.5.2"),
        };
        reply(code, enhanced, error.to_string())
    }

    pub(crate) fn login_refused() -> Self {
        reply(535, "5.7.8", "wrong user name or password, or sending is not allowed")
    }

    pub(crate) fn login_throttled() -> Self {
        reply(454, "4.7.0", "too many sign-ins failed, try again later")
    }

    /// Nobody knows whether it is right (RFC 4954 §6).
    pub(crate) fn login_failed(id: RequestId) -> Self {
        reply(454, "4.7.0", format!("the sign-in cannot be checked now, {id}"))
    }

    /// The login is over: it was suspended, or its sessions were ended.
    pub(crate) fn login_over() -> Self {
        reply(421, "4.7.0", "your sign-in is over, sign in again")
    }

    pub(crate) fn too_many_logins() -> Self {
        reply(421, "4.7.0", "too many sign-ins failed, closing")
    }

    pub(crate) fn no_domain() -> Self {
        reply(550, "5.1.2", "not a domain that mail can go to")
    }

    pub(crate) fn no_way_out() -> Self {
        reply(550, "5.7.1", "this server sends to its own mailboxes alone")
    }

    pub(crate) fn bare_line_end() -> Self {
        reply(550, "5.6.0", "the message has a CR or LF that stands alone")
    }

    pub(crate) fn nul() -> Self {
        reply(550, "5.6.0", "the message has a NUL")
    }

    /// What became of a message that was to be sent.
    pub(crate) fn accepted(id: OutgoingId) -> Self {
        reply(250, "2.0.0", format!("queued as {id}"))
    }

    pub(crate) fn too_many_messages() -> Self {
        reply(451, "4.3.2", "too many messages of yours at a time, try again")
    }

    pub(crate) fn pipelined_past_data() -> Self {
        reply(421, "4.5.0", "a message was sent that was not asked for, closing")
    }

    pub(crate) fn too_many_unknown() -> Self {
        reply(421, "4.7.0", "too many recipients that nobody is, closing")
    }

    /// Why a message was not taken after DATA, where 553 has no place (RFC 5321 §4.3.2).
    pub(crate) fn not_accepted(error: &submission::Error, id: RequestId) -> Self {
        match error {
            submission::Error::NotYours(_) => reply(550, "5.7.1", clean(error)),
            // RFC 3463 §3.5: X.4.6, routing loop detected.
            submission::Error::Malformed(submission::header::Malformed::Loop) => {
                reply(554, "5.4.6", clean(error))
            }
            error => Self::not_sent(error, id),
        }
    }

    /// Why it may not be sent.
    pub(crate) fn not_sent(error: &submission::Error, id: RequestId) -> Self {
        match error {
            submission::Error::NotYours(_) => reply(553, "5.7.1", clean(error)),
            submission::Error::Malformed(_) => reply(550, "5.6.0", clean(error)),
            submission::Error::MailboxFull => reply(552, "5.2.2", clean(error)),
            submission::Error::SendingLimit { is_ever: true, .. } => reply(450, "4.7.1", clean(error)),
            submission::Error::SendingLimit { is_ever: false, .. } => reply(550, "5.7.1", clean(error)),
            submission::Error::TooMuchQueued => reply(452, "4.3.1", clean(error)),
            submission::Error::Mail(mailstore::Error::TooLarge { .. }) => Self::too_large(),
            error => Self::failure(error.kind(), id),
        }
    }

    pub(crate) fn ok() -> Self {
        reply(250, "2.0.0", "ok")
    }

    pub(crate) fn sender_ok() -> Self {
        reply(250, "2.1.0", "sender ok")
    }

    pub(crate) fn recipient_ok() -> Self {
        reply(250, "2.1.5", "recipient ok")
    }

    pub(crate) fn start_data() -> Self {
        reply(354, "", "end with CRLF.CRLF")
    }

    pub(crate) fn cannot_verify() -> Self {
        reply(252, "2.0.0", "send the message and see")
    }

    pub(crate) fn help() -> Self {
        reply(214, "2.0.0", "LHLO MAIL RCPT DATA RSET NOOP VRFY QUIT")
    }

    pub(crate) fn bye() -> Self {
        reply(221, "2.0.0", "bye")
    }

    pub(crate) fn shutdown() -> Self {
        reply(421, "4.3.2", "shutting down, come back soon")
    }

    pub(crate) fn timeout() -> Self {
        reply(421, "4.4.2", "timeout, closing")
    }

    pub(crate) fn too_many_faults() -> Self {
        reply(421, "4.7.0", "too many mistakes, closing")
    }

    pub(crate) fn line_too_long() -> Self {
        reply(500, "5.5.2", "line too long")
    }

    pub(crate) fn bare_line_feed() -> Self {
        reply(500, "5.5.2", "a line ends with CRLF, not with a bare line feed")
    }

    pub(crate) fn out_of_sequence(text: &'static str) -> Self {
        reply(503, "5.5.1", text)
    }

    pub(crate) fn too_large() -> Self {
        reply(552, "5.3.4", "message too large")
    }

    /// No room in the buffers, though waited for.
    pub(crate) fn no_room() -> Self {
        reply(451, "4.3.1", "too many messages on their way, try again")
    }

    pub(crate) fn too_many_recipients() -> Self {
        reply(452, "4.5.3", "too many recipients")
    }

    pub(crate) fn no_such_mailbox() -> Self {
        reply(550, "5.1.1", "no such mailbox")
    }

    /// RFC 6531 §3.5.
    pub(crate) fn recipient_needs_utf8() -> Self {
        reply(553, "5.6.7", "a recipient beyond ascii needs SMTPUTF8")
    }

    /// What became of a message, for one of its recipients.
    pub(crate) fn delivery(result: &Result<Outcome, mailstore::Error>, id: RequestId) -> Self {
        match result {
            Ok(_) => reply(250, "2.0.0", format!("stored, {id}")),
            Err(mailstore::Error::OverQuota) => reply(552, "5.2.2", "mailbox full"),
            Err(mailstore::Error::TooLarge { .. }) => Self::too_large(),
            Err(error) => Self::failure(error.kind(), id),
        }
    }

    /// How bad it is: a failure that passes is worse than one that stays, since it may still turn out well.
    pub(crate) fn severity(&self) -> u16 {
        match self.code / 100 {
            4 => 2,
            5 => 1,
            _ => 0,
        }
    }

    /// The same, said of so many of a group's mailboxes.
    pub(crate) fn of_group(mut self, failed: usize, all: usize) -> Self {
        if let Some(line) = self.lines.last_mut() {
            *line = format!("{line}, for {failed} of the {all} members of the group").into();
        }
        self
    }

    /// Why a recipient could not be looked up, or a message not stored for it. What is not the recipient's or the
    /// message's own is 4yz (RFC 5321 §4.2.1): an outage or a bug must not bounce mail. The request id leads to
    /// the cause in the log.
    pub(crate) fn failure(kind: ErrorKind, id: RequestId) -> Self {
        match kind {
            ErrorKind::NotFound => Self::no_such_mailbox(),
            ErrorKind::LimitExceeded => reply(452, "4.2.2", "over a limit"),
            ErrorKind::Unavailable | ErrorKind::Conflict => reply(451, "4.3.0", "try again"),
            ErrorKind::Invalid | ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Internal => {
                reply(451, "4.3.0", format!("internal error, {id}"))
            }
        }
    }
}

/// An error on one line: it may name what a client sent.
fn clean(error: &submission::Error) -> String {
    error.to_string().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(300).collect()
}

/// Whether a failure is for us to look into, so that its cause belongs into the log.
pub(crate) fn is_ours(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::NotFound | ErrorKind::LimitExceeded)
}

impl From<ParseError> for Reply {
    fn from(error: ParseError) -> Self {
        let (code, enhanced) = match error {
            ParseError::Text => (500, "5.5.2"),
            ParseError::Unknown | ParseError::NotSmtp | ParseError::NotLmtp => (500, "5.5.1"),
            ParseError::NotOffered => (502, "5.5.1"),
            ParseError::Argument | ParseError::ClientName | ParseError::ParameterValue => (501, "5.5.4"),
            ParseError::Sender => (501, "5.1.7"),
            ParseError::Recipient => (501, "5.1.3"),
            ParseError::Parameter => (555, "5.5.4"),
            // RFC 6531 §3.5 gives MAIL another code than RCPT.
            ParseError::SenderNeedsUtf8 => (550, "5.6.7"),
        };
        reply(code, enhanced, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.render(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_marked_as_rfc_5321_has_it() {
        assert_eq!(rendered(&Reply::ok()), "250 2.0.0 ok\r\n");
        assert_eq!(
            rendered(&Reply::hello("mx.example", 7)),
            "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 7\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n"
        );
    }

    #[test]
    fn faults_of_ours_are_temporary_and_show_an_id_only() {
        let id = RequestId::from_uuid(uuid::Uuid::from_u128(1));
        let line = rendered(&Reply::failure(ErrorKind::Internal, id));
        assert_eq!(line, format!("451 4.3.0 internal error, {id}\r\n"));
        assert_eq!(rendered(&Reply::failure(ErrorKind::Unavailable, id)), "451 4.3.0 try again\r\n");
    }

    #[test]
    fn what_a_recipient_is_told() {
        let id = RequestId::from_uuid(uuid::Uuid::from_u128(1));
        let told = |error| rendered(&Reply::delivery(&Err(error), id));
        let stored = Reply::delivery(&Ok(Outcome::AlreadyImported), id);
        assert_eq!(rendered(&stored), format!("250 2.0.0 stored, {id}\r\n"));
        let too_large = mailstore::Error::TooLarge { size_bytes: 2, limit_bytes: 1 };
        assert_eq!(told(too_large), "552 5.3.4 message too large\r\n");
        assert_eq!(told(mailstore::Error::OverQuota), "552 5.2.2 mailbox full\r\n");
        assert_eq!(told(mailstore::Error::MailboxGone), "550 5.1.1 no such mailbox\r\n");
    }
}
