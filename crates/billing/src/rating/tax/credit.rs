//! Tax of what is credited.

use super::{GroupTotal, PriceBasis, TaxGroup, sum};
use crate::rating::RatingError;

/// A group of which `amount_minor`, net or gross as prices are, is given back: negative, as the total is.
pub(super) fn credited(
    basis: PriceBasis,
    before: &[GroupTotal],
    group: TaxGroup,
    amount_minor: i64,
) -> Result<GroupTotal, RatingError> {
    let left = left_of(group, before)?;
    let amount_minor = amount_minor.checked_neg().ok_or(RatingError::AmountRange)?;
    let given_back = match basis {
        PriceBasis::Exclusive => of_net(left, amount_minor)?,
        PriceBasis::Inclusive => of_gross(left, amount_minor)?,
    };
    Ok(GroupTotal { group, taxable_minor: -given_back.taxable_minor, tax_minor: -given_back.tax_minor })
}

/// What has been charged of a group and not been credited.
fn left_of(group: TaxGroup, before: &[GroupTotal]) -> Result<GroupTotal, RatingError> {
    let left =
        |amount: fn(&GroupTotal) -> i64| sum(before.iter().filter(|total| total.group == group).map(amount));
    Ok(GroupTotal { group, taxable_minor: left(|t| t.taxable_minor)?, tax_minor: left(|t| t.tax_minor)? })
}

fn of_net(left: GroupTotal, net_minor: i64) -> Result<GroupTotal, RatingError> {
    if net_minor == left.taxable_minor {
        return Ok(left);
    }
    if net_minor > left.taxable_minor {
        return Err(RatingError::CreditExceedsInvoice);
    }
    let tax_minor = left.group.tax_on(net_minor)?.min(left.tax_minor);
    Ok(GroupTotal { taxable_minor: net_minor, tax_minor, ..left })
}

fn of_gross(left: GroupTotal, gross_minor: i64) -> Result<GroupTotal, RatingError> {
    let left_minor = sum([left.taxable_minor, left.tax_minor])?;
    if gross_minor == left_minor {
        return Ok(left);
    }
    if gross_minor > left_minor {
        return Err(RatingError::CreditExceedsInvoice);
    }
    let least = gross_minor - left.tax_minor;
    let taxable_minor = left.group.net_of(gross_minor)?.min(left.taxable_minor).max(least);
    Ok(GroupTotal { taxable_minor, tax_minor: gross_minor - taxable_minor, ..left })
}

#[cfg(test)]
mod tests {
    use super::super::{TaxCategory, TaxLine, totals};
    use super::*;

    #[test]
    fn the_last_credit_absorbs_what_rounding_left() {
        let group = TaxGroup::at_rate("19".parse().unwrap());
        let line = |amount_minor| [TaxLine { group, amount_minor }];
        // 2.28, of which four credits of 0.57 each would give back 4.
        let mut before = totals(PriceBasis::Exclusive, &[], &line(12)).unwrap().groups;
        assert_eq!(before[0].tax_minor, 2);
        let mut taxes = Vec::new();
        for amount in [-3, -3, -3, -3] {
            let note = totals(PriceBasis::Exclusive, &before, &line(amount)).unwrap();
            taxes.push(note.tax_minor);
            before.extend(note.groups);
        }
        assert_eq!(taxes, [-1, -1, 0, 0]);
        let more = totals(PriceBasis::Exclusive, &before, &line(-1));
        assert_eq!(more, Err(RatingError::CreditExceedsInvoice));
        let other = TaxGroup::new(TaxCategory::Exempt, "0".parse().unwrap()).unwrap();
        let foreign = [TaxLine { group: other, amount_minor: -1 }];
        let foreign = totals(PriceBasis::Inclusive, &before, &foreign);
        assert_eq!(foreign, Err(RatingError::CreditExceedsInvoice));
    }
}
