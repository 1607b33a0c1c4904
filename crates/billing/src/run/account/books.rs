//! The books of accounts: what of them a run reads, how they are rated, and which days it records as billed.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;
use kernel::TenantId;
use tenancy::{OfTenants, TenantTx, mailbox, seats, storage_sample};

use super::Due;
use super::store::{self, BilledBoundary, CoveredDays, Known};
use crate::Error;
use crate::by_tenant::by_tenant;
use crate::invoice::Billing;
use crate::price_book::Item;
use crate::rating::{
    Billed, Cycle, CycleState, Instalment, Log, Span, Timeline, local_day, steps_of_changes, steps_of_levels,
};
use crate::subscription::{self, Cycles, OwedLine, Subscription, Used, Windows};

/// What is known of an account.
pub(super) struct Books {
    subscription: Subscription,
    used: Used,
    known: Known,
    covered: Vec<Covered>,
    billed: Vec<BilledLine>,
    last_boundary: Option<NaiveDate>,
    /// Where the last boundary is to be billed again.
    again: Option<(Windows, Option<Billing>)>,
}

/// A line that counts as billed, and of which cycle.
pub(super) type BilledLine = (Item, CycleKey, Billed);

/// The days that an item's cycle charges, if any, by its calendar.
type CycleDays = (Item, Cycle, Option<Span>, Tz);

/// What is outstanding of an account by boundary, where the next run goes on, and the days that are billed by it.
pub(super) struct Rated<'a> {
    pub(super) due: Due<'a>,
    pub(super) subscription: Subscription,
    pub(super) documents: Vec<(Billing, Vec<OwedLine>)>,
    pub(super) next_boundary: Option<NaiveDate>,
    known: Known,
    boundaries: Vec<Billing>,
    changes: Vec<Span>,
    /// Of cycles that were there before: they may have been cut, replaced or put back.
    changed: Vec<CycleDays>,
    opened: Vec<CycleDays>,
    /// Whether nothing is billed since a cycle is not over yet.
    pub(super) waits: bool,
}

