//! Lists of the UIDs that a folder's messages have elsewhere, as files of a Maildir: Dovecot's `dovecot-uidlist` and Courier's `courierimapuiddb`.
//!
//! Version 3, Dovecot's: `3 V<UID validity> N<next UID> G<GUID>`, then for each message `<UID> [<key><value> …] :<file>`, where the key `P` has the POP3
//! UIDL if that is not made of the UID. Version 1, Courier's and that of Dovecot before 1.1: `1 <UID validity> <next UID>`, then `<UID> <file>`. A file is
//! named without its flags.
//! (<https://doc.dovecot.org/2.3/admin_manual/mailbox_formats/maildir/>)

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _};

use pack::Uidl;

/// The file in which Dovecot has the list.
pub(crate) const DOVECOT: &str = "dovecot-uidlist";
/// That in which Courier has it.
pub(crate) const COURIER: &str = "courierimapuiddb";

/// The highest UID that is taken from a list: a folder is to be left as many again.
pub(crate) const MAX_UID: u32 = u32::MAX / 2;

/// How a folder numbers its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Numbering {
    /// Not 0.
    pub(crate) uid_validity: u32,
    /// The UID that the next message gets; above all that are in use.
    pub(crate) uid_next: u32,
}

/// The UID that a message has, and the numbering that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) of: Numbering,
    /// 1 to [`MAX_UID`], and below the next one.
    pub(crate) uid: u32,
}

/// What a list says of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 1 to [`MAX_UID`]; each once in a list.
    pub(crate) uid: u32,
    /// Its name by POP3, where the list has one that can be used.
    pub(crate) uidl: Option<Uidl>,
}

/// How much of a list is read: some ten million messages.
const MAX_BYTES: u64 = 1 << 30;

/// How long a line may be: one that is longer is passed over.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// What a list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UidList {
    header: Header,
    /// By the files' names, flags aside.
    entries: HashMap<String, Entry>,
}

/// Its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    /// Whether POP3 shows a message without a UIDL of its own as Dovecot does.
    is_dovecots: bool,
    /// Not 0.
    uid_validity: u32,
    /// `None` where it is missing, or leaves too few.
    uid_next: Option<u32>,
}

impl UidList {
    /// Reads what a list says of files that are there, by their names without flags; `None` where it does not say which numbering it is of. Lines that say
    /// nothing useful are passed over: they cost UIDs, not mail.
    ///
    /// # Errors
    /// As of reading.
    pub(crate) fn read(from: impl BufRead, is_there: impl Fn(&str) -> bool) -> io::Result<Option<Self>> {
        let mut from = from.take(MAX_BYTES);
        let Some(mut header) = next_line(&mut from)?.as_deref().and_then(Header::read) else {
            return Ok(None);
        };
        let mut entries = HashMap::new();
        while let Some(line) = next_line(&mut from)? {
            let Some((file, entry)) = line_of(&line, header.is_dovecots) else { continue };
            header.uid_next = header.uid_next.map(|next| next.max(entry.uid + 1));
            if is_there(file) {
                // Dovecot holds the later line for right too.
                entries.insert(file.to_owned(), entry);
            }
        }
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_unstable_by(|(a, of_a), (b, of_b)| (of_a.uid, a).cmp(&(of_b.uid, b)));
        entries.dedup_by_key(|(_, entry)| entry.uid);
        Ok(Some(Self { header, entries: entries.into_iter().collect() }))
    }

    /// The numbering that it is of. `None` where it does not say which UID comes next: the last may have been a message's that is gone, which a client knows.
    pub(crate) fn numbering(&self) -> Option<Numbering> {
        let Header { uid_validity, uid_next, .. } = self.header;
        uid_next.map(|uid_next| Numbering { uid_validity, uid_next })
    }

    /// What it says of the message in a file of that name, which may have flags.
    pub(crate) fn entry(&self, file: &str) -> Option<&Entry> {
        self.entries.get(base(file))
    }

