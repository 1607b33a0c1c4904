//! Lists of addresses, RFC 5322 §3.4 and §4.4, as strangers write them.

use std::mem;

use super::Address;
use super::cursor::Cursor;
use super::fields::{kept, kept_or_empty};

/// How many addresses are kept of a list.
const MAX_ADDRESSES: usize = 1_000;

/// Adds the addresses that a field lists.
pub(super) fn read(field: &str, list: &mut Vec<Address>) {
    let mut reader = Reader {
        cursor: Cursor::new(field),
        list,
        words: Words::default(),
        comment: None,
        angle: None,
        is_in_group: false,
    };
    reader.read();
}

struct Reader<'a, 'b> {
    cursor: Cursor<'a>,
    list: &'b mut Vec<Address>,
    /// What is outside of angle brackets since the last address: a name if there are any, else the address.
    words: Words,
    comment: Option<String>,
    angle: Option<Angle>,
    is_in_group: bool,
}

/// What is between angle brackets.
struct Angle {
    route: Option<String>,
    address: Words,
}

impl Reader<'_, '_> {
    fn read(&mut self) {
        while self.list.len() < MAX_ADDRESSES {
            if self.cursor.white() {
                self.words.space();
            } else if let Some(quoted) = self.cursor.quoted() {
                self.end_angle();
                self.words.push_quoted(&quoted);
            } else if let Some(comment) = self.cursor.comment() {
                self.comment = kept(comment).or(self.comment.take());
            } else if let Some(char) = self.cursor.next() {
                self.take(char);
            } else {
                break;
            }
        }
        self.end_address();
        self.end_group();
    }

    fn take(&mut self, char: char) {
        match char {
            ',' => self.end_address(),
            // Between addresses, as some programs write it, it does what a comma does.
            ';' => {
                self.end_address();
                self.end_group();
            }
            ':' if self.is_group_name() => self.begin_group(),
            ':' if self.words.is_empty() => {}
            '<' => {
                self.end_angle();
                self.angle = Some(self.angle());
            }
            '>' if self.angle.is_some() || self.words.is_empty() => {}
            _ => {
                self.end_angle();
                self.words.push(char);
            }
        }
    }

    /// What begins after an angle bracket is the next address, though the comma is missing.
    fn end_angle(&mut self) {
        if self.angle.is_some() {
            self.end_address();
        }
    }

    fn end_address(&mut self) {
        let (words, comment) = (mem::take(&mut self.words), self.comment.take());
        let (name, route, address) = match self.angle.take() {
            Some(angle) => (kept(words.text).or(comment), angle.route, angle.address),
            None if words.is_empty() => return,
            None => (comment, None, words),
        };
        let (mailbox, host) = address.split();
        self.list.push(Address { name, route, mailbox: Some(mailbox), host: Some(host) });
    }

    fn is_group_name(&self) -> bool {
        let words = &self.words;
        !self.is_in_group
            && self.angle.is_none()
            && !words.is_empty()
            && words.at.is_none()
            && !words.is_literal
    }

    fn begin_group(&mut self) {
        let name = mem::take(&mut self.words).text;
        self.comment = None;
        self.is_in_group = true;
        self.list.push(Address { mailbox: Some(kept_or_empty(name)), ..Address::default() });
    }

    /// Also at the field's end: each beginning has its end.
    fn end_group(&mut self) {
        if mem::take(&mut self.is_in_group) {
            self.list.push(Address::default());
        }
    }

    /// What follows an opening bracket, up to the closing one.
    fn angle(&mut self) -> Angle {
        let mut angle = Angle { route: None, address: Words::default() };
        loop {
            if self.cursor.white() {
                angle.address.space();
                continue;
            }
            if let Some(quoted) = self.cursor.quoted() {
                angle.address.push_quoted(&quoted);
                continue;
            }
            if self.cursor.comment().is_some() {
                continue;
            }
            let is_route = angle.route.is_none() && angle.address.text.starts_with('@');
            match self.cursor.peek() {
                None => return angle,
                // The closing bracket is missing, unless this is within a route.
                Some(',' | ';') if !is_route => return angle,
                Some(char) => {
                    self.cursor.next();
                    match char {
                        '>' => return angle,
                        '<' if angle.address.is_empty() => {}
                        ':' if is_route && !angle.address.is_literal => {
                            angle.route = kept(mem::take(&mut angle.address).text);
                        }
                        _ => angle.address.push(char),
                    }
                }
            }
        }
    }
}

/// Words as they add up, any white space between them a space.
#[derive(Default)]
struct Words {
    text: String,
    /// Where in it the last `@` is that is not quoted.
    at: Option<usize>,
    is_spaced: bool,
    /// Whether this is within the brackets of a domain literal, where a colon is a part of an address.
    is_literal: bool,
}

impl Words {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn space(&mut self) {
        self.is_spaced = !self.is_empty();
    }

    fn push_quoted(&mut self, quoted: &str) {
        if mem::take(&mut self.is_spaced) {
            self.text.push(' ');
        }
        self.text.push_str(quoted);
    }

