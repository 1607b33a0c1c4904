//! Discounts of a subscription: a percentage or an amount for each cycle, from a day on.

pub(crate) mod store;

use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Checks, DiscountId, Money, Page};
use serde_json::{Value, json};
use tenancy::tenant::Left;
use tenancy::{Action, Ctx, TenantTx, event};

use crate::Error;
use crate::error::{NOT_A_DATE, date};
use crate::price_book::Item;
use crate::rating::{self, Percentage, UnitPrice};
use crate::subscription::{self, Subscription};

/// A discount, with the end that it has come to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discount {
    /// Its id.
    pub id: DiscountId,
    /// What documents say, in words.
    pub description: String,
    /// How much.
    pub off: Off,
    /// Of what alone; `None`: a percentage of whatever has cycles, an amount of the seats.
    pub item: Option<Item>,
    /// The first day.
    pub starts_on: NaiveDate,
    /// The day after the last; `None` if it does not end.
    pub ends_on: Option<NaiveDate>,
    /// When it was given, or its end changed, in the tenant's time.
    pub set_at: DateTime<Utc>,
}

/// How much is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// Of what is charged. Of several on one day the largest counts.
    Percentage(Percentage),
    /// For each whole interval of the price, after the percentage and never more than is charged. Several on one day add up. It includes
    /// tax where the subscription's prices do.
    Amount(Money),
}

impl Discount {
    /// Whether it has no day: it was removed before it counted.
    pub(crate) fn is_removed(&self) -> bool {
        self.ends_on.is_some_and(|end| end <= self.starts_on)
    }

    /// Whether a day is one of its.
    pub(crate) fn is_on(&self, day: NaiveDate) -> bool {
        self.starts_on <= day && self.ends_on.is_none_or(|end| day < end)
    }

    /// Whether it is off what an item costs.
    pub(crate) fn is_of(&self, item: Item) -> bool {
        match (self.item, self.off) {
            (Some(of), _) => of == item,
            (None, Off::Percentage(_)) => true,
            (None, Off::Amount(_)) => item == Item::Mailbox,
        }
    }

    /// As the rating core has it; `None` for an amount beyond what a price can say.
    pub(crate) fn rated(&self) -> Option<rating::Discount> {
        let off = match self.off {
            Off::Percentage(percentage) => rating::Off::Percentage(percentage),
            Off::Amount(amount) => {
                let minor = u64::try_from(amount.amount_minor).ok()?;
                rating::Off::Amount(UnitPrice::of_minor(minor, amount.currency)?)
            }
        };
        Some(rating::Discount { off, from: self.starts_on, until: self.ends_on })
    }
}

/// A discount as a caller gives it; checked when it is given.
#[derive(Debug, Clone, Default)]
pub struct NewDiscount {
    /// 1 to 200 characters.
    pub description: String,
    /// A decimal string above 0 and at most 100, of at most 4 decimals; or else an amount.
    pub percentage: Option<String>,
    /// In the subscription's currency, above 0.
    pub amount: Option<Money>,
    /// What it is off alone, of what the subscription's prices sell; nothing for a percentage of whatever has cycles, or an amount off the seats.
    pub item: Option<String>,
    /// A day such as 2026-01-31 that has not been billed.
    pub starts_on: String,
    /// A day after that; if not given, it does not end.
    pub ends_on: Option<String>,
}

const MAX_AMOUNT_MINOR: i64 = 100_000_000_000;
/// The most that a subscription may have had, each end counted too: all of them bear on every bill.
const MAX_ENTRIES: usize = 1000;

/// Gives a discount on days that have not been billed.
///
/// # Errors
/// [`Error::NotFound`] without a subscription; [`Error::Invalid`] for bad input, for days that have been billed and for an item
/// that is not sold then, nor by what is to hold later; [`Error::Conflict`] `too_many_discounts`.
pub async fn create(ctx: &Ctx, new: NewDiscount) -> Result<Discount, Error> {
    ctx.require(Action::SubscriptionWrite)?;
    let discount = check(ctx, new)?;
    let mut tx = ctx.begin().await?;
    let subscription = subscription::store::find_locked(&mut tx).await?.ok_or(Error::NotFound)?;
    let currency = subscription.terms.price.currency;
    if let Off::Amount(amount) = discount.off
        && amount.currency != currency
    {
        let detail = format_args!("must be {currency}, which the tenant is billed in");
        return Err(Error::invalid("/amount/currency", detail));
    }
    if let Some(item) = discount.item
        && !subscription.agreed.sells(item, discount.starts_on)
    {
        let detail =
            format_args!("must be what the subscription's price book sells, which has no price for {item}");
        return Err(Error::invalid("/item", detail));
    }
    let unbilled = unbilled_from(&mut tx, &subscription).await?;
    if discount.starts_on < unbilled {
        let detail = format_args!("must be {unbilled}, the first day that has not been billed, or later");
        return Err(Error::invalid("/starts_on", detail));
    }
    append(ctx, &mut tx, &discount, event::Kind::DiscountCreated).await?;
    tx.commit().await?;
    Ok(discount)
}

/// The discounts that the subscription has or had, in the order in which they were given.
///
/// # Errors
/// [`Error::NotFound`] without a subscription; [`Error::Tenancy`] without the right to see it.
pub async fn list(ctx: &Ctx) -> Result<Page<Discount>, Error> {
    ctx.require(Action::SubscriptionRead)?;
    let mut tx = ctx.read().await?;
    let subscription = subscription::store::find(&mut tx).await?.ok_or(Error::NotFound)?;
    Ok(Page { items: subscription.agreed.discounts().cloned().collect(), next: None })
}

