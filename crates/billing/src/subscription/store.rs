//! SQL of subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use db::SystemTx;
use kernel::{Currency, PriceBookId, ResellerId, SubscriptionId, TenantId};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::{OfTenants, TenantTx, standing};
use uuid::Uuid;

use super::{AgreedTerms, Agreements, Beside, Entry, StoredPrice, SubscribedPrice, Subscription};
use crate::Error;
use crate::by_tenant::by_tenant;
use crate::invoice::store::unbilled;
use crate::price_book::store::{changes_billed, item, setup_price};
use crate::price_book::{ChangesBilled, CycleLength, Item};
use crate::rating::{Step, UnitPrice};
use crate::{discount, one_off_item};

struct Row {
    tenant_id: Uuid,
    id: Uuid,
    seats_committed: i32,
    starts_on: NaiveDate,
    trial_ends_on: Option<NaiveDate>,
    next_invoice_on: Option<NaiveDate>,
    parked_reason: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
    bills_again: bool,
    has_one_off_items: bool,
    has_discounts: bool,
}

/// The tenant's subscription, with all that was agreed.
pub(crate) async fn find(tx: &mut TenantTx) -> Result<Option<Subscription>, Error> {
    Ok(all(tx).await?.into_values().next())
}

/// The subscription of each tenant that has one, with all that was agreed.
pub(crate) async fn all(tx: &mut impl OfTenants) -> Result<BTreeMap<TenantId, Subscription>, Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query_as!(
        Row,
        r#"select tenant_id, id, seats_committed, starts_on, trial_ends_on, next_invoice_on, parked_reason, version, created_at,
             bills_again,
             exists (select from one_off_items o where o.tenant_id = s.tenant_id) as "has_one_off_items!",
             exists (select from subscription_discounts d where d.tenant_id = s.tenant_id) as "has_discounts!"
           from subscriptions s where tenant_id = any ($1)"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    if rows.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut entries = entries(tx).await?;
    let mut standings = by_tenant(standing::changes_of(tx).await?);
    // Most have none of these: a run asks no more than it has to.
    let have_discounts = rows.iter().any(|row| row.has_discounts);
    let mut discounts = by_tenant(if have_discounts { discount::store::all(tx).await? } else { Vec::new() });
    let have_items = rows.iter().any(|row| row.has_one_off_items);
    let mut items = by_tenant(if have_items { one_off_item::store::all(tx).await? } else { Vec::new() });
    let mut all = BTreeMap::new();
    for row in rows {
        let tenant_id = TenantId::from_uuid(row.tenant_id);
        let Some(entries) = entries.remove(&tenant_id) else { continue };
        let beside = Beside {
            standings: standings.remove(&tenant_id).unwrap_or_default(),
            discounts: discounts.remove(&tenant_id).unwrap_or_default(),
            one_off_items: items.remove(&tenant_id).unwrap_or_default(),
        };
        let put_at = put_at(&entries);
        let entries = entries.into_iter().map(|(entry, _)| entry).collect();
        let agreed = Agreements::new(row.starts_on, row.trial_ends_on, entries)?.beside(beside);
        let subscription = Subscription {
            id: SubscriptionId::from_uuid(row.id),
            terms: agreed.terms()?.clone(),
            seats_committed: row.seats_committed,
            next_invoice_on: row.next_invoice_on,
            parked_reason: row.parked_reason,
            version: row.version,
            agreed,
            bills_again: row.bills_again,
            created_at: row.created_at,
            put_at,
        };
        all.insert(tenant_id, subscription);
    }
    Ok(all)
}

/// When the terms that begin on a day, and hold, were put for the first time.
fn put_at(entries: &[(Entry, DateTime<Utc>)]) -> BTreeMap<NaiveDate, DateTime<Utc>> {
    let mut put_at = BTreeMap::new();
    entries.iter().for_each(|(entry, at)| note(&mut put_at, entry, *at));
    put_at
}

/// Has an entry that was put at a moment in [`put_at`].
pub(super) fn note(put_at: &mut BTreeMap<NaiveDate, DateTime<Utc>>, entry: &Entry, at: DateTime<Utc>) {
    match entry {
        Entry::Terms(terms) => {
            put_at.retain(|day, _| *day <= terms.starts_on);
            put_at.entry(terms.starts_on).or_insert(at);
        }
        Entry::End(end) => put_at.retain(|day, _| day < end),
    }
}

