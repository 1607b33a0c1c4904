//! The part for machines: message/delivery-status (RFC 3464 §2), or with UTF-8 in it, of RFC 6533 §4.

use crate::dsn::{Action, MAX_STATUS_PART, Report, Status, field};

/// The fields of the message, and after an empty line each, those of the recipients.
pub(super) fn fields(report: &Report<'_>, is_utf8: bool) -> String {
    let mut text = String::new();
    // RFC 3461 §4.4: an ENVID is printable ASCII.
    if let Some(id) = report.envelope_id.map(field::ascii_words).filter(|id| !id.is_empty()) {
        text.push_str(&format!("Original-Envelope-Id: {id}\r\n"));
    }
    text.push_str(&format!("Reporting-MTA: dns; {}\r\n", field::host(report.hostname)));
    text.push_str(&format!("Arrival-Date: {}\r\n", field::date(report.arrived_at)));
    for status in report.recipients {
        text.push_str("\r\n");
        push_recipient(&mut text, status, is_utf8);
    }
    text
}

/// RFC 3464 §2.3, in its order.
fn push_recipient(text: &mut String, status: &Status<'_>, is_utf8: bool) {
    if let Some((kind, address)) = status.original {
        let address = field::typed_address(kind, address, is_utf8);
        text.push_str(&format!("Original-Recipient: {address}\r\n"));
    }
    let recipient = field::typed_address("rfc822", status.recipient, is_utf8);
    text.push_str(&format!("Final-Recipient: {recipient}\r\n"));
    text.push_str(&format!("Action: {}\r\n", action(status.action)));
    text.push_str(&format!("Status: {}\r\n", code(status)));
    if let Some(remote) = status.remote {
        text.push_str(&format!("Remote-MTA: dns; {}\r\n", field::host(remote)));
    }
    if let Some(diagnostic) = status.diagnostic.map(field::ascii_words).filter(|words| !words.is_empty()) {
        let kind = if is_reply(&diagnostic) { "smtp" } else { "x-pillarbox" };
        text.push_str(&field::folded("Diagnostic-Code", &format!("{kind}; {diagnostic}")));
    }
    if let Some(at) = status.last_attempt {
        text.push_str(&format!("Last-Attempt-Date: {}\r\n", field::date(at)));
    }
    // RFC 3464 §2.3.9: MUST NOT appear for others.
    if let Some(at) = status.will_retry_until.filter(|_| status.action == Action::Delayed) {
        text.push_str(&format!("Will-Retry-Until: {}\r\n", field::date(at)));
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Failed => "failed",
        Action::Delayed => "delayed",
        Action::Relayed => "relayed",
        Action::Delivered => "delivered",
    }
}

/// RFC 3464 §2.3.4: a digit, and twice one to three. A class that is none follows from the action.
pub(super) fn code(status: &Status<'_>) -> String {
    let (class, subject, detail) = status.status;
    let class = match (class, status.action) {
        (2 | 4 | 5, _) => class,
        (_, Action::Failed) => 5,
        (_, Action::Delayed) => 4,
        (_, Action::Relayed | Action::Delivered) => 2,
    };
    format!("{class}.{}.{}", subject.min(MAX_STATUS_PART), detail.min(MAX_STATUS_PART))
}

/// Whether words are an SMTP reply, which the diagnostic type `smtp` promises (RFC 3464 §2.3.6); the others are our own.
fn is_reply(words: &str) -> bool {
    match words.as_bytes() {
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] => true,
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', next, ..] => matches!(next, b' ' | b'-'),
        _ => false,
    }
}
