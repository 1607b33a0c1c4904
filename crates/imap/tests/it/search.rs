//! Searching.

use crate::support::{Server, message, ok, refused, say};

#[tokio::test]
async fn by_text_flags_sizes_dates_and_sets() {
    let server = Server::start().await;
    let messages = ["apples", "pears", "plums"].map(message);
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "STORE 2 +FLAGS.SILENT (\\Flagged $Later)").await;
    for (keys, found) in [
        ("ALL", "SEARCH 1 2 3"),
        ("SUBJECT pear", "SEARCH 2"),
        ("HEADER Message-ID \"<plums@\"", "SEARCH 3"),
        ("BODY \"this is\" NOT SUBJECT apples", "SEARCH 2 3"),
        ("OR SUBJECT apples SUBJECT plums", "SEARCH 1 3"),
        ("FLAGGED", "SEARCH 2"),
        ("UNFLAGGED UNKEYWORD $later", "SEARCH 1 3"),
        ("2:* UID 1:2", "SEARCH 2"),
        ("FROM ann TO ada@acme.example LARGER 10 SMALLER 10000", "SEARCH 1 2 3"),
        ("SINCE 2-Mar-2026 BEFORE 3-Mar-2026", "SEARCH 1 2 3"),
        ("ON 1-Mar-2026", "SEARCH"),
        ("NEW", "SEARCH"),
        ("YOUNGER 5 NOT OLDER 1000000", "SEARCH 1 2 3"),
        ("OLDER 1", "SEARCH"),
        ("OLDER 4000000000", "SEARCH"),
        ("CHARSET UTF-8 SUBJECT \"PLÜMS\"", "SEARCH"),
        ("TEXT \"\"", "SEARCH 1 2 3"),
    ] {
        assert_eq!(ok(&mut client, &format!("SEARCH {keys}")).await, [found], "{keys}");
    }
    assert_eq!(ok(&mut client, "UID SEARCH SUBJECT plums").await, ["SEARCH 3"]);
    refused(&mut client, "SEARCH CHARSET KOI8-R TEXT a", "NO [BADCHARSET").await;
    refused(&mut client, "SEARCH", "BAD").await;
}

#[tokio::test]
async fn extended_and_kept_for_later() {
    let server = Server::start().await;
    let messages: Vec<Vec<u8>> = (1..=5).map(|at| message(&format!("n{}", at % 2))).collect();
    let all: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &all).await;
    let mut client = server.inbox(&ada).await;
    let tag = client.begin("UID SEARCH RETURN (MIN MAX COUNT ALL) SUBJECT n1").await.unwrap();
    let told = client.answer(&tag).await.unwrap().ok().unwrap();
    assert_eq!(told, [format!("ESEARCH (TAG \"{tag}\") UID MIN 1 MAX 5 COUNT 3 ALL 1,3,5")]);
    let told = say(&mut client, "SEARCH RETURN () SUBJECT none").await.ok().unwrap();
    assert!(told[0].starts_with("ESEARCH (TAG ") && told[0].ends_with("\")"), "{told:?}");

    assert!(ok(&mut client, "SEARCH RETURN (SAVE) SUBJECT n0").await.is_empty());
    assert_eq!(ok(&mut client, "FETCH $ UID").await, ["2 FETCH (UID 2)", "4 FETCH (UID 4)"]);
    assert_eq!(ok(&mut client, "UID SEARCH UID $ SMALLER 100000").await, ["SEARCH 2 4"]);
    ok(&mut client, "UID STORE $ +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut client, "EXPUNGE").await;
    assert!(ok(&mut client, "FETCH $ UID").await.is_empty());
    let id = ok(&mut client, "FETCH 2 EMAILID").await.remove(0);
    let id = id.split(['(', ')']).nth(2).unwrap().to_owned();
    assert_eq!(ok(&mut client, &format!("SEARCH EMAILID {id}")).await, ["SEARCH 2"]);
    assert_eq!(ok(&mut client, "SEARCH EMAILID msg_nothing").await, ["SEARCH"]);
}

