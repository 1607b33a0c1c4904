//! One command line (RFC 2033 §4.1, RFC 5321 §4.1.1) as a value.

use crate::codec::path::{self, ClientName, ForwardPath, ReversePath};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `LHLO name`
    Lhlo(ClientName),
    /// `MAIL FROM:<path> [parameters]`
    Mail(Mail),
    /// `RCPT TO:<path>`
    Rcpt(ForwardPath),
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

/// What MAIL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender.
    pub from: ReversePath,
    /// `SIZE=`: what the client believes the message to measure, in bytes (RFC 1870 §6.1).
    pub size_bytes: Option<u64>,
    /// `SMTPUTF8`: addresses and header fields may be UTF-8 (RFC 6531 §3.4).
    pub is_utf8: bool,
}

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
pub fn parse(line: &[u8]) -> Result<Command, ParseError> {
    let text = std::str::from_utf8(line).map_err(|_| ParseError::Text)?;
    if text.chars().any(char::is_control) {
        return Err(ParseError::Text);
    }
    // RFC 5321 §4.1.1: white space before the CRLF is tolerated.
    let text = text.trim_end_matches(' ');
    let (verb, argument) = text.split_once(' ').map_or((text, None), |(verb, rest)| (verb, Some(rest)));
    let alone = |command| if argument.is_none() { Ok(command) } else { Err(ParseError::Argument) };
    match verb.to_ascii_uppercase().as_str() {
        "LHLO" => {
            let name = argument.ok_or(ParseError::Argument)?;
            ClientName::parse(name).map(Command::Lhlo).ok_or(ParseError::ClientName)
        }
        "MAIL" => mail(argument.ok_or(ParseError::Sender)?).map(Command::Mail),
        "RCPT" => rcpt(argument.ok_or(ParseError::Recipient)?).map(Command::Rcpt),
        "DATA" => alone(Command::Data),
        "RSET" => alone(Command::Rset),
        "QUIT" => alone(Command::Quit),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" => argument.map(|_| Command::Vrfy).ok_or(ParseError::Argument),
        "HELO" | "EHLO" => Err(ParseError::NotSmtp),
        "EXPN" | "BDAT" | "STARTTLS" | "AUTH" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" => {
            Err(ParseError::NotOffered)
        }
        _ => Err(ParseError::Unknown),
    }
}

fn mail(argument: &str) -> Result<Mail, ParseError> {
    let rest = strip_prefix_ignore_case(argument, "FROM:").ok_or(ParseError::Sender)?;
    let (from, rest) = path::reverse(rest).map_err(|_| ParseError::Sender)?;
    let mut mail = Mail { from, size_bytes: None, is_utf8: false };
    let mut has_body = false;
    for (keyword, value) in parameters(rest).ok_or(ParseError::Sender)? {
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) if mail.size_bytes.is_none() => mail.size_bytes = Some(size(value)?),
            ("BODY", Some(value)) if !has_body && is_body(value) => has_body = true,
            ("SMTPUTF8", None) if !mail.is_utf8 => mail.is_utf8 = true,
            ("SIZE" | "BODY" | "SMTPUTF8", _) => return Err(ParseError::ParameterValue),
            _ => return Err(ParseError::Parameter),
        }
    }
    match &mail.from {
        ReversePath::Mailbox(mailbox) if !mailbox.is_ascii() && !mail.is_utf8 => {
            Err(ParseError::SenderNeedsUtf8)
        }
        _ => Ok(mail),
    }
}

fn rcpt(argument: &str) -> Result<ForwardPath, ParseError> {
    let rest = strip_prefix_ignore_case(argument, "TO:").ok_or(ParseError::Recipient)?;
    let (to, rest) = path::forward(rest).map_err(|_| ParseError::Recipient)?;
    match parameters(rest).ok_or(ParseError::Recipient)?.next() {
        None => Ok(to),
        Some(_) => Err(ParseError::Parameter),
    }
}

/// What follows a path: `*(SP keyword ["=" value])`. `None` when something else does.
fn parameters(text: &str) -> Option<impl Iterator<Item = (&str, Option<&str>)>> {
    if !(text.is_empty() || text.starts_with(' ')) {
        return None;
    }
    let words = text.split(' ').filter(|word| !word.is_empty());
    Some(
        words
            .map(|word| word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)))),
    )
}

/// RFC 1870 §3: one to twenty digits. What exceeds 64 bits exceeds every limit.
fn size(value: &str) -> Result<u64, ParseError> {
    if value.is_empty() || value.len() > 20 || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseError::ParameterValue);
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

/// RFC 6152 §2. Both are stored as they come, so the difference ends here; BINARYMIME needs BDAT.
fn is_body(value: &str) -> bool {
    value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME")
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_mail(line: &str) -> Result<(String, Option<u64>, bool), ParseError> {
        match parse(line.as_bytes())? {
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
            assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
        }
        assert_eq!(parse(b"NOOP \xff"), Err(Text));
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
            ("RCPT TO:<postmaster>", Command::Rcpt(ForwardPath::Postmaster)),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(command), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..64), verb in "(MAIL FROM:|RCPT TO:|LHLO )?") {
            let _ = parse(&[verb.as_bytes(), &line].concat());
        }
    }
}
