//! An LMTP client (RFC 2033) that pipelines (RFC 2920).

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::reply::{self, Reply};
use super::{dot_stuffed, within};

/// A connection after LHLO.
#[derive(Debug)]
pub struct Lmtp {
    stream: BufReader<TcpStream>,
    extensions: Vec<String>,
}

/// What a transaction was answered with.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// To each RCPT, in order.
    pub recipients: Vec<Reply>,
    /// To DATA itself.
    pub data: Reply,
    /// After the message: the last word for each recipient, in the order of the RCPTs; one that was refused
    /// before DATA keeps that reply.
    pub outcomes: Vec<Reply>,
}

impl Delivery {
    /// Whether every recipient has got the message.
    pub fn is_complete(&self) -> bool {
        self.outcomes.iter().all(Reply::is_positive)
    }
}

impl Lmtp {
    /// Connects, reads the greeting and says LHLO.
    ///
    /// # Errors
    /// When the server cannot be reached or does not answer as RFC 2033 says.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let mut client = Self::connect_bare(address).await?;
        let greeting = client.read_reply().await?;
        ensure!(greeting.code == 220, "greeted with {greeting}");
        let lhlo = client.command("LHLO client.example").await?;
        ensure!(lhlo.code == 250, "LHLO was answered with {lhlo}");
        client.extensions = lhlo.lines.into_iter().skip(1).collect();
        Ok(client)
    }

    /// Connects and reads nothing.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn connect_bare(address: SocketAddr) -> Result<Self> {
        let stream = within("connecting by LMTP", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), extensions: Vec::new() })
    }

    /// The extensions that LHLO listed, such as `SIZE 52428800`.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
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
        within("sending by LMTP", async {
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

    /// Sends one message to several recipients: MAIL, RCPTs and DATA in one write, then the message.
    /// `message` ends with CRLF or is empty.
    ///
    /// # Errors
    /// When the connection ends, the replies are malformed or MAIL is refused. A refused recipient is an outcome.
    pub async fn deliver(&mut self, from: &str, to: &[&str], message: &[u8]) -> Result<Delivery> {
        self.deliver_noting(from, to, message, |_, _| {}).await
    }

    /// As [`Lmtp::deliver`], calling `note` with a recipient's place and the last word for it as soon as that has
    /// come: a connection that breaks takes back nothing that was acknowledged.
    ///
    /// # Errors
    /// As [`Lmtp::deliver`].
    pub async fn deliver_noting(
        &mut self,
        from: &str,
        to: &[&str],
        message: &[u8],
        mut note: impl FnMut(usize, &Reply),
    ) -> Result<Delivery> {
        ensure!(message.is_empty() || message.ends_with(b"\r\n"), "a message on the wire ends with CRLF");
        self.send(self.envelope(from, to, message).as_bytes()).await?;
        let mail = self.read_reply().await?;
        let mut recipients = Vec::with_capacity(to.len());
        for _ in to {
            recipients.push(self.read_reply().await?);
        }
        let data = self.read_reply().await?;
        let mut outcomes = recipients.clone();
        if data.code == 354 {
            let mut bytes = dot_stuffed(message);
            bytes.extend_from_slice(b".\r\n");
            self.send(&bytes).await?;
            // RFC 2033 §4.2: one reply for each recipient that RCPT accepted.
            for (at, outcome) in outcomes.iter_mut().enumerate().filter(|(_, outcome)| outcome.is_positive())
            {
                *outcome = self.read_reply().await?;
                note(at, outcome);
            }
        }
        ensure!(mail.code == 250, "MAIL was answered with {mail}");
        Ok(Delivery { recipients, data, outcomes })
    }

    fn envelope(&self, from: &str, to: &[&str], message: &[u8]) -> String {
        let mut mail = format!("MAIL FROM:<{from}>");
        if self.extensions.iter().any(|extension| extension.starts_with("SIZE")) {
            mail.push_str(&format!(" SIZE={}", message.len()));
        }
        if !message.is_ascii() {
            mail.push_str(" BODY=8BITMIME");
        }
        if !from.is_ascii() || to.iter().any(|address| !address.is_ascii()) {
            mail.push_str(" SMTPUTF8");
        }
        let recipients = to.iter().map(|address| format!("RCPT TO:<{address}>\r\n")).collect::<String>();
        format!("{mail}\r\n{recipients}DATA\r\n")
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
