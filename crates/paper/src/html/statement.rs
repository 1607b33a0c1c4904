//! A statement of account as a page.

use std::fmt::{self, Write};

use super::{Said, close, facts, open};
use crate::model::{Branding, Statement};
use crate::sheet::{AccountSheet, Entry, StatementSheet, statement_sheet};

/// Sets a statement as one HTML page, as [`crate::html()`] sets a document.
pub fn statement_html(statement: &Statement) -> String {
    let mut page = String::with_capacity(16 * 1024);
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, &statement_sheet(statement), &statement.branding);
    page
}

fn write_page(page: &mut String, sheet: &StatementSheet, branding: &Branding) -> fmt::Result {
    open(page, &sheet.head, branding)?;
    for account in &sheet.accounts {
        entries(page, account)?;
        ages(page, account)?;
    }
    if !sheet.payment.is_empty() {
        facts(page, "Payment by bank transfer", &sheet.payment)?;
    }
    close(page, &sheet.head)
}

fn entries(page: &mut String, account: &AccountSheet) -> fmt::Result {
    let AccountSheet { currency, opening, closing, .. } = account;
    writeln!(
        page,
        "<table class=\"lines account\">\n<caption>Account in {currency}</caption>\n<thead>\n<tr><th scope=\"col\">Date</th>\
         <th scope=\"col\">Entry</th><th scope=\"col\">Debit</th><th scope=\"col\">Credit</th>\
         <th scope=\"col\">Balance {currency}</th></tr>\n</thead>\n<tbody>\n\
         <tr><td></td><th scope=\"row\">Opening balance</th><td></td><td></td><td>{opening}</td></tr>"
    )?;
    for Entry { on, name, reference, due, debit, credit, balance } in &account.entries {
        write!(page, "<tr><td>{on}</td><th scope=\"row\">{name}")?;
        if let Some(reference) = reference {
            write!(page, " {}", Said(reference))?;
        }
        if let Some(due) = due {
            write!(page, "<small>{due}</small>")?;
        }
        writeln!(page, "</th><td>{debit}</td><td>{credit}</td><td>{balance}</td></tr>")?;
    }
    writeln!(
        page,
        "<tr class=\"due\"><td></td><th scope=\"row\">Closing balance</th><td></td><td></td><td>{closing}</td></tr>\n\
         </tbody>\n</table>"
    )
}

fn ages(page: &mut String, account: &AccountSheet) -> fmt::Result {
    writeln!(
        page,
        "<div class=\"sums\">\n<table class=\"totals\">\n<caption>What is open, by age</caption>\n<tbody>"
    )?;
    for (name, amount) in &account.open {
        writeln!(page, "<tr><th scope=\"row\">{name}</th><td>{amount}</td></tr>")?;
    }
    let (name, amount) = &account.due;
    writeln!(
        page,
        "<tr class=\"due\"><th scope=\"row\">{name}</th><td>{} {amount}</td></tr>\n</tbody>\n</table>\n</div>",
        account.currency
    )
}
