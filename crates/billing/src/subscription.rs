//! A tenant's subscription: which price it buys by, from when, for how long, and how many seats it has committed to.

mod agreements;
mod cancel;
mod holding;
mod owed;
mod rate;
mod standing;
pub(crate) mod store;
mod window;

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use kernel::{Checks, PriceBookId, SubscriptionId, named};
use serde_json::json;
use tenancy::{Action, Calendar, Ctx, TenantTx, event, mailbox, seats, standing as tenant_standing};

use crate::error::{NOT_A_DATE, date};
use crate::price_book::{CycleLength, Item};
use crate::rating::{Amount, Log, PaymentSchedule, Share, Step, steps_of_changes};
use crate::run::opened;
use crate::{Error, forecast};

pub use agreements::AgreedTerms;
pub(crate) use agreements::{Agreements, Beside, Entry, StoredPrice, SubscribedPrice};
pub use cancel::cancel;
pub(crate) use cancel::cancel_at_the_latest;
pub use owed::without_days;
pub(crate) use owed::{OwedLine, in_words, is_anew, storage_in_words};
pub(crate) use rate::{Cycles, RatedLine, Used};
pub(crate) use standing::{look_ahead, take_account};
pub(crate) use window::{Window, Windows};

/// What a tenant has subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// What was agreed last; it holds from [`AgreedTerms::starts_on`] on, which may be a day to come.
    pub terms: AgreedTerms,
    /// The least number of seats that is charged.
    pub seats_committed: i32,
    /// The next boundary, on which a run has something to look at; `None` when nothing is left to be billed. As it is shown, where changes are
    /// billed by the day of these days only one that has something to bill.
    pub next_invoice_on: Option<NaiveDate>,
    /// Why a run could not bill it, if that is so; it is tried again by a run that names the tenant.
    pub parked_reason: Option<String>,
    /// Counts its changes.
    pub version: i64,
    pub(crate) agreed: Agreements,
    /// Whether the last boundary is to be billed again.
    pub(crate) bills_again: bool,
    /// When it was put for the first time, in the tenant's time.
    created_at: DateTime<Utc>,
    /// When terms were put, by their first day, in the tenant's time.
    put_at: BTreeMap<NaiveDate, DateTime<Utc>>,
}

named! {
    /// How a subscription stands on a day.
    Status {
        /// In its trial: nothing is charged yet.
        Trialing = "trialing",
        /// In force.
        Active = "active",
        /// At its end, or after it.
        Ended = "ended",
    }
}

impl Subscription {
    /// The day on which it was subscribed to: the first that is charged, if there is no trial.
    pub fn starts_on(&self) -> NaiveDate {
        self.agreed.starts_on()
    }

    /// The first day that is charged after a trial.
    pub fn trial_ends_on(&self) -> Option<NaiveDate> {
        self.agreed.trial_ends_on()
    }

    /// The first day on which nothing is used any more, past or to come.
    pub fn ends_on(&self) -> Option<NaiveDate> {
        self.agreed.ends_on()
    }

    /// How it stands on the tenant's present day.
    pub fn status(&self, ctx: &Ctx) -> Status {
        let today = today(ctx);
        match (self.ends_on(), self.trial_ends_on()) {
            (Some(end), _) if end <= today => Status::Ended,
            (_, Some(end)) if today < end => Status::Trialing,
            _ => Status::Active,
        }
    }

    /// What holds on the tenant's present day, and the end of the term that this day is of; `None` in a trial and after an end.
    ///
    /// # Errors
    /// When the database has terms that make no days.
    pub fn in_force(&self, ctx: &Ctx) -> Result<Option<(&AgreedTerms, NaiveDate)>, Error> {
        let today = today(ctx);
        let terms = self.agreed.terms_on(today).filter(|_| self.status(ctx) != Status::Trialing);
        terms.map(|terms| Ok((terms, terms.term_end(today)?))).transpose()
    }

    /// With what was agreed to be something else, after the last boundary that was billed.
    fn with(self, agreed: Agreements, last_billed: Option<NaiveDate>) -> Result<Self, Error> {
        Self { terms: agreed.terms()?.clone(), agreed, ..self }.looking_ahead(last_billed)
    }

    /// The next boundary after the last that was billed, which is that one while it is to be billed again.
    pub(crate) fn next_boundary(&self, last_billed: Option<NaiveDate>) -> Result<Option<NaiveDate>, Error> {
        if self.bills_again { Ok(last_billed) } else { self.agreed.next_boundary(last_billed) }
    }

