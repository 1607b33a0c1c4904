//! In which group each line of an account is taxed: a charge as the day has it, a credit as what it takes back was.

use std::collections::BTreeMap;

use super::{GroupTotal, PriceBasis, TaxCategory, TaxGroup, TaxLine, Totals, sum, totals};
use crate::rating::RatingError;

/// How an account has been taxed so far, the oldest first. `K` tells its cycles from each other.
#[derive(Debug, Clone)]
pub struct TaxHistory<K> {
    /// What was charged and credited of each cycle.
    pub cycles: BTreeMap<K, Vec<TaxLine>>,
    /// The groups of its documents, as these have them.
    pub groups: Vec<GroupTotal>,
}

impl<K> Default for TaxHistory<K> {
    fn default() -> Self {
        Self { cycles: BTreeMap::new(), groups: Vec::new() }
    }
}

/// A rated line, or a part of one: a credit of what was taxed in several groups is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaxedPart {
    /// Which of the lines given, from 0.
    pub line: usize,
    /// What it is taxed by.
    pub group: TaxGroup,
    /// As it was rated: gross where prices include tax.
    pub rated_minor: i64,
    /// Net.
    pub net_minor: i64,
}

impl TaxedPart {
    /// The part without what is off it, and what is off it: the one net of tax by the rule, the other the rest, so that both add
    /// up to it.
    pub fn apart(self, basis: PriceBasis, discount_minor: i64) -> Result<[Self; 2], RatingError> {
        let rated_minor = sum([self.rated_minor, discount_minor])?;
        let net_minor = match basis {
            PriceBasis::Exclusive => sum([self.net_minor, discount_minor])?,
            PriceBasis::Inclusive => self.group.net_of(rated_minor)?,
        };
        let off_minor = sum([self.net_minor, -net_minor])?;
        let off = Self { rated_minor: -discount_minor, net_minor: off_minor, ..self };
        Ok([Self { rated_minor, net_minor, ..self }, off])
    }
}

/// A document with its taxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxedDocument {
    /// Its lines, in the order given.
    pub parts: Vec<TaxedPart>,
    /// What it comes to.
    pub totals: Totals,
}

impl<K: Ord + Clone> TaxHistory<K> {
    /// Taxes the next document, of lines that are each of a cycle, and makes it part of the history. What is charged
    /// is taxed in `group`; what is credited, in the groups in which its cycle was charged before, the newest first,
    /// as far as each goes.
    ///
    /// No document has lines outside tax beside others (BR-O-11, BR-O-12): there they are exempt.
    ///
    /// # Errors
    /// [`RatingError::CreditExceedsInvoice`] when more of a cycle is credited than is left; as [`totals`].
    pub fn tax(
        &mut self,
        basis: PriceBasis,
        group: TaxGroup,
        lines: &[(K, i64)],
    ) -> Result<TaxedDocument, RatingError> {
        let mut cycles = self.cycles.clone();
        let mut placed: Vec<Vec<TaxLine>> = vec![Vec::new(); lines.len()];
        // Credits first: a charge of the same document is none that they take back.
        for (place, (cycle, amount_minor)) in placed.iter_mut().zip(lines) {
            if *amount_minor < 0 {
                let of_cycle = cycles.entry(cycle.clone()).or_default();
                *place = credits(of_cycle, group, *amount_minor)?;
                of_cycle.extend_from_slice(place);
            }
        }
        for (place, (cycle, amount_minor)) in placed.iter_mut().zip(lines) {
            if *amount_minor >= 0 {
                let charge = TaxLine { group, amount_minor: *amount_minor };
                cycles.entry(cycle.clone()).or_default().push(charge);
                place.push(charge);
            }
        }
        for (cycle, _) in lines {
            let lots = lots(cycles.get(cycle).map(Vec::as_slice).unwrap_or_default())?;
            if lots.iter().any(|lot| lot.amount_minor < 0) {
                return Err(RatingError::CreditExceedsInvoice);
            }
        }
        self.finish(basis, lines, placed)
    }

