//! Billing one agreement: one transaction that locks its row, rates every tenant at each due boundary, and writes the
//! documents.

pub(super) mod document;
pub(crate) mod store;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::{ResellerId, TenantId};
use serde_json::json;
use tenancy::placement::{self, Placement};
use tenancy::{Caller, Scope, event};

use super::agreement::{self, Agreement};
use super::counted::{Below, CountedAt, counted};
use super::logs::{Known, Logs};
use super::rate::{Account, AtBoundary, BilledLines, Party, PartyLine, with_lines};
use super::system;
use crate::Error;
use crate::invoice::Billing;
use crate::price_book::Item;
use crate::rating::{CycleState, Span, local_day, sampled_from};
use crate::run::account::{Outcome, RECORD_OF_BILLED, Treatment, is_of_account};
use crate::subscription::Cycles;

/// Bills every boundary of an agreement up to a day, or up to the present day in its calendar if that is earlier.
///
/// What cannot be rated or taxed parks the agreement, with the reason. Only the database's faults are errors.
pub(crate) async fn bill(
    caller: &Caller,
    reseller_id: ResellerId,
    as_of: NaiveDate,
    treatment: Treatment<'_>,
) -> Result<Outcome, Error> {
    let mut billed = claim_and_bill(caller, reseller_id, as_of, treatment).await;
    if billed.as_ref().is_err_and(is_done_elsewhere) {
        // Somebody was faster; if the same is still due, it is not that.
        billed = claim_and_bill(caller, reseller_id, as_of, treatment).await;
    }
    let error = match billed {
        Err(error) if is_done_elsewhere(&error) => Error::Stored(RECORD_OF_BILLED),
        Err(error) if is_of_account(&error) => error,
        other => return other,
    };
    tracing::warn!(reseller.id = %reseller_id, error = %error, "an agreement is parked");
    let mut tx = system(caller.db()).await?;
    let reason = error.to_string();
    if let Some(id) = store::park(&mut tx, reseller_id, &reason, caller.db().env().now()).await? {
        let (trail, kind) = (Scope::Operator, event::Kind::WholesaleAgreementParked);
        let data = json!({"reseller_id": reseller_id, "reason": reason});
        event::record_on(&mut tx, caller, trail, kind, id, data).await?;
    }
    tx.commit().await?;
    Ok(Outcome::Parked)
}

/// The database refuses what has been billed before.
fn is_done_elsewhere(error: &Error) -> bool {
    matches!(
        error.constraint(),
        Some(
            "wholesale_coverage_once"
                | "wholesale_coverage_same_days"
                | "wholesale_boundaries_once"
                | "wholesale_invoices_boundary_once"
        )
    )
}

async fn claim_and_bill(
    caller: &Caller,
    reseller_id: ResellerId,
    as_of: NaiveDate,
    treatment: Treatment<'_>,
) -> Result<Outcome, Error> {
    let mut tx = system(caller.db()).await?;
    let Some(is_parked) = store::claim(&mut tx, reseller_id, treatment.waits).await? else {
        return Ok(Outcome::Held);
    };
    if is_parked && !treatment.retries_parked {
        return Ok(Outcome::Parked);
    }
    if store::is_deleted(&mut tx, reseller_id).await? {
        // Since it was found to be due.
        return Ok(Outcome::Elsewhere);
    }
    let agreement = agreement::store::find(&mut tx, reseller_id).await?.ok_or(Error::Stored("agreement"))?;
    let now = caller.db().env().now();
    let today = local_day(now, agreement.time_zone);
    let until = as_of.min(today);
    if agreement.next_invoice_on > until {
        return Ok(Outcome::Elsewhere);
    }
    let books = Books::read(&mut tx, &agreement, (until, now)).await?;
    let (owed, ()) = books.rate(()).await?;
    let documents = document::draft(&mut tx, &agreement, &owed.boundaries, today).await?;
    record(&mut tx, &agreement, &owed).await?;
    let (invoices, credit_notes) = match &documents {
        Some(documents) => document::write(&mut tx, caller, documents).await?,
        None => (0, 0),
    };
    store::advance(&mut tx, reseller_id, owed.next_boundary).await?;
    tx.commit().await?;
    Ok(Outcome::Billed { invoices, credit_notes, drafts: 0 })
}

/// What is owed at the boundaries of an agreement up to a day.
pub(super) struct Owed {
    pub(super) boundaries: Vec<Rated>,
    /// The one after these.
    pub(super) next_boundary: NaiveDate,
    /// How much of each tenant's logs is known.
    known: BTreeMap<TenantId, Known>,
}

/// A boundary with what is owed at it.
pub(super) struct Rated {
    billing: Billing,
    lines: Vec<PartyLine>,
    counted: CountedAt,
    opened: Vec<(Item, CycleState)>,
    /// The days whose changes are billed by it.
    changes: Option<Span>,
}

/// What is known of an agreement, as it takes to say what is owed at its boundaries up to a day.
pub(super) struct Books {
    agreement: Agreement,
    tenants: Tenants,
    billed: BTreeMap<Option<TenantId>, BilledLines>,
    /// The last boundary that was billed, and on which days each tenant counted then.
    last: Option<(Billing, CountedAt)>,
    until: NaiveDate,
}