    /// The name by which POP3 has shown a message of the Inbox: that in the list, or Dovecot's default, `%08Xu%08Xv`, whose digits are small ones.
    pub(crate) fn uidl(&self, entry: &Entry) -> Option<Uidl> {
        let digits = || format!("{:08x}{:08x}", entry.uid, self.header.uid_validity);
        entry.uidl.clone().or_else(|| digits().parse().ok().filter(|_| self.header.is_dovecots))
    }
}

impl Header {
    fn read(line: &str) -> Option<Self> {
        let (version, rest) = line.split_once(' ')?;
        let mut words = rest.split_ascii_whitespace();
        let is_dovecots = version == "3";
        let (uid_validity, uid_next) = match version {
            "3" => {
                let value = |key: char| words.clone().find_map(|word| word.strip_prefix(key));
                (value('V'), value('N'))
            }
            "1" => (words.next(), words.next()),
            _ => return None,
        };
        let uid_validity = uid_validity?.parse::<u32>().ok().filter(|validity| *validity > 0)?;
        let uid_next = uid_next.and_then(|next| next.parse::<u32>().ok());
        let uid_next = uid_next.filter(|next| (1..=MAX_UID).contains(next));
        Some(Self { is_dovecots, uid_validity, uid_next })
    }
}

/// The next line without its end, nothing of one that is too long; `None` at the end.
fn next_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\n") && line.len() as u64 == MAX_LINE_BYTES {
        line.clear();
        from.skip_until(b'\n')?;
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

/// A file's name without its flags.
pub(crate) fn base(file: &str) -> &str {
    file.split(':').next().unwrap_or_default()
}

fn line_of(line: &str, is_dovecots: bool) -> Option<(&str, Entry)> {
    let (uid, mut rest) = line.split_once(' ')?;
    let uid = uid.parse::<u32>().ok().filter(|uid| (1..=MAX_UID).contains(uid))?;
    let mut uidl = None;
    if is_dovecots {
        rest = loop {
            if let Some(file) = rest.strip_prefix(':') {
                break file;
            }
            let (word, after) = rest.split_once(' ')?;
            if let Some(word) = word.strip_prefix('P') {
                uidl = word.parse().ok();
            }
            rest = after;
        };
    }
    let file = base(rest);
    (!file.is_empty()).then_some((file, Entry { uid, uidl }))
}

