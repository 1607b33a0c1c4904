mod messages;
mod rights;
mod robust;
mod searching;
mod sorting;

use secrecy::ExposeSecret;

use super::*;
use crate::codec::command::{List, ListGive, ListSelect, SearchKey, StatusItem};
use crate::codec::frame::{Event, Framer};

/// Reads one command with its literals as a client sends it, but for the last CRLF.
fn read_bytes(line: &[u8], is_utf8: bool) -> std::result::Result<Tagged, ParseError> {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(line);
    framer.input().extend_from_slice(b"\r\n");
    loop {
        match framer.next() {
            Some(Event::Literal(_)) => framer.accept(),
            Some(Event::Command(input)) => {
                assert!(framer.is_empty(), "more than a command");
                break parse(input, is_utf8);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Reads a command without its tag.
fn read(line: &str) -> Command {
    let tagged =
        read_bytes(format!("a1 {line}").as_bytes(), false).unwrap_or_else(|e| panic!("{line:?}: {e}"));
    assert_eq!(tagged.tag, "a1");
    tagged.command
}

/// What is told of a command without its tag that is none.
fn told(line: &str) -> String {
    let error = read_bytes(format!("a1 {line}").as_bytes(), false).expect_err(line);
    assert_eq!(error.tag.as_deref(), Some("a1"));
    error.to_string()
}

fn list(line: &str) -> List {
    match read(line) {
        Command::List(list) => list,
        other => panic!("{other:?}"),
    }
}

fn deleted(line: &[u8], is_utf8: bool) -> String {
    match read_bytes(line, is_utf8).unwrap().command {
        Command::Delete(mailbox) => mailbox.name,
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_without_arguments() {
    for name in [
        "CAPABILITY",
        "NOOP",
        "LOGOUT",
        "STARTTLS",
        "NAMESPACE",
        "IDLE",
        "CHECK",
        "CLOSE",
        "UNSELECT",
        "EXPUNGE",
    ] {
        assert_eq!(read(name).name(), name);
        assert_eq!(read(&format!(" {}  ", name.to_lowercase())).name(), name);
        assert_eq!(told(&format!("{name} x")), format!("{name}: expected the end of the command"));
    }
}

#[test]
fn what_is_no_command() {
    assert_eq!(told("XLIST \"\" *"), "unknown command XLIST");
    assert_eq!(told("uid expire 1"), "unknown command UID EXPIRE");
    assert_eq!(told("UID"), "UID: expected a command after UID");
    assert_eq!(told("UID (1)"), "UID: expected a command after UID");
    assert_eq!(told(""), "expected a command");
    assert_eq!(told("\u{e9}"), "expected a command");
    assert_eq!(told("NOOP{1+}\r\nx"), "NOOP: expected the end of the command");
    assert_eq!(told(&"X".repeat(500)), format!("unknown command {}", "X".repeat(32)));
    for line in ["", " NOOP", "* NOOP", "+ NOOP", "{0}\r\n"] {
        let error = read_bytes(line.as_bytes(), false).unwrap_err();
        assert_eq!(error.tag, None);
        assert_eq!(error.to_string(), "expected a tag");
    }
    let error = read_bytes(b"tag", false).unwrap_err();
    assert_eq!((error.tag.as_deref(), error.to_string().as_str()), (Some("tag"), "expected a command"));
}

#[test]
fn authentication() {
    for (line, user, secret) in [
        ("LOGIN ada@example.org hunter]2", "ada@example.org", "hunter]2"),
        ("login \"ada\"  \"a \\\"b\\\\c\" ", "ada", "a \"b\\c"),
        ("LOGIN {3}\r\nada {8+}\r\nhunter\r\n", "ada", "hunter\r\n"),
        ("LOGIN ada pässwort", "ada", "pässwort"),
        ("LOGIN ada \"\"", "ada", ""),
    ] {
        let Command::Login { username, password } = read(line) else { panic!("no login") };
        assert_eq!((username.as_str(), password.expose_secret()), (user, secret));
    }
    assert_eq!(told("LOGIN ada"), "LOGIN: expected a password");
    assert_eq!(told("LOGIN ada "), "LOGIN: expected a password");
    assert_eq!(told("LOGIN ada \"x"), "LOGIN: expected a closing quote");
    assert_eq!(told("LOGIN ada\"x\""), "LOGIN: expected a password");
    assert_eq!(told("LOGIN ada {2}\r\na\0"), "LOGIN: expected a password");
    assert_eq!(told("LOGIN ada ~{2}\r\naa"), "LOGIN: expected a password");
    assert_eq!(told("LOGIN {3}\r\nada{1}\r\nx"), "LOGIN: expected a password");
    assert_eq!(told("LOGIN ada x y"), "LOGIN: expected the end of the command");
    assert!(read_bytes(b"a LOGIN ada \"\xff\"", false).is_err());

    let authenticate = |line| match read(line) {
        Command::Authenticate { mechanism, initial } => {
            (mechanism, initial.map(|initial| initial.expose_secret().to_owned()))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(authenticate("AUTHENTICATE plain"), ("PLAIN".into(), None));
    assert_eq!(authenticate("AUTHENTICATE PLAIN AGFkYQ=="), ("PLAIN".into(), Some("AGFkYQ==".into())));
    assert_eq!(authenticate("AUTHENTICATE EXTERNAL ="), ("EXTERNAL".into(), Some("=".into())));
    assert_eq!(authenticate("AUTHENTICATE xoauth2 "), ("XOAUTH2".into(), None));
    assert!(told("AUTHENTICATE").contains("a mechanism"));
    assert!(told("AUTHENTICATE PLAIN \"x\"").contains("base64"));
}

#[test]
fn introductions() {
    for line in [
        "ID NIL",
        "ID ()",
        "id (\"name\" \"Thunderbird\" \"version\" \"128.0\")",
        "ID (\"name\" NIL  \"x\" {2+}\r\nyz )",
        "ID (\"odd\")",
    ] {
        assert!(matches!(read(line), Command::Id));
    }
    assert_eq!(told("ID"), "ID: expected NIL or a list of strings");
    assert_eq!(told("ID \"x\""), "ID: expected NIL or a list of strings");
    assert_eq!(told("ID ((\"x\"))"), "ID: expected NIL or a list of strings");
    let enable = |line| match read(line) {
        Command::Enable(names) => names,
        other => panic!("{other:?}"),
    };
    assert_eq!(enable("ENABLE condstore"), ["CONDSTORE"]);
    assert_eq!(enable("ENABLE QRESYNC  UTF8=ACCEPT "), ["QRESYNC", "UTF8=ACCEPT"]);
    assert_eq!(told("ENABLE"), "ENABLE: expected a capability");
}

#[test]
fn compression() {
    for (line, read_as) in
        [("COMPRESS DEFLATE", "DEFLATE"), ("compress  deflate ", "DEFLATE"), ("COMPRESS lzw", "LZW")]
    {
        let command = read(line);
        assert_eq!(command.name(), "COMPRESS");
        assert!(matches!(command, Command::Compress { mechanism } if mechanism == read_as), "{line}");
    }
    for line in ["COMPRESS", "COMPRESS ", "COMPRESS \"DEFLATE\""] {
        assert_eq!(told(line), "COMPRESS: expected a compression mechanism");
    }
    assert_eq!(told("COMPRESS DEFLATE 9"), "COMPRESS: expected the end of the command");
}

/// A literal8 is a message of APPEND and nothing else (RFC 9051 §9, `append-message`).
#[test]
fn binary_where_there_is_none() {
    for line in [
        "LOGIN ~{3}\r\nada x",
        "ID (~{1}\r\nx NIL)",
        "SELECT ~{5+}\r\nINBOX",
        "LIST \"\" ~{1}\r\n*",
        "APPEND ~{1}\r\nx {1}\r\na",
        "SEARCH TEXT ~{1}\r\nx",
        "SORT (DATE) ~{5}\r\nUTF-8 ALL",
        "FETCH 1 BODY[HEADER.FIELDS (~{2}\r\nTo)]",
        "SETACL x ~{3}\r\nada lr",
        "SETACL x ada ~{2}\r\nlr",
        "GETQUOTA ~{0}\r\n",
        "NOOP ~{0}\r\n",
    ] {
        let error = read_bytes(format!("a1 {line}").as_bytes(), true).expect_err(line);
        assert!(matches!(error.reason, Reason::Syntax { .. }), "{line}");
    }
}

#[test]
fn quoted_utf8() {
    let searched = |is_utf8, quoted: &[u8]| {
        let line = [b"a SEARCH SUBJECT \"", quoted, b"\""].concat();
        match read_bytes(&line, is_utf8).map(|tagged| tagged.command) {
            Ok(Command::Search(search)) => Some(search.key),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    };
    let subject = |text: &'static [u8]| Some(SearchKey::Header("SUBJECT".into(), text.into()));
    for is_utf8 in [false, true] {
        assert_eq!(searched(is_utf8, "zwölf".as_bytes()), subject("zwölf".as_bytes()));
        assert_eq!(searched(is_utf8, "\\\"ö\\ü".as_bytes()), subject("\"öü".as_bytes()));
    }
    // What charset it is in is not known yet: it may be any.
    assert_eq!(searched(false, b"zw\xf6lf"), subject(b"zw\xf6lf"));
    assert_eq!(searched(true, b"zw\xf6lf"), None);
    assert_eq!(searched(true, b"\xc3"), None);
    let literal = read_bytes(b"a SEARCH SUBJECT {1}\r\n\xf6", true).unwrap().command;
    assert!(matches!(literal, Command::Search(search) if Some(&search.key) == subject(b"\xf6").as_ref()));
}

#[test]
fn names_of_folders() {
    for (name, read) in [
        ("inbox", "INBOX"),
        ("\"Inbox\"", "INBOX"),
        ("{5}\r\niNbOx", "INBOX"),
        ("inbox/Sub", "INBOX/Sub"),
        ("inboxes", "inboxes"),
        ("Archive/inbox", "Archive/inbox"),
        ("Entw&APw-rfe", "Entwürfe"),
        ("\"A &- B\"", "A & B"),
        ("\"A & B\"", "A & B"),
        ("\"Entwürfe\"", "Entwürfe"),
        ("Entwürfe", "Entwürfe"),
        ("a]b", "a]b"),
        ("\"\"", ""),
    ] {
        assert_eq!(deleted(format!("a DELETE {name}").as_bytes(), false), read);
    }
    assert_eq!(deleted("a DELETE \"Entwürfe\"".as_bytes(), true), "Entwürfe");
    assert_eq!(deleted(b"a DELETE Entw&APw-rfe", true), "Entw&APw-rfe");
    let given = |name: &str| match read(&format!("DELETE {name}")) {
        Command::Delete(mailbox) => (mailbox.name, mailbox.given),
        other => panic!("{other:?}"),
    };
    assert_eq!(given("Inbox"), ("INBOX".into(), None));
    assert_eq!(given("inbox/u&Awg-"), ("INBOX/ü".into(), Some("inbox/u\u{308}".into())));
    assert!(read_bytes(b"a DELETE \"\xff\"", true).is_err());
    assert!(read_bytes(b"a DELETE \"\xff\"", false).is_err());
    assert_eq!(told("DELETE &AAA-"), "DELETE: expected a mailbox name");
    assert_eq!(told("DELETE"), "DELETE: expected a mailbox name");
    assert_eq!(told("DELETE a*"), "DELETE: expected the end of the command");
    assert_eq!(told("DELETE (a)"), "DELETE: expected a mailbox name");
}

#[test]
fn commands_of_folders() {
    let Command::Rename { from, to } = read("RENAME  old \"new name\"") else { panic!("no rename") };
    assert_eq!((from.name.as_str(), to.name.as_str()), ("old", "new name"));
    assert!(matches!(read("SUBSCRIBE x"), Command::Subscribe { is_subscribed: true, .. }));
    assert!(matches!(read("UNSUBSCRIBE x"), Command::Subscribe { is_subscribed: false, .. }));
    let create = |line| match read(line) {
        Command::Create { mailbox, uses } => (mailbox.name, uses),
        other => panic!("{other:?}"),
    };
    assert_eq!(create("CREATE Sent/"), ("Sent/".into(), vec![]));
    assert_eq!(create("CREATE x (USE (\\Sent))"), ("x".into(), vec!["\\Sent".into()]));
    assert_eq!(create("CREATE x (use ( \\Sent  \\Junk ) )").1, ["\\Sent", "\\Junk"]);
    assert_eq!(create("CREATE x (USE ())").1, [""; 0]);
    assert_eq!(told("CREATE x (FOO 1)"), "CREATE: expected USE");
    assert_eq!(told("CREATE x (USE (Sent))"), "CREATE: expected a use such as \\Sent");
    assert!(matches!(read("GETQUOTA \"\""), Command::GetQuota(root) if root.is_empty()));
    assert!(matches!(read("GETQUOTAROOT inbox"), Command::GetQuotaRoot(mailbox) if mailbox.name == "INBOX"));
    assert!(matches!(
        read("UID COPY 1,3:* Trash"),
        Command::Copy { by_uid: true, is_move: false, mailbox, .. } if mailbox.name == "Trash"
    ));
    assert!(matches!(read("UID MOVE $ Trash"), Command::Copy { by_uid: true, is_move: true, .. }));
    assert!(matches!(read("MOVE 1 Trash"), Command::Copy { by_uid: false, is_move: true, .. }));
    assert_eq!(told("COPY Trash"), "COPY: expected a set of message numbers or UIDs");
}

#[test]
fn listing() {
    let basic = |reference: &str, pattern: &str| List {
        is_extended: false,
        select: ListSelect::default(),
        reference: reference.into(),
        patterns: vec![pattern.into()],
        give: ListGive::default(),
    };
    assert_eq!(list("LIST \"\" \"\""), basic("", ""));
    assert_eq!(list("LIST \"\" *"), basic("", "*"));
    assert_eq!(list("LIST  \"\"  Inbox/%  "), basic("", "Inbox/%"));
    assert_eq!(list("LIST Archive \"Entw&APw-rfe*\""), basic("Archive", "Entwürfe*"));
    assert_eq!(list("LIST \"\" {1+}\r\n%"), basic("", "%"));
    assert_eq!(
        list("LIST (SUBSCRIBED) \"\" (\"a\" \"b\") RETURN (CHILDREN STATUS (MESSAGES))"),
        List {
            is_extended: true,
            select: ListSelect { subscribed: true, ..ListSelect::default() },
            reference: String::new(),
            patterns: vec!["a".into(), "b".into()],
            give: ListGive {
                children: true,
                status: Some(vec![StatusItem::Messages]),
                ..ListGive::default()
            },
        }
    );
    let extended = |list: List| assert_eq!(list, List { is_extended: true, ..basic("", "*") });
    extended(list("LIST () \"\" *"));
    extended(list("LIST \"\" (*)"));
    extended(list("LIST \"\" * RETURN ()"));
    let select = list("LIST (special-use REMOTE recursivematch ) \"\" \"*\"").select;
    assert!(select.special_use && select.remote && select.recursive_match && !select.subscribed);
    let give = list("LIST \"\" \"*\" return (SPECIAL-USE  subscribed)").give;
    assert!(give.special_use && give.subscribed && !give.children);

    assert!(told("LIST (RECURSIVEMATCH) \"\" *").contains("with RECURSIVEMATCH"));
    assert!(told("LIST (FOO) \"\" *").contains("a selection option"));
    assert!(told("LIST \"\" * RETURN (MYRIGHTS)").contains("a return option"));
    assert!(told("LIST \"\" * RETURN (STATUS ())").contains("a list of status items"));
    assert!(told("LIST \"\" * foo").contains("RETURN or the end"));
    assert_eq!(told("LIST \"\" ()"), "LIST: expected a mailbox pattern");
    assert_eq!(told("LIST \"\""), "LIST: expected a mailbox pattern");
    assert_eq!(told("LIST"), "LIST: expected a reference name");
    assert!(matches!(
        read("LSUB \"\" \"INBOX*\""),
        Command::Lsub { reference, pattern } if reference.is_empty() && pattern == "INBOX*"
    ));
}

#[test]
fn status() {
    let Command::Status { mailbox, items } = read(
        "STATUS inbox (MESSAGES RECENT uidnext UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ APPENDLIMIT MAILBOXID)",
    ) else {
        panic!("no status")
    };
    assert_eq!(mailbox.name, "INBOX");
    assert_eq!(
        items,
        [
            StatusItem::Messages,
            StatusItem::Recent,
            StatusItem::UidNext,
            StatusItem::UidValidity,
            StatusItem::Unseen,
            StatusItem::Deleted,
            StatusItem::Size,
            StatusItem::HighestModSeq,
            StatusItem::AppendLimit,
            StatusItem::MailboxId,
        ]
    );
    assert_eq!(told("STATUS x (MESSAGES FOO)"), "STATUS: expected a status item");
    assert_eq!(told("STATUS x ()"), "STATUS: expected a list of status items");
    assert_eq!(told("STATUS x"), "STATUS: expected a list of status items");
    assert_eq!(told("STATUS x MESSAGES"), "STATUS: expected a list of status items");
}
