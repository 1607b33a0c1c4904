//! The invariants of taxes (I1, I10, I14).

use proptest::prelude::*;

use super::super::*;

fn all_groups() -> Vec<TaxGroup> {
    let standard = ["20", "19", "7.7", "23.33", "5.5", "0.0001", "100"];
    let rated = standard.map(|rate| TaxGroup::new(TaxCategory::Standard, rate.parse().unwrap()).unwrap());
    let free = [TaxCategory::ZeroRated, TaxCategory::Exempt, TaxCategory::ReverseCharge]
        .map(|category| TaxGroup::new(category, Percentage::ZERO).unwrap());
    [rated.as_slice(), free.as_slice()].concat()
}

fn groups() -> impl Strategy<Value = TaxGroup> {
    prop::sample::select(all_groups())
}

/// So much of each group that a document may credit what it likes.
fn charged_before() -> Vec<GroupTotal> {
    let many = all_groups().into_iter().map(|group| GroupTotal {
        group,
        taxable_minor: 1 << 40,
        tax_minor: 1 << 40,
    });
    many.collect()
}

fn bases() -> impl Strategy<Value = PriceBasis> {
    prop::sample::select(vec![PriceBasis::Exclusive, PriceBasis::Inclusive])
}

fn lines(amounts: std::ops::Range<i64>) -> impl Strategy<Value = Vec<TaxLine>> {
    let line = (groups(), amounts).prop_map(|(group, amount_minor)| TaxLine { group, amount_minor });
    prop::collection::vec(line, 1..12)
}

fn sum_of(lines: &[TaxLine], group: TaxGroup) -> i64 {
    lines.iter().filter(|line| line.group == group).map(|line| line.amount_minor).sum()
}

/// Whether a tax is one of the integers nearest to `net × rate`, of which a tie has two.
fn is_nearest(tax: i64, net: i64, group: TaxGroup) -> bool {
    let share = group.rate().share();
    let distance = (Share::from(i128::from(tax)) - Share::from(i128::from(net)) * share) * 2;
    (Share::from(-1)..=Share::from(1)).contains(&distance)
}

proptest! {
    /// I1, I14 and BR-CO-10, 13, 14, 15, 17: lines, groups and totals add up in whole minor units.
    #[test]
    fn i1_a_document_adds_up(basis in bases(), lines in lines(-1000..100_000)) {
        let totals = totals(basis, &charged_before(), &lines).unwrap();
        prop_assert_eq!(totals.lines_net_minor.len(), lines.len());
        prop_assert_eq!(totals.lines_net_minor.iter().sum::<i64>(), totals.net_minor);
        prop_assert_eq!(totals.groups.iter().map(|g| g.taxable_minor).sum::<i64>(), totals.net_minor);
        prop_assert_eq!(totals.groups.iter().map(|g| g.tax_minor).sum::<i64>(), totals.tax_minor);
        prop_assert_eq!(totals.net_minor + totals.tax_minor, totals.total_minor);
        for total in &totals.groups {
            let nets = lines.iter().zip(&totals.lines_net_minor).filter(|(line, _)| line.group == total.group);
            prop_assert_eq!(nets.map(|(_, net)| net).sum::<i64>(), total.taxable_minor);
            let agreed = sum_of(&lines, total.group);
            match basis {
                PriceBasis::Exclusive => {
                    prop_assert_eq!(total.taxable_minor, agreed);
                    prop_assert!(is_nearest(total.tax_minor, total.taxable_minor, total.group));
                }
                PriceBasis::Inclusive => {
                    prop_assert_eq!(total.taxable_minor + total.tax_minor, agreed);
                    let near = (-1..=1).any(|by| is_nearest(total.tax_minor + by, total.taxable_minor, total.group));
                    prop_assert!(near, "{:?}", total);
                }
            }
        }
    }

    /// I10: credit notes never exceed their invoice per group, and when all is given back, exactly nothing remains.
    #[test]
    fn i10_credit_notes_never_exceed_their_invoice(
        basis in bases(),
        lines in prop_oneof![lines(0..10_000), lines(0..60)],
        parts in prop::collection::vec(0_i64..40, 0..12),
    ) {
        let invoice = totals(basis, &[], &lines).unwrap();
        let mut left = lines.clone();
        let mut credited: Vec<GroupTotal> = Vec::new();
        for part in parts.into_iter().chain([100]) {
            let part_of = |line: &TaxLine| TaxLine { amount_minor: line.amount_minor * part / 100, ..*line };
            let note: Vec<TaxLine> = left.iter().map(part_of).collect();
            for (left, note) in left.iter_mut().zip(&note) {
                left.amount_minor -= note.amount_minor;
            }
            let note: Vec<TaxLine> =
                note.into_iter().map(|line| TaxLine { amount_minor: -line.amount_minor, ..line }).collect();
            let before = [invoice.groups.as_slice(), &credited].concat();
            let note = totals(basis, &before, &note).unwrap();
            prop_assert_eq!(note.lines_net_minor.iter().sum::<i64>(), note.net_minor);
            credited.extend(note.groups);
            for total in &invoice.groups {
                let of = |amount: fn(&GroupTotal) -> i64| -> i64 {
                    credited.iter().filter(|credit| credit.group == total.group).map(amount).sum()
                };
                prop_assert!((-total.taxable_minor..=0).contains(&of(|t| t.taxable_minor)), "{:?}", credited);
                prop_assert!((-total.tax_minor..=0).contains(&of(|t| t.tax_minor)), "{:?}", credited);
            }
        }
        let of = |totals: &[GroupTotal]| -> (i64, i64) {
            (totals.iter().map(|t| t.taxable_minor).sum(), totals.iter().map(|t| t.tax_minor).sum())
        };
        let before = [invoice.groups.as_slice(), &credited].concat();
        prop_assert_eq!(of(&before), (0, 0));
        let more = TaxLine { amount_minor: -1, ..lines[0] };
        let more = totals(basis, &before, &[more]);
        prop_assert_eq!(more, Err(RatingError::CreditExceedsInvoice));
    }

    /// I1, I10 and I14 of an account over time: whatever the day's group is, each document adds up, what is credited of a
    /// cycle and group never exceeds what was charged, and when all is credited, nothing is left of anything.
    #[test]
    fn i10_credits_never_exceed_charges_of_a_cycle_and_group(
        basis in bases(),
        steps in prop::collection::vec((every_group(), prop::collection::vec((0_u32..3, -100_i64..100), 1..5)), 1..12),
    ) {
        let mut history = TaxHistory::default();
        let mut kept = [0_i64; 3];
        let day = |cycle: u32| chrono::NaiveDate::from_ymd_opt(2026, 1, 1 + cycle).unwrap();
        let give_back = steps[0].0;
        for (group, asked) in steps {
            // A credit takes back a share of what the cycle has been charged before.
            let mut lines = Vec::new();
            let mut left = kept;
            for (cycle, part) in asked {
                let at = cycle as usize;
                let amount = if part < 0 { left[at] * part / 100 } else { part * 37 };
                left[at] += amount.min(0);
                kept[at] += amount;
                lines.push((day(cycle), amount));
            }
            let document = history.tax(basis, group, &lines).unwrap();
            check(basis, &lines, &document)?;
            check_left(&history, &kept)?;
        }
        let all: Vec<(chrono::NaiveDate, i64)> = (0..3).map(|cycle| (day(cycle), -kept[cycle as usize])).collect();
        let document = history.tax(basis, give_back, &all).unwrap();
        check(basis, &all, &document)?;
        check_left(&history, &[0; 3])?;
        let of = |amount: fn(&GroupTotal) -> i64| history.groups.iter().map(amount).sum::<i64>();
        prop_assert_eq!((of(|t| t.taxable_minor), of(|t| t.tax_minor)), (0, 0));
    }
}

