//! Making, naming, finding and opening folders.

use crate::support::{Server, message, ok, refused, say};

#[tokio::test]
async fn a_new_mailbox_has_its_first_folders_with_their_uses() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    let mut all = ok(&mut client, "LIST \"\" *").await;
    all.sort();
    assert_eq!(
        all,
        [
            "LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"",
            "LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"",
            "LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"",
            "LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"",
            "LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"",
            "LIST (\\HasNoChildren) \"/\" INBOX",
        ]
    );
    assert_eq!(ok(&mut client, "LIST \"\" \"\"").await, ["LIST (\\Noselect) \"/\" \"\""]);
    assert_eq!(ok(&mut client, "LIST \"\" inbox").await, ["LIST (\\HasNoChildren) \"/\" INBOX"]);
    assert_eq!(
        ok(&mut client, "NAMESPACE").await,
        ["NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL"]
    );
    let sent = ok(&mut client, "LIST (SPECIAL-USE) \"\" (\"S*\" \"T*\") RETURN (STATUS (MESSAGES))").await;
    assert_eq!(sent.len(), 4, "{sent:?}");
    assert!(sent.contains(&"STATUS \"Sent\" (MESSAGES 0)".to_owned()), "{sent:?}");
}

#[tokio::test]
async fn folders_are_made_with_those_above_renamed_with_those_below_and_deleted_alone() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one")]).await;
    let mut client = server.login(&ada).await;
    let made = say(&mut client, "CREATE Work/2026/May/").await;
    assert!(made.status.starts_with("OK [MAILBOXID ("), "{made:?}");
    refused(&mut client, "CREATE Work/2026", "NO [ALREADYEXISTS]").await;
    refused(&mut client, "CREATE inbox", "NO [ALREADYEXISTS]").await;
    ok(&mut client, "CREATE INBOX/Below").await;
    let list = ok(&mut client, "LIST \"\" inbox/%").await;
    assert_eq!(list, ["LIST (\\HasNoChildren) \"/\" \"INBOX/Below\""]);
    assert_eq!(ok(&mut client, "LIST Work/ %").await, ["LIST (\\HasChildren) \"/\" \"Work/2026\""]);

    ok(&mut client, "RENAME Work Done/Past").await;
    let below = ok(&mut client, "LIST \"\" Done/*").await;
    assert_eq!(below.len(), 3, "{below:?}");
    assert!(below.iter().any(|line| line.ends_with("\"Done/Past/2026/May\"")), "{below:?}");
    refused(&mut client, "DELETE Done", "NO [HASCHILDREN]").await;
    refused(&mut client, "DELETE INBOX", "NO [CANNOT]").await;
    refused(&mut client, "DELETE Nowhere", "NO [NONEXISTENT]").await;
    ok(&mut client, "DELETE Done/Past/2026/May").await;
    refused(&mut client, "SELECT Done/Past/2026/May", "NO [NONEXISTENT]").await;

    // Of the Inbox the messages go, and it stays (RFC 9051 §6.3.6).
    ok(&mut client, "RENAME INBOX Old").await;
    assert_eq!(ok(&mut client, "STATUS Old (MESSAGES)").await, ["STATUS \"Old\" (MESSAGES 1)"]);
    assert_eq!(ok(&mut client, "STATUS INBOX (MESSAGES)").await, ["STATUS INBOX (MESSAGES 0)"]);
}

#[tokio::test]
async fn names_are_in_modified_utf_7() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    ok(&mut client, "CREATE \"Entw&APw-rfe &- B&-c\"").await;
    let found = ok(&mut client, "LIST \"\" \"Entw&APw-rfe*\"").await;
    assert_eq!(found, ["LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe &- B&-c\""]);
    let folders = mailstore::folder::list(&server.world.ctx, ada.mailbox_id).await.unwrap();
    assert!(folders.iter().any(|folder| folder.name == "Entwürfe & B&c"), "{folders:?}");
}