/// Everything that was agreed with each tenant, in that order, and when.
async fn entries(tx: &mut impl OfTenants) -> Result<BTreeMap<TenantId, Vec<(Entry, DateTime<Utc>)>>, Error> {
    let tenants = tx.tenant_ids();
    let ends = sqlx::query!(
        "select tenant_id, ordinal, starts_on, set_at from subscription_terms where tenant_id = any ($1) and price_id is null",
        &tenants
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let rows = sqlx::query!(
        r#"select s.tenant_id, s.ordinal, s.starts_on, s.set_at, s.term_months as "term_months!", s.anchor_date as "anchor_date!",
             s.price_book_id as "book_id!", s.payment_schedule, p."interval"
           from subscription_terms s join prices p on p.price_book_id = s.price_book_id and p.id = s.price_id
           where s.tenant_id = any ($1)"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let books: BTreeSet<PriceBookId> = rows.iter().map(|row| PriceBookId::from_uuid(row.book_id)).collect();
    let sold = sold(tx.conn(), &books.into_iter().collect::<Vec<_>>()).await?;
    let mut entries = Vec::new();
    for row in rows {
        let price_book_id = PriceBookId::from_uuid(row.book_id);
        let interval = row.interval.parse::<CycleLength>().map_err(|_| Error::Stored("interval"))?;
        let sold = sold.get(&(price_book_id, interval)).cloned().ok_or(Error::Stored("price"))?;
        let terms = AgreedTerms {
            starts_on: row.starts_on,
            price_book_id,
            price_book_version: sold.version,
            interval,
            payment_schedule: row.payment_schedule.parse().map_err(|_| Error::Stored("payment schedule"))?,
            term_months: row.term_months,
            anchor_date: row.anchor_date,
            price: sold.price,
            beside: sold.beside,
            setup_price: sold.setup_price,
            changes_billed: sold.changes_billed,
        };
        entries.push((row.tenant_id, row.ordinal, (Entry::Terms(terms), row.set_at)));
    }
    let end = |of: NaiveDate, at: DateTime<Utc>| (Entry::End(of), at);
    entries.extend(ends.into_iter().map(|row| (row.tenant_id, row.ordinal, end(row.starts_on, row.set_at))));
    entries.sort_by_key(|(tenant_id, ordinal, _)| (*tenant_id, *ordinal));
    Ok(by_tenant(entries.into_iter().map(|(id, _, entry)| (TenantId::from_uuid(id), entry))))
}

/// What a book sells for an interval.
#[derive(Debug, Clone)]
pub(crate) struct Sold {
    /// The book's.
    pub(crate) version: i32,
    /// A seat.
    pub(crate) price: SubscribedPrice,
    /// What a start is charged once.
    pub(super) setup_price: Option<UnitPrice>,
    pub(super) changes_billed: ChangesBilled,
    pub(crate) beside: BTreeMap<Item, SubscribedPrice>,
}

/// What each of some books sells for each interval that it has seats for, of those that the transaction sees.
pub(crate) async fn sold(
    conn: &mut PgConnection,
    books: &[PriceBookId],
) -> Result<BTreeMap<(PriceBookId, CycleLength), Sold>, Error> {
    let asked: Vec<Uuid> = books.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select b.id as book_id, b.version, b.currency, b.tax_behavior, p.item, p.id, p."interval", p.model, p.unit_price::text,
             p.tier_limits as "tier_limits: Vec<Option<i32>>", p.tier_prices::text[] as "tier_prices!", p.removal_policy,
             p.grace_days, p.suspension_policy, p.setup_price::text, p.changes_billed, p.included_bytes
           from price_books b join prices p on p.price_book_id = b.id
           where b.id = any ($1)"#,
        &asked
    )
    .fetch_all(conn)
    .await
    .map_err(db::Error::from)?;
    let (mut seats, mut beside) = (Vec::new(), BTreeMap::<_, BTreeMap<Item, SubscribedPrice>>::new());
    for row in rows {
        let price = SubscribedPrice::try_from(StoredPrice {
            id: row.id,
            currency: &row.currency,
            tax_behavior: &row.tax_behavior,
            model: &row.model,
            unit_price: row.unit_price.as_deref(),
            tier_limits: &row.tier_limits,
            tier_prices: &row.tier_prices,
            removal_policy: &row.removal_policy,
            grace_days: row.grace_days,
            suspension_policy: &row.suspension_policy,
            included_bytes: row.included_bytes,
        })?;
        let interval = row.interval.parse::<CycleLength>().map_err(|_| Error::Stored("interval"))?;
        let key = (PriceBookId::from_uuid(row.book_id), interval);
        match item(&row.item)? {
            Item::Mailbox => {
                let setup_price = setup_price(row.setup_price.as_deref())?;
                let changes_billed = changes_billed(&row.changes_billed)?;
                let beside = BTreeMap::new();
                seats.push((key, Sold { version: row.version, price, setup_price, changes_billed, beside }));
            }
            item => _ = beside.entry(key).or_default().insert(item, price),
        }
    }
    let sold = seats
        .into_iter()
        .map(|(key, of_seats)| (key, Sold { beside: beside.remove(&key).unwrap_or_default(), ..of_seats }));
    Ok(sold.collect())
}

/// As [`find`], keeping runs and other writers away until the transaction ends; two that subscribe for the first
/// time meet at the tenant's row.
pub(crate) async fn find_locked(tx: &mut TenantTx) -> Result<Option<Subscription>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    tenancy::tenant::lock(tx).await?;
    sqlx::query!("select id from subscriptions where tenant_id = $1 for update", tenant_id)
        .fetch_optional(tx.conn())
        .await
        .map_err(db::Error::from)?;
    find(tx).await
}

