//! What the operator has agreed with a reseller: by which price book it buys, and how many seats it has committed to.

pub(crate) mod store;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Months, NaiveDate, Utc};
use chrono_tz::Tz;
use db::SystemTx;
use kernel::{Checks, Currency, PriceBookId, ResellerId, WholesaleAgreementId};
use serde_json::json;
use tenancy::{Action, ResellerCtx, Scope, event};

use super::{must_be_party, system};
use crate::Error;
use crate::error::{NOT_A_DATE, date};
use crate::price_book::{CycleLength, Item};
use crate::rating::{
    Interval, PaymentSchedule, Segment, SuspensionPolicy, Tariff, Terms, Timeline, local_day,
};
use crate::subscription::SubscribedPrice;
use crate::subscription::store::Sold;

/// What a reseller buys by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// Its id.
    pub id: WholesaleAgreementId,
    /// The reseller.
    pub reseller_id: ResellerId,
    /// How documents name the operator while it has no billing profile.
    pub operator_name: String,
    /// What was agreed last; it holds from [`AgreedTerms::starts_on`] on, which may be a day to come.
    pub terms: AgreedTerms,
    /// How long a cycle is.
    pub interval: CycleLength,
    /// What every document is in.
    pub currency: Currency,
    /// Whose calendar days are counted, for all tenants.
    pub time_zone: Tz,
    /// Where cycles are counted from.
    pub anchor_date: NaiveDate,
    /// The first day that is charged.
    pub starts_on: NaiveDate,
    /// The next boundary, on which a run has something to look at.
    pub next_invoice_on: NaiveDate,
    /// Why a run could not bill it, if that is so; it is tried again once it was put again.
    pub parked_reason: Option<String>,
    /// Counts its changes.
    pub version: i64,
    pub(crate) created_at: DateTime<Utc>,
    /// What was agreed before, in that order.
    pub(crate) earlier: Vec<AgreedTerms>,
}

/// What is agreed from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedTerms {
    /// The first day.
    pub starts_on: NaiveDate,
    /// The operator's published prices that it buys by.
    pub price_book_id: PriceBookId,
    /// Their version.
    pub price_book_version: i32,
    /// For how long it is agreed.
    pub term_months: i32,
    /// The least number of seats that is charged, over all tenants.
    pub seats_committed: i32,
    /// Of a seat.
    pub(crate) price: SubscribedPrice,
    /// Of what the same book sells beside seats, for the same interval.
    pub(crate) beside: BTreeMap<Item, SubscribedPrice>,
}

impl AgreedTerms {
    /// The price of an item, if it is sold.
    pub(crate) fn price_of(&self, item: Item) -> Option<&SubscribedPrice> {
        if item == Item::Mailbox { Some(&self.price) } else { self.beside.get(&item) }
    }

    /// Whether it says the same, from whichever day on.
    fn says(&self, other: &Self) -> bool {
        (self.price.id, self.term_months, self.seats_committed)
            == (other.price.id, other.term_months, other.seats_committed)
    }
}

impl Agreement {
    /// Everything that was agreed, in that order.
    fn agreed(&self) -> impl DoubleEndedIterator<Item = &AgreedTerms> {
        self.earlier.iter().chain([&self.terms])
    }

    /// What holds on a day: of what was agreed and not given up for something else, what began last.
    pub(crate) fn terms_on(&self, day: NaiveDate) -> &AgreedTerms {
        self.agreed().rfind(|terms| terms.starts_on <= day).unwrap_or(&self.terms)
    }

    /// Whether any of its terms has a commitment.
    pub(crate) fn commits(&self) -> bool {
        self.agreed().any(|terms| terms.seats_committed > 0)
    }

    /// How many terms have been agreed.
    pub(crate) fn terms_known(&self) -> usize {
        self.earlier.len() + 1
    }

    /// As it was when only so many terms had been agreed; `None` if there are fewer.
    pub(crate) fn with_first_terms(&self, known: usize) -> Option<Self> {
        let mut earlier: Vec<AgreedTerms> = self.agreed().take(known).cloned().collect();
        let terms = earlier.pop().filter(|_| earlier.len() + 1 == known)?;
        Some(Self { terms, earlier, ..self.clone() })
    }

