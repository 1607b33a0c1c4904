//! A statement of account as PDF.

use typst::foundations::{Dict, IntoValue, Value};

use super::{Imprint, Markup, PdfError, compile, facts, head, list, pair, run, set, text};
use crate::model::Statement;
use crate::sheet::{AccountSheet, Entry, StatementSheet, statement_sheet};
use crate::text::{last_day, period};

/// Sets a statement as PDF, as [`crate::pdf()`] sets a document, dated with its last day.
///
/// # Errors
/// [`PdfError::Logo`] if the logo cannot be drawn.
pub fn statement_pdf(statement: &Statement) -> Result<Vec<u8>, PdfError> {
    let sheet = statement_sheet(statement);
    let parties = format!("{} {}", statement.issuer.name, statement.customer.name);
    let imprint =
        Imprint { ident: format!("{parties} {}", period(statement.period)), day: last_day(statement.period) };
    let paged = compile(Markup::Statement, values(&sheet, statement), &statement.branding)?;
    set(&paged, &imprint)
}

fn values(sheet: &StatementSheet, statement: &Statement) -> Dict {
    let mut dict = head(&sheet.head, &statement.branding);
    dict.insert("accounts".into(), list(&sheet.accounts, account));
    dict.insert("payment".into(), facts(&sheet.payment));
    dict
}

fn account(account: &AccountSheet) -> Value {
    let AccountSheet { currency, opening, entries, closing, due, open } = account;
    let mut dict = Dict::new();
    let mut set = |key: &str, value: Value| dict.insert(key.into(), value);
    set("currency", text(currency));
    set("opening", text(opening));
    set("entries", list(entries, entry));
    set("closing", text(closing));
    set("due", pair(text(due.0), text(&due.1)));
    set("open", list(open, |(name, amount)| pair(text(name), text(amount))));
    dict.into_value()
}

fn entry(entry: &Entry) -> Value {
    let Entry { on, name, reference, due, debit, credit, balance } = entry;
    let mut dict = Dict::new();
    let mut set = |key: &str, value: Value| dict.insert(key.into(), value);
    set("on", text(on));
    set("name", text(name));
    set("reference", reference.as_ref().map_or(Value::None, run));
    set("due", due.as_deref().map_or(Value::None, text));
    set("debit", text(debit));
    set("credit", text(credit));
    set("balance", text(balance));
    dict.into_value()
}
