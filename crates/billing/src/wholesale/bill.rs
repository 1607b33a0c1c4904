//! Billing one agreement: one transaction that locks its row, rates every tenant at each due boundary, and writes the
//! documents.

mod document;
pub(crate) mod store;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::{ResellerId, TenantId};
use tenancy::placement::{self, Placement};
use tenancy::{Caller, seats};

use super::agreement::{self, Agreement};
use super::counted::{Below, Counted, counted};
use super::rate::{Account, Party, settled, with_lines};
use super::system;
use crate::Error;
use crate::price_book::Item;
use crate::rating::{Log, local_day, steps_of_changes};
use crate::run::account::{Outcome, Treatment};

/// Bills every boundary of an agreement up to a day, or up to the present day in its calendar if that is earlier.
///
/// What cannot be rated or taxed parks the agreement, with the reason. Only the database's faults are errors.
pub(crate) async fn bill(
    caller: &Caller,
    reseller_id: ResellerId,
    as_of: NaiveDate,
    treatment: Treatment,
) -> Result<Outcome, Error> {
    match claim_and_bill(caller, reseller_id, as_of, treatment).await {
        Err(error) if is_done_elsewhere(&error) => Ok(Outcome::Elsewhere),
        Err(error @ (Error::Rating(_) | Error::Untaxable(_) | Error::Stored(_))) => {
            tracing::warn!(reseller.id = %reseller_id, error = %error, "an agreement is parked");
            let mut tx = system(caller.db()).await?;
            store::park(&mut tx, reseller_id, &error.to_string(), caller.db().env().now()).await?;
            tx.commit().await?;
            Ok(Outcome::Parked)
        }
        other => other,
    }
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
    treatment: Treatment,
) -> Result<Outcome, Error> {
    let mut tx = system(caller.db()).await?;
    let Some(is_parked) = store::claim(&mut tx, reseller_id, treatment.waits).await? else {
        return Ok(Outcome::Held);
    };
    if is_parked && !treatment.retries_parked {
        return Ok(Outcome::Parked);
    }
    let agreement = agreement::store::find(&mut tx, reseller_id).await?.ok_or(Error::Stored("agreement"))?;
    let now = caller.db().env().now();
    let until = as_of.min(local_day(now, agreement.time_zone));
    if agreement.next_invoice_on > until {
        return Ok(Outcome::Elsewhere);
    }
    let mut tenants = Tenants::of(&mut tx, &agreement, now).await?;
    let mut account = tenants.account(&mut tx, &agreement).await?;
    let mut documents = Vec::new();
    let mut before = store::changes_billed_until(&mut tx, reseller_id, Item::Mailbox.as_str()).await?;
    let mut boundary = agreement.next_invoice_on;
    while boundary <= until {
        let counted = tenants.counted(&agreement, boundary);
        let of = |tenant_id| counted.get(&tenant_id).cloned().unwrap_or_default();
        let (lines, known) = account.bill(boundary, of)?;
        for state in account.cycles.iter().skip(known) {
            store::cover_cycle(&mut tx, reseller_id, Item::Mailbox.as_str(), state).await?;
        }
        store::record_boundary(&mut tx, reseller_id, boundary, agreement.terms_known()).await?;
        for (tenant_id, days) in &counted {
            let known = tenants.changes_known(*tenant_id);
            store::record_tenant(&mut tx, reseller_id, boundary, *tenant_id, known, days).await?;
        }
        if let Some(changes) = settled(before, &agreement, boundary) {
            store::cover_changes(&mut tx, reseller_id, Item::Mailbox.as_str(), changes).await?;
        }
        if !lines.is_empty() {
            documents.push((boundary, lines));
        }
        before = Some(boundary);
        boundary = account.next_boundary(boundary)?;
    }
    let (invoices, credit_notes) = document::finalise(&mut tx, caller, &agreement, &documents).await?;
    store::advance(&mut tx, reseller_id, boundary).await?;
    tx.commit().await?;
    Ok(Outcome::Billed { invoices, credit_notes, drafts: 0 })
}

/// What is known of the tenants that were ever the reseller's.
struct Tenants {
    placements: BTreeMap<TenantId, Vec<Placement>>,
    below: Vec<Below>,
    seat_changes: BTreeMap<TenantId, Vec<seats::SeatChange>>,
}

impl Tenants {
    async fn of(
        tx: &mut db::SystemTx,
        agreement: &Agreement,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Self, Error> {
        let mut placements = BTreeMap::<TenantId, Vec<Placement>>::new();
        for placement in placement::of_reseller(tx, agreement.reseller_id).await? {
            placements.entry(placement.tenant_id).or_default().push(placement);
        }
        let ids: Vec<TenantId> = placements.keys().copied().collect();
        let mut seat_changes = BTreeMap::<TenantId, Vec<seats::SeatChange>>::new();
        for (tenant_id, change) in seats::changes_of(tx, &ids, now).await? {
            seat_changes.entry(tenant_id).or_default().push(change);
        }
        Ok(Self { placements, below: store::below(tx, agreement.reseller_id).await?, seat_changes })
    }

    /// The account of every tenant that ever held a seat.
    async fn account<'a>(
        &mut self,
        tx: &mut db::SystemTx,
        agreement: &'a Agreement,
    ) -> Result<Account<'a>, Error> {
        let cycles = store::cycles(tx, agreement.reseller_id, Item::Mailbox.as_str()).await?;
        let mut billed = store::billed_lines(tx, agreement.reseller_id, Item::Mailbox.as_str()).await?;
        let mut parties = Vec::new();
        for (tenant_id, changes) in &self.seat_changes {
            parties.push(Party {
                tenant_id: *tenant_id,
                log: log_of(changes.iter().map(|change| (change.at, i64::from(change.delta)))),
                cycles: with_lines(&cycles, billed.remove(&Some(*tenant_id)).unwrap_or_default())?,
            });
        }
        let commitment = with_lines(&cycles, billed.remove(&None).unwrap_or_default())?;
        if billed.is_empty() {
            Ok(Account::new(agreement, parties, commitment))
        } else {
            Err(Error::Stored("line"))
        }
    }

    /// On which days each tenant that ever held a seat counts, as far as is known at a boundary.
    fn counted(&self, agreement: &Agreement, boundary: NaiveDate) -> BTreeMap<TenantId, Vec<Counted>> {
        let days = |placements: &Vec<Placement>| {
            counted(agreement.reseller_id, placements, &self.below, agreement.time_zone, boundary)
        };
        self.seat_changes
            .keys()
            .map(|id| (*id, self.placements.get(id).map(days).unwrap_or_default()))
            .collect()
    }

    fn changes_known(&self, tenant_id: TenantId) -> usize {
        self.seat_changes.get(&tenant_id).map_or(0, Vec::len)
    }
}

/// A tenant's log; what it committed to itself is between it and the reseller.
pub(crate) fn log_of(changes: impl Iterator<Item = (chrono::DateTime<chrono::Utc>, i64)>) -> Log {
    Log { seats: steps_of_changes(changes), committed: Vec::new() }
}
