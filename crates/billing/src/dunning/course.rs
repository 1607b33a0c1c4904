//! Doing what [`moves`] says: a tenant at a time, held by its row, so that any number of workers may. A payment does the
//! half of it that is in the tenant's favour at once.

use chrono::{NaiveDate, TimeDelta};
use db::{Db, SystemRead};
use kernel::{InvoiceId, Money, TenantId};
use serde_json::json;
use tenancy::policy::Capability;
use tenancy::tenant::Taken;
use tenancy::{Calendar, Caller, Ctx, TenantTx, event, tenant};

use super::store::Finalized;
use super::{Course, Move, Owing, Policy, Step, moves, store};
use crate::receivable::Receivables;
use crate::run::Reach;
use crate::{Error, subscription};

/// How many tenants are looked up at a time.
const PAGE: i64 = 500;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dunned {
    /// Steps that were taken.
    pub steps: u64,
    /// Tenants whose suspension, or some of it, was lifted.
    pub lifted: u64,
    /// Tenants that could not be looked at.
    pub failed: u64,
}

/// Takes every step whose day has come in the tenant's own time, and lifts what is held no longer. Any number of workers
/// may: who finds a tenant held leaves it to the next time.
///
/// # Errors
/// When the tenants cannot be looked up; one that fails by itself is logged and counted.
pub async fn run(db: &Db) -> Result<Dunned, Error> {
    dun(db, None).await
}

/// As [`run`], of those alone who live by a test clock and whom a billing run reaches.
///
/// # Errors
/// As for [`run`].
pub(crate) async fn run_by_clock(db: &Db, reach: Reach) -> Result<Dunned, Error> {
    dun(db, Some(reach)).await
}

async fn dun(db: &Db, by_clock: Option<Reach>) -> Result<Dunned, Error> {
    let server = Caller::server(db.clone());
    let (mut done, mut after) = (Dunned::default(), None);
    loop {
        let page = store::candidates(&mut read(db).await?, by_clock, db.env().now(), after, PAGE).await?;
        let Some(&last) = page.last() else { return Ok(done) };
        after = Some(last);
        for id in page {
            match one(&server, id, &mut done).await {
                // Deleted since.
                Ok(()) | Err(Error::Tenancy(tenancy::Error::NotFound)) => {}
                Err(error) => {
                    done.failed += 1;
                    tracing::warn!(tenant.id = %id, error.cause = %kernel::error::chain(&error), "a tenant could not be dunned");
                }
            }
        }
    }
}