    /// What was ever sold.
    pub(crate) fn items(&self) -> BTreeSet<Item> {
        let beside = self.agreed().flat_map(|terms| terms.beside.keys().copied());
        beside.chain([Item::Mailbox]).collect()
    }

    /// What an item costs over time. Days on which a tenant does not count are suspended for it, and not charged.
    pub(crate) fn timeline(&self, item: Item) -> Timeline {
        let mut segments: Vec<Segment> = Vec::new();
        // What began before the first day was superseded with it.
        for terms in self.agreed().filter(|terms| terms.starts_on >= self.starts_on) {
            segments.retain(|before| before.from < terms.starts_on);
            segments.push(Segment { from: terms.starts_on, terms: self.rated(terms, item) });
        }
        Timeline::new(self.currency, segments)
    }

    /// `None` if the item is not sold.
    fn rated(&self, terms: &AgreedTerms, item: Item) -> Option<Terms> {
        let price = terms.price_of(item)?;
        Some(Terms {
            tariff: price.tariff.clone(),
            interval: self.interval.interval(),
            payment: PaymentSchedule::AtOnce,
            anchor: self.anchor_date,
            term: Interval::Months(terms.term_months.unsigned_abs()),
            removal: price.removal,
            suspension: SuspensionPolicy::Pause,
        })
    }

    /// The price behind a tariff that an item was charged at.
    pub(crate) fn price_at(&self, item: Item, tariff: &Tariff) -> Option<&SubscribedPrice> {
        self.agreed().filter_map(|terms| terms.price_of(item)).rfind(|price| price.tariff == *tariff)
    }

    /// The first day of the next cycle, or of the agreement if that is to come.
    fn next_cycle(&self, today: NaiveDate) -> Result<NaiveDate, Error> {
        let cycle = self.timeline(Item::Mailbox).cycle_at(today)?;
        Ok(cycle.map_or(self.starts_on, |cycle| cycle.charged.end()))
    }
}

/// An agreement as the operator puts it; checked when it is put.
#[derive(Debug, Clone)]
pub struct PutAgreement {
    /// How documents name the operator while it has no billing profile.
    pub operator_name: String,
    /// A price book of the operator's that has a mailbox price for the interval; its tiers are of what all tenants have.
    pub price_book_id: PriceBookId,
    /// `month` or `year`.
    pub interval: String,
    /// A multiple of the interval, at most 120; one interval if not given.
    pub term_months: Option<i64>,
    /// The least number of seats to charge over all tenants; 0 if not given.
    pub seats_committed: Option<i64>,
    /// Whose calendar days are counted; UTC if not given, for a new agreement.
    pub time_zone: Option<String>,
    /// The first day that is charged, two years from the present one at most; if not given, the present day for a new agreement.
    pub starts_on: Option<String>,
    /// Where cycles are counted from; if not given, the first day for a new agreement.
    pub anchor_date: Option<String>,
}

const MAX_SEATS: i64 = 10_000_000;
const MAX_TERM_MONTHS: i32 = 120;
/// How far from the present day the first one may be.
const MAX_AWAY: Months = Months::new(24);

/// The agreement with a reseller.
///
/// # Errors
/// [`Error::NotFound`] when there is none, and for whoever is neither the operator nor the reseller itself.
pub async fn get(ctx: &ResellerCtx) -> Result<Agreement, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleRead)?;
    let mut tx = system(ctx.db()).await?;
    store::find(&mut tx, ctx.reseller_id()).await?.ok_or(Error::NotFound)
}