    /// Whether nothing is taken back that was not charged: neither of a cycle nor of a group.
    pub fn stands_alone(&self) -> Result<bool, RatingError> {
        for billed in self.cycles.values() {
            if lots(billed)?.iter().any(|lot| lot.amount_minor < 0) {
                return Ok(false);
            }
        }
        let left = self.left();
        for group in left.iter().map(|total| total.group) {
            let of_group = || left.iter().filter(|total| total.group == group);
            let taxable_minor = sum(of_group().map(|total| total.taxable_minor))?;
            if taxable_minor < 0 || sum(of_group().map(|total| total.tax_minor))? < 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn finish(
        &mut self,
        basis: PriceBasis,
        lines: &[(K, i64)],
        mut placed: Vec<Vec<TaxLine>>,
    ) -> Result<TaxedDocument, RatingError> {
        let is_outside = |line: &TaxLine| line.group.category() == TaxCategory::Outside;
        if !placed.iter().flatten().all(is_outside) {
            placed.iter_mut().flatten().for_each(|line| line.group = line.group.beside_others());
        }
        let flat: Vec<TaxLine> = placed.iter().flatten().copied().collect();
        let totals = totals(basis, &self.left(), &flat)?;
        let indices = placed.iter().enumerate().flat_map(|(index, parts)| vec![index; parts.len()]);
        let parts = indices.zip(&flat).zip(&totals.lines_net_minor).map(|((line, part), &net_minor)| {
            TaxedPart { line, group: part.group, rated_minor: part.amount_minor, net_minor }
        });
        let parts = parts.collect();
        for ((cycle, _), parts) in lines.iter().zip(placed) {
            self.cycles.entry(cycle.clone()).or_default().extend(parts);
        }
        self.groups.extend_from_slice(&totals.groups);
        Ok(TaxedDocument { parts, totals })
    }

    /// What is left of each group. What was outside tax may have been credited as exempt, and the other way round:
    /// the two stand for each other.
    fn left(&self) -> Vec<GroupTotal> {
        let exempt = TaxGroup::untaxed(TaxCategory::Exempt);
        let outside = TaxGroup::untaxed(TaxCategory::Outside);
        let untaxed = self.groups.iter().filter(|total| total.group.beside_others() == exempt);
        let untaxed: Vec<GroupTotal> = untaxed.copied().collect();
        let as_group = |group| untaxed.iter().map(move |total| GroupTotal { group, ..*total });
        let others = self.groups.iter().filter(|total| total.group.beside_others() != exempt).copied();
        others.chain(as_group(exempt)).chain(as_group(outside)).collect()
    }
}

/// What is left of a cycle in each group, the one charged last at the end.
fn lots(billed: &[TaxLine]) -> Result<Vec<TaxLine>, RatingError> {
    let mut lots: Vec<TaxLine> = Vec::new();
    for line in billed {
        let found = lots.iter().position(|lot| lot.group.beside_others() == line.group.beside_others());
        match found {
            Some(at) if line.amount_minor > 0 => {
                let before = lots.remove(at);
                lots.push(TaxLine { amount_minor: sum([before.amount_minor, line.amount_minor])?, ..*line });
            }
            Some(at) => {
                if let Some(lot) = lots.get_mut(at) {
                    lot.amount_minor = sum([lot.amount_minor, line.amount_minor])?;
                }
            }
            None => lots.push(*line),
        }
    }
    Ok(lots)
}

/// A credit by group. What a cycle has not been charged before is of what the same document charges.
fn credits(billed: &[TaxLine], group: TaxGroup, amount_minor: i64) -> Result<Vec<TaxLine>, RatingError> {
    let mut rest = amount_minor;
    let mut parts = Vec::new();
    for lot in lots(billed)?.iter().rev().filter(|lot| lot.amount_minor > 0) {
        let part = rest.max(-lot.amount_minor);
        if part < 0 {
            parts.push(TaxLine { group: lot.group, amount_minor: part });
            rest -= part;
        }
    }
    if rest < 0 {
        parts.push(TaxLine { group, amount_minor: rest });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn rated(rate: &str) -> TaxGroup {
        TaxGroup::at_rate(rate.parse().unwrap())
    }

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, day).unwrap()
    }

    fn shown(document: &TaxedDocument) -> Vec<(usize, &'static str, i64)> {
        document.parts.iter().map(|part| (part.line, part.group.category().code(), part.net_minor)).collect()
    }

    #[test]
    fn a_credit_is_taxed_as_its_cycle_was_the_newest_first() {
        let (old, new) = (rated("19"), rated("21"));
        let mut history = TaxHistory::default();
        history.tax(PriceBasis::Exclusive, old, &[(day(1), 1000)]).unwrap();
        history.tax(PriceBasis::Exclusive, new, &[(day(1), 300)]).unwrap();
        let document =
            history.tax(PriceBasis::Exclusive, new, &[(day(1), -500), (day(1), 40), (day(2), 700)]).unwrap();
        let of = |group, at: usize| {
            let parts = document.parts.iter().filter(|part| part.group == group && part.line == at);
            parts.map(|part| part.net_minor).sum::<i64>()
        };
        assert_eq!((of(new, 0), of(old, 0), of(new, 1), of(new, 2)), (-300, -200, 40, 700));
        let taxes: Vec<i64> = document.totals.groups.iter().map(|group| group.tax_minor).collect();
        assert_eq!(taxes, [-38, 92]);
        let more = history.tax(PriceBasis::Exclusive, new, &[(day(1), -841)]);
        assert_eq!(more, Err(RatingError::CreditExceedsInvoice));
    }

    #[test]
    fn what_is_outside_tax_is_exempt_beside_others_and_alone_again_outside() {
        let outside = TaxGroup::untaxed(TaxCategory::Outside);
        let mut history = TaxHistory::default();
        let first = history.tax(PriceBasis::Exclusive, outside, &[(day(1), 100)]).unwrap();
        assert_eq!(shown(&first), [(0, "O", 100)]);
        let mixed = history.tax(PriceBasis::Exclusive, rated("20"), &[(day(1), -30), (day(2), 50)]).unwrap();
        assert_eq!(shown(&mixed), [(0, "E", -30), (1, "S", 50)]);
        let last = history.tax(PriceBasis::Exclusive, outside, &[(day(1), -70)]).unwrap();
        assert_eq!(shown(&last), [(0, "O", -70)]);
        let more = history.tax(PriceBasis::Exclusive, outside, &[(day(1), -1)]);
        assert_eq!(more, Err(RatingError::CreditExceedsInvoice));
    }
}
