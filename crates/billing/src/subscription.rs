//! A tenant's subscription: which price it buys by, from when, and how many seats it has committed to.

pub(crate) mod store;

use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Checks, Currency, PriceBookId, PriceId, SubscriptionId};
use serde_json::json;
use tenancy::{Action, Ctx, TenantTx, event, seats};

use crate::Error;
use crate::error::{NOT_A_DATE, date};
use crate::price_book::{CycleLength, MAILBOX};
use crate::rating::{
    CycleState, Interval, PriceBasis, RemovalPolicy, Segment, Share, Step, SuspensionPolicy, Tariff, Terms,
    Timeline, local_day,
};
use crate::run::opened;

/// What a tenant has subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// What was agreed last; it holds from [`AgreedTerms::starts_on`] on, which may be a day to come.
    pub terms: AgreedTerms,
    /// How long a cycle is.
    pub interval: CycleLength,
    /// The least number of seats that is charged.
    pub seats_committed: i32,
    /// Where cycles are counted from.
    pub anchor_date: NaiveDate,
    /// The first day that is charged.
    pub starts_on: NaiveDate,
    /// `active`.
    pub status: String,
    /// The next boundary, on which a run has something to look at.
    pub next_invoice_on: NaiveDate,
    /// Why a run could not bill it, if that is so; it is tried again by a run that names the tenant.
    pub parked_reason: Option<String>,
    /// Counts its changes.
    pub version: i64,
    /// When it was put for the first time, in the tenant's time.
    created_at: DateTime<Utc>,
    /// What was agreed before, in that order.
    earlier: Vec<AgreedTerms>,
}

impl Subscription {
    /// Everything that was agreed, in that order.
    fn agreed(&self) -> impl DoubleEndedIterator<Item = &AgreedTerms> {
        self.earlier.iter().chain([&self.terms])
    }

    /// What holds on a day: of what was agreed and not given up for something else, what began last.
    fn terms_on(&self, day: NaiveDate) -> &AgreedTerms {
        self.agreed().rfind(|terms| terms.starts_on <= day).unwrap_or(&self.terms)
    }

    /// As it was when only so many terms had been agreed; `None` if there are fewer.
    pub(crate) fn with_first_terms(&self, known: usize) -> Option<Self> {
        let mut earlier: Vec<AgreedTerms> = self.agreed().take(known).cloned().collect();
        let terms = earlier.pop().filter(|_| earlier.len() + 1 == known)?;
        Some(Self { terms, earlier, ..self.clone() })
    }

    /// What the seats cost over time.
    pub(crate) fn timeline(&self) -> Timeline {
        let mut segments: Vec<Segment> = Vec::new();
        for terms in self.agreed() {
            segments.retain(|before| before.from < terms.starts_on);
            segments.push(Segment {
                from: terms.starts_on,
                terms: Some(self.rated(terms, self.interval.interval())),
            });
        }
        Timeline::new(self.terms.price.currency, segments)
    }

    fn rated(&self, terms: &AgreedTerms, interval: Interval) -> Terms {
        Terms {
            tariff: terms.price.tariff.clone(),
            interval,
            anchor: self.anchor_date,
            term: terms.term(),
            removal: terms.price.removal,
            suspension: SuspensionPolicy::Continue,
        }
    }

    /// The end of the term that a day belongs to: terms follow each other from the anchor on, as cycles do.
    fn term_end(&self, day: NaiveDate) -> Result<NaiveDate, Error> {
        let terms = self.terms_on(day);
        let terms = Some(self.rated(terms, terms.term()));
        let whole_terms =
            Timeline::new(self.terms.price.currency, vec![Segment { from: self.starts_on, terms }]);
        Ok(whole_terms.cycle_at(day)?.ok_or(Error::Stored("term"))?.charged.end())
    }

    /// The price behind a tariff that something was charged at.
    pub(crate) fn price_at(&self, tariff: &Tariff) -> Option<&SubscribedPrice> {
        self.agreed().map(|terms| &terms.price).rfind(|price| price.tariff == *tariff)
    }
}

/// What is agreed from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedTerms {
    /// The first day.
    pub starts_on: NaiveDate,
    /// The published prices it buys by.
    pub price_book_id: PriceBookId,
    /// Their version.
    pub price_book_version: i32,
    /// For how long it is agreed.
    pub term_months: i32,
    pub(crate) price: SubscribedPrice,
}

impl AgreedTerms {
    fn term(&self) -> Interval {
        Interval::Months(self.term_months.unsigned_abs())
    }

