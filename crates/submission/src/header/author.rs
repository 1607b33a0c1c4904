//! Whom a From field names: read strictly, and refused where readers may see another.
//!
//! The rule that the sender check rests on: what is read here is what every common reader shows. So this takes the
//! grammar of RFC 5322 §3.4 without its obsolete forms (but the dot in an unquoted display name, which is usual),
//! and without white space or comments inside of an address; and what it reads has to be what `mail-parser`, which
//! our own IMAP and API show, reads too.

use std::fmt;

use kernel::address::{is_address_literal, is_dot_string, is_host, is_host_char};
use mail_parser::{Addr, Address, HeaderName, MessageParser};

use crate::header::field::{Field, lines};
use crate::header::scan::Scan;

/// The longest value read, in octets: some hundred addresses. Relays cut what is much longer (Postfix's
/// `header_size_limit`), so that readers behind them see another list.
const VALUE_LIMIT: usize = 8 * 1024;
/// The longest line (RFC 5322 §2.1.1), in octets without its CRLF. Relays break longer ones anywhere.
const LINE_LIMIT: usize = 998;

/// An address that a message names as its author's or sender's: `local@domain`, as it was written but for the
/// quotes of the local part. The local part is a dot-string, the domain a host name or an address literal; both may
/// have UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author(String);

impl Author {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address of the list, and how it stands there.
struct Named<'t> {
    author: Author,
    /// With the quotes of the local part.
    written: &'t str,
}

/// The addresses that `field` lists, those of groups (RFC 6854) among them: one or more, in their order. `None` if
/// it cannot be read, has none, or readers may see others in it.
pub(super) fn authors(field: &Field<'_>) -> Option<Vec<Author>> {
    let value = field.value();
    let is_plain = |line: &[u8]| line.len() <= LINE_LIMIT && !line.trim_ascii().is_empty();
    // A blank line is to some the end of the header.
    if value.len() > VALUE_LIMIT || !lines(field.raw).all(is_plain) {
        return None;
    }
    let text = str::from_utf8(value).ok()?.replace("\r\n", "");
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let mut scan = Scan { rest: &text };
    let named = list(&mut scan, false)?;
    let is_whole = scan.rest.is_empty();
    (is_whole && is_read_alike(value, &named)).then(|| named.into_iter().map(|named| named.author).collect())
}

/// Elements, one or more, with commas between them. Empty ones (`obs-mbox-list`) are refused, and an empty group
/// too: it names nobody.
fn list<'t>(scan: &mut Scan<'t>, is_in_group: bool) -> Option<Vec<Named<'t>>> {
    let mut all = Vec::new();
    loop {
        all.append(&mut element(scan, is_in_group)?);
        scan.skip_cfws()?;
        if !scan.take(',') {
            return Some(all);
        }
    }
}

/// `mailbox / group`; groups do not nest.
fn element<'t>(scan: &mut Scan<'t>, is_in_group: bool) -> Option<Vec<Named<'t>>> {
    scan.skip_cfws()?;
    let start = *scan;
    if let Some(named) = addr_spec(scan) {
        return Some(vec![named]);
    }
    *scan = start;
    let has_phrase = phrase(scan)?;
    if scan.take('<') {
        let named = addr_spec(scan)?;
        return scan.take('>').then(|| vec![named]);
    }
    if is_in_group || !has_phrase || !scan.take(':') {
        return None;
    }
    let members = list(scan, true)?;
    scan.take(';').then_some(members)
}

/// Takes the words of a display name, if there are any, and the white space and comments around them: whether
/// there are. `None` if a quoted string or comment does not end.
fn phrase(scan: &mut Scan<'_>) -> Option<bool> {
    let mut has_words = false;
    loop {
        scan.skip_cfws()?;
        match scan.peek() {
            Some('"') => {
                scan.quoted()?;
            }
            Some(c) if is_phrase_text(c) && c != '.' => {
                scan.take_while(is_phrase_text);
            }
            _ => return Some(has_words),
        }
        has_words = true;
    }
}