/// As [`find_locked`], but `None` as well when somebody holds it, or the tenant.
pub(super) async fn find_if_free(tx: &mut TenantTx) -> Result<Option<Subscription>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let locked = sqlx::query!(
        "select s.id from subscriptions s join tenants t on t.id = s.tenant_id
         where s.tenant_id = $1 for key share of t skip locked for update of s skip locked",
        tenant_id
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    if locked.is_none() {
        return Ok(None);
    }
    find(tx).await
}

/// As [`find_if_free`], but waits for whoever holds it: no longer than half a minute, after which it is an error.
pub(crate) async fn find_waiting(tx: &mut TenantTx) -> Result<Option<Subscription>, Error> {
    db::wait_half_a_minute(tx.conn()).await?;
    unbilled::hold(tx).await?;
    db::wait_without_end(tx.conn()).await?;
    find(tx).await
}

pub(super) async fn tenant_currency(tx: &mut TenantTx) -> Result<Currency, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let code = sqlx::query_scalar!("select currency from tenants where id = $1", tenant_id)
        .fetch_one(tx.conn())
        .await
        .map_err(db::Error::from)?;
    code.parse().map_err(|_| Error::Stored("currency"))
}

/// Whether the subscription has taken account of all standings.
pub(crate) async fn standings_are_known(tx: &mut TenantTx) -> Result<bool, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let known = sqlx::query_scalar!(
        r#"select standings_known = (select count(*) from tenant_standings where tenant_id = $1) as "known!"
           from subscriptions where tenant_id = $1"#,
        tenant_id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(known)
}

/// The last boundary that was billed; of before boundaries were recorded, by the days that they covered.
pub(crate) async fn last_boundary(tx: &mut TenantTx) -> Result<Option<NaiveDate>, db::Error> {
    Ok(last_boundaries(tx).await?.into_values().next())
}

