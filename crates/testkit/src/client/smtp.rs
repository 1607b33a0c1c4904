//! A client of submission (RFC 6409) that trusts any certificate.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::reply::{self, Reply};
use super::tls::{Socket, tls};
use super::{dot_stuffed, within};

/// A connection after the greeting.
pub struct Smtp {
    stream: BufReader<Box<dyn Socket>>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").finish_non_exhaustive()
    }
}

impl Smtp {
    /// Connects without TLS and reads the greeting.
    ///
    /// # Errors
    /// When the server cannot be reached or turns us away.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = within("connecting by SMTP", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Self::greeted(Box::new(stream)).await
    }

    /// Connects with implicit TLS and reads the greeting.
    ///
    /// # Errors
    /// When the server cannot be reached, the handshake fails or it turns us away.
    pub async fn connect_tls(address: SocketAddr) -> Result<Self> {
        let stream = within("connecting by SMTP", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Self::greeted(tls(stream).await?).await
    }

    async fn greeted(stream: Box<dyn Socket>) -> Result<Self> {
        let mut client = Self { stream: BufReader::new(stream) };
        let greeting = client.read_reply().await?;
        ensure!(greeting.code == 220, "greeted with {greeting}");
        Ok(client)
    }

    /// Says EHLO; what is offered, an extension a line.
    ///
    /// # Errors
    /// When the answer is not 250.
    pub async fn ehlo(&mut self) -> Result<Vec<String>> {
        let reply = self.command("EHLO client.example").await?;
        ensure!(reply.code == 250, "EHLO was answered with {reply}");
        Ok(reply.lines.into_iter().skip(1).collect())
    }

    /// Upgrades to TLS by STARTTLS (RFC 3207). There is no second greeting.
    ///
    /// # Errors
    /// When the server refuses or the handshake fails.
    pub async fn starttls(mut self) -> Result<Self> {
        let reply = self.command("STARTTLS").await?;
        ensure!(reply.code == 220, "STARTTLS was answered with {reply}");
        self.handshake().await
    }

    /// The handshake after the reply to a STARTTLS that was sent by hand.
    ///
    /// # Errors
    /// When the server sent more than that, or the handshake fails.
    pub async fn handshake(self) -> Result<Self> {
        ensure!(self.stream.buffer().is_empty(), "the server sent plain text after STARTTLS");
        Ok(Self { stream: BufReader::new(tls(self.stream.into_inner()).await?) })
    }

    /// Signs in by AUTH PLAIN.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn auth(&mut self, username: &str, password: &str) -> Result<Reply> {
        let message = STANDARD.encode(format!("\0{username}\0{password}"));
        self.command(&format!("AUTH PLAIN {message}")).await
    }

    /// Sends one line and reads its reply.
    ///
    /// # Errors
    /// When the connection ends or the reply is malformed.
    pub async fn command(&mut self, line: &str) -> Result<Reply> {
        self.send(format!("{line}\r\n").as_bytes()).await?;
        self.read_reply().await.with_context(|| format!("after {line}"))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.stream.get_mut();
        within("sending by SMTP", async {
            stream.write_all(bytes).await?;
            stream.flush().await
        })
        .await
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// When the connection ends or the reply is malformed.
    pub async fn read_reply(&mut self) -> Result<Reply> {
        reply::read(&mut self.stream).await
    }

    /// Submits one message, which ends with CRLF: the last word on it, which is the first that was no consent.
    ///
    /// # Errors
    /// When the connection ends or a reply is malformed.
    pub async fn submit(&mut self, from: &str, to: &[&str], message: &[u8]) -> Result<Reply> {
        let mail = self.command(&format!("MAIL FROM:<{from}>")).await?;
        if mail.code != 250 {
            return Ok(mail);
        }
        for to in to {
            let rcpt = self.command(&format!("RCPT TO:<{to}>")).await?;
            if rcpt.code != 250 {
                self.command("RSET").await?;
                return Ok(rcpt);
            }
        }
        self.data(message).await
    }

    /// Sends DATA and a message, which ends with CRLF.
    ///
    /// # Errors
    /// When the connection ends or a reply is malformed.
    pub async fn data(&mut self, message: &[u8]) -> Result<Reply> {
        ensure!(message.ends_with(b"\r\n"), "a message on the wire ends with CRLF");
        let data = self.command("DATA").await?;
        if data.code != 354 {
            return Ok(data);
        }
        let mut bytes = dot_stuffed(message);
        bytes.extend_from_slice(b".\r\n");
        self.send(&bytes).await?;
        self.read_reply().await
    }

    /// Says QUIT and waits for the end.
    ///
    /// # Errors
    /// When the answer is not 221.
    pub async fn quit(mut self) -> Result<()> {
        let reply = self.command("QUIT").await?;
        ensure!(reply.code == 221, "QUIT was answered with {reply}");
        Ok(())
    }
}
