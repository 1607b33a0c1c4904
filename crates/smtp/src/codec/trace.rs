//! The trace fields (RFC 5321 §4.4) that stand before a message's own header: the same for all its recipients.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use kernel::RequestId;

use crate::codec::path::{ClientName, ReversePath};

/// More bytes than the trace fields ever have: a path, two host names of 255 octets, and what stands around them.
pub const LIMIT_BYTES: usize = 2048;

/// What the trace fields tell. Each part is of a type that cannot hold a line's end.
#[derive(Debug, Clone)]
pub struct Trace<'a> {
    /// The sender of MAIL.
    pub sender: &'a ReversePath,
    /// What the client called itself in LHLO.
    pub client: &'a ClientName,
    /// Where the client's connection came from.
    pub peer: IpAddr,
    /// This server's name, from its configuration.
    pub hostname: &'a str,
    /// Whether MAIL had SMTPUTF8.
    pub is_utf8: bool,
    /// The id under which the transaction is logged.
    pub id: RequestId,
    /// When the message was taken in.
    pub at: DateTime<Utc>,
}

impl Trace<'_> {
    /// `Return-Path:` and, folded, `Received:`, each line with its CRLF.
    pub fn render(&self) -> String {
        let sender = match self.sender {
            ReversePath::Null => String::new(),
            ReversePath::Mailbox(mailbox) => mailbox.to_string(),
        };
        // RFC 5321 §4.1.3; a v4 peer on a v6 socket is a v4 peer.
        let peer = match self.peer.to_canonical() {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        let (client, hostname, id) = (self.client, self.hostname, self.id);
        // RFC 6531 §4.3 names the protocol with SMTPUTF8.
        let protocol = if self.is_utf8 { "UTF8LMTP" } else { "LMTP" };
        let at = self.at.format("%a, %d %b %Y %H:%M:%S +0000");
        format!(
            "Return-Path: <{sender}>\r\n\
             Received: from {client} ({peer})\r\n\
             \tby {hostname} with {protocol} id {id};\r\n\
             \t{at}\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::path;
    use chrono::TimeZone as _;
    use uuid::Uuid;

    fn render(sender: &str, client: &str, peer: &str, is_utf8: bool) -> String {
        Trace {
            sender: &path::reverse(sender).unwrap().0,
            client: &ClientName::parse(client).unwrap(),
            peer: peer.parse().unwrap(),
            hostname: "mx.example",
            is_utf8,
            id: RequestId::from_uuid(Uuid::from_u128(1)),
            at: Utc.with_ymd_and_hms(2026, 11, 3, 4, 5, 6).unwrap(),
        }
        .render()
    }

    #[test]
    fn is_what_rfc_5321_says() {
        assert_eq!(
            render("<Ada@b.example>", "relay.example", "::ffff:192.0.2.7", false),
            "Return-Path: <Ada@b.example>\r\n\
             Received: from relay.example ([192.0.2.7])\r\n\
             \tby mx.example with LMTP id req_00000000000000000000000000000001;\r\n\
             \tTue, 03 Nov 2026 04:05:06 +0000\r\n"
        );
        let trace = render("<>", "[IPv6:::1]", "2001:db8::1", true);
        assert!(
            trace.starts_with("Return-Path: <>\r\nReceived: from [IPv6:::1] ([IPv6:2001:db8::1])\r\n"),
            "{trace}"
        );
        assert!(trace.contains("with UTF8LMTP id"), "{trace}");
    }

    #[test]
    fn no_line_exceeds_998_octets() {
        let trace = render(
            &format!("<\"{}\"@{}>", "\\\"".repeat(195), "d".repeat(255)),
            &"c".repeat(255),
            "::1",
            false,
        );
        assert!(trace.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "{trace}");
        assert_eq!(trace.matches("\r\n").count(), 4);
        assert!(trace.len() + 255 < LIMIT_BYTES);
    }
}
