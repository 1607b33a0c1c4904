//! Billing profiles of the operator, resellers and tenants.

use axum::Json as Answer;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use billing::OPERATOR;
use billing::profile::{self, CustomerProfile, IssuerProfile, NewAddress, PutCustomer, PutIssuer, Versioned};
use billing::vat_id::Registration;
use chrono::{DateTime, Utc};
use kernel::{Country, FieldError};
use paper::Logo;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::paths::{ResellerPath, TenantPath};
use crate::extract::{Bearer, Json, Path};
use crate::problem::Problem;
use crate::version::{IfMatch, Tagged};
use crate::{Api, schema};

/// Where somebody is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostalAddress {
    /// Street and number.
    #[schema(value_type = schema::BillingLine)]
    street: String,
    /// What stands before or beside it.
    #[serde(default)]
    #[schema(value_type = Option<schema::BillingLine>)]
    extra: Option<String>,
    /// Where the country has such.
    #[serde(default)]
    #[schema(value_type = Option<schema::BillingLine>)]
    postal_code: Option<String>,
    /// City.
    #[schema(value_type = schema::BillingLine)]
    city: String,
    /// State, province or county, where an address names it.
    #[serde(default)]
    #[schema(value_type = Option<schema::BillingLine>)]
    region: Option<String>,
    #[schema(value_type = schema::Country)]
    country: String,
}

impl From<profile::Address> for PostalAddress {
    fn from(of: profile::Address) -> Self {
        let profile::Address { street, extra, postal_code, city, region, country } = of;
        Self { street, extra, postal_code, city, region, country: Country::code(country).to_owned() }
    }
}

impl From<PostalAddress> for NewAddress {
    fn from(body: PostalAddress) -> Self {
        let PostalAddress { street, extra, postal_code, city, region, country } = body;
        Self { street, extra, postal_code, city, region, country }
    }
}

/// Who a reseller is on the documents that it issues.
#[derive(Debug, Serialize, ToSchema)]
struct IssuerBillingProfile {
    /// As it is registered.
    #[schema(value_type = schema::BillingLine)]
    legal_name: String,
    address: PostalAddress,
    /// Its number for value-added tax.
    #[schema(required, example = "DE136695976")]
    vat_id: Option<String>,
    /// Its number in a commercial register, or with the tax office.
    #[schema(required, example = "HRB 12345")]
    registration_number: Option<String>,
    /// The bank account that it is paid to.
    #[schema(required, example = "DE89370400440532013000")]
    iban: Option<String>,
    /// That account's bank.
    #[schema(required, example = "COBADEFF")]
    bic: Option<String>,
    /// From the day that a document is issued on to the one by which it is to be paid.
    #[schema(example = 14)]
    days_to_pay: u32,
    /// Whether it charges tax at all.
    #[schema(example = true)]
    charges_tax: bool,
    /// Where its customers write with questions about a document.
    #[schema(required, value_type = Option<schema::EmailAddress>)]
    contact_email: Option<String>,
    /// Where they call.
    #[schema(required, example = "+49 40 123456")]
    contact_phone: Option<String>,
    /// Its site on the web, as documents name it.
    #[schema(required, example = "north.example")]
    website: Option<String>,
    /// How and when to pay, in words.
    #[schema(required, example = "Payable without deduction.")]
    payment_terms: Option<String>,
    /// A paragraph on every document.
    #[schema(required, example = "Thank you for your business.")]
    note: Option<String>,
    /// For so many days a document of a billing run is a draft; 0: it is final at once.
    #[schema(example = 3)]
    draft_days: u32,
    /// The picture in the head of documents, PNG or SVG, in base64.
    #[schema(value_type = Option<schema::Logo>, required)]
    logo: Option<String>,
}

impl From<IssuerProfile> for IssuerBillingProfile {
    fn from(of: IssuerProfile) -> Self {
        Self {
            legal_name: of.legal_name,
            address: of.address.into(),
            vat_id: of.vat_id.map(|id| id.to_string()),
            registration_number: of.registration_number,
            iban: of.iban,
            bic: of.bic,
            days_to_pay: of.days_to_pay,
            charges_tax: of.charges_tax,
            contact_email: of.contact_email,
            contact_phone: of.contact_phone,
            website: of.website,
            payment_terms: of.payment_terms,
            note: of.note,
            draft_days: of.draft_days,
            logo: of.logo.map(|logo| STANDARD.encode(logo)),
        }
    }
}

