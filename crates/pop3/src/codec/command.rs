//! One command line → one [`Command`].

use secrecy::SecretString;

/// A command that a client may send. Message numbers count from one (RFC 1939 §4).
#[derive(Debug)]
pub enum Command {
    /// RFC 2449 §5.
    Capa,
    /// RFC 1939 §7: the name of a maildrop.
    User(String),
    /// RFC 1939 §7. Its one argument may have spaces.
    Pass(SecretString),
    /// RFC 5034 §4. Without a mechanism: asks which there are.
    Auth(Option<Auth>),
    /// RFC 2595 §4.
    Stls,
    /// RFC 1939 §5.
    Stat,
    /// RFC 1939 §5: of all messages, or of one.
    List(Option<u64>),
    /// RFC 1939 §7: of all messages, or of one.
    Uidl(Option<u64>),
    /// RFC 1939 §5.
    Retr(u64),
    /// RFC 1939 §7.
    Top {
        /// Which message.
        message: u64,
        /// How many lines of its body.
        lines: u64,
    },
    /// RFC 1939 §5.
    Dele(u64),
    /// RFC 1939 §5.
    Noop,
    /// RFC 1939 §5.
    Rset,
    /// RFC 1939 §4 and §6.
    Quit,
}

/// What AUTH asks for.
#[derive(Debug)]
pub struct Auth {
    /// The mechanism's name, in upper case.
    pub mechanism: String,
    /// The initial response as sent: base64, or `=` for an empty one (RFC 5034 §4).
    pub initial_response: Option<SecretString>,
}

impl Command {
    /// The keyword, in lower case, as metrics name it.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Capa => "capa",
            Self::User(_) => "user",
            Self::Pass(_) => "pass",
            Self::Auth(_) => "auth",
            Self::Stls => "stls",
            Self::Stat => "stat",
            Self::List(_) => "list",
            Self::Uidl(_) => "uidl",
            Self::Retr(_) => "retr",
            Self::Top { .. } => "top",
            Self::Dele(_) => "dele",
            Self::Noop => "noop",
            Self::Rset => "rset",
            Self::Quit => "quit",
        }
    }
}

/// Why a line is no command. The text goes to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Control characters, or bytes that are not UTF-8.
    #[error("a command is text without control characters")]
    NotText,
    /// No keyword that this server has.
    #[error("unknown command")]
    Unknown,
    /// Right keyword, wrong arguments; how it is used.
    #[error("syntax: {0}")]
    Arguments(&'static str),
}

/// Reads one line, without its end.
///
/// Keywords are not case-sensitive (RFC 1939 §3). UTF-8 is let through in names and passwords, since clients send
/// them so without asking; everything else is ASCII by its grammar. More than one space between arguments, or
/// spaces at the end, are forgiven everywhere but in a password.
pub fn parse(line: &[u8]) -> Result<Command, CommandError> {
    let text = std::str::from_utf8(line).map_err(|_| CommandError::NotText)?;
    if text.contains(char::is_control) {
        return Err(CommandError::NotText);
    }
    let (keyword, rest) = text.split_once(' ').map_or((text, None), |(keyword, rest)| (keyword, Some(rest)));
    match keyword.to_ascii_uppercase().as_str() {
        "CAPA" => without_arguments(rest, Command::Capa, "CAPA"),
        "USER" => rest
            .map(|name| name.trim_matches(' '))
            .filter(|name| !name.is_empty())
            .map(|name| Command::User(name.to_owned()))
            .ok_or(CommandError::Arguments("USER name")),
        "PASS" => rest
            .filter(|password| !password.is_empty())
            .map(|password| Command::Pass(password.into()))
            .ok_or(CommandError::Arguments("PASS password")),
        "AUTH" => auth(rest),
        "STLS" => without_arguments(rest, Command::Stls, "STLS"),
        "STAT" => without_arguments(rest, Command::Stat, "STAT"),
        "LIST" => optional_number(rest, "LIST [message]").map(Command::List),
        "UIDL" => optional_number(rest, "UIDL [message]").map(Command::Uidl),
        "RETR" => numbers(rest, "RETR message").map(|[message]| Command::Retr(message)),
        "TOP" => numbers(rest, "TOP message lines").map(|[message, lines]| Command::Top { message, lines }),
        "DELE" => numbers(rest, "DELE message").map(|[message]| Command::Dele(message)),
        "NOOP" => without_arguments(rest, Command::Noop, "NOOP"),
        "RSET" => without_arguments(rest, Command::Rset, "RSET"),
        "QUIT" => without_arguments(rest, Command::Quit, "QUIT"),
        _ => Err(CommandError::Unknown),
    }
}

fn arguments(rest: Option<&str>) -> impl Iterator<Item = &str> {
    rest.unwrap_or_default().split(' ').filter(|argument| !argument.is_empty())
}