#[tokio::test]
async fn uses_and_subscriptions_are_the_client_s_to_set() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    refused(&mut client, "CREATE Second (USE (\\Sent))", "NO [ALREADYEXISTS]").await;
    refused(&mut client, "CREATE Odd (USE (\\Flagged))", "NO [USEATTR]").await;
    ok(&mut client, "DELETE Sent").await;
    ok(&mut client, "CREATE Second (USE (\\Sent))").await;
    assert_eq!(
        ok(&mut client, "LIST (SPECIAL-USE) \"\" S* RETURN (SUBSCRIBED)").await,
        ["LIST (\\Subscribed \\HasNoChildren \\Sent) \"/\" \"Second\""]
    );

    ok(&mut client, "CREATE Team/Plans").await;
    ok(&mut client, "UNSUBSCRIBE Team").await;
    let subscribed = ok(&mut client, "LSUB \"\" *").await;
    assert!(subscribed.contains(&"LSUB () \"/\" \"Team/Plans\"".to_owned()), "{subscribed:?}");
    assert!(!subscribed.iter().any(|line| line.ends_with("\"Team\"")), "{subscribed:?}");
    assert_eq!(ok(&mut client, "LSUB \"\" T%").await.len(), 2);
    let above = ok(&mut client, "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" Team").await;
    assert_eq!(above, ["LIST (\\HasChildren) \"/\" \"Team\" (\"CHILDINFO\" (\"SUBSCRIBED\"))"]);
}

#[tokio::test]
async fn a_name_stays_subscribed_to_without_its_folder() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    ok(&mut client, "CREATE Team/Plans/Old").await;
    ok(&mut client, "UNSUBSCRIBE Team").await;
    ok(&mut client, "DELETE Team/Plans/Old").await;
    ok(&mut client, "DELETE Team/Plans").await;
    ok(&mut client, "UNSUBSCRIBE Team/Plans").await;
    refused(&mut client, "UNSUBSCRIBE Team/Plans", "NO [NONEXISTENT]").await;
    refused(&mut client, "SELECT Team/Plans/Old", "NO [NONEXISTENT]").await;

    let gone = "(\\Subscribed \\NonExistent \\Noselect) \"/\" \"Team/Plans/Old\"";
    let told = ok(&mut client, "LIST (SUBSCRIBED) \"\" Team* RETURN (STATUS (MESSAGES))").await;
    assert_eq!(told, [format!("LIST {gone}")]);
    let told = ok(&mut client, "LSUB \"\" Team*").await;
    assert_eq!(told, ["LSUB (\\NonExistent \\Noselect) \"/\" \"Team/Plans/Old\""]);
    let told = ok(&mut client, "LIST \"\" Team* RETURN (SUBSCRIBED)").await;
    assert_eq!(told, ["LIST (\\HasNoChildren) \"/\" \"Team\""]);
    // What it lies below stands for it, also where that is no folder.
    let told = ok(&mut client, "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (Team Team/%)").await;
    assert_eq!(
        told,
        [
            "LIST (\\HasNoChildren) \"/\" \"Team\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
            "LIST (\\NonExistent \\Noselect) \"/\" \"Team/Plans\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
        ]
    );
    let told = ok(&mut client, "LSUB \"\" Team/%").await;
    assert_eq!(told, ["LSUB (\\Noselect) \"/\" \"Team/Plans\""]);
    let told = ok(&mut client, "LSUB \"\" Team%").await;
    assert_eq!(told, ["LSUB (\\Noselect) \"/\" \"Team\""]);

    ok(&mut client, "SUBSCRIBE Team/Plans/Old").await;
    refused(&mut client, "SUBSCRIBE Team/Plans/New", "NO [NONEXISTENT]").await;
    ok(&mut client, "CREATE Team/Plans/Old").await;
    let told = ok(&mut client, "LIST (SUBSCRIBED) \"\" Team/Plans/*").await;
    assert_eq!(told, ["LIST (\\Subscribed \\HasNoChildren) \"/\" \"Team/Plans/Old\""]);
    ok(&mut client, "DELETE Team/Plans/Old").await;
    ok(&mut client, "UNSUBSCRIBE Team/Plans/Old").await;
    assert_eq!(ok(&mut client, "LIST (SUBSCRIBED) \"\" Team/Plans/*").await, [""; 0]);

    ok(&mut client, "CREATE INBOX/Below").await;
    ok(&mut client, "DELETE INBOX/Below").await;
    let told = ok(&mut client, "LSUB \"\" inbox/*").await;
    assert_eq!(told, ["LSUB (\\NonExistent \\Noselect) \"/\" \"INBOX/Below\""]);
    ok(&mut client, "UNSUBSCRIBE Inbox/Below").await;
    assert_eq!(ok(&mut client, "LSUB \"\" inbox/*").await, [""; 0]);
}

