//! Text to filter: recursive descent whose depth is counted before it is entered.

use serde_json::Number;

use super::{CompareOp, Filter, Literal, MAX_DEPTH, MAX_LENGTH_BYTES};
use crate::{AttrPath, Error, path};

/// Reads a text that is a filter and nothing else.
pub(super) fn whole(text: &str) -> Result<Filter, Error> {
    if text.len() > MAX_LENGTH_BYTES {
        return Err(Error::filter(format!("the filter is longer than {MAX_LENGTH_BYTES} bytes")));
    }
    let mut parser = Parser { text, at: 0, in_value_path: false };
    let filter = parser.disjunction(0)?;
    parser.skip_spaces();
    if parser.at < text.len() {
        return Err(parser.expected("the end, `and` or `or`"));
    }
    Ok(filter)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    in_value_path: bool,
}

impl<'a> Parser<'a> {
    fn disjunction(&mut self, depth: usize) -> Result<Filter, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::filter(format!("the filter nests deeper than {MAX_DEPTH} levels")));
        }
        let mut all = vec![self.conjunction(depth)?];
        while self.keyword("or") {
            all.push(self.conjunction(depth)?);
        }
        Ok(single_or(all, Filter::Or))
    }

    fn conjunction(&mut self, depth: usize) -> Result<Filter, Error> {
        let mut all = vec![self.term(depth)?];
        while self.keyword("and") {
            all.push(self.term(depth)?);
        }
        Ok(single_or(all, Filter::And))
    }

    fn term(&mut self, depth: usize) -> Result<Filter, Error> {
        self.skip_spaces();
        if self.eat('(') {
            return self.closed(depth + 1, ')');
        }
        let start = self.at;
        let word = self.word();
        if word.eq_ignore_ascii_case("not") {
            self.skip_spaces();
            if self.eat('(') {
                return Ok(Filter::Not(Box::new(self.closed(depth + 1, ')')?)));
            }
        }
        let Ok(path) = AttrPath::parse(word) else {
            self.at = start;
            return Err(self.expected("an attribute"));
        };
        if self.eat('[') { self.value_path(path, depth) } else { self.comparison(path) }
    }

    fn closed(&mut self, depth: usize, end: char) -> Result<Filter, Error> {
        let filter = self.disjunction(depth)?;
        self.skip_spaces();
        if self.eat(end) { Ok(filter) } else { Err(self.expected(&format!("`{end}`"))) }
    }

    fn value_path(&mut self, path: AttrPath, depth: usize) -> Result<Filter, Error> {
        if self.in_value_path || path.sub.is_some() {
            return Err(self.expected("no value path"));
        }
        self.in_value_path = true;
        let filter = self.closed(depth + 1, ']');
        self.in_value_path = false;
        let mut filter = filter?;
        if self.eat('.') {
            let start = self.at;
            let sub = self.word();
            if !path::is_name(sub) {
                self.at = start;
                return Err(self.expected("a sub-attribute"));
            }
            let comparison = self.comparison(AttrPath { schema: None, name: sub.to_owned(), sub: None })?;
            filter = match filter {
                Filter::And(mut all) => {
                    all.push(comparison);
                    Filter::And(all)
                }
                // Written out, it needs a group of its own, which must be readable again.
                Filter::Or(_) if depth + 2 > MAX_DEPTH => {
                    return Err(Error::filter(format!("the filter nests deeper than {MAX_DEPTH} levels")));
                }
                other => Filter::And(vec![other, comparison]),
            };
        }
        Ok(Filter::ValuePath { path, filter: Box::new(filter) })
    }

    fn comparison(&mut self, path: AttrPath) -> Result<Filter, Error> {
        self.skip_spaces();
        let start = self.at;
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let Some(op) = CompareOp::from_word(word) else {
            self.at = start;
            return Err(self.expected("an operator"));
        };
        self.skip_spaces();
        let value = self.literal()?;
        if !op.suits(&value) {
            return Err(Error::filter(format!("`{}` does not apply to such a value", op.as_str())));
        }
        Ok(Filter::Compare { path, op, value })
    }

    fn literal(&mut self) -> Result<Literal, Error> {
        let start = self.at;
        if self.rest().starts_with('"') {
            let end = string_end(self.rest());
            let token = end.and_then(|end| self.rest().get(..end));
            let text = token.and_then(|token| serde_json::from_str::<String>(token).ok());
            let (Some(text), Some(end)) = (text, end) else {
                return Err(self.expected("a JSON string"));
            };
            self.at += end;
            return Ok(Literal::String(text));
        }
        let token = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        let literal = match token.to_ascii_lowercase().as_str() {
            "null" => Some(Literal::Null),
            // .NET writes them with a capital.
            "true" => Some(Literal::Bool(true)),
            "false" => Some(Literal::Bool(false)),
            _ => number(token).map(Literal::Number),
        };
        literal.ok_or_else(|| {
            self.at = start;
            self.expected("a JSON string, number, boolean or null")
        })
    }

    /// Takes the word if it comes next, with the spaces before it.
    fn keyword(&mut self, keyword: &str) -> bool {
        let start = self.at;
        self.skip_spaces();
        if self.word().eq_ignore_ascii_case(keyword) {
            return true;
        }
        self.at = start;
        false
    }

    fn word(&mut self) -> &'a str {
        self.take_while(path::is_path_char)
    }

    fn skip_spaces(&mut self) {
        self.take_while(|c| c == ' ');
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> Error {
        Error::filter(format!("expected {what} at byte {} of the filter", self.at))
    }
}

fn single_or(mut all: Vec<Filter>, join: impl Fn(Vec<Filter>) -> Filter) -> Filter {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            join(all)
        }
        None => join(all),
    }
}

/// Where a JSON string that starts here ends, after its quote.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// A JSON number. Rust reads the fraction, since what it writes it reads back to the last bit.
fn number(token: &str) -> Option<Number> {
    serde_json::from_str::<Number>(token).ok()?;
    if let Ok(whole) = token.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = token.parse::<u64>() {
        return Some(whole.into());
    }
    Number::from_f64(token.parse().ok()?)
}
