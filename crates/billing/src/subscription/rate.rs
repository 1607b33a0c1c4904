//! Rating a boundary: every item that the subscription's books have sold, one after the other.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use tenancy::Ctx;
use tenancy::mailbox::Kind;
use tenancy::mailbox::count::CountChange;
use tenancy::storage_sample::{self, StorageSample};

use super::Agreements;
use crate::Error;
use crate::price_book::Item;
use crate::rating::{
    self, Cycle, CycleState, Line, Log, Share, Span, Step, Timeline, Zones, steps_of_changes,
};

/// The cycles of each item.
pub(crate) type Cycles = BTreeMap<Item, Vec<CycleState>>;

/// What was used, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used {
    counted: BTreeMap<Item, Log>,
    /// Bytes.
    stored: Vec<Step>,
}

impl Used {
    /// From the log of seats, the changes of mailboxes that are nobody's own, and samples of what was stored.
    pub(crate) fn new(seats: Log, mailboxes: &[CountChange], stored: &[StorageSample]) -> Self {
        let changes = |item: Item| {
            let of_item = mailboxes.iter().filter(move |change| item_of(change.kind) == Some(item));
            of_item.map(|change| (change.at, i64::from(change.delta)))
        };
        let beside = Item::COUNTED.into_iter().filter(|item| *item != Item::Mailbox);
        let logs =
            beside.map(|item| (item, Log { seats: steps_of_changes(changes(item)), committed: Vec::new() }));
        let counted = logs.chain([(Item::Mailbox, seats)]).collect();
        let stored = stored.iter().map(|sample| Step { at: sample.at, level: sample.used_bytes }).collect();
        Self { counted, stored }
    }

    /// The log of something that is counted, if there is anything in it.
    pub(crate) fn log(&self, item: Item) -> Option<&Log> {
        self.counted.get(&item).filter(|log| !log.seats.is_empty())
    }

    /// The bytes that were stored over time.
    pub(crate) fn stored(&self) -> &[Step] {
        &self.stored
    }

    /// Which samples it takes to rate a tenant's storage, by its cycles so far, from a day on: its first, or the last that was billed.
    pub(crate) fn samples(
        ctx: &Ctx,
        cycles: impl Iterator<Item = (Cycle, Tz)> + Clone,
        from: NaiveDate,
    ) -> storage_sample::Wanted {
        // Of a run that is late, cycles may open in a zone of before.
        let zones = ctx.calendar().zones();
        let from = zones.map(|zone| rating::sampled_from(cycles.clone(), from, zone)).min();
        storage_sample::Wanted { tenant_id: ctx.tenant_id(), from, until: ctx.now() }
    }

    /// With so many more units of something that is counted, from an instant on that nothing follows.
    pub(crate) fn with(mut self, item: Item, at: DateTime<Utc>, more: i64) -> Self {
        let steps = &mut self.counted.entry(item).or_default().seats;
        match steps.last_mut() {
            // Changes at one instant are one step.
            Some(last) if last.at == at => last.level += more,
            last => {
                let level = last.map_or(0, |last| last.level) + more;
                steps.push(Step { at, level });
            }
        }
        self
    }
}

/// The days of cycles that are counted in other zones than the one given.
fn elsewhere(timeline: &Timeline, cycles: &[CycleState], zone: Tz) -> Result<Vec<(Span, Tz)>, Error> {
    let mut days = Vec::new();
    for state in cycles.iter().filter(|state| state.zone != zone) {
        // Of one whose place others have taken, nothing is counted.
        if timeline.makes(&state.cycle)? {
            days.push((state.cycle.charged, state.zone));
        }
    }
    Ok(days)
}

/// As what a mailbox is sold; a personal one comes with a seat.
fn item_of(kind: Kind) -> Option<Item> {
    match kind {
        Kind::Personal => None,
        Kind::Shared | Kind::Room | Kind::Equipment => Some(Item::SharedMailbox),
        Kind::Archive => Some(Item::Archive),
    }
}

/// A line of a boundary.
#[derive(Debug)]
pub(crate) struct RatedLine {
    pub(crate) item: Item,
    pub(crate) line: Line,
    /// Of storage: on average, over what is included.
    pub(crate) gib: Option<Share>,
}

impl Agreements {
    /// What each item costs over time, if it ever had a price.
    pub(crate) fn timelines(&self) -> Result<BTreeMap<Item, Timeline>, Error> {
        let items = self.items_beside().into_iter().chain([Item::Mailbox]);
        items.map(|item| Ok((item, self.timeline(item)?))).collect()
    }

    /// Brings all cycles up to what is known at the end of a boundary's day, as [`rating::document`] does: seats first, since
    /// those that are charged pool what may be stored, and what is sold beside them in the middle of a cycle is counted where that is,
    /// unless it is `recorded` as counted where the boundary is. Storage of what was over by `settled` is left alone ([`rating::storage`]).
    pub(crate) fn rate(
        &self,
        timelines: &BTreeMap<Item, Timeline>,
        (boundary, zone): (NaiveDate, Tz),
        recorded: Option<&Cycles>,
        settled: Option<NaiveDate>,
        cycles: &mut Cycles,
        used: &Used,
    ) -> Result<Vec<RatedLine>, Error> {
        let (mut rated, mut of_seats) = (Vec::new(), Vec::new());
        let recorded = |item: Item| recorded.and_then(|of| of.get(&item)).map_or(&[][..], Vec::as_slice);
        for (&item, timeline) in timelines.iter().filter(|(item, _)| **item != Item::Storage) {
            let log = used.counted.get(&item).ok_or(Error::Stored("log of what was used"))?;
            // Seats come first, and are always counted where the boundary is.
            let zones = Zones::within(zone, &of_seats).but_as_in(recorded(item));
            let of_item = cycles.entry(item).or_default();
            let lines = rating::document(timeline, boundary, zones, of_item, log)?;
            if item == Item::Mailbox {
                of_seats = elsewhere(timeline, of_item, zone)?;
            }
            rated.extend(lines.into_iter().map(|line| RatedLine { item, line, gib: None }));
        }
        if let Some(timeline) = timelines.get(&Item::Storage) {
            let mut of_storage = cycles.remove(&Item::Storage).unwrap_or_default();
            let seats = cycles.get(&Item::Mailbox).map_or(&[][..], Vec::as_slice);
            let allowance = |day| self.included_bytes(seats, day);
            let zones = Zones::within(zone, &of_seats).but_as_in(recorded(Item::Storage));
            let (at, stored) = ((boundary, zones), &used.stored);
            let lines = rating::storage(timeline, at, settled, &mut of_storage, stored, &allowance)?;
            cycles.insert(Item::Storage, of_storage);
            rated.extend(lines.into_iter().map(|(line, gib)| RatedLine {
                item: Item::Storage,
                line,
                gib: Some(gib),
            }));
        }
        Ok(rated)
    }

    /// What the seats that are charged on a day may store for nothing.
    fn included_bytes(&self, seats: &[CycleState], day: NaiveDate) -> i128 {
        let price = self.terms_on(day).and_then(|terms| terms.price_of(Item::Storage));
        let each = price.and_then(|price| price.included_bytes).unwrap_or(0);
        let charged: i64 = seats.iter().map(|state| state.quantity_on(day)).sum();
        i128::from(each) * i128::from(charged)
    }
}
