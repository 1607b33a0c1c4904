//! An IMAP client (RFC 3501) that trusts any certificate and reads answers as text: literals stand in it as they came.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::tls::{Socket, tls};
use super::within;

/// A connection after the greeting.
pub struct Imap {
    stream: BufReader<Box<dyn Socket>>,
    /// The greeting's line.
    pub greeting: String,
    commands: usize,
}

impl fmt::Debug for Imap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").field("greeting", &self.greeting).finish_non_exhaustive()
    }
}

/// What a command was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The untagged responses in their order, each without its `* ` and its line end, with its literals.
    pub untagged: Vec<String>,
    /// The tagged one, without its tag: `OK [READ-WRITE] opened`.
    pub status: String,
}

impl Answer {
    /// The untagged responses.
    ///
    /// # Errors
    /// When the status is not `OK`.
    pub fn ok(self) -> Result<Vec<String>> {
        ensure!(self.status.starts_with("OK"), "{}", self.status);
        Ok(self.untagged)
    }

    /// Whether an untagged response has a text in it.
    pub fn has(&self, text: &str) -> bool {
        self.untagged.iter().any(|line| line.contains(text))
    }
}

impl Imap {
    /// Connects without TLS and reads the greeting.
    ///
    /// # Errors
    /// When the server cannot be reached or does not greet with `OK`.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = within("connecting by IMAP", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Self::greeted(Box::new(stream)).await
    }

    /// Connects with implicit TLS and reads the greeting.
    ///
    /// # Errors
    /// As [`Imap::connect`], and when the handshake fails.
    pub async fn connect_tls(address: SocketAddr) -> Result<Self> {
        let stream = within("connecting by IMAP", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Self::greeted(tls(stream).await?).await
    }

    async fn greeted(stream: Box<dyn Socket>) -> Result<Self> {
        let mut client = Self { stream: BufReader::new(stream), greeting: String::new(), commands: 0 };
        client.greeting = client.read_response().await?;
        ensure!(client.greeting.starts_with("* OK "), "greeted with {}", client.greeting);
        Ok(client)
    }

    /// Upgrades to TLS by STARTTLS. There is no second greeting.
    ///
    /// # Errors
    /// When the server refuses or the handshake fails.
    pub async fn starttls(mut self) -> Result<Self> {
        self.command("STARTTLS").await?.ok().context("STARTTLS")?;
        self.handshake().await
    }

    /// Plays the client's part of a TLS handshake, after the answer to a STARTTLS that was sent.
    ///
    /// # Errors
    /// When the server says more in the clear, or the handshake fails.
    pub async fn handshake(self) -> Result<Self> {
        ensure!(self.stream.buffer().is_empty(), "the server sent plain text after STARTTLS");
        let stream = tls(self.stream.into_inner()).await?;
        Ok(Self { stream: BufReader::new(stream), greeting: self.greeting, commands: self.commands })
    }

    /// What the connection's TLS exports to bind to (RFC 9266), if it is TLS.
    pub fn exported(&self) -> Option<[u8; 32]> {
        self.stream.get_ref().exported()
    }

    /// Signs in with LOGIN.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn login(&mut self, username: &str, password: &str) -> Result<()> {
        self.command(&format!("LOGIN \"{username}\" \"{password}\"")).await?.ok().map(drop).context("LOGIN")
    }

    /// Sends a command under a tag of its own and reads its answer.
    ///
    /// # Errors
    /// When the connection ends or the answer is malformed.
    pub async fn command(&mut self, command: &str) -> Result<Answer> {
        let tag = self.begin(command).await?;
        self.answer(&tag).await
    }

    /// APPEND with a literal that the server is asked for first.
    ///
    /// # Errors
    /// As [`Imap::command`].
    pub async fn append(&mut self, folder: &str, message: &[u8]) -> Result<Answer> {
        let tag = self.begin(&format!("APPEND {folder} {{{}}}", message.len())).await?;
        let response = self.read_response().await?;
        if let Some(status) = response.strip_prefix(&format!("{tag} ")) {
            return Ok(Answer { untagged: Vec::new(), status: status.to_owned() });
        }
        ensure!(response.starts_with("+ "), "asked to go on, and got {response}");
        self.send(message).await?;
        self.send(b"\r\n").await?;
        self.answer(&tag).await
    }

    /// Sends a command and does not wait: its tag.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn begin(&mut self, command: &str) -> Result<String> {
        self.commands += 1;
        let tag = format!("a{}", self.commands);
        self.send(format!("{tag} {command}\r\n").as_bytes()).await?;
        Ok(tag)
    }

    /// Reads up to the tagged response of a command that was sent.
    ///
    /// # Errors
    /// As [`Imap::command`].
    pub async fn answer(&mut self, tag: &str) -> Result<Answer> {
        let mut untagged = Vec::new();
        loop {
            let response = self.read_response().await?;
            if let Some(status) = response.strip_prefix(&format!("{tag} ")) {
                return Ok(Answer { untagged, status: status.to_owned() });
            }
            match response.strip_prefix("* ") {
                Some(line) => untagged.push(line.to_owned()),
                None => bail!("neither untagged nor {tag}: {response}"),
            }
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.stream.get_mut();
        within("sending by IMAP", async {
            stream.write_all(bytes).await?;
            stream.flush().await
        })
        .await
    }

    /// Fetches a message that is in the folder that is open, without marking it as seen: its size as the server says, and its bytes.
    ///
    /// # Errors
    /// As [`Imap::command`], and when there is no such message.
    pub async fn fetch(&mut self, number: usize) -> Result<(u64, Vec<u8>)> {
        let tag = self.begin(&format!("FETCH {number} (RFC822.SIZE BODY.PEEK[])")).await?;
        let response = self.read_bytes().await?;
        let line = response.iter().position(|byte| *byte == b'\n').context("FETCH without a literal")? + 1;
        let text = std::str::from_utf8(&response[..line])?;
        let size = text.split_once("RFC822.SIZE ").and_then(|(_, rest)| rest.split(' ').next());
        let size = size.with_context(|| format!("FETCH without a size: {text}"))?.parse()?;
        let length =
            literal(&response[..line]).with_context(|| format!("FETCH without a literal: {text}"))?;
        self.answer(&tag).await?.ok().context("FETCH")?;
        Ok((size, response[line..line + length].to_vec()))
    }

    /// Reads one response: its line, and where that ends in a literal what follows too, without the last line end.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn read_response(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read_bytes().await?).into_owned())
    }

    async fn read_bytes(&mut self) -> Result<Vec<u8>> {
        let mut response = Vec::new();
        loop {
            let read = within("reading a response", self.stream.read_until(b'\n', &mut response)).await?;
            ensure!(read > 0, "the connection ended after {:?}", String::from_utf8_lossy(&response));
            ensure!(response.ends_with(b"\r\n"), "a line that ends without CRLF");
            match literal(&response) {
                Some(length) => {
                    let begin = response.len();
                    response.resize(begin + length, 0);
                    within("reading a literal", self.stream.read_exact(&mut response[begin..])).await?;
                }
                None => {
                    response.truncate(response.len() - 2);
                    return Ok(response);
                }
            }
        }
    }

    /// Whatever comes until the server closes the connection.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn rest(mut self) -> Result<String> {
        let mut rest = Vec::new();
        within("the end of the connection", self.stream.read_to_end(&mut rest)).await?;
        Ok(String::from_utf8_lossy(&rest).into_owned())
    }
}

/// The length of the literal that a line announces at its end.
fn literal(response: &[u8]) -> Option<usize> {
    let announced = response.strip_suffix(b"}\r\n")?;
    let brace = announced.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&announced[brace + 1..]).ok()?.parse().ok()
}
