//! HTML as text.

use mail_parser::decoders::html::html_to_text;

/// Elements that stand apart from what is before and after them, as browsers show them.
const BLOCKS: [&str; 48] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "button",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "select",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "ul",
];

/// Elements of which no browser shows what is in them, and in which tags are none (HTML Standard §13.2.5: raw text, script data, and of RCDATA the title).
const HIDDEN: [&str; 6] = ["iframe", "noembed", "noframes", "script", "style", "title"];

/// What a browser shows of it: as [`as_text`], without comments, style sheets and scripts. One that is not closed goes on to the end, also where the HTML was
/// cut. Tags are found as the HTML Standard (§13.2.5) has it and given on without their attributes: the decoder takes a style sheet for text if its tag says
/// more than its name, a `<` or `>` in a value for the beginning or end of a tag, and all that is behind a `<head>` that nobody closes for its own. What a
/// search compares has such ones, as what is indexed has them. In `textarea` and `xmp`, tags are looked for though there are none.
pub(super) fn as_shown(html: &str) -> String {
    let mut shown = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, begun)) = rest.split_once('<') {
        shown.push_str(before);
        let (slash, tag) = begun.strip_prefix('/').map_or(("", begun), |tag| ("/", tag));
        rest = if let Some(comment) = begun.strip_prefix("!--") {
            behind_comment(comment)
        } else if tag.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let (name, attributes) = split_name(tag);
            let behind = behind_tag(attributes);
            if slash.is_empty() && HIDDEN.iter().any(|is| is.eq_ignore_ascii_case(name)) {
                behind_hidden(name, behind)
            } else {
                // One of another kind says nothing to the decoder; of a head, nothing is shown but what does not belong there.
                let is_known = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if is_known && !name.eq_ignore_ascii_case("head") {
                    shown.extend(["<", slash, name, ">"]);
                }
                behind
            }
        } else if begun.starts_with(['!', '?', '/']) {
            // It is a comment as well, and ends as a tag without attributes.
            begun.split_once('>').map_or("", |(_, behind)| behind)
        } else {
            shown.push_str("&lt;");
            begun
        };
    }
    shown.push_str(rest);
    as_text(&shown)
}

/// What is behind a comment, of what stands behind its `<!--`.
fn behind_comment(comment: &str) -> &str {
    let end = comment.match_indices('>').find(|(at, _)| {
        let text = &comment[..*at];
        // `<!-->` and `<!--->` are whole ones.
        text.is_empty() || text == "-" || text.ends_with("--") || text.ends_with("--!")
    });
    end.map_or("", |(at, _)| &comment[at + 1..])
}

/// What is behind the end tag of a hidden element, of what is in it.
fn behind_hidden<'a>(name: &str, within: &'a str) -> &'a str {
    let mut rest = within;
    while let Some((_, end)) = rest.split_once("</") {
        let (of, attributes) = split_name(end);
        if of.eq_ignore_ascii_case(name) {
            return behind_tag(attributes);
        }
        rest = end;
    }
    ""
}

/// A tag's name and what stands behind that.
fn split_name(tag: &str) -> (&str, &str) {
    let end = tag.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>');
    tag.split_at(end.unwrap_or(tag.len()))
}

/// What is behind a tag, of what stands behind its name. A `>` in a quoted value is not its end; a quote that no `=` is before begins no value.
fn behind_tag(attributes: &str) -> &str {
    let is_space = |c: char| c.is_ascii_whitespace();
    let mut rest = attributes;
    while !rest.is_empty() {
        rest = rest.trim_start_matches(|c: char| is_space(c) || c == '/');
        if let Some(behind) = rest.strip_prefix('>') {
            return behind;
        }
        // A `=` that a name begins with is part of it.
        let mut name = rest.chars();
        name.next();
        rest = name.as_str().trim_start_matches(|c: char| !is_space(c) && !['/', '>', '='].contains(&c));
        let Some(value) = rest.trim_start_matches(is_space).strip_prefix('=') else { continue };
        let value = value.trim_start_matches(is_space);
        rest = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).map_or("", |(_, behind)| behind),
            Some(_) | None => value.trim_start_matches(|c: char| !is_space(c) && c != '>'),
        };
    }
    ""
}

/// What there is to read in it. The decoder knows `br` and the end of a paragraph; without more, the last word of one cell or line would be one word with
/// the first of the next.
pub(super) fn as_text(html: &str) -> String {
    let mut apart = String::with_capacity(html.len() + html.len() / 8);
    let mut pieces = html.split('<');
    apart.push_str(pieces.next().unwrap_or_default());
    for tag in pieces {
        if is_block(tag) {
            apart.push(' ');
        }
        apart.push('<');
        apart.push_str(tag);
    }
    html_to_text(&apart)
}

/// Of what stands behind a `<`.
fn is_block(tag: &str) -> bool {
    let name = name(tag.strip_prefix('/').unwrap_or(tag));
    BLOCKS.iter().any(|block| block.eq_ignore_ascii_case(name))
}

/// The name that a tag begins with.
fn name(tag: &str) -> &str {
    let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
    &tag[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_browser_shows_is_not_read() {
        let read = |html: &str| as_shown(html).split_whitespace().collect::<Vec<_>>().join(" ");
        for html in [
            "one <style>two</style>three",
            "one <Script type=a>if (a</b) { '</p>' }</SCRIPT >three",
            "one <style type=\"text/css\">two</style\nx>three",
            "one <!-- <style> -->three",
            "one <!-->three<!-- </p> two -->",
            "one <!--->three<!-- two",
            "one three<script a>two</scripts>two",
            "one three<style a=b",
            "one <span>three</span></style>",
            "one <!-- > -- > two --!>three",
            "one <!--!> two -->three",
            "one <!---!> two -->three<!----!>",
            "one <a title=\"a <style> b\">three</a>",
            "one <a title='>two' b = \">two\"\n>three",
            "one <a b=two'/c=two\">three",
            "one <p don't>three",
            "one <a b=>three",
            "one <a =\">three",
            "one <style-x>three</style-x>",
            "one <style a='>two'>two</style b=\">two\">three",
            "one <![if two]>three<?two two?></><!doctype two></ two>",
            "one three<a title=\"two>two",
            "<html><head lang=en><title>two <!-- two</title><body>one three",
            "<head><meta charset=utf-8><style>two</style></head><p>one <head x>three",
            "one <iframe src=a>two</iframe><noframes><p>two</noframes>three",
        ] {
            assert_eq!(read(html), "one three", "{html}");
        }
        assert_eq!(read("<styles>1 < 2</styles> <"), "1 < 2 <");
        assert_eq!(read("größer<style>ü</style><div>größe"), "größer größe");
    }

    #[test]
    fn what_stands_apart_is_read_apart() {
        let read = |html: &str| as_text(html).split_whitespace().collect::<Vec<_>>().join(" ");
        for html in [
            "<div>one</div><div>two</div>",
            "<table><tr><td>one</td><TD class=x>two</TD></tr></table>",
            "<ul><li>one</li><li>two</li></ul>",
            "<h1>one</h1>two",
            "one<hr>two",
            "one<br/>two",
            "<blockquote>one</blockquote><span>two</span>",
            "<p>one<p>two",
        ] {
            assert_eq!(read(html), "one two", "{html}");
        }
        assert_eq!(read("<b>o</b>n<i>e</i> <a href=x>t</a>wo"), "one two");
        assert_eq!(read("<!-- <div> --><style>div { }</style>one &lt;div&gt; two <"), "one <div> two");
        assert_eq!(read("größer<div>größe</div>"), "größer größe");
    }
}
