//! A document as PDF, by Typst.
//!
//! The page's markup is `pdf/invoice.typ`, which is part of the crate. A document reaches it as values and never as
//! markup, so nothing that a stranger writes is read as Typst.

mod fonts;
mod world;

use typst::foundations::{Array, Bytes, Datetime, Dict, IntoValue, Smart, Str, Value};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use crate::image::Format;
use crate::model::Document;
use crate::sheet::{Fact, Row, Sheet, Tax, Text, legible, sheet};
use world::Page;

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
    let paged = lay_out(document)?;
    let strict = [PdfStandard::A_3a, PdfStandard::Ua_1];
    let bytes = export(document, &paged, &strict).or_else(|_| export(document, &paged, &[]));
    // Typst remembers what it has computed; a server would remember every document that it has set.
    comemo::evict(2);
    bytes
}

fn lay_out(document: &Document) -> Result<PagedDocument, PdfError> {
    let page = Page::new(values(&sheet(document), document));
    typst::compile(&page).output.map_err(|faults| {
        let said = faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ");
        if document.branding.logo.is_some() { PdfError::Logo(said) } else { PdfError::Setting(said) }
    })
}

fn export(
    document: &Document,
    paged: &PagedDocument,
    standards: &[PdfStandard],
) -> Result<Vec<u8>, PdfError> {
    let standards =
        PdfStandards::new(standards).map_err(|fault| PdfError::Setting(fault.message().to_string()))?;
    let options = PdfOptions {
        ident: Smart::Custom(format!(
            "{} {}",
            document.issuer.name,
            document.number.as_deref().unwrap_or("draft")
        )),
        creator: Smart::Custom(Some("Pillarbox".to_owned())),
        timestamp: date(document).map(Timestamp::new_utc),
        standards,
        ..PdfOptions::default()
    };
    typst_pdf::pdf(paged, &options).map_err(|faults| {
        PdfError::Setting(faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; "))
    })
}

/// Midnight of the document's day: a PDF's date needs a time, and the clock has no part in it.
fn date(document: &Document) -> Option<Datetime> {
    use chrono::Datelike;
    let day = document.issued_on;
    let (month, of_month) = (u8::try_from(day.month()).ok()?, u8::try_from(day.day()).ok()?);
    Datetime::from_ymd_hms(day.year(), month, of_month, 0, 0, 0)
}

/// A sheet as Typst's values.
fn values(sheet: &Sheet, document: &Document) -> Dict {
    let accent = document.branding.accent.rgb();
    let mut dict = Dict::new();
    let mut set = |key: &str, value: Value| dict.insert(key.into(), value);
    set("title", text(sheet.title));
    set("number", run(&sheet.number));
    set("product", run(&sheet.product));
    set("issuer", block(&sheet.issuer.name, &sheet.issuer.lines));
    set("customer", block(&sheet.customer.name, &sheet.customer.lines));
    set("facts", facts(&sheet.facts));
    set("currency", text(sheet.currency));
    set("rows", list(&sheet.rows, row));
    set("taxes", list(&sheet.taxes, tax));
    set("totals", list(&sheet.totals, |(name, amount)| pair(text(name), text(amount))));
    set("due", pair(text(sheet.due.0), text(&sheet.due.1)));
    set("payment", facts(&sheet.payment));
    set("paragraphs", list(&sheet.paragraphs, run));
    set("legal", list(&sheet.legal, run));
    set("accent", list(&accent, |part| i64::from(*part).into_value()));
    set("legible", legible(accent).into_value());
    set(
        "logo",
        document.branding.logo.as_ref().map_or(Value::None, |logo| {
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
