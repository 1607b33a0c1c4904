//! Price books: published versions of an issuer's prices, which never change.

mod store;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{Checks, Currency, Env, Page, PageRequest, PriceBookId, PriceId, ResellerId};
use tenancy::{Action, Caller, Scope};

use crate::Error;
use crate::rating::{Interval, RemovalPolicy, UnitPrice};
use crate::series::{self, Series};

/// A published version of an issuer's prices.
#[derive(Debug, Clone)]
pub struct PriceBook {
    /// Its id.
    pub id: PriceBookId,
    /// The issuer.
    pub reseller_id: ResellerId,
    /// 1, 2, … of this issuer.
    pub version: i32,
    /// What all its prices are in.
    pub currency: Currency,
    /// The prices, as they were given.
    pub prices: Vec<Price>,
    /// When it was published.
    pub published_at: DateTime<Utc>,
}

/// What one unit costs for one whole cycle.
#[derive(Debug, Clone)]
pub struct Price {
    /// Its id.
    pub id: PriceId,
    /// What is sold: `mailbox`.
    pub item: String,
    /// How long a cycle is.
    pub interval: CycleLength,
    /// `flat`: every unit costs the same.
    pub model: String,
    /// In major units of the currency.
    pub unit_price: UnitPrice,
    /// What it is in.
    pub currency: Currency,
    /// When a removed unit stops being charged.
    pub removal_policy: RemovalPolicy,
}

/// How long a cycle is, as it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CycleLength {
    /// A month.
    Month,
    /// A year.
    Year,
}

impl CycleLength {
    /// `month` or `year`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The one with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Month, Self::Year].into_iter().find(|length| length.as_str() == name)
    }

    /// As the rating core counts it.
    pub fn interval(self) -> Interval {
        match self {
            Self::Month => Interval::MONTH,
            Self::Year => Interval::YEAR,
        }
    }

    /// 1 or 12.
    pub fn months(self) -> i32 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }
}

/// The one item that is sold so far.
pub(crate) const MAILBOX: &str = "mailbox";
const FLAT: &str = "flat";

/// A price as a caller gives it; checked when it is published.
#[derive(Debug, Clone, Default)]
pub struct NewPrice {
    /// `mailbox`.
    pub item: String,
    /// `month` or `year`.
    pub interval: String,
    /// `flat`.
    pub model: String,
    /// A decimal string of at most 8 decimals, such as `0.14000000`, in major units.
    pub unit_price: String,
    /// An ISO 4217 code; the same in all prices of a book.
    pub currency: String,
    /// Whether tiers were given, which a flat price has none of.
    pub has_tiers: bool,
    /// `at_cycle_end` if not given, or `credit_to_balance`.
    pub removal_policy: Option<String>,
}

/// Publishes the next version of an issuer's prices.
///
/// # Errors
/// [`Error::Invalid`] for bad input, with a pointer to each mistake; [`Error::Tenancy`] for a reseller out of scope.
pub async fn publish(
    caller: &Caller,
    reseller_id: Option<ResellerId>,
    prices: Vec<NewPrice>,
) -> Result<PriceBook, Error> {
    caller.require(Action::PriceBookWrite)?;
    let env = caller.db().env();
    let checked = check(env, &prices)?;
    let reseller_id = reseller_id.map_or_else(|| caller.own_reseller(), Ok)?;
    caller.enter_reseller(reseller_id).await?;
    let [first, ..] = checked.as_slice() else { return Err(Error::invalid("/prices", "must not be empty")) };
    let mut book = PriceBook {
        id: env.new_id(),
        reseller_id,
        version: 0,
        currency: first.currency,
        prices: checked,
        published_at: env.now(),
    };
    let mut tx = system(caller).await?;
    let number = series::store::take(tx.conn(), reseller_id, Series::PriceBook).await?;
    book.version = i32::try_from(number).map_err(|_| Error::Stored("number series"))?;
    store::insert(&mut tx, &book).await?;
    tx.commit().await?;
    Ok(book)
}

/// One price book.
///
/// # Errors
/// [`Error::Tenancy`] not found, for one that does not exist and for one out of scope.
pub async fn get(caller: &Caller, id: PriceBookId) -> Result<PriceBook, Error> {
    caller.require(Action::PriceBookRead)?;
    let mut tx = system(caller).await?;
    let book = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    caller.enter_reseller(book.reseller_id).await?;
    Ok(book)
}