    fn push(&mut self, char: char) {
        if mem::take(&mut self.is_spaced) {
            self.text.push(' ');
        }
        match char {
            '@' => self.at = Some(self.text.len()),
            '[' => self.is_literal = true,
            ']' => self.is_literal = false,
            _ => {}
        }
        self.text.push(char);
    }

    /// The mailbox and the host, which is empty if there is none.
    fn split(self) -> (String, String) {
        let halves = self.at.and_then(|at| self.text.split_at_checked(at));
        let Some((mailbox, host)) = halves else { return (kept_or_empty(self.text), String::new()) };
        // White space around dots is no part of it (RFC 5322 §4.4).
        let host = host.chars().filter(|char| !matches!(char, '@' | ' ')).collect();
        (kept_or_empty(mailbox.trim().to_owned()), kept_or_empty(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name|route|mailbox|host` each, `-` for what is not there.
    fn list(field: &str) -> Vec<String> {
        let mut list = Vec::new();
        read(field, &mut list);
        let show = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let of = |a: &Address| [&a.name, &a.route, &a.mailbox, &a.host].map(show).join("|");
        list.iter().map(of).collect()
    }

    #[test]
    fn addresses_are_read_as_rfc_5322_has_them() {
        assert_eq!(list(r#""Doe, John" <j@x>"#), ["Doe, John|-|j|x"]);
        assert_eq!(list("j@x (John)"), ["John|-|j|x"]);
        assert_eq!(
            list("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
            ["Pete|-|pete|silly.test"]
        );
        assert_eq!(list("j@x, John \t Q. Public <k@y>,l@z"), ["-|-|j|x", "John Q. Public|-|k|y", "-|-|l|z"]);
        assert_eq!(
            list("\"Joe \\\"Q\\\" Public\" <john.q.public@example.com>"),
            ["Joe \"Q\" Public|-|john.q.public|example.com"]
        );
        assert_eq!(
            list("\"a@b c\"@x, <\"d e\"@[IPv6:::1]>, f@[IPv6:::1]"),
            ["-|-|a@b c|x", "-|-|d e|[IPv6:::1]", "-|-|f|[IPv6:::1]"]
        );
        assert_eq!(list("<@r1,@r2:a@x>, b@y"), ["-|@r1,@r2|a|x", "-|-|b|y"]);
        assert_eq!(list("j @ x . example"), ["-|-|j|x.example"]);
        assert_eq!(list("=?utf-8?q?J=C3=BCrgen=2C_K?= <j@x>"), ["=?utf-8?q?J=C3=BCrgen=2C_K?=|-|j|x"]);
        assert_eq!(list("Jürgen <jürgen@bücher.example>"), ["Jürgen|-|jürgen|bücher.example"]);
    }

    #[test]
    fn groups_begin_and_end() {
        assert_eq!(list("undisclosed-recipients:;"), ["-|-|undisclosed-recipients|-", "-|-|-|-"]);
        let group = ["-|-|A Group|-", "-|-|a|x", "B|-|b|y", "-|-|-|-"];
        assert_eq!(list("A Group: a@x, B <b@y>;"), group);
        assert_eq!(list("\"A Group\" : a@x, B <b@y> "), group);
        assert_eq!(list("G:a@x;, c@z"), ["-|-|G|-", "-|-|a|x", "-|-|-|-", "-|-|c|z"]);
    }

    #[test]
    fn what_is_broken_is_read_as_far_as_it_goes() {
        assert_eq!(list("root"), ["-|-|root|"]);
        assert_eq!(list("MAILER-DAEMON <>"), ["MAILER-DAEMON|-||"]);
        assert_eq!(list("\"Doe <j@x>, k@y"), ["\"Doe|-|j|x", "-|-|k|y"]);
        assert_eq!(list("John :( <j@x>"), ["-|-|John|-", "(|-|j|x", "-|-|-|-"]);
        assert_eq!(list("a@x; b@y;"), ["-|-|a|x", "-|-|b|y"]);
        assert_eq!(list("A <a@x> B <b@y> <<c@z>>"), ["A|-|a|x", "B|-|b|y", "-|-|c|z"]);
        assert_eq!(list("A <a@x, b@y"), ["A|-|a|x", "-|-|b|y"]);
        assert_eq!(list("a@b@c"), ["-|-|a@b|c"]);
        assert_eq!(list("<Undisclosed:@x;>"), ["-|-|Undisclosed:|x"]);
        assert!(list("").is_empty() && list(" , ,;(x) , \"\" :").is_empty());
    }

    #[test]
    fn much_is_read_in_one_pass_and_bounded() {
        assert_eq!(list(&"a@x,".repeat(100_000)).len(), MAX_ADDRESSES);
        for flood in ["\"\\", "(", "((\\", "<", "[", "<@a,", ":;", "\"a\" (", "<\"(", "\\\""] {
            assert!(list(&flood.repeat(200_000)).len() <= MAX_ADDRESSES + 2, "{flood}");
        }
    }
}
