//! Taxing the documents again, by the profiles that they keep and the rates that were known.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use kernel::{Currency, InvoiceId, Money, ResellerId};

use super::difference::{Difference, TaxedAmount};
use crate::invoice::issued::{Issued, IssuedLine};
use crate::invoice::tax::{InvoiceTax, OfCycle, Past, Shown, shown, treatment_on};
use crate::invoice::{Invoice, InvoiceLineKind};
use crate::profile::{CustomerProfile, IssuerProfile};
use crate::rating::{PriceBasis, RatingError, TaxGroup, TaxLine, TaxedDocument, Treatment};
use crate::subscription::OwedLine;
use crate::tax_rate::TaxRate;
use crate::wholesale::invoice::WholesaleInvoice;
use crate::{Error, OPERATOR};

/// A document as it is stored, of either level.
pub(super) struct Stored<'a> {
    id: InvoiceId,
    boundary: NaiveDate,
    issuer: Option<&'a IssuerProfile>,
    customer: Option<&'a CustomerProfile>,
    tax_rates_known: i64,
    currency: Currency,
    lines: Vec<StoredLine>,
    taxes: &'a [InvoiceTax],
}

/// One of its lines.
#[derive(Debug, Clone)]
struct StoredLine {
    rated_position: i32,
    cycle: OfCycle,
    group: TaxGroup,
    rated_minor: i64,
    net: Money,
    is_discount: bool,
}

impl<'a> From<&'a Invoice> for Stored<'a> {
    fn from(of: &'a Invoice) -> Self {
        let lines = of.lines.iter().map(|line| StoredLine {
            rated_position: line.rated_position,
            cycle: OfCycle { item: line.item.clone(), starts_on: line.cycle_starts_on },
            group: line.tax,
            rated_minor: line.rated.amount_minor,
            net: line.amount,
            is_discount: line.kind == InvoiceLineKind::Discount,
        });
        Self {
            id: of.id,
            boundary: of.billing.map_or(of.issued_on, |billing| billing.boundary),
            issuer: of.issuer.profile.as_ref(),
            customer: of.customer.profile.as_ref(),
            tax_rates_known: of.tax_rates_known,
            currency: of.currency,
            lines: lines.collect(),
            taxes: &of.taxes,
        }
    }
}

impl<'a> From<&'a WholesaleInvoice> for Stored<'a> {
    fn from(of: &'a WholesaleInvoice) -> Self {
        let lines = of.lines.iter().map(|line| StoredLine {
            rated_position: line.rated_position,
            cycle: OfCycle { item: line.item.clone(), starts_on: line.cycle_starts_on },
            group: line.tax,
            // Prices exclude tax.
            rated_minor: line.amount.amount_minor,
            net: line.amount,
            is_discount: false,
        });
        Self {
            id: of.id,
            boundary: of.billing.map_or(of.issued_on, |billing| billing.boundary),
            issuer: of.issuer.profile.as_ref(),
            customer: of.customer.profile.as_ref(),
            tax_rates_known: of.tax_rates_known,
            currency: of.currency,
            lines: lines.collect(),
            taxes: &of.taxes,
        }
    }
}

impl Stored<'_> {
    /// Adds what it says to what was taxed before.
    pub(super) fn take_into(&self, past: &mut Past) {
        let line = |line: &StoredLine| {
            (line.cycle.clone(), TaxLine { group: line.group, amount_minor: line.rated_minor })
        };
        past.take(self.lines.iter().map(line), self.taxes);
    }

    /// How its charges are treated, of the issuer's rates by those that were known.
    pub(super) fn treatment(&self, rates: &[TaxRate]) -> Result<Treatment, Box<Difference>> {
        let (document, boundary) = (self.id, self.boundary);
        let known = usize::try_from(self.tax_rates_known).ok().and_then(|known| rates.get(..known));
        let known = known.ok_or(Difference::LogCut { boundary })?;
        treatment_on(self.issuer, self.customer, known, boundary)
            .map_err(|error| Box::new(Difference::Untaxable { document, error }))
    }

    pub(super) fn not_taxable(&self, error: RatingError) -> Box<Difference> {
        Box::new(Difference::NotRatable { boundary: self.boundary, error })
    }

    /// Where it differs from what was computed.
    pub(super) fn compare(&self, computed: &TaxedDocument, lines: &[Shown]) -> Vec<Difference> {
        [of_lines(self, lines), of_groups(self, computed)].concat()
    }
}

