//! Branding, as tenants and resellers show and take it.

use serde::{Deserialize, Serialize};
use tenancy::branding::{self, Field};
use utoipa::ToSchema;

use crate::extract::nullable;
use crate::schema;

/// What a tenant or reseller says of its looks itself; null: inherited.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Branding {
    /// What the product is called.
    #[schema(required, example = "North Mail")]
    product_name: Option<String>,
    /// Where its logo is.
    #[schema(required, example = "https://north.example/logo.svg")]
    logo_url: Option<String>,
    /// Its main colour.
    #[schema(required, example = "#0a5fd0")]
    primary_color: Option<String>,
    /// Whom its users write to.
    #[schema(required, example = "help@north.example")]
    support_email: Option<String>,
    /// Where its users find help.
    #[schema(required, example = "https://north.example/help")]
    support_url: Option<String>,
}

impl From<branding::Branding> for Branding {
    fn from(mut of: branding::Branding) -> Self {
        Self {
            product_name: of.remove(&Field::ProductName),
            logo_url: of.remove(&Field::LogoUrl),
            primary_color: of.remove(&Field::PrimaryColor),
            support_email: of.remove(&Field::SupportEmail),
            support_url: of.remove(&Field::SupportUrl),
        }
    }
}

/// What of the branding is to change; null: inherited from now on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BrandingPatch {
    /// What the product is called.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::ShortName>)]
    product_name: Option<Option<String>>,
    /// Where its logo is: an https URL.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 2048, pattern = r#"^https://[A-Za-z0-9][!#-;=?-\[\]_a-z~]*$"#, example = "https://north.example/logo.svg")]
    logo_url: Option<Option<String>>,
    /// Its main colour.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, pattern = "^#[0-9A-Fa-f]{6}$", example = "#0a5fd0")]
    primary_color: Option<Option<String>>,
    /// Whom its users write to.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<crate::schema::EmailAddress>, example = "help@north.example")]
    support_email: Option<Option<String>>,
    /// Where its users find help: an https URL.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 2048, pattern = r#"^https://[A-Za-z0-9][!#-;=?-\[\]_a-z~]*$"#, example = "https://north.example/help")]
    support_url: Option<Option<String>>,
}

impl From<BrandingPatch> for branding::BrandingChange {
    fn from(of: BrandingPatch) -> Self {
        let fields = [
            (Field::ProductName, of.product_name),
            (Field::LogoUrl, of.logo_url),
            (Field::PrimaryColor, of.primary_color),
            (Field::SupportEmail, of.support_email),
            (Field::SupportUrl, of.support_url),
        ];
        fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
    }
}

/// A field of the branding, with its origin.
#[derive(Debug, Serialize, ToSchema)]
struct Origin {
    /// What holds.
    #[schema(example = "North Mail")]
    value: String,
    /// The id of the tenant or reseller that says so.
    #[schema(example = "rsl_019a2f3c5d7e7abc8def0123456789ab")]
    inherited_from: String,
}

/// The branding that holds, each field with its origin; null: nobody says anything.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EffectiveBranding {
    #[schema(required)]
    product_name: Option<Origin>,
    #[schema(required)]
    logo_url: Option<Origin>,
    #[schema(required)]
    primary_color: Option<Origin>,
    #[schema(required)]
    support_email: Option<Origin>,
    #[schema(required)]
    support_url: Option<Origin>,
}

impl From<branding::Effective> for EffectiveBranding {
    fn from(mut of: branding::Effective) -> Self {
        let mut field = |field| {
            let (value, level) = of.remove(&field)?;
            Some(Origin { value, inherited_from: level.to_string() })
        };
        Self {
            product_name: field(Field::ProductName),
            logo_url: field(Field::LogoUrl),
            primary_color: field(Field::PrimaryColor),
            support_email: field(Field::SupportEmail),
            support_url: field(Field::SupportUrl),
        }
    }
}
