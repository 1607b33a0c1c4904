//! Mail domains of a tenant. A name routes mail once its owner has shown that it is theirs, and then belongs to one
//! tenant of the installation; until then any tenant may wait for it, so that nobody can sit on another's name.

mod store;

use chrono::{DateTime, Utc};
use dns::Resolver;
use dns::health::{Expected, Health};
use kernel::{DomainId, DomainName, MailboxId, Page, PageRequest, hex, named};
use serde_json::json;

use crate::caps::{self, Delta};
use crate::{Action, Ctx, Error, Scope, event, quota, require_version, tenant};

/// A mail domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Its name, in ASCII form.
    pub name: DomainName,
    /// `pending`: to be verified; `active`: mail is routed.
    pub status: String,
    /// What the TXT record that proves it has to hold.
    pub verification_token: String,
    /// When its ownership was shown.
    pub verified_at: Option<DateTime<Utc>>,
    /// Whether `ada+lists@` is `ada@`.
    pub plus_addressing: bool,
    /// Gets what no address of the domain takes.
    pub catch_all_mailbox_id: Option<MailboxId>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// How a domain's ownership is shown.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// By a TXT record, looked up at this moment.
    Dns(&'a Resolver),
    /// By the operator's word: they know whose it is.
    Operator,
}

/// Adds a domain, to be verified.
///
/// # Errors
/// [`Error::Conflict`] `domain_taken` when the tenant has it already.
pub async fn create(ctx: &Ctx, name: &str) -> Result<Domain, Error> {
    ctx.require(Action::DomainWrite)?;
    let name = name.parse::<DomainName>().map_err(|cause| Error::address("/name", cause))?;
    let domain = Domain {
        id: ctx.env().new_id(),
        name,
        status: "pending".into(),
        verification_token: hex(&ctx.env().random::<16>()),
        verified_at: None,
        plus_addressing: true,
        catch_all_mailbox_id: None,
        created_at: ctx.now(),
        version: 1,
    };
    let mut tx = ctx.begin().await?;
    store::insert(&mut tx, &domain).await.map_err(taken)?;
    event::record(&mut tx, ctx, event::Kind::DomainCreated, domain.id, json!({"name": domain.name})).await?;
    caps::count(&mut tx, ctx, Delta { domains: 1, ..Delta::default() }).await?;
    tx.commit().await?;
    Ok(domain)
}

fn taken(error: db::Error) -> Error {
    match error.constraint() {
        Some("domains_name_once" | "domain_names_once") => {
            Error::conflict("domain_taken", "this domain is in use already")
        }
        _ => error.into(),
    }
}

/// One domain.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such domain.
pub async fn get(ctx: &Ctx, id: DomainId) -> Result<Domain, Error> {
    ctx.require(Action::DomainRead)?;
    let mut tx = ctx.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

named! {
    /// How a domain stands.
    Status {
        /// To be verified.
        Pending = "pending",
        /// Mail is routed.
        Active = "active",
    }
}

/// Which domains are listed: those of which all of this holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only the one with this name.
    pub name: Option<String>,
}

/// The tenant's domains.
///
/// # Errors
/// [`Error::Forbidden`] without the right to see domains.
pub async fn list(ctx: &Ctx, filter: &Filter, page: PageRequest) -> Result<Page<Domain>, Error> {
    ctx.require(Action::DomainRead)?;
    // What is no domain's name is that of none.
    let Ok(name) = filter.name.as_deref().map(str::parse::<DomainName>).transpose() else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let mut tx = ctx.read().await?;
    let rows = store::list(&mut tx, filter.status, name.as_ref(), &page).await?;
    Ok(Page::cut(rows, &page, |domain| domain.id.uuid()))
}

/// What of a domain is to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct DomainChange {
    /// Whether `ada+lists@` is `ada@`.
    pub plus_addressing: Option<bool>,
    /// What gets the mail that no address takes; `Some(None)`: it is refused.
    pub catch_all_mailbox_id: Option<Option<MailboxId>>,
}

