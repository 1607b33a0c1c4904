//! What clients enable, and what changes then.

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, message, ok, quick, refused, say};

/// A client that compresses, once it was told to.
struct Packed {
    stream: TcpStream,
    deflate: Compress,
    inflate: Decompress,
}

impl Packed {
    async fn send(&mut self, text: &str) {
        let mut packed = Vec::with_capacity(text.len() + 100);
        self.deflate.compress_vec(text.as_bytes(), &mut packed, FlushCompress::Sync).unwrap();
        self.stream.write_all(&packed).await.unwrap();
    }

    /// Reads until a text has come.
    async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains(end) {
            let mut packed = BytesMut::new();
            assert!(self.stream.read_buf(&mut packed).await.unwrap() > 0);
            let mut piece = Vec::with_capacity(1 << 20);
            self.inflate.decompress_vec(&packed, &mut piece, FlushDecompress::Sync).unwrap();
            text.extend(piece);
        }
        String::from_utf8(text).unwrap()
    }
}

async fn plain_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = BytesMut::new();
    while !String::from_utf8_lossy(&text).contains(end) {
        assert!(stream.read_buf(&mut text).await.unwrap() > 0);
    }
    String::from_utf8(text.to_vec()).unwrap()
}

#[tokio::test]
async fn a_connection_is_compressed_from_the_answer_on() {
    let server = Server::with(imap::Limits { max_compressed: 1, ..quick() }).await;
    let ada = server.user_with("ada", &[&message(&"long ".repeat(2_000))]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let login = format!("a LOGIN {} \"{}\"\r\n", ada.address, testkit::world::PASSWORD);
    stream.write_all(login.as_bytes()).await.unwrap();
    plain_until(&mut stream, "a OK").await;
    stream.write_all(b"b COMPRESS LZW\r\nc COMPRESS DEFLATE\r\n").await.unwrap();
    let told = plain_until(&mut stream, "c OK").await;
    assert!(told.contains("b NO"), "{told}");
    let (deflate, inflate) = (Compress::new(Compression::default(), false), Decompress::new(false));
    let mut packed = Packed { stream, deflate, inflate };
    packed.send("d SELECT INBOX\r\ne COMPRESS DEFLATE\r\n").await;
    assert!(packed.until("e NO [COMPRESSIONACTIVE]").await.contains("d OK [READ-WRITE]"));
    packed.send("f CAPABILITY\r\n").await;
    assert!(!packed.until("f OK").await.contains("COMPRESS"));
    packed.send("g FETCH 1 BODY.PEEK[]\r\n").await;
    assert!(packed.until("g OK").await.contains(&"long ".repeat(2_000)));
    // No more of them than there is memory for.
    let mut other = server.login(&ada).await;
    refused(&mut other, "COMPRESS DEFLATE", "NO [LIMIT]").await;
    drop(packed);
    while !say(&mut other, "COMPRESS DEFLATE").await.status.starts_with("OK") {
        tokio::task::yield_now().await;
    }
}

/// A connection of a user's, signed in, of which nothing is left to be read.
async fn signed_in(server: &Server, user: &tenancy::user::User) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert!(line(&mut stream).await.starts_with("* OK "));
    let login = format!("a LOGIN {} \"{}\"\r\n", user.address, testkit::world::PASSWORD);
    stream.write_all(login.as_bytes()).await.unwrap();
    assert!(line(&mut stream).await.starts_with("a OK "));
    stream
}

