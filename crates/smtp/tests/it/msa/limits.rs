//! What a client may use up.

use std::time::Duration;

use smtp::Transfer;
use smtp::msa::Limits;
use tenancy::user::User;
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
    let server = Submitting::with(Limits { login_timeout: Duration::from_secs(3), ..quick() }).await;
    let ada = server.world.user("ada", None).await;
    let mut client = Smtp::connect(server.address).await.unwrap();
    let mut signed_in = server.signed_in(&ada).await;
    // However much it says.
    let told = async {
        loop {
            let reply = client.command("NOOP").await.unwrap();
            if reply.code != 250 {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    assert_eq!(codes(&told), "421 4.4.2");
    assert_eq!(codes(&signed_in.command("NOOP").await.unwrap()), "250 2.0.0");
}

#[tokio::test]
async fn who_tries_out_recipients_has_to_go() {
    let server = Submitting::with(Limits { unknown_recipients: 2, ..quick() }).await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.signed_in(&ada).await;
    client.command("MAIL FROM:<ada@acme.example>").await.unwrap();
    for n in 0..3 {
        let line = format!("RCPT TO:<guess{n}@acme.example>");
        assert_eq!(codes(&client.command(&line).await.unwrap()), "550 5.1.1");
    }
    assert_eq!(codes(&client.read_reply().await.unwrap()), "421 4.7.0");
}

/// What is said to DATA of a message of so many bytes.
async fn in_data(client: &mut Smtp, user: &User, size_bytes: usize) -> String {
    for line in
        [format!("MAIL FROM:<{}> SIZE={size_bytes}", user.address), format!("RCPT TO:<{}>", user.address)]
    {
        assert!(codes(&client.command(&line).await.expect("an answer")).starts_with("250"), "{line}");
    }
    codes(&client.command("DATA").await.expect("an answer"))
}

#[tokio::test]
async fn one_mailbox_does_not_take_the_room_of_others() {
    // A mailbox has an eighth of a half of it as messages come, and one of a hundred thousand bytes takes a third of that.
    let limits = Limits {
        message_bytes: 100_000,
        bodies_in_flight_bytes: 6 << 20,
        body_wait: Duration::from_millis(200),
        ..quick()
    };
    let server = Submitting::with(limits).await;
    let (ada, bob) = (server.world.user("ada", None).await, server.world.user("bob", None).await);
    let mut first = server.signed_in(&ada).await;
    let (mut second, mut third) = (server.signed_in(&ada).await, server.signed_in(&ada).await);
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(in_data(client, &ada, 100_000).await, "354");
    }
    // It is told before it sends the message.
    let mut fourth = server.signed_in(&ada).await;
    assert_eq!(in_data(&mut fourth, &ada, 100_000).await, "451 4.3.1");
    let mut other = server.signed_in(&bob).await;
    assert_eq!(in_data(&mut other, &bob, 100_000).await, "354");
    first.send(&[MESSAGE, b".\r\n"].concat()).await.unwrap();
    assert_eq!(codes(&first.read_reply().await.unwrap()), "250 2.0.0");
    assert_eq!(in_data(&mut fourth, &ada, 100_000).await, "354", "the room came back");
}

/// Thirty mebibytes each, where the largest has fifty, on a smaller scale.
#[tokio::test]
async fn two_large_messages_of_one_mailbox_may_come_at_once() {
    let limits = Limits {
        message_bytes: 1_000_000,
        bodies_in_flight_bytes: 8 << 20,
        body_wait: Duration::from_secs(2),
        ..quick()
    };
    let server = Submitting::with(limits).await;
    let ada = server.world.user("ada", None).await;
    let lines = [&b"x".repeat(58)[..], b"\r\n"].concat().repeat(10_000);
    let (begin, rest) = lines.split_at(500_000 / 60 * 60);
    let (mut slow, mut quick) = (server.signed_in(&ada).await, server.signed_in(&ada).await);
    for client in [&mut slow, &mut quick] {
        assert_eq!(in_data(client, &ada, 0).await, "354");
        client.send(&[MESSAGE, begin].concat()).await.unwrap();
    }
    for client in [&mut quick, &mut slow] {
        client.send(&[rest, b".\r\n"].concat()).await.unwrap();
        assert_eq!(codes(&client.read_reply().await.unwrap()), "250 2.0.0");
    }
    assert_eq!(server.messages(&ada).await.len(), 2);
}

/// However often some of it comes, and however quickly it began.
#[tokio::test]
async fn who_sends_too_slowly_has_to_go() {
    let transfer = Transfer { piece: Duration::from_secs(2), ..quick().transfer };
    let server = Submitting::with(Limits { transfer, ..quick() }).await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.signed_in(&ada).await;
    assert_eq!(in_data(&mut client, &ada, 0).await, "354");
    client.send(&b"x".repeat(2 << 20)).await.unwrap();
    let mut sent = 0;
    while client.send(b"x").await.is_ok() {
        sent += 1;
        assert!(sent < 3000, "still read after {sent} bytes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.messages(&ada).await.is_empty());
}

/// What was sent past a DATA that is refused would be taken for commands.
#[tokio::test]
async fn a_message_that_was_not_asked_for_is_no_command() {
    let server = Submitting::with(Limits { messages_at_once: 1, ..quick() }).await;
    let (ada, bob) = (server.world.user("ada", None).await, server.world.user("bob", None).await);
    let begin = "MAIL FROM:<ada@acme.example>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\n";
    let mut slow = server.signed_in(&ada).await;
    slow.send(begin.as_bytes()).await.unwrap();
    for expected in ["250 2.1.0", "250 2.1.5", "354"] {
        assert_eq!(codes(&slow.read_reply().await.unwrap()), expected);
    }
    let mut client = server.signed_in(&ada).await;
    let inner = "MAIL FROM:<ada@acme.example>\r\nRCPT TO:<bob@acme.example>\r\n";
    client.send(format!("{begin}{inner}.\r\n").as_bytes()).await.unwrap();
    for expected in ["250 2.1.0", "250 2.1.5", "451 4.3.2", "421 4.5.0"] {
        assert_eq!(codes(&client.read_reply().await.unwrap()), expected);
    }
    assert!(client.read_reply().await.is_err());
    slow.send(b"From: ada@acme.example\r\n\r\nx\r\n.\r\n").await.unwrap();
    assert_eq!(codes(&slow.read_reply().await.unwrap()), "250 2.0.0");
    assert_eq!(server.messages(&bob).await.len(), 1);
}
