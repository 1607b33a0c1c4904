//! Mailboxes of others that one may change as one's own (RFC 4314).

use std::time::Duration;

use imap::Limits;
use kernel::MailboxId;
use sqlx::{Connection as _, PgConnection};
use tenancy::delegate::{self, Right};
use tenancy::mailbox::{self, Kind, NewMailbox};
use tenancy::user::{self, User};
use testkit::client::imap::Imap as Client;
use testkit::world;

use crate::support::{Server, message, ok, quick, refused, say};

const INFO: &str = "Other Users/info@acme.example";

/// A folder of the shared mailbox, as a client writes it.
fn info(folder: &str) -> String {
    format!("\"{INFO}/{folder}\"")
}

/// A mailbox that is nobody's own.
async fn shared(server: &Server, local: &str, quota_bytes: Option<i64>) -> MailboxId {
    let new = NewMailbox {
        kind: Kind::Shared,
        display_name: local.into(),
        address: format!("{local}@acme.example"),
        aliases: Vec::new(),
        quota_bytes,
    };
    mailbox::create(&server.world.ctx, new).await.unwrap().id
}

async fn give(server: &Server, mailbox_id: MailboxId, user: &User, right: Right) {
    delegate::put(&server.world.ctx, mailbox_id, user.id, &[right]).await.unwrap();
}

/// A shared mailbox with messages in it, somebody who has full access to it, and somebody who may read it.
struct Desk {
    id: MailboxId,
    ada: User,
    bob: User,
}

async fn desk(server: &Server, subjects: &[&str]) -> Desk {
    let id = shared(server, "info", None).await;
    for subject in subjects {
        server.deliver(id, &message(subject)).await;
    }
    let ada = server.user_with("ada", &[&message("own")]).await;
    let bob = server.user_with("bob", &[&message("bob's")]).await;
    give(server, id, &ada, Right::FullAccess).await;
    give(server, id, &bob, Right::Read).await;
    Desk { id, ada, bob }
}

async fn count(client: &mut Client, name: &str) -> String {
    let told = ok(client, &format!("STATUS {name} (MESSAGES)")).await.remove(0);
    let (_, count) = told.split_once("(MESSAGES ").unwrap();
    count.trim_end_matches(')').to_owned()
}

