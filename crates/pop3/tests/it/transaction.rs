//! The TRANSACTION and UPDATE states: what a client sees of a maildrop, and what it leaves behind.

use std::time::Duration;

use testkit::client::pop3::Reply;

use crate::support::Server;

const PLAIN: &[u8] = b"Subject: plain\r\n\r\none\r\ntwo\r\nthree\r\n";

/// Messages that a careless server sends wrong.
fn awkward() -> Vec<Vec<u8>> {
    let long = [b"Subject: long\r\n\r\n".to_vec(), b".dots and text\r\n".repeat(30_000)].concat();
    vec![
        PLAIN.to_vec(),
        b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\na.\r\n".to_vec(),
        b"Subject: bare feeds\n\n.one\ntwo\n".to_vec(),
        b"Subject: no end\r\n\r\nlast line without an end".to_vec(),
        b"Subject: nul\r\n\r\na\0b\r\n\0\r\n".to_vec(),
        b"Subject: bare returns\r\n\r\na\r.\rb\r\r\nc\r".to_vec(),
        b"Subject: 8bit\r\n\r\n\xff\xfe\x80\r\n".to_vec(),
        b"Subject: header only\r\nX: y\r\n".to_vec(),
        b".not a header\r\n".to_vec(),
        b"\r\n".to_vec(),
        long,
    ]
}

fn refused(reply: &Reply) -> bool {
    !reply.ok && reply.text == "no such message"
}

#[tokio::test]
async fn serves_every_message_in_its_crlf_form() {
    let server = Server::start().await;
    let messages = awkward();
    let user = server.user_with("ada", &messages.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let mut client = server.login(&user).await;

    let expected =
        messages.iter().map(|bytes| kernel::crlf::normalize(bytes).into_owned()).collect::<Vec<_>>();
    let sizes = expected.iter().map(|bytes| bytes.len() as u64).collect::<Vec<_>>();
    assert_eq!(client.stat().await.unwrap(), (messages.len(), sizes.iter().sum()));
    let listed = client.list().await.unwrap();
    assert_eq!(listed, sizes.iter().enumerate().map(|(at, size)| (at + 1, *size)).collect::<Vec<_>>());
    for (at, bytes) in expected.iter().enumerate() {
        let number = at + 1;
        assert_eq!(&client.retr(number).await.unwrap(), bytes, "message {number}");
        assert_eq!(&client.top(number, 99_999_999).await.unwrap(), bytes, "message {number}");
        assert_eq!(
            client.command(&format!("LIST {number}")).await.unwrap().text,
            format!("{number} {}", sizes[at])
        );
        let header = client.top(number, 0).await.unwrap();
        assert!(bytes.starts_with(&header), "message {number}");
        assert!(
            header.len() == bytes.len() || header == b"\r\n" || header.ends_with(b"\r\n\r\n"),
            "message {number}"
        );
    }
    let huge = client.command_multi("TOP 1 99999999999999999999999999").await.unwrap();
    assert_eq!(huge, PLAIN);
    assert_eq!(client.top(1, 2).await.unwrap(), b"Subject: plain\r\n\r\none\r\ntwo\r\n");
    client.quit().await.unwrap();
}

#[tokio::test]
async fn serves_them_one_after_the_other_however_the_client_goes_on() {
    let server = Server::start().await;
    let larger_than_is_read_ahead =
        [b"Subject: large\r\n\r\n".to_vec(), b"text\r\n".repeat(200_000)].concat();
    let messages = [awkward(), vec![larger_than_is_read_ahead], awkward()].concat();
    let user = server.user_with("ada", &messages.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let expected =
        messages.iter().map(|bytes| kernel::crlf::normalize(bytes).into_owned()).collect::<Vec<_>>();
    for between in ["", "NOOP", "DELE", "TOP", "pause"] {
        let mut client = server.login_when_free(&user).await;
        for (bytes, number) in expected.iter().zip(1..) {
            assert_eq!(&client.retr(number).await.unwrap(), bytes, "message {number}, {between}");
            match between {
                "NOOP" => drop(client.command("NOOP").await.unwrap()),
                "DELE" => client.dele(number).await.unwrap(),
                "TOP" if number < expected.len() => {
                    let next = &expected[number];
                    assert!(next.starts_with(&client.top(number + 1, 0).await.unwrap()));
                }
                "pause" if number % 5 == 3 => tokio::time::sleep(Duration::from_millis(150)).await,
                _ => {}
            }
        }
        // Without QUIT nothing is deleted.
    }
}

#[tokio::test]
async fn an_empty_maildrop_is_one() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[]).await;
    let mut client = server.login(&user).await;
    assert_eq!(client.stat().await.unwrap(), (0, 0));
    assert_eq!(client.list().await.unwrap(), []);
    assert_eq!(client.uidl().await.unwrap(), []);
    for command in ["RETR 1", "TOP 1 0", "DELE 1", "LIST 1", "UIDL 1"] {
        assert!(refused(&client.command(command).await.unwrap()), "{command}");
    }
    client.quit().await.unwrap();
}

