//! Replies of SMTP (RFC 5321 §4.2), which LMTP has too.

use std::fmt;

use anyhow::{Result, bail};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use super::within;

/// One reply, of one line or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three-digit code.
    pub code: u16,
    /// The text of each line after the code.
    pub lines: Vec<String>,
}

impl Reply {
    /// Whether it is a 2xx.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// The enhanced status code (RFC 2034) that its first line begins with, or nothing.
    pub fn enhanced(&self) -> &str {
        let first = self.lines.first().map_or("", |line| line.split(' ').next().unwrap_or(""));
        let is_code = first.split('.').count() == 3 && first.split('.').all(|n| n.parse::<u16>().is_ok());
        if is_code { first } else { "" }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" / "))
    }
}

/// Reads one reply.
///
/// # Errors
/// When the connection ends or the reply is malformed.
pub(crate) async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Reply> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        within("reading a reply", stream.read_line(&mut line)).await?;
        let Some(line) = line.strip_suffix("\r\n") else { bail!("the connection ended within a reply") };
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        let (Some(code), Some(rest)) = (code, line.get(3..)) else { bail!("not a reply: {line:?}") };
        lines.push(rest.get(1..).unwrap_or("").to_owned());
        if !rest.starts_with('-') {
            return Ok(Reply { code, lines });
        }
    }
}
