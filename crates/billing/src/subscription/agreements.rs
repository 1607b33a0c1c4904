//! What was agreed over time: terms and ends, each appended after the others, and what of it holds.

use std::iter;

use chrono::NaiveDate;
use kernel::{Currency, PriceBookId, PriceId};
use tenancy::standing::{Standing, StandingChange};
use uuid::Uuid;

use crate::Error;
use crate::discount::Discount;
use crate::invoice::Billing;
use crate::one_off_item::{Added, OneOffItem};
use crate::price_book::CycleLength;
use crate::price_book::store::{removal_policy, suspension_policy, tariff, tax_behavior};
use crate::rating::{
    Interval, PriceBasis, RemovalPolicy, Segment, Span, Suspension, SuspensionPolicy, Tariff, Terms,
    Timeline, UnitPrice,
};

/// What is agreed from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedTerms {
    /// The first day.
    pub starts_on: NaiveDate,
    /// The published prices it buys by.
    pub price_book_id: PriceBookId,
    /// Their version.
    pub price_book_version: i32,
    /// How long a cycle is.
    pub interval: CycleLength,
    /// For how long it is agreed.
    pub term_months: i32,
    /// Where cycles and terms are counted from.
    pub anchor_date: NaiveDate,
    pub(crate) price: SubscribedPrice,
    /// What a start by this price is charged once.
    pub(crate) setup_price: Option<UnitPrice>,
}

impl AgreedTerms {
    fn term(&self) -> Interval {
        Interval::Months(self.term_months.unsigned_abs())
    }

    /// Whether it says the same, from whichever day on.
    pub(super) fn says(&self, other: &Self) -> bool {
        (self.price.id, self.term_months) == (other.price.id, other.term_months)
    }

    fn rated(&self) -> Terms {
        Terms {
            tariff: self.price.tariff.clone(),
            interval: self.interval.interval(),
            anchor: self.anchor_date,
            term: self.term(),
            removal: self.price.removal,
            suspension: self.price.suspension,
        }
    }

    /// The end of the term that a day belongs to: terms follow each other from the anchor on, as cycles do.
    pub(super) fn term_end(&self, day: NaiveDate) -> Result<NaiveDate, Error> {
        let whole_terms = Terms { interval: self.term(), ..self.rated() };
        let segment = Segment { from: day, terms: Some(whole_terms) };
        let of_terms = Timeline::new(self.price.currency, vec![segment]);
        Ok(of_terms.cycle_at(day)?.ok_or(Error::Stored("term"))?.charged.end())
    }

    /// The whole cycle of these terms that a day belongs to.
    fn whole_cycle(&self, day: NaiveDate) -> Result<Span, Error> {
        let segment = Segment { from: day, terms: Some(self.rated()) };
        let cycle = Timeline::new(self.price.currency, vec![segment]).cycle_at(day)?;
        Ok(cycle.ok_or(Error::Stored("cycle"))?.whole)
    }

    /// Whether one of its cycles begins on a day.
    pub(super) fn begins_cycle_on(&self, day: NaiveDate) -> Result<bool, Error> {
        Ok(self.whole_cycle(day)?.start() == day)
    }
}

/// What of a price a subscription is rated by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscribedPrice {
    pub(crate) id: PriceId,
    pub(crate) tariff: Tariff,
    pub(crate) currency: Currency,
    pub(crate) basis: PriceBasis,
    pub(crate) removal: RemovalPolicy,
    pub(crate) suspension: SuspensionPolicy,
}

/// A price's columns, and those of its book.
pub(crate) struct StoredPrice<'a> {
    pub(crate) id: Uuid,
    pub(crate) currency: &'a str,
    pub(crate) tax_behavior: &'a str,
    pub(crate) model: &'a str,
    pub(crate) unit_price: Option<&'a str>,
    pub(crate) tier_limits: &'a [Option<i32>],
    pub(crate) tier_prices: &'a [String],
    pub(crate) removal_policy: &'a str,
    pub(crate) grace_days: Option<i32>,
    pub(crate) suspension_policy: &'a str,
}

