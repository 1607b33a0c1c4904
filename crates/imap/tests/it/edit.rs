//! Marking, moving, copying and deleting.

use crate::support::{Server, message, ok, refused, say};

#[tokio::test]
async fn flags_are_set_taken_and_replaced() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    let mut client = server.inbox(&ada).await;
    assert_eq!(
        ok(&mut client, "STORE 1:2 +FLAGS (\\Seen $Forwarded)").await,
        ["1 FETCH (FLAGS (\\Seen $Forwarded))", "2 FETCH (FLAGS (\\Seen $Forwarded))"]
    );
    assert_eq!(ok(&mut client, "UID STORE 1 -FLAGS $forwarded").await, ["1 FETCH (UID 1 FLAGS (\\Seen))"]);
    assert_eq!(
        ok(&mut client, "STORE 1 FLAGS (\\Flagged \\Draft)").await,
        ["1 FETCH (FLAGS (\\Flagged \\Draft))"]
    );
    assert!(ok(&mut client, "STORE 1 FLAGS.SILENT ()").await.is_empty());
    assert_eq!(ok(&mut client, "FETCH 1 FLAGS").await, ["1 FETCH (FLAGS ())"]);
    refused(&mut client, "STORE 1 +FLAGS (\\Nonsense)", "BAD").await;
    refused(&mut client, &format!("STORE 1 +FLAGS ({})", "x".repeat(101)), "NO [CANNOT]").await;
    let many: Vec<String> = (0..101).map(|at| format!("k{at}")).collect();
    refused(&mut client, &format!("STORE 1 +FLAGS ({})", many.join(" ")), "NO [LIMIT]").await;
    assert_eq!(ok(&mut client, "FETCH 1 FLAGS").await, ["1 FETCH (FLAGS ())"]);
}

#[tokio::test]
async fn who_asks_for_modification_sequences_is_told_them() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    let mut client = server.login(&ada).await;
    assert_eq!(ok(&mut client, "ENABLE CONDSTORE X-OTHER").await, ["ENABLED CONDSTORE"]);
    let highest = |lines: &[String]| -> u64 {
        let line = lines.iter().find_map(|line| line.split_once("[HIGHESTMODSEQ ")).unwrap().1;
        line.split(']').next().unwrap().parse().unwrap()
    };
    let before = highest(&ok(&mut client, "SELECT INBOX (CONDSTORE)").await);
    let told = ok(&mut client, "STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    assert!(told[0].starts_with("2 FETCH (UID 2 MODSEQ ("), "{told:?}");
    let changed = ok(&mut client, &format!("FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")).await;
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].starts_with("2 FETCH (MODSEQ (") && changed[0].contains("\\Flagged"), "{changed:?}");

    // The second was changed after what the client has seen; the first was not.
    let answer =
        say(&mut client, &format!("UID STORE 1:2 (UNCHANGEDSINCE {before}) +FLAGS (\\Answered)")).await;
    assert!(answer.status.starts_with("OK [MODIFIED 2]"), "{answer:?}");
    assert_eq!(answer.untagged.len(), 1, "{answer:?}");
    assert!(answer.has("1 FETCH (UID 1 FLAGS (\\Answered) MODSEQ ("));
    let found = ok(&mut client, &format!("SEARCH MODSEQ {}", before + 1)).await;
    assert!(found[0].starts_with("SEARCH 1 2 (MODSEQ "), "{found:?}");
    // RFC 7162 §3.2.4: what is told of a change has the UID as well, which an answer to a question alone has not.
    let told = ok(&mut client, "STORE 1 +FLAGS (\\Draft)").await;
    assert!(told[0].starts_with("1 FETCH (UID 1 FLAGS (\\Answered \\Draft) MODSEQ ("), "{told:?}");
    let told = ok(&mut client, "FETCH 1 BODY[TEXT]").await;
    assert!(
        told[0].starts_with("1 FETCH (UID 1 FLAGS (\\Seen \\Answered \\Draft) MODSEQ (")
            && told[0].contains(") BODY[TEXT] "),
        "{told:?}"
    );
    assert!(ok(&mut client, "FETCH 1 BODY[TEXT]").await[0].starts_with("1 FETCH (BODY[TEXT] "));
    assert!(highest(&ok(&mut client, "SELECT INBOX").await) > before);
}

