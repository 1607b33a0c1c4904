//! One command line (RFC 5321 §4.1.1) as a value, of LMTP (RFC 2033 §4.1) or of submission (RFC 6409).

use std::fmt;

use secrecy::SecretString;

use crate::codec::envelope::{self, Mail, Rcpt};
use crate::codec::path::ClientName;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Mail that arrives from the operator's own MTA.
    Lmtp,
    /// Mail that leaves.
    Submission,
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `LHLO name`
    Lhlo(ClientName),
    /// `EHLO name`, whatever the name: clients of people are called all sorts of things
    Ehlo,
    /// `HELO name`: without extensions
    Helo,
    /// `STARTTLS`
    Starttls,
    /// `AUTH mechanism [initial response]`
    Auth(Auth),
    /// `MAIL FROM:<path> [parameters]`
    Mail(Mail),
    /// `RCPT TO:<path> [parameters]`
    Rcpt(Rcpt),
    /// `DATA`
    Data,
    /// `RSET`
    Rset,
    /// `NOOP`, with any argument
    Noop,
    /// `VRFY`, with any argument
    Vrfy,
    /// `HELP`, with any argument
    Help,
    /// `QUIT`
    Quit,
}

/// What AUTH says (RFC 4954 §4).
pub struct Auth {
    /// The mechanism, as the client has written it.
    pub mechanism: String,
    /// Its first message, in base64, or `=`.
    pub initial: Option<SecretString>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

// A secret is not compared.
impl PartialEq for Auth {
    fn eq(&self, other: &Self) -> bool {
        self.mechanism == other.mechanism && self.initial.is_some() == other.initial.is_some()
    }
}

impl Eq for Auth {}

/// Why a line is no command that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Control characters, or not UTF-8.
    #[error("the line has control characters or is not UTF-8")]
    Text,
    /// No command of this name.
    #[error("unknown command")]
    Unknown,
    /// HELO and EHLO, which LMTP must refuse (RFC 2033 §4.1).
    #[error("this is LMTP: say LHLO")]
    NotSmtp,
    /// LHLO, which is LMTP's.
    #[error("this is not LMTP: say EHLO")]
    NotLmtp,
    /// A command of SMTP that is not offered here.
    #[error("command not offered")]
    NotOffered,
    /// An argument is missing, or there is one too many.
    #[error("wrong argument")]
    Argument,
    /// LHLO's argument is neither a host name nor an address literal.
    #[error("not a host name or address literal")]
    ClientName,
    /// MAIL's path.
    #[error("malformed sender, expected MAIL FROM:<local@domain>")]
    Sender,
    /// RCPT's path.
    #[error("malformed recipient, expected RCPT TO:<local@domain>")]
    Recipient,
    /// A parameter that no extension we offer has.
    #[error("unknown parameter")]
    Parameter,
    /// A parameter with a value it cannot have, or given twice.
    #[error("wrong value of a parameter")]
    ParameterValue,
    /// An address beyond ASCII without SMTPUTF8 in MAIL (RFC 6531 §3.5), in the sender.
    #[error("a sender beyond ascii needs SMTPUTF8")]
    SenderNeedsUtf8,
}