/// A list of Dovecot's; the messages by their files' names without flags, each with its UID and its name by POP3. `guid` has 32 hexadecimal digits.
pub(crate) fn write<'a>(
    uid_validity: u32,
    uid_next: u64,
    guid: &str,
    messages: impl Iterator<Item = (&'a str, u64, &'a str)>,
) -> String {
    let mut messages: Vec<_> = messages.collect();
    messages.sort_unstable_by_key(|(_, uid, _)| *uid);
    let uid_next = messages.last().map_or(uid_next, |(_, last, _)| uid_next.max(last + 1));
    let mut text = format!("3 V{uid_validity} N{uid_next} G{guid}\n");
    for (file, uid, uidl) in messages {
        // To a String nothing fails to be written.
        let _ = writeln!(text, "{uid} P{uidl} :{file}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<UidList> {
        UidList::read(text.as_bytes(), |_| true).unwrap()
    }

    fn numbering(uid_validity: u32, uid_next: u32) -> Option<Numbering> {
        Some(Numbering { uid_validity, uid_next })
    }

    fn listed(list: &UidList, file: &str) -> Option<(u32, String)> {
        let entry = list.entry(file)?;
        Some((entry.uid, list.uidl(entry).map(|uidl| uidl.as_str().to_owned()).unwrap_or_default()))
    }

    #[test]
    fn dovecots_list_is_read_with_holes_other_fields_and_names_of_pop3() {
        let text = "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n\
                    25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,\n\
                    25017 W2481 Ppop:uidl-7 O3 :1276533073.M242911P3632.kurkku:2,F\n\
                    7 :low\n";
        let list = read(text).unwrap();
        assert_eq!(list.numbering(), numbering(1_275_660_208, 25_022));
        let first = listed(&list, "1276528487.M364837P9451.kurkku,S=1355,W=1394:2,S");
        assert_eq!(first, Some((25_006, "000061ae4c0907b0".to_owned())));
        let second = listed(&list, "1276533073.M242911P3632.kurkku");
        assert_eq!(second, Some((25_017, "pop:uidl-7".to_owned())));
        assert_eq!(listed(&list, "low").map(|(uid, _)| uid), Some(7));
        assert_eq!(listed(&list, "other"), None);
    }

    #[test]
    fn couriers_list_is_read_and_tells_no_names_of_pop3() {
        let list = read("1 1160000000 12\n3 1160000001.M1P2V3.host,S=5\n11 b:2,S\n").unwrap();
        assert_eq!(list.numbering(), numbering(1_160_000_000, 12));
        assert_eq!(listed(&list, "1160000001.M1P2V3.host,S=5:2,"), Some((3, String::new())));
        assert_eq!(listed(&list, "b"), Some((11, String::new())));
    }

    #[test]
    fn what_is_broken_in_a_list_costs_that_and_no_more() {
        for header in ["", "3", "3 N5", "3 V0 N5", "3 V4294967296 N5", "2 1 2", "x V1 N2", "1 0 5", "1 x"] {
            assert_eq!(read(&format!("{header}\n1 :a\n")), None, "{header}");
        }
        let long = "x".repeat(71);
        let text = format!(
            "3 N5 V9\n0 :zero\n-1 :minus\n2147483648 :high\n4 :a\n4 :b\nfive :c\n6 W1\n7 :\n8 P{long} :d\n9 P\u{e4} :e\n10 :a\n\n11"
        );
        let list = read(&text).unwrap();
        assert_eq!(list.numbering(), numbering(9, 11));
        for file in ["zero", "minus", "high", "c", ""] {
            assert_eq!(listed(&list, file), None, "{file}");
        }
        assert_eq!(listed(&list, "a").map(|(uid, _)| uid), Some(10), "the later line counts");
        assert_eq!(listed(&list, "b").map(|(uid, _)| uid), Some(4), "which is then another's");
        for (file, uid) in [("d", 8_u32), ("e", 9)] {
            assert_eq!(listed(&list, file), Some((uid, format!("{uid:08x}00000009"))), "{file}");
        }
        let twice = read("3 V9 N5\n4 :b\n4 :a\n").unwrap();
        assert!(twice.entry("b").is_none() && twice.entry("a").is_some());
        // Without the next UID there are names by POP3 alone.
        for header in ["3 V9", "3 V9 Nlater", "3 V9 N0", "3 V9 N2147483648", "3 V9 N4294967295"] {
            let list = read(&format!("{header}\n4 :a\n")).unwrap();
            assert_eq!(list.numbering(), None, "{header}");
            assert_eq!(listed(&list, "a"), Some((4, "0000000400000009".to_owned())), "{header}");
        }
        assert_eq!(read("1 9\n4 a\n").unwrap().numbering(), None);
    }

    #[test]
    fn a_line_without_an_end_and_files_that_are_not_there_take_no_room() {
        let long = "x".repeat(3 << 20);
        let text = format!("3 V9 N5\n1 :a\n2 :{long}\n7 :gone\n3 :b");
        let list = UidList::read(text.as_bytes(), |file| file != "gone").unwrap().unwrap();
        assert_eq!(list.numbering(), numbering(9, 8), "what is gone had its UID");
        assert_eq!(list.entries.len(), 2);
        assert_eq!(listed(&list, "b").map(|(uid, _)| uid), Some(3));
        assert_eq!(read(&format!("3 V9 N5 {long}\n1 :a\n")), None);
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let messages = [("b.x", 9, "two"), ("a.x", 3, "one")];
        let text = write(7, 12, "0123456789abcdef0123456789abcdef", messages.into_iter());
        assert_eq!(text, "3 V7 N12 G0123456789abcdef0123456789abcdef\n3 Pone :a.x\n9 Ptwo :b.x\n");
        let list = read(&text).unwrap();
        assert_eq!(list.numbering(), numbering(7, 12));
        for (file, uid, uidl) in messages {
            assert_eq!(listed(&list, file), Some((u32::try_from(uid).unwrap(), uidl.to_owned())));
        }
    }
}