/// Makes the agreement with a reseller, or changes it.
///
/// Until something has been billed, everything may change, and holds from the first day on. Afterwards price book, term
/// and commitment may: from the next cycle on, so that no day that has been billed is repriced. Putting the same again
/// changes nothing but that a parked agreement is tried again by the next run.
///
/// # Errors
/// [`Error::Invalid`] for bad input; [`Error::Conflict`] `agreement_terms_fixed` when the interval,
/// anchor, first day, time zone or currency of an agreement that has been billed would change, or the currency of one that was
/// paid for; [`Error::Tenancy`] version
/// mismatch when `if_version` is not the agreement's, which is 0 while there is none; forbidden for any but the operator.
pub async fn put(ctx: &ResellerCtx, new: PutAgreement, if_version: Option<i64>) -> Result<Agreement, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleWrite)?;
    let asked = check(&new)?;
    let mut tx = system(ctx.db()).await?;
    let old = store::find_locked(&mut tx, ctx.reseller_id()).await?;
    tenancy::require_version(if_version, old.as_ref().map_or(0, |old| old.version))?;
    let is_billed = store::is_billed(&mut tx, ctx.reseller_id()).await?;
    let sold = bought(&mut tx, new.price_book_id, asked.interval).await?;
    let zone = asked.time_zone.or(old.as_ref().map(|old| old.time_zone)).unwrap_or_default();
    let today = local_day(ctx.db().env().now(), zone);
    let starts_on = asked.starts_on.or(old.as_ref().map(|old| old.starts_on)).unwrap_or(today);
    if old.as_ref().is_none_or(|old| old.starts_on != starts_on) {
        must_be_near(starts_on, today)?;
    }
    let terms = AgreedTerms {
        starts_on,
        price_book_id: new.price_book_id,
        price_book_version: sold.version,
        term_months: asked.term_months,
        seats_committed: asked.seats_committed,
        price: sold.price,
        beside: sold.beside,
    };
    let fresh = fresh(ctx, old.as_ref(), terms, new.operator_name, zone, &asked);
    let is_moved = old.as_ref().is_some_and(|old| old.currency != fresh.currency);
    if is_moved && store::is_paid(&mut tx, ctx.reseller_id()).await? {
        return Err(Error::Conflict {
            code: "agreement_terms_fixed",
            detail: "the currency of an agreement that something was paid for cannot be changed",
        });
    }
    let agreement = match &old {
        Some(old) if is_billed => changed(old, fresh, today)?,
        Some(old) => superseded(old, fresh),
        None => fresh,
    };
    if old.as_ref().is_some_and(|old| *old == Agreement { version: old.version, ..agreement.clone() }) {
        return old.ok_or(Error::NotFound);
    }
    store::put(&mut tx, &agreement).await?;
    if old.is_none_or(|old| old.terms != agreement.terms) {
        store::append_terms(&mut tx, &agreement, ctx.db().env().now()).await?;
    }
    let trail = Scope::Reseller(agreement.reseller_id);
    // Resellers above see the trail too, and are not to know at what price.
    let data = json!({"terms_start_on": agreement.terms.starts_on, "interval": agreement.interval.as_str()});
    let kind = event::Kind::WholesaleAgreementChanged;
    event::record_on(&mut tx, ctx.caller(), trail, kind, agreement.id, data).await?;
    tx.commit().await?;
    Ok(agreement)
}

/// Every day from the first on is billed by the next run: a slip in the year shall not bill decades.
fn must_be_near(starts_on: NaiveDate, today: NaiveDate) -> Result<(), Error> {
    let (earliest, latest) = (today.checked_sub_months(MAX_AWAY), today.checked_add_months(MAX_AWAY));
    let (earliest, latest) = earliest.zip(latest).ok_or(Error::Stored("day"))?;
    if (earliest..=latest).contains(&starts_on) {
        return Ok(());
    }
    let detail = format_args!("must be {earliest} to {latest}: two years from the present day at most");
    Err(Error::invalid("/starts_on", detail))
}

/// What the operator sells by in one of its books.
async fn bought(tx: &mut SystemTx, book: PriceBookId, interval: CycleLength) -> Result<Sold, Error> {
    let detail = "must be a price book of the operator's with prices that exclude tax, and a mailbox price for the interval";
    let found = store::sold(tx, book, interval).await?;
    found.ok_or_else(|| Error::invalid("/price_book_id", detail))
}

