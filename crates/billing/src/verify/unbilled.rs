//! What counts as billed no more: drafts, and invoices with all that takes them back.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use kernel::{InvoiceId, OneOffItemId, TenantId};

use super::difference::Difference;
use crate::invoice::tax::InvoiceTax;
use crate::invoice::{Billing, Invoice};
use crate::rating::TaxGroup;
use crate::wholesale::invoice::WholesaleInvoice;

/// A document of either level, as far as it matters here.
pub(super) struct Document<'a> {
    id: InvoiceId,
    corrects: &'a [InvoiceId],
    is_draft: bool,
    lines: Vec<(OfLine<'a>, [i64; 3])>,
    taxes: &'a [InvoiceTax],
}

/// What a line has in common with those that take it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct OfLine<'a> {
    tenant_id: Option<TenantId>,
    item: &'a str,
    cycle_starts_on: NaiveDate,
    one_off_item_id: Option<OneOffItemId>,
    group: TaxGroup,
}

impl<'a> From<&'a Invoice> for Document<'a> {
    fn from(of: &'a Invoice) -> Self {
        let lines = of.lines.iter().map(|line| {
            let of_line = OfLine {
                tenant_id: None,
                item: &line.item,
                cycle_starts_on: line.cycle_starts_on,
                one_off_item_id: line.one_off_item_id,
                group: line.tax,
            };
            (of_line, [line.rated.amount_minor, line.amount.amount_minor, line.seat_days])
        });
        let (corrects, is_draft) = (&of.corrects, of.number.is_none());
        Self { id: of.id, corrects, is_draft, lines: lines.collect(), taxes: &of.taxes }
    }
}

impl<'a> From<&'a WholesaleInvoice> for Document<'a> {
    fn from(of: &'a WholesaleInvoice) -> Self {
        let lines = of.lines.iter().map(|line| {
            let of_line = OfLine {
                tenant_id: line.tenant.as_ref().map(|tenant| tenant.id),
                item: &line.item,
                cycle_starts_on: line.cycle_starts_on,
                one_off_item_id: None,
                group: line.tax,
            };
            // Prices exclude tax.
            (of_line, [line.amount.amount_minor, line.amount.amount_minor, line.seat_days])
        });
        Self { id: of.id, corrects: &of.corrects, is_draft: false, lines: lines.collect(), taxes: &of.taxes }
    }
}

/// Whether each credit note that voids an invoice takes it back to nothing, together with those that credited it before,
/// and whether nothing else but drafts counts as billed no more.
pub(super) fn check(
    billed: &[Document<'_>],
    voids: &[Document<'_>],
    unbilled: &[(Billing, InvoiceId)],
) -> Vec<Difference> {
    let gone: BTreeSet<InvoiceId> = unbilled.iter().map(|(_, id)| *id).collect();
    let mut taken_back = BTreeSet::new();
    for void in voids {
        let of_it = billed.iter().filter(|document| {
            *void.corrects == [document.id]
                || (document.corrects == void.corrects && gone.contains(&document.id))
        });
        let family: Vec<&Document<'_>> = of_it.chain([void]).collect();
        let all_gone = family.iter().all(|document| gone.contains(&document.id));
        if family.len() > 1 && all_gone && comes_to_nothing(&family) {
            taken_back.extend(family.iter().map(|document| document.id));
        }
    }
    taken_back.extend(billed.iter().filter(|document| document.is_draft).map(|document| document.id));
    let must_be: BTreeSet<InvoiceId> = gone.into_iter().chain(voids.iter().map(|void| void.id)).collect();
    let left = must_be.difference(&taken_back);
    left.map(|document| Difference::NotTakenBack { document: *document }).collect()
}

/// By tenant, item and cycle, one-off item and group of tax, as rated and net, in units; and tax by tax.
fn comes_to_nothing(documents: &[&Document<'_>]) -> bool {
    let mut lines = BTreeMap::<_, [i128; 3]>::new();
    let mut taxes = BTreeMap::<_, [i128; 2]>::new();
    for document in documents {
        for (of_line, parts) in &document.lines {
            let sums = lines.entry(*of_line).or_default();
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += i128::from(*part));
        }
        for tax in document.taxes {
            let sums = taxes.entry(tax.group).or_default();
            let parts = [tax.taxable.amount_minor, tax.tax.amount_minor];
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += i128::from(part));
        }
    }
    lines.into_values().flatten().chain(taxes.into_values().flatten()).all(|sum| sum == 0)
}
