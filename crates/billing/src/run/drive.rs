//! The way of a run: what is due, page by page, and how each account came out.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use chrono::{DateTime, NaiveDate, Utc};
use db::Db;
use kernel::{ErrorKind, ResellerId, TenantId};
use tenancy::{Calendar, Caller};
use uuid::Uuid;

use super::account::{self, Outcome, Treatment};
use super::{Reach, RunSummary, drafts, operator, store, system};
use crate::Error;
use crate::{one_off_item, subscription, wholesale};

/// How often an account is tried whose transaction gave way to others.
const ATTEMPTS: u32 = 3;

/// Bills what is due, and counts it in `summary` as far as it gets.
pub(super) async fn drive(
    db: &Db,
    as_of: NaiveDate,
    reach: Reach,
    page: NonZeroU32,
    summary: &mut RunSummary,
) -> Result<(), Error> {
    let done = bill_due(db, as_of, reach, i64::from(page.get()), summary).await;
    if let Err(error) = &done {
        tracing::error!(
            error = %error,
            billing.as_of = %as_of,
            billing.accounts_due = summary.accounts_due,
            billing.accounts_billed = summary.accounts_billed,
            billing.invoices = summary.invoices,
            billing.credit_notes = summary.credit_notes,
            billing.wholesale_invoices = summary.wholesale_invoices,
            billing.wholesale_credit_notes = summary.wholesale_credit_notes,
            "a billing run stopped"
        );
    }
    done
}

async fn bill_due(
    db: &Db,
    as_of: NaiveDate,
    reach: Reach,
    limit: i64,
    summary: &mut RunSummary,
) -> Result<(), Error> {
    let caller = operator(db);
    take_account(&caller, reach, limit).await?;
    drafts::finalize_due(&caller, as_of, reach, limit, summary).await?;
    // Tenants first: what they are billed does not wait for the operator's own documents.
    for level in Level::of(reach) {
        bill_level(&caller, *level, (as_of, reach), limit, summary).await?;
    }
    if matches!(reach, Reach::Left) {
        // Of a run that did not see that they were left.
        drafts::finalize_due(&caller, as_of, reach, limit, summary).await?;
    }
    // Counted afterwards, since an account that was billed may have another boundary that has not come.
    for level in Level::of(reach) {
        let (until, mut after) = (level.until(as_of), None);
        while let Some(page) = due_page(db, *level, (as_of, reach), &mut after, limit).await? {
            let asked = page.iter().filter(|account| account.next_invoice_on <= until);
            let waiting = asked.filter(|account| !account.has_come(db.env().now(), until)).count();
            summary.accounts_not_yet += u64::try_from(waiting).unwrap_or(0);
        }
    }
    Ok(())
}

/// Bills what is due at one level.
async fn bill_level(
    caller: &Caller,
    level: Level,
    (as_of, reach): (NaiveDate, Reach),
    limit: i64,
    summary: &mut RunSummary,
) -> Result<(), Error> {
    let (db, until) = (caller.db(), level.until(as_of));
    let is_named = matches!(reach, Reach::Tenant(_));
    let (mut settled, mut held, mut after) = (BTreeSet::new(), Vec::new(), None);
    while let Some(page) = due_page(db, level, (as_of, reach), &mut after, limit).await? {
        let come = page.iter().filter(|account| account.has_come(db.env().now(), until));
        let mut customers = Vec::new();
        for account in come {
            summary.accounts_due += 1;
            if let Customer::Tenant(id) = account.customer
                && account.settles(db.env().now(), until)
            {
                let Some(is_settled) = withdraw(caller, id, until, summary).await? else { continue };
                settled.extend(is_settled.then_some(id));
            }
            customers.push(account.customer);
        }
        let treatment = Treatment { retries_parked: is_named, waits: is_named, settled: &settled };
        held.extend(some(caller, &customers, until, treatment, summary).await?);
    }
    // Whoever held these may have billed them, or only have changed what they buy by.
    let treatment = Treatment { retries_parked: is_named, waits: true, settled: &settled };
    for customer in held {
        one(caller, customer, until, treatment, summary).await?;
    }
    Ok(())
}

/// Withdraws what a tenant that is settled was to be charged on days to come, and says whether it is. `None`: that failed, and it is
/// left for the next run.
async fn withdraw(
    caller: &Caller,
    tenant_id: TenantId,
    as_of: NaiveDate,
    summary: &mut RunSummary,
) -> Result<Option<bool>, Error> {
    let withdrawn = match caller.enter_deleted_too(tenant_id).await {
        Ok(ctx) => one_off_item::settle(&ctx, as_of).await,
        Err(error) => Err(error.into()),
    };
    match withdrawn {
        Err(error) if error.kind() == ErrorKind::Unavailable && !gave_way(&error) => Err(error),
        Err(error) => {
            summary.failed(&error, 1);
            Ok(None)
        }
        Ok(is_settled) => Ok(Some(is_settled)),
    }
}