/// A reseller's billing profile to put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewIssuerBillingProfile {
    /// As it is registered.
    #[schema(value_type = schema::BillingLine)]
    legal_name: String,
    address: PostalAddress,
    /// Its number for value-added tax, of the address's country: of a member state of the EU with the state before it, and
    /// with right check digits. Who charges tax needs one.
    #[serde(default)]
    #[schema(example = "DE136695976")]
    vat_id: Option<String>,
    /// Its number in a commercial register, or with the tax office.
    #[serde(default)]
    #[schema(value_type = Option<schema::BillingLine>, example = "HRB 12345")]
    registration_number: Option<String>,
    /// The bank account that it is paid to; its check digits are looked at.
    #[serde(default)]
    #[schema(example = "DE89370400440532013000")]
    iban: Option<String>,
    /// That account's bank: 8 or 11 characters.
    #[serde(default)]
    #[schema(example = "COBADEFF")]
    bic: Option<String>,
    /// From the day that a document is issued on to the one by which it is to be paid; 14 when absent.
    #[serde(default)]
    #[schema(maximum = 365, example = 14)]
    days_to_pay: Option<u32>,
    /// Whether it charges tax at all. If it does, a tenant without a billing profile, or in a country whose rate is needed and
    /// not there, is not billed: its subscription says so in `parked_reason`.
    #[schema(example = true)]
    charges_tax: bool,
    /// Where customers write with questions about a document.
    #[serde(default)]
    #[schema(value_type = Option<schema::EmailAddress>)]
    contact_email: Option<String>,
    /// Where they call.
    #[serde(default)]
    #[schema(value_type = Option<schema::BillingLine>, example = "+49 40 123456")]
    contact_phone: Option<String>,
    /// Its site on the web, as documents name it.
    #[serde(default)]
    #[schema(value_type = Option<schema::BillingLine>, example = "north.example")]
    website: Option<String>,
    /// How and when to pay, in words.
    #[serde(default)]
    #[schema(value_type = Option<schema::Paragraph>, example = "Payable without deduction.")]
    payment_terms: Option<String>,
    /// A paragraph on every document.
    #[serde(default)]
    #[schema(value_type = Option<schema::Paragraph>)]
    note: Option<String>,
    /// For so many days a document of a billing run is a draft, which can be looked at and discarded; 0 when absent: it is
    /// final at once.
    #[serde(default)]
    #[schema(maximum = 28, example = 0)]
    draft_days: u32,
    /// The picture in the head of documents, today's on all of them: a PNG of at most 4096 pixels a side or an SVG without a
    /// document type, of at most 32 KiB, in base64. It stands in place of the branding's `product_name`; the branding's
    /// `logo_url` is for pages, since this server fetches nothing that others name.
    #[serde(default)]
    #[schema(value_type = Option<schema::Logo>)]
    logo: Option<String>,
}

impl TryFrom<NewIssuerBillingProfile> for PutIssuer {
    type Error = Problem;
    fn try_from(body: NewIssuerBillingProfile) -> Result<Self, Problem> {
        let logo = body.logo.as_deref().map(logo).transpose()?;
        Ok(Self {
            legal_name: body.legal_name,
            address: body.address.into(),
            vat_id: body.vat_id,
            registration_number: body.registration_number,
            iban: body.iban,
            bic: body.bic,
            days_to_pay: body.days_to_pay,
            charges_tax: body.charges_tax,
            contact_email: body.contact_email,
            contact_phone: body.contact_phone,
            website: body.website,
            payment_terms: body.payment_terms,
            note: body.note,
            draft_days: body.draft_days,
            logo,
        })
    }
}

