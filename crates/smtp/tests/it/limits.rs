//! What a client may use up.

use std::time::Duration;

use smtp::{Limits, Transfer};
use testkit::client::lmtp::Lmtp as Client;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::served::{Served, assert_closed, code, codes, next_code};

fn message(size_bytes: usize) -> Vec<u8> {
    let mut message = vec![b'x'; size_bytes - 2];
    message.extend_from_slice(b"\r\n");
    message
}

#[tokio::test]
async fn a_message_too_large_is_read_to_its_end_and_refused_for_each_recipient() {
    let served = Served::with(Limits { message_bytes: 100_000, ..Limits::default() }).await;
    let (ada, bob) = (served.world.user("ada", None).await, served.world.user("bob", None).await);
    let mut client = served.client().await;
    assert_eq!(code(&mut client, "MAIL FROM:<a@b.example> SIZE=100001").await, "552 5.3.4");
    for (size, expected) in [(100_001, "552 5.3.4"), (3_000_000, "552 5.3.4"), (100_000, "250 2.0.0")] {
        assert_eq!(code(&mut client, "MAIL FROM:<a@b.example> SIZE=5").await, "250 2.1.0");
        assert_eq!(code(&mut client, "RCPT TO:<ada@acme.example>").await, "250 2.1.5");
        assert_eq!(code(&mut client, "RCPT TO:<bob@acme.example>").await, "250 2.1.5");
        assert_eq!(code(&mut client, "DATA").await, "354");
        client.send(&[&message(size)[..], b".\r\n"].concat()).await.unwrap();
        assert_eq!(next_code(&mut client).await, expected, "{size}");
        assert_eq!(next_code(&mut client).await, expected, "{size}");
    }
    for user in [ada, bob] {
        let stored = served.messages(&user).await;
        assert_eq!(stored.len(), 1);
        assert!(stored[0].ends_with(&message(100_000)));
    }
}

#[tokio::test]
async fn recipients_beyond_the_limit_are_put_off() {
    let served = Served::with(Limits { recipients: 2, ..Limits::default() }).await;
    for local in ["a", "b", "c"] {
        served.world.user(local, None).await;
    }
    let to = ["a@acme.example", "no@acme.example", "b@acme.example", "c@acme.example"];
    let delivery = served.client().await.deliver("", &to, b"x\r\n").await.unwrap();
    let told: Vec<String> = delivery.outcomes.iter().map(codes).collect();
    assert_eq!(told, ["250 2.0.0", "550 5.1.1", "250 2.0.0", "452 4.5.3"]);
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let served = Served::with(Limits { max_connections: 1, ..Limits::default() }).await;
    let first = served.client().await;
    let mut second = Client::connect_bare(served.address).await.unwrap();
    assert_eq!(next_code(&mut second).await, "421 4.3.2");
    assert_closed(second).await;
    first.quit().await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while Client::connect(served.address).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the place of a client that left stays taken");
    }
}

#[tokio::test]
async fn who_says_nothing_is_told_and_left() {
    let served =
        Served::with(Limits { command_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let mut client = Client::connect_bare(served.address).await.unwrap();
    assert_eq!(next_code(&mut client).await, "220");
    client.send(b"LHLO").await.unwrap();
    assert_eq!(next_code(&mut client).await, "421 4.4.2");
    assert_closed(client).await;
}

#[tokio::test]
async fn who_stops_in_the_middle_of_data_is_told_and_left() {
    let served = Served::with(Limits {
        transfer: Transfer { piece: Duration::from_millis(300), ..Transfer::default() },
        ..Limits::default()
    })
    .await;
    let ada = served.world.user("ada", None).await;
    let mut client = served.in_data("ada@acme.example", 10).await;
    client.send(b"half").await.unwrap();
    assert_eq!(next_code(&mut client).await, "421 4.4.2");
    assert_closed(client).await;
    assert_eq!(served.messages(&ada).await.len(), 0);
}

#[tokio::test]
async fn data_byte_by_byte_has_an_end() {
    let served = Served::with(Limits {
        transfer: Transfer { whole: Duration::from_millis(500), ..Transfer::default() },
        ..Limits::default()
    })
    .await;
    served.world.user("ada", None).await;
    let mut client = served.in_data("ada@acme.example", 10).await;
    let mut stalled = 0;
    // Each byte comes well within the time for a block.
    while client.send(b"x").await.is_ok() {
        stalled += 1;
        assert!(stalled < 3000, "still read after {stalled} bytes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_sum_of_messages_on_their_way_is_bounded() {
    let served = Served::with(Limits {
        message_bytes: 1_000_000,
        bodies_in_flight_bytes: 1_050_000,
        body_wait: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let ada = served.world.user("ada", None).await;
    let mut first = served.in_data("ada@acme.example", 900_000).await;
    let mut second = served.client().await;
    // SIZE is believed: there is no room for another, and it is put off before it is sent.
    for line in ["MAIL FROM:<a@b.example> SIZE=900000", "RCPT TO:<ada@acme.example>"] {
        assert!(code(&mut second, line).await.starts_with("250"));
    }
    assert_eq!(code(&mut second, "DATA").await, "451 4.3.1");
    // Who says nothing of its size is put off when it has outgrown the room, and read to its end.
    let mut third = served.in_data("ada@acme.example", 0).await;
    third.send(&[&message(900_000)[..], b".\r\n"].concat()).await.unwrap();
    assert_eq!(next_code(&mut third).await, "451 4.3.1");
    assert_eq!(code(&mut third, "NOOP").await, "250 2.0.0");

    first.send(&[&message(900_000)[..], b".\r\n"].concat()).await.unwrap();
    assert_eq!(next_code(&mut first).await, "250 2.0.0");
    let delivery = second.deliver("", &["ada@acme.example"], &message(1_000_000)).await.unwrap();
    assert!(delivery.is_complete(), "the room came back: {delivery:?}");
    assert_eq!(served.messages(&ada).await.len(), 2);
}

#[tokio::test]
async fn who_never_reads_is_left() {
    let mut served =
        Served::with(Limits { command_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let flood = b"HELP\r\n".repeat(10_000);
    // More replies than all buffers between the two hold: the server stops reading, waits, and closes.
    let flooding = async { while stream.write_all(&flood).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), flooding).await.expect("the server closes");
    served.stop().await;
}
