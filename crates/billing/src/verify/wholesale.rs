//! Verifying what the operator billed a reseller, as what resellers billed their tenants.

mod store;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::{InvoiceId, Money, Page, PageRequest, ResellerId, TenantId};
use tenancy::Caller;

use super::difference::{Difference, LineFigures};
use super::{Verified, corrections, system, tax, unbilled};
use crate::Error;
use crate::invoice::tax::{Past, Shown};
use crate::invoice::{Billing, Filter, InvoiceLineKind};
use crate::price_book::Item;
use crate::rating::{Billed, CycleState, PriceBasis, RatingError};
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
    billing: Billing,
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
    let Documents { billed: documents, voids } = documents(&mut tx, reseller_id).await?;
    let unbilled = store::unbilled(&mut tx, reseller_id).await?;
    {
        let billed: Vec<unbilled::Document<'_>> = documents.values().map(Into::into).collect();
        let voids: Vec<unbilled::Document<'_>> = voids.iter().map(Into::into).collect();
        differences.extend(unbilled::check(&billed, &voids, &unbilled));
    }
    let corrected = {
        let billed: Vec<_> = documents.values().filter_map(corrections::Document::of_reseller).collect();
        corrections::check(&billed, &unbilled, &store::references(&mut tx, reseller_id).await?)?
    };
    let mut replay = Replay {
        recorded: store::boundaries(&mut tx, reseller_id).await?,
        logs: logs(&mut tx, &agreement).await?,
        documents,
        unbilled,
        stored: billed::cycles(&mut tx, reseller_id).await?,
        rates: tax_rate::store::rates(tx.conn(), OPERATOR).await?,
        kept: Vec::new(),
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
    // Beside a wrong line it would say the same again.
    if differences.is_empty() {
        differences.extend(corrected);
    }
    Ok(())
}

/// All logs of every tenant that was ever billed, not those up to now: the clock of the server that billed may be ahead.
async fn logs(tx: &mut SystemTx, agreement: &Agreement) -> Result<BTreeMap<TenantId, Logs>, Error> {
    let tenants = store::tenants(tx, agreement.reseller_id).await?;
    Logs::read(tx, &tenants, &agreement.items(), (None, DateTime::<Utc>::MAX_UTC)).await
}

/// A reseller's documents.
struct Documents {
    /// By what they were made by.
    billed: BTreeMap<Billing, WholesaleInvoice>,
    /// The credit notes that void an invoice.
    voids: Vec<WholesaleInvoice>,
}

