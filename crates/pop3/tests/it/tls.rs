//! STLS and implicit TLS.

use testkit::client::pop3::Pop3 as Client;
use testkit::world::PASSWORD;
use tokio::net::TcpStream;

use crate::support::{Raw, Server, plain, poll};

async fn capabilities(client: &mut Client) -> Vec<String> {
    let text = String::from_utf8(client.command_multi("CAPA").await.unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_whole_session_after_stls() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[b"Subject: a\r\n\r\n.\r\n"]).await;
    let mut client = server.connect().await;
    assert!(capabilities(&mut client).await.contains(&"STLS".to_owned()));
    let mut client = client.stls().await.unwrap();
    let inside = capabilities(&mut client).await;
    assert!(
        !inside.contains(&"STLS".to_owned())
            && inside
                .iter()
                .any(|line| line.starts_with("SASL SCRAM-SHA-256-PLUS ") && line.ends_with(" PLAIN LOGIN")),
        "{inside:?}"
    );
    assert!(!client.command("STLS").await.unwrap().ok, "TLS inside TLS");
    client.login(&user.address, PASSWORD).await.unwrap();
    assert_eq!(client.retr(1).await.unwrap(), b"Subject: a\r\n\r\n.\r\n");
    client.dele(1).await.unwrap();
    client.quit().await.unwrap();
    assert_eq!(server.login(&user).await.stat().await.unwrap().0, 0);
}

#[tokio::test]
async fn a_whole_session_over_implicit_tls() {
    let server = Server::start().await;
    let big = [b"Subject: a\r\n\r\n".to_vec(), b".0123456789\r\n".repeat(50_000)].concat();
    let user = server.user_with("ada", &[&big]).await;
    let mut client = Client::connect_tls(server.tls_address).await.unwrap();
    assert!(!capabilities(&mut client).await.contains(&"STLS".to_owned()));
    client.login(&user.address, PASSWORD).await.unwrap();
    assert_eq!(client.retr(1).await.unwrap(), big);
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_tls_session_ends_with_close_notify() {
    let server = Server::start().await;
    let stream = TcpStream::connect(server.tls_address).await.unwrap();
    let mut raw = server.handshake(stream).await;
    assert!(raw.line().await.starts_with("+OK"));
    assert_eq!(raw.command("QUIT").await, "+OK goodbye\r\n");
    // rustls makes an end without close_notify an error, which `rest` does not forgive.
    assert_eq!(raw.rest().await, b"");
}

/// RFC 2595 §4: what was sent in the clear must not be answered as if it had been sent inside.
#[tokio::test]
async fn commands_injected_before_the_handshake_are_dropped() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[]).await;
    let mut raw = server.raw().await;
    raw.send(format!("STLS\r\nUSER {}\r\nCAPA\r\nAUTH PLAIN {}\r\n", user.address, plain("", "x", "y")))
        .await;
    assert!(raw.line().await.starts_with("+OK"));
    let mut inside = server.handshake(raw.0).await;
    assert_eq!(
        inside.command("LIST").await,
        "-ERR log in first\r\n",
        "the first answer inside is to the first command inside"
    );
    assert_eq!(inside.command(&format!("PASS {PASSWORD}")).await, "-ERR PASS comes right after USER\r\n");
    assert_eq!(inside.command("QUIT").await, "+OK goodbye\r\n");
}

#[tokio::test]
async fn half_a_line_does_not_survive_the_handshake() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    raw.send("STLS\r\nNO").await;
    assert!(raw.line().await.starts_with("+OK"));
    let mut inside = server.handshake(raw.0).await;
    assert_eq!(inside.command("OP").await, "-ERR unknown command\r\n");
}

#[tokio::test]
async fn a_user_name_does_not_survive_the_handshake() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[]).await;
    let mut raw = server.raw().await;
    assert!(raw.command(&format!("USER {}", user.address)).await.starts_with("+OK"));
    assert!(raw.command("STLS").await.starts_with("+OK"));
    let mut inside = server.handshake(raw.0).await;
    assert_eq!(inside.command(&format!("PASS {PASSWORD}")).await, "-ERR PASS comes right after USER\r\n");
}

#[tokio::test]
async fn a_failed_handshake_ends_that_connection_only() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    assert!(raw.command("STLS").await.starts_with("+OK"));
    raw.send("USER in the clear\r\n").await;
    // A TLS alert may come, an answer in the clear may not.
    assert!(!raw.rest().await.windows(3).any(|bytes| bytes == b"+OK"));
    let mut raw = Raw(TcpStream::connect(server.tls_address).await.unwrap());
    raw.send("CAPA\r\n").await;
    assert!(!raw.rest().await.windows(3).any(|bytes| bytes == b"+OK"));
    poll("the server still serves", async || Client::connect_tls(server.tls_address).await.ok()).await;
}