fn without_arguments(
    rest: Option<&str>,
    command: Command,
    usage: &'static str,
) -> Result<Command, CommandError> {
    match arguments(rest).next() {
        None => Ok(command),
        Some(_) => Err(CommandError::Arguments(usage)),
    }
}

fn auth(rest: Option<&str>) -> Result<Command, CommandError> {
    let mut arguments = arguments(rest);
    let Some(mechanism) = arguments.next() else {
        return Ok(Command::Auth(None));
    };
    let initial_response = arguments.next().map(SecretString::from);
    if arguments.next().is_some() {
        return Err(CommandError::Arguments("AUTH [mechanism [initial-response]]"));
    }
    Ok(Command::Auth(Some(Auth { mechanism: mechanism.to_ascii_uppercase(), initial_response })))
}

fn optional_number(rest: Option<&str>, usage: &'static str) -> Result<Option<u64>, CommandError> {
    match arguments(rest).next() {
        None => Ok(None),
        Some(_) => numbers(rest, usage).map(|[message]| Some(message)),
    }
}

fn numbers<const N: usize>(rest: Option<&str>, usage: &'static str) -> Result<[u64; N], CommandError> {
    let numbers = arguments(rest).map(number).collect::<Option<Vec<_>>>();
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or(CommandError::Arguments(usage))
}

/// Digits only. A number beyond `u64` is a number all the same: of a message that does not exist, or of more
/// lines than any message has.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::render;
    use proptest::prelude::*;

    fn read_and_rendered(line: &str) -> Result<String, CommandError> {
        parse(line.as_bytes()).map(|command| render(&command))
    }

    #[test]
    fn arguments_are_strict_and_spaces_forgiven() {
        for (line, read) in [
            ("list", "LIST"),
            ("LiSt 007 ", "LIST 7"),
            ("TOP  3   0", "TOP 3 0"),
            ("USER  ada@example.org ", "USER ada@example.org"),
            ("pass  two  spaces ", "PASS  two  spaces "),
            ("PASS ü", "PASS ü"),
            ("auth plain =", "AUTH PLAIN ="),
            ("AUTH ", "AUTH"),
            ("TOP 1 99999999999999999999999", "TOP 1 18446744073709551615"),
        ] {
            assert_eq!(read_and_rendered(line).as_deref(), Ok(read), "{line:?}");
        }
    }

    #[test]
    fn wrong_arguments_are_told() {
        for line in
            ["STAT 1", "RETR", "RETR x", "RETR -1", "RETR +1", "RETR 1.0", "RETR 1 2", "TOP 1", "LIST 1 2"]
        {
            assert!(matches!(read_and_rendered(line), Err(CommandError::Arguments(_))), "{line:?}");
        }
        for line in ["USER", "USER  ", "PASS", "PASS ", "AUTH PLAIN a b", "QUIT now", "STLS x"] {
            assert!(matches!(read_and_rendered(line), Err(CommandError::Arguments(_))), "{line:?}");
        }
    }

    #[test]
    fn what_is_no_command() {
        for line in ["", " ", " STAT", "LAST", "APOP a b", "RETR\t1 ", "GET / HTTP/1.1"] {
            let expected = if line.contains('\t') { CommandError::NotText } else { CommandError::Unknown };
            assert_eq!(read_and_rendered(line), Err(expected), "{line:?}");
        }
        assert_eq!(parse(b"PASS \xff").map(|_| ()), Err(CommandError::NotText));
        assert_eq!(parse(b"STAT\0").map(|_| ()), Err(CommandError::NotText));
        assert_eq!(parse(b"STAT\rRETR 1").map(|_| ()), Err(CommandError::NotText));
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let shown = format!("{:?} {:?}", parse(b"PASS hunter2"), parse(b"AUTH PLAIN aHVudGVyMg=="));
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    }

    fn any_command() -> impl Strategy<Value = String> {
        let number = any::<u64>();
        prop_oneof![
            proptest::sample::select(vec![
                "CAPA", "STLS", "STAT", "NOOP", "RSET", "QUIT", "AUTH", "LIST", "UIDL"
            ])
            .prop_map(str::to_owned),
            "USER [!-~]([ -~ä-ü]{0,20}[!-~])?",
            "PASS [ -~ä-ü]{1,40}",
            "AUTH [A-Z0-9_-]{1,20}( [A-Za-z0-9+/=]{1,40})?",
            (proptest::sample::select(vec!["LIST", "UIDL", "RETR", "DELE"]), number)
                .prop_map(|(keyword, n)| format!("{keyword} {n}")),
            (number, number).prop_map(|(message, lines)| format!("TOP {message} {lines}")),
        ]
    }

    proptest! {
        #[test]
        fn parsing_and_rendering_are_inverse(line in any_command()) {
            prop_assert_eq!(read_and_rendered(&line), Ok(line));
        }

        #[test]
        fn no_bytes_break_the_parser(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(command) = parse(&line) {
                let again = parse(render(&command).as_bytes());
                prop_assert_eq!(again.map(|c| render(&c)), Ok(render(&command)));
            }
        }
    }
}
