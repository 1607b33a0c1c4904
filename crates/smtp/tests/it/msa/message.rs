//! What becomes of a message.

use testkit::client::smtp::Smtp;
use testkit::world::PASSWORD;

use crate::submitting::{Submitting, codes};

#[tokio::test]
async fn arrives_with_a_header_that_is_whole() {
    let server = Submitting::new().await;
    let (ada, bob) = (server.world.user("ada", None).await, server.world.user("bob", None).await);
    let mut client = Smtp::connect_tls(server.tls_address).await.unwrap();
    client.ehlo().await.unwrap();
    assert_eq!(codes(&client.auth(&ada.address, PASSWORD).await.unwrap()), "235 2.7.0");
    let message = b"From: Ada <ada@acme.example>\r\nTo: bob@acme.example\r\nBcc: cleo@acme.example\r\nReturn-Path: <x@evil.example>\r\n\
        Authentication-Results: mx.test.example; spf=pass\r\nARC-Seal: i=1; cv=none\r\n\tb=x\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\n\
        .dot\r\n..\r\nbody \r\n";
    let reply = client.submit("ada@acme.example", &["bob@acme.example"], message).await.unwrap();
    assert_eq!(codes(&reply), "250 2.0.0");
    assert!(reply.lines[0].starts_with("2.0.0 queued as out_"), "{reply}");
    let messages = server.messages(&bob).await;
    let text = String::from_utf8(messages[0].to_vec()).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, ".dot\r\n..\r\nbody \r\n");
    let lines: Vec<&str> = header.split("\r\n").collect();
    assert_eq!(lines[0], "Return-Path: <ada@acme.example>");
    assert!(lines[1].starts_with("Received: by mx.test.example with ESMTPSA id req_"), "{header}");
    assert_eq!(
        lines[3..7],
        ["From: Ada <ada@acme.example>", "To: bob@acme.example", "ARC-Seal: i=1; cv=none", "\tb=x"]
    );
    assert_eq!(lines[7], "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=");
    assert_eq!(lines[8], "Date: Mon, 02 Mar 2026 09:00:00 +0000");
    assert!(lines[9].starts_with("Message-ID: <") && lines[9].ends_with("@mx.test.example>"), "{header}");
    assert_eq!(lines.len(), 10, "{header}");
    assert!(!header.contains("127.0.0.1"), "where somebody sends from is nobody's business");
}

#[tokio::test]
async fn goes_to_each_recipient_once_and_to_none_that_is_not_there() {
    let server = Submitting::new().await;
    let world = &server.world;
    let (ada, bob) = (world.user("ada", None).await, world.user("bob", None).await);
    let mut client = server.signed_in(&ada).await;
    let code = async |client: &mut Smtp, line: &str| codes(&client.command(line).await.unwrap());
    assert_eq!(code(&mut client, "MAIL FROM:<ada@acme.example> RET=HDRS ENVID=1").await, "250 2.1.0");
    for (line, expected) in [
        ("RCPT TO:<nobody@acme.example>", "550 5.1.1"),
        ("RCPT TO:<ada@elsewhere.example>", "550 5.7.1"),
        ("RCPT TO:<ada@[192.0.2.1]>", "550 5.1.2"),
        ("RCPT TO:<ada@localhost>", "550 5.1.2"),
        ("RCPT TO:<bob@acme.example> NOTIFY=SUCCESS,NEVER", "501 5.5.4"),
        ("RCPT TO:<b\u{fc}b@acme.example>", "553 5.6.7"),
        ("RCPT TO:<bob@acme.example> NOTIFY=NEVER ORCPT=rfc822;bob@acme.example", "250 2.1.5"),
        ("RCPT TO:<bob@acme.example>", "250 2.1.5"),
        ("RCPT TO:<bob+x@acme.example>", "250 2.1.5"),
        ("RCPT TO:<PostMaster>", "250 2.1.5"),
        ("RCPT TO:<postmaster@acme.example>", "250 2.1.5"),
    ] {
        assert_eq!(code(&mut client, line).await, expected, "{line}");
    }
    let message = b"From: ada@acme.example\r\nMessage-ID: <own@acme.example>\r\n\r\nx\r\n";
    assert_eq!(codes(&client.data(message).await.unwrap()), "250 2.0.0");
    assert_eq!(server.messages(&bob).await.len(), 1, "one mailbox has one message");
    assert_eq!(server.messages(&ada).await.len(), 1, "the oldest mailbox is the domain's postmaster's");
    assert_eq!(code(&mut client, "MAIL FROM:<>").await, "250 2.1.0");
    assert_eq!(
        code(&mut client, "RCPT TO:<postmaster>").await,
        "550 5.1.1",
        "of which domain is nobody's to say"
    );
    let text = String::from_utf8(server.messages(&bob).await[0].to_vec()).unwrap();
    assert!(text.contains("\r\nMessage-ID: <own@acme.example>\r\n"), "{text}");
}

#[tokio::test]
async fn hundreds_in_one_connection() {
    let server = Submitting::new().await;
    let (ada, bob) = (server.world.user("ada", None).await, server.world.user("bob", None).await);
    let mut client = server.signed_in(&ada).await;
    let one = |n: u32| {
        format!(
            "MAIL FROM:<ada@acme.example>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nFrom: ada@acme.example\r\nSubject: {n}\r\n\r\nx\r\n.\r\n"
        )
    };
    // Pipelined past DATA, which RFC 2920 does not allow, and harms nobody.
    let all: String = (0..40).map(one).collect();
    client.send(all.as_bytes()).await.unwrap();
    for n in 0..40 {
        for expected in ["250 2.1.0", "250 2.1.5", "354", "250 2.0.0"] {
            assert_eq!(codes(&client.read_reply().await.unwrap()), expected, "of {n}");
        }
    }
    assert_eq!(server.messages(&bob).await.len(), 40);
}

#[tokio::test]
async fn smuggled_messages_are_refused() {
    let server = Submitting::new().await;
    let (ada, bob) = (server.world.user("ada", None).await, server.world.user("bob", None).await);
    let mut client = server.signed_in(&ada).await;
    let inner = "MAIL FROM:<ceo@acme.example>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nFrom: ceo@acme.example\r\n\r\nevil\r\n";
    for end in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r\n\0.\r\n"] {
        client.command("MAIL FROM:<ada@acme.example>").await.unwrap();
        client.command("RCPT TO:<bob@acme.example>").await.unwrap();
        client.command("DATA").await.unwrap();
        let message = format!("From: ada@acme.example\r\n\r\nx{end}{inner}.\r\n");
        client.send(message.as_bytes()).await.unwrap();
        assert_eq!(codes(&client.read_reply().await.unwrap()), "550 5.6.0", "{end:?}");
        assert_eq!(codes(&client.command("NOOP").await.unwrap()), "250 2.0.0", "{end:?}");
    }
    assert_eq!(server.messages(&bob).await.len(), 0);
}
