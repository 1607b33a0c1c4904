//! Delivery status notifications (RFC 3464 in RFC 6522's container): one report about one message, as bytes.
//!
//! Pure: the caller says to whom, when and under which ids. What comes from outside (addresses, a remote server's
//! words, the original message) is made safe here, so that none of it can end a field, a line or a part.

use chrono::{DateTime, Utc};

mod boundary;
mod field;
mod original;
mod status;
mod words;

#[cfg(test)]
mod tests;

/// What one notification tells.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// This server's name: Reporting-MTA, and the domain of the postmaster who signs.
    pub hostname: &'a str,
    /// Whom it goes to: the reverse path of the message it is about, without angle brackets, never the empty one.
    pub to: &'a str,
    /// The notification's own Message-ID, without angle brackets.
    pub message_id: &'a str,
    /// What the boundary begins with, best a UUID; 40 characters of it are used.
    pub boundary: &'a str,
    /// When the notification is written.
    pub at: DateTime<Utc>,
    /// When the message it is about was taken in.
    pub arrived_at: DateTime<Utc>,
    /// ENVID of that message, decoded from xtext (RFC 3461 §4.4).
    pub envelope_id: Option<&'a str>,
    /// Its subject, decoded, for the part that people read.
    pub subject: Option<&'a str>,
    /// What became of which recipient; at least one (RFC 3464 §2.3).
    pub recipients: &'a [Status<'a>],
    /// What is given back of it.
    pub original: Original<'a>,
    /// Whether it came with SMTPUTF8. The notification then may need SMTPUTF8 too; else its header and its
    /// delivery status are ASCII.
    pub is_utf8: bool,
}

/// What became of one recipient.
#[derive(Debug, Clone, Copy)]
pub struct Status<'a> {
    /// The address, as RCPT had it.
    pub recipient: &'a str,
    /// ORCPT: the address type, as `rfc822`, and the address, decoded (RFC 3461 §4.2).
    pub original: Option<(&'a str, &'a str)>,
    /// What was done.
    pub action: Action,
    /// The enhanced status code, as from [`classify`].
    pub status: (u8, u16, u16),
    /// What the server said, as `550 5.1.1 no such user`; several lines are joined.
    pub diagnostic: Option<&'a str>,
    /// The server that said it; none when this one did (RFC 3464 §2.3.6).
    pub remote: Option<&'a str>,
    /// When it was last tried.
    pub last_attempt: Option<DateTime<Utc>>,
    /// When trying ends; told of delayed recipients only (RFC 3464 §2.3.9).
    pub will_retry_until: Option<DateTime<Utc>>,
}

/// RFC 3464 §2.3.3, without `expanded`: there is no alias here whose members are hidden from the report.
///
/// Which is told to whom is NOTIFY's affair (RFC 3461 §5.2): FAILURE asks for `failed`, DELAY for `delayed`, SUCCESS for
/// the two others. They are in the order in which they are shown, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not delivered yet, and still tried.
    Delayed,
    /// Handed to a server that will not tell of deliveries. Only where NOTIFY has SUCCESS.
    Relayed,
    /// In the mailbox.
    Delivered,
}