impl TryFrom<StoredPrice<'_>> for SubscribedPrice {
    type Error = Error;
    fn try_from(stored: StoredPrice<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: PriceId::from_uuid(stored.id),
            tariff: tariff(stored.model, stored.unit_price, stored.tier_limits, stored.tier_prices)?,
            currency: stored.currency.parse().map_err(|_| Error::Stored("currency"))?,
            basis: tax_behavior(stored.tax_behavior)?,
            removal: removal_policy(stored.removal_policy, stored.grace_days)?,
            suspension: suspension_policy(stored.suspension_policy)?,
        })
    }
}

/// What was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// From a day on, these terms: they take the place of what was to hold from that day or a later one.
    Terms(AgreedTerms),
    /// From that day on nothing is used any more.
    End(NaiveDate),
}

/// From which day on which terms hold, or none.
type Held = (NaiveDate, Option<AgreedTerms>);

/// Everything that was agreed, in that order, and what of it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreements {
    starts_on: NaiveDate,
    trial_ends_on: Option<NaiveDate>,
    entries: Vec<Entry>,
    /// In the order of the days.
    held: Vec<Held>,
    ends_on: Option<NaiveDate>,
    beside: Beside,
}

/// What bears on a subscription beside what was agreed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// How the tenant stands over time; of one that is active all the time, nothing.
    pub(crate) standings: Vec<StandingChange>,
    /// The log of discounts: of two entries of one the later holds.
    pub(crate) discounts: Vec<Discount>,
    /// The charges that come once.
    pub(crate) one_off_items: Vec<Added>,
}

impl Agreements {
    /// From a first day, a trial perhaps, and the log; with nothing beside it.
    pub(super) fn new(
        starts_on: NaiveDate,
        trial_ends_on: Option<NaiveDate>,
        entries: Vec<Entry>,
    ) -> Result<Self, Error> {
        let none_yet = trial_ends_on.map(|_| (starts_on, None));
        let held = none_yet.into_iter().collect();
        let mut agreed = Self {
            starts_on,
            trial_ends_on,
            entries: Vec::new(),
            held,
            ends_on: None,
            beside: Beside::default(),
        };
        for entry in entries {
            agreed.append(entry)?;
        }
        Ok(agreed)
    }

    /// With a trial that ends on another day, or none.
    pub(super) fn tried_until(&self, trial_ends_on: Option<NaiveDate>) -> Result<Self, Error> {
        let agreed = Self::new(self.starts_on, trial_ends_on, self.entries.clone())?;
        Ok(agreed.beside(self.beside.clone()))
    }

    /// With all that bears on it.
    pub(crate) fn beside(self, beside: Beside) -> Self {
        Self { beside, ..self }
    }

    /// As it was at a billing, when only so many entries, standings and discounts were there; `None` if there are fewer. One-off items are
    /// there but for those that were deleted before: one that was added later is not due on the days that had been billed by then.
    pub(crate) fn first(
        &self,
        at: Billing,
        entries: usize,
        standings: usize,
        discounts: usize,
    ) -> Option<Result<Self, Error>> {
        let entries = self.entries.get(..entries)?.to_vec();
        let standings = self.beside.standings.get(..standings)?.to_vec();
        let discounts = self.beside.discounts.get(..discounts)?.to_vec();
        let is_there = |added: &&Added| added.withdrawn_after.is_none_or(|after| at <= after);
        let one_off_items = self.beside.one_off_items.iter().filter(is_there);
        let one_off_items =
            one_off_items.map(|added| Added { withdrawn_after: None, ..added.clone() }).collect();
        let beside = Beside { standings, discounts, one_off_items };
        let agreed = Self::new(self.starts_on, self.trial_ends_on, entries);
        Some(agreed.map(|agreed| agreed.beside(beside)))
    }

    /// How many entries the log of discounts has.
    pub(crate) fn discounts_known(&self) -> usize {
        self.beside.discounts.len()
    }

    /// How often the tenant has come to stand otherwise.
    pub(crate) fn standings_known(&self) -> usize {
        self.beside.standings.len()
    }

