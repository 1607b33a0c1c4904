//! SETACL and what goes with it.

use super::{read, read_bytes, told};
use crate::codec::command::{Command, MailboxName, Rights, RightsHow};

fn set(line: &str) -> (String, String, Rights) {
    match read(line) {
        Command::SetAcl { mailbox, identifier, rights } => (mailbox.0, identifier, rights),
        other => panic!("{other:?}"),
    }
}

fn rights(how: RightsHow, letters: &str) -> Rights {
    Rights::new(how, letters).unwrap()
}

#[test]
fn rights_are_set() {
    use RightsHow::{Add, Remove, Replace};
    for (line, expected) in [
        ("lrswipkxtea", rights(Replace, "lrswipkxtea")),
        ("+lr", rights(Add, "lr")),
        ("-w", rights(Remove, "w")),
        ("\"+lr\"", rights(Add, "lr")),
        ("{3+}\r\n-cd", rights(Remove, "cd")),
        ("\"\"", rights(Replace, "")),
        ("+", rights(Add, "")),
        // As they came: there is no such right, or there are several by this name. It is not for the parser to say.
        ("lq0", rights(Replace, "lq0")),
        ("rlrl", rights(Replace, "lr")),
    ] {
        let read = set(&format!("SETACL inbox ada@example.org {line}"));
        assert_eq!(read, ("INBOX".into(), "ada@example.org".into(), expected), "{line}");
    }
    let (folder, identifier, read) = set("setacl  \"Entw&APw-rfe\" \"-Ängström\"  -xk ");
    assert_eq!((folder.as_str(), identifier.as_str()), ("Entwürfe", "-Ängström"));
    assert_eq!(read.how(), Remove);
    assert_eq!(read.letters().collect::<String>(), "kx");
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
    assert_eq!(Rights::new(RightsHow::Add, "+l"), None);
    assert!(read_bytes(b"a SETACL x \"\xff\" l", false).is_err());
}

#[test]
fn rights_are_asked_for() {
    let of = |line| match read(line) {
        Command::DeleteAcl { mailbox: MailboxName(name), identifier }
        | Command::ListRights { mailbox: MailboxName(name), identifier } => (name, identifier),
        other => panic!("{other:?}"),
    };
    assert_eq!(of("DELETEACL inbox anyone"), ("INBOX".into(), "anyone".into()));
    assert_eq!(of("listrights \"a b\" {3}\r\nada"), ("a b".into(), "ada".into()));
    assert!(matches!(read("GETACL inbox"), Command::GetAcl(name) if name.0 == "INBOX"));
    assert!(matches!(read("MYRIGHTS inbox"), Command::MyRights(name) if name.0 == "INBOX"));
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