fn every_group() -> impl Strategy<Value = TaxGroup> {
    let outside = TaxGroup::new(TaxCategory::Outside, Percentage::ZERO).unwrap();
    prop::sample::select([all_groups(), vec![outside]].concat())
}

type Checked = Result<(), TestCaseError>;

/// A document adds up, its parts are its lines, and what is outside tax stands alone.
fn check(basis: PriceBasis, lines: &[(chrono::NaiveDate, i64)], document: &TaxedDocument) -> Checked {
    let TaxedDocument { parts, totals } = document;
    for (at, (_, amount)) in lines.iter().enumerate() {
        let rated: i64 = parts.iter().filter(|part| part.line == at).map(|part| part.rated_minor).sum();
        prop_assert_eq!(rated, *amount);
    }
    prop_assert_eq!(parts.iter().map(|part| part.net_minor).sum::<i64>(), totals.net_minor);
    prop_assert_eq!(totals.groups.iter().map(|total| total.tax_minor).sum::<i64>(), totals.tax_minor);
    prop_assert_eq!(totals.net_minor + totals.tax_minor, totals.total_minor);
    for total in &totals.groups {
        let of_group = parts.iter().filter(|part| part.group == total.group);
        prop_assert_eq!(of_group.map(|part| part.net_minor).sum::<i64>(), total.taxable_minor);
    }
    let rated: i64 = lines.iter().map(|(_, amount)| amount).sum();
    prop_assert_eq!(
        rated,
        if basis == PriceBasis::Inclusive { totals.total_minor } else { totals.net_minor }
    );
    let outside = totals.groups.iter().filter(|total| total.group.category() == TaxCategory::Outside).count();
    prop_assert!(outside == 0 || totals.groups.len() == 1, "{:?}", totals.groups);
    Ok(())
}

/// No cycle has been credited more than it was charged in any group, and together it has what is kept of it.
fn check_left(history: &TaxHistory<chrono::NaiveDate>, kept: &[i64; 3]) -> Checked {
    for (cycle, lines) in history.cycles.values().enumerate() {
        let mut left = std::collections::BTreeMap::new();
        for line in lines {
            *left.entry(line.group.beside_others()).or_insert(0) += line.amount_minor;
        }
        prop_assert!(left.values().all(|amount| *amount >= 0), "{:?}", left);
        if history.cycles.len() == kept.len() {
            prop_assert_eq!(left.values().sum::<i64>(), kept[cycle]);
        }
    }
    Ok(())
}