#[tokio::test]
async fn opening_tells_what_is_there_and_status_without_opening() {
    let server = Server::start().await;
    let messages = ["one", "two", "three"].map(message);
    let ada = server.user_with("ada", &messages.each_ref().map(Vec::as_slice)).await;
    let mut client = server.login(&ada).await;
    let told = say(&mut client, "SELECT inbox").await;
    assert!(told.status.starts_with("OK [READ-WRITE]"), "{told:?}");
    for line in ["3 EXISTS", "0 RECENT", "OK [UNSEEN 1]", "OK [UIDNEXT 4]", "OK [PERMANENTFLAGS (\\Seen"] {
        assert!(told.untagged.iter().any(|told| told.starts_with(line)), "{line}: {told:?}");
    }
    assert!(told.has("OK [UIDVALIDITY ") && told.has("OK [HIGHESTMODSEQ ") && told.has("OK [MAILBOXID ("));
    let status = ok(&mut client, "STATUS INBOX (MESSAGES RECENT UNSEEN UIDNEXT SIZE DELETED)").await;
    let size: usize = messages.iter().map(Vec::len).sum();
    assert_eq!(
        status,
        [format!("STATUS INBOX (MESSAGES 3 RECENT 0 UNSEEN 3 UIDNEXT 4 SIZE {size} DELETED 0)")]
    );

    let told = say(&mut client, "EXAMINE INBOX").await;
    assert!(told.status.starts_with("OK [READ-ONLY]") && told.has("[CLOSED]"), "{told:?}");
    refused(&mut client, "STORE 1 +FLAGS (\\Seen)", "NO").await;
    refused(&mut client, "EXPUNGE", "NO").await;
    ok(&mut client, "FETCH 1 BODY[]").await;
    assert_eq!(ok(&mut client, "FETCH 1 FLAGS").await, ["1 FETCH (FLAGS ())"]);
    // What was open is closed also by what cannot be opened.
    refused(&mut client, "SELECT Nowhere", "NO [NONEXISTENT]").await;
    refused(&mut client, "FETCH 1 FLAGS", "BAD open a folder first").await;
}

#[tokio::test]
async fn the_quota_is_told_in_units_of_1024() {
    let server = Server::start().await;
    let ada = server.world.user("ada", Some(10_240)).await;
    let mut client = server.login(&ada).await;
    assert_eq!(ok(&mut client, "GETQUOTA \"\"").await, ["QUOTA \"\" (STORAGE 0 10)"]);
    server.deliver(ada.mailbox_id, &message("one")).await;
    assert_eq!(
        ok(&mut client, "GETQUOTAROOT INBOX").await,
        ["QUOTAROOT INBOX \"\"", "QUOTA \"\" (STORAGE 1 10)"]
    );
    refused(&mut client, "GETQUOTA other", "NO [NONEXISTENT]").await;
    // RFC 9208 §7: a root has a resource, so where nothing is limited there is none.
    let eve = server.world.user("eve", None).await;
    let mut client = server.login(&eve).await;
    assert_eq!(ok(&mut client, "GETQUOTAROOT INBOX").await, ["QUOTAROOT INBOX"]);
    refused(&mut client, "GETQUOTA \"\"", "NO [NONEXISTENT]").await;
}

