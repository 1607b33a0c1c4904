//! What a document of a subscription has: the lines that were rated for its boundary, and what comes once.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use kernel::{Currency, OneOffItemId, PriceId};

use super::{Agreements, RatedLine, SubscribedPrice, Window};
use crate::Error;
use crate::discount::Off;
use crate::invoice::InvoiceLineKind;
use crate::price_book::{CycleLength, Item};
use crate::rating::{
    Charge, Cycle, Line, LineKind, OneOff, Percentage, RatingError, Share, Span, Suspension,
    SuspensionPolicy, Timeline, UnitPrice,
};

/// The item of what is charged once for a start.
const SETUP: &str = "setup";
/// The item of what a caller added.
const ONE_OFF: &str = "one_off";

/// A line that a document is to have, before tax.
#[derive(Debug, Clone)]
pub(crate) struct OwedLine {
    pub(crate) item: &'static str,
    pub(crate) kind: InvoiceLineKind,
    /// What it says, in words.
    pub(crate) description: String,
    /// The cycle that it belongs to; of what comes once, the document's day.
    pub(crate) cycle: Cycle,
    pub(crate) charge: Charge,
    pub(crate) price_id: Option<PriceId>,
    pub(crate) unit_price: Option<UnitPrice>,
    pub(crate) one_off_item_id: Option<OneOffItemId>,
    /// At which it is rated.
    pub(crate) discount: (Percentage, UnitPrice),
    /// What the line of what is off it says; empty if there is none.
    pub(crate) discount_in_words: String,
}

impl Agreements {
    /// The lines of a boundary's document, with what comes once on any of some days.
    pub(crate) fn owed(
        &self,
        rated: &[RatedLine],
        windows: &[Window],
        boundary: NaiveDate,
    ) -> Result<Vec<OwedLine>, Error> {
        let mut owed = rated.iter().map(|line| self.of_cycle(line, rated)).collect::<Result<Vec<_>, _>>()?;
        let is_due = |day: NaiveDate| windows.iter().any(|window| window.has(day));
        for (start, terms) in self.starts() {
            let Some(unit_price) = terms.setup_price else { continue };
            let first = first_charged(&self.timeline(Item::Mailbox)?, start, boundary)?;
            let Some(day) = first.filter(|day| is_due(*day)) else { continue };
            let charge = OneOff { on: day, unit_price, quantity: 1 };
            let charge = once(&charge, boundary, terms.price.currency)?;
            if charge.charge.amount_minor > 0 {
                owed.push(OwedLine { price_id: Some(terms.price.id), ..charge });
            }
        }
        for item in self.one_off_items().filter(|item| is_due(item.bill_on)) {
            let unit_price = item.unit_price().ok_or(Error::Stored("amount"))?;
            let charge = OneOff { on: item.bill_on, unit_price, quantity: item.quantity };
            let charge = once(&charge, boundary, item.unit_amount.currency)?;
            let (description, one_off_item_id) = (item.description.clone(), Some(item.id));
            owed.push(OwedLine { item: ONE_OFF, description, one_off_item_id, ..charge });
        }
        Ok(owed)
    }

    fn of_cycle(&self, rated: &RatedLine, all: &[RatedLine]) -> Result<OwedLine, Error> {
        let RatedLine { item, line, .. } = rated;
        let terms = self.terms_of(*item, line.cycle.whole, &line.rate.tariff);
        let of_item = terms.and_then(|terms| Some((terms, terms.price_of(*item)?)));
        let (terms, price) = of_item.ok_or(Error::Stored("price"))?;
        Ok(OwedLine {
            item: item.as_str(),
            kind: InvoiceLineKind::Rated(line.kind),
            description: describe(rated, all, terms.interval, self.by_suspension(price, line)),
            cycle: line.cycle,
            charge: line.charge,
            price_id: Some(price.id),
            unit_price: line.rate.tariff.unit_price(),
            one_off_item_id: None,
            discount: (line.rate.discount, line.rate.off),
            discount_in_words: self.discount_in_words(*item, line),
        })
    }