async fn documents(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Documents, Error> {
    let mut all = Documents { billed: BTreeMap::new(), voids: Vec::new() };
    let mut after = None;
    loop {
        let request = PageRequest::new(Some(PageRequest::MAX_LIMIT), after);
        let rows = invoice::store::list(tx, reseller_id, Filter::default(), &request).await?;
        let page = Page::cut(rows, &request, |invoice| invoice.id.uuid());
        for document in page.items {
            match document.billing {
                Some(billing) => drop(all.billed.insert(billing, document)),
                None => all.voids.push(document),
            }
        }
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
    /// By what they were made by; those that are computed are taken out.
    documents: BTreeMap<Billing, WholesaleInvoice>,
    /// What counts as billed no more, and after which billing that was.
    unbilled: Vec<(Billing, InvoiceId)>,
    /// The operator's rates of tax, in the order in which they were added.
    rates: Vec<TaxRate>,
    /// The documents that count as billed so far, in their order, and how they were taxed.
    kept: Vec<WholesaleInvoice>,
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
            let Billing { boundary, revision } = known.billing;
            // Billed again: only ever the last.
            let is_again = revision > 1 && last.is_some_and(|last: &CountedAt| last.boundary == boundary);
            if boundary != due && !is_again {
                differences.push(Difference::Boundary { computed: Some(due), stored: Some(boundary) });
            }
            let cut = || Box::new(Difference::LogCut { boundary });
            let agreement = self.agreement.with_first_terms(known.terms).ok_or_else(cut)?;
            let at_boundary = self.parties(known, &mut parties).ok_or_else(cut)?;
            let mut account = Account::new(&agreement, at_boundary, cycles);
            // As the run did: one that bills a boundary again looks at every cycle.
            let before = last.replace(&known.counted).filter(|_| revision == 1);
            let settled = before.map(|before| known.counted.settled(before));
            let made =
                account.bill(&known.counted, settled).map_err(|error| not_ratable(boundary, &error))?;
            let lines = made.lines;
            due = account.next_boundary(boundary).map_err(|error| not_ratable(boundary, &error))?;
            let computed = lines
                .iter()
                .map(|line| computed(line, &agreement))
                .collect::<Option<Vec<_>>>()
                .ok_or(Difference::Unreadable("price"))?;
            let stored = self.documents.remove(&known.billing);
            let found_before = differences.len();
            compare(boundary, &computed, stored.as_ref(), differences);
            let are_as_rated = differences.len() == found_before;
            // Beside a wrong line they would say the same again.
            differences.extend(self.taxes(&lines, stored.as_ref()).into_iter().filter(|_| are_as_rated));
            let Account { parties: billed, cycles: opened, .. } = account;
            parties.extend(billed.into_iter().map(|party| (party.tenant_id, party)));
            cycles = opened;
            self.kept.extend(stored);
            for document in self.let_go(known.billing) {
                take_out(&document, &mut parties, &mut cycles);
            }
        }
        // What was voided since is billed by the next run, as of the last boundary.
        let last = recorded.last().map(|last| last.billing);
        let again = last.filter(|last| self.unbilled.iter().any(|(after, _)| after == last));
        let next = again.map_or(due, |last| last.boundary);
        if next != self.agreement.next_invoice_on {
            differences.push(Difference::Boundary {
                computed: Some(next),
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

    /// Lets the documents go that count as billed no more since a billing.
    fn let_go(&mut self, after: Billing) -> Vec<WholesaleInvoice> {
        let since = self.unbilled.iter().filter(|(billing, _)| *billing == after);
        let since: BTreeSet<InvoiceId> = since.map(|(_, id)| *id).collect();
        if since.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.kept).into_iter();
        let (gone, kept): (Vec<_>, Vec<_>) = all.partition(|document| since.contains(&document.id));
        self.past = Past::default();
        for document in &kept {
            tax::Stored::from(document).take_into(&mut self.past);
        }
        self.kept = kept;
        gone
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

/// Takes out of what was billed the lines of a document.
fn take_out(document: &WholesaleInvoice, parties: &mut BTreeMap<TenantId, Party>, of_nobody: &mut Cycles) {
    for (first, line) in parts(document) {
        let cycles = match line.tenant_id {
            Some(id) => parties.get_mut(&id).map(|party| &mut party.cycles),
            None => Some(&mut *of_nobody),
        };
        let item = first.item.parse::<Item>().ok();
        let of_item = cycles.zip(item).and_then(|(cycles, item)| cycles.get_mut(&item));
        let is_it = |billed: &Billed| {
            (billed.period, billed.quantity, billed.amount_minor)
                == (line.period, line.quantity, line.amount.amount_minor)
                && billed.rate.tariff.unit_price() == line.unit_price
        };
        let of_cycle = |state: &&mut CycleState| state.cycle.charged.start() == first.cycle_starts_on;
        let Some(state) = of_item.and_then(|states| states.iter_mut().find(of_cycle)) else { continue };
        if let Some(at) = state.billed.iter().position(is_it) {
            state.billed.remove(at);
        }
    }
}

/// The lines as they were rated.
fn rated_lines(document: &WholesaleInvoice) -> Vec<LineFigures> {
    parts(document).map(|(_, line)| line).collect()
}

/// The lines as they were rated, the parts of one together, each with its first part.
fn parts(document: &WholesaleInvoice) -> impl Iterator<Item = (&WholesaleLine, LineFigures)> {
    let parts = document.lines.chunk_by(|one, next| one.rated_position == next.rated_position);
    parts.filter_map(|parts| {
        let (first, others) = parts.split_first()?;
        let whole = others.iter().map(as_stored).fold(as_stored(first), |sum, part| LineFigures {
            quantity: sum.quantity.saturating_add(part.quantity),
            seat_days: sum.seat_days.saturating_add(part.seat_days),
            amount: Money::new(
                sum.amount.amount_minor.saturating_add(part.amount.amount_minor),
                sum.amount.currency,
            ),
            ..sum
        });
        Some((first, whole))
    })
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
