//! Verifying what the operator billed a reseller, as what resellers billed their tenants.

mod store;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::{Money, Page, PageRequest, ResellerId, TenantId};
use tenancy::Caller;

use super::difference::{Difference, LineFigures};
use super::{Verified, system, tax};
use crate::Error;
use crate::invoice::InvoiceLineKind;
use crate::invoice::tax::{Past, Shown};
use crate::rating::{PriceBasis, RatingError};
use crate::series::OPERATOR;
use crate::subscription::{Cycles, RatedLine};
use crate::tax_rate::{self, TaxRate};
use crate::wholesale::agreement::{self, Agreement};
use crate::wholesale::bill::store as billed;
use crate::wholesale::counted::CountedAt;
use crate::wholesale::invoice::{self, WholesaleInvoice, WholesaleLine};
use crate::wholesale::logs::{Known, Logs};
use crate::wholesale::rate::{Account, Party, PartyLine, amounts};

pub(super) use store::agreements;

/// A boundary that was billed, and what was known then.
#[derive(Debug)]
struct Recorded {
    counted: CountedAt,
    terms: usize,
    logs: BTreeMap<TenantId, Known>,
}

pub(super) async fn look(
    caller: &Caller,
    reseller_id: ResellerId,
    verified: &mut Verified,
    differences: &mut Vec<Difference>,
) -> Result<(), Error> {
    let mut tx = system(caller).await?;
    store::hold(&mut tx, reseller_id).await?;
    let sums = store::document_sums(&mut tx, reseller_id).await?;
    verified.documents += sums.len() as u64;
    verified.transfers += store::count_transfers(&mut tx, reseller_id).await?.unsigned_abs();
    for document in &sums {
        document.check(differences)?;
    }
    differences.extend(store::transfer_faults(&mut tx, reseller_id).await?);
    differences.extend(store::balances_apart(&mut tx, reseller_id).await?);
    differences.extend(store::over_refunded(&mut tx, reseller_id).await?);
    let agreement = agreement::store::find(&mut tx, reseller_id).await?.ok_or(Error::NotFound)?;
    let mut replay = Replay {
        recorded: store::boundaries(&mut tx, reseller_id).await?,
        logs: logs(&mut tx, &agreement).await?,
        documents: documents(&mut tx, reseller_id).await?,
        stored: billed::cycles(&mut tx, reseller_id).await?,
        rates: tax_rate::store::rates(tx.conn(), OPERATOR).await?,
        past: Past::default(),
        is_broken: false,
        agreement,
    };
    if let Err(stop) = replay.play(differences) {
        differences.push(*stop);
        return Ok(());
    }
    let unfounded = |document: &WholesaleInvoice| Difference::DocumentUnfounded {
        document: document.id,
        issued_on: document.issued_on,
    };
    differences.extend(replay.documents.values().map(unfounded));
    Ok(())
}

/// All logs of every tenant that was ever billed, not those up to now: the clock of the server that billed may be ahead.
async fn logs(tx: &mut SystemTx, agreement: &Agreement) -> Result<BTreeMap<TenantId, Logs>, Error> {
    let tenants = store::tenants(tx, agreement.reseller_id).await?;
    Logs::read(tx, &tenants, &agreement.items(), (None, DateTime::<Utc>::MAX_UTC)).await
}

