//! A smarthost, a relay by it, and messages.

use std::time::Duration;
use testkit::certificate::self_signed;
use testkit::smarthost::{FakeSmarthost, Tls};

use relay::{Deadlines, Envelope, Outcome, Recipient, Relay, Reply, RouteFault, Smarthost};
use rustls::RootCertStore;

/// What most smarthosts offer.
pub(crate) const USUAL: [&str; 6] =
    ["PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"];
/// A message.
pub(crate) const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n";

/// How a [`FakeSmarthost`] encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Implicit,
    Upgrade,
    Plain,
}

/// A smarthost that offers [`USUAL`], and the roots that trust it.
pub(crate) async fn smarthost(mode: Mode) -> (FakeSmarthost, RootCertStore) {
    let (config, certificate) = self_signed();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let host = FakeSmarthost::start(match mode {
        Mode::Implicit => Tls::Implicit(config),
        Mode::Upgrade => Tls::Upgrade(config),
        Mode::Plain => Tls::Never,
    })
    .await;
    host.offer(&USUAL);
    (host, roots)
}

/// A relay to a URL.
pub(crate) fn relay(url: &str, roots: RootCertStore) -> Relay {
    Relay::with_roots(Smarthost::parse(url).unwrap(), "mx.pillarbox.example".into(), roots)
        .unwrap()
        .with_deadlines(patience(Duration::from_secs(20)))
}

/// A plain smarthost and a relay by it.
pub(crate) async fn pair() -> (FakeSmarthost, Relay) {
    let (host, roots) = smarthost(Mode::Plain).await;
    let relay = relay(&host.url(""), roots);
    (host, relay)
}

/// Each wait so long, so that nothing hangs.
pub(crate) fn patience(each: Duration) -> Deadlines {
    Deadlines {
        connect: each,
        greeting: each,
        command: each,
        data: each,
        block: each,
        dot: each,
        whole: each * 3,
        idle: Duration::from_secs(30),
    }
}

pub(crate) fn recipients<'a>(addresses: &[&'a str]) -> Vec<Recipient<'a>> {
    addresses.iter().map(|address| Recipient { address, notify: None, orcpt: None }).collect()
}

pub(crate) fn envelope<'a>(recipients: &'a [Recipient<'a>]) -> Envelope<'a> {
    Envelope {
        sender: "a@pillarbox.example",
        is_8bit: false,
        is_utf8: false,
        envelope_id: None,
        ret: None,
        recipients,
    }
}

/// Sends [`MESSAGE`].
pub(crate) async fn send(relay: &Relay, addresses: &[&str]) -> Result<Vec<Outcome>, RouteFault> {
    relay.send(&envelope(&recipients(addresses)), MESSAGE).await
}

/// Sends [`MESSAGE`]; each outcome as `+`, `~` or `-` and its reply.
pub(crate) async fn outcomes(relay: &Relay, addresses: &[&str]) -> Vec<String> {
    shown(&send(relay, addresses).await.unwrap())
}

/// Sends [`MESSAGE`] to one; the fault as text.
pub(crate) async fn fault(relay: &Relay) -> String {
    send(relay, &["b@c.example"]).await.unwrap_err().to_string()
}

pub(crate) fn shown(outcomes: &[Outcome]) -> Vec<String> {
    let show = |outcome: &Outcome| match outcome {
        Outcome::Accepted { reply, .. } => format!("+{reply}"),
        Outcome::Later(reply) => format!("~{reply}"),
        Outcome::Refused(reply) => format!("-{reply}"),
    };
    outcomes.iter().map(show).collect()
}

/// An outcome's reply.
pub(crate) fn reply(outcome: &Outcome) -> &Reply {
    match outcome {
        Outcome::Accepted { reply, .. } | Outcome::Later(reply) | Outcome::Refused(reply) => reply,
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: not in 10 s");
}
