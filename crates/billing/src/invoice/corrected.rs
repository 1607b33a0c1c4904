//! Which invoices a credit note corrects: those that billed what its lines take back (EN 16931, BT-25).

use std::collections::BTreeMap;

use kernel::{InvoiceId, ResellerId, TenantId};

use super::issued::RateOfLine;
use super::store::Creditable;
use super::tax::OfCycle;
use crate::Error;
use crate::rating::{Span, TaxGroup};

/// What lines have in common of which one can take back what another charges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) issuer: ResellerId,
    /// Whose use it is; nobody's, if seats were committed and not used.
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) cycle: OfCycle,
    /// As it stands beside others.
    pub(crate) group: TaxGroup,
}

/// A line of a document, less what is off it; or the part of one that is taxed in one group.
#[derive(Debug, Clone)]
pub(crate) struct BilledLine {
    pub(crate) document: InvoiceId,
    pub(crate) subject: Subject,
    pub(crate) rate: RateOfLine,
    pub(crate) period: Span,
    pub(crate) net_minor: i64,
}

/// How much a document takes back of what each one before it charged, with the tax on it: the newest first.
pub(crate) type TakenBack = Vec<(InvoiceId, i64)>;

/// What documents have charged and none has taken back.
#[derive(Debug, Default)]
pub(crate) struct Charges {
    /// The documents so far, in their order.
    documents: Vec<InvoiceId>,
    /// The oldest first.
    of: BTreeMap<Subject, Vec<Charge>>,
}

/// What is left of a line.
#[derive(Debug)]
struct Charge {
    /// Of its document, among all.
    place: usize,
    rate: RateOfLine,
    period: Span,
    left_minor: i64,
}

impl Charges {
    /// Takes the lines of the next document. A credit takes back what was charged at its price on some of its days, then what else
    /// was charged of its cycle in its group of tax; of either the newest first, and never more than is left of it.
    pub(crate) fn take(&mut self, lines: &[BilledLine]) -> Result<TakenBack, Error> {
        let mut taken = BTreeMap::<(usize, TaxGroup), i64>::new();
        // Credits first: a charge of the same document is none that they take back.
        for credit in lines.iter().filter(|line| line.net_minor < 0) {
            let mut left = credit.net_minor.saturating_neg();
            let charges = self.of.get_mut(&credit.subject).map(Vec::as_mut_slice).unwrap_or_default();
            for is_its in [true, false] {
                for charge in charges.iter_mut().rev().filter(|charge| charge.is_of(credit) == is_its) {
                    let part = left.min(charge.left_minor);
                    if part > 0 {
                        *taken.entry((charge.place, credit.subject.group)).or_default() += part;
                        (left, charge.left_minor) = (left - part, charge.left_minor - part);
                    }
                }
            }
        }
        let place = self.documents.len();
        self.documents.extend(lines.first().map(|line| line.document));
        for line in lines.iter().filter(|line| line.net_minor > 0) {
            let charge = Charge { place, rate: line.rate, period: line.period, left_minor: line.net_minor };
            self.of.entry(line.subject.clone()).or_default().push(charge);
        }
        let mut with_tax = BTreeMap::<usize, i64>::new();
        for ((place, group), net_minor) in taken {
            let tax_minor = group.tax_on(net_minor).map_err(|_| Error::Stored("amount"))?;
            let sum = with_tax.entry(place).or_default();
            *sum = sum.saturating_add(net_minor).saturating_add(tax_minor);
        }
        let of_place = |(place, minor): (usize, i64)| Some((*self.documents.get(place)?, minor));
        Ok(with_tax.into_iter().rev().filter_map(of_place).collect())
    }
}

impl Charge {
    /// Whether a credit is at its price and of some of its days.
    fn is_of(&self, credit: &BilledLine) -> bool {
        self.rate == credit.rate
            && self.period.start() < credit.period.end()
            && credit.period.start() < self.period.end()
    }
}

/// What each of some documents takes back, by their lines in the order of the documents.
pub(crate) fn taken_back(lines: &[BilledLine]) -> Result<BTreeMap<InvoiceId, TakenBack>, Error> {
    let mut charges = Charges::default();
    let mut all = BTreeMap::new();
    for of_one in lines.chunk_by(|line, next| line.document == next.document) {
        if let Some(line) = of_one.first() {
            all.insert(line.document, charges.take(of_one)?);
        }
    }
    Ok(all)
}

