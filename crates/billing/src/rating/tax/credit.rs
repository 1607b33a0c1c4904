//! Tax of a credit note.

use super::{GroupTotal, PriceBasis, TaxGroup, TaxLine, Totals, amounts, lines_net, sum};
use crate::rating::RatingError;

/// What a credit note comes to, of an invoice with the groups `invoiced`, after earlier ones with the groups
/// `credited`. All amounts are positive: what is given back.
///
/// The tax of each group is as on an invoice, and never more than is left of the invoice's; the credit note that
/// gives back the rest of a group gives back the rest of its tax, so that what rounding left over goes with it.
/// [`RatingError::CreditExceedsInvoice`] if more of a group is given back than is left.
pub fn credit_totals(
    basis: PriceBasis,
    invoiced: &[GroupTotal],
    credited: &[GroupTotal],
    lines: &[TaxLine],
) -> Result<Totals, RatingError> {
    let mut groups = Vec::new();
    for (group, amount_minor) in amounts(lines)? {
        let left = left_of(group, invoiced, credited)?;
        groups.push(match basis {
            PriceBasis::Exclusive => of_net(left, amount_minor)?,
            PriceBasis::Inclusive => of_gross(left, amount_minor)?,
        });
    }
    Totals::new(lines_net(basis, lines, &groups)?, groups)
}

/// What has been invoiced of a group and not been credited.
fn left_of(
    group: TaxGroup,
    invoiced: &[GroupTotal],
    credited: &[GroupTotal],
) -> Result<GroupTotal, RatingError> {
    let of = |totals: &[GroupTotal], amount: fn(&GroupTotal) -> i64| {
        sum(totals.iter().filter(|total| total.group == group).map(amount))
    };
    let left = |amount| sum([of(invoiced, amount)?, -of(credited, amount)?]);
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
    use super::super::{TaxCategory, totals};
    use super::*;

    #[test]
    fn the_last_credit_note_absorbs_what_rounding_left() {
        let group = TaxGroup::new(TaxCategory::Standard, "19".parse().unwrap()).unwrap();
        let line = |amount_minor| [TaxLine { group, amount_minor }];
        let invoice = totals(PriceBasis::Exclusive, &line(9)).unwrap().groups;
        assert_eq!(invoice[0].tax_minor, 2);
        let mut credited = Vec::new();
        let mut taxes = Vec::new();
        for amount in [3, 3, 3] {
            let note = credit_totals(PriceBasis::Exclusive, &invoice, &credited, &line(amount)).unwrap();
            taxes.push(note.tax_minor);
            credited.extend(note.groups);
        }
        assert_eq!(taxes, [1, 1, 0]);
        let more = credit_totals(PriceBasis::Exclusive, &invoice, &credited, &line(1));
        assert_eq!(more, Err(RatingError::CreditExceedsInvoice));
        let other = TaxGroup::new(TaxCategory::Exempt, "0".parse().unwrap()).unwrap();
        let foreign = [TaxLine { group: other, amount_minor: 1 }];
        let foreign = credit_totals(PriceBasis::Inclusive, &invoice, &[], &foreign);
        assert_eq!(foreign, Err(RatingError::CreditExceedsInvoice));
    }
}
