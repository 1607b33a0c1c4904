//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use bytes::{Bytes, BytesMut};
use kernel::utf7;
use mailstore::structure;

use crate::codec::command::{Command, MailboxName, SearchKey, Tagged};
use crate::codec::frame::MAX_TEXT_BYTES;
use crate::codec::set::SequenceSet;
use crate::codec::{Event, Framer, Input, normalised, parse, write};
pub use crate::op::fetch::section::fuzz::sections;
use crate::order::collate;
use crate::order::subject::base_subject;
use crate::order::thread::{self, Forest, Mail, ordered_subject, references};
use crate::render;

/// Longer literals are refused here.
const MAX_LITERAL_BYTES: u64 = 1_000;

/// What a client sends: however it is cut it is the same commands, no more is kept than may be, and the names and sets that are read
/// are read again as they are written.
pub fn commands(bytes: &[u8]) {
    let whole = events(bytes, bytes.len().max(1));
    assert_eq!(events(bytes, 1), whole);
    assert_eq!(events(bytes, usize::from(bytes.first().copied().unwrap_or(0)) + 1), whole);
    for event in whole {
        let Event::Command(input) = event else { continue };
        for is_utf8 in [false, true] {
            command(input.clone(), is_utf8);
        }
    }
}

fn events(bytes: &[u8], size: usize) -> Vec<Event> {
    let (mut framer, mut events) = (Framer::default(), Vec::new());
    for chunk in bytes.chunks(size) {
        framer.input().extend_from_slice(chunk);
        while let Some(event) = framer.next() {
            match &event {
                Event::Literal(announced) if announced.bytes <= MAX_LITERAL_BYTES => framer.accept(),
                Event::Literal(_) => framer.refuse(),
                Event::Command(input) => assert_eq!(input.texts.len(), input.literals.len() + 1),
                Event::TooLong { .. } => {}
            }
            events.push(event);
        }
        assert!(framer.input().len() <= MAX_TEXT_BYTES + 1);
    }
    events
}

fn command(input: Input, is_utf8: bool) {
    let Tagged { tag, command } = match parse(input, is_utf8) {
        Ok(tagged) => tagged,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
            return;
        }
    };
    assert!((1..=64).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_graphic()));
    match &command {
        Command::Copy { set, mailbox, .. } => {
            again_set(set);
            again_name(mailbox, is_utf8);
        }
        Command::Rename { from, to } => {
            again_name(from, is_utf8);
            again_name(to, is_utf8);
        }
        Command::Expunge(Some(set)) => again_set(set),
        Command::Fetch(fetch) => again_set(&fetch.set),
        Command::Store(store) => again_set(&store.set),
        Command::Select { mailbox, .. }
        | Command::Create { mailbox, .. }
        | Command::Status { mailbox, .. }
        | Command::Append { mailbox, .. }
        | Command::Subscribe { mailbox, .. }
        | Command::Delete(mailbox) => again_name(mailbox, is_utf8),
        _ => {}
    }
}

fn again_set(set: &SequenceSet) {
    let ranges = set.ranges(50);
    assert!(ranges.windows(2).all(|two| two[0].end() < two[1].start()));
    if ranges.is_empty() {
        return;
    }
    match read_back("a UID EXPUNGE ", false, |out| write::set(out, ranges.clone())) {
        Command::Expunge(Some(again)) => assert_eq!(again.ranges(1), ranges),
        other => panic!("{other:?}"),
    }
}

fn again_name(MailboxName { name, .. }: &MailboxName, is_utf8: bool) {
    match read_back("a DELETE ", is_utf8, |out| write::mailbox(out, name, is_utf8)) {
        Command::Delete(again) => assert_eq!((&again.name, again.given), (name, None)),
        other => panic!("{other:?}"),
    }
}

