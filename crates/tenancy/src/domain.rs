//! Mail domains of a tenant. A name belongs to one tenant of the installation.

mod store;

use chrono::{DateTime, Utc};
use kernel::{DomainId, DomainName, Page, PageRequest};

use crate::{Action, Ctx, Error};

/// A mail domain.
#[derive(Debug, Clone)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Its name, in ASCII form.
    pub name: String,
    /// `active`: mail is routed.
    pub status: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// Adds a domain; it routes mail at once.
///
/// # Errors
/// [`Error::Conflict`] `domain_taken` when the name is in use, here or elsewhere.
pub async fn create(ctx: &Ctx, name: &str) -> Result<Domain, Error> {
    ctx.require(Action::DomainWrite)?;
    let name = name.parse::<DomainName>().map_err(|cause| Error::address("/name", cause))?;
    let domain = Domain {
        id: ctx.env().new_id(),
        name: name.as_str().to_owned(),
        status: "active".into(),
        created_at: ctx.now(),
    };
    let mut tx = ctx.begin().await?;
    store::insert(&mut tx, &domain).await.map_err(|error| match error.constraint() {
        Some("domains_name_once" | "domain_names_once") => {
            Error::Conflict { code: "domain_taken", detail: "this domain is in use already" }
        }
        _ => error.into(),
    })?;
    tx.commit().await?;
    Ok(domain)
}

/// One domain.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such domain.
pub async fn get(ctx: &Ctx, id: DomainId) -> Result<Domain, Error> {
    ctx.require(Action::DomainRead)?;
    let mut tx = ctx.begin().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// The tenant's domains.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see domains.
pub async fn list(ctx: &Ctx, page: PageRequest) -> Result<Page<Domain>, Error> {
    ctx.require(Action::DomainRead)?;
    let mut tx = ctx.begin().await?;
    let rows = store::list(&mut tx, &page).await?;
    Ok(Page::cut(rows, &page, |domain| domain.id.uuid()))
}

/// Removes a domain that no address uses.
///
/// # Errors
/// [`Error::Conflict`] `domain_in_use` while addresses are in it; [`Error::NotFound`].
pub async fn delete(ctx: &Ctx, id: DomainId) -> Result<(), Error> {
    ctx.require(Action::DomainWrite)?;
    let mut tx = ctx.begin().await?;
    let deleted = store::delete(&mut tx, id).await.map_err(|error| match error.constraint() {
        Some("addresses_domain") => {
            Error::Conflict { code: "domain_in_use", detail: "addresses of this domain exist or existed" }
        }
        _ => error.into(),
    })?;
    if !deleted {
        return Err(Error::NotFound);
    }
    tx.commit().await?;
    Ok(())
}
