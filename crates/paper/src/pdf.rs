//! A document or statement as PDF, by Typst.
//!
//! The pages' markup is `pdf/*.typ`, which is part of the crate. A document reaches it as values and never as markup, so
//! nothing that a stranger writes is read as Typst.

mod fonts;
mod statement;
mod world;

use typst::foundations::{Array, Bytes, Datetime, Dict, IntoValue, Smart, Str, Value};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use crate::image::Format;
use crate::model::{Branding, Document};
use crate::sheet::{Fact, Head, Row, Sheet, Tax, Text, legible, sheet};
pub use statement::statement_pdf;
use world::{Markup, Page};

/// Why a document has no PDF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PdfError {
    /// Its logo has the head of a picture and cannot be drawn.
    #[error("the logo cannot be drawn: {0}")]
    Logo(String),
    /// A fault of ours.
    #[error("setting the page failed: {0}")]
    Setting(String),
}

/// Sets a document as PDF: A4, tagged, with the fonts inside, dated as the document is.
///
/// The file is PDF/A-3a (ISO 19005-3, for the archive) and PDF/UA-1 (ISO 14289-1, for screen readers). A document that
/// cannot be either, as when its texts use a script in a way that no font can show, is an ordinary tagged PDF 1.7.
///
/// # Errors
/// [`PdfError::Logo`] if the logo cannot be drawn.
pub fn pdf(document: &Document) -> Result<Vec<u8>, PdfError> {
    let number = document.number.as_deref().unwrap_or("draft");
    let imprint = Imprint { ident: format!("{} {number}", document.issuer.name), day: document.issued_on };
    set(&lay_out(document)?, &imprint)
}

fn lay_out(document: &Document) -> Result<PagedDocument, PdfError> {
    compile(Markup::Document, values(&sheet(document), document), &document.branding)
}

/// What a file says of itself.
struct Imprint {
    ident: String,
    day: chrono::NaiveDate,
}

fn compile(markup: Markup, values: Dict, branding: &Branding) -> Result<PagedDocument, PdfError> {
    typst::compile(&Page::new(markup, values)).output.map_err(|faults| {
        let said = faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ");
        if branding.logo.is_some() { PdfError::Logo(said) } else { PdfError::Setting(said) }
    })
}

fn set(paged: &PagedDocument, imprint: &Imprint) -> Result<Vec<u8>, PdfError> {
    let strict = [PdfStandard::A_3a, PdfStandard::Ua_1];
    let bytes = export(imprint, paged, &strict).or_else(|_| export(imprint, paged, &[]));
    // Typst remembers what it has computed; a server would remember every document that it has set.
    comemo::evict(2);
    bytes
}

