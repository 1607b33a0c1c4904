//! A tenant's subscription: which price it buys by, from when, and how many seats it has committed to.

pub(crate) mod store;

use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Checks, Currency, PriceBookId, PriceId, SubscriptionId};
use serde_json::json;
use tenancy::{Action, Ctx, event};

use crate::Error;
use crate::error::{NOT_A_DATE, date};
use crate::price_book::{CycleLength, MAILBOX};
use crate::rating::{
    Interval, RemovalPolicy, Segment, Step, SuspensionPolicy, Tariff, Terms, Timeline, local_day,
};

/// What a tenant has subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The published prices it buys by.
    pub price_book_id: PriceBookId,
    /// Their version.
    pub price_book_version: i32,
    /// How long a cycle is.
    pub interval: CycleLength,
    /// For how long it is agreed.
    pub term_months: i32,
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
    pub(crate) price: SubscribedPrice,
}

/// What of a price a subscription is rated by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscribedPrice {
    pub(crate) id: PriceId,
    pub(crate) tariff: Tariff,
    pub(crate) currency: Currency,
    pub(crate) removal: RemovalPolicy,
}

impl Subscription {
    /// The same terms from the first day on, without an end.
    pub(crate) fn timeline(&self) -> Timeline {
        let terms = Terms {
            tariff: self.price.tariff.clone(),
            interval: self.interval.interval(),
            anchor: self.anchor_date,
            term: Interval::Months(self.term_months.unsigned_abs()),
            removal: self.price.removal,
            suspension: SuspensionPolicy::Continue,
        };
        let segment = Segment { from: self.starts_on, terms: Some(terms) };
        Timeline::new(self.price.currency, vec![segment])
    }
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
/// committed seats may change; they count from the present on. Putting the same again changes nothing. A parked
/// subscription is tried again by the next run.
///
/// # Errors
/// [`Error::Invalid`] for bad input; [`Error::Conflict`] `subscription_terms_fixed` when the price book, interval,
/// term or anchor of a subscription that has been billed would change; [`tenancy::Error::VersionMismatch`] when
/// `if_version` is not the subscription's, which is 0 while there is none.
pub async fn put(ctx: &Ctx, new: PutSubscription, if_version: Option<i64>) -> Result<Subscription, Error> {
    ctx.require(Action::SubscriptionWrite)?;
    let asked = check(&new)?;
    let today = local_day(ctx.now(), ctx.time_zone());
    let mut tx = ctx.begin().await?;
    let old = store::find_locked(&mut tx).await?;
    tenancy::require_version(if_version, old.as_ref().map_or(0, |old| old.version))?;
    let price = store::price(&mut tx, new.price_book_id, asked.interval, MAILBOX).await?;
    let (price_book_version, price) = price.ok_or_else(|| {
        Error::invalid(
            "/price_book_id",
            "must be a price book of the tenant's reseller with a mailbox price for the interval",
        )
    })?;
    let currency = store::tenant_currency(&mut tx).await?;
    if price.currency != currency {
        let detail =
            format_args!("the book's prices are in {}, the tenant is billed in {currency}", price.currency);
        return Err(Error::invalid("/price_book_id", detail));
    }
    let fresh = Subscription {
        id: ctx.env().new_id(),
        price_book_id: new.price_book_id,
        price_book_version,
        interval: asked.interval,
        term_months: asked.term_months,
        seats_committed: asked.seats_committed,
        anchor_date: asked.anchor_date.unwrap_or(today),
        starts_on: today,
        status: "active".into(),
        next_invoice_on: today,
        parked_reason: None,
        version: 1,
        created_at: ctx.now(),
        price,
    };
    let is_billed = store::is_billed(&mut tx).await?;
    let subscription = match &old {
        Some(old) if is_billed => changed(old.clone(), fresh, asked.anchor_date)?,
        Some(old) => superseded(old.clone(), fresh, asked.anchor_date),
        None => fresh,
    };
    if old.as_ref() == Some(&subscription) {
        return Ok(subscription);
    }
    let subscription =
        Subscription { version: old.as_ref().map_or(1, |old| old.version + 1), ..subscription };
    store::put(&mut tx, &subscription).await?;
    if old.is_none_or(|old| old.seats_committed != subscription.seats_committed) {
        // At one instant the last that was set counts, so this replaces what was never billed.
        let at = if is_billed { ctx.now() } else { subscription.created_at };
        store::append_commitment(&mut tx, Step { at, level: subscription.seats_committed.into() }).await?;
    }
    let data = json!({"price_book_id": subscription.price_book_id, "interval": subscription.interval.as_str(),
        "term_months": subscription.term_months, "seats_committed": subscription.seats_committed});
    event::record(&mut tx, ctx, event::Kind::SubscriptionChanged, subscription.id, data).await?;
    tx.commit().await?;
    Ok(subscription)
}

/// What becomes of a subscription that has not been billed: new terms from its old first day on.
fn superseded(old: Subscription, new: Subscription, anchor: Option<NaiveDate>) -> Subscription {
    Subscription {
        id: old.id,
        anchor_date: anchor.unwrap_or(old.anchor_date),
        starts_on: old.starts_on,
        next_invoice_on: old.next_invoice_on,
        version: old.version,
        created_at: old.created_at,
        ..new
    }
}

/// What becomes of a subscription that has been billed.
fn changed(old: Subscription, new: Subscription, anchor: Option<NaiveDate>) -> Result<Subscription, Error> {
    let same_terms = old.price_book_id == new.price_book_id
        && old.interval == new.interval
        && old.term_months == new.term_months
        && anchor.is_none_or(|anchor| anchor == old.anchor_date);
    if !same_terms {
        return Err(Error::Conflict {
            code: "subscription_terms_fixed",
            detail: "the price book, interval, term and anchor date of a subscription that has been billed cannot be changed",
        });
    }
    Ok(Subscription { seats_committed: new.seats_committed, parked_reason: None, ..old })
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