#[tokio::test]
async fn a_marked_message_vanishes_and_reset_brings_it_back() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[PLAIN, b"Subject: b\r\n\r\n", b"Subject: c\r\n\r\nc\r\n"]).await;
    let mut client = server.login(&user).await;
    let (stat, list, uidl) =
        (client.stat().await.unwrap(), client.list().await.unwrap(), client.uidl().await.unwrap());

    client.dele(2).await.unwrap();
    assert_eq!(client.stat().await.unwrap(), (2, stat.1 - list[1].1));
    assert_eq!(client.list().await.unwrap(), [list[0], list[2]]);
    assert_eq!(client.uidl().await.unwrap(), [uidl[0].clone(), uidl[2].clone()]);
    for command in
        ["RETR 2", "TOP 2 1", "DELE 2", "LIST 2", "UIDL 2", "RETR 0", "RETR 4", "LIST 18446744073709551616"]
    {
        assert!(refused(&client.command(command).await.unwrap()), "{command}");
    }
    assert_eq!(client.retr(3).await.unwrap(), b"Subject: c\r\n\r\nc\r\n", "numbers do not move");

    assert!(client.command("RSET").await.unwrap().ok);
    assert_eq!(client.stat().await.unwrap(), stat);
    assert_eq!(client.list().await.unwrap(), list);
    assert_eq!(client.uidl().await.unwrap(), uidl);
    assert_eq!(client.retr(2).await.unwrap(), b"Subject: b\r\n\r\n");
    client.quit().await.unwrap();
    assert_eq!(server.login(&user).await.stat().await.unwrap(), stat, "what was reset is not deleted");
}

#[tokio::test]
async fn quit_deletes_and_unique_ids_stay() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[PLAIN, b"Subject: b\r\n\r\n", b"Subject: c\r\n\r\n"]).await;
    let mut client = server.login(&user).await;
    let before = client.uidl().await.unwrap();
    assert!(
        before
            .iter()
            .all(|(_, uidl)| (1..=70).contains(&uidl.len()) && uidl.bytes().all(|b| b.is_ascii_graphic()))
    );
    for (number, uidl) in &before {
        assert_eq!(client.command(&format!("UIDL {number}")).await.unwrap().text, format!("{number} {uidl}"));
    }
    client.dele(1).await.unwrap();
    client.dele(3).await.unwrap();
    let goodbye = client.command("QUIT").await.unwrap();
    assert_eq!(goodbye, Reply { ok: true, text: "goodbye, 2 messages deleted".into() });

    server.deliver(user.mailbox_id, b"Subject: d\r\n\r\n").await;
    let mut client = server.login(&user).await;
    let after = client.uidl().await.unwrap();
    assert_eq!(after.len(), 2);
    assert_eq!(after[0], (1, before[1].1.clone()), "the survivor keeps its id under a new number");
    assert!(before.iter().all(|(_, uidl)| *uidl != after[1].1), "no id is used twice");
    assert_eq!(client.retr(1).await.unwrap(), b"Subject: b\r\n\r\n");
    client.quit().await.unwrap();
}

#[tokio::test]
async fn new_mail_waits_for_the_next_session() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[PLAIN]).await;
    let mut client = server.login(&user).await;
    server.deliver(user.mailbox_id, b"Subject: new\r\n\r\n").await;
    assert_eq!(client.stat().await.unwrap(), (1, PLAIN.len() as u64));
    assert!(refused(&client.command("RETR 2").await.unwrap()));
    client.quit().await.unwrap();
    assert_eq!(server.login(&user).await.stat().await.unwrap().0, 2);
}

#[tokio::test]
async fn commands_of_the_other_state_are_refused() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[PLAIN]).await;
    let mut client = server.connect().await;
    for command in ["STAT", "LIST", "UIDL", "RETR 1", "TOP 1 1", "DELE 1", "NOOP", "RSET"] {
        assert!(!client.command(command).await.unwrap().ok, "{command} before login");
    }
    client.login(&user.address, testkit::world::PASSWORD).await.unwrap();
    for command in ["USER a@acme.example", "PASS x", "AUTH", "AUTH PLAIN", "STLS", "APOP a b", "LAST"] {
        assert!(!client.command(command).await.unwrap().ok, "{command} after login");
    }
    assert!(client.command("NOOP").await.unwrap().ok);
    let capabilities = String::from_utf8(client.command_multi("CAPA").await.unwrap()).unwrap();
    assert!(capabilities.contains("EXPIRE NEVER\r\n") && !capabilities.contains("STLS"), "{capabilities}");
    client.quit().await.unwrap();
}
