//! What a client may use up.

use std::time::Duration;

use smtp::msa::Limits;
use testkit::client::smtp::Smtp;

use crate::submitting::{Submitting, codes, quick};

const MESSAGE: &[u8] = b"From: ada@acme.example\r\n\r\nx\r\n";

#[tokio::test]
async fn sizes_and_recipients() {
    let server = Submitting::with(Limits { message_bytes: 1000, recipients: 2, ..quick() }).await;
    let world = &server.world;
    let ada = world.user("ada", None).await;
    for local in ["bob", "cleo", "dora"] {
        world.user(local, None).await;
    }
    let mut client = server.signed_in(&ada).await;
    assert_eq!(codes(&client.command("MAIL FROM:<ada@acme.example> SIZE=1001").await.unwrap()), "552 5.3.4");
    let big = [MESSAGE, &b"x".repeat(998), b"\r\n"].concat();
    assert_eq!(codes(&client.submit(&ada.address, &["bob@acme.example"], &big).await.unwrap()), "552 5.3.4");
    let all = ["bob@acme.example", "cleo@acme.example", "dora@acme.example"];
    assert_eq!(codes(&client.submit(&ada.address, &all, MESSAGE).await.unwrap()), "452 4.5.3");
    assert_eq!(codes(&client.submit(&ada.address, &all[..2], MESSAGE).await.unwrap()), "250 2.0.0");
}

#[tokio::test]
async fn guesses_and_mistakes() {
    let server = Submitting::with(Limits { max_failed_logins: 2, faults: 3, ..quick() }).await;
    server.world.user("ada", None).await;
    let mut client = server.client().await;
    for _ in 0..2 {
        assert_eq!(codes(&client.auth("ada@acme.example", "guess").await.unwrap()), "535 5.7.8");
    }
    assert_eq!(codes(&client.read_reply().await.unwrap()), "421 4.7.0");
    assert!(client.read_reply().await.is_err());
    let mut client = server.client().await;
    for _ in 0..4 {
        assert_eq!(codes(&client.command("XYZZY").await.unwrap()), "500 5.5.1");
    }
    assert_eq!(codes(&client.read_reply().await.unwrap()), "421 4.7.0");
    assert!(client.read_reply().await.is_err());
}

#[tokio::test]
async fn who_does_not_sign_in_has_to_go() {
    let server = Submitting::with(Limits { login_deadline: Duration::from_millis(300), ..quick() }).await;
    let ada = server.world.user("ada", None).await;
    let mut client = Smtp::connect(server.address).await.unwrap();
    let mut signed_in = server.signed_in(&ada).await;
    // However much it says.
    loop {
        match client.command("NOOP").await {
            Ok(reply) if reply.code == 250 => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(reply) => {
                assert_eq!(codes(&reply), "421 4.4.2");
                break;
            }
            Err(_) => break,
        }
    }
    assert_eq!(codes(&signed_in.command("NOOP").await.unwrap()), "250 2.0.0");
}
