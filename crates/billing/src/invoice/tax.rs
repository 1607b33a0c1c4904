//! How a document is taxed: by the profiles of its parties and the rates of its day.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::Money;

use crate::profile::{CustomerProfile, IssuerProfile};
use crate::rating::{
    GroupTotal, PriceBasis, RatingError, TaxGroup, TaxHistory, TaxLine, TaxParty, TaxedDocument, TaxedPart,
    Treatment, TreatmentError, treatment,
};
use crate::subscription::OwedLine;
use crate::tax_rate::{self, TaxRate};
use crate::vat_id::Registration;

/// The tax of one category and rate on a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceTax {
    /// Category and rate.
    pub group: TaxGroup,
    /// The sum of its lines, net.
    pub taxable: Money,
    /// The tax on it.
    pub tax: Money,
    /// Why there is none, where there is none and the rate is not zero.
    pub reason: Option<String>,
}

/// A line as a document shows it: a part of one that was rated, or what is off it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) part: TaxedPart,
    pub(crate) is_discount: bool,
}

/// The lines of a document. What is off a rated line follows its first part.
pub(crate) fn shown(
    taxed: &TaxedDocument,
    basis: PriceBasis,
    lines: &[OwedLine],
) -> Result<Vec<Shown>, RatingError> {
    let mut all = Vec::new();
    let mut before = None;
    for part in &taxed.parts {
        let is_first = before.replace(part.line) != Some(part.line);
        let discount_minor = lines.get(part.line).map_or(0, |line| line.charge.discount_minor);
        if is_first && discount_minor != 0 {
            let [without, off] = part.apart(basis, discount_minor)?;
            all.push(Shown { part: without, is_discount: false });
            all.push(Shown { part: off, is_discount: true });
        } else {
            all.push(Shown { part: *part, is_discount: false });
        }
    }
    Ok(all)
}

/// A cycle among those of everything that is sold, by whose item and first charged day it is told from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OfCycle {
    pub(crate) item: String,
    pub(crate) starts_on: NaiveDate,
}

impl OfCycle {
    /// The one that a line of a document is of.
    pub(crate) fn of(line: &OwedLine) -> Self {
        Self { item: line.item.into(), starts_on: line.cycle.charged.start() }
    }
}

/// How an account was taxed, and for which reasons it was not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    pub(crate) history: TaxHistory<OfCycle>,
    /// The last of each group, as it stands beside others.
    reasons: BTreeMap<TaxGroup, String>,
}

impl Past {
    /// Taxes a document whose charges are treated so, after those before it; and says why each of its groups is not taxed.
    pub(crate) fn tax(
        &mut self,
        basis: PriceBasis,
        treatment: &Treatment,
        amounts: &[(OfCycle, i64)],
    ) -> Result<(TaxedDocument, Vec<Option<String>>), RatingError> {
        let taxed = self.history.tax(basis, treatment.group, amounts)?;
        let reasons = taxed.totals.groups.iter().map(|total| self.reason(total.group, treatment)).collect();
        Ok((taxed, reasons))
    }

    /// How what was charged last was treated.
    pub(crate) fn treatment(&self) -> Option<Treatment> {
        let group = self.history.groups.last()?.group;
        Some(Treatment { group, reason: self.reasons.get(&group.beside_others()).cloned() })
    }

    /// Takes what a document, or several, come to by a group, and the last reason why that is not taxed.
    pub(crate) fn add(&mut self, total: GroupTotal, reason: Option<String>) {
        if let Some(reason) = reason {
            self.reasons.insert(total.group.beside_others(), reason);
        }
        self.history.groups.push(total);
    }

    /// Why a group of a document is not taxed, whose charges are treated so; and that this is the last reason.
    pub(crate) fn reason(&mut self, group: TaxGroup, treatment: &Treatment) -> Option<String> {
        let key = group.beside_others();
        if key == treatment.group.beside_others()
            && let Some(reason) = &treatment.reason
        {
            self.reasons.insert(key, reason.clone());
        }
        self.reasons.get(&key).cloned()
    }

    /// Takes what a document says as it is: its lines as they were rated, by their cycles, and its taxes.
    pub(crate) fn take(&mut self, lines: impl Iterator<Item = (OfCycle, TaxLine)>, taxes: &[InvoiceTax]) {
        for (cycle, line) in lines {
            self.history.cycles.entry(cycle).or_default().push(line);
        }
        for tax in taxes {
            let (taxable_minor, tax_minor) = (tax.taxable.amount_minor, tax.tax.amount_minor);
            self.add(GroupTotal { group: tax.group, taxable_minor, tax_minor }, tax.reason.clone());
        }
    }
}

/// How charges between two are taxed on a day, by the rates that the issuer has added.
pub(crate) fn treatment_on(
    issuer: Option<&IssuerProfile>,
    customer: Option<&CustomerProfile>,
    rates: &[TaxRate],
    day: NaiveDate,
) -> Result<Treatment, TreatmentError> {
    let taxing = issuer.filter(|issuer| issuer.charges_tax).map(|issuer| issuer.address.country);
    let party = customer.map(|customer| TaxParty {
        country: customer.address.country,
        has_vat_id: customer.vat_id.is_some()
            && customer.vat_register.as_ref().is_none_or(|answer| answer.registration != Registration::Void),
    });
    let exemption = customer.and_then(|customer| customer.exemption.as_deref());
    treatment(taxing, party, exemption, |country| tax_rate::on(rates, country, day))
}