    /// In which zone the cycles are counted that open on a boundary: that in which the day began. The day of a start may have been
    /// over there when its terms were put, by a tenant for whom it lasted on: then it is the one in which it was not. Cycles that follow
    /// others go on where those end.
    pub(crate) fn zone_on(&self, calendar: &Calendar, boundary: NaiveDate) -> Tz {
        let is_start = self.agreed.starts().any(|(day, _)| day == boundary);
        match self.put_at.get(&boundary).filter(|_| is_start) {
            Some(at) => calendar.zone_of(boundary, *at),
            None => calendar.zone_on(boundary),
        }
    }

    /// As it is shown: with the day of its next document as of now.
    async fn foreseen(self, ctx: &Ctx, tx: &mut TenantTx) -> Result<Self, Error> {
        let next_invoice_on = forecast::next_document_on(ctx, tx, &self).await?;
        Ok(Self { next_invoice_on, ..self })
    }

    fn looking_ahead(self, last_billed: Option<NaiveDate>) -> Result<Self, Error> {
        Ok(Self { next_invoice_on: self.next_boundary(last_billed)?, ..self })
    }
}

/// The tenant's present day.
pub(crate) fn today(ctx: &Ctx) -> NaiveDate {
    ctx.today()
}

/// A subscription as a caller puts it; checked when it is put.
#[derive(Debug, Clone)]
pub struct PutSubscription {
    /// A price book of the tenant's reseller, in the tenant's currency, that has a price for the interval.
    pub price_book_id: PriceBookId,
    /// `month` or `year`.
    pub interval: String,
    /// Of a year: `at_once`, or `monthly`, in twelve instalments; if not given, as the same interval is paid now, or at once.
    pub payment_schedule: Option<String>,
    /// A multiple of the interval, at most 120; one interval if not given.
    pub term_months: Option<i64>,
    /// The least number of seats to charge; 0 if not given.
    pub seats_committed: Option<i64>,
    /// A day such as 2026-01-31; if not given, the anchor stays, and a new subscription's is the end of its trial or the
    /// tenant's present day.
    pub anchor_date: Option<String>,
    /// The first day that is charged; if not given, a trial stays as it is, and a new subscription has none.
    pub trial_ends_on: Option<String>,
}

const MAX_SEATS: i64 = 1_000_000;
const MAX_TERM_MONTHS: i32 = 120;
const MAX_TRIAL: Days = Days::new(366);

/// The tenant's subscription.
///
/// # Errors
/// [`Error::NotFound`] when it has none.
pub async fn get(ctx: &Ctx) -> Result<Subscription, Error> {
    ctx.require(Action::SubscriptionRead)?;
    let mut tx = ctx.read().await?;
    let found = store::find(&mut tx).await?.ok_or(Error::NotFound)?;
    found.foreseen(ctx, &mut tx).await
}

/// Subscribes the tenant from its present day on, or changes its subscription.
///
/// Until something has been billed, everything may change but the first day: what is put last holds from that day
/// on, as if it had been put then, so that no day is lost and none is charged by what was superseded. Afterwards the
/// committed seats may change, from the present on; and price, interval and term: at once when all that is counted comes to
/// no less, neither term nor interval is shorter, no lock is lifted and payment goes by the same schedule, else from the end of the term on. A change of the
/// interval begins new cycles, from the present day on or, when that has been billed, from the next. What is put before the
/// end of a cancelled subscription takes the cancellation back; after it, it begins anew. Putting the same again changes
/// nothing. A parked subscription is tried again by the next run.
///
/// # Errors
/// [`Error::Invalid`] for bad input, and prices of the other tax behavior than has been billed by; [`Error::Conflict`]
/// `subscription_terms_fixed` when the anchor or the trial of a
/// subscription that has been billed would change; [`tenancy::Error::VersionMismatch`] when `if_version` is not the
/// subscription's, which is 0 while there is none.
pub async fn put(ctx: &Ctx, new: PutSubscription, if_version: Option<i64>) -> Result<Subscription, Error> {
    let mut tx = ctx.begin().await?;
    let subscription = put_in(ctx, &mut tx, new, if_version).await?.foreseen(ctx, &mut tx).await?;
    tx.commit().await?;
    Ok(subscription)
}