/// A picture out of base64. Whether it is one is asked here, of who draws it.
fn logo(text: &str) -> Result<Vec<u8>, Problem> {
    let invalid =
        |detail: String| Problem::from(billing::Error::Invalid(vec![FieldError::new("/logo", detail)]));
    let bytes = STANDARD.decode(text).map_err(|_| invalid("must be base64 (RFC 4648, 4)".into()))?;
    let drawn = Logo::new(bytes).map_err(|error| invalid(error.to_string()))?;
    Ok(drawn.bytes().to_vec())
}

/// Who a tenant is on the documents that it gets, or a reseller on wholesale ones.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CustomerBillingProfile {
    /// As it is registered, or a person's name.
    #[schema(value_type = schema::BillingLine)]
    legal_name: String,
    address: PostalAddress,
    /// Its number for value-added tax: it is a business.
    #[schema(required, example = "FR40303265045")]
    vat_id: Option<String>,
    /// Whether a register has that number: `unchecked` until it has answered, and where this server asks none. An unchecked number counts
    /// for taxes, a void one does not. `null` without a number.
    #[schema(value_type = Option<schema::VatRegistration>, required)]
    vat_id_registration: Option<&'static str>,
    /// When a register answered.
    #[schema(required)]
    vat_id_checked_at: Option<DateTime<Utc>>,
    /// The register's proof that it was asked; `null` where it gave none, as to a reseller without a number of its own.
    #[schema(required, example = "WAPIAAAAW1aaaaaa")]
    vat_id_consultation_number: Option<String>,
    /// Why it is not taxed, as documents show it.
    #[schema(required, example = "a body governed by public law")]
    exemption: Option<String>,
    /// The number of an order or the like, which its documents show.
    #[schema(required, example = "PO 4711")]
    reference: Option<String>,
}

impl From<CustomerProfile> for CustomerBillingProfile {
    fn from(of: CustomerProfile) -> Self {
        let answer = of.vat_register;
        Self {
            legal_name: of.legal_name,
            address: of.address.into(),
            vat_id: of.vat_id.map(|id| id.to_string()),
            vat_id_registration: answer.as_ref().map(|answer| Registration::as_str(answer.registration)),
            vat_id_checked_at: answer.as_ref().and_then(|answer| answer.checked_at),
            vat_id_consultation_number: answer.and_then(|answer| answer.consultation),
            exemption: of.exemption,
            reference: of.reference,
        }
    }
}

/// A tenant's billing profile to put, or a reseller's as the operator's customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCustomerBillingProfile {
    /// As it is registered, or a person's name.
    #[schema(value_type = schema::BillingLine)]
    legal_name: String,
    address: PostalAddress,
    /// Its number for value-added tax, of the address's country: of a member state of the EU with the state before it, and
    /// with right check digits.
    #[serde(default)]
    #[schema(example = "FR40303265045")]
    vat_id: Option<String>,
    /// Why it is not taxed, as documents show it; absent for who is.
    #[serde(default)]
    #[schema(value_type = Option<schema::BillingLine>, example = "a body governed by public law")]
    exemption: Option<String>,
    /// The number of an order or the like, to be shown on its documents.
    #[serde(default)]
    #[schema(value_type = Option<schema::BillingLine>, example = "PO 4711")]
    reference: Option<String>,
}

impl From<NewCustomerBillingProfile> for PutCustomer {
    fn from(body: NewCustomerBillingProfile) -> Self {
        Self {
            legal_name: body.legal_name,
            address: body.address.into(),
            vat_id: body.vat_id,
            exemption: body.exemption,
            reference: body.reference,
        }
    }
}

pub(super) fn tagged<T, U: From<T>>(of: Versioned<T>) -> Tagged<Answer<U>> {
    Tagged(of.version, Answer(of.profile.into()))
}

/// Get a reseller's billing profile
#[utoipa::path(get, path = "/v1/resellers/{reseller_id}/billing-profile", tag = "Billing profiles",
    operation_id = "get_reseller_billing_profile", params(ResellerPath),
    responses((status = 200, description = "The profile.", body = IssuerBillingProfile)),
    extensions(("x-required-action" = json!("billing_profiles:read"))))]
async fn get_issuer(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
) -> Result<Tagged<Answer<IssuerBillingProfile>>, Problem> {
    Ok(tagged(profile::of_issuer(&caller, at.reseller_id).await?))
}

