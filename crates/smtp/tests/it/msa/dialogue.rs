//! What may be said, when, by whom, and what is answered.

use testkit::client::smtp::Smtp;
use testkit::world::PASSWORD;

use crate::submitting::{Submitting, codes};

#[tokio::test]
async fn offers_what_it_does() {
    let server = Submitting::new().await;
    let mut client = Smtp::connect(server.address).await.unwrap();
    let plain = client.ehlo().await.unwrap();
    let always = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"];
    assert_eq!(plain[..6], always);
    assert_eq!(plain[6..], ["STARTTLS", "AUTH SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN"]);
    let mut client = client.starttls().await.unwrap();
    let inside = client.ehlo().await.unwrap();
    let auth = "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN";
    assert_eq!(inside[..6], always);
    assert_eq!(inside[6..], [auth]);
    for (line, expected) in [
        ("STARTTLS", "503 5.5.1"),
        ("LHLO c.example", "500 5.5.1"),
        ("NOOP anything", "250 2.0.0"),
        ("VRFY ada", "252 2.0.0"),
        ("HELP", "214 2.0.0"),
        ("BDAT 5 LAST", "502 5.5.1"),
        ("EXPN all", "502 5.5.1"),
        ("HELO c.example", "250"),
        ("XYZZY", "500 5.5.1"),
    ] {
        assert_eq!(codes(&client.command(line).await.unwrap()), expected, "{line}");
    }
    client.quit().await.unwrap();
    let mut client = Smtp::connect_tls(server.tls_address).await.unwrap();
    assert_eq!(client.ehlo().await.unwrap(), inside);
}

#[tokio::test]
async fn nothing_goes_without_signing_in() {
    let server = Submitting::new().await;
    let ada = server.world.user("ada", None).await;
    let mut client = Smtp::connect(server.address).await.unwrap();
    let code = async |client: &mut Smtp, line: &str| codes(&client.command(line).await.unwrap());
    assert_eq!(code(&mut client, "AUTH PLAIN").await, "503 5.5.1");
    assert_eq!(code(&mut client, "MAIL FROM:<ada@acme.example>").await, "503 5.5.1");
    client.ehlo().await.unwrap();
    for line in ["MAIL FROM:<ada@acme.example>", "MAIL FROM:<>"] {
        assert_eq!(code(&mut client, line).await, "530 5.7.0", "{line}");
    }
    assert_eq!(code(&mut client, "RCPT TO:<ada@acme.example>").await, "503 5.5.1");
    assert_eq!(code(&mut client, "DATA").await, "503 5.5.1");
    assert_eq!(code(&mut client, "AUTH CRAM-MD5").await, "504 5.5.4");
    assert_eq!(code(&mut client, "AUTH PLAIN !").await, "501 5.5.2");
    assert_eq!(codes(&client.auth(&ada.address, "wrong").await.unwrap()), "535 5.7.8");
    assert_eq!(codes(&client.auth(&ada.address, PASSWORD).await.unwrap()), "235 2.7.0");
    assert_eq!(codes(&client.auth(&ada.address, PASSWORD).await.unwrap()), "503 5.5.1");
    assert!(!client.ehlo().await.unwrap().iter().any(|line| line.starts_with("AUTH")));
    assert_eq!(code(&mut client, "MAIL FROM:<ada@acme.example>").await, "250 2.1.0");
    assert_eq!(code(&mut client, "MAIL FROM:<ada@acme.example>").await, "503 5.5.1");
    assert_eq!(code(&mut client, "DATA").await, "503 5.5.1");
    assert_eq!(code(&mut client, "RSET").await, "250 2.0.0");
    assert_eq!(code(&mut client, "RCPT TO:<ada@acme.example>").await, "503 5.5.1");
}

#[tokio::test]
async fn a_login_in_steps() {
    let server = Submitting::new().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.client().await;
    let said = client.command("AUTH LOGIN").await.unwrap();
    assert_eq!((said.code, said.lines[0].as_str()), (334, "VXNlcm5hbWU6"));
    assert_eq!(codes(&client.command("*").await.unwrap()), "501 5.5.2");
    client.command("AUTH LOGIN").await.unwrap();
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    client.command(&base64(&ada.address)).await.unwrap();
    assert_eq!(codes(&client.command(&base64(PASSWORD)).await.unwrap()), "235 2.7.0");
}

/// RFC 3207 §5: what was sent in the clear must not be answered as if it had been sent inside.
#[tokio::test]
async fn what_is_injected_before_tls_is_forgotten() {
    let server = Submitting::new().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.client().await;
    client.send(b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<ada@acme.example>\r\n").await.unwrap();
    // Upgraded by hand: the client's own way sends STARTTLS itself.
    assert_eq!(client.read_reply().await.unwrap().code, 220);
    let mut client = client.handshake().await.unwrap();
    assert_eq!(codes(&client.command("MAIL FROM:<ada@acme.example>").await.unwrap()), "503 5.5.1");
    client.ehlo().await.unwrap();
    assert_eq!(codes(&client.auth(&ada.address, PASSWORD).await.unwrap()), "235 2.7.0");
}

/// A login before STARTTLS is over with it.
#[tokio::test]
async fn tls_starts_over() {
    let server = Submitting::new().await;
    let ada = server.world.user("ada", None).await;
    let client = server.signed_in(&ada).await;
    let mut client = client.starttls().await.unwrap();
    client.ehlo().await.unwrap();
    assert_eq!(codes(&client.command("MAIL FROM:<ada@acme.example>").await.unwrap()), "530 5.7.0");
}

#[tokio::test]
async fn a_shutdown_is_told() {
    let server = Submitting::new().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.signed_in(&ada).await;
    server.shutdown.cancel();
    assert_eq!(codes(&client.read_reply().await.unwrap()), "421 4.3.2");
    assert!(client.read_reply().await.is_err());
}