/// Reads a line that [`crate::codec::line::Framer`] cut, without its CRLF.
pub fn parse(line: &[u8], dialect: Dialect) -> Result<Command, ParseError> {
    if let (Dialect::Submission, Some(hello)) = (dialect, hello(line)) {
        return Ok(hello);
    }
    let text = std::str::from_utf8(line).map_err(|_| ParseError::Text)?;
    if text.chars().any(char::is_control) {
        return Err(ParseError::Text);
    }
    // RFC 5321 §4.1.1: white space before the CRLF is tolerated.
    let text = text.trim_end_matches(' ');
    let (verb, argument) = text.split_once(' ').map_or((text, None), |(verb, rest)| (verb, Some(rest)));
    let alone = |command| if argument.is_none() { Ok(command) } else { Err(ParseError::Argument) };
    match (verb.to_ascii_uppercase().as_str(), dialect) {
        ("LHLO", Dialect::Lmtp) => {
            let name = argument.ok_or(ParseError::Argument)?;
            ClientName::parse(name).map(Command::Lhlo).ok_or(ParseError::ClientName)
        }
        ("HELO" | "EHLO", Dialect::Lmtp) => Err(ParseError::NotSmtp),
        ("HELO" | "EHLO", Dialect::Submission) => Err(ParseError::Argument),
        ("LHLO", Dialect::Submission) => Err(ParseError::NotLmtp),
        ("STARTTLS", Dialect::Submission) => alone(Command::Starttls),
        ("AUTH", Dialect::Submission) => auth(argument.ok_or(ParseError::Argument)?).map(Command::Auth),
        ("MAIL", _) => envelope::mail(argument.ok_or(ParseError::Sender)?, dialect).map(Command::Mail),
        ("RCPT", _) => envelope::rcpt(argument.ok_or(ParseError::Recipient)?, dialect).map(Command::Rcpt),
        ("DATA", _) => alone(Command::Data),
        ("RSET", _) => alone(Command::Rset),
        ("QUIT", _) => alone(Command::Quit),
        ("NOOP", _) => Ok(Command::Noop),
        ("HELP", _) => Ok(Command::Help),
        ("VRFY", _) => argument.map(|_| Command::Vrfy).ok_or(ParseError::Argument),
        ("EXPN" | "BDAT" | "STARTTLS" | "AUTH" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML", _) => {
            Err(ParseError::NotOffered)
        }
        _ => Err(ParseError::Unknown),
    }
}

/// EHLO or HELO with a name that nobody is to be shown.
fn hello(line: &[u8]) -> Option<Command> {
    let (verb, name) = line.split_at_checked(5)?;
    let is_named = name.iter().any(|byte| *byte != b' ');
    match (verb.to_ascii_uppercase().as_slice(), is_named) {
        (b"EHLO ", true) => Some(Command::Ehlo),
        (b"HELO ", true) => Some(Command::Helo),
        _ => None,
    }
}