/// A line, and nothing of what comes after it.
async fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn what_comes_at_once_with_the_wish_to_compress_is_compressed_or_ends_the_session() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[]).await;
    let mut stream = signed_in(&server, &ada).await;
    let mut deflate = Compress::new(Compression::default(), false);
    let mut wish = b"b COMPRESS DEFLATE\r\n".to_vec();
    let mut noop = Vec::with_capacity(100);
    deflate.compress_vec(b"c NOOP\r\n", &mut noop, FlushCompress::Sync).unwrap();
    wish.extend(noop);
    stream.write_all(&wish).await.unwrap();
    assert_eq!(line(&mut stream).await, "b OK what follows is compressed\r\n");
    let mut packed = Packed { stream, deflate, inflate: Decompress::new(false) };
    assert_eq!(packed.until("c OK done\r\n").await, "c OK done\r\n");
    packed.send("d NOOP\r\n").await;
    packed.until("d OK done\r\n").await;

    // Plain text is no DEFLATE: an f begins a block of the type that there is not (RFC 1951 §3.2.3). It is never carried out.
    let mut stream = signed_in(&server, &ada).await;
    stream.write_all(b"b COMPRESS DEFLATE\r\nf CREATE Smuggled\r\n").await.unwrap();
    assert_eq!(line(&mut stream).await, "b OK what follows is compressed\r\n");
    let mut rest = Vec::new();
    let end = tokio::time::timeout(std::time::Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
    assert_eq!((end.unwrap().unwrap(), rest), (0, Vec::new()));
    packed.send("g LIST \"\" Smuggled\r\n").await;
    assert_eq!(packed.until("g OK that is all\r\n").await, "g OK that is all\r\n");
}

#[tokio::test]
async fn parts_come_decoded_and_go_in_as_they_are() {
    let server = Server::start().await;
    let mail = b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--b\r\nContent-Transfer-Encoding: x-no\r\n\r\nx\r\n--b--\r\n";
    let ada = server.user_with("ada", &[mail]).await;
    let mut client = server.inbox(&ada).await;
    let told = ok(&mut client, "FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1] BINARY.PEEK[1]<1.2> FLAGS)").await;
    assert_eq!(
        told,
        [
            "1 FETCH (BINARY.SIZE[1] 4 BINARY[1] ~{4}\r\n\0\u{1}\u{2}\u{3} BINARY[1]<1> {2}\r\n\u{1}\u{2} FLAGS ())"
        ]
    );
    assert!(ok(&mut client, "FETCH 1 (BINARY[1]<2.1>)").await[0].contains("FLAGS (\\Seen)"));
    assert_eq!(
        ok(&mut client, "FETCH 1 (BINARY.PEEK[7] BINARY.SIZE[7])").await,
        ["1 FETCH (BINARY[7] NIL BINARY.SIZE[7] 0)"]
    );
    let answer = say(&mut client, "FETCH 1 (BINARY.PEEK[2])").await;
    assert!(answer.status.starts_with("NO [UNKNOWN-CTE]") && answer.untagged.is_empty(), "{answer:?}");

    let binary = "Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n\0";
    ok(&mut client, &format!("APPEND INBOX ~{{{}+}}\r\n{binary}", binary.len())).await;
    let told = ok(&mut client, "FETCH 2 (BINARY.PEEK[1] BODY.PEEK[1])").await;
    assert!(told[0].contains("BINARY[1] ~{3}\r\n\0\n\0 BODY[1] {6}\r\nAAoA\r\n"), "{told:?}");
    refused(&mut client, "APPEND INBOX ~{16+}\r\nSubject: s\r\n\r\n\0\0", "NO [UNKNOWN-CTE]").await;
}

#[tokio::test]
async fn a_client_of_imap4rev2_is_spoken_to_in_its_way() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    let mut client = server.login(&ada).await;
    assert_eq!(ok(&mut client, "ENABLE IMAP4rev2").await, ["ENABLED IMAP4rev2"]);
    ok(&mut client, "CREATE \"Entwürfe\"").await;
    assert!(ok(&mut client, "LIST \"\" Entw*").await[0].ends_with("\"/\" \"Entwürfe\""));
    assert_eq!(ok(&mut client, "STATUS \"Entwürfe\" (MESSAGES)").await, ["STATUS \"Entwürfe\" (MESSAGES 0)"]);
    let told = ok(&mut client, "SELECT INBOX").await;
    assert!(told.contains(&"LIST (\\HasNoChildren) \"/\" INBOX".to_owned()), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("RECENT") || line.contains("[UNSEEN")), "{told:?}");
    let told = ok(&mut client, "SEARCH SUBJECT two").await;
    assert!(told[0].starts_with("ESEARCH (TAG ") && told[0].ends_with(") ALL 2"), "{told:?}");
    server.deliver(ada.mailbox_id, &message("three")).await;
    assert_eq!(ok(&mut client, "NOOP").await, ["3 EXISTS"]);
}