    /// The days on which the tenant is suspended: from the day after it was, as that one was begun in use, up to the day on
    /// which it is resumed.
    fn suspensions(&self) -> Vec<Suspension> {
        let mut suspensions = Vec::<Suspension>::new();
        for change in &self.beside.standings {
            let open = suspensions.last_mut().filter(|last| last.until.is_none());
            match (change.standing, open) {
                (Standing::Suspended, None) => {
                    let from = change.day.succ_opt();
                    suspensions.extend(from.map(|from| Suspension { from, until: None }));
                }
                (Standing::Active, Some(open)) => open.until = Some(change.day),
                (Standing::Suspended | Standing::Active | Standing::Deleted, _) => {}
            }
        }
        suspensions
    }

    /// Agrees to something more.
    pub(super) fn append(&mut self, entry: Entry) -> Result<(), Error> {
        match &entry {
            Entry::Terms(terms) => {
                let from = terms.starts_on.max(self.trial_ends_on.unwrap_or(self.starts_on));
                if let Some(end) = self.ends_on.take().filter(|end| *end < from) {
                    // It had ended before; what the removal policy holds after the end is still charged.
                    let until = self.rated(&self.held, Some(end))?.charged_until()?.unwrap_or(end);
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
        self.entries.push(entry);
        Ok(())
    }

    /// What was appended after the first so many entries.
    pub(super) fn since(&self, known: usize) -> &[Entry] {
        self.entries.get(known..).unwrap_or_default()
    }

    /// How many entries there are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    fn all_terms(&self) -> impl DoubleEndedIterator<Item = &AgreedTerms> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Terms(terms) => Some(terms),
            Entry::End(_) => None,
        })
    }

    /// What was agreed last of what holds or is to hold; of what never held because it was ended before, the last.
    pub(crate) fn terms(&self) -> Result<&AgreedTerms, Error> {
        let held = self.held.iter().rev().find_map(|(_, terms)| terms.as_ref());
        held.or_else(|| self.all_terms().next_back()).ok_or(Error::Stored("terms"))
    }

    /// What holds on a day: `None` in a trial, and after an end.
    pub(super) fn terms_on(&self, day: NaiveDate) -> Option<&AgreedTerms> {
        let has_ended = self.ends_on.is_some_and(|end| end <= day);
        self.held.iter().rev().find(|(from, _)| *from <= day).filter(|_| !has_ended)?.1.as_ref()
    }

    pub(crate) fn starts_on(&self) -> NaiveDate {
        self.starts_on
    }

    pub(crate) fn trial_ends_on(&self) -> Option<NaiveDate> {
        self.trial_ends_on
    }

    pub(crate) fn ends_on(&self) -> Option<NaiveDate> {
        self.ends_on
    }

    /// The discounts as they have come to be, in the order in which they were given, but those that were removed.
    pub(crate) fn discounts(&self) -> impl Iterator<Item = &Discount> {
        let log = &self.beside.discounts;
        let given = log
            .iter()
            .enumerate()
            .filter(|(at, entry)| log.iter().position(|e| e.id == entry.id) == Some(*at));
        let last = given.filter_map(|(_, entry)| log.iter().rev().find(|other| other.id == entry.id));
        last.filter(|discount| !discount.is_removed())
    }

    /// The charges that come once.
    pub(super) fn one_off_items(&self) -> impl Iterator<Item = &OneOffItem> {
        let added = self.beside.one_off_items.iter();
        added.filter(|added| added.withdrawn_after.is_none()).map(|added| &added.item)
    }

    /// The first day on which a one-off item is due that has not been billed.
    fn one_off_after(&self, last_billed: Option<NaiveDate>) -> Option<NaiveDate> {
        let days = self.one_off_items().map(|item| item.bill_on);
        days.filter(|day| last_billed.is_none_or(|last| last < *day)).min()
    }