/// As [`put`]; whether it stays is the caller's to say, whose the subscription's row is from here on.
pub(crate) async fn put_in(
    ctx: &Ctx,
    tx: &mut TenantTx,
    new: PutSubscription,
    if_version: Option<i64>,
) -> Result<Subscription, Error> {
    ctx.require(Action::SubscriptionWrite)?;
    let asked = check(&new)?;
    let old = store::find_locked(tx).await?;
    tenancy::require_version(if_version, old.as_ref().map_or(0, |old| old.version))?;
    let before = old.as_ref().map(|old| &old.terms).filter(|terms| terms.interval == asked.interval);
    let schedule = asked.payment_schedule.or(before.map(|terms| terms.payment_schedule)).unwrap_or_default();
    let terms = terms_from_today(ctx, tx, new.price_book_id, (&asked, schedule)).await?;
    let last_billed = store::last_boundary(tx).await?;
    let agreed = match &old {
        Some(old) if last_billed.is_some() || old.status(ctx) == Status::Ended => {
            let mut units = units(ctx, tx).await?;
            let seats = units.entry(Item::Mailbox).or_default();
            *seats = (*seats).max(asked.seats_committed.into());
            changed(&old.agreed, terms, &asked, &units, last_billed)?
        }
        Some(old) => superseded(old, terms, &asked)?,
        None => {
            trial_after(asked.trial_ends_on, terms.starts_on)?;
            let standings = tenant_standing::changes(tx).await?;
            Agreements::new(terms.starts_on, asked.trial_ends_on, vec![Entry::Terms(terms)])?
                .beside(Beside { standings, ..Beside::default() })
        }
    };
    let subscription = match &old {
        Some(old) => Subscription { seats_committed: asked.seats_committed, ..old.clone() },
        None => fresh(ctx, &asked, agreed.clone())?,
    };
    let subscription = subscription.with(agreed, last_billed)?;
    let is_unchanged = |old: &Subscription| {
        old.parked_reason.is_none()
            && (&old.agreed, old.seats_committed) == (&subscription.agreed, subscription.seats_committed)
    };
    if old.as_ref().is_some_and(is_unchanged) {
        return Ok(subscription);
    }
    write(ctx, tx, old.as_ref(), subscription, last_billed.is_some()).await
}

/// Writes what is new.
async fn write(
    ctx: &Ctx,
    tx: &mut TenantTx,
    old: Option<&Subscription>,
    new: Subscription,
    is_billed: bool,
) -> Result<Subscription, Error> {
    let version = old.map_or(1, |old| old.version + 1);
    let mut new = Subscription { version, parked_reason: None, ..new };
    store::put(tx, &new).await?;
    for entry in new.agreed.since(old.map_or(0, |old| old.agreed.count())) {
        store::append_entry(tx, entry, ctx.now()).await?;
        store::note(&mut new.put_at, entry, ctx.now());
    }
    if old.is_none_or(|old| old.seats_committed != new.seats_committed) {
        // At one instant the last that was set counts, so this replaces what was never billed.
        let is_first = !is_billed && new.terms.starts_on == new.starts_on();
        let at = if is_first { new.created_at } else { ctx.now() };
        store::append_commitment(tx, Step { at, level: new.seats_committed.into() }).await?;
    }
    let terms = &new.terms;
    let data = json!({"price_book_id": terms.price_book_id, "interval": terms.interval.as_str(),
        "payment_schedule": terms.payment_schedule.as_str(), "term_months": terms.term_months, "terms_start_on": terms.starts_on, "ends_on": new.ends_on(),
        "seats_committed": new.seats_committed});
    event::record(tx, ctx, event::Kind::SubscriptionChanged, new.id, data).await?;
    Ok(new)
}

fn fresh(ctx: &Ctx, asked: &Asked, agreed: Agreements) -> Result<Subscription, Error> {
    Ok(Subscription {
        id: ctx.env().new_id(),
        terms: agreed.terms()?.clone(),
        seats_committed: asked.seats_committed,
        next_invoice_on: None,
        parked_reason: None,
        version: 0,
        bills_again: false,
        created_at: ctx.now(),
        put_at: BTreeMap::new(),
        agreed,
    })
}