#[tokio::test]
async fn what_is_kept_for_later_is_what_was_asked_for() {
    let server = Server::start().await;
    let messages: Vec<Vec<u8>> = (1..=5).map(|at| message(&format!("n{}", at % 2))).collect();
    let all: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &all).await;
    let mut client = server.inbox(&ada).await;
    // RFC 5182 §2.4.
    for (search, told, kept) in [
        ("(SAVE MIN) SUBJECT n1", ") MIN 1", "SEARCH 1"),
        ("(MAX SAVE) SUBJECT n1", ") MAX 5", "SEARCH 5"),
        ("(SAVE MIN MAX) SUBJECT n1", ") MIN 1 MAX 5", "SEARCH 1 5"),
        ("(SAVE MIN MAX) UID 2", ") MIN 2 MAX 2", "SEARCH 2"),
        ("(SAVE COUNT) SUBJECT n1", ") COUNT 3", "SEARCH 1 3 5"),
        ("(SAVE MIN COUNT) SUBJECT n1", ") MIN 1 COUNT 3", "SEARCH 1 3 5"),
        ("(SAVE MAX ALL) SUBJECT n1", ") MAX 5 ALL 1,3,5", "SEARCH 1 3 5"),
        ("(SAVE ALL COUNT) SUBJECT n1", ") COUNT 3 ALL 1,3,5", "SEARCH 1 3 5"),
        ("(SAVE MIN) SUBJECT none", ")", "SEARCH"),
    ] {
        let line = ok(&mut client, &format!("SEARCH RETURN {search}")).await.remove(0);
        let told = format!("\"{told}");
        assert!(line.starts_with("ESEARCH (TAG ") && line.ends_with(&told), "{search}: {line}");
        assert_eq!(ok(&mut client, "SEARCH $").await, [kept], "{search}");
        assert_eq!(ok(&mut client, "UID SEARCH UID $").await, [kept], "{search}");
    }
}

#[tokio::test]
async fn what_is_kept_goes_with_a_search_that_fails_and_not_with_one_that_is_none() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    let mut client = server.inbox(&ada).await;
    assert!(ok(&mut client, "SEARCH RETURN (SAVE) SUBJECT two").await.is_empty());
    // What is not to be kept changes nothing, whether it is found or not.
    assert_eq!(ok(&mut client, "SEARCH ALL").await, ["SEARCH 1 2"]);
    refused(&mut client, "SEARCH CHARSET KOI8-R TEXT a", "NO [BADCHARSET").await;
    refused(&mut client, "SEARCH RETURN (SAVE) 77", "BAD").await;
    refused(&mut client, "SEARCH RETURN (SAVE) NONSENSE", "BAD").await;
    assert_eq!(ok(&mut client, "SEARCH $").await, ["SEARCH 2"]);
    refused(&mut client, "SEARCH RETURN (SAVE) CHARSET KOI8-R TEXT a", "NO [BADCHARSET").await;
    assert_eq!(ok(&mut client, "SEARCH $").await, ["SEARCH"]);
    // It belongs to the folder that is open.
    ok(&mut client, "SEARCH RETURN (SAVE) ALL").await;
    assert_eq!(ok(&mut client, "SEARCH $").await, ["SEARCH 1 2"]);
    ok(&mut client, "SELECT INBOX").await;
    assert_eq!(ok(&mut client, "SEARCH $").await, ["SEARCH"]);
}

#[tokio::test]
async fn what_is_found_by_modification_sequence_tells_the_highest_of_what_it_tells() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two"), &message("three")]).await;
    let (mut client, mut other) = (server.inbox(&ada).await, server.inbox(&ada).await);
    ok(&mut other, "STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    let mut modseqs = Vec::new();
    for number in 1..=3 {
        let told = ok(&mut other, &format!("FETCH {number} MODSEQ")).await.pop().unwrap();
        modseqs.push(told.split(['(', ')']).nth(2).unwrap().parse::<u64>().unwrap());
    }
    let [first, second, third] = modseqs[..] else { panic!("{modseqs:?}") };
    assert!(first < third && third < second, "{modseqs:?}");
    assert_eq!(ok(&mut client, "NOOP").await, ["2 FETCH (UID 2 FLAGS (\\Flagged))"]);
    for (search, told) in [
        ("(MIN) MODSEQ 1", format!(") MIN 1 MODSEQ {first}")),
        ("(MAX) MODSEQ 1", format!(") MAX 3 MODSEQ {third}")),
        ("(MIN MAX) MODSEQ 1", format!(") MIN 1 MAX 3 MODSEQ {third}")),
        ("(MIN COUNT) MODSEQ 1", format!(") MIN 1 COUNT 3 MODSEQ {second}")),
        ("() MODSEQ 1", format!(") ALL 1:3 MODSEQ {second}")),
        ("(SAVE COUNT) NOT UID 2 MODSEQ 1", format!(") COUNT 2 MODSEQ {third}")),
        ("(ALL COUNT) MODSEQ 4000000000", ") COUNT 0".to_owned()),
        ("() ALL", ") ALL 1:3".to_owned()),
    ] {
        let line = ok(&mut client, &format!("SEARCH RETURN {search}")).await.pop().unwrap();
        let told = format!("\"{told}");
        assert!(line.starts_with("ESEARCH (TAG ") && line.ends_with(&told), "{search}: {line}");
    }
    // Who has asked for one hears of them from then on.
    ok(&mut other, "STORE 3 +FLAGS.SILENT (\\Seen)").await;
    let told = ok(&mut client, "NOOP").await;
    assert!(told[0].starts_with("3 FETCH (UID 3 FLAGS (\\Seen) MODSEQ ("), "{told:?}");
}
