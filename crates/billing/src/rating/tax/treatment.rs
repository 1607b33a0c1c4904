//! How what one sells to another is taxed: an electronic service, whose place is the customer's country (Directive
//! 2006/112/EC, articles 44 and 58).

use kernel::Country;

use super::super::percentage::Percentage;
use super::{TaxCategory, TaxGroup};

/// What of a customer matters.
#[derive(Debug, Clone, Copy)]
pub struct TaxParty {
    /// Where it is.
    pub country: Country,
    /// Whether it is a business with a number for value-added tax that has not turned out to be void.
    pub has_vat_id: bool,
}

/// How a charge is taxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Treatment {
    /// What it is taxed by.
    pub group: TaxGroup,
    /// Why there is no tax, where there is none and the rate is not zero.
    pub reason: Option<String>,
}

/// Why it cannot be said how something is taxed. It parks the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreatmentError {
    /// The issuer charges tax, and it is not known where the customer is.
    #[error("the issuer charges tax and the customer has no billing profile")]
    NoCustomer,
    /// The issuer has no rate of this country.
    #[error("the issuer charges tax and has no rate for {0} on the day of the document")]
    NoRate(Country),
}

const REVERSE_CHARGE: &str =
    "reverse charge: VAT is payable by the customer (article 196 of Directive 2006/112/EC)";
const NOT_SUBJECT: &str = "not subject to VAT";

/// How an issuer's charges to a customer are taxed, by the rates that the issuer has on the day of the document's boundary.
///
/// - An issuer that charges no tax (`None`): outside tax.
/// - A customer that is exempt: exempt, with that reason.
/// - In one country: its rate.
/// - Both in the EU, and the customer has a number: reverse charge. Without one: the rate of the customer's country,
///   if the issuer has one (the one-stop shop), else of its own.
/// - Otherwise: the rate of the customer's country, if the issuer has one (it is registered there), else outside tax,
///   as a service that is supplied elsewhere.
///
/// # Errors
/// [`TreatmentError`] when the issuer charges tax and something that it follows from is not known.
pub fn treatment(
    issuer: Option<Country>,
    customer: Option<TaxParty>,
    exemption: Option<&str>,
    rate_of: impl Fn(Country) -> Option<Percentage>,
) -> Result<Treatment, TreatmentError> {
    let untaxed = |category, reason: &str| Treatment {
        group: TaxGroup::untaxed(category),
        reason: Some(reason.to_owned()),
    };
    let rated = |rate| Treatment { group: TaxGroup::at_rate(rate), reason: None };
    let Some(issuer) = issuer else { return Ok(untaxed(TaxCategory::Outside, NOT_SUBJECT)) };
    let customer = customer.ok_or(TreatmentError::NoCustomer)?;
    if let Some(reason) = exemption {
        return Ok(untaxed(TaxCategory::Exempt, reason));
    }
    let domestic = || rate_of(issuer).map(rated).ok_or(TreatmentError::NoRate(issuer));
    if customer.country == issuer {
        return domestic();
    }
    let is_within_eu = issuer.is_in_eu() && customer.country.is_in_eu();
    if is_within_eu && customer.has_vat_id {
        return Ok(untaxed(TaxCategory::ReverseCharge, REVERSE_CHARGE));
    }
    match rate_of(customer.country) {
        Some(rate) => Ok(rated(rate)),
        None if is_within_eu => domestic(),
        None => Ok(untaxed(TaxCategory::Outside, NOT_SUBJECT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `issuer customer[+] rates = expected`, with + for a number and ! for an exemption.
    fn case(issuer: &str, customer: &str, rates: &str) -> String {
        let country = |text: &str| text.parse::<Country>().unwrap();
        let party = |text: &str| TaxParty { country: country(&text[..2]), has_vat_id: text.contains('+') };
        let rate_of = |wanted: Country| {
            rates
                .split(' ')
                .filter_map(|rate| rate.split_once('='))
                .find_map(|(of, rate)| (country(of) == wanted).then(|| rate.parse().unwrap()))
        };
        let exemption = customer.contains('!').then_some("a public body");
        let issuer = (issuer != "-").then(|| country(issuer));
        let customer = (customer != "-").then(|| party(customer));
        match treatment(issuer, customer, exemption, rate_of) {
            Ok(found) => {
                assert_eq!(found.reason.is_none(), ["S", "Z"].contains(&found.group.category().code()));
                format!("{} {}", found.group.category().code(), found.group.rate())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_case_has_its_treatment() {
        let rates = "DE=19 FR=20 CH=8.1 GI=0";
        let no_rate =
            |of| format!("the issuer charges tax and has no rate for {of} on the day of the document");
        for (issuer, customer, expected) in [
            ("-", "-", "O 0.0000"),
            ("-", "DE+", "O 0.0000"),
            ("DE", "DE", "S 19.0000"),
            ("DE", "DE+", "S 19.0000"),
            ("DE", "DE!", "E 0.0000"),
            ("DE", "FR+", "AE 0.0000"),
            ("DE", "FR+!", "E 0.0000"),
            // The one-stop shop, and below its threshold.
            ("DE", "FR", "S 20.0000"),
            ("DE", "IT", "S 19.0000"),
            ("DE", "US", "O 0.0000"),
            ("DE", "US+", "O 0.0000"),
            ("DE", "CH", "S 8.1000"),
            ("CH", "CH", "S 8.1000"),
            ("CH", "IT+", "O 0.0000"),
            ("GI", "GI", "Z 0.0000"),
        ] {
            assert_eq!(case(issuer, customer, rates), expected, "{issuer} to {customer}");
        }
        assert_eq!(case("IT", "IT", rates), no_rate("IT"));
        assert_eq!(case("IT", "ES", rates), no_rate("IT"));
        assert_eq!(case("IT", "-", rates), "the issuer charges tax and the customer has no billing profile");
    }
}