/// `local-part "@" domain`, without white space or comments in it.
fn addr_spec<'t>(scan: &mut Scan<'t>) -> Option<Named<'t>> {
    let start = scan.rest;
    let local = match scan.peek()? {
        // A quoted dot-string is that dot-string (RFC 5321 §4.1.2). No mailbox of ours has a name that needs quotes.
        '"' => scan.quoted()?,
        _ => scan.take_while(is_phrase_text).to_owned(),
    };
    // An encoded word has no place in an address (RFC 2047 §5), but some readers decode it there.
    if !is_dot_string(&local) || local.contains("=?") || !scan.take('@') {
        return None;
    }
    let domain_start = scan.rest;
    if scan.take('[') {
        scan.take_while(|c| c != ']');
        scan.take(']');
    } else {
        scan.take_while(|c| is_host_char(c) || c == '.');
    }
    let domain = &domain_start[..domain_start.len() - scan.rest.len()];
    let is_domain = is_host(domain) || is_address_literal(domain);
    let written = &start[..start.len() - scan.rest.len()];
    is_domain.then(|| Named { author: Author(format!("{local}@{domain}")), written })
}

/// Whether `mail-parser` reads the same addresses in `value`, and the names beside them cannot pass for others.
fn is_read_alike(value: &[u8], named: &[Named<'_>]) -> bool {
    let message = [b"From:", value, b"\r\n\r\n"].concat();
    let parser = MessageParser::new().header_address(HeaderName::From);
    let parsed = parser.parse_headers(&message);
    let Some(list) = parsed.as_ref().and_then(|parsed| parsed.from()) else { return false };
    let is_same = |(theirs, ours): (&Addr<'_>, &Named<'_>)| theirs.address.as_deref() == Some(ours.written);
    let groups = match list {
        Address::Group(groups) => groups.as_slice(),
        Address::List(_) => &[],
    };
    let is_encoded = value.windows(2).any(|two| two == b"=?");
    let group_names = groups.iter().filter_map(|group| Some((group.name.as_deref()?, None)));
    let addr_names = list.iter().filter_map(|addr| Some((addr.name.as_deref()?, addr.address.as_deref())));
    list.iter().count() == named.len()
        && list.iter().zip(named).all(is_same)
        && addr_names.chain(group_names).all(|(name, own)| is_harmless(name, own, is_encoded))
}

/// Whether a display name or comment, decoded, does not give an address to those who read carelessly: who cut at
/// control characters, who look for the first `<` or split at each comma, or who decode encoded words before they
/// parse (against RFC 2047 §6.2; many scripts do). An encoded word that is still one, as it does not stand alone
/// (RFC 2047 §5) or is broken, may be decoded by others.
///
/// To those who decode first, what is around an `@` is the address. It may be the very one that the name is of, as
/// some clients have it; or none, where no domain follows: `Jürgen @ Acme`.
fn is_harmless(name: &str, own: Option<&str>, is_encoded: bool) -> bool {
    let has = |wanted: &[char]| name.contains(wanted);
    let passes_for_address = if is_encoded {
        let is_own = own.is_some_and(|own| name.eq_ignore_ascii_case(own));
        let may_be_domain = |after: &str| after.contains(['.', '。', '．', '｡', '[', '@']);
        let names_address = name.split_once('@').is_some_and(|(_, after)| may_be_domain(after));
        names_address && !is_own || has(&['<', '>']) || name.contains("=?")
    } else {
        has(&['@']) && has(&['<', '>', ',', ';'])
    };
    !passes_for_address && !name.chars().any(|c| c.is_control() && c != '\t')
}

/// `atext` (RFC 5322 §3.2.3, RFC 6532 §3.2) and the dot. More than local parts have, which are looked at after it: in a display name white space beyond
/// ASCII is text as well.
fn is_phrase_text(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::field::split;
    use proptest::prelude::*;

    /// The addresses in a From of this value, with spaces between them.
    fn read(value: &str) -> Option<String> {
        let message = format!("From:{value}\r\n\r\n");
        let (fields, _) = split(message.as_bytes()).ok()?;
        let [field] = fields[..] else { return None };
        Some(authors(&field)?.iter().map(Author::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn reads_what_all_readers_read() {
        for (value, wanted) in [
            (" own@d.example", "own@d.example"),
            ("own@d.example", "own@d.example"),
            (" Own+Tag@D.Example", "Own+Tag@D.Example"),
            (" a@b.example, c@d.example", "a@b.example c@d.example"),
            (" <own@d.example>", "own@d.example"),
            (" Ada <own@d.example> ", "own@d.example"),
            (" Ada<own@d.example>", "own@d.example"),
            (" J. R. Smith <own@d.example>", "own@d.example"),
            (" \"Smith, J. [x]\" <own@d.example>, c@d.example", "own@d.example c@d.example"),
            ("\r\n Ada\r\n\tLovelace\r\n <own@d.example>", "own@d.example"),
            (" \"a very\r\n long \\\" name\" <own@d.example>", "own@d.example"),
            (" \"x@evil.example\" <own@d.example>", "own@d.example"),
            (" own@d.example (Ada (the first) \\) L.)", "own@d.example"),
            (" own@d.example (evil@x.example)", "own@d.example"),
            (" Ada (evil) <own@d.example> (x)", "own@d.example"),
            (" =?utf-8?q?M=C3=BCller=2C_J=C3=BCrgen?= <own@d.example>", "own@d.example"),
            (" =?utf-8?b?SsO8?=\r\n =?utf-8?q?rgen_=22x=22?= <own@d.example>", "own@d.example"),
            (" =?utf-8?q?J=C3=BCrgen_=40_Acme?= <own@d.example>", "own@d.example"),
            (" =?utf-8?q?J=C3=BCrgen_=40_Acme=2C_Inc?= <own@d.example>", "own@d.example"),
            (" =?utf-8?b?T3duQGQuZXhhbXBsZQ==?= <own@d.example>", "own@d.example"),
            (" Jürgen <jürgen@müller.example>", "jürgen@müller.example"),
            (" Ada <\"o.wn\"@d.example>", "o.wn@d.example"),
            (" Ada <own@[192.0.2.1]>, b@c.example", "own@[192.0.2.1] b@c.example"),
            (" Ada <own@[IPv6:2001:db8::1]>", "own@[IPv6:2001:db8::1]"),
            (" Team: a@b.example, C <c@d.example>;", "a@b.example c@d.example"),
            (" a@b.example, Team: c@d.example;, e@f.example", "a@b.example c@d.example e@f.example"),
            (" I <own@localhost>", "own@localhost"),
        ] {
            assert_eq!(read(value).as_deref(), Some(wanted), "{value:?}");
        }
    }

    #[test]
    fn refuses_what_names_nobody_or_cannot_be_parsed() {
        for value in [
            "",
            " ",
            " Ada",
            " Ada Lovelace <>",
            " <>",
            " own",
            " <own>",
            " @d.example",
            " own@",
            " undisclosed:;",
            " undisclosed-recipients: ;",
            " own@d.example, undisclosed:;",
            " undisclosed:;, own@d.example",
            " own@d.example,",
            " , own@d.example",
            " a@b.example,, c@d.example",
            " a@b.example c@d.example",
            " a@b.example; c@d.example",
            " Team: a@b.example",
            " a@b.example;",
            " Team: In: a@b.example;;",
            " :a@b.example;",
            " <own@d.example",
            " own@d.example>",
            " Ada <own@d.example>>",
            " <own@d.example> Ada",
            " <own@d.example> <evil@x.example>",
            " <own@d.example>, Ada",
            " \"Ada <own@d.example>",
            " \"Ada\\\" <own@d.example>",
            " own@d.example (Ada",
            " own@d.example (Ada\\)",
            " own@d.example )",
            " Smith, Ada <own@d.example>",
            " Ada @ Home <own@d.example>",
            " Ada [x] <own@d.example>",
            " Ada \\<evil@x.example> <own@d.example>",
            " o..wn@d.example",
            " own@d..example",
            " own@d.example.",
            " own@[]",
            " own@[192.0.2.1",
            " \"\"@d.example",
            " <\"o wn\"@d.example>",
            " <\"x@evil.example\"@d.example>",
            " own@d.example\u{7f}",
            " own\u{85}@d.example",
            " Ada \u{1b} <own@d.example>",
            " o\u{2028}wn@d.example",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }

    #[test]
    fn refuses_what_readers_read_differently() {
        for value in [
            " own@d.example <evil@x.example>",
            " evil@x.example <own@d.example>",
            " <@route.example:own@d.example>",
            " own (x) @ d.example",
            " own @d.example",
            " own@ d.example",
            " own@d (x).example",
            " <own@d.example (x)>",
            " <(x) own@d.example>",
            " < own@d.example>",
            " <own@d.example\r\n >",
            " \"own\".x@d.example",
            " \"own\"@d.example",
            " =?utf-8?q?evil=40x=2Eexample?=@d.example",
            " Ada <=?utf-8?q?evil?=@d.example>",
            " =?utf-8?q?evil=40x=2Eexample=2C?= <own@d.example>",
            " =?utf-8?q?a_=3Cevil=40x=2Eexample=3E?= <own@d.example>",
            " x=?utf-8?q?evil=40x=2Eexample?= <own@d.example>",
            " =?utf-8?q?evil=00?= <own@d.example>",
            " =?utf-8?q?evil=0D=0AFrom:_x?= <own@d.example>",
            " =?utf-8?q?evil=0A?= <own@d.example>",
            " \"a <evil@x.example>\" <own@d.example>",
            " \"a, evil@x.example\" <own@d.example>",
            " own@d.example (<evil@x.example>)",
            " . <own@d.example>",
            " Ada\r\n \r\n <own@d.example>",
            " own@d.example\r\n ",
            "\r\n own@d.example\r\n\t\r\n",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
        let (fields, _) = split(b"From: J\xfcrgen <own@d.example>\r\n").unwrap();
        assert_eq!(authors(&fields[0]), None);
    }

    #[test]
    fn lengths_are_bounded() {
        let line = |length: usize| format!(" {}@d.example", "a".repeat(length - "From: @d.example".len()));
        assert!(read(&line(LINE_LIMIT)).is_some());
        assert_eq!(read(&line(LINE_LIMIT + 1)), None);
        let one = " own@d.example,\r\n";
        let many = |count: usize| format!("{} own@d.example", one.repeat(count));
        assert!(read(&many(VALUE_LIMIT / one.len() - 1)).is_some());
        assert_eq!(read(&many(VALUE_LIMIT / one.len() + 1)), None);
        let host = |length: usize| format!(" own@{}", "a".repeat(length));
        assert!(read(&host(255)).is_some());
        assert_eq!(read(&host(256)), None);
    }

    proptest! {
        /// Whatever is put together of what confuses readers: all that is read was written as an address, outside
        /// of quotes and comments, and no address beside it.
        #[test]
        fn reads_no_other_than_the_bare_addresses(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "own@d.example", "<own@d.example>", "evil@x.example", "<evil@x.example>", "\"", "(", ")", "\\", ",",
                ";", ":", " ", "\r\n ", "Ada", "=?utf-8?q?evil=40x=2Eexample?=", "<", ">", "@", "é", "[", "]",
            ]), 0..10)
        ) {
            let value = pieces.concat();
            if let Some(read) = read(&value) {
                let (mut bare, mut depth, mut is_quoted, mut is_escaped) = (String::new(), 0, false, false);
                for c in value.chars() {
                    match c {
                        _ if is_escaped => is_escaped = false,
                        '\\' => is_escaped = true,
                        '"' if depth == 0 => is_quoted = !is_quoted,
                        '(' if !is_quoted => depth += 1,
                        ')' if !is_quoted => depth -= 1,
                        _ if !is_quoted && depth == 0 => bare.push(c),
                        _ => {}
                    }
                }
                prop_assert_eq!(read.split(' ').count(), bare.matches('@').count(), "{:?}", value);
                for address in read.split(' ') {
                    prop_assert!(bare.contains(address), "{value:?}");
                }
            }
        }

        #[test]
        fn nothing_makes_it_panic(value in "\\PC{0,40}", noise in "[ \t\r\n<>()\"\\\\@,;:.=?a]{0,40}") {
            let _ = read(&value);
            let _ = read(&noise);
        }
    }
}