/// RFC 7162 §3.1.
#[tokio::test]
async fn the_first_that_asks_for_modification_sequences_is_told_the_highest_of_the_open_folder() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    for command in [
        "ENABLE CONDSTORE",
        "ENABLE QRESYNC",
        "STATUS Drafts (HIGHESTMODSEQ)",
        "FETCH 1 MODSEQ",
        "FETCH 1:2 (FLAGS) (CHANGEDSINCE 1)",
        "STORE 1 (UNCHANGEDSINCE 9000000000000000000) +FLAGS.SILENT (\\Seen)",
        "SEARCH MODSEQ 1",
        "SORT (ARRIVAL) UTF-8 MODSEQ 1",
    ] {
        let mut client = server.login(&ada).await;
        let opened = ok(&mut client, "SELECT INBOX").await;
        let highest = opened.iter().find(|line| line.starts_with("OK [HIGHESTMODSEQ ")).unwrap();
        let told = ok(&mut client, command).await;
        assert_eq!(&told[0], highest, "{command}: {told:?}");
        assert!(told.len() > 1, "{command}: {told:?}");
        let again = ok(&mut client, command).await;
        assert!(!again.iter().any(|line| line.starts_with("OK ")), "{command}: {again:?}");
    }
    // What is opened with it says so itself, once.
    let mut client = server.login(&ada).await;
    for command in ["SELECT INBOX (CONDSTORE)", "SELECT INBOX"] {
        let told = ok(&mut client, command).await;
        assert_eq!(told.iter().filter(|line| line.starts_with("OK [HIGHESTMODSEQ ")).count(), 1, "{told:?}");
        assert!(ok(&mut client, "FETCH 1 MODSEQ").await[0].starts_with("1 FETCH (MODSEQ ("));
    }
}

#[tokio::test]
async fn moves_and_copies_tell_which_is_which() {
    let server = Server::start().await;
    let messages = ["one", "two", "three"].map(message);
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    let copied = say(&mut client, "COPY 1:2 Archive").await;
    let (code, validity) = (copied.status.clone(), copied.status.split(' ').nth(2).unwrap().to_owned());
    assert!(code.starts_with(&format!("OK [COPYUID {validity} 1:2 1:2]")), "{copied:?}");
    let moved = say(&mut client, "UID MOVE 2:3 Archive").await;
    assert_eq!(
        moved.untagged,
        [format!("OK [COPYUID {validity} 2:3 3:4] moved"), "3 EXPUNGE".into(), "2 EXPUNGE".into()]
    );
    refused(&mut client, "COPY 1 Nowhere", "NO [TRYCREATE]").await;
    assert!(ok(&mut client, "UID COPY 77 Archive").await.is_empty());
    assert_eq!(
        ok(&mut client, "STATUS Archive (MESSAGES UNSEEN)").await,
        ["STATUS \"Archive\" (MESSAGES 4 UNSEEN 4)"]
    );
    ok(&mut client, "SELECT Archive").await;
    let flags = ok(&mut client, "FETCH 1:* FLAGS").await;
    assert_eq!(flags.iter().filter(|line| line.contains("\\Flagged")).count(), 2, "{flags:?}");
}

#[tokio::test]
async fn what_is_moved_to_where_it_is_gets_a_new_uid_there() {
    let server = Server::start().await;
    let messages = ["one", "two", "three"].map(message);
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let (mut one, mut two) = (server.inbox(&ada).await, server.inbox(&ada).await);
    ok(&mut one, "STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    ok(&mut two, "ENABLE QRESYNC").await;
    ok(&mut two, "NOOP").await;
    let moved = say(&mut one, "MOVE 1:2 INBOX").await;
    assert_eq!(moved.status, "OK moved");
    let validity = moved.untagged[0].split(' ').nth(2).unwrap().to_owned();
    assert_eq!(
        moved.untagged,
        [
            format!("OK [COPYUID {validity} 1:2 4:5] moved"),
            "2 EXPUNGE".into(),
            "1 EXPUNGE".into(),
            "3 EXISTS".into(),
            "0 RECENT".into()
        ]
    );
    assert_eq!(
        ok(&mut one, "FETCH 1:* (UID FLAGS)").await,
        ["1 FETCH (UID 3 FLAGS ())", "2 FETCH (UID 4 FLAGS ())", "3 FETCH (UID 5 FLAGS (\\Flagged))"]
    );
    assert!(ok(&mut one, "FETCH 3 BODY.PEEK[TEXT]").await[0].contains("This is two."));
    assert_eq!(ok(&mut two, "NOOP").await, ["VANISHED 1:2", "3 EXISTS", "0 RECENT"]);

    let moved = say(&mut two, "UID MOVE 3,77 INBOX").await;
    assert!(moved.status.starts_with("OK [HIGHESTMODSEQ "), "{moved:?}");
    assert_eq!(
        moved.untagged,
        [
            format!("OK [COPYUID {validity} 3 6] moved"),
            "VANISHED 3".into(),
            "3 EXISTS".into(),
            "0 RECENT".into()
        ]
    );
    let mut other = server.login(&ada).await;
    assert_eq!(
        ok(&mut other, "STATUS INBOX (MESSAGES UNSEEN UIDNEXT)").await,
        ["STATUS INBOX (MESSAGES 3 UNSEEN 3 UIDNEXT 7)"]
    );
    ok(&mut other, "EXAMINE INBOX").await;
    refused(&mut other, "MOVE 1 INBOX", "NO [CANNOT]").await;
}

#[tokio::test]
async fn what_is_copied_over_the_quota_is_refused_whole() {
    let server = Server::start().await;
    let one = message("one");
    let ada = server.world.user("ada", Some(one.len() as i64 * 5 / 2)).await;
    server.deliver(ada.mailbox_id, &one).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "COPY 1 Archive").await;
    refused(&mut client, "COPY 1 Archive", "NO [OVERQUOTA]").await;
    let appended = client.append("Archive", &one).await.unwrap();
    assert!(appended.status.starts_with("NO [OVERQUOTA]"), "{appended:?}");
    assert_eq!(ok(&mut client, "STATUS Archive (MESSAGES)").await, ["STATUS \"Archive\" (MESSAGES 1)"]);
    // A move takes no room.
    ok(&mut client, "MOVE 1 Archive").await;
}