#[tokio::test]
async fn a_client_that_takes_utf_8_gets_it() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    ok(&mut client, "CREATE Entw&APw-rfe").await;
    assert!(ok(&mut client, "LIST \"\" E*").await[0].ends_with("\"Entw&APw-rfe\""));
    assert_eq!(ok(&mut client, "ENABLE UTF8=ACCEPT").await, ["ENABLED UTF8=ACCEPT"]);
    assert!(ok(&mut client, "LIST \"\" E*").await[0].ends_with("\"Entwürfe\""));
    let mail = "Subject: grüße\r\n\r\nhello\r\n";
    ok(&mut client, &format!("APPEND Entwürfe UTF8 (~{{{}+}}\r\n{mail})", mail.len())).await;
    ok(&mut client, "SELECT \"Entwürfe\"").await;
    assert_eq!(ok(&mut client, "SEARCH SUBJECT \"grüße\"").await, ["SEARCH 1"]);
    refused(&mut client, "SEARCH CHARSET UTF-8 SUBJECT \"grüße\"", "BAD").await;
}

#[tokio::test]
async fn several_messages_go_in_by_one_command_or_none() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    let one = "(\\Seen) {14+}\r\nSubject: 1\r\n\r\n";
    let two = " \" 1-Feb-2020 23:30:00 +0000\" {14+}\r\nSubject: 2\r\n\r\n";
    let answer = say(&mut client, &format!("APPEND INBOX {one}{two}")).await;
    assert!(answer.status.starts_with("OK [APPENDUID ") && answer.status.contains(" 1:2] "), "{answer:?}");
    // RFC 3502 §6.3.11: an empty one is "never mind", wherever it stands.
    refused(&mut client, &format!("APPEND INBOX {one} {{0+}}\r\n"), "NO").await;
    ok(&mut client, "SELECT INBOX").await;
    let told = ok(&mut client, "FETCH 1:* (FLAGS INTERNALDATE)").await;
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("(FLAGS (\\Seen) "), "{told:?}");
    assert!(told[1].contains("(FLAGS () INTERNALDATE \" 1-Feb-2020 23:30:00 +0000\""), "{told:?}");
    // Long ones have room together.
    let long = format!("Subject: long\r\n\r\n{}", "x".repeat(100 << 10));
    let many = (0..3).map(|_| format!(" {{{}+}}\r\n{long}", long.len())).collect::<String>();
    ok(&mut client, &format!("APPEND INBOX{many}")).await;
    assert_eq!(ok(&mut client, "STATUS INBOX (MESSAGES)").await.last().unwrap(), "STATUS INBOX (MESSAGES 5)");
    // Each could come alone: no client is to take one for a message that never can.
    let half = mailstore::MAX_MESSAGE_BYTES / 2 + 1;
    let body = "x".repeat(half as usize);
    let tag = client.begin(&format!("APPEND INBOX {{{half}+}}\r\n{body} {{{half}}}")).await.unwrap();
    let answer = client.answer(&tag).await.unwrap();
    assert!(answer.status.starts_with("NO [LIMIT]"), "{answer:?}");
}