/// The last boundary that was billed of each tenant that has one.
pub(crate) async fn last_boundaries(
    tx: &mut impl OfTenants,
) -> Result<BTreeMap<TenantId, NaiveDate>, db::Error> {
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!(
        r#"select of.tenant_id as "tenant_id!", last.boundary from unnest($1::uuid[]) of (tenant_id),
           lateral (select greatest((select max(boundary) from billed_boundaries b where b.tenant_id = of.tenant_id),
             (select max(case kind when 'cycle' then starts_on else upper(days) end) from billing_coverage c
              where c.tenant_id = of.tenant_id)) as boundary) last"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await?;
    let last = |row: (Uuid, Option<NaiveDate>)| Some((TenantId::from_uuid(row.0), row.1?));
    Ok(rows.into_iter().filter_map(|row| last((row.tenant_id, row.boundary))).collect())
}

/// Writes all of it but what was agreed; it is parked no more.
pub(super) async fn put(tx: &mut TenantTx, new: &Subscription) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into subscriptions (tenant_id, id, seats_committed, starts_on, trial_ends_on, next_invoice_on, version, created_at,
           standings_known)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict on constraint subscriptions_one_a_tenant do update set
           seats_committed = excluded.seats_committed, trial_ends_on = excluded.trial_ends_on,
           next_invoice_on = excluded.next_invoice_on, version = excluded.version,
           standings_known = excluded.standings_known, parked_at = null, parked_reason = null",
        tenant_id,
        new.id.uuid(),
        new.seats_committed,
        new.starts_on(),
        new.trial_ends_on(),
        new.next_invoice_on,
        new.version,
        new.created_at,
        i64::try_from(new.agreed.standings_known()).unwrap_or(i64::MAX),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Lets the next run try what is parked of an issuer's tenants; locks it in the order of their ids, as whoever locks many does.
pub(crate) async fn unpark_of(tx: &mut SystemTx, issuer: ResellerId) -> Result<(), db::Error> {
    sqlx::query!(
        "with parked as materialized (
           select tenant_id from subscriptions
           where parked_at is not null and tenant_id in (select id from tenants where reseller_id = $1)
           order by tenant_id for no key update)
         update subscriptions set parked_at = null, parked_reason = null, version = version + 1
         from parked where subscriptions.tenant_id = parked.tenant_id",
        issuer.uuid()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The subscription's row has to be locked.
pub(super) async fn append_entry(
    tx: &mut TenantTx,
    entry: &Entry,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (starts_on, terms) = match entry {
        Entry::Terms(terms) => (terms.starts_on, Some(terms)),
        Entry::End(day) => (*day, None),
    };
    let payment_schedule = terms.map(|terms| terms.payment_schedule).unwrap_or_default();
    sqlx::query!(
        "insert into subscription_terms (tenant_id, ordinal, starts_on, price_book_id, price_id, term_months, anchor_date, set_at,
           payment_schedule)
         select $1, coalesce(max(ordinal), 0) + 1, $2, $3, $4, $5, $6, $7, $8 from subscription_terms where tenant_id = $1",
        tenant_id,
        starts_on,
        terms.map(|terms| terms.price_book_id.uuid()),
        terms.map(|terms| terms.price.id.uuid()),
        terms.map(|terms| terms.term_months),
        terms.map(|terms| terms.anchor_date),
        now,
        payment_schedule.as_str()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Never before what was set earlier, should the clock step back.
pub(super) async fn append_commitment(tx: &mut TenantTx, step: Step) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let level = i32::try_from(step.level).map_err(|_| Error::Stored("commitment"))?;
    sqlx::query!(
        "insert into seat_commitments (tenant_id, ordinal, at, seats_committed)
         select $1, coalesce(max(ordinal), 0) + 1, greatest($2, max(at)), $3 from seat_commitments where tenant_id = $1",
        tenant_id,
        step.at,
        level
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// Every committed minimum that was set, in the order in which they were.
pub(crate) async fn commitments(tx: &mut TenantTx) -> Result<Vec<Step>, db::Error> {
    Ok(commitments_of(tx).await?.into_values().next().unwrap_or_default())
}

/// As [`commitments`], of each tenant.
pub(crate) async fn commitments_of(
    tx: &mut impl OfTenants,
) -> Result<BTreeMap<TenantId, Vec<Step>>, db::Error> {
    let tenants = tx.tenant_ids();
    commitments_among(tx.conn(), &tenants).await
}

/// As [`commitments`], of each of some tenants that the connection's role sees.
pub(crate) async fn commitments_among(
    conn: &mut PgConnection,
    tenants: &[Uuid],
) -> Result<BTreeMap<TenantId, Vec<Step>>, db::Error> {
    let rows = sqlx::query!(
        "select tenant_id, at, seats_committed from seat_commitments where tenant_id = any ($1) order by tenant_id, ordinal",
        tenants
    )
    .fetch_all(conn)
    .await?;
    let step = |at, seats: i32| Step { at, level: seats.into() };
    Ok(by_tenant(
        rows.into_iter().map(|row| (TenantId::from_uuid(row.tenant_id), step(row.at, row.seats_committed))),
    ))
}
