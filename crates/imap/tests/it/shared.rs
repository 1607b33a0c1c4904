//! Mailboxes of others (RFC 4314, RFC 2342).

use tenancy::delegate::{self, Right};
use testkit::client::imap::Imap as Client;

use crate::support::{Server, message, ok, refused};

/// A client of Ada's, who may read Bob's mailbox, in which there are two messages.
async fn ada_and_bob(server: &Server) -> (Client, tenancy::user::User, tenancy::user::User) {
    let ada = server.user_with("ada", &[&message("own")]).await;
    let bob = server.user_with("bob", &[&message("one"), &message("two")]).await;
    delegate::put(&server.world.ctx, bob.mailbox_id, ada.id, &[Right::Read]).await.unwrap();
    (server.login(&ada).await, ada, bob)
}

#[tokio::test]
async fn a_delegate_sees_the_folders_of_the_other() {
    let server = Server::start().await;
    let (mut client, ..) = ada_and_bob(&server).await;
    server.user_with("eve", &[]).await;
    assert_eq!(
        ok(&mut client, "NAMESPACE").await,
        ["NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL"]
    );
    let listed = ok(&mut client, "LIST \"\" *").await;
    let others: Vec<_> =
        listed.iter().filter(|line| line.contains("Other Users")).map(String::as_str).collect();
    assert!(
        others.contains(&"LIST (\\HasNoChildren) \"/\" \"Other Users/bob@acme.example/INBOX\""),
        "{others:?}"
    );
    assert!(
        others.contains(&"LIST (\\HasNoChildren) \"/\" \"Other Users/bob@acme.example/Sent\""),
        "{others:?}"
    );
    assert!(
        others.contains(&"LIST (\\Noselect \\HasChildren) \"/\" \"Other Users/bob@acme.example\""),
        "{others:?}"
    );
    assert!(!listed.iter().any(|line| line.contains("eve@")), "{listed:?}");
    assert_eq!(ok(&mut client, "LIST \"\" INBOX").await.len(), 1);
    // Level by level, as clients open trees.
    assert!(
        ok(&mut client, "LIST \"\" %")
            .await
            .contains(&"LIST (\\Noselect \\HasChildren) \"/\" \"Other Users\"".to_owned())
    );
    assert_eq!(
        ok(&mut client, "LIST \"Other Users/\" %").await,
        ["LIST (\\Noselect \\HasChildren) \"/\" \"Other Users/bob@acme.example\""]
    );
    assert!(
        ok(&mut client, "LSUB \"\" \"Other Users/*\"")
            .await
            .contains(&"LSUB () \"/\" \"Other Users/bob@acme.example/INBOX\"".to_owned())
    );
    let told = ok(&mut client, "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %").await;
    assert!(
        told.contains(
            &"LIST (\\Noselect \\HasChildren) \"/\" \"Other Users\" (\"CHILDINFO\" (\"SUBSCRIBED\"))"
                .to_owned()
        ),
        "{told:?}"
    );
    // There is one \Sent, and it is one's own.
    assert_eq!(
        ok(&mut client, "LIST (SPECIAL-USE) \"\" *")
            .await
            .iter()
            .filter(|line| line.contains("\\Sent"))
            .count(),
        1
    );
    let name = "\"Other Users/bob@acme.example/INBOX\"";
    assert_eq!(
        ok(&mut client, &format!("STATUS {name} (MESSAGES)")).await,
        [format!("STATUS {name} (MESSAGES 2)")]
    );
    assert_eq!(ok(&mut client, &format!("MYRIGHTS {name}")).await, [format!("MYRIGHTS {name} lr")]);
    assert_eq!(ok(&mut client, "MYRIGHTS INBOX").await, ["MYRIGHTS INBOX lrswipkxtecd"]);
    assert_eq!(ok(&mut client, &format!("GETQUOTAROOT {name}")).await, [format!("QUOTAROOT {name}")]);
    ok(&mut client, &format!("SUBSCRIBE {name}")).await;
    refused(&mut client, &format!("UNSUBSCRIBE {name}"), "NO [CANNOT]").await;
    refused(&mut client, "STATUS \"Other Users/eve@acme.example/INBOX\" (MESSAGES)", "NO [NONEXISTENT]")
        .await;
    refused(&mut client, "SELECT \"Other Users/bob@acme.example\"", "NO [NONEXISTENT]").await;
}

