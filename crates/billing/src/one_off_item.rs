//! Charges that come once, such as an hour of work: added to a tenant's, they are on its next document.

pub(crate) mod store;

use chrono::{DateTime, NaiveDate, Utc};
use kernel::{Checks, InvoiceId, Money, OneOffItemId, Page, PageRequest};
use serde_json::{Value, json};
use tenancy::tenant::Left;
use tenancy::{Action, Ctx, TenantTx, event};

use crate::Error;
use crate::error::{NOT_A_DATE, date};
use crate::invoice::Billing;
use crate::invoice::store::unbilled;
use crate::payment::MAX_AMOUNT_MINOR;
use crate::rating::UnitPrice;
use crate::run::is_settled;
use crate::subscription;

/// A charge that comes once. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOffItem {
    /// Its id.
    pub id: OneOffItemId,
    /// What a document says, in words.
    pub description: String,
    /// How many.
    pub quantity: u32,
    /// For one; it includes tax where the subscription's prices do.
    pub unit_amount: Money,
    /// It is on the first document of this day or of a later one.
    pub bill_on: NaiveDate,
    /// That document, once it is made.
    pub invoice_id: Option<InvoiceId>,
    /// When it was added, in the tenant's time.
    pub created_at: DateTime<Utc>,
}

/// One that was added, and perhaps deleted after documents that named it had come to count as billed no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) item: OneOffItem,
    /// The last billing that knew of it.
    pub(crate) withdrawn_after: Option<Billing>,
}

impl OneOffItem {
    /// For one, as the rating core counts.
    pub(crate) fn unit_price(&self) -> Option<UnitPrice> {
        let amount_minor = u64::try_from(self.unit_amount.amount_minor).ok()?;
        UnitPrice::of_minor(amount_minor, self.unit_amount.currency)
    }
}

/// A charge that comes once as a caller gives it; checked when it is added.
#[derive(Debug, Clone)]
pub struct NewOneOffItem {
    /// 1 to 200 characters.
    pub description: String,
    /// 1 to 1,000,000.
    pub quantity: i64,
    /// For one: not negative, and in the subscription's currency. With the quantity no more than one payment may be.
    pub unit_amount: Money,
    /// A day such as 2026-01-31, which may be past; if not given, the next document's.
    pub bill_on: Option<String>,
}

const MAX_QUANTITY: u32 = 1_000_000;
const MAX_UNIT_MINOR: i64 = 100_000_000_000;
/// The most that may wait for a document, which bears them all.
const MAX_WAITING: i64 = 1000;

/// Adds a charge to what the tenant's next document has, or that of a day to come. A day that was billed stands for the
/// present one, and that for the next when it was billed itself.
///
/// # Errors
/// [`Error::Invalid`] for bad input; [`Error::Conflict`] `no_subscription` for a tenant that has none, which would get no
/// document, and `too_many_one_off_items`.
pub async fn create(ctx: &Ctx, new: NewOneOffItem) -> Result<OneOffItem, Error> {
    ctx.require(Action::SubscriptionWrite)?;
    let (quantity, asked) = check(&new)?;
    let mut tx = ctx.begin().await?;
    let subscription = subscription::store::find_locked(&mut tx).await?.ok_or(Error::Conflict {
        code: "no_subscription",
        detail: "the tenant has no subscription, and so no document to put it on",
    })?;
    let currency = subscription.terms.price.currency;
    if new.unit_amount.currency != currency {
        let detail = format_args!("must be {currency}, which the tenant is billed in");
        return Err(Error::invalid("/unit_amount/currency", detail));
    }
    if store::count_waiting(&mut tx).await? >= MAX_WAITING {
        let detail = "as many one-off items wait for a document as may";
        return Err(Error::Conflict { code: "too_many_one_off_items", detail });
    }
    let last_billed = subscription::store::last_boundary(&mut tx).await?;
    let unbilled = last_billed.and_then(|last| last.succ_opt());
    // Not on a document of before it was added, should a run be late: when runs happen makes no difference.
    let bill_on = asked.into_iter().chain(unbilled).fold(subscription::today(ctx), NaiveDate::max);
    let item = OneOffItem {
        id: ctx.env().new_id(),
        description: new.description,
        quantity,
        unit_amount: new.unit_amount,
        bill_on,
        invoice_id: None,
        created_at: ctx.now(),
    };
    store::insert(&mut tx, &item).await?;
    subscription::look_ahead(&mut tx).await?;
    event::record(&mut tx, ctx, event::Kind::OneOffItemCreated, item.id, told(&item)).await?;
    tx.commit().await?;
    Ok(item)
}

/// The tenant's charges that come once, in the order in which they were added.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see them.
pub async fn list(ctx: &Ctx, page: PageRequest) -> Result<Page<OneOffItem>, Error> {
    ctx.require(Action::SubscriptionRead)?;
    let rows = store::list(&mut *ctx.read().await?, &page).await?;
    Ok(Page::cut(rows, &page, |item| item.id.uuid()))
}

