//! CAPA (RFC 2449 §5): what this server does, on this connection, in this state.

use sasl::Mechanism;

use crate::codec::response::Status;
use crate::session::{End, Session};

pub(crate) async fn authorization(session: &mut Session) -> Result<(), End> {
    let stls = !session.connection.is_tls();
    let capabilities = capabilities(mechanisms(session), stls, false);
    run(session, capabilities).await
}

pub(crate) async fn transaction(session: &mut Session) -> Result<(), End> {
    let capabilities = capabilities(mechanisms(session), false, true);
    run(session, capabilities).await
}

async fn run(session: &mut Session, capabilities: Vec<String>) -> Result<(), End> {
    session.reply(Status::ok("capability list follows")).await?;
    for capability in capabilities {
        session.connection.item(&capability).await?;
    }
    session.connection.terminator().await
}

/// The mechanisms by which one may sign in, if one may.
fn mechanisms(session: &Session) -> Option<String> {
    let offered = Mechanism::offered(session.connection.exported().is_some());
    session.login_allowed().then(|| offered.map(Mechanism::as_str).collect::<Vec<_>>().join(" "))
}

/// `EXPIRE NEVER` is true: the server never deletes a message of its own accord (RFC 2449 §6.7). STLS is offered
/// where it is allowed (RFC 2595 §4), and the software is named to those who have logged in only (RFC 2449 §6.9
/// lets it).
fn capabilities(mechanisms: Option<String>, stls: bool, logged_in: bool) -> Vec<String> {
    let mut capabilities = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"]
        .map(str::to_owned)
        .to_vec();
    if let Some(mechanisms) = mechanisms {
        capabilities.push("USER".to_owned());
        capabilities.push(format!("SASL {mechanisms}"));
    }
    if stls {
        capabilities.push("STLS".to_owned());
    }
    if logged_in {
        capabilities.push(concat!("IMPLEMENTATION Pillarbox-", env!("CARGO_PKG_VERSION")).to_owned());
    }
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: [&str; 6] = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"];

    #[test]
    fn login_is_offered_only_where_it_is_allowed() {
        let offered = || Some("X PLAIN".to_owned());
        assert_eq!(capabilities(None, true, false), [&ALWAYS[..], &["STLS"]].concat());
        assert_eq!(
            capabilities(offered(), true, false),
            [&ALWAYS[..], &["USER", "SASL X PLAIN", "STLS"]].concat()
        );
        assert_eq!(capabilities(offered(), false, false), [&ALWAYS[..], &["USER", "SASL X PLAIN"]].concat());
    }

    #[test]
    fn the_software_is_named_after_login() {
        let [.., last] = &capabilities(None, false, true)[..] else { panic!("no capabilities") };
        assert!(last.starts_with("IMPLEMENTATION Pillarbox-"), "{last}");
    }
}