/// Ends a discount on the first day that has not been billed; one that begins on that day or later is removed. Does nothing
/// to one that has ended by then.
///
/// # Errors
/// [`Error::NotFound`], for one that was removed too; [`Error::Conflict`] `too_many_discounts`.
pub async fn end(ctx: &Ctx, id: DiscountId) -> Result<(), Error> {
    ctx.require(Action::SubscriptionWrite)?;
    let mut tx = ctx.begin().await?;
    let subscription = subscription::store::find_locked(&mut tx).await?.ok_or(Error::NotFound)?;
    let found = subscription.agreed.discounts().find(|discount| discount.id == id);
    let found = found.ok_or(Error::NotFound)?;
    let unbilled = unbilled_from(&mut tx, &subscription).await?;
    let Some(ended) = ended(ctx, found, unbilled) else { return Ok(()) };
    append(ctx, &mut tx, &ended, event::Kind::DiscountEnded).await?;
    tx.commit().await?;
    Ok(())
}

/// Ends those that go on, as [`end`] does, but not before the day after the present one: what is not billed yet of the days up
/// to now was promised. The subscription's row has to be locked.
pub(crate) async fn leave(
    ctx: &Ctx,
    tx: &mut TenantTx,
    subscription: &Subscription,
) -> Result<Vec<Left>, Error> {
    let tomorrow = subscription::today(ctx).succ_opt();
    let unbilled = unbilled_from(tx, subscription).await?;
    let from = tomorrow.into_iter().fold(unbilled, NaiveDate::max);
    let mut left = Vec::new();
    for ended in subscription.agreed.discounts().filter_map(|found| ended(ctx, found, from)) {
        store::append(tx, &ended).await?;
        let mut data = told(&ended);
        data["reason"] = json!("transferred");
        left.push(Left { kind: event::Kind::DiscountEnded, subject: ended.id.to_string(), data });
    }
    Ok(left)
}

/// One that ends on a day, or on its first if that is later; `None` when it has ended by then.
fn ended(ctx: &Ctx, found: &Discount, on: NaiveDate) -> Option<Discount> {
    let end = on.max(found.starts_on);
    let goes_on = found.ends_on.is_none_or(|before| before > end);
    goes_on.then(|| Discount { ends_on: Some(end), set_at: ctx.now(), ..found.clone() })
}

/// The first day after all that has been billed: in advance, too.
async fn unbilled_from(tx: &mut TenantTx, subscription: &Subscription) -> Result<NaiveDate, Error> {
    let last_billed = subscription::store::last_boundary(tx).await?;
    let after = last_billed.and_then(|last| last.succ_opt());
    let in_advance = store::charged_until(tx).await?;
    Ok(after.into_iter().chain(in_advance).fold(subscription.starts_on(), NaiveDate::max))
}

async fn append(ctx: &Ctx, tx: &mut TenantTx, discount: &Discount, kind: event::Kind) -> Result<(), Error> {
    if store::all(tx).await?.len() >= MAX_ENTRIES {
        let detail = "the subscription has had as many discounts as it may";
        return Err(Error::Conflict { code: "too_many_discounts", detail });
    }
    store::append(tx, discount).await?;
    event::record(tx, ctx, kind, discount.id, told(discount)).await?;
    Ok(())
}

/// What events tell of one.
fn told(discount: &Discount) -> Value {
    let mut data = json!({"description": discount.description, "item": discount.item.map(Item::as_str),
        "starts_on": discount.starts_on, "ends_on": discount.ends_on});
    match discount.off {
        Off::Percentage(percentage) => data["percentage"] = json!(percentage.to_string()),
        Off::Amount(amount) => {
            data["amount"] = json!(amount);
        }
    }
    data
}

fn check(ctx: &Ctx, new: NewDiscount) -> Result<Discount, Error> {
    let mut checks = Checks::default();
    checks.name(&new.description, 200, "/description");
    let off = off(&mut checks, &new);
    let item = new.item.as_deref().map(|name| name.parse::<Item>().ok());
    let names = "must be mailbox, shared_mailbox, archive or storage, or absent";
    checks.require(item != Some(None), "/item", names);
    let starts_on = checks.value(date(&new.starts_on), "/starts_on", NOT_A_DATE);
    let ends_on = new.ends_on.as_deref().map(date);
    checks.require(ends_on != Some(None), "/ends_on", NOT_A_DATE);
    let ends_on = ends_on.flatten();
    let follows = ends_on.zip(starts_on).is_none_or(|(end, start)| start < end);
    checks.require(follows, "/ends_on", "must be after starts_on");
    checks.done().map_err(Error::Invalid)?;
    let (Some(off), Some(starts_on)) = (off, starts_on) else { return Err(Error::Invalid(Vec::new())) };
    let (description, item) = (new.description, item.flatten());
    let (id, set_at) = (ctx.env().new_id(), ctx.now());
    Ok(Discount { id, description, off, item, starts_on, ends_on, set_at })
}

fn off(checks: &mut Checks, new: &NewDiscount) -> Option<Off> {
    match (&new.percentage, new.amount) {
        (Some(text), None) => {
            let percentage =
                text.parse::<Percentage>().ok().filter(|percentage| *percentage > Percentage::ZERO);
            let detail = "must be a decimal string above 0 and at most 100, of at most 4 decimals";
            checks.value(percentage, "/percentage", detail).map(Off::Percentage)
        }
        (None, Some(amount)) => {
            let is_in_range = (1..=MAX_AMOUNT_MINOR).contains(&amount.amount_minor);
            let detail = format_args!("must be 1 to {MAX_AMOUNT_MINOR}");
            checks.require(is_in_range, "/amount/amount_minor", detail);
            Some(Off::Amount(amount))
        }
        _ => checks.value(None, "/percentage", "must be given, or amount, and not both"),
    }
}
