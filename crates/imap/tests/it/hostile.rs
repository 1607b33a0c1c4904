//! Clients that mean no good.

use std::time::Duration;

use testkit::client::imap::Imap as Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, message, ok, quick, refused};

#[tokio::test]
async fn lines_without_end_and_nonsense_without_end_are_cut_short() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let long = format!("a NOOP {}", "x".repeat(100 << 10));
    client.send(format!("{long}\r\n").as_bytes()).await.unwrap();
    let answer = client.answer("a").await.unwrap();
    assert!(answer.status.starts_with("BAD [TOOBIG]"), "{answer:?}");
    ok(&mut client, "NOOP").await;

    let mut browser = server.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: imap\r\n".to_owned() + &"X-Header: x\r\n".repeat(30);
    browser.send(request.as_bytes()).await.unwrap();
    assert!(browser.rest().await.is_ok());
    // Before a login nobody sends anything long.
    let mut client = server.connect().await;
    refused(&mut client, "LOGIN {5000}", "NO [TOOBIG]").await;
    refused(&mut client, "APPEND INBOX {5000}", "NO [TOOBIG]").await;
}

#[tokio::test]
async fn who_drips_and_who_never_reads_is_cut_off() {
    let limits = imap::Limits {
        read_timeout: Duration::from_millis(200),
        write_timeout: Duration::from_millis(200),
        ..quick()
    };
    let server = Server::with(limits).await;
    let mut dripping = TcpStream::connect(server.address).await.unwrap();
    dripping.write_all(b"a LOG").await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), dripping.read_to_end(&mut all)).await.unwrap().unwrap();
    assert!(all.ends_with(b"* BYE no command came in time\r\n"));

    let big = [message("big"), vec![b'x'; 4 << 20], b"\r\n".to_vec()].concat();
    let ada = server.user_with("ada", &[&big]).await;
    let mut deaf = server.inbox(&ada).await;
    for _ in 0..20 {
        deaf.begin("FETCH 1 BODY.PEEK[]").await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Read at last, it ends long before what was asked for.
    let rest = deaf.rest().await.unwrap_or_default();
    assert!(rest.len() < 40 << 20, "{}", rest.len());
}

#[tokio::test]
async fn each_literal_that_was_refused_and_comes_all_the_same_has_its_time_to_pass() {
    let read_timeout = Duration::from_millis(500);
    let limits = imap::Limits { read_timeout, min_bytes_per_second: 50 << 10, ..quick() };
    let server = Server::with(limits).await;
    let ada = server.user_with("ada", &[]).await;
    let mut client = server.login(&ada).await;
    let (first, second) = (vec![b'x'; 70 << 10], vec![b'x'; 1 << 20]);
    let began = std::time::Instant::now();
    let tag = client.begin(&format!("LOGOUT {{{}+}}", first.len())).await.unwrap();
    client.send(&first).await.unwrap();
    client.send(format!(" {{{}+}}\r\n", second.len()).as_bytes()).await.unwrap();
    for piece in second.chunks(35 << 10) {
        // Slower than the time for a line and for the first, and faster than the slowest client.
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send(piece).await.unwrap();
    }
    client.send(b"\r\n").await.unwrap();
    assert!(began.elapsed() > Duration::from_millis(1_400) + 2 * read_timeout);
    let answer = client.answer(&tag).await.unwrap();
    assert!(answer.status.starts_with("NO [TOOBIG]"), "{answer:?}");
    ok(&mut client, "NOOP").await;
}

#[tokio::test]
async fn the_time_of_a_literal_that_was_refused_ends_with_it() {
    let read_timeout = Duration::from_millis(200);
    let limits = imap::Limits { read_timeout, min_bytes_per_second: 1 << 10, ..quick() };
    let server = Server::with(limits).await;
    let ada = server.user_with("ada", &[]).await;
    // Neither the rest of its command nor the next one has the 100 seconds that it might have taken.
    for next in ["", "\r\nb NOO"] {
        let mut client = server.login(&ada).await;
        let bytes = vec![b'x'; 100 << 10];
        client.begin(&format!("LOGOUT {{{}+}}", bytes.len())).await.unwrap();
        client.send(&[bytes.as_slice(), next.as_bytes()].concat()).await.unwrap();
        let rest = client.rest().await.unwrap();
        assert!(rest.ends_with("* BYE no command came in time\r\n"), "{rest}");
    }
}

#[tokio::test]
async fn only_so_many_are_let_in() {
    let server = Server::with(imap::Limits { max_connections_per_peer: 2, ..quick() }).await;
    let (_one, _two) = (server.connect().await, server.connect().await);
    let error = Client::connect(server.address).await.unwrap_err();
    assert!(format!("{error:#}").contains("BYE [UNAVAILABLE] too many connections"), "{error:#}");
}

#[tokio::test]
async fn another_s_mailbox_is_nowhere() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("secret")]).await;
    let bob = server.user_with("bob", &[]).await;
    let mut client = server.inbox(&bob).await;
    assert_eq!(ok(&mut client, "STATUS INBOX (MESSAGES)").await, ["STATUS INBOX (MESSAGES 0)"]);
    assert!(ok(&mut client, "UID FETCH 1:* BODY.PEEK[]").await.is_empty());
    let folder = mailstore::folder::list(&server.world.ctx, ada.mailbox_id).await.unwrap().remove(0);
    for name in
        [folder.id.to_string(), format!("/{}", folder.path), ada.address.to_string(), "../INBOX".into()]
    {
        refused(&mut client, &format!("SELECT \"{name}\""), "NO [NONEXISTENT]").await;
    }
}

#[tokio::test]
async fn nobody_stays_without_signing_in() {
    let server = Server::with(imap::Limits { login_timeout: Duration::from_millis(500), ..quick() }).await;
    // However much is said meanwhile, and whether or not another command has always begun.
    for (begin, again) in [("", "a NOOP\r\n"), ("a ", "NOOP\r\na ")] {
        let mut client = server.connect().await;
        let began = std::time::Instant::now();
        client.send(begin.as_bytes()).await.unwrap();
        while client.send(again.as_bytes()).await.is_ok() {
            assert!(began.elapsed() < Duration::from_secs(20), "{again:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(began.elapsed() >= Duration::from_millis(500), "{again:?}");
    }
}