    /// What has become of units for days that a suspension takes out of what is charged, or after which they are charged again.
    fn by_suspension(&self, price: &SubscribedPrice, line: &Line) -> Option<&'static str> {
        if price.suspension != SuspensionPolicy::Pause {
            return None;
        }
        let (days, suspensions) = (line.charge.period, self.suspensions());
        let takes =
            |of: &Suspension| of.from <= days.start() && of.until.is_none_or(|until| days.end() <= until);
        match line.kind {
            LineKind::Credit => suspensions.iter().any(takes).then_some("paused"),
            LineKind::Proration => {
                suspensions.iter().any(|of| of.until == Some(days.start())).then_some("resumed")
            }
            LineKind::Recurring | LineKind::Usage => None,
        }
    }

    /// What the line of what is off another says: the discounts that are, and not those of its days that give nothing.
    fn discount_in_words(&self, item: Item, line: &Line) -> String {
        if line.charge.discount_minor == 0 {
            return String::new();
        }
        let (days, percentage) = (line.charge.period, line.rate.discount);
        let (mut left, mut reduced, mut names) = (by_amounts(line), BTreeSet::new(), Vec::<&str>::new());
        for discount in self.discounts().filter(|discount| discount.is_of(item)) {
            let its_days = days.each_day().filter(|day| discount.is_on(*day));
            let counts = match discount.off {
                // Of two that are as large the first does.
                Off::Percentage(off) if off == percentage => {
                    let before = reduced.len();
                    reduced.extend(its_days);
                    before < reduced.len()
                }
                Off::Percentage(_) => false,
                Off::Amount(amount) => {
                    let on = its_days.map(|_| 1_i64).sum::<i64>();
                    let is_left = left > ROUNDED || (percentage == Percentage::ZERO && names.is_empty());
                    // A line that charges all units of its days has all that amounts take, one after the other.
                    if line.kind == LineKind::Recurring {
                        left -= part(amount.amount_minor, on, &line.cycle);
                    }
                    is_left && on > 0
                }
            };
            if counts {
                names.push(&discount.description);
            }
        }
        let what = if line.charge.quantity < 0 { "discount taken back" } else { "discount" };
        format!("{what}: {}, {}", names.join(", "), in_words(days))
    }
}

/// How many minor units sums may differ by that were rounded apart.
const ROUNDED: Share = Share::new_raw(2, 1);

/// What amounts have taken off a line, without its sign: all that the percentage has not.
fn by_amounts(line: &Line) -> Share {
    let minor = |minor: i64| Share::from(i128::from(minor));
    let off = minor(line.charge.discount_minor);
    let by_percentage = (minor(line.charge.amount_minor) + off) * line.rate.discount.share();
    let by_amounts = off - by_percentage;
    if by_amounts < Share::from(0) { -by_amounts } else { by_amounts }
}

/// The part of an amount for a whole interval that some days of a cycle have.
fn part(amount_minor: i64, days: i64, cycle: &Cycle) -> Share {
    let whole = i128::from(cycle.whole.days()) * i128::from(cycle.instalment.count());
    Share::new(i128::from(amount_minor) * i128::from(days), whole)
}

/// A setup; what a caller added is like it.
fn once(of: &OneOff, boundary: NaiveDate, currency: Currency) -> Result<OwedLine, Error> {
    let day = boundary.succ_opt().and_then(|next| Span::new(boundary, next)).ok_or(RatingError::DateRange)?;
    let amount_minor = of.outstanding(boundary, currency, 0)?;
    Ok(OwedLine {
        item: SETUP,
        kind: InvoiceLineKind::OneOff,
        description: SETUP.to_owned(),
        cycle: Cycle::new(day, day),
        charge: Charge {
            period: day,
            quantity: of.quantity.into(),
            seat_days: 0,
            amount_minor,
            discount_minor: 0,
        },
        price_id: None,
        unit_price: Some(of.unit_price),
        one_off_item_id: None,
        discount: (Percentage::ZERO, UnitPrice::ZERO),
        discount_in_words: String::new(),
    })
}

