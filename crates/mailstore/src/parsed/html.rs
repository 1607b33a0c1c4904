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

/// Elements of which no browser shows what is in them, and in which tags are none (HTML Standard §13.2.5: raw text and script data).
const HIDDEN: [&str; 2] = ["script", "style"];

/// What a browser shows of it: as [`as_text`], without comments, style sheets and scripts. One that is not closed goes on to the end, also where the HTML was
/// cut. The decoder takes a style sheet for text if its tag says more than its name. What a search compares has such ones, as what is indexed has them.
pub(super) fn as_shown(html: &str) -> String {
    let mut shown = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        shown.push_str(before);
        rest = behind_hidden(tag).unwrap_or_else(|| {
            shown.push('<');
            tag
        });
    }
    shown.push_str(rest);
    as_text(&shown)
}

/// What is behind the end of a comment or of a hidden element, which begins with the `<` that this stands behind; `None` if none does.
fn behind_hidden(tag: &str) -> Option<&str> {
    if let Some(comment) = tag.strip_prefix('!').filter(|comment| comment.starts_with("--")) {
        // `<!-->` is one, too.
        return Some(comment.split_once("-->").map_or("", |(_, behind)| behind));
    }
    let hidden = name(tag);
    if !HIDDEN.iter().any(|is| is.eq_ignore_ascii_case(hidden)) {
        return None;
    }
    let mut rest = tag;
    while let Some((_, end)) = rest.split_once("</") {
        if name(end).eq_ignore_ascii_case(hidden) {
            return Some(end.split_once('>').map_or("", |(_, behind)| behind));
        }
        rest = end;
    }
    Some("")
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
        ] {
            assert_eq!(read(html), "one three", "{html}");
        }
        assert_eq!(read("<styles>1 < 2</styles> <"), "1");
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