/// What an account's taxes are computed from.
#[derive(Debug)]
pub(super) struct Account {
    /// Of each issuer, in the order in which they were added.
    rates: BTreeMap<ResellerId, Vec<TaxRate>>,
    /// The documents that count as billed so far, in their order, and what they come to.
    documents: Vec<Invoice>,
    issued: Issued,
    /// Whether a document is missing: nobody can say how it was taxed, nor what is credited of it.
    is_broken: bool,
}

impl Account {
    pub(super) fn new(rates: BTreeMap<ResellerId, Vec<TaxRate>>) -> Self {
        Self { rates, documents: Vec::new(), issued: Issued::default(), is_broken: false }
    }

    /// Takes a document as it is stored, after it was compared or because it cannot be.
    pub(super) fn keep(&mut self, document: Invoice) {
        take_into(&document, &mut self.issued);
        self.documents.push(document);
    }

    /// Lets a document go that counts as billed no more; `None` if it never did.
    pub(super) fn let_go(&mut self, id: InvoiceId) -> Option<Invoice> {
        let at = self.documents.iter().position(|document| document.id == id)?;
        let gone = self.documents.remove(at);
        self.issued = Issued::default();
        self.documents.iter().for_each(|document| take_into(document, &mut self.issued));
        Some(gone)
    }

    /// The lines that a boundary owes by who is to issue them. Nobody has noted who the tenant's reseller was then: it is whoever makes
    /// its documents what they are; if nobody does, one of those who issue any.
    pub(super) fn apportion(
        &self,
        lines: &[OwedLine],
        stored: &[Invoice],
        is_as_stored: impl Fn(&[OwedLine], Option<&Invoice>) -> bool,
    ) -> Result<BTreeMap<ResellerId, Vec<OwedLine>>, Error> {
        let issuers = stored.iter().map(|document| document.issuer.id).chain(self.issued.issuers());
        let mut issuers: BTreeSet<ResellerId> = issuers.collect();
        if issuers.is_empty() {
            issuers.insert(OPERATOR);
        }
        let mut by_any = BTreeMap::new();
        for present in issuers {
            let by_issuer = self.issued.clone().apportion(present, lines.to_vec())?;
            let of = |id: &ResellerId| stored.iter().find(|document| document.issuer.id == *id);
            let fits = by_issuer.iter().all(|(id, lines)| is_as_stored(lines, of(id)));
            if fits && stored.iter().all(|document| by_issuer.contains_key(&document.issuer.id)) {
                return Ok(by_issuer);
            }
            by_any = by_issuer;
        }
        Ok(by_any)
    }

    /// Taxes the lines of a boundary that one issuer owes, and compares with its document.
    pub(super) fn compare(
        &mut self,
        basis: PriceBasis,
        lines: &[OwedLine],
        stored: Option<&Invoice>,
    ) -> Vec<Difference> {
        self.is_broken |= stored.is_none() && !lines.is_empty();
        let Some(stored) = stored.filter(|_| !self.is_broken) else { return Vec::new() };
        let rates = self.rates.get(&stored.issuer.id).map(Vec::as_slice).unwrap_or_default();
        let past = self.issued.pasts.get(&stored.issuer.id);
        let stored = Stored::from(stored);
        match taxed(basis, lines, &stored, (past, rates)) {
            Ok((computed, lines)) => stored.compare(&computed, &lines),
            Err(difference) => vec![*difference],
        }
    }
}

