//! What counts as billed no more: drafts, and invoices with all that takes them back.

use std::collections::{BTreeMap, BTreeSet};

use kernel::InvoiceId;

use super::difference::Difference;
use crate::invoice::{Billing, Invoice};

/// Whether each credit note that voids an invoice takes it back to nothing, together with those that credited it before,
/// and whether nothing else but drafts counts as billed no more.
pub(super) fn check(
    billed: &BTreeMap<Billing, Vec<Invoice>>,
    voids: &[Invoice],
    unbilled: &[(Billing, InvoiceId)],
) -> Vec<Difference> {
    let gone: BTreeSet<InvoiceId> = unbilled.iter().map(|(_, id)| *id).collect();
    let mut taken_back = BTreeSet::new();
    let mut differences = Vec::new();
    for void in voids {
        let of_it = billed.values().flatten().filter(|document| {
            void.corrects == [document.id]
                || (document.corrects == void.corrects && gone.contains(&document.id))
        });
        let family: Vec<&Invoice> = of_it.chain([void]).collect();
        let all_gone = family.iter().all(|document| gone.contains(&document.id));
        if family.len() > 1 && all_gone && comes_to_nothing(&family) {
            taken_back.extend(family.iter().map(|document| document.id));
        }
    }
    let drafts = billed.values().flatten().filter(|document| document.number.is_none());
    let drafts = drafts.map(|document| document.id);
    taken_back.extend(drafts);
    let must_be: BTreeSet<InvoiceId> = gone.into_iter().chain(voids.iter().map(|void| void.id)).collect();
    differences.extend(
        must_be.difference(&taken_back).map(|document| Difference::NotTakenBack { document: *document }),
    );
    differences
}

/// By item and cycle, one-off item and group of tax, as rated and net, in units; and tax by tax.
fn comes_to_nothing(documents: &[&Invoice]) -> bool {
    let mut lines = BTreeMap::<_, [i128; 3]>::new();
    let mut taxes = BTreeMap::<_, [i128; 2]>::new();
    for document in documents {
        for line in &document.lines {
            let sums =
                lines.entry((&line.item, line.cycle_starts_on, line.one_off_item_id, line.tax)).or_default();
            let parts = [line.rated.amount_minor, line.amount.amount_minor, line.seat_days];
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += i128::from(part));
        }
        for tax in &document.taxes {
            let sums = taxes.entry(tax.group).or_default();
            let parts = [tax.taxable.amount_minor, tax.tax.amount_minor];
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += i128::from(part));
        }
    }
    lines.into_values().flatten().chain(taxes.into_values().flatten()).all(|sum| sum == 0)
}
