//! The form of a Maildir on disk, as imports read it and exports write it.
//!
//! Maildir++: subfolders are folders beside `cur` whose names begin with a dot, the parts of a path with dots between them, each in modified UTF-7. A
//! `%`, a dot or a slash within a name, and what a file system would not take, is written as `%` and two hexadecimal digits for each byte.

use std::collections::BTreeSet;

use kernel::{hex, utf7};
use sha2::{Digest as _, Sha256};

use crate::message::{Flag, Flags, Keyword};

/// The file that says whose export a folder is.
pub(crate) const EXPORT_MARK: &str = ".pillarbox-export";
/// The file that says which letters stand for which keywords, as Dovecot has it.
pub(crate) const KEYWORDS_FILE: &str = "dovecot-keywords";
/// The file that says which folder a subfolder is whose name would be too long for a file system: what the name would be.
pub(crate) const FOLDER_FILE: &str = "pillarbox-folder";
/// How many bytes a name of a file has at most; file systems take 255, and more is added to some.
const MAX_NAME_BYTES: usize = 200;
/// How many keywords a folder's letters are enough for.
pub(crate) const MAX_LETTERS: usize = 26;

/// What `P` stands for: passed on.
const FORWARDED: &str = "$Forwarded";

/// The second in which a file's message was received, if its name begins with that as Maildir has it.
pub(crate) fn received(name: &str) -> Option<u64> {
    name.split('.').next()?.parse().ok()
}

/// The letters after `:2,` in a file's name. Keywords that have no letter are left out.
pub(crate) fn letters(flags: &Flags, keywords: &[String]) -> String {
    let is_forwarded = |keyword: &Keyword| keyword.as_str().eq_ignore_ascii_case(FORWARDED);
    // In the order of their letters.
    let mut letters = String::new();
    for (flag, letter) in [(Flag::Draft, 'D'), (Flag::Flagged, 'F')] {
        letters.extend(flags.flags.contains(&flag).then_some(letter));
    }
    letters.extend(flags.keywords.iter().any(is_forwarded).then_some('P'));
    for (flag, letter) in [(Flag::Answered, 'R'), (Flag::Seen, 'S'), (Flag::Deleted, 'T')] {
        letters.extend(flags.flags.contains(&flag).then_some(letter));
    }
    let has = |name: &String| flags.keywords.iter().any(|keyword| keyword.as_str() == name);
    let named = ('a'..='z').zip(keywords).filter(|(_, name)| has(name));
    letters.extend(named.map(|(letter, _)| letter));
    letters
}

/// The flags that a file's name tells.
pub(crate) fn flags(name: &str, keywords: &[String]) -> Flags {
    let letters = name.rsplit_once(":2,").map_or("", |(_, letters)| letters);
    let mut of = Flags::default();
    for letter in letters.chars() {
        match letter {
            'D' => drop(of.flags.insert(Flag::Draft)),
            'F' => drop(of.flags.insert(Flag::Flagged)),
            'R' => drop(of.flags.insert(Flag::Answered)),
            'S' => drop(of.flags.insert(Flag::Seen)),
            'T' => drop(of.flags.insert(Flag::Deleted)),
            'P' => of.keywords.extend(FORWARDED.parse().ok()),
            'a'..='z' => {
                let name = keywords.get((letter as usize) - ('a' as usize));
                of.keywords.extend(name.and_then(|name| name.parse().ok()));
            }
            _ => {}
        }
    }
    of
}

/// What a keywords' file says, by letter.
pub(crate) fn read_keywords(text: &str) -> Vec<String> {
    let mut keywords = Vec::new();
    for line in text.lines() {
        let Some((number, name)) = line.split_once(' ') else { continue };
        if let Ok(number) = number.parse::<usize>()
            && number < MAX_LETTERS
        {
            keywords.resize(keywords.len().max(number + 1), String::new());
            keywords[number] = name.to_owned();
        }
    }
    keywords
}

/// A keywords' file.
pub(crate) fn write_keywords(keywords: &[String]) -> String {
    keywords.iter().enumerate().map(|(number, name)| format!("{number} {name}\n")).collect()
}

/// Gives letters to keywords that have none, as long as there are any.
pub(crate) fn add_keywords(keywords: &mut Vec<String>, of: &BTreeSet<Keyword>) {
    for keyword in of {
        let is_new = !keywords.iter().any(|known| known == keyword.as_str());
        if is_new && keywords.len() < MAX_LETTERS && !keyword.as_str().eq_ignore_ascii_case(FORWARDED) {
            keywords.push(keyword.as_str().to_owned());
        }
    }
}

/// A folder's name as a part of a subfolder's.
pub(crate) fn part(name: &str) -> String {
    escaped(&utf7::encode(name))
}

/// The name that a part of a subfolder's name stands for. What is not in modified UTF-7, as with programs that write UTF-8, is the name itself.
pub(crate) fn name(part: &str) -> String {
    let name = unescaped(part);
    utf7::decode(name.as_bytes()).unwrap_or(name)
}

/// A folder's name as a part of a path of files.
pub(crate) fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for char in name.chars() {
        if matches!(char, '%' | '.' | '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
            || char.is_control()
        {
            let mut bytes = [0; 4];
            for byte in char.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// A name of a file that no file system is too small for: as it is, or its beginning and a hash.
pub(crate) fn fitting(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let hash = Sha256::digest(name);
    format!("{}~{}", &name[..name.floor_char_boundary(MAX_NAME_BYTES - 20)], hex(&hash[..8]))
}

/// The name that was [`escaped`], or as it is if it was not.
pub(crate) fn unescaped(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hexadecimal = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hexadecimal.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| part.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_keywords_come_back_from_a_name() {
        let mut of = Flags { flags: Flag::ALL.iter().copied().collect(), ..Flags::default() };
        of.keywords = ["$Forwarded", "$Work", "Later"].map(|name| name.parse().unwrap()).into();
        let mut keywords = read_keywords("0 other\n1 $Work\nnonsense\n99 far\n");
        add_keywords(&mut keywords, &of.keywords);
        assert_eq!(write_keywords(&keywords), "0 other\n1 $Work\n2 Later\n");
        let name = format!("1.x:2,{}", letters(&of, &keywords));
        assert_eq!(name, "1.x:2,DFPRSTbc");
        assert_eq!(flags(&name, &keywords), of);
        assert_eq!(flags("1.x", &keywords), Flags::default());
        assert_eq!(flags("1.x:2,Sz9", &keywords).keywords.len(), 0);
    }

    #[test]
    fn names_come_back_from_paths() {
        for own in ["Work", "a.b/c%", "Späße ☃", "..", "%2E", "a:b", "R&D", "a &- b", "&AOk-"] {
            let (escaped, part) = (escaped(own), part(own));
            assert!(!escaped.contains(['.', '/', ':']), "{escaped}");
            assert_eq!(unescaped(&escaped), own);
            assert!(part.is_ascii() && !part.contains(['.', '/', ':']), "{part}");
            assert_eq!(name(&part), own);
        }
        // As Dovecot and Courier write them, and as those that write UTF-8.
        for (written, own) in
            [("Entw&APw-rfe", "Entwürfe"), ("Entwürfe", "Entwürfe"), ("R&D", "R&D"), ("a&-b", "a&b")]
        {
            assert_eq!(name(written), own);
        }
        let long = "\u{436}".repeat(200);
        assert!(fitting(&long).len() <= MAX_NAME_BYTES && fitting(&long) != fitting(&format!("{long}x")));
        assert_eq!(unescaped("100%"), "100%");
        assert_eq!(unescaped("%FF"), "%FF");
    }
}
