//! Coming back to a folder (RFC 7162 §3.2).

use std::fs;

use mailstore::change::{KEPT, expire};
use mailstore::import::{self, Filing};

use crate::support::{Server, message, ok, refused};

#[tokio::test]
async fn who_comes_back_is_told_what_was_missed_and_no_more() {
    let server = Server::start().await;
    let messages: Vec<Vec<u8>> = (1..=6).map(|number| message(&format!("m{number}"))).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let ada = server.user_with("ada", &messages).await;
    let mut away = server.inbox(&ada).await;
    refused(&mut away, "SELECT INBOX (QRESYNC (1 1))", "BAD").await;
    // What is no command closes nothing.
    ok(&mut away, "NOOP").await;
    ok(&mut away, "FETCH 1 UID").await;
    let told = ok(&mut away, "ENABLE QRESYNC").await;
    assert!(told[0].starts_with("OK [HIGHESTMODSEQ "), "{told:?}");
    assert_eq!(told[1..], ["ENABLED QRESYNC"]);
    let opened = ok(&mut away, "SELECT INBOX").await;
    let number = |code: &str| {
        let line = opened.iter().find_map(|line| line.strip_prefix(&format!("OK [{code} "))).unwrap();
        line.split(']').next().unwrap().parse::<u64>().unwrap()
    };
    let (validity, modseq) = (number("UIDVALIDITY"), number("HIGHESTMODSEQ"));
    ok(&mut away, "UNSELECT").await;

    let mut other = server.inbox(&ada).await;
    ok(&mut other, "STORE 2,3 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut other, "EXPUNGE").await;
    ok(&mut other, "UID STORE 5 +FLAGS.SILENT (\\Flagged)").await;
    ok(&mut other, "CREATE Elsewhere").await;
    ok(&mut other, "UID MOVE 6 Elsewhere").await;
    server.deliver(ada.mailbox_id, &message("m7")).await;

    let select = format!("SELECT INBOX (QRESYNC ({validity} {modseq}");
    let told = ok(&mut away, &format!("{select}))")).await;
    assert!(told.contains(&"VANISHED (EARLIER) 2:3,6".to_owned()), "{told:?}");
    let fetched: Vec<_> = told.iter().filter(|line| line.contains(" FETCH ")).collect();
    assert!(fetched[0].starts_with("3 FETCH (UID 5 FLAGS (\\Flagged) MODSEQ ("), "{told:?}");
    assert!(fetched[1].starts_with("4 FETCH (UID 7 FLAGS () MODSEQ ("), "{told:?}");
    assert_eq!(fetched.len(), 2);
    // Only of what it knows.
    let told = ok(&mut away, &format!("{select} 1:5 (1:5 1:5)))")).await;
    assert!(told.contains(&"VANISHED (EARLIER) 2:3".to_owned()), "{told:?}");
    assert_eq!(told.iter().filter(|line| line.contains(" FETCH ")).count(), 1);
    // Another UIDVALIDITY: nothing that it knows is worth anything.
    let told = ok(&mut away, &format!("SELECT INBOX (QRESYNC ({} {modseq}))", validity + 1)).await;
    assert!(!told.iter().any(|line| line.contains("VANISHED") || line.contains("FETCH")), "{told:?}");

    let told = ok(&mut away, &format!("UID FETCH 1:3 (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await;
    assert_eq!(told, ["VANISHED (EARLIER) 2:3"]);
    refused(&mut away, &format!("FETCH 1:3 (FLAGS) (CHANGEDSINCE {modseq} VANISHED)"), "BAD").await;
    refused(&mut away, "UID FETCH 1:3 (FLAGS) (VANISHED)", "BAD").await;
}

#[tokio::test]
async fn who_was_away_for_too_long_is_told_of_all_that_is_not_there() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two"), &message("three")]).await;
    let mut client = server.inbox(&ada).await;
    ok(&mut client, "STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut client, "EXPUNGE").await;
    server.world.test_db.clock().advance(KEPT + chrono::TimeDelta::days(1));
    expire(&server.world.test_db.db()).await.unwrap();
    ok(&mut client, "ENABLE QRESYNC").await;
    let told = ok(&mut client, "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)").await;
    assert!(told[0].starts_with("VANISHED (EARLIER) 1,3"), "{told:?}");
}

#[tokio::test]
async fn who_knows_uids_hears_of_uids() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one"), &message("two"), &message("three")]).await;
    let (mut one, mut two) = (server.inbox(&ada).await, server.inbox(&ada).await);
    for client in [&mut one, &mut two] {
        ok(client, "ENABLE QRESYNC CONDSTORE NOTHING").await;
    }
    let told = ok(&mut one, "STORE 1:2 +FLAGS (\\Deleted)").await;
    assert!(told[0].starts_with("1 FETCH (UID 1 FLAGS (\\Deleted) MODSEQ ("), "{told:?}");
    let answer = one.command("EXPUNGE").await.unwrap();
    assert_eq!(answer.untagged, ["VANISHED 1:2"]);
    let modseq =
        answer.status.strip_prefix("OK [HIGHESTMODSEQ ").unwrap().split(']').next().unwrap().to_owned();
    let status = ok(&mut two, "STATUS INBOX (HIGHESTMODSEQ)").await;
    assert!(status.contains(&format!("STATUS INBOX (HIGHESTMODSEQ {modseq})")), "{status:?} {modseq}");
    assert!(status.contains(&"VANISHED 1:2".to_owned()), "{status:?}");
    // What is not told yet is not known: no modification sequence is named beyond it.
    ok(&mut two, "UID STORE 3 +FLAGS (\\Seen)").await;
    let answer = one.command("EXPUNGE").await.unwrap();
    assert!(answer.untagged[0].starts_with("1 FETCH (UID 3 FLAGS (\\Seen)"), "{answer:?}");
    assert!(answer.status.starts_with("OK [HIGHESTMODSEQ "), "{answer:?}");
}

#[tokio::test]
async fn who_knows_an_imported_folder_from_another_server_is_told_of_all_that_is_other_here() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[]).await;
    let (mut open, mut elsewhere) = (server.inbox(&ada).await, server.login(&ada).await);
    ok(&mut elsewhere, "SELECT Sent").await;
    let maildir = tempfile::tempdir().unwrap();
    for part in ["cur", "new"] {
        fs::create_dir(maildir.path().join(part)).unwrap();
    }
    for (name, subject) in [("cur/a:2,S", "one"), ("cur/b:2,", "two")] {
        fs::write(maildir.path().join(name), message(subject)).unwrap();
    }
    let list = "3 V1275660208 N40 G3085f01b7f11094c501100008c4a11c1\n5 :a\n30 :b\n";
    fs::write(maildir.path().join("dovecot-uidlist"), list).unwrap();
    let paths = vec![maildir.path().to_owned()];
    import::run(&server.store, &server.world.ctx, ada.mailbox_id, Filing::AsFound, paths, |_| {})
        .await
        .unwrap();

    // The folder that is open is not that one any more; another one still is.
    open.send(b"x NOOP\r\n").await.unwrap();
    let rest = open.rest().await.unwrap();
    assert!(rest.contains("* BYE the folder is not there any more") && !rest.contains("EXISTS"), "{rest}");
    ok(&mut elsewhere, "NOOP").await;

    let mut client = server.login(&ada).await;
    ok(&mut client, "ENABLE QRESYNC").await;
    // As few changes as that server had seen, or more than this one.
    for modseq in ["1", "77", "9000000000000000000"] {
        let told = ok(&mut client, &format!("SELECT INBOX (QRESYNC (1275660208 {modseq} 1:39))")).await;
        assert!(told.iter().any(|line| line.starts_with("OK [UIDVALIDITY 1275660208]")), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("OK [UIDNEXT 31]")), "{told:?}");
        assert!(told.contains(&"VANISHED (EARLIER) 1:4,6:29,31:39".to_owned()), "{told:?}");
        let fetched: Vec<_> = told.iter().filter(|line| line.contains(" FETCH ")).collect();
        assert_eq!(fetched.len(), 2, "{told:?}");
        assert!(fetched[0].starts_with("1 FETCH (UID 5 FLAGS (\\Seen) MODSEQ ("), "{told:?}");
        assert!(fetched[1].starts_with("2 FETCH (UID 30 FLAGS () MODSEQ ("), "{told:?}");
        let told = ok(&mut client, &format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})")).await;
        assert_eq!(told.iter().filter(|line| line.contains(" FETCH ")).count(), 2, "{modseq}: {told:?}");
    }
}