/// The price books that the caller sees, oldest first.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see price books.
pub async fn list(caller: &Caller, page: PageRequest) -> Result<Page<PriceBook>, Error> {
    caller.require(Action::PriceBookRead)?;
    let root = match caller.scope() {
        Scope::Operator => None,
        Scope::Reseller(id) => Some(id),
        Scope::Tenant(_) => return Err(Error::NotFound),
    };
    let mut tx = system(caller).await?;
    let rows = store::list(&mut tx, root, &page).await?;
    Ok(Page::cut(rows, &page, |book| book.id.uuid()))
}

fn check(env: &Env, prices: &[NewPrice]) -> Result<Vec<Price>, Error> {
    let mut checks = Checks::default();
    checks.require((1..=100).contains(&prices.len()), "/prices", "must have 1 to 100 prices");
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for (index, new) in prices.iter().enumerate() {
        let at = |field: &str| format!("/prices/{index}/{field}");
        checks.require(new.item == MAILBOX, &at("item"), "must be mailbox");
        checks.require(new.model == FLAT, &at("model"), "must be flat");
        checks.require(!new.has_tiers, &at("tiers"), "must be empty for a flat price");
        let interval = CycleLength::from_name(&new.interval);
        let interval = checks.value(interval, &at("interval"), "must be month or year");
        let unit_price = new.unit_price.parse::<UnitPrice>();
        let shown = unit_price.err().map(|error| error.to_string()).unwrap_or_default();
        let unit_price = checks.value(unit_price.ok(), &at("unit_price"), shown);
        let currency = new.currency.parse::<Currency>().ok();
        let currency =
            checks.value(currency, &at("currency"), "must be an ISO 4217 code that has minor units");
        let mixed = prices.first().is_some_and(|first| first.currency != new.currency);
        checks.require(!mixed, &at("currency"), "must be the same in all prices of a book");
        let policy =
            new.removal_policy.as_deref().map_or(Some(RemovalPolicy::default()), RemovalPolicy::from_name);
        // A lock needs a term, which is not sold yet.
        let policy = policy.filter(|policy| !matches!(policy, RemovalPolicy::LockedUntilTermEnd { .. }));
        let policy = checks.value(policy, &at("removal_policy"), "must be at_cycle_end or credit_to_balance");
        if let (Some(interval), Some(unit_price), Some(currency), Some(removal_policy)) =
            (interval, unit_price, currency, policy)
        {
            let twice = "the book has another price for this item and interval";
            checks.require(seen.insert((new.item.clone(), interval)), &at("interval"), twice);
            let (item, model) = (new.item.clone(), new.model.clone());
            checked.push(Price {
                id: env.new_id(),
                item,
                interval,
                model,
                unit_price,
                currency,
                removal_policy,
            });
        }
    }
    checks.done().map_err(Error::Invalid)?;
    // They are read in the order of their ids: those made in one millisecond shall be in the order given, too.
    let mut ids: Vec<PriceId> = checked.iter().map(|price| price.id).collect();
    ids.sort_unstable();
    for (price, id) in checked.iter_mut().zip(ids) {
        price.id = id;
    }
    Ok(checked)
}

#[expect(
    clippy::disallowed_methods,
    reason = "price books belong to resellers; each call is bounded by a scope"
)]
async fn system(caller: &Caller) -> Result<SystemTx, db::Error> {
    SystemTx::begin(caller.db()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price() -> NewPrice {
        NewPrice {
            item: "mailbox".into(),
            interval: "month".into(),
            model: "flat".into(),
            unit_price: "4.50".into(),
            currency: "EUR".into(),
            ..NewPrice::default()
        }
    }

    fn mistakes(prices: &[NewPrice]) -> Vec<String> {
        match check(&Env::system(), prices) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_mistake_is_pointed_at() {
        let yearly = NewPrice { interval: "year".into(), ..price() };
        assert_eq!(check(&Env::system(), &[price(), yearly.clone()]).unwrap().len(), 2);
        assert_eq!(mistakes(&[]), ["/prices"]);
        assert_eq!(mistakes(&[price(), price()]), ["/prices/1/interval"]);
        assert_eq!(
            mistakes(&[price(), NewPrice { currency: "USD".into(), ..yearly.clone() }]),
            ["/prices/1/currency"]
        );
        assert_eq!(
            mistakes(&[NewPrice { unit_price: "-1".into(), currency: "eur".into(), ..price() }]),
            ["/prices/0/unit_price", "/prices/0/currency"]
        );
        let all_wrong = NewPrice {
            item: "coffee".into(),
            interval: "week".into(),
            model: "volume".into(),
            has_tiers: true,
            removal_policy: Some("locked_until_term_end".into()),
            ..price()
        };
        assert_eq!(mistakes(&[all_wrong]).len(), 5);
    }
}