/// Whether a line charges some of a cycle that is over or under way from its first day on, since nothing that was billed of it counts any
/// more: it adds nothing to it.
pub(crate) fn is_anew<'a>(line: &Line, mut of_item: impl Iterator<Item = &'a Line>) -> bool {
    let begins = |other: &Line| {
        other.is_first
            && (other.kind, other.cycle) == (LineKind::Proration, line.cycle)
            && other.charge.period.start() == line.cycle.charged.start()
    };
    line.kind == LineKind::Proration && of_item.any(begins)
}

fn describe(
    rated: &RatedLine,
    all: &[RatedLine],
    interval: CycleLength,
    by_suspension: Option<&str>,
) -> String {
    let RatedLine { item, line, gib } = rated;
    let (period, items) = (line.charge.period, item.in_words());
    if let Some(gib) = gib {
        return storage_in_words(line, *gib);
    }
    // A change of the price takes the days off at the old one and puts them on at the new one, in a cycle of their own perhaps.
    let mut others = all.iter().filter(|other| other.item == *item).map(|other| &other.line);
    let is_anew = is_anew(line, others.clone());
    let is_repriced = others.any(|other| {
        (&other.cycle, &other.rate) != (&line.cycle, &line.rate)
            && (other.charge.quantity < 0) != (line.charge.quantity < 0)
            && other.charge.period.start() < period.end()
            && period.start() < other.charge.period.end()
    });
    let what = match (line.kind, is_repriced) {
        (LineKind::Proration, true) => format!("{items} at the new price"),
        (LineKind::Credit, true) => format!("{items} at the former price, unused"),
        (LineKind::Proration, false) if !is_anew => format!("{items} {}", by_suspension.unwrap_or("added")),
        (LineKind::Credit, false) => format!("{items} {}", by_suspension.unwrap_or("removed")),
        (LineKind::Recurring | LineKind::Usage | LineKind::Proration, _) => {
            let of = line.cycle.instalment;
            let part = match of.count() {
                1 => String::new(),
                count => format!(", instalment {} of {count}", of.number()),
            };
            format!("{items}, per {}{part}", interval.as_str())
        }
    };
    format!("{what}, {}", in_words(period))
}

/// What a line of storage says: how much is charged, or is left of what was.
pub(crate) fn storage_in_words(line: &Line, gib: Share) -> String {
    let size = format!("{} GiB on average, {}", decimals(gib), in_words(line.charge.period));
    match line.kind {
        LineKind::Credit => format!("storage charged before, left of it: {size}"),
        _ => format!("storage beyond what is included, {size}"),
    }
}

/// Three decimals of what is not negative, rounded down.
fn decimals(of: Share) -> String {
    let thousandths = (of * Share::from(1000)).to_integer();
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}

/// The first and the last day.
pub(crate) fn in_words(days: Span) -> String {
    format!("{} to {}", days.start(), days.end().pred_opt().unwrap_or(days.end()))
}

/// What the line of a document is for, without its days, which end what it says: paper shows these in words of their own.
pub fn without_days(description: &str, period: Span) -> &str {
    let of = description.strip_suffix(&in_words(period)).and_then(|before| before.strip_suffix(", "));
    of.unwrap_or(description)
}

/// The first day of some that is charged: one who is suspended, or gone, is not charged for setting up before.
fn first_charged(timeline: &Timeline, from: NaiveDate, until: NaiveDate) -> Result<Option<NaiveDate>, Error> {
    for day in from.iter_days().take_while(|day| *day <= until) {
        if timeline.cycle_at(day)?.is_some() {
            return Ok(Some(day));
        }
    }
    Ok(None)
}
