//! What goes wrong on the way to the smarthost, and with the smarthost itself.

use std::fmt;
use std::io;

use crate::reply::Reply;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Finding the host and connecting to it.
    Connect,
    /// A TLS handshake.
    Tls,
    /// Waiting for its first word.
    Greeting,
    /// EHLO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// RSET.
    Rset,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The message itself, up to its final dot.
    Message,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Tls => "the TLS handshake",
            Self::Greeting => "the greeting",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Rset => "RSET",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Message => "the message",
        })
    }
}

/// The way is closed, for whatever message. Nothing was accepted, and no recipient is to blame.
#[derive(Debug, thiserror::Error)]
pub enum RouteFault {
    /// No connection, no trust in its certificate, a connection that broke, or something that is no SMTP.
    #[error("{phase}: {source}")]
    Broken {
        /// When.
        phase: Phase,
        /// What exactly.
        source: io::Error,
    },
    /// The host stays silent.
    #[error("{0}: no answer in time")]
    TimedOut(Phase),
    /// The host answers, but not for this message's sake: to what comes before MAIL, with 421 (it closes the connection,
    /// RFC 5321 §3.8), or with 530 to MAIL (it wants us to sign in, RFC 4954 §6, or to encrypt, RFC 3207 §4).
    #[error("{phase}: {reply}")]
    Refused {
        /// What we asked for.
        phase: Phase,
        /// What it said.
        reply: Reply,
    },
    /// It does not encrypt, and is not the machine itself.
    #[error("the host does not offer STARTTLS")]
    NoStartTls,
    /// Something lay behind its reply to STARTTLS in plain text: what somebody wants us to take for encrypted replies
    /// (the client's side of RFC 3207 §5's attack, CVE-2021-38371).
    #[error("there was more behind the reply to STARTTLS")]
    Injected,
    /// We have a password, and it offers neither AUTH PLAIN nor AUTH LOGIN.
    #[error("the host offers neither AUTH PLAIN nor AUTH LOGIN")]
    NoAuth,
}

impl RouteFault {
    /// Whether it came after a message's sender was taken: then it may be the message that the host does not bear.
    pub fn is_in_message(&self) -> bool {
        match self {
            Self::Broken { phase, .. } | Self::TimedOut(phase) | Self::Refused { phase, .. } => {
                matches!(phase, Phase::Rcpt | Phase::Data | Phase::Message)
            }
            Self::NoStartTls | Self::Injected | Self::NoAuth => false,
        }
    }
}

/// An answer that is none of SMTP's.
pub(crate) fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an SMTP reply")
}
