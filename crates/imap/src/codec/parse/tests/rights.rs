//! SETACL and what goes with it.

use super::{read, read_bytes, told};
use crate::codec::command::Command;

#[test]
fn rights_are_set() {
    for line in ["lrswipkxtea", "+lr", "-w", "\"+lr\"", "{3+}\r\n-cd", "\"\"", "+", "lq0", "rlrl"] {
        let read = read(&format!("SETACL inbox ada@example.org {line}"));
        assert!(matches!(&read, Command::SetAcl(mailbox) if mailbox.name == "INBOX"), "{line}");
    }
    let read = read("setacl  \"Entw&APw-rfe\" \"-Ängström\"  -xk ");
    assert!(matches!(read, Command::SetAcl(mailbox) if mailbox.name == "Entwürfe"));
}

#[test]
fn rights_that_are_none() {
    const RIGHTS: &str =
        "SETACL: expected rights: lower-case letters and digits, maybe with + or - before them";
    for line in [
        "SETACL x ada",
        "SETACL x ada ",
        "SETACL x ada lrQ",
        "SETACL x ada L",
        "SETACL x ada ++l",
        "SETACL x ada l+r",
    ] {
        assert_eq!(told(line), RIGHTS, "{line}");
    }
    for line in ["SETACL x ada \"l r\"", "SETACL x ada \"é\"", "SETACL x ada é", "SETACL x ada (l)"] {
        assert_eq!(told(line), RIGHTS, "{line}");
    }
    assert_eq!(told("SETACL x ada l r"), "SETACL: expected the end of the command");
    assert_eq!(told("SETACL x"), "SETACL: expected an identifier");
    assert_eq!(told("SETACL"), "SETACL: expected a mailbox name");
    assert!(read_bytes(b"a SETACL x \"\xff\" l", false).is_err());
}

#[test]
fn rights_are_asked_for() {
    let of = |line| match read(line) {
        Command::DeleteAcl(mailbox) | Command::ListRights(mailbox) => mailbox.name,
        other => panic!("{other:?}"),
    };
    assert_eq!(of("DELETEACL inbox anyone"), "INBOX");
    assert_eq!(of("listrights \"a b\" {3}\r\nada"), "a b");
    assert!(matches!(read("GETACL inbox"), Command::GetAcl(mailbox) if mailbox.name == "INBOX"));
    assert!(matches!(read("MYRIGHTS inbox"), Command::MyRights(mailbox) if mailbox.name == "INBOX"));
    for (line, name) in [
        ("SETACL x ada l", "SETACL"),
        ("DELETEACL x ada", "DELETEACL"),
        ("GETACL x", "GETACL"),
        ("LISTRIGHTS x ada", "LISTRIGHTS"),
        ("MYRIGHTS x", "MYRIGHTS"),
    ] {
        assert_eq!(read(line).name(), name);
        assert_eq!(told(&format!("{line} more")), format!("{name}: expected the end of the command"));
        assert_eq!(told(name), format!("{name}: expected a mailbox name"));
    }
    assert_eq!(told("DELETEACL x"), "DELETEACL: expected an identifier");
    assert_eq!(told("LISTRIGHTS x ()"), "LISTRIGHTS: expected an identifier");
}
