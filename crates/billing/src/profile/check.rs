//! What a profile may say.

use kernel::{Checks, Country, EmailAddress};

use super::{
    Address, CustomerProfile, DAYS_TO_PAY, IssuerProfile, MAX_LOGO_BYTES, NewAddress, PutCustomer, PutIssuer,
};
use crate::Error;
use crate::vat_id::{VatId, mod_97};

/// The longest line of an address and name.
const MAX_CHARS: usize = 200;
const MAX_DAYS_TO_PAY: u32 = 365;
/// The longest paragraph.
const MAX_PARAGRAPH_CHARS: usize = 500;
/// The longest that a document is a draft: less than any month, so that it is final before the next.
const MAX_DRAFT_DAYS: u32 = 28;

pub(super) fn check_issuer(new: PutIssuer) -> Result<IssuerProfile, Error> {
    let mut checks = Checks::default();
    checks.name(&new.legal_name, MAX_CHARS, "/legal_name");
    let address = address(&mut checks, new.address);
    let vat_id = vat_id(&mut checks, address.as_ref(), new.vat_id.as_deref());
    if let Some(number) = &new.registration_number {
        checks.name(number, MAX_CHARS, "/registration_number");
    }
    let iban = new.iban.map(|text| compact(&text));
    let is_iban = iban.as_deref().is_none_or(is_iban);
    checks.require(is_iban, "/iban", "must be an IBAN whose check digits are right");
    let bic = new.bic.map(|text| compact(&text));
    checks.require(bic.as_deref().is_none_or(is_bic), "/bic", "must be a BIC of 8 or 11 characters");
    let days_to_pay = new.days_to_pay.unwrap_or(DAYS_TO_PAY);
    let detail = format_args!("must be at most {MAX_DAYS_TO_PAY}");
    checks.require(days_to_pay <= MAX_DAYS_TO_PAY, "/days_to_pay", detail);
    let has_number = !new.charges_tax || new.vat_id.is_some();
    checks.require(has_number, "/vat_id", "is needed by who charges tax");
    if let Some(Err(cause)) = new.contact_email.as_deref().map(str::parse::<EmailAddress>) {
        checks.require(false, "/contact_email", cause);
    }
    let texts = [
        (&new.contact_phone, MAX_CHARS, "/contact_phone"),
        (&new.website, MAX_CHARS, "/website"),
        (&new.payment_terms, MAX_PARAGRAPH_CHARS, "/payment_terms"),
        (&new.note, MAX_PARAGRAPH_CHARS, "/note"),
    ];
    for (text, max, pointer) in texts {
        if let Some(text) = text {
            checks.name(text, max, pointer);
        }
    }
    let detail = format_args!("must be at most {MAX_DRAFT_DAYS}");
    checks.require(new.draft_days <= MAX_DRAFT_DAYS, "/draft_days", detail);
    let fits = new.logo.as_ref().is_none_or(|logo| logo.len() <= MAX_LOGO_BYTES);
    checks.require(fits, "/logo", format_args!("must have at most {MAX_LOGO_BYTES} bytes"));
    checks.done().map_err(Error::Invalid)?;
    Ok(IssuerProfile {
        legal_name: new.legal_name,
        address: address.ok_or(Error::Invalid(Vec::new()))?,
        vat_id,
        registration_number: new.registration_number,
        iban,
        bic,
        days_to_pay,
        charges_tax: new.charges_tax,
        contact_email: new.contact_email,
        contact_phone: new.contact_phone,
        website: new.website,
        payment_terms: new.payment_terms,
        note: new.note,
        draft_days: new.draft_days,
        logo: new.logo,
    })
}

pub(crate) fn check_customer(new: PutCustomer) -> Result<CustomerProfile, Error> {
    let mut checks = Checks::default();
    checks.name(&new.legal_name, MAX_CHARS, "/legal_name");
    let address = address(&mut checks, new.address);
    let vat_id = vat_id(&mut checks, address.as_ref(), new.vat_id.as_deref());
    if let Some(reason) = &new.exemption {
        checks.name(reason, MAX_CHARS, "/exemption");
    }
    if let Some(reference) = &new.reference {
        checks.name(reference, MAX_CHARS, "/reference");
    }
    checks.done().map_err(Error::Invalid)?;
    Ok(CustomerProfile {
        legal_name: new.legal_name,
        address: address.ok_or(Error::Invalid(Vec::new()))?,
        vat_id,
        vat_register: None,
        exemption: new.exemption,
        reference: new.reference,
    })
}