/// What was asked for, from the present day on.
async fn terms_from_today(
    ctx: &Ctx,
    tx: &mut TenantTx,
    price_book_id: PriceBookId,
    (asked, payment_schedule): (&Asked, PaymentSchedule),
) -> Result<AgreedTerms, Error> {
    let mut sold = store::sold(tx.conn(), &[price_book_id]).await?;
    let store::Sold { version, price, setup_price, changes_billed, beside } =
        sold.remove(&(price_book_id, asked.interval)).ok_or_else(|| {
            Error::invalid(
                "/price_book_id",
                "must be a price book of the tenant's reseller with a mailbox price for the interval",
            )
        })?;
    let currency = store::tenant_currency(tx).await?;
    if price.currency != currency {
        let detail =
            format_args!("the book's prices are in {}, the tenant is billed in {currency}", price.currency);
        return Err(Error::invalid("/price_book_id", detail));
    }
    let today = today(ctx);
    Ok(AgreedTerms {
        starts_on: today,
        price_book_id,
        price_book_version: version,
        interval: asked.interval,
        payment_schedule,
        term_months: asked.term_months,
        anchor_date: asked.anchor_date.or(asked.trial_ends_on).unwrap_or(today),
        price,
        beside,
        setup_price,
        changes_billed,
    })
}

/// How many units of what is counted a change of prices is to be judged by: those in use and those that are charged on the present day
/// though they are used no more; of seats at least one. Otherwise who removes everybody for a moment would escape what was agreed.
async fn units(ctx: &Ctx, tx: &mut TenantTx) -> Result<Units, Error> {
    let now = ctx.now();
    let seats = seats::changes(tx, now).await?;
    let seats = steps_of_changes(seats.iter().map(|change| (change.at, i64::from(change.delta))));
    let mailboxes = mailbox::count::changes_of_each(tx, &[(ctx.tenant_id(), now)]).await?;
    let mailboxes: Vec<_> = mailboxes.into_iter().map(|(_, change)| change).collect();
    let used = Used::new(Log { seats, committed: Vec::new() }, &mailboxes, &[]);
    let cycles = opened(tx, None).await?;
    let today = today(ctx);
    let of_item = |item: Item| {
        let used = used.log(item).and_then(|log| log.seats.last()).map_or(0, |last| last.level);
        let charged = cycles.get(&item).into_iter().flatten();
        let charged = charged.filter(|state| state.cycle.charged.contains(today));
        let held = charged.map(|state| state.quantity_on(today)).max().unwrap_or(0);
        let least = if item == Item::Mailbox { 1 } else { 0 };
        (item, used.max(held).max(least))
    };
    Ok(Item::COUNTED.into_iter().map(of_item).collect())
}

/// How many of each item.
type Units = BTreeMap<Item, i64>;

/// What becomes of a subscription that has not been billed: new terms from the day on that its terms held from.
fn superseded(old: &Subscription, terms: AgreedTerms, asked: &Asked) -> Result<Agreements, Error> {
    trial_after(asked.trial_ends_on, old.starts_on())?;
    // Not the first day of all, if one that ended has begun anew.
    let starts_on = old.terms.starts_on;
    let anchor_date = asked.anchor_date.or(asked.trial_ends_on).unwrap_or(old.terms.anchor_date);
    let terms = AgreedTerms { starts_on, anchor_date, ..terms };
    let trial_ends_on = asked.trial_ends_on.or(old.trial_ends_on());
    if (&terms, trial_ends_on, None) == (&old.terms, old.trial_ends_on(), old.ends_on()) {
        return Ok(old.agreed.clone());
    }
    let mut agreed = old.agreed.tried_until(trial_ends_on)?;
    agreed.append(Entry::Terms(terms))?;
    Ok(agreed)
}

fn trial_after(ends_on: Option<NaiveDate>, starts_on: NaiveDate) -> Result<(), Error> {
    let last = starts_on.checked_add_days(MAX_TRIAL).ok_or(Error::Stored("first day"))?;
    if ends_on.is_none_or(|end| starts_on < end && end <= last) {
        return Ok(());
    }
    let detail =
        format_args!("must be after {starts_on}, the subscription's first day, and not after {last}");
    Err(Error::invalid("/trial_ends_on", detail))
}

