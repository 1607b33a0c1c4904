//! Price books: published versions of an issuer's prices, which never change.

mod changes_billed;
mod check;
mod item;
pub(crate) mod store;
mod tariff;

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{Currency, Page, PageRequest, PriceBookId, PriceId, ResellerId, named};
use serde_json::json;
use tenancy::{Action, Caller, Scope, event};

use crate::Error;
use crate::rating::{Interval, PriceBasis, RemovalPolicy, SuspensionPolicy, Tariff, UnitPrice};
use crate::series::{self, OPERATOR, Series};

pub use changes_billed::ChangesBilled;
pub use item::Item;

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

/// What one unit costs for one whole interval.
#[derive(Debug, Clone)]
pub struct Price {
    /// Its id.
    pub id: PriceId,
    /// What is sold.
    pub item: Item,
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
    /// What the start of a subscription by it is charged once, in major units of the currency; of seats only.
    pub setup_price: Option<UnitPrice>,
    /// When changes of a subscription by it are billed, of whatever item; a matter of its price for seats.
    pub changes_billed: ChangesBilled,
    /// Of storage, and only of that: the bytes that each seat which is charged may store for nothing.
    pub included_bytes: Option<i64>,
}

named! {
    /// How long a cycle is, as it is offered.
    CycleLength {
        /// A month.
        Month = "month",
        /// A year.
        Year = "year",
    }
}

impl CycleLength {
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

/// What of a price only a reseller's has, if it has any: the field. The operator bills days on which a tenant is suspended as
/// any others.
fn of_resellers(price: &Price) -> Option<&'static str> {
    match price {
        _ if price.setup_price.is_some() => Some("setup_price"),
        _ if price.changes_billed == ChangesBilled::Daily => Some("changes_billed"),
        _ if price.suspension_policy == SuspensionPolicy::Pause => Some("suspension_policy"),
        _ => None,
    }
}

/// A price as a caller gives it; checked when it is published.
#[derive(Debug, Clone, Default)]
pub struct NewPrice {
    /// `mailbox`, `shared_mailbox`, `archive` or `storage`.
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
    /// Of a reseller's for seats: what the start of a subscription by it is charged once; as a unit price.
    pub setup_price: Option<String>,
    /// Of a reseller's for seats: `monthly` if not given, or `daily`.
    pub changes_billed: Option<String>,
    /// Of storage, which needs it: the bytes that each seat which is charged may store for nothing.
    pub included_bytes: Option<i64>,
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
    let tax_behavior = tax_behavior
        .as_deref()
        .unwrap_or("exclusive")
        .parse::<PriceBasis>()
        .map_err(|_| Error::invalid("/tax_behavior", "must be exclusive or inclusive"))?;
    let checked = check::all(env, &prices)?;
    let reseller_id = match (reseller_id, caller.scope()) {
        (None, Scope::Operator) => {
            let mut fields = checked.iter().map(of_resellers).enumerate();
            if let Some((index, field)) = fields.find_map(|(index, field)| Some((index, field?))) {
                let pointer = format!("/prices/{index}/{field}");
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
    let trail = reseller_id.map_or(Scope::Operator, Scope::Reseller);
    let data = json!({"version": book.version, "currency": book.currency.code()});
    event::record_on(&mut tx, caller, trail, event::Kind::PriceBookPublished, book.id, data).await?;
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
            caller.enter_reseller_deleted_too(issuer).await.is_ok()
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

#[expect(
    clippy::disallowed_methods,
    reason = "price books belong to resellers; each call is bounded by a scope"
)]
async fn system(caller: &Caller) -> Result<SystemTx, db::Error> {
    SystemTx::begin(caller.db()).await
}