/// Takes account of what has become of tenants since: it may make boundaries.
async fn take_account(caller: &Caller, reach: Reach, limit: i64) -> Result<(), Error> {
    let (mut held, mut after) = (Vec::new(), None);
    loop {
        let mut tx = system(caller.db()).await?;
        let tenants = store::standing_otherwise(&mut tx, reach, after, limit).await?;
        tx.commit().await?;
        let Some(last) = tenants.last() else { break };
        after = Some(*last);
        for tenant_id in tenants {
            held.extend((!take_account_of(caller, tenant_id, false).await?).then_some(tenant_id));
        }
    }
    // Somebody may only have looked at it, and this run is to bill what has become of it.
    for tenant_id in held {
        take_account_of(caller, tenant_id, true).await?;
    }
    Ok(())
}

/// `false`: somebody holds it, and nobody waits; only a database that is gone stops the others.
async fn take_account_of(caller: &Caller, tenant_id: TenantId, waits: bool) -> Result<bool, Error> {
    let taken = match caller.enter_deleted_too(tenant_id).await {
        Ok(ctx) => subscription::take_account(&ctx, waits).await,
        Err(error) => Err(error.into()),
    };
    match taken {
        Err(error) if error.kind() == ErrorKind::Unavailable && !gave_way(&error) => Err(error),
        Err(error) => {
            tracing::error!(tenant.id = %tenant_id, error = %error, "a tenant's standing was not taken account of");
            Ok(true)
        }
        Ok(taken) => Ok(taken),
    }
}

/// Who bills whom.
#[derive(Debug, Clone, Copy)]
enum Level {
    /// Resellers their tenants.
    Retail,
    /// Resellers those of their tenants that live by a test clock.
    Sandbox,
    /// The operator its resellers.
    Wholesale,
}

impl Level {
    /// The operator's own documents are made by its own runs alone.
    fn of(reach: Reach) -> &'static [Self] {
        match reach {
            Reach::All => &[Self::Retail, Self::Wholesale],
            Reach::Present => &[Self::Retail, Self::Sandbox, Self::Wholesale],
            Reach::Left | Reach::Reseller(_) | Reach::Tenant(_) => &[Self::Retail],
        }
    }

    /// Up to which day it is billed; nobody is beyond their own present day.
    fn until(self, as_of: NaiveDate) -> NaiveDate {
        match self {
            Self::Sandbox => NaiveDate::MAX,
            Self::Retail | Self::Wholesale => as_of,
        }
    }
}

/// Whose account it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Customer {
    Tenant(TenantId),
    Reseller(ResellerId),
}

/// An account with a boundary that a run asks for.
pub(super) struct DueAccount {
    pub(super) next_invoice_on: NaiveDate,
    pub(super) customer: Customer,
    /// Its calendar; `None` for one that cannot be read.
    pub(super) calendar: Option<Calendar>,
    pub(super) test_clock: Option<DateTime<Utc>>,
    /// When its tenant was deleted, if it is.
    pub(super) deleted_at: Option<DateTime<Utc>>,
}

impl DueAccount {
    /// Whether the boundary's day is one of those up to `until` and has come in the account's own time, or all that is left is
    /// billed. An unknown zone is for billing to stumble over.
    fn has_come(&self, now: DateTime<Utc>, until: NaiveDate) -> bool {
        let today = self.calendar.as_ref().map(|calendar| calendar.today(self.test_clock.unwrap_or(now)));
        today.is_none_or(|today| self.next_invoice_on <= today.min(until)) || self.settles(now, until)
    }

    /// Whether all that is left is billed, as far as is known before its row is held.
    fn settles(&self, now: DateTime<Utc>, until: NaiveDate) -> bool {
        let now = self.test_clock.unwrap_or(now);
        let settles =
            |calendar: &Calendar| account::settles(self.deleted_at, (now, calendar.today(now)), until);
        self.calendar.as_ref().is_some_and(settles)
    }
}

/// The next page of accounts, the oldest boundary first; `None` after the last.
async fn due_page(
    db: &Db,
    level: Level,
    (as_of, reach): (NaiveDate, Reach),
    after: &mut Option<(NaiveDate, Uuid)>,
    limit: i64,
) -> Result<Option<Vec<DueAccount>>, Error> {
    let mut tx = system(db).await?;
    let page = match level {
        Level::Retail => store::due(&mut tx, (as_of, reach), db.env().now(), *after, limit).await?,
        Level::Sandbox => store::due_by_clock(&mut tx, *after, limit).await?,
        Level::Wholesale => store::due_agreements(&mut tx, as_of, *after, limit).await?,
    };
    tx.commit().await?;
    let Some(last) = page.last() else { return Ok(None) };
    let id = match last.customer {
        Customer::Tenant(id) => id.uuid(),
        Customer::Reseller(id) => id.uuid(),
    };
    *after = Some((last.next_invoice_on, id));
    Ok(Some(page))
}

