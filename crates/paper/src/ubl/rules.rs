//! The rules of EN 16931 that a document can break. Those that the writer keeps by its form are not here.

use crate::country;
use crate::decimal;
use crate::model::{Category, Document, Kind, Party, Period, Rate, TaxGroup};
use crate::text::clean;
use crate::{Decimal, UblError};

type Checked = Result<(), UblError>;

/// Codes of ISO 4217 that EN 16931's list of currencies lacks: of money that is no more, and XAD and STN, instead of
/// which it still has STD.
const UNLISTED: [&str; 7] = ["BGN", "CUC", "HRK", "SLL", "STN", "XAD", "ZWL"];

/// Refuses what EN 16931 forbids.
pub(super) fn check(document: &Document) -> Checked {
    present("BR-02", "the document has no number", document.number.as_deref().unwrap_or_default())?;
    let listed = !UNLISTED.contains(&document.currency.code());
    need("BR-CL-04", "the currency is not in the norm's list", listed)?;
    need("BR-16", "the document has no lines", !document.lines.is_empty())?;
    parties(document)?;
    periods(document)?;
    for line in &document.lines {
        present("BR-25", "a line has no description", &line.description)?;
        rated(line.tax)?;
    }
    for corrected in &document.corrects {
        present("BR-55", "a corrected document has no number", &corrected.number)?;
    }
    if let Some(bank) = &document.bank {
        present("BR-50", "the account to pay into has no IBAN", &bank.iban)?;
    }
    let terms = document.payment_terms.as_deref().is_some_and(|terms| !clean(terms).is_empty());
    let asks = super::sign(document) * i128::from(document.totals.gross) > 0;
    // A credit note's due date is within its means of payment, where the rule's own test does not look for it.
    let due = document.due_on.is_some() && document.kind == Kind::Invoice;
    need("BR-CO-25", "an amount is due and there is neither a due date nor a term", !asks || due || terms)?;
    decimals(document)?;
    taxes(document)?;
    sums(document)
}

fn need(rule: &'static str, what: &str, holds: bool) -> Checked {
    if holds { Ok(()) } else { Err(UblError { rule, what: what.to_owned() }) }
}

fn present(rule: &'static str, what: &str, text: &str) -> Checked {
    need(rule, what, !clean(text).is_empty())
}

fn parties(document: &Document) -> Checked {
    present("BR-06", "the issuer has no name", &document.issuer.name)?;
    present("BR-07", "the customer has no name", &document.customer.name)?;
    let known =
        |party: &Party| party.address.country.as_deref().is_some_and(|code| country::name(code).is_some());
    need("BR-09", "the issuer's address has no country of ISO 3166-1", known(&document.issuer))?;
    need("BR-11", "the customer's address has no country of ISO 3166-1", known(&document.customer))?;
    let issuer = &document.issuer;
    let identified = has(&issuer.registration) || (has(&issuer.vat_id) && !out_of_scope(document));
    need("BR-CO-26", "the issuer has neither a registration nor a VAT identifier", identified)?;
    for party in [&document.issuer, &document.customer] {
        let Some(id) = party.vat_id.as_deref().map(clean).filter(|id| !id.is_empty()) else { continue };
        // Greece's prefix is EL; Northern Ireland's is XI.
        let prefix = id.get(..2).unwrap_or_default();
        let known = matches!(prefix, "EL" | "XI") || country::name(prefix).is_some();
        need("BR-CO-09", "a VAT identifier does not begin with the letters of a country", known)?;
    }
    Ok(())
}

fn periods(document: &Document) -> Checked {
    let forward = |period: &Period| period.from < period.until;
    need("BR-29", "the service period ends before it begins", document.period.iter().all(forward))?;
    let lines = document.lines.iter().filter_map(|line| line.period.as_ref());
    need("BR-30", "a line's period ends before it begins", lines.into_iter().all(forward))
}

/// BR-DEC: amounts have at most two decimals, also where the currency has three.
fn decimals(document: &Document) -> Checked {
    let excess = 10_i64.pow(document.currency.exponent().saturating_sub(2));
    let totals = document.totals;
    let sums = [totals.net, totals.tax, totals.gross];
    let groups = document.taxes.iter().flat_map(|group| [group.taxable, group.tax]);
    let lines = document.lines.iter().map(|line| line.net);
    let short = sums.into_iter().chain(groups).chain(lines).all(|amount| amount % excess == 0);
    need("BR-DEC-23", "an amount has more than two decimals", short)
}

/// Only the standard category has a rate (BR-S-05, BR-Z-05, BR-E-05, BR-AE-05).
fn rated(rate: Rate) -> Checked {
    match rate.category {
        Category::Standard => {
            need("BR-S-05", "a taxed line has no rate above zero", rate.percent > Decimal::ZERO)
        }
        _ => need("BR-E-05", "an untaxed line has a rate", rate.percent == Decimal::ZERO),
    }
}

