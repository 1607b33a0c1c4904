//! A cursor over an input, and the tokens that all commands are made of (RFC 9051 §9).

use std::num::NonZeroU32;
use std::vec::IntoIter;

use bytes::{Buf, Bytes};

use crate::codec::frame::{Input, Literal};
use crate::codec::write::is_atom_char;

pub(super) type Result<T> = std::result::Result<T, Fail>;

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fail {
    /// Something else should have stood here.
    Expected(&'static str),
    /// Nested too deeply.
    TooDeep,
    /// Too many of something.
    TooMany(&'static str),
    /// There is no such command.
    Unknown,
}

/// RFC 9051 §9: a `number64` has 63 bits, and so has a `mod-sequence-value` (RFC 7162 §7).
const MAX_NUMBER: u64 = i64::MAX as u64;

/// What has not been read yet.
pub(super) struct Cursor {
    text: Bytes,
    texts: IntoIter<Bytes>,
    literals: IntoIter<Literal>,
    /// Whether names of folders and quoted strings are in UTF-8.
    pub(super) is_utf8: bool,
}

impl Cursor {
    pub(super) fn new(input: Input, is_utf8: bool) -> Self {
        let mut texts = input.texts.into_iter();
        Self { text: texts.next().unwrap_or_default(), texts, literals: input.literals.into_iter(), is_utf8 }
    }

    /// The next byte; none before a literal and at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.first().copied()
    }

    /// Whether nothing is left.
    fn is_at_end(&self) -> bool {
        self.text.is_empty() && self.literals.len() == 0 && self.texts.len() == 0
    }

    /// Whether a literal is next.
    pub(super) fn is_at_literal(&self) -> bool {
        self.text.is_empty() && self.literals.len() > 0
    }

    /// Passes over so many bytes of the line.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.text.advance(bytes.min(self.text.len()));
    }

    /// Takes the next byte if it is this one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        if is_there {
            self.skip(1);
        }
        is_there
    }

    /// Takes this word, in whatever case, if nothing that belongs to an atom follows it.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let is_there =
            self.text.get(..word.len()).is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()))
                && !self.text.get(word.len()).is_some_and(|&byte| is_atom_char(byte));
        if is_there {
            self.skip(word.len());
        }
        is_there
    }

    /// Takes bytes as long as they are of a kind.
    pub(super) fn take_while(&mut self, is_wanted: impl Fn(u8) -> bool) -> Bytes {
        let end = self.text.iter().position(|&byte| !is_wanted(byte)).unwrap_or(self.text.len());
        self.text.split_to(end)
    }

    fn spaces(&mut self) -> usize {
        self.take_while(|byte| byte == b' ').len()
    }

    /// The space before an argument that must follow.
    pub(super) fn space(&mut self, what: &'static str) -> Result<()> {
        if self.has_more() { Ok(()) } else { Err(Fail::Expected(what)) }
    }

    /// Takes the space before another argument; false if there is none, and nothing else than the end may follow.
    pub(super) fn has_more(&mut self) -> bool {
        self.spaces() > 0 && !self.is_at_end()
    }

    /// Nothing but spaces may be left.
    pub(super) fn end(&mut self) -> Result<()> {
        self.spaces();
        if self.is_at_end() { Ok(()) } else { Err(Fail::Expected("the end of the command")) }
    }

    /// A word in upper case: the characters of an atom, and maybe none.
    pub(super) fn word(&mut self) -> String {
        ascii(&self.take_while(is_atom_char)).to_ascii_uppercase()
    }

    /// The name of an item, in upper case: such as `BODY.PEEK` before a bracket.
    pub(super) fn item_name(&mut self) -> String {
        ascii(&self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.')).to_ascii_uppercase()
    }

    /// `atom`.
    pub(super) fn atom(&mut self, what: &'static str) -> Result<String> {
        let atom = self.take_while(is_atom_char);
        if atom.is_empty() { Err(Fail::Expected(what)) } else { Ok(ascii(&atom)) }
    }

    /// Base64, or `=` for nothing (RFC 4959 §3).
    pub(super) fn base64(&mut self, what: &'static str) -> Result<String> {
        let text = self.take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        if text.is_empty() { Err(Fail::Expected(what)) } else { Ok(ascii(&text)) }
    }

    /// `number64`.
    pub(super) fn number(&mut self, what: &'static str) -> Result<u64> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok());
        number.filter(|number| *number <= MAX_NUMBER).ok_or(Fail::Expected(what))
    }

    /// `nz-number`.
    pub(super) fn nz_number(&mut self, what: &'static str) -> Result<NonZeroU32> {
        let number = u32::try_from(self.number(what)?).ok();
        number.and_then(NonZeroU32::new).ok_or(Fail::Expected(what))
    }

    /// The bytes of a literal, if one is next.
    pub(super) fn literal(&mut self) -> Option<Literal> {
        if !self.is_at_literal() {
            return None;
        }
        self.text = self.texts.next().unwrap_or_default();
        self.literals.next()
    }

    /// `astring`. Bytes beyond ASCII are let through, as names and passwords come with them. NUL is not: it is in no CHAR, and in no
    /// text that is stored.
    pub(super) fn astring(&mut self, what: &'static str) -> Result<Bytes> {
        self.string_or_atom(what, |byte| is_atom_char(byte) || byte == b']' || !byte.is_ascii())
    }

    /// `list-mailbox`: as an astring, with wildcards.
    pub(super) fn pattern(&mut self, what: &'static str) -> Result<Bytes> {
        self.string_or_atom(what, |byte| is_atom_char(byte) || b"]*%".contains(&byte) || !byte.is_ascii())
    }

    fn string_or_atom(&mut self, what: &'static str, is_wanted: impl Fn(u8) -> bool) -> Result<Bytes> {
        if self.eat(b'"') {
            let text = self.quoted()?;
            // RFC 6855 §3, RFC 9755 §3: who has enabled UTF-8 quotes nothing else.
            let is_text = !self.is_utf8 || std::str::from_utf8(&text).is_ok();
            return if is_text { Ok(text) } else { Err(Fail::Expected(what)) };
        }
        if let Some(literal) = self.literal() {
            let is_string = !literal.is_binary && !literal.bytes.contains(&0);
            return if is_string { Ok(literal.bytes) } else { Err(Fail::Expected(what)) };
        }
        let atom = self.take_while(is_wanted);
        if atom.is_empty() { Err(Fail::Expected(what)) } else { Ok(atom) }
    }

    /// An astring that is to be kept as text.
    pub(super) fn astring_text(&mut self, what: &'static str) -> Result<String> {
        let bytes = self.astring(what)?;
        String::from_utf8(bytes.into()).map_err(|_| Fail::Expected(what))
    }

    /// The rest of a quoted string. Anything may stand after a backslash, as other servers have it.
    fn quoted(&mut self) -> Result<Bytes> {
        const WHAT: &str = "a closing quote";
        let is_plain = |byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0);
        let mut text = self.take_while(is_plain);
        if self.eat(b'"') {
            return Ok(text);
        }
        let mut unescaped = Vec::new();
        loop {
            unescaped.extend_from_slice(&text);
            if self.eat(b'"') {
                return Ok(unescaped.into());
            }
            if !self.eat(b'\\') {
                return Err(Fail::Expected(WHAT));
            }
            let escaped = self.peek().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0));
            unescaped.push(escaped.ok_or(Fail::Expected(WHAT))?);
            self.skip(1);
            text = self.take_while(is_plain);
        }
    }

    /// A list in parentheses: items with spaces between them, or none.
    pub(super) fn list<T>(
        &mut self,
        what: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.open(what)?;
        let mut items = Vec::new();
        while !self.eat(b')') {
            items.push(item(self)?);
            self.separate()?;
        }
        Ok(items)
    }

    /// As [`Cursor::list`], with one item at least.
    pub(super) fn list_of_some<T>(
        &mut self,
        what: &'static str,
        item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let items = self.list(what, item)?;
        if items.is_empty() { Err(Fail::Expected(what)) } else { Ok(items) }
    }

    /// Whether a list is next, after the space before it, that begins with this word, in whatever case.
    pub(super) fn is_before_list_of(&self, word: &str) -> bool {
        let (texts, literals) = (Vec::new().into_iter(), Vec::new().into_iter());
        let mut ahead = Self { text: self.text.clone(), texts, literals, is_utf8: self.is_utf8 };
        ahead.spaces() > 0 && ahead.open("").is_ok() && ahead.eat_word(word)
    }

    /// The parenthesis that opens a list.
    pub(super) fn open(&mut self, what: &'static str) -> Result<()> {
        if !self.eat(b'(') {
            return Err(Fail::Expected(what));
        }
        self.spaces();
        Ok(())
    }

    /// The parenthesis that closes a list.
    pub(super) fn close(&mut self) -> Result<()> {
        self.spaces();
        if self.eat(b')') { Ok(()) } else { Err(Fail::Expected("a closing parenthesis")) }
    }

    /// What stands after an item of a list: spaces, or its end.
    fn separate(&mut self) -> Result<()> {
        if self.spaces() > 0 || self.peek() == Some(b')') {
            Ok(())
        } else {
            Err(Fail::Expected("a space or a closing parenthesis"))
        }
    }
}

fn ascii(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