#[tokio::test]
async fn messages_are_sorted_by_the_server() {
    let server = Server::start().await;
    let mail = |from: &str, subject: &str, date: &str| {
        format!("From: {from}\r\nSubject: {subject}\r\nDate: {date}\r\n\r\nhello\r\n").into_bytes()
    };
    let messages = [
        mail("Zoe <ann@example.org>", "Re: b", "Tue, 3 Mar 2020 00:00:00 +0000"),
        mail("bob@example.org", "=?utf-8?q?A?=", "Wed, 4 Mar 2020 00:00:00 +0000"),
        mail("Carl <carl@example.org>", "b", "Mon, 2 Mar 2020 00:00:00 +0000"),
    ];
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let mut client = server.inbox(&ada).await;
    assert_eq!(ok(&mut client, "SORT (DATE) UTF-8 ALL").await, ["SORT 3 1 2"]);
    assert_eq!(ok(&mut client, "SORT (REVERSE DATE) UTF-8 ALL").await, ["SORT 2 1 3"]);
    assert_eq!(ok(&mut client, "UID SORT (SUBJECT REVERSE ARRIVAL) UTF-8 ALL").await, ["SORT 2 1 3"]);
    assert_eq!(ok(&mut client, "SORT (FROM) UTF-8 NOT SUBJECT A").await, ["SORT 1 3"]);
    assert_eq!(ok(&mut client, "SORT (DISPLAYFROM) UTF-8 ALL").await, ["SORT 2 3 1"]);
    let told = ok(&mut client, "SORT RETURN (COUNT MIN ALL) (DATE) UTF-8 ALL").await;
    assert!(told[0].ends_with(" MIN 3 COUNT 3 ALL 3,1:2"), "{told:?}");
    assert_eq!(ok(&mut client, "SORT (SIZE) UTF-8 SUBJECT nothing").await, ["SORT"]);
    refused(&mut client, "SORT (DATE) KOI8-R ALL", "NO [BADCHARSET").await;
    refused(&mut client, "SORT RETURN (SAVE) (DATE) UTF-8 ALL", "BAD").await;
}