#[tokio::test]
async fn who_has_full_access_marks_and_removes_and_who_reads_is_told() {
    let server = Server::start().await;
    let Desk { ada, bob, .. } = desk(&server, &["one", "two", "three"]).await;
    let (mut full, mut reader) = (server.login(&ada).await, server.login(&bob).await);
    let inbox = info("INBOX");
    let opened = say(&mut full, &format!("SELECT {inbox}")).await;
    assert!(opened.status.starts_with("OK [READ-WRITE]"), "{opened:?}");
    assert!(opened.has("[PERMANENTFLAGS (\\Seen") && opened.has(" \\*)]"), "{opened:?}");
    let opened = say(&mut reader, &format!("SELECT {inbox}")).await;
    assert!(opened.status.starts_with("OK [READ-ONLY]") && opened.has("[PERMANENTFLAGS ()]"), "{opened:?}");
    assert_eq!(ok(&mut full, &format!("MYRIGHTS {inbox}")).await, [format!("MYRIGHTS {inbox} lrswipkxtecd")]);
    assert_eq!(ok(&mut reader, &format!("MYRIGHTS {inbox}")).await, [format!("MYRIGHTS {inbox} lr")]);

    // What one of them has seen all have.
    let told = ok(&mut full, "FETCH 1 BODY[TEXT]").await;
    assert!(told[0].contains("This is one.") && told[0].contains("\\Seen"), "{told:?}");
    assert_eq!(ok(&mut reader, "NOOP").await, ["1 FETCH (UID 1 FLAGS (\\Seen))"]);
    let told = ok(&mut reader, "FETCH 2 BODY[TEXT]").await;
    assert!(told[0].contains("This is two.") && !told[0].contains("\\Seen"), "{told:?}");

    assert_eq!(ok(&mut full, "STORE 2 +FLAGS (\\Deleted)").await, ["2 FETCH (FLAGS (\\Deleted))"]);
    assert_eq!(ok(&mut reader, "NOOP").await, ["2 FETCH (UID 2 FLAGS (\\Deleted))"]);
    for command in ["STORE 1 -FLAGS (\\Seen)", "EXPUNGE", "UID EXPUNGE 2", "MOVE 1 INBOX"] {
        refused(&mut reader, command, "NO [NOPERM]").await;
    }
    for command in [format!("COPY 1 {inbox}"), format!("CREATE {}", info("Work"))] {
        refused(&mut reader, &command, "NO [NOPERM]").await;
    }
    let appended = reader.append(&inbox, &message("no")).await.unwrap();
    assert!(appended.status.starts_with("NO [NOPERM]"), "{appended:?}");
    // Nothing goes when it is closed by who may not.
    ok(&mut reader, "CLOSE").await;
    assert_eq!(count(&mut reader, &inbox).await, "3");
    ok(&mut reader, &format!("SELECT {inbox}")).await;
    assert_eq!(ok(&mut full, "EXPUNGE").await, ["2 EXPUNGE"]);
    assert_eq!(ok(&mut reader, "NOOP").await, ["2 EXPUNGE"]);

    let appended = full.append(&format!("{inbox} (\\Flagged)"), &message("four")).await.unwrap();
    assert!(appended.status.starts_with("OK [APPENDUID "), "{appended:?}");
    assert_eq!(appended.untagged, ["3 EXISTS", "0 RECENT"]);
    assert_eq!(ok(&mut reader, "NOOP").await, ["3 EXISTS", "0 RECENT"]);
    ok(&mut full, "STORE 3 +FLAGS.SILENT (\\Deleted)").await;
    ok(&mut full, "CLOSE").await;
    assert!(ok(&mut reader, "NOOP").await.contains(&"3 EXPUNGE".to_owned()));
    let opened = say(&mut full, &format!("EXAMINE {inbox}")).await;
    assert!(opened.status.starts_with("OK [READ-ONLY]"), "{opened:?}");
    refused(&mut full, "STORE 1 -FLAGS (\\Seen)", "NO [CANNOT]").await;
}