/// What becomes of what was agreed and has been billed up to `last_billed`, or has ended, with so many units in force. `terms`
/// start on the present day.
fn changed(
    old: &Agreements,
    terms: AgreedTerms,
    asked: &Asked,
    units: &Units,
    last_billed: Option<NaiveDate>,
) -> Result<Agreements, Error> {
    const FIXED: Error = Error::Conflict {
        code: "subscription_terms_fixed",
        detail: "the anchor date and the trial of a subscription that has been billed cannot be changed",
    };
    if asked.trial_ends_on.is_some() && asked.trial_ends_on != old.trial_ends_on() {
        return Err(FIXED);
    }
    // A document's lines are all net or all gross.
    if last_billed.is_some() && old.terms()?.price.basis != terms.price.basis {
        let detail = "must have the tax behavior of the prices that the subscription has been billed by";
        return Err(Error::invalid("/price_book_id", detail));
    }
    let mut agreed = old.clone();
    let today = terms.starts_on;
    let unbilled = last_billed.and_then(|last| last.succ_opt()).map_or(today, |next| next.max(today));
    let planned = old.terms()?;
    let Some(present) = old.terms_on(today) else {
        // It has ended, and it may be that it begins anew already.
        if old.ends_on().is_none() && terms.says(planned) {
            return Ok(agreed);
        }
        // Nor does an end lift a lock, or make what is still charged cheaper.
        let mut held_until = None;
        for timeline in old.timelines()?.values().filter(|_| old.ends_on().is_some()) {
            held_until = held_until.max(timeline.charged_until()?);
        }
        let holds = held_until.is_some_and(|until| unbilled < until);
        let goes_on = holds && terms.makes_cycles_of(planned);
        let is_moved = goes_on && asked.anchor_date.is_some_and(|anchor| anchor != planned.anchor_date);
        let starts_on = match held_until {
            Some(until) if is_moved || is_less(&terms, planned, units)? => unbilled.max(until),
            _ => unbilled,
        };
        // What is held goes on in the same cycles.
        let same = (goes_on && starts_on == unbilled).then_some(planned.anchor_date);
        let anchor_date = asked.anchor_date.or(same).unwrap_or(starts_on);
        agreed.append(Entry::Terms(AgreedTerms { starts_on, anchor_date, ..terms }))?;
        return Ok(agreed);
    };
    if old.ends_on().is_some() {
        agreed.append(Entry::Terms(planned.clone()))?;
    }
    if !terms.says(planned) {
        let waits = is_less(&terms, present, units)? && !terms.says(present);
        let cuts = !terms.makes_cycles_of(present);
        let starts_on = match (waits, cuts) {
            (true, _) => present.term_end(today)?,
            (false, true) => unbilled,
            (false, false) => today,
        };
        let anchored = AgreedTerms { starts_on, anchor_date: present.anchor_date, ..terms };
        // An anchor on the 31st is not lost where the cycles go on from it.
        let goes_on = !cuts || anchored.begins_interval_on(starts_on)?;
        let anchor_date = if goes_on { present.anchor_date } else { starts_on };
        agreed.append(Entry::Terms(AgreedTerms { anchor_date, ..anchored }))?;
    }
    let anchors = [present.anchor_date, agreed.terms()?.anchor_date];
    if asked.anchor_date.is_some_and(|anchor| !anchors.contains(&anchor)) {
        return Err(FIXED);
    }
    Ok(agreed)
}

/// Whether new terms come to less for all that is counted, are shorter, are paid by another schedule, or lift a lock of any item: they
/// wait for the end of the present ones.
fn is_less(new: &AgreedTerms, present: &AgreedTerms, units: &Units) -> Result<bool, Error> {
    let cost = |terms: &AgreedTerms| {
        let sold = units.iter().filter_map(|(item, units)| Some((terms.price_of(*item)?, *units)));
        let costs = sold.map(|(price, units)| price.tariff.cost(Share::from(i128::from(units))));
        costs.into_iter().try_fold(Amount::ZERO, |sum, cost| sum.plus(cost?))
    };
    let is_cheaper = new.interval == present.interval && cost(new)? < cost(present)?;
    let is_shorter = new.term_months < present.term_months || new.interval < present.interval;
    let unlocks = Item::COUNTED.into_iter().any(|item| {
        let locked = present.price_of(item).filter(|price| price.removal.grace_days().is_some());
        locked.is_some_and(|locked| new.price_of(item).is_none_or(|new| new.removal != locked.removal))
    });
    let is_paid_otherwise =
        new.interval == present.interval && new.payment_schedule != present.payment_schedule;
    Ok(is_cheaper || is_shorter || is_paid_otherwise || unlocks)
}

