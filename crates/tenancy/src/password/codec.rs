//! What is asked about a password and what is answered: as values, as lines of JSON, and the answering itself.

use std::borrow::Cow;
use std::io::{self, BufRead, Read as _, Write};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest line with its end: 1,024 characters take 6,144 bytes at most, as `\u0000` each, and a hash some hundred.
pub(super) const MAX_LINE_BYTES: usize = 8 * 1_024;
pub(super) const SALT_BYTES: usize = 16;

/// One piece of work.
#[derive(Debug)]
pub(super) enum Request {
    /// To hash a password with a salt.
    Hash { password: SecretString, salt: [u8; SALT_BYTES] },
    /// To say whether a password is the one of a hash, which is a PHC string.
    Verify { password: SecretString, hash: String },
}

/// What comes of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The hash, as a PHC string.
    Hash(String),
    /// Whether it is that password.
    Matches(bool),
    /// Why there is none; without anything of the password.
    Failed(String),
}

/// A request as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line<'a> {
    /// The salt is in base64.
    Hash {
        password: Cow<'a, str>,
        salt: Cow<'a, str>,
    },
    Verify {
        password: Cow<'a, str>,
        hash: Cow<'a, str>,
    },
}

impl Request {
    /// Does the work, which takes 19 MiB and tens of milliseconds.
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::Hash { password, salt } => {
                match Argon2::default().hash_password_with_salt(password.expose_secret().as_bytes(), salt) {
                    Ok(hash) => Answer::Hash(hash.to_string()),
                    Err(cause) => Answer::Failed(cause.to_string()),
                }
            }
            Self::Verify { password, hash } => match PasswordHash::new(hash) {
                Ok(hash) => {
                    let verified =
                        Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash);
                    Answer::Matches(verified.is_ok())
                }
                Err(cause) => Answer::Failed(cause.to_string()),
            },
        }
    }

    /// The line that asks for it.
    pub(super) fn to_line(&self) -> Result<SecretSlice<u8>, Error> {
        let line = match self {
            Self::Hash { password, salt } => {
                Line::Hash { password: password.expose_secret().into(), salt: STANDARD.encode(salt).into() }
            }
            Self::Verify { password, hash } => {
                Line::Verify { password: password.expose_secret().into(), hash: hash.into() }
            }
        };
        let mut bytes = serde_json::to_vec(&line).map_err(Error::internal)?;
        bytes.push(b'\n');
        if bytes.len() > MAX_LINE_BYTES {
            return Err(Error::Internal("a password or a hash of it is too long".into()));
        }
        Ok(bytes.into())
    }

    /// Without the parser's reason, which would quote a password.
    fn from_line(line: &[u8]) -> Option<Self> {
        match serde_json::from_slice::<Line<'_>>(line).ok()? {
            Line::Hash { password, salt } => {
                let salt = STANDARD.decode(salt.as_bytes()).ok()?.try_into().ok()?;
                Some(Self::Hash { password: password.into_owned().into(), salt })
            }
            Line::Verify { password, hash } => {
                Some(Self::Verify { password: password.into_owned().into(), hash: hash.into_owned() })
            }
        }
    }
}