#[tokio::test]
async fn messages_go_between_one_s_own_mailbox_and_those_of_others() {
    let server = Server::start().await;
    let Desk { ada, bob, .. } = desk(&server, &["one", "two"]).await;
    let sales = shared(&server, "sales", None).await;
    give(&server, sales, &ada, Right::FullAccess).await;
    let (inbox, sales) = (info("INBOX"), "\"Other Users/sales@acme.example/INBOX\"");
    let (mut full, mut reader) = (server.inbox(&ada).await, server.login(&bob).await);
    ok(&mut reader, &format!("SELECT {inbox}")).await;

    ok(&mut full, "STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    let moved = say(&mut full, &format!("MOVE 1 {inbox}")).await;
    assert_eq!(moved.status, "OK moved");
    assert!(moved.untagged[0].starts_with("OK [COPYUID ") && moved.untagged[0].ends_with(" 1 3] moved"));
    assert_eq!(moved.untagged[1..], ["1 EXPUNGE"]);
    assert_eq!(ok(&mut reader, "NOOP").await, ["3 EXISTS", "0 RECENT"]);
    let told = ok(&mut reader, "FETCH 3 (FLAGS BODY.PEEK[TEXT])").await;
    assert!(told[0].contains("This is own.") && told[0].contains("\\Flagged"), "{told:?}");

    ok(&mut full, &format!("SELECT {inbox}")).await;
    let moved = say(&mut full, "UID MOVE 1 INBOX").await;
    assert!(moved.untagged[0].ends_with(" 1 2] moved"), "{moved:?}");
    assert_eq!(moved.untagged[1..], ["1 EXPUNGE"]);
    assert_eq!(ok(&mut reader, "NOOP").await, ["1 EXPUNGE"]);
    assert_eq!(count(&mut full, "INBOX").await, "1");

    // From one that is another's to the next, and within it.
    let copied = say(&mut full, &format!("COPY 1 {sales}")).await;
    assert!(copied.status.starts_with("OK [COPYUID ") && copied.status.contains(" 2 1]"), "{copied:?}");
    ok(&mut full, &format!("MOVE 1 {sales}")).await;
    assert_eq!(count(&mut full, sales).await, "2");
    ok(&mut full, &format!("MOVE 1 {}", info("Archive"))).await;
    assert_eq!(count(&mut full, &inbox).await, "0");
    refused(&mut full, &format!("COPY 1:* {}", info("Nowhere")), "NO [TRYCREATE]").await;
    ok(&mut full, &format!("SELECT {sales}")).await;
    let told = ok(&mut full, "FETCH 1:2 BODY.PEEK[TEXT]").await;
    assert!(told.iter().all(|line| line.contains("This is two.")), "{told:?}");

    // Who reads has copies of their own, and puts nothing there.
    ok(&mut reader, &format!("SELECT {}", info("Archive"))).await;
    ok(&mut reader, "COPY 1 INBOX").await;
    ok(&mut reader, "SELECT INBOX").await;
    for command in ["COPY", "MOVE"] {
        refused(&mut reader, &format!("{command} 1 {inbox}"), "NO [NOPERM]").await;
    }
    assert_eq!(count(&mut reader, "INBOX").await, "2");
}

#[tokio::test]
async fn folders_are_made_renamed_subscribed_to_and_deleted() {
    let server = Server::start().await;
    let Desk { ada, bob, .. } = desk(&server, &["one", "two"]).await;
    let (mut full, mut reader) = (server.login(&ada).await, server.login(&bob).await);
    ok(&mut full, &format!("CREATE {}", info("Work/2026"))).await;
    let all = format!("LIST \"\" \"{INFO}/*\"");
    let made = format!("LIST (\\HasNoChildren) \"/\" {}", info("Work/2026"));
    assert!(ok(&mut full, &all).await.contains(&made));
    assert!(ok(&mut reader, &all).await.contains(&made));
    ok(&mut full, &format!("RENAME {} {}", info("Work"), info("Done"))).await;
    assert!(
        ok(&mut reader, &all).await.contains(&format!("LIST (\\HasNoChildren) \"/\" {}", info("Done/2026")))
    );
    for command in ["CREATE", "DELETE", "RENAME INBOX", &format!("RENAME {}", info("Done"))] {
        refused(&mut reader, &format!("{command} {}", info("Done/New")), "NO [NOPERM]").await;
    }

    // Subscriptions are the mailbox's, and for those who have none all there is counts.
    let subscribed = |folder: &str| format!("LIST (SUBSCRIBED) \"\" {}", info(folder));
    ok(&mut full, &format!("UNSUBSCRIBE {}", info("Archive"))).await;
    assert_eq!(ok(&mut full, &subscribed("Archive")).await.len(), 0);
    assert_eq!(ok(&mut reader, &subscribed("Archive")).await.len(), 1);
    ok(&mut full, &format!("SUBSCRIBE {}", info("Archive"))).await;
    assert_eq!(ok(&mut full, &subscribed("Archive")).await.len(), 1);

    refused(&mut full, &format!("DELETE {}", info("Done")), "NO [HASCHILDREN]").await;
    for folder in ["Done/2026", "Done"] {
        ok(&mut full, &format!("DELETE {}", info(folder))).await;
    }
    let gone = |folder: &str| format!("(\\Subscribed \\NonExistent \\Noselect) \"/\" {}", info(folder));
    assert_eq!(
        ok(&mut full, &subscribed("Done*")).await,
        [format!("LIST {}", gone("Done")), format!("LIST {}", gone("Done/2026"))]
    );
    assert_eq!(ok(&mut reader, &subscribed("Done*")).await.len(), 0);
    ok(&mut full, &format!("UNSUBSCRIBE {}", info("Done"))).await;
    assert_eq!(ok(&mut full, &subscribed("Done*")).await, [format!("LIST {}", gone("Done/2026"))]);
    // Of each mailbox its own.
    for command in ["CREATE Gone", "DELETE Gone"] {
        ok(&mut full, command).await;
    }
    let told =
        ok(&mut full, "LIST (SUBSCRIBED) \"\" (Gone Done* \"Other Users/*Done*\" \"Other Users/*Gone\")")
            .await;
    let mine = "LIST (\\Subscribed \\NonExistent \\Noselect) \"/\" \"Gone\"".to_owned();
    assert_eq!(told, [mine, format!("LIST {}", gone("Done/2026"))]);
    // Those that it lies below are told of once each, and as what they are.
    let told = ok(&mut full, "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"Other Users/%\"").await;
    let top = format!("LIST (\\Noselect \\HasChildren) \"/\" \"{INFO}\" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    assert_eq!(told, [top]);

    // The Inbox stays, and what was in it goes into the new folder.
    refused(&mut full, &format!("DELETE {}", info("INBOX")), "NO [CANNOT]").await;
    ok(&mut full, &format!("RENAME {} {}", info("INBOX"), info("Old"))).await;
    assert_eq!(count(&mut full, &info("Old")).await, "2");
    assert_eq!(count(&mut full, &info("INBOX")).await, "0");
}

#[tokio::test]
async fn what_is_no_folder_of_the_mailbox_cannot_be_made() {
    let server = Server::start().await;
    let Desk { ada, bob, .. } = desk(&server, &[]).await;
    let mut full = server.login(&ada).await;
    refused(&mut full, &format!("CREATE {} (USE (\\Sent))", info("Out")), "NO [USEATTR]").await;
    for name in
        ["Other Users", INFO, "Other Users/bob@acme.example/New", "Other Users/nobody@acme.example/New"]
    {
        for command in ["CREATE", "DELETE", "RENAME Drafts"] {
            refused(&mut full, &format!("{command} \"{name}\""), "NO [NOPERM]").await;
        }
        let appended = full.append(&format!("\"{name}\""), &message("lost")).await.unwrap();
        assert!(appended.status.starts_with("NO [NOPERM]"), "{name}: {appended:?}");
    }
    refused(&mut full, &format!("CREATE {}", info("")), "NO [NOPERM]").await;
    refused(&mut full, &format!("CREATE {}", info("Other Users/x")), "NO [CANNOT]").await;
    refused(&mut full, &format!("CREATE {}", info("inbox")), "NO [ALREADYEXISTS]").await;
    // A folder goes with its mailbox's.
    refused(&mut full, &format!("RENAME Drafts {}", info("Drafts too")), "NO [CANNOT]").await;
    refused(&mut full, &format!("RENAME {} Mine", info("Drafts")), "NO [CANNOT]").await;
    // There is one \Sent, and it is one's own.
    let uses = ok(&mut full, "LIST (SPECIAL-USE) \"\" *").await;
    assert_eq!(uses.iter().filter(|line| line.contains("\\Sent")).count(), 1, "{uses:?}");
    for command in ["GETACL", "SETACL"] {
        let more = if command == "SETACL" { " bob@acme.example lr" } else { "" };
        refused(&mut full, &format!("{command} {}{more}", info("INBOX")), "NO [NOPERM]").await;
    }
    assert_eq!(count(&mut server.login(&bob).await, "INBOX").await, "1");
}

#[tokio::test]
async fn the_room_is_the_mailbox_s() {
    let server = Server::start().await;
    let Desk { ada, bob, .. } = desk(&server, &[]).await;
    let id = shared(&server, "small", Some(10 << 10)).await;
    give(&server, id, &ada, Right::FullAccess).await;
    give(&server, id, &bob, Right::Read).await;
    let name = "\"Other Users/small@acme.example/INBOX\"";
    let root = "\"Other Users/small@acme.example\"";
    let mut full = server.inbox(&ada).await;
    ok(&mut full, &format!("COPY 1 {name}")).await;
    let quota = format!("QUOTA {root} (STORAGE 1 10)");
    assert_eq!(
        ok(&mut full, &format!("GETQUOTAROOT {name}")).await,
        [format!("QUOTAROOT {name} {root}"), quota.clone()]
    );
    assert_eq!(ok(&mut full, &format!("GETQUOTA {root}")).await, [quota]);
    let mut reader = server.login(&bob).await;
    assert_eq!(ok(&mut reader, &format!("GETQUOTAROOT {name}")).await, [format!("QUOTAROOT {name}")]);
    refused(&mut reader, &format!("GETQUOTA {root}"), "NO [NONEXISTENT]").await;

    let large = [message("large"), b"123456789 123456789 123456789 123456789\r\n".repeat(260)].concat();
    let appended = full.append(name, &large).await.unwrap();
    assert!(appended.status.starts_with("NO [OVERQUOTA]"), "{appended:?}");
    full.append("INBOX", &large).await.unwrap().ok().unwrap();
    for command in ["COPY", "MOVE"] {
        refused(&mut full, &format!("{command} 1:2 {name}"), "NO [OVERQUOTA]").await;
    }
    assert_eq!(count(&mut full, name).await, "1");
    assert_eq!(count(&mut full, "INBOX").await, "2");
}

/// A server whose sessions do not look for others' rights by themselves.
async fn unasked() -> Server {
    Server::with(Limits { recheck: Duration::from_secs(3600), ..quick() }).await
}

#[tokio::test]
async fn a_right_that_is_taken_ends_what_it_was_for_at_once() {
    let server = unasked().await;
    let Desk { id, ada, .. } = desk(&server, &["one", "two"]).await;
    let inbox = info("INBOX");
    for command in [
        "STORE 1 +FLAGS (\\Seen)".to_owned(),
        "EXPUNGE".to_owned(),
        "UID EXPUNGE 1:*".to_owned(),
        "MOVE 1 INBOX".to_owned(),
        format!("COPY 1 {inbox}"),
        format!("MOVE 1 {inbox}"),
        format!("CREATE {}", info("New")),
        format!("DELETE {}", info("Sent")),
        format!("RENAME {} {}", info("Sent"), info("New")),
        format!("UNSUBSCRIBE {}", info("Sent")),
        format!("APPEND {inbox} {{14+}}\r\nSubject: 1\r\n\r\n"),
    ] {
        give(&server, id, &ada, Right::FullAccess).await;
        let mut client = server.login(&ada).await;
        ok(&mut client, "SELECT INBOX").await;
        // Given in between, it is there without a new login.
        let opened = say(&mut client, &format!("SELECT {inbox}")).await;
        assert!(opened.status.starts_with("OK [READ-WRITE]"), "{opened:?}");
        ok(&mut client, "STORE 2 +FLAGS.SILENT (\\Deleted)").await;
        give(&server, id, &ada, Right::Read).await;
        let answer = say(&mut client, &command).await;
        let code = if command.starts_with("UNSUBSCRIBE") { "NO [CANNOT]" } else { "NO [NOPERM]" };
        assert!(answer.status.starts_with(code), "{command}: {answer:?}");
        assert!(answer.has("OK [READ-ONLY] "), "{command}: {answer:?}");
        assert!(answer.has("OK [PERMANENTFLAGS ()] "), "{command}: {answer:?}");
        refused(&mut client, "STORE 1 +FLAGS (\\Seen)", "NO [NOPERM]").await;
    }
    let mut client = server.login(&ada).await;
    assert_eq!(count(&mut client, &inbox).await, "2");
    assert_eq!(count(&mut client, "INBOX").await, "1");
}

#[tokio::test]
async fn who_may_only_read_any_more_marks_nothing_by_reading_and_nothing_goes() {
    let server = unasked().await;
    let Desk { id, ada, .. } = desk(&server, &["one", "two"]).await;
    let (inbox, mut client) = (info("INBOX"), server.login(&ada).await);
    ok(&mut client, &format!("SELECT {inbox}")).await;
    ok(&mut client, "STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    give(&server, id, &ada, Right::Read).await;
    let told = say(&mut client, "FETCH 1 BODY[TEXT]").await;
    assert!(told.has("This is one.") && told.has("OK [READ-ONLY] ") && !told.has("\\Seen"), "{told:?}");
    // Taken while the folder is open, nothing is expunged by closing it.
    give(&server, id, &ada, Right::FullAccess).await;
    ok(&mut client, &format!("SELECT {inbox}")).await;
    give(&server, id, &ada, Right::Read).await;
    ok(&mut client, "CLOSE").await;
    assert_eq!(count(&mut client, &inbox).await, "2");
    let opened = say(&mut client, &format!("SELECT {inbox}")).await;
    assert!(opened.status.starts_with("OK [READ-ONLY]"), "{opened:?}");

    // Nothing is left of it at all, and nothing is kept of it.
    for command in ["STORE 1 +FLAGS (\\Seen)", "COPY 1 INBOX"] {
        let mut client = server.login(&ada).await;
        give(&server, id, &ada, Right::FullAccess).await;
        ok(&mut client, &format!("SELECT {inbox}")).await;
        delegate::remove(&server.world.ctx, id, ada.id).await.unwrap();
        client.send(format!("x {command}\r\n").as_bytes()).await.unwrap();
        assert_eq!(client.rest().await.unwrap(), "* BYE the folder is not there any more\r\n", "{command}");
    }
    assert_eq!(count(&mut server.login(&ada).await, "INBOX").await, "1");
    let mut client = server.inbox(&ada).await;
    refused(&mut client, &format!("COPY 1 {inbox}"), "NO [NOPERM]").await;
    refused(&mut client, &format!("CREATE {}", info("New")), "NO [NOPERM]").await;
}

/// Makes the one message of a mailbox so many, all of one body.
async fn fill(server: &Server, mailbox_id: MailboxId, count: i64) {
    let mut tx = server.world.ctx.begin().await.unwrap();
    for statement in [
        "insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes, wire_size_bytes, internal_date)
         select tenant_id, mailbox_id, gen_random_uuid(), folder_id, n, 'fill' || n, modseq, blob_id, size_bytes, wire_size_bytes, internal_date
         from messages, generate_series(2::bigint, $2) n where mailbox_id = $1",
        "update folders set uid_next = $2 + 1, message_count = $2, unseen_count = $2, size_bytes = size_bytes * $2
         where mailbox_id = $1 and role = 'inbox'",
    ] {
        sqlx::query(statement).bind(mailbox_id.uuid()).bind(count).execute(tx.conn()).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Until a statement waits for a lock.
async fn somebody_waits(server: &Server) {
    let mut connection = PgConnection::connect(&server.world.test_db.url()).await.unwrap();
    let sql = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    let waits = async {
        while !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut connection).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("nobody waits for a lock");
}

#[tokio::test]
async fn a_right_that_is_taken_while_many_are_marked_ends_it_with_those_under_way() {
    let server = unasked().await;
    let Desk { id, ada, .. } = desk(&server, &["one"]).await;
    fill(&server, id, 5_001).await;
    let mut client = server.login(&ada).await;
    ok(&mut client, &format!("SELECT {}", info("INBOX"))).await;
    // The first of them wait for their mailbox, with a right that is there when they begin.
    let mut holder = server.world.ctx.begin().await.unwrap();
    let hold = sqlx::query("select id from mailboxes where id = $1 for no key update").bind(id.uuid());
    hold.execute(holder.conn()).await.unwrap();
    let tag = client.begin("STORE 1:* +FLAGS.SILENT (\\Flagged)").await.unwrap();
    somebody_waits(&server).await;
    let take = sqlx::query("update mailbox_delegates set rights = '{read}' where user_id = $1");
    assert_eq!(take.bind(ada.id.uuid()).execute(holder.conn()).await.unwrap().rows_affected(), 1);
    holder.commit().await.unwrap();
    let answer = client.answer(&tag).await.unwrap();
    assert!(answer.status.starts_with("NO [NOPERM]") && answer.has("OK [READ-ONLY] "), "{answer:?}");
    let told = ok(&mut client, "UID SEARCH RETURN (COUNT) FLAGGED").await;
    assert!(told[0].ends_with(" COUNT 5000"), "{told:?}");
}

#[tokio::test]
async fn nobody_else_gets_in() {
    let server = Server::start().await;
    let Desk { id, .. } = desk(&server, &["one"]).await;
    let colleague = server.world.user("cleo", None).await;
    let mut new = world::new_user("admin@acme.example", None);
    new.role = tenancy::Role::TenantAdmin;
    let admin = user::create(&server.world.ctx, new).await.unwrap();
    let sender = server.world.user("dora", None).await;
    give(&server, id, &sender, Right::SendAs).await;
    let other = world::tenant(&server.world.operator, &server.world.reseller, "Other").await;
    let other = server.world.operator.enter(other.id).await.unwrap();
    world::domain(&other, "other.example").await;
    let stranger = world::user(&other, "eve@other.example", None).await;
    for user in [&colleague, &admin, &sender, &stranger] {
        let mut client = server.login(user).await;
        client.append("INBOX", &message("own")).await.unwrap().ok().unwrap();
        ok(&mut client, "SELECT INBOX").await;
        for command in ["COPY 1", "MOVE 1", "CREATE", "DELETE", "RENAME Drafts"] {
            refused(&mut client, &format!("{command} {}", info("INBOX")), "NO [NOPERM]").await;
        }
        let appended = client.append(&info("INBOX"), &message("no")).await.unwrap();
        assert!(appended.status.starts_with("NO [NOPERM]"), "{}: {appended:?}", user.address);
        for command in ["SELECT", "EXAMINE", "MYRIGHTS", "SUBSCRIBE", "GETQUOTAROOT"] {
            refused(&mut client, &format!("{command} {}", info("INBOX")), "NO [NONEXISTENT]").await;
        }
        refused(&mut client, &format!("GETQUOTA \"{INFO}\""), "NO [NONEXISTENT]").await;
        assert_eq!(count(&mut client, "INBOX").await, "1");
    }
    // By IMAP an administrator who may read does no more, either.
    give(&server, id, &admin, Right::Read).await;
    let mut client = server.login(&admin).await;
    let opened = say(&mut client, &format!("SELECT {}", info("INBOX"))).await;
    assert!(opened.status.starts_with("OK [READ-ONLY]") && opened.has("1 EXISTS"), "{opened:?}");
    refused(&mut client, "STORE 1 +FLAGS (\\Seen)", "NO [NOPERM]").await;
}

/// What is the same of a message and its copies.
async fn email_id(client: &mut Client, number: u32) -> String {
    let told = ok(client, &format!("FETCH {number} EMAILID")).await.remove(0);
    told.split(['(', ')']).nth(2).unwrap().to_owned()
}

#[tokio::test]
async fn a_copy_has_the_email_id_of_what_it_was_made_of_wherever_it_is() {
    let server = Server::start().await;
    let Desk { ada, .. } = desk(&server, &["one", "two"]).await;
    let mut client = server.login(&ada).await;
    let inbox = info("INBOX");
    ok(&mut client, &format!("SELECT {inbox}")).await;
    let (one, two) = (email_id(&mut client, 1).await, email_id(&mut client, 2).await);
    assert_ne!(one, two);
    ok(&mut client, &format!("COPY 1 {inbox}")).await;
    assert_eq!(ok(&mut client, &format!("SEARCH EMAILID {one}")).await, ["SEARCH 1 3"]);
    ok(&mut client, "COPY 1 INBOX").await;
    ok(&mut client, "MOVE 2 INBOX").await;
    ok(&mut client, "SELECT INBOX").await;
    assert_eq!([email_id(&mut client, 2).await, email_id(&mut client, 3).await], [one.clone(), two.clone()]);
    ok(&mut client, "MOVE 2 Drafts").await;
    ok(&mut client, "SELECT Drafts").await;
    assert_eq!(email_id(&mut client, 1).await, one);
    assert_eq!(ok(&mut client, &format!("SEARCH OR EMAILID {one} EMAILID {two}")).await, ["SEARCH 1"]);
}
