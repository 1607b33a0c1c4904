//! The message arrives octet for octet.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Mode, envelope, recipients, relay, smarthost};

/// Whole lines that end in CRLF, with many dots and with other octets, some long enough for several blocks.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        3 => "\\.{0,3}[a.]{0,4}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>().prop_filter("no line end", |c| !matches!(c, b'\r' | b'\n')), 0..90),
        1 => (0..40_000_usize).prop_map(|length| vec![b'.'; length]),
    ];
    prop::collection::vec(line, 0..12)
        .prop_map(|lines| lines.into_iter().flat_map(|line| [&line[..], b"\r\n"].concat()).collect())
}

fn arrives(mode: Mode) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (host, roots) = runtime.block_on(smarthost(mode));
    let relay = relay(&host.url(""), roots);
    let list = recipients(&["b@c.example"]);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(128) });
    runner
        .run(&messages(), |message| {
            let before = host.received().len();
            let got = runtime.block_on(relay.send(&envelope(&list), &message));
            prop_assert!(got.is_ok(), "{:?}", got);
            let received = host.received();
            prop_assert_eq!(received.len(), before + 1);
            prop_assert!(received[before].octets == message, "{} octets", message.len());
            prop_assert_eq!(&received[before].sender.parameters[0], &format!("SIZE={}", message.len()));
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_message_arrives_in_plain_text() {
    arrives(Mode::Plain);
}

#[test]
fn any_message_arrives_over_tls() {
    arrives(Mode::Implicit);
}

#[tokio::test]
async fn awkward_messages_arrive() {
    let (host, roots) = smarthost(Mode::Upgrade).await;
    let relay = relay(&host.url(""), roots);
    let list = recipients(&["b@c.example"]);
    let (mut long, mut even) = (b"x".repeat(32 * 1_024 - 2), b".\r\n".repeat(40_000));
    long.extend_from_slice(b"\r\n.\r\n");
    even.extend_from_slice(b"\r\n");
    for message in
        [&b""[..], b".\r\n", b"..\r\n", b"\r\n", b"\r\n.\r\n", b".\r\nMAIL FROM:<x@y>\r\n", &long, &even]
    {
        relay.send(&envelope(&list), message).await.unwrap();
        assert!(host.received().last().unwrap().octets == message, "{:?}", message.get(..20));
    }
    assert_eq!((host.received().len(), host.connections()), (8, 1));
}
