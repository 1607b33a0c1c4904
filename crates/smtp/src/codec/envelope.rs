//! What MAIL and RCPT say: a path, and the parameters of the extensions that are offered.

use kernel::xtext;
use submission::outgoing::{Notify, Returned};

use crate::codec::command::{Dialect, ParseError};
use crate::codec::path::{self, ForwardPath, ReversePath};

/// The longest ENVID (RFC 3461 §4.4) and original address (§4.2), as they are written.
const ENVELOPE_ID_LIMIT: usize = 100;
const ORIGINAL_LIMIT: usize = 500;

/// What MAIL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender.
    pub from: ReversePath,
    /// `SIZE=`: what the client believes the message to measure, in bytes (RFC 1870 §6.1).
    pub size_bytes: Option<u64>,
    /// `SMTPUTF8`: addresses and header fields may be UTF-8 (RFC 6531 §3.4).
    pub is_utf8: bool,
    /// `RET=`: how much of it notifications return (RFC 3461 §4.3).
    pub returned: Option<Returned>,
    /// `ENVID=`, decoded: by what its sender knows it (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
}

/// What RCPT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// The recipient.
    pub to: ForwardPath,
    /// `NOTIFY=`: of what its sender is told (RFC 3461 §4.1).
    pub notify: Option<Vec<Notify>>,
    /// `ORCPT=`: the original recipient, in seven bits (RFC 3461 §4.2, RFC 6533 §3).
    pub original: Option<String>,
}

/// Reads what follows MAIL.
pub(crate) fn mail(argument: &str, dialect: Dialect) -> Result<Mail, ParseError> {
    let rest = after_prefix(argument, "FROM:", dialect).ok_or(ParseError::Sender)?;
    let (from, rest) = path::reverse(rest).map_err(|_| ParseError::Sender)?;
    let mut mail = Mail { from, size_bytes: None, is_utf8: false, returned: None, envelope_id: None };
    let (mut has_body, mut has_auth) = (false, false);
    let is_submission = dialect == Dialect::Submission;
    for (keyword, value) in parameters(rest).ok_or(ParseError::Sender)? {
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) if mail.size_bytes.is_none() => mail.size_bytes = Some(size(value)?),
            ("BODY", Some(value)) if !has_body && is_body(value) => has_body = true,
            ("SMTPUTF8", None) if !mail.is_utf8 => mail.is_utf8 = true,
            ("RET", Some(value)) if is_submission && mail.returned.is_none() => {
                mail.returned = Some(returned(value)?);
            }
            ("ENVID", Some(value)) if is_submission && mail.envelope_id.is_none() => {
                mail.envelope_id = Some(envelope_id(value)?);
            }
            // RFC 4954 §5: who else may have sent it is taken note of by nobody here.
            ("AUTH", Some(value)) if is_submission && !has_auth && xtext::decode(value).is_some() => {
                has_auth = true;
            }
            ("RET" | "ENVID" | "AUTH", _) if is_submission => return Err(ParseError::ParameterValue),
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

/// Reads what follows RCPT.
pub(crate) fn rcpt(argument: &str, dialect: Dialect) -> Result<Rcpt, ParseError> {
    let rest = after_prefix(argument, "TO:", dialect).ok_or(ParseError::Recipient)?;
    let (to, rest) = path::forward(rest).map_err(|_| ParseError::Recipient)?;
    let mut rcpt = Rcpt { to, notify: None, original: None };
    let is_submission = dialect == Dialect::Submission;
    for (keyword, value) in parameters(rest).ok_or(ParseError::Recipient)? {
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("NOTIFY", Some(value)) if is_submission && rcpt.notify.is_none() => {
                rcpt.notify = Some(notify(value)?);
            }
            ("ORCPT", Some(value)) if is_submission && rcpt.original.is_none() => {
                rcpt.original = Some(original(value)?);
            }
            ("NOTIFY" | "ORCPT", _) if is_submission => return Err(ParseError::ParameterValue),
            _ => return Err(ParseError::Parameter),
        }
    }
    Ok(rcpt)
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

/// What follows the prefix. Old clients of people put a space there, which RFC 5321 §3.3 does not allow.
fn after_prefix<'a>(text: &'a str, prefix: &str, dialect: Dialect) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    let rest = if dialect == Dialect::Submission { rest.trim_start_matches(' ') } else { rest };
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn returned(value: &str) -> Result<Returned, ParseError> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Returned::Full),
        "HDRS" => Ok(Returned::Headers),
        _ => Err(ParseError::ParameterValue),
    }
}

