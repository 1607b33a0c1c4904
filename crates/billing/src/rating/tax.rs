//! Tax of a document, per category and rate, on the sum of its rounded lines (EN 16931).
//!
//! The rules that hold of [`Totals`], all in minor units: lines add up to the net (BR-CO-10 and, as discounts are
//! in the lines and there are no allowances or charges of the document, BR-CO-13); taxes of groups add up to the
//! tax (BR-CO-14); net and tax are the total (BR-CO-15). A group's tax is its taxable amount times its rate,
//! rounded (BR-CO-17), when prices exclude tax. Where they include it, what was agreed is the gross: the group's
//! net and tax add up to it exactly, and its tax may be one minor unit from the rule, because not every gross is
//! some net with its tax rounded. So may the tax of a credit that brings what rounding left over. The published checks
//! of BR-CO-17 let it be up to one whole unit of the currency apart. What is payable (BR-CO-16) is the total less
//! what was paid.

mod credit;
mod history;
mod treatment;

use std::collections::BTreeMap;
use std::fmt;

use kernel::named;
use num_traits::CheckedDiv as _;

use super::RatingError;
use super::percentage::Percentage;
use super::price::{Share, round_half_away};

use credit::credited;

pub use history::{TaxHistory, TaxedDocument, TaxedPart};
pub use treatment::{TaxParty, Treatment, TreatmentError, treatment};

/// How something is taxed, as UNCL5305 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaxCategory {
    /// `S`: at a rate above 0.
    Standard,
    /// `Z`: at a rate of 0.
    ZeroRated,
    /// `E`: not at all.
    Exempt,
    /// `AE`: by the customer.
    ReverseCharge,
    /// `O`: not subject to tax.
    Outside,
}

impl TaxCategory {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Standard, Self::ZeroRated, Self::Exempt, Self::ReverseCharge, Self::Outside];

    /// `S`, `Z`, `E`, `AE` or `O`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Standard => "S",
            Self::ZeroRated => "Z",
            Self::Exempt => "E",
            Self::ReverseCharge => "AE",
            Self::Outside => "O",
        }
    }

    /// The one with that code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.code() == code)
    }
}

/// A category and a rate; what is taxed alike is rounded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaxGroup {
    category: TaxCategory,
    rate: Percentage,
}

impl TaxGroup {
    /// [`RatingError::TaxRate`] for a standard rate of 0 (BR-S-05), or another than 0 of any other category (BR-Z-05,
    /// BR-E-05, BR-AE-05; one outside tax has none at all, BR-O-05).
    pub fn new(category: TaxCategory, rate: Percentage) -> Result<Self, RatingError> {
        let is_taxed = category == TaxCategory::Standard;
        if is_taxed == (rate > Percentage::ZERO) {
            Ok(Self { category, rate })
        } else {
            Err(RatingError::TaxRate)
        }
    }

    /// At a rate: none is the zero rate.
    pub fn at_rate(rate: Percentage) -> Self {
        let category = if rate > Percentage::ZERO { TaxCategory::Standard } else { TaxCategory::ZeroRated };
        Self { category, rate }
    }

    /// Not taxed, for a reason that the category says.
    const fn untaxed(category: TaxCategory) -> Self {
        Self { category, rate: Percentage::ZERO }
    }

    /// What stands for it in a document that has other groups: of one outside tax, which stands alone (BR-O-11,
    /// BR-O-12), being exempt.
    pub fn beside_others(self) -> Self {
        match self.category {
            TaxCategory::Outside => Self::untaxed(TaxCategory::Exempt),
            _ => self,
        }
    }

    /// How it is taxed.
    pub fn category(self) -> TaxCategory {
        self.category
    }

    /// At which rate.
    pub fn rate(self) -> Percentage {
        self.rate
    }

    /// The tax on a net amount (BR-CO-17).
    pub(crate) fn tax_on(self, net_minor: i64) -> Result<i64, RatingError> {
        round_half_away(Share::from(i128::from(net_minor)) * self.rate.share())
    }

    /// The net amount in a gross one.
    fn net_of(self, gross_minor: i64) -> Result<i64, RatingError> {
        let net = Share::from(i128::from(gross_minor)).checked_div(&(Share::from(1) + self.rate.share()));
        round_half_away(net.ok_or(RatingError::AmountRange)?)
    }
}

impl fmt::Display for TaxGroup {
    /// Such as `S 19.0000 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} %", self.category.code(), self.rate)
    }
}

named! {
    /// Whether prices include tax.
    PriceBasis {
        /// Lines are net; tax is added.
        Exclusive = "exclusive",
        /// Lines are gross; tax is part of them.
        Inclusive = "inclusive",
    }
}

/// A rounded line of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaxLine {
    /// How it is taxed.
    pub group: TaxGroup,
    /// Net or gross, as the prices of the document are.
    pub amount_minor: i64,
}

/// A group of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupTotal {
    /// What it is taxed by.
    pub group: TaxGroup,
    /// The sum of its lines, net.
    pub taxable_minor: i64,
    /// The tax on it.
    pub tax_minor: i64,
}

/// What a document comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Each line, net, in the order given.
    pub lines_net_minor: Vec<i64>,
    /// Each group, in the order of categories and rates.
    pub groups: Vec<GroupTotal>,
    /// The sum of the lines.
    pub net_minor: i64,
    /// The sum of the groups' taxes.
    pub tax_minor: i64,
    /// Net and tax.
    pub total_minor: i64,
}