impl Books {
    /// Reads what is known now.
    pub(super) async fn read(
        tx: &mut SystemTx,
        agreement: &Agreement,
        (until, now): (NaiveDate, DateTime<Utc>),
    ) -> Result<Self, Error> {
        let last = store::last_billed(tx, agreement.reseller_id).await?;
        // Of any cycle the lines may have been let go that are billed again.
        let settling = last.as_ref().filter(|(last, _)| last.boundary != agreement.next_invoice_on);
        let settling = settling.map(|(_, counted)| counted);
        let tenants = Tenants::of(tx, agreement, settling, (until, now)).await?;
        let billed = store::billed_lines(tx, agreement.reseller_id).await?;
        Ok(Self { agreement: agreement.clone(), tenants, billed, last, until })
    }

    /// Rates every boundary, the last that was billed again where something of it was voided. It may take a core for seconds, and does so
    /// away from the threads that serve connections. What is held meanwhile is given back, or dropped when it is over, though nobody may
    /// wait for it by then.
    pub(super) async fn rate<T: Send + 'static>(self, held: T) -> Result<(Owed, T), Error> {
        match tokio::task::spawn_blocking(move || self.rated().map(|owed| (owed, held))).await {
            Ok(rated) => rated,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn rated(self) -> Result<Owed, Error> {
        let Self { agreement, tenants, billed, last, until } = self;
        let (last_billing, last) = last.unzip();
        let mut boundary = agreement.next_invoice_on;
        let again = |boundary: NaiveDate| last_billing.filter(|last: &Billing| last.boundary == boundary);
        let mut account = tenants.account(&agreement, billed)?;
        let mut boundaries: Vec<Rated> = Vec::new();
        while boundary <= until {
            let counted = tenants.counted(&agreement, boundary);
            let before = boundaries.last().map(|rated| &rated.counted).or(last.as_ref());
            let again = again(boundary);
            let settled = before.filter(|_| again.is_none()).map(|before| counted.settled(before));
            let AtBoundary { lines, opened } = account.bill(&counted, settled)?;
            let changes = Span::new(before.map_or(agreement.starts_on, |before| before.boundary), boundary);
            let billing = Billing { boundary, revision: again.map_or(1, |last| last.revision + 1) };
            boundaries.push(Rated { billing, lines, counted, opened, changes });
            boundary = account.next_boundary(boundary)?;
        }
        Ok(Owed { boundaries, next_boundary: boundary, known: tenants.known() })
    }
}

/// Records which boundaries and days are billed, and by what they were found.
async fn record(tx: &mut SystemTx, agreement: &Agreement, owed: &Owed) -> Result<(), Error> {
    let (reseller_id, items) = (agreement.reseller_id, agreement.items());
    for Rated { billing, counted, opened, changes, .. } in &owed.boundaries {
        for (item, state) in opened {
            store::cover_cycle(tx, reseller_id, *item, state).await?;
        }
        store::record_boundary(tx, reseller_id, *billing, agreement.terms_known()).await?;
        for (tenant_id, days) in &counted.tenants {
            let known = *owed.known.get(tenant_id).ok_or(Error::Stored("event log"))?;
            store::record_tenant(tx, reseller_id, *billing, *tenant_id, known, days).await?;
        }
        if let Some(changes) = changes {
            store::cover_changes(tx, reseller_id, &items, *changes).await?;
        }
    }
    Ok(())
}

/// On which days each tenant that ever used anything counts, as far as is known today.
pub(super) async fn counted_today(
    tx: &mut SystemTx,
    agreement: &Agreement,
    last: &CountedAt,
    now: DateTime<Utc>,
) -> Result<CountedAt, Error> {
    let today = local_day(now, agreement.time_zone);
    let tenants = Tenants::of(tx, agreement, Some(last), (today, now)).await?;
    Ok(tenants.counted(agreement, today))
}

/// What is known of the tenants that were ever the reseller's.
struct Tenants {
    placements: BTreeMap<TenantId, Vec<Placement>>,
    below: Vec<Below>,
    /// With nothing billed of them.
    cycles: Cycles,
    /// Of those that ever used anything.
    logs: BTreeMap<TenantId, Logs>,
}

impl Tenants {
    /// With what it takes to bill boundaries up to a day, after the last that was billed.
    async fn of(
        tx: &mut SystemTx,
        agreement: &Agreement,
        last: Option<&CountedAt>,
        (until, now): (NaiveDate, DateTime<Utc>),
    ) -> Result<Self, Error> {
        let mut placements = BTreeMap::<TenantId, Vec<Placement>>::new();
        for placement in placement::of_reseller(tx, agreement.reseller_id).await? {
            placements.entry(placement.tenant_id).or_default().push(placement);
        }
        let below = store::below(tx, agreement.reseller_id).await?;
        let cycles = store::cycles(tx, agreement.reseller_id).await?;
        let mut tenants = Self { placements, below, cycles, logs: BTreeMap::new() };
        let ids: Vec<TenantId> = tenants.placements.keys().copied().collect();
        // By the last day all is known that any of the boundaries knows.
        let settled = last.map(|last| tenants.counted_of(ids.iter(), agreement, until).settled(last));
        let cycles = tenants.cycles.get(&Item::Storage).into_iter().flatten();
        let cycles = cycles.map(|state| (state.cycle, state.zone));
        let from = sampled_from(cycles, settled.unwrap_or(agreement.starts_on), agreement.time_zone);
        tenants.logs = Logs::read(tx, &ids, &agreement.items(), (Some(from), now)).await?;
        Ok(tenants)
    }