struct Asked {
    interval: CycleLength,
    /// As before where it is not said.
    payment_schedule: Option<PaymentSchedule>,
    term_months: i32,
    seats_committed: i32,
    anchor_date: Option<NaiveDate>,
    trial_ends_on: Option<NaiveDate>,
}

fn check(new: &PutSubscription) -> Result<Asked, Error> {
    let mut checks = Checks::default();
    let interval = new.interval.parse::<CycleLength>().ok();
    let interval = checks.value(interval, "/interval", "must be month or year");
    let payment_schedule = new.payment_schedule.as_deref().map(str::parse::<PaymentSchedule>);
    let is_known = !matches!(payment_schedule, Some(Err(_)));
    checks.require(is_known, "/payment_schedule", "must be at_once or monthly");
    let payment_schedule = payment_schedule.and_then(Result::ok);
    let is_payable =
        payment_schedule != Some(PaymentSchedule::Monthly) || interval != Some(CycleLength::Month);
    checks.require(is_payable, "/payment_schedule", "monthly is for the interval year");
    let months = interval.map_or(1, CycleLength::months);
    let term_months = new.term_months.map_or(Some(months), |term| i32::try_from(term).ok());
    let term_months = term_months.filter(|term| (1..=MAX_TERM_MONTHS).contains(term) && term % months == 0);
    let detail = format_args!("must be a multiple of the interval, at most {MAX_TERM_MONTHS}");
    let term_months = checks.value(term_months, "/term_months", detail);
    let seats = new.seats_committed.unwrap_or(0);
    let seats = Some(seats)
        .filter(|seats| (0..=MAX_SEATS).contains(seats))
        .and_then(|seats| i32::try_from(seats).ok());
    let seats = checks.value(seats, "/seats_committed", format_args!("must be 0 to {MAX_SEATS}"));
    let anchor_date = new.anchor_date.as_deref().map(date);
    checks.require(anchor_date != Some(None), "/anchor_date", NOT_A_DATE);
    let trial_ends_on = new.trial_ends_on.as_deref().map(date);
    checks.require(trial_ends_on != Some(None), "/trial_ends_on", NOT_A_DATE);
    checks.done().map_err(Error::Invalid)?;
    let (Some(interval), Some(term_months), Some(seats_committed)) = (interval, term_months, seats) else {
        return Err(Error::Invalid(Vec::new()));
    };
    let (anchor_date, trial_ends_on) = (anchor_date.flatten(), trial_ends_on.flatten());
    Ok(Asked { interval, payment_schedule, term_months, seats_committed, anchor_date, trial_ends_on })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> PutSubscription {
        PutSubscription {
            price_book_id: PriceBookId::from_uuid(uuid::Uuid::nil()),
            interval: "year".into(),
            payment_schedule: None,
            term_months: None,
            seats_committed: None,
            anchor_date: None,
            trial_ends_on: None,
        }
    }

    #[test]
    fn every_mistake_is_pointed_at() {
        let good = check(&PutSubscription { anchor_date: Some("2024-02-29".into()), ..asked() }).unwrap();
        assert_eq!((good.term_months, good.seats_committed), (12, 0));
        let bad = PutSubscription {
            interval: "year".into(),
            term_months: Some(18),
            seats_committed: Some(-1),
            anchor_date: Some("2025-02-29".into()),
            ..asked()
        };
        let Err(Error::Invalid(errors)) = check(&bad) else { panic!("accepted") };
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/term_months", "/seats_committed", "/anchor_date"]);
        for text in ["2026-1-1", "1999-12-31", "2201-01-01", "+2026-01-01", "2026-01-01 ", "tomorrow", ""] {
            let bad = PutSubscription { anchor_date: Some(text.into()), ..asked() };
            assert!(check(&bad).is_err(), "{text:?}");
        }
        assert!(check(&PutSubscription { seats_committed: Some(i64::MAX), ..asked() }).is_err());
        let paid = |interval: &str, schedule: &str| {
            let payment_schedule = Some(schedule.into());
            check(&PutSubscription { interval: interval.into(), payment_schedule, ..asked() })
        };
        assert_eq!(paid("year", "monthly").unwrap().payment_schedule, Some(PaymentSchedule::Monthly));
        assert!(paid("month", "at_once").is_ok());
        for (interval, schedule) in [("month", "monthly"), ("year", "yearly"), ("year", "")] {
            assert!(paid(interval, schedule).is_err(), "{interval} {schedule}");
        }
    }
}
