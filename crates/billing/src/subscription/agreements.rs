//! What was agreed over time: terms and ends, each appended after the others, and what of it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use chrono::NaiveDate;
use kernel::{Currency, PriceBookId, PriceId};
use tenancy::standing::{Standing, StandingChange};
use uuid::Uuid;

use super::holding::Holding;
use crate::Error;
use crate::discount::Discount;
use crate::invoice::Billing;
use crate::one_off_item::{Added, OneOffItem};
use crate::price_book::store::{removal_policy, suspension_policy, tariff, tax_behavior};
use crate::price_book::{ChangesBilled, CycleLength, Item};
use crate::rating::{
    Interval, PaymentSchedule, PriceBasis, RemovalPolicy, Segment, Span, Suspension, SuspensionPolicy,
    Tariff, Terms, Timeline, UnitPrice,
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
    /// For how long the prices are: a cycle, where they are paid at once.
    pub interval: CycleLength,
    /// Whether they are paid at once.
    pub payment_schedule: PaymentSchedule,
    /// For how long it is agreed.
    pub term_months: i32,
    /// Where cycles and terms are counted from.
    pub anchor_date: NaiveDate,
    /// Of a seat.
    pub(crate) price: SubscribedPrice,
    /// Of what the same book sells beside seats, for the same interval.
    pub(crate) beside: BTreeMap<Item, SubscribedPrice>,
    /// What a start by this price is charged once.
    pub(crate) setup_price: Option<UnitPrice>,
    /// When what changes in mid-cycle is billed.
    pub(crate) changes_billed: ChangesBilled,
}

impl AgreedTerms {
    fn term(&self) -> Interval {
        Interval::Months(self.term_months.unsigned_abs())
    }

    /// The price of an item, if it is sold.
    pub(crate) fn price_of(&self, item: Item) -> Option<&SubscribedPrice> {
        if item == Item::Mailbox { Some(&self.price) } else { self.beside.get(&item) }
    }

    /// Whether it says the same, from whichever day on.
    pub(super) fn says(&self, other: &Self) -> bool {
        let said = |terms: &Self| (terms.price.id, terms.payment_schedule, terms.term_months);
        said(self) == said(other)
    }

    /// Whether cycles of both are as long, and pay the same part of a price.
    pub(super) fn makes_cycles_of(&self, other: &Self) -> bool {
        (self.interval, self.payment_schedule) == (other.interval, other.payment_schedule)
    }

    /// How an item is rated; `None` if it is not sold. Storage is paused where seats are: those pool what may be stored.
    pub(super) fn rated(&self, item: Item) -> Option<Terms> {
        let price = self.price_of(item)?;
        let suspension = if item == Item::Storage { self.price.suspension } else { price.suspension };
        Some(Terms {
            tariff: price.tariff.clone(),
            interval: self.interval.interval(),
            payment: self.payment_schedule,
            anchor: self.anchor_date,
            term: self.term(),
            removal: price.removal,
            suspension,
        })
    }

    /// How seats are rated, at once for whole intervals.
    fn of_seats(&self) -> Result<Terms, Error> {
        let terms = self.rated(Item::Mailbox).ok_or(Error::Stored("price"))?;
        Ok(Terms { payment: PaymentSchedule::AtOnce, ..terms })
    }

    /// The end of the term that a day belongs to: terms follow each other from the anchor on, as cycles do.
    pub(super) fn term_end(&self, day: NaiveDate) -> Result<NaiveDate, Error> {
        Ok(self.whole_cycle(Terms { interval: self.term(), ..self.of_seats()? }, day)?.end())
    }

    /// The whole cycle of terms like these that a day belongs to.
    fn whole_cycle(&self, terms: Terms, day: NaiveDate) -> Result<Span, Error> {
        let segment = Segment { from: day, terms: Some(terms) };
        let cycle = Timeline::new(self.price.currency, vec![segment]).cycle_at(day)?;
        Ok(cycle.ok_or(Error::Stored("cycle"))?.whole)
    }