/// Put a reseller's billing profile
///
/// Documents made from now on show it; those that are there keep what they say.
#[utoipa::path(put, path = "/v1/resellers/{reseller_id}/billing-profile", tag = "Billing profiles",
    operation_id = "put_reseller_billing_profile", params(ResellerPath),
    responses((status = 200, description = "The profile as it is now.", body = IssuerBillingProfile)),
    extensions(("x-required-action" = json!("billing_profiles:write"))))]
async fn put_issuer(
    Bearer(caller): Bearer,
    Path(at): Path<ResellerPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewIssuerBillingProfile>,
) -> Result<Tagged<Answer<IssuerBillingProfile>>, Problem> {
    Ok(tagged(profile::put_issuer(&caller, at.reseller_id, body.try_into()?, version).await?))
}

/// Get the operator's billing profile
///
/// Who it is on wholesale documents. For the operator alone.
#[utoipa::path(get, path = "/v1/operator/billing-profile", tag = "Billing profiles",
    operation_id = "get_operator_billing_profile",
    responses((status = 200, description = "The profile.", body = IssuerBillingProfile),
        (status = 404, description = "There is none: `not_found`.")),
    extensions(("x-required-action" = json!("wholesale:write"))))]
async fn get_operator(Bearer(caller): Bearer) -> Result<Tagged<Answer<IssuerBillingProfile>>, Problem> {
    Ok(tagged(profile::of_issuer(&caller, OPERATOR).await?))
}

/// Put the operator's billing profile
///
/// For the operator alone. Wholesale documents made from now on show it; those that are there keep what they say. They are never
/// drafts, so `draft_days` is 0. Agreements that could not be billed are tried again by the next billing run.
#[utoipa::path(put, path = "/v1/operator/billing-profile", tag = "Billing profiles",
    operation_id = "put_operator_billing_profile",
    responses((status = 200, description = "The profile as it is now.", body = IssuerBillingProfile)),
    extensions(("x-required-action" = json!("wholesale:write"))))]
async fn put_operator(
    Bearer(caller): Bearer,
    IfMatch(version): IfMatch,
    Json(body): Json<NewIssuerBillingProfile>,
) -> Result<Tagged<Answer<IssuerBillingProfile>>, Problem> {
    Ok(tagged(profile::put_issuer(&caller, OPERATOR, body.try_into()?, version).await?))
}

/// Get a tenant's billing profile
#[utoipa::path(get, path = "/v1/tenants/{tenant_id}/billing-profile", tag = "Billing profiles",
    operation_id = "get_tenant_billing_profile", params(TenantPath),
    responses((status = 200, description = "The profile.", body = CustomerBillingProfile)),
    extensions(("x-required-action" = json!("billing_profiles:read"))))]
async fn get_customer(
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
) -> Result<Tagged<Answer<CustomerBillingProfile>>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Ok(tagged(profile::of_customer(&ctx).await?))
}

/// Put a tenant's billing profile
///
/// Documents made from now on show it; those that are there keep what they say. If the subscription could not be billed, the
/// next billing run tries again. A number of a member state of the EU is looked up in VIES, if this server knows where that is; for a
/// moment only: where it does not answer, the number is `unchecked`, and the profile changes by itself when it does.
#[utoipa::path(put, path = "/v1/tenants/{tenant_id}/billing-profile", tag = "Billing profiles",
    operation_id = "put_tenant_billing_profile", params(TenantPath),
    responses((status = 200, description = "The profile as it is now.", body = CustomerBillingProfile)),
    extensions(("x-required-action" = json!("billing_profiles:write"))))]
async fn put_customer(
    State(api): State<Api>,
    Bearer(caller): Bearer,
    Path(at): Path<TenantPath>,
    IfMatch(version): IfMatch,
    Json(body): Json<NewCustomerBillingProfile>,
) -> Result<Tagged<Answer<CustomerBillingProfile>>, Problem> {
    let ctx = caller.enter_deleted_too(at.tenant_id).await?;
    Ok(tagged(profile::put_customer(&ctx, &*api.vat_register, body.into(), version).await?))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(get_issuer, put_issuer))
        .routes(routes!(get_operator, put_operator))
        .routes(routes!(get_customer, put_customer))
}