#[tokio::test]
async fn what_is_sorted_by_modification_sequence_tells_the_highest_of_what_it_tells() {
    let server = Server::start().await;
    let messages = ["gone", "b", "c", "a"].map(message);
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let mut other = server.inbox(&ada).await;
    ok(&mut other, "STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut other, "EXPUNGE").await;
    // The numbers are not the UIDs, and the first has the highest modification sequence.
    let mut client = server.inbox(&ada).await;
    ok(&mut other, "STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    assert_eq!(ok(&mut client, "NOOP").await, ["1 FETCH (UID 2 FLAGS (\\Flagged))"]);
    let mut modseqs = Vec::new();
    for number in 1..=3 {
        let told = ok(&mut other, &format!("FETCH {number} MODSEQ")).await.pop().unwrap();
        modseqs.push(told.split(['(', ')']).nth(2).unwrap().parse::<u64>().unwrap());
    }
    let [first, second, third] = modseqs[..] else { panic!("{modseqs:?}") };
    assert!(second < third && third < first, "{modseqs:?}");

    for (command, told) in [
        ("SORT (SUBJECT) UTF-8 MODSEQ 1", format!("SORT 3 1 2 (MODSEQ {first})")),
        ("UID SORT (SUBJECT) UTF-8 OR MODSEQ 1 ALL NOT UID 2", format!("SORT 4 3 (MODSEQ {third})")),
        ("SORT (SUBJECT) UTF-8 MODSEQ 4000000000", "SORT".to_owned()),
        ("SORT (SUBJECT) UTF-8 ALL", "SORT 3 1 2".to_owned()),
    ] {
        assert_eq!(ok(&mut client, command).await.pop(), Some(told), "{command}");
    }
    for (command, told) in [
        ("SORT RETURN (MIN)", format!(") MIN 3 MODSEQ {third}")),
        ("SORT RETURN (MAX)", format!(") MAX 2 MODSEQ {second}")),
        ("SORT RETURN (MIN MAX)", format!(") MIN 3 MAX 2 MODSEQ {third}")),
        ("SORT RETURN (MIN COUNT)", format!(") MIN 3 COUNT 3 MODSEQ {first}")),
        ("UID SORT RETURN ()", format!(") UID ALL 4,2:3 MODSEQ {first}")),
    ] {
        let line = ok(&mut client, &format!("{command} (SUBJECT) UTF-8 MODSEQ 1")).await.remove(0);
        assert!(line.starts_with("ESEARCH (TAG ") && line.ends_with(&told), "{command}: {line}");
    }
    // Who has asked for one hears of them from then on.
    ok(&mut other, "STORE 2 +FLAGS.SILENT (\\Seen)").await;
    let told = ok(&mut client, "NOOP").await;
    assert!(told[0].starts_with("2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ ("), "{told:?}");
    let told = ok(&mut client, "THREAD ORDEREDSUBJECT UTF-8 MODSEQ 1").await;
    assert!(told[0].starts_with("THREAD (") && told[0].ends_with(')'), "{told:?}");
    assert!(!told[0].contains("MODSEQ"), "{told:?}");

    let mut threading = server.inbox(&ada).await;
    let told = ok(&mut threading, "THREAD ORDEREDSUBJECT UTF-8 MODSEQ 1").await;
    assert!(told[0].starts_with("OK [HIGHESTMODSEQ ") && told[1].starts_with("THREAD ("), "{told:?}");
    ok(&mut other, "STORE 2 -FLAGS.SILENT (\\Seen)").await;
    let told = ok(&mut threading, "NOOP").await;
    assert!(told[0].starts_with("2 FETCH (UID 3 FLAGS () MODSEQ ("), "{told:?}");
}

#[tokio::test]
async fn long_headers_are_put_in_order_a_few_at_a_time() {
    let server = Server::start().await;
    let references: String = (0..100).map(|number| format!(" <{number}{}@x>\r\n", "y".repeat(900))).collect();
    let mail = |number: usize| {
        let subject = format!("{}{number}", "z".repeat(900));
        format!("Message-ID: <m{number}@x>\r\nSubject: {subject}\r\nReferences:{references}\r\n\r\nhello\r\n")
            .into_bytes()
    };
    // More than a page of them.
    let messages: Vec<Vec<u8>> = (0..25).map(mail).collect();
    let ada = server.user_with("ada", &messages.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let mut client = server.inbox(&ada).await;
    let all = (1..=25).map(|number| format!("({number})")).collect::<String>();
    assert_eq!(ok(&mut client, "THREAD REFERENCES UTF-8 ALL").await, [format!("THREAD ({all})")]);
    // What differs only so late is the same.
    let all: Vec<String> = (1..=25).map(|number| number.to_string()).collect();
    assert_eq!(
        ok(&mut client, "SORT (REVERSE SUBJECT) UTF-8 ALL").await,
        [format!("SORT {}", all.join(" "))]
    );
}

#[tokio::test]
async fn messages_are_threaded_by_the_server() {
    let server = Server::start().await;
    let mail = |id: &str, more: &str, subject: &str, day: u8| {
        format!("From: a@example.org\r\nMessage-ID: <{id}@x>\r\n{more}Subject: {subject}\r\nDate: {day} Mar 2020 00:00:00 +0000\r\n\r\nhello\r\n")
            .into_bytes()
    };
    let messages = [
        mail("a", "", "plans", 1),
        mail("b", "In-Reply-To: <a@x>\r\n", "Re: plans", 2),
        mail("c", "References: <a@x> <b@x>\r\n", "Re: plans", 3),
        mail("d", "", "else", 4),
        // Both answer what is not here.
        mail("e", "References: <gone@x>\r\n", "more", 5),
        mail("f", "References: <gone@x>\r\n", "more", 6),
    ];
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let mut client = server.inbox(&ada).await;
    assert_eq!(ok(&mut client, "THREAD REFERENCES UTF-8 ALL").await, ["THREAD (1 2 3)(4)((5)(6))"]);
    assert_eq!(ok(&mut client, "THREAD ORDEREDSUBJECT UTF-8 ALL").await, ["THREAD (1 (2)(3))(4)(5 6)"]);
    assert_eq!(ok(&mut client, "UID THREAD REFERENCES UTF-8 SUBJECT else").await, ["THREAD (4)"]);
    assert_eq!(ok(&mut client, "THREAD REFERENCES UTF-8 SUBJECT none").await, ["THREAD"]);
    refused(&mut client, "THREAD JWZ UTF-8 ALL", "BAD").await;
    // RFC 5256 §3: what is no id refers to nothing, and what it is in reply to counts.
    let messages = [
        mail("a", "", "one", 1),
        mail("b", "References: junk\r\nIn-Reply-To: <a@x>\r\n", "two", 2),
        mail("c", "References: junk\r\nIn-Reply-To: your mail\r\n", "three", 3),
    ];
    let eve = server.user_with("eve", &messages.each_ref().map(Vec::as_slice)).await;
    let mut client = server.inbox(&eve).await;
    assert_eq!(ok(&mut client, "THREAD REFERENCES UTF-8 ALL").await, ["THREAD (1 2)(3)"]);
}