fn auth(argument: &str) -> Result<Auth, ParseError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(ParseError::Argument)?.to_owned();
    let initial = words.next().map(SecretString::from);
    match words.next() {
        None => Ok(Auth { mechanism, initial }),
        Some(_) => Err(ParseError::Argument),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::path::{ForwardPath, ReversePath};
    use proptest::prelude::*;

    fn read_mail(line: &str) -> Result<(String, Option<u64>, bool), ParseError> {
        match parse(line.as_bytes(), Dialect::Lmtp)? {
            Command::Mail(mail) => {
                let from = match mail.from {
                    ReversePath::Null => String::new(),
                    ReversePath::Mailbox(mailbox) => mailbox.to_string(),
                };
                Ok((from, mail.size_bytes, mail.is_utf8))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_mail_with_parameters() {
        assert_eq!(read_mail("mail from:<a@b.example>"), Ok(("a@b.example".into(), None, false)));
        assert_eq!(read_mail("MAIL FROM:<> size=0012 body=8bitmime  "), Ok((String::new(), Some(12), false)));
        assert_eq!(read_mail("MAIL FROM:<é@b.example> SMTPUTF8"), Ok(("é@b.example".into(), None, true)));
        assert_eq!(
            read_mail("MAIL FROM:<> SIZE=99999999999999999999"),
            Ok((String::new(), Some(u64::MAX), false))
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        use ParseError::*;
        for (line, error) in [
            ("", Unknown),
            ("XYZZY", Unknown),
            ("NOOPX", Unknown),
            (" NOOP", Unknown),
            ("NOOP\0", Text),
            ("NO\rOP", Text),
            ("NOOP\tx", Text),
            ("EHLO a", NotSmtp),
            ("helo a", NotSmtp),
            ("BDAT 3 LAST", NotOffered),
            ("EXPN all", NotOffered),
            ("LHLO", Argument),
            ("LHLO a b", ClientName),
            ("LHLO (a)", ClientName),
            ("DATA now", Argument),
            ("QUIT x", Argument),
            ("VRFY", Argument),
            ("MAIL", Sender),
            ("MAIL TO:<a@b>", Sender),
            ("MAIL FROM: <a@b>", Sender),
            ("MAIL FROM:a@b", Sender),
            ("MAIL FROM:<a@b>SIZE=1", Sender),
            ("MAIL FROM:<> SIZE", ParameterValue),
            ("MAIL FROM:<> SIZE=", ParameterValue),
            ("MAIL FROM:<> SIZE=-1", ParameterValue),
            ("MAIL FROM:<> SIZE=1 SIZE=1", ParameterValue),
            ("MAIL FROM:<> SIZE=111111111111111111111", ParameterValue),
            ("MAIL FROM:<> BODY=BINARYMIME", ParameterValue),
            ("MAIL FROM:<> SMTPUTF8=1", ParameterValue),
            ("MAIL FROM:<> AUTH=<>", Parameter),
            ("MAIL FROM:<é@b.example>", SenderNeedsUtf8),
            ("MAIL FROM:<a@é.example>", SenderNeedsUtf8),
            ("RCPT", Recipient),
            ("RCPT TO:<>", Recipient),
            ("RCPT TO:<a@b> NOTIFY=NEVER", Parameter),
            ("RCPT FROM:<a@b>", Recipient),
        ] {
            assert_eq!(parse(line.as_bytes(), Dialect::Lmtp), Err(error), "{line:?}");
        }
        assert_eq!(parse(b"NOOP \xff", Dialect::Lmtp), Err(Text));
    }

    #[test]
    fn people_s_clients_are_called_what_they_are_called() {
        for name in ["[IPv6:fe80::1%en0]", "host.example.", "J\u{fc}rgen-PC", "(none)", "Ada's MacBook", " x"]
        {
            let line = format!("ehlo {name}");
            assert_eq!(parse(line.as_bytes(), Dialect::Submission), Ok(Command::Ehlo), "{name}");
        }
        assert_eq!(parse(b"HELO J\xfcrgen", Dialect::Submission), Ok(Command::Helo));
        for line in ["EHLO", "EHLO ", "HELO"] {
            assert_eq!(parse(line.as_bytes(), Dialect::Submission), Err(ParseError::Argument), "{line:?}");
        }
        let spaced = parse(b"MAIL FROM: <a@b.example> SIZE=1", Dialect::Submission);
        assert!(matches!(spaced, Ok(Command::Mail(_))), "{spaced:?}");
        assert!(matches!(parse(b"RCPT TO: <a@b.example>", Dialect::Submission), Ok(Command::Rcpt(_))));
    }

    #[test]
    fn reads_the_rest() {
        for (line, command) in [
            ("data", Command::Data),
            ("DATA  ", Command::Data),
            ("RSET", Command::Rset),
            ("Quit", Command::Quit),
            ("NOOP ready?", Command::Noop),
            ("HELP", Command::Help),
            ("VRFY ada", Command::Vrfy),
            (
                "RCPT TO:<postmaster>",
                Command::Rcpt(Rcpt { to: ForwardPath::Postmaster, notify: None, original: None }),
            ),
        ] {
            assert_eq!(parse(line.as_bytes(), Dialect::Lmtp), Ok(command), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..64), verb in "(MAIL FROM:|RCPT TO:<a@b> |LHLO |AUTH )?") {
            for dialect in [Dialect::Lmtp, Dialect::Submission] {
                let _ = parse(&[verb.as_bytes(), &line].concat(), dialect);
            }
        }
    }
}
