//! Branding: how a reseller's or tenant's product looks. What a level does not say is inherited from the one above.

mod store;

use std::collections::BTreeMap;

use db::SystemTx;
use kernel::{Checks, EmailAddress, ResellerId};
use serde_json::{Map, Value};

use crate::{Scope, TenantTx};
use kernel::named;

named! {
    /// What can be said about a product's looks.
    Field {
        /// What it is called.
        ProductName = "product_name",
        /// Where its logo is.
        LogoUrl = "logo_url",
        /// Its main colour.
        PrimaryColor = "primary_color",
        /// Whom its users write to.
        SupportEmail = "support_email",
        /// Where its users find help.
        SupportUrl = "support_url",
    }
}

/// What one level says itself.
pub type Branding = BTreeMap<Field, String>;
/// What a level is to say from now on; `None` takes a field away, an absent one stays.
pub type BrandingChange = BTreeMap<Field, Option<String>>;
/// What holds for a level, and which level says so.
pub type Effective = BTreeMap<Field, (String, Scope)>;

/// The longest URL.
const MAX_URL_CHARS: usize = 2_048;

pub(crate) fn check(checks: &mut Checks, change: &BrandingChange) {
    for (field, value) in change {
        let Some(value) = value else { continue };
        let pointer = format!("/branding/{field}");
        match field {
            Field::ProductName => checks.name(value, 100, &pointer),
            Field::LogoUrl | Field::SupportUrl => {
                let host = value.strip_prefix("https://").unwrap_or_default();
                let holds = value.len() <= MAX_URL_CHARS
                    && host.starts_with(|first: char| first.is_ascii_alphanumeric())
                    && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte));
                checks.require(holds, &pointer, "must be an https URL of at most 2048 characters");
            }
            Field::PrimaryColor => {
                let digits = value.strip_prefix('#').unwrap_or_default();
                let holds = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                checks.require(holds, &pointer, "must be a colour such as #0a5fd0");
            }
            Field::SupportEmail => {
                if let Err(cause) = value.parse::<EmailAddress>() {
                    checks.require(false, &pointer, cause);
                }
            }
        }
    }
}

pub(crate) fn changed(old: &Branding, change: &BrandingChange) -> Branding {
    let mut new = old.clone();
    for (&field, value) in change {
        match value {
            Some(value) => new.insert(field, value.clone()),
            None => new.remove(&field),
        };
    }
    new
}

/// As a column and the trail have it.
pub(crate) fn shown(branding: &Branding) -> Value {
    branding
        .iter()
        .map(|(field, value)| (field.to_string(), Value::from(value.as_str())))
        .collect::<Map<_, _>>()
        .into()
}

/// Out of a column; what a later version wrote there is passed over.
pub(crate) fn read(column: &Value) -> Branding {
    let fields = column.as_object().into_iter().flatten();
    fields.filter_map(|(field, value)| Some((field.parse().ok()?, value.as_str()?.to_owned()))).collect()
}

/// What holds at the last of these levels, the topmost first.
pub(crate) fn effective(levels: impl IntoIterator<Item = (Scope, Branding)>) -> Effective {
    let said = levels.into_iter().flat_map(|(level, branding)| {
        branding.into_iter().map(move |(field, value)| (field, (value, level)))
    });
    // A later one replaces an earlier one.
    said.collect()
}

/// What each of a path's resellers says.
pub(crate) async fn of_resellers(
    tx: &mut SystemTx,
    path: &[ResellerId],
) -> Result<Vec<(Scope, Branding)>, db::Error> {
    let path: Vec<_> = path.iter().map(|id| id.uuid()).collect();
    store::of_resellers(tx.conn(), &path).await
}

/// What holds for a reseller on the documents that it issues, whoever reads them.
///
/// # Errors
/// [`db::Error`] when the database fails.
pub async fn of_issuer(tx: &mut SystemTx, id: ResellerId) -> Result<Effective, db::Error> {
    let path = store::path_of(tx.conn(), id).await?;
    Ok(effective(store::of_resellers(tx.conn(), &path).await?))
}

/// What each level of the tenant's says, its own last.
pub(crate) async fn of_tenant(tx: &mut TenantTx) -> Result<Vec<(Scope, Branding)>, db::Error> {
    let (path, own) = store::of_tenant(tx).await?;
    let mut levels = store::of_resellers(tx.conn(), &path).await?;
    levels.push((Scope::Tenant(tx.tenant_id()), own));
    Ok(levels)
}
