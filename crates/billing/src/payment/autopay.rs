//! Charging by itself what is due, for tenants whose payment method says so: on the due day, and again when it was
//! declined. Each invoice is charged by what was said to its issuer: after a transfer the former reseller's by what that was
//! told, and the new one's by what that is told, if it is told anything. A deleted tenant owes what it owed. It is
//! [`super::pay`]'s path with a number: the database takes each number of an invoice once, so that any number of workers may.

use chrono::{Days, NaiveDate};
use db::Db;
use kernel::{InvoiceId, ResellerId, TenantId};
use tenancy::{Caller, Ctx};

use super::charge::charge;
use super::provider::Provider;
use super::status::PaymentStatus;
use super::{read, store};
use crate::receivable::Receivables;
use crate::{Error, payment_method};

/// How many days after each attempt that failed the next is made; after the last there is none.
const RETRY_AFTER_DAYS: [u64; 3] = [3, 5, 7];
/// How many tenants are looked up at a time.
const PAGE: i64 = 500;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Autopaid {
    /// Charges that were asked for.
    pub charged: u64,
    /// Tenants whose invoices could not be looked at or charged.
    pub failed: u64,
}

/// A charge that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Which of the invoice's, from 1.
    pub(super) ordinal: i16,
    /// The tenant's local day.
    pub(super) day: NaiveDate,
}

/// What is known of an invoice's charges so far.
#[derive(Debug, Default)]
pub(super) struct Charges {
    /// Those that nobody asked for, in their order, and how they stand.
    pub(super) by_itself: Vec<(Attempt, PaymentStatus)>,
    /// Whether any has arrived, asked for or not.
    pub(super) has_arrived: bool,
    /// Amounts that the provider never takes, in minor units.
    pub(super) not_chargeable: Vec<i64>,
}

/// The attempt that is to be made today. What has arrived by a charge and is due again was paid back or taken back, which
/// is people's to sort out.
fn next(due_on: NaiveDate, charges: &Charges, today: NaiveDate) -> Option<Attempt> {
    if charges.has_arrived {
        return None;
    }
    let (ordinal, from) = match charges.by_itself.last() {
        None => (1, due_on),
        Some((last, PaymentStatus::Failed)) => {
            let pause = RETRY_AFTER_DAYS.get(usize::try_from(last.ordinal - 1).ok()?)?;
            (last.ordinal + 1, last.day.checked_add_days(Days::new(*pause))?)
        }
        // It is under way.
        Some(_) => return None,
    };
    (from <= today).then_some(Attempt { ordinal, day: today })
}

/// Charges every invoice whose turn it is. Any number of workers may.
///
/// # Errors
/// When the tenants cannot be looked up; one that fails by itself is logged and counted.
pub async fn autopay(db: &Db, provider: &dyn Provider) -> Result<Autopaid, Error> {
    charge_those(db, provider, false).await
}

/// As [`autopay`], of deleted tenants alone: before some of them are destroyed, and their payment methods with them.
///
/// # Errors
/// As [`autopay`].
pub async fn autopay_deleted(db: &Db, provider: &dyn Provider) -> Result<Autopaid, Error> {
    charge_those(db, provider, true).await
}

async fn charge_those(db: &Db, provider: &dyn Provider, are_deleted: bool) -> Result<Autopaid, Error> {
    let server = Caller::server(db.clone());
    let (mut done, mut after) = (Autopaid::default(), None);
    loop {
        let now = db.env().now();
        let page = store::autopaying(&mut read(db).await?, now, are_deleted, after, PAGE).await?;
        let Some(&last) = page.last() else { return Ok(done) };
        after = Some(last);
        for id in page {
            match one(&server, provider, id, &mut done).await {
                // Destroyed since.
                Ok(()) | Err(Error::Tenancy(tenancy::Error::NotFound)) => {}
                Err(error) => {
                    done.failed += 1;
                    tracing::warn!(tenant.id = %id, error.cause = %kernel::error::chain(&error), "a tenant's invoices could not be charged");
                }
            }
        }
    }
}

async fn one(
    server: &Caller,
    provider: &dyn Provider,
    id: TenantId,
    done: &mut Autopaid,
) -> Result<(), Error> {
    let ctx = server.enter_deleted_too(id).await?;
    for (issuer, invoice, attempt) in turns(&ctx).await? {
        match charge(&ctx, provider, issuer, invoice, Some(attempt)).await {
            Ok(_) => done.charged += 1,
            // Somebody was faster, or there is nothing to charge by: nothing was written.
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The tenant's invoices whose turn it is, the oldest first.
async fn turns(ctx: &Ctx) -> Result<Vec<(ResellerId, InvoiceId, Attempt)>, Error> {
    let today = ctx.today();
    let mut tx = ctx.read().await?;
    let by = payment_method::autopaid_issuers(&mut tx).await?;
    let receivables = Receivables::read(&mut tx).await?;
    let mut turns = Vec::new();
    for owed in receivables.iter() {
        if owed.due_minor > 0 && owed.due_on <= today && by.contains(&owed.issuer) {
            let charges = store::charges(&mut tx, owed.invoice).await?;
            let is_chargeable = !charges.not_chargeable.contains(&owed.due_minor);
            let attempt = next(owed.due_on, &charges, today).filter(|_| is_chargeable);
            turns.extend(attempt.map(|attempt| (owed.issuer, owed.invoice, attempt)));
        }
    }
    Ok(turns)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn day(n: i64) -> NaiveDate {
        NaiveDate::default() + TimeDelta::days(n)
    }

    /// On which days an invoice that is due on day 0 is tried, if somebody looks on these and each attempt fails.
    fn tried(looks: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut charges = Charges::default();
        let mut days = Vec::new();
        for look in looks {
            if let Some(attempt) = next(day(0), &charges, day(look)) {
                charges.by_itself.push((attempt, PaymentStatus::Failed));
                days.push(look);
            }
        }
        days
    }

    #[test]
    fn on_the_due_day_and_then_after_three_five_and_seven_days() {
        assert_eq!(tried(-3..100), [0, 3, 8, 15]);
        // Whoever could not look for some days goes on from there.
        assert_eq!(tried(10..100), [10, 13, 18, 25]);
    }

    #[test]
    fn what_is_under_way_or_has_arrived_is_left_alone() {
        let first = Attempt { ordinal: 1, day: day(0) };
        for &status in PaymentStatus::ALL {
            let has_arrived = status == PaymentStatus::Succeeded;
            let charges = Charges { by_itself: vec![(first, status)], has_arrived, ..Charges::default() };
            let is_tried = next(day(0), &charges, day(50)).is_some();
            assert_eq!(is_tried, status == PaymentStatus::Failed, "{status:?}");
        }
        let asked_for = Charges { has_arrived: true, ..Charges::default() };
        assert_eq!(next(day(0), &asked_for, day(50)), None);
    }

    proptest! {
        #[test]
        fn never_more_than_four_times_nor_sooner(mut looks in prop::collection::vec(-5_i64..60, 0..40)) {
            looks.sort_unstable();
            let days = tried(looks.into_iter());
            prop_assert!(days.len() <= 4 && days.iter().all(|&day| day >= 0));
            let pauses: Vec<_> = days.windows(2).map(|two| two[1] - two[0]).collect();
            prop_assert!(pauses.iter().zip([3, 5, 7]).all(|(&pause, least)| pause >= least));
        }
    }
}