/// The command that has a written piece as its argument. Literals of a server are read as synchronising ones.
pub(crate) fn read_back(before: &str, is_utf8: bool, write: impl FnOnce(&mut BytesMut)) -> Command {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(before.as_bytes());
    write(framer.input());
    framer.input().extend_from_slice(b"\r\n");
    loop {
        match framer.next() {
            Some(Event::Literal(_)) => framer.accept(),
            Some(Event::Command(input)) => {
                assert!(framer.is_empty(), "it is two commands");
                return parse(input, is_utf8).expect("what we write can be read").command;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Texts as we write them: each is read again as itself.
pub fn texts(bytes: &[u8]) {
    let bytes = bytes.iter().copied().filter(|byte| *byte != 0).collect::<Vec<_>>();
    let text = String::from_utf8_lossy(&bytes);
    for is_utf8 in [false, true] {
        for write in [
            &|out: &mut BytesMut| write::string(out, &bytes, is_utf8),
            &|out: &mut BytesMut| write::nstring(out, Some(&bytes), is_utf8),
            &|out: &mut BytesMut| write::literal(out, &bytes),
        ] as [&dyn Fn(&mut BytesMut); 3]
        {
            match read_back("a SEARCH TEXT ", is_utf8, write) {
                Command::Search(search) => {
                    assert_eq!(search.key, SearchKey::Text(Bytes::from(bytes.clone())))
                }
                other => panic!("{other:?}"),
            }
        }
        match read_back("a GETQUOTA ", is_utf8, |out| write::astring(out, &text, is_utf8)) {
            Command::GetQuota(again) => assert_eq!(again, text),
            other => panic!("{other:?}"),
        }
        again_name(&normalised(&text).into(), is_utf8);
    }
    let mut line = BytesMut::new();
    write::text(&mut line, &text);
    assert!(line.iter().all(|byte| matches!(byte, b' '..=b'~')));
}

/// Modified UTF-7: a name has one form, and is what that form says.
pub fn names(bytes: &[u8]) {
    if let Some(name) = utf7::decode(bytes) {
        let form = utf7::encode(&name);
        assert_eq!(utf7::decode(form.as_bytes()), Some(name));
    }
    let name = String::from_utf8_lossy(bytes);
    let form = utf7::encode(&name);
    assert!(form.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    assert_eq!(utf7::decode(form.as_bytes()).as_deref(), Some(name.as_ref()));
    assert_eq!(normalised(&normalised(&name)), normalised(&name));
}

/// What FETCH tells of a message is one value of the grammar, whatever the message says.
pub fn structures(bytes: &[u8]) {
    let structure = structure::parse(bytes);
    for is_extended in [false, true] {
        let mut out = BytesMut::new();
        render::body(&mut out, &structure.body, is_extended);
        assert_eq!(value(&out), Some(&b""[..]), "{out:?}");
    }
    let mut out = BytesMut::new();
    render::envelope(&mut out, &structure.envelope);
    assert_eq!(value(&out), Some(&b""[..]), "{out:?}");
    // What is kept has no NULs.
    let text = String::from_utf8_lossy(bytes).replace('\0', "");
    let mut out = BytesMut::new();
    render::preview(&mut out, Some(&text));
    assert_eq!(value(&out), Some(&b""[..]), "{out:?}");
}

/// What follows the value that `bytes` begin with: a list, a string, a number or NIL.
fn value(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.first()? {
        b'(' => {
            let mut rest = &bytes[1..];
            while !rest.starts_with(b")") {
                rest = value(rest)?;
                // Parts have no space between them.
                rest = rest.strip_prefix(b" ").unwrap_or(rest);
            }
            Some(&rest[1..])
        }
        b'"' => {
            let mut at = 1;
            loop {
                match bytes.get(at)? {
                    b'"' => return Some(&bytes[at + 1..]),
                    b'\\' if matches!(bytes.get(at + 1), Some(b'"' | b'\\')) => at += 2,
                    b'\t' | b' '..=b'~' => at += 1,
                    _ => return None,
                }
            }
        }
        b'{' => {
            let end = bytes.iter().position(|byte| *byte == b'}')?;
            let length = std::str::from_utf8(&bytes[1..end]).ok()?.parse::<usize>().ok()?;
            let literal = bytes[end + 1..].strip_prefix(b"\r\n")?;
            (!literal.get(..length)?.contains(&0)).then(|| &literal[length..])
        }
        b'0'..=b'9' => Some(&bytes[bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()..]),
        _ => bytes.strip_prefix(b"NIL"),
    }
}

/// What mails are ordered by: a subject without what replies add is without it, and a thread has each mail once. Of a mail four bytes
/// tell: its id, whom it answers, and which of the lines after the first is its subject.
pub fn orders(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let subject = base_subject(&text);
    assert_eq!(base_subject(&subject.text).text, subject.text);
    assert!(collate::key(&text).chars().count() <= 250);

    let mut lines = bytes.split(|byte| *byte == b'\n');
    let told = lines.next().unwrap_or_default();
    let subjects = lines.map(|line| base_subject(&String::from_utf8_lossy(line))).collect::<Vec<_>>();
    let mails = told.as_chunks::<4>().0.iter().zip(1..).map(|([id, one, other, subject], number)| Mail {
        number,
        sent_at: i64::from(*other % 8),
        subject: subjects.get(usize::from(*subject) % subjects.len().max(1)).cloned().unwrap_or_default(),
        message_id: (*id != 0).then(|| thread::id(&id.to_string())),
        references: [one, other].into_iter().map(|id| thread::id(&id.to_string())).collect(),
    });
    let mails = mails.collect::<Vec<_>>();
    for forest in [references(&mails), ordered_subject(&mails)] {
        whole(&forest, mails.len());
    }
}

/// Whether a forest as it is answered has each mail once, and what it opens is closed.
fn whole(forest: &Forest, mails: usize) {
    let written = forest.to_string();
    let mut numbers = written
        .split(|char: char| !char.is_ascii_digit())
        .filter_map(|digits| digits.parse::<usize>().ok())
        .collect::<Vec<_>>();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=mails), "{written}");
    let mut depth = 0_usize;
    for char in written.chars() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).expect("what is closed was opened"),
            _ => assert!(depth > 0),
        }
    }
    assert_eq!(depth, 0);
    assert!(!written.contains("()") && !written.contains("  "), "{written}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("imap_commands", super::commands);
        crate::seeds::play("imap_texts", super::texts);
        crate::seeds::play("imap_names", super::names);
        crate::seeds::play("imap_structures", super::structures);
        crate::seeds::play("imap_orders", super::orders);
    }
}
