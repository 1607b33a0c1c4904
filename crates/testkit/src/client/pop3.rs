//! A POP3 client (RFC 1939, RFC 2449, RFC 2595) that trusts any certificate.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::tls::{Socket, tls};
use super::within;

/// A connection after the greeting.
pub struct Pop3 {
    stream: BufReader<Box<dyn Socket>>,
    greeting: Reply,
}

impl fmt::Debug for Pop3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pop3").field("greeting", &self.greeting).finish_non_exhaustive()
    }
}

/// A status line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `+OK` rather than `-ERR`.
    pub ok: bool,
    /// What follows.
    pub text: String,
}

impl Reply {
    /// The response code in brackets (RFC 2449 §8) that the text begins with, or nothing: `IN-USE`.
    pub fn code(&self) -> &str {
        self.text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(code, _)| code)
    }

    fn expect_ok(self) -> Result<String> {
        ensure!(self.ok, "-ERR {}", self.text);
        Ok(self.text)
    }
}

impl Pop3 {
    /// Connects without TLS and reads the greeting.
    ///
    /// # Errors
    /// When the server cannot be reached or greets with `-ERR`.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = within("connecting by POP3", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Self::greeted(Box::new(stream)).await
    }

    /// Connects with implicit TLS and reads the greeting.
    ///
    /// # Errors
    /// When the server cannot be reached, the handshake fails or the greeting is `-ERR`.
    pub async fn connect_tls(address: SocketAddr) -> Result<Self> {
        let stream = within("connecting by POP3", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Self::greeted(tls(stream).await?).await
    }

    async fn greeted(stream: Box<dyn Socket>) -> Result<Self> {
        let nothing = Reply { ok: true, text: String::new() };
        let mut client = Self { stream: BufReader::new(stream), greeting: nothing };
        client.greeting = client.read_reply().await?;
        ensure!(client.greeting.ok, "greeted with -ERR {}", client.greeting.text);
        Ok(client)
    }

    /// Upgrades to TLS by STLS (RFC 2595 §4). There is no second greeting.
    ///
    /// # Errors
    /// When the server refuses or the handshake fails.
    pub async fn stls(mut self) -> Result<Self> {
        self.command("STLS").await?.expect_ok().context("STLS")?;
        ensure!(self.stream.buffer().is_empty(), "the server sent plain text after STLS");
        let stream = tls(self.stream.into_inner()).await?;
        Ok(Self { stream: BufReader::new(stream), greeting: self.greeting })
    }

    /// Sends one line and reads its status line.
    ///
    /// # Errors
    /// When the connection ends or the answer is malformed.
    pub async fn command(&mut self, line: &str) -> Result<Reply> {
        self.send(format!("{line}\r\n").as_bytes()).await?;
        self.read_reply().await
    }

    /// Sends one line and reads a multi-line answer, undoing the byte-stuffing.
    ///
    /// # Errors
    /// As [`Pop3::command`], and when the answer is `-ERR`.
    pub async fn command_multi(&mut self, line: &str) -> Result<Vec<u8>> {
        self.command(line).await?.expect_ok().with_context(|| line.to_owned())?;
        self.read_multi().await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.stream.get_mut();
        within("sending by POP3", async {
            stream.write_all(bytes).await?;
            stream.flush().await
        })
        .await
    }

    /// Reads one status line.
    ///
    /// # Errors
    /// When the connection ends or the line is malformed.
    pub async fn read_reply(&mut self) -> Result<Reply> {
        let mut line = Vec::new();
        within("reading a reply", self.stream.read_until(b'\n', &mut line)).await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let Some(text) = text.strip_suffix("\r\n") else {
            bail!("the connection ended within a reply: {text:?}")
        };
        let (ok, rest) = match (text.strip_prefix("+OK"), text.strip_prefix("-ERR")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => bail!("not a reply: {text:?}"),
        };
        Ok(Reply { ok, text: rest.trim_start().to_owned() })
    }

    /// Reads the lines up to the terminating dot, undoing the byte-stuffing. Only CRLF ends a line.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn read_multi(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let start = out.len();
            let read = within("reading an answer", self.stream.read_until(b'\n', &mut out)).await?;
            ensure!(read > 0, "the connection ended within an answer");
            let begins_a_line = start == 0 || out[..start].ends_with(b"\r\n");
            if !begins_a_line || out[start] != b'.' {
                continue;
            }
            if &out[start..] == b".\r\n" {
                out.truncate(start);
                return Ok(out);
            }
            out.remove(start);
        }
    }

    /// Signs in with USER and PASS.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn login(&mut self, username: &str, password: &str) -> Result<()> {
        self.command(&format!("USER {username}")).await?.expect_ok().context("USER")?;
        self.command(&format!("PASS {password}")).await?.expect_ok().context("PASS")?;
        Ok(())
    }

    /// Signs in with AUTH PLAIN (RFC 5034) and an initial response.
    ///
    /// # Errors
    /// When the connection ends; a refusal is the reply.
    pub async fn auth_plain(&mut self, username: &str, password: &str) -> Result<Reply> {
        let response = base64::engine::general_purpose::STANDARD.encode(format!("\0{username}\0{password}"));
        self.command(&format!("AUTH PLAIN {response}")).await
    }

    /// STAT: how many messages, and their octets.
    ///
    /// # Errors
    /// When the server refuses or the answer is malformed.
    pub async fn stat(&mut self) -> Result<(usize, u64)> {
        let text = self.command("STAT").await?.expect_ok().context("STAT")?;
        let mut words = text.split(' ');
        let (Some(count), Some(octets)) = (words.next(), words.next()) else {
            bail!("STAT answered {text:?}")
        };
        Ok((count.parse()?, octets.parse()?))
    }

    /// LIST: number and octets of each message.
    ///
    /// # Errors
    /// When the server refuses or the answer is malformed.
    pub async fn list(&mut self) -> Result<Vec<(usize, u64)>> {
        let pairs = self.pairs("LIST").await?;
        pairs.into_iter().map(|(number, octets)| Ok((number, octets.parse()?))).collect()
    }

    /// UIDL: number and unique id of each message.
    ///
    /// # Errors
    /// When the server refuses or the answer is malformed.
    pub async fn uidl(&mut self) -> Result<Vec<(usize, String)>> {
        self.pairs("UIDL").await
    }

    async fn pairs(&mut self, command: &str) -> Result<Vec<(usize, String)>> {
        let text = String::from_utf8(self.command_multi(command).await?)?;
        text.lines()
            .map(|line| {
                let (number, rest) = line.split_once(' ').with_context(|| format!("{command}: {line:?}"))?;
                Ok((number.parse()?, rest.to_owned()))
            })
            .collect()
    }

    /// RETR: one message's bytes.
    ///
    /// # Errors
    /// When the server refuses or the connection ends.
    pub async fn retr(&mut self, number: usize) -> Result<Vec<u8>> {
        self.command_multi(&format!("RETR {number}")).await
    }

    /// TOP: the header and so many lines of the body.
    ///
    /// # Errors
    /// When the server refuses or the connection ends.
    pub async fn top(&mut self, number: usize, lines: u64) -> Result<Vec<u8>> {
        self.command_multi(&format!("TOP {number} {lines}")).await
    }

    /// DELE: marks one message; QUIT makes it so.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn dele(&mut self, number: usize) -> Result<()> {
        self.command(&format!("DELE {number}")).await?.expect_ok().map(drop).context("DELE")
    }

    /// Says QUIT and waits for the answer.
    ///
    /// # Errors
    /// When the server could not delete what was marked.
    pub async fn quit(mut self) -> Result<()> {
        self.command("QUIT").await?.expect_ok().map(drop).context("QUIT")
    }
}