/// Deletes one that has not been billed.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] `one_off_item_billed`.
pub async fn delete(ctx: &Ctx, id: OneOffItemId) -> Result<(), Error> {
    ctx.require(Action::SubscriptionWrite)?;
    let mut tx = ctx.begin().await?;
    subscription::store::find_locked(&mut tx).await?.ok_or(Error::NotFound)?;
    let item = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    if item.invoice_id.is_some() {
        let detail = "the item is on a document, which never changes";
        return Err(Error::Conflict { code: "one_off_item_billed", detail });
    }
    remove(&mut tx, id).await?;
    subscription::look_ahead(&mut tx).await?;
    event::record(&mut tx, ctx, event::Kind::OneOffItemDeleted, id, json!({})).await?;
    tx.commit().await?;
    Ok(())
}

/// Deletes one that waits for a document. The subscription's row has to be locked.
async fn remove(tx: &mut TenantTx, id: OneOffItemId) -> Result<(), Error> {
    if store::is_named(tx, id).await? {
        // By documents that count as billed no more, and that are still verified.
        let last = unbilled::last_billing(tx).await?.ok_or(Error::Stored("billed boundary"))?;
        store::withdraw(tx, id, last).await?;
    } else {
        store::delete(tx, id).await?;
    }
    Ok(())
}

/// Deletes those that wait for a document, which another reseller would issue. The subscription's row has to be locked.
pub(crate) async fn leave(tx: &mut TenantTx) -> Result<Vec<Left>, Error> {
    let mut left = Vec::new();
    for item in waiting(tx).await? {
        remove(tx, item.id).await?;
        let mut data = told(&item);
        data["reason"] = json!("transferred");
        left.push(Left { kind: event::Kind::OneOffItemDeleted, subject: item.id.to_string(), data });
    }
    Ok(left)
}

/// Deletes those of a deleted tenant that are for a day to come: they would be billed with what is held of it. `false`: a run up to that
/// day does not bill it to its end any more, and they stay.
pub(crate) async fn settle(ctx: &Ctx, as_of: NaiveDate) -> Result<bool, Error> {
    let today = ctx.today();
    // Most have none, and then nobody waits for the subscription.
    if waiting(&mut *ctx.read().await?).await?.iter().all(|item| item.bill_on <= today) {
        return Ok(true);
    }
    let mut tx = ctx.begin().await?;
    let is_there = subscription::store::find_waiting(&mut tx).await?.is_some();
    // Now that it is held: the tenant may have been restored.
    if !is_there || !is_settled(&mut tx, ctx, as_of).await? {
        return Ok(false);
    }
    settle_in(ctx, &mut tx).await?;
    subscription::look_ahead(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// As [`settle`]; whether it stays is the caller's to say, whose the subscription's row has to be.
pub(crate) async fn settle_in(ctx: &Ctx, tx: &mut TenantTx) -> Result<(), Error> {
    let today = ctx.today();
    for item in waiting(tx).await?.into_iter().filter(|item| today < item.bill_on) {
        remove(tx, item.id).await?;
        let mut data = told(&item);
        data["reason"] = json!("tenant_deleted");
        event::record(tx, ctx, event::Kind::OneOffItemDeleted, item.id, data).await?;
    }
    Ok(())
}

/// Those that wait for a document.
async fn waiting(tx: &mut TenantTx) -> Result<Vec<OneOffItem>, Error> {
    let waits = |Added { item, withdrawn_after }| {
        (item.invoice_id.is_none() && withdrawn_after.is_none()).then_some(item)
    };
    Ok(store::all(tx).await?.into_iter().filter_map(|(_, added)| waits(added)).collect())
}

/// What events tell of one.
fn told(item: &OneOffItem) -> Value {
    json!({"description": item.description, "quantity": item.quantity, "unit_amount": item.unit_amount, "bill_on": item.bill_on})
}

fn check(new: &NewOneOffItem) -> Result<(u32, Option<NaiveDate>), Error> {
    let mut checks = Checks::default();
    checks.name(&new.description, 200, "/description");
    let quantity = u32::try_from(new.quantity).ok().filter(|count| (1..=MAX_QUANTITY).contains(count));
    let quantity = checks.value(quantity, "/quantity", format_args!("must be 1 to {MAX_QUANTITY}"));
    let is_in_range = (0..=MAX_UNIT_MINOR).contains(&new.unit_amount.amount_minor);
    let detail = format_args!("must be 0 to {MAX_UNIT_MINOR}: what is given back is a discount");
    checks.require(is_in_range, "/unit_amount/amount_minor", detail);
    let comes_to = quantity.map(|count| i128::from(count) * i128::from(new.unit_amount.amount_minor));
    let is_payable = !is_in_range || comes_to.is_none_or(|minor| minor <= i128::from(MAX_AMOUNT_MINOR));
    let detail = format_args!(
        "must come to {MAX_AMOUNT_MINOR} at most, times the quantity: the most that one payment may be"
    );
    checks.require(is_payable, "/unit_amount/amount_minor", detail);
    let bill_on = new.bill_on.as_deref().map(date);
    checks.require(bill_on != Some(None), "/bill_on", NOT_A_DATE);
    checks.done().map_err(Error::Invalid)?;
    Ok((quantity.ok_or(Error::Invalid(Vec::new()))?, bill_on.flatten()))
}