fn envelope_id(value: &str) -> Result<String, ParseError> {
    let decoded = xtext::decode(value).filter(|id| !id.chars().any(char::is_control));
    let fits = !value.is_empty() && value.len() <= ENVELOPE_ID_LIMIT;
    decoded.filter(|_| fits).ok_or(ParseError::ParameterValue)
}

/// RFC 3461 §4.1: NEVER alone, or any of the others.
fn notify(value: &str) -> Result<Vec<Notify>, ParseError> {
    let mut wishes = Vec::new();
    for word in value.split(',') {
        let wish = word.to_ascii_lowercase().parse().map_err(|_| ParseError::ParameterValue)?;
        if !wishes.contains(&wish) {
            wishes.push(wish);
        }
    }
    match wishes.contains(&Notify::Never) && wishes.len() > 1 {
        true => Err(ParseError::ParameterValue),
        false => Ok(wishes),
    }
}

/// `address type;xtext`, as it is; an address of type `utf-8`, in whichever form (RFC 6533 §3), in that for seven bits, which every server takes.
fn original(value: &str) -> Result<String, ParseError> {
    let (kind, address) = value.split_once(';').ok_or(ParseError::ParameterValue)?;
    let is_atom = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
    let decoded = if is_utf8 { xtext::decode_utf8(address) } else { xtext::decode(address) };
    let text = decoded.filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
    let text = text.filter(|_| is_atom).ok_or(ParseError::ParameterValue)?;
    let written = if is_utf8 { format!("utf-8;{}", xtext::encode_utf8(&text)) } else { value.to_owned() };
    if written.len() > ORIGINAL_LIMIT { Err(ParseError::ParameterValue) } else { Ok(written) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_wished_of_notifications() {
        let read = |line: &str| mail(line, Dialect::Submission);
        let mail = read("FROM:<a@b.example> RET=hdrs ENVID=QQ+2B1 AUTH=<> SIZE=1 BODY=7BIT").unwrap();
        assert_eq!((mail.returned, mail.envelope_id.as_deref()), (Some(Returned::Headers), Some("QQ+1")));
        for broken in [
            "RET=ALL",
            "RET",
            "RET=FULL RET=FULL",
            "ENVID=",
            "ENVID=a+0A",
            "ENVID=a=b",
            "AUTH=a=b",
            "AUTH=<> AUTH=<>",
        ] {
            let line = format!("FROM:<a@b.example> {broken}");
            assert_eq!(read(&line), Err(ParseError::ParameterValue), "{broken}");
        }
        assert_eq!(read("FROM:<> HOLDFOR=1"), Err(ParseError::Parameter));

        let read = |line: &str| rcpt(line, Dialect::Submission);
        let rcpt = read("TO:<a@b.example> NOTIFY=success,FAILURE ORCPT=rfc822;Bob+2B1@b.example").unwrap();
        assert_eq!(rcpt.notify, Some(vec![Notify::Success, Notify::Failure]));
        assert_eq!(rcpt.original.as_deref(), Some("rfc822;Bob+2B1@b.example"));
        for broken in [
            "NOTIFY=NEVER,DELAY",
            "NOTIFY=",
            "NOTIFY=LATER",
            "ORCPT=bob",
            "ORCPT=;bob",
            "ORCPT=rfc822;",
            "ORCPT=rfc822;a+0Db",
            "ORCPT=rfc822;jürgen@b.example",
            "ORCPT=utf-8;",
            r"ORCPT=utf-8;a\x{0D}b",
            r"ORCPT=utf-8;a\b",
        ] {
            let line = format!("TO:<a@b.example> {broken}");
            assert_eq!(read(&line), Err(ParseError::ParameterValue), "{broken}");
        }
    }

    #[test]
    fn an_original_beyond_ascii_is_kept_in_seven_bits() {
        for form in ["jürgen@b.example", r"j\x{FC}rgen@b.example", "j+C3+BCrgen@b.example"] {
            let rcpt = rcpt(&format!("TO:<a@b.example> ORCPT=UTF-8;{form}"), Dialect::Submission).unwrap();
            assert_eq!(rcpt.original.as_deref(), Some(r"utf-8;j\x{FC}rgen@b.example"), "{form}");
        }
        let long = format!("TO:<a@b.example> ORCPT=utf-8;{}@b.example", "ü".repeat(100));
        assert_eq!(rcpt(&long, Dialect::Submission), Err(ParseError::ParameterValue));
    }

    #[test]
    fn lmtp_knows_nothing_of_it() {
        assert_eq!(mail("FROM:<> RET=FULL", Dialect::Lmtp), Err(ParseError::Parameter));
        assert_eq!(rcpt("TO:<a@b.example> NOTIFY=NEVER", Dialect::Lmtp), Err(ParseError::Parameter));
    }
}
