//! What a case expects, compared with what was computed.

use std::collections::BTreeSet;
use std::fmt::Debug;

use billing::rating::{Line, LineKind, Share, Span};
use kernel::Currency;
use serde_json::Value;

use crate::case::{Case, Outcome, field, plain};
use crate::dates::Dates;
use crate::decimal;

/// A line that the core made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ComputedLine {
    pub(crate) period: Option<Span>,
    pub(crate) quantity: Option<i64>,
    pub(crate) is_credit: bool,
    pub(crate) amount_minor: i64,
}

impl ComputedLine {
    pub(crate) fn of(line: &Line) -> Self {
        Self {
            period: Some(line.charge.period),
            quantity: Some(line.charge.quantity.abs()),
            is_credit: line.kind == LineKind::Credit,
            amount_minor: line.charge.amount_minor,
        }
    }

    /// Of which nothing else is known.
    pub(crate) fn charge(amount_minor: i64) -> Self {
        Self { period: None, quantity: None, is_credit: false, amount_minor }
    }
}

pub(crate) fn sum(lines: &[ComputedLine]) -> i64 {
    lines.iter().map(|line| line.amount_minor).sum()
}

/// What lines are called that credit, that charge, and that may do either; without their case and what joins words.
const CREDITS: &[&str] = &["credit", "creditunused", "refund", "removed", "repair", "repairadj", "unused"];
const CHARGES: &[&str] = &[
    "added",
    "charge",
    "debit",
    "debitremaining",
    "fee",
    "fixed",
    "new",
    "recurring",
    "remaining",
    "renewal",
];
const EITHER: &[&str] = &["addquantity", "adjustment", "changequantity", "proration", "removequantity"];

/// What the sum of lines is called, what they credit and charge of it, what is to be paid, and what is left if that is below 0.
const TOTALS: [&str; 3] = ["amount", "sum", "total"];
const CREDITED: [&str; 2] = ["credit", "credit_consumed"];
const CHARGED: [&str; 2] = ["charge", "debit"];
const DUE: [&str; 2] = ["due", "net"];
const LEFT: [&str; 2] = ["balance", "refund"];

/// Whether a line of that name credits; `None` inside if it may do either, outside if nobody knows.
fn is_credit(kind: &Value) -> Option<Option<bool>> {
    let mut name = kind.as_str()?.to_lowercase();
    name.retain(|c| !matches!(c, '_' | '-' | ' '));
    match name.as_str() {
        name if CREDITS.contains(&name) => Some(Some(true)),
        name if CHARGES.contains(&name) => Some(Some(false)),
        name if EITHER.contains(&name) => Some(None),
        _ => None,
    }
}

/// What is expected of a line.
struct ExpectedLine {
    amount_minor: i64,
    period: Option<Span>,
    quantity: Option<i64>,
    is_credit: Option<bool>,
}

impl ExpectedLine {
    const KEYS: &[&str] = &["amount", "description", "end", "kind", "note", "period", "quantity", "start"];

    /// An object, or an amount alone. `None` if any of it means nothing.
    fn of(value: &Value, is_minor: bool, dates: Dates, currency: Currency) -> Option<Self> {
        let Some(fields) = value.as_object() else {
            let amount_minor = decimal::amount(value, is_minor, currency)?;
            return Some(Self { amount_minor, period: None, quantity: None, is_credit: None });
        };
        if fields.keys().any(|key| !Self::KEYS.contains(&plain(key).0)) {
            return None;
        }
        let (amount, is_minor) = field(value, "amount")?;
        let period = fields.get("period").or_else(|| fields.get("start").map(|_| value));
        let period = period.map(|period| dates.span(period).ok_or(())).transpose().ok()?;
        let quantity = fields.get("quantity").map(|n| decimal::whole(n).ok_or(())).transpose().ok()?;
        let is_credit = fields.get("kind").map(|kind| is_credit(kind).ok_or(())).transpose().ok()?.flatten();
        Some(Self { amount_minor: decimal::amount(amount, is_minor, currency)?, period, quantity, is_credit })
    }

