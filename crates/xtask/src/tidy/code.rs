//! Rust source with all that is not code blanked out.

/// Replaces comments and the insides of string and character literals by spaces and leaves line breaks, so that a word
/// found in the result is code, on the line where it stands.
pub(super) fn only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' if !ends_in_word(&out) => raw_string(rest).unwrap_or(0),
            '\'' => character(rest).unwrap_or(0),
            _ => 0,
        };
        if skipped == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (gone, after) = rest.split_at(skipped);
            out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    out
}

/// The words of code, each with its line number, from 1.
pub(super) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().flat_map(|(index, line)| {
        line.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).map(move |word| (index + 1, word))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn ends_in_word(text: &str) -> bool {
    // `br"…"` is a raw string too.
    let text = text.strip_suffix('b').unwrap_or(text);
    text.chars().next_back().is_some_and(is_word)
}

/// Length of the block comment that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let here = &text[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of the string literal that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the raw string literal that `text` begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let after_r = text.strip_prefix('r')?;
    let body = after_r.trim_start_matches('#');
    let hashes = after_r.len() - body.len();
    let body = body.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = 1 + hashes + 1;
    Some(body.find(&end).map_or(text.len(), |at| opening + at + end.len()))
}

/// Length of the character literal that `text` begins with; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if body.starts_with('\\') {
        let end = body.char_indices().skip(2).find(|(_, c)| *c == '\'')?.0;
        return Some(1 + end + 1);
    }
    let first = body.chars().next()?;
    body[first.len_utf8()..].starts_with('\'').then_some(1 + first.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(usize, String)> {
        words(&only(source)).map(|(line, word)| (line, word.to_owned())).collect()
    }

    #[test]
    fn code_keeps_its_words_and_lines() {
        let source = "use sqlx::query;\n\nlet axum_state = 1;";
        let expected = [(1, "use"), (1, "sqlx"), (1, "query"), (3, "let"), (3, "axum_state"), (3, "1")];
        assert_eq!(found(source), expected.map(|(line, word)| (line, word.to_owned())));
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        for source in [
            "// sqlx",
            "/* sqlx /* nested sqlx */ sqlx */",
            "\"sqlx \\\" sqlx\"",
            "r#\"sqlx \" sqlx\"#",
            "r\"sqlx\\\"",
            "\"multi\nline sqlx\"",
        ] {
            assert_eq!(found(source), [], "{source}");
        }
        assert_eq!(found("br\"sqlx\""), [(1, "b".to_owned())]);
    }

    #[test]
    fn what_follows_a_literal_is_code_again() {
        for source in
            ["'\"' ; sqlx", "'\\'' ; sqlx", "'\\u{1F600}' ; sqlx", "\"a\\\\\" ; sqlx", "r#\"\"\"# ; sqlx"]
        {
            assert_eq!(found(source), [(1, "sqlx".to_owned())], "{source}");
        }
        assert!(found("fn f<'a>(x: &'a str) { sqlx }").contains(&(1, "sqlx".to_owned())));
        assert!(found("/* a */ sqlx // b").contains(&(1, "sqlx".to_owned())));
    }
}
