//! Putting messages into folders.

use crate::support::{Server, message, ok, refused, say};

#[tokio::test]
async fn a_message_comes_back_as_it_was_put_with_flags_and_date() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    let text = message("kept");
    let answer =
        client.append("Drafts (\\Seen \\Draft $Mine) \" 1-Feb-2020 23:30:00 -0200\"", &text).await.unwrap();
    assert!(answer.status.starts_with("OK [APPENDUID "), "{answer:?}");
    assert!(answer.status.contains(" 1] "), "{answer:?}");
    ok(&mut client, "SELECT Drafts").await;
    let told = ok(&mut client, "FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])").await.remove(0);
    assert!(
        told.contains("FLAGS (\\Seen \\Draft $Mine) INTERNALDATE \" 2-Feb-2020 01:30:00 +0000\""),
        "{told}"
    );
    assert!(told.contains(std::str::from_utf8(&text).unwrap()), "{told}");
    // Put into the folder that is open, it is told at once.
    let answer = client.append("Drafts", &message("more")).await.unwrap();
    assert_eq!(answer.untagged, ["2 EXISTS", "0 RECENT"]);
}

#[tokio::test]
async fn lines_that_end_in_lf_go_out_with_crlf() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    client.append("INBOX", b"Subject: bare\n\nline\nanother\n").await.unwrap().ok().unwrap();
    ok(&mut client, "SELECT INBOX").await;
    let told = ok(&mut client, "FETCH 1 (RFC822.SIZE BODY.PEEK[] BODYSTRUCTURE)").await.remove(0);
    assert!(told.contains("RFC822.SIZE 32 "), "{told}");
    assert!(told.contains("BODY[] {32}\r\nSubject: bare\r\n\r\nline\r\nanother\r\n"), "{told}");
    assert!(told.contains("\"7BIT\" 15 2 "), "{told}");
    // It is kept in 28 octets, which no client sees.
    assert_eq!(ok(&mut client, "SEARCH LARGER 31 SMALLER 33").await, ["SEARCH 1"]);
    assert_eq!(ok(&mut client, "SEARCH OR SMALLER 32 LARGER 32").await, ["SEARCH"]);
    client.append("INBOX", &message("more")).await.unwrap().ok().unwrap();
    let both = 32 + message("more").len();
    assert_eq!(ok(&mut client, "STATUS INBOX (SIZE)").await, [format!("STATUS INBOX (SIZE {both})")]);
}

#[tokio::test]
async fn what_cannot_be_put_is_refused_and_leaves_nothing() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    let answer = client.append("Nowhere", &message("one")).await.unwrap();
    assert!(answer.status.starts_with("NO [TRYCREATE]"), "{answer:?}");
    let answer = client.append("INBOX", b"").await.unwrap();
    assert!(answer.status.starts_with("NO "), "{answer:?}");
    // Too long to be let in: nobody is asked to go on.
    let tag = client.begin(&format!("APPEND INBOX {{{}}}", mailstore::MAX_MESSAGE_BYTES + 1)).await.unwrap();
    let answer = client.answer(&tag).await.unwrap();
    assert!(answer.status.starts_with("NO [TOOBIG]"), "{answer:?}");
    // Sent all the same, it is passed over.
    let long = "x".repeat(100 << 10);
    let tag = client.begin(&format!("LOGOUT {{{}+}}\r\n{long}", long.len())).await.unwrap();
    let answer = client.answer(&tag).await.unwrap();
    assert!(answer.status.starts_with("NO [TOOBIG]"), "{answer:?}");
    refused(&mut client, "APPEND INBOX {1+}\r\nx (\\Seen)", "BAD").await;
    assert_eq!(ok(&mut client, "STATUS INBOX (MESSAGES)").await, ["STATUS INBOX (MESSAGES 0)"]);
    let answer = say(&mut client, "APPEND INBOX {5+}\r\nhello").await;
    assert!(answer.status.starts_with("OK [APPENDUID "), "{answer:?}");
}

#[tokio::test]
async fn how_long_a_message_may_be_is_told_before_one_is_sent() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let limit = mailstore::MAX_MESSAGE_BYTES;
    let mut client = server.login(&ada).await;
    let told = ok(&mut client, "CAPABILITY").await.remove(0);
    assert!(told.split(' ').any(|word| word == format!("APPENDLIMIT={limit}")), "{told}");
    assert_eq!(
        ok(&mut client, "STATUS INBOX (APPENDLIMIT MESSAGES)").await,
        [format!("STATUS INBOX (APPENDLIMIT {limit} MESSAGES 0)")]
    );
}