impl Totals {
    fn new(lines_net_minor: Vec<i64>, groups: Vec<GroupTotal>) -> Result<Self, RatingError> {
        let net_minor = sum(lines_net_minor.iter().copied())?;
        let tax_minor = sum(groups.iter().map(|group| group.tax_minor))?;
        let total_minor = sum([net_minor, tax_minor])?;
        Ok(Self { lines_net_minor, groups, net_minor, tax_minor, total_minor })
    }
}

/// What a document comes to, after those with the groups `before`: signed, so that these add up to what is left of
/// what was charged.
///
/// The tax of a group that is charged follows from its lines. Of one that is credited it does, too, but is never more
/// than is left; the credit that gives back the rest of a group gives back the rest of its tax, so that what rounding
/// left over goes with it. [`RatingError::CreditExceedsInvoice`] if more of a group is given back than is left,
/// [`RatingError::AmountRange`] beyond 64 bits.
pub fn totals(basis: PriceBasis, before: &[GroupTotal], lines: &[TaxLine]) -> Result<Totals, RatingError> {
    let mut groups = Vec::new();
    for (group, amount_minor) in amounts(lines)? {
        groups.push(match (basis, amount_minor) {
            (_, ..0) => credited(basis, before, group, amount_minor)?,
            (PriceBasis::Exclusive, _) => {
                GroupTotal { group, taxable_minor: amount_minor, tax_minor: group.tax_on(amount_minor)? }
            }
            (PriceBasis::Inclusive, _) => {
                let taxable_minor = group.net_of(amount_minor)?;
                GroupTotal { group, taxable_minor, tax_minor: amount_minor - taxable_minor }
            }
        });
    }
    Totals::new(lines_net(basis, lines, &groups)?, groups)
}

/// The sum of each group's lines.
fn amounts(lines: &[TaxLine]) -> Result<BTreeMap<TaxGroup, i64>, RatingError> {
    let mut amounts = BTreeMap::new();
    for line in lines {
        let amount = amounts.entry(line.group).or_insert(0_i64);
        *amount = sum([*amount, line.amount_minor])?;
    }
    Ok(amounts)
}

/// Each line net of tax. Of gross lines by telescoping: after each line, a group's nets add up to the net of its
/// gross so far, and the last line brings them to what the group is taxed on.
fn lines_net(basis: PriceBasis, lines: &[TaxLine], groups: &[GroupTotal]) -> Result<Vec<i64>, RatingError> {
    if basis == PriceBasis::Exclusive {
        return Ok(lines.iter().map(|line| line.amount_minor).collect());
    }
    let mut nets = vec![0; lines.len()];
    for total in groups {
        let (mut gross_minor, mut net_minor, mut last) = (0, 0, None);
        let of_group = lines.iter().zip(nets.iter_mut()).filter(|(line, _)| line.group == total.group);
        for (line, net) in of_group {
            gross_minor = sum([gross_minor, line.amount_minor])?;
            let reached = total.group.net_of(gross_minor)?;
            *net = reached - net_minor;
            net_minor = reached;
            last = Some(net);
        }
        if let Some(last) = last {
            *last += total.taxable_minor - net_minor;
        }
    }
    Ok(nets)
}

fn sum(amounts: impl IntoIterator<Item = i64>) -> Result<i64, RatingError> {
    amounts.into_iter().try_fold(0_i64, i64::checked_add).ok_or(RatingError::AmountRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(category: TaxCategory, rate: &str) -> TaxGroup {
        TaxGroup::new(category, rate.parse().unwrap()).unwrap()
    }

    fn lines<const N: usize>(lines: [(TaxGroup, i64); N]) -> [TaxLine; N] {
        lines.map(|(group, amount_minor)| TaxLine { group, amount_minor })
    }

    #[test]
    fn tax_is_rounded_once_a_group() {
        let (full, less) = (group(TaxCategory::Standard, "19"), group(TaxCategory::Standard, "7"));
        let exempt = group(TaxCategory::Exempt, "0");
        let lines = lines([(full, 103), (less, 50), (full, 103), (exempt, 999), (less, -10)]);
        let totals = totals(PriceBasis::Exclusive, &[], &lines).unwrap();
        let taxes: Vec<(i64, i64)> = totals.groups.iter().map(|g| (g.taxable_minor, g.tax_minor)).collect();
        // 39.14 and not twice 19.57 rounded; 2.8.
        assert_eq!(taxes, [(40, 3), (206, 39), (999, 0)]);
        assert_eq!((totals.net_minor, totals.tax_minor, totals.total_minor), (1245, 42, 1287));
    }

    #[test]
    fn a_gross_is_kept() {
        let full = group(TaxCategory::Standard, "20");
        // No net has 3 with its tax rounded: 2 has 2, and 3 has 4.
        let totals = totals(PriceBasis::Inclusive, &[], &lines([(full, 1), (full, 1), (full, 1)])).unwrap();
        assert_eq!((totals.net_minor, totals.tax_minor, totals.total_minor), (3, 0, 3));
        assert_eq!(totals.lines_net_minor, [1, 1, 1]);
    }

    #[test]
    fn a_rate_belongs_to_a_category() {
        let of = |category, rate: &str| TaxGroup::new(category, rate.parse().unwrap());
        assert_eq!(of(TaxCategory::Standard, "0"), Err(RatingError::TaxRate));
        for category in TaxCategory::ALL {
            assert_eq!(TaxCategory::from_code(category.code()), Some(category));
            if category != TaxCategory::Standard {
                assert_eq!(of(category, "1"), Err(RatingError::TaxRate));
                assert_eq!(of(category, "0").unwrap().tax_on(1000), Ok(0));
            }
        }
    }
}