    /// Whether one of its intervals begins on a day.
    pub(super) fn begins_interval_on(&self, day: NaiveDate) -> Result<bool, Error> {
        Ok(self.whole_cycle(self.of_seats()?, day)?.start() == day)
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
    /// Of storage: what each seat that is charged may store for nothing.
    pub(crate) included_bytes: Option<i64>,
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
    pub(crate) included_bytes: Option<i64>,
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
            included_bytes: stored.included_bytes,
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

/// Everything that was agreed, in that order, and what of it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreements {
    starts_on: NaiveDate,
    trial_ends_on: Option<NaiveDate>,
    entries: Vec<Entry>,
    /// What holds of seats.
    seats: Holding,
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
        let mut agreed = Self {
            starts_on,
            trial_ends_on,
            entries: Vec::new(),
            seats: Holding::new(Item::Mailbox, starts_on, trial_ends_on),
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
    pub(super) fn suspensions(&self) -> Vec<Suspension> {
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
        self.seats.append(&entry)?;
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
        let held = self.seats.held.iter().rev().find_map(|(_, terms)| terms.as_ref());
        held.or_else(|| self.all_terms().next_back()).ok_or(Error::Stored("terms"))
    }

    /// What holds on a day: `None` in a trial, and after an end.
    pub(super) fn terms_on(&self, day: NaiveDate) -> Option<&AgreedTerms> {
        let has_ended = self.ends_on().is_some_and(|end| end <= day);
        self.seats.held.iter().rev().find(|(from, _)| *from <= day).filter(|_| !has_ended)?.1.as_ref()
    }

    /// Whether an item is sold on a day from this one on, as far as was agreed, or would be if what was agreed last went on.
    pub(crate) fn sells(&self, item: Item, from: NaiveDate) -> bool {
        let held = &self.seats.held;
        let ends = held.iter().skip(1).map(|(day, _)| Some(*day)).chain([None]);
        let to_come = held.iter().zip(ends).filter(|(_, end)| end.is_none_or(|end| from < end));
        let mut to_come = to_come.filter_map(|((_, terms), _)| terms.as_ref());
        let is_sold = |terms: &AgreedTerms| terms.price_of(item).is_some();
        to_come.any(is_sold) || self.terms().is_ok_and(is_sold)
    }

    pub(crate) fn starts_on(&self) -> NaiveDate {
        self.starts_on
    }

    pub(crate) fn trial_ends_on(&self) -> Option<NaiveDate> {
        self.trial_ends_on
    }

    pub(crate) fn ends_on(&self) -> Option<NaiveDate> {
        self.seats.ends_on
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
    pub(crate) fn one_off_after(&self, last_billed: Option<NaiveDate>) -> Option<NaiveDate> {
        let days = self.one_off_items().map(|item| item.bill_on);
        days.filter(|day| last_billed.is_none_or(|last| last < *day)).min()
    }

    /// The days on which it begins to be charged, at first or anew after days that were not, and the terms that hold from then on.
    pub(super) fn starts(&self) -> impl Iterator<Item = (NaiveDate, &AgreedTerms)> {
        let held = &self.seats.held;
        let before = iter::once(None).chain(held.iter().map(|(_, terms)| terms.as_ref()));
        let starts = held.iter().zip(before).filter(|(_, before)| before.is_none());
        starts.filter_map(|((day, terms), _)| Some((*day, terms.as_ref()?)))
    }

    /// What the units of an item cost over time.
    pub(crate) fn timeline(&self, item: Item) -> Result<Timeline, Error> {
        let holding =
            match item {
                Item::Mailbox => self.seats.clone(),
                _ => self.entries.iter().try_fold(
                    Holding::new(item, self.starts_on, self.trial_ends_on),
                    |mut holding, entry| holding.append(entry).map(|()| holding),
                )?,
            };
        let timeline = holding.without(&self.absences())?.timeline(self.terms()?.price.currency);
        let discounts = self.discounts().filter(|discount| discount.is_of(item));
        let discounts = discounts.map(|discount| discount.rated().ok_or(Error::Stored("discount")));
        Ok(timeline.discounted(discounts.collect::<Result<_, _>>()?).suspended(self.suspensions()))
    }

    /// What was ever sold beside seats.
    pub(crate) fn items_beside(&self) -> BTreeSet<Item> {
        self.all_terms().flat_map(|terms| terms.beside.keys().copied()).collect()
    }

    /// The boundary after the last that was billed, if one was: where changes are billed daily, the next day on which they are and
    /// seats are charged, while the tenant is there to change something.
    pub(crate) fn next_boundary(&self, last_billed: Option<NaiveDate>) -> Result<Option<NaiveDate>, Error> {
        let open = self.absences().pop().filter(|(_, until)| until.is_none());
        self.boundary_after(last_billed, open.map(|(from, _)| from))
    }

    /// Whether a boundary follows the last that was billed; or did once, when there were daily ones of a deleted tenant, too.
    pub(crate) fn follows(
        &self,
        boundary: Option<NaiveDate>,
        last_billed: Option<NaiveDate>,
    ) -> Result<bool, Error> {
        Ok(self.next_boundary(last_billed)? == boundary
            || self.boundary_after(last_billed, None)? == boundary)
    }

    /// As [`Self::next_boundary`]; after the first day on that nobody is there, only what there is whatever changes.
    fn boundary_after(
        &self,
        last_billed: Option<NaiveDate>,
        gone: Option<NaiveDate>,
    ) -> Result<Option<NaiveDate>, Error> {
        let monthly = self.next_monthly(last_billed)?;
        let Some(day_after) = last_billed.and_then(|last| last.succ_opt()) else { return Ok(monthly) };
        let starts = self.all_terms().map(|terms| terms.starts_on);
        let mut days: Vec<NaiveDate> = starts.filter(|day| *day > day_after).chain([day_after]).collect();
        days.retain(|day| {
            let is_daily = |terms: &AgreedTerms| terms.changes_billed == ChangesBilled::Daily;
            let is_before_monthly = monthly.is_none_or(|monthly| *day < monthly);
            // The first day of an absence bills what changed on the last before it.
            let is_there = gone.is_none_or(|gone| *day <= gone);
            is_before_monthly && is_there && self.terms_on(*day).is_some_and(is_daily)
        });
        days.sort_unstable();
        if days.is_empty() {
            return Ok(monthly);
        }
        let timeline = self.timeline(Item::Mailbox)?;
        for day in days {
            if timeline.cycle_at(day)?.is_some() {
                return Ok(Some(day));
            }
        }
        Ok(monthly)
    }

    /// The next of those that there are whatever changes. While nothing is charged because of a suspension whose end is not
    /// known, the boundaries are those of before. Where seats have none, those of what is sold beside them count, and where there is
    /// none at all, a one-off item makes one on its day.
    pub(crate) fn next_monthly(&self, last_billed: Option<NaiveDate>) -> Result<Option<NaiveDate>, Error> {
        let next = |timeline: &Timeline| match last_billed {
            Some(last) => timeline.next_boundary(last),
            None => timeline.first_boundary(),
        };
        let timeline = self.timeline(Item::Mailbox)?;
        if let Some(boundary) = next(&timeline)? {
            return Ok(Some(boundary));
        }
        if let Some(boundary) = next(&timeline.suspended(Vec::new()))? {
            return Ok(Some(boundary));
        }
        // What is sold beside seats may be held for longer than they are.
        let mut beside = None;
        for item in self.items_beside() {
            beside = next(&self.timeline(item)?)?.into_iter().chain(beside).min();
        }
        Ok(beside.or_else(|| self.one_off_after(last_billed)))
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

    /// The terms by which a cycle of an item was charged at a tariff.
    pub(crate) fn terms_of(&self, item: Item, whole: Span, tariff: &Tariff) -> Option<&AgreedTerms> {
        let charged_it =
            |terms: &&AgreedTerms| terms.price_of(item).is_some_and(|price| price.tariff == *tariff);
        let made_it = |terms: &&AgreedTerms| {
            let made = terms.rated(item).map(|of_item| terms.whole_cycle(of_item, whole.start()));
            made.is_some_and(|made| made.is_ok_and(|made| made == whole))
        };
        self.all_terms().rev().filter(charged_it).find(made_it)
    }
}
