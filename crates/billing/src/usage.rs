//! Usage: how many seats and bytes a tenant used on each of its days, as billing counts them.

pub(crate) mod store;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use tenancy::storage_sample::{self, StorageSample};
use tenancy::{Action, Calendar, Ctx, seats};

use crate::Error;
use crate::export::Window;
use crate::rating::{Span, Step, daily_peaks, local_day, steps_of_changes, steps_of_levels};
use crate::subscription::store::commitments;
use crate::table::{Cell, Format, Table};

/// What was used on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageDay {
    /// The day, in the tenant's calendar.
    pub day: NaiveDate,
    /// The largest number of users that held a seat at once.
    pub seats_used: i64,
    /// The largest number of seats that were committed to; the larger of the two is what is charged.
    pub seats_committed: i64,
    /// The most bytes that its mailboxes held together, by the samples; `None` before the first of them.
    pub used_bytes: Option<i64>,
}

/// What is known of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pub(crate) seats: Vec<(DateTime<Utc>, i64)>,
    pub(crate) commitments: Vec<Step>,
    pub(crate) storage: Vec<StorageSample>,
    /// The days of its cycles and where they are counted, of a tenant whose zone has changed.
    pub(crate) cycles: Vec<(Span, Tz)>,
}

impl Logs {
    /// Those of the days that have begun by `now`: each where billing counts it, which is the zone of the cycle that has it, and
    /// without one that in which it began.
    pub(crate) fn days(
        self,
        window: Window,
        calendar: &Calendar,
        now: DateTime<Utc>,
    ) -> Result<Vec<UsageDay>, Error> {
        let tomorrow = calendar.today(now).succ_opt().ok_or(Error::Stored("clock"))?;
        let Some(days) = Span::new(window.from(), window.until().min(tomorrow)) else {
            return Ok(Vec::new());
        };
        let zone_on = |day: NaiveDate| {
            let cycle = self.cycles.iter().find(|(days, _)| days.contains(day));
            cycle.map_or_else(|| calendar.zone_on(day), |(_, zone)| *zone)
        };
        let days: Vec<(NaiveDate, Tz)> = days.each_day().map(|day| (day, zone_on(day))).collect();
        let (seats, committed) = (steps_of_changes(self.seats), steps_of_levels(self.commitments));
        let bytes = self.storage.iter().map(|sample| Step { at: sample.at, level: sample.used_bytes });
        let bytes: Vec<Step> = bytes.collect();
        let mut all = Vec::with_capacity(days.len());
        for days in days.chunk_by(|(_, one), (_, next)| one == next) {
            let Some((span, zone)) = stretch(days) else { continue };
            let sampled_from = bytes.first().map(|sample| local_day(sample.at, zone));
            let seats = daily_peaks(&seats, zone, span)?.into_iter();
            let levels =
                seats.zip(daily_peaks(&committed, zone, span)?).zip(daily_peaks(&bytes, zone, span)?);
            all.extend(span.each_day().zip(levels).map(|(day, ((seats_used, seats_committed), bytes))| {
                let used_bytes = sampled_from.filter(|from| *from <= day).map(|_| bytes);
                UsageDay { day, seats_used, seats_committed, used_bytes }
            }));
        }
        Ok(all)
    }
}

/// Days that follow each other and are counted in one zone.
fn stretch(days: &[(NaiveDate, Tz)]) -> Option<(Span, Tz)> {
    let ((first, zone), (last, _)) = (*days.first()?, *days.last()?);
    Some((Span::new(first, last.succ_opt()?)?, zone))
}

/// A tenant's usage on the days of a window that have begun.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see subscriptions; [`Error::Rating`] for a log that cannot be.
pub async fn of_tenant(ctx: &Ctx, window: Window) -> Result<Vec<UsageDay>, Error> {
    ctx.require(Action::SubscriptionRead)?;
    let mut tx = ctx.read().await?;
    let changes = seats::changes(&mut tx, ctx.now()).await?;
    let logs = Logs {
        seats: changes.iter().map(|change| (change.at, change.delta.into())).collect(),
        commitments: commitments(&mut tx).await?,
        storage: storage_sample::of(&mut tx).await?,
        cycles: match ctx.calendar().has_changed() {
            true => store::cycles(tx.conn(), &[ctx.tenant_id().uuid()])
                .await?
                .into_iter()
                .map(|(_, cycle)| cycle)
                .collect(),
            false => Vec::new(),
        },
    };
    logs.days(window, ctx.calendar(), ctx.now())
}

/// The same as a file.
///
/// # Errors
/// As [`of_tenant`].
pub async fn file(ctx: &Ctx, window: Window, format: Format) -> Result<Vec<u8>, Error> {
    let days = of_tenant(ctx, window).await?;
    Table::new(format, COLUMNS).piece(days.iter().map(UsageDay::cells))
}

pub(crate) const COLUMNS: [&str; 4] = ["day", "seats_used", "seats_committed", "used_bytes"];

impl UsageDay {
    pub(crate) fn cells(&self) -> [Cell; COLUMNS.len()] {
        [
            Cell::Day(self.day),
            Cell::Integer(self.seats_used),
            Cell::Integer(self.seats_committed),
            Cell::option(self.used_bytes, Cell::Integer),
        ]
    }
}