/// An agreement as it would be if nothing had been billed by the one before, whose days and calendar it keeps unless asked for
/// others.
fn fresh(
    ctx: &ResellerCtx,
    old: Option<&Agreement>,
    terms: AgreedTerms,
    operator_name: String,
    time_zone: Tz,
    asked: &Asked,
) -> Agreement {
    let env = ctx.db().env();
    let starts_on = terms.starts_on;
    Agreement {
        id: old.map_or_else(|| env.new_id(), |old| old.id),
        reseller_id: ctx.reseller_id(),
        operator_name,
        currency: terms.price.currency,
        terms,
        interval: asked.interval,
        time_zone,
        anchor_date: asked.anchor_date.or(old.map(|old| old.anchor_date)).unwrap_or(starts_on),
        starts_on,
        next_invoice_on: starts_on,
        parked_reason: None,
        version: old.map_or(1, |old| old.version + 1),
        created_at: old.map_or_else(|| env.now(), |old| old.created_at),
        earlier: Vec::new(),
    }
}

/// What becomes of an agreement that has not been billed: what is put last, from its first day on.
fn superseded(old: &Agreement, new: Agreement) -> Agreement {
    let earlier = if new.terms == old.terms { old.earlier.clone() } else { old.agreed().cloned().collect() };
    Agreement { earlier, ..new }
}

/// What becomes of an agreement that has been billed.
fn changed(old: &Agreement, new: Agreement, today: NaiveDate) -> Result<Agreement, Error> {
    let fixed = |of: &Agreement| (of.interval, of.anchor_date, of.starts_on, of.time_zone, of.currency);
    if fixed(old) != fixed(&new) {
        return Err(Error::Conflict {
            code: "agreement_terms_fixed",
            detail: "the interval, anchor date, first day, time zone and currency of an agreement that has been billed cannot be changed",
        });
    }
    let kept = Agreement {
        operator_name: new.operator_name,
        parked_reason: None,
        version: new.version,
        ..old.clone()
    };
    if new.terms.says(&old.terms) {
        return Ok(kept);
    }
    // What holds now, put again, takes back a change that was to come.
    let starts_on = old.next_cycle(today)?;
    let terms = AgreedTerms { starts_on, ..new.terms };
    Ok(Agreement { earlier: old.agreed().cloned().collect(), terms, ..kept })
}

struct Asked {
    interval: CycleLength,
    term_months: i32,
    seats_committed: i32,
    time_zone: Option<Tz>,
    starts_on: Option<NaiveDate>,
    anchor_date: Option<NaiveDate>,
}

fn check(new: &PutAgreement) -> Result<Asked, Error> {
    let mut checks = Checks::default();
    checks.name(&new.operator_name, 200, "/operator_name");
    let interval = new.interval.parse::<CycleLength>().ok();
    let interval = checks.value(interval, "/interval", "must be month or year");
    let months = interval.map_or(1, CycleLength::months);
    let term_months = new.term_months.map_or(Some(months), |term| i32::try_from(term).ok());
    let term_months = term_months.filter(|term| (1..=MAX_TERM_MONTHS).contains(term) && term % months == 0);
    let detail = format_args!("must be a multiple of the interval, at most {MAX_TERM_MONTHS}");
    let term_months = checks.value(term_months, "/term_months", detail);
    let seats = Some(new.seats_committed.unwrap_or(0)).filter(|seats| (0..=MAX_SEATS).contains(seats));
    let seats = seats.and_then(|seats| i32::try_from(seats).ok());
    let seats = checks.value(seats, "/seats_committed", format_args!("must be 0 to {MAX_SEATS}"));
    let time_zone = new.time_zone.as_deref().map(str::parse::<Tz>);
    let is_zone = !matches!(time_zone, Some(Err(_)));
    checks.require(is_zone, "/time_zone", "must be an IANA time zone such as Europe/Berlin");
    let starts_on = new.starts_on.as_deref().map(date);
    checks.require(starts_on != Some(None), "/starts_on", NOT_A_DATE);
    let anchor_date = new.anchor_date.as_deref().map(date);
    checks.require(anchor_date != Some(None), "/anchor_date", NOT_A_DATE);
    checks.done().map_err(Error::Invalid)?;
    let (Some(interval), Some(term_months), Some(seats_committed)) = (interval, term_months, seats) else {
        return Err(Error::Invalid(Vec::new()));
    };
    Ok(Asked {
        interval,
        term_months,
        seats_committed,
        time_zone: time_zone.and_then(Result::ok),
        starts_on: starts_on.flatten(),
        anchor_date: anchor_date.flatten(),
    })
}