async fn documents(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<BTreeMap<NaiveDate, WholesaleInvoice>, Error> {
    let mut all = BTreeMap::new();
    let mut after = None;
    loop {
        let request = PageRequest::new(Some(PageRequest::MAX_LIMIT), after);
        let rows = invoice::store::list(tx, reseller_id, &request).await?;
        let page = Page::cut(rows, &request, |invoice| invoice.id.uuid());
        all.extend(page.items.into_iter().map(|invoice| (invoice.issued_on, invoice)));
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Everything that an agreement's documents are computed from, and the documents.
#[derive(Debug)]
struct Replay {
    agreement: Agreement,
    recorded: Vec<Recorded>,
    logs: BTreeMap<TenantId, Logs>,
    /// The cycles as they are stored.
    stored: Cycles,
    /// By the day that they were issued on; those that are computed are taken out.
    documents: BTreeMap<NaiveDate, WholesaleInvoice>,
    /// The operator's rates of tax, in the order in which they were added.
    rates: Vec<TaxRate>,
    /// What was taxed before.
    past: Past,
    /// Whether a document is missing: nobody can say how it was taxed, nor what is credited of it.
    is_broken: bool,
}

impl Replay {
    /// Computes every document again, from the first boundary on. Stops at the first that cannot be computed: those after
    /// it could not be, either.
    fn play(&mut self, differences: &mut Vec<Difference>) -> Result<(), Box<Difference>> {
        let recorded = std::mem::take(&mut self.recorded);
        let (mut parties, mut cycles) = (BTreeMap::new(), Cycles::new());
        let (mut due, mut last) = (self.agreement.starts_on, None);
        for known in &recorded {
            let boundary = known.counted.boundary;
            if boundary != due {
                differences.push(Difference::Boundary { computed: Some(due), stored: Some(boundary) });
            }
            let cut = || Box::new(Difference::LogCut { boundary });
            let agreement = self.agreement.with_first_terms(known.terms).ok_or_else(cut)?;
            let at_boundary = self.parties(known, &mut parties).ok_or_else(cut)?;
            let mut account = Account::new(&agreement, at_boundary, cycles);
            let settled = last.replace(&known.counted).map(|last| known.counted.settled(last));
            let made =
                account.bill(&known.counted, settled).map_err(|error| not_ratable(boundary, &error))?;
            let lines = made.lines;
            due = account.next_boundary(boundary).map_err(|error| not_ratable(boundary, &error))?;
            let computed = lines
                .iter()
                .map(|line| computed(line, &agreement))
                .collect::<Option<Vec<_>>>()
                .ok_or(Difference::Unreadable("price"))?;
            let stored = self.documents.remove(&boundary);
            let before = differences.len();
            compare(boundary, &computed, stored.as_ref(), differences);
            let are_as_rated = differences.len() == before;
            // Beside a wrong line they would say the same again.
            differences.extend(self.taxes(&lines, stored.as_ref()).into_iter().filter(|_| are_as_rated));
            let Account { parties: billed, cycles: opened, .. } = account;
            parties.extend(billed.into_iter().map(|party| (party.tenant_id, party)));
            cycles = opened;
        }
        if due != self.agreement.next_invoice_on {
            differences.push(Difference::Boundary {
                computed: Some(due),
                stored: Some(self.agreement.next_invoice_on),
            });
        }
        let days = |cycles: &Cycles| -> BTreeSet<_> {
            let states =
                cycles.iter().flat_map(|(item, states)| states.iter().map(move |state| (*item, state)));
            states.map(|(item, state)| (state.cycle, state.zone.name(), item)).collect()
        };
        let apart = days(&cycles).symmetric_difference(&days(&self.stored)).next().copied();
        differences.extend(apart.map(|(cycle, ..)| Difference::Cycle { starts_on: cycle.charged.start() }));
        Ok(())
    }

    /// Taxes the lines that a boundary owes, and compares with its document, which is then of what was taxed before.
    fn taxes(&mut self, lines: &[PartyLine], stored: Option<&WholesaleInvoice>) -> Vec<Difference> {
        self.is_broken |= stored.is_none() && !lines.is_empty();
        let Some(stored) = stored.filter(|_| !self.is_broken).map(tax::Stored::from) else {
            return Vec::new();
        };
        let found = stored.treatment(&self.rates).and_then(|treatment| {
            let taxed =
                self.past.history.clone().tax(PriceBasis::Exclusive, treatment.group, &amounts(lines));
            let taxed = taxed.map_err(|error| stored.not_taxable(error))?;
            let shown: Vec<Shown> =
                taxed.parts.iter().map(|part| Shown { part: *part, is_discount: false }).collect();
            Ok(stored.compare(&taxed, &shown))
        });
        stored.take_into(&mut self.past);
        found.unwrap_or_else(|difference| vec![*difference])
    }

    /// The tenants as they were known at a boundary, with what was billed of them before; `None` if the log has less.
    fn parties(&self, at: &Recorded, before: &mut BTreeMap<TenantId, Party>) -> Option<Vec<Party>> {
        let nothing = Logs::default();
        at.logs
            .iter()
            .map(|(tenant_id, known)| {
                let used = self.logs.get(tenant_id).unwrap_or(&nothing).used(*known)?;
                let cycles = before.remove(tenant_id).map(|party| party.cycles).unwrap_or_default();
                Some(Party { tenant_id: *tenant_id, used, cycles })
            })
            .collect()
    }
}

fn not_ratable(boundary: NaiveDate, error: &Error) -> Box<Difference> {
    let error = match error {
        Error::Rating(error) => *error,
        _ => RatingError::DateRange,
    };
    Box::new(Difference::NotRatable { boundary, error })
}

fn compare(
    boundary: NaiveDate,
    computed: &[LineFigures],
    stored: Option<&WholesaleInvoice>,
    differences: &mut Vec<Difference>,
) {
    let Some(stored) = stored else {
        if !computed.is_empty() {
            differences.push(Difference::DocumentMissing { boundary, lines: computed.len() });
        }
        return;
    };
    let lines = rated_lines(stored);
    for index in 0..lines.len().max(computed.len()) {
        let (line, should_be) = (lines.get(index).copied(), computed.get(index).copied());
        if line != should_be {
            let (document, position) = (stored.id, index + 1);
            differences.push(Difference::Line { document, position, stored: line, computed: should_be });
        }
    }
}

/// The lines as they were rated: the parts of one together.
fn rated_lines(document: &WholesaleInvoice) -> Vec<LineFigures> {
    let parts = document.lines.chunk_by(|one, next| one.rated_position == next.rated_position);
    let whole = |parts: &[WholesaleLine]| {
        let (first, others) = parts.split_first()?;
        Some(others.iter().map(as_stored).fold(as_stored(first), |sum, part| LineFigures {
            quantity: sum.quantity.saturating_add(part.quantity),
            seat_days: sum.seat_days.saturating_add(part.seat_days),
            amount: Money::new(
                sum.amount.amount_minor.saturating_add(part.amount.amount_minor),
                sum.amount.currency,
            ),
            ..sum
        }))
    };
    parts.filter_map(whole).collect()
}

fn as_stored(line: &WholesaleLine) -> LineFigures {
    LineFigures {
        tenant_id: line.tenant.as_ref().map(|tenant| tenant.id),
        kind: InvoiceLineKind::Rated(line.kind),
        period: line.period,
        quantity: line.quantity,
        seat_days: line.seat_days,
        price_id: Some(line.price_id),
        one_off_item_id: None,
        unit_price: line.unit_price,
        amount: line.amount,
    }
}

fn computed(of: &PartyLine, agreement: &Agreement) -> Option<LineFigures> {
    let RatedLine { item, line, .. } = &of.rated;
    Some(LineFigures {
        tenant_id: of.tenant_id,
        kind: InvoiceLineKind::Rated(line.kind),
        period: line.charge.period,
        quantity: line.charge.quantity,
        seat_days: line.charge.seat_days,
        price_id: Some(agreement.price_at(*item, &line.rate.tariff)?.id),
        one_off_item_id: None,
        unit_price: line.rate.tariff.unit_price(),
        amount: Money::new(line.charge.amount_minor, agreement.currency),
    })
}
