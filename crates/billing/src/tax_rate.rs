//! Rates of tax: what an issuer charges in each country, and from which day on.
//!
//! They are appended. A rate holds from its day on, until one that was added later begins; so one to come can still be
//! replaced, and one that has begun never changes.

pub(crate) mod store;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use db::SystemTx;
use kernel::{Checks, Country, ResellerId};
use serde_json::json;
use tenancy::{Action, Caller};

use crate::Error;
use crate::error::{NOT_A_DATE, date};
use crate::profile;
use crate::rating::Percentage;

/// The most rates of an issuer.
const MAX_RATES: usize = 1_000;
/// How far the calendar of the easternmost zone is ahead of UTC.
const EASTERNMOST: TimeDelta = TimeDelta::hours(14);

/// A rate of tax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaxRate {
    /// Where customers are, or the issuer is, that are charged it.
    pub country: Country,
    /// 0 is taxed at the zero rate.
    pub rate: Percentage,
    /// The first day.
    pub valid_from: NaiveDate,
    /// When it was added.
    pub set_at: DateTime<Utc>,
}

/// A rate, and until when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The rate.
    pub rate: TaxRate,
    /// The first day on which another holds; `None` if none is known.
    pub valid_until: Option<NaiveDate>,
}

/// A rate as a caller adds it.
#[derive(Debug, Clone, Default)]
pub struct NewTaxRate {
    /// An ISO 3166-1 code of two letters.
    pub country: String,
    /// In per cent, a decimal string such as `19`.
    pub rate: String,
    /// A day such as 2027-01-01.
    pub valid_from: String,
}

/// Of rates in the order in which they were added, the one that holds on a day.
pub(crate) fn on(rates: &[TaxRate], country: Country, day: NaiveDate) -> Option<Percentage> {
    let found = rates.iter().rfind(|rate| rate.country == country && rate.valid_from <= day);
    found.map(|found| found.rate)
}

/// Those that hold on some day, by country and day.
fn in_force(rates: &[TaxRate]) -> Vec<Validity> {
    let mut held: Vec<TaxRate> = Vec::new();
    for rate in rates {
        held.retain(|before| before.country != rate.country || before.valid_from < rate.valid_from);
        held.push(*rate);
    }
    held.sort_by_key(|rate| (rate.country, rate.valid_from));
    let next = |at: usize| held.get(at + 1);
    let until = |at: usize, rate: &TaxRate| {
        next(at).filter(|next| next.country == rate.country).map(|next| next.valid_from)
    };
    held.iter().enumerate().map(|(at, rate)| Validity { rate: *rate, valid_until: until(at, rate) }).collect()
}

/// The rates of an issuer, a reseller or the [operator](crate::OPERATOR), that hold on some day, by country and day.
///
/// # Errors
/// [`Error::Tenancy`] without the right, and of the operator for everybody else; not found for a reseller out of scope.
pub async fn list(caller: &Caller, issuer: ResellerId) -> Result<Vec<Validity>, Error> {
    profile::enter_issuer(caller, issuer, Action::BillingProfileRead).await?;
    let mut tx = system(caller).await?;
    Ok(in_force(&store::rates(tx.conn(), issuer).await?))
}

/// Adds a rate to an issuer's. The first of a country may begin on any day; another, on one that has not begun anywhere
/// yet, so that no document has been made on it. It takes the place of those that were to begin on its day or later.
///
/// # Errors
/// As [`list`]; [`Error::Invalid`] for bad input or a day that has begun; [`Error::Conflict`] `too_many_tax_rates`.
pub async fn add(caller: &Caller, issuer: ResellerId, new: NewTaxRate) -> Result<Validity, Error> {
    let trail = profile::enter_issuer(caller, issuer, Action::BillingProfileWrite).await?;
    let now = caller.db().env().now();
    let rate = check(&new, now)?;
    let mut tx = system(caller).await?;
    profile::store::lock_issuer(&mut tx, issuer).await?;
    let rates = store::rates(tx.conn(), issuer).await?;
    if rates.len() >= MAX_RATES {
        let detail = "the issuer has as many tax rates as there may be";
        return Err(Error::Conflict { code: "too_many_tax_rates", detail });
    }
    let begun = (now + EASTERNMOST).date_naive();
    let is_first = !rates.iter().any(|before| before.country == rate.country);
    if !is_first && rate.valid_from <= begun {
        let earliest = begun.checked_add_days(Days::new(1)).unwrap_or(begun);
        let detail = format_args!("must be {earliest} or later, since the country has a rate already");
        return Err(Error::invalid("/valid_from", detail));
    }
    store::append(&mut tx, issuer, &rate).await?;
    let data = json!({"tax_rate": {"country": rate.country, "rate": rate.rate.to_string(), "valid_from": rate.valid_from}});
    profile::changed(&mut tx, caller, trail, data).await?;
    tx.commit().await?;
    Ok(Validity { rate, valid_until: None })
}

fn check(new: &NewTaxRate, now: DateTime<Utc>) -> Result<TaxRate, Error> {
    let mut checks = Checks::default();
    let country = new.country.parse::<Country>();
    let shown = country.err().map(|error| error.to_string()).unwrap_or_default();
    let country = checks.value(country.ok(), "/country", shown);
    let rate = new.rate.parse::<Percentage>();
    let shown = rate.err().map(|error| error.to_string()).unwrap_or_default();
    let rate = checks.value(rate.ok(), "/rate", shown);
    let valid_from = checks.value(date(&new.valid_from), "/valid_from", NOT_A_DATE);
    checks.done().map_err(Error::Invalid)?;
    let (Some(country), Some(rate), Some(valid_from)) = (country, rate, valid_from) else {
        return Err(Error::Invalid(Vec::new()));
    };
    Ok(TaxRate { country, rate, valid_from, set_at: now })
}

#[expect(
    clippy::disallowed_methods,
    reason = "rates of tax belong to resellers and the operator; each call has entered the one"
)]
async fn system(caller: &Caller) -> Result<SystemTx, db::Error> {
    SystemTx::begin(caller.db()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_last_holds_from_its_day_on() {
        let rate = |country: &str, rate: &str, from: &str| TaxRate {
            country: country.parse().unwrap(),
            rate: rate.parse().unwrap(),
            valid_from: from.parse().unwrap(),
            set_at: DateTime::default(),
        };
        let rates = [
            rate("DE", "19", "2007-01-01"),
            rate("FR", "20", "2014-01-01"),
            rate("DE", "25", "2027-01-01"),
            rate("DE", "21", "2026-12-01"),
        ];
        let of = |country: &str, day: &str| {
            on(&rates, country.parse().unwrap(), day.parse().unwrap()).map(|rate| rate.to_string())
        };
        assert_eq!(of("DE", "2006-12-31"), None);
        assert_eq!(of("DE", "2026-11-30").as_deref(), Some("19.0000"));
        assert_eq!(of("DE", "2026-12-01").as_deref(), Some("21.0000"));
        assert_eq!(of("DE", "2027-06-01").as_deref(), Some("21.0000"));
        assert_eq!(of("IT", "2027-06-01"), None);
        let shown: Vec<_> = in_force(&rates)
            .iter()
            .map(|held| (held.rate.rate.to_string(), held.valid_until.map(|day| day.to_string())))
            .collect();
        let expected = [("19.0000", Some("2026-12-01")), ("21.0000", None), ("20.0000", None)]
            .map(|(rate, until)| (rate.to_owned(), until.map(str::to_owned)));
        assert_eq!(shown, expected);
    }
}
