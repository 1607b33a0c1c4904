//! Which invoices the credit notes correct: those that billed what they take back, as far as it goes.

use std::collections::{BTreeMap, BTreeSet};

use kernel::InvoiceId;

use super::difference::Difference;
use crate::Error;
use crate::invoice::corrected::{BilledLine, Charges, Subject};
use crate::invoice::issued::UNDISCOUNTED;
use crate::invoice::tax::OfCycle;
use crate::invoice::{Billing, DocumentKind, Invoice};
use crate::rating::TaxGroup;
use crate::series::OPERATOR;
use crate::wholesale::invoice::WholesaleInvoice;

/// By how much each credit note corrects which invoices.
pub(super) type References = BTreeMap<InvoiceId, BTreeMap<InvoiceId, i64>>;

/// A final document of either level that a boundary made.
pub(super) struct Document {
    id: InvoiceId,
    billing: Billing,
    /// What can be credited of it; nothing of a credit note.
    left_minor: i64,
    lines: Vec<BilledLine>,
}

impl Document {
    /// `None` for a draft, and for what voids an invoice.
    pub(super) fn of_tenant(of: &Invoice) -> Option<Self> {
        let lines = of.lines.iter().map(|line| {
            let subject = Subject {
                issuer: of.issuer.id,
                tenant_id: Some(of.customer.id),
                cycle: OfCycle { item: line.item.clone(), starts_on: line.cycle_starts_on },
                group: line.tax.beside_others(),
            };
            let billed = BilledLine {
                document: of.id,
                subject,
                rate: (line.price_id, line.discount),
                period: line.period,
                net_minor: line.amount.amount_minor,
            };
            (line.rated_position, billed)
        });
        of.number.as_ref()?;
        let left_minor = left(of.kind, of.total.amount_minor, of.credited.amount_minor);
        Some(Self { id: of.id, billing: of.billing?, left_minor, lines: rated(lines) })
    }

    /// `None` for what voids an invoice.
    pub(super) fn of_reseller(of: &WholesaleInvoice) -> Option<Self> {
        let lines = of.lines.iter().map(|line| {
            let subject = Subject {
                issuer: OPERATOR,
                tenant_id: line.tenant.as_ref().map(|tenant| tenant.id),
                cycle: OfCycle { item: line.item.clone(), starts_on: line.cycle_starts_on },
                group: line.tax.beside_others(),
            };
            let billed = BilledLine {
                document: of.id,
                subject,
                rate: (Some(line.price_id), UNDISCOUNTED),
                period: line.period,
                net_minor: line.amount.amount_minor,
            };
            (line.rated_position, billed)
        });
        let left_minor = left(of.kind, of.total.amount_minor, of.credited.amount_minor);
        Some(Self { id: of.id, billing: of.billing?, left_minor, lines: rated(lines) })
    }
}

fn left(kind: DocumentKind, total_minor: i64, credited_minor: i64) -> i64 {
    if kind == DocumentKind::Invoice { total_minor.saturating_sub(credited_minor) } else { 0 }
}

/// The lines with what is off them.
fn rated(lines: impl Iterator<Item = (i32, BilledLine)>) -> Vec<BilledLine> {
    let mut all = BTreeMap::<(i32, TaxGroup), BilledLine>::new();
    for (position, line) in lines {
        let net_minor = line.net_minor;
        all.entry((position, line.subject.group))
            .and_modify(|sum| sum.net_minor = sum.net_minor.saturating_add(net_minor))
            .or_insert(line);
    }
    all.into_values().collect()
}

/// Whether a credit note corrects an invoice by more than it takes back of what that billed, while another billed more of it and is
/// not credited in full. Documents are in the order of their boundaries. One that has come to count as billed no more since a credit note was
/// made says nothing of that: as a draft it may have become final before or afterwards.
pub(super) fn check(
    documents: &[Document],
    unbilled: &[(Billing, InvoiceId)],
    references: &References,
) -> Result<Vec<Difference>, Error> {
    let left: BTreeMap<InvoiceId, i64> = documents.iter().map(|one| (one.id, one.left_minor)).collect();
    let mut differences = Vec::new();
    let (mut charges, mut gone) = (Charges::default(), BTreeSet::new());
    for (at, document) in documents.iter().enumerate() {
        let before = unbilled.iter().filter(|(after, _)| *after < document.billing);
        let before: BTreeSet<InvoiceId> = before.map(|(_, id)| *id).collect();
        if before != gone {
            gone = before;
            charges = Charges::default();
            for kept in documents.iter().take(at).filter(|one| !gone.contains(&one.id)) {
                charges.take(&kept.lines)?;
            }
        }
        let taken = charges.take(&document.lines)?;
        let is_unsure = unbilled.iter().any(|(after, id)| {
            *after >= document.billing && documents.iter().take(at).any(|one| one.id == *id)
        });
        let Some(corrected) = references.get(&document.id).filter(|_| !is_unsure) else { continue };
        let is_taken: BTreeMap<InvoiceId, i64> = taken.iter().copied().collect();
        let more = corrected.iter().find(|&(id, minor)| is_taken.get(id).is_none_or(|taken| taken < minor));
        let less = is_taken.iter().find(|&(id, minor)| {
            corrected.get(id).is_none_or(|corrected| corrected < minor)
                && left.get(id).is_some_and(|left| *left > 0)
        });
        differences.extend(more.zip(less).map(|((invoice, _), (instead, _))| Difference::Corrected {
            credit_note: document.id,
            invoice: *invoice,
            instead: *instead,
        }));
    }
    Ok(differences)
}
