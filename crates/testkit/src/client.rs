//! Protocol clients over real sockets. Every wait has a deadline, so a server that hangs fails a test.

pub mod http;
pub mod imap;
pub mod lmtp;
pub mod pop3;
pub mod reply;
pub mod scram;
pub mod smtp;
mod tls;

use std::future::Future;
use std::io;
use std::time::Duration;

/// How long a client waits for any one answer.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, answer: impl Future<Output = io::Result<T>>) -> anyhow::Result<T> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(anyhow::Error::new(error).context(what.to_owned())),
        Err(_) => anyhow::bail!("{what}: no answer within {} s", PATIENCE.as_secs()),
    }
}

/// Puts a dot before each line that begins with one (RFC 5321 §4.5.2); a line begins after CRLF only.
fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 64 + 5);
    for (at, &byte) in message.iter().enumerate() {
        if byte == b'.' && (at == 0 || message[..at].ends_with(b"\r\n")) {
            out.push(b'.');
        }
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dot_at_the_start_of_a_line_is_doubled() {
        assert_eq!(dot_stuffed(b".a\r\n..b\r\nc.\r\n\n.d\r.e\r\n"), b"..a\r\n...b\r\nc.\r\n\n.d\r.e\r\n");
        assert_eq!(dot_stuffed(b""), b"");
    }
}
