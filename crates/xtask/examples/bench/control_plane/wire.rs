//! HTTP/1.1 as far as a load needs it. Like pgbench it costs the machine that it shares with the server next to nothing; a client that
//! people would use costs more than some of the calls.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::load::Call;

/// A connection that stays open.
pub(super) struct Wire {
    stream: TcpStream,
    /// What each request has in its head besides.
    fields: String,
    buffer: Vec<u8>,
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let fields =
            format!("host: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        Ok(Self { stream, fields, buffer: Vec::new() })
    }

    /// Makes a call and takes its answer.
    ///
    /// # Errors
    /// For another status than the call is to have, with the answer.
    pub(super) async fn call(&mut self, call: &Call) -> Result<()> {
        let Call { method, path, body, status, .. } = call;
        let length = body.len();
        let fields = &self.fields;
        let request = format!("{method} {path} HTTP/1.1\r\n{fields}content-length: {length}\r\n\r\n{body}");
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let body_at = loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server hung up");
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..body_at]).context("an answer's head")?;
        let is_expected = head.get(9..12).is_some_and(|code| code.parse() == Ok(*status));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("an answer's length")?.parse()?;
        while self.buffer.len() < body_at + length {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server hung up");
        }
        ensure!(is_expected, "{method} {path}: {}", String::from_utf8_lossy(&self.buffer));
        Ok(())
    }
}
