//! A smarthost that says nothing more.

use std::time::{Duration, Instant};
use testkit::smarthost::{Fault, Step};

use relay::{Deadlines, Phase, RouteFault};

use crate::support::{Mode, outcomes, patience, relay, send, smarthost};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(20);
const BROKE: [&str; 1] = ["~451 4.4.2 the connection broke after the message was sent"];

/// A step, the phase that waits for it, and that phase's deadline made short.
fn steps() -> [(Step, Phase, Deadlines); 7] {
    let long = patience(LONG);
    let (greeting, command) = (Deadlines { greeting: SHORT, ..long }, Deadlines { command: SHORT, ..long });
    [
        (Step::Connect, Phase::Greeting, greeting),
        (Step::Ehlo, Phase::Ehlo, greeting),
        (Step::StartTls, Phase::StartTls, greeting),
        (Step::Auth, Phase::Auth, greeting),
        (Step::Mail, Phase::Mail, command),
        (Step::Rcpt, Phase::Rcpt, command),
        (Step::Data, Phase::Data, Deadlines { data: SHORT, ..long }),
    ]
}

#[tokio::test]
async fn silence_before_the_dot_is_the_routes() {
    for is_whole in [false, true] {
        for (step, phase, deadlines) in steps() {
            let (host, roots) = smarthost(Mode::Upgrade).await;
            host.offer(&["AUTH PLAIN"]);
            host.require("user", "password");
            host.fail(Fault::Silent(step), 1);
            let whole = Deadlines { whole: SHORT * 3, ..patience(LONG) };
            let deadlines = if is_whole { whole } else { deadlines };
            let relay = relay(&host.url("user:password@"), roots).with_deadlines(deadlines);
            let began = Instant::now();
            let got = send(&relay, &["b@c.example"]).await;
            assert!(matches!(&got, Err(RouteFault::TimedOut(at)) if *at == phase), "{step:?}: {got:?}");
            assert!(began.elapsed() < LONG / 2);
        }
    }
}

#[tokio::test]
async fn silence_after_the_dot_may_be_success() {
    let long = patience(LONG);
    for deadlines in [Deadlines { dot: SHORT, ..long }, Deadlines { whole: SHORT * 3, ..long }] {
        let (host, roots) = smarthost(Mode::Implicit).await;
        host.fail(Fault::Silent(Step::Dot), 1);
        let relay = relay(&host.url(""), roots).with_deadlines(deadlines);
        assert_eq!(outcomes(&relay, &["b@c.example"]).await, BROKE);
        assert_eq!(host.received().len(), 1);
        // That connection is not used again.
        assert_eq!(outcomes(&relay, &["b@c.example"]).await, ["+250 2.0.0 queued"]);
        assert_eq!(host.connections(), 2);
    }
}

#[tokio::test]
async fn a_host_that_takes_no_more_of_the_message_is_the_routes() {
    // It accepts in the backlog and never reads: what lies between us fills up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://localhost:{}", listener.local_addr().unwrap().port());
    let host = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut octets = [0; 512];
        for reply in ["220 hi", "250 hi", "250 ok", "250 ok", "354 go"] {
            stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
            let _ = stream.read(&mut octets).await.unwrap();
        }
        stream
    });
    let deadlines = Deadlines { block: SHORT, ..patience(LONG) };
    let relay = relay(&url, rustls::RootCertStore::empty()).with_deadlines(deadlines);
    let list = crate::support::recipients(&["b@c.example"]);
    let message = b"x\r\n".repeat(10_000_000);
    let got = relay.send(&crate::support::envelope(&list), &message).await;
    assert!(matches!(got, Err(RouteFault::TimedOut(Phase::Message))), "{got:?}");
    drop(host.await.unwrap());
}

#[test]
fn the_deadlines_are_the_rfcs() {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let Deadlines { connect, greeting, command, data, block, dot, whole, idle } = Deadlines::default();
    // RFC 5321 §4.5.3.2.1 to .6.
    assert_eq!(
        (greeting, command, data, block, dot),
        (minutes(5), minutes(5), minutes(2), minutes(3), minutes(10))
    );
    assert_eq!((connect, idle, whole), (Duration::from_secs(30), Duration::from_secs(30), minutes(14)));
}
