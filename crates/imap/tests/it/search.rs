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
