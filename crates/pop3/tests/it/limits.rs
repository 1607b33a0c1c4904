//! Bounds on what clients can take.

use std::time::{Duration, Instant};

use pop3::Limits;
use testkit::client::pop3::Pop3 as Client;
use testkit::world::PASSWORD;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Raw, Server, plain, poll, quick};

/// More than the sockets' buffers on both sides hold.
fn big() -> Vec<u8> {
    [b"Subject: big\r\n\r\n".to_vec(), b"0123456789abcdef0123456789abcdef\r\n".repeat(600_000)].concat()
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away() {
    let server = Server::with_limits(Limits { max_connections: 2, ..quick() }).await;
    let (_one, two) = (server.connect().await, server.connect().await);
    let mut third = Raw(TcpStream::connect(server.address).await.unwrap());
    assert_eq!(third.rest().await, b"-ERR [SYS/TEMP] too many connections, try again later\r\n");
    two.quit().await.unwrap();
    poll("a place is free again", async || Client::connect(server.address).await.ok()).await;
}

#[tokio::test]
async fn one_peer_cannot_take_all_connections() {
    let server = Server::with_limits(Limits { max_connections_per_peer: 1, ..quick() }).await;
    let _one = server.connect().await;
    let mut second = Raw(TcpStream::connect(server.address).await.unwrap());
    assert!(second.rest().await.starts_with(b"-ERR [SYS/TEMP] "));
}

#[tokio::test]
async fn nobody_stays_without_signing_in() {
    let limit = Duration::from_millis(500);
    let server = Server::with_limits(Limits { login_timeout: limit, ..quick() }).await;
    // However much is said meanwhile, and whether or not another command has always begun.
    for (begin, again) in [("", "NOOP\r\n"), ("NO", "OP\r\nNO"), ("", "NOOP\r\nNOOP\r\n")] {
        let mut raw = Raw(TcpStream::connect(server.address).await.unwrap());
        let began = Instant::now();
        let mut is_open = raw.0.write_all(begin.as_bytes()).await.is_ok();
        while is_open {
            assert!(began.elapsed() < PATIENCE, "{again:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            is_open = raw.0.write_all(again.as_bytes()).await.is_ok();
        }
        assert!(began.elapsed() >= limit, "{again:?}");
    }
    // Nor where the next command is always there already.
    let (mut replies, mut commands) = TcpStream::connect(server.address).await.unwrap().into_split();
    let drain = tokio::spawn(async move { tokio::io::copy(&mut replies, &mut tokio::io::sink()).await });
    let many = "NOOP\r\n".repeat(500);
    let began = Instant::now();
    while commands.write_all(many.as_bytes()).await.is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    let _ = drain.await.unwrap();
    // Nor by what is no command at all; and who has signed in stays.
    let limit = Duration::from_secs(5);
    let server = Server::with_limits(Limits { login_timeout: limit, ..quick() }).await;
    let user = server.user_with("ada", &[b"Subject: a\r\n\r\nb\r\n"]).await;
    let mut silent = Raw(TcpStream::connect(server.address).await.unwrap());
    let mut client = server.login(&user).await;
    silent.rest().await;
    tokio::time::sleep(limit).await;
    assert_eq!(client.stat().await.unwrap().0, 1);
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let server = Server::with_limits(Limits { write_timeout: Duration::from_millis(300), ..quick() }).await;
    let user = server.user_with("ada", &[&big()]).await;
    let mut raw = server.raw().await;
    raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await;
    raw.send("DELE 1\r\nRSET\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n").await;
    let mut client = server.login_when_free(&user).await;
    assert_eq!(client.stat().await.unwrap().0, 1, "its QUIT was never reached");
    assert!(raw.rest_or_reset().await < big().len());
}

/// However little it takes of each time.
#[tokio::test]
async fn a_client_that_reads_too_slowly_is_dropped() {
    use tokio::io::AsyncReadExt as _;
    let (write_timeout, min_bytes_per_second) = (Duration::from_secs(1), u64::MAX);
    let server = Server::with_limits(Limits { write_timeout, min_bytes_per_second, ..quick() }).await;
    let user = server.user_with("ada", &[&big()]).await;
    let mut raw = server.raw().await;
    raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await;
    raw.send("RETR 1\r\n").await;
    let (mut piece, mut came) = (vec![0; 16 << 10], 0);
    let reading = async {
        while let Ok(read @ 1..) = raw.0.read(&mut piece).await {
            came += read;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    assert!(came < big().len());
}

impl Raw<TcpStream> {
    /// How many bytes come until the connection ends, in whatever way.
    async fn rest_or_reset(&mut self) -> usize {
        use tokio::io::AsyncReadExt as _;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(crate::support::PATIENCE, self.0.read_to_end(&mut rest)).await.unwrap();
        rest.len()
    }
}

#[tokio::test]
async fn messages_being_sent_share_a_bounded_memory() {
    let limits = Limits { bodies_in_flight_bytes: 1 << 20, body_wait: Duration::from_millis(100), ..quick() };
    let server = Server::with_limits(limits).await;
    let big = big();
    let slow = server.user_with("slow", &[&big]).await;
    let ada = server.user_with("ada", &[b"a\r\n"]).await;
    let mut reader = server.raw().await;
    reader.command(&format!("AUTH PLAIN {}", plain("", &slow.address, PASSWORD))).await;
    reader.send("RETR 1\r\n").await;
    assert_eq!(
        reader.line().await,
        format!("+OK {} octets\r\n", big.len()),
        "larger than all the room, it goes alone"
    );

    let mut client = server.login(&ada).await;
    let reply = client.command("RETR 1").await.unwrap();
    assert_eq!((reply.ok, reply.code()), (false, "SYS/TEMP"));
    assert!(client.command("NOOP").await.unwrap().ok, "only the message is refused");

    drop(reader);
    let sent = poll("there is room again", async || client.retr(1).await.ok()).await;
    assert_eq!(sent, b"a\r\n");
}

#[tokio::test]
async fn a_session_that_waits_keeps_no_message() {
    let limits = Limits { bodies_in_flight_bytes: 1 << 20, body_wait: Duration::from_millis(10), ..quick() };
    let server = Server::with_limits(limits).await;
    let large = [b"Subject: large\r\n\r\n".to_vec(), b"text\r\n".repeat(100_000)].concat();
    let ada = server.user_with("ada", &[b"a\r\n", b"b\r\n", b"c\r\n", &large]).await;
    let bob = server.user_with("bob", &[&large]).await;
    let (mut waiting, mut other) = (server.login(&ada).await, server.login(&bob).await);
    for (number, message) in [(1, b"a\r\n"), (2, b"b\r\n"), (3, b"c\r\n")] {
        assert_eq!(waiting.retr(number).await.unwrap(), message);
    }
    // The fourth is there before it is asked for, and takes more than half of the room for a moment.
    let sent = poll("there is room again", async || other.retr(1).await.ok()).await;
    assert_eq!(sent, large);
    assert_eq!(waiting.retr(4).await.unwrap(), large);
}

#[tokio::test]
async fn a_session_that_outlasts_the_grace_is_cut_off() {
    let server = Server::with_limits(Limits { shutdown_grace: Duration::from_millis(200), ..quick() }).await;
    let user = server.user_with("ada", &[&big()]).await;
    let mut raw = server.raw().await;
    raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await;
    raw.send("RETR 1\r\n").await;
    assert!(raw.line().await.starts_with("+OK"));
    server.shutdown.cancel();
    for listener in server.listeners {
        tokio::time::timeout(Duration::from_secs(10), listener).await.expect("the listener ends").unwrap();
    }
    assert!(raw.rest_or_reset().await < big().len());
}