#[tokio::test]
async fn expunging_takes_what_is_marked_and_of_a_set_no_more() {
    let server = Server::start().await;
    let messages: Vec<Vec<u8>> = (1..=5).map(|at| message(&at.to_string())).collect();
    let all: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &all).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "STORE 1,2,4 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(ok(&mut client, "UID EXPUNGE 2:3").await, ["2 EXPUNGE"]);
    assert_eq!(
        ok(&mut client, "STATUS INBOX (MESSAGES DELETED)").await,
        ["STATUS INBOX (MESSAGES 4 DELETED 2)"]
    );
    // CLOSE says nothing of what goes, and EXAMINE's leaves it.
    ok(&mut client, "EXAMINE INBOX").await;
    assert!(ok(&mut client, "CLOSE").await.is_empty());
    ok(&mut client, "SELECT INBOX").await;
    ok(&mut client, "UNSELECT").await;
    assert_eq!(ok(&mut client, "STATUS INBOX (MESSAGES)").await, ["STATUS INBOX (MESSAGES 4)"]);
    ok(&mut client, "SELECT INBOX").await;
    ok(&mut client, "CLOSE").await;
    assert_eq!(ok(&mut client, "STATUS INBOX (MESSAGES)").await, ["STATUS INBOX (MESSAGES 2)"]);
    // They are recoverable as whatever else is deleted.
    let filter =
        mailstore::message::Filter { state: mailstore::message::State::Recoverable, ..Default::default() };
    let page = kernel::PageRequest::new(None, None);
    let gone =
        mailstore::message::list(&server.login_of(&ada).await.ctx, ada.mailbox_id, filter, &page).await;
    assert_eq!(gone.unwrap().items.len(), 3);
}

#[tokio::test]
async fn what_changed_nothing_hides_nothing() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    let (mut one, mut two) = (server.inbox(&ada).await, server.inbox(&ada).await);
    ok(&mut one, "STORE 1 +FLAGS (\\Seen)").await;
    ok(&mut two, "NOOP").await;
    // It changes nothing, and the next change has the number that this one would have had.
    let tag = two.begin("STORE 1 +FLAGS (\\Seen)").await.unwrap();
    assert!(two.answer(&tag).await.unwrap().status.starts_with("OK"));
    ok(&mut one, "STORE 2 +FLAGS (\\Flagged)").await;
    assert_eq!(ok(&mut two, "NOOP").await, ["2 FETCH (UID 2 FLAGS (\\Flagged))"]);
}

#[tokio::test]
async fn what_has_left_the_folder_is_not_moved_out_of_another() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two")]).await;
    let (mut one, mut two) = (server.inbox(&ada).await, server.inbox(&ada).await);
    ok(&mut one, "UID MOVE 1 Archive").await;
    let answer = say(&mut two, "UID MOVE 1:2 Trash").await;
    assert!(answer.has("COPYUID") && answer.has(" 2 1] moved"), "{answer:?}");
    assert_eq!(ok(&mut one, "STATUS Archive (MESSAGES)").await[0], "STATUS \"Archive\" (MESSAGES 1)");
    let answer = say(&mut two, "UID COPY 1 Trash").await;
    assert_eq!(answer.status, "OK copied", "{answer:?}");
}

#[tokio::test]
async fn keywords_are_told_before_a_message_has_one() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one")]).await;
    let (mut one, mut two) = (server.inbox(&ada).await, server.inbox(&ada).await);
    let told = ok(&mut one, "STORE 1 +FLAGS (Blue)").await;
    assert!(told[0].starts_with("FLAGS (\\Seen ") && told[0].contains("Blue"), "{told:?}");
    assert_eq!(told[1], "1 FETCH (FLAGS (Blue))");
    let told = ok(&mut two, "NOOP").await;
    assert!(told[0].starts_with("FLAGS (") && told[1] == "1 FETCH (UID 1 FLAGS (Blue))", "{told:?}");
    let told = ok(&mut two, "SELECT INBOX").await;
    assert!(told.iter().any(|line| line.starts_with("FLAGS (") && line.contains("Blue")), "{told:?}");
    assert_eq!(
        ok(&mut two, "STATUS INBOX (DELETED DELETED-STORAGE)").await,
        ["STATUS INBOX (DELETED 0 DELETED-STORAGE 0)"]
    );
}