    /// The days on which it begins to be charged, at first or anew after days that were not, and the terms that hold from then on.
    pub(super) fn starts(&self) -> impl Iterator<Item = (NaiveDate, &AgreedTerms)> {
        let before = iter::once(None).chain(self.held.iter().map(|(_, terms)| terms.as_ref()));
        let starts = self.held.iter().zip(before).filter(|(_, before)| before.is_none());
        starts.filter_map(|((day, terms), _)| Some((*day, terms.as_ref()?)))
    }

    /// What the seats cost over time.
    pub(crate) fn timeline(&self) -> Result<Timeline, Error> {
        let (held, ends_on) = self.used()?;
        self.rated(&held, ends_on)
    }

    /// The boundary after the last that was billed, if one was. While nothing is charged because of a suspension whose end is not
    /// known, the boundaries are those of before. Where there is none, a one-off item makes one on its day.
    pub(crate) fn next_boundary(&self, last_billed: Option<NaiveDate>) -> Result<Option<NaiveDate>, Error> {
        let next = |timeline: &Timeline| match last_billed {
            Some(last) => timeline.next_boundary(last),
            None => timeline.first_boundary(),
        };
        let timeline = self.timeline()?;
        match next(&timeline)? {
            Some(boundary) => Ok(Some(boundary)),
            None => Ok(next(&timeline.suspended(Vec::new()))?.or_else(|| self.one_off_after(last_billed))),
        }
    }

    /// What holds over time, less the days on which the tenant is deleted: from the day after it was, nothing is used up to the
    /// day on which it is restored, and what the removal policy holds is charged.
    fn used(&self) -> Result<(Vec<Held>, Option<NaiveDate>), Error> {
        let mut held = self.held.clone();
        for (from, until) in self.absences() {
            if self.ends_on.is_some_and(|end| end <= from) {
                break;
            }
            let Some(back) = until else { return Ok((held, Some(from))) };
            let resumed =
                held.iter().rev().find(|(day, _)| *day <= back).map(|(_, terms)| (back, terms.clone()));
            let later = held.iter().filter(|(day, _)| *day > back).cloned().collect::<Vec<_>>();
            held.retain(|(day, _)| *day < from);
            let until = self.rated(&held, Some(from))?.charged_until()?.unwrap_or(from);
            held.push((until.min(back), None));
            held.extend(resumed);
            held.extend(later);
        }
        Ok((held, self.ends_on))
    }

    /// The days on which the tenant is deleted.
    fn absences(&self) -> Vec<(NaiveDate, Option<NaiveDate>)> {
        let mut absences = Vec::<(NaiveDate, Option<NaiveDate>)>::new();
        for change in &self.beside.standings {
            let open = absences.last_mut().filter(|(_, until)| until.is_none());
            match (change.standing, open) {
                (Standing::Deleted, None) => absences.extend(change.day.succ_opt().map(|from| (from, None))),
                (Standing::Active | Standing::Suspended, Some((_, until))) => *until = Some(change.day),
                (Standing::Active | Standing::Suspended | Standing::Deleted, _) => {}
            }
        }
        absences.retain(|(from, until)| until.is_none_or(|until| *from < until));
        absences
    }

    fn rated(&self, held: &[Held], ends_on: Option<NaiveDate>) -> Result<Timeline, Error> {
        let currency = self.terms()?.price.currency;
        let segment =
            |(from, terms): &Held| Segment { from: *from, terms: terms.as_ref().map(AgreedTerms::rated) };
        let timeline = Timeline::new(currency, held.iter().map(segment).collect());
        let discounts = self.discounts().map(|discount| discount.rated().ok_or(Error::Stored("discount")));
        let timeline = timeline.discounted(discounts.collect::<Result<_, _>>()?);
        Ok(timeline.suspended(self.suspensions()).ending_on(ends_on))
    }

    /// The terms by which a cycle was charged at a tariff.
    pub(crate) fn terms_of(&self, whole: Span, tariff: &Tariff) -> Option<&AgreedTerms> {
        let charged_it = |terms: &&AgreedTerms| terms.price.tariff == *tariff;
        let made_it = |terms: &&AgreedTerms| terms.whole_cycle(whole.start()).is_ok_and(|made| made == whole);
        self.all_terms().rev().filter(charged_it).find(made_it)
    }
}
