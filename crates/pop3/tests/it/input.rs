//! What clients may send, and what they should not.

use testkit::world::PASSWORD;

use crate::support::{Server, plain};

#[tokio::test]
async fn bad_lines_are_refused_and_the_session_goes_on() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[b"a\r\n"]).await;
    let mut raw = server.raw().await;
    raw.command(&format!("AUTH PLAIN {}", plain("", &user.address, PASSWORD))).await;
    for (line, answer) in [
        (&b""[..], "-ERR unknown command\r\n"),
        (b"LAST", "-ERR unknown command\r\n"),
        (b"APOP ada c4c9334bac560ecc979e58001b3e22fb", "-ERR unknown command\r\n"),
        (b"GET / HTTP/1.1", "-ERR unknown command\r\n"),
        (b"STAT\0", "-ERR a command is text without control characters\r\n"),
        (b"STAT\rRETR 1", "-ERR a command is text without control characters\r\n"),
        (b"\xff\xfe\xfd", "-ERR a command is text without control characters\r\n"),
        (b"RETR", "-ERR syntax: RETR message\r\n"),
        (b"RETR one", "-ERR syntax: RETR message\r\n"),
        (b"RETR -1", "-ERR syntax: RETR message\r\n"),
        (b"TOP 1", "-ERR syntax: TOP message lines\r\n"),
        (b"TOP 1 -1", "-ERR syntax: TOP message lines\r\n"),
        (b"STAT 1", "-ERR syntax: STAT\r\n"),
        (b"LIST 1 1", "-ERR syntax: LIST [message]\r\n"),
        (b"STAT", "+OK 1 3\r\n"),
    ] {
        raw.send([line, b"\r\n"].concat()).await;
        assert_eq!(raw.line().await, answer, "{:?}", String::from_utf8_lossy(line));
    }
}

#[tokio::test]
async fn a_line_too_long_gets_one_answer_whatever_its_length() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    let too_long = "-ERR line too long: a command has at most 255 octets\r\n";
    let exactly = format!("USER {}", "a".repeat(255 - 5 - 2));
    assert!(raw.command(&exactly).await.starts_with("+OK"));
    assert_eq!(raw.command(&format!("{exactly}a")).await, too_long);
    raw.send(vec![b'A'; 5_000_000]).await;
    raw.send("\r\nCAPA now\r\nQUIT\r\n").await;
    assert_eq!(raw.line().await, too_long);
    assert_eq!(raw.line().await, "-ERR syntax: CAPA\r\n");
    assert_eq!(raw.line().await, "+OK goodbye\r\n");
}

#[tokio::test]
async fn a_session_sent_in_one_go_is_answered_in_order() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[b"Subject: a\r\n\r\n.\r\n", b"b\r\n"]).await;
    let mut raw = server.raw().await;
    raw.send(format!(
        "USER {}\r\nPASS {PASSWORD}\r\nSTAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nNONSENSE\r\nLIST\r\nTOP 2 0\r\nQUIT\r\nSTAT\r\n",
        user.address
    ))
    .await;
    let answers = String::from_utf8(raw.rest().await).unwrap();
    let expected = "+OK now the password\r\n\
        +OK maildrop has 2 messages (20 octets)\r\n\
        +OK 2 20\r\n\
        +OK 2 messages (20 octets)\r\n1 17\r\n2 3\r\n.\r\n\
        +OK 17 octets\r\nSubject: a\r\n\r\n..\r\n.\r\n\
        +OK message 1 will be deleted\r\n\
        -ERR unknown command\r\n\
        +OK 1 messages (3 octets)\r\n2 3\r\n.\r\n\
        +OK top of message follows\r\nb\r\n.\r\n\
        +OK goodbye, 1 messages deleted\r\n";
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn a_session_sent_byte_by_byte_is_answered_the_same() {
    let server = Server::start().await;
    let user = server.user_with("ada", &[b"a\r\n"]).await;
    let mut raw = server.raw().await;
    raw.0.set_nodelay(true).unwrap();
    for byte in format!("USER {}\r\nPASS {PASSWORD}\r\nRETR 1\r\nQUIT\r\n", user.address).bytes() {
        raw.send([byte]).await;
    }
    let answers = String::from_utf8(raw.rest().await).unwrap();
    assert_eq!(
        answers,
        "+OK now the password\r\n+OK maildrop has 1 messages (3 octets)\r\n+OK 3 octets\r\na\r\n.\r\n+OK goodbye, 0 messages deleted\r\n"
    );
}

#[tokio::test]
async fn capabilities_before_login() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let text = String::from_utf8(client.command_multi("CAPA").await.unwrap()).unwrap();
    let mut lines = text.lines().collect::<Vec<_>>();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "AUTH-RESP-CODE",
            "EXPIRE NEVER",
            "PIPELINING",
            "RESP-CODES",
            "SASL SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN",
            "STLS",
            "TOP",
            "UIDL",
            "USER"
        ]
    );
}
