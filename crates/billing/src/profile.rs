//! Billing profiles: who issuer and customer are on a document, and what its taxes follow from.
//!
//! A document keeps the profiles as they were when it was made; a change reaches those made later.

mod registration;
pub(crate) mod store;

use db::SystemTx;
use kernel::{Checks, Country, EmailAddress, ResellerId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{Action, Caller, Ctx, Scope, TenantTx, event};

use crate::Error;
use crate::subscription;
use crate::vat_id::{RegisterAnswer, Registration, VatId, VatRegister, mod_97};

pub use registration::{Asked, ask_again};

/// The longest line of an address and name.
const MAX_CHARS: usize = 200;
/// By when a document of an issuer without a profile is to be paid.
pub(crate) const DAYS_TO_PAY: u32 = 14;
const MAX_DAYS_TO_PAY: u32 = 365;
/// The longest paragraph.
const MAX_PARAGRAPH_CHARS: usize = 500;
/// The longest that a document is a draft: less than any month, so that it is final before the next.
const MAX_DRAFT_DAYS: u32 = 28;
/// The largest logo: it travels inside a JSON body, in base64.
pub const MAX_LOGO_BYTES: usize = 32 * 1024;

/// Where somebody is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// What stands before or beside it.
    pub extra: Option<String>,
    /// Where the country has such.
    pub postal_code: Option<String>,
    /// City.
    pub city: String,
    /// State, province or county, where an address names it.
    pub region: Option<String>,
    /// Country.
    pub country: Country,
}

/// Who an issuer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerProfile {
    /// As it is registered.
    pub legal_name: String,
    /// Where it is.
    pub address: Address,
    /// Its number for value-added tax.
    pub vat_id: Option<VatId>,
    /// Its number in a commercial register, or with the tax office.
    pub registration_number: Option<String>,
    /// The bank account that it is paid to.
    pub iban: Option<String>,
    /// That account's bank.
    pub bic: Option<String>,
    /// From the day that a document is issued on to the one by which it is to be paid.
    pub days_to_pay: u32,
    /// Whether it charges tax at all; then it has a number.
    pub charges_tax: bool,
    /// Where its customers write with questions about a document.
    pub contact_email: Option<String>,
    /// Where they call.
    pub contact_phone: Option<String>,
    /// Its site on the web, as documents name it.
    pub website: Option<String>,
    /// How and when to pay, in words.
    pub payment_terms: Option<String>,
    /// A paragraph on every document.
    pub note: Option<String>,
    /// For so many days a document is a draft; 0: it is final at once.
    #[serde(default)]
    pub draft_days: u32,
    /// The picture in the head of documents: PNG or SVG. No part of what a document says, so none keeps it; read only for
    /// who asks for it.
    #[serde(skip)]
    pub logo: Option<Vec<u8>>,
}

/// Who a customer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerProfile {
    /// As it is registered, or a person's name.
    pub legal_name: String,
    /// Where it is.
    pub address: Address,
    /// Its number for value-added tax: it is a business.
    pub vat_id: Option<VatId>,
    /// What a register said of that number.
    pub vat_register: Option<RegisterAnswer>,
    /// Why it is not taxed, if that is so, as documents show it.
    pub exemption: Option<String>,
    /// The number of an order or the like that it asks to see on documents.
    pub reference: Option<String>,
}

impl CustomerProfile {
    /// Whether it has a number of which no register has said anything.
    fn is_unchecked(&self) -> bool {
        let registration = self.vat_register.as_ref().map(|answer| answer.registration);
        self.vat_id.is_some() && registration.is_none_or(|is| is == Registration::Unchecked)
    }
}

/// A profile and how often it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The profile.
    pub profile: T,
    /// Counts its changes.
    pub version: i64,
}

/// An address as a caller gives it.
#[derive(Debug, Clone, Default)]
pub struct NewAddress {
    /// Street and number.
    pub street: String,
    /// What stands before or beside it.
    pub extra: Option<String>,
    /// Where the country has such.
    pub postal_code: Option<String>,
    /// City.
    pub city: String,
    /// State, province or county.
    pub region: Option<String>,
    /// An ISO 3166-1 code of two letters.
    pub country: String,
}

/// An issuer's profile as a caller puts it.
#[derive(Debug, Clone, Default)]
pub struct PutIssuer {
    /// As it is registered.
    pub legal_name: String,
    /// Where it is.
    pub address: NewAddress,
    /// Its number for value-added tax.
    pub vat_id: Option<String>,
    /// Its number in a register.
    pub registration_number: Option<String>,
    /// Its bank account.
    pub iban: Option<String>,
    /// That account's bank.
    pub bic: Option<String>,
    /// 0 to 365; 14 if not given.
    pub days_to_pay: Option<u32>,
    /// Whether it charges tax.
    pub charges_tax: bool,
    /// An address of mail.
    pub contact_email: Option<String>,
    /// A number of a telephone.
    pub contact_phone: Option<String>,
    /// A site on the web.
    pub website: Option<String>,
    /// How and when to pay, in words.
    pub payment_terms: Option<String>,
    /// A paragraph on every document.
    pub note: Option<String>,
    /// 0 to 28.
    pub draft_days: u32,
    /// A picture, already known to be one, of at most [`MAX_LOGO_BYTES`].
    pub logo: Option<Vec<u8>>,
}

