//! How a server ends: with what it took on finished, and nobody left in the dark.

use std::time::Duration;

use smtp::Limits;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::served::{Served, assert_closed, code, next_code};

const MESSAGE: &[u8] = b"Subject: last\r\n\r\nhello\r\n";

#[tokio::test]
async fn idle_sessions_are_told_and_closed() {
    let mut served = Served::new().await;
    let idle = served.client().await;
    let mut between = served.client().await;
    assert_eq!(code(&mut between, "MAIL FROM:<a@b.example>").await, "250 2.1.0");
    served.shutdown.cancel();
    for mut client in [idle, between] {
        assert_eq!(next_code(&mut client).await, "421 4.3.2");
        assert_closed(client).await;
    }
    served.ended().await;
}

#[tokio::test]
async fn a_message_on_its_way_is_finished() {
    let mut served = Served::new().await;
    let ada = served.world.user("ada", None).await;
    let mut client = served.in_data("ada@acme.example", MESSAGE.len()).await;
    let (half, rest) = MESSAGE.split_at(10);
    client.send(half).await.unwrap();
    served.shutdown.cancel();
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(served.address).await.is_ok() {
        assert!(Instant::now() < deadline, "still listening");
    }
    client.send(&[rest, b".\r\nNOOP\r\n"].concat()).await.unwrap();
    assert_eq!(next_code(&mut client).await, "250 2.0.0");
    assert_eq!(next_code(&mut client).await, "421 4.3.2");
    assert_closed(client).await;
    served.ended().await;
    let stored = served.messages(&ada).await;
    assert!(stored.len() == 1 && stored[0].ends_with(MESSAGE), "{stored:?}");
}

#[tokio::test]
async fn who_does_not_finish_is_cut_off() {
    let limits = Limits { shutdown_grace: Duration::from_millis(300), ..Limits::default() };
    let mut served = Served::with(limits).await;
    let ada = served.world.user("ada", None).await;
    let mut client = served.in_data("ada@acme.example", MESSAGE.len()).await;
    client.send(MESSAGE).await.unwrap();
    served.stop().await;
    assert_closed(client).await;
    assert_eq!(served.messages(&ada).await.len(), 0);
}
