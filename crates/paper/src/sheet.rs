//! What stands on paper, in the words that stand there: HTML and PDF set the same sheet.

mod statement;

use crate::model::{Bank, Branding, Category, Document, Kind, Line, Party, Rate, TaxGroup, VOID};
use crate::text::{amount, clean, day, language, number, period, right_to_left};
use crate::{Decimal, country};

pub(crate) use statement::{AccountSheet, Entry, StatementSheet, statement_sheet};

/// A text, with what its script tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) language: &'static str,
    pub(crate) right_to_left: bool,
}

/// A name and what it names.
pub(crate) type Fact = (&'static str, Text);

/// The words of any paper's head and foot: what it is, whose and for whom.
pub(crate) struct Head {
    pub(crate) title: &'static str,
    /// Its number, or what else tells it from others of its title.
    pub(crate) number: Text,
    pub(crate) product: Text,
    pub(crate) issuer: Block,
    pub(crate) customer: Block,
    pub(crate) facts: Vec<Fact>,
    pub(crate) legal: Vec<Text>,
}

/// A document's words, in the order in which they stand.
pub(crate) struct Sheet {
    pub(crate) head: Head,
    pub(crate) currency: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) taxes: Vec<Tax>,
    pub(crate) totals: Vec<(&'static str, String)>,
    /// What the last of the totals is called, and comes to.
    pub(crate) due: (&'static str, String),
    pub(crate) payment: Vec<Fact>,
    pub(crate) paragraphs: Vec<Text>,
}

/// A party: its name, its address, and what else identifies it.
pub(crate) struct Block {
    pub(crate) name: Text,
    pub(crate) lines: Vec<Text>,
}

/// A line of the document.
pub(crate) struct Row {
    pub(crate) description: Text,
    pub(crate) period: Option<String>,
    pub(crate) quantity: String,
    pub(crate) unit_price: String,
    pub(crate) rate: String,
    pub(crate) amount: String,
    /// This line and those before it.
    pub(crate) sum: String,
}

/// A line of the summary of taxes.
pub(crate) struct Tax {
    pub(crate) label: String,
    pub(crate) reason: Option<Text>,
    pub(crate) taxable: String,
    pub(crate) tax: String,
}

/// Puts a document into words.
pub(crate) fn sheet(document: &Document) -> Sheet {
    let from = document.customer.address.country.as_deref().unwrap_or_default();
    let home = document.issuer.address.country.as_deref().unwrap_or_default();
    let theirs = |text: &str| say(text, from);
    let ours = |text: &str| say(text, home);
    let (title, due) = match (document.kind, document.number.is_some()) {
        (Kind::Invoice, true) if document.is_void => ("VOID invoice", "Amount due"),
        (Kind::Invoice, true) => ("Invoice", "Amount due"),
        (Kind::CreditNote, true) => ("Credit note", "Amount credited"),
        (Kind::Invoice, false) => ("DRAFT invoice", "Draft: nothing due yet"),
        (Kind::CreditNote, false) => ("DRAFT credit note", "Draft: nothing credited yet"),
    };
    let show = |minor: i64| amount(sign(document) * i128::from(minor), document.currency);
    let counts = document.number.is_some() && !document.is_void;
    let mut paragraphs: Vec<_> = match document.is_void {
        true => vec![english(VOID)],
        false => document.payment_terms.iter().filter_map(|terms| ours(terms)).collect(),
    };
    paragraphs.extend(document.notes.iter().filter_map(|note| ours(note)));
    Sheet {
        head: Head {
            title,
            number: document.number.as_deref().and_then(ours).unwrap_or_else(|| english("–")),
            product: product(&document.issuer, &document.branding, title),
            issuer: block(&document.issuer, true),
            customer: block(&document.customer, false),
            facts: facts(document, &theirs),
            legal: legal(&document.issuer, &document.branding),
        },
        currency: document.currency.code(),
        rows: rows(document, &ours),
        taxes: document
            .taxes
            .iter()
            .map(|group| Tax {
                label: tax_label(group),
                reason: group.reason.as_deref().and_then(ours),
                taxable: show(group.taxable),
                tax: show(group.tax),
            })
            .collect(),
        totals: totals(document, &show),
        due: (due, show(if counts { document.totals.gross } else { 0 })),
        payment: payment(document, &ours),
        paragraphs,
    }
}

/// What the customer knows the issuer by.
fn product(issuer: &Party, branding: &Branding, title: &'static str) -> Text {
    let home = issuer.address.country.as_deref().unwrap_or_default();
    say(&branding.product, home).or_else(|| say(&issuer.name, home)).unwrap_or_else(|| english(title))
}

/// What paper multiplies amounts with: a credit note states positive what it gives back.
pub(crate) fn sign(document: &Document) -> i128 {
    match document.kind {
        Kind::Invoice => 1,
        Kind::CreditNote => -1,
    }
}

/// A stranger's text, or `None` if nothing is left of it.
fn say(text: &str, country: &str) -> Option<Text> {
    let text = clean(text);
    let (language, right_to_left) = (language(&text, country), right_to_left(&text));
    (!text.is_empty()).then_some(Text { text, language, right_to_left })
}

/// A text of ours.
fn english(text: impl Into<String>) -> Text {
    Text { text: text.into(), language: "en", right_to_left: false }
}

fn block(party: &Party, is_issuer: bool) -> Block {
    let address = &party.address;
    let code = address.country.as_deref().unwrap_or_default();
    let part = |text: &Option<String>| text.as_deref().map(clean).filter(|text| !text.is_empty());
    let town: Vec<_> = [part(&address.postal_code), part(&address.city)].into_iter().flatten().collect();
    let lines = [
        part(&address.street),
        part(&address.extra),
        Some(town.join(" ")),
        part(&address.region),
        Some(country::name(code).unwrap_or(code).to_owned()),
        part(&party.vat_id).map(|id| format!("VAT ID {id}")),
        // The issuer's register stands in the foot of the page.
        part(&party.registration).filter(|_| !is_issuer).map(|id| format!("Registration {id}")),
    ];
    Block {
        name: say(&party.name, code).unwrap_or_else(|| english("–")),
        lines: lines.into_iter().flatten().filter_map(|line| say(&line, code)).collect(),
    }
}

fn facts(document: &Document, say: &dyn Fn(&str) -> Option<Text>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name, text: Option<Text>| facts.extend(text.map(|text| (name, text)));
    let (of, date) = match document.kind {
        Kind::Invoice => ("Invoice number", "Invoice date"),
        Kind::CreditNote => ("Credit note number", "Credit note date"),
    };
    match document.number.as_deref() {
        Some(number) => {
            add(of, say(number));
            add(date, Some(english(day(document.issued_on))));
            add("Due date", document.due_on.filter(|_| !document.is_void).map(|due| english(day(due))));
        }
        None => add("Becomes final", Some(english(day(document.issued_on)))),
    }
    add("Service period", document.period.map(|span| english(period(span))));
    add("Your reference", document.customer_reference.as_deref().and_then(say));
    for corrected in &document.corrects {
        let text = format!("{} of {}", corrected.number, day(corrected.issued_on));
        add("Corrects", say(&text));
    }
    facts
}

fn rows(document: &Document, say: &dyn Fn(&str) -> Option<Text>) -> Vec<Row> {
    let sign = sign(document);
    let mut sum = 0;
    let row = |line: &Line| {
        sum += sign * i128::from(line.net);
        // Of a line that counts none, such as a discount's, there is nothing to multiply.
        let priced = line.unit_price.filter(|_| line.quantity != Decimal::ZERO);
        Row {
            description: say(&line.description).unwrap_or_else(|| english("–")),
            period: line.period.map(period),
            quantity: quantity(line, document.kind),
            unit_price: priced.map(|price| number(price, document.currency.exponent())).unwrap_or_default(),
            rate: rate(line.tax),
            amount: amount(sign * i128::from(line.net), document.currency),
            sum: amount(sum, document.currency),
        }
    };
    document.lines.iter().map(row).collect()
}

/// How many, so that it and the price make the amount as it stands there.
fn quantity(line: &Line, kind: Kind) -> String {
    match kind {
        _ if line.quantity == Decimal::ZERO => String::new(),
        Kind::Invoice => number(line.quantity, 0),
        Kind::CreditNote => number(line.quantity.turned(), 0),
    }
}

/// A rate in the narrow column of the lines.
fn rate(rate: Rate) -> String {
    match rate.category {
        Category::Standard | Category::Zero => format!("{}%", rate.percent),
        Category::Exempt => "exempt".to_owned(),
        Category::ReverseCharge => "reverse".to_owned(),
        Category::OutOfScope => "none".to_owned(),
    }
}

fn tax_label(group: &TaxGroup) -> String {
    match group.rate.category {
        Category::Standard | Category::Zero => format!("VAT {}%", group.rate.percent),
        Category::Exempt => "Exempt from VAT".to_owned(),
        Category::ReverseCharge => "Reverse charge".to_owned(),
        Category::OutOfScope => "Not subject to VAT".to_owned(),
    }
}

fn totals(document: &Document, show: &dyn Fn(i64) -> String) -> Vec<(&'static str, String)> {
    let totals = document.totals;
    vec![
        ("Net total", show(totals.net)),
        ("VAT", show(totals.tax)),
        ("Total including VAT", show(totals.gross)),
    ]
}

/// Nobody pays a credit note, a draft, what was voided, nor what comes to nothing.
fn payment(document: &Document, say: &dyn Fn(&str) -> Option<Text>) -> Vec<Fact> {
    let asks = document.kind == Kind::Invoice && !document.is_void && document.totals.gross > 0;
    let (Some(bank), Some(number), true) = (&document.bank, &document.number, asks) else {
        return Vec::new();
    };
    let mut facts = transfer(bank, &document.issuer.name, say);
    facts.extend(say(number).map(|text| ("Reference", text)));
    facts
}

/// Where to pay to.
fn transfer(bank: &Bank, holder: &str, say: &dyn Fn(&str) -> Option<Text>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name, text: Option<&str>| facts.extend(text.and_then(say).map(|text| (name, text)));
    add("Account holder", Some(holder));
    add("IBAN", Some(&in_fours(&bank.iban)));
    add("BIC", bank.bic.as_deref());
    facts
}

/// An IBAN as it is printed: in groups of four (ISO 13616).
fn in_fours(iban: &str) -> String {
    let letters: Vec<char> = iban.chars().filter(|c| !c.is_whitespace()).collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// The foot of every page: who the issuer is before the law, and how to reach it.
fn legal(issuer: &Party, branding: &Branding) -> Vec<Text> {
    let home = issuer.address.country.as_deref().unwrap_or_default();
    let named = |name: &str, text: &Option<String>| {
        text.as_deref().map(clean).filter(|text| !text.is_empty()).map(|text| format!("{name}{text}"))
    };
    let parts = [
        Some(issuer.name.clone()),
        named("Registration ", &issuer.registration),
        named("VAT ID ", &issuer.vat_id),
        named("", &issuer.email),
        named("", &issuer.phone),
        named("", &issuer.web),
        named("Questions: ", &branding.support),
    ];
    parts.into_iter().flatten().filter_map(|part| say(&part, home)).collect()
}

/// Whether a colour is dark enough to write on white with: at least 4.5 to 1 (WCAG 2.2, 1.4.3), by its luma.
pub(crate) fn legible([r, g, b]: [u8; 3]) -> bool {
    299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) < 110_000
}
