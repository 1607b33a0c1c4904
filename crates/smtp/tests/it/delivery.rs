//! What becomes of messages.

use std::time::Duration;

use crate::served::{Mode, Served, assert_closed, code, codes, next_code};

const MESSAGE: &[u8] = b"Subject: one\r\n\r\nhello\r\n";

#[tokio::test]
async fn what_data_carried_follows_the_trace_fields() {
    let served = Served::new().await;
    let (ada, bob) = (served.world.user("ada", None).await, served.world.user("bob", None).await);
    // A dot at a line's start, 8-bit bytes, a NUL, no final text line.
    let message = b"Subject: x\r\n\r\n.dot\r\n..\r\nMAIL FROM:<x@y.example>\r\n\0\xff\xc3\xbc\r\n\r\n";
    let mut client = served.client().await;
    let delivery =
        client.deliver("Sender@b.example", &["ada@acme.example", "bob@acme.example"], message).await.unwrap();
    assert!(delivery.is_complete(), "{delivery:?}");
    assert_eq!(delivery.outcomes.len(), 2);

    let stored = served.messages(&ada).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(served.messages(&bob).await, stored, "the same bytes for all recipients");
    let trace = stored[0].strip_suffix(message).expect("ends with what was sent");
    let trace = std::str::from_utf8(trace).unwrap();
    let (before, rest) = trace.split_once(" id req_").unwrap();
    assert_eq!(
        before,
        "Return-Path: <Sender@b.example>\r\nReceived: from client.example ([127.0.0.1])\r\n\tby mx.test.example with LMTP"
    );
    let (id, date) = rest.split_once(";\r\n\t").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(date, "Mon, 02 Mar 2026 09:00:00 +0000\r\n");
    assert_eq!(code(&mut client, "NOOP").await, "250 2.0.0", "the session goes on");
}

/// RFC 5321 §2.3.8: what some servers take for the end of a line, and so of a message, is none and has no place in one.
#[tokio::test]
async fn a_message_that_hides_another_is_refused() {
    let served = Served::new().await;
    let ada = served.world.user("ada", None).await;
    let mut client = served.client().await;
    for end in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r"] {
        let message = format!("Subject: x\r\n\r\nx{end}MAIL FROM:<x@y.example>\r\n");
        // Not by the client's own way, which would double a dot.
        for line in ["MAIL FROM:<a@b.example>", "RCPT TO:<ada@acme.example>", "DATA"] {
            assert!(client.command(line).await.unwrap().code < 400, "{line}");
        }
        client.send(format!("{message}.\r\n").as_bytes()).await.unwrap();
        assert_eq!(next_code(&mut client).await, "550 5.6.0", "{end:?}");
        assert_eq!(code(&mut client, "NOOP").await, "250 2.0.0", "{end:?}");
    }
    assert_eq!(served.messages(&ada).await.len(), 0);
}

#[tokio::test]
async fn each_recipient_has_its_own_reply_in_the_order_of_rcpt() {
    let served = Served::new().await;
    let full = served.world.user("full", Some(1000)).await;
    let (ada, bob) = (served.world.user("ada", None).await, served.world.user("bob", None).await);
    let message = format!("Subject: big\r\n\r\n{}\r\n", "x".repeat(900));
    let to = [
        "ada@acme.example",
        "full@acme.example",
        "nobody@acme.example",
        "bob@acme.example",
        "ada@elsewhere.example",
    ];
    let delivery = served.client().await.deliver("", &to, message.as_bytes()).await.unwrap();
    let told: Vec<String> = delivery.outcomes.iter().map(codes).collect();
    assert_eq!(told, ["250 2.0.0", "552 5.2.2", "550 5.1.1", "250 2.0.0", "550 5.1.1"]);
    assert_eq!(delivery.recipients.iter().filter(|reply| reply.is_positive()).count(), 3);
    assert_eq!(served.messages(&full).await.len(), 0);
    let stored = served.messages(&ada).await;
    assert!(stored[0].starts_with(b"Return-Path: <>\r\n"));
    assert_eq!(served.messages(&bob).await, stored);
}

#[tokio::test]
async fn a_whole_session_may_come_in_one_write() {
    let served = Served::new().await;
    let ada = served.world.user("ada", None).await;
    let mut client = testkit::client::lmtp::Lmtp::connect_bare(served.address).await.unwrap();
    client
        .send(
            b"LHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ada@acme.example>\r\nRCPT TO:<no@acme.example>\r\nDATA\r\n\
              one\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ada@acme.example>\r\nDATA\r\ntwo\r\n.\r\nQUIT\r\n",
        )
        .await
        .unwrap();
    let mut told = Vec::new();
    for _ in 0..11 {
        told.push(next_code(&mut client).await);
    }
    let expected = [
        "220",
        "250",
        "250 2.1.0",
        "250 2.1.5",
        "550 5.1.1",
        "354",
        "250 2.0.0",
        "250 2.1.0",
        "250 2.1.5",
        "354",
        "250 2.0.0",
    ];
    assert_eq!(told, expected);
    assert_eq!(next_code(&mut client).await, "221 2.0.0");
    assert_closed(client).await;
    // Ids of one millisecond, and the test's clock stands still, have no order.
    let mut stored = served.messages(&ada).await;
    stored.sort_by_key(|message| message.ends_with(b"two\r\n"));
    assert_eq!(stored.len(), 2);
    assert!(stored[0].ends_with(b"\r\none\r\n") && stored[1].ends_with(b"\r\ntwo\r\n"));
}