fn taxed(
    basis: PriceBasis,
    lines: &[OwedLine],
    stored: &Stored<'_>,
    (past, rates): (Option<&Past>, &[TaxRate]),
) -> Result<(TaxedDocument, Vec<Shown>), Box<Difference>> {
    let treatment = stored.treatment(rates);
    // As the run did: of credits alone nobody asks how a charge would be taxed.
    let before =
        past.and_then(Past::treatment).filter(|_| lines.iter().all(|line| line.charge.amount_minor < 0));
    let treatment = treatment.or_else(|error| match *error {
        Difference::Untaxable { .. } => before.ok_or(error),
        _ => Err(error),
    })?;
    let amounts: Vec<(OfCycle, i64)> =
        lines.iter().map(|line| (OfCycle::of(line), line.charge.amount_minor)).collect();
    let mut history = past.map(|past| past.history.clone()).unwrap_or_default();
    let taxed = history.tax(basis, treatment.group, &amounts);
    let shown = taxed.and_then(|taxed| shown(&taxed, basis, lines).map(|lines| (taxed, lines)));
    shown.map_err(|error| stored.not_taxable(error))
}

/// Adds what a document says to what was billed before.
fn take_into(document: &Invoice, issued: &mut Issued) {
    let issuer = document.issuer.id;
    Stored::from(document).take_into(issued.pasts.entry(issuer).or_default());
    for line in &document.lines {
        let cycle = OfCycle { item: line.item.clone(), starts_on: line.cycle_starts_on };
        let (period, quantity, rated_minor) = (line.period, line.quantity, line.rated.amount_minor);
        let rate = (line.price_id, line.discount);
        issued.take(cycle, IssuedLine { issuer, rate, period, quantity, rated_minor });
    }
}

fn of_lines(stored: &Stored<'_>, computed: &[Shown]) -> Vec<Difference> {
    let money = |minor| Money::new(minor, stored.currency);
    let is_as_computed = |index: usize| {
        let part = computed.get(index).map(|Shown { part, is_discount }| {
            (part.line + 1, part.group, part.rated_minor, part.net_minor, *is_discount)
        });
        let line = stored.lines.get(index).and_then(|line| {
            let position = usize::try_from(line.rated_position).ok()?;
            Some((position, line.group, line.rated_minor, line.net.amount_minor, line.is_discount))
        });
        part == line
    };
    let as_stored =
        |index: usize| stored.lines.get(index).map(|line| TaxedAmount { group: line.group, net: line.net });
    let as_computed = |index: usize| {
        let part = computed.get(index);
        part.map(|Shown { part, .. }| TaxedAmount { group: part.group, net: money(part.net_minor) })
    };
    (0..stored.lines.len().max(computed.len()))
        .filter(|index| !is_as_computed(*index))
        .map(|index| Difference::LineTax {
            document: stored.id,
            position: index + 1,
            stored: as_stored(index),
            computed: as_computed(index),
        })
        .collect()
}

type ByGroup = BTreeMap<TaxGroup, (Money, Money)>;

fn of_groups(stored: &Stored<'_>, computed: &TaxedDocument) -> Vec<Difference> {
    let document: InvoiceId = stored.id;
    let money = |minor| Money::new(minor, stored.currency);
    let computed = computed.totals.groups.iter();
    let computed: ByGroup =
        computed.map(|total| (total.group, (money(total.taxable_minor), money(total.tax_minor)))).collect();
    let stored: ByGroup = stored.taxes.iter().map(|tax| (tax.group, (tax.taxable, tax.tax))).collect();
    let mut groups: Vec<TaxGroup> = stored.keys().chain(computed.keys()).copied().collect();
    groups.sort_unstable();
    groups.dedup();
    let pairs =
        groups.into_iter().map(|group| (group, stored.get(&group).copied(), computed.get(&group).copied()));
    pairs
        .filter(|(_, stored, computed)| stored != computed)
        .map(|(group, stored, computed)| Difference::Tax { document, group, stored, computed })
        .collect()
}