/// Changes where a domain's mail goes.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::Invalid`] for a mailbox that the tenant does not have.
pub async fn update(
    ctx: &Ctx,
    id: DomainId,
    if_version: Option<i64>,
    change: DomainChange,
) -> Result<Domain, Error> {
    ctx.require(Action::DomainWrite)?;
    let mut tx = ctx.begin().await?;
    let old = store::find_locked(&mut tx, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, old.version)?;
    if let Some(Some(mailbox_id)) = change.catch_all_mailbox_id
        && !quota::exists(&mut tx, mailbox_id).await?
    {
        return Err(Error::invalid("/catch_all_mailbox_id", "the tenant has no such mailbox"));
    }
    store::update(&mut tx, id, &change).await?;
    let domain = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    if domain == (Domain { version: domain.version, ..old.clone() }) {
        return Ok(old);
    }
    let data = json!({"name": domain.name, "plus_addressing": domain.plus_addressing,
        "catch_all_mailbox_id": domain.catch_all_mailbox_id});
    event::record(&mut tx, ctx, event::Kind::DomainUpdated, id, data).await?;
    tx.commit().await?;
    Ok(domain)
}

/// Verifies a domain: from then on it routes mail. One that is verified already stays so.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] `domain_not_verified` when the record is not there, `domain_taken` when
/// another tenant has verified the name; [`Error::Unavailable`] when the DNS does not answer; [`Error::Forbidden`] for a
/// caller who gives an operator's word without being one.
pub async fn verify(ctx: &Ctx, id: DomainId, proof: Proof<'_>) -> Result<Domain, Error> {
    ctx.require(Action::DomainWrite)?;
    if matches!(proof, Proof::Operator) && ctx.caller().scope() != Scope::Operator {
        return Err(Error::Forbidden("verifying a domain without its owner's TXT record"));
    }
    let domain = read(ctx, id).await?;
    if domain.verified_at.is_some() {
        return Ok(domain);
    }
    // No transaction is open while the DNS is asked.
    let (proven, by) = match proof {
        Proof::Operator => (true, "operator"),
        Proof::Dns(resolver) => {
            let owns = dns::owns(resolver, &domain.name, &domain.verification_token).await;
            (owns.map_err(|cause| Error::Unavailable(Box::new(cause)))?, "dns")
        }
    };
    if !proven {
        return Err(Error::conflict(
            "domain_not_verified",
            "the TXT record that proves the domain is not there yet; resolvers may keep its absence for a while",
        ));
    }
    let mut tx = ctx.begin().await?;
    // One that was deleted meanwhile has let its names go.
    let ctx = &tenant::keep(&mut tx, ctx).await?;
    if !store::set_verified(&mut tx, id, ctx.now()).await.map_err(taken)? {
        return Err(Error::NotFound);
    }
    let data = json!({"name": domain.name, "by": by});
    event::record(&mut tx, ctx, event::Kind::DomainVerified, id, data).await?;
    let domain = store::find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    tx.commit().await?;
    Ok(domain)
}

/// What the DNS says of a domain's mail, beside what it should say.
///
/// # Errors
/// [`Error::NotFound`] when the tenant has no such domain. An unreachable DNS is a finding.
pub async fn health(
    ctx: &Ctx,
    id: DomainId,
    resolver: &Resolver,
    expected: &Expected,
) -> Result<Health, Error> {
    ctx.require(Action::DomainRead)?;
    let domain = read(ctx, id).await?;
    Ok(dns::health::check(resolver, &domain.name, expected).await)
}

async fn read(ctx: &Ctx, id: DomainId) -> Result<Domain, Error> {
    let mut tx = ctx.read().await?;
    store::find(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Removes a domain that no address uses.
///
/// # Errors
/// [`Error::Conflict`] `domain_in_use` while addresses are in it; [`Error::NotFound`]; [`Error::VersionMismatch`].
pub async fn delete(ctx: &Ctx, id: DomainId, if_version: Option<i64>) -> Result<(), Error> {
    ctx.require(Action::DomainWrite)?;
    let mut tx = ctx.begin().await?;
    let domain = store::find_locked(&mut tx, id).await?.ok_or(Error::NotFound)?;
    require_version(if_version, domain.version)?;
    store::delete(&mut tx, id).await.map_err(|error| match error.constraint() {
        Some("addresses_domain") => {
            Error::conflict("domain_in_use", "addresses of this domain exist or existed")
        }
        _ => error.into(),
    })?;
    event::record(&mut tx, ctx, event::Kind::DomainDeleted, id, json!({"name": domain.name})).await?;
    caps::count(&mut tx, ctx, Delta { domains: -1, ..Delta::default() }).await?;
    tx.commit().await?;
    Ok(())
}