#[tokio::test]
async fn one_mailbox_under_its_several_spellings() {
    let served = Served::new().await;
    let ada = served.world.user("ada.l", None).await;
    let mut client = served.client().await;
    for path in ["<Ada.L@ACME.example>", "<\"ada.l\"@acme.example>", "<@relay.example:ada.l@acme.example>"] {
        assert_eq!(code(&mut client, "MAIL FROM:<>").await, "250 2.1.0");
        assert_eq!(code(&mut client, &format!("RCPT TO:{path}")).await, "250 2.1.5", "{path}");
        assert_eq!(code(&mut client, "RSET").await, "250 2.0.0");
    }
    // Named twice, stored once, answered twice.
    let to = ["ada.l@acme.example", "ADA.L@acme.example"];
    let delivery = client.deliver("", &to, MESSAGE).await.unwrap();
    assert!(delivery.is_complete() && delivery.outcomes.len() == 2, "{delivery:?}");
    assert_eq!(served.messages(&ada).await.len(), 1);
    assert_eq!(code(&mut client, "MAIL FROM:<>").await, "250 2.1.0");
    for path in ["<\"ada l\"@acme.example>", "<ada.l@[127.0.0.1]>", "<Postmaster>", "<ada.l@localhost>"] {
        assert_eq!(code(&mut client, &format!("RCPT TO:{path}")).await, "550 5.1.1", "{path}");
    }
}

#[tokio::test]
async fn addresses_beyond_ascii_need_smtputf8() {
    let served = Served::new().await;
    let user = served.world.user("jürgen", None).await;
    let mut client = served.client().await;
    assert_eq!(code(&mut client, "MAIL FROM:<é@b.example>").await, "550 5.6.7");
    assert_eq!(code(&mut client, "MAIL FROM:<a@b.example>").await, "250 2.1.0");
    assert_eq!(code(&mut client, "RCPT TO:<jürgen@acme.example>").await, "553 5.6.7");
    assert_eq!(code(&mut client, "RSET").await, "250 2.0.0");
    let delivery = client.deliver("é@b.example", &["Jürgen@acme.example"], MESSAGE).await.unwrap();
    assert!(delivery.is_complete(), "{delivery:?}");
    let stored = served.messages(&user).await;
    let text = std::str::from_utf8(&stored[0]).unwrap();
    assert!(text.starts_with("Return-Path: <é@b.example>\r\n"), "{text}");
    assert!(text.contains(" with UTF8LMTP id "), "{text}");
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let served = Served::new().await;
    let ada = served.world.user("ada", None).await;
    served.blobs.set(Mode::Closed);
    let mut client = served.in_data("ada@acme.example", MESSAGE.len()).await;
    client.send(&[MESSAGE, b".\r\n"].concat()).await.unwrap();
    served.blobs.write_asked().await;
    let early = tokio::time::timeout(Duration::from_millis(200), client.read_reply()).await;
    assert!(early.is_err(), "a reply although the body is not written: {early:?}");
    assert_eq!(served.messages(&ada).await.len(), 0);
    served.blobs.set(Mode::Open);
    assert_eq!(next_code(&mut client).await, "250 2.0.0");
    assert_eq!(served.messages(&ada).await.len(), 1);
}

#[tokio::test]
async fn an_outage_is_temporary_and_stores_nothing() {
    let served = Served::new().await;
    let ada = served.world.user("ada", None).await;
    served.blobs.set(Mode::Broken);
    let mut client = served.client().await;
    let delivery = client.deliver("", &["ada@acme.example"], MESSAGE).await.unwrap();
    assert_eq!(codes(&delivery.outcomes[0]), "451 4.3.0");
    assert_eq!(served.messages(&ada).await.len(), 0);
    served.blobs.set(Mode::Open);
    assert!(client.deliver("", &["ada@acme.example"], MESSAGE).await.unwrap().is_complete());

    assert_eq!(code(&mut client, "MAIL FROM:<>").await, "250 2.1.0");
    served.world.test_db.db().close().await;
    assert_eq!(code(&mut client, "RCPT TO:<ada@acme.example>").await, "451 4.3.0");
}

#[tokio::test]
async fn a_client_lost_in_the_middle_of_data_leaves_nothing() {
    let mut served = Served::new().await;
    let ada = served.world.user("ada", None).await;
    let mut client = served.in_data("ada@acme.example", MESSAGE.len()).await;
    client.send(MESSAGE).await.unwrap();
    client.send(b".\r").await.unwrap();
    drop(client);
    served.stop().await;
    assert_eq!(served.messages(&ada).await.len(), 0);
}
