//! What a quantity costs for a whole interval: every unit the same, or by tiers.

use std::sync::Arc;

use kernel::Currency;
use num_traits::Zero as _;

use super::RatingError;
use super::price::{Amount, Share, UnitPrice};

/// How a quantity is priced. Cheap to clone; equal tariffs are the same tariff.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tariff {
    /// Every unit costs the same.
    Flat(UnitPrice),
    /// Each unit costs what its own tier says.
    Graduated(Tiers),
    /// All units cost what the tier of the whole quantity says.
    Volume(Tiers),
}

/// Tiers that follow each other, the last without a limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tiers(Arc<[Tier]>);

/// A tier: from the limit of the one before up to and including its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tier {
    /// The last unit that belongs to it; `None` in the last tier.
    pub up_to: Option<u32>,
    /// For one unit and one whole interval.
    pub unit_price: UnitPrice,
}

/// Tiers that do not follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limits of tiers must increase from 1 on, and the last tier alone has none")]
pub struct TiersError;

impl Tiers {
    /// Tiers in the order of their limits.
    pub fn new(tiers: Vec<Tier>) -> Result<Self, TiersError> {
        let (last, limited) = tiers.split_last().ok_or(TiersError)?;
        let mut below = 0;
        for tier in limited {
            below = tier.up_to.filter(|limit| *limit > below).ok_or(TiersError)?;
        }
        if last.up_to.is_some() { Err(TiersError) } else { Ok(Self(tiers.into())) }
    }

    /// In the order of their limits.
    pub fn as_slice(&self) -> &[Tier] {
        &self.0
    }

    fn graduated(&self, units: Share) -> Result<Amount, RatingError> {
        let (mut cost, mut below) = (Amount::ZERO, Share::zero());
        for tier in self.0.iter() {
            let reached = tier.up_to.map_or(units, |limit| units.min(Share::from(i128::from(limit))));
            cost = cost.plus(tier.unit_price.cost((reached - below).max(Share::zero()))?)?;
            below = reached;
        }
        Ok(cost)
    }

    fn volume(&self, units: Share) -> Result<Amount, RatingError> {
        let has_them = |tier: &&Tier| tier.up_to.is_none_or(|limit| units <= Share::from(i128::from(limit)));
        self.0.iter().find(has_them).map_or(Ok(Amount::ZERO), |tier| tier.unit_price.cost(units))
    }
}

impl Tariff {
    /// `flat`, `graduated` or `volume`.
    pub fn model(&self) -> &'static str {
        match self {
            Self::Flat(_) => "flat",
            Self::Graduated(_) => "graduated",
            Self::Volume(_) => "volume",
        }
    }

    /// What every unit costs, if all cost the same.
    pub fn unit_price(&self) -> Option<UnitPrice> {
        match self {
            Self::Flat(unit_price) => Some(*unit_price),
            Self::Graduated(_) | Self::Volume(_) => None,
        }
    }

    /// Its tiers, in the order of their limits; a flat one has none.
    pub fn tiers(&self) -> &[Tier] {
        match self {
            Self::Flat(_) => &[],
            Self::Graduated(tiers) | Self::Volume(tiers) => tiers.as_slice(),
        }
    }

    /// The exact cost of a quantity for a whole interval.
    ///
    /// [`RatingError::NegativeQuantity`] below 0.
    pub fn cost(&self, units: Share) -> Result<Amount, RatingError> {
        if units < Share::zero() {
            return Err(RatingError::NegativeQuantity);
        }
        match self {
            Self::Flat(unit_price) => unit_price.cost(units),
            Self::Graduated(tiers) => tiers.graduated(units),
            Self::Volume(tiers) => tiers.volume(units),
        }
    }

    /// The cost of a quantity for a whole interval, rounded, in minor units.
    pub fn amount_minor(&self, units: Share, currency: Currency) -> Result<i64, RatingError> {
        self.cost(units)?.minor(currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(up_to: Option<u32>, price: &str) -> Tier {
        Tier { up_to, unit_price: price.parse().unwrap() }
    }

    fn costs(tariff: &Tariff, quantities: [i128; 6]) -> [i64; 6] {
        quantities.map(|q| tariff.amount_minor(Share::from(q), "EUR".parse().unwrap()).unwrap())
    }

    #[test]
    fn tiers_price_each_unit_or_all_of_them() {
        let tiers = Tiers::new(vec![tier(Some(5), "7"), tier(Some(10), "6.50"), tier(None, "6")]).unwrap();
        let quantities = [0, 1, 5, 6, 10, 11];
        let graduated = [0, 700, 3500, 4150, 6750, 7350];
        assert_eq!(costs(&Tariff::Graduated(tiers.clone()), quantities), graduated);
        assert_eq!(costs(&Tariff::Volume(tiers), quantities), [0, 700, 3500, 3900, 6500, 6600]);
    }

    #[test]
    fn part_of_a_unit_costs_its_part() {
        let tiers = Tiers::new(vec![tier(Some(1), "1"), tier(None, "2")]).unwrap();
        let (eur, units) = ("EUR".parse().unwrap(), Share::new(3, 2));
        assert_eq!(Tariff::Graduated(tiers.clone()).amount_minor(units, eur), Ok(200));
        assert_eq!(Tariff::Volume(tiers).amount_minor(units, eur), Ok(300));
    }

    #[test]
    fn tiers_must_follow_each_other() {
        let limits: [&[Option<u32>]; 6] =
            [&[], &[Some(1)], &[None, None], &[Some(0), None], &[Some(2), Some(2), None], &[None, Some(3)]];
        for limits in limits {
            let tiers = limits.iter().map(|limit| tier(*limit, "1")).collect();
            assert_eq!(Tiers::new(tiers), Err(TiersError), "{limits:?}");
        }
    }
}