    fn is(&self, line: &ComputedLine) -> bool {
        self.amount_minor == line.amount_minor
            && self.period.is_none_or(|period| line.period == Some(period))
            && self.quantity.is_none_or(|quantity| line.quantity == Some(quantity))
            && self.is_credit.is_none_or(|is_credit| line.is_credit == is_credit)
    }
}

/// Compares what was computed with every key that a case expects something of.
pub(crate) struct Comparison<'a> {
    expected: &'a Value,
    dates: Dates,
    compared: BTreeSet<&'a str>,
    unreadable: Vec<String>,
    differences: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn of(case: &Case<'a>) -> Self {
        let (expected, dates) = (case.expected, case.dates());
        Self { expected, dates, compared: BTreeSet::new(), unreadable: Vec::new(), differences: Vec::new() }
    }

    pub(crate) fn dates(&self) -> Dates {
        self.dates
    }

    /// What is expected under a name, in minor units or not.
    pub(crate) fn peek(&self, name: &str) -> Option<(&'a Value, bool)> {
        field(self.expected, name)
    }

    pub(crate) fn expects(&self, name: &str) -> bool {
        self.peek(name).is_some()
    }

    /// Whether anything is expected that [`Comparison::bill`] looks at.
    pub(crate) fn expects_a_bill(&self) -> bool {
        let names = ["lines"].iter().chain(&TOTALS).chain(&CHARGED).chain(&CREDITED).chain(&DUE).chain(&LEFT);
        names.copied().any(|name| self.expects(name))
    }

    /// How many items are expected under a name.
    pub(crate) fn count_of(&self, name: &str) -> usize {
        self.peek(name).and_then(|(value, _)| value.as_array()).map_or(0, Vec::len)
    }

    /// What is expected of the first line.
    pub(crate) fn first_amount(&self, currency: Currency) -> Option<i64> {
        let (lines, is_minor) = self.peek("lines")?;
        ExpectedLine::of(lines.as_array()?.first()?, is_minor, self.dates, currency)
            .map(|line| line.amount_minor)
    }

    fn differs(&mut self, key: &str, expected: &Value, computed: impl Debug) {
        self.differences.push(format!("{key}: expected {expected}, computed {computed:?}"));
    }

    /// Looks at an expectation in a way of its own: `holds` says whether it is met, `None` if it means nothing. It
    /// counts as compared from then on. Two names of one, in minor units and not, are both looked at.
    pub(crate) fn check(
        &mut self,
        name: &str,
        computed: impl Debug,
        holds: impl Fn(&'a Value, bool) -> Option<bool>,
    ) {
        let fields = self.expected.as_object().into_iter().flatten();
        for (key, value) in fields.filter(|(key, _)| plain(key).0 == name) {
            self.compared.insert(key);
            match holds(value, plain(key).1) {
                Some(true) => {}
                Some(false) => self.differs(key, value, &computed),
                None => self.unreadable.push(format!("{key}: {value} cannot be read")),
            }
        }
    }

    /// Compares what `read` makes of the expectation.
    pub(crate) fn equal<T: PartialEq + Debug>(
        &mut self,
        name: &str,
        computed: T,
        read: impl Fn(&'a Value) -> Option<T>,
    ) {
        self.check(name, &computed, |value, _| Some(read(value)? == computed));
    }

    pub(crate) fn spans(&mut self, name: &str, computed: &[Span]) {
        let dates = self.dates;
        self.equal(name, computed.to_vec(), |value| {
            value.as_array()?.iter().map(|span| dates.span(span)).collect()
        });
    }

    pub(crate) fn span(&mut self, name: &str, computed: Span) {
        let dates = self.dates;
        self.equal(name, computed, |value| dates.span(value));
    }

    /// A fraction such as `22/30` exactly, or a decimal to as many digits as it has.
    pub(crate) fn share(&mut self, name: &str, computed: Share) {
        self.check(name, computed, |value, _| decimal::is_number(value, computed));
    }

    /// Whole minor units where the key says so, else a decimal.
    pub(crate) fn amount(&mut self, name: &str, currency: Currency, computed: i64) {
        let holds = |value, is_minor| Some(decimal::amount(value, is_minor, currency)? == computed);
        self.check(name, computed, holds);
    }

    /// An amount that is given back; some systems tell it below 0 and others above.
    pub(crate) fn credit(&mut self, name: &str, currency: Currency, computed: i64) {
        let holds =
            |value, is_minor| Some(decimal::amount(value, is_minor, currency)?.abs() == computed.abs());
        self.check(name, computed, holds);
    }

    /// Each in its place.
    pub(crate) fn amounts(&mut self, name: &str, currency: Currency, computed: &[i64]) {
        self.check(name, computed, |value, is_minor| {
            let amounts = value.as_array()?.iter().map(|item| decimal::amount(item, is_minor, currency));
            Some(amounts.collect::<Option<Vec<i64>>>()? == computed)
        });
    }

    /// Lines in any order: each expected one is one of those computed, and none is left over but such as come to
    /// nothing, which some systems list and others do not.
    pub(crate) fn lines(&mut self, currency: Currency, computed: &[ComputedLine]) {
        let dates = self.dates;
        self.check("lines", computed, |value, is_minor| {
            let lines =
                value.as_array()?.iter().map(|line| ExpectedLine::of(line, is_minor, dates, currency));
            let mut lines = lines.collect::<Option<Vec<ExpectedLine>>>()?;
            // Those of which less is said take what is left.
            lines.sort_by_key(|line| line.period.is_none());
            let mut left = computed.to_vec();
            for line in lines {
                match left.iter().position(|found| line.is(found)) {
                    Some(at) => drop(left.remove(at)),
                    None => return Some(false),
                }
            }
            Some(left.iter().all(|line| line.amount_minor == 0))
        });
    }

    /// One line.
    pub(crate) fn line(&mut self, name: &str, currency: Currency, computed: ComputedLine) {
        let dates = self.dates;
        self.check(name, computed, |value, is_minor| {
            Some(ExpectedLine::of(value, is_minor, dates, currency)?.is(&computed))
        });
    }

    /// What all lines come to.
    pub(crate) fn total(&mut self, currency: Currency, lines: &[ComputedLine]) {
        for name in TOTALS {
            self.amount(name, currency, sum(lines));
        }
    }

    /// What is credited and what is charged by a change, and the difference.
    pub(crate) fn sides(&mut self, currency: Currency, lines: &[ComputedLine]) {
        let credit: i64 = lines.iter().filter(|line| line.is_credit).map(|line| line.amount_minor).sum();
        for name in CREDITED {
            self.credit(name, currency, credit);
        }
        for name in CHARGED {
            self.amount(name, currency, sum(lines) - credit);
        }
        for name in DUE {
            self.amount(name, currency, sum(lines));
        }
        for name in LEFT {
            self.credit(name, currency, sum(lines).min(0));
        }
    }

    /// Lines, and all that is said of them together.
    pub(crate) fn bill(&mut self, currency: Currency, lines: &[ComputedLine]) {
        self.lines(currency, lines);
        self.total(currency, lines);
        self.sides(currency, lines);
    }

    /// A match only if every key was compared.
    pub(crate) fn outcome(self) -> Outcome {
        let keys = self.expected.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        let unread: Vec<&str> = keys.filter(|key| *key != "note" && !self.compared.contains(key)).collect();
        if !self.unreadable.is_empty() {
            Outcome::Unreadable(self.unreadable.join("; "))
        } else if !self.differences.is_empty() {
            Outcome::Differs(self.differences.join("; "))
        } else if !unread.is_empty() {
            Outcome::NotApplicable(format!("no reader for expected {}", unread.join(",")))
        } else if self.compared.is_empty() {
            Outcome::NotApplicable("the case expects nothing".into())
        } else {
            Outcome::Match
        }
    }
}
