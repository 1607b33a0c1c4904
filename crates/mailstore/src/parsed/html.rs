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
    let tag = tag.strip_prefix('/').unwrap_or(tag);
    let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
    let name = &tag[..end];
    BLOCKS.iter().any(|block| block.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

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