#[tokio::test]
async fn a_delegate_reads_and_changes_nothing() {
    let server = Server::start().await;
    let (mut client, _, bob) = ada_and_bob(&server).await;
    let name = "\"Other Users/bob@acme.example/INBOX\"";
    let answer = client.command(&format!("SELECT {name}")).await.unwrap();
    assert!(answer.status.starts_with("OK [READ-ONLY]") && answer.has("2 EXISTS"), "{answer:?}");
    let told = ok(&mut client, "FETCH 1 (ENVELOPE BODY[TEXT])").await;
    assert!(told[0].contains("This is one.") && !told[0].contains("Seen"), "{told:?}");
    assert_eq!(ok(&mut client, "SEARCH BODY two").await, ["SEARCH 2"]);
    assert_eq!(ok(&mut client, "SORT (REVERSE SUBJECT) UTF-8 ALL").await, ["SORT 2 1"]);
    refused(&mut client, "STORE 1 +FLAGS (\\Seen)", "NO").await;
    refused(&mut client, "EXPUNGE", "NO").await;
    refused(&mut client, "MOVE 1 INBOX", "NO").await;
    for command in ["CREATE", "DELETE", "RENAME INBOX"] {
        refused(&mut client, &format!("{command} \"Other Users/bob@acme.example/New\""), "NO [NOPERM]").await;
    }
    refused(&mut client, "CREATE \"Other Users\"", "NO [NOPERM]").await;
    refused(&mut client, &format!("APPEND {name} {{14+}}\r\nSubject: 1\r\n\r\n"), "NO [NOPERM]").await;
    refused(&mut client, &format!("SETACL {name} eve@acme.example lr"), "NO [NOPERM]").await;
    refused(&mut client, &format!("GETACL {name}"), "NO [NOPERM]").await;
    // One's own copy is one's own.
    ok(&mut client, "COPY 1:2 INBOX").await;
    refused(&mut client, &format!("COPY 1 {name}"), "NO [NOPERM]").await;
    server.deliver(bob.mailbox_id, &message("three")).await;
    assert_eq!(ok(&mut client, "NOOP").await, ["3 EXISTS", "0 RECENT"]);
    ok(&mut client, "SELECT INBOX").await;
    assert_eq!(ok(&mut client, "STATUS INBOX (MESSAGES)").await, ["STATUS INBOX (MESSAGES 3)"]);
}

#[tokio::test]
async fn who_is_a_delegate_no_more_sees_nothing_more() {
    let server = Server::start().await;
    let (mut client, ada, bob) = ada_and_bob(&server).await;
    let name = "\"Other Users/bob@acme.example/INBOX\"";
    let mut reading = server.login(&ada).await;
    ok(&mut reading, &format!("SELECT {name}")).await;
    delegate::remove(&server.world.ctx, bob.mailbox_id, ada.id).await.unwrap();
    refused(&mut client, &format!("SELECT {name}"), "NO [NONEXISTENT]").await;
    reading.send(b"x FETCH 1 BODY.PEEK[]\r\n").await.unwrap();
    assert_eq!(reading.rest().await.unwrap(), "* BYE the folder is not there any more\r\n");
    let listed = ok(&mut client, "LIST \"\" *").await;
    assert!(!listed.iter().any(|line| line.contains("Other Users")), "{listed:?}");
    // And who has become one needs no new login.
    delegate::put(&server.world.ctx, bob.mailbox_id, ada.id, &[Right::Read]).await.unwrap();
    ok(&mut client, &format!("SELECT {name}")).await;
}

#[tokio::test]
async fn rights_are_told_and_taken_by_nobody_here() {
    let server = Server::start().await;
    let (mut client, ..) = ada_and_bob(&server).await;
    let others = "\"Other Users/bob@acme.example/INBOX\"";
    for name in ["INBOX", others] {
        for command in ["LISTRIGHTS", "DELETEACL"] {
            let command = format!("{command} {name} ada@acme.example");
            let status = "NO [NOPERM] rights are given by the mailbox's administrators";
            refused(&mut client, &command, status).await;
        }
        refused(&mut client, &format!("LISTRIGHTS {name}"), "BAD").await;
        refused(&mut client, &format!("DELETEACL {name}"), "BAD").await;
    }
    for command in ["LISTRIGHTS", "DELETEACL"] {
        refused(&mut client, &format!("{command} Nowhere ada@acme.example"), "NO [NONEXISTENT]").await;
    }
    assert_eq!(ok(&mut client, &format!("MYRIGHTS {others}")).await, [format!("MYRIGHTS {others} lr")]);
}
