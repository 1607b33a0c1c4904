//! Taxing the documents again, by the profiles that they keep and the rates that were known.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::{InvoiceId, Money, ResellerId};

use super::difference::{Difference, TaxedAmount};
use crate::invoice::tax::{Past, Shown, shown, treatment_on};
use crate::invoice::{Invoice, InvoiceLineKind};
use crate::rating::{PriceBasis, TaxGroup, TaxedDocument};
use crate::subscription::OwedLine;
use crate::tax_rate::TaxRate;

/// What an account's taxes are computed from.
#[derive(Debug)]
pub(super) struct Account {
    /// Of each issuer, in the order in which they were added.
    rates: BTreeMap<ResellerId, Vec<TaxRate>>,
    /// The documents that count as billed so far, in their order, and what they come to.
    documents: Vec<Invoice>,
    past: Past,
    /// Whether a document is missing: nobody can say how it was taxed, nor what is credited of it.
    is_broken: bool,
}

impl Account {
    pub(super) fn new(rates: BTreeMap<ResellerId, Vec<TaxRate>>) -> Self {
        Self { rates, documents: Vec::new(), past: Past::default(), is_broken: false }
    }

    /// Takes a document as it is stored, after it was compared or because it cannot be.
    pub(super) fn keep(&mut self, document: Invoice) {
        self.past.take(&document);
        self.documents.push(document);
    }

    /// Lets a document go that counts as billed no more; `None` if it never did.
    pub(super) fn let_go(&mut self, id: InvoiceId) -> Option<Invoice> {
        let at = self.documents.iter().position(|document| document.id == id)?;
        let gone = self.documents.remove(at);
        self.past = Past::default();
        self.documents.iter().for_each(|document| self.past.take(document));
        Some(gone)
    }

    /// Taxes the lines that a boundary owes, and compares with its document.
    pub(super) fn compare(
        &mut self,
        basis: PriceBasis,
        lines: &[OwedLine],
        stored: Option<&Invoice>,
    ) -> Vec<Difference> {
        self.is_broken |= stored.is_none() && !lines.is_empty();
        let Some(stored) = stored.filter(|_| !self.is_broken) else { return Vec::new() };
        match self.taxed(basis, lines, stored) {
            Ok((computed, lines)) => [of_lines(stored, &lines), of_groups(stored, &computed)].concat(),
            Err(difference) => vec![*difference],
        }
    }

    fn taxed(
        &self,
        basis: PriceBasis,
        lines: &[OwedLine],
        stored: &Invoice,
    ) -> Result<(TaxedDocument, Vec<Shown>), Box<Difference>> {
        let document = stored.id;
        let boundary = stored.billing.map_or(stored.issued_on, |billing| billing.boundary);
        let all = self.rates.get(&stored.issuer.id).map(Vec::as_slice).unwrap_or_default();
        let known = usize::try_from(stored.tax_rates_known).ok().and_then(|known| all.get(..known));
        let known = known.ok_or(Difference::LogCut { boundary })?;
        let (issuer, customer) = (stored.issuer.profile.as_ref(), stored.customer.profile.as_ref());
        let treatment = treatment_on(issuer, customer, known, boundary)
            .map_err(|error| Difference::Untaxable { document, error })?;
        let amounts: Vec<(NaiveDate, i64)> =
            lines.iter().map(|line| (line.cycle.charged.start(), line.charge.amount_minor)).collect();
        let taxed = self.past.history.clone().tax(basis, treatment.group, &amounts);
        let shown = taxed.and_then(|taxed| shown(&taxed, basis, lines).map(|lines| (taxed, lines)));
        Ok(shown.map_err(|error| Difference::NotRatable { boundary, error })?)
    }
}

fn of_lines(stored: &Invoice, computed: &[Shown]) -> Vec<Difference> {
    let money = |minor| Money::new(minor, stored.currency);
    let is_as_computed = |index: usize| {
        let part = computed.get(index).map(|Shown { part, is_discount }| {
            (part.line + 1, part.group, part.rated_minor, part.net_minor, *is_discount)
        });
        let line = stored.lines.get(index).and_then(|line| {
            let position = usize::try_from(line.rated_position).ok()?;
            let is_discount = line.kind == InvoiceLineKind::Discount;
            Some((position, line.tax, line.rated.amount_minor, line.amount.amount_minor, is_discount))
        });
        part == line
    };
    let as_stored =
        |index: usize| stored.lines.get(index).map(|line| TaxedAmount { group: line.tax, net: line.amount });
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

fn of_groups(stored: &Invoice, computed: &TaxedDocument) -> Vec<Difference> {
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