/// What is given back of the message that the report is about.
#[derive(Debug, Clone, Copy)]
pub enum Original<'a> {
    /// Its header only: the bytes before the first empty line count, what follows may be there or not.
    Headers(&'a [u8]),
    /// All of it. For RET=FULL, and only where a recipient failed (RFC 3461 §4.3); the caller bounds it (§6.2).
    Whole(&'a [u8]),
}

/// The notification: a whole message, each line with its CRLF and of at most 998 octets before it.
pub fn render(report: &Report<'_>) -> Vec<u8> {
    // A sender beyond ASCII has no other form (RFC 6533 §3 is for report fields only).
    let is_utf8 = report.is_utf8 || !report.to.is_ascii();
    let fields = status::fields(report, is_utf8);
    let status_type = if fields.is_ascii() { "delivery-status" } else { "global-delivery-status" };
    let parts = [
        words::part_of(report),
        part(&format!("message/{status_type}"), fields.as_bytes()),
        original::part_of(report.original, is_utf8),
    ];
    let boundary = boundary::absent_from(report.boundary, &parts);
    // RFC 2045 §6.4: a container is 8bit when a part is.
    let encoding = if parts.iter().all(|part| part.is_ascii()) { "7bit" } else { "8bit" };
    let mut message = header(report).into_bytes();
    // RFC 6522 §3: the report type is the subtype of the second part.
    message.extend_from_slice(
        format!(
            "MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type={status_type};\r\n\
             \tboundary=\"{boundary}\"\r\n\
             Content-Transfer-Encoding: {encoding}\r\n"
        )
        .as_bytes(),
    );
    for part in &parts {
        message.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        message.extend_from_slice(part);
    }
    message.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    message
}

/// The enhanced status of a reply: `code` is the basic one, `status` what the server said after it.
///
/// The basic code's class wins where the two differ: it is what the sending side acts on (RFC 5321 §4.2.1), and RFC 2034
/// §4 wants them to agree. Without `status` it is "other or undefined" (RFC 3463 §3.1): RFC 5321's codes are each used
/// for several causes, 550 for an unknown mailbox as for a policy. A reply of no class that ends a command is a
/// protocol error of the server, and may pass (RFC 3463 §3.6).
pub fn classify(code: u16, status: Option<(u8, u16, u16)>) -> (u8, u16, u16) {
    let status = status.filter(|(class, subject, detail)| {
        matches!(class, 2 | 4 | 5) && [subject, detail].iter().all(|part| **part <= MAX_STATUS_PART)
    });
    match (code, status) {
        (200..=299, Some((_, subject, detail))) => (2, subject, detail),
        (400..=499, Some((_, subject, detail))) => (4, subject, detail),
        (500..=599, Some((_, subject, detail))) => (5, subject, detail),
        (_, Some(status)) => status,
        (200..=299, None) => (2, 0, 0),
        (400..=499, None) => (4, 0, 0),
        // RFC 7505 registers X.1.10 with 556, and with nothing else: the domain takes no mail.
        (556, None) => (5, 1, 10),
        (500..=599, None) => (5, 0, 0),
        (_, None) => (4, 5, 0),
    }
}

/// RFC 3463 §2: subject and detail have at most three digits.
const MAX_STATUS_PART: u16 = 999;

/// The header, up to the MIME fields.
fn header(report: &Report<'_>) -> String {
    let hostname = field::host(report.hostname);
    let to = field::address(report.to);
    let subject = match report.recipients.iter().map(|status| status.action).min() {
        Some(Action::Failed) => "Your message could not be delivered",
        Some(Action::Delayed) => "Your message is delayed",
        Some(Action::Relayed) => "Your message was passed on",
        Some(Action::Delivered) => "Your message was delivered",
        None => "Report about your message",
    };
    let message_id = field::message_id(report.message_id);
    let at = field::date(report.at);
    // RFC 3834 §5.2: auto-replied is for answers to a message and "MAY be used on Delivery Status Notifications";
    // auto-generated is for mail that answers none (§5.1).
    format!(
        "From: Mail Delivery System <postmaster@{hostname}>\r\n\
         To: <{to}>\r\n\
         Subject: {subject}\r\n\
         Date: {at}\r\n\
         Message-ID: <{message_id}>\r\n\
         Auto-Submitted: auto-replied\r\n"
    )
}

/// A body part: its header, the empty line, and `body` as it is, which must be whole lines.
fn part(content_type: &str, body: &[u8]) -> Vec<u8> {
    let encoding = if body.is_ascii() { "7bit" } else { "8bit" };
    let header = format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    [header.as_bytes(), body].concat()
}
