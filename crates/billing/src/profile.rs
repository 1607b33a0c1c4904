//! Billing profiles: who issuer and customer are on a document, and what its taxes follow from. The operator is an issuer
//! too ([`OPERATOR`]), and its customers are resellers (`wholesale::profile`).
//!
//! A document keeps the profiles as they were when it was made; a change reaches those made later.

mod check;
mod registration;
pub(crate) mod store;

use chrono::{DateTime, Utc};
use db::SystemTx;
use kernel::{Country, ResellerId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{Action, Caller, Ctx, Scope, TenantTx, event, tenant};

use crate::Error;
use crate::series::OPERATOR;
use crate::subscription;
use crate::vat_id::{RegisterAnswer, Registration, VatId, VatRegister};
use crate::wholesale;
use check::check_issuer;

pub(crate) use check::check_customer;

pub use registration::{Asked, ask_again};

/// By when a document of an issuer without a profile is to be paid.
pub(crate) const DAYS_TO_PAY: u32 = 14;
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

/// Whether the caller may do so much with what an issuer says of itself: of the operator, only it may do anything. Returns whose
/// trail that is on.
pub(crate) async fn enter_issuer(
    caller: &Caller,
    issuer: ResellerId,
    action: Action,
) -> Result<Scope, Error> {
    if issuer != OPERATOR {
        caller.enter_reseller(issuer).await?.require(action)?;
        return Ok(Scope::Reseller(issuer));
    }
    // Which is the operator's alone.
    caller.require(Action::WholesaleWrite)?;
    Ok(Scope::Operator)
}

/// Notes on an issuer's trail what it says of itself, and has what could not be billed for the lack of it tried again.
pub(crate) async fn changed(
    tx: &mut SystemTx,
    caller: &Caller,
    trail: Scope,
    data: serde_json::Value,
) -> Result<(), Error> {
    match trail {
        Scope::Reseller(id) => {
            subscription::store::unpark_of(tx, id).await?;
            event::record_on(tx, caller, trail, event::Kind::ResellerUpdated, id, data).await?;
        }
        _ => {
            wholesale::agreement::store::unpark(tx, None).await?;
            event::record_on(tx, caller, trail, event::Kind::OperatorUpdated, "operator", data).await?;
        }
    }
    Ok(())
}

/// The profile of an issuer, a reseller or [`OPERATOR`].
///
/// # Errors
/// [`Error::NotFound`] when it has none, and for a reseller out of scope; [`Error::Tenancy`] without the right, and of the
/// operator for everybody else.
pub async fn of_issuer(caller: &Caller, issuer: ResellerId) -> Result<Versioned<IssuerProfile>, Error> {
    enter_issuer(caller, issuer, Action::BillingProfileRead).await?;
    let mut tx = system(caller).await?;
    store::issuer_with_logo(&mut tx, issuer).await?.ok_or(Error::NotFound)
}

/// Puts the profile of an issuer, a reseller or [`OPERATOR`], whose documents are never drafts.
///
/// # Errors
/// As [`of_issuer`]; [`Error::Invalid`] for bad input; [`tenancy::Error::VersionMismatch`] when `if_version` is not the profile's, which
/// is 0 while there is none; [`Error::Tenancy`] without the right.
pub async fn put_issuer(
    caller: &Caller,
    issuer: ResellerId,
    new: PutIssuer,
    if_version: Option<i64>,
) -> Result<Versioned<IssuerProfile>, Error> {
    let trail = enter_issuer(caller, issuer, Action::BillingProfileWrite).await?;
    let profile = check_issuer(new)?;
    if issuer == OPERATOR && profile.draft_days > 0 {
        return Err(Error::invalid("/draft_days", "must be 0: the operator's documents are never drafts"));
    }
    let mut tx = system(caller).await?;
    store::lock_issuer(&mut tx, issuer).await?;
    let old = store::issuer_with_logo(&mut tx, issuer).await?;
    let version = old.as_ref().map_or(0, |old| old.version);
    tenancy::require_version(if_version, version)?;
    if let Some(old) = old.filter(|old| old.profile == profile) {
        return Ok(old);
    }
    let new = Versioned { profile, version: version + 1 };
    store::put_issuer(&mut tx, issuer, &new).await?;
    let data = json!({"billing_profile": {"version": new.version, "country": new.profile.address.country,
        "charges_tax": new.profile.charges_tax}});
    changed(&mut tx, caller, trail, data).await?;
    tx.commit().await?;
    Ok(new)
}

/// The tenant's profile as a customer.
///
/// # Errors
/// [`Error::NotFound`] when it has none.
pub async fn of_customer(ctx: &Ctx) -> Result<Versioned<CustomerProfile>, Error> {
    ctx.require(Action::BillingProfileRead)?;
    let mut tx = ctx.read().await?;
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
    // Before the transaction, which is not to wait for a register.
    let profile = check_customer(new)?;
    let issuer = registration::issuer_of(ctx).await?;
    let profile = profile.asked_of(register, issuer.as_ref(), ctx.env().now()).await;
    let mut tx = ctx.begin().await?;
    tenant::lock(&mut tx).await?;
    let old = store::customer(&mut tx).await?;
    let version = old.as_ref().map_or(0, |old| old.version);
    tenancy::require_version(if_version, version)?;
    let profile = profile.knowing(old.as_ref());
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
    let data = json!({"billing_profile": new.told()});
    event::record(tx, ctx, event::Kind::TenantUpdated, ctx.tenant_id(), data).await
}

impl Versioned<CustomerProfile> {
    /// What events say of it.
    pub(crate) fn told(&self) -> serde_json::Value {
        let CustomerProfile { address, exemption, vat_register, .. } = &self.profile;
        let registration = vat_register.as_ref().map(|answer| answer.registration);
        json!({"version": self.version, "country": address.country, "is_exempt": exemption.is_some(),
            "vat_id_registration": registration})
    }
}

impl CustomerProfile {
    /// Whether it has a number of which no register has said anything.
    fn is_unchecked(&self) -> bool {
        let registration = self.vat_register.as_ref().map(|answer| answer.registration);
        self.vat_id.is_some() && registration.is_none_or(|is| is == Registration::Unchecked)
    }

    /// With what a register says now of its number, which is asked on behalf of an issuer.
    pub(crate) async fn asked_of(
        self,
        register: &dyn VatRegister,
        issuer: Option<&IssuerProfile>,
        now: DateTime<Utc>,
    ) -> Self {
        let vat_register = registration::ask(register, &self, issuer, now, registration::PATIENCE).await;
        Self { vat_register, ..self }
    }

    /// With what a register said before of the same number, if none says anything now.
    pub(crate) fn knowing(self, old: Option<&Versioned<Self>>) -> Self {
        let known = old.filter(|old| self.is_unchecked() && old.profile.vat_id == self.vat_id);
        match known {
            Some(old) => Self { vat_register: old.profile.vat_register.clone(), ..self },
            None => self,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "profiles of issuers belong to resellers and the operator; each call has entered the one"
)]
async fn system(caller: &Caller) -> Result<SystemTx, db::Error> {
    SystemTx::begin(caller.db()).await
}