fn taxes(document: &Document) -> Checked {
    need("BR-CO-18", "the document has no summary of taxes", !document.taxes.is_empty())?;
    need(
        "BR-O-11",
        "what is outside the scope of VAT stands with what is not",
        !out_of_scope(document) || document.taxes.len() == 1,
    )?;
    let unit = 10_i128.pow(document.currency.exponent());
    for (at, group) in document.taxes.iter().enumerate() {
        let alone = document.taxes[..at].iter().all(|other| other.rate != group.rate);
        need("BR-S-08", "two groups of taxes have the same category and rate", alone)?;
        rated(group.rate)?;
        reasoned(group)?;
        identified(group.rate.category, document)?;
        let lines = document.lines.iter().filter(|line| line.tax == group.rate);
        let taxable: i128 = lines.map(|line| i128::from(line.net)).sum();
        need(
            "BR-S-08",
            "a group of taxes is not the sum of its lines",
            taxable == i128::from(group.taxable),
        )?;
        let untaxed = group.rate.category == Category::Standard || group.tax == 0;
        need("BR-E-09", "tax is charged where none is due", untaxed)?;
        need("BR-CO-17", "a tax is not its rate of what it is on", within_a_unit(group, unit))?;
    }
    let grouped = |rate: Rate| document.taxes.iter().any(|group| group.rate == rate);
    need("BR-S-01", "a line's tax is in no group", document.lines.iter().all(|line| grouped(line.tax)))
}

/// As the published rules test it: the tax by the rate, rounded to two decimals, is less than a whole unit of the currency
/// away. The last credit of a group needs that: it takes back what the rounding of those before it left. A rate that
/// rounds to zero per cent allows no tax but what rounds to zero, too.
fn within_a_unit(group: &TaxGroup, unit: i128) -> bool {
    let (percent, hundred) = (group.rate.percent.units(), 100 * decimal::ONE);
    let (stated, whole) = (i128::from(group.tax) * hundred, unit * hundred);
    let half_a_cent = whole / 200;
    let exact = i128::from(group.taxable).checked_mul(percent);
    let near = exact.is_some_and(|exact| (exact - stated).abs() + half_a_cent < whole);
    near && (percent >= decimal::ONE / 2 || 2 * stated.abs() < whole)
}

/// A reason is given where no tax is charged, and there alone (BR-E-10, BR-AE-10, BR-O-10, BR-S-10, BR-Z-10).
fn reasoned(group: &TaxGroup) -> Checked {
    let given = has(&group.reason);
    match group.rate.category {
        Category::Standard => need("BR-S-10", "a taxed group has a reason for exemption", !given),
        Category::Zero => need("BR-Z-10", "a group taxed at zero has a reason for exemption", !given),
        Category::Exempt => need("BR-E-10", "an exempt group has no reason", given),
        Category::ReverseCharge => need("BR-AE-10", "a reverse charge has no reason", given),
        Category::OutOfScope => need("BR-O-10", "what is outside the scope of VAT has no reason", given),
    }
}

fn identified(category: Category, document: &Document) -> Checked {
    let issuer = has(&document.issuer.vat_id);
    let customer = has(&document.customer.vat_id) || has(&document.customer.registration);
    match category {
        Category::OutOfScope => Ok(()),
        Category::Standard => need("BR-S-02", "tax is charged and the issuer has no VAT identifier", issuer),
        Category::Zero => {
            need("BR-Z-02", "a zero rate is charged and the issuer has no VAT identifier", issuer)
        }
        Category::Exempt => need("BR-E-02", "a line is exempt and the issuer has no VAT identifier", issuer),
        Category::ReverseCharge => {
            need("BR-AE-02", "a reverse charge needs identifiers of both parties", issuer && customer)
        }
    }
}

fn sums(document: &Document) -> Checked {
    let totals = document.totals;
    let wide = i128::from;
    let lines: i128 = document.lines.iter().map(|line| wide(line.net)).sum();
    let taxes: i128 = document.taxes.iter().map(|group| wide(group.tax)).sum();
    need("BR-CO-10", "the net total is not the sum of the lines", lines == wide(totals.net))?;
    need("BR-CO-14", "the tax is not the sum of the taxes", taxes == wide(totals.tax))?;
    let gross = wide(totals.net) + wide(totals.tax);
    need("BR-CO-15", "the total is not net and tax", gross == wide(totals.gross))
}

fn has(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|text| !clean(text).is_empty())
}

fn out_of_scope(document: &Document) -> bool {
    document.taxes.iter().any(|group| group.rate.category == Category::OutOfScope)
}