    /// Whether it says the same, from whichever day on.
    fn says(&self, other: &Self) -> bool {
        (self.price.id, self.term_months) == (other.price.id, other.term_months)
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
}

/// A subscription as a caller puts it; checked when it is put.
#[derive(Debug, Clone)]
pub struct PutSubscription {
    /// A price book of the tenant's reseller, in the tenant's currency, that has a price for the interval.
    pub price_book_id: PriceBookId,
    /// `month` or `year`.
    pub interval: String,
    /// A multiple of the interval, at most 120; one interval if not given.
    pub term_months: Option<i64>,
    /// The least number of seats to charge; 0 if not given.
    pub seats_committed: Option<i64>,
    /// A day such as 2026-01-31; if not given, the anchor stays, and a new subscription's is the tenant's present day.
    pub anchor_date: Option<String>,
}

const MAX_SEATS: i64 = 1_000_000;
const MAX_TERM_MONTHS: i32 = 120;

/// The tenant's subscription.
///
/// # Errors
/// [`Error::NotFound`] when it has none.
pub async fn get(ctx: &Ctx) -> Result<Subscription, Error> {
    ctx.require(Action::SubscriptionRead)?;
    let mut tx = ctx.begin().await?;
    store::find(&mut tx).await?.ok_or(Error::NotFound)
}

/// Subscribes the tenant from its present day on, or changes its subscription.
///
/// Until something has been billed, everything may change but the first day: what is put last holds from that day
/// on, as if it had been put then, so that no day is lost and none is charged by what was superseded. Afterwards the
/// committed seats may change, from the present on; and price and term: from the present day on when the seats come to no
/// less, the term is no shorter and no lock is lifted, else from the end of the term on. Putting the same again changes nothing. A parked
/// subscription is tried again by the next run.
///
/// # Errors
/// [`Error::Invalid`] for bad input, and prices of the other tax behavior than has been billed by; [`Error::Conflict`] `subscription_terms_fixed` when the interval or anchor of a
/// subscription that has been billed would change; [`tenancy::Error::VersionMismatch`] when `if_version` is not the
/// subscription's, which is 0 while there is none.
pub async fn put(ctx: &Ctx, new: PutSubscription, if_version: Option<i64>) -> Result<Subscription, Error> {
    ctx.require(Action::SubscriptionWrite)?;
    let asked = check(&new)?;
    let mut tx = ctx.begin().await?;
    let old = store::find_locked(&mut tx).await?;
    tenancy::require_version(if_version, old.as_ref().map_or(0, |old| old.version))?;
    let fresh = fresh(ctx, &mut tx, new.price_book_id, &asked).await?;
    let is_billed = store::is_billed(&mut tx).await?;
    let subscription = match &old {
        Some(old) if is_billed => {
            let units = units(ctx, &mut tx).await?.max(i64::from(fresh.seats_committed));
            changed(old.clone(), fresh, asked.anchor_date, units)?
        }
        Some(old) => superseded(old.clone(), fresh, asked.anchor_date),
        None => fresh,
    };
    if old.as_ref() == Some(&subscription) {
        return Ok(subscription);
    }
    let subscription =
        Subscription { version: old.as_ref().map_or(1, |old| old.version + 1), ..subscription };
    store::put(&mut tx, &subscription).await?;
    if old.as_ref().is_none_or(|old| old.terms != subscription.terms) {
        store::append_terms(&mut tx, &subscription.terms, ctx.now()).await?;
    }
    if old.is_none_or(|old| old.seats_committed != subscription.seats_committed) {
        // At one instant the last that was set counts, so this replaces what was never billed.
        let at = if is_billed { ctx.now() } else { subscription.created_at };
        store::append_commitment(&mut tx, Step { at, level: subscription.seats_committed.into() }).await?;
    }
    let terms = &subscription.terms;
    let data = json!({"price_book_id": terms.price_book_id, "interval": subscription.interval.as_str(),
        "term_months": terms.term_months, "terms_start_on": terms.starts_on,
        "seats_committed": subscription.seats_committed});
    event::record(&mut tx, ctx, event::Kind::SubscriptionChanged, subscription.id, data).await?;
    tx.commit().await?;
    Ok(subscription)
}

/// A subscription from the present day on.
async fn fresh(
    ctx: &Ctx,
    tx: &mut TenantTx,
    price_book_id: PriceBookId,
    asked: &Asked,
) -> Result<Subscription, Error> {
    let today = local_day(ctx.now(), ctx.time_zone());
    let price = store::price(tx, price_book_id, asked.interval, MAILBOX).await?;
    let (price_book_version, price) = price.ok_or_else(|| {
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
    let term_months = asked.term_months;
    Ok(Subscription {
        id: ctx.env().new_id(),
        terms: AgreedTerms { starts_on: today, price_book_id, price_book_version, term_months, price },
        interval: asked.interval,
        seats_committed: asked.seats_committed,
        anchor_date: asked.anchor_date.unwrap_or(today),
        starts_on: today,
        status: "active".into(),
        next_invoice_on: today,
        parked_reason: None,
        version: 1,
        created_at: ctx.now(),
        earlier: Vec::new(),
    })
}

/// How many units a change of the price is to be judged by: those in use and those that are charged on the present day though
/// they are used no more; at least one. Otherwise who removes everybody for a moment would escape what was agreed.
async fn units(ctx: &Ctx, tx: &mut TenantTx) -> Result<i64, Error> {
    let used: i64 = seats::changes(tx, ctx.now()).await?.iter().map(|change| i64::from(change.delta)).sum();
    let today = local_day(ctx.now(), ctx.time_zone());
    let charged = opened(tx, None).await?.iter().flat_map(CycleState::quantities).collect::<Vec<_>>();
    let held = charged.iter().filter(|(day, _)| *day == today).map(|(_, units)| *units).max();
    Ok(used.max(held.unwrap_or(0)).max(1))
}

/// What becomes of a subscription that has not been billed: new terms from its old first day on.
fn superseded(old: Subscription, new: Subscription, anchor: Option<NaiveDate>) -> Subscription {
    let terms = AgreedTerms { starts_on: old.starts_on, ..new.terms };
    let earlier =
        if terms == old.terms { old.earlier } else { old.earlier.into_iter().chain([old.terms]).collect() };
    Subscription {
        id: old.id,
        terms,
        anchor_date: anchor.unwrap_or(old.anchor_date),
        starts_on: old.starts_on,
        next_invoice_on: old.next_invoice_on,
        version: old.version,
        created_at: old.created_at,
        earlier,
        ..new
    }
}

/// What becomes of a subscription that has been billed, with so many units in force. `new` starts on the present day.
fn changed(
    old: Subscription,
    new: Subscription,
    anchor: Option<NaiveDate>,
    units: i64,
) -> Result<Subscription, Error> {
    if old.interval != new.interval || anchor.is_some_and(|anchor| anchor != old.anchor_date) {
        return Err(Error::Conflict {
            code: "subscription_terms_fixed",
            detail: "the interval and the anchor date of a subscription that has been billed cannot be changed",
        });
    }
    // A document's lines are all net or all gross.
    if old.terms.price.basis != new.terms.price.basis {
        let detail = "must have the tax behavior of the prices that the subscription has been billed by";
        return Err(Error::invalid("/price_book_id", detail));
    }
    let old = Subscription { seats_committed: new.seats_committed, parked_reason: None, ..old };
    if new.terms.says(&old.terms) {
        return Ok(old);
    }
    let today = new.terms.starts_on;
    let present = old.terms_on(today);
    let cost = |terms: &AgreedTerms| terms.price.tariff.cost(Share::from(i128::from(units)));
    let is_less = cost(&new.terms)? < cost(present)? || new.terms.term_months < present.term_months;
    let removal = present.price.removal;
    let unlocks = removal.grace_days().is_some() && new.terms.price.removal != removal;
    let waits = (is_less || unlocks) && !new.terms.says(present);
    let starts_on = if waits { old.term_end(today)? } else { today };
    let terms = AgreedTerms { starts_on, ..new.terms };
    Ok(Subscription { earlier: old.agreed().cloned().collect(), terms, ..old })
}

struct Asked {
    interval: CycleLength,
    term_months: i32,
    seats_committed: i32,
    anchor_date: Option<NaiveDate>,
}

fn check(new: &PutSubscription) -> Result<Asked, Error> {
    let mut checks = Checks::default();
    let interval = checks.value(CycleLength::from_name(&new.interval), "/interval", "must be month or year");
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
    checks.done().map_err(Error::Invalid)?;
    let (Some(interval), Some(term_months), Some(seats_committed)) = (interval, term_months, seats) else {
        return Err(Error::Invalid(Vec::new()));
    };
    Ok(Asked { interval, term_months, seats_committed, anchor_date: anchor_date.flatten() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> PutSubscription {
        PutSubscription {
            price_book_id: PriceBookId::from_uuid(uuid::Uuid::nil()),
            interval: "year".into(),
            term_months: None,
            seats_committed: None,
            anchor_date: None,
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
    }
}