fn export(imprint: &Imprint, paged: &PagedDocument, standards: &[PdfStandard]) -> Result<Vec<u8>, PdfError> {
    let standards =
        PdfStandards::new(standards).map_err(|fault| PdfError::Setting(fault.message().to_string()))?;
    let options = PdfOptions {
        ident: Smart::Custom(imprint.ident.clone()),
        creator: Smart::Custom(Some("Pillarbox".to_owned())),
        timestamp: midnight(imprint.day).map(Timestamp::new_utc),
        standards,
        ..PdfOptions::default()
    };
    typst_pdf::pdf(paged, &options).map_err(|faults| {
        PdfError::Setting(faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; "))
    })
}

/// A PDF's date needs a time, and the clock has no part in it.
fn midnight(day: chrono::NaiveDate) -> Option<Datetime> {
    use chrono::Datelike;
    let (month, of_month) = (u8::try_from(day.month()).ok()?, u8::try_from(day.day()).ok()?);
    Datetime::from_ymd_hms(day.year(), month, of_month, 0, 0, 0)
}

/// A sheet as Typst's values.
fn values(sheet: &Sheet, document: &Document) -> Dict {
    let mut dict = head(&sheet.head, &document.branding);
    let mut set = |key: &str, value: Value| dict.insert(key.into(), value);
    set("currency", text(sheet.currency));
    set("rows", list(&sheet.rows, row));
    set("taxes", list(&sheet.taxes, tax));
    set("totals", list(&sheet.totals, |(name, amount)| pair(text(name), text(amount))));
    set("due", pair(text(sheet.due.0), text(&sheet.due.1)));
    set("payment", facts(&sheet.payment));
    set("paragraphs", list(&sheet.paragraphs, run));
    dict
}

/// What `parts.typ` asks for.
fn head(head: &Head, branding: &Branding) -> Dict {
    let accent = branding.accent.rgb();
    let mut dict = Dict::new();
    let mut set = |key: &str, value: Value| dict.insert(key.into(), value);
    set("title", text(head.title));
    set("number", run(&head.number));
    set("product", run(&head.product));
    set("issuer", block(&head.issuer.name, &head.issuer.lines));
    set("customer", block(&head.customer.name, &head.customer.lines));
    set("facts", facts(&head.facts));
    set("legal", list(&head.legal, run));
    set("accent", list(&accent, |part| i64::from(*part).into_value()));
    set("legible", legible(accent).into_value());
    set(
        "logo",
        branding.logo.as_ref().map_or(Value::None, |logo| {
            let format = match logo.format() {
                Format::Png => "png",
                Format::Svg => "svg",
            };
            pair(Bytes::new(logo.bytes().to_vec()).into_value(), text(format))
        }),
    );
    dict
}

/// A text of the sheet, with its language and direction, in characters that the fonts have.
fn run(said: &Text) -> Value {
    let (language, region) = said.language.split_once('-').unwrap_or((said.language, ""));
    let mut dict = Dict::new();
    dict.insert("text".into(), text(&fonts::shown(&said.text)));
    dict.insert("lang".into(), text(language));
    dict.insert("region".into(), if region.is_empty() { Value::None } else { text(region) });
    dict.insert("rtl".into(), said.right_to_left.into_value());
    dict.into_value()
}

fn row(row: &Row) -> Value {
    let mut dict = Dict::new();
    dict.insert("description".into(), run(&row.description));
    dict.insert("period".into(), row.period.as_deref().map_or(Value::None, text));
    dict.insert("quantity".into(), text(&row.quantity));
    dict.insert("price".into(), text(&row.unit_price));
    dict.insert("rate".into(), text(&row.rate));
    dict.insert("amount".into(), text(&row.amount));
    dict.insert("sum".into(), text(&row.sum));
    dict.into_value()
}

fn tax(tax: &Tax) -> Value {
    let mut dict = Dict::new();
    dict.insert("label".into(), text(&tax.label));
    dict.insert("reason".into(), tax.reason.as_ref().map_or(Value::None, run));
    dict.insert("taxable".into(), text(&tax.taxable));
    dict.insert("tax".into(), text(&tax.tax));
    dict.into_value()
}

fn block(name: &Text, lines: &[Text]) -> Value {
    pair(run(name), list(lines, run))
}

fn facts(facts: &[Fact]) -> Value {
    list(facts, |(name, said)| pair(text(name), run(said)))
}

fn pair(first: Value, second: Value) -> Value {
    Array::from_iter([first, second]).into_value()
}

fn list<T>(items: &[T], value: impl Fn(&T) -> Value) -> Value {
    items.iter().map(value).collect::<Array>().into_value()
}

fn text(text: &str) -> Value {
    Str::from(text).into_value()
}

#[cfg(test)]
mod tests {
    use typst::layout::{Frame, FrameItem};
    use typst::text::TextItem;

    use super::*;
    use crate::sample;

    /// The runs of text on a page, each with its glyphs from left to right.
    fn runs(frame: &Frame) -> Vec<TextItem> {
        let inside = |(_, item): &(_, FrameItem)| match item {
            FrameItem::Group(group) => runs(&group.frame),
            FrameItem::Text(text) => vec![text.clone()],
            _ => vec![],
        };
        frame.items().flat_map(inside).collect()
    }

    #[test]
    fn right_to_left_scripts_are_set_from_right_to_left() {
        let paged = lay_out(&sample::arabic()).unwrap();
        let runs = runs(&paged.pages()[0].frame);
        let falling = |word: &str, at: fn(u16, u16) -> bool| {
            let run = runs.iter().find(|run| run.text.contains(word)).unwrap();
            run.glyphs.len() > 2
                && run.glyphs.windows(2).all(|two| at(two[0].range.start, two[1].range.start))
        };
        assert!(falling("شركة", |left, right| left >= right));
        assert!(falling("Hosting", |left, right| left < right));
    }
}