/// Bills accounts, tenants' all at once if that can be, and returns those that somebody held; only a database that is gone
/// stops the others.
async fn some(
    caller: &Caller,
    customers: &[Customer],
    as_of: NaiveDate,
    treatment: Treatment<'_>,
    summary: &mut RunSummary,
) -> Result<Vec<Customer>, Error> {
    let tenants = customers.iter().filter_map(|customer| match customer {
        Customer::Tenant(id) => Some(*id),
        Customer::Reseller(_) => None,
    });
    let tenants: Vec<TenantId> = tenants.collect();
    let mut held = Vec::new();
    if tenants.len() > 1 {
        match account::bill_all(caller, &tenants, as_of, treatment).await {
            Ok(outcomes) => {
                // Nothing of those that are gone.
                summary.accounts_elsewhere += (tenants.len() - outcomes.len()) as u64;
                for (tenant_id, outcome) in outcomes {
                    let customer = Customer::Tenant(tenant_id);
                    held.extend(summary.count(customer, &outcome).then_some(customer));
                }
                return Ok(held);
            }
            Err(error) if error.kind() == ErrorKind::Unavailable && !gave_way(&error) => return Err(error),
            // Nobody knows whether they are billed: the next run finds out.
            Err(error @ Error::Db(db::Error::Unresolved(_))) => {
                summary.failed(&error, tenants.len());
                return Ok(held);
            }
            // What is wrong with one of them, or in the way of one, shall not keep the others.
            Err(error) => {
                let cause = cause(&error);
                tracing::warn!(error = %error, error.cause = cause, "accounts are billed one by one");
            }
        }
    }
    for customer in customers {
        if one(caller, *customer, as_of, treatment, summary).await? {
            held.push(*customer);
        }
    }
    Ok(held)
}

/// Bills one account, and says whether somebody held it; only a database that is gone stops the others.
async fn one(
    caller: &Caller,
    customer: Customer,
    as_of: NaiveDate,
    treatment: Treatment<'_>,
    summary: &mut RunSummary,
) -> Result<bool, Error> {
    let mut outcome = bill(caller, customer, as_of, treatment).await;
    for _ in 1..ATTEMPTS {
        if outcome.as_ref().is_err_and(gave_way) {
            outcome = bill(caller, customer, as_of, treatment).await;
        }
    }
    match outcome {
        Ok(outcome) => return Ok(summary.count(customer, &outcome)),
        Err(error) if error.kind() == ErrorKind::Unavailable && !gave_way(&error) => return Err(error),
        Err(error) => {
            tracing::error!(billing.customer = ?customer, "an account could not be billed");
            summary.failed(&error, 1);
        }
    }
    Ok(false)
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

impl RunSummary {
    /// Counts accounts that the next run tries again, and says why.
    fn failed(&mut self, error: &Error, accounts: usize) {
        let cause = cause(error);
        tracing::error!(billing.accounts = accounts, error = %error, error.cause = cause, "accounts were not billed");
        self.accounts_failed += accounts as u64;
    }

    /// Counts how an account came out, and says whether somebody held it.
    fn count(&mut self, customer: Customer, outcome: &Outcome) -> bool {
        match (outcome, customer) {
            (Outcome::Billed { invoices, credit_notes, drafts }, Customer::Tenant(_)) => {
                self.accounts_billed += 1;
                self.drafts += drafts;
                self.invoices += invoices;
                self.credit_notes += credit_notes;
            }
            (Outcome::Billed { invoices, credit_notes, .. }, Customer::Reseller(_)) => {
                self.accounts_billed += 1;
                self.wholesale_invoices += invoices;
                self.wholesale_credit_notes += credit_notes;
            }
            (Outcome::Held, _) => return true,
            (Outcome::Elsewhere, _) => self.accounts_elsewhere += 1,
            (Outcome::NotYet, _) => self.accounts_not_yet += 1,
            (Outcome::Parked, _) => self.accounts_parked += 1,
        }
        false
    }
}

async fn bill(
    caller: &Caller,
    customer: Customer,
    as_of: NaiveDate,
    treatment: Treatment<'_>,
) -> Result<Outcome, Error> {
    match customer {
        Customer::Tenant(id) => account::bill(caller, id, as_of, treatment).await,
        Customer::Reseller(id) => wholesale::bill::bill(caller, id, as_of, treatment).await,
    }
}

pub(super) fn gave_way(error: &Error) -> bool {
    error.database().is_some_and(store::gave_way)
}
