//! The words of a statement of account.

use super::{Fact, Head, Text, block, english, legal, product, say, transfer};
use crate::model::{Account, Movement, Statement};
use crate::text::{amount, day, last_day, period, short_day};

/// A statement's words, in the order in which they stand.
pub(crate) struct StatementSheet {
    pub(crate) head: Head,
    pub(crate) accounts: Vec<AccountSheet>,
    pub(crate) payment: Vec<Fact>,
}

/// An account's.
pub(crate) struct AccountSheet {
    pub(crate) currency: &'static str,
    pub(crate) opening: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) closing: String,
    /// What the closing balance is called, and comes to without its sign.
    pub(crate) due: (&'static str, String),
    /// What is open, by age.
    pub(crate) open: Vec<(&'static str, String)>,
}

/// A line of an account. Where nothing is debited or credited, nothing stands.
pub(crate) struct Entry {
    pub(crate) on: String,
    pub(crate) name: &'static str,
    pub(crate) reference: Option<Text>,
    pub(crate) due: Option<String>,
    pub(crate) debit: String,
    pub(crate) credit: String,
    pub(crate) balance: String,
}

/// Puts a statement into words.
pub(crate) fn statement_sheet(statement: &Statement) -> StatementSheet {
    let title = "Statement of account";
    let home = statement.issuer.address.country.as_deref().unwrap_or_default();
    let days = period(statement.period);
    let mut facts = vec![("Period", english(days.clone()))];
    let last = day(last_day(statement.period));
    facts.extend(statement.accounts.iter().map(|account| {
        let balance = amount(account.closing.into(), account.currency);
        ("Balance", english(format!("{} {balance}", account.currency.code())))
    }));
    facts.push(("On", english(last)));
    let owes = statement.accounts.iter().any(|account| account.closing > 0);
    let bank = statement.bank.as_ref().filter(|_| owes);
    StatementSheet {
        head: Head {
            title,
            number: english(days),
            product: product(&statement.issuer, &statement.branding, title),
            issuer: block(&statement.issuer, true),
            customer: block(&statement.customer, false),
            facts,
            legal: legal(&statement.issuer, &statement.branding),
        },
        accounts: statement.accounts.iter().map(|account| account_sheet(account, home)).collect(),
        payment: bank
            .map(|bank| transfer(bank, &statement.issuer.name, &|text| say(text, home)))
            .unwrap_or_default(),
    }
}

fn account_sheet(account: &Account, home: &str) -> AccountSheet {
    let show = |minor: i128| amount(minor, account.currency);
    let part = |minor: i64| if minor == 0 { String::new() } else { show(minor.into()) };
    let entries = account.entries.iter().map(|entry| Entry {
        on: short_day(entry.on),
        name: name(entry.movement),
        reference: entry.reference.as_deref().and_then(|reference| say(reference, home)),
        due: entry.due_on.map(|due_on| format!("due {}", day(due_on))),
        debit: part(entry.debit),
        credit: part(entry.credit),
        balance: show(entry.balance.into()),
    });
    let names =
        ["Not yet due", "1–30 days overdue", "31–60 days", "61–90 days", "Over 90 days", "Less credit"];
    let open = account.ages.into_iter().map(i128::from).chain([-i128::from(account.credit)]);
    let due = if account.closing < 0 { "Balance in your favour" } else { "Balance due" };
    AccountSheet {
        currency: account.currency.code(),
        opening: show(account.opening.into()),
        entries: entries.collect(),
        closing: show(account.closing.into()),
        due: (due, show(i128::from(account.closing).abs())),
        open: names.into_iter().zip(open.map(show)).collect(),
    }
}

fn name(movement: Movement) -> &'static str {
    match movement {
        Movement::Invoice => "Invoice",
        Movement::CreditNote => "Credit note",
        Movement::Payment => "Payment",
        Movement::Refund => "Refund",
        Movement::RefundReturned => "Refund returned",
        Movement::Dispute => "Payment disputed",
        Movement::DisputeReinstated => "Dispute reinstated",
    }
}
