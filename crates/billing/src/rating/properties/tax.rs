//! The invariants of taxes (I1, I10, I14).

use proptest::prelude::*;

use super::super::*;

fn groups() -> impl Strategy<Value = TaxGroup> {
    let standard = ["20", "19", "7.7", "23.33", "5.5", "0.0001", "100"];
    let rated = standard.map(|rate| TaxGroup::new(TaxCategory::Standard, rate.parse().unwrap()).unwrap());
    let free = [TaxCategory::ZeroRated, TaxCategory::Exempt, TaxCategory::ReverseCharge]
        .map(|category| TaxGroup::new(category, Percentage::ZERO).unwrap());
    prop::sample::select([rated.as_slice(), free.as_slice()].concat())
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
        let totals = totals(basis, &lines).unwrap();
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
        lines in lines(0..10_000),
        parts in prop::collection::vec(0_i64..100, 0..6),
    ) {
        let invoice = totals(basis, &lines).unwrap();
        let mut left = lines.clone();
        let mut credited: Vec<GroupTotal> = Vec::new();
        for part in parts.into_iter().chain([100]) {
            let part_of = |line: &TaxLine| TaxLine { amount_minor: line.amount_minor * part / 100, ..*line };
            let note: Vec<TaxLine> = left.iter().map(part_of).collect();
            for (left, note) in left.iter_mut().zip(&note) {
                left.amount_minor -= note.amount_minor;
            }
            let note = credit_totals(basis, &invoice.groups, &credited, &note).unwrap();
            prop_assert_eq!(note.lines_net_minor.iter().sum::<i64>(), note.net_minor);
            credited.extend(note.groups);
            for total in &invoice.groups {
                let of = |amount: fn(&GroupTotal) -> i64| -> i64 {
                    credited.iter().filter(|credit| credit.group == total.group).map(amount).sum()
                };
                prop_assert!((0..=total.taxable_minor).contains(&of(|t| t.taxable_minor)), "{:?}", credited);
                prop_assert!((0..=total.tax_minor).contains(&of(|t| t.tax_minor)), "{:?}", credited);
            }
        }
        let of = |totals: &[GroupTotal]| -> (i64, i64) {
            (totals.iter().map(|t| t.taxable_minor).sum(), totals.iter().map(|t| t.tax_minor).sum())
        };
        prop_assert_eq!(of(&credited), of(&invoice.groups));
        let more = TaxLine { amount_minor: 1, ..lines[0] };
        let more = credit_totals(basis, &invoice.groups, &credited, &[more]);
        prop_assert_eq!(more, Err(RatingError::CreditExceedsInvoice));
    }
}