/// Reads the books of accounts whose rows are locked.
pub(super) async fn read(
    tx: &mut impl OfTenants,
    due: &[Due<'_>],
) -> Result<BTreeMap<TenantId, Books>, Error> {
    let until: Vec<_> = due.iter().map(|due| (due.ctx.tenant_id(), due.ctx.now())).collect();
    let mut changes = by_tenant(seats::changes_of_each(tx, &until).await?);
    let mut commitments = subscription::store::commitments_of(tx).await?;
    let mut covered = store::cycles(tx).await?;
    let mut billed = store::billed_lines(tx, None).await?;
    let last = subscription::store::last_boundaries(tx).await?;
    let subscriptions = subscription::store::all(tx).await?;
    let bill_again = subscriptions.values().any(|subscription| subscription.bills_again);
    let mut again = if bill_again { store::windows(tx).await? } else { BTreeMap::new() };
    // Most buy seats alone: a run asks no more than it has to.
    let sells = |id: TenantId, what: fn(&Item) -> bool| {
        subscriptions.get(&id).is_some_and(|of| of.agreed.items_beside().iter().any(what))
    };
    let counted = until.iter().filter(|(id, _)| sells(*id, |item| *item != Item::Storage)).copied();
    let counted = counted.collect::<Vec<_>>();
    let storing =
        due.iter().map(|due| due.ctx).filter(|ctx| sells(ctx.tenant_id(), |item| *item == Item::Storage));
    let samples = storing.map(|ctx| {
        let id = ctx.tenant_id();
        let of_storage =
            covered.get(&id).into_iter().flatten().filter(|covered| covered.item == Item::Storage);
        let cycles = of_storage
            .map(|covered| Ok((covered.cycle()?, covered.zone)))
            .collect::<Result<Vec<_>, Error>>()?;
        let subscription = subscriptions.get(&id).ok_or(Error::Stored("subscription"))?;
        let settled = last.get(&id).copied().filter(|_| !subscription.bills_again);
        Ok(Used::samples(ctx, cycles.into_iter(), settled.unwrap_or(subscription.starts_on())))
    });
    let samples = samples.collect::<Result<Vec<_>, Error>>()?;
    let mut mailboxes = match counted.is_empty() {
        true => BTreeMap::new(),
        false => by_tenant(mailbox::count::changes_of_each(tx, &counted).await?),
    };
    let mut stored = match samples.is_empty() {
        true => BTreeMap::new(),
        false => by_tenant(storage_sample::of_each(tx, &samples).await?),
    };
    let books = subscriptions.into_iter().map(|(id, subscription)| {
        let changes = changes.remove(&id).unwrap_or_default();
        let commitments = commitments.remove(&id).unwrap_or_default();
        let mailboxes = mailboxes.remove(&id).unwrap_or_default();
        let stored = stored.remove(&id).unwrap_or_default();
        let known = Known {
            seat_changes: changes.len(),
            mailbox_changes: mailboxes.len(),
            storage_sample: stored.last().map(|sample| sample.position),
            commitments: commitments.len(),
            terms: subscription.agreed.count(),
            discounts: subscription.agreed.discounts_known(),
            standings: subscription.agreed.standings_known(),
        };
        let seats = Log {
            seats: steps_of_changes(changes.into_iter().map(|change| (change.at, i64::from(change.delta)))),
            committed: steps_of_levels(commitments),
        };
        let again = subscription.bills_again.then(|| again.remove(&id).unwrap_or_default());
        let books = Books {
            subscription,
            used: Used::new(seats, &mailboxes, &stored),
            known,
            covered: covered.remove(&id).unwrap_or_default(),
            billed: billed.remove(&id).unwrap_or_default(),
            last_boundary: last.get(&id).copied(),
            again,
        };
        (id, books)
    });
    Ok(books.collect())
}

impl Books {
    /// Rates every boundary up to a day, the last one again if that is asked.
    pub(super) fn rate(self, due: Due<'_>) -> Result<Rated<'_>, Error> {
        let Self { subscription, used, known, covered, billed, last_boundary: mut last, again } = self;
        let timelines = subscription.agreed.timelines()?;
        let mut cycles = with_lines(&covered, billed)?;
        let (mut windows, last_billing) = again.unwrap_or_else(|| (Windows::after(last), None));
        let mut rated = Rated {
            due,
            documents: Vec::new(),
            next_boundary: subscription.next_boundary(last)?,
            known,
            boundaries: Vec::new(),
            changes: Vec::new(),
            changed: Vec::new(),
            opened: Vec::new(),
            waits: false,
            subscription,
        };
        while let Some(boundary) = rated.next_boundary.filter(|next| *next <= due.until) {
            if goes_on(&cycles, last, boundary, due) {
                rated.waits = rated.boundaries.is_empty();
                break;
            }
            let zone = rated.subscription.zone_on(due.ctx.calendar(), boundary);
            let agreed = &rated.subscription.agreed;
            let before = last_billing.filter(|billing| billing.boundary == boundary);
            let billing = Billing { boundary, revision: before.map_or(1, |billing| billing.revision + 1) };
            // Of any cycle the lines may have been let go that are billed again.
            let settled = last.filter(|_| before.is_none());
            let lines = agreed.rate(&timelines, (boundary, zone), None, settled, &mut cycles, &used)?;
            let lines = agreed.owed(&lines, &windows.bill(billing), boundary)?;
            rated.next_boundary = agreed.next_boundary(Some(boundary))?;
            rated.changes.extend(Span::new(last.unwrap_or(rated.subscription.starts_on()), boundary));
            rated.boundaries.push(billing);
            if !lines.is_empty() {
                rated.documents.push((billing, lines));
            }
            last = Some(boundary);
        }
        rated.cover(&timelines, &cycles, &covered)?;
        Ok(rated)
    }
}

impl Rated<'_> {
    /// Takes note of the days of the cycles; those of an item that were there before come first, as they were covered.
    fn cover(
        &mut self,
        timelines: &BTreeMap<Item, Timeline>,
        cycles: &Cycles,
        covered: &[Covered],
    ) -> Result<(), Error> {
        for (&item, states) in cycles {
            let timeline = timelines.get(&item).ok_or(Error::Stored("cycle"))?;
            let mut covered = covered.iter().filter(|covered| covered.item == item);
            for state in states {
                let days = timeline.makes(&state.cycle)?.then_some(state.cycle.charged);
                let now = (item, state.cycle, days, state.zone);
                match covered.next() {
                    Some(before) if before.days == days => {}
                    Some(_) => self.changed.push(now),
                    None => self.opened.push(now),
                }
            }
        }
        Ok(())
    }

    fn tenant_id(&self) -> TenantId {
        self.due.ctx.tenant_id()
    }

    /// Whether a document is to be made of it.
    pub(super) fn owes(&self) -> bool {
        !self.documents.is_empty()
    }

    fn covered(&self, days: fn(&Self) -> &Vec<CycleDays>) -> impl Iterator<Item = CoveredDays> {
        let tenant_id = self.tenant_id();
        days(self).iter().map(move |&(item, cycle, days, zone)| CoveredDays {
            tenant_id,
            item,
            cycle,
            days,
            zone,
        })
    }
}

/// Whether a cycle has days after one boundary and before another that are not over where they are counted, though the boundary's day has
/// come where the tenant's are now: what is used and stored until then is not known. A look ahead takes it that nothing changes until then.
fn goes_on(cycles: &Cycles, after: Option<NaiveDate>, boundary: NaiveDate, due: Due<'_>) -> bool {
    let goes_on = |state: &CycleState| {
        let (start, end) = (state.cycle.charged.start(), state.cycle.charged.end().min(boundary));
        let has_days = start < end && after.is_none_or(|after| after < end);
        has_days && local_day(due.ctx.now(), state.zone) < end
    };
    due.until <= due.ctx.today() && cycles.values().flatten().any(goes_on)
}

/// Records which boundaries and days are billed.
pub(super) async fn write<'a>(
    tx: &mut impl OfTenants,
    accounts: impl Iterator<Item = &'a Rated<'a>> + Clone,
) -> Result<(), Error> {
    let boundaries = accounts.clone().flat_map(|account| {
        let (tenant_id, calendar, known) = (account.tenant_id(), account.due.ctx.calendar(), account.known);
        account.boundaries.iter().map(move |&billing| BilledBoundary {
            tenant_id,
            billing,
            zone: account.subscription.zone_on(calendar, billing.boundary),
            known,
        })
    });
    store::record_boundaries(tx, &boundaries.collect::<Vec<_>>()).await?;
    let changes = accounts.clone().flat_map(|account| {
        let tenant_id = account.tenant_id();
        account.changes.iter().map(move |&days| (tenant_id, days))
    });
    store::cover_changes(tx, &changes.collect::<Vec<_>>()).await?;
    let changed = accounts.clone().flat_map(|account| account.covered(|account| &account.changed));
    store::cover_days(tx, &changed.collect::<Vec<_>>()).await?;
    let opened = accounts.flat_map(|account| account.covered(|account| &account.opened));
    store::cover_cycles(tx, &opened.collect::<Vec<_>>()).await?;
    Ok(())
}