fn address(checks: &mut Checks, new: NewAddress) -> Option<Address> {
    checks.name(&new.street, MAX_CHARS, "/address/street");
    checks.name(&new.city, MAX_CHARS, "/address/city");
    let others = [(&new.extra, "extra"), (&new.postal_code, "postal_code"), (&new.region, "region")];
    for (text, field) in others {
        if let Some(text) = text {
            checks.name(text, MAX_CHARS, &format!("/address/{field}"));
        }
    }
    let country = new.country.parse::<Country>();
    let shown = country.err().map(|error| error.to_string()).unwrap_or_default();
    let country = checks.value(country.ok(), "/address/country", shown)?;
    let NewAddress { street, extra, postal_code, city, region, .. } = new;
    Some(Address { street, extra, postal_code, city, region, country })
}

fn vat_id(checks: &mut Checks, address: Option<&Address>, text: Option<&str>) -> Option<VatId> {
    let (address, text) = (address?, text?);
    let detail = "must be a number for value-added tax of the address's country, in the EU with the state before it, \
                  whose form and check digits are right";
    checks.value(VatId::new(address.country, text), "/vat_id", detail)
}

fn compact(text: &str) -> String {
    text.split(' ').collect::<String>().to_ascii_uppercase()
}

/// ISO 13616: a country, two check digits and up to 30 letters and digits, 1 modulo 97 with the first four at the end.
fn is_iban(text: &str) -> bool {
    let Some((head, body)) = text.split_at_checked(4) else { return false };
    let is_head = head.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
        && head.bytes().skip(2).all(|byte| byte.is_ascii_digit());
    is_head
        && (11..=30).contains(&body.len())
        && body.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && mod_97(&format!("{body}{head}")) == Some(1)
}

/// ISO 9362: four of the bank, two of the country, two of the place, and three of the branch or none.
fn is_bic(text: &str) -> bool {
    let Some((bank, rest)) = text.split_at_checked(4) else { return false };
    let Some((country, rest)) = rest.split_at_checked(2) else { return false };
    bank.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && country.parse::<Country>().is_ok()
        && matches!(rest.len(), 2 | 5)
        && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> PutIssuer {
        let address = NewAddress {
            street: "Hafenstr. 1".into(),
            city: "Hamburg".into(),
            country: "DE".into(),
            ..NewAddress::default()
        };
        PutIssuer { legal_name: "North Hosting GmbH".into(), address, ..PutIssuer::default() }
    }

    fn mistakes(new: PutIssuer) -> Vec<String> {
        match check_issuer(new) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_mistake_is_pointed_at() {
        let good = PutIssuer {
            vat_id: Some("DE 136695976".into()),
            iban: Some("de89 3704 0044 0532 0130 00".into()),
            bic: Some("COBADEFF".into()),
            charges_tax: true,
            ..issuer()
        };
        let checked = check_issuer(good.clone()).unwrap();
        assert_eq!((checked.iban.as_deref(), checked.days_to_pay), (Some("DE89370400440532013000"), 14));
        let bad = PutIssuer {
            legal_name: String::new(),
            vat_id: Some("DE136695977".into()),
            registration_number: Some(String::new()),
            iban: Some("DE88370400440532013000".into()),
            bic: Some("COBAXXFF".into()),
            days_to_pay: Some(366),
            contact_email: Some("nowhere".into()),
            note: Some("a".repeat(501)),
            draft_days: 29,
            logo: Some(vec![0; MAX_LOGO_BYTES + 1]),
            ..good.clone()
        };
        let all = [
            "legal_name",
            "vat_id",
            "registration_number",
            "iban",
            "bic",
            "days_to_pay",
            "contact_email",
            "note",
            "draft_days",
            "logo",
        ];
        assert_eq!(mistakes(bad), all.map(|field| format!("/{field}")));
        assert_eq!(mistakes(PutIssuer { vat_id: None, ..good }), ["/vat_id"]);
        let nowhere =
            NewAddress { street: "a\nb".into(), extra: Some(String::new()), ..NewAddress::default() };
        let fields = ["street", "city", "extra", "country"].map(|field| format!("/address/{field}"));
        let found = mistakes(PutIssuer { address: nowhere, ..issuer() });
        assert_eq!(found, fields);
    }
}
