//! Billing one agreement: one transaction that locks its row, rates every tenant at each due boundary, and writes the
//! documents.

pub(crate) mod store;

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use kernel::{InvoiceId, Money, ResellerId, TenantId};
use serde_json::json;
use tenancy::placement::{self, Placement};
use tenancy::{Caller, Scope, event, seats};

use super::agreement::{self, Agreement};
use super::counted::{Below, Counted, counted};
use super::invoice::{NewInvoice, WholesaleLine, store as invoices};
use super::rate::{Account, Party, PartyLine, net_of, settled, with_lines};
use super::system;
use crate::Error;
use crate::invoice::DocumentKind;
use crate::ledger::{self, Posting};
use crate::price_book::MAILBOX;
use crate::profile::DAYS_TO_PAY;
use crate::rating::{Line, LineKind, Log, local_day, steps_of_changes};
use crate::run::account::{Outcome, Treatment};
use crate::series::{self, OPERATOR};

/// Bills every boundary of an agreement up to a day, or up to the present day in its calendar if that is earlier.
///
/// What cannot be rated parks the agreement, with the reason. Only the database's faults are errors.
pub(crate) async fn bill(
    caller: &Caller,
    reseller_id: ResellerId,
    as_of: NaiveDate,
    treatment: Treatment,
) -> Result<Outcome, Error> {
    match claim_and_bill(caller, reseller_id, as_of, treatment).await {
        Err(error) if is_done_elsewhere(&error) => Ok(Outcome::Elsewhere),
        Err(error @ (Error::Rating(_) | Error::Stored(_))) => {
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
    let mut before = store::changes_billed_until(&mut tx, reseller_id, MAILBOX).await?;
    let mut boundary = agreement.next_invoice_on;
    while boundary <= until {
        let counted = tenants.counted(&agreement, boundary);
        let of = |tenant_id| counted.get(&tenant_id).cloned().unwrap_or_default();
        let (lines, known) = account.bill(boundary, of)?;
        for state in account.cycles.iter().skip(known) {
            store::cover_cycle(&mut tx, reseller_id, MAILBOX, state).await?;
        }
        store::record_boundary(&mut tx, reseller_id, boundary, agreement.terms_known()).await?;
        for (tenant_id, days) in &counted {
            let known = tenants.changes_known(*tenant_id);
            store::record_tenant(&mut tx, reseller_id, boundary, *tenant_id, known, days).await?;
        }
        if let Some(changes) = settled(before, &agreement, boundary) {
            store::cover_changes(&mut tx, reseller_id, MAILBOX, changes).await?;
        }
        if !lines.is_empty() {
            documents.push((boundary, lines));
        }
        before = Some(boundary);
        boundary = account.next_boundary(boundary)?;
    }
    let (invoices, credit_notes) = finalise(&mut tx, caller, &agreement, &documents).await?;
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
        let cycles = store::cycles(tx, agreement.reseller_id, MAILBOX).await?;
        let mut billed = store::billed_lines(tx, agreement.reseller_id, MAILBOX).await?;
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

/// Numbers and writes the documents, as those of tenants: the number series is locked for as short as can be, invoices
/// before credit notes.
async fn finalise(
    tx: &mut db::SystemTx,
    caller: &Caller,
    agreement: &Agreement,
    documents: &[(NaiveDate, Vec<PartyLine>)],
) -> Result<(u64, u64), Error> {
    let names = store::names(tx, agreement.reseller_id, documents).await?;
    let mut numbers = BTreeMap::new();
    for kind in [DocumentKind::Invoice, DocumentKind::CreditNote] {
        for (boundary, lines) in documents {
            if DocumentKind::of_total(net_of(lines)?) == kind {
                numbers.insert(*boundary, series::store::take(tx.conn(), OPERATOR, kind.series()).await?);
            }
        }
    }
    let env = caller.db().env();
    // Lists are ordered by id: those made in one millisecond shall be in the order of their boundaries, too.
    let mut ids: Vec<InvoiceId> = documents.iter().map(|_| env.new_id()).collect();
    ids.sort_unstable();
    let (mut invoices, mut credit_notes) = (0, 0);
    for ((boundary, lines), id) in documents.iter().zip(ids) {
        let net_minor = net_of(lines)?;
        let new = NewInvoice {
            id,
            reseller_id: agreement.reseller_id,
            kind: DocumentKind::of_total(net_minor),
            number: numbers.remove(boundary).ok_or(Error::Stored("number series"))?,
            issuer_name: &agreement.operator_name,
            customer_name: &names.reseller,
            currency: agreement.currency,
            issued_on: *boundary,
            due_on: boundary
                .checked_add_days(Days::new(DAYS_TO_PAY.into()))
                .ok_or(Error::Stored("boundary"))?,
            net_minor,
            finalized_at: env.now(),
        };
        write(tx, &new, agreement, &names, lines).await?;
        // Resellers above see the trail too, and are not to know how much.
        let data = json!({"kind": new.kind.as_str(), "number": new.number, "issued_on": new.issued_on});
        let trail = Scope::Reseller(agreement.reseller_id);
        let event = event::Kind::WholesaleInvoiceFinalized;
        event::record_on(tx, caller, trail, event, new.id, data).await?;
        match new.kind {
            DocumentKind::Invoice => invoices += 1,
            DocumentKind::CreditNote => credit_notes += 1,
        }
    }
    Ok((invoices, credit_notes))
}

async fn write(
    tx: &mut db::SystemTx,
    new: &NewInvoice<'_>,
    agreement: &Agreement,
    names: &store::Names,
    lines: &[PartyLine],
) -> Result<(), Error> {
    // Read before the document itself is there.
    let creditable =
        if new.net_minor < 0 { invoices::creditable(tx, new.reseller_id).await? } else { Vec::new() };
    invoices::insert(tx, new).await?;
    let mut shown = Vec::new();
    for (tenant_id, line) in lines {
        let price = agreement.price_at(&line.rate.tariff).ok_or(Error::Stored("price"))?;
        let line_shown = WholesaleLine {
            tenant: tenant_id.map(|id| names.of(id)).transpose()?,
            description: describe(*tenant_id, line, lines, agreement),
            item: MAILBOX.into(),
            kind: line.kind,
            period: line.charge.period,
            quantity: line.charge.quantity,
            seat_days: line.charge.seat_days,
            price_id: price.id,
            unit_price: line.rate.tariff.unit_price().ok_or(Error::Stored("unit price"))?,
            amount: Money::new(line.charge.amount_minor, new.currency),
        };
        shown.push((line_shown, line.cycle));
    }
    invoices::insert_lines(tx, new, &shown).await?;
    let posting = Posting {
        document: new.id,
        kind: new.kind,
        issuer: OPERATOR,
        currency: new.currency,
        net_minor: new.net_minor,
        tax_minor: 0,
        effective_on: new.issued_on,
        posted_at: new.finalized_at,
    };
    ledger::post_wholesale(tx, new.reseller_id, &posting).await?;
    // The newest invoices first. What was credited never exceeds what was invoiced.
    let mut left = new.net_minor.saturating_neg();
    for (invoice, open) in creditable {
        if left > 0 {
            invoices::insert_reference(tx, new, invoice, open.min(left)).await?;
            left -= open.min(left);
        }
    }
    if left > 0 { Err(Error::Stored("sum of credits")) } else { Ok(()) }
}

fn describe(tenant: Option<TenantId>, line: &Line, all: &[PartyLine], agreement: &Agreement) -> String {
    let period = line.charge.period;
    let last_day = period.end().pred_opt().unwrap_or(period.end());
    // A change of the price takes the days off at the old one and puts them on at the new one.
    let is_repriced = line.kind != LineKind::Recurring
        && all.iter().any(|(whose, other)| {
            *whose == tenant
                && other.cycle == line.cycle
                && other.rate != line.rate
                && other.charge.period.start() < period.end()
                && period.start() < other.charge.period.end()
        });
    let what = match (tenant, line.kind, is_repriced) {
        (Some(_), LineKind::Recurring, _) => format!("mailboxes, per {}", agreement.interval.as_str()),
        (Some(_), LineKind::Proration, false) => "mailboxes added".to_owned(),
        (Some(_), LineKind::Credit, false) => "mailboxes removed".to_owned(),
        (Some(_), LineKind::Proration, true) => "mailboxes at the new price".to_owned(),
        (Some(_), LineKind::Credit, true) => "mailboxes at the former price, unused".to_owned(),
        (None, LineKind::Recurring, _) => {
            format!("mailboxes committed and not used, per {}", agreement.interval.as_str())
        }
        (None, LineKind::Proration, _) => "mailboxes committed and not used any more".to_owned(),
        (None, LineKind::Credit, _) => "mailboxes committed and used after all".to_owned(),
    };
    format!("{what}, {} to {last_day}", period.start())
}