impl Answer {
    fn to_line(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn from_line(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Reads one request of [`hash_in_children`](super::hash_in_children), answers it and flushes the answer; `false` when
/// there is none left. Blocks for as long as a hash takes. A line that is no request, or longer than one may be, is
/// answered by an error.
///
/// # Errors
/// When reading or writing fails.
pub fn answer_next(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<bool> {
    // As long as it may get, so that no shorter copy stays behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE_BYTES));
    input.by_ref().take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(false);
    }
    let is_whole = line.ends_with(b"\n");
    if !is_whole {
        input.skip_until(b'\n')?;
    }
    let answer = match Request::from_line(&line).filter(|_| is_whole) {
        Some(request) => request.answer(),
        None => Answer::Failed("no request to hash a password".into()),
    };
    output.write_all(&answer.to_line()?)?;
    output.flush()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered to everything in `input`.
    fn answers(mut input: &[u8]) -> Vec<Answer> {
        let mut output = Vec::new();
        while answer_next(&mut input, &mut output).unwrap() {}
        output
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| Answer::from_line(line).unwrap_or_else(|| panic!("{line:?}")))
            .collect()
    }

    #[test]
    fn a_password_of_any_characters_comes_through_in_one_line() {
        let odd = ["", "two words", "a\nb\r\nc", "\"\\{}/\t", "\u{0}\u{1f}\u{7f}\u{2028}", "密码 ё 🐎"];
        for text in odd {
            let asked = Request::Hash { password: text.into(), salt: *b"\n\r\0\x01\xff byte of it" };
            let line = asked.to_line().unwrap();
            let line = line.expose_secret();
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "{text:?}");
            let Some(Request::Hash { password, salt }) = Request::from_line(line) else { panic!("{text:?}") };
            assert_eq!((password.expose_secret(), &salt), (text, b"\n\r\0\x01\xff byte of it"));
            let asked = Request::Verify { password: text.into(), hash: "$x$\"y".into() };
            let line = asked.to_line().unwrap();
            let Some(Request::Verify { password, hash }) = Request::from_line(line.expose_secret()) else {
                panic!("{text:?}")
            };
            assert_eq!((password.expose_secret(), hash.as_str()), (text, "$x$\"y"));
        }
    }

    #[test]
    fn lines_are_answered_as_in_this_process() {
        let asked = Request::Hash { password: "correct\nhorse".into(), salt: [7; SALT_BYTES] };
        let Answer::Hash(hash) = asked.answer() else { panic!("no hash") };
        let verify = |password: &str| Request::Verify { password: password.into(), hash: hash.clone() };
        let mut input = Vec::new();
        for request in [asked, verify("correct\nhorse"), verify("correct horse")] {
            input.extend_from_slice(request.to_line().unwrap().expose_secret());
        }
        assert_eq!(answers(&input), [Answer::Hash(hash), Answer::Matches(true), Answer::Matches(false)]);
        assert!(answers(b"").is_empty());
    }

    #[test]
    fn the_longest_password_has_room_and_a_longer_line_is_not_written() {
        let hash = |password: String| Request::Hash { password: password.into(), salt: [7; SALT_BYTES] };
        assert!(hash("\u{1}".repeat(1_024)).to_line().is_ok());
        assert!(hash("\u{1f40e}".repeat(1_024)).to_line().is_ok());
        assert!(hash("x".repeat(8 * 1_024)).to_line().is_err());
    }

    #[test]
    fn what_is_no_request_is_answered_by_an_error_without_a_word_of_it_and_the_next_is_answered() {
        let long = format!(r#"{{"hash":{{"password":"{}","salt":"AA=="}}}}"#, "secret".repeat(2_000));
        let wrong = [
            "secret",
            "",
            "{}",
            r#""secret""#,
            r#"{"secret":{}}"#,
            r#"{"hash":{"password":"secret"}}"#,
            r#"{"hash":{"password":"secret","salt":"AA=="}}"#,
            r#"{"hash":{"password":"secret","salt":"secret!"}}"#,
            r#"{"verify":{"password":"secret","hash":"secret"}}"#,
            r#"{"verify":{"password":["secret"],"hash":"x"}}"#,
            long.as_str(),
        ];
        let next = Request::Hash { password: "x".into(), salt: [7; SALT_BYTES] }.to_line().unwrap();
        for wrong in wrong {
            let input = [wrong.as_bytes(), &b"\n"[..], next.expose_secret()].concat();
            let got = answers(&input);
            let [Answer::Failed(why), Answer::Hash(_)] = &got[..] else { panic!("{wrong}: {got:?}") };
            assert!(!why.contains("secret"), "{why}");
        }
        let cut = &next.expose_secret()[..next.expose_secret().len() - 1];
        assert!(matches!(answers(cut)[..], [Answer::Failed(_)]));
    }
}
