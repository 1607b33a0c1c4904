//! The part for people.

use crate::dsn::{Action, Original, Report, Status, field, part, status};

/// text/plain, in English.
pub(super) fn part_of(report: &Report<'_>) -> Vec<u8> {
    let text = text(report);
    let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
    part(&format!("text/plain; charset={charset}"), text.as_bytes())
}

fn text(report: &Report<'_>) -> String {
    let hostname = field::host(report.hostname);
    let mut text = String::new();
    push_wrapped(
        &mut text,
        0,
        &format!("This is the mail server {hostname}. It reports on a message of yours:"),
    );
    text.push_str("\r\n");
    if let Some(subject) = report.subject.map(field::words).filter(|subject| !subject.is_empty()) {
        push_wrapped(&mut text, 2, &format!("Subject: {subject}"));
    }
    push_wrapped(&mut text, 2, &format!("Sent: {}", field::date(report.arrived_at)));
    for action in [Action::Failed, Action::Delayed, Action::Relayed, Action::Delivered] {
        let mut of_action = report.recipients.iter().filter(|status| status.action == action).peekable();
        if of_action.peek().is_none() {
            continue;
        }
        text.push_str("\r\n");
        push_wrapped(&mut text, 0, heading(action));
        for status in of_action {
            push_recipient(&mut text, status);
        }
    }
    text.push_str("\r\n");
    let attached = match report.original {
        Original::Headers(_) => "the header of your message",
        Original::Whole(_) => "your message",
    };
    push_wrapped(
        &mut text,
        0,
        &format!(
            "If you need help, forward this whole report to <postmaster@{hostname}>. Attached are the details for \
             administrators and {attached}."
        ),
    );
    text
}

fn heading(action: Action) -> &'static str {
    match action {
        Action::Failed => "It could NOT be delivered to the following, and we have stopped trying:",
        Action::Delayed => {
            "It could not be delivered YET to the following. We keep trying; please do not send it again:"
        }
        Action::Relayed => {
            "It was passed on for the following. The next server does not report deliveries, so you will hear no more \
             unless something goes wrong:"
        }
        Action::Delivered => {
            "It was delivered to the mailbox of the following, which does not mean that it has been read:"
        }
    }
}

/// The address, why, and what to do.
fn push_recipient(text: &mut String, status: &Status<'_>) {
    // Not wrapped: an address in two lines is none.
    text.push_str(&format!("\r\n  {}\r\n", field::address(status.recipient)));
    if matches!(status.action, Action::Failed | Action::Delayed) {
        push_reason(text, status);
    }
    match (status.action, status.will_retry_until) {
        (Action::Failed, _) => push_wrapped(text, 4, advice(status.status)),
        (Action::Delayed, Some(until)) => push_wrapped(
            text,
            4,
            &format!("We try until {} and tell you if it fails for good.", field::date(until)),
        ),
        (Action::Delayed, None) => push_wrapped(text, 4, "We tell you if it fails for good."),
        (Action::Relayed | Action::Delivered, _) => {}
    }
}

/// The server's words, and whose they are.
fn push_reason(text: &mut String, status: &Status<'_>) {
    let words = status.diagnostic.map(field::words).filter(|words| !words.is_empty());
    match (words, status.remote) {
        (Some(words), Some(remote)) => {
            push_wrapped(text, 4, &format!("The server {} said:", field::host(remote)));
            push_wrapped(text, 6, &words);
        }
        (Some(words), None) => {
            push_wrapped(text, 4, "The reason:");
            push_wrapped(text, 6, &words);
        }
        (None, _) => push_wrapped(text, 4, &format!("The status is {}.", status::code(status))),
    }
}

/// What a person can do about a failure, by RFC 3463's subject and detail, which mean the same in each class.
fn advice((_, subject, detail): (u8, u16, u16)) -> &'static str {
    match (subject, detail) {
        (1, 10) => "The domain after the @ takes no mail at all. Please check it for typing errors.",
        (1, 7 | 8) => "The other side does not accept your own address. Please ask your mail administrator.",
        (1, _) => {
            "Please check the address for typing errors and send your message again to the right one. If it is right, \
             ask the person in another way."
        }
        (2, 2) => "The mailbox is full. Please try again later, or reach the person in another way.",
        (2, 3) | (3, 4) => "The message is too large. Please send it again with smaller attachments or none.",
        (2, _) => "The mailbox takes no mail at present. Please reach the person in another way.",
        (4, 7) => {
            "It was tried again and again, in vain. Please check the domain after the @; if it is right, send your \
             message again later."
        }
        (3 | 4, _) => {
            "The other side's mail system cannot be reached or does not work. Please check the domain after the @; if \
             it is right, send your message again later."
        }
        (6, _) => {
            "The other side cannot take a message of this form. Please send it again as plain text, without \
             attachments."
        }
        (7, _) => {
            "The other side refuses the message by its rules. Please reach the person in another way, or ask your mail \
             administrator."
        }
        _ => "Please send your message again later. If that fails too, ask your mail administrator.",
    }
}

/// Adds words in lines of at most [`field::FOLD_OCTETS`], each after `indent` spaces; a longer word stays whole.
fn push_wrapped(text: &mut String, indent: usize, words: &str) {
    let mut width = 0;
    for word in words.split(' ') {
        if width > 0 && width + 1 + word.len() <= field::FOLD_OCTETS {
            text.push(' ');
            width += 1 + word.len();
        } else {
            if width > 0 {
                text.push_str("\r\n");
            }
            text.extend(std::iter::repeat_n(' ', indent));
            width = indent + word.len();
        }
        text.push_str(word);
    }
    text.push_str("\r\n");
}