/// A customer's profile as a caller puts it.
#[derive(Debug, Clone, Default)]
pub struct PutCustomer {
    /// As it is registered.
    pub legal_name: String,
    /// Where it is.
    pub address: NewAddress,
    /// Its number for value-added tax.
    pub vat_id: Option<String>,
    /// Why it is not taxed.
    pub exemption: Option<String>,
    /// What it asks to see on documents.
    pub reference: Option<String>,
}

/// A reseller's profile as an issuer.
///
/// # Errors
/// [`Error::NotFound`] when it has none, and for a reseller out of scope.
pub async fn of_issuer(caller: &Caller, reseller_id: ResellerId) -> Result<Versioned<IssuerProfile>, Error> {
    caller.enter_reseller(reseller_id).await?.require(Action::BillingProfileRead)?;
    let mut tx = system(caller).await?;
    store::issuer_with_logo(&mut tx, reseller_id).await?.ok_or(Error::NotFound)
}

/// Puts a reseller's profile as an issuer.
///
/// # Errors
/// [`Error::Invalid`] for bad input; [`tenancy::Error::VersionMismatch`] when `if_version` is not the profile's, which
/// is 0 while there is none; [`Error::Tenancy`] without the right.
pub async fn put_issuer(
    caller: &Caller,
    reseller_id: ResellerId,
    new: PutIssuer,
    if_version: Option<i64>,
) -> Result<Versioned<IssuerProfile>, Error> {
    caller.enter_reseller(reseller_id).await?.require(Action::BillingProfileWrite)?;
    let profile = check_issuer(new)?;
    let mut tx = system(caller).await?;
    store::lock_issuer(&mut tx, reseller_id).await?;
    let old = store::issuer_with_logo(&mut tx, reseller_id).await?;
    let version = old.as_ref().map_or(0, |old| old.version);
    tenancy::require_version(if_version, version)?;
    if let Some(old) = old.filter(|old| old.profile == profile) {
        return Ok(old);
    }
    let new = Versioned { profile, version: version + 1 };
    store::put_issuer(&mut tx, reseller_id, &new).await?;
    subscription::store::unpark_of(&mut tx, reseller_id).await?;
    let data = json!({"billing_profile": {"version": new.version, "country": new.profile.address.country,
        "charges_tax": new.profile.charges_tax}});
    event::record_on(
        &mut tx,
        caller,
        Scope::Reseller(reseller_id),
        event::Kind::ResellerUpdated,
        reseller_id,
        data,
    )
    .await?;
    tx.commit().await?;
    Ok(new)
}

/// The tenant's profile as a customer.
///
/// # Errors
/// [`Error::NotFound`] when it has none.
pub async fn of_customer(ctx: &Ctx) -> Result<Versioned<CustomerProfile>, Error> {
    ctx.require(Action::BillingProfileRead)?;
    let mut tx = ctx.begin().await?;
    store::customer(&mut tx).await?.ok_or(Error::NotFound)
}

/// Puts the tenant's profile as a customer. The register is asked about its number for value-added tax, and waited for for a
/// moment; where it does not answer, what it said of that number before stands, or [`ask_again`] does. If its subscription is
/// parked, the next run tries again.
///
/// # Errors
/// [`Error::Invalid`] for bad input; [`tenancy::Error::VersionMismatch`] when `if_version` is not the profile's, which
/// is 0 while there is none; [`Error::Tenancy`] without the right.
pub async fn put_customer(
    ctx: &Ctx,
    register: &dyn VatRegister,
    new: PutCustomer,
    if_version: Option<i64>,
) -> Result<Versioned<CustomerProfile>, Error> {
    ctx.require(Action::BillingProfileWrite)?;
    let mut profile = check_customer(new)?;
    // Before the transaction, which is not to wait for a register.
    profile.vat_register = registration::ask(ctx, register, &profile, registration::PATIENCE).await?;
    let mut tx = ctx.begin().await?;
    store::lock_tenant(&mut tx).await?;
    let old = store::customer(&mut tx).await?;
    let version = old.as_ref().map_or(0, |old| old.version);
    tenancy::require_version(if_version, version)?;
    let known = old.as_ref().filter(|old| old.profile.vat_id == profile.vat_id);
    if let (Some(known), true) = (known, profile.is_unchecked()) {
        profile.vat_register.clone_from(&known.profile.vat_register);
    }
    if let Some(old) = old.filter(|old| old.profile == profile) {
        return Ok(old);
    }
    let new = Versioned { profile, version: version + 1 };
    store::put_customer(&mut tx, &new, registration::first_ask_at(ctx, &new.profile)).await?;
    tell(&mut tx, ctx, &new).await?;
    tx.commit().await?;
    Ok(new)
}

/// Notes a change of the tenant's profile.
async fn tell(tx: &mut TenantTx, ctx: &Ctx, new: &Versioned<CustomerProfile>) -> Result<(), db::Error> {
    let CustomerProfile { address, exemption, vat_register, .. } = &new.profile;
    let registration = vat_register.as_ref().map(|answer| answer.registration);
    let data = json!({"billing_profile": {"version": new.version, "country": address.country,
        "is_exempt": exemption.is_some(), "vat_id_registration": registration}});
    event::record(tx, ctx, event::Kind::TenantUpdated, ctx.tenant_id(), data).await
}

fn check_issuer(new: PutIssuer) -> Result<IssuerProfile, Error> {
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

fn check_customer(new: PutCustomer) -> Result<CustomerProfile, Error> {
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

#[expect(
    clippy::disallowed_methods,
    reason = "profiles of issuers belong to resellers; each call has entered the one"
)]
async fn system(caller: &Caller) -> Result<SystemTx, db::Error> {
    SystemTx::begin(caller.db()).await
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