/// The invoices that a credit note corrects, each by how much, together by what it comes to: those that billed what it takes back,
/// by what that is; what rounding or an earlier credit leaves over, by more of these, and then the issuer's newest. None by more
/// than is left of it, which this lowers.
pub(crate) fn correct(
    credit_minor: i64,
    taken: &[(InvoiceId, i64)],
    issuer: ResellerId,
    invoices: &mut [Creditable],
) -> Result<Vec<(InvoiceId, i64)>, Error> {
    let of_issuer = invoices.iter().filter(|one| one.issuer == issuer).map(|one| one.invoice);
    let more = taken.iter().map(|(invoice, _)| *invoice).chain(of_issuer).map(|invoice| (invoice, i64::MAX));
    let order: Vec<(InvoiceId, i64)> = taken.iter().copied().chain(more).collect();
    let mut left = credit_minor;
    let mut corrected = BTreeMap::<InvoiceId, i64>::new();
    for (invoice, most) in order {
        if left <= 0 {
            break;
        }
        // What a credit note charges is no invoice to correct.
        let Some(open) = invoices.iter_mut().find(|one| one.invoice == invoice) else { continue };
        let amount = most.min(open.left_minor).min(left);
        if amount > 0 {
            (left, open.left_minor) = (left - amount, open.left_minor - amount);
            *corrected.entry(invoice).or_default() += amount;
        }
    }
    // What an issuer has credited never exceeds what it has invoiced.
    if left > 0 { Err(Error::Stored("sum of credits")) } else { Ok(corrected.into_iter().collect()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::invoice::issued::UNDISCOUNTED;

    fn day(day: u64) -> chrono::NaiveDate {
        chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + chrono::Days::new(day)
    }

    fn document(number: u128) -> InvoiceId {
        InvoiceId::from_uuid(Uuid::from_u128(number))
    }

    fn issuer() -> ResellerId {
        ResellerId::from_uuid(Uuid::from_u128(1))
    }

    /// Of a document, at a rate of tax, of a cycle that begins on a day and for days of it.
    fn line(number: u128, rate: &str, cycle: u64, (from, until): (u64, u64), net_minor: i64) -> BilledLine {
        let subject = Subject {
            issuer: issuer(),
            tenant_id: None,
            cycle: OfCycle { item: "mailbox".into(), starts_on: day(cycle) },
            group: TaxGroup::at_rate(rate.parse().unwrap()),
        };
        BilledLine {
            document: document(number),
            subject,
            rate: (None, UNDISCOUNTED),
            period: Span::new(day(from), day(until)).unwrap(),
            net_minor,
        }
    }

    fn open(number: u128, left_minor: i64) -> Creditable {
        Creditable { invoice: document(number), issuer: issuer(), issued_on: day(0), left_minor }
    }

    fn numbered(parts: &[(InvoiceId, i64)]) -> Vec<(u128, i64)> {
        parts.iter().map(|(id, minor)| (id.uuid().as_u128(), *minor)).collect()
    }

    #[test]
    fn a_credit_is_of_what_was_charged_of_its_cycle_on_its_days_and_at_its_rate() {
        let lines = [
            line(1, "19", 0, (0, 360), 1000),
            line(2, "19", 0, (30, 40), 50),
            line(3, "21", 0, (90, 360), 700),
            line(4, "19", 400, (400, 430), 900),
            // Newest first of what lies on its days; of the other rate, its own; the rest of the cycle goes last.
            line(5, "19", 0, (200, 360), -400),
            line(5, "21", 0, (200, 360), -100),
            line(6, "19", 0, (200, 360), -640),
            line(7, "19", 500, (500, 530), -10),
        ];
        let all = taken_back(&lines).unwrap();
        assert_eq!(numbered(&all[&document(5)]), [(3, 121), (1, 476)]);
        assert_eq!(numbered(&all[&document(6)]), [(2, 48), (1, 714)]);
        assert_eq!(all[&document(7)], []);
    }

    #[test]
    fn what_is_not_found_is_of_the_newest_that_is_not_credited() {
        let mut invoices = [open(4, 10), open(3, 500), open(1, 300)];
        let taken = [(document(1), 200), (document(2), 100)];
        // Of the second, a credit note, nothing can be credited: the first has more, and then the newest.
        let parts = correct(330, &taken, issuer(), &mut invoices).unwrap();
        assert_eq!(numbered(&parts), [(1, 300), (3, 20), (4, 10)]);
        assert_eq!(invoices.map(|one| one.left_minor), [0, 480, 0]);
        let other = ResellerId::from_uuid(Uuid::from_u128(2));
        assert!(correct(1, &[], other, &mut invoices).is_err());
        assert_eq!(correct(-5, &[], other, &mut invoices).unwrap(), []);
    }

    proptest! {
        /// I10: of no document more is taken back than it charged, of any subject.
        #[test]
        fn i10_no_more_is_taken_back_of_a_document_than_it_charged(
            all in prop::collection::vec(prop::collection::vec((0_u64..3, 0_u64..20, 1_u64..9, -99_i64..100), 1..5), 1..9),
        ) {
            let of = |(number, lines): (u128, &Vec<(u64, u64, u64, i64)>)| {
                let of_one = |(cycle, from, days, net): &(u64, u64, u64, i64)| {
                    line(number, "0", *cycle, (*from, from + days), *net)
                };
                lines.iter().map(of_one).collect::<Vec<_>>()
            };
            let lines: Vec<BilledLine> = (1..).zip(&all).flat_map(of).collect();
            let mut left = BTreeMap::<InvoiceId, i64>::new();
            for line in lines.iter().filter(|line| line.net_minor > 0) {
                *left.entry(line.document).or_default() += line.net_minor;
            }
            for (id, taken) in taken_back(&lines).unwrap() {
                prop_assert!(taken.is_sorted_by(|one, next| one.0 > next.0));
                for (from, minor) in taken {
                    prop_assert!(from < id && minor > 0);
                    *left.entry(from).or_default() -= minor;
                }
            }
            prop_assert!(left.values().all(|left| *left >= 0));
        }
    }
}
