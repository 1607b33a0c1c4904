//! Price books: published versions of an issuer's prices, which never change.

pub(crate) mod store;
mod tariff;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{Checks, Currency, Env, Page, PageRequest, PriceBookId, PriceId, ResellerId};
use tenancy::{Action, Caller, Scope};

use crate::Error;
use crate::rating::{Interval, PriceBasis, RemovalPolicy, SuspensionPolicy, Tariff, UnitPrice};
use crate::series::{self, OPERATOR, Series};

/// A published version of an issuer's prices.
#[derive(Debug, Clone)]
pub struct PriceBook {
    /// Its id.
    pub id: PriceBookId,
    /// The issuer; `None`: the operator, who sells to resellers by it.
    pub reseller_id: Option<ResellerId>,
    /// 1, 2, … of this issuer.
    pub version: i32,
    /// What all its prices are in.
    pub currency: Currency,
    /// Whether they include tax.
    pub tax_behavior: PriceBasis,
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
    /// What so many units cost, in major units of the currency.
    pub tariff: Tariff,
    /// What it is in.
    pub currency: Currency,
    /// When a removed unit stops being charged.
    pub removal_policy: RemovalPolicy,
    /// Whether days on which the tenant is suspended are charged.
    pub suspension_policy: SuspensionPolicy,
    /// What the start of a subscription by it is charged once, in major units of the currency.
    pub setup_price: Option<UnitPrice>,
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
/// The longest grace that a lock may have.
const MAX_GRACE_DAYS: u32 = 365;

/// A price as a caller gives it; checked when it is published.
#[derive(Debug, Clone, Default)]
pub struct NewPrice {
    /// `mailbox`.
    pub item: String,
    /// `month` or `year`.
    pub interval: String,
    /// `flat`, `graduated` or `volume`.
    pub model: String,
    /// Of a flat price: a decimal string of at most 8 decimals, such as `0.14000000`, in major units.
    pub unit_price: Option<String>,
    /// Of a price by tiers: in the order of their limits.
    pub tiers: Vec<NewTier>,
    /// An ISO 4217 code; the same in all prices of a book.
    pub currency: String,
    /// `at_cycle_end` if not given, `credit_to_balance` or `locked_until_term_end`.
    pub removal_policy: Option<String>,
    /// `continue` if not given, or `pause`.
    pub suspension_policy: Option<String>,
    /// Of a lock: on how many days a unit may be removed nevertheless; 7 if not given.
    pub grace_days: Option<u32>,
    /// Of a reseller's: what the start of a subscription by it is charged once; as a unit price.
    pub setup_price: Option<String>,
}

/// A price book as a caller gives it.
#[derive(Debug, Clone, Default)]
pub struct NewPriceBook {
    /// `exclusive` if not given, or `inclusive`.
    pub tax_behavior: Option<String>,
    /// Its prices.
    pub prices: Vec<NewPrice>,
}

impl From<Vec<NewPrice>> for NewPriceBook {
    /// Tax is added to them.
    fn from(prices: Vec<NewPrice>) -> Self {
        Self { prices, ..Self::default() }
    }
}

/// A tier as a caller gives it.
#[derive(Debug, Clone, Default)]
pub struct NewTier {
    /// The last unit that belongs to it; `None` in the last tier.
    pub up_to: Option<u32>,
    /// As that of a flat price.
    pub unit_price: String,
}

/// Publishes the next version of an issuer's prices: of a reseller, or with `None` of the caller's own, which is the operator
/// for an operator.
///
/// # Errors
/// [`Error::Invalid`] for bad input, with a pointer to each mistake; [`Error::Tenancy`] for a reseller out of scope.
pub async fn publish(
    caller: &Caller,
    reseller_id: Option<ResellerId>,
    new: impl Into<NewPriceBook>,
) -> Result<PriceBook, Error> {
    caller.require(Action::PriceBookWrite)?;
    let env = caller.db().env();
    let NewPriceBook { tax_behavior, prices } = new.into();
    let tax_behavior = PriceBasis::from_name(tax_behavior.as_deref().unwrap_or("exclusive"))
        .ok_or_else(|| Error::invalid("/tax_behavior", "must be exclusive or inclusive"))?;
    let checked = check(env, &prices)?;
    let reseller_id = match (reseller_id, caller.scope()) {
        (None, Scope::Operator) => {
            let charged = checked.iter().position(|price| price.setup_price.is_some());
            if let Some(index) = charged {
                let pointer = format!("/prices/{index}/setup_price");
                return Err(Error::invalid(&pointer, "is for a reseller's prices only"));
            }
            None
        }
        (named, _) => Some(named.map_or_else(|| caller.own_reseller(), Ok)?),
    };
    if let Some(reseller_id) = reseller_id {
        caller.enter_reseller(reseller_id).await?;
    }
    let [first, ..] = checked.as_slice() else { return Err(Error::invalid("/prices", "must not be empty")) };
    let mut book = PriceBook {
        id: env.new_id(),
        reseller_id,
        version: 0,
        currency: first.currency,
        tax_behavior,
        prices: checked,
        published_at: env.now(),
    };
    let mut tx = system(caller).await?;
    let number = series::store::take(tx.conn(), reseller_id.unwrap_or(OPERATOR), Series::PriceBook).await?;
    book.version = i32::try_from(number).map_err(|_| Error::Stored("number series"))?;
    store::insert(&mut tx, &book).await?;
    tx.commit().await?;
    Ok(book)
}

/// One price book. Of the operator's, a reseller sees those that it buys by.
///
/// # Errors
/// [`Error::Tenancy`] not found, for one that does not exist and for one out of scope.
pub async fn get(caller: &Caller, id: PriceBookId) -> Result<PriceBook, Error> {
    caller.require(Action::PriceBookRead)?;
    let mut tx = system(caller).await?;
    let book = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let is_seen = match (book.reseller_id, caller.scope()) {
        (Some(issuer), _) => {
            tx.commit().await?;
            caller.enter_reseller(issuer).await.is_ok()
        }
        (None, Scope::Operator) => true,
        (None, Scope::Reseller(buyer)) => store::buys_by(&mut tx, buyer, id).await?,
        (None, Scope::Tenant(_)) => false,
    };
    if is_seen { Ok(book) } else { Err(Error::NotFound) }
}

/// The price books that the caller sees, oldest first; of the operator's, a reseller sees those that it buys by.
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
        let interval = CycleLength::from_name(&new.interval);
        let interval = checks.value(interval, &at("interval"), "must be month or year");
        let tariff = tariff::check(&mut checks, new, &at);
        let currency = new.currency.parse::<Currency>().ok();
        let currency =
            checks.value(currency, &at("currency"), "must be an ISO 4217 code that has minor units");
        let mixed = prices.first().is_some_and(|first| first.currency != new.currency);
        checks.require(!mixed, &at("currency"), "must be the same in all prices of a book");
        let policy = removal_policy(&mut checks, new, &at);
        let suspension = new.suspension_policy.as_deref();
        let suspension = suspension.map_or(Some(SuspensionPolicy::default()), SuspensionPolicy::from_name);
        let suspension = checks.value(suspension, &at("suspension_policy"), "must be continue or pause");
        let setup_price = new.setup_price.as_deref();
        let setup_price =
            setup_price.and_then(|text| tariff::unit_price(&mut checks, text, &at("setup_price")));
        if let (Some(interval), Some(tariff), Some(currency), Some(removal_policy), Some(suspension_policy)) =
            (interval, tariff, currency, policy, suspension)
        {
            let twice = "the book has another price for this item and interval";
            checks.require(seen.insert((new.item.clone(), interval)), &at("interval"), twice);
            let item = new.item.clone();
            let id = env.new_id();
            checked.push(Price {
                id,
                item,
                interval,
                tariff,
                currency,
                removal_policy,
                suspension_policy,
                setup_price,
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

fn removal_policy(checks: &mut Checks, new: &NewPrice, at: &dyn Fn(&str) -> String) -> Option<RemovalPolicy> {
    let policy =
        new.removal_policy.as_deref().map_or(Some(RemovalPolicy::default()), RemovalPolicy::from_name);
    let names = "must be at_cycle_end, credit_to_balance or locked_until_term_end";
    let policy = checks.value(policy, &at("removal_policy"), names);
    let is_some = format_args!("must be at most {MAX_GRACE_DAYS}");
    checks.require(new.grace_days.is_none_or(|days| days <= MAX_GRACE_DAYS), &at("grace_days"), is_some);
    let is_locked = policy.is_none_or(|policy| policy.grace_days().is_some());
    checks.require(
        is_locked || new.grace_days.is_none(),
        &at("grace_days"),
        "is for locked_until_term_end only",
    );
    match (policy?, new.grace_days) {
        (RemovalPolicy::LockedUntilTermEnd { .. }, Some(grace_days)) => {
            Some(RemovalPolicy::LockedUntilTermEnd { grace_days })
        }
        (policy, _) => Some(policy),
    }
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
            unit_price: Some("4.50".into()),
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
            mistakes(&[NewPrice { unit_price: Some("-1".into()), currency: "eur".into(), ..price() }]),
            ["/prices/0/unit_price", "/prices/0/currency"]
        );
        let all_wrong = NewPrice {
            item: "coffee".into(),
            interval: "week".into(),
            model: "fixed".into(),
            removal_policy: Some("never".into()),
            suspension_policy: Some("stop".into()),
            grace_days: Some(366),
            ..price()
        };
        let fields = ["item", "interval", "model", "removal_policy", "grace_days", "suspension_policy"];
        assert_eq!(mistakes(&[all_wrong]), fields.map(|field| format!("/prices/0/{field}")));
    }

    #[test]
    fn only_a_lock_has_days_of_grace() {
        let locked = NewPrice { removal_policy: Some("locked_until_term_end".into()), ..price() };
        let of = |new: &NewPrice| check(&Env::system(), std::slice::from_ref(new)).unwrap()[0].removal_policy;
        assert_eq!(of(&locked).grace_days(), Some(7));
        assert_eq!(of(&NewPrice { grace_days: Some(0), ..locked }).grace_days(), Some(0));
        assert_eq!(mistakes(&[NewPrice { grace_days: Some(7), ..price() }]), ["/prices/0/grace_days"]);
    }

    #[test]
    fn a_price_is_flat_or_has_tiers() {
        let tier = |up_to, price: &str| NewTier { up_to, unit_price: price.into() };
        let tiers = vec![tier(Some(10), "5"), tier(None, "4")];
        let tiered =
            NewPrice { model: "graduated".into(), unit_price: None, tiers: tiers.clone(), ..price() };
        assert!(matches!(
            check(&Env::system(), std::slice::from_ref(&tiered)).unwrap()[0].tariff,
            Tariff::Graduated(_)
        ));
        let volume = NewPrice { model: "volume".into(), ..tiered.clone() };
        assert!(matches!(check(&Env::system(), &[volume]).unwrap()[0].tariff, Tariff::Volume(_)));
        for (wrong, pointer) in [
            (NewPrice { tiers, ..price() }, "tiers"),
            (NewPrice { unit_price: None, ..price() }, "unit_price"),
            (NewPrice { unit_price: Some("4".into()), ..tiered.clone() }, "unit_price"),
            (NewPrice { tiers: Vec::new(), ..tiered.clone() }, "tiers"),
            (NewPrice { tiers: vec![tier(Some(10), "5")], ..tiered.clone() }, "tiers"),
            (NewPrice { tiers: vec![tier(None, "5,0")], ..tiered }, "tiers/0/unit_price"),
        ] {
            assert_eq!(mistakes(&[wrong]), [format!("/prices/0/{pointer}")]);
        }
    }
}
