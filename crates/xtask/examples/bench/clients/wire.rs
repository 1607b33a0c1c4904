//! A connection that writes commands and counts what comes back: it costs the machine that it shares with the server next to nothing.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How much of the end of what came is kept: a tagged response and the line before it.
const END_BYTES: usize = 1 << 10;
const READ_BYTES: usize = 256 << 10;

pub(crate) struct Wire {
    stream: TcpStream,
    end: Vec<u8>,
}

impl Wire {
    /// Connects, reads the greeting and signs in by IMAP, with the Inbox open.
    pub(crate) async fn imap(address: SocketAddr, username: &str, password: &str) -> Result<Self> {
        let mut wire = Self::connect(address).await?;
        wire.line().await?;
        wire.command(&format!("LOGIN {username} {password}")).await?;
        wire.command("SELECT INBOX").await?;
        Ok(wire)
    }

    /// Connects and reads the greeting.
    pub(crate) async fn pop3(address: SocketAddr, username: &str, password: &str) -> Result<Self> {
        let mut wire = Self::connect(address).await?;
        wire.line().await?;
        for command in [format!("USER {username}\r\n"), format!("PASS {password}\r\n")] {
            wire.stream.write_all(command.as_bytes()).await?;
            let line = wire.line().await?;
            ensure!(line.starts_with("+OK"), "signing in was answered with {line}");
        }
        Ok(wire)
    }

    async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, end: Vec::with_capacity(READ_BYTES + END_BYTES) })
    }

    async fn line(&mut self) -> Result<String> {
        self.end.clear();
        while !self.end.ends_with(b"\r\n") {
            ensure!(self.stream.read_buf(&mut self.end).await? > 0, "the server hung up");
        }
        Ok(String::from_utf8_lossy(&self.end).into_owned())
    }

    /// Makes an IMAP command and takes its answer: how many bytes it had.
    pub(crate) async fn command(&mut self, command: &str) -> Result<u64> {
        self.commands(format!("z {command}\r\n").into_bytes(), "z").await
    }

    /// Writes IMAP commands, and reads up to the tagged response of the last of them, both at once: how many bytes came.
    pub(crate) async fn commands(&mut self, commands: Vec<u8>, last_tag: &str) -> Result<u64> {
        let (mut read, mut write) = self.stream.split();
        let (end, mark) = (&mut self.end, format!("\r\n{last_tag} "));
        end.clear();
        // So that the tagged response is found where it comes alone.
        end.extend_from_slice(b"\r\n");
        let reading = async {
            let mut count = 0;
            loop {
                end.reserve(READ_BYTES);
                let got = read.read_buf(end).await?;
                ensure!(got > 0, "the server hung up");
                count += got as u64;
                let surplus = end.len().saturating_sub(END_BYTES);
                let tail = &end[surplus..];
                if tail.ends_with(b"\r\n")
                    && let Some(at) = tail.windows(mark.len()).rposition(|piece| piece == mark.as_bytes())
                {
                    let status = &tail[at + mark.len()..];
                    ensure!(status.starts_with(b"OK"), "answered with {}", String::from_utf8_lossy(status));
                    return Ok(count);
                }
                if surplus > 0 {
                    end.copy_within(surplus.., 0);
                    end.truncate(END_BYTES);
                }
            }
        };
        let writing = async { anyhow::Ok(write.write_all(&commands).await?) };
        Ok(tokio::try_join!(reading, writing)?.0)
    }

    /// Writes commands of which the last ends the connection, and reads up to its end, both at once: how many bytes came.
    pub(crate) async fn rest(mut self, commands: Vec<u8>) -> Result<u64> {
        let (mut read, mut write) = self.stream.split();
        let end = &mut self.end;
        let reading = async {
            let mut count = 0;
            loop {
                end.clear();
                match read.read_buf(end).await? {
                    0 => return anyhow::Ok(count),
                    got => count += got as u64,
                }
            }
        };
        let writing = async { anyhow::Ok(write.write_all(&commands).await?) };
        Ok(tokio::try_join!(reading, writing)?.0)
    }
}