    /// The account of every tenant that ever used anything, with what was billed of each and of the commitment.
    fn account<'a>(
        &self,
        agreement: &'a Agreement,
        mut billed: BTreeMap<Option<TenantId>, BilledLines>,
    ) -> Result<Account<'a>, Error> {
        let mut parties = Vec::new();
        for (tenant_id, logs) in &self.logs {
            parties.push(Party {
                tenant_id: *tenant_id,
                used: logs.used(logs.known()).ok_or(Error::Stored("event log"))?,
                cycles: with_lines(&self.cycles, billed.remove(&Some(*tenant_id)).unwrap_or_default())?,
            });
        }
        let commitment = with_lines(&self.cycles, billed.remove(&None).unwrap_or_default())?;
        if billed.is_empty() {
            Ok(Account::new(agreement, parties, commitment))
        } else {
            Err(Error::Stored("line"))
        }
    }

    /// On which days each tenant that ever used anything counts, as far as is known at a boundary.
    fn counted(&self, agreement: &Agreement, boundary: NaiveDate) -> CountedAt {
        self.counted_of(self.logs.keys(), agreement, boundary)
    }

    fn counted_of<'a>(
        &self,
        ids: impl Iterator<Item = &'a TenantId>,
        agreement: &Agreement,
        boundary: NaiveDate,
    ) -> CountedAt {
        let days = |placements: &Vec<Placement>| {
            counted(agreement.reseller_id, placements, &self.below, agreement.time_zone, boundary)
        };
        let of = |id: &TenantId| (*id, self.placements.get(id).map(days).unwrap_or_default());
        CountedAt { boundary, tenants: ids.map(of).collect() }
    }

    fn known(&self) -> BTreeMap<TenantId, Known> {
        self.logs.iter().map(|(tenant_id, logs)| (*tenant_id, logs.known())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    use chrono_tz::Tz;
    use kernel::{PriceBookId, PriceId, WholesaleAgreementId};
    use uuid::Uuid;

    use super::super::agreement::AgreedTerms;
    use super::*;
    use crate::price_book::CycleLength;
    use crate::rating::{PriceBasis, RemovalPolicy, SuspensionPolicy, Tariff};
    use crate::subscription::SubscribedPrice;

    fn agreement(starts_on: NaiveDate) -> Agreement {
        let price = SubscribedPrice {
            id: PriceId::from_uuid(Uuid::nil()),
            tariff: Tariff::Flat("4".parse().unwrap()),
            currency: "EUR".parse().unwrap(),
            basis: PriceBasis::Exclusive,
            removal: RemovalPolicy::CreditToBalance,
            suspension: SuspensionPolicy::Continue,
            included_bytes: None,
        };
        let terms = AgreedTerms {
            starts_on,
            price_book_id: PriceBookId::from_uuid(Uuid::nil()),
            price_book_version: 1,
            term_months: 1,
            seats_committed: 0,
            price,
            beside: BTreeMap::new(),
        };
        Agreement {
            id: WholesaleAgreementId::from_uuid(Uuid::nil()),
            reseller_id: ResellerId::from_uuid(Uuid::nil()),
            operator_name: String::new(),
            terms,
            interval: CycleLength::Month,
            currency: "EUR".parse().unwrap(),
            time_zone: Tz::UTC,
            anchor_date: starts_on,
            starts_on,
            next_invoice_on: starts_on,
            parked_reason: None,
            version: 1,
            created_at: DateTime::default(),
            earlier: Vec::new(),
        }
    }

    /// Tells which thread lets go of it.
    struct Held(Sender<ThreadId>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[tokio::test]
    async fn rating_is_away_from_the_threads_that_serve_connections_with_what_is_held_for_it() {
        let until: NaiveDate = "2026-01-01".parse().unwrap();
        let (placements, below, logs) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let tenants = Tenants { placements, below, cycles: Cycles::new(), logs };
        // Billed to somebody who never used anything: rating fails, and lets go of it.
        let billed = BTreeMap::from([(Some(TenantId::from_uuid(Uuid::nil())), BilledLines::new())]);
        let books = Books { agreement: agreement(until), tenants, billed, last: None, until };
        let (tells, told) = channel();
        assert!(matches!(books.rate(Held(tells)).await, Err(Error::Stored("line"))));
        assert_ne!(told.recv().unwrap(), thread::current().id());
    }
}
