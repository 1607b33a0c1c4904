//! EHLO and HELO: what is offered.

use sasl::Mechanism;
use socket::plaintext_allowed;

use super::session::Session;
use crate::reply::Reply;

/// Starts over (RFC 5321 §4.1.4), and says which extensions there are.
pub(super) fn ehlo(session: &mut Session) -> Reply {
    greet(session);
    let is_tls = session.wire.is_tls();
    let mut extensions = vec![
        "PIPELINING".to_owned(),
        format!("SIZE {}", session.service.limits.message_bytes),
        "8BITMIME".to_owned(),
        "SMTPUTF8".to_owned(),
        "ENHANCEDSTATUSCODES".to_owned(),
        "DSN".to_owned(),
    ];
    if !is_tls {
        extensions.push("STARTTLS".to_owned());
    }
    // RFC 4954 §4: there is nothing to sign in for twice.
    if session.login.is_none() && plaintext_allowed(session.peer, is_tls) {
        let offered = Mechanism::offered(session.wire.exported().is_some()).map(Mechanism::as_str);
        extensions.push(format!("AUTH {}", offered.collect::<Vec<_>>().join(" ")));
    }
    Reply::ehlo(session.service.submission.hostname(), extensions)
}

/// The same without saying so.
pub(super) fn helo(session: &mut Session) -> Reply {
    greet(session);
    Reply::helo(session.service.submission.hostname())
}

fn greet(session: &mut Session) {
    session.is_greeted = true;
    session.transaction = None;
}