#[tokio::test]
async fn a_name_is_one_however_its_letters_are_composed() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    // `a` and U+0301, and U+00E1.
    ok(&mut client, "CREATE \"a&AwE-\"").await;
    refused(&mut client, "CREATE \"&AOE-\"", "NO [ALREADYEXISTS]").await;
    for name in ["a&AwE-", "&AOE-"] {
        assert_eq!(
            ok(&mut client, &format!("LIST \"\" \"{name}\"")).await,
            ["LIST (\\HasNoChildren) \"/\" \"&AOE-\""]
        );
        ok(&mut client, &format!("SELECT \"{name}\"")).await;
    }
    ok(&mut client, "RENAME \"a&AwE-\" \"o&Awg-/below\"").await;
    ok(&mut client, "STATUS \"&APY-/below\" (MESSAGES)").await;
}

/// RFC 9051 §6.3.9.7. Clients of IMAP4rev1 know nothing of it.
#[tokio::test]
async fn who_gives_a_name_in_another_form_is_told_how_it_is_kept() {
    let server = Server::start().await;
    let ada = server.user_with("ada", &[&message("one")]).await;
    let mut client = server.login(&ada).await;
    assert!(ok(&mut client, "CREATE \"a&AwE-\"").await.is_empty());
    ok(&mut client, "ENABLE IMAP4rev2").await;
    let (given, kept) = ("Entwu\u{308}rfe", "Entwürfe");
    let old = format!("(\"OLDNAME\" (\"{given}\"))");
    let is_new = |name: &str| format!("LIST (\\HasNoChildren \\Subscribed) \"/\" \"{name}\" {old}");
    assert_eq!(ok(&mut client, &format!("CREATE \"{given}\"")).await, [is_new(kept)]);
    let told = ok(&mut client, &format!("SELECT \"{given}\"")).await;
    assert!(told.contains(&format!("LIST (\\HasNoChildren) \"/\" \"{kept}\" {old}")), "{told:?}");
    let told = ok(&mut client, &format!("SELECT \"{kept}\"")).await;
    assert!(told.contains(&format!("LIST (\\HasNoChildren) \"/\" \"{kept}\"")), "{told:?}");
    ok(&mut client, "CLOSE").await;
    assert_eq!(ok(&mut client, &format!("RENAME \"{given}\" Plans")).await, [is_new("Plans")]);
    // By a name that is as it is kept, there is nothing to tell.
    assert!(ok(&mut client, "RENAME Plans Ideas").await.is_empty());
    assert_eq!(
        ok(&mut client, &format!("RENAME Ideas \"{given}\"")).await,
        [format!("LIST (\\HasNoChildren \\Subscribed) \"/\" \"{kept}\" (\"OLDNAME\" (\"Ideas\"))")]
    );
    assert_eq!(
        ok(&mut client, &format!("DELETE \"{given}\"")).await,
        [format!("LIST (\\NonExistent \\Noselect) \"/\" \"{kept}\" {old}")]
    );
    // The Inbox stays, and what was in it is in a new folder.
    assert_eq!(ok(&mut client, &format!("RENAME INBOX \"{given}\"")).await, [is_new(kept)]);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_with_its_rule() {
    let server = Server::start().await;
    let ada = server.world.user("ada", None).await;
    let mut client = server.login(&ada).await;
    refused(&mut client, "CREATE \" lead\"", "NO [CANNOT] name: must not begin or end with a space").await;
    refused(&mut client, "CREATE x//y", "NO [CANNOT] name: must have 1 to 255 characters").await;
    ok(&mut client, "CREATE x").await;
    // Nothing is made on the way to what cannot be.
    refused(&mut client, "RENAME x x/y/z", "NO [CANNOT] a folder cannot lie below itself").await;
    refused(&mut client, "RENAME x \"new/ lead\"", "NO [CANNOT] name: must not begin or end with a space")
        .await;
    let all = ok(&mut client, "LIST \"\" (\"x*\" \"new*\")").await;
    assert_eq!(all, ["LIST (\\HasNoChildren) \"/\" \"x\""]);
}