/// The cycles of a tenant opened so far, with their lines; or as they were before a boundary.
pub(crate) async fn opened(tx: &mut TenantTx, before: Option<NaiveDate>) -> Result<Cycles, Error> {
    let mut covered = store::cycles(tx).await?.into_values().next().unwrap_or_default();
    covered.retain(|covered| before.is_none_or(|before| covered.key.starts_on < before));
    let billed = store::billed_lines(tx, before).await?;
    with_lines(&covered, billed.into_values().next().unwrap_or_default())
}

fn with_lines(covered: &[Covered], lines: Vec<BilledLine>) -> Result<Cycles, Error> {
    let mut billed = BTreeMap::<(Item, CycleKey), Vec<_>>::new();
    for (item, cycle, line) in lines {
        billed.entry((item, cycle)).or_default().push(line);
    }
    let mut cycles = Cycles::new();
    for covered in covered {
        cycles.entry(covered.item).or_default().push(CycleState {
            cycle: covered.cycle()?,
            zone: covered.zone,
            billed: billed.remove(&(covered.item, covered.key)).unwrap_or_default(),
        });
    }
    Ok(cycles)
}

/// A cycle as it is recorded.
pub(super) struct Covered {
    pub(super) item: Item,
    pub(super) key: CycleKey,
    pub(super) instalment: Instalment,
    /// Its charged days; `None` where other cycles have taken its place.
    pub(super) days: Option<Span>,
    /// Of its calendar.
    pub(super) zone: Tz,
}

impl Covered {
    /// One whose place others have taken has all the days that it might have.
    fn cycle(&self) -> Result<Cycle, Error> {
        let CycleKey { starts_on, whole } = self.key;
        let charged =
            self.days.or_else(|| Span::new(starts_on, whole.end())).ok_or(Error::Stored("cycle"))?;
        Ok(Cycle { charged, whole, instalment: self.instalment })
    }
}

/// What tells a cycle from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CycleKey {
    pub(super) starts_on: NaiveDate,
    pub(super) whole: Span,
}
