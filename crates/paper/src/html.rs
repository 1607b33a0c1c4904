//! A document or statement as one page of HTML.

mod statement;

use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::model::{Branding, Document};
use crate::sheet::{Block, Fact, Head, Row, Sheet, Text, legible, sheet};

pub use statement::statement_html;

/// Sets a document as one HTML page that needs nothing else: its style is inside, a logo is a `data:` address, and there
/// are no scripts. It reads well on a screen of any width, aloud, and printed on A4.
pub fn html(document: &Document) -> String {
    let mut page = String::with_capacity(16 * 1024);
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, &sheet(document), &document.branding);
    page
}

/// A text, escaped for an element or an attribute in double quotes.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A stranger's text in its own language, kept from turning the direction of what stands beside it.
struct Said<'t>(&'t Text);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Text { text, language, right_to_left } = self.0;
        let text = Escaped(text);
        let direction = if *right_to_left { "rtl" } else { "ltr" };
        write!(f, "<bdi lang=\"{language}\" dir=\"{direction}\">{text}</bdi>")
    }
}

fn write_page(page: &mut String, sheet: &Sheet, branding: &Branding) -> fmt::Result {
    open(page, &sheet.head, branding)?;
    lines(page, sheet)?;
    writeln!(page, "<div class=\"sums\">")?;
    taxes(page, sheet)?;
    totals(page, sheet)?;
    writeln!(page, "</div>")?;
    if !sheet.payment.is_empty() {
        facts(page, "Payment by bank transfer", &sheet.payment)?;
    }
    for paragraph in &sheet.paragraphs {
        writeln!(page, "<p>{}</p>", Said(paragraph))?;
    }
    close(page, &sheet.head)
}

/// Everything up to what the paper is about.
fn open(page: &mut String, head: &Head, branding: &Branding) -> fmt::Result {
    let [r, g, b] = branding.accent.rgb();
    let ink = if legible([r, g, b]) { "var(--accent)" } else { "#1e1e1e" };
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} {}</title>\n<style>\n:root {{ --accent: #{r:02x}{g:02x}{b:02x}; --ink: {ink}; }}\n{}</style>\n\
         </head>\n<body>\n<main>\n<header>\n",
        head.title,
        Escaped(&head.number.text),
        include_str!("html/page.css"),
    )?;
    match &branding.logo {
        Some(logo) => writeln!(
            page,
            "<img class=\"brand\" alt=\"{}\" src=\"data:{};base64,{}\">",
            Escaped(&head.product.text),
            logo.media_type(),
            STANDARD.encode(logo.bytes())
        )?,
        None => writeln!(page, "<p class=\"brand\">{}</p>", Said(&head.product))?,
    }
    writeln!(page, "<h1>{}</h1>\n</header>\n<div class=\"heads\">", head.title)?;
    party(page, "Billed to", &head.customer)?;
    party(page, "From", &head.issuer)?;
    facts(page, "Details", &head.facts)?;
    writeln!(page, "</div>")
}

/// The foot.
fn close(page: &mut String, head: &Head) -> fmt::Result {
    writeln!(page, "</main>\n<footer>\n<ul>")?;
    for part in &head.legal {
        writeln!(page, "<li>{}</li>", Said(part))?;
    }
    writeln!(page, "</ul>\n</footer>\n</body>\n</html>")
}

fn party(page: &mut String, name: &str, block: &Block) -> fmt::Result {
    writeln!(page, "<section>\n<h2>{name}</h2>\n<address>\n<strong>{}</strong>", Said(&block.name))?;
    for line in &block.lines {
        writeln!(page, "<br>{}", Said(line))?;
    }
    writeln!(page, "</address>\n</section>")
}

fn facts(page: &mut String, name: &str, facts: &[Fact]) -> fmt::Result {
    writeln!(page, "<section class=\"facts\">\n<h2>{name}</h2>\n<dl>")?;
    for (name, said) in facts {
        writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", Said(said))?;
    }
    writeln!(page, "</dl>\n</section>")
}

fn lines(page: &mut String, sheet: &Sheet) -> fmt::Result {
    writeln!(
        page,
        "<table class=\"lines\">\n<caption>What is charged</caption>\n<thead>\n<tr><th scope=\"col\">Description</th>\
         <th scope=\"col\">Quantity</th><th scope=\"col\">Unit price</th><th scope=\"col\">VAT</th>\
         <th scope=\"col\">Amount {}</th></tr>\n</thead>\n<tbody>",
        sheet.currency
    )?;
    for Row { description, period, quantity, unit_price, rate, amount, .. } in &sheet.rows {
        write!(page, "<tr><th scope=\"row\">{}", Said(description))?;
        if let Some(period) = period {
            write!(page, "<small>{period}</small>")?;
        }
        writeln!(page, "</th><td>{quantity}</td><td>{unit_price}</td><td>{rate}</td><td>{amount}</td></tr>")?;
    }
    writeln!(page, "</tbody>\n</table>")
}

fn taxes(page: &mut String, sheet: &Sheet) -> fmt::Result {
    writeln!(
        page,
        "<table class=\"taxes\">\n<caption>Taxes</caption>\n<thead>\n<tr><th scope=\"col\">Tax</th>\
         <th scope=\"col\">Taxable</th><th scope=\"col\">VAT</th></tr>\n</thead>\n<tbody>"
    )?;
    for tax in &sheet.taxes {
        write!(page, "<tr><th scope=\"row\">{}", tax.label)?;
        if let Some(reason) = &tax.reason {
            write!(page, "<small>{}</small>", Said(reason))?;
        }
        writeln!(page, "</th><td>{}</td><td>{}</td></tr>", tax.taxable, tax.tax)?;
    }
    writeln!(page, "</tbody>\n</table>")
}

fn totals(page: &mut String, sheet: &Sheet) -> fmt::Result {
    writeln!(page, "<table class=\"totals\">\n<caption>Totals</caption>\n<tbody>")?;
    for (name, amount) in &sheet.totals {
        writeln!(page, "<tr><th scope=\"row\">{name}</th><td>{amount}</td></tr>")?;
    }
    let (name, amount) = &sheet.due;
    writeln!(
        page,
        "<tr class=\"due\"><th scope=\"row\">{name}</th><td>{} {amount}</td></tr>\n</tbody>\n</table>",
        sheet.currency
    )
}
