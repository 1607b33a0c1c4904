//! What a document of a subscription has: the lines that were rated for its boundary, and what comes once.

use chrono::NaiveDate;
use kernel::{Currency, OneOffItemId, PriceId};

use super::Agreements;
use crate::Error;
use crate::invoice::InvoiceLineKind;
use crate::price_book::{CycleLength, MAILBOX};
use crate::rating::{Charge, Cycle, Line, LineKind, OneOff, RatingError, Span, UnitPrice};

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
}

impl Agreements {
    /// The lines of a boundary's document, after the boundary that was billed before it, if one was.
    pub(crate) fn owed(
        &self,
        rated: &[Line],
        after: Option<NaiveDate>,
        boundary: NaiveDate,
    ) -> Result<Vec<OwedLine>, Error> {
        let mut owed = rated.iter().map(|line| self.of_cycle(line, rated)).collect::<Result<Vec<_>, _>>()?;
        let is_due = |day: NaiveDate| after.is_none_or(|after| after < day) && day <= boundary;
        for (day, terms) in self.starts().filter(|(day, _)| is_due(*day)) {
            let Some(unit_price) = terms.setup_price else { continue };
            let charge = OneOff { on: day, unit_price, quantity: 1 };
            let charge = once(&charge, boundary, terms.price.currency)?;
            if charge.charge.amount_minor > 0 {
                owed.push(OwedLine { price_id: Some(terms.price.id), ..charge });
            }
        }
        for item in self.one_off_items().iter().filter(|item| is_due(item.bill_on)) {
            let unit_price = item.unit_price().ok_or(Error::Stored("amount"))?;
            let charge = OneOff { on: item.bill_on, unit_price, quantity: item.quantity };
            let charge = once(&charge, boundary, item.unit_amount.currency)?;
            let (description, one_off_item_id) = (item.description.clone(), Some(item.id));
            owed.push(OwedLine { item: ONE_OFF, description, one_off_item_id, ..charge });
        }
        Ok(owed)
    }

    fn of_cycle(&self, line: &Line, all: &[Line]) -> Result<OwedLine, Error> {
        let terms = self.terms_of(line.cycle.whole, &line.rate.tariff).ok_or(Error::Stored("price"))?;
        Ok(OwedLine {
            item: MAILBOX,
            kind: InvoiceLineKind::Rated(line.kind),
            description: describe(line, all, terms.interval),
            cycle: line.cycle,
            charge: line.charge,
            price_id: Some(terms.price.id),
            unit_price: line.rate.tariff.unit_price(),
            one_off_item_id: None,
        })
    }
}

/// A setup; what a caller added is like it.
fn once(of: &OneOff, boundary: NaiveDate, currency: Currency) -> Result<OwedLine, Error> {
    let day = boundary.succ_opt().and_then(|next| Span::new(boundary, next)).ok_or(RatingError::DateRange)?;
    let amount_minor = of.outstanding(boundary, currency, 0)?;
    Ok(OwedLine {
        item: SETUP,
        kind: InvoiceLineKind::OneOff,
        description: SETUP.to_owned(),
        cycle: Cycle { charged: day, whole: day },
        charge: Charge { period: day, quantity: of.quantity.into(), seat_days: 0, amount_minor },
        price_id: None,
        unit_price: Some(of.unit_price),
        one_off_item_id: None,
    })
}

fn describe(line: &Line, all: &[Line], interval: CycleLength) -> String {
    let period = line.charge.period;
    let last_day = period.end().pred_opt().unwrap_or(period.end());
    // A change of the price takes the days off at the old one and puts them on at the new one, in a cycle of their own perhaps.
    let is_repriced = all.iter().any(|other| {
        (&other.cycle, &other.rate) != (&line.cycle, &line.rate)
            && (other.charge.quantity < 0) != (line.charge.quantity < 0)
            && other.charge.period.start() < period.end()
            && period.start() < other.charge.period.end()
    });
    let what = match (line.kind, is_repriced) {
        (LineKind::Recurring, _) => format!("mailboxes, per {}", interval.as_str()),
        (LineKind::Proration, false) => "mailboxes added".to_owned(),
        (LineKind::Credit, false) => "mailboxes removed".to_owned(),
        (LineKind::Proration, true) => "mailboxes at the new price".to_owned(),
        (LineKind::Credit, true) => "mailboxes at the former price, unused".to_owned(),
    };
    format!("{what}, {} to {last_day}", period.start())
}