async fn one(server: &Caller, id: TenantId, done: &mut Dunned) -> Result<(), Error> {
    let ctx = server.enter(id).await?;
    let mut tx = ctx.begin().await?;
    let Some(taken) = tenant::hold_unpaid(&mut tx, false).await? else { return Ok(()) };
    let scene = Scene::read(&mut tx, &ctx, taken).await?;
    let mut course = scene.ordinal;
    for one in scene.moves() {
        match one {
            Move::End => store::end(&mut tx, course, ctx.env().now()).await?,
            Move::Lift(given) => {
                tenant::resume_paid(&mut tx, &ctx, &given).await?;
                done.lifted += 1;
            }
            Move::Begin(invoice) => {
                course += 1;
                store::begin(&mut tx, course, invoice, ctx.env().now()).await?;
                scene.tell(&mut tx, &ctx, event::Kind::InvoiceOverdue, invoice).await?;
            }
            Move::Remind(day) => {
                scene.remind(&mut tx, &ctx, course, day).await?;
                done.steps += 1;
            }
            Move::Suspend(fresh) => {
                scene.suspend(&mut tx, &ctx, course, &fresh).await?;
                done.steps += 1;
            }
            Move::Cancel => {
                scene.cancel(&mut tx, &ctx, course).await?;
                done.steps += 1;
            }
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Ends and lifts what a payment that was just written ends and lifts.
///
/// # Errors
/// When the database fails.
pub(crate) async fn lift(tx: &mut TenantTx, ctx: &Ctx) -> Result<(), Error> {
    // Waits for whoever is just taking a step, who does not know of the payment yet.
    let Some(taken) = tenant::hold_unpaid(tx, true).await? else { return Ok(()) };
    let scene = Scene::read(tx, ctx, taken).await?;
    for one in scene.moves() {
        match one {
            Move::End => store::end(tx, scene.ordinal, ctx.env().now()).await?,
            Move::Lift(given) => tenant::resume_paid(tx, ctx, &given).await?,
            // In good time.
            Move::Begin(_) | Move::Remind(_) | Move::Suspend(_) | Move::Cancel => {}
        }
    }
    Ok(())
}

/// The last day on which an invoice is paid in time: what was made later than the day that it bears leaves as many days to pay as if it
/// had been made on that.
fn in_time(calendar: &Calendar, due_on: NaiveDate, finalized: Option<&Finalized>) -> NaiveDate {
    let Some(Finalized { issued_on, at }) = finalized else { return due_on };
    let made_on = at.with_timezone(&calendar.zone_of(*issued_on, *at)).date_naive();
    let late = (made_on - *issued_on).max(TimeDelta::zero());
    due_on.checked_add_signed(late).unwrap_or(due_on)
}

/// A tenant that is held, as far as it matters here.
struct Scene {
    policy: Option<Policy>,
    receivables: Receivables,
    owing: Vec<Owing>,
    /// The number of the last course; 0 before the first.
    ordinal: i32,
    course: Option<Course>,
    taken: Taken,
    today: NaiveDate,
}

impl Scene {
    async fn read(tx: &mut TenantTx, ctx: &Ctx, taken: Taken) -> Result<Self, Error> {
        let issuer = ctx.reseller_id();
        let policy = store::find(tx.conn(), issuer).await?.map(|found| found.policy);
        let (ordinal, course) = store::last_course(tx).await?;
        let today = ctx.today();
        let at_rest = Self {
            policy,
            receivables: Receivables::default(),
            owing: Vec::new(),
            ordinal,
            course,
            taken,
            today,
        };
        if at_rest.policy.is_none() && at_rest.course.is_none() && at_rest.taken.unpaid.is_empty() {
            return Ok(at_rest);
        }
        let receivables = Receivables::read(tx).await?;
        let (under_way, again) = (store::under_way(tx).await?, store::due_again(tx).await?);
        let finalized = store::finalized(tx).await?;
        // A former reseller's invoices are no reason to take from the present one's customer.
        let owing = receivables
            .iter()
            .filter(|one| one.issuer == issuer && one.due_minor > 0)
            .map(|one| {
                let invoice = one.invoice;
                let due_on = in_time(ctx.calendar(), one.due_on, finalized.get(&invoice));
                let due_on = again.get(&invoice).map_or(due_on, |again| due_on.max(*again));
                Owing { invoice, due_on, is_under_way: under_way.contains(&invoice) }
            })
            .collect();
        Ok(Self { receivables, owing, ..at_rest })
    }

    fn moves(&self) -> Vec<Move> {
        moves(self.policy.as_ref(), &self.owing, self.course.as_ref(), &self.taken, self.today)
    }

    /// The oldest overdue invoice, whose course it is.
    fn invoice(&self) -> Result<InvoiceId, Error> {
        let oldest = self.owing.iter().min_by_key(|owing| (owing.due_on, owing.invoice));
        Ok(oldest.ok_or(Error::Stored("dunning course"))?.invoice)
    }

    /// Notes a step; whether nobody has before.
    async fn note(&self, tx: &mut TenantTx, ctx: &Ctx, course: i32, step: Step) -> Result<bool, Error> {
        let policy = self.policy.as_ref().ok_or(Error::Stored("dunning policy"))?;
        let after_days = match step {
            Step::Remind(day) => Some(day),
            Step::Suspend => policy.suspend_after_days,
            Step::Cancel => policy.cancel_after_days,
        };
        let now = ctx.env().now();
        Ok(store::take(tx, course, step, after_days.unwrap_or(0), self.today, now).await?)
    }

    async fn remind(&self, tx: &mut TenantTx, ctx: &Ctx, course: i32, day: i16) -> Result<(), Error> {
        if self.note(tx, ctx, course, Step::Remind(day)).await? {
            self.tell(tx, ctx, event::Kind::InvoiceReminder, self.invoice()?).await?;
        }
        Ok(())
    }

    /// Takes capabilities away: again in a course as well, after a policy that was changed had given them back.
    async fn suspend(
        &self,
        tx: &mut TenantTx,
        ctx: &Ctx,
        course: i32,
        fresh: &[Capability],
    ) -> Result<(), Error> {
        self.note(tx, ctx, course, Step::Suspend).await?;
        Ok(tenant::suspend_unpaid(tx, ctx, fresh, self.invoice()?).await?)
    }

    async fn cancel(&self, tx: &mut TenantTx, ctx: &Ctx, course: i32) -> Result<(), Error> {
        if !self.note(tx, ctx, course, Step::Cancel).await? {
            return Ok(());
        }
        match subscription::cancel_at_the_latest(ctx, tx).await {
            Ok(_) | Err(Error::NotFound | Error::Conflict { code: "subscription_ended", .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells of the invoice what a letter to the customer would say.
    async fn tell(
        &self,
        tx: &mut TenantTx,
        ctx: &Ctx,
        kind: event::Kind,
        invoice: InvoiceId,
    ) -> Result<(), Error> {
        let of = self.receivables.get(invoice).ok_or(Error::Stored("dunning course"))?;
        let days: TimeDelta = self.today - of.due_on;
        let data = json!({"invoice_id": invoice, "number": of.number, "due_on": of.due_on,
            "due": Money::new(of.due_minor, of.currency), "days_overdue": days.num_days()});
        event::record(tx, ctx, kind, invoice, data).await?;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "which tenants owe; each is then entered")]
async fn read(db: &Db) -> Result<SystemRead, db::Error> {
    SystemRead::open(db).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_billed_late_has_as_many_days_to_pay() {
        let berlin = Calendar::of_row("Europe/Berlin", &[], &[]).unwrap();
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let made = |at: &str| {
            let finalized = Finalized { issued_on: day("2026-01-01"), at: at.parse().unwrap() };
            in_time(&berlin, day("2026-01-15"), Some(&finalized)).to_string()
        };
        assert_eq!(in_time(&berlin, day("2026-01-15"), None).to_string(), "2026-01-15");
        // Before the day that it bears, and until the day is over where the tenant is.
        assert_eq!(made("2025-12-30T12:00:00Z"), "2026-01-15");
        assert_eq!(made("2026-01-01T22:59:59Z"), "2026-01-15");
        assert_eq!(made("2026-01-01T23:00:00Z"), "2026-01-16");
        assert_eq!(made("2026-03-01T12:00:00Z"), "2026-03-15");
        // Who has moved since counts that day where it began.
        let moved =
            Calendar::of_row("Pacific/Kiritimati", &["Europe/Berlin".into()], &[day("2026-02-01")]).unwrap();
        let finalized =
            Finalized { issued_on: day("2026-01-01"), at: "2026-01-01T22:00:00Z".parse().unwrap() };
        assert_eq!(in_time(&moved, day("2026-01-15"), Some(&finalized)), day("2026-01-15"));
    }
}
