//! What may be said, when, and what is answered.

use testkit::client::lmtp::Lmtp as Client;

use crate::served::{Served, assert_closed, code, next_code};

#[tokio::test]
async fn offers_what_it_does_and_refuses_smtp() {
    let served = Served::new().await;
    let mut client = Client::connect_bare(served.address).await.unwrap();
    assert_eq!(next_code(&mut client).await, "220");
    for line in ["HELO c.example", "EHLO c.example"] {
        assert_eq!(code(&mut client, line).await, "500 5.5.1", "{line}");
    }
    let lhlo = client.command("lhlo c.example").await.unwrap();
    assert_eq!(lhlo.code, 250);
    let expected =
        ["mx.test.example", "PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"];
    assert_eq!(lhlo.lines, expected);
    for (line, expected) in [
        ("NOOP", "250 2.0.0"),
        ("NOOP anything", "250 2.0.0"),
        ("RSET", "250 2.0.0"),
        ("VRFY ada", "252 2.0.0"),
        ("HELP", "214 2.0.0"),
        ("EXPN all", "502 5.5.1"),
        ("BDAT 5 LAST", "502 5.5.1"),
        ("STARTTLS", "502 5.5.1"),
        ("XYZZY", "500 5.5.1"),
        ("MAIL FROM:<a@b.example> BODY=8BITMIME SIZE=10 SMTPUTF8", "250 2.1.0"),
        ("QUIT", "221 2.0.0"),
    ] {
        assert_eq!(code(&mut client, line).await, expected, "{line}");
    }
    assert_closed(client).await;
}

#[tokio::test]
async fn one_thing_after_another() {
    let served = Served::new().await;
    served.world.user("ada", None).await;
    let mut client = Client::connect_bare(served.address).await.unwrap();
    assert_eq!(next_code(&mut client).await, "220");
    for (line, expected) in [
        ("MAIL FROM:<a@b.example>", "503 5.5.1"),
        ("RCPT TO:<ada@acme.example>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("LHLO c.example", "250"),
        ("RCPT TO:<ada@acme.example>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<a@b.example>", "250 2.1.0"),
        ("MAIL FROM:<a@b.example>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("RCPT TO:<no@acme.example>", "550 5.1.1"),
        ("DATA", "503 5.5.1"),
        ("RCPT TO:<ada@acme.example>", "250 2.1.5"),
        ("RSET", "250 2.0.0"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<a@b.example>", "250 2.1.0"),
        ("RCPT TO:<ada@acme.example>", "250 2.1.5"),
        ("LHLO again.example", "250"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<a@b.example>", "250 2.1.0"),
        ("RCPT TO:<ada@acme.example>", "250 2.1.5"),
        ("DATA", "354"),
        (".", "250 2.0.0"),
        ("DATA", "503 5.5.1"),
    ] {
        assert_eq!(code(&mut client, line).await, expected, "{line}");
    }
}

#[tokio::test]
async fn mistakes_are_named_and_the_session_goes_on() {
    let served = Served::new().await;
    let mut client = served.client().await;
    for (bytes, expected) in [
        (&b"\r\n"[..], "500 5.5.1"),
        (b"\x16\x03\x01\x02\0\x01\xff\xfe\r\n", "500 5.5.2"),
        (b"NOOP\0\r\n", "500 5.5.2"),
        (b"NO\rOP\r\n", "500 5.5.2"),
        (b"MAIL FROM:<\"a\rb\"@c.example>\r\n", "500 5.5.2"),
        (b"LHLO c.example (evil)\r\n", "501 5.5.4"),
        (b"MAIL FROM: <a@b.example>\r\n", "501 5.1.7"),
        (b"MAIL FROM:<a@b.example> XYZZY=1\r\n", "555 5.5.4"),
        (b"MAIL FROM:<a@b.example> SIZE=ten\r\n", "501 5.5.4"),
        (b"MAIL FROM:<a@b.example>\r\n", "250 2.1.0"),
        (b"RCPT TO:<a b@c.example>\r\n", "501 5.1.3"),
        (b"RCPT TO:<>\r\n", "501 5.1.3"),
        (b"RCPT TO:<a@b.example> NOTIFY=NEVER\r\n", "555 5.5.4"),
    ] {
        client.send(bytes).await.unwrap();
        assert_eq!(next_code(&mut client).await, expected, "{bytes:?}");
    }
    client.send(&[&b"NOOP "[..], &[b'x'; 100_000], b"\r\nNOOP\r\n"].concat()).await.unwrap();
    assert_eq!(next_code(&mut client).await, "500 5.5.2");
    assert_eq!(next_code(&mut client).await, "250 2.0.0");
    // What follows a bare line feed is no command, up to the next CRLF.
    client.send(b"NOOP\nQUIT\nQUIT\r\nNOOP\r\n").await.unwrap();
    assert_eq!(next_code(&mut client).await, "500 5.5.2");
    assert_eq!(next_code(&mut client).await, "250 2.0.0");
}

#[tokio::test]
async fn too_many_mistakes_end_the_session() {
    let served = Served::with(smtp::Limits { faults: 3, ..smtp::Limits::default() }).await;
    let mut client = served.client().await;
    for _ in 0..4 {
        assert_eq!(code(&mut client, "XYZZY").await, "500 5.5.1");
    }
    assert_eq!(next_code(&mut client).await, "421 4.7.0");
    assert_closed(client).await;
}
