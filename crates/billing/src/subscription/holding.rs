//! What of an item holds over time: it follows from everything that was agreed, and from how long the item's removal policy
//! charges what has ended.

use chrono::NaiveDate;
use kernel::Currency;

use super::agreements::{AgreedTerms, Entry};
use crate::Error;
use crate::price_book::Item;
use crate::rating::{Segment, Timeline};

/// From which day on which terms hold, or none.
pub(super) type Held = (NaiveDate, Option<AgreedTerms>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    item: Item,
    /// From here on terms may hold.
    from: NaiveDate,
    /// In the order of the days.
    pub(super) held: Vec<Held>,
    pub(super) ends_on: Option<NaiveDate>,
}

impl Holding {
    /// From a first day, of which those of a trial are charged nothing.
    pub(super) fn new(item: Item, starts_on: NaiveDate, trial_ends_on: Option<NaiveDate>) -> Self {
        let none_yet = trial_ends_on.map(|_| (starts_on, None));
        Self {
            item,
            from: trial_ends_on.unwrap_or(starts_on),
            held: none_yet.into_iter().collect(),
            ends_on: None,
        }
    }

    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), Error> {
        match entry {
            Entry::Terms(terms) => {
                let from = terms.starts_on.max(self.from);
                if let Some(end) = self.ends_on.take().filter(|end| *end < from) {
                    // It had ended before; what the removal policy holds after the end is still charged.
                    let until = self.charged_until(end)?;
                    self.held.push((until.min(from), None));
                }
                self.held.retain(|(day, _)| *day < from);
                self.held.push((from, Some(terms.clone())));
            }
            Entry::End(day) => {
                self.held.retain(|(from, _)| from < day);
                self.ends_on = Some(*day);
            }
        }
        Ok(())
    }

    /// Less the days on which the tenant is deleted: from the first of each absence nothing is used up to the day on which it
    /// is restored, and what the removal policy holds is charged.
    pub(super) fn without(mut self, absences: &[(NaiveDate, Option<NaiveDate>)]) -> Result<Self, Error> {
        for &(from, until) in absences {
            if self.ends_on.is_some_and(|end| end <= from) {
                break;
            }
            let Some(back) = until else { return Ok(Self { ends_on: Some(from), ..self }) };
            let resumed =
                self.held.iter().rev().find(|(day, _)| *day <= back).map(|(_, terms)| (back, terms.clone()));
            let later = self.held.iter().filter(|(day, _)| *day > back).cloned().collect::<Vec<_>>();
            self.held.retain(|(day, _)| *day < from);
            let until = self.charged_until(from)?;
            self.held.push((until.min(back), None));
            self.held.extend(resumed);
            self.held.extend(later);
        }
        Ok(self)
    }

    /// The day after the last that is charged of what holds up to an end.
    fn charged_until(&self, end: NaiveDate) -> Result<NaiveDate, Error> {
        let currency = self.held.iter().find_map(|(_, terms)| Some(terms.as_ref()?.price.currency));
        let Some(currency) = currency else { return Ok(end) };
        Ok(self.segments(currency).ending_on(Some(end)).charged_until()?.unwrap_or(end))
    }

    fn segments(&self, currency: Currency) -> Timeline {
        let segment = |(from, terms): &Held| Segment {
            from: *from,
            terms: terms.as_ref().and_then(|terms| terms.rated(self.item)),
        };
        Timeline::new(currency, self.held.iter().map(segment).collect())
    }

    pub(super) fn timeline(&self, currency: Currency) -> Timeline {
        self.segments(currency).ending_on(self.ends_on)
    }
}
